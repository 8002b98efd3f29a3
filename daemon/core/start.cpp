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
        const auto id = misfit.record ? decode_queue_id(misfit.record->body) : std::nullopt;
        mender.note_misfit(id.value_or(QueueId()), std::string(misfit.what),
                           Replay::text_of(misfit));
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

// What a start knows until it is over.
class Start {
  public:
    Start(Core& core, storage::Disk& disk)
        : core_(core),
          disk_(disk),
          salvaging_(core.options_.on_damage == OnDamage::salvage),
          mender_(core, disk),
          replay_(salvaging_ ? Replay(core, mending(mender_), &mender_) : Replay(core)),
          salvage_(core, disk) {}

    Result<void> run(storage::Worker& commit, storage::Worker& background);

  private:
    Result<storage::Checkpoint> restore_state();
    Result<void> open_journal(storage::Worker& commit, storage::Worker& background);
    Result<void> judge_journal();
    Result<void> find_bodies();
    Result<void> find_bodies_elsewhere();
    void take_over_journal();

    Core& core_;
    storage::Disk& disk_;
    const bool salvaging_;
    Mender mender_;
    Replay replay_;
    Salvage salvage_;
    storage::Checkpoint checkpoint_;
};

Result<void> Start::run(storage::Worker& commit, storage::Worker& background) {
    if (auto there = check_journal_there(disk_); !there) {
        return there;
    }
    core_.backlog_ = std::make_unique<Backlog>(core_, disk_, background);
    auto checkpoint = restore_state();
    if (!checkpoint) {
        return checkpoint.error();
    }
    checkpoint_ = *checkpoint;
    if (auto opened = open_journal(commit, background); !opened) {
        return opened;
    }
    if (auto judged = judge_journal(); !judged) {
        return judged;
    }
    core_.checkpoint_ = std::make_unique<CheckpointPass>(core_, disk_, background, checkpoint_);
    core_.backup_ = std::make_unique<Backup>(core_, disk_, background);
    core_.go_on_from_recovery();
    if (auto fitting = core_.check_group_size(); !fitting) {
        return fitting;
    }
    if (auto found = salvaging_ ? find_bodies() : core_.check_complete(); !found) {
        return found;
    }
    if (auto opened = core_.backlog_->open(); !opened) {
        return opened;
    }
    if (auto removed = storage::remove_left_snapshot(disk_); !removed) {
        return removed;
    }
    take_over_journal();
    core_.engine_.judge_attempts();
    core_.engine_.judge_groups();
    core_.append_start_records();
    mender_.append_records();
    salvage_.append_records();
    return {};
}

Result<storage::Checkpoint> Start::restore_state() {
    if (!salvaging_) {
        return read_state(disk_, replay_);
    }
    LostState lost_state(core_, disk_, mender_, replay_);
    const auto lost = lost_state.is_lost();
    if (!lost) {
        return lost.error();
    }
    return *lost ? lost_state.restore() : read_state(disk_, replay_);
}

Result<void> Start::open_journal(storage::Worker& commit, storage::Worker& background) {
    const storage::JournalSalvage passing_over{[&](const storage::Damage& damage) -> Result<void> {
                                                   mender_.note_damage(damage.text);
                                                   return {};
                                               },
                                               checkpoint_.through,
                                               [this] { return mender_.mended(); }};
    auto opened = storage::Journal::open(
        disk_, commit, background, core_.options_.journal, core_,
        [&](const storage::GroupView& group) -> Result<void> {
            auto applied = replay_.group(group);
            return applied && mender_.failure() ? *mender_.failure() : applied;
        },
        salvaging_ ? &passing_over : nullptr);
    if (!opened) {
        return opened.error();
    }
    core_.journal_ = std::move(*opened);
    return {};
}

Result<void> Start::judge_journal() {
    const storage::Recovery& recovery = core_.journal_->recovery();
    if (recovery.last < checkpoint_.through) {
        const std::string text =
            "the journal ends with group " + std::to_string(recovery.last.value()) +
            ", and the checkpoint tells of group " + std::to_string(checkpoint_.through.value());
        if (!salvaging_) {
            return Error{ErrorCode::damaged, text};
        }
        mender_.note_damage(text);
    }
    if (mender_.damaged()) {
        mender_.note_lost_end(recovery.last < core_.journal_->last());
    }
    mender_.tell_losses();
    return {};
}

