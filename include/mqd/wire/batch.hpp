#pragma once

// The encoded batch: messages of one queue, one after the other, byte-identical in PUBLISH,
// journal, segment and DELIVER (docs/protocol.md, "Messages"). A message is
//
//     u32 body_bytes | u16 attributes_bytes | u16 reserved (0) | attributes | body
//
// and its attributes are, one after the other,
//
//     u16 id (bit 15: critical) | u16 value_bytes | value
//
// The count of messages stands in the frame or record around the batch, so that every run of whole
// messages out of a batch is a batch. Nothing here allocates.

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "mqd/error.hpp"
#include "mqd/types.hpp"
#include "mqd/wire/bytes.hpp"

namespace mqd::wire {

inline constexpr std::size_t message_header_bytes = 8;
inline constexpr std::size_t attribute_header_bytes = 4;
inline constexpr std::uint16_t critical_bit = 0x8000;

// Hard limits: of the format. The configuration sets lower ones.
inline constexpr std::uint32_t message_body_bytes_hard_max = 16 * 1024 * 1024;
inline constexpr std::uint32_t attributes_bytes_max = 65'535;
inline constexpr std::uint32_t batch_messages_max = 65'536;

enum class AttributeId : std::uint16_t {
    header = 1,        // u8 key_bytes | key | value; may stand several times
    priority = 2,      // u8: 0 to 9, the highest one is delivered first; critical
    delay = 3,         // u64: milliseconds before it may be delivered; critical
    due = 4,           // i64: microseconds since 1970, not delivered before; critical
    dedup_id = 6,      // 1..128 bytes: a message with the same is not taken again; critical
    group = 7,         // 1..128 bytes: the key of its group; critical
    ttl = 5,           // u64: milliseconds after which it is not delivered any more; critical
    dead_letter = 16,  // DeadLetterView; set by the daemon, and refused in a PUBLISH
    // Reserved: 8 reply_to. All but reply_to are sent with
    // the critical bit, so that a daemon that does not know them refuses the message.
};

// How far ahead a message can be delayed, by either attribute: ten years.
inline constexpr std::chrono::milliseconds delay_max = std::chrono::hours(24) * 3652;
inline constexpr std::size_t group_bytes_max = 128;  // of the key of a group
inline constexpr std::size_t dedup_id_bytes_max = 128;
// How long a queue remembers ids at most, and of how many messages.
inline constexpr std::chrono::milliseconds dedup_window_max = delay_max;
inline constexpr std::uint32_t dedup_count_max = 16'777'216;
// The longest time to live, of a message or of a queue's; a message's is at least 1 ms.
inline constexpr std::chrono::milliseconds ttl_max = delay_max;

struct MessageView {
    Bytes attributes;
    Bytes body;
};

// One attribute of a message, as it lies in it.
struct AttributeView {
    std::uint16_t id = 0;  // without the critical bit
    bool critical = false;
    Bytes value;
};

struct HeaderView {
    std::string_view key;
    std::string_view value;
};

// How a message came to be a dead letter.
//
//     u8 cause | u8 0 | u16 0 | u32 attempts | i64 first_failed_us | i64 last_failed_us
//     | u32 incarnation | u64 number | string8 queue | reason: what is left
enum class DeadLetterCause : std::uint8_t {
    attempts = 1,  // it was delivered as often as its queue allows
    rejected = 2,  // a consumer said so
    expired = 3,   // its time to live was over
    overflow = 4,  // it was the oldest when its queue was full
};

struct DeadLetterView {
    DeadLetterCause cause{};
    std::uint32_t attempts = 0;
    WallTime first_failed;  // the first time a delivery ended without an ack
    WallTime last_failed;
    QueueId incarnation;  // of the queue that it was in, and its number there
    MessageNumber number;
    std::string_view queue;
    std::string_view reason;  // what the last consumer said that gave one
};

inline void encode_dead_letter(Writer& w, const DeadLetterView& dead) {
    w.number(static_cast<std::uint8_t>(dead.cause))
        .number(std::uint8_t{0})
        .number(std::uint16_t{0});
    w.number(dead.attempts).number(dead.first_failed.time_since_epoch().count());
    w.number(dead.last_failed.time_since_epoch().count()).number(dead.incarnation.value());
    w.number(dead.number.value()).string8(dead.queue).bytes(as_bytes(dead.reason));
}

class AttributeReader {
  public:
    explicit AttributeReader(Bytes attributes) : rest_(attributes) {}

