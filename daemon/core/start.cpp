// The start: checkpoint and journal are replayed, what they left is checked, and what must not be
// said twice is said anew.

#include <algorithm>

#include "daemon/core/backlog.hpp"
#include "daemon/core/checkpoint_pass.hpp"
#include "daemon/core/core.hpp"
#include "daemon/core/lost_state.hpp"
#include "daemon/core/mender.hpp"
#include "daemon/core/record.hpp"
#include "daemon/core/replay.hpp"
#include "daemon/core/salvage.hpp"
#include "daemon/core/session.hpp"
#include "daemon/storage/journal_survey.hpp"
#include "daemon/storage/planted_fault.hpp"
#include "daemon/storage/recovery.hpp"

namespace mqd::core {

namespace {

// So many numbers of a `written` queue are left out after an end without a clean stop: more than a
// power loss can have taken, so that none that was visible is given out again. The journal syncs at
// 8 MiB, on top of at most one group that was on its way (see commit.cpp).
constexpr std::uint64_t written_numbers_skip = 1ull << 26;
constexpr std::uint32_t queue_ids_skip = 1u << 16;  // after damage

// Journal files are there before anything else is, and stay. Without them the store would be taken
// for an empty one, and its segments for left-overs.
Result<void> check_journal_there(storage::Disk& disk) {
    const auto names = disk.list();
    if (!names) {
        return names.error();
    }
    std::string other;
    for (const std::string& name : *names) {
        if (storage::journal_file_number(name)) {
            return {};
        }
        const bool checkpoint =
            name == storage::checkpoint_file_name(0) || name == storage::checkpoint_file_name(1);
        if (checkpoint || storage::segment_file_number(name)) {
            other = name;
        }
    }
    return other.empty() ? Result<void>()
                         : Error{ErrorCode::damaged, disk.path(other) +
                                                         " is there, and no journal file: this is "
                                                         "no empty store"};
}

// A record that does not fit is told, and mended. Without the state that it builds upon there is
// nothing to begin with.
Replay::MisfitFunction mending(Mender& mender) {
    return [&mender](const Replay::Misfit& misfit) -> Result<void> {
        if (misfit.no_state && !mender.is_without_state()) {
            return Error{ErrorCode::damaged, Replay::text_of(misfit)};
        }
        QueueId id;
        if (misfit.record && misfit.record->body.size() >= sizeof(std::uint32_t)) {
            id = decode_queue_id(misfit.record->body.first(sizeof(std::uint32_t))).value_or(id);
        }
        mender.note_misfit(id, std::string(misfit.what), Replay::text_of(misfit));
        return {};
    };
}

Result<storage::Checkpoint> read_state(storage::Disk& disk, Replay& replay) {
    auto checkpoint =
        storage::read_checkpoint(disk, [&](wire::Bytes body) { return replay.checkpoint(body); });
    if (checkpoint) {
        if (auto fitting = replay.checkpoint_read(*checkpoint); !fitting) {
            return fitting.error();
        }
    }
    return checkpoint;
}

}  // namespace

Result<void> Core::start(storage::Disk& disk, storage::Worker& commit, storage::Worker& background,
                         Now now) {
    now_ = now;
    if (auto there = check_journal_there(disk); !there) {
        return there;
    }
    backlog_ = std::make_unique<Backlog>(*this, disk, background);
    const bool salvaging = options_.on_damage == OnDamage::salvage;
    Mender mender(*this, disk);
    Replay replay = salvaging ? Replay(*this, mending(mender), &mender) : Replay(*this);
    LostState lost_state(*this, disk, mender, replay);
    const auto lost = salvaging ? lost_state.is_lost() : Result<bool>(false);
    if (!lost) {
        return lost.error();
    }
    const auto checkpoint = *lost ? lost_state.restore() : read_state(disk, replay);
    if (!checkpoint) {
        return checkpoint.error();
    }
    const storage::JournalSalvage passing_over{[&](const storage::Damage& damage) -> Result<void> {
                                                   mender.note_damage(damage.text);
                                                   return {};
                                               },
                                               checkpoint->through, mender.is_without_state()};
    auto opened = storage::Journal::open(
        disk, commit, background, options_.journal, *this,
        [&](const storage::GroupView& group) -> Result<void> {
            auto applied = replay.group(group);
            return applied && mender.failure() ? *mender.failure() : applied;
        },
        salvaging ? &passing_over : nullptr);
    if (!opened) {
        return opened.error();
    }
    journal_ = std::move(*opened);
    const storage::Recovery& recovery = journal_->recovery();
    if (recovery.last < checkpoint->through) {
        const std::string text =
            "the journal ends with group " + std::to_string(recovery.last.value()) +
            ", and the checkpoint tells of group " + std::to_string(checkpoint->through.value());
        if (!salvaging) {
            return Error{ErrorCode::damaged, text};
        }
        mender.note_damage(text);
    }
    if (mender.damaged()) {
        mender.note_lost_end(recovery.last < journal_->last());
    }
    mender.tell_losses();
    checkpoint_ = std::make_unique<CheckpointPass>(*this, disk, background, *checkpoint);
    backup_ = std::make_unique<Backup>(*this, disk, background);
    const std::chrono::nanoseconds wall = now.wall.time_since_epoch();
    now_.journal = engine::Time(std::chrono::nanoseconds(
        recovery.last_time.journal_ns +
        std::max<std::int64_t>(0, wall.count() - recovery.last_time.wall_ns)));
    options_.frame_body_bytes_max = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(options_.frame_body_bytes_max, journal_->group_bytes_max()));
    if (auto fitting = check_group_size(); !fitting) {
        return fitting;
    }
    Salvage salvage(*this, disk);
    if (auto complete = salvaging ? salvage.forget_damaged_pages() : check_complete(); !complete) {
        return complete;
    }
    if (salvaging && mender.any_nowhere()) {
        const storage::JournalSalvage once_more{
            [](const storage::Damage&) { return Result<void>(); }, passing_over.seen,
            passing_over.begin_anew};
        const auto read = storage::salvage_journal(
            disk, [&](const storage::GroupView& group) { return replay.bodies(group); }, once_more);
        if (!read) {
            return read.error();
        }
        if (auto searched = mender.search_segments(); !searched) {
            return searched;
        }
    }
    if (salvaging) {
        salvage.give_up();
    }
    if (auto opened_backlog = backlog_->open(); !opened_backlog) {
        return opened_backlog;
    }
    if (auto removed = storage::remove_left_snapshot(disk); !removed) {
        return removed;
    }
    std::uint64_t booked = 0;
    journal_blocks_.for_each_file([&](storage::FileOrdinal, const Block* block) {
        for (; block != nullptr; block = block->next) {
            booked += block->booked_bytes;
        }
        return true;
    });
    journal_->book_recovered(booked);
    applied_durable_ = applied_written_ = journal_->last();
    if (journal_->current_file().value() != 0 &&
        (journal_files_.empty() || journal_files_.back().file != journal_->current_file())) {
        journal_files_.push_back({journal_->current_file(), journal_->last()});
    }
    if (recovery.damaged || salvage.found_damage()) {
        backlog_->empty_files(journal_->current_file());
    }
    release_files();
    append_start_records();
    mender.append_records();
    salvage.append_records();
    return {};
}

