#pragma once

// What one consumer has leased: a RangeMap, and on a queue with groups lists through its members
// (MemberLeases) for those that were delivered for the first time. Owned by a Consumer.

#include <algorithm>
#include <cstdint>
#include <memory_resource>

#include "daemon/engine/lease.hpp"
#include "daemon/engine/member_leases.hpp"
#include "daemon/engine/range_map.hpp"

namespace mqd::engine {

class LeaseMap {
  public:
    using Run = RangeMap<Lease>::Run;

    explicit LeaseMap(std::pmr::memory_resource* memory) : runs_(memory) {}
    LeaseMap(const LeaseMap&) = delete;
    LeaseMap& operator=(const LeaseMap&) = delete;

    // From now on until clear(), members are listed there, which outlives that.
    void use_members(MemberLeases& leases) { leases_ = &leases; }

    [[nodiscard]] std::uint64_t count() const { return runs_.count() + listed_; }  // messages
    [[nodiscard]] bool empty() const { return count() == 0; }

    // Precondition: none of the range is in the map; its members are marked as leased.
    void insert(MessageRange range, const Lease& lease);
    // Of one that is a member, without a look-up.
    void insert(MemberLink member, MessageNumber number, const Lease& lease) {
        if (lease.attempt != 1 || !list_member(member, lease.deadline)) {
            runs_.insert({number, 1}, lease);
        }
    }
    // Takes out what of `range` is in the map, piece by piece in order: fn(MessageRange, Lease). fn
    // must not touch this map. Returns how many messages were taken.
    template <typename Fn>
    std::uint64_t take(MessageRange range, Fn&& fn);
    // The same of one that is a member, without a look-up. False: it is not in a list of this map.
    [[nodiscard]] bool take(MemberLink member) {
        const LeaseRef ref = listed_ != 0 ? list_of(member) : no_lease;
        if (ref != no_lease) {
            (void)unlist_member(member, ref);
        }
        return ref != no_lease;
    }
    // How many messages of the range are in the map.
    [[nodiscard]] std::uint64_t count_in(MessageRange range) const;
    // fn(MessageRange, Lease) of all, in no telling order.
    template <typename Fn>
    void for_each(Fn&& fn) const;
    void clear();

  private:
    // The list that the member is in, if it is one of this map.
    [[nodiscard]] LeaseRef list_of(MemberLink link) const {
        const LeaseRef ref = leases_->members()[link].lease();
        return ref != no_lease && (*leases_)[ref].holder == this ? ref : no_lease;
    }
    [[nodiscard]] bool list_member(MemberLink link, Time deadline);
    // Of those in that list. Returns when its lease ends.
    Time unlist_member(MemberLink link, LeaseRef ref);
    void drop(LeaseRef ref);
    template <typename Fn>
    std::uint64_t take_members(MessageRange marked, Fn&& fn);

    RangeMap<Lease> runs_;
    MemberLeases* leases_ = nullptr;
    std::uint64_t listed_ = 0;
    LeaseRef oldest_ = no_lease;
    LeaseRef newest_ = no_lease;
};

template <typename Fn>
std::uint64_t LeaseMap::take(MessageRange range, Fn&& fn) {
    if (listed_ == 0) {
        return runs_.take(range, fn);
    }
    if (range.count == 1) {
        MemberLink link;
        const LeaseRef ref = leases_->members().find(range.first, link) ? list_of(link) : no_lease;
        if (ref == no_lease) {
            return runs_.take(range, fn);
        }
        fn(range, Lease{1, unlist_member(link, ref)});
        return 1;
    }
    std::uint64_t taken = 0;
    MessageNumber at = range.first;
    MessageRange marked;
    while (at < range.end() && leases_->members().find_marked(at, MemberMark::leased, marked) &&
           marked.first < range.end()) {
        taken += runs_.take({at, marked.first - at}, fn);
        at = std::min(marked.end(), range.end());
        taken += take_members({marked.first, at - marked.first}, fn);
    }
    return taken + (at < range.end() ? runs_.take({at, range.end() - at}, fn) : 0);
}

// Some of those that are marked may be with others, or were no members when they were leased.
template <typename Fn>
std::uint64_t LeaseMap::take_members(MessageRange marked, Fn&& fn) {
    std::uint64_t taken = 0;
    MessageRange piece;
    Lease lease{1, {}};
    const auto pass = [&] {
        if (piece.count != 0) {
            taken += piece.count;
            fn(piece, lease);
            piece.count = 0;
        }
    };
    MemberLink link;
    for (MessageNumber at = marked.first; at < marked.end(); at = at.plus(1)) {
        const LeaseRef ref = leases_->members().find(at, link) ? list_of(link) : no_lease;
        if (ref == no_lease) {
            pass();
            taken += runs_.take({at, 1}, fn);
            continue;
        }
        const Time deadline = unlist_member(link, ref);
        if (piece.count == 0 || deadline != lease.deadline) {
            pass();
            piece.first = at;
            lease.deadline = deadline;
        }
        ++piece.count;
    }
    pass();
    return taken;
}

template <typename Fn>
void LeaseMap::for_each(Fn&& fn) const {
    for (LeaseRef ref = oldest_; ref != no_lease; ref = (*leases_)[ref].newer) {
        const Lease lease{1, (*leases_)[ref].deadline};
        MessageRange piece;
        for (MemberLink link = (*leases_)[ref].first;;) {
            const MessageNumber number = leases_->members().number(link);
            if (piece.count != 0 && piece.end() != number) {
                fn(piece, lease);
                piece.count = 0;
            }
            piece.first = piece.count == 0 ? number : piece.first;
            ++piece.count;
            if (link == (*leases_)[ref].last) {
                break;
            }
            link = leases_->members()[link].next();
        }
        fn(piece, lease);
    }
    runs_.for_each(fn);
}

}  // namespace mqd::engine
