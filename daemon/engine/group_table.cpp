#include "daemon/engine/group_table.hpp"

namespace mqd::engine {

bool GroupTable::join(const GroupMember& member) {
    MQD_ASSERT(member.group.value() >> group_id_bits == 0, member.group);
    if (members_.contains(member.number)) {
        return false;
    }
    const GroupRef group = groups_.find_or_add(member.group);
    ++groups_[group].members;
    members_.add(member.number, Member(group));
    return true;
}

void GroupTable::erase(MessageRange range) {
    members_.erase(range, [this](const Member& member) {
        MQD_ASSERT(member.state() == MemberState::none, member.group());
        Group& group = groups_[member.group()];
        if (--group.members == 0) {
            groups_.remove(member.group());
        }
    });
}

bool GroupTable::find_from(MessageNumber number, GroupMember& out) const {
    MemberChunks::Found found;
    if (!members_.find_from(number, found)) {
        return false;
    }
    out = {found.number, groups_[members_[found.link].group()].id};
    return true;
}

bool GroupTable::take_slot(MemberLink link, std::uint32_t slots) {
    Member& member = members_[link];
    if (member.state() == MemberState::slot) {
        return true;
    }
    MQD_ASSERT(member.state() == MemberState::none, member.group());
    Group& group = groups_[member.group()];
    if (group.taken >= slots) {
        return false;
    }
    ++group.taken;
    member.set_state(MemberState::slot);
    return true;
}

void GroupTable::force_slot(MemberLink link) {
    Member& member = members_[link];
    MQD_ASSERT(member.state() == MemberState::none, member.group());
    ++groups_[member.group()].taken;
    member.set_state(MemberState::slot);
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

void GroupTable::unlist(Group& group, Member& member) {
    if (member.previous() != no_member) {
        members_[member.previous()].set_next(member.next());
    } else {
        group.first = member.next();
    }
    if (member.next() != no_member) {
        members_[member.next()].set_previous(member.previous());
    } else {
        group.last = member.previous();
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
        case MemberState::listed: unlist(group, member); break;
        case MemberState::stray:
            strays_.erase(strays_.lower_bound({group.id, members_.number(link)}));
            --group.strays;
            break;
    }
    member.set_state(MemberState::none);
}

bool GroupTable::pass_on(GroupRef ref, std::uint32_t slots, MessageNumber& out) {
    Group& group = groups_[ref];
    if (group.taken >= slots || (group.first == no_member && group.strays == 0)) {
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
        unlist(group, member);
    }
    member.set_state(MemberState::slot);
    ++group.taken;
    out = members_.number(next);
    return true;
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
