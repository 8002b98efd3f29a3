#pragma once

// What a start makes of the checkpoint and the journal: both are applied through the same apply()
// that ran before the restart. Included by start.cpp and check_store.cpp only.

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/core/checkpoint_parts.hpp"
#include "daemon/core/core.hpp"
#include "daemon/core/mender.hpp"
#include "daemon/core/queue_options.hpp"
#include "daemon/core/record.hpp"

namespace mqd::core {

// Applies the checkpoint, and then one group of the journal after the other. Everything they say is
// checked before it is applied: what passed its checksums and still does not fit is damage, not a
// reason to abort.
//
// The checkpoint was written while the daemon went on, so parts of it know more than others. Up to
// its end, a record counts only for what is older than it; records of queues that it does not know
// are of queues that were deleted meanwhile.
class Replay {
  public:
    // What does not fit, and was not applied.
    struct Misfit {
        storage::FileOrdinal file;  // 0: in the checkpoint
        Sequence group;
        std::string_view what;
        std::optional<RecordView> record;  // nothing: the group itself
        bool no_state = false;             // the checkpoint that it builds upon is not there
    };
    // Success: the replay goes on behind it.
    using MisfitFunction = std::function<Result<void>(const Misfit&)>;

    // Without `misfit`, the first one is the error: damaged. With a mender, what does not fit is
    // told and applied as far as it does.
    explicit Replay(Core& core, MisfitFunction misfit = {}, Mender* mender = nullptr)
        : core_(core), engine_(core.engine_), misfit_(std::move(misfit)), mender_(mender) {}

    [[nodiscard]] static std::string text_of(const Misfit& misfit) {
        const std::string where = misfit.file.value() == 0
                                      ? "the checkpoint"
                                      : "journal file " + std::to_string(misfit.file.value()) +
                                            ", group " + std::to_string(misfit.group.value());
        return where + ": " + std::string(misfit.what);
    }

    Result<void> checkpoint(wire::Bytes body) {
        RecordReader reader(body);
        while (const auto record = reader.next()) {
            if (const std::string_view bad = apply_state(*record); !bad.empty()) {
                if (auto allowed = misfit({{}, {}, bad, record}); !allowed) {
                    return allowed;
                }
            }
        }
        return reader.ok() ? Result<void>() : misfit({{}, {}, "a record is cut short", {}});
    }

    Result<void> checkpoint_read(const storage::Checkpoint& checkpoint) {
        checkpoint_ = checkpoint;
        // Where the journal still has the whole of such a queue, it is replayed from its beginning.
        parts_.close(deleted_);
        for (const auto& [name, queue] : engine_.queues()) {
            const MessageNumber end = end_of(*queue);
            if (end <= queue->next_applied()) {
                continue;
            }
            const std::string what = "queue \"" + name + "\" holds messages that cannot be";
            if (auto allowed = misfit({{}, {}, what, {}}); !allowed) {
                return allowed;
            }
            engine_.apply(engine::SkipNumbers{queue->id(), end});  // so that none is added there
        }
        return {};
    }

    Result<void> group(const storage::GroupView& group) {
        note_file(group);
        if (group.kind == storage::GroupKind::state && checkpoint_.number > 0) {
            if (group.sequence > checkpoint_.from.plus(1)) {
                return misfit({group.file,
                               group.sequence,
                               "the journal begins here, and the newest whole checkpoint only "
                               "tells what was up to group " +
                                   std::to_string(checkpoint_.from.value()),
                               {},
                               true});
            }
            return {};
        }
        sequence_ = group.sequence;
        RecordReader reader(group.body);
        carried_.clear();
        while (const auto record = reader.next()) {
            if (const std::string_view bad = apply(group, *record); !bad.empty()) {
                const bool no_state = record->type == RecordType::see_checkpoint;
                if (auto allowed = misfit({group.file, group.sequence, bad, record, no_state});
                    !allowed) {
                    return allowed;
                }
            }
        }
        return reader.ok() ? Result<void>()
                           : misfit({group.file, group.sequence, "a record is cut short", {}});
    }

