#pragma once

// Some messages of a batch that came in, copied into a block of their own: for what is not to be
// kept as the one batch that it was sent as.

#include <cstdint>
#include <span>
#include <vector>

#include "daemon/core/block.hpp"
#include "mqd/wire/bytes.hpp"

namespace mqd::core {

// Messages of a batch that lie together; `first` counts from 0 on.
struct BatchRun {
    std::uint32_t first = 0;
    std::uint32_t count = 0;
    friend bool operator==(const BatchRun&, const BatchRun&) = default;
};

// Adds a message behind those that are there: to the last run, if it follows it. Precondition:
// `index` is behind all of them.
inline void add_to_runs(std::vector<BatchRun>& runs, std::uint32_t index) {
    if (!runs.empty() && runs.back().first + runs.back().count == index) {
        ++runs.back().count;
    } else {
        runs.push_back({index, 1});
    }
}

// What the batch holds of these messages, in bytes. `end_offsets` are those of wire::check_batch().
[[nodiscard]] std::uint32_t bytes_of(const std::uint32_t* end_offsets,
                                     std::span<const BatchRun> runs);

// A block with these messages, in their order, as wire::check_batch() has found them: with its
// offsets, and nothing stamped, booked or charged. One reference. Precondition: there is a message,
// and the runs lie in the batch.
[[nodiscard]] Block* copy_messages(wire::Bytes batch, const std::uint32_t* end_offsets,
                                   std::span<const BatchRun> runs);

}  // namespace mqd::core
