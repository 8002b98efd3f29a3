// Messages with a group: who of each is under way, and who waits for its turn. A message has a slot
// of its group from when it becomes ready until its end is decided, or it is put off to a later
// time; failures do not take it away, so that nothing of the group overtakes what is tried again.

#include <algorithm>
#include <array>

#include "daemon/engine/engine.hpp"

namespace mqd::engine {

namespace {

// From there on, as many as are brought near at once.
template <typename T>
std::span<const T> some_of(std::span<const T> all, std::size_t from) {
    return all.subspan(from, std::min(GroupTable::near_max, all.size() - from));
}

// The members that ranges consist of, as many as are brought near at once.
class Gathered {
  public:
    // Of as many of the ranges, from the first on, as consist of members that are marked so. False:
    // of none.
    bool gather(GroupTable& groups, MemberMark mark, std::span<const MessageRange> ranges) {
        count_ = 0;
        ranges_ = 0;
        for (const MessageRange& range : ranges) {
            if (range.count > links_.size() - count_) {
                break;
            }
            std::size_t count = count_;
            for (MessageNumber at = range.first; at < range.end(); at = at.plus(1)) {
                MemberLink& link = links_[count++];
                if (!groups.members().find_marked(at, mark, link)) {
                    return ranges_ > 0;
                }
                groups.members().bring_near(link);
            }
            count_ = count;
            ++ranges_;
        }
        return ranges_ > 0;
    }
    [[nodiscard]] std::span<const MemberLink> members() const { return {links_.data(), count_}; }
    [[nodiscard]] std::size_t ranges() const { return ranges_; }

