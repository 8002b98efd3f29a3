// The commit groups: filled while the one before is on its way, submitted when somebody waits for
// them (or when what nobody waits for is old enough), applied when they are as durable as their
// queues.

#include <algorithm>

#include "daemon/core/core.hpp"
#include "daemon/core/queue_options.hpp"
#include "daemon/core/record.hpp"
#include "daemon/core/session.hpp"
#include "daemon/storage/passing_error.hpp"

namespace mqd::core {

namespace {

// `written` data is synced at the latest when so much of it is not. Bounds, with
// written_numbers_skip in start.cpp, how many visible numbers a power loss can take.
constexpr std::uint64_t unsynced_bytes_max = 8 * 1024 * 1024;
// Of messages carried forward in one turn.
constexpr std::uint64_t carry_bytes_per_turn = 1024 * 1024;
constexpr std::uint64_t carry_ratio = 16;
// What rides along books no room: so much of it may wait, out of what is kept for acks.
constexpr std::uint64_t aside_share = 16;  // of a journal file

}  // namespace

storage::GroupTime Core::group_time() const {
    const std::chrono::nanoseconds wall = now_.wall.time_since_epoch();
    return {now_.journal.time_since_epoch().count(), wall.count()};
}

CommitGroup& Core::open_group(std::size_t record_bytes) {
    const std::size_t overhead = storage::GroupBuffer::header_bytes + storage::block_bytes;
    const bool room =
        !pending_.empty() && pending_.back().buffer.body_bytes() + record_bytes + overhead <=
                                 journal_->group_bytes_max();
    if (!room) {
        if (spare_groups_.empty()) {
            pending_.emplace_back();
        } else {
            pending_.push_back(std::move(spare_groups_.back()));
            spare_groups_.pop_back();
        }
        pending_.back().id = next_commit_;
        next_commit_ = next_commit_.plus(1);
    }
    if (ride_deadline_ == engine::Time::max()) {
        ride_deadline_ = now_.journal + options_.commit_delay_max;
    }
    sealed_ = sealed_for_stop_ = false;
    return pending_.back();
}

// For what nobody relies on before a checkpoint tells it: delivery counts and failures. Null: there
// is no room for it now, and a checkpoint is owed instead.
CommitGroup* Core::open_aside(std::size_t record_bytes) {
    if (aside_bytes_ + record_bytes > options_.journal.file_bytes / aside_share) {
        ++left_out_;
        left_out_last_ = CommitId(next_commit_.value() - 1);
        left_out_first_ = owes_checkpoint_ ? left_out_first_ : left_out_last_;
        owes_checkpoint_ = true;
        return nullptr;
    }
    CommitGroup& group = open_group(record_bytes);
    group.aside_bytes += record_bytes;
    aside_bytes_ += record_bytes;
    return &group;
}

void Core::raise_need(CommitGroup& group, Need need) {
    group.need = std::max(group.need, need);
    group.written_awaited = group.written_awaited || need == Need::written;
}

void Core::commit_turn() {
    if (journal_->busy()) {
        return;
    }
    if (pending_.empty()) {
        const bool unsynced = journal_->durable() < journal_->last();
        if (unsynced && (now_.journal >= sync_deadline_ || stopping_ || wants_sync())) {
            journal_->sync();
        } else if (!unsynced && in_flight_.empty() && !sealed_ &&
                   (now_.journal >= seal_deadline_ || (stopping_ && sessions_.empty()))) {
            submit_seal();
        } else if (!unsynced && stopping_ && sessions_.empty() && !sealed_for_stop_) {
            submit_seal();
        }
        return;
    }
    const CommitGroup& front = pending_.front();
    const bool old = now_.journal >= ride_deadline_ || stopping_;
    if (pending_.size() == 1 && front.need == Need::nothing && !old) {
        return;
    }
    if (!waits_for_segments(front.buffer.file_bytes())) {
        submit_front(front.need == Need::durable || old || wants_sync() ||
                     journal_->unsynced_bytes() >= unsynced_bytes_max);
    }
}

// The last file that is left is begun only when all that lives in the oldest one is in segments as
// well, so that there is room for the records that say so, after which the oldest one is recycled.
bool Core::waits_for_segments(std::size_t group_bytes) const {
    const auto file = journal_->file_to_carry();
    if (!file || backlog_->refusal() || backlog_->holds_all_of(*file)) {
        return false;
    }
    return journal_->needs_new_file(group_bytes) ||
           (!journal_->new_file_ready() &&
            journal_->needs_new_file(group_bytes + options_.journal.file_bytes / 4));
}

void Core::submit_front(bool sync) {
    CommitGroup& front = pending_.front();
    storage::GroupBuffer* state = nullptr;
    if (journal_->needs_new_file(front.buffer.file_bytes())) {
        // The state group tells of everything before it, so all of that has to be durable and
        // applied.
        if (journal_->durable() < journal_->last()) {
            journal_->sync();
            return;
        }
        waits_for_room_ = !journal_->new_file_ready();
        if (waits_for_room_ && journal_->seal_wanted()) {
            storage::GroupBuffer empty;
            journal_->submit(empty, storage::GroupKind::seal, group_time(), storage::Reach::durable,
                             nullptr);
            return;
        }
        if (!in_flight_.empty() || waits_for_room_) {
            return;  // a completion or journal_room_changed() comes
        }
        state = &state_buffer_;
    } else if (journal_->better_file_ready() && in_flight_.empty() &&
               journal_->durable() == journal_->last()) {
        state = &state_buffer_;
    }
    if (state != nullptr) {
        encode_state(*state);
    }
    const storage::Reach reach = !sync                   ? storage::Reach::written
                                 : front.written_awaited ? storage::Reach::written_then_durable
                                                         : storage::Reach::durable;
    const auto submitted =
        journal_->submit(front.buffer, storage::GroupKind::records, group_time(), reach, state);
    front.sequence = submitted.sequence;
    for (const PendingCommand& command : front.commands) {
        if (command.kind == PendingCommand::Kind::add) {
            journal_blocks_.link(*command.block, submitted.file);
            command.block->take(now_.journal);  // as the head of the group says
        }
    }
    for (Block* block : front.carried) {
        if (block->file.value() != 0) {  // neither ended nor written to a segment meanwhile
            unlink_from_file(*block);
            journal_blocks_.link(*block, submitted.file);
        }
        block->drop_reference();
    }
    front.carried.clear();
    note_file(submitted);
    aside_bytes_ -= front.aside_bytes;
    backlog_->placed(front.placed);
    front.placed.clear();
    in_flight_.push_back(std::move(front));
    pending_.pop_front();
    ride_deadline_ =
        pending_.empty() ? engine::Time::max() : now_.journal + options_.commit_delay_max;
    sync_deadline_ = sync ? engine::Time::max()
                          : std::min(sync_deadline_, now_.journal + options_.written_sync_max);
}

void Core::submit_seal() {
    storage::GroupBuffer empty;
    storage::GroupBuffer* state = nullptr;
    if (journal_->needs_new_file(empty.file_bytes())) {
        if (!stopping_) {
            sealed_ = true;  // not worth a new file: the state group that begins it will say it
            return;
        }
        waits_for_room_ = !journal_->new_file_ready();
        if (waits_for_room_) {
            if (journal_->seal_wanted()) {
                journal_->submit(empty, storage::GroupKind::seal, group_time(),
                                 storage::Reach::durable, nullptr);
            }
            return;
        }
        encode_state(state_buffer_);
        state = &state_buffer_;
    }
    const bool last = stopping_ && sessions_.empty();
    note_file(journal_->submit(empty,
                               last ? storage::GroupKind::clean_stop : storage::GroupKind::seal,
                               group_time(), storage::Reach::durable, state));
    sealed_ = true;
    sealed_for_stop_ = last;
}

void Core::journal_written(Sequence sequence) {
    if (failure_) {
        return;
    }
    for (CommitGroup& group : in_flight_) {
        if (group.sequence > sequence) {
            break;
        }
        if (group.whole) {
            sequence = Sequence(group.sequence.value() - 1);
            break;
        }
        apply_written(group);
    }
    applied_written_ = std::max(applied_written_, sequence);
}

void Core::journal_durable(Sequence sequence) {
    if (failure_) {
        return;
    }
    while (!in_flight_.empty() && in_flight_.front().sequence <= sequence) {
        apply_durable(in_flight_.front());
        in_flight_.front().clear();
        spare_groups_.push_back(std::move(in_flight_.front()));
        in_flight_.pop_front();
    }
    applied_durable_ = sequence;
    applied_written_ = std::max(applied_written_, sequence);
    sync_deadline_ = in_flight_.empty() ? engine::Time::max() : sync_deadline_;
    seal_deadline_ = now_.journal + options_.seal_delay;
    serving_ = serving_ || (pending_.empty() && in_flight_.empty());
}

void Core::journal_failed(const Error& error) {
    if (!failure_) {
        failure_ = error;
    }
}

void Core::journal_room_changed() {
    waits_for_room_ = false;  // end_turn() tries again whatever waits
}

void Core::apply_written(CommitGroup& group) {
    if (group.applied_written) {
        return;
    }
    group.applied_written = true;
    for (PendingCommand& command : group.commands) {
        if (command.level == Durability::written) {
            apply(group, command);
        }
    }
    written_commit_ = group.id;
    answers_due_ = true;
}

void Core::apply_durable(CommitGroup& group) {
    apply_written(group);
    for (PendingCommand& command : group.commands) {
        if (command.level == Durability::disk) {
            apply(group, command);
        }
    }
    durable_commit_ = group.id;
    answers_due_ = true;
}

void Core::apply(CommitGroup& group, PendingCommand& command) {
    switch (command.kind) {
        case PendingCommand::Kind::add: {
            Block& block = *command.block;
            command.queue->arrived(block.bytes);
            engine_.apply(*command.queue,
                          engine::AddMessages{block.queue, {block.first, block.count}},
                          std::span(group.members).subspan(command.first, command.count));
            admitted_members_ -= command.count;
            engine_.announce_resident(*command.queue, block);
            command.block = nullptr;  // the engine's from now on
            break;
        }
        case PendingCommand::Kind::add_batch:
            add_batch(*command.queue, group.batches[command.first]);
            break;
        case PendingCommand::Kind::delay:
            for (std::uint32_t i = 0; i < command.count; ++i) {
                engine_.apply(group.delays[command.first + i]);
            }
            admitted_delays_ -= command.count;
            break;
        case PendingCommand::Kind::mark: {
            const PendingMark& taken = group.marks[command.first];
            engine::Engine::apply(*taken.mark, taken.line, taken.used);
            break;
        }
        case PendingCommand::Kind::dedup: dedup_.open(group.dedups[command.first]); break;
        case PendingCommand::Kind::remove: {
            const std::span<const MessageRange> ranges(group.ranges.data() + command.first,
                                                       command.count);
            engine_.apply(*command.queue, engine::RemoveMessages{command.queue->id(), ranges});
            free_released();
            backlog_->removed(*command.queue, ranges);
            break;
        }
        case PendingCommand::Kind::reject:
            apply_reject(*command.queue, group.rejects[command.first]);
            break;
        case PendingCommand::Kind::create:
            engine_.apply(group.creates[command.first]);
            lifetimes_.made(*engine_.find(group.creates[command.first].id));
            break;
        case PendingCommand::Kind::update: apply_update(group.updates[command.first]); break;
        case PendingCommand::Kind::remove_queue: {
            const QueueId id = command.queue->id();
            forget_queue(*command.queue);
            checkpoint_->queue_removed(*command.queue);
            engine_.apply(engine::DeleteQueue{id});
            free_released();
            backlog_->queue_removed(id);
            break;
        }
    }
}

void Core::apply_update(const PendingUpdate& update) {
    const engine::Queue* queue = engine_.find(update.id);
    if (queue == nullptr) {
        return;  // deleted meanwhile
    }
    wire::QueueOptions options = update.options;
    if (options.dead_letter) {
        options.dead_letter = update.dead_letter;
    }
    engine::QueueDefinition definition = queue->definition();
    set_options(definition, options);
    const engine::QueueDefinition before = queue->definition();
    engine_.apply(engine::UpdateQueue{update.id, std::move(definition)});
    history_.changed(*queue, before);
    if (before.ttl != queue->definition().ttl) {
        backlog_->ttl_changed(*queue);
    }
    dedup_.updated(update.id);
    lifetimes_.made(*queue);
}

// The queue is about to go: no handle may point to it any more.
void Core::forget_queue(engine::Queue& queue) {
    told_early_.erase(queue.id());
    waiting_publishes_.queue_gone(queue);
    for (Session* session : sessions_) {
        session->forget_queue(queue);
    }
    lifetimes_.forget(queue);
    history_.forget(queue.id());
}

// --- journal files

void Core::unlink_from_file(Block& block) {
    if (journal_blocks_.unlink(block) && journal_) {
        release_files();
    }
}

void Core::unbook(Block& block) {
    if (block.booked_bytes != 0) {
        if (journal_) {
            journal_->unbook(block.booked_bytes);
        }
        block.booked_bytes = 0;
        durable_messages_ -= block.count;
    }
}

void Core::note_file(const storage::Journal::Submitted& submitted) {
    if (journal_files_.empty() || journal_files_.back().file != submitted.file) {
        // The group is the first behind the state group.
        journal_files_.push_back({submitted.file, Sequence(submitted.sequence.value() - 1)});
        release_files();
    }
}

// A file is not needed any more if no message lives in it, and the checkpoint tells what was up to
// its end.
void Core::release_files() {
    if (!checkpoint_) {
        return;  // not yet started
    }
    const Sequence told = checkpoint_->last().from;
    while (!journal_files_.empty() && journal_files_.front().file < journal_->oldest_file()) {
        journal_files_.pop_front();
    }
    for (std::size_t i = 0; i + 1 < journal_files_.size(); ++i) {
        if (journal_files_[i + 1].first > told.plus(1)) {
            return;
        }
        if (!journal_blocks_.needed(journal_files_[i].file)) {
            journal_->file_emptied(journal_files_[i].file);
        }
    }
}

// --- checkpoints

// One is due whenever a journal file was begun since the last one began, and when one is owed.
void Core::checkpoint_turn() {
    // After a salvage the only file may be one that does not begin where the checkpoint ends.
    const Sequence told = checkpoint_->last().from.plus(1);
    const bool due = !journal_files_.empty() && journal_files_.back().first > told &&
                     (journal_files_.size() >= 2 || journal_files_.front().first > told) &&
                     applied_durable_ >= journal_files_.back().first;
    const bool wanted = !stopping_ || waits_for_room_;  // files are recycled only after it
    const bool held = checkpoint_->active() || backup_->holds_checkpoints();
    // What it is owed for comes behind all that was let in before, which is replayed.
    const bool owed = owes_checkpoint_ && durable_commit_ >= left_out_first_;
    if (((due && wanted) || owed) && !held && now_.journal >= checkpoint_retry_) {
        left_out_before_ = durable_commit_ >= left_out_last_ ? left_out_ : left_out_before_;
        checkpoint_->begin();
        // From when its last byte is on the disk a start knows of no failures; and the process may
        // end before it hears of that.
        owes_checkpoint_ = owes_checkpoint_ || checkpoint_->leaves_out_failures();
    }
    checkpoint_->turn();
}

void Core::checkpoint_done(const Result<void>& written) {
    answers_due_ = true;  // producers may have been kept waiting
    if (written) {
        checkpoint_retry_ = engine::Time::min();
        // While it was written, or too late for it; or there was no room for failures.
        owes_checkpoint_ = left_out_ != left_out_before_ || !checkpoint_->told_failures();
        left_out_first_ = left_out_last_;
        release_files();
    } else if (storage::is_passing(written.error())) {
        checkpoint_retry_ = now_.journal + storage::retry_every;
        complain("no checkpoint could be written, and the one before stands: " +
                 written.error().text);
    } else {
        journal_failed(written.error());
    }
}

// Room runs short, and segments cannot be written: what still lives in the oldest file is written
// again at the head of the journal, so that the file can be recycled. Its bytes were booked for
// that.
void Core::carry_turn() {
    const auto file = journal_->file_to_carry();
    if (!file || !backlog_->refusal()) {
        return;
    }
    // docs/storage.md, "Room": a group carries many times what it holds of anything else.
    std::uint64_t other = 0;
    for (const CommitGroup& group : pending_) {
        if (!group.carried.empty()) {
            return;  // what is on its way still lies in the old file
        }
        other += group.buffer.body_bytes();
    }
    const std::uint64_t wanted = std::max(carry_bytes_per_turn, carry_ratio * other);
    std::uint64_t bytes = 0;
    for (Block* block = journal_blocks_.first(*file); block != nullptr && bytes < wanted;
         block = block->next) {
        bytes += block->bytes;
        carry_block(*block);
    }
}

void Core::carry_block(Block& block) {
    const engine::Queue* queue = engine_.find(block.queue);
    MQD_ASSERT(queue != nullptr, block.queue);
    if (queue->deleting()) {
        return;  // goes with its queue
    }
    // What is ending does not need it: the record that ends it stands before this one.
    std::vector<MessageRange> living;
    queue->peek(block.first, [&](const engine::Extent& extent, MessageRange range, std::uint32_t,
                                 engine::LiveState state) {
        if (&extent == &block && state != engine::LiveState::ending) {
            if (!living.empty() && living.back().end() == range.first) {
                living.back().count += range.count;
            } else {
                living.push_back(range);
            }
        }
        return &extent == &block;
    });
    if (living.empty()) {
        return;
    }
    // All of a block goes into one group: after a crash it is wholly in the old place or the new.
    CommitGroup& group =
        open_group(block.bytes + block.count * (record_header_bytes + messages_fixed_bytes) +
                   taken_record_bytes);
    if (tells_taken(*queue, block)) {
        append_taken(group.buffer, {queue->id(), block.taken});
    }
    for (const MessageRange& range : living) {
        const MessagesRecord record{queue->id(), range, block.published, block.sender,
                                    block.slice(range)};
        append_messages(group.buffer, RecordType::carry_messages, record);
    }
    block.add_reference();
    group.carried.push_back(&block);
    raise_need(group, Need::durable);
}

// Where the state is. The checkpoint that stands now, or a later one, is still there when this file
// is the oldest.
void Core::encode_state(storage::GroupBuffer& state) const {
    state.clear();
    append_see_checkpoint(state, checkpoint_->last().number);
}

}  // namespace mqd::core
