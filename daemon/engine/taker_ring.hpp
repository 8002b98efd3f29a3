#pragma once

// The consumers of one queue that have credit, in the order in which they wait: who was served goes
// to the end, and who has no credit costs nothing. Another ring has those that wait for their turn,
// and each connection has one of those that wait for leases to end. Links lie in the consumers, so
// that each is in one ring at most. Owned by the Queue, or the OutputRoom.

#include <cstddef>

#include "daemon/engine/consumer.hpp"
#include "mqd/assert.hpp"

namespace mqd::engine {

class TakerRing {
  public:
    [[nodiscard]] bool empty() const { return first_ == nullptr; }
    [[nodiscard]] std::size_t count() const { return count_; }
    // The one that waits longest; null: none. The next one is its taker_next.
    [[nodiscard]] Consumer* first() const { return first_; }

    // At the end.
    void add(Consumer& consumer) {
        MQD_ASSERT(!consumer.taker);
        consumer.taker = true;
        consumer.taker_next = nullptr;
        consumer.taker_previous = last_;
        (last_ != nullptr ? last_->taker_next : first_) = &consumer;
        last_ = &consumer;
        ++count_;
    }
    void remove(Consumer& consumer) {
        MQD_ASSERT(consumer.taker && count_ > 0);
        Consumer* next = consumer.taker_next;
        Consumer* previous = consumer.taker_previous;
        (previous != nullptr ? previous->taker_next : first_) = next;
        (next != nullptr ? next->taker_previous : last_) = previous;
        consumer.taker = false;
        --count_;
    }

  private:
    Consumer* first_ = nullptr;
    Consumer* last_ = nullptr;
    std::size_t count_ = 0;
};

}  // namespace mqd::engine
