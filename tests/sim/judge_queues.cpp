// What the judge makes of queues, and of what ends messages in them at request.

#include <algorithm>
#include <utility>

#include "sim/judge.hpp"

namespace mqd::sim {

QueueRecord& Judge::queue_seen(std::string_view queue_name, QueueId id, Durability durability,
                               std::uint32_t lease_ms, bool said_later) {
    for (QueueRecord& queue : queues_) {
        if (queue.id == id) {
            if (queue.name != queue_name || queue.durability != durability) {
                violate("queue id " + std::to_string(id.value()) + " means two queues");
            }
            if (queue.dead && !said_later) {
                violate("queue " + queue.name + ":" + std::to_string(id.value()) +
                        " was deleted and is back");
            }
            return queue;
        }
    }
    for (QueueRecord& queue : queues_) {
        if (queue.name == queue_name && !queue.dead) {
            check_expired(queue);
            if (!queue.delete_asked && queue.durability != Durability::memory && !expires_) {
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
    queue.priorities = with_priorities_.contains(queue_name);
    queue.lease_ms = lease_ms;
    queue.delete_asked =
        deletes_asked_.contains(queue_name);  // and opened before, in the same turn
    return queue;
}

// Nobody asked for its end: it was empty then.
void Judge::check_expired(const QueueRecord& queue) {
    if (queue.delete_asked || queue.durability == Durability::memory) {
        return;
    }
    for (const auto& [uid, message] : messages_) {
        if (message.queue == &queue && message.kept != Durability::unspecified &&
            may_exist(message) && !message.uncertain && !message.dying && queue.moves_to.empty()) {
            violate("queue " + queue.name + ':' + std::to_string(queue.id.value()) +
                    " is gone, and " + name(uid) + " with it");
            return;
        }
    }
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

void Judge::may_be_purged(MessageRecord& message) const {
    message.uncertain = true;
    message.kept = Durability::unspecified;
    message.undoable = undoes_;
    message.undo = 0;
    message.purge = purges_;
    message.undo_certain = false;
}

// Where room is short, it may end what was kept before.
void Judge::note_kept(Uid uid, MessageRecord& message, EndingRecord& ending) {
    if (message.queue == ending.queue && std::exchange(message.undo_certain, false)) {
        ending.kept.push_back(uid);
    }
}

EndingRecord Judge::purge_asked(QueueRecord& queue, bool for_good) {
    if (for_good) {
        gave_way();
    }
    EndingRecord ending;
    ending.queue = &queue;
    ending.purge = ++purges_;
    ending.given_way = given_way_;
    for (auto& [uid, message] : messages_) {
        note_kept(uid, message, ending);
        const bool there = message.queue == &queue || message.origin == &queue;
        if ((!there && !may_be_in(message, queue)) || message.holder != nullptr ||
            message.refused || message.gone != Durability::unspecified) {
            continue;
        }
        // What is dying is not purged, and may be in either queue.
        if (message.queue == &queue && !queue.dead && !message.dying && message.visible &&
            !message.uncertain && queue.moves_to.empty()) {
            ending.messages.push_back(uid);
        }
        may_be_purged(message);
    }
    return ending;
}

void Judge::purge_asked(std::string_view queue_name) {
    for (auto& [uid, message] : messages_) {
        if (message.queue->moves_to == queue_name ||
            (message.dying && message.queue->name + std::string(dead_suffix) == queue_name)) {
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
    ending.purge = ++purges_;
    ending.given_way = given_way_;
    const auto named = [&](const MessageRecord& message) {
        for (std::size_t i = 0; i < ranges.size(); ++i) {
            if (message.number >= ranges[i].first && message.number < ranges[i].end()) {
                return true;
            }
        }
        return message.number.value() == 0;
    };
    for (auto& [uid, message] : messages_) {
        note_kept(uid, message, ending);
        const bool there = message.queue == &queue || may_be_in(message, queue);
        const bool elsewhere = message.queue != &queue;  // under a number that is not known
        if (!there || (!elsewhere && !named(message)) || message.holder != nullptr ||
            message.refused || message.gone != Durability::unspecified) {
            continue;
        }
        if (!elsewhere && !queue.dead && !message.dying && message.visible && !message.uncertain &&
            queue.moves_to.empty() && message.number.value() != 0) {
            ending.messages.push_back(uid);
        }
        may_be_purged(message);
    }
    return ending;
}

void Judge::purged(const EndingRecord& ending, const wire::Done& done) {
    if (done.count < ending.messages.size()) {
        violate("DONE says that " + std::to_string(done.count) +
                " messages ended, and there were " + std::to_string(ending.messages.size()));
    }
    promises_ += ending.queue->durability == Durability::disk ? 1 : 0;
    const bool kept = undoes_for_ever_ && done.kept == done.count && ending.given_way == given_way_;
    for (const Uid uid : ending.kept) {
        MessageRecord& message = messages_.at(uid);
        message.undo_certain = kept && message.undoable && message.gone != Durability::unspecified;
    }
    for (const Uid uid : ending.messages) {
        MessageRecord& message = messages_.at(uid);
        if (message.purge != ending.purge) {
            continue;
        }
        message.gone = ending.queue->durability;
        message.undo_certain = kept && message.undoable;
    }
}

}  // namespace mqd::sim
