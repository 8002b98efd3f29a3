// What the judge makes of consumers that do not share their queue. Deliveries are told at the end
// of a turn, behind all that ended a consumer before the daemon decided on them.

#include <algorithm>

#include "sim/judge.hpp"

namespace mqd::sim {

ConsumerRecord& Judge::opened_consumer(QueueRecord& queue, const wire::Opened& frame,
                                       std::uint64_t place, Sharing sharing) {
    ConsumerRecord& consumer = consumers_.emplace_back();
    consumer.queue = &queue;
    consumer.connection = consumers_.size();
    consumer.lease_ns = std::int64_t{frame.lease_ms} * 1'000'000;
    consumer.place = place;
    consumer.sharing = sharing;
    consumer.waits = frame.turn == wire::Turn::waiting;
    const bool fits = sharing == Sharing::shared ? frame.turn == wire::Turn::unsaid
                      : sharing == Sharing::exclusive
                          ? frame.turn == wire::Turn::active
                          : consumer.waits || frame.turn == wire::Turn::active;
    if (!fits) {
        violate("OPENED with a turn that does not fit to what was asked for");
    }
    queue.attached.push_back(&consumer);
    return consumer;
}

void Judge::activated(ConsumerRecord& consumer) {
    if (!consumer.waits) {
        violate("CONSUMER_ACTIVE for a consumer that does not wait");
    }
    consumer.waits = false;
}

// It gets a message: then it must be its turn, and it must know.
void Judge::check_turn(const ConsumerRecord& consumer) {
    if (consumer.waits) {
        violate("a consumer that was told to wait gets a message");
    }
    if (consumer.sharing != Sharing::single_active) {
        return;
    }
    for (const ConsumerRecord* other : consumer.queue->attached) {
        if (other->place < consumer.place) {
            violate("a single active consumer of queue " + consumer.queue->name +
                    " gets a message, and an older one is attached");
        }
    }
}

void Judge::check_sharing(const QueueRecord& queue) {
    for (const ConsumerRecord* one : queue.attached) {
        if (one->sharing != queue.attached.front()->sharing) {
            violate("consumers of queue " + queue.name + " share it in different ways");
        }
    }
    if (queue.attached.size() > 1 && queue.attached.front()->sharing == Sharing::exclusive) {
        violate("queue " + queue.name + " has several exclusive consumers");
    }
}

}  // namespace mqd::sim
