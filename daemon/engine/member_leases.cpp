#include "daemon/engine/member_leases.hpp"

namespace mqd::engine {

LeaseRef MemberLeases::make(const LeaseMap& holder, Time deadline) {
    LeaseRef ref = no_lease;
    if (!free_.empty()) {
        ref = free_.back();
        free_.pop_back();
    } else if (lists_.size() < lease_refs_max) {
        lists_.emplace_back();
        ref = LeaseRef(static_cast<std::uint32_t>(lists_.size()));
    } else {
        return no_lease;
    }
    (*this)[ref] = {&holder, deadline};
    return ref;
}

void MemberLeases::free(LeaseRef ref) {
    MQD_ASSERT((*this)[ref].holder != nullptr && (*this)[ref].count == 0, ref);
    (*this)[ref] = {};
    free_.push_back(ref);
}

}  // namespace mqd::engine
