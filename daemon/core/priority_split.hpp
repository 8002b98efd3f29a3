#pragma once

// What a batch holds of each priority. Of the batch that is being published, and kept from use to
// use, so that its memory is. Loop thread only.

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "daemon/core/batch_parts.hpp"
#include "mqd/result.hpp"
#include "mqd/types.hpp"
#include "mqd/wire/bytes.hpp"

namespace mqd::core {

class PrioritySplit {
  public:
    // Lines that lie together and have the same priority.
    struct Lines {
        std::uint32_t count = 0;
        unsigned priority = 0;
        friend bool operator==(const Lines&, const Lines&) = default;
    };

    // All of a batch are of priority 0.
    void clear();
    // Reads those of a checked batch. Errors: bad_option.
    Result<void> read(wire::Bytes batch, const std::uint32_t* end_offsets, std::uint32_t count);

    // Whether there are several.
    [[nodiscard]] bool mixed() const { return levels_used_ > 1; }
    // How many there are.
    [[nodiscard]] unsigned levels() const { return levels_used_; }
    // That of all. Precondition: !mixed().
    [[nodiscard]] unsigned priority() const { return lines_.empty() ? 0 : lines_.front().priority; }
    [[nodiscard]] std::span<const Lines> lines() const { return lines_; }
    // Calls fn(priority, runs of messages) for each that there is, the highest one first.
    template <typename Fn>
    void for_each(Fn&& fn) const {
        for (unsigned priority = priority_max + 1; priority-- > 0;) {
            if (!of_priority_[priority].empty()) {
                fn(priority, std::span<const BatchRun>(of_priority_[priority]));
            }
        }
    }

  private:
    std::array<std::vector<BatchRun>, priority_max + 1> of_priority_;
    std::vector<Lines> lines_;  // in their order
    unsigned levels_used_ = 0;
};

}  // namespace mqd::core
