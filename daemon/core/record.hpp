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

#include "daemon/engine/engine.hpp"
#include "daemon/storage/group_buffer.hpp"
#include "mqd/wire/frame.hpp"

namespace mqd::core {

inline constexpr std::size_t record_header_bytes = 8;
inline constexpr std::size_t messages_fixed_bytes = 40;
inline constexpr std::size_t remove_ranges_max = 4096;   // in one record
inline constexpr std::size_t restore_runs_max = 65'536;  // in one record
inline constexpr std::size_t restore_run_bytes = 12;

// What a message costs in the journal beside its bytes: the head of a record that carries it alone,
// and its run in a state group.
inline constexpr std::uint64_t booked_per_message =
    record_header_bytes + messages_fixed_bytes + restore_run_bytes;

// What of a state group does not depend on its messages: its header and padding, next_queue_id, and
// for each queue its creation with the longest name, tell_numbers, and the head of a
// restore_messages. Beside that, room for as many further heads as gaps of more than 32 bits
// between live messages can ask for.
inline constexpr std::uint64_t state_queue_bytes =
    (record_header_bytes + 18 + wire::queue_name_bytes_max) + (record_header_bytes + 12) +
    (record_header_bytes + 16);
inline constexpr std::uint64_t state_fixed_bytes =
    storage::GroupBuffer::header_bytes + storage::block_bytes + (record_header_bytes + 4) + 4096;

// A state group in the file at most, if each message is a run of its own.
constexpr std::uint64_t state_bytes_max(std::uint64_t queues, std::uint64_t messages) {
    return state_fixed_bytes + queues * state_queue_bytes + messages * restore_run_bytes +
           messages / restore_runs_max * (record_header_bytes + 16);
}

// A group that carries a batch, at most: each message in a record of its own.
constexpr std::uint64_t carry_bytes_max(std::uint64_t batch_bytes, std::uint64_t count) {
    return batch_bytes + (count + 1) * booked_per_message + 2 * storage::block_bytes;
}

enum class RecordType : std::uint8_t {
    create_queue = 1,      // u32 id | u8 durability | u32 lease_ms | u64 next | string8 name
    delete_queue = 2,      // u32 id
    add_messages = 3,      // MessagesRecord
    carry_messages = 4,    // MessagesRecord: messages that live, written again in a younger file
    remove_messages = 5,   // u32 id | u32 n | n x (u64 first, u64 count)
    count_delivery = 6,    // u32 id | u32 attempts | u64 first | u64 count
    restore_messages = 7,  // u32 id | u64 from | u32 n | n x (u32 gap, u32 count, u32 attempts)
    skip_numbers = 8,      // u32 id | u64 next
    next_queue_id = 9,     // u32 id
    tell_numbers = 10,     // u32 id | u64 next: all below it may have been told to somebody
};

// u32 id | u32 count | u64 first | i64 published_us | identity (3 x u32) | u32 reserved | batch
struct MessagesRecord {
    QueueId id;
    MessageRange range;
    WallTime published;
    Identity sender;
    wire::Bytes batch;
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
void append_delete_queue(storage::GroupBuffer& group, QueueId id);
// Type add_messages or carry_messages.
void append_messages(storage::GroupBuffer& group, RecordType type, const MessagesRecord& record);
void append_remove(storage::GroupBuffer& group, QueueId id, std::span<const MessageRange> ranges);
void append_count_delivery(storage::GroupBuffer& group, const engine::CountDelivery& command);
void append_restore(storage::GroupBuffer& group, QueueId id, std::span<const engine::LiveRun> runs);
void append_skip_numbers(storage::GroupBuffer& group, const engine::SkipNumbers& command);
void append_tell_numbers(storage::GroupBuffer& group, QueueId id, MessageNumber next);
void append_next_queue_id(storage::GroupBuffer& group, QueueId id);

// --- decoding: nothing if malformed

[[nodiscard]] std::optional<engine::CreateQueue> decode_create_queue(wire::Bytes body);
[[nodiscard]] std::optional<QueueId> decode_queue_id(wire::Bytes body);
[[nodiscard]] std::optional<MessagesRecord> decode_messages(wire::Bytes body);
// The ranges go to `ranges`, which the command views.
[[nodiscard]] std::optional<engine::RemoveMessages> decode_remove(
    wire::Bytes body, std::vector<MessageRange>& ranges);
[[nodiscard]] std::optional<engine::CountDelivery> decode_count_delivery(wire::Bytes body);
[[nodiscard]] bool decode_restore(wire::Bytes body, std::vector<engine::RestoreMessages>& runs);
[[nodiscard]] std::optional<engine::SkipNumbers> decode_skip_numbers(wire::Bytes body);

}  // namespace mqd::core
