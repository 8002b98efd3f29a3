#include "daemon/engine/group_table.hpp"

#include <array>

namespace mqd::engine {

MemberLink GroupTable::join(const GroupMember& member) {
    MQD_ASSERT(member.group.value() >> group_id_bits == 0, member.group);
    const GroupRef ref = groups_.find_or_add(member.group);
    Group& group = groups_[ref];
    const MemberLink link = members_.add(member.number, Member(ref));
    if (link == no_member) {
        if (group.members == 0 && !group.resting) {
            groups_.remove(ref);
        }
        return link;
    }
    kept_ -= group.members == 0 && group.resting ? 1 : 0;
    ++group.members;
    return link;
}

void GroupTable::erase(MessageRange range) {
    members_.erase(range, [this](const Member& member) {
        MQD_ASSERT(member.state() == MemberState::none, member.group());
        member_gone(member.group());
    });
}

void GroupTable::erase(MemberLink link) {
    const Member& member = members_[link];
    MQD_ASSERT(member.state() == MemberState::none, member.group());
    const GroupRef ref = member.group();
    members_.erase(link);
    member_gone(ref);
}

// A group that rests is kept, with nobody in it.
void GroupTable::member_gone(GroupRef ref) {
    Group& group = groups_[ref];
    if (--group.members != 0) {
        return;
    }
    if (group.resting) {
        ++kept_;
    } else {
        groups_.remove(ref);
    }
}

bool GroupTable::find_from(MessageNumber number, GroupMember& out) const {
    MemberChunks::Found found;
    if (!members_.find_from(number, found)) {
        return false;
    }
    out = {found.number, groups_[members_[found.link].group()].id};
    return true;
}

bool GroupTable::take_slot(MemberLink link, std::uint32_t slots, bool again) {
    Member& member = members_[link];
    if (member.state() == MemberState::slot) {
        return true;
    }
    MQD_ASSERT(member.state() == MemberState::none, member.group());
    Group& group = groups_[member.group()];
    if (group.taken >= slots || (group.resting && !again && !member.started())) {
        return false;
    }
    ++group.taken;
    member.set_state(MemberState::slot);
    return true;
}

void GroupTable::hold(MemberLink link) {
    Member& member = members_[link];
    MQD_ASSERT(member.state() == MemberState::none, member.group());
    Group& group = groups_[member.group()];
    const MessageNumber number = members_.number(link);
    if (group.last != no_member && members_.number(group.last) > number) {
        member.set_state(MemberState::stray);
        strays_.insert({group.id, number});
        ++group.strays;
        return;
    }
    member.set_state(MemberState::listed);
    member.set_previous(group.last);
    member.set_next(no_member);
    if (group.last != no_member) {
        members_[group.last].set_next(link);
    } else {
        group.first = link;
    }
    group.last = link;
}

// What the first one says of who is before it does not count, so that passing on to it need not
// touch the one behind it, which lies elsewhere.
void GroupTable::unlist(Group& group, MemberLink link) {
    const Member& member = members_[link];
    const bool is_first = group.first == link;
    if (is_first) {
        group.first = member.next();
    } else {
        members_[member.previous()].set_next(member.next());
    }
    if (group.last == link) {
        group.last = is_first ? no_member : member.previous();
    } else if (!is_first) {
        members_[member.next()].set_previous(member.previous());
    }
}

void GroupTable::give_up(MemberLink link, std::vector<GroupRef>& freed) {
    Member& member = members_[link];
    Group& group = groups_[member.group()];
    switch (member.state()) {
        case MemberState::none: return;
        case MemberState::slot:
            MQD_ASSERT(group.taken > 0, group.id);
            --group.taken;
            freed.push_back(member.group());
            break;
        case MemberState::listed: unlist(group, link); break;
        case MemberState::stray:
            strays_.erase(strays_.lower_bound({group.id, members_.number(link)}));
            --group.strays;
            break;
    }
    member.set_state(MemberState::none);
}

GroupRef GroupTable::free_slot(MemberLink link) {
    Member& member = members_[link];
    Group& group = groups_[member.group()];
    MQD_ASSERT(member.state() == MemberState::slot && group.taken > 0, group.id);
    --group.taken;
    member.set_state(MemberState::none);
    return member.group();
}

bool GroupTable::pass_on(GroupRef ref, std::uint32_t slots, MemberLink& out) {
    Group& group = groups_[ref];
    if (group.taken >= slots || group.resting || (group.first == no_member && group.strays == 0)) {
        return false;
    }
    MemberLink next = group.first;
    if (group.strays != 0) {
        const auto stray = strays_.lower_bound({group.id, MessageNumber(0)});
        if (next == no_member || strays_[stray].number < members_.number(next)) {
            MemberChunks::Found found;
            const bool there = members_.find_from(strays_[stray].number, found);
            MQD_ASSERT(there && found.number == strays_[stray].number, found.number);
            strays_.erase(stray);
            --group.strays;
            next = found.link;
        }
    }
    Member& member = members_[next];
    if (member.state() == MemberState::listed) {
        unlist(group, next);
    }
    member.set_state(MemberState::slot);
    ++group.taken;
    out = next;
    return true;
}

bool GroupTable::start(MemberLink link, Time now) {
    Member& member = members_[link];
    Group& group = groups_[member.group()];
    if (member.started()) {
        return true;
    }
    if (group.resting || waits_before(group, members_.number(link))) {
        return false;
    }
    if (!rests_) {
        rests_.emplace();
    }
    MQD_ASSERT(rests_->empty() || rests_->back().begun <= now, group.id);
    rests_->push_back({now, member.group()});
    group.resting = true;
    member.set_started();
    return true;
}

bool GroupTable::waits_before(const Group& group, MessageNumber number) const {
    if (group.first != no_member && members_.number(group.first) < number) {
        return true;
    }
    return group.strays != 0 &&
           strays_[strays_.lower_bound({group.id, MessageNumber(0)})].number < number;
}

GroupRef GroupTable::hold_again(MemberLink link) {
    Member& member = members_[link];
    MQD_ASSERT(member.state() == MemberState::slot, member.group());
    --groups_[member.group()].taken;
    member.set_state(MemberState::none);
    hold(link);
    return member.group();
}

std::optional<GroupRef> GroupTable::end_first_rest() {
    const GroupRef ref = rests_->front().group;
    rests_->pop_front();
    Group& group = groups_[ref];
    MQD_ASSERT(group.resting, group.id);
    group.resting = false;
    if (group.members != 0) {
        return ref;
    }
    --kept_;
    groups_.remove(ref);
    return std::nullopt;
}

void GroupTable::bring_near(std::span<const GroupMember> joining) const {
    MQD_ASSERT(joining.size() <= near_max, joining.size());
    std::array<std::size_t, near_max> entries;  // NOLINT(cppcoreguidelines-pro-type-member-init)
    for (std::size_t i = 0; i < joining.size(); ++i) {
        entries[i] = groups_.bring_entry_near(joining[i].group);
    }
    const auto for_each_group = [&](auto&& fn) {
        for (std::size_t i = 0; i < joining.size(); ++i) {
            if (const Group* group = groups_.named_at(entries[i])) {
                fn(*group);
            }
        }
    };
    for_each_group([](const Group& group) { prefetch(&group); });
    for_each_group([&](const Group& group) {
        if (group.last != no_member) {
            members_.bring_place_near(group.last);
        }
    });
    for_each_group([&](const Group& group) {
        if (group.last != no_member) {
            members_.bring_near(group.last);
        }
    });
}

void GroupTable::bring_near(std::span<const MemberLink> members) const {
    MQD_ASSERT(members.size() <= near_max, members.size());
    for (const MemberLink link : members) {
        members_.bring_near(link);
    }
    for (const MemberLink link : members) {
        prefetch(&groups_[members_[link].group()]);
    }
}

void GroupTable::bring_near(std::span<const GroupRef> passed_on) const {
    for (const GroupRef ref : passed_on) {
        prefetch(&groups_[ref]);
    }
    for (const GroupRef ref : passed_on) {
        if (groups_[ref].first != no_member) {
            members_.bring_place_near(groups_[ref].first);
        }
    }
    for (const GroupRef ref : passed_on) {
        if (groups_[ref].first != no_member) {
            members_.bring_near(groups_[ref].first);
        }
    }
}

void GroupTable::bring_leaving_near(std::span<const MemberLink> leaving) const {
    bring_near(leaving);
    const auto for_each_next = [&](auto&& fn) {
        for (const MemberLink link : leaving) {
            const MemberLink next = groups_[members_[link].group()].first;
            if (next != no_member) {
                fn(next);
            }
        }
    };
    for_each_next([&](MemberLink next) { members_.bring_place_near(next); });
    for_each_next([&](MemberLink next) { members_.bring_near(next); });
}

std::vector<GroupRef> GroupTable::waiting_groups() const {
    std::vector<GroupRef> waiting;
    for (std::uint32_t i = 0; i < groups_.slots(); ++i) {
        const Group& group = groups_[GroupRef(i)];
        if (group.members != 0 && (group.first != no_member || group.strays != 0)) {
            waiting.push_back(GroupRef(i));
        }
    }
    return waiting;
}

}  // namespace mqd::engine
