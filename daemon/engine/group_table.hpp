#pragma once

// The messages of one queue that belong to groups: which one belongs to which, who of a group may
// be delivered now, and who is next. Owned by a Queue.
//
// A group has so many slots as its queue allows; a message is deliverable only while it has one,
// from when it is first ready until its end was decided. Groups are told apart by a hash of their
// keys: should two keys ever share one, the two groups share their slots, and no more.
//
// A group can rest: meanwhile none of its members gets a slot that was not delivered before. It
// rests from the first delivery of a member on, until whoever owns this says that it is over.
//
// Memory: 17 bytes a message where numbers lie together and at most 112 where one lies alone
// (MemberChunks), some 56 for each group that has any message and at most twice that, as it grows
// by doubling (GroupIndex), and 16 for one that is held out of order: those that wait form a list
// for each group, by number, and who would have to be sorted in is in a set instead. So no choice
// of keys or numbers makes it slow. 16 bytes more for a group that rests, which stays as long, with
// messages or without.

#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <vector>

#include "daemon/engine/group_index.hpp"
#include "daemon/engine/member_chunks.hpp"
#include "daemon/engine/member_leases.hpp"
#include "daemon/engine/packed_set.hpp"
#include "daemon/engine/time.hpp"
#include "mqd/types.hpp"

namespace mqd::engine {

struct GroupMember {
    MessageNumber number;
    GroupId group;
    friend bool operator==(const GroupMember&, const GroupMember&) = default;
};

class GroupTable {
  public:
    // The salt keeps whoever chooses keys from choosing where they lie; nothing else goes by it.
    explicit GroupTable(std::uint64_t salt) : leases_(members_), groups_(salt) {}
    GroupTable(const GroupTable&) = delete;
    GroupTable& operator=(const GroupTable&) = delete;

    [[nodiscard]] bool empty() const { return members_.empty(); }
    [[nodiscard]] std::size_t size() const { return members_.size(); }
    [[nodiscard]] std::size_t memory_bytes() const {
        return members_.memory_bytes() + leases_.memory_bytes() + groups_.memory_bytes() +
               strays_.memory_bytes() + rests() * sizeof(Rest);
    }

    // For marks of who is in which state.
    [[nodiscard]] MemberChunks& members() { return members_; }
    // For those that are leased.
    [[nodiscard]] MemberLeases& leases() { return leases_; }
    // Without a slot. no_member: it is a member already.
    MemberLink join(const GroupMember& member);
    // It has left the queue. Its slot was given up before, or nobody has any yet.
    void erase(MessageRange range);
    // The same of one.
    void erase(MemberLink link);
    // The first member from `number` on. False: there is none.
    [[nodiscard]] bool find_from(MessageNumber number, GroupMember& out) const;
    // The same before `end`, and where it stands: good as long as it is a member.
    [[nodiscard]] bool find_in(MessageNumber number, MessageNumber end,
                               MemberChunks::Found& out) const {
        return members_.find_from(number, out) && out.number < end;
    }

    [[nodiscard]] bool find(MessageNumber number, MemberLink& out) const {
        return members_.find(number, out);
    }

    // Whether it got a slot: one of `slots` is free, or it has one. `again`: it was delivered
    // before, so that it does not matter whether its group rests. Precondition: it is not held.
    bool take_slot(MemberLink member, std::uint32_t slots, bool again = false);
    // It waits for a slot. Precondition: it has none, and is not held.
    void hold(MemberLink member);
    // It does not wait any more, and has no slot, whether it had one or not. Appends its group to
    // `freed` if it had one.
    void give_up(MemberLink member, std::vector<GroupRef>& freed);
    // It has no slot any more. Returns its group. Precondition: it has one.
    GroupRef free_slot(MemberLink member);
    // Gives a free slot to the one that is held and has the lowest number. False: none is free,
    // nobody waits, or the group rests.
    bool pass_on(GroupRef group, std::uint32_t slots, MemberLink& out);

    // It has a slot, and is to be delivered for the first time. True: its group rests from now on,
    // as it has not yet for this one; or it has. False, and nothing done: it rests for another, or
    // one with a lower number waits. Precondition: no rest began later.
    bool start(MemberLink member, Time now);
    // It waits for a slot again. Its group. Precondition: it has one.
    GroupRef hold_again(MemberLink member);
    // Groups that rest; and those of them that have no members.
    [[nodiscard]] std::size_t rests() const { return rests_ ? rests_->size() : 0; }
    [[nodiscard]] std::size_t kept_groups() const { return kept_; }
    // When the rest began that began first. Precondition: there is one.
    [[nodiscard]] Time first_rest() const { return rests_->front().begun; }
    // It is over. The group, if it has members. Precondition: there is one.
    std::optional<GroupRef> end_first_rest();

    // What the calls above are going to look at lies anywhere in memory; these ask for that of up
    // to near_max at once beforehand, which takes hardly longer than for one, and change nothing.
    static constexpr std::size_t near_max = 32;
    void bring_near(std::span<const GroupMember> joining) const;
    void bring_near(std::span<const MemberLink> members) const;
    void bring_near(std::span<const GroupRef> passed_on) const;
    // Those that are going to leave, and whoever of their groups is next.
    void bring_leaving_near(std::span<const MemberLink> leaving) const;

    // Groups of which somebody waits, each once; in no telling order.
    [[nodiscard]] std::vector<GroupRef> waiting_groups() const;
    [[nodiscard]] GroupId id_of(GroupRef group) const { return groups_[group].id; }

  private:
    struct Stray {
        GroupId group;
        MessageNumber number;
        friend bool operator<(const Stray& a, const Stray& b) {
            return a.group != b.group ? a.group < b.group : a.number < b.number;
        }
    };

    struct Rest {
        Time begun;
        GroupRef group;
    };

    [[nodiscard]] bool waits_before(const Group& group, MessageNumber number) const;
    void unlist(Group& group, MemberLink link);
    void member_gone(GroupRef ref);

    MemberChunks members_;
    MemberLeases leases_;
    GroupIndex groups_;
    PackedSet<Stray> strays_;  // held, and in no list
    // In order of time. Made with the first, since an empty one is no small thing.
    std::optional<std::deque<Rest>> rests_;
    std::size_t kept_ = 0;
};

}  // namespace mqd::engine
