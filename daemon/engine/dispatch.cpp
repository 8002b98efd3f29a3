// Who gets which message, and what happens when a lease ends: the parts of the Engine that run with
// time.

#include <algorithm>
#include <array>

#include "daemon/engine/engine.hpp"

namespace mqd::engine {

namespace {

// Deadlines are rounded up to whole milliseconds, so that what was delivered together stays one
// run.
Time lease_deadline(Time now, std::chrono::milliseconds lease) {
    return std::chrono::ceil<std::chrono::milliseconds>(now + lease);
}

// One consumer's leases are looked through at most so often; a lease ends at most so much too late.
constexpr std::chrono::milliseconds expiry_step{20};

}  // namespace

void Engine::dispatch(Time now, std::vector<Delivery>& out) {
    starved_.clear();
    const std::vector<QueueId> expired = expired_queues(now);
    // First those who wait for leases to end, one after the other: what one leaves the next gets,
    // and whoever comes now waits behind them.
    for (OutputRoom* room : freed_rooms_) {
        room->freed = false;
        while (room->leases_left() > 0 && !room->stopped.empty()) {
            Consumer& consumer = *room->stopped.first();
            room->stopped.remove(consumer);
            consumer.stopped = false;
            list_taker(consumer);
            dispatch(*consumer.queue, now, expired, out);
        }
    }
    freed_rooms_.clear();
    dispatching_.swap(dirty_);
    for (Queue* queue : dispatching_) {
        queue->dirty_ = false;
        dispatch(*queue, now, expired, out);
    }
    dispatching_.clear();
}

void Engine::dispatch(Queue& queue, Time now, const std::vector<QueueId>& expired,
                      std::vector<Delivery>& out) {
    if (!expired.empty() && std::binary_search(expired.begin(), expired.end(), queue.id_)) {
        mark_dirty(queue);  // what has expired is ended first
        return;
    }
    if (!queue.deleting_ && !queue.definition_.consuming_paused) {
        share(queue, now, out);
    }
}

void Engine::share(Queue& queue, Time now, std::vector<Delivery>& out) {
    while (!queue.in(LiveState::ready).empty() && !queue.takers_.empty()) {
        // An equal share for each, from the one that waits longest; what credit and room leave over
        // is shared again.
        const std::uint64_t takers = queue.takers_.count();
        const std::uint64_t quota = (queue.in(LiveState::ready).count() + takers - 1) / takers;
        for (std::uint64_t i = 0; i < takers && !queue.in(LiveState::ready).empty(); ++i) {
            Consumer& consumer = *queue.takers_.first();
            if (!consumer.has_room()) {
                stop(consumer);
                continue;
            }
            if (!dispatch_to(queue, consumer, quota, now, out)) {
                starved_.push_back(&queue);
                return;
            }
            queue.takers_.remove(consumer);
            list_taker(consumer);
        }
    }
}

// It takes nothing until leases of its connection end, or until wake().
void Engine::stop(Consumer& consumer) {
    consumer.queue->takers_.remove(consumer);
    consumer.stopped = consumer.room->leases_left() == 0;
    if (consumer.stopped) {
        consumer.room->stopped.add(consumer);
    } else {
        consumer.room->wanted = true;
    }
}

void Engine::leases_ended(Consumer& consumer, std::uint64_t count) {
    if (consumer.room == nullptr) {
        return;
    }
    OutputRoom& room = *consumer.room;
    MQD_ASSERT(count <= room.leases, count, room.leases);
    room.leases -= count;
    if (!room.freed && !room.stopped.empty() && room.leases_left() > 0) {
        room.freed = true;
        freed_rooms_.push_back(&room);
    }
}

// False: it came to nothing, as what is next is not resident.
bool Engine::dispatch_to(Queue& queue, Consumer& consumer, std::uint64_t quota, Time now,
                         std::vector<Delivery>& out) {
    bool went_on = false;
    const Time deadline = lease_deadline(now, consumer.lease);
    if (queue.groups_) {
        consumer.leased.use_members(queue.groups_->leases());
    }
    coming_.clear();
    std::size_t at = 0;  // of coming_
    while (quota > 0 && consumer.has_credit() && consumer.has_room() &&
           !queue.in(LiveState::ready).empty()) {
        if (at == coming_.size()) {
            look_ahead(queue, quota);
            at = 0;
        }
        Coming& next = coming_[at];
        const Extent* const extent = next.extent;
        if (extent == nullptr) {
            break;  // order is kept: the queue waits until it is resident
        }
        const MessageNumber first = next.range.first;
        const std::uint64_t bytes =
            std::min(consumer.byte_limit - consumer.bytes_delivered, consumer.piece_bytes_max);
        std::uint64_t count = std::min({next.range.count, quota, extent->end() - first,
                                        consumer.message_limit - consumer.messages_delivered,
                                        consumer.leases_left()});
        if (extent->bytes({first, count}) > bytes) {
            count = std::max<std::uint64_t>(1, extent->fitting(first, bytes));
        }
        if (queue.definition_.group_rate.limits() && queue.groups_) {
            count = begin_rests(queue, {first, count}, next.attempts, now);
            if (count == 0) {  // and others may be ready now
                coming_.clear();
                at = 0;
                went_on = true;
                continue;
            }
        }
        const MessageRange range{first, count};
        const Lease lease{next.attempts + 1, deadline};
        take_ready(queue, consumer, next, count, lease);
        at += next.range.count == 0 ? 1 : 0;
        set_floor(consumer, std::min(consumer.lease_floor, lease.deadline));
        consumer.messages_delivered += count;
        const std::uint64_t range_bytes = extent->bytes(range);
        consumer.bytes_delivered += range_bytes;
        if (consumer.room != nullptr) {
            consumer.room->leases += count;
            const std::uint64_t cost = range_bytes + consumer.room->delivery_bytes;
            consumer.room->bytes -= std::min(consumer.room->bytes, cost);
        }
        quota -= count;
        out.push_back({&consumer, extent, range, lease.attempt});
        went_on = true;
    }
    return went_on;
}

// What is to be delivered next, of at most so many messages. With groups, each of them lies
// elsewhere: all that will be looked at is asked for, of many at once.
void Engine::look_ahead(const Queue& queue, std::uint64_t messages) {
    coming_.clear();
    const StateMap& ready = queue.in(LiveState::ready);
    std::array<MemberChunks::MarkedRun, GroupTable::near_max> runs;
    const auto most = static_cast<std::size_t>(std::min<std::uint64_t>(messages, runs.size()));
    for (const auto& [range, link] :
         std::span(runs).first(ready.lowest_marked(std::span(runs).first(most)))) {
        const Extent* const extent = queue.extent_at(range.first);
        if (extent != nullptr) {
            prefetch(extent->end_offsets + (range.first - extent->first));
        }
        queue.groups_->members().bring_near(link);
        coming_.push_back({range, 0, extent, link});
    }
    if (coming_.empty()) {
        const StateMap::Run run = ready.front();
        coming_.push_back({run.range, run.value, queue.extent_at(run.range.first), no_member});
    }
}

// So many of them are leased; `coming` is what is left.
void Engine::take_ready(Queue& queue, Consumer& consumer, Coming& coming, std::uint64_t count,
                        const Lease& lease) {
    const MessageRange range{coming.range.first, count};
    if (count == 1 && coming.range.count == 1 && coming.member != no_member) {
        MemberChunks& members = queue.groups_->members();
        const bool taken =
            members.change_mark(coming.member, MemberMark::ready, MemberMark::leased);
        MQD_ASSERT(taken, range.first);
        consumer.leased.insert(coming.member, range.first, lease);
    } else {
        queue.in(LiveState::ready).take(range, [](MessageRange, std::uint32_t) {});
        queue.in(LiveState::leased).insert(range, lease.attempt);
        consumer.leased.insert(range, lease);
    }
    coming.range = {range.end(), coming.range.count - count};
    if (coming.range.count > 0) {
        coming.extent = queue.extent_at(coming.range.first);
        coming.member = no_member;
    }
}

void Engine::set_floor(Consumer& consumer, Time floor) {
    if (floor == consumer.lease_floor) {
        return;
    }
    floors_.erase({consumer.lease_floor, consumer.serial});
    consumer.lease_floor = floor;
    if (floor != Time::max()) {
        floors_.emplace(std::pair(floor, consumer.serial), &consumer);
    }
}

void Engine::wake(Consumer& consumer) {
    MQD_ASSERT(consumer.queue != nullptr);
    list_taker(consumer);
    mark_dirty(*consumer.queue);
}

// Who waits for its turn is listed elsewhere, and stays there.
void Engine::list_taker(Consumer& consumer) {
    MQD_ASSERT(!consumer.waiting || consumer.taker, consumer.serial);
    if (!consumer.taker && consumer.has_credit()) {
        consumer.queue->takers_.add(consumer);
    }
}

std::optional<Time> Engine::next_deadline() const {
    return floors_.empty() ? std::nullopt : std::optional(floors_.begin()->first.first);
}

void Engine::expire(Time now, std::vector<LeaseLoss>& lost) {
    while (!floors_.empty() && floors_.begin()->first.first <= now) {
        Consumer& consumer = *floors_.begin()->second;
        Time floor = Time::max();
        const std::size_t before = lost.size();
        consumer.leased.for_each([&](MessageRange range, const Lease& lease) {
            if (lease.deadline <= now) {
                lost.push_back({&consumer, range});
            } else {
                floor = std::min(floor, lease.deadline);
            }
        });
        for (std::size_t i = before; i < lost.size(); ++i) {
            expired_.clear();
            const SettleResult result = nack(consumer, lost[i].range, now, std::nullopt, expired_);
            MQD_ASSERT(result.not_leased == 0, result.not_leased);
        }
        if (floor != Time::max()) {
            floor = std::max(floor, now + expiry_step);
        }
        set_floor(consumer, floor);
    }
}

}  // namespace mqd::engine
