#pragma once

// What a producer and a consumer handle of a session have in common: how they are opened and how
// they end. docs/protocol.md, "Handles".

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "mqd/error.hpp"
#include "mqd/types.hpp"

namespace mqd::client {

// A point in time for sessions, from any fixed beginning: the session compares, and asks no clock.
using Time = std::chrono::microseconds;

enum class HandleState : std::uint8_t {
    opening,  // OPEN is on its way
    open,
    closing,  // CLOSE_HANDLE is on its way
    ended,    // closed, refused at OPEN, ended by the daemon, or the connection ended
};

struct Handle {
    HandleId id;
    std::string queue;
    HandleState state = HandleState::opening;
    std::optional<Error> error;  // why it ended, unless it was closed by ourselves
    QueueId incarnation;
    Durability durability{};  // of the queue
    std::uint32_t lease_ms = 0;
    bool has_news = false;  // is among Session::news()
    bool released = false;  // nobody holds it any more
    bool at_daemon = true;  // the daemon may know it: its number is not free
    bool close_sent = false;

    void end(std::optional<Error> why) {
        if (state != HandleState::ended) {
            state = HandleState::ended;
            error = std::move(why);
        }
    }
};

}  // namespace mqd::client
