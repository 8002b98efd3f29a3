// Messages are ended by the administrator: all that wait in a queue, or single ones. Where their
// queue keeps them for an undo they are purged first, and end when its time is over, or as soon as
// there is need of the room that they take.

#include <algorithm>

#include "daemon/core/backlog.hpp"
#include "daemon/core/core.hpp"
#include "daemon/core/record.hpp"
#include "daemon/core/retry_hint.hpp"
#include "daemon/storage/planted_fault.hpp"

namespace mqd::core {

namespace {

constexpr std::size_t ended_per_turn = 1024;  // runs of messages
// Runs that are kept of all queues; what is purged beyond ends at once.
constexpr std::size_t purge_runs_max = 1'000'000;
constexpr MessageRange all_messages{MessageNumber(0), UINT64_MAX};

std::uint64_t messages_in(std::span<const MessageRange> ranges) {
    std::uint64_t count = 0;
    for (const MessageRange& range : ranges) {
        count += range.count;
    }
    return count;
}

Need need_of(const engine::Queue& queue) {
    return queue.definition().durability == Durability::written ? Need::written : Need::durable;
}

}  // namespace

// What is kept for an undo takes room that others are refused, or are about to be.
bool Core::lacks_room() const {
    const std::uint64_t memory = memory_bytes_ - backlog_->resident_bytes();
    return memory > options_.memory_bytes_max / 8 * 7 || journal_->disk_full() ||
           backlog_->refusal().has_value() ||
           (options_.disk_bytes_max != 0 && backlog_->segment_bytes() >= options_.disk_bytes_max);
}

bool Core::keeps_purged(const engine::Queue& queue, bool for_good) const {
    return !for_good && queue.definition().undo_time.count() != 0 &&
           engine_.purge_runs() < purge_runs_max && !lacks_room();
}

void Core::purge_queue(engine::Queue& queue, bool for_good, Session& session,
                       CorrelationId correlation) {
    lifetimes_.used(queue);
    decided_.clear();
    purged_.clear();
    if (keeps_purged(queue, for_good)) {
        purge(queue, {&all_messages, 1});
    } else {
        engine_.admit_purge(queue, decided_);
    }
    end_decided(queue, wire::HistoryKind::purged, session, correlation);
}

void Core::delete_messages(engine::Queue& queue, const wire::MessagesDelete& frame,
                           Session& session, CorrelationId correlation) {
    lifetimes_.used(queue);
    decided_.clear();
    purged_.clear();
    std::vector<MessageRange> ranges;
    for (std::size_t i = 0; i < frame.ranges.size(); ++i) {
        ranges.push_back(frame.ranges[i]);
    }
    if (keeps_purged(queue, frame.for_good)) {
        purge(queue, ranges);
    } else {
        for (const MessageRange& range : ranges) {
            engine_.admit_end(queue, range, decided_);
        }
    }
    end_decided(queue, wire::HistoryKind::deleted, session, correlation);
}

// What can be put back is purged; the rest is decided to end. Times are rounded up to whole
// seconds, so that what is purged piece by piece becomes few runs.
void Core::purge(engine::Queue& queue, std::span<const MessageRange> ranges) {
    const auto until =
        std::chrono::ceil<std::chrono::seconds>(now_.journal + queue.definition().undo_time);
    for (const MessageRange& range : ranges) {
        engine_.admit_end_lost(queue, range, decided_);
        (void)engine_.purge(queue, range, until, purged_);
    }
    if (!queue.durable()) {
        return;
    }
    std::vector<engine::PurgeMessages> runs;
    for (std::size_t from = 0; from < purged_.size(); from += runs.size()) {
        runs.clear();
        const std::size_t some = std::min(purged_.size() - from, remove_ranges_max);
        for (std::size_t i = from; i < from + some; ++i) {
            runs.push_back({queue.id(), purged_[i], until});
        }
        CommitGroup& group = open_group(record_header_bytes + 8 + some * purge_run_bytes);
        append_purge(group.buffer, runs);
        raise_need(group, need_of(queue));
    }
}

// Says how many they are, when that is as durable as their queue.
void Core::end_decided(engine::Queue& queue, wire::HistoryKind how, Session& session,
                       CorrelationId correlation) {
    history_.note(queue, decided_, {how, &session});
    history_.note(queue, purged_, {how, &session});
    if (!decided_.empty()) {
        remove(queue, decided_, need_of(queue));
    }
    const std::uint64_t kept = messages_in(purged_);
    wait_done(queue, {messages_in(decided_) + kept, {}, kept}, session, correlation);
}

void Core::wait_done(const engine::Queue& queue, const wire::Done& done, Session& session,
                     CorrelationId correlation) {
    Waiter waiter;
    waiter.kind = Waiter::Kind::done;
    waiter.commit = queue.durable() && done.count > 0 ? pending_.back().id : CommitId(0);
    waiter.level = queue.definition().durability;
    waiter.correlation = correlation;
    waiter.done = done;
    wait(session, std::move(waiter));
}

// Purges and their undo hold at once, and are journaled in their order; who asked is answered when
// that is durable.
Result<void> Core::undo_purge(engine::Queue& queue, Session& session, CorrelationId correlation) {
    if (queue.durable() && journal_->disk_full()) {
        return Error{ErrorCode::disk_full, "the disk is full", 0, retry_after_ms};
    }
    lifetimes_.used(queue);
    purged_.clear();
    engine_.undo_purge(queue, purged_);
    history_.note(queue, purged_, {wire::HistoryKind::restored, &session});
    for (std::span<const MessageRange> left = purged_; queue.durable() && !left.empty();) {
        const auto some = left.first(std::min(left.size(), remove_ranges_max));
        CommitGroup& group = open_group(record_header_bytes + 8 + some.size() * 16);
        if (!storage::planted(storage::Fault::forgotten_undo)) {
            append_undo_purge(group.buffer, queue.id(), some);
        }
        raise_need(group, need_of(queue));
        left = left.subspan(some.size());
    }
    wait_done(queue, {messages_in(purged_)}, session, correlation);
    return {};
}

void Core::purge_turn() {
    if (!expires() || !engine_.next_purge_end()) {
        return;
    }
    const bool gives_way = lacks_room();
    decided_.clear();
    engine::Queue* queue = engine_.admit_purge_end(gives_way ? engine::Time::max() : now_.journal,
                                                   ended_per_turn, decided_);
    if (queue == nullptr) {
        return;
    }
    if (gives_way) {
        notice("there is need of the room of " + std::to_string(messages_in(decided_)) +
               " purged messages of queue \"" + queue->name() + "\": they cannot be put back");
    }
    remove(*queue, decided_, Need::nothing);
}

}  // namespace mqd::core
