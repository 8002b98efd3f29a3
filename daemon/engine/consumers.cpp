// Who takes messages from a queue, and what becomes of what was leased: the verbs of a consumer.

#include <algorithm>

#include "daemon/engine/engine.hpp"

namespace mqd::engine {

void Engine::attach(Consumer& consumer, Queue& queue) {
    MQD_ASSERT(consumer.queue == nullptr && !queue.deleting_);
    MQD_ASSERT(queue.admits(consumer.sharing));
    MQD_ASSERT(consumer.lease.count() > 0 && consumer.piece_bytes_max > 0);
    consumer.queue = &queue;
    consumer.serial = next_serial_++;
    consumer.waiting = consumer.sharing == Sharing::single_active && !queue.consumers_.empty();
    consumer.index = queue.consumers_.size();
    queue.consumers_.push_back(&consumer);
    if (consumer.waiting) {
        queue.waiting_.add(consumer);
        return;
    }
    list_taker(consumer);
    mark_dirty(queue);
}

void Engine::detach(Consumer& consumer, ConsumerEnd end, Time now) {
    MQD_ASSERT(consumer.queue != nullptr);
    Queue& queue = *consumer.queue;
    consumer.leased.for_each([&](MessageRange range, const Lease& lease) {
        end_lease(queue, range);
        if (end == ConsumerEnd::gave_back) {
            make_ready(queue, range, lease.attempt - 1);
            note_returned(queue, range);
        } else {
            put_back(queue, range, lease.attempt, now, std::nullopt);
        }
    });
    if (consumer.taker) {
        unlist_taker(consumer);
    }
    leases_ended(consumer, consumer.leased.count());
    consumer.leased.clear();
    set_floor(consumer, Time::max());
    MQD_ASSERT(queue.consumers_[consumer.index] == &consumer);
    queue.consumers_[consumer.index] = queue.consumers_.back();
    queue.consumers_[consumer.index]->index = consumer.index;
    queue.consumers_.pop_back();
    consumer.queue = nullptr;
    std::erase(activated_, &consumer);
    if (!consumer.waiting) {
        pass_turn(queue);
    }
}

void Engine::unlist_taker(Consumer& consumer) {
    if (!consumer.stopped) {
        return (consumer.waiting ? consumer.queue->waiting_ : consumer.queue->takers_)
            .remove(consumer);
    }
    OutputRoom& room = *consumer.room;
    room.stopped.remove(consumer);
    consumer.stopped = false;
    if (room.freed && room.stopped.empty()) {
        room.freed = false;
        std::erase(freed_rooms_, &room);  // it may end with its last consumer
    }
}

// The one that had it is gone, with what it had leased in place again. Nobody gets a turn on a
// queue that ends.
void Engine::pass_turn(Queue& queue) {
    Consumer* next = queue.waiting_.first();
    if (next == nullptr || queue.deleting_) {
        return;
    }
    queue.waiting_.remove(*next);
    next->waiting = false;
    activated_.push_back(next);
    list_taker(*next);
    mark_dirty(queue);
}

void Engine::grant(Consumer& consumer, std::uint64_t message_limit, std::uint64_t byte_limit) {
    MQD_ASSERT(consumer.queue != nullptr);
    consumer.message_limit = std::max(consumer.message_limit, message_limit);
    consumer.byte_limit = std::max(consumer.byte_limit, byte_limit);
    list_taker(consumer);
    mark_dirty(*consumer.queue);
}

template <typename Fn>
SettleResult Engine::give_up(Consumer& consumer, MessageRange range,
                             std::vector<MessageRange>& pieces, Fn&& put) {
    MQD_ASSERT(consumer.queue != nullptr);
    Queue& queue = *consumer.queue;
    const std::uint64_t given_up =
        consumer.leased.take(range, [&](MessageRange piece, const Lease& lease) {
            end_lease(queue, piece);
            put(queue, piece, lease.attempt);
            pieces.push_back(piece);
        });
    leases_ended(consumer, given_up);
    return {given_up, range.count - given_up};
}

SettleResult Engine::nack(Consumer& consumer, MessageRange range, Time now,
                          std::optional<std::chrono::milliseconds> delay,
                          std::vector<MessageRange>& returned) {
    return give_up(consumer, range, returned,
                   [&](Queue& queue, MessageRange piece, std::uint32_t attempts) {
                       put_back(queue, piece, attempts, now, delay);
                   });
}

SettleResult Engine::reject(Consumer& consumer, MessageRange range,
                            std::vector<MessageRange>& rejected) {
    return give_up(consumer, range, rejected,
                   [this](Queue& queue, MessageRange piece, std::uint32_t attempts) {
                       make_dying(queue, piece, attempts);
                   });
}

SettleResult Engine::extend(Consumer& consumer, MessageRange range, Time deadline) {
    MQD_ASSERT(consumer.queue != nullptr);
    std::vector<LeaseMap::Run> pieces;
    const std::uint64_t extended =
        consumer.leased.take(range, [&](MessageRange piece, const Lease& lease) {
            pieces.push_back({piece, {lease.attempt, deadline}});
        });
    for (const auto& piece : pieces) {
        consumer.leased.insert(piece.range, piece.value);
    }
    if (extended > 0) {
        set_floor(consumer, std::min(consumer.lease_floor, deadline));
    }
    return {extended, range.count - extended};
}

}  // namespace mqd::engine