    // The next attribute; nothing at the end or at malformed bytes, which ok() tells apart.
    [[nodiscard]] std::optional<AttributeView> next() {
        if (rest_.empty()) {
            return std::nullopt;
        }
        Reader reader(rest_);
        const auto id = reader.number<std::uint16_t>();
        const Bytes value = reader.take(reader.number<std::uint16_t>());
        if (!reader.ok()) {
            rest_ = {};
            ok_ = false;
            return std::nullopt;
        }
        rest_ = reader.rest();
        return AttributeView{static_cast<std::uint16_t>(id & ~critical_bit),
                             (id & critical_bit) != 0, value};
    }

    [[nodiscard]] bool ok() const { return ok_; }

  private:
    Bytes rest_;
    bool ok_ = true;
};

// The key and value of a header attribute; nothing if it is malformed.
[[nodiscard]] inline std::optional<HeaderView> decode_header(const AttributeView& attribute) {
    if (attribute.id != static_cast<std::uint16_t>(AttributeId::header)) {
        return std::nullopt;
    }
    Reader reader(attribute.value);
    const std::string_view key = reader.string8();
    if (!reader.ok() || key.empty()) {
        return std::nullopt;
    }
    return HeaderView{key, as_text(reader.rest())};
}

// Nothing if it is another attribute, or malformed.
[[nodiscard]] inline std::optional<DeadLetterView> decode_dead_letter(
    const AttributeView& attribute) {
    if (attribute.id != static_cast<std::uint16_t>(AttributeId::dead_letter)) {
        return std::nullopt;
    }
    Reader r(attribute.value);
    DeadLetterView dead;
    dead.cause = static_cast<DeadLetterCause>(r.number<std::uint8_t>());
    (void)r.take(3);
    dead.attempts = r.number<std::uint32_t>();
    dead.first_failed = WallTime(std::chrono::microseconds(r.number<std::int64_t>()));
    dead.last_failed = WallTime(std::chrono::microseconds(r.number<std::int64_t>()));
    dead.incarnation = QueueId(r.number<std::uint32_t>());
    dead.number = MessageNumber(r.number<std::uint64_t>());
    dead.queue = r.string8();
    if (!r.ok()) {
        return std::nullopt;
    }
    dead.reason = as_text(r.rest());
    return dead;
}

// Reads the messages of a batch in order. Total: malformed bytes end the batch and clear ok().
class BatchReader {
  public:
    explicit BatchReader(Bytes batch) : rest_(batch) {}

    [[nodiscard]] std::optional<MessageView> next() {
        if (rest_.empty()) {
            return std::nullopt;
        }
        if (rest_.size() < message_header_bytes) {
            return fail();
        }
        const std::size_t body = load<std::uint32_t>(rest_.data());
        const std::size_t attributes = load<std::uint16_t>(rest_.data() + 4);
        if (rest_.size() - message_header_bytes < body + attributes) {
            return fail();
        }
        const MessageView message{rest_.subspan(message_header_bytes, attributes),
                                  rest_.subspan(message_header_bytes + attributes, body)};
        rest_ = rest_.subspan(message_header_bytes + attributes + body);
        return message;
    }

    [[nodiscard]] bool ok() const { return ok_; }

  private:
    std::optional<MessageView> fail() {
        rest_ = {};
        ok_ = false;
        return std::nullopt;
    }

