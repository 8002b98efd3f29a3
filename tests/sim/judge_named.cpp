// What the judge makes of producers with names: each message of their input is in the queue at most
// once, whatever they send again, and the daemon never says of more or less that it was taken.

#include <algorithm>

#include "sim/judge.hpp"

namespace mqd::sim {

std::uint64_t Judge::name_asked(const std::string& queue, const std::string& producer) {
    return ++openings_[{queue, producer}];
}

ProducerRecord& Judge::opened_named(QueueRecord& queue, Identity identity,
                                    const std::string& producer, std::uint64_t opening,
                                    LineNumber last_line) {
    std::vector<Uid>& input = inputs_[{queue.id, producer}];
    if (last_line.value() > input.size()) {
        violate("producer " + producer + " has sent " + std::to_string(input.size()) +
                " messages to queue " + queue.name + ", and line " +
                std::to_string(last_line.value()) + " is said to be its last");
    }
    const std::uint64_t& openings = openings_[{queue.name, producer}];
    for (std::size_t i = 0; i < input.size(); ++i) {
        const LineNumber line(i + 1);
        if (line <= last_line) {
            check_taken(input[i], line);
        } else if (opening == openings) {  // else a later one may have gone on, and been told first
            check_not_taken(input[i], line);
        }
    }
    ProducerRecord& record = opened_producer(queue, identity);
    record.input = &input;
    record.openings = &openings;
    record.opening = opening;
    return record;
}

// It is as good as confirmed, as safe as its queue.
void Judge::check_taken(Uid uid, LineNumber line) {
    MessageRecord& message = messages_.at(uid);
    if (message.refused) {
        violate(name(uid) + " was refused, and is said to be taken, as line " +
                std::to_string(line.value()));
    }
    if (message.uncertain || message.may_be_gone || message.gone != Durability::unspecified ||
        message.origin != nullptr) {
        return;
    }
    message.visible = true;
    message.kept = std::max(message.kept, message.queue->durability);
    promises_ += message.queue->durability == Durability::disk ? 1 : 0;
}

void Judge::check_not_taken(Uid uid, LineNumber line) {
    const MessageRecord& message = messages_.at(uid);
    if (message.kept != Durability::unspecified || message.gone != Durability::unspecified) {
        violate(name(uid) + " was taken, and an earlier line than its own, " +
                std::to_string(line.value()) + ", is said to be the last");
    }
}

// Whether the line may become that message. It is sent for the first time, or once more.
bool Judge::sent_named(ProducerRecord& producer, Uid uid, LineNumber line) {
    producer.line_numbers.push_back(line);
    if (producer.fenced()) {
        producer.lines.push_back(0);
        return false;
    }
    std::vector<Uid>& input = *producer.input;
    const std::uint64_t at = line.value() - 1;
    MQD_ASSERT(at <= input.size() && (at == input.size() || input[at] == uid), at);
    if (at == input.size()) {
        input.push_back(uid);
        return true;
    }
    // What was sent of it before RESUME is still to be refused.
    std::replace(producer.lines.begin() + static_cast<std::ptrdiff_t>(producer.answered),
                 producer.lines.end(), uid, Uid{0});
    std::erase_if(producer.queue->undelivered,
                  [&](const auto& entry) { return entry.second == uid; });
    messages_.erase(uid);
    ++figures_.sent_again;
    return true;
}

}  // namespace mqd::sim
