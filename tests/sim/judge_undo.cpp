// What the judge makes of purges that are undone.

#include "sim/judge.hpp"

namespace mqd::sim {

// All that were purged may be there again. They come behind younger ones, perhaps.
EndingRecord Judge::undo_asked(QueueRecord& queue) {
    EndingRecord ending;
    ending.queue = &queue;
    ending.purge = ++purges_;
    for (auto& [uid, message] : messages_) {
        if (message.uncertain && may_be_in(message, queue)) {  // it may have been purged there
            message.undoable = true;
            message.undo = ending.purge;
            message.restored = true;
            continue;
        }
        if (message.queue != &queue || !message.undoable || message.refused) {
            continue;
        }
        if (message.undo_certain && message.gone != Durability::unspecified && !queue.dead) {
            ending.messages.push_back(uid);
        }
        message.gone = Durability::unspecified;
        message.kept = Durability::unspecified;
        message.uncertain = true;
        message.waited = true;
        message.undo = message.undo == 0 ? ending.purge : message.undo;
        message.purge = 0;
        message.restored = true;
        message.undo_certain = false;
    }
    return ending;
}

void Judge::undone(const EndingRecord& ending, const wire::Done& done) {
    if (done.count < ending.messages.size()) {
        violate("DONE says that " + std::to_string(done.count) +
                " messages are put back, and there were " + std::to_string(ending.messages.size()));
    }
    const QueueRecord& queue = *ending.queue;
    const std::set<Uid> certain(ending.messages.begin(), ending.messages.end());
    for (auto& [uid, message] : messages_) {
        if (message.queue != &queue || !message.undoable || message.undo != ending.purge) {
            continue;  // it ended meanwhile, or was purged again
        }
        message.undoable = false;
        message.undo = 0;
        const bool there = certain.contains(uid) || message.holder != nullptr;
        message.uncertain =
            !there || queue.delete_asked || drops_ || message.may_have_expired || queue.dead;
        if (!message.uncertain) {
            message.kept = queue.durability;
            message.visible = true;
            ++figures_.restored;
        }
    }
}

void Judge::gave_way() {
    ++given_way_;
    for (auto& [uid, message] : messages_) {
        message.undo_certain = false;
    }
}

}  // namespace mqd::sim