    // Once all is replayed: what lives and lies nowhere, though the group has it.
    Result<void> bodies(const storage::GroupView& group) {
        RecordReader reader(group.body);
        carried_.clear();
        while (const auto record = reader.next()) {
            const bool holds = record->type == RecordType::add_messages ||
                               record->type == RecordType::carry_messages;
            const auto messages = holds ? decode_messages(record->body) : std::nullopt;
            engine::Queue* queue = messages ? durable_queue(messages->id) : nullptr;
            if (queue != nullptr) {
                (void)load_living(*queue, *messages, group);  // malformed: nothing is loaded
            }
        }
        return {};
    }

  private:
    friend class LostState;

    // Behind what is said to live at or behind the numbers that were given out; 0: nothing is.
    [[nodiscard]] MessageNumber end_of(const engine::Queue& queue) const {
        MessageNumber end;
        engine::LiveRun run;
        for (MessageNumber at = queue.next_applied(); queue.find_live(at, run);) {
            at = end = run.range.end();
        }
        const QueuePages* pages = core_.backlog_->pages(queue.id());
        if (pages != nullptr && !pages->pages.empty()) {
            end = std::max(end, pages->pages.rbegin()->second.range.end());
        }
        return end;
    }
    [[nodiscard]] Result<void> misfit(const Misfit& found) const {
        return misfit_ ? misfit_(found) : Error{ErrorCode::damaged, text_of(found)};
    }

    void note_file(const storage::GroupView& group) {
        auto& files = core_.journal_files_;
        if (files.empty() || files.back().file != group.file) {
            const bool state = group.kind == storage::GroupKind::state;
            files.push_back({group.file, Sequence(group.sequence.value() - (state ? 0 : 1))});
        }
    }

    // --- the checkpoint

    [[nodiscard]] std::string_view apply_state(const RecordView& record) {
        switch (record.type) {
            case RecordType::create_queue: return create(record.body);
            case RecordType::restore_messages: return restore(record.body, false);
            case RecordType::skip_numbers: return skip(record.body);
            case RecordType::tell_numbers: return tell(record.body);
            case RecordType::next_queue_id: return next_queue_id(record.body);
            case RecordType::next_segment: return next_segment(record.body);
            case RecordType::note_failure: return note_failure(record.body);
            case RecordType::delay_messages: return delay(record.body, true);
            case RecordType::delete_queue:
                if (const auto id = decode_queue_id(record.body)) {
                    delete_if_there(*id);
                    deleted_.insert(*id);
                    return {};
                }
                return "malformed delete_queue";
            case RecordType::state_of:
                if (const auto part = decode_state_of(record.body)) {
                    parts_.add(part->id, part->from, part->as_of);
                    return {};
                }
                return "malformed state_of";
            case RecordType::place_messages:
                if (const auto place = decode_place(record.body)) {
                    engine::Queue* queue = durable_queue(place->id);
                    if (queue != nullptr && core_.backlog_->restore(*queue, *place)) {
                        return {};
                    }
                }
                return "place_messages: malformed, or of no such queue";
            default: return "a record of unknown type";
        }
    }

    // --- what the checkpoint has seen

    // Groups from here on found their records' queues and messages as they were told.
    [[nodiscard]] bool beyond_checkpoint() const { return sequence_ > checkpoint_.through; }

    [[nodiscard]] bool seen(QueueId id, MessageNumber at) const {
        return !beyond_checkpoint() && parts_.knows(id, at, sequence_);
    }
    // What of the range the checkpoint has not seen, as of this group: fn(MessageRange) says what
    // is wrong with it.
    template <typename Fn>
    std::string_view for_each_unseen(QueueId id, MessageRange range, Fn&& fn) const {
        return beyond_checkpoint() ? fn(range) : parts_.for_each_unknown(id, range, sequence_, fn);
    }

    // --- the journal

