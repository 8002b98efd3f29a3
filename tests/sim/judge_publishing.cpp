// What the judge makes of what was published, and of the answers.

#include <algorithm>

#include "sim/judge.hpp"

namespace mqd::sim {

namespace {

// And not one that it had before a crash, and before it was sent again.
bool is_number_of(const MessageRecord& message, MessageNumber number) {
    return message.number == number || message.origin_number == number;
}

}  // namespace

ProducerRecord& Judge::opened_producer(QueueRecord& queue, Identity identity) {
    ProducerRecord& producer = producers_.emplace_back();
    producer.queue = &queue;
    producer.identity = identity;
    return producer;
}

void Judge::publish(ProducerRecord& producer, const wire::Publish& frame) {
    ++last_arrival_;
    const std::uint64_t total = may_exist_in_all() + frame.count;
    wire::BatchReader reader(frame.batch);
    std::uint64_t i = 0;
    while (const auto message = reader.next()) {
        const Uid uid = uid_of(message->body).value_or(0);
        if (producer.input != nullptr && !sent_named(producer, uid, frame.first_line.plus(i++))) {
            continue;
        }
        if (sent_once_more(producer, uid, *message)) {
            continue;
        }
        const auto [at, is_new] = messages_.try_emplace(uid);
        MQD_ASSERT(is_new, uid);  // a mistake of the simulation
        MessageRecord& record = at->second;
        record.queue = producer.queue;
        record.producer = &producer;
        record.asked = frame.durability != Durability::unspecified ? frame.durability
                                                                   : producer.queue->durability;
        record.uncertain = producer.queue->delete_asked || drops_;
        record.dying = may_overflow(*producer.queue);
        record.arrival = producer.input == nullptr ? last_arrival_ : 0;
        record.frame_count = frame.count;
        record.sent_ns = now_ns_;
        record.total_max = total;
        record.beyond_disk = beyond_disk(*producer.queue);
        note_sent(uid, record, *message);
        producer.lines.push_back(uid);
        ++figures_.published;
    }
    producer.frames.emplace_back(producer.lines.size(), frame.batch.size());
}

// What its sender said of it, however it was sent.
void Judge::note_sent(Uid uid, MessageRecord& message, const wire::MessageView& view) {
    message.hash = hash_of(view);
    message.priority = wire::decode_priority(view.attributes).value_or(0);
    message.group = wire::as_text(
        wire::find_attribute(view.attributes, wire::AttributeId::group).value_or(wire::Bytes()));
    note_times(uid, message, view.attributes);
    note_ttl(uid, message, view.attributes);
    figures_.waited += message.waited ? 1 : 0;
}

void Judge::counted(const wire::QueueInfo& info) {
    // Leased are also those whose end is on its way; they count no more.
    const bool may_be_back = (crashed_ && on_full_ == OnFull::dead_letter) ||
                             (rendezvous_ && info.durability == Durability::memory) || undoes_;
    if (messages_limit_ != 0 && !is_dead_letters(info.queue) && info.ready > messages_limit_ &&
        !may_be_back) {
        violate("queue " + std::string(info.queue) + " has " + std::to_string(info.ready) +
                " messages ready, and may have " + std::to_string(messages_limit_));
    }
}

void Judge::resume(ProducerRecord& producer) {
    producer.resumes.push_back(producer.lines.size());
}

void Judge::confirm(ProducerRecord& producer, const wire::Confirm& frame) {
    if (producer.answered >= producer.lines.size()) {
        return violate("CONFIRM, and no line is without an answer");
    }
    if (frame.first_line.value() != producer.next_answered()) {
        violate("CONFIRM begins with line " + std::to_string(frame.first_line.value()) +
                ", and line " + std::to_string(producer.next_answered()) + " is next");
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
            if (uid == 0) {
                return violate(
                    "CONFIRM of a line that had to be refused: its producer is fenced, "
                    "or has sent it once more");
            }
            const MessageNumber number = run.first_number.plus(k);
            ++figures_.confirmed;
            if (is_once_more(uid)) {
                confirm_once_more(producer, uid, number, frame.durability);
                continue;
            }
            MessageRecord& message = messages_.at(uid);
            first_numbers_.try_emplace(uid, number);
            if (message.producer != &producer) {
                violate(name(uid) + " is confirmed, and was sent again by another handle");
            }
            // A refused line is followed by refused lines until RESUME.
            const std::uint64_t refused = producer.refused_line;
            const bool resumed = std::any_of(
                producer.resumes.begin(), producer.resumes.end(),
                [&](std::uint64_t at) { return at >= refused && at < producer.answered; });
            if (refused != 0 && !resumed) {
                violate(name(uid) + " is confirmed behind a refusal, without RESUME");
            }
            check_room(uid, message);
            if (frame.durability < message.asked) {
                violate(name(uid) + " is confirmed below what was asked for");
            }
            // It may have died since.
            MessageNumber& known =
                message.origin != nullptr ? message.origin_number : message.number;
            if (known.value() != 0 && known != number) {
                violate(name(uid) + " has a second number, " + std::to_string(number.value()));
            }
            known = number;
            // Also one that a crash may take: it was told, and must not be told of another message.
            bind(*producer.queue, number, uid);
            if (frame.durability >= producer.queue->durability) {
                message.visible = true;
                note_visible(number, uid, message);
                note_taken(message);
            }
            if (!message.uncertain && message.gone == Durability::unspecified) {
                message.kept = std::max(message.kept, frame.durability);
            }
        }
    }
    note_credit(producer, frame.credit.byte_limit);
}

