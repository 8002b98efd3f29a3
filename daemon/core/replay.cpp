// The start: the journal is replayed through the same apply() that ran before the restart, what it
// left is checked, and what must not be said twice is said anew.

#include <algorithm>
#include <cstring>
#include <map>

#include "daemon/core/core.hpp"
#include "daemon/core/record.hpp"
#include "daemon/core/session.hpp"

namespace mqd::core {

namespace {

// So many numbers of a `written` queue are left out after an end without a clean stop: more than a
// power loss can have taken, so that none that was visible is given out again. The journal syncs at
// 8 MiB, on top of at most one group that was on its way (see commit.cpp).
constexpr std::uint64_t written_numbers_skip = 1ull << 26;

Error damaged(const storage::GroupView& group, std::string_view what) {
    return {ErrorCode::damaged, "journal file " + std::to_string(group.file.value()) + ", group " +
                                    std::to_string(group.sequence.value()) + ": " +
                                    std::string(what)};
}

}  // namespace

// Applies one group after the other. Everything a group says is checked before it is applied: what
// passed its checksums and still does not fit is damage, not a reason to abort.
class Replay {
  public:
    explicit Replay(Core& core) : core_(core), engine_(core.engine_) {}

    Result<void> group(const storage::GroupView& group) {
        RecordReader reader(group.body);
        carried_.clear();
        while (const auto record = reader.next()) {
            if (const std::string_view bad = apply(group, *record); !bad.empty()) {
                return damaged(group, bad);
            }
        }
        return reader.ok() ? Result<void>() : damaged(group, "a record is cut short");
    }

  private:
    // What is wrong with the record; nothing if it was applied.
    [[nodiscard]] std::string_view apply(const storage::GroupView& group,
                                         const RecordView& record) {
        switch (record.type) {
            case RecordType::create_queue: return create(record.body);
            case RecordType::delete_queue: return remove_queue(record.body);
            case RecordType::add_messages: return add(group, record.body);
            case RecordType::carry_messages: return carry(group, record.body);
            case RecordType::remove_messages: return remove(record.body);
            case RecordType::count_delivery: return count_delivery(record.body);
            case RecordType::restore_messages: return restore(record.body);
            case RecordType::skip_numbers: return skip(record.body);
            case RecordType::tell_numbers: return tell(record.body);
            case RecordType::next_queue_id:
                if (const auto id = decode_queue_id(record.body)) {
                    engine_.restore_next_queue_id(*id);
                    return {};
                }
                return "malformed next_queue_id";
        }
        return "a record of unknown type";
    }

    [[nodiscard]] engine::Queue* durable_queue(QueueId id) const {
        engine::Queue* queue = engine_.find(id);
        return queue != nullptr && queue->durable() ? queue : nullptr;
    }

    std::string_view create(wire::Bytes body) {
        const auto command = decode_create_queue(body);
        if (!command) {
            return "malformed create_queue";
        }
        if (engine_.find(command->id) != nullptr ||
            engine_.find(command->definition.name) != nullptr) {
            return "create_queue of a queue that exists";
        }
        engine_.apply(*command);
        return {};
    }

    std::string_view remove_queue(wire::Bytes body) {
        const auto id = decode_queue_id(body);
        if (!id || engine_.find(*id) == nullptr) {
            return "delete_queue of a queue that does not exist";
        }
        engine_.apply(engine::DeleteQueue{*id});
        core_.free_released();
        return {};
    }

    std::string_view add(const storage::GroupView& group, wire::Bytes body) {
        const auto record = decode_messages(body);
        engine::Queue* queue = record ? durable_queue(record->id) : nullptr;
        if (queue == nullptr) {
            return "add_messages: malformed, or to no such queue";
        }
        if (record->range.first < queue->next_applied()) {
            return "add_messages: a number is used twice";
        }
        Block* block = load(group, *record);
        if (block == nullptr) {
            return "add_messages: malformed batch";
        }
        engine_.apply(*queue, engine::AddMessages{record->id, record->range});
        engine_.announce_resident(*queue, *block);
        return {};
    }

    std::string_view carry(const storage::GroupView& group, wire::Bytes body) {
        const auto record = decode_messages(body);
        if (!record) {
            return "malformed carry_messages";
        }
        engine::Queue* queue = durable_queue(record->id);
        if (queue == nullptr) {
            return "carry_messages to no such queue";
        }
        if (queue->ready_in(record->range) != record->range.count) {
            return "carry_messages: a message that does not live";
        }
        Block* block = load(group, *record);
        if (block == nullptr) {
            return "carry_messages: malformed batch";
        }
        if (queue->resident_from(record->range.first) >= record->range.end()) {
            engine_.announce_resident(*queue, *block);
            return {};
        }
        take_over(*queue, *block, group);
        return {};
    }

