// Messages that were purged and can be put back: they keep their numbers, their bodies and what is
// known of them, and only the time until which they are kept is added. Delays that they had stay in
// the queue's table of delays, so that an undo finds them there.

#include <algorithm>

#include "daemon/engine/engine.hpp"

namespace mqd::engine {

namespace {

constexpr std::array purged_states = {LiveState::ready, LiveState::held, LiveState::delayed};

}  // namespace

std::uint64_t Engine::purge(Queue& queue, MessageRange range, Time until,
                            std::vector<MessageRange>& purged) {
    const std::size_t before = purged.size();
    std::vector<LiveRun> pieces;
    for (const LiveState state : purged_states) {
        queue.in(state).take(range, [&](MessageRange piece, std::uint32_t attempts) {
            pieces.push_back({piece, attempts});
        });
    }
    // Sorted, so that what lies together is one run, of whatever states it was.
    std::sort(pieces.begin(), pieces.end(),
              [](const LiveRun& a, const LiveRun& b) { return a.range.first < b.range.first; });
    std::uint64_t count = 0;
    for (const LiveRun& piece : pieces) {
        make_purged(queue, piece.range, piece.attempts, until);
        count += piece.range.count;
        if (purged.size() > before && purged.back().end() == piece.range.first) {
            purged.back().count += piece.range.count;
        } else {
            purged.push_back(piece.range);
        }
    }
    messages_ -= count;
    leave_groups(queue, std::span(purged).subspan(before));
    return count;
}

// In a replay nothing is held, and what the checkpoint knew to be purged may be told once more.
void Engine::apply(const PurgeMessages& command) {
    Queue* queue = find(command.id);
    MQD_ASSERT(queue != nullptr, command.id);
    std::vector<LiveRun> again;
    queue->in(LiveState::purged)
        .take(command.range, [&](MessageRange piece, std::uint32_t attempts) {
            again.push_back({piece, attempts});
        });
    for (const LiveRun& piece : again) {
        forget_purge(*queue, piece.range);
        make_purged(*queue, piece.range, piece.attempts, command.until);
    }
    std::vector<MessageRange> purged;
    (void)purge(*queue, command.range, command.until, purged);
}

void Engine::undo_purge(Queue& queue, std::vector<MessageRange>& restored) {
    const std::size_t before = restored.size();
    queue.in(LiveState::purged).for_each([&](MessageRange range, std::uint32_t) {
        restored.push_back(range);
    });
    apply(UndoPurge{queue.id_, std::span(restored).subspan(before)});
}

void Engine::apply(const UndoPurge& command) {
    Queue* queue = find(command.id);
    MQD_ASSERT(queue != nullptr, command.id);
    std::vector<LiveRun> pieces;
    for (const MessageRange& range : command.ranges) {
        messages_ += queue->in(LiveState::purged)
                         .take(range, [&](MessageRange piece, std::uint32_t attempts) {
                             pieces.push_back({piece, attempts});
                         });
    }
    for (const LiveRun& piece : pieces) {
        forget_purge(*queue, piece.range);
        restore(*queue, piece.range, piece.attempts);
        note_returned(*queue, piece.range);
    }
}

// What was delayed is so again, if its time has not come meanwhile.
void Engine::restore(Queue& queue, MessageRange range, std::uint32_t attempts) {
    DelayTable::Run run;
    MessageNumber at = range.first;
    while (at < range.end() && queue.delays_ && queue.delays_->find_from(at, run) &&
           run.range.first < range.end()) {
        const MessageNumber from = std::max(at, run.range.first);
        if (from > at) {
            make_ready(queue, {at, from - at}, attempts);
        }
        at = std::min(run.range.end(), range.end());
        queue.in(LiveState::delayed).insert({from, at - from}, attempts);
    }
    if (at < range.end()) {
        make_ready(queue, {at, range.end() - at}, attempts);
    }
}

std::optional<Time> Engine::next_purge_end() const {
    return purge_queues_.empty()
               ? std::nullopt
               : std::optional(Time(std::chrono::nanoseconds(purge_queues_.begin()->first)));
}

Queue* Engine::admit_purge_end(Time now, std::size_t runs_max, std::vector<MessageRange>& decided) {
    const std::int64_t at = now.time_since_epoch().count();
    if (purge_queues_.empty() || purge_queues_.begin()->first > at) {
        return nullptr;
    }
    Queue& queue = *find(purge_queues_.begin()->second);
    MessageRange due;
    for (; runs_max > 0 && queue.purges_->take_due(DueClock::journal, at, due); --runs_max) {
        const std::uint64_t ended =
            queue.in(LiveState::purged).take(due, [&](MessageRange piece, std::uint32_t attempts) {
                queue.in(LiveState::ending).insert(piece, attempts);
                note_purge_end(queue, piece);
                decided.push_back(piece);
            });
        MQD_ASSERT(ended == due.count, due.first, due.count, ended);
    }
    queue.ends_delayed_ = queue.ends_delayed_ || queue.delays_;
    note_purges(queue);
    return &queue;
}

void Engine::make_purged(Queue& queue, MessageRange range, std::uint32_t attempts, Time until) {
    if (!queue.purges_) {
        queue.purges_ = std::make_unique<DelayTable>();
    }
    queue.in(LiveState::purged).insert(range, attempts);
    queue.purges_->insert(range, Due::on(until));
    note_purges(queue);
}

// Its end is decided. Until that is applied the table says of it that it was purged, so that a
// checkpoint does, and a crash in between does not make it ready.
void Engine::note_purge_end(Queue& queue, MessageRange range) {
    queue.purges_->erase(range);
    queue.purges_->insert(range, {DueClock::wall, 0});
    queue.ends_purged_ = true;
    note_purges(queue);
}

void Engine::forget_purge(Queue& queue, MessageRange range) {
    if (queue.purges_ && !queue.purges_->empty()) {
        queue.purges_->erase(range);
        note_purges(queue);
    }
}

// After each change of a queue's purges, as note_delays().
void Engine::note_purges(Queue& queue) {
    const std::size_t runs = queue.purges_ ? queue.purges_->runs() : 0;
    purge_runs_ += runs - queue.counted_purges_;
    queue.counted_purges_ = runs;
    const auto first = queue.purges_ ? queue.purges_->earliest(DueClock::journal) : std::nullopt;
    if (queue.listed_purge_ == first) {
        return;
    }
    if (queue.listed_purge_) {
        purge_queues_.erase({*queue.listed_purge_, queue.id_});
    }
    if (first) {
        purge_queues_.emplace(*first, queue.id_);
    }
    queue.listed_purge_ = first;
}

}  // namespace mqd::engine