void Judge::refuse(ProducerRecord& producer, const wire::Refuse& frame) {
    if (frame.count > producer.lines.size() - producer.answered || frame.count == 0 ||
        frame.first_line.value() != producer.next_answered()) {
        violate("REFUSE of lines from " + std::to_string(frame.first_line.value()) +
                " on, and others are next");
        return;
    }
    for (std::uint64_t i = 0; i < frame.count; ++i) {
        const Uid uid = producer.lines[producer.answered++];
        ++figures_.refused;
        if (uid == 0 || is_once_more(uid)) {
            continue;
        }
        MessageRecord& message = messages_.at(uid);
        if (message.producer != &producer) {
            continue;  // it has been sent again, by another handle
        }
        // It may have been taken, and delivered, when queue or daemon came to its end.
        const ErrorCode code = frame.error.code;
        if (is_rendezvous(*producer.queue) &&
            (code == ErrorCode::queue_deleted || code == ErrorCode::stopping ||
             code == ErrorCode::resume_needed)) {
            message.uncertain = true;
            continue;
        }
        if (message.delivered) {
            violate(name(uid) + " is refused and was delivered");
        }
        message.refused = true;
        if (i == 0 && frame.error.code == ErrorCode::queue_full) {
            check_waited(producer, message);
        }
        if (i == 0) {
            check_total_refusal(message.total_max, frame.error);
            check_disk_refusal(message.beyond_disk, frame.error);
        }
    }
    producer.refused_line = producer.answered;
    note_credit(producer, frame.credit.byte_limit);
    if (frame.error.code == ErrorCode::queue_full &&
        (messages_limit_ == 0 || is_dead_letters(producer.queue->name)) &&
        !is_rendezvous(*producer.queue)) {
        violate("queue " + producer.queue->name + " has no limit, and is full");
    }
}

// A number that anybody saw means one message, for ever.
bool Judge::bind(QueueRecord& queue, MessageNumber number, Uid uid) {
    if (!check_level(queue, number, messages_.at(uid))) {
        violate(name(uid) + " of priority " + std::to_string(messages_.at(uid).priority) +
                " has the number " + format_number(number) + " in queue " + queue.name);
        return false;
    }
    const auto [at, is_new] = queue.numbers.try_emplace(number, uid);
    if (!is_new && at->second != uid) {
        violate("number " + std::to_string(number.value()) + " of queue " + queue.name + ":" +
                std::to_string(queue.id.value()) + " is used twice, for " + name(at->second) +
                " and " + name(uid));
        return false;
    }
    if (is_dead_letters(queue.name) || moved_into_.contains(queue.name)) {
        return true;  // in the order in which they died, or were moved
    }
    if (is_new) {
        check_arrival(queue, number, uid);
    }
    // Of one producer, the lines and the numbers rise together; it is enough to look at the
    // neighbours.
    const MessageRecord& message = messages_.at(uid);
    const auto line_of = [&](Uid of) {
        const ProducerRecord& producer = *message.producer;
        const auto& lines = producer.input != nullptr ? *producer.input : producer.lines;
        return std::find(lines.begin(), lines.end(), of) - lines.begin();
    };
    const auto same_level = [&](MessageNumber other) {
        return level_of_number(other) == level_of_number(number);
    };
    if (is_new && at != queue.numbers.begin() && same_level(std::prev(at)->first)) {
        const auto before = std::prev(at);
        const MessageRecord& other = messages_.at(before->second);
        if (is_number_of(other, before->first) && other.producer == message.producer &&
            line_of(before->second) > line_of(uid)) {
            violate(name(before->second) + " and " + name(uid) + " changed places");
        }
    }
    if (is_new && std::next(at) != queue.numbers.end() && same_level(std::next(at)->first)) {
        const auto behind = std::next(at);
        const MessageRecord& other = messages_.at(behind->second);
        if (is_number_of(other, behind->first) && other.producer == message.producer &&
            line_of(behind->second) < line_of(uid)) {
            violate(name(uid) + " and " + name(behind->second) + " changed places");
        }
    }
    return true;
}

}  // namespace mqd::sim
