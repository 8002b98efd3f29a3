// The commit groups: filled while the one before is on its way, submitted when somebody waits for
// them (or when what nobody waits for is old enough), applied when they are as durable as their
// queues.

#include <algorithm>

#include "daemon/core/core.hpp"
#include "daemon/core/record.hpp"
#include "daemon/core/session.hpp"

namespace mqd::core {

namespace {

// `written` data is synced at the latest when so much of it is not. Bounds, with
// written_numbers_skip in replay.cpp, how many visible numbers a power loss can take.
constexpr std::uint64_t unsynced_bytes_max = 8 * 1024 * 1024;
// Of messages carried forward in one turn.
constexpr std::uint64_t carry_bytes_per_turn = 1024 * 1024;
constexpr std::uint64_t carry_ratio = 16;

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
    sealed_ = false;
    return pending_.back();
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
        if (unsynced && (now_.journal >= sync_deadline_ || stopping_)) {
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
    submit_front(front.need == Need::durable || old ||
                 journal_->unsynced_bytes() >= unsynced_bytes_max);
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
    const storage::FileOrdinal file_before = journal_->current_file();
    const storage::Reach reach = !sync                   ? storage::Reach::written
                                 : front.written_awaited ? storage::Reach::written_then_durable
                                                         : storage::Reach::durable;
    const auto submitted =
        journal_->submit(front.buffer, storage::GroupKind::records, group_time(), reach, state);
    front.sequence = submitted.sequence;
    for (const PendingCommand& command : front.commands) {
        if (command.kind == PendingCommand::Kind::add) {
            link_to_file(*command.block, submitted.file);
        }
    }
    for (Block* block : front.carried) {
        if (block->live > 0) {
            unlink_from_file(*block);
            link_to_file(*block, submitted.file);
        }
        block->drop_reference();
    }
    front.carried.clear();
    if (state != nullptr && file_before.value() != 0 && !file_blocks_.contains(file_before)) {
        journal_->file_emptied(file_before);
    }
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
        if (!journal_->new_file_ready()) {
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
    journal_->submit(empty, last ? storage::GroupKind::clean_stop : storage::GroupKind::seal,
                     group_time(), storage::Reach::durable, state);
    sealed_ = true;
    sealed_for_stop_ = last;
}

void Core::journal_written(Sequence sequence) {
    if (failure_) {
        return;
    }
    for (CommitGroup& group : in_flight_) {
        if (group.sequence <= sequence) {
            apply_written(group);
        }
    }
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
        if (command.queue != nullptr &&
            command.queue->definition().durability == Durability::written &&
            command.kind != PendingCommand::Kind::remove_queue) {
            apply(group, command);
        }
    }
    written_commit_ = group.id;
    answers_due_ = true;
}

void Core::apply_durable(CommitGroup& group) {
    apply_written(group);
    for (PendingCommand& command : group.commands) {
        if (command.queue == nullptr ||
            command.queue->definition().durability != Durability::written ||
            command.kind == PendingCommand::Kind::remove_queue) {
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
            engine_.apply(*command.queue,
                          engine::AddMessages{block.queue, {block.first, block.count}});
            engine_.announce_resident(*command.queue, block);
            command.block = nullptr;  // the engine's from now on
            break;
        }
        case PendingCommand::Kind::remove: {
            const std::span<const MessageRange> ranges(group.ranges.data() + command.first,
                                                       command.count);
            engine_.apply(*command.queue, engine::RemoveMessages{command.queue->id(), ranges});
            free_released();
            break;
        }
        case PendingCommand::Kind::create: engine_.apply(group.creates[command.first]); break;
        case PendingCommand::Kind::remove_queue:
            forget_queue(*command.queue);
            engine_.apply(engine::DeleteQueue{command.queue->id()});
            free_released();
            break;
    }
}

// The queue is about to go: no handle may point to it any more.
void Core::forget_queue(engine::Queue& queue) {
    told_early_.erase(queue.id());
    for (Session* session : sessions_) {
        session->forget_queue(queue);
    }
}

// --- journal files

void Core::link_to_file(Block& block, storage::FileOrdinal file) {
    MQD_ASSERT(block.file.value() == 0, block.file);
    Block*& head = file_blocks_[file];
    block.file = file;
    block.file_previous = nullptr;
    block.file_next = head;
    if (head != nullptr) {
        head->file_previous = &block;
    }
    head = &block;
}

void Core::unlink_from_file(Block& block) {
    MQD_ASSERT(block.file.value() != 0);
    const storage::FileOrdinal file = block.file;
    if (block.file_next != nullptr) {
        block.file_next->file_previous = block.file_previous;
    }
    if (block.file_previous != nullptr) {
        block.file_previous->file_next = block.file_next;
    } else if (block.file_next != nullptr) {
        file_blocks_[file] = block.file_next;
    } else {
        file_blocks_.erase(file);
        if (journal_ && file != journal_->current_file()) {
            journal_->file_emptied(file);
        }
    }
    block.file = storage::FileOrdinal(0);
    block.file_previous = block.file_next = nullptr;
}

// Room runs short: what still lives in the oldest file is written again, so that the file can be
// recycled. Its bytes were booked for that.
void Core::carry_turn() {
    const auto file = journal_->file_to_carry();
    if (!file) {
        return;
    }
    const auto blocks = file_blocks_.find(*file);
    if (blocks == file_blocks_.end()) {
        return;  // emptied, recycled as soon as that is durable
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
    for (Block* block = blocks->second; block != nullptr && bytes < wanted;
         block = block->file_next) {
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
        open_group(block.bytes + block.count * (record_header_bytes + messages_fixed_bytes));
    for (const MessageRange& range : living) {
        const MessagesRecord record{queue->id(), range, block.published, block.sender,
                                    block.slice(range)};
        append_messages(group.buffer, RecordType::carry_messages, record);
    }
    block.add_reference();
    group.carried.push_back(&block);
    raise_need(group, Need::durable);
}

// All small state as of the last group: what replay needs to know of the files before this one.
void Core::encode_state(storage::GroupBuffer& state) const {
    state.clear();
    append_next_queue_id(state, engine_.next_queue_id());
    for (const auto& [name, queue] : engine_.queues()) {
        append_create_queue(state, {queue->id(), queue->definition(), queue->next_applied()});
        if (const auto told = told_early_.find(queue->id()); told != told_early_.end()) {
            append_tell_numbers(state, queue->id(), told->second.next);
        }
        if (queue->durable()) {
            append_restore(state, queue->id(), queue->live_runs());
        }
    }
}

}  // namespace mqd::core
