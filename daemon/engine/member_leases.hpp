#pragma once

// Leases of members of groups, which are leased one by one: lists through the members themselves,
// one for each consumer and deadline, where a RangeMap would have a run for each and look for its
// place. Only for first deliveries. Owned by a GroupTable; a LeaseMap says whose they are.
//
// A list has 17 bits of each of its members to be named with. There are no more lists than leases,
// and one for each millisecond in which a consumer got any that it still has; where all names are
// used, a LeaseMap keeps runs instead.

#include <cstdint>
#include <vector>

#include "daemon/engine/member_chunks.hpp"
#include "daemon/engine/time.hpp"

namespace mqd::engine {

class LeaseMap;

class MemberLeases {
  public:
    struct List {
        const LeaseMap* holder = nullptr;  // null: it is free
        Time deadline;
        MemberLink first = no_member;
        MemberLink last = no_member;
        std::uint32_t count = 0;
        LeaseRef older = no_lease;  // lists of the same holder
        LeaseRef newer = no_lease;
    };

    explicit MemberLeases(MemberChunks& members) : members_(members) {}

    [[nodiscard]] MemberChunks& members() { return members_; }
    [[nodiscard]] const MemberChunks& members() const { return members_; }
    [[nodiscard]] std::size_t memory_bytes() const {
        return lists_.capacity() * sizeof lists_[0] + free_.capacity() * sizeof free_[0];
    }

    [[nodiscard]] List& operator[](LeaseRef list) { return lists_[list.value() - 1]; }
    [[nodiscard]] const List& operator[](LeaseRef list) const { return lists_[list.value() - 1]; }

    // no_lease: there are as many as can be named.
    LeaseRef make(const LeaseMap& holder, Time deadline);
    // Precondition: nobody is in it.
    void free(LeaseRef list);

    // At the end. Precondition: it is in no list, neither here nor in that of its group.
    void add(LeaseRef list, MemberLink link) {
        List& to = (*this)[list];
        Member& member = members_[link];
        MQD_ASSERT(member.lease() == no_lease && member.state() == MemberState::slot);
        member.set_lease(list);
        member.set_previous(to.last);
        if (to.last != no_member) {
            members_[to.last].set_next(link);
        } else {
            to.first = link;
        }
        to.last = link;
        ++to.count;
    }
    // Precondition: it is in a list.
    void remove(MemberLink link) {
        Member& member = members_[link];
        List& from = (*this)[member.lease()];
        member.set_lease(no_lease);
        --from.count;
        if (from.first == link) {
            from.first = from.last == link ? no_member : member.next();
        } else {
            members_[member.previous()].set_next(member.next());
        }
        if (from.last == link) {
            from.last = from.first == no_member ? no_member : member.previous();
        } else if (from.first != member.next()) {
            members_[member.next()].set_previous(member.previous());
        }
    }

  private:
    MemberChunks& members_;
    std::vector<List> lists_;     // by LeaseRef, from 1 on
    std::vector<LeaseRef> free_;  // of lists_
};

}  // namespace mqd::engine
