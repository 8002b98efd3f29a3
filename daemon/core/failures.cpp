// Deliveries that end without an ack: what was leased comes back or is dying, and what went wrong
// is noted.

#include "daemon/core/core.hpp"
#include "daemon/core/record.hpp"
#include "daemon/core/session.hpp"

namespace mqd::core {

// A delivery that the daemon itself ends, by stopping, does not count, nor one that the consumer
// gives back: neither in the journal nor in a checkpoint that is still to come.
void Core::close_consumer(ConsumerHandle& consumer, engine::ConsumerEnd end) {
    engine::Queue* queue = consumer.queue;
    if (queue == nullptr) {
        return;
    }
    const bool gave_back = end == engine::ConsumerEnd::gave_back || stopping_;
    const bool told = queue->durable() && !queue->deleting() && !failure_;
    decided_.clear();
    consumer.leased.for_each([&](MessageRange range, const engine::Lease& lease) {
        CommitGroup* group = gave_back && told ? open_aside(record_header_bytes + 24) : nullptr;
        if (group != nullptr) {
            append_count_delivery(group->buffer, {queue->id(), range, lease.attempt - 1});
        }
        decided_.push_back(range);
    });
    history_.note(consumer, decided_,
                  gave_back ? wire::HistoryKind::given_back : wire::HistoryKind::consumer_gone);
    engine_.detach(consumer,
                   gave_back ? engine::ConsumerEnd::gave_back : engine::ConsumerEnd::failed,
                   now_.journal);
    lifetimes_.used(*queue);
    journal_delays();
    if (!gave_back) {
        note_failures(*queue, decided_, failure_of("the connection of its consumer ended"));
    }
}

engine::Failure Core::failure_of(std::string_view reason) const {
    return {now_.wall, now_.wall, false,
            reason.empty() ? nullptr : std::make_shared<const std::string>(reason)};
}

engine::SettleResult Core::nack(ConsumerHandle& consumer, const wire::Nack& frame, bool reject) {
    engine::SettleResult result;
    std::optional<std::chrono::milliseconds> delay;
    if (frame.delay_ms != 0) {
        delay = std::chrono::milliseconds(frame.delay_ms == wire::delay_none ? 0 : frame.delay_ms);
    }
    decided_.clear();
    for (std::size_t i = 0; i < frame.ranges.size(); ++i) {
        const MessageRange range = frame.ranges[i];
        if (consumer.queue == nullptr) {
            result.not_leased += range.count;
            continue;
        }
        const engine::SettleResult part =
            reject ? engine_.reject(consumer, range, decided_)
                   : engine_.nack(consumer, range, now_.journal, delay, decided_);
        result.settled += part.settled;
        result.not_leased += part.not_leased;
    }
    journal_delays();
    if (!decided_.empty()) {
        history_.note(consumer, decided_,
                      reject ? wire::HistoryKind::rejected : wire::HistoryKind::nacked,
                      frame.reason);
        engine::Failure failure = failure_of(frame.reason);
        failure.rejected = reject;
        note_failures(*consumer.queue, decided_, failure);
    }
    return result;
}

// They ride along, as delivery counts do.
void Core::note_failures(engine::Queue& queue, std::span<const MessageRange> ranges,
                         const engine::Failure& failure) {
    if (queue.deleting()) {
        return;  // its record is written already
    }
    for (const MessageRange& range : ranges) {
        const engine::NoteFailure command{queue.id(), range, failure};
        engine_.apply(command);
        const bool told = queue.durable() && !failure_;
        CommitGroup* group = told ? open_aside(note_failure_record_bytes(failure)) : nullptr;
        if (group != nullptr) {
            append_note_failure(group->buffer, command);
        }
    }
}

void Core::expire_leases() {
    losses_.clear();
    engine_.expire(now_.journal, losses_);
    journal_delays();
    for (std::size_t i = 0; i < losses_.size();) {
        auto& consumer = static_cast<ConsumerHandle&>(*losses_[i].consumer);
        decided_.clear();
        while (i < losses_.size() && losses_[i].consumer == &consumer &&
               decided_.size() < wire::ranges_max) {
            decided_.push_back(losses_[i++].range);
        }
        consumer.session->send_lease_lost(consumer, decided_);
        history_.note(consumer, decided_, wire::HistoryKind::lease_expired);
        note_failures(*consumer.queue, decided_, failure_of("its lease ran out"));
    }
}

}  // namespace mqd::core
