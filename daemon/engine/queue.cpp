#include "daemon/engine/queue.hpp"

#include <utility>

namespace mqd::engine {

namespace {

template <std::size_t... I>
auto make_states(std::pmr::memory_resource* memory, std::index_sequence<I...> /*each*/) {
    return std::array{((void)I, StateMap(memory))...};
}

}  // namespace

Queue::Queue(QueueId id, QueueDefinition definition, MessageNumber next,
             std::pmr::memory_resource* memory)
    : id_(id),
      definition_(std::move(definition)),
      numbers_(definition_.priorities, next),
      states_(make_states(memory, std::make_index_sequence<live_states>())),
      failures_(memory),
      overflowed_(memory),
      extents_(memory),
      near_extent_(extents_.end()) {}

const Extent* Queue::extent_at(MessageNumber number) const {
    const auto at = extent_place(number);
    return at == extents_.end() || at->second->first > number ? nullptr : at->second;
}

// Most look-ups go on where the one before ended, or a little behind it.
Queue::Extents::const_iterator Queue::extent_place(MessageNumber number) const {
    constexpr int steps_max = 4;
    auto at = near_extent_;
    bool found = false;
    if (at != extents_.end() && at->second->first <= number) {
        for (int i = 0; i < steps_max && !found; ++i) {
            found = at == extents_.end() || number <= at->first;
            at = found ? at : std::next(at);
        }
    }
    at = found ? at : extents_.lower_bound(number);
    near_extent_ = at;
    return at;
}

MessageNumber Queue::resident_from(MessageNumber number) const {
    const auto at = extents_.lower_bound(number);
    return at != extents_.end() ? std::max(at->second->first, number) : MessageNumber(UINT64_MAX);
}

const Extent* Queue::extent_from(MessageNumber number) const {
    const auto at = extents_.lower_bound(number);
    return at == extents_.end() ? nullptr : at->second;
}

std::uint64_t Queue::ready_in(MessageRange range) const {
    return in(LiveState::ready).count_in(range);
}

std::uint64_t Queue::waiting_in(MessageRange range) const {
    return ready_in(range) + in(LiveState::held).count_in(range) +
           in(LiveState::delayed).count_in(range) + in(LiveState::purged).count_in(range);
}

MessageRange Queue::oldest_waiting() const {
    // What lies behind the beginning of a level that is not empty begins with it.
    StateMap::Run run;
    for (unsigned level = numbers_.has_levels() ? number_levels : 0;; --level) {
        const MessageNumber from = level > 0 ? first_of_level(level) : MessageNumber(0);
        MessageRange oldest;
        for (const LiveState state : {LiveState::ready, LiveState::held}) {
            if (in(state).find_from(from, run) &&
                (oldest.count == 0 || run.range.first < oldest.first)) {
                oldest = run.range;
            }
        }
        if (oldest.count > 0) {
            return oldest;
        }
        MQD_ASSERT(level > 0, id_);
    }
}

std::uint64_t Queue::deliverable_in(MessageRange range) const {
    return ready_in(range) + in(LiveState::held).count_in(range) +
           in(LiveState::delayed).count_in(range) + in(LiveState::leased).count_in(range);
}

std::uint64_t Queue::live() const {
    std::uint64_t count = 0;
    for (const StateMap& some : states_) {
        count += some.count();
    }
    return count;
}

std::uint64_t Queue::live_in(MessageRange range) const {
    std::uint64_t count = 0;
    for (const StateMap& some : states_) {
        count += some.count_in(range);
    }
    return count;
}

bool Queue::wants_dispatch() const {
    if (in(LiveState::ready).empty() || definition_.consuming_paused) {
        return false;
    }
    const Consumer* taker = takers_.first();
    while (taker != nullptr && !taker->has_room()) {
        taker = taker->taker_next;
    }
    return taker != nullptr;
}

std::uint64_t Queue::open_credit() const {
    std::uint64_t sum = 0;
    for (const Consumer* consumer : consumers_) {
        if (!consumer->waiting && consumer->has_credit() && consumer->has_room() &&
            !definition_.consuming_paused) {
            const std::uint64_t open = std::min(
                consumer->message_limit - consumer->messages_delivered, consumer->leases_left());
            sum += std::min(open, UINT64_MAX - sum);
        }
    }
    return sum;
}

std::vector<LiveRun> Queue::live_runs() const {
    RangeMap<std::uint32_t> live(std::pmr::get_default_resource());
    const auto add = [&](MessageRange range, std::uint32_t attempts) {
        live.insert(range, attempts);
    };
    for (const StateMap& some : states_) {
        some.for_each(add);
    }
    std::vector<LiveRun> runs;
    runs.reserve(live.runs());
    live.for_each([&](MessageRange range, std::uint32_t attempts) {
        runs.push_back({range, attempts});
    });
    return runs;
}

DelayTable::Run Queue::delay_of(MessageNumber number) const {
    DelayTable::Run run;
    MQD_ASSERT(delays_ != nullptr, number);
    const bool found = delays_->find_from(number, run);
    MQD_ASSERT(found && run.range.first <= number, number);
    return run;
}

bool Queue::find_in(LiveState state, MessageNumber from, LiveRun& out) const {
    StateMap::Run run;
    if (!in(state).find_from(from, run)) {
        return false;
    }
    const MessageNumber first = std::max(run.range.first, from);
    out = {{first, run.range.end() - first}, run.value};
    return true;
}

bool Queue::find_live(MessageNumber from, LiveRun& out) const {
    Peeked found;
    if (!peek_state(from, LiveStates::all(), found)) {
        return false;
    }
    out = {found.range, found.attempts};
    return true;
}

std::optional<std::pair<LiveState, std::uint32_t>> Queue::state_of(MessageNumber number) const {
    Peeked found;
    if (!peek_state(number, LiveStates::all(), found) || found.range.first != number) {
        return std::nullopt;
    }
    return std::pair(found.state, found.attempts);
}

bool Queue::peek_state(MessageNumber from, LiveStates states, Peeked& out) const {
    bool found = false;
    // Of all runs that hold `from` or lie behind it, the one that is nearest.
    const auto offer = [&](MessageRange range, std::uint32_t attempts, LiveState state) {
        const MessageNumber first = std::max(range.first, from);
        if (!found || first < out.range.first) {
            out = {{first, range.end() - first}, attempts, state};
            found = true;
        }
    };
    StateMap::Run run;
    for (std::size_t i = 0; i < live_states; ++i) {
        if (states.has(static_cast<LiveState>(i)) && states_[i].find_from(from, run)) {
            offer(run.range, run.value, static_cast<LiveState>(i));
        }
    }
    return found;
}

}  // namespace mqd::engine
