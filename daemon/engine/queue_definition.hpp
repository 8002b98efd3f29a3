#pragma once

// What a queue is called and how it is to behave: its name and its options, as plain values. One
// struct for the engine, the records, the configuration and its defaults.

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mqd/rate.hpp"
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
    bool publishing_paused = false;     // nothing is taken but dead letters; core sees to it
    bool consuming_paused = false;      // nothing is delivered
    bool priorities = false;            // messages have them; as long as the queue lives
    std::uint32_t group_in_flight = 1;  // messages of one group at a time; at least 1
    // From one first delivery of a message of a group to the next one of that group.
    Rate group_rate{};
    // A message that has waited so long since it was taken is delivered no more; 0: no limit. The
    // shorter one counts, of this and the message's own.
    std::chrono::milliseconds ttl{0};
    OnExpired on_expired = OnExpired::drop;
    // It is deleted when it was empty and not used for so long, and with the session that made it;
    // core sees to both.
    std::chrono::milliseconds expire_idle{0};  // 0: never
    bool temporary = false;
    // So many events of its messages are kept, for so long, to be told; core sees to it.
    std::uint32_t history = 0;                           // 0: none
    std::chrono::milliseconds history_time{86'400'000};  // 0: no limit
    // What is purged, or deleted singly, can be put back for so long; core sees to it.
    std::chrono::milliseconds undo_time{0};  // 0: it ends at once
    // A message whose id was published within so long is not taken once more; 0: nobody looks. So
    // many ids are remembered at most.
    std::chrono::milliseconds dedup_window{0};
    std::uint32_t dedup_count = 1'000'000;
    friend bool operator==(const QueueDefinition&, const QueueDefinition&) = default;
};

inline constexpr std::string_view dead_letter_suffix = ".dead";

// Dead letters of dead letters stay where they are.
[[nodiscard]] inline bool keeps_dead_letters(const QueueDefinition& definition) {
    return definition.dead_letter.empty() && definition.name.ends_with(dead_letter_suffix);
}

// Whether the oldest become dead letters when it is full. What keeps dead letters has none, and
// refuses.
[[nodiscard]] inline bool buries_oldest(const QueueDefinition& definition) {
    return definition.on_full == OnFull::dead_letter && !keeps_dead_letters(definition);
}

// Whether a limit of bytes contradicts it: messages are chosen by their number.
[[nodiscard]] inline bool counts_messages_only(OnFull on_full) {
    return on_full == OnFull::drop_oldest || on_full == OnFull::dead_letter;
}

// As max_messages, with OnFull::wait: the queue holds nothing, and a publish is taken when a
// consumer has credit for it.
inline constexpr std::uint64_t rendezvous = UINT64_MAX;
[[nodiscard]] inline bool is_rendezvous(const QueueDefinition& definition) {
    return definition.max_messages == rendezvous && definition.on_full == OnFull::wait;
}

// What a queue is where neither the configuration nor who makes it says otherwise; without a name.
[[nodiscard]] inline QueueDefinition default_definition() {
    QueueDefinition definition;
    definition.max_attempts = 16;
    definition.undo_time = std::chrono::minutes(10);
    return definition;
}

}  // namespace mqd::engine
