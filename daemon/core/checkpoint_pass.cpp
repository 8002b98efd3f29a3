#include "daemon/core/checkpoint_pass.hpp"

#include <algorithm>

#include "daemon/core/backlog.hpp"
#include "daemon/core/core.hpp"
#include "daemon/core/record.hpp"

namespace mqd::core {

namespace {

constexpr MessageNumber behind_all{UINT64_MAX};
constexpr std::uint64_t ids_per_item = 16;  // they are told faster than runs

// Of a message that is there; what is on its way to the disk the journal tells.
bool is_told(const engine::Queue& queue, const engine::DedupTable::Entry& entry) {
    return entry.number != engine::DedupTable::forgotten &&
           entry.number < queue.next_applied(entry.number);
}

}  // namespace

void CheckpointPass::begin() {
    // If every other message is acked from now on, each of the others is a run of its own.
    const std::uint64_t messages = core_.backlog_->live_messages() + core_.durable_messages_;
    // What is noted of failures and delays until the next one goes through the journal first, or
    // is left out of it.
    const std::uint64_t noted = core_.engine_.delay_runs() * delay_run_bytes +
                                core_.engine_.purge_runs() * purge_run_bytes +
                                core_.engine_.grouped_messages() * group_member_bytes +
                                core_.engine_.producer_marks() * mark_producer_record_bytes_max +
                                core_.engine_.dedup_ids() * (dedup_run_bytes + dedup_hash_bytes) +
                                (any_noted() ? 2 * core_.options_.journal.file_bytes : 0);
    writer_.begin(core_.applied_durable_,
                  writer_.last().bytes + messages / 2 * restore_run_bytes + noted);
    encoding_ = true;
    finishing_ = false;
    in_queue_ = false;
    at_name_.clear();
    through_ = core_.applied_durable_;
    buffer_.clear();
    append_next_queue_id(buffer_, core_.engine_.next_queue_id());
    append_next_segment(buffer_, core_.backlog_->next_segment());
}

void CheckpointPass::turn() {
    if (!active() || finishing_) {
        return;
    }
    if (writer_.error()) {
        encoding_ = false;
        if (writer_.unwritten() == 0) {
            const Result<void> failed = *writer_.error();
            writer_.abandon();
            done(failed);
        }
        return;
    }
    if (wants_turn()) {
        encode_some();
    }
    if (!encoding_ && core_.journal_->durable() >= through_) {
        finishing_ = true;
        if (!buffer_.empty()) {
            writer_.add(buffer_);
        }
        writer_.finish(through_, [this](const Result<void>& written) { done(written); });
    }
}

bool CheckpointPass::any_noted() const {
    const auto& queues = core_.engine_.queues();
    return core_.engine_.delay_runs() > 0 || core_.engine_.purge_runs() > 0 ||
           core_.engine_.producer_marks() > 0 || core_.engine_.dedup_ids() > 0 ||
           std::any_of(queues.begin(), queues.end(),
                       [](const auto& one) { return !one.second->failures().empty(); });
}

// One that finds no room is tried again without what people read of failures: acks go on by it.
void CheckpointPass::done(const Result<void>& written) {
    told_failures_ = !leaves_out_failures_;
    leaves_out_failures_ = !written && written.error().code == ErrorCode::no_space;
    finishing_ = false;
    written_ += written ? 1 : 0;
    core_.checkpoint_done(written);
}

// What was said of it in this checkpoint is void; its record in the journal finds no queue.
void CheckpointPass::queue_removed(const engine::Queue& queue) {
    if (!encoding_ || queue.name() > at_name_) {
        return;
    }
    append_delete_queue(buffer_, queue.id());
    in_queue_ = in_queue_ && queue.id() != at_id_;
}

void CheckpointPass::encode_some() {
    const auto& queues = core_.engine_.queues();
    const BacklogOptions& options = core_.options_.backlog;
    // That a queue is not there any more is something that only these groups tell; and what has
    // ended in a `written` queue is in none of its sections, though a power loss could bring it
    // back without what they would have told of it.
    through_ = std::max({through_, core_.applied_durable_, core_.applied_written_});
    for (std::size_t left = options.checkpoint_items; left > 0;) {
        if (!in_queue_) {
            const auto next = queues.upper_bound(at_name_);
            if (next == queues.end()) {
                encoding_ = false;
                return;
            }
            begin_queue(*next->second);
            --left;
        }
        const engine::Queue* queue = core_.engine_.find(at_id_);
        MQD_ASSERT(queue != nullptr, at_id_);
        if (!encode_section(*queue, left)) {
            in_queue_ = section_ != Section::marks;  // the last one
            section_ = static_cast<Section>(static_cast<int>(section_) + (in_queue_ ? 1 : 0));
            from_ = MessageNumber(0);
            from_name_.clear();
            ids_ = {};
        }
        if (buffer_.body_bytes() >= options.checkpoint_chunk_bytes) {
            writer_.add(buffer_);
            return;
        }
    }
}

void CheckpointPass::begin_queue(const engine::Queue& queue) {
    at_name_ = queue.name();
    at_id_ = queue.id();
    in_queue_ = true;
    section_ = Section::parts;
    from_ = MessageNumber(0);
    from_name_.clear();
    ids_ = {};
    append_create_queue(buffer_,
                        {queue.id(), queue.definition(),
                         queue.numbers().has_levels() ? MessageNumber(1) : queue.next_applied()});
    if (const auto told = core_.told_early_.find(queue.id()); told != core_.told_early_.end()) {
        append_tell_numbers(buffer_, queue.id(), told->second.next);
    }
}

// Returns whether more of the section follows.
bool CheckpointPass::encode_section(const engine::Queue& queue, std::size_t& left) {
    switch (section_) {
        case Section::parts: return encode_part(queue, left);
        case Section::failures: return encode_failures(queue, left);
        case Section::delays: return encode_delays(queue, left);
        case Section::purges: return encode_purges(queue, left);
        case Section::groups: return encode_groups(queue, left);
        case Section::ids: return encode_ids(queue, left);
        case Section::marks: return encode_marks(queue, left);
    }
    return false;
}

// Until when messages are delayed, as it is now.
bool CheckpointPass::encode_delays(const engine::Queue& queue, std::size_t& left) {
    if (!queue.durable() || queue.delays() == nullptr) {
        return false;
    }
    std::vector<engine::DelayMessages> runs;
    engine::DelayTable::Run run;
    bool more = false;
    while (queue.delays()->find_from(from_, run)) {
        more = left == 0 || buffer_.body_bytes() + runs.size() * delay_run_bytes >=
                                core_.options_.backlog.checkpoint_chunk_bytes;
        if (more) {
            break;
        }
        // The parts, which told how often these were delivered, are older.
        const MessageNumber at = std::max(from_, run.range.first);
        engine::LiveRun delayed;
        const bool found = queue.find_live(at, delayed);  // delayed, or to be ended
        MQD_ASSERT(found && delayed.range.first <= at, at);
        const MessageNumber end = std::min(run.range.end(), delayed.range.end());
        runs.push_back({queue.id(), {at, end - at}, run.due, delayed.attempts});
        from_ = end;
        --left;
    }
    if (!runs.empty()) {
        append_delay(buffer_, runs);
    }
    return more;
}

// Until when purged messages are kept, as it is now; behind the delays that they had. Those whose
// end is decided are to end at once, if that comes to nothing.
bool CheckpointPass::encode_purges(const engine::Queue& queue, std::size_t& left) {
    if (!queue.durable() || queue.purges() == nullptr) {
        return false;
    }
    std::vector<engine::PurgeMessages> runs;
    engine::DelayTable::Run run;
    bool more = false;
    while (queue.purges()->find_from(from_, run)) {
        more = left == 0 || runs.size() == remove_ranges_max ||
               buffer_.body_bytes() + runs.size() * purge_run_bytes >=
                   core_.options_.backlog.checkpoint_chunk_bytes;
        if (more) {
            break;
        }
        const bool kept = run.due.clock == engine::DueClock::journal;
        const engine::Time until(std::chrono::nanoseconds(kept ? run.due.at : 0));
        const MessageNumber at = std::max(from_, run.range.first);
        runs.push_back({queue.id(), {at, run.range.end() - at}, until});
        from_ = run.range.end();
        --left;
    }
    if (!runs.empty()) {
        append_purge(buffer_, runs);
    }
    return more;
}

// Which messages belong to groups, as it is now.
bool CheckpointPass::encode_groups(const engine::Queue& queue, std::size_t& left) {
    if (!queue.durable() || queue.groups() == nullptr) {
        return false;
    }
    std::vector<engine::GroupMember> members;
    engine::GroupMember member;
    bool more = false;
    while (queue.groups()->find_from(from_, member)) {
        more = left == 0 || buffer_.body_bytes() + members.size() * group_member_bytes >=
                                core_.options_.backlog.checkpoint_chunk_bytes;
        if (more) {
            break;
        }
        members.push_back(member);
        from_ = member.number.plus(1);
        --left;
    }
    if (!members.empty()) {
        append_group(buffer_, queue.id(), members);
    }
    return more;
}

// How far producers with names have come, as it is now: the groups that this knows of are on the
// disk before the checkpoint counts.
bool CheckpointPass::encode_marks(const engine::Queue& queue, std::size_t& left) {
    if (!queue.durable() || queue.producer_marks() == nullptr) {
        return false;
    }
    const bool written = queue.definition().durability == Durability::written;
    through_ = std::max(through_, written ? core_.applied_written_ : core_.applied_durable_);
    const engine::ProducerMarks& marks = *queue.producer_marks();
    for (auto at = marks.upper_bound(from_name_); at != marks.end(); ++at) {
        if (left == 0 || buffer_.body_bytes() >= core_.options_.backlog.checkpoint_chunk_bytes) {
            return true;
        }
        if (at->second.applied.value() > 0) {
            append_mark_producer(buffer_,
                                 {queue.id(), at->first, at->second.applied, at->second.used});
        }
        from_name_ = at->first;
        --left;
    }
    return false;
}

// The ids that it remembered when this was begun, the oldest first, but for those that it forgot
// since: what it forgets lies at the beginning, and what came since the journal tells again.
bool CheckpointPass::encode_ids(const engine::Queue& queue, std::size_t& left) {
    if (!queue.durable() || queue.dedup() == nullptr) {
        return false;
    }
    const engine::DedupTable& table = queue.dedup()->table();
    if (!ids_.begun || ids_.key != queue.dedup()->key()) {
        const bool written = queue.definition().durability == Durability::written;
        ids_ = {true, queue.dedup()->key(),
                written ? core_.applied_written_ : core_.applied_durable_, 0, table.end()};
        through_ = std::max(through_, ids_.as_of);
        while (ids_.to > table.begin() && !is_told(queue, table.at(ids_.to - 1))) {
            --ids_.to;
        }
    }
    marks_.id = queue.id();
    marks_.as_of = ids_.as_of;
    marks_.key = ids_.key;
    marks_.entries.clear();
    std::size_t bytes = 0;
    for (ids_.from = std::max(ids_.from, table.begin()); ids_.from < ids_.to; ++ids_.from) {
        if (left == 0 ||
            buffer_.body_bytes() + bytes >= core_.options_.backlog.checkpoint_chunk_bytes) {
            break;
        }
        if (const auto& entry = table.at(ids_.from); is_told(queue, entry)) {
            marks_.entries.push_back(entry);
            bytes += dedup_run_bytes + dedup_hash_bytes;
        }
        left -= ids_.from % ids_per_item == 0 ? 1 : 0;
    }
    append_dedup_marks(buffer_, marks_);
    return ids_.from < ids_.to;
}

// What failed before, as it is now: what the journal tells of it besides is merged with it. Returns
// whether more follow.
bool CheckpointPass::encode_failures(const engine::Queue& queue, std::size_t& left) {
    if (!queue.durable()) {
        return false;
    }
    engine::RangeMap<engine::Failure>::Run run;
    while (queue.failures().find_from(from_, run)) {
        if (left == 0 || buffer_.body_bytes() >= core_.options_.backlog.checkpoint_chunk_bytes) {
            return true;
        }
        if (leaves_out_failures_) {
            run.value.reason.reset();
        }
        // That it was rejected is no word for people: it may be part of a transaction.
        if (!leaves_out_failures_ || run.value.rejected) {
            append_note_failure(buffer_, {queue.id(), run.range, run.value});
        }
        from_ = run.range.end();
        --left;
    }
    return false;
}

// Runs and pages in the order of their first numbers, as many as are left. Returns whether more
// follow.
bool CheckpointPass::encode_part(const engine::Queue& queue, std::size_t& left) {
    const bool written = queue.definition().durability == Durability::written;
    StatePart part{queue.id(), from_, behind_all,
                   written ? core_.applied_written_ : core_.applied_durable_};
    runs_.clear();
    pages_.clear();
    if (queue.durable()) {
        const QueuePages* owner = core_.backlog_->pages(queue.id());
        engine::LiveRun run;
        MessageNumber at = from_;
        bool more_runs = queue.find_live(at, run);
        auto page =
            owner == nullptr ? decltype(owner->pages.begin()){} : owner->pages.lower_bound(from_);
        if (owner != nullptr && page != owner->pages.end() && page->second.range.first < from_) {
            ++page;
        }
        const auto more_pages = [&] { return owner != nullptr && page != owner->pages.end(); };
        for (; more_runs || more_pages(); left -= left > 0 ? 1 : 0) {
            const MessageNumber run_at = more_runs ? run.range.first : behind_all;
            const MessageNumber page_at = more_pages() ? page->second.range.first : behind_all;
            // No part ends between a page and the run that begins with it.
            const bool splits = !pages_.empty() && pages_.back()->range.first == run_at;
            if (left == 0 && !splits) {
                part.to = std::min(run_at, page_at);
                break;
            }
            if (page_at <= run_at) {
                pages_.push_back(&page->second);
                ++page;
                continue;
            }
            // A run that reaches behind the next page's beginning is cut there, so that a part can
            // end anywhere; and where its count would not fit its field.
            run.range.count =
                std::min({run.range.count, page_at - run_at, std::uint64_t{UINT32_MAX}});
            runs_.push_back(run);
            at = run.range.end();
            more_runs = queue.find_live(at, run);
        }
    }
    append_state_of(buffer_, part);
    append_restore(buffer_, queue.id(), runs_);
    for (const Page* page : pages_) {
        append_place(buffer_, {queue.id(), page->range, page->address, page->held, page->times});
    }
    // The next numbers are told by the part in which they lie, so that both are as of the same
    // group: what is added to a level behind that is not in this part.
    queue.numbers().for_each_applied([&](MessageNumber next) {
        if (next >= part.from && next < part.to) {
            append_skip_numbers(buffer_, {queue.id(), next});
        }
    });
    from_ = part.to;
    return part.to != behind_all;
}

}  // namespace mqd::core
