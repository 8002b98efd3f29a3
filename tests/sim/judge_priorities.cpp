// What the judge makes of priorities: the highest one is delivered first, and its number says which
// it is.

#include <algorithm>

#include "sim/judge.hpp"

namespace mqd::sim {

// A number on a queue with priorities is of the level of its message, on others of none.
bool Judge::check_level(const QueueRecord& queue, MessageNumber number,
                        const MessageRecord& message) const {
    return level_of_number(number) == (queue.priorities ? level_of_priority(message.priority) : 0);
}

// It waits for nothing but a consumer, from the next turn on.
void Judge::note_visible(MessageNumber number, Uid uid, MessageRecord& message) {
    QueueRecord& queue = *message.queue;
    // One with a group waits for the others of it, too.
    if (!queue.priorities || message.delivered || message.waited || message.origin != nullptr ||
        !message.group.empty()) {
        return;
    }
    message.visible_since = turn_;
    queue.undelivered.emplace(number, uid);
}

// Nothing was delivered while something of a higher priority was ready, and had been before the
// turn.
void Judge::check_overtaken() {
    for (const auto& [queue, last] : delivered_last_) {
        const MessageNumber level = first_of_level(level_of_number(last));
        auto at = queue->undelivered.begin();
        while (at != queue->undelivered.end() && at->first < level) {
            const MessageRecord& message = messages_.at(at->second);
            const bool ready = may_exist(message) && message.visible && !message.uncertain &&
                               !message.delivered && !message.dying && message.queue == queue;
            if (!ready) {
                at = queue->undelivered.erase(at);
                continue;
            }
            if (message.visible_since < turn_ && !overtaking_ && queue->moves_to.empty()) {
                violate(name(at->second) + " of priority " + std::to_string(message.priority) +
                        " is overtaken by number " + format_number(last));
                return;
            }
            ++at;
        }
    }
    delivered_last_.clear();
    ++turn_;
}

}  // namespace mqd::sim
