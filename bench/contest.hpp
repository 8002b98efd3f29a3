#pragma once

// A workload and those who compete in it. Machines are shared and noisy: only ratios within one run
// mean anything, so the contenders take turns (floor, mqd, floor, mqd …) and the median of each is
// compared.

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "bench/load.hpp"
#include "bench/raw_file.hpp"
#include "mqd/result.hpp"

namespace mqd::bench {

struct Contender {
    std::string name;
    std::function<Result<Figures>()> measure;  // one run
};

enum class Bound { at_least, at_most };

// The figure of one contender against `factor` times that of another, or against `factor` itself.
struct Goal {
    std::string contender;
    std::string figure;
    Bound bound = Bound::at_least;
    double factor = 1;
    std::string against;  // empty: nobody
};

struct Workload {
    std::string name;
    std::string title;
    std::string durability;  // in words; empty: nothing is kept
    bool uses_disk = false;
    std::vector<std::string> columns;  // the figures that the table shows
    std::vector<Contender> contenders;
    std::vector<Goal> goals;
};

struct Standing {
    std::string name;
    std::vector<Figures> runs;
    std::vector<std::string> errors;  // one per run that failed
    Figures median;                   // figure by figure, over the runs that did not
};

struct Outcome {
    Workload workload;
    std::vector<Standing> standings;

    [[nodiscard]] const Standing* find(const std::string& contender) const;
    [[nodiscard]] bool failed() const;
};

struct ContestOptions {
    int runs = 3;
    // How long one run may wait for a disk that is slow from an earlier burst to recover, and all
    // runs together.
    std::chrono::milliseconds disk_wait_max{8'000};
    std::chrono::milliseconds disk_wait_sum_max{120'000};
};

class Contest {
  public:
    Contest(const ContestOptions& options, const std::string& folder)
        : options_(options), gauge_(folder), disk_wait_left_(options.disk_wait_sum_max) {}

    [[nodiscard]] Outcome run(const Workload& workload);
    [[nodiscard]] double best_sync_us() const { return gauge_.best_us(); }

  private:
    void take_turn(const Workload& workload, const Contender& contender, Standing& standing);
    double await_disk();

    ContestOptions options_;
    DiskGauge gauge_;
    std::chrono::milliseconds disk_wait_left_;
};

// A sync that takes this many times the best is that of a disk that is slow from an earlier burst.
inline constexpr double slow_disk_factor = 4;

}  // namespace mqd::bench