Result<void> Start::find_bodies() {
    if (auto looked = salvage_.forget_damaged_pages(); !looked) {
        return looked;
    }
    if (mender_.any_nowhere()) {
        if (auto found = find_bodies_elsewhere(); !found) {
            return found;
        }
    }
    salvage_.give_up();
    return {};
}

Result<void> Start::find_bodies_elsewhere() {
    const storage::JournalSalvage once_more{
        [](const storage::Damage&) { return Result<void>(); }, {}, {}};
    const auto read = storage::salvage_journal(
        disk_, [&](const storage::GroupView& group) { return replay_.bodies(group); }, once_more);
    return read ? mender_.search_segments() : read.error();
}

void Start::take_over_journal() {
    storage::Journal& journal = *core_.journal_;
    std::uint64_t booked = 0;
    core_.journal_blocks_.for_each_file([&](storage::FileOrdinal, const Block* block) {
        for (; block != nullptr; block = block->next) {
            booked += block->booked_bytes;
        }
        return true;
    });
    journal.book_recovered(booked);
    core_.applied_durable_ = core_.applied_written_ = journal.last();
    auto& files = core_.journal_files_;
    if (journal.current_file().value() != 0 &&
        (files.empty() || files.back().file != journal.current_file())) {
        files.push_back({journal.current_file(), journal.last()});
    }
    if (journal.recovery().damaged || salvage_.found_damage()) {
        core_.backlog_->empty_files(journal.current_file());
    }
    core_.release_files();
}

Result<void> Core::start(storage::Disk& disk, storage::Worker& commit, storage::Worker& background,
                         Now now) {
    now_ = now;
    history_.begin(now.wall);
    return Start(*this, disk).run(commit, background);
}

// The journal clock goes on behind the last group's, and frames have to fit into a group.
void Core::go_on_from_recovery() {
    const storage::Recovery& recovery = journal_->recovery();
    const std::chrono::nanoseconds wall = now_.wall.time_since_epoch();
    now_.journal = engine::Time(std::chrono::nanoseconds(
        recovery.last_time.journal_ns +
        std::max<std::int64_t>(0, wall.count() - recovery.last_time.wall_ns)));
    options_.frame_body_bytes_max = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(options_.frame_body_bytes_max, journal_->group_bytes_max()));
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
MessageNumber Core::next_after_crash(const engine::Queue& queue, MessageNumber next) const {
    if constexpr (storage::planted(storage::Fault::reused_number)) {
        return next;
    }
    if (queue.definition().durability == Durability::written || journal_->recovery().damaged) {
        next = next.plus(written_numbers_skip);
    }
    const auto told =
        queue.numbers().has_levels() ? told_early_.end() : told_early_.find(queue.id());
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

// Of each row of the queue's numbers.
void Core::append_skips(const engine::Queue& queue) {
    std::vector<engine::SkipNumbers> skips;
    queue.numbers().for_each_applied([&](MessageNumber applied) {
        if (const MessageNumber next = next_after_crash(queue, applied); next > applied) {
            skips.push_back({queue.id(), next});
        }
    });
    for (const engine::SkipNumbers& skip : skips) {
        CommitGroup& group = open_group(record_header_bytes + 12);
        engine_.apply(skip);
        append_skip_numbers(group.buffer, skip);
        raise_need(group, Need::durable);
    }
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
        lifetimes_.made(*queue);
        const std::size_t bytes = 4 * record_header_bytes + 64 + queue->name().size();
        if (!queue->durable()) {
            CommitGroup& group = open_group(bytes + create_queue_bytes(queue->definition()));
            engine_.admit_delete(*queue);
            append_delete_queue(group.buffer, queue->id());
            group.commands.push_back(
                {PendingCommand::Kind::remove_queue, Durability::disk, queue, nullptr, 0, 0});
            raise_need(group, Need::durable);
            if (!queue->definition().temporary) {  // its session is gone
                append_create(engine_.admit_recreate(*queue));
            }
        } else if (!journal_->recovery().clean) {
            append_skips(*queue);
        }
        dedup_.started(*queue);
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