    // What is wrong with the record; nothing if it was applied.
    [[nodiscard]] std::string_view apply(const storage::GroupView& group,
                                         const RecordView& record) {
        switch (record.type) {
            case RecordType::create_queue: return create(record.body);
            case RecordType::update_queue: return update(record.body);
            case RecordType::note_failure: return note_failure(record.body);
            case RecordType::delay_messages: return delay(record.body, false);
            case RecordType::delete_queue: return remove_queue(record.body);
            case RecordType::add_messages: return add(group, record.body);
            case RecordType::carry_messages: return carry(group, record.body);
            case RecordType::remove_messages: return remove(record.body);
            case RecordType::count_delivery: return count_delivery(record.body);
            case RecordType::restore_messages: return restore(record.body, true);
            case RecordType::skip_numbers: return skip(record.body);
            case RecordType::tell_numbers: return tell(record.body);
            case RecordType::next_queue_id: return next_queue_id(record.body);
            case RecordType::place_messages: return place(record.body);
            case RecordType::next_segment: return next_segment(record.body);
            case RecordType::see_checkpoint:
                return group.sequence == Sequence(1)
                           ? std::string_view()
                           : "no whole checkpoint is there, and the journal does not begin at 1";
            case RecordType::state_of: break;
        }
        return "a record of unknown type";
    }

    [[nodiscard]] engine::Queue* durable_queue(QueueId id) const {
        engine::Queue* queue = engine_.find(id);
        return queue != nullptr && queue->durable() ? queue : nullptr;
    }
    // The same for a record with messages: if create_queue was lost, that is mended.
    [[nodiscard]] engine::Queue* queue_with_messages(QueueId id) {
        return mender_ != nullptr && beyond_checkpoint() ? mender_->queue_for(id)
                                                         : durable_queue(id);
    }
    // A record that does not fit the queues that are there: they changed before the checkpoint came
    // to them.
    [[nodiscard]] std::string_view no_queue(std::string_view otherwise) const {
        return beyond_checkpoint() ? otherwise : std::string_view();
    }

