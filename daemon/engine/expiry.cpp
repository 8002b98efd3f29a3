// Messages whose time to live is over: which extents are to be looked at, and the decision to end
// what waits in them. What a message says of its own TTL is core's to read.

#include <algorithm>

#include "daemon/engine/engine.hpp"

namespace mqd::engine {

namespace {

constexpr Time at_once{};

}  // namespace

std::optional<Time> Engine::next_expiry() const {
    if (!returned_.empty()) {
        return at_once;
    }
    const Time queue = expiring_queues_.empty() ? Time::max() : expiring_queues_.begin()->first;
    const Time extent = expiring_extents_.empty() ? Time::max() : expiring_extents_.begin()->at;
    const Time next = std::min(queue, extent);
    return next == Time::max() ? std::nullopt : std::optional(next);
}

// Of which something is to be ended first; in order.
std::vector<QueueId> Engine::expired_queues(Time now) const {
    std::vector<QueueId> ids;
    for (auto at = expiring_queues_.begin(); at != expiring_queues_.end() && at->first <= now;
         ++at) {
        ids.push_back(at->second);
    }
    for (auto at = expiring_extents_.begin(); at != expiring_extents_.end() && at->at <= now;
         ++at) {
        if (ids.empty() || ids.back() != at->id) {
            ids.push_back(at->id);
        }
    }
    for (const ReturnedMessages& some : returned_) {
        if (ids.empty() || ids.back() != some.id) {
            ids.push_back(some.id);
        }
    }
    std::sort(ids.begin(), ids.end());
    return ids;
}

// By the TTL of their queues, extents expire in the order of their numbers: one look at the first
// of each queue is enough, wherever it has got to. With priorities they do not, and each is listed
// for itself.
ExpiredExtent Engine::next_expired(Time now) {
    while (!expiring_queues_.empty() && expiring_queues_.begin()->first <= now) {
        Queue& queue = *find(expiring_queues_.begin()->second);
        const auto at = queue.extents_.lower_bound(queue.not_expired_from_);
        if (at == queue.extents_.end() || queue.deleting_) {
            list_expiry(queue, Time::max());
            continue;
        }
        Extent& extent = *at->second;
        const Time over = extent.taken + queue.definition_.ttl;
        if (over > now) {
            list_expiry(queue, over);
            continue;
        }
        queue.not_expired_from_ = extent.end();
        return {&queue, &extent, true};
    }
    if (expiring_extents_.empty() || expiring_extents_.begin()->at > now) {
        return {};
    }
    const ExpiringExtent& first = *expiring_extents_.begin();
    Queue& queue = *find(first.id);
    const auto at = queue.extents_.find(first.last);
    MQD_ASSERT(at != queue.extents_.end(), first.last);
    Extent& extent = *at->second;
    if (by_extents(queue) && extent.taken + queue.definition_.ttl <= now) {
        unlist_expiry(queue, extent);
        extent.expires = Time::max();
        return {&queue, &extent, true};
    }
    return {&queue, &extent, false};
}

bool Engine::by_extents(const Queue& queue) {
    return queue.numbers_.has_levels() && queue.definition_.ttl.count() != 0;
}

void Engine::set_expiry(Queue& queue, Extent& extent, Time next) {
    MQD_ASSERT(extent.announced, extent.first);
    unlist_expiry(queue, extent);
    if (by_extents(queue)) {
        next = std::min(next, extent.taken + queue.definition_.ttl);
    }
    extent.expires = next;
    if (next != Time::max()) {
        expiring_extents_.insert(expiring(queue, extent));
    }
}

std::uint64_t Engine::admit_expiry(Queue& queue, MessageRange range,
                                   std::vector<MessageRange>& decided) {
    const bool buries = queue.definition_.on_expired == OnExpired::dead_letter &&
                        !keeps_dead_letters(queue.definition_);
    std::uint64_t count = 0;
    std::vector<MessageRange> pieces;
    for (const LiveState state : {LiveState::ready, LiveState::held, LiveState::delayed}) {
        const std::uint64_t taken =
            queue.in(state).take(range, [&](MessageRange piece, std::uint32_t attempts) {
                if (queue.groups_) {
                    pieces.push_back(piece);
                }
                if (buries) {
                    make_dying(queue, piece, attempts);
                    return;
                }
                queue.in(LiveState::ending).insert(piece, attempts);
                append_merged(decided, piece);
            });
        if (taken > 0 && state == LiveState::delayed) {
            queue.ends_delayed_ = queue.ends_delayed_ || !buries;
            if (buries) {
                forget_delay(queue, range);
            }
        }
        count += taken;
    }
    leave_groups(queue, pieces);
    queue.expired_ += count;
    expired_messages_ += count;
    messages_ -= buries ? 0 : count;
    return count;
}

void Engine::note_arrival(Queue& queue, Extent& extent) {
    queue.has_own_ttls_ = queue.has_own_ttls_ || extent.expires != Time::max();
    if (by_extents(queue)) {
        extent.expires = std::min(extent.expires, extent.taken + queue.definition_.ttl);
    }
    if (extent.expires != Time::max()) {
        expiring_extents_.insert(expiring(queue, extent));
    }
    if (queue.definition_.ttl.count() != 0 && !by_extents(queue)) {
        queue.not_expired_from_ = std::min(queue.not_expired_from_, extent.first);
        list_expiry(queue, std::min(queue.listed_expiry_, extent.taken + queue.definition_.ttl));
    }
}

void Engine::ttl_changed(Queue& queue) {
    if (queue.numbers_.has_levels()) {
        for (const auto& [last, extent] : queue.extents_) {
            // Whatever its messages say themselves: they are looked at once more.
            set_expiry(queue, *extent, at_once);
        }
        return;
    }
    queue.not_expired_from_ = MessageNumber(0);
    list_expiry(queue, queue.definition_.ttl.count() != 0 ? at_once : Time::max());
}

void Engine::unlist_expiry(Queue& queue, Extent& extent) {
    if (extent.expires != Time::max()) {
        const auto erased = expiring_extents_.erase(expiring(queue, extent));
        MQD_ASSERT(erased == 1, extent.first);
    }
}

void Engine::list_expiry(Queue& queue, Time at) {
    if (queue.listed_expiry_ == at) {
        return;
    }
    if (queue.listed_expiry_ != Time::max()) {
        expiring_queues_.erase({queue.listed_expiry_, queue.id_});
    }
    if (at != Time::max()) {
        expiring_queues_.emplace(at, queue.id_);
    }
    queue.listed_expiry_ = at;
}

void Engine::note_returned(Queue& queue, MessageRange range) {
    if (queue.may_expire()) {
        returned_.push_back({queue.id_, range});
    }
}

Engine::ExpiringExtent Engine::expiring(const Queue& queue, const Extent& extent) {
    return {extent.expires, queue.id_, MessageNumber(extent.end().value() - 1)};
}

}  // namespace mqd::engine
