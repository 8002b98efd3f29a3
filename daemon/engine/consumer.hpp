#pragma once

// A consumer of one queue as the engine sees it: its credit and what it has leased. Core derives
// its handle from it, owns it, and detaches it before it ends.

#include <cstdint>

#include "daemon/engine/lease_map.hpp"
#include "daemon/engine/time.hpp"
#include "mqd/types.hpp"

namespace mqd::engine {

class Queue;

struct OutputRoom;

struct Consumer {
    explicit Consumer(std::pmr::memory_resource* memory) : leased(memory) {}

    Queue* queue = nullptr;              // null: not attached
    std::size_t index = 0;               // among its queue's consumers; the engine's
    std::uint64_t serial = 0;            // given by attach(), never again
    std::chrono::milliseconds lease{0};  // of a delivery
    std::uint64_t piece_bytes_max = 0;   // of one delivery, but never less than one message
    Sharing sharing = Sharing::shared;   // fixed once it is attached
    bool waiting = false;                // another one of a single_active queue has its turn

    // Credit: totals since the consumer was opened.
    std::uint64_t message_limit = 0;
    std::uint64_t byte_limit = 0;
    std::uint64_t messages_delivered = 0;
    std::uint64_t bytes_delivered = 0;
    OutputRoom* room = nullptr;  // null: without bound

    // Its place among those with credit, or among those that wait for their turn, or for leases of
    // their connection to end (TakerRing).
    bool taker = false;
    bool stopped = false;  // it waits for leases to end
    Consumer* taker_next = nullptr;
    Consumer* taker_previous = nullptr;

    LeaseMap leased;
    Time lease_floor = Time::max();  // no lease ends before it

    [[nodiscard]] bool has_credit() const {
        return messages_delivered < message_limit && bytes_delivered < byte_limit;
    }
    // Of its connection; output_room.hpp.
    [[nodiscard]] bool has_room() const;
    [[nodiscard]] std::uint64_t leases_left() const;  // messages
};

}  // namespace mqd::engine