  private:
    std::array<MemberLink, GroupTable::near_max> links_;
    std::size_t count_ = 0;
    std::size_t ranges_ = 0;
};

}  // namespace

void Engine::open_groups(Queue& queue) {
    if (!queue.groups_) {
        queue.groups_ = std::make_unique<GroupTable>(hash_salt_);
        MemberChunks& chunks = queue.groups_->members();
        queue.in(LiveState::ready).use_marks(chunks, MemberMark::ready, 0);
        queue.in(LiveState::held).use_marks(chunks, MemberMark::held, 0);
        queue.in(LiveState::leased).use_marks(chunks, MemberMark::leased, 1);
        queue.in(LiveState::ending).use_marks(chunks, MemberMark::ending, 1);
    }
}

// New messages, of which these belong to groups.
void Engine::enter(Queue& queue, MessageRange range, std::span<const GroupMember> members) {
    open_groups(queue);
    GroupTable& groups = *queue.groups_;
    const std::uint32_t slots = queue.definition_.group_in_flight;
    MessageNumber at = range.first;
    for (std::size_t i = 0; i < members.size(); ++i) {
        if (i % GroupTable::near_max == 0) {
            groups.bring_near(some_of(members, i));
        }
        const MessageNumber number = members[i].number;
        if (number > at) {
            queue.in(LiveState::ready).insert({at, number - at}, 0);
        }
        at = number.plus(1);
        const MemberLink link = groups.join(members[i]);
        MQD_ASSERT(link != no_member, number);
        const bool has_slot = groups.take_slot(link, slots);
        if (!has_slot) {
            groups.hold(link);
        }
        groups.members().mark(link, has_slot ? MemberMark::ready : MemberMark::held);
    }
    if (at < range.end()) {
        queue.in(LiveState::ready).insert({at, range.end() - at}, 0);
    }
    grouped_messages_ += members.size();
    count_kept_groups(queue);
    mark_dirty(queue);
}

// They become ready: those that get a slot, or belong to no group. The others are held.
void Engine::place(Queue& queue, MessageRange range, std::uint32_t attempts) {
    GroupTable& groups = *queue.groups_;
    const std::uint32_t slots = queue.definition_.group_in_flight;
    MessageNumber from = range.first;
    LiveState state = LiveState::ready;
    const auto insert = [&](MessageNumber to, LiveState next) {
        if (state != next) {
            if (from < to) {
                queue.in(state).insert({from, to - from}, attempts);
            }
            from = to;
            state = next;
        }
    };
    MemberChunks::Found member;
    MessageNumber at = from;
    for (; groups.find_in(at, range.end(), member); at = member.number.plus(1)) {
        if (member.number > at) {
            insert(at, LiveState::ready);
        }
        if (groups.take_slot(member.link, slots, attempts > 0)) {
            insert(member.number, LiveState::ready);
        } else {
            groups.hold(member.link);
            insert(member.number, LiveState::held);
        }
    }
    if (at < range.end()) {
        insert(at, LiveState::ready);
    }
    queue.in(state).insert({from, range.end() - from}, attempts);
}

// These do not count in their groups any more. All of them give up their slots before the first is
// passed on, so that none is passed to another of them.
void Engine::leave_groups(Queue& queue, std::span<const MessageRange> ranges) {
    if (!begin_leaving(queue)) {
        return;
    }
    for (const MessageRange& range : ranges) {
        leave_group(queue, range);
    }
    end_leaving(queue);
}

// The same in three steps. False: none of the queue's messages counts in a group.
bool Engine::begin_leaving(const Queue& queue) {
    freed_.clear();
    leaving_.clear();
    return queue.groups_ && !queue.groups_->empty() && !queue.groups_restored_;
}

void Engine::leave_group(Queue& queue, MessageRange range) {
    const auto leave = [&](MemberLink link) {
        leaving_.push_back(link);
        if (leaving_.size() == GroupTable::near_max) {
            give_up_leaving(queue);
        }
    };
    MemberLink one;
    if (range.count == 1) {
        if (queue.groups_->find(range.first, one)) {
            leave(one);
        }
        return;
    }
    MemberChunks::Found member;
    for (MessageNumber at = range.first; queue.groups_->find_in(at, range.end(), member);) {
        leave(member.link);
        at = member.number.plus(1);
    }
}

void Engine::give_up_leaving(Queue& queue) {
    queue.groups_->bring_near(leaving_);
    for (const MemberLink link : leaving_) {
        queue.groups_->give_up(link, freed_);
    }
    leaving_.clear();
}

void Engine::end_leaving(Queue& queue) {
    give_up_leaving(queue);
    pass_on(queue, freed_);
}

// Free slots of these groups go to those that are next.
void Engine::pass_on(Queue& queue, std::span<const GroupRef> groups) {
    for (std::size_t i = 0; i < groups.size(); ++i) {
        if (i % GroupTable::near_max == 0) {
            queue.groups_->bring_near(some_of(groups, i));
        }
        pass_on(queue, groups[i]);
    }
}

void Engine::pass_on(Queue& queue, GroupRef group) {
    MemberChunks& members = queue.groups_->members();
    MemberLink next;
    while (queue.groups_->pass_on(group, queue.definition_.group_in_flight, next)) {
        mark_dirty(queue);
        if (members.change_mark(next, MemberMark::held, MemberMark::ready)) {
            if (queue.definition_.group_rate.limits()) {
                break;  // once that is delivered, the group rests
            }
            continue;
        }
        const MessageNumber number = members.number(next);  // it has failed before
        const std::uint64_t taken =
            queue.in(LiveState::held)
                .take({number, 1}, [&](MessageRange one, std::uint32_t attempts) {
                    queue.in(LiveState::ready).insert(one, attempts);
                });
        MQD_ASSERT(taken == 1, number);
    }
}

// Ends of `ranges`, from the first on, those that consist of a few members each that were leased
// for the first time, which is what an ack of groups looks like. Returns how many ranges; some of
// the one behind them may have been ended, too. Who is leased waits in no list, so whoever is next
// in a group can have its slot at once.
std::size_t Engine::end_members(Acking& acking, std::span<const MessageRange> ranges) {
    Queue& queue = *acking.consumer.queue;
    GroupTable& groups = *queue.groups_;
    std::size_t ended = 0;
    for (Gathered some; some.gather(groups, MemberMark::leased, ranges.subspan(ended));) {
        groups.bring_leaving_near(some.members());
        auto member = some.members().begin();
        for (const MessageRange& range : ranges.subspan(ended, some.ranges())) {
            for (MessageNumber at = range.first; at < range.end(); at = at.plus(1), ++member) {
                if (!acking.consumer.leased.take(*member)) {
                    return ended;
                }
                append_merged(acking.decided, {at, 1});
                ++acking.settled;
                groups.members().unmark(*member, MemberMark::leased);
                pass_on(queue, groups.free_slot(*member));
                if (!acking.applied) {
                    groups.members().mark(*member, MemberMark::ending);
                    continue;
                }
                groups.erase(*member);
                --grouped_messages_;
                forget_removed(queue, {at, 1}, acking.near);
            }
            ++ended;
        }
    }
    return ended;
}

// The same for those that are ending, and are gone now.
std::size_t Engine::remove_members(Queue& queue, std::span<const MessageRange> ranges,
                                   Extent*& near) {
    GroupTable& groups = *queue.groups_;
    std::size_t removed = 0;
    for (Gathered some; some.gather(groups, MemberMark::ending, ranges.subspan(removed));) {
        groups.bring_near(some.members());
        for (const MemberLink member : some.members()) {
            groups.members().unmark(member, MemberMark::ending);
            groups.erase(member);
        }
        grouped_messages_ -= some.members().size();
        for (const MessageRange& range : ranges.subspan(removed, some.ranges())) {
            if (queue.ends_delayed_) {
                forget_delay(queue, range);
            }
            if (queue.ends_purged_) {
                forget_purge(queue, range);
            }
            forget_removed(queue, range, near);
        }
        removed += some.ranges();
    }
    count_kept_groups(queue);
    return removed;
}

// They are gone.
void Engine::forget_groups(Queue& queue, MessageRange range) {
    if (queue.groups_ && !queue.groups_->empty()) {
        const std::size_t before = queue.groups_->size();
        queue.groups_->erase(range);
        grouped_messages_ -= before - queue.groups_->size();
        count_kept_groups(queue);
    }
}

// More of each may be under way than before.
void Engine::widen_groups(Queue& queue) {
    if (!queue.groups_ || queue.groups_restored_) {
        return;
    }
    pass_on(queue, queue.groups_->waiting_groups());
}

void Engine::restore_groups(Queue& queue, std::span<const GroupMember> members) {
    if (members.empty()) {
        return;
    }
    open_groups(queue);
    queue.groups_restored_ = true;
    for (const GroupMember& member : members) {
        grouped_messages_ += queue.groups_->join(member) != no_member ? 1 : 0;
    }
}

void Engine::judge_groups() {
    for (const auto& [name, queue] : by_name_) {
        if (queue->groups_restored_) {
            judge_groups(*queue);
            queue->groups_restored_ = false;
        }
    }
}

// Who was under way before the start is not written anywhere: what has failed keeps its slot, and
// of the others the oldest have one. More may have failed than there are slots: one that was dying
// for another reason had left its group, or the power took back that it had ended, and the next one
// failed too. Then those that are left over get their turn behind the oldest of them.
void Engine::judge_groups(Queue& queue) {
    GroupTable& groups = *queue.groups_;
    const auto attempts_in = [&](LiveState state, MessageNumber number, std::uint32_t& attempts) {
        StateMap::Run run;
        const bool found = queue.in(state).find_from(number, run) && run.range.first <= number;
        attempts = found ? run.value : 0;
        return found;
    };
    constexpr MessageNumber all(UINT64_MAX);
    const std::uint32_t slots = queue.definition_.group_in_flight;
    std::vector<MessageNumber> dead;
    MemberChunks::Found member;
    std::uint32_t attempts = 0;
    for (MessageNumber at(0); groups.find_in(at, all, member); at = member.number.plus(1)) {
        if (queue.live_in({member.number, 1}) == 0) {
            dead.push_back(member.number);
        } else if (attempts_in(LiveState::dying, member.number, attempts) ||
                   (attempts_in(LiveState::delayed, member.number, attempts) && attempts > 0)) {
            (void)groups.take_slot(member.link, slots);
        }
    }
    for (const MessageNumber number : dead) {
        forget_groups(queue, {number, 1});
    }
    for (MessageNumber at(0); groups.find_in(at, all, member); at = member.number.plus(1)) {
        if (attempts_in(LiveState::ready, member.number, attempts) &&
            !groups.take_slot(member.link, slots)) {
            groups.hold(member.link);
            queue.in(LiveState::ready).take({member.number, 1}, [](MessageRange, std::uint32_t) {});
            queue.in(LiveState::held).insert({member.number, 1}, attempts);
        }
    }
}

}  // namespace mqd::engine