    Bytes rest_;
    bool ok_ = true;
};

// Who wrote a batch: some attributes are the daemon's.
enum class Author : std::uint8_t { client, daemon };

// When a message is to be delivered.
struct TimesView {
    std::optional<std::uint64_t> delay_ms;
    std::optional<std::int64_t> due_us;
};

// Nothing if they are malformed, or one stands twice, or both stand.
[[nodiscard]] inline std::optional<TimesView> decode_times(Bytes attributes) {
    TimesView times;
    AttributeReader reader(attributes);
    while (const auto attribute = reader.next()) {
        const auto id = static_cast<AttributeId>(attribute->id);
        if (id != AttributeId::delay && id != AttributeId::due) {
            continue;
        }
        if (attribute->value.size() != 8 || times.delay_ms || times.due_us) {
            return std::nullopt;
        }
        if (id == AttributeId::delay) {
            times.delay_ms = load<std::uint64_t>(attribute->value.data());
        } else {
            times.due_us = load<std::int64_t>(attribute->value.data());
        }
    }
    return reader.ok() ? std::optional(times) : std::nullopt;
}

// The priority of a message; 0 if it says none. Nothing if it is malformed or more than
// priority_max, or stands twice.
[[nodiscard]] inline std::optional<unsigned> decode_priority(Bytes attributes) {
    std::optional<unsigned> priority;
    AttributeReader reader(attributes);
    while (const auto attribute = reader.next()) {
        if (static_cast<AttributeId>(attribute->id) != AttributeId::priority) {
            continue;
        }
        if (attribute->value.size() != 1 || priority) {
            return std::nullopt;
        }
        priority = load<std::uint8_t>(attribute->value.data());
        if (*priority > priority_max) {
            return std::nullopt;
        }
    }
    return reader.ok() ? std::optional(priority.value_or(0)) : std::nullopt;
}

// The value of an attribute; nothing if there is none of that id.
[[nodiscard]] inline std::optional<Bytes> find_attribute(Bytes attributes, AttributeId id) {
    AttributeReader reader(attributes);
    while (const auto attribute = reader.next()) {
        if (attribute->id == static_cast<std::uint16_t>(id)) {
            return attribute->value;
        }
    }
    return std::nullopt;
}

// The time to live of a message, in milliseconds, of attributes that were checked; 0: none.
[[nodiscard]] inline std::uint64_t ttl_of(Bytes attributes) {
    AttributeReader reader(attributes);
    while (const auto attribute = reader.next()) {
        if (attribute->id == static_cast<std::uint16_t>(AttributeId::ttl) &&
            attribute->value.size() == 8) {
            return load<std::uint64_t>(attribute->value.data());
        }
    }
    return 0;
}

// Which attributes some messages have.
class AttributeSet {
  public:
    void add(AttributeId id) { bits_ |= bit(id); }
    [[nodiscard]] bool has(AttributeId id) const { return (bits_ & bit(id)) != 0; }
    // The shortest time to live, in milliseconds; the largest number: none has any.
    void note_ttl(std::uint64_t ttl_ms) { ttl_min_ = std::min(ttl_min_, ttl_ms); }
    [[nodiscard]] std::uint64_t ttl_min() const { return ttl_min_; }

