#pragma once

// The records in the body of a commit group (docs/storage.md, "Records"). A record is
//
//     u32 body_bytes | u8 type | u8 reserved (0) | u16 reserved (0) | body
//
// Decisions, not requests: replay needs nothing but them. Decoding is total.

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "daemon/core/page_times.hpp"
#include "daemon/engine/engine.hpp"
#include "daemon/storage/group_buffer.hpp"
#include "daemon/storage/segment_format.hpp"
#include "mqd/wire/admin.hpp"
#include "mqd/wire/frame.hpp"
#include "mqd/wire/handle.hpp"

namespace mqd::core {

inline constexpr std::size_t record_header_bytes = 8;
inline constexpr std::size_t messages_fixed_bytes = 40;
inline constexpr std::size_t remove_ranges_max = 4096;   // in one record
inline constexpr std::size_t restore_runs_max = 65'536;  // in one record
inline constexpr std::size_t restore_run_bytes = 12;
inline constexpr std::size_t place_bytes = 64;
inline constexpr std::size_t taken_record_bytes = record_header_bytes + 12;
inline constexpr std::size_t delay_run_bytes = 24;
inline constexpr std::size_t purge_run_bytes = 24;
inline constexpr std::uint32_t delay_attempts_max = 65'535;  // more are told as so many
inline constexpr std::size_t group_member_bytes = 16;
// The head of a record of messages, in a page.
inline constexpr std::size_t page_record_bytes = record_header_bytes + messages_fixed_bytes;

// What a message costs in the journal beside its bytes: the head of a record that carries it alone,
// and a run of its own in the record that ends it.
inline constexpr std::uint64_t booked_per_message =
    record_header_bytes + messages_fixed_bytes + restore_run_bytes;
// And a batch, or each part of it: when it was taken, where that does not stand in the head of its
// group.
constexpr std::uint64_t booked_bytes(std::uint64_t batch_bytes, std::uint64_t count,
                                     std::uint64_t parts = 1) {
    return batch_bytes + count * booked_per_message + parts * taken_record_bytes;
}

inline std::size_t note_failure_record_bytes(const engine::Failure& failure) {
    return record_header_bytes + 4 + 4 * 8 + 1 + 1 + (failure.reason ? failure.reason->size() : 0);
}

// A record of so many delays.
constexpr std::size_t delay_record_bytes(std::size_t runs) {
    return runs == 0 ? 0 : record_header_bytes + 8 + runs * delay_run_bytes;
}

inline constexpr std::size_t dedup_marks_bytes = record_header_bytes + 4 + 3 * 8 + 4;
inline constexpr std::size_t dedup_run_bytes = 8 + 4 + 8;
inline constexpr std::size_t dedup_hash_bytes = 16;

inline std::size_t mark_producer_record_bytes(std::string_view name) {
    return record_header_bytes + 4 + 8 + 8 + 1 + name.size();
}

inline constexpr std::size_t mark_producer_record_bytes_max =
    record_header_bytes + 4 + 8 + 8 + 1 + wire::producer_name_bytes_max;

// A group that carries a batch, at most: each message in a record of its own.
constexpr std::uint64_t carry_bytes_max(std::uint64_t batch_bytes, std::uint64_t count) {
    return batch_bytes + (count + 1) * booked_per_message + 2 * storage::block_bytes;
}

enum class RecordType : std::uint8_t {
    // u32 id | u8 durability | u32 lease_ms | u64 next | string8 name | options, if there are any
    create_queue = 1,
    delete_queue = 2,      // u32 id
    add_messages = 3,      // MessagesRecord
    carry_messages = 4,    // MessagesRecord: messages that live, written again in a younger file
    remove_messages = 5,   // u32 id | u32 n | n x (u64 first, u64 count)
    count_delivery = 6,    // u32 id | u32 attempts | u64 first | u64 count
    restore_messages = 7,  // u32 id | u64 from | u32 n | n x (u32 gap, u32 count, u32 attempts)
    skip_numbers = 8,      // u32 id | u64 next
    next_queue_id = 9,     // u32 id
    tell_numbers = 10,     // u32 id | u64 next: all below it may have been told to somebody
    place_messages = 11,   // PageRecord: what lives of a range lies in a segment from now on
    see_checkpoint = 12,   // u64 number: the state is in that checkpoint, or a later one
    state_of = 13,         // StatePart: restores and pages of that part of a queue follow
    next_segment = 14,     // u32 number
    update_queue = 15,     // u32 id | options (mqd/wire/admin.hpp): those that change
    // u32 id | u64 first | u64 count | i64 first_us | i64 last_us | u8 rejected | string8 reason
    note_failure = 16,
    // u32 id | u32 n | n x (u64 first, u32 count, u8 clock, u8 0, u16 attempts, i64 due): they are
    // not delivered before; nanoseconds of the journal clock (0) or microseconds since 1970 (1).
    // They were delivered so often, at least, though no count_delivery may have come to tell it
    delay_messages = 17,
    // u32 id | u32 n | n x (u64 number, u64 group): they belong to groups. In a checkpoint; in the
    // journal, the messages say it themselves.
    group_messages = 22,
    // u32 id | u32 n | n x (u64 first, u64 count, i64 until): they are kept until then, for whoever
    // undoes it; nanoseconds of the journal clock
    purge_messages = 23,
    undo_purge = 24,  // u32 id | u32 n | n x (u64 first, u64 count): they are put back
    // u32 id | i64 taken: when the messages of the records of type 4 of that queue were taken that
    // follow, up to the next one of this type; nanoseconds of the journal clock
    note_taken = 20,
    // DedupMarks: the ids of messages that a queue remembers. In a checkpoint; in the journal,
    // which
    // has them by the messages, it opens a window and has none.
    dedup_marks = 19,
    // u32 id | u64 line | i64 used_us | string8 name: lines of that producer up to this one were
    // taken, the last of them then
    mark_producer = 18,
};

// u32 id | u64 as_of | u64 key_low | u64 key_high | u32 n | n x (u64 first, u32 count, i64 taken,
// count x (u64 hash_high, u64 hash_low)): messages with ids, consecutive and taken at one time of
// the journal clock, the oldest first, as the groups up to `as_of` have made them.
struct DedupMarks {
    QueueId id;
    Sequence as_of;
    engine::DedupKey key;
    std::vector<engine::DedupTable::Entry> entries;
};

// u32 id | u32 count | u64 first | i64 published_us | identity (3 x u32) | u32 reserved | batch
struct MessagesRecord {
    QueueId id;
    MessageRange range;
    WallTime published;
    Identity sender;
    wire::Bytes batch;
    engine::Time taken = engine::Time::min();  // not of the record itself; min: not known
};

// u32 id | u32 segment | u64 first | u64 count | u64 offset | u32 bytes | u32 held | i64 oldest
// | i64 tenth | i64 expires. The first daemons wrote no times.
struct PageRecord {
    QueueId id;
    MessageRange range;
    storage::PageAddress address;
    std::uint32_t held = 0;  // messages in it
    PageTimes times{};
};

// u32 id | u64 from | u64 to | u64 as_of: in a checkpoint, what follows is the whole state of the
// queue's numbers from `from` on, below `to`, as the groups up to `as_of` have made it.
struct StatePart {
    QueueId id;
    MessageNumber from;
    MessageNumber to;
    Sequence as_of;
};

struct TakenRecord {
    QueueId id;
    engine::Time taken;
};

struct RecordView {
    RecordType type{};
    wire::Bytes body;
};

// Reads the records of a group one by one; ok() is false when bytes are left over.
class RecordReader {
  public:
    explicit RecordReader(wire::Bytes body) : rest_(body) {}