    // Messages were carried whose first place, or part of it, is still there. What is in memory
    // already stays; it lives in the younger file as soon as all of it was carried there, by
    // records of one group. `copy` gives what is not in memory.
    void take_over(engine::Queue& queue, Block& copy, const storage::GroupView& group) {
        const MessageNumber end = copy.end();
        for (MessageNumber at = copy.first; at < end;) {
            const MessageNumber resident = std::min(queue.resident_from(at), end);
            if (at < resident) {
                const MessageRange gap{at, resident - at};
                Block* part =
                    load(group, {copy.queue, gap, copy.published, copy.sender, copy.slice(gap)});
                MQD_ASSERT(part != nullptr, gap.first);
                engine_.announce_resident(queue, *part);
                at = resident;
                continue;
            }
            const engine::Extent* extent = queue.extent_at(at);
            MQD_ASSERT(extent != nullptr, at);
            auto& block = *const_cast<Block*>(static_cast<const Block*>(extent));
            const MessageNumber to = std::min(block.end(), end);
            std::uint64_t& carried = carried_[{block.queue, block.first}];
            carried += to - at;
            if (carried == block.live && block.file != group.file) {
                core_.unlink_from_file(block);
                core_.link_to_file(block, group.file);
            }
            at = to;
        }
        unload(copy);
    }

    void unload(Block& block) {
        core_.unlink_from_file(block);
        core_.durable_messages_ -= block.count;
        block.drop_reference();
    }

    Block* load(const storage::GroupView& group, const MessagesRecord& record) {
        const auto count = static_cast<std::uint32_t>(record.range.count);
        if (record.batch.size() / wire::message_header_bytes < count) {
            return nullptr;
        }
        Block* block = Block::create(count, static_cast<std::uint32_t>(record.batch.size()));
        if (wire::check_batch(record.batch, count, wire::message_body_bytes_hard_max,
                              block->offsets())) {
            block->drop_reference();
            return nullptr;
        }
        std::memcpy(block->data(), record.batch.data(), record.batch.size());
        block->first = record.range.first;
        block->queue = record.id;
        block->published = record.published;
        block->sender = record.sender;
        block->booked_bytes = block->bytes + count * booked_per_message;
        block->charge(core_.memory_bytes_);
        core_.durable_messages_ += count;
        core_.link_to_file(*block, group.file);
        return block;
    }

    std::string_view remove(wire::Bytes body) {
        const auto command = decode_remove(body, ranges_);
        engine::Queue* queue = command ? durable_queue(command->id) : nullptr;
        if (queue == nullptr) {
            return "remove_messages: malformed, or from no such queue";
        }
        for (const MessageRange& range : command->ranges) {
            if (queue->ready_in(range) != range.count) {
                return "remove_messages: a message that does not live";
            }
            engine_.apply(*queue, engine::RemoveMessages{command->id, {&range, 1}});
        }
        core_.free_released();
        return {};
    }

    std::string_view count_delivery(wire::Bytes body) {
        const auto command = decode_count_delivery(body);
        if (!command || durable_queue(command->id) == nullptr) {
            return "count_delivery: malformed, or of no such queue";
        }
        engine_.apply(*command);
        return {};
    }

    std::string_view restore(wire::Bytes body) {
        if (!decode_restore(body, restored_)) {
            return "malformed restore_messages";
        }
        for (const engine::RestoreMessages& command : restored_) {
            engine::Queue* queue = durable_queue(command.id);
            if (queue == nullptr || command.range.end() > queue->next_applied() ||
                queue->ready_in(command.range) != 0) {
                return "restore_messages: no such queue, or messages that cannot be";
            }
            engine_.apply(command);
        }
        return {};
    }

    std::string_view tell(wire::Bytes body) {
        const auto command = decode_skip_numbers(body);  // of the same form
        if (!command || durable_queue(command->id) == nullptr) {
            return "tell_numbers: malformed, or of no such queue";
        }
        core_.told_early_[command->id] = {command->next, CommitId(0)};
        return {};
    }

