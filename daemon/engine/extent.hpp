#pragma once

// Consecutive messages of one queue whose bodies are in memory: what core announces as resident.
// Core derives its block of bytes from it and owns it; the engine holds a pointer from
// announce_resident() until it hands the extent back through Engine::released(), when none of its
// messages lives any more.

#include <algorithm>
#include <cstdint>

#include "daemon/engine/time.hpp"
#include "mqd/assert.hpp"
#include "mqd/types.hpp"

namespace mqd::engine {

struct Extent {
    MessageNumber first;
    std::uint32_t count = 0;
    std::uint32_t live = 0;                      // messages not yet removed; the engine's
    bool announced = false;                      // the engine has it; the engine's
    const std::uint32_t* end_offsets = nullptr;  // [count]: the offset behind each message
    Time taken{};  // when the daemon took its messages: their TTLs run from then on
    // The first time at which the TTL of its own of one of them may be over; max: none has any.
    // While it is announced, only the engine changes it.
    Time expires = Time::max();

    [[nodiscard]] MessageNumber end() const { return first.plus(count); }

    // Offset of a message, or of the end, in the encoded batch.
    [[nodiscard]] std::uint32_t offset(MessageNumber number) const {
        MQD_ASSERT(number >= first && number <= end(), number);
        return number == first ? 0 : end_offsets[number - first - 1];
    }
    [[nodiscard]] std::uint64_t bytes(MessageRange range) const {
        return offset(range.end()) - offset(range.first);
    }
    // How many messages from `from` on fit into `bytes`.
    [[nodiscard]] std::uint64_t fitting(MessageNumber from, std::uint64_t bytes) const {
        const std::uint64_t limit = offset(from) + bytes;
        const std::uint32_t* begin = end_offsets + (from - first);
        const std::uint32_t* behind = std::upper_bound(begin, end_offsets + count, limit);
        return static_cast<std::uint64_t>(behind - begin);
    }
};

}  // namespace mqd::engine