    [[nodiscard]] std::optional<RecordView> next() {
        if (rest_.empty()) {
            return std::nullopt;
        }
        wire::Reader reader(rest_);
        const auto bytes = reader.number<std::uint32_t>();
        const auto type = reader.number<std::uint8_t>();
        (void)reader.take(3);
        const wire::Bytes body = reader.take(bytes);
        if (!reader.ok()) {
            ok_ = false;
            rest_ = {};
            return std::nullopt;
        }
        rest_ = reader.rest();
        return RecordView{static_cast<RecordType>(type), body};
    }
    [[nodiscard]] bool ok() const { return ok_; }

  private:
    wire::Bytes rest_;
    bool ok_ = true;
};

// --- encoding, each into the group that is being filled

void append_create_queue(storage::GroupBuffer& group, const engine::CreateQueue& command);
// What such a record takes; or rather more.
[[nodiscard]] std::size_t create_queue_bytes(const engine::QueueDefinition& definition);
void append_update_queue(storage::GroupBuffer& group, QueueId id,
                         const wire::QueueOptions& options);
void append_note_failure(storage::GroupBuffer& group, const engine::NoteFailure& command);
// `runs` are of one queue. There is at least one.
void append_delay(storage::GroupBuffer& group, std::span<const engine::DelayMessages> runs);
// `runs` are of one queue, at most remove_ranges_max. There is at least one.
void append_purge(storage::GroupBuffer& group, std::span<const engine::PurgeMessages> runs);
void append_undo_purge(storage::GroupBuffer& group, QueueId id,
                       std::span<const MessageRange> ranges);
void append_group(storage::GroupBuffer& group, QueueId id,
                  std::span<const engine::GroupMember> members);
void append_mark_producer(storage::GroupBuffer& group, const engine::MarkProducer& command);
void append_dedup_marks(storage::GroupBuffer& group, const DedupMarks& marks);
void append_delete_queue(storage::GroupBuffer& group, QueueId id);
// Type add_messages or carry_messages.
void append_messages(storage::GroupBuffer& group, RecordType type, const MessagesRecord& record);
void append_remove(storage::GroupBuffer& group, QueueId id, std::span<const MessageRange> ranges);
void append_count_delivery(storage::GroupBuffer& group, const engine::CountDelivery& command);
void append_restore(storage::GroupBuffer& group, QueueId id, std::span<const engine::LiveRun> runs);
void append_skip_numbers(storage::GroupBuffer& group, const engine::SkipNumbers& command);
void append_tell_numbers(storage::GroupBuffer& group, QueueId id, MessageNumber next);
void append_next_queue_id(storage::GroupBuffer& group, QueueId id);
void append_place(storage::GroupBuffer& group, const PageRecord& record);
void append_taken(storage::GroupBuffer& group, const TakenRecord& record);
void append_see_checkpoint(storage::GroupBuffer& group, std::uint64_t number);
void append_state_of(storage::GroupBuffer& group, const StatePart& part);
void append_next_segment(storage::GroupBuffer& group, storage::SegmentNumber number);

// --- decoding: nothing if malformed

[[nodiscard]] std::optional<engine::CreateQueue> decode_create_queue(wire::Bytes body);
[[nodiscard]] std::optional<engine::NoteFailure> decode_note_failure(wire::Bytes body);
[[nodiscard]] bool decode_delay(wire::Bytes body, std::vector<engine::DelayMessages>& runs);
[[nodiscard]] bool decode_purge(wire::Bytes body, std::vector<engine::PurgeMessages>& runs);
// The ranges go to `ranges`, which the command views.
[[nodiscard]] std::optional<engine::UndoPurge> decode_undo_purge(wire::Bytes body,
                                                                 std::vector<MessageRange>& ranges);
// The queue; nothing if it is malformed.
[[nodiscard]] std::optional<QueueId> decode_group(wire::Bytes body,
                                                  std::vector<engine::GroupMember>& members);
// The name is viewed.
[[nodiscard]] std::optional<engine::MarkProducer> decode_mark_producer(wire::Bytes body);
// Whatever `marks` held is gone. False: malformed.
[[nodiscard]] bool decode_dedup_marks(wire::Bytes body, DedupMarks& marks);
struct UpdateRecord {
    QueueId id;
    wire::QueueOptions options;  // views the body
};
[[nodiscard]] std::optional<UpdateRecord> decode_update_queue(wire::Bytes body);
// Also of any record that begins with its queue's id.
[[nodiscard]] std::optional<QueueId> decode_queue_id(wire::Bytes body);
[[nodiscard]] std::optional<MessagesRecord> decode_messages(wire::Bytes body);
// The ranges go to `ranges`, which the command views.
[[nodiscard]] std::optional<engine::RemoveMessages> decode_remove(
    wire::Bytes body, std::vector<MessageRange>& ranges);
[[nodiscard]] std::optional<engine::CountDelivery> decode_count_delivery(wire::Bytes body);
[[nodiscard]] bool decode_restore(wire::Bytes body, std::vector<engine::RestoreMessages>& runs);
[[nodiscard]] std::optional<engine::SkipNumbers> decode_skip_numbers(wire::Bytes body);
[[nodiscard]] std::optional<PageRecord> decode_place(wire::Bytes body);
[[nodiscard]] std::optional<TakenRecord> decode_taken(wire::Bytes body);
[[nodiscard]] std::optional<StatePart> decode_state_of(wire::Bytes body);
[[nodiscard]] std::optional<std::uint64_t> decode_see_checkpoint(wire::Bytes body);
[[nodiscard]] std::optional<storage::SegmentNumber> decode_next_segment(wire::Bytes body);

}  // namespace mqd::core
