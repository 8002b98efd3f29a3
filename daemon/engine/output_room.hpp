#pragma once

// What all consumers of one connection share: room for output, and how many messages they may have
// leased together. Owned by core, which fills up the room as the output is sent; dispatch draws on
// it, so that a slow reader's output stays bounded whatever credit it gives. What is leased is
// counted by the engine.
//
// Who is stopped by what is leased leaves the consumers of its queue and waits in line here, so
// that each gets its turn when leases end: else the consumer whose queue is looked at first would
// take them all, each time.

#include <cstdint>

#include "daemon/engine/consumer.hpp"
#include "daemon/engine/taker_ring.hpp"

namespace mqd::engine {

struct OutputRoom {
    std::uint64_t bytes = 0;
    bool wanted = false;                    // a dispatch stopped for want of bytes
    std::uint64_t delivery_bytes = 0;       // what a delivery costs besides its messages; by core
    std::uint64_t leases_max = UINT64_MAX;  // messages; set by core
    std::uint64_t leases = 0;               // messages
    bool freed = false;                     // it is in the engine's list of those with leases again
    TakerRing stopped{};                    // while there are none left, or since dispatch()

    [[nodiscard]] std::uint64_t leases_left() const { return leases_max - leases; }
};

inline bool Consumer::has_room() const {
    return room == nullptr || (room->bytes > 0 && room->leases_left() > 0);
}

inline std::uint64_t Consumer::leases_left() const {
    return room == nullptr ? UINT64_MAX : room->leases_left();
}

}  // namespace mqd::engine
