#pragma once

// What a store has to say of its durable queues after a restart, in one form: two of these are
// equal if nothing was lost, made up or changed. Who held a message, and what lies in memory, is
// not part of it: messages that were leased are ready again.

#include <algorithm>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <utility>

#include "daemon/engine/engine.hpp"

namespace mqd::test {

inline void describe(std::ostream& out, const engine::QueueDefinition& definition) {
    out << "queue " << definition.name << ' ' << static_cast<int>(definition.durability) << " ids "
        << definition.dedup_window.count() << ' ' << definition.dedup_count << " lease "
        << definition.lease.count() << " attempts " << definition.max_attempts << " dead \""
        << definition.dead_letter << "\" messages " << definition.max_messages << " bytes "
        << definition.max_bytes << " on_full " << static_cast<int>(definition.on_full) << " retry";
    for (const std::chrono::milliseconds delay : definition.retry) {
        out << ' ' << delay.count();
    }
    out << " in_flight " << definition.group_in_flight << " rate " << definition.group_rate.count
        << '/' << definition.group_rate.per.count() << " paused " << definition.publishing_paused
        << definition.consuming_paused << " priorities " << definition.priorities << " ttl "
        << definition.ttl.count() << " on_expired " << static_cast<int>(definition.on_expired)
        << " idle " << definition.expire_idle.count() << " temporary " << definition.temporary
        << " history " << definition.history << ' ' << definition.history_time.count() << " undo "
        << definition.undo_time.count() << '\n';
}

inline void describe(std::ostream& out, MessageRange range) {
    out << range.first.value() << '+' << range.count;
}

inline void describe(std::ostream& out, MessageNumber number, const engine::Failure& failure) {
    out << "failed " << number.value() << ' ' << failure.first.time_since_epoch().count() << ' '
        << failure.last.time_since_epoch().count() << ' ' << failure.rejected << " \""
        << (failure.reason ? *failure.reason : "") << "\"\n";
}

struct CanonicalState {
    std::string text;  // all but the delays
    // Until when messages wait, and what time it was. That a time has come is nowhere written: a
    // message that is due is ready after a start as well, unless a clock was set back.
    std::map<std::pair<QueueId, MessageNumber>, engine::Due> waiting;
    // Nor that the time of a message is over: what is on its way to the dead letters for that waits
    // once more after a start, if it did, until that is seen again.
    std::set<std::pair<QueueId, MessageNumber>> dying;
    engine::Clocks now;

    [[nodiscard]] std::string describe() const {
        std::ostringstream out;
        out << text;
        for (const auto& [message, due] : waiting) {
            out << "delayed " << message.first.value() << ':' << message.second.value() << " until "
                << due.at << " on " << static_cast<int>(due.clock) << '\n';
        }
        return out.str();
    }
    friend bool operator==(const CanonicalState& a, const CanonicalState& b) {
        const auto waiting = [&](const CanonicalState& state) {
            auto left = state.waiting;
            std::erase_if(left, [&](const auto& one) {
                const engine::DueClock clock = one.second.clock;
                return a.dying.contains(one.first) || b.dying.contains(one.first) ||
                       one.second.at <= std::max(a.now.on(clock), b.now.on(clock));
            });
            return left;
        };
        return a.text == b.text && waiting(a) == waiting(b);
    }
};

[[nodiscard]] inline CanonicalState canonical_state(const engine::Engine& engine,
                                                    const engine::Clocks& now) {
    CanonicalState state;
    state.now = now;
    std::ostringstream out;
    for (const auto& [name, queue] : engine.queues()) {
        if (!queue->durable()) {
            continue;
        }
        describe(out, queue->definition());
        out << "id " << queue->id().value() << " next";
        queue->numbers().for_each_applied([&](MessageNumber next) { out << ' ' << next.value(); });
        out << '\n';
        for (const engine::LiveRun& run : queue->live_runs()) {
            out << "live ";
            describe(out, run.range);
            out << " attempts " << run.attempts << '\n';
        }
        engine::DelayTable::Run delay;
        for (MessageNumber at(0); queue->delays() && queue->delays()->find_from(at, delay);) {
            for (at = delay.range.first; at < delay.range.end(); at = at.plus(1)) {
                state.waiting.emplace(std::pair(queue->id(), at), delay.due);
            }
        }
        engine::RangeMap<std::int64_t> purges(std::pmr::get_default_resource());
        engine::DelayTable::Run purge;
        for (MessageNumber at(0); queue->purges() && queue->purges()->find_from(at, purge);) {
            purges.insert(purge.range, purge.due.at);
            at = purge.range.end();
        }
        purges.for_each([&](MessageRange range, std::int64_t until) {
            out << "purged ";
            describe(out, range);
            out << " until " << until << '\n';
        });
        engine::LiveRun dying;
        for (MessageNumber at(0); queue->find_in(engine::LiveState::dying, at, dying);) {
            for (at = dying.range.first; at < dying.range.end(); at = at.plus(1)) {
                state.dying.emplace(queue->id(), at);
            }
        }
        engine::GroupMember member;
        for (MessageNumber at(0); queue->groups() && queue->groups()->find_from(at, member);) {
            out << "member " << member.number.value() << " of " << member.group.value() << '\n';
            at = member.number.plus(1);
        }
        for (const auto& [producer, mark] :
             queue->producer_marks() ? *queue->producer_marks() : engine::ProducerMarks{}) {
            if (mark.applied.value() > 0) {
                out << "producer " << producer << " at " << mark.applied.value() << ' '
                    << mark.used.time_since_epoch().count() << '\n';
            }
        }
        if (queue->dedup() != nullptr) {
            const engine::DedupTable& table = queue->dedup()->table();
            std::map<MessageNumber, engine::DedupHash> ids;
            for (std::uint64_t at = table.begin(); at < table.end(); ++at) {
                const MessageNumber number = table.at(at).number;
                if (number != engine::DedupTable::forgotten &&
                    number < queue->next_applied(number)) {
                    ids.emplace(number, table.at(at).hash);
                }
            }
            for (const auto& [number, hash] : ids) {
                out << "hash " << hash.high << ' ' << hash.low << " of " << number.value() << '\n';
            }
        }
        queue->failures().for_each([&](MessageRange range, const engine::Failure& failure) {
            for (MessageNumber number = range.first; number < range.end();
                 number = number.plus(1)) {
                describe(out, number, failure);
            }
        });
    }
    state.text = out.str();
    return state;
}

}  // namespace mqd::test