    std::string_view skip(wire::Bytes body) {
        const auto command = decode_skip_numbers(body);
        if (!command || durable_queue(command->id) == nullptr) {
            return "skip_numbers: malformed, or of no such queue";
        }
        engine_.apply(*command);
        return {};
    }

    Core& core_;
    engine::Engine& engine_;
    std::vector<MessageRange> ranges_;
    std::vector<engine::RestoreMessages> restored_;
    // How many messages of a block this group carried, by the block's first number.
    std::map<std::pair<QueueId, MessageNumber>, std::uint64_t> carried_;
};

Result<void> Core::start(storage::Disk& disk, storage::Worker& commit, storage::Worker& background,
                         Now now) {
    now_ = now;
    Replay replay(*this);
    auto opened = storage::Journal::open(
        disk, commit, background, options_.journal, *this,
        [&](const storage::GroupView& group) { return replay.group(group); });
    if (!opened) {
        return opened.error();
    }
    journal_ = std::move(*opened);
    const storage::Recovery& recovery = journal_->recovery();
    const std::chrono::nanoseconds wall = now.wall.time_since_epoch();
    now_.journal = engine::Time(std::chrono::nanoseconds(
        recovery.last_time.journal_ns +
        std::max<std::int64_t>(0, wall.count() - recovery.last_time.wall_ns)));
    options_.frame_body_bytes_max = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(options_.frame_body_bytes_max, journal_->group_bytes_max()));
    if (auto fitting = fit_to_files(); !fitting) {
        return fitting;
    }
    if (auto complete = check_complete(); !complete) {
        return complete;
    }
    std::uint64_t booked = 0;
    for (const auto& [file, head] : file_blocks_) {
        for (const Block* block = head; block != nullptr; block = block->file_next) {
            booked += block->booked_bytes;
        }
    }
    journal_->book_recovered(booked);
    for (auto file = journal_->oldest_file(); file < journal_->current_file();
         file = file.plus(1)) {
        if (!file_blocks_.contains(file)) {
            journal_->file_emptied(file);
        }
    }
    append_start_records();
    return {};
}

// Half of a journal file holds its header and the state group in the worst case, a quarter whatever
// is carried. The files may have become smaller than those of which the store was made.
Result<void> Core::fit_to_files() {
    const std::uint64_t queues =
        std::max<std::uint64_t>(options_.queues_max, engine_.queues().size());
    std::uint64_t carried = 0;
    for (const auto& [file, head] : file_blocks_) {
        for (const Block* block = head; block != nullptr; block = block->file_next) {
            carried = std::max(carried, carry_bytes_max(block->bytes, block->count));
        }
    }
    const std::uint64_t state_max = options_.journal.file_bytes / 2 - storage::block_bytes;
    const auto holds = [&](std::uint64_t messages) {
        return state_bytes_max(queues, messages) <= state_max;
    };
    if (!holds(std::max<std::uint64_t>(durable_messages_, 1)) ||
        carried > journal_->group_bytes_max()) {
        const std::uint64_t least =
            std::max(2 * (storage::block_bytes + state_bytes_max(queues, durable_messages_ + 1)),
                     4 * carried);
        return Error{ErrorCode::bad_config,
                     "storage.journal_file_bytes is too small for " + std::to_string(queues) +
                         " queues (limits.queues, or what is stored) and the " +
                         std::to_string(durable_messages_) +
                         " messages in the store: it takes at least " + std::to_string(least) +
                         " bytes",
                     least};
    }
    durable_messages_max_ = (state_max - state_bytes_max(queues, 0)) / restore_run_bytes;
    while (!holds(durable_messages_max_)) {
        durable_messages_max_ -= durable_messages_max_ / restore_runs_max + 1;
    }
    return {};
}

// Behind all numbers that somebody may have seen, and that a crash may have taken.
MessageNumber Core::next_after_crash(const engine::Queue& queue) const {
    MessageNumber next = queue.next_applied();
    if (queue.definition().durability == Durability::written) {
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
                const engine::Extent* extent = queue->extent_at(at);
                if (extent == nullptr) {
                    return Error{ErrorCode::damaged, "message " +
                                                         format_message_id(name, queue->id(), at) +
                                                         " is alive, and no journal file holds it"};
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
    if (journal_->recovery().clean) {
        // Whatever a power loss takes from now on: the journal does not end with the clean stop any
        // more.
        CommitGroup& group = open_group(record_header_bytes + 4);
        append_next_queue_id(group.buffer, engine_.next_queue_id());
        raise_need(group, Need::durable);
    }
}

}  // namespace mqd::core
