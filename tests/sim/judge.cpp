#include "sim/judge.hpp"

#include <algorithm>

#include "support/dice.hpp"

namespace mqd::sim {

namespace {

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
        if (attribute->id == static_cast<std::uint16_t>(wire::AttributeId::header)) {
            add(attribute->value);
        }
    }
    add(message.body);
    return hash;
}

std::string text(MessageNumber number) {
    return std::to_string(number.value());
}

}  // namespace

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

// --- queues

QueueRecord& Judge::queue_seen(std::string_view queue_name, QueueId id, Durability durability,
                               std::uint32_t lease_ms) {
    for (QueueRecord& queue : queues_) {
        if (queue.id == id) {
            if (queue.name != queue_name || queue.durability != durability) {
                violate("queue id " + std::to_string(id.value()) + " means two queues");
            }
            if (queue.dead) {
                violate("queue " + queue.name + ":" + std::to_string(id.value()) +
                        " was deleted and is back");
            }
            return queue;
        }
    }
    for (QueueRecord& queue : queues_) {
        if (queue.name == queue_name && !queue.dead) {
            if (!queue.delete_asked && queue.durability != Durability::memory) {
                violate("queue " + queue.name + ":" + std::to_string(queue.id.value()) +
                        " was lost: another one has its name");
            }
            queue.dead = true;
        }
    }
    QueueRecord& queue = queues_.emplace_back();
    queue.name = queue_name;
    queue.id = id;
    queue.durability = durability;
    queue.lease_ms = lease_ms;
    queue.delete_asked =
        deletes_asked_.contains(queue_name);  // and opened before, in the same turn
    return queue;
}

std::vector<QueueRecord*> Judge::queues_named(std::string_view queue_name) {
    std::vector<QueueRecord*> found;
    for (QueueRecord& queue : queues_) {
        if (queue.name == queue_name && !queue.dead) {
            found.push_back(&queue);
        }
    }
    return found;
}

void Judge::delete_asked(std::string_view queue_name) {
    deletes_asked_.insert(std::string(queue_name));
    for (QueueRecord& queue : queues_) {
        queue.delete_asked = queue.delete_asked || queue.name == queue_name;
    }
    for (auto& [uid, message] : messages_) {
        if (message.queue->name == queue_name ||
            (message.dying && message.queue->name + std::string(dead_suffix) == queue_name) ||
            (message.origin != nullptr && message.origin->name == queue_name)) {
            message.uncertain = true;
            message.kept = Durability::unspecified;
        }
    }
}

void Judge::deleted(std::string_view queue_name) {
    for (QueueRecord* queue : queues_named(queue_name)) {
        queue->dead = true;
    }
}

EndingRecord Judge::purge_asked(QueueRecord& queue) {
    EndingRecord ending;
    ending.queue = &queue;
    for (auto& [uid, message] : messages_) {
        const bool there = message.queue == &queue || message.origin == &queue;
        if ((!there && !may_be_in(message, queue)) || message.holder != nullptr ||
            message.refused || message.gone != Durability::unspecified) {
            continue;
        }
        // What is dying is not purged, and may be in either queue.
        if (message.queue == &queue && !queue.dead && !message.dying && message.visible &&
            !message.uncertain) {
            ending.messages.push_back(uid);
        }
        message.uncertain = true;
        message.kept = Durability::unspecified;
    }
    return ending;
}

void Judge::purge_asked(std::string_view queue_name) {
    for (auto& [uid, message] : messages_) {
        if (message.dying && message.queue->name + std::string(dead_suffix) == queue_name) {
            message.uncertain = true;
            message.kept = Durability::unspecified;
        }
    }
}

