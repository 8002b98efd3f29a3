#pragma once

// What a start makes of the checkpoint and the journal: both are applied through the same apply()
// that ran before the restart. What becomes of each record is in replay_records.cpp.

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
            if (auto allowed = check_numbers(*queue); !allowed) {
                return allowed;
            }
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
        note_time(group.time);
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
        note_time(group.time);
        while (const auto record = reader.next()) {
            const bool holds = record->type == RecordType::add_messages ||
                               record->type == RecordType::carry_messages;
            if (record->type == RecordType::note_taken) {
                (void)note_taken(record->body);
            }
            const auto messages = holds ? decode_messages(record->body) : std::nullopt;
            engine::Queue* queue = messages ? durable_queue(messages->id) : nullptr;
            if (queue != nullptr) {
                // Malformed: nothing is loaded.
                (void)load_living(*queue, with_time(*messages, record->type), group);
            }
        }
        return {};
    }

  private:
    friend class LostState;

    // That none lives behind the numbers that were given out.
    Result<void> check_numbers(const engine::Queue& queue) {
        std::vector<engine::SkipNumbers> skips;
        queue.numbers().for_each_applied([&](MessageNumber next) {
            if (const MessageNumber end = end_of(queue, next); end > next) {
                skips.push_back({queue.id(), end});
            }
        });
        for (const engine::SkipNumbers& skip : skips) {
            const std::string what = "queue \"" + queue.name() + "\" holds messages that cannot be";
            if (auto allowed = misfit({{}, {}, what, {}}); !allowed) {
                return allowed;
            }
            engine_.apply(skip);  // so that none is added there
        }
        return {};
    }
    // Behind what is said to live at or behind `next`, in its level; 0: nothing is.
    [[nodiscard]] MessageNumber end_of(const engine::Queue& queue, MessageNumber next) const {
        const auto same = [&](MessageNumber at) {
            return !queue.numbers().has_levels() || level_of_number(at) == level_of_number(next);
        };
        MessageNumber end;
        engine::LiveRun run;
        for (MessageNumber at = next; queue.find_live(at, run) && same(run.range.first);) {
            at = end = run.range.end();
        }
        if (const QueuePages* owner = core_.backlog_->pages(queue.id())) {
            for (auto page = owner->pages.lower_bound(next);
                 page != owner->pages.end() && same(page->second.range.first); ++page) {
                end = std::max(end, page->second.range.end());
            }
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
            case RecordType::note_failure: return note_failure(record.body, true);
            case RecordType::delay_messages: return delay(record.body, true);
            case RecordType::purge_messages: return purge(record.body, true);
            case RecordType::group_messages: return group_messages(record.body);
            case RecordType::mark_producer: return mark_producer(record.body);
            case RecordType::dedup_marks: return dedup_marks(record.body);
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
                    if (queue != nullptr && queue->numbers().may_be(place->range) &&
                        core_.backlog_->restore(*queue, *place)) {
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
            case RecordType::note_failure: return note_failure(record.body, false);
            case RecordType::delay_messages: return delay(record.body, false);
            case RecordType::purge_messages: return purge(record.body, false);
            case RecordType::undo_purge: return undo_purge(record.body);
            case RecordType::mark_producer: return mark_producer(record.body);
            case RecordType::dedup_marks: return open_dedup(record.body);
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
            case RecordType::note_taken: return note_taken(record.body);
            case RecordType::see_checkpoint:
                return group.sequence == Sequence(1)
                           ? std::string_view()
                           : "no whole checkpoint is there, and the journal does not begin at 1";
            case RecordType::state_of:
            case RecordType::group_messages: break;
        }
        return "a record of unknown type";
    }

    [[nodiscard]] engine::Queue* durable_queue(QueueId id) const {
        engine::Queue* queue = engine_.find(id);
        return queue != nullptr && queue->durable() ? queue : nullptr;
    }
    // The same for a record with messages: if create_queue was lost, that is mended.
    // Null also where it cannot have those.
    [[nodiscard]] engine::Queue* queue_with_messages(QueueId id, MessageRange range) {
        engine::Queue* queue = mender_ != nullptr && beyond_checkpoint()
                                   ? mender_->queue_for(id, range.first)
                                   : durable_queue(id);
        return queue != nullptr && queue->numbers().may_be(range) ? queue : nullptr;
    }
    // A record that does not fit the queues that are there: they changed before the checkpoint came
    // to them.
    [[nodiscard]] std::string_view no_queue(std::string_view otherwise) const {
        return beyond_checkpoint() ? otherwise : std::string_view();
    }

    // replay_records.cpp; each returns as apply().
    std::string_view create(wire::Bytes body);
    std::string_view update(wire::Bytes body);
    std::string_view note_failure(wire::Bytes body, bool in_checkpoint);
    std::string_view delay(wire::Bytes body, bool in_checkpoint);
    std::string_view purge(wire::Bytes body, bool in_checkpoint);
    std::string_view undo_purge(wire::Bytes body);
    std::string_view group_messages(wire::Bytes body);
    void announce(engine::Queue& queue, Block& block);
    std::string_view mark_producer(wire::Bytes body);
    std::string_view dedup_marks(wire::Bytes body);
    std::string_view open_dedup(wire::Bytes body);
    // Whether the checkpoint tells which ids that queue remembers as of this group.
    [[nodiscard]] bool knows_ids(QueueId id) const {
        const auto told = ids_as_of_.find(id);
        return told != ids_as_of_.end() && sequence_ <= told->second;
    }
    void delete_if_there(QueueId id);
    std::string_view remove_queue(wire::Bytes body);
    std::string_view add(const storage::GroupView& group, wire::Bytes body);
    std::string_view carry(const storage::GroupView& group, wire::Bytes body);
    std::string_view load_living(engine::Queue& queue, const MessagesRecord& record,
                                 const storage::GroupView& group);
    void load_range(engine::Queue& queue, const Block& whole, MessageRange range,
                    const storage::GroupView& group);
    Block* load(const storage::GroupView& group, const MessagesRecord& record);
    std::string_view place(wire::Bytes body);
    std::string_view remove(wire::Bytes body);
    std::string_view count_delivery(wire::Bytes body);
    std::string_view restore(wire::Bytes body, bool bounded);
    std::string_view tell(wire::Bytes body);
    std::string_view skip(wire::Bytes body);
    std::string_view next_queue_id(wire::Bytes body);
    std::string_view next_segment(wire::Bytes body);
    std::string_view note_taken(wire::Bytes body);
    void note_time(const storage::GroupTime& time);
    // The record, with the time at which its messages were taken.
    [[nodiscard]] MessagesRecord with_time(MessagesRecord record, RecordType type) const;

    Core& core_;
    engine::Engine& engine_;
    MisfitFunction misfit_;
    Mender* mender_;  // null: nothing is mended
    storage::Checkpoint checkpoint_;
    CheckpointParts parts_;
    std::set<QueueId> deleted_;  // while the checkpoint was written, behind their parts
    Sequence sequence_;          // of the group that is being applied
    Now time_;                   // likewise
    std::optional<TakenRecord> taken_;
    std::vector<MessageRange> ranges_;
    std::vector<engine::RestoreMessages> restored_;
    std::vector<engine::DelayMessages> delays_;
    std::vector<engine::PurgeMessages> purges_;
    std::vector<engine::GroupMember> members_;
    DedupMarks marks_;
    std::map<QueueId, Sequence> ids_as_of_;
    // How many messages of a block this group carried, by the block's first number.
    std::map<std::pair<QueueId, MessageNumber>, std::uint64_t> carried_;
};

}  // namespace mqd::core
