#pragma once

// Latencies of one run and their percentiles. Samples are kept whole, up to a bound, and sorted
// once at the end: a histogram would round what the goals compare.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace mqd::bench {

struct Percentiles {
    std::uint64_t samples = 0;
    double p50_us = 0;
    double p99_us = 0;
    double p999_us = 0;
};

class LatencySamples {
  public:
    static constexpr std::size_t samples_max = 250'000;

    // The memory is touched beforehand, so that no sample pays for a page fault.
    explicit LatencySamples(std::size_t expected) : samples_(std::min(expected, samples_max)) {}

    void add(std::int64_t ns) {
        if (count_ < samples_.size()) {
            samples_[count_++] = ns;
        }
    }

    [[nodiscard]] Percentiles percentiles() {
        if (count_ == 0) {
            return {};
        }
        std::sort(samples_.begin(), samples_.begin() + static_cast<std::ptrdiff_t>(count_));
        const auto at = [this](double part) {
            const auto index = static_cast<std::size_t>(part * static_cast<double>(count_));
            return static_cast<double>(samples_[std::min(index, count_ - 1)]) / 1000.0;
        };
        return {count_, at(0.5), at(0.99), at(0.999)};
    }

  private:
    std::vector<std::int64_t> samples_;
    std::size_t count_ = 0;
};

}  // namespace mqd::bench
