#include "daemon/engine/group_table.hpp"

namespace mqd::engine {

namespace {

constexpr std::size_t erased_singly_max = 64;
constexpr std::size_t pass_share = 16;

}  // namespace

PackedSet<GroupTable::Member>::Place GroupTable::place_of(MessageNumber number) const {
    const auto at = members_.lower_bound({number, 0});
    MQD_ASSERT(at != members_.end() && members_[at].number == number, number);
    return at;
}

void GroupTable::mark(PackedSet<Member>::Place at, std::uint64_t state) {
    const Member& member = members_[at];
    members_.replace(at, {member.number, member.group().value() | state});
}

bool GroupTable::join(const GroupMember& member) {
    MQD_ASSERT(member.group.value() < slot_bit, member.group);
    const auto at = members_.lower_bound({member.number, 0});
    if (at != members_.end() && members_[at].number == member.number) {
        return false;
    }
    members_.insert({member.number, member.group.value()});
    return true;
}

void GroupTable::erase(MessageRange range) {
    for (std::size_t singly = 1;; ++singly) {
        const auto at = members_.lower_bound({range.first, 0});
        if (at == members_.end() || members_[at].number >= range.end()) {
            return;
        }
        // One pass over all, where look-ups would take longer.
        if (singly % erased_singly_max == 0 &&
            (members_.lower_bound({range.end(), 0}).chunk - at.chunk) * pass_share >
                members_.end().chunk) {
            members_.erase_if([&](const Member& member) {
                return member.number >= range.first && member.number < range.end();
            });
            return;
        }
        MQD_ASSERT((members_[at].bits & ~(slot_bit - 1)) == 0, members_[at].number);
        members_.erase(at);
    }
}

bool GroupTable::find_from(MessageNumber number, GroupMember& out) const {
    const auto at = members_.lower_bound({number, 0});
    if (at == members_.end()) {
        return false;
    }
    out = {members_[at].number, members_[at].group()};
    return true;
}

bool GroupTable::take_slot(const GroupMember& member, std::uint32_t slots) {
    const auto at = place_of(member.number);
    if ((members_[at].bits & slot_bit) != 0) {
        return true;
    }
    MQD_ASSERT((members_[at].bits & held_bit) == 0, member.number);
    const std::uint32_t taken = slots_taken(member.group);
    if (taken >= slots) {
        return false;
    }
    set_slots(member.group, taken + 1);
    mark(at, slot_bit);
    return true;
}

void GroupTable::force_slot(const GroupMember& member) {
    const auto at = place_of(member.number);
    MQD_ASSERT((members_[at].bits & (slot_bit | held_bit)) == 0, member.number);
    set_slots(member.group, slots_taken(member.group) + 1);
    mark(at, slot_bit);
}

void GroupTable::hold(const GroupMember& member) {
    const auto at = place_of(member.number);
    MQD_ASSERT((members_[at].bits & (slot_bit | held_bit)) == 0, member.number);
    mark(at, held_bit);
    held_.insert({member.group, member.number});
}

void GroupTable::give_up(const GroupMember& member) {
    const auto at = place_of(member.number);
    const std::uint64_t bits = members_[at].bits;
    if ((bits & slot_bit) != 0) {
        free_slot(member.group);
    } else if ((bits & held_bit) != 0) {
        const auto held = held_.lower_bound({member.group, member.number});
        MQD_ASSERT(held != held_.end() && held_[held].number == member.number, member.number);
        held_.erase(held);
    } else {
        return;
    }
    mark(at, 0);
}

void GroupTable::free_slot(GroupId group) {
    const std::uint32_t taken = slots_taken(group);
    MQD_ASSERT(taken > 0, group);
    set_slots(group, taken - 1);
}

std::uint32_t GroupTable::slots_taken(GroupId group) const {
    const auto at = slots_.lower_bound({group, 0});
    return at != slots_.end() && slots_[at].group == group ? slots_[at].taken : 0;
}

void GroupTable::set_slots(GroupId group, std::uint32_t taken) {
    const auto at = slots_.lower_bound({group, 0});
    const bool known = at != slots_.end() && slots_[at].group == group;
    if (taken == 0) {
        MQD_ASSERT(known, group);
        slots_.erase(at);
    } else if (known) {
        slots_.replace(at, {group, taken});
    } else {
        slots_.insert({group, taken});
    }
}

bool GroupTable::pass_on(GroupId group, std::uint32_t slots, MessageNumber& out) {
    const auto first = held_.lower_bound({group, MessageNumber(0)});
    if (first == held_.end() || held_[first].group != group) {
        return false;
    }
    const std::uint32_t taken = slots_taken(group);
    if (taken >= slots) {
        return false;
    }
    set_slots(group, taken + 1);
    out = held_[first].number;
    held_.erase(first);
    mark(place_of(out), slot_bit);
    return true;
}

std::vector<GroupId> GroupTable::waiting_groups() const {
    std::vector<GroupId> groups;
    for (auto at = held_.begin(); at != held_.end();) {
        groups.push_back(held_[at].group);
        at = held_.lower_bound({held_[at].group, MessageNumber(UINT64_MAX)});
    }
    return groups;
}

}  // namespace mqd::engine