// Of the queue that is asked for now: those that nobody holds end. A number that nobody was told
// may be that of any.
EndingRecord Judge::end_asked(QueueRecord& queue, const wire::RangeList& ranges) {
    EndingRecord ending;
    ending.queue = &queue;
    const auto named = [&](const MessageRecord& message) {
        for (std::size_t i = 0; i < ranges.size(); ++i) {
            if (message.number >= ranges[i].first && message.number < ranges[i].end()) {
                return true;
            }
        }
        return message.number.value() == 0;
    };
    for (auto& [uid, message] : messages_) {
        const bool there = message.queue == &queue || may_be_in(message, queue);
        const bool elsewhere = message.queue != &queue;  // under a number that is not known
        if (!there || (!elsewhere && !named(message)) || message.holder != nullptr ||
            message.refused || message.gone != Durability::unspecified) {
            continue;
        }
        if (!elsewhere && !queue.dead && !message.dying && message.visible && !message.uncertain &&
            message.number.value() != 0) {
            ending.messages.push_back(uid);
        }
        message.uncertain = true;
        message.kept = Durability::unspecified;
    }
    return ending;
}

void Judge::purged(const EndingRecord& ending, std::uint64_t count) {
    if (count < ending.messages.size()) {
        violate("DONE says that " + std::to_string(count) + " messages ended, and there were " +
                std::to_string(ending.messages.size()));
    }
    promises_ += ending.queue->durability == Durability::disk ? 1 : 0;
    for (const Uid uid : ending.messages) {
        messages_.at(uid).gone = ending.queue->durability;
    }
}

// --- publishing

ProducerRecord& Judge::opened_producer(QueueRecord& queue, Identity identity) {
    ProducerRecord& producer = producers_.emplace_back();
    producer.queue = &queue;
    producer.identity = identity;
    return producer;
}

void Judge::publish(ProducerRecord& producer, const wire::Publish& frame) {
    wire::BatchReader reader(frame.batch);
    while (const auto message = reader.next()) {
        const Uid uid = uid_of(message->body).value_or(0);
        const auto [at, is_new] = messages_.try_emplace(uid);
        MQD_ASSERT(is_new, uid);  // a mistake of the simulation
        MessageRecord& record = at->second;
        record.queue = producer.queue;
        record.producer = &producer;
        record.hash = hash_of(*message);
        record.asked = frame.durability != Durability::unspecified ? frame.durability
                                                                   : producer.queue->durability;
        record.uncertain = producer.queue->delete_asked || drops_;
        note_times(uid, record, message->attributes);
        figures_.waited += record.waited ? 1 : 0;
        producer.lines.push_back(uid);
        ++figures_.published;
    }
}

void Judge::counted(const wire::QueueInfo& info) {
    // Leased are also those whose end is on its way; they count no more.
    if (messages_limit_ != 0 && !is_dead_letters(info.queue) && info.ready > messages_limit_) {
        violate("queue " + std::string(info.queue) + " has " + std::to_string(info.ready) +
                " messages ready, and may have " + std::to_string(messages_limit_));
    }
}

void Judge::resume(ProducerRecord& producer) {
    producer.resumes.push_back(producer.lines.size());
}

void Judge::confirm(ProducerRecord& producer, const wire::Confirm& frame) {
    if (frame.first_line.value() != producer.answered + 1) {
        violate("CONFIRM begins with line " + std::to_string(frame.first_line.value()) +
                ", and line " + std::to_string(producer.answered + 1) + " is next");
        return;
    }
    promises_ += frame.durability == Durability::disk ? 1 : 0;
    for (std::size_t i = 0; i < frame.size(); ++i) {
        const wire::ConfirmedRun run = frame[i];
        for (std::uint32_t k = 0; k < run.count; ++k) {
            if (producer.answered >= producer.lines.size()) {
                violate("CONFIRM of a line that was never published");
                return;
            }
            const Uid uid = producer.lines[producer.answered++];
            MessageRecord& message = messages_.at(uid);
            const MessageNumber number = run.first_number.plus(k);
            ++figures_.confirmed;
            // A refused line is followed by refused lines until RESUME.
            const std::uint64_t refused = producer.refused_line;
            const bool resumed = std::any_of(
                producer.resumes.begin(), producer.resumes.end(),
                [&](std::uint64_t at) { return at >= refused && at < producer.answered; });
            if (refused != 0 && !resumed) {
                violate(name(uid) + " is confirmed behind a refusal, without RESUME");
            }
            if (frame.durability < message.asked) {
                violate(name(uid) + " is confirmed below what was asked for");
            }
            // It may have died since.
            MessageNumber& known =
                message.origin != nullptr ? message.origin_number : message.number;
            if (known.value() != 0 && known != number) {
                violate(name(uid) + " has a second number, " + text(number));
            }
            known = number;
            // Also one that a crash may take: it was told, and must not be told of another message.
            bind(*producer.queue, number, uid);
            if (frame.durability >= producer.queue->durability) {
                message.visible = true;
            }
            if (!message.uncertain && message.gone == Durability::unspecified) {
                message.kept = std::max(message.kept, frame.durability);
            }
        }
    }
}

