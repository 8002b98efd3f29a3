// The rate of the groups of a queue: once a message of a group is delivered for the first time, the
// group rests for as long as the rate wants, and no other of its messages is delivered for the
// first time meanwhile. What was delivered before, and came back, is not held up by that.
//
// A slot and a rest are two things: who has a slot gives it up as ever, and it is free while the
// group rests. Which of those that have one goes first is known where they are delivered, and so
// that is where rests begin; who is met there while its group rests is held again. One that was not
// met, as nobody had credit for it, has kept its slot meanwhile: so when its turn comes, it gives
// it up to who waits with a lower number.

#include "daemon/engine/engine.hpp"

namespace mqd::engine {

// How many of these, which are ready, may be delivered now, from the first one on; their groups
// rest from now on. 0: the first one is held again.
std::uint64_t Engine::begin_rests(Queue& queue, MessageRange range, std::uint32_t attempts,
                                  Time now) {
    if (attempts > 0) {
        return range.count;
    }
    GroupTable& groups = *queue.groups_;
    const std::size_t before = groups.rests();
    MemberChunks::Found member;
    MessageNumber at = range.first;
    while (groups.find_in(at, range.end(), member) && groups.start(member.link, now)) {
        at = member.number.plus(1);
    }
    if (before == 0) {
        list_due(queue);
    }
    if (!groups.find_in(at, range.end(), member)) {
        return range.count;
    }
    if (member.number == range.first) {
        const GroupRef group = groups.hold_again(member.link);
        queue.in(LiveState::ready).take({range.first, 1}, [](MessageRange, std::uint32_t) {});
        queue.in(LiveState::held).insert({range.first, 1}, attempts);
        pass_on(queue, {&group, 1});
    }
    return member.number - range.first;
}

// At most so many, which are counted down. list_due() has to follow.
void Engine::end_rests(Queue& queue, Time now, std::size_t& groups_max) {
    freed_.clear();
    while (groups_max > 0 && first_rest_over(queue).value_or(Time::max()) <= now) {
        if (const auto group = queue.groups_->end_first_rest()) {
            freed_.push_back(*group);
        }
        --groups_max;
    }
    count_kept_groups(queue);
    pass_on(queue, freed_);
}

// Reckoned from when it began, so that another rate counts at once, and none ends it.
std::optional<Time> Engine::first_rest_over(const Queue& queue) {
    if (!queue.groups_ || queue.groups_->rests() == 0) {
        return std::nullopt;
    }
    return queue.groups_->first_rest() + queue.definition_.group_rate.spacing();
}

void Engine::count_kept_groups(Queue& queue) {
    const std::size_t kept = queue.groups_ ? queue.groups_->kept_groups() : 0;
    kept_groups_ += kept - queue.counted_kept_groups_;
    queue.counted_kept_groups_ = kept;
}

}  // namespace mqd::engine