  private:
    [[nodiscard]] static std::uint32_t bit(AttributeId id) {
        return std::uint32_t{1} << static_cast<std::uint16_t>(id);
    }
    std::uint32_t bits_ = 0;
    std::uint64_t ttl_min_ = UINT64_MAX;
};

// Whether a daemon of this version takes these attributes. Adds to `seen` those that it has to
// heed.
[[nodiscard]] inline std::optional<ErrorCode> check_attributes(Bytes attributes, Author author,
                                                               AttributeSet& seen) {
    AttributeReader reader(attributes);
    bool grouped = false;
    bool has_id = false;
    bool has_ttl = false;
    while (const auto attribute = reader.next()) {
        const auto id = static_cast<AttributeId>(attribute->id);
        if (id == AttributeId::delay || id == AttributeId::due) {
            if (attribute->value.size() != 8) {
                return ErrorCode::protocol_violation;
            }
            seen.add(id);
        } else if (id == AttributeId::priority) {
            if (attribute->value.size() != 1) {
                return ErrorCode::protocol_violation;
            }
            seen.add(id);
        } else if (id == AttributeId::group) {
            if (grouped || attribute->value.empty() || attribute->value.size() > group_bytes_max) {
                return ErrorCode::protocol_violation;
            }
            grouped = true;
            seen.add(id);
        } else if (id == AttributeId::dedup_id) {
            if (has_id || attribute->value.empty() ||
                attribute->value.size() > dedup_id_bytes_max) {
                return ErrorCode::protocol_violation;
            }
            has_id = true;
        } else if (id == AttributeId::ttl) {
            if (attribute->value.size() != 8) {
                return ErrorCode::protocol_violation;
            }
            const auto ttl_ms = load<std::uint64_t>(attribute->value.data());
            if (has_ttl || ttl_ms == 0 || ttl_ms > static_cast<std::uint64_t>(ttl_max.count())) {
                return ErrorCode::bad_option;
            }
            has_ttl = true;
            seen.add(id);
            seen.note_ttl(ttl_ms);
        } else if (attribute->id == static_cast<std::uint16_t>(AttributeId::header)) {
            if (!decode_header(*attribute)) {
                return ErrorCode::protocol_violation;
            }
        } else if (attribute->critical ||
                   (author == Author::client &&
                    attribute->id == static_cast<std::uint16_t>(AttributeId::dead_letter))) {
            return ErrorCode::unknown_attribute;
        }
    }
    return reader.ok() ? std::nullopt : std::optional(ErrorCode::protocol_violation);
}

// Checks a batch that came in: exactly `count` whole messages, each body at most `body_bytes_max`,
// attributes well-formed and known where critical. On success `end_offsets[i]` is the offset just
// behind message i, and `seen` has what the daemon has to heed of any. Precondition: end_offsets
// has room for `count` numbers.
[[nodiscard]] inline std::optional<ErrorCode> check_batch(Bytes batch, std::uint32_t count,
                                                          std::uint32_t body_bytes_max,
                                                          std::uint32_t* end_offsets, Author author,
                                                          AttributeSet& seen) {
    seen = {};
    std::size_t at = 0;
    for (std::uint32_t i = 0; i < count; ++i) {
        if (batch.size() - at < message_header_bytes) {
            return ErrorCode::protocol_violation;
        }
        const std::size_t body = load<std::uint32_t>(batch.data() + at);
        const std::size_t attributes = load<std::uint16_t>(batch.data() + at + 4);
        if (load<std::uint16_t>(batch.data() + at + 6) != 0 ||
            batch.size() - at - message_header_bytes < body + attributes) {
            return ErrorCode::protocol_violation;
        }
        if (body > body_bytes_max) {
            return ErrorCode::message_too_big;
        }
        if (attributes != 0) {
            const auto bad = check_attributes(batch.subspan(at + message_header_bytes, attributes),
                                              author, seen);
            if (bad) {
                return bad;
            }
        }
        at += message_header_bytes + attributes + body;
        end_offsets[i] = static_cast<std::uint32_t>(at);
    }
    return at == batch.size() ? std::nullopt : std::optional(ErrorCode::protocol_violation);
}

// The same, of a batch of which nobody asks what is to be heeded.
[[nodiscard]] inline std::optional<ErrorCode> check_batch(Bytes batch, std::uint32_t count,
                                                          std::uint32_t body_bytes_max,
                                                          std::uint32_t* end_offsets,
                                                          Author author = Author::client) {
    AttributeSet seen;
    return check_batch(batch, count, body_bytes_max, end_offsets, author, seen);
}

// Appends one message to a batch. Preconditions: sizes within the hard limits.
inline void append_message(std::vector<std::byte>& batch, Bytes attributes, Bytes body) {
    MQD_ASSERT(attributes.size() <= attributes_bytes_max, attributes.size());
    MQD_ASSERT(body.size() <= message_body_bytes_hard_max, body.size());
    const std::size_t at = batch.size();
    batch.resize(at + message_header_bytes + attributes.size() + body.size());
    std::byte* to = batch.data() + at;
    store(to, static_cast<std::uint32_t>(body.size()));
    store(to + 4, static_cast<std::uint16_t>(attributes.size()));
    store(to + 6, std::uint16_t{0});
    if (!attributes.empty()) {
        std::memcpy(to + message_header_bytes, attributes.data(), attributes.size());
    }
    if (!body.empty()) {
        std::memcpy(to + message_header_bytes + attributes.size(), body.data(), body.size());
    }
}

// Appends a header to a block of attributes. Preconditions: 1..255 bytes of key; the block stays
// within attributes_bytes_max.
inline void append_header(std::vector<std::byte>& attributes, std::string_view key,
                          std::string_view value) {
    MQD_ASSERT(!key.empty() && key.size() <= UINT8_MAX, key.size());
    MQD_ASSERT(attributes.size() + attribute_header_bytes + 1 + key.size() + value.size() <=
               attributes_bytes_max);
    Writer writer(attributes);
    writer.number(static_cast<std::uint16_t>(AttributeId::header));
    writer.number(static_cast<std::uint16_t>(1 + key.size() + value.size()));
    writer.string8(key).bytes(as_bytes(value));
}

}  // namespace mqd::wire
