// Publishing to a queue that remembers ids: what is new is taken as ever, and what was published
// before is confirmed as what it was.

#include <algorithm>

#include "daemon/core/core.hpp"
#include "daemon/core/retry_hint.hpp"

namespace mqd::core {

Result<void> Core::publish_unknown(Producer& producer, const wire::Publish& frame,
                                   Identity sender) {
    engine::Queue& queue = *producer.queue;
    const auto rest = dedup_.sort_out(queue, frame, dedup_.next_batch(), known_lines_);
    if (!rest) {
        return rest.error();
    }
    const bool all_known = !known_lines_.known.empty() && rest->count == 0 && rest->batch.empty();
    auto done =
        all_known ? confirm_known(producer, frame) : publish_new(producer, frame, *rest, sender);
    if (!done) {
        Dedup::take_back(queue, known_lines_);
        return done;
    }
    dedup_.taken(queue, batch_.dedup);
    batch_.dedup.clear();
    return {};
}

// Nothing of it is new.
Result<void> Core::confirm_known(Producer& producer, const wire::Publish& frame) {
    engine::Queue& queue = *producer.queue;
    const bool marks = producer.mark != nullptr && queue.durable();
    if (marks && (backlog_->refusal() || journal_->disk_full())) {
        return Error{ErrorCode::disk_full, "the disk is full", 0, retry_after_ms};
    }
    batch_.clear();
    std::swap(batch_.dedup, known_lines_);
    const Durability level = std::max(queue.definition().durability, frame.durability);
    PendingLines& lines = add_lines(producer, frame, level);
    number_lines(lines);
    if (marks) {
        CommitGroup& group = open_group(mark_bytes(producer));
        raise_need(group, level == Durability::disk ? Need::durable : Need::written);
        lines.commit = group.id;
    } else if (queue.durable()) {
        lines.commit = commit_of_known(queue, batch_.dedup, level);
    }
    if (producer.mark != nullptr) {
        note_lines(producer, frame.count);
    }
    answers_due_ = true;
    list_pending(producer);
    return {};
}

// What has to be there before they are confirmed. Which group a message came with nobody remembers:
// while it is on its way, it is not behind the last one that there is.
CommitId Core::commit_of_known(const engine::Queue& queue, const DedupLines& lines,
                               Durability level) {
    const bool applied =
        std::all_of(lines.known.begin(), lines.known.end(), [&](const DedupLines::Known& known) {
            return known.number < queue.next_applied(known.number);
        });
    if (applied && level == queue.definition().durability) {
        return level == Durability::disk ? durable_commit_ : written_commit_;
    }
    const CommitId last(next_commit_.value() - 1);
    if (level == Durability::disk && !reached(last, level)) {
        sync_deadline_ = std::min(sync_deadline_, now_.journal);  // of what is written already
    }
    if (!pending_.empty()) {
        raise_need(pending_.back(), level == Durability::disk ? Need::durable : Need::written);
    }
    return last;
}

}  // namespace mqd::core
