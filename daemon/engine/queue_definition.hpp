#pragma once

// What a queue is called and how it is to behave: its name and its options, as plain values. One
// struct for the engine, the records, the configuration and its defaults.

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "mqd/types.hpp"

namespace mqd::engine {

struct QueueDefinition {
    std::string name;
    Durability durability = Durability::disk;
    std::chrono::milliseconds lease{30'000};
    std::uint32_t max_attempts = 0;  // deliveries; 0: no limit
    std::string dead_letter;         // where messages go then; empty: NAME.dead
    std::uint64_t max_messages = 0;  // that live; 0: no limit
    std::uint64_t max_bytes = 0;     // of their batches; 0: no limit
    OnFull on_full = OnFull::reject;
    // Behind its failed delivery number k a message waits for retry[min(k, n) - 1] before it is
    // ready again; empty: not at all.
    std::vector<std::chrono::milliseconds> retry{};
    bool publishing_paused = false;  // nothing is taken but dead letters; core sees to it
    bool consuming_paused = false;   // nothing is delivered
    // It is deleted when it was empty and not used for so long, and with the session that made it;
    // core sees to both.
    std::chrono::milliseconds expire_idle{0};  // 0: never
    bool temporary = false;
    friend bool operator==(const QueueDefinition&, const QueueDefinition&) = default;
};

// What a queue is where neither the configuration nor who makes it says otherwise; without a name.
[[nodiscard]] inline QueueDefinition default_definition() {
    QueueDefinition definition;
    definition.max_attempts = 16;
    return definition;
}

}  // namespace mqd::engine