void Judge::refuse(ProducerRecord& producer, const wire::Refuse& frame) {
    if (frame.first_line.value() != producer.answered + 1 ||
        frame.count > producer.lines.size() - producer.answered) {
        violate("REFUSE of lines from " + std::to_string(frame.first_line.value()) + " on, and " +
                std::to_string(producer.answered + 1) + " is next");
        return;
    }
    for (std::uint64_t i = 0; i < frame.count; ++i) {
        const Uid uid = producer.lines[producer.answered++];
        MessageRecord& message = messages_.at(uid);
        if (message.delivered) {
            violate(name(uid) + " is refused and was delivered");
        }
        message.refused = true;
        ++figures_.refused;
    }
    producer.refused_line = producer.answered;
    if (frame.error.code == ErrorCode::queue_full &&
        (messages_limit_ == 0 || is_dead_letters(producer.queue->name))) {
        violate("queue " + producer.queue->name + " has no limit, and is full");
    }
}

// A number that anybody saw means one message, for ever.
bool Judge::bind(QueueRecord& queue, MessageNumber number, Uid uid) {
    const auto [at, is_new] = queue.numbers.try_emplace(number, uid);
    if (!is_new && at->second != uid) {
        violate("number " + text(number) + " of queue " + queue.name + ":" +
                std::to_string(queue.id.value()) + " is used twice, for " + name(at->second) +
                " and " + name(uid));
        return false;
    }
    if (is_dead_letters(queue.name)) {
        return true;  // in the order in which they died
    }
    // Of one producer, the lines and the numbers rise together; it is enough to look at the
    // neighbours.
    const MessageRecord& message = messages_.at(uid);
    const auto line_of = [&](Uid of) {
        const auto& lines = message.producer->lines;
        return std::find(lines.begin(), lines.end(), of) - lines.begin();
    };
    if (is_new && at != queue.numbers.begin()) {
        const auto before = std::prev(at);
        const MessageRecord& other = messages_.at(before->second);
        if (other.producer == message.producer && line_of(before->second) > line_of(uid)) {
            violate(name(before->second) + " and " + name(uid) + " changed places");
        }
    }
    if (is_new && std::next(at) != queue.numbers.end()) {
        const auto behind = std::next(at);
        const MessageRecord& other = messages_.at(behind->second);
        if (other.producer == message.producer && line_of(behind->second) < line_of(uid)) {
            violate(name(uid) + " and " + name(behind->second) + " changed places");
        }
    }
    return true;
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
        if (!message->delivered && !message->waited &&
            !message->uncertain) {  // a purge that was forgotten puts it back
            first_deliveries_.push_back({consumer.queue, number});
        }
        ++(message->delivered ? figures_.redelivered : figures_.delivered);
        message->delivered = true;
        message->visible = true;
        message->uncertain = message->queue->delete_asked || drops_;
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
        if (first.number <= first.queue->first_seen_up_to && !overtaking_) {
            violate("number " + text(first.number) + " of queue " + first.queue->name +
                    " is delivered for the first time after number " +
                    text(first.queue->first_seen_up_to));
        }
        first.queue->first_seen_up_to = std::max(first.queue->first_seen_up_to, first.number);
    }
    first_deliveries_.clear();
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
        if (!bind(queue, number, *uid)) {
            return;
        }
        if (run.state == wire::MessageState::ready && message->queue == &queue &&
            message->holder == nullptr && waits(*message)) {
            violate(name(*uid) + " is ready before its time");
        }
        if (run.state == wire::MessageState::delayed && message->queue == &queue &&
            !message->waited && !message->failed_once) {
            violate(name(*uid) + " waits for nothing");
        }
    }
    if (!reader.ok() || i != messages.count) {
        violate("PEEK_REPLY with a malformed batch");
    }
}

}  // namespace mqd::sim
