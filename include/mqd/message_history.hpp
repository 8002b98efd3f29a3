#pragma once

// What happened to a message, as the daemon remembers it (Client::message_history).

#include <cstdint>
#include <string>
#include <vector>

#include "mqd/types.hpp"
#include "mqd/wire/message_history.hpp"

namespace mqd {

using HistoryKind = wire::HistoryKind;
using HistoryState = wire::HistoryState;

// A kind that is none of those known here is of a later daemon.
struct HistoryEvent {
    HistoryKind kind{};
    WallTime at;
    Identity by;                // unknown: the daemon itself, or a connection over TCP
    std::string client;         // what that connection called itself
    HandleId handle;            // of the consumer; 0: of none
    std::uint32_t attempt = 0;  // of a delivery: the how many-th
    // published: the name of the producer, if it has one; nacked, rejected: the reason, if one was
    // given; moved, dead_lettered, arrived and arrived_dead: the other queue.
    std::string text;
    QueueId incarnation;   // of the other queue
    MessageNumber number;  // there; 0: not known
};

struct MessageHistory {
    QueueId incarnation;        // of the queue
    std::uint32_t kept = 0;     // how many events the queue keeps; 0: none
    WallTime known_from;        // events before that are not known
    MessageNumber next_number;  // from there on no number was given out yet (of its priority)
    HistoryState state{};
    std::uint32_t deliveries = 0;  // so far, if it is there
    // If it is there and failed before; else 1970.
    WallTime first_failed;
    WallTime last_failed;
    bool rejected = false;
    std::string reason;
    std::vector<HistoryEvent> events;  // the oldest first
};

}  // namespace mqd
