#include "sim/judge.hpp"

#include <algorithm>

#include "support/dice.hpp"

namespace mqd::sim {

namespace {

std::string text(MessageNumber number) {
    return format_number(number);
}

}  // namespace

std::uint64_t hash_of(const wire::MessageView& message) {
    std::uint64_t hash = 0xCBF29CE484222325u;  // FNV-1a
    const auto add = [&](wire::Bytes bytes) {
        for (const std::byte byte : bytes) {
            hash = (hash ^ static_cast<std::uint64_t>(byte)) * 0x100000001B3u;
        }
        hash = (hash ^ bytes.size()) * 0x100000001B3u;
    };
    // What the daemon says of a death is not the sender's, and a dead letter has no time.
    wire::AttributeReader attributes(message.attributes);
    while (const auto attribute = attributes.next()) {
        const auto id = static_cast<wire::AttributeId>(attribute->id);
        if (id == wire::AttributeId::header || id == wire::AttributeId::priority) {
            add(attribute->value);
        }
    }
    add(message.body);
    return hash;
}

std::vector<std::byte> make_body(Uid uid, std::size_t bytes) {
    std::vector<std::byte> body(std::max<std::size_t>(bytes, sizeof uid));
    wire::store(body.data(), uid);
    test::Dice filler(uid);
    for (std::size_t at = sizeof uid; at < body.size(); ++at) {
        body[at] = static_cast<std::byte>(filler.next());
    }
    return body;
}

std::optional<Uid> uid_of(wire::Bytes body) {
    return body.size() < sizeof(Uid) ? std::nullopt : std::optional(wire::load<Uid>(body.data()));
}

void Judge::violate(std::string what) {
    if (!violation_) {
        violation_ = std::move(what);
    }
}

MessageRecord* Judge::find(Uid uid) {
    const auto at = messages_.find(uid);
    return at == messages_.end() ? nullptr : &at->second;
}

std::string Judge::name(Uid uid) const {
    const auto at = messages_.find(uid);
    if (at == messages_.end()) {
        return "message #" + std::to_string(uid);
    }
    const QueueRecord& queue = *at->second.queue;
    return "message #" + std::to_string(uid) + " (" +
           format_message_id(queue.name, queue.id, at->second.number) + ")";
}

bool Judge::may_exist(const MessageRecord& message) const {
    return !message.refused && message.gone == Durability::unspecified && !message.queue->dead;
}

// --- consuming

void Judge::deliver(ConsumerRecord& consumer, const wire::Deliver& frame) {
    check_turn(consumer);
    wire::BatchReader reader(frame.batch);
    std::uint32_t i = 0;
    while (const auto view = reader.next()) {
        const MessageNumber number = frame.first_number.plus(i++);
        const auto uid = uid_of(view->body);
        MessageRecord* message = uid ? find(*uid) : nullptr;
        if (message == nullptr || message->hash != hash_of(*view)) {
            violate("number " + text(number) + " of queue " + consumer.queue->name +
                    " is delivered with a body that was never published");
            return;
        }
        if (message->queue != consumer.queue && may_be_in(*message, *consumer.queue)) {
            move(*message, *consumer.queue);
        }
        if (message->number.value() != 0 && message->number != number) {
            violate(name(*uid) + " is delivered under the number " + text(number));
            return;
        }
        message->number = number;
        if (!bind(*consumer.queue, number, *uid)) {
            return;
        }
        if (const auto what = wrong(consumer, *message, frame)) {
            violate(name(*uid) + " " + *what);
            return;
        }
        tell_of_transactions(*uid, *message);
        if (!message->group.empty()) {
            group_deliveries_.push_back(*uid);
            check_rest(*uid, *message, frame.attempt);
        } else if (!message->delivered && !message->waited &&
                   !message->uncertain &&  // a purge that was forgotten puts it back
                   !(crashed_ && may_overflow(*message->queue))) {  // a crash puts it back, too
            first_deliveries_.push_back({consumer.queue, number});
        }
        if (consumer.queue->priorities) {
            MessageNumber& last = delivered_last_[consumer.queue];
            last = std::max(last, number);
        }
        ++(message->delivered ? figures_.redelivered : figures_.delivered);
        message->delivered = true;
        message->visible = true;
        // Until it is answered, an undo may come to nothing.
        message->undoable = message->undoable && message->undo != 0;
        message->uncertain = message->undoable || message->queue->delete_asked || drops_ ||
                             message->may_have_expired;
        note_taken(*message);
        if (!message->uncertain) {
            message->kept = std::max(message->kept, message->queue->durability);
        }
        message->attempts = frame.attempt;
        message->attempts_max = std::max(message->attempts_max, frame.attempt);
        message->attempts_exact = true;
        message->published = frame.published;
        message->ready_at_ns.reset();
        message->due_us.reset();
        message->holder = &consumer;
        message->lease_ends_ns = now_ns_ + consumer.lease_ns;
        consumer.held.emplace(number, *uid);
    }
    if (!reader.ok() || i != frame.count) {
        violate("DELIVER with a malformed batch");
    }
}

// What is wrong with delivering it, if anything.
std::optional<std::string> Judge::wrong(const ConsumerRecord& consumer,
                                        const MessageRecord& message,
                                        const wire::Deliver& frame) const {
    if (message.queue != consumer.queue) {
        return "is delivered from queue " + consumer.queue->name;
    }
    if (message.refused) {
        return "was refused and is delivered";
    }
    if (message.queue->dead) {
        return "is delivered from a queue that was deleted";
    }
    if (message.gone != Durability::unspecified) {
        return "was acked or purged, and is delivered again";
    }
    if (message.holder != nullptr) {
        return "is in two states: leased by one consumer and delivered to another";
    }
    if (message.attempts_exact ? frame.attempt != message.attempts + 1
                               : frame.attempt < 1 || frame.attempt > message.attempts_max + 1) {
        return "is delivered as attempt " + std::to_string(frame.attempt) + ", after " +
               std::to_string(message.attempts) + " deliveries";
    }
    const std::uint32_t limit = limit_of(*consumer.queue);
    if (limit != 0 && frame.attempt > limit) {
        return "is delivered as attempt " + std::to_string(frame.attempt) + " of " +
               std::to_string(limit);
    }
    if (is_over(message)) {
        return "is delivered " + std::to_string((now_ns_ - *message.expires_by_ns) / 1000) +
               " us after its TTL";
    }
    if (waits(message)) {
        return "is delivered before its time, " + early(message);
    }
    if (message.published && *message.published != frame.published) {
        return "is delivered with another time of publishing";
    }
    if (message.producer->identity != frame.sender) {
        return "is delivered with another sender";
    }
    return std::nullopt;
}

void Judge::turn_ended() {
    // One turn's deliveries to several connections have no order that anybody could see.
    std::sort(first_deliveries_.begin(), first_deliveries_.end(),
              [](const FirstDelivery& a, const FirstDelivery& b) { return a.number < b.number; });
    for (const FirstDelivery& first : first_deliveries_) {
        MessageNumber& before = first.queue->first_seen_up_to[level_of_number(first.number)];
        // A move that a crash takes back puts messages back in their places.
        if (first.number <= before && !overtaking_ && first.queue->moves_to.empty()) {
            violate("number " + text(first.number) + " of queue " + first.queue->name +
                    " is delivered for the first time after number " + text(before));
        }
        before = std::max(before, first.number);
    }
    first_deliveries_.clear();
    check_overtaken();
    check_groups();
    check_total();
    check_handed();
    deletes_asked_.clear();
    for (const QueueRecord& queue : queues_) {
        check_sharing(queue);
    }
}

void Judge::some_are_set_aside(bool after_error) {
    if (!after_error && !overtaking_) {
        violate("messages cannot be read, on a sound disk");
    }
    overtaking_ = true;
}

void Judge::release(MessageRecord& message) {
    message.holder->held.erase(message.number);
    message.released_now = true;
    released_.push_back(&message);
    message.holder = nullptr;
}

template <typename Fn>
void Judge::for_held(ConsumerRecord& consumer, const wire::RangeList& ranges, Fn&& fn) {
    for (std::size_t i = 0; i < ranges.size(); ++i) {
        const MessageRange range = ranges[i];
        auto at = consumer.held.lower_bound(range.first);
        while (at != consumer.held.end() && at->first < range.end()) {
            const Uid uid = at->second;
            ++at;  // fn may release it
            fn(uid, messages_.at(uid));
        }
    }
}

EndingRecord Judge::ack(ConsumerRecord& consumer, const wire::RangeList& ranges) {
    EndingRecord ending;
    ending.queue = consumer.queue;
    for (std::size_t i = 0; i < ranges.size(); ++i) {
        ending.not_leased += ranges[i].count;
    }
    for_held(consumer, ranges, [&](Uid uid, MessageRecord& message) {
        release(message);
        message.gone = Durability::memory;
        message.undoable = false;
        ending.messages.push_back(uid);
        --ending.not_leased;
        ++figures_.acked;
    });
    return ending;
}

void Judge::settled(const EndingRecord& ending, const wire::Settled& frame) {
    if (frame.settled != ending.messages.size() || frame.not_leased != ending.not_leased) {
        violate("SETTLED says " + std::to_string(frame.settled) + " settled, " +
                std::to_string(frame.not_leased) + " not leased; it is " +
                std::to_string(ending.messages.size()) + " and " +
                std::to_string(ending.not_leased));
    }
    if (frame.durability != ending.queue->durability && !ending.queue->delete_asked) {
        violate("SETTLED with another durability than the queue's");
    }
    promises_ += frame.durability == Durability::disk ? 1 : 0;
    for (const Uid uid : ending.messages) {
        MessageRecord& message = messages_.at(uid);
        message.gone = std::max(message.gone, frame.durability);
    }
}

void Judge::nack(ConsumerRecord& consumer, const wire::Nack& frame, bool reject) {
    for_held(consumer, frame.ranges, [&](Uid uid, MessageRecord& message) {
        release(message);
        failed(uid, message, reject, frame.delay_ms);
    });
}

void Judge::extend(ConsumerRecord& consumer, const wire::Extend& frame) {
    const std::int64_t lease_ns =
        frame.lease_ms != 0 ? std::int64_t{frame.lease_ms} * 1'000'000 : consumer.lease_ns;
    for_held(consumer, frame.ranges,
             [&](Uid, MessageRecord& message) { message.lease_ends_ns = now_ns_ + lease_ns; });
}

void Judge::lease_lost(ConsumerRecord& consumer, const wire::RangeList& ranges) {
    for (std::size_t i = 0; i < ranges.size(); ++i) {
        const MessageRange range = ranges[i];
        for (auto number = range.first; number < range.end(); number = number.plus(1)) {
            const auto at = consumer.held.find(number);
            if (at == consumer.held.end()) {
                violate("LEASE_LOST of number " + text(number) + ", which was not leased");
                return;
            }
            const Uid uid = at->second;
            MessageRecord& message = messages_.at(uid);
            if (now_ns_ < message.lease_ends_ns) {
                violate(name(uid) + " lost its lease too early");
            }
            release(message);
            failed(uid, message, false);
            ++figures_.leases_lost;
        }
    }
}

void Judge::peeked(QueueRecord& queue, const wire::PeekedRun& run) {
    const wire::Deliver& messages = run.messages;
    wire::BatchReader reader(messages.batch);
    std::uint32_t i = 0;
    while (const auto view = reader.next()) {
        const MessageNumber number = messages.first_number.plus(i++);
        const auto uid = uid_of(view->body);
        const MessageRecord* message = uid ? find(*uid) : nullptr;
        if (message == nullptr || message->hash != hash_of(*view) ||
            (message->queue != &queue && message->origin != &queue &&
             !may_be_in(*message, queue))) {
            violate("peek shows a body that was never published, as number " + text(number));
            return;
        }
        const auto bound = queue.numbers.find(number);
        const bool may_be_another = expires_ || queue.delete_asked;
        if (may_be_another && bound != queue.numbers.end() && bound->second != *uid) {
            return;  // the queue has ended, and another has its name
        }
        if (!bind(queue, number, *uid)) {
            return;
        }
        if (run.state == wire::MessageState::ready && message->queue == &queue &&
            message->holder == nullptr && waits(*message)) {
            violate(name(*uid) + " is ready before its time");
        }
        // That its lease was lost may not have been heard yet.
        if (run.state == wire::MessageState::delayed && message->queue == &queue &&
            message->holder == nullptr && !message->waited && !message->failed_once) {
            violate(name(*uid) + " waits for nothing");
        }
    }
    if (!reader.ok() || i != messages.count) {
        violate("PEEK_REPLY with a malformed batch");
    }
}

}  // namespace mqd::sim
