#pragma once

// What a store has to say of its durable queues after a restart, in one form: two of these are
// equal if nothing was lost, made up or changed. Who held a message, and what lies in memory, is
// not part of it: messages that were leased are ready again.

#include <sstream>
#include <string>

#include "daemon/engine/engine.hpp"

namespace mqd::test {

inline void describe(std::ostream& out, const engine::QueueDefinition& definition) {
    out << "queue " << definition.name << ' ' << static_cast<int>(definition.durability)
        << " lease " << definition.lease.count() << " attempts " << definition.max_attempts
        << " dead \"" << definition.dead_letter << "\" messages " << definition.max_messages
        << " bytes " << definition.max_bytes << " on_full " << static_cast<int>(definition.on_full)
        << " retry";
    for (const std::chrono::milliseconds delay : definition.retry) {
        out << ' ' << delay.count();
    }
    out << " paused " << definition.publishing_paused << definition.consuming_paused << '\n';
}

inline void describe(std::ostream& out, MessageRange range) {
    out << range.first.value() << '+' << range.count;
}

// One line for each message with what it has of its own, or for a run of such.
[[nodiscard]] inline std::string canonical_state(const engine::Engine& engine) {
    std::ostringstream out;
    for (const auto& [name, queue] : engine.queues()) {
        if (!queue->durable()) {
            continue;
        }
        describe(out, queue->definition());
        out << "id " << queue->id().value() << " next " << queue->next_applied().value() << '\n';
        for (const engine::LiveRun& run : queue->live_runs()) {
            out << "live ";
            describe(out, run.range);
            out << " attempts " << run.attempts << '\n';
        }
        engine::DelayTable::Run delay;
        for (MessageNumber at(0); queue->delays() && queue->delays()->find_from(at, delay);) {
            for (at = delay.range.first; at < delay.range.end(); at = at.plus(1)) {
                out << "delayed " << at.value() << " until " << delay.due.at << " on "
                    << static_cast<int>(delay.due.clock) << '\n';
            }
        }
        queue->failures().for_each([&](MessageRange range, const engine::Failure& failure) {
            out << "failed ";
            describe(out, range);
            out << ' ' << failure.first.time_since_epoch().count() << ' '
                << failure.last.time_since_epoch().count() << ' ' << failure.rejected << " \""
                << (failure.reason ? *failure.reason : "") << "\"\n";
        });
    }
    return out.str();
}

}  // namespace mqd::test