// What is carried has to fit into a group: the files may have become smaller than those of which
// the store was made.
Result<void> Core::check_group_size() const {
    std::uint64_t carried = 0;
    journal_blocks_.for_each_file([&](storage::FileOrdinal, const Block* block) {
        for (; block != nullptr; block = block->next) {
            carried = std::max(carried, carry_bytes_max(block->bytes, block->count));
        }
        return true;
    });
    if (carried > journal_->group_bytes_max()) {
        return Error{ErrorCode::bad_config,
                     "storage.journal_file_bytes is too small for the batches in the store: it "
                     "takes at least " +
                         std::to_string(4 * carried) + " bytes",
                     4 * carried};
    }
    return {};
}

// Behind all numbers that somebody may have seen, and that a crash may have taken.
MessageNumber Core::next_after_crash(const engine::Queue& queue) const {
    MessageNumber next = queue.next_applied();
    if constexpr (storage::planted(storage::Fault::reused_number)) {
        return next;
    }
    if (queue.definition().durability == Durability::written || journal_->recovery().damaged) {
        next = next.plus(written_numbers_skip);
    }
    const auto told = told_early_.find(queue.id());
    return told == told_early_.end() ? next : std::max(next, told->second.next);
}

// Every live message has its bytes.
Result<void> Core::check_complete() const {
    for (const auto& [name, queue] : engine_.queues()) {
        for (const engine::LiveRun& run : queue->live_runs()) {
            for (MessageNumber at = run.range.first; at < run.range.end();) {
                if (const Page* page = backlog_->page_at(queue->id(), at)) {
                    at = page->range.end();
                    continue;
                }
                const engine::Extent* extent = queue->extent_at(at);
                if (extent == nullptr) {
                    return Error{ErrorCode::damaged,
                                 "message " + format_message_id(name, queue->id(), at) +
                                     " is alive, and neither a journal file nor a "
                                     "segment holds it"};
                }
                at = extent->end();
            }
        }
    }
    return {};
}

// The messages of memory queues ended with the process, and their numbers with them: each such
// queue goes on under a new id. `written` queues may have lost numbers that were seen.
void Core::append_start_records() {
    if (journal_->recovery().damaged) {
        // Queues may have been made that nobody knows of any more; their ids are not given out
        // again.
        engine_.restore_next_queue_id(engine_.next_queue_id().plus(queue_ids_skip));
    }
    std::vector<engine::Queue*> queues;
    for (const auto& [name, queue] : engine_.queues()) {
        queues.push_back(queue);
    }
    for (engine::Queue* queue : queues) {
        const std::size_t bytes = 4 * record_header_bytes + 64 + queue->name().size();
        if (!queue->durable()) {
            CommitGroup& group = open_group(bytes);
            engine_.admit_delete(*queue);
            append_delete_queue(group.buffer, queue->id());
            group.commands.push_back({PendingCommand::Kind::remove_queue, queue, nullptr, 0, 0});
            group.creates.push_back(engine_.admit_recreate(*queue));
            append_create_queue(group.buffer, group.creates.back());
            group.commands.push_back({PendingCommand::Kind::create, nullptr, nullptr,
                                      static_cast<std::uint32_t>(group.creates.size() - 1), 0});
            raise_need(group, Need::durable);
        } else if (const MessageNumber next = next_after_crash(*queue);
                   next > queue->next_applied() && !journal_->recovery().clean) {
            CommitGroup& group = open_group(bytes);
            const engine::SkipNumbers skip{queue->id(), next};
            engine_.apply(skip);
            append_skip_numbers(group.buffer, skip);
            raise_need(group, Need::durable);
        }
    }
    if (journal_->recovery().clean || journal_->recovery().damaged) {
        // Whatever a power loss takes from now on: the journal does not end with the clean stop any
        // more. And a group has to go into a new file, behind all damage.
        CommitGroup& group = open_group(record_header_bytes + 4);
        append_next_queue_id(group.buffer, engine_.next_queue_id());
        raise_need(group, Need::durable);
    }
}

}  // namespace mqd::core
