// What the judge makes of times to live. It knows between which two times a message was taken: it
// is not delivered when its TTL is over since the later one, and does not end before it is over
// since the earlier one.

#include "sim/judge.hpp"

namespace mqd::sim {

void Judge::note_ttl(Uid uid, MessageRecord& message, wire::Bytes attributes) {
    message.ttl_ms = wire::ttl_of(attributes);
    if (queue_ttl_ms_ != 0 && !is_dead_letters(message.queue->name)) {
        message.ttl_ms =
            message.ttl_ms == 0 ? queue_ttl_ms_ : std::min(message.ttl_ms, queue_ttl_ms_);
    }
    if (message.ttl_ms != 0) {
        expiries_ns_.emplace(now_ns_ + ttl_ns(message), uid);
    }
}

// It was taken by now.
void Judge::note_taken(MessageRecord& message) {
    if (message.ttl_ms != 0 && !message.expires_by_ns) {
        message.expires_by_ns = now_ns_ + ttl_ns(message);
    }
}

bool Judge::is_over(const MessageRecord& message) const {
    return message.origin == nullptr && now_ns_ >= message.expires_by_ns.value_or(INT64_MAX);
}

// From now on they may end: where they are dropped, without anybody having heard of it, and else in
// the dead letters. A clock that goes back does not change that.
void Judge::let_expire() {
    while (!expiries_ns_.empty() && expiries_ns_.begin()->first <= now_ns_) {
        MessageRecord& message = messages_.at(expiries_ns_.begin()->second);
        expiries_ns_.erase(expiries_ns_.begin());
        if (message.origin != nullptr || message.refused) {
            continue;
        }
        ++figures_.expired;
        if (buries_ && !is_dead_letters(message.queue->name)) {
            message.dying = true;
            continue;
        }
        message.may_have_expired = true;
        message.uncertain = true;
        message.kept = Durability::unspecified;
    }
}

}  // namespace mqd::sim
