// What a replay makes of each record.

#include "daemon/core/replay.hpp"

#include <algorithm>

#include "daemon/core/backlog.hpp"
#include "daemon/core/message_groups.hpp"
#include "daemon/core/queue_options.hpp"
#include "daemon/core/record.hpp"
#include "daemon/storage/planted_fault.hpp"

namespace mqd::core {

std::string_view Replay::create(wire::Bytes body) {
    const auto command = decode_create_queue(body);
    if (!command) {
        return "malformed create_queue";
    }
    if (engine_.find(command->id) != nullptr || engine_.find(command->definition.name) != nullptr) {
        // The checkpoint came to it after this, or to another one that took its place.
        const bool same = engine_.find(command->id) != nullptr;
        return mender_ != nullptr && mender_->is_without_state() && same
                   ? std::string_view()
                   : no_queue("create_queue of a queue that exists");
    }
    engine_.apply(*command);
    return {};
}

// It tells what the options are from then on, so that it does no harm where the checkpoint has
// seen it.
std::string_view Replay::update(wire::Bytes body) {
    const auto record = decode_update_queue(body);
    if (!record) {
        return "malformed update_queue";
    }
    const engine::Queue* queue = engine_.find(record->id);
    if (queue == nullptr) {
        return no_queue("update_queue of a queue that does not exist");
    }
    engine::QueueDefinition definition = queue->definition();
    set_options(definition, record->options);
    definition.durability = queue->definition().durability;
    definition.priorities = queue->definition().priorities;
    const bool dedups = definition.dedup_window.count() > 0;
    engine_.apply(engine::UpdateQueue{record->id, std::move(definition)});
    if (!dedups && !knows_ids(record->id)) {
        engine::Engine::close_dedup(*engine_.find(record->id));
    }
    return {};
}

// Failures are merged by their times, so that it does not matter what was seen, or when. But those
// that a checkpoint has seen and left out, on a full disk, are gone: an older file of the journal
// may still tell them, and will not the next time.
std::string_view Replay::note_failure(wire::Bytes body, bool in_checkpoint) {
    const auto command = decode_note_failure(body);
    if (!command) {
        return "malformed note_failure";
    }
    if (durable_queue(command->id) == nullptr) {
        return no_queue("note_failure of no such queue");
    }
    if (in_checkpoint || sequence_ > checkpoint_.from) {
        engine_.apply(*command);
    }
    return {};
}

// It counts for those that wait. What the checkpoint tells of delays is younger than its parts:
// whatever became of a message between the two, the journal tells in its order once more.
std::string_view Replay::delay(wire::Bytes body, bool in_checkpoint) {
    if (!decode_delay(body, delays_)) {
        return "malformed delay_messages";
    }
    for (const engine::DelayMessages& command : delays_) {
        if (durable_queue(command.id) == nullptr) {
            return no_queue("delay_messages of no such queue");
        }
        const auto hold = [&](MessageRange range) -> std::string_view {
            engine_.apply(engine::DelayMessages{command.id, range, command.due, command.attempts});
            return {};
        };
        (void)(in_checkpoint ? hold(command.range)
                             : for_each_unseen(command.id, command.range, hold));
    }
    return {};
}

// As with delays, of which those that were purged had theirs before.
std::string_view Replay::purge(wire::Bytes body, bool in_checkpoint) {
    if (!decode_purge(body, purges_)) {
        return "malformed purge_messages";
    }
    for (const engine::PurgeMessages& command : purges_) {
        if (durable_queue(command.id) == nullptr) {
            return no_queue("purge_messages of no such queue");
        }
        const auto purge = [&](MessageRange range) -> std::string_view {
            engine_.apply(engine::PurgeMessages{command.id, range, command.until});
            return {};
        };
        (void)(in_checkpoint ? purge(command.range)
                             : for_each_unseen(command.id, command.range, purge));
    }
    return {};
}

std::string_view Replay::undo_purge(wire::Bytes body) {
    const auto command = decode_undo_purge(body, ranges_);
    if (!command) {
        return "malformed undo_purge";
    }
    if (durable_queue(command->id) == nullptr) {
        return no_queue("undo_purge of no such queue");
    }
    for (const MessageRange& whole : command->ranges) {
        (void)for_each_unseen(command->id, whole, [&](MessageRange range) -> std::string_view {
            engine_.apply(engine::UndoPurge{command->id, {&range, 1}});
            return {};
        });
    }
    return {};
}

// What the checkpoint tells of groups is younger than its parts: those of messages that are gone by
// then are not told, and those that came meanwhile are told again by their messages.
std::string_view Replay::group_messages(wire::Bytes body) {
    const auto id = decode_group(body, members_);
    if (!id) {
        return "malformed group_messages";
    }
    engine::Queue* queue = durable_queue(*id);
    if (queue == nullptr) {
        return "group_messages of no such queue";
    }
    engine_.restore_groups(*queue, members_);
    return {};
}

void Replay::announce(engine::Queue& queue, Block& block) {
    engine_.announce_resident(queue, block);
    if (block.grouped && !storage::planted(storage::Fault::group_overtaken)) {
        members_.clear();
        append_members({block.data(), block.bytes}, block.first.value(), members_);
        engine_.restore_groups(queue, members_);
    }
}

// Marks only grow, so that it does not matter what was seen.
std::string_view Replay::mark_producer(wire::Bytes body) {
    const auto command = decode_mark_producer(body);
    if (!command) {
        return "malformed mark_producer";
    }
    if (durable_queue(command->id) == nullptr) {
        return no_queue("mark_producer of no such queue");
    }
    engine_.apply(*command);
    return {};
}

std::string_view Replay::dedup_marks(wire::Bytes body) {
    if (!decode_dedup_marks(body, marks_)) {
        return "malformed dedup_marks";
    }
    engine::Queue* queue = durable_queue(marks_.id);
    if (queue == nullptr) {
        return "dedup_marks of no such queue";
    }
    if (queue->dedup() != nullptr && queue->dedup()->key() != marks_.key) {
        engine::Engine::close_dedup(*queue);  // meanwhile it was, and opened again
    }
    engine_.open_dedup(*queue, marks_.key);
    for (const engine::DedupTable::Entry& entry : marks_.entries) {
        queue->dedup()->remember(entry.hash, entry.number, entry.taken);
    }
    ids_as_of_[marks_.id] = marks_.as_of;
    return {};
}

std::string_view Replay::open_dedup(wire::Bytes body) {
    if (!decode_dedup_marks(body, marks_)) {
        return "malformed dedup_marks";
    }
    engine::Queue* queue = engine_.find(marks_.id);
    if (queue == nullptr) {
        return no_queue("dedup_marks of no such queue");
    }
    if (!knows_ids(marks_.id)) {
        engine_.open_dedup(*queue, marks_.key);
    }
    return {};
}

void Replay::delete_if_there(QueueId id) {
    if (engine_.find(id) != nullptr) {
        engine_.apply(engine::DeleteQueue{id});
        core_.free_released();
        core_.backlog_->forget(id);
        core_.told_early_.erase(id);
    }
}

std::string_view Replay::remove_queue(wire::Bytes body) {
    const auto id = decode_queue_id(body);
    if (!id) {
        return "malformed delete_queue";
    }
    if (engine_.find(*id) == nullptr) {
        return no_queue("delete_queue of a queue that does not exist");
    }
    delete_if_there(*id);
    return {};
}

std::string_view Replay::add(const storage::GroupView& group, wire::Bytes body) {
    auto record = decode_messages(body);
    if (!record) {
        return "malformed add_messages";
    }
    record = with_time(*record, RecordType::add_messages);
    engine::Queue* queue = queue_with_messages(record->id, record->range);
    if (queue == nullptr) {
        return no_queue("add_messages to no such queue");
    }
    if (queue->dedup() != nullptr && !knows_ids(record->id)) {
        Dedup::remember(*queue, *record);
    }
    if (seen(record->id, record->range.first)) {
        return load_living(*queue, *record, group);
    }
    if (record->range.first < queue->next_applied(record->range.first)) {
        if (mender_ == nullptr || !mender_->is_without_state()) {
            return "add_messages: a number is used twice";
        }
        mender_->revive(*queue, record->range);
        return load_living(*queue, *record, group);
    }
    Block* block = load(group, *record);
    if (block == nullptr) {
        return "add_messages: malformed batch";
    }
    if (mender_ != nullptr) {
        mender_->note_gap(*queue, record->range.first);
    }
    engine_.apply(*queue, engine::AddMessages{record->id, record->range});
    announce(*queue, *block);
    return {};
}

std::string_view Replay::carry(const storage::GroupView& group, wire::Bytes body) {
    auto record = decode_messages(body);
    if (!record) {
        return "malformed carry_messages";
    }
    record = with_time(*record, RecordType::carry_messages);
    engine::Queue* queue = queue_with_messages(record->id, record->range);
    if (queue == nullptr) {
        return no_queue("carry_messages to no such queue");
    }
    if (beyond_checkpoint() && queue->live_in(record->range) != record->range.count) {
        const std::string_view bad = "carry_messages: a message that does not live";
        if (mender_ == nullptr) {
            return bad;
        }
        mender_->note_gap(*queue, record->range.first);
        mender_->revive(*queue, record->range);
        const std::string_view worse = load_living(*queue, *record, group);
        return worse.empty() ? bad : worse;
    }
    return load_living(*queue, *record, group);
}

// The bodies of those messages of the record that live, and lie in no page. What is in memory
// already stays; it lives in the younger file as soon as all of it was carried there, by
// records of one group.
std::string_view Replay::load_living(engine::Queue& queue, const MessagesRecord& record,
                                     const storage::GroupView& group) {
    std::vector<MessageRange> living;
    core_.backlog_->for_each_unpaged(queue, record.range, [&](MessageRange range) {
        if (!living.empty() && living.back().end() == range.first) {
            living.back().count += range.count;
        } else {
            living.push_back(range);
        }
    });
    if (living.empty()) {
        return {};
    }
    Block* whole = Block::from_record(record);
    if (whole == nullptr) {
        return "malformed batch";
    }
    for (const MessageRange& range : living) {
        load_range(queue, *whole, range, group);
    }
    whole->drop_reference();
    return {};
}

void Replay::load_range(engine::Queue& queue, const Block& whole, MessageRange range,
                        const storage::GroupView& group) {
    for (MessageNumber at = range.first; at < range.end();) {
        const MessageNumber resident = std::min(queue.resident_from(at), range.end());
        if (at < resident) {
            const MessageRange gap{at, resident - at};
            Block* part = load(group, {whole.queue, gap, whole.published, whole.sender,
                                       whole.slice(gap), whole.taken});
            MQD_ASSERT(part != nullptr, gap.first);
            announce(queue, *part);
            at = resident;
            continue;
        }
        const engine::Extent* extent = queue.extent_at(at);
        MQD_ASSERT(extent != nullptr, at);
        auto& block = *const_cast<Block*>(static_cast<const Block*>(extent));
        const MessageNumber to = std::min(block.end(), range.end());
        std::uint64_t& carried = carried_[{block.queue, block.first}];
        carried += to - at;
        if (carried == block.live && block.file != group.file) {
            core_.journal_blocks_.unlink(block);
            core_.journal_blocks_.link(block, group.file);
        }
        at = to;
    }
}

Block* Replay::load(const storage::GroupView& group, const MessagesRecord& record) {
    Block* block = Block::from_record(record);
    if (block == nullptr) {
        return nullptr;
    }
    block->booked_bytes = booked_bytes(block->bytes, block->count);
    block->charge(core_.memory_bytes_);
    core_.durable_messages_ += block->count;
    core_.journal_blocks_.link(*block, group.file);
    return block;
}

std::string_view Replay::place(wire::Bytes body) {
    const auto record = decode_place(body);
    if (!record) {
        return "malformed place_messages";
    }
    engine::Queue* queue = queue_with_messages(record->id, record->range);
    if (queue == nullptr) {
        return no_queue("place_messages of no such queue");
    }
    if (seen(record->id, record->range.first)) {
        return {};
    }
    std::string_view bad;
    if (record->range.end() > queue->next_applied(record->range.first)) {
        bad = "place_messages: messages that cannot be";
    }
    if (mender_ != nullptr && mender_->damaged() &&
        (!bad.empty() || queue->live_in(record->range) < record->held)) {
        mender_->revive_page(*queue, *record);
    } else if (!bad.empty()) {
        return bad;
    }
    return core_.backlog_->restore(*queue, *record) ? bad : "place_messages: part of a batch";
}

std::string_view Replay::remove(wire::Bytes body) {
    const auto command = decode_remove(body, ranges_);
    if (!command) {
        return "malformed remove_messages";
    }
    engine::Queue* queue = durable_queue(command->id);
    if (queue == nullptr) {
        return no_queue("remove_messages from no such queue");
    }
    bool mended = false;
    for (const MessageRange& whole : command->ranges) {
        const auto bad =
            for_each_unseen(command->id, whole, [&](MessageRange range) -> std::string_view {
                if (queue->waiting_in(range) != range.count) {
                    if (mender_ != nullptr) {
                        mender_->end_living(*queue, range);
                        mended = true;
                        return {};
                    }
                    return "remove_messages: a message that does not live";
                }
                engine_.apply(*queue, engine::RemoveMessages{command->id, {&range, 1}});
                return {};
            });
        if (!bad.empty()) {
            return bad;
        }
    }
    core_.free_released();
    return mended ? "remove_messages: a message that does not live" : std::string_view();
}

std::string_view Replay::count_delivery(wire::Bytes body) {
    const auto command = decode_count_delivery(body);
    if (!command) {
        return "malformed count_delivery";
    }
    if (durable_queue(command->id) == nullptr) {
        return no_queue("count_delivery of no such queue");
    }
    return for_each_unseen(
        command->id, command->range, [&](MessageRange range) -> std::string_view {
            engine_.apply(engine::CountDelivery{command->id, range, command->attempts});
            return {};
        });
}

// `bounded`: below the numbers that the queue has given out so far.
std::string_view Replay::restore(wire::Bytes body, bool bounded) {
    if (!decode_restore(body, restored_)) {
        return "malformed restore_messages";
    }
    for (const engine::RestoreMessages& command : restored_) {
        engine::Queue* queue = durable_queue(command.id);
        if (queue == nullptr || !queue->numbers().may_be(command.range) ||
            (bounded && command.range.end() > queue->next_applied(command.range.first)) ||
            queue->waiting_in(command.range) != 0) {
            return "restore_messages: no such queue, or messages that cannot be";
        }
        engine_.apply(command);
    }
    return {};
}

std::string_view Replay::tell(wire::Bytes body) {
    const auto command = decode_skip_numbers(body);  // of the same form
    if (!command) {
        return "malformed tell_numbers";
    }
    if (durable_queue(command->id) == nullptr) {
        return no_queue("tell_numbers of no such queue");
    }
    MessageNumber& next = core_.told_early_[command->id].next;
    next = std::max(next, command->next);
    return {};
}

std::string_view Replay::skip(wire::Bytes body) {
    const auto command = decode_skip_numbers(body);
    if (!command) {
        return "malformed skip_numbers";
    }
    const engine::Queue* queue = engine_.find(command->id);
    if (queue == nullptr || !queue->numbers().may_be({command->next, 1})) {
        return no_queue("skip_numbers of no such queue");
    }
    engine_.apply(*command);
    return {};
}

std::string_view Replay::next_queue_id(wire::Bytes body) {
    const auto id = decode_queue_id(body);
    if (!id) {
        return "malformed next_queue_id";
    }
    engine_.restore_next_queue_id(*id);
    return {};
}

std::string_view Replay::note_taken(wire::Bytes body) {
    taken_ = decode_taken(body);
    return taken_ ? std::string_view() : "malformed note_taken";
}

void Replay::note_time(const storage::GroupTime& time) {
    constexpr std::int64_t ns_max = INT64_MAX / 2;
    time_.journal = engine::Time(
        std::chrono::nanoseconds(std::clamp<std::int64_t>(time.journal_ns, 0, ns_max)));
    time_.wall = std::chrono::floor<std::chrono::microseconds>(
        std::chrono::system_clock::time_point(std::chrono::nanoseconds(time.wall_ns)));
    taken_.reset();
}

// What is added was taken when its group was. What was carried says it itself, unless it was before
// anybody asked.
MessagesRecord Replay::with_time(MessagesRecord record, RecordType type) const {
    if (type == RecordType::add_messages) {
        record.taken = time_.journal;
    } else if (taken_ && taken_->id == record.id) {
        record.taken = taken_->taken;
    } else {
        record.taken = time_taken(record.published, time_);
    }
    return record;
}

std::string_view Replay::next_segment(wire::Bytes body) {
    const auto number = decode_next_segment(body);
    if (!number) {
        return "malformed next_segment";
    }
    core_.backlog_->skip_segments(*number);
    return {};
}

}  // namespace mqd::core
