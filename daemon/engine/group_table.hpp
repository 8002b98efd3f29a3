#pragma once

// The messages of one queue that belong to groups: which one belongs to which, who of a group may
// be delivered now, and who is next. 16 bytes a message, 16 more for one that is held behind others
// of its group, and 16 for each group of which any is under way; in packed, sorted sets, which no
// choice of keys makes slow. Owned by a Queue.
//
// A group has so many slots as its queue allows; a message is deliverable only while it has one,
// from when it is first ready until its end was decided. Groups are told apart by a hash of their
// keys: should two keys ever share one, the two groups share their slots, and no more.

#include <cstdint>
#include <vector>

#include "daemon/engine/packed_set.hpp"
#include "mqd/types.hpp"

namespace mqd::engine {

// The hash of a group's key; 62 bits.
using GroupId = StrongNumber<struct GroupIdTag, std::uint64_t>;
inline constexpr unsigned group_id_bits = 62;

struct GroupMember {
    MessageNumber number;
    GroupId group;
    friend bool operator==(const GroupMember&, const GroupMember&) = default;
};

class GroupTable {
  public:
    [[nodiscard]] bool empty() const { return members_.empty(); }
    [[nodiscard]] std::size_t size() const { return members_.size(); }
    [[nodiscard]] std::size_t memory_bytes() const {
        return members_.memory_bytes() + held_.memory_bytes() + slots_.memory_bytes();
    }

    // Without a slot. False: it is a member already.
    bool join(const GroupMember& member);
    // It has left the queue. Its slot was given up before, or nobody has any yet.
    void erase(MessageRange range);
    // The first member from `number` on. False: there is none.
    [[nodiscard]] bool find_from(MessageNumber number, GroupMember& out) const;
    // Whether it got a slot: one of `slots` is free, or it has one. Precondition: a member, not
    // held.
    bool take_slot(const GroupMember& member, std::uint32_t slots);
    // Whatever the others have. Precondition: a member without one.
    void force_slot(const GroupMember& member);
    // It waits for a slot. Precondition: a member without one, not held.
    void hold(const GroupMember& member);
    // It does not wait any more, and has no slot, whether it had one or not.
    void give_up(const GroupMember& member);
    // Gives a free slot to the one that is held and has the lowest number. False: none is free, or
    // nobody waits.
    bool pass_on(GroupId group, std::uint32_t slots, MessageNumber& out);
    // Groups of which somebody waits, each once; in no telling order.
    [[nodiscard]] std::vector<GroupId> waiting_groups() const;

  private:
    // Ordered by number. The upper bits say what becomes of it.
    struct Member {
        MessageNumber number;
        std::uint64_t bits = 0;  // the group, and whether it has a slot, or is held

        [[nodiscard]] GroupId group() const { return GroupId(bits & (slot_bit - 1)); }
        friend bool operator<(const Member& a, const Member& b) { return a.number < b.number; }
    };
    static constexpr std::uint64_t slot_bit = std::uint64_t{1} << group_id_bits;
    static constexpr std::uint64_t held_bit = slot_bit << 1;
    struct Held {
        GroupId group;
        MessageNumber number;
        friend bool operator<(const Held& a, const Held& b) {
            return a.group != b.group ? a.group < b.group : a.number < b.number;
        }
    };
    struct Slots {
        GroupId group;
        std::uint32_t taken = 0;
        friend bool operator<(const Slots& a, const Slots& b) { return a.group < b.group; }
    };
    static_assert(sizeof(Member) == 16 && sizeof(Held) == 16 && sizeof(Slots) == 16);

    [[nodiscard]] PackedSet<Member>::Place place_of(MessageNumber number) const;
    void mark(PackedSet<Member>::Place at, std::uint64_t state);
    void free_slot(GroupId group);
    [[nodiscard]] std::uint32_t slots_taken(GroupId group) const;
    void set_slots(GroupId group, std::uint32_t taken);

    PackedSet<Member> members_;
    PackedSet<Held> held_;
    PackedSet<Slots> slots_;  // of groups that have any taken
};

}  // namespace mqd::engine
