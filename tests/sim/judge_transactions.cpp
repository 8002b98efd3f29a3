// What the judge makes of transactions: all of each happens, or nothing, whatever ends the process.

#include <algorithm>

#include "sim/judge.hpp"

namespace mqd::sim {

using wire::TransactKind;

TransactionRecord& Judge::transact(const wire::Transact& frame, Identity identity,
                                   const std::map<HandleId, ConsumerRecord*>& consumers) {
    TransactionRecord& record = transactions_.emplace_back();
    record.asked = frame.durability;
    wire::Reader reader(frame.operations);
    std::map<std::pair<HandleId, MessageNumber>, bool> given_up;
    for (std::size_t i = 0; i < frame.count; ++i) {
        const wire::TransactOperation operation = wire::Transact::next(reader);
        if (operation.kind == TransactKind::publish) {
            publish(record, *wire::TransactPublish::decode(operation.body), identity);
            continue;
        }
        const auto at = consumers.find(operation.handle);
        ConsumerRecord* consumer = at == consumers.end() ? nullptr : at->second;
        record.settlements.push_back(
            {operation.kind, consumer, {operation.body.begin(), operation.body.end()}});
        const auto ranges = wire::Nack::decode(record.settlements.back().body)->ranges;
        for (std::size_t k = 0; k < ranges.size(); ++k) {
            for (auto number = ranges[k].first; number < ranges[k].end(); number = number.plus(1)) {
                const bool again = given_up.contains({operation.handle, number});
                record.leased = record.leased && !again && consumer != nullptr &&
                                consumer->held.contains(number);
                if (operation.kind != TransactKind::extend) {
                    given_up[{operation.handle, number}] = true;
                }
            }
        }
        const bool ends =
            operation.kind == TransactKind::ack || operation.kind == TransactKind::reject;
        if (consumer != nullptr && ends) {
            record.strictest = std::max(record.strictest, consumer->queue->durability);
        }
    }
    return record;
}

void Judge::publish(TransactionRecord& record, const wire::TransactPublish& frame,
                    Identity identity) {
    const auto queues = queues_named(frame.queue);
    MQD_ASSERT(queues.size() == 1, queues.size());  // a mistake of the simulation
    QueueRecord& queue = *queues.front();
    ProducerRecord& producer = opened_producer(queue, identity);
    record.producers.push_back(&producer);
    record.strictest = std::max(record.strictest, queue.durability);
    wire::BatchReader reader(frame.batch);
    while (const auto message = reader.next()) {
        const Uid uid = uid_of(message->body).value_or(0);
        const auto [at, is_new] = messages_.try_emplace(uid);
        MQD_ASSERT(is_new, uid);  // likewise
        MessageRecord& one = at->second;
        one.queue = &queue;
        one.producer = &producer;
        one.uncertain = queue.delete_asked || drops_;
        one.dying = may_overflow(queue);
        one.born = &record;
        note_sent(uid, one, *message);
        producer.lines.push_back(uid);
        ++figures_.published;
    }
}

void Judge::refused(TransactionRecord& record, const wire::ErrorFrame& error) {
    if (error.code == ErrorCode::not_leased && record.leased) {
        violate("a transaction is not_leased, and all of it is: " + std::string(error.text));
    }
    if (record.taken) {
        violate("a transaction is refused after it was taken");
    }
    check_total_refusal(may_exist_in_all(), error);
    check_disk_refusal(disk_limit_ != 0 && segment_bytes_ >= disk_limit_, error);
    record.happened = false;
    for (const ProducerRecord* producer : record.producers) {
        for (const Uid uid : producer->lines) {
            messages_.at(uid).refused = true;
            ++figures_.refused;
        }
    }
}

// It was not refused at once: so all of it is decided.
void Judge::taken(TransactionRecord& record) {
    if (record.happened) {
        return;  // it was refused
    }
    record.taken = true;
    ++figures_.transactions;
    if (!record.leased) {
        violate("a transaction is taken that settles what its consumer does not hold");
    }
    for (const ProducerRecord* producer : record.producers) {
        if (!producer->lines.empty() && beyond_disk(*producer->queue)) {
            violate("a transaction is taken, and limits.disk_bytes was used up");
        }
    }
    for (const TransactionRecord::Settlement& one : record.settlements) {
        if (one.consumer == nullptr) {
            continue;
        }
        const auto frame = *wire::Nack::decode(one.body);
        switch (one.kind) {
            case TransactKind::publish: break;
            case TransactKind::ack:
                for (const Uid uid : ack(*one.consumer, frame.ranges).messages) {
                    messages_.at(uid).ended_by = &record;
                    record.ended.push_back(uid);
                }
                break;
            case TransactKind::nack: nack(*one.consumer, frame, false); break;
            case TransactKind::reject: nack(*one.consumer, frame, true); break;
            case TransactKind::extend:
                extend(*one.consumer, *wire::Extend::decode(one.body));
                break;
        }
    }
}

void Judge::transacted(TransactionRecord& record, const wire::Transacted& frame) {
    if (frame.published.size() != record.producers.size()) {
        return violate("TRANSACTED with another number of publishes");
    }
    if (frame.durability <
        (record.asked == Durability::unspecified ? record.strictest : record.asked)) {
        violate("a transaction is answered below what was asked for");
    }
    promises_ += frame.durability == Durability::disk ? 1 : 0;
    for (std::size_t i = 0; i < record.producers.size(); ++i) {
        ProducerRecord& producer = *record.producers[i];
        for (const wire::ConfirmedRun& run : frame.published[i].runs) {
            for (std::uint32_t k = 0; k < run.count; ++k) {
                if (producer.answered >= producer.lines.size()) {
                    return violate("TRANSACTED with more messages than were published");
                }
                const Uid uid = producer.lines[producer.answered++];
                MessageRecord& message = messages_.at(uid);
                const MessageNumber number = run.first_number.plus(k);
                MessageNumber& known =
                    message.origin != nullptr ? message.origin_number : message.number;
                if (known.value() != 0 && known != number) {
                    violate(name(uid) + " has a second number, " + std::to_string(number.value()));
                }
                known = number;
                bind(*producer.queue, number, uid);
                ++figures_.confirmed;
            }
        }
    }
    happened(record, frame.durability);
}

// It happened, and survives what `level` survives.
void Judge::happened(TransactionRecord& record, Durability level) {
    record.reached = std::max(record.reached, level);
    for (const ProducerRecord* producer : record.producers) {
        const Durability own = producer->queue->durability;
        const Durability kept = own == Durability::memory ? own : level;
        for (const Uid uid : producer->lines) {
            MessageRecord& message = messages_.at(uid);
            message.visible = message.visible || level >= record.strictest;
            if (!message.uncertain && message.gone == Durability::unspecified) {
                // That it was put back is as safe as its queue, and no safer.
                const Durability safe = message.restored ? std::min(kept, own) : kept;
                message.kept = std::max(message.kept, safe);
            }
        }
    }
    for (const Uid uid : record.ended) {
        MessageRecord& message = messages_.at(uid);
        if (message.ended_by == &record && message.queue->durability != Durability::memory) {
            message.gone = std::max(message.gone, level);
        }
    }
}

// A message is delivered: it tells of the transactions that it belongs to.
void Judge::tell_of_transactions(Uid uid, MessageRecord& message) {
    if (TransactionRecord* born = message.born; born != nullptr && born->taken) {
        if (born->crashed && born->happened == false) {
            violate(name(uid) + " is there, and the rest of its transaction is not");
        }
        born->happened = born->crashed ? std::optional(true) : born->happened;
        happened(*born, born->crashed ? Durability::disk : born->strictest);
    }
    if (TransactionRecord* ended = std::exchange(message.ended_by, nullptr)) {
        if (ended->happened == true) {
            violate(name(uid) + " is back, and the rest of its transaction happened");
        }
        ended->happened = false;
        for (const ProducerRecord* producer : ended->producers) {
            for (const Uid other : producer->lines) {
                messages_.at(other).refused = true;
            }
        }
    }
}

void Judge::age(TransactionRecord& record, End end) {
    const Durability least = end == End::killed ? Durability::written : Durability::disk;
    if (record.reached != Durability::unspecified && (end == End::clean || record.crashed)) {
        record.reached = Durability::disk;
    }
    // What it did to memory queues is gone with them.
    if (record.taken && record.reached < least && record.strictest != Durability::memory) {
        record.crashed = true;
    }
}

}  // namespace mqd::sim
