#include "daemon/engine/lease_map.hpp"

namespace mqd::engine {

void LeaseMap::insert(MessageRange range, const Lease& lease) {
    if (leases_ == nullptr || lease.attempt != 1) {
        return runs_.insert(range, lease);
    }
    MessageNumber at = range.first;
    MemberChunks::Found member;
    for (; at < range.end() && leases_->members().find_from(at, member) &&
           member.number < range.end();
         at = member.number.plus(1)) {
        if (member.number > at) {
            runs_.insert({at, member.number - at}, lease);
        }
        if (!list_member(member.link, lease.deadline)) {
            runs_.insert({member.number, 1}, lease);
        }
    }
    if (at < range.end()) {
        runs_.insert({at, range.end() - at}, lease);
    }
}

// False: there are too many lists.
bool LeaseMap::list_member(MemberLink link, Time deadline) {
    if (newest_ == no_lease || (*leases_)[newest_].deadline != deadline) {
        const LeaseRef ref = leases_->make(*this, deadline);
        if (ref == no_lease) {
            return false;
        }
        (*leases_)[ref].older = newest_;
        (newest_ != no_lease ? (*leases_)[newest_].newer : oldest_) = ref;
        newest_ = ref;
    }
    leases_->add(newest_, link);
    ++listed_;
    return true;
}

Time LeaseMap::unlist_member(MemberLink link, LeaseRef ref) {
    const Time deadline = (*leases_)[ref].deadline;
    leases_->remove(link);
    --listed_;
    if ((*leases_)[ref].count == 0) {
        drop(ref);
    }
    return deadline;
}

void LeaseMap::drop(LeaseRef ref) {
    const MemberLeases::List& list = (*leases_)[ref];
    (list.older != no_lease ? (*leases_)[list.older].newer : oldest_) = list.newer;
    (list.newer != no_lease ? (*leases_)[list.newer].older : newest_) = list.older;
    leases_->free(ref);
}

std::uint64_t LeaseMap::count_in(MessageRange range) const {
    std::uint64_t count = runs_.count_in(range);
    MessageRange marked;
    MemberLink link;
    for (MessageNumber at = range.first;
         listed_ != 0 && at < range.end() &&
         leases_->members().find_marked(at, MemberMark::leased, marked);
         at = marked.end()) {
        const MessageNumber end = std::min(marked.end(), range.end());
        for (MessageNumber n = marked.first; n < end; n = n.plus(1)) {
            const bool listed = leases_->members().find(n, link) && list_of(link) != no_lease;
            count += listed ? 1 : 0;
        }
    }
    return count;
}

void LeaseMap::clear() {
    runs_.clear();
    while (oldest_ != no_lease) {
        const LeaseRef ref = oldest_;
        while (oldest_ == ref) {
            (void)unlist_member((*leases_)[ref].first, ref);
        }
    }
    leases_ = nullptr;
}

}  // namespace mqd::engine
