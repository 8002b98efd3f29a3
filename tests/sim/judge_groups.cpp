// What the judge makes of messages with a group: how many of each are under way, in which order,
// and how fast they follow each other.

#include <map>
#include <string>
#include <utility>

#include "sim/judge.hpp"

namespace mqd::sim {

void Judge::check_groups() {
    if (!group_deliveries_.empty()) {
        check_group_deliveries();
        group_deliveries_.clear();
    }
    for (MessageRecord* message : std::exchange(released_, {})) {
        message->released_now = false;
    }
}

void Judge::check_group_deliveries() {
    std::map<std::pair<const QueueRecord*, std::string>, std::uint32_t> under_way;
    for (const auto& [uid, message] : messages_) {
        if (!message.group.empty() && message.holder != nullptr &&
            !is_dead_letters(message.queue->name)) {
            ++under_way[{message.queue, message.group}];
        }
    }
    for (const auto& [group, count] : under_way) {
        if (count > group_in_flight_) {
            violate(std::to_string(count) + " messages of group " + group.second + " of queue " +
                    group.first->name + " are under way, and " + std::to_string(group_in_flight_) +
                    " may be");
        }
    }
    for (const Uid uid : group_deliveries_) {
        check_group(messages_.at(uid), uid);
    }
}

// An older message of its group, of the same priority, that is there for certain, and was not
// published for later, is under way too: or one of the two failed. What failed may wait, which
// takes up one of as many as may be, and keeps its turn in a start, which gives the others to the
// oldest, among them those that were published for later.
void Judge::check_group(const MessageRecord& delivered, Uid uid) {
    // Where messages are moved away, none is there for certain.
    if (!delivered.queue->moves_to.empty() || is_dead_letters(delivered.queue->name) ||
        overtaking_ || delivered.holder == nullptr) {
        return;
    }
    for (const auto& [other_uid, other] : messages_) {
        const bool certain = other.queue == delivered.queue && other.group == delivered.group &&
                             other.visible && other.kept != Durability::unspecified &&
                             may_exist(other) && !other.uncertain && !other.dying && !other.waited;
        if (certain && other.number.value() != 0 && other.number < delivered.number &&
            level_of_number(other.number) == level_of_number(delivered.number) &&
            other.holder == nullptr && !other.released_now &&
            (group_in_flight_ == 1 || (!other.failed_once && !delivered.failed_once))) {
            violate(name(uid) + " overtakes " + name(other_uid) + " of its group");
        }
    }
}

// What was delivered before, and came back, waits for nothing. A start forgets when others were.
void Judge::check_rest(Uid uid, MessageRecord& message, std::uint32_t attempt) {
    const bool first = attempt == 1 && !message.started;
    message.started = true;
    if (!first || group_spacing_ns_ == 0 || is_dead_letters(message.queue->name)) {
        return;
    }
    const auto [last, is_new] = last_starts_.try_emplace({message.queue, message.group}, now_ns_);
    const std::int64_t since = now_ns_ - std::exchange(last->second, now_ns_);
    if (!is_new && since < group_spacing_ns_) {
        violate(name(uid) + " is delivered " + std::to_string(since) +
                " ns after another one of its group, and the rate wants " +
                std::to_string(group_spacing_ns_));
    }
}

}  // namespace mqd::sim
