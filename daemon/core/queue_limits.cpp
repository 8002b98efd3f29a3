// What a queue's own limits allow, and what has to go for what comes.

#include "daemon/core/core.hpp"
#include "daemon/core/retry_hint.hpp"
#include "daemon/storage/planted_fault.hpp"

namespace mqd::core {

// How many ready messages have to go for the queue's own limits; or why there is no room. What is
// on its way in counts, what is on its way out does not.
Result<std::uint64_t> Core::to_drop(const engine::Queue& queue, const Inflow& inflow) const {
    const engine::QueueDefinition& definition = queue.definition();
    if (definition.max_bytes != 0) {
        const std::uint64_t held =
            queue.resident_bytes() + backlog_->unread_bytes(queue.id()) + queue.admitted_bytes();
        if (held + inflow.bytes > definition.max_bytes) {
            return Error{ErrorCode::queue_full, "queue \"" + queue.name() + "\" is full: max_bytes",
                         definition.max_bytes,
                         inflow.bytes > definition.max_bytes ? 0 : retry_after_ms};
        }
    }
    if (definition.max_messages == 0) {
        return std::uint64_t{0};
    }
    if (engine::is_rendezvous(definition)) {
        if (queue.open_credit() > queue.ready() + queue.held()) {
            return std::uint64_t{0};
        }
        return Error{ErrorCode::queue_full,
                     "queue \"" + queue.name() + "\" is a rendezvous, and no consumer is free", 0,
                     retry_after_ms};
    }
    // Nothing of what had to make room counts any more: it only waits to be moved.
    const std::uint64_t held = queue.live() - queue.ending() - queue.purged() - queue.overflowed() -
                               inflow.leaving + queue.expected() + queue.numbers().on_their_way();
    const std::uint64_t wanted = held + inflow.messages;
    const std::uint64_t over = wanted - std::min(wanted, definition.max_messages);
    const bool drops =
        definition.on_full == OnFull::drop_oldest || engine::buries_oldest(definition);
    if (over > (drops ? queue.ready() + queue.held() : 0)) {
        return Error{ErrorCode::queue_full, "queue \"" + queue.name() + "\" is full: max_messages",
                     definition.max_messages,
                     inflow.messages > definition.max_messages ? 0 : retry_after_ms};
    }
    if (over > 0 && engine::buries_oldest(definition)) {
        if (auto refused = dead_letters_.refusal(queue)) {
            return *std::move(refused);
        }
    }
    return over;
}

Result<void> Core::check_total(std::uint64_t messages, std::uint64_t leaving) const {
    const std::uint64_t most = options_.messages_max;
    if (most == 0 || this->messages() + messages <= most + leaving) {
        return {};
    }
    return Error{ErrorCode::memory_full, "limits.messages is used up by waiting messages", most,
                 messages > most ? 0 : retry_after_ms};
}

void Core::count_unnumbered(const TakenBatch& batch) {
    unnumbered_messages_ += batch.count();
    admitted_delays_ += batch.delays.size();
    admitted_members_ += batch.members.size();
}

void Core::uncount_unnumbered(const TakenBatch& batch) {
    unnumbered_messages_ -= batch.count();
    admitted_delays_ -= batch.delays.size();
    admitted_members_ -= batch.members.size();
}

// The oldest are dropped, or become dead letters.
void Core::make_room(engine::Queue& queue, std::uint64_t count) {
    if (engine::buries_oldest(queue.definition()) &&
        !storage::planted(storage::Fault::overflow_dropped)) {
        return engine_.admit_overflow(queue, count);
    }
    decided_.clear();
    while (count > 0) {
        MessageRange oldest = queue.oldest_waiting();
        oldest.count = std::min(oldest.count, count);
        engine_.admit_end(queue, oldest, decided_);
        count -= oldest.count;
    }
    history_.note(queue, decided_, {wire::HistoryKind::dropped});
    remove(queue, decided_, Need::nothing);
}

}  // namespace mqd::core
