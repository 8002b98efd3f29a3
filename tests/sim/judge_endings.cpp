// What the judge makes of ends: of messages that fail, and of the process.

#include <algorithm>
#include <utility>

#include "sim/judge.hpp"

namespace mqd::sim {

// --- dead letters

std::uint32_t Judge::limit_of(const QueueRecord& queue) const {
    return is_dead_letters(queue.name) ? 0 : attempts_limit_;
}

// Whether it may have been moved there without anybody having seen it.
bool Judge::may_be_in(const MessageRecord& message, const QueueRecord& queue) {
    if (message.origin != nullptr) {
        return false;
    }
    return queue.name == message.queue->moves_to ||
           (message.dying && queue.name == message.queue->name + std::string(dead_suffix));
}

void Judge::failed(Uid uid, MessageRecord& message, bool rejected, std::uint32_t delay_ms) {
    const std::uint32_t limit = limit_of(*message.queue);
    message.dying = message.dying || rejected || (limit != 0 && message.attempts >= limit);
    message.failed_once = true;
    if (message.dying || delay_ms == wire::delay_none) {
        return;
    }
    if (delay_ms == 0 && !is_dead_letters(message.queue->name) && !retry_.empty()) {
        delay_ms = retry_[std::min<std::size_t>(message.attempts, retry_.size()) - 1];
    }
    if (delay_ms != 0) {
        message.ready_at_ns = now_ns_ + std::int64_t{delay_ms} * 1'000'000;
        times_ns_.emplace(*message.ready_at_ns, uid);
    }
}

// --- times

void Judge::note_times(Uid uid, MessageRecord& message, wire::Bytes attributes) {
    const auto times = wire::decode_times(attributes);
    MQD_ASSERT(times.has_value());  // a mistake of the simulation
    if (times->delay_ms) {
        message.ready_at_ns = now_ns_ + static_cast<std::int64_t>(*times->delay_ms) * 1'000'000;
        times_ns_.emplace(*message.ready_at_ns, uid);
    }
    if (times->due_us.value_or(wall_us_) > wall_us_) {  // else it is ready, whatever comes
        message.due_us = times->due_us;
        times_us_.emplace(*message.due_us, uid);
    }
    message.waited = times->delay_ms || times->due_us;
}

std::string Judge::early(const MessageRecord& message) const {
    const auto us = message.ready_at_ns ? (*message.ready_at_ns - now_ns_) / 1000 : 0;
    const auto wall_us = message.due_us ? *message.due_us - wall_us_ : 0;
    return std::to_string(us) + " us by the journal clock, " + std::to_string(wall_us) +
           " by the wall clock";
}

void Judge::set_time(std::int64_t now_ns, std::int64_t wall_us) {
    now_ns_ = now_ns;
    wall_us_ = wall_us;
    const auto come = [&](auto& times, std::int64_t now, auto MessageRecord::*time) {
        while (!times.empty() && times.begin()->first <= now) {
            MessageRecord& message = messages_.at(times.begin()->second);
            if (message.*time == times.begin()->first) {
                (message.*time).reset();
            }
            times.erase(times.begin());
        }
    };
    come(times_ns_, now_ns, &MessageRecord::ready_at_ns);
    come(times_us_, wall_us, &MessageRecord::due_us);
    let_expire();
}

bool Judge::waits(const MessageRecord& message) const {
    return now_ns_ < message.ready_at_ns.value_or(now_ns_) ||
           wall_us_ < message.due_us.value_or(wall_us_);
}

void Judge::consumer_ended(ConsumerRecord& consumer, Lent how) {
    std::erase(consumer.queue->attached, &consumer);
    while (!consumer.held.empty()) {
        const Uid uid = consumer.held.begin()->second;
        MessageRecord& message = messages_.at(uid);
        release(message);
        if (stopping_ || how == Lent::gave_back) {
            --message.attempts;
        } else {
            failed(uid, message, false);
        }
    }
}

// It is seen among the dead letters, or where somebody moved it: so it is there, and nowhere else.
void Judge::move(MessageRecord& message, QueueRecord& target) {
    const bool dead = is_dead_letters(target.name);
    message.origin = message.queue;
    message.origin_number = message.number;
    message.moved = target.durability;
    message.queue = &target;
    message.number = MessageNumber();
    message.started = false;
    message.delivered = message.dead_attempts_max != 0;
    message.attempts = 0;
    message.attempts_max = message.dead_attempts_max;
    message.attempts_exact = message.attempts_max == 0;
    if (dead) {
        message.ready_at_ns.reset();
        message.due_us.reset();
    } else {  // it may wait on, there too, while younger ones are delivered
        message.waited = message.waited || message.failed_once;
    }
    ++(dead ? figures_.dead_letters : figures_.moved);
}

// --- the process

void Judge::age(MessageRecord& message, End end) {
    if (end == End::clean) {  // everything that was said is on the disk
        message.kept = message.kept != Durability::unspecified ? Durability::disk : message.kept;
        message.gone = message.gone != Durability::unspecified ? Durability::disk : message.gone;
        return;
    }
    const Durability least = end == End::killed ? Durability::written : Durability::disk;
    if (message.gone != Durability::unspecified && message.gone < least) {
        message.gone = Durability::unspecified;
        message.kept = Durability::unspecified;
        message.uncertain = true;  // until it is delivered again
        message.may_be_gone = true;
    }
    if (message.kept < least) {
        // Or that it was put back.
        message.uncertain = message.uncertain || message.restored;
        message.kept = Durability::unspecified;
        message.visible = false;
    }
    message.attempts_exact = message.attempts_max == 0;
    if (message.failed_once) {
        message.ready_at_ns.reset();  // it rode along, and may be forgotten
    }
    if (message.origin != nullptr && message.moved < least) {  // the move may be taken back
        message.queue = std::exchange(message.origin, nullptr);
        message.number = message.origin_number;
        message.dead_attempts_max = message.attempts_max;
        message.attempts_max = UINT32_MAX - 1;
        message.attempts_exact = false;
        message.uncertain = message.uncertain || message.queue->dead;
    }
}

void Judge::restarted(End end) {
    heard_.clear();
    last_starts_.clear();
    crashed_ = true;
    for (QueueRecord& queue : queues_) {
        queue.dead = queue.dead || queue.durability == Durability::memory;
        queue.attached.clear();
    }
    for (auto& [uid, message] : messages_) {
        if (message.holder != nullptr) {
            release(message);
        }
        // The last delivery may have been under way, and counts unless the daemon stopped cleanly.
        const std::uint32_t limit = limit_of(*message.queue);
        message.dying = message.dying || (limit != 0 && message.attempts_max >= limit);
        message.undo = 0;
        message.started = false;
        age(message, end);
    }
    for (TransactionRecord& transaction : transactions_) {
        age(transaction, end);
    }
    stopping_ = false;
}

void Judge::drained() {
    std::optional<Uid> lost;
    std::uint64_t count = 0;
    for (const auto& [uid, message] : messages_) {
        const bool due = message.kept != Durability::unspecified && may_exist(message);
        if (due) {
            ++count;
            lost = lost ? std::min(*lost, uid) : uid;  // the same one in each replay
        }
    }
    if (lost) {
        violate(std::to_string(count) + " messages are lost, among them " + name(*lost) +
                ", which was " +
                (messages_.at(*lost).delivered ? "delivered and not acked" : "confirmed"));
    }
}

}  // namespace mqd::sim
