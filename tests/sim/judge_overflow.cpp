// What the judge makes of queues that are full: whose oldest become dead letters, or whose
// publishes wait.

#include "sim/judge.hpp"

namespace mqd::sim {

namespace {

// As the daemon has it for a producer that does not say.
constexpr std::int64_t wait_default_ms = 5000;

}  // namespace

// Any message of it may be in the dead letters, or on the way there.
bool Judge::may_overflow(const QueueRecord& queue) const {
    return on_full_ == OnFull::dead_letter && messages_limit_ != 0 && !is_dead_letters(queue.name);
}

bool Judge::is_rendezvous(const QueueRecord& queue) const {
    return rendezvous_ && queue.durability == Durability::memory && !is_dead_letters(queue.name);
}

// A line of a rendezvous is confirmed when none of its messages waits any more: each was delivered,
// or ended in another way.
void Judge::check_handed() {
    for (const Uid uid : handed_) {
        const MessageRecord& message = messages_.at(uid);
        const bool may_have_ended = message.uncertain || message.dying || message.ttl_ms != 0;
        if (!message.delivered && !may_have_ended && hears_all_) {
            violate(name(uid) + " is confirmed by a rendezvous, and nobody got it");
        }
        ++figures_.handed_over;
    }
    handed_.clear();
}

// Of neighbours only, which is enough when all have come.
void Judge::check_arrival(const QueueRecord& queue, MessageNumber number, Uid uid) {
    const auto at = queue.numbers.find(number);
    const auto arrival_of = [&](std::map<MessageNumber, Uid>::const_iterator one) {
        const MessageRecord& message = messages_.at(one->second);
        const bool same_level = level_of_number(one->first) == level_of_number(number);
        return same_level && message.queue == &queue && message.number == one->first
                   ? message.arrival
                   : 0;
    };
    const std::uint64_t arrival = messages_.at(uid).arrival;
    if (arrival == 0) {
        return;
    }
    if (at != queue.numbers.begin() && arrival_of(std::prev(at)) > arrival) {
        violate(name(uid) + " was sent before " + name(std::prev(at)->second) +
                ", and is behind it");
    }
    if (std::next(at) != queue.numbers.end()) {
        const std::uint64_t next = arrival_of(std::next(at));
        if (next != 0 && next < arrival) {
            violate(name(uid) + " was sent behind " + name(std::next(at)->second) +
                    ", and is before it");
        }
    }
}

// It is refused because its queue is full: then it has waited for as long as it may.
void Judge::check_waited(const ProducerRecord& producer, const MessageRecord& message) {
    const bool too_large = on_full_ != OnFull::wait || message.frame_count > messages_limit_;
    if (message.arrival == 0 || (too_large && !is_rendezvous(*producer.queue))) {
        return;
    }
    const std::int64_t wait_ms = producer.wait_ms != 0 ? producer.wait_ms : wait_default_ms;
    const std::int64_t waited_ms = (now_ns_ - message.sent_ns) / 1'000'000;
    if (waited_ms < wait_ms) {
        violate("a line is refused because its queue is full, after " + std::to_string(waited_ms) +
                " of " + std::to_string(wait_ms) + " ms");
    }
}

}  // namespace mqd::sim