    std::string_view create(wire::Bytes body) {
        const auto command = decode_create_queue(body);
        if (!command) {
            return "malformed create_queue";
        }
        if (engine_.find(command->id) != nullptr ||
            engine_.find(command->definition.name) != nullptr) {
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
    std::string_view update(wire::Bytes body) {
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
        engine_.apply(engine::UpdateQueue{record->id, std::move(definition)});
        return {};
    }

    // Failures are merged by their times, so that it does not matter what was seen, or when.
    std::string_view note_failure(wire::Bytes body) {
        const auto command = decode_note_failure(body);
        if (!command) {
            return "malformed note_failure";
        }
        if (durable_queue(command->id) == nullptr) {
            return no_queue("note_failure of no such queue");
        }
        engine_.apply(*command);
        return {};
    }

    // It counts for those that wait. What the checkpoint tells of delays is younger than its parts:
    // whatever became of a message between the two, the journal tells in its order once more.
    std::string_view delay(wire::Bytes body, bool in_checkpoint) {
        if (!decode_delay(body, delays_)) {
            return "malformed delay_messages";
        }
        for (const engine::DelayMessages& command : delays_) {
            if (durable_queue(command.id) == nullptr) {
                return no_queue("delay_messages of no such queue");
            }
            const auto hold = [&](MessageRange range) -> std::string_view {
                engine_.apply(engine::DelayMessages{command.id, range, command.due});
                return {};
            };
            (void)(in_checkpoint ? hold(command.range)
                                 : for_each_unseen(command.id, command.range, hold));
        }
        return {};
    }

    void delete_if_there(QueueId id) {
        if (engine_.find(id) != nullptr) {
            engine_.apply(engine::DeleteQueue{id});
            core_.free_released();
            core_.backlog_->forget(id);
            core_.told_early_.erase(id);
        }
    }

    std::string_view remove_queue(wire::Bytes body) {
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

    std::string_view add(const storage::GroupView& group, wire::Bytes body) {
        const auto record = decode_messages(body);
        if (!record) {
            return "malformed add_messages";
        }
        engine::Queue* queue = queue_with_messages(record->id);
        if (queue == nullptr) {
            return no_queue("add_messages to no such queue");
        }
        if (seen(record->id, record->range.first)) {
            return load_living(*queue, *record, group);
        }
        if (record->range.first < queue->next_applied()) {
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
        engine_.announce_resident(*queue, *block);
        return {};
    }

    std::string_view carry(const storage::GroupView& group, wire::Bytes body) {
        const auto record = decode_messages(body);
        if (!record) {
            return "malformed carry_messages";
        }
        engine::Queue* queue = queue_with_messages(record->id);
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
    std::string_view load_living(engine::Queue& queue, const MessagesRecord& record,
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

    void load_range(engine::Queue& queue, const Block& whole, MessageRange range,
                    const storage::GroupView& group) {
        for (MessageNumber at = range.first; at < range.end();) {
            const MessageNumber resident = std::min(queue.resident_from(at), range.end());
            if (at < resident) {
                const MessageRange gap{at, resident - at};
                Block* part = load(
                    group, {whole.queue, gap, whole.published, whole.sender, whole.slice(gap)});
                MQD_ASSERT(part != nullptr, gap.first);
                engine_.announce_resident(queue, *part);
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

    Block* load(const storage::GroupView& group, const MessagesRecord& record) {
        Block* block = Block::from_record(record);
        if (block == nullptr) {
            return nullptr;
        }
        block->booked_bytes = block->bytes + block->count * booked_per_message;
        block->charge(core_.memory_bytes_);
        core_.durable_messages_ += block->count;
        core_.journal_blocks_.link(*block, group.file);
        return block;
    }

    std::string_view place(wire::Bytes body) {
        const auto record = decode_place(body);
        if (!record) {
            return "malformed place_messages";
        }
        engine::Queue* queue = queue_with_messages(record->id);
        if (queue == nullptr) {
            return no_queue("place_messages of no such queue");
        }
        if (seen(record->id, record->range.first)) {
            return {};
        }
        std::string_view bad;
        if (record->range.end() > queue->next_applied()) {
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

    std::string_view remove(wire::Bytes body) {
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

    std::string_view count_delivery(wire::Bytes body) {
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
    std::string_view restore(wire::Bytes body, bool bounded) {
        if (!decode_restore(body, restored_)) {
            return "malformed restore_messages";
        }
        for (const engine::RestoreMessages& command : restored_) {
            engine::Queue* queue = durable_queue(command.id);
            if (queue == nullptr || (bounded && command.range.end() > queue->next_applied()) ||
                queue->waiting_in(command.range) != 0) {
                return "restore_messages: no such queue, or messages that cannot be";
            }
            engine_.apply(command);
        }
        return {};
    }

    std::string_view tell(wire::Bytes body) {
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

    std::string_view skip(wire::Bytes body) {
        const auto command = decode_skip_numbers(body);
        if (!command) {
            return "malformed skip_numbers";
        }
        if (engine_.find(command->id) == nullptr) {
            return no_queue("skip_numbers of no such queue");
        }
        engine_.apply(*command);
        return {};
    }

    std::string_view next_queue_id(wire::Bytes body) {
        const auto id = decode_queue_id(body);
        if (!id) {
            return "malformed next_queue_id";
        }
        engine_.restore_next_queue_id(*id);
        return {};
    }

    std::string_view next_segment(wire::Bytes body) {
        const auto number = decode_next_segment(body);
        if (!number) {
            return "malformed next_segment";
        }
        core_.backlog_->skip_segments(*number);
        return {};
    }

    Core& core_;
    engine::Engine& engine_;
    MisfitFunction misfit_;
    Mender* mender_;  // null: nothing is mended
    storage::Checkpoint checkpoint_;
    CheckpointParts parts_;
    std::set<QueueId> deleted_;  // while the checkpoint was written, behind their parts
    Sequence sequence_;          // of the group that is being applied
    std::vector<MessageRange> ranges_;
    std::vector<engine::RestoreMessages> restored_;
    std::vector<engine::DelayMessages> delays_;
    // How many messages of a block this group carried, by the block's first number.
    std::map<std::pair<QueueId, MessageNumber>, std::uint64_t> carried_;
};

}  // namespace mqd::core
