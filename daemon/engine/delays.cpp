// Messages that wait for a time, and the times at which something of a queue is due: its delays,
// and the rests of its groups.

#include <algorithm>

#include "daemon/engine/engine.hpp"

namespace mqd::engine {

void Engine::apply(const DelayMessages& command) {
    Queue* queue = find(command.id);
    MQD_ASSERT(queue != nullptr, command.id);
    std::vector<LiveRun> pieces;
    for (const LiveState state : {LiveState::ready, LiveState::held, LiveState::delayed}) {
        queue->in(state).take(command.range, [&](MessageRange piece, std::uint32_t attempts) {
            pieces.push_back({piece, attempts});
            if (state == LiveState::delayed) {
                forget_delay(*queue, piece);
            }
        });
    }
    messages_ += queue->in(LiveState::purged)
                     .take(command.range, [&](MessageRange piece, std::uint32_t attempts) {
                         pieces.push_back({piece, attempts});
                         forget_delay(*queue, piece);
                         forget_purge(*queue, piece);
                     });
    std::vector<MessageRange> ranges;
    for (const LiveRun& piece : pieces) {
        make_delayed(*queue, piece.range, std::max(piece.attempts, command.attempts), command.due);
        ranges.push_back(piece.range);
    }
    leave_groups(*queue, ranges);  // their places in their groups are free meanwhile
}

void Engine::make_delayed(Queue& queue, MessageRange range, std::uint32_t attempts, Due due) {
    if (!queue.delays_) {
        queue.delays_ = std::make_unique<DelayTable>();
    }
    queue.in(LiveState::delayed).insert(range, attempts);
    queue.delays_->insert(range, due);
    note_delays(queue);
}

void Engine::forget_delay(Queue& queue, MessageRange range) {
    if (queue.delays_ && !queue.delays_->empty()) {
        queue.delays_->erase(range);
        note_delays(queue);
    }
}

// After each change of a queue's delays: the lists of queues by time, and the count, are true
// again.
void Engine::note_delays(Queue& queue) {
    const std::size_t runs = queue.delays_ ? queue.delays_->runs() : 0;
    delay_runs_ += runs - queue.counted_delays_;
    queue.counted_delays_ = runs;
    list_due(queue);
}

// The same after a change of what comes first of its delays, and of the rests of its groups.
void Engine::list_due(Queue& queue) {
    const auto rest_over = first_rest_over(queue);
    for (std::size_t i = 0; i < due_clocks; ++i) {
        const auto clock = static_cast<DueClock>(i);
        auto due = queue.delays_ ? queue.delays_->earliest(clock) : std::nullopt;
        if (clock == DueClock::journal && rest_over) {
            due = std::min(due.value_or(Due::on(Time::max()).at), Due::on(*rest_over).at);
        }
        std::optional<std::int64_t>& listed = queue.listed_due_[i];
        if (listed == due) {
            continue;
        }
        if (listed) {
            due_queues_[i].erase({*listed, queue.id_});
        }
        if (due) {
            due_queues_[i].emplace(*due, queue.id_);
        }
        listed = due;
    }
}

std::optional<std::int64_t> Engine::next_due(DueClock clock) const {
    const auto& queues = due_queues_[static_cast<std::size_t>(clock)];
    return queues.empty() ? std::nullopt : std::optional(queues.begin()->first);
}

void Engine::wake_due(const Clocks& now, std::size_t runs_max) {
    for (std::size_t i = 0; i < due_clocks; ++i) {
        const auto clock = static_cast<DueClock>(i);
        while (!due_queues_[i].empty() && due_queues_[i].begin()->first <= now.on(clock)) {
            Queue& queue = *find(due_queues_[i].begin()->second);
            MessageRange due;
            while (runs_max > 0 && queue.delays_ &&
                   queue.delays_->take_due(clock, now.on(clock), due)) {
                queue.in(LiveState::delayed)
                    .take(due, [&](MessageRange piece, std::uint32_t attempts) {
                        make_ready(queue, piece, attempts);
                    });
                --runs_max;
            }
            if (clock == DueClock::journal) {
                end_rests(queue, now.journal, runs_max);
            }
            note_delays(queue);
            if (runs_max == 0) {
                return;
            }
        }
    }
}

}  // namespace mqd::engine
