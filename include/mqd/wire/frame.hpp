#pragma once

// The frames of the protocol: docs/protocol.md has a picture of each, tests/wire/vectors/ their
// bytes. Every frame is a header of 16 bytes and a body:
//
//     u32 body_bytes | u8 type | u8 flags | u16 reserved (0) | u32 correlation | u32 handle | body
//
// Each frame is a struct with `encode` (appends the body) and `decode` (total: nothing if the body
// is too short or malformed; unknown bytes behind the known fields are ignored). What a decoded
// struct views lies in the bytes it was decoded from.

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "mqd/error.hpp"
#include "mqd/types.hpp"
#include "mqd/wire/batch.hpp"
#include "mqd/wire/bytes.hpp"

namespace mqd::wire {

inline constexpr std::size_t frame_header_bytes = 16;
inline constexpr std::uint32_t magic = 0x3144514D;  // "MQD1"
inline constexpr std::uint16_t protocol_version = 1;
inline constexpr std::uint32_t frame_body_bytes_hard_max = 32 * 1024 * 1024;
inline constexpr std::size_t queue_name_bytes_max = 200;
inline constexpr std::size_t producer_name_bytes_max = 128;
inline constexpr std::size_t ranges_max = 4096;  // in one frame
inline constexpr std::size_t ping_bytes_max = 64;
inline constexpr std::size_t backup_next_max = 8;  // asked for and not answered

enum class FrameType : std::uint8_t {
    // client to daemon
    hello = 0x01,
    goodbye = 0x02,
    ping = 0x03,  // both ways
    open_producer = 0x04,
    open_consumer = 0x05,
    close_handle = 0x06,
    publish = 0x10,
    resume = 0x11,
    credit = 0x12,  // both ways: to the daemon for a consumer, to the client for a producer
    ack = 0x13,
    nack = 0x14,
    extend = 0x15,
    transact = 0x17,
    queue_create = 0x20,
    queue_delete = 0x21,
    queue_purge = 0x22,
    queue_list = 0x23,
    queue_show = 0x24,
    peek = 0x25,
    status = 0x26,
    backup = 0x27,
    backup_next = 0x28,
    queue_update = 0x29,
    messages_delete = 0x2A,
    messages_move = 0x2B,
    message_history = 0x2C,
    queue_undo = 0x2D,
    // daemon to client
    welcome = 0x81,
    goodbye_reply = 0x82,
    pong = 0x83,  // both ways
    opened = 0x84,
    closed = 0x86,
    confirm = 0x90,
    refuse = 0x91,
    deliver = 0x92,
    settled = 0x94,
    lease_lost = 0x95,
    consumer_active = 0x96,
    transacted = 0x97,
    queue_info = 0xA0,
    done = 0xA1,
    queue_list_reply = 0xA3,
    peek_reply = 0xA5,
    status_reply = 0xA6,
    backup_reply = 0xA7,
    backup_part = 0xA8,
    message_history_reply = 0xAC,
    error = 0xFF,
};

// flags of ACK, NACK, EXTEND: answer with SETTLED, for ACK after the ack is as durable as the
// queue.
inline constexpr std::uint8_t flag_confirm = 0x01;
// Of NACK: the messages go to the dead letters at once.
inline constexpr std::uint8_t flag_dead_letter = 0x02;

struct FrameHeader {
    std::uint32_t body_bytes = 0;
    FrameType type{};
    std::uint8_t flags = 0;
    CorrelationId correlation;
    HandleId handle;
};

// Precondition: at least frame_header_bytes. Any 16 bytes give a header; whether its length and
// type are acceptable is for the caller to say, before it takes memory for the body.
[[nodiscard]] inline FrameHeader decode_frame_header(const std::byte* from) {
    return {load<std::uint32_t>(from), static_cast<FrameType>(load<std::uint8_t>(from + 4)),
            load<std::uint8_t>(from + 5), CorrelationId(load<std::uint32_t>(from + 8)),
            HandleId(load<std::uint32_t>(from + 12))};
}

inline void encode_frame_header(std::byte* to, const FrameHeader& header) {
    store(to, header.body_bytes);
    store(to + 4, static_cast<std::uint8_t>(header.type));
    store(to + 5, header.flags);
    store(to + 6, std::uint16_t{0});
    store(to + 8, header.correlation.value());
    store(to + 12, header.handle.value());
}

// Appends a whole frame: header, then what `frame.encode` writes, then the length put right.
template <typename Frame>
inline void append_frame(std::vector<std::byte>& out, const Frame& frame,
                         CorrelationId correlation = {}, HandleId handle = {},
                         std::uint8_t flags = 0) {
    const std::size_t at = out.size();
    out.resize(at + frame_header_bytes);
    Writer writer(out);
    frame.encode(writer);
    const std::size_t body = out.size() - at - frame_header_bytes;
    MQD_ASSERT(body <= frame_body_bytes_hard_max, body);
    encode_frame_header(out.data() + at, {static_cast<std::uint32_t>(body), Frame::type, flags,
                                          correlation, handle});
}

// A list of ranges as it lies in a frame: u32 n | n x (u64 first, u64 count).
class RangeList {
  public:
    static constexpr std::size_t entry_bytes = 16;

    [[nodiscard]] static std::optional<RangeList> decode(Reader& reader) {
        const auto n = reader.number<std::uint32_t>();
        if (!reader.ok() || n > ranges_max) {
            return std::nullopt;
        }
        RangeList list;
        list.entries_ = reader.take(n * entry_bytes);
        return reader.ok() ? std::optional(list) : std::nullopt;
    }

    static void encode(Writer& writer, std::span<const MessageRange> ranges) {
        MQD_ASSERT(ranges.size() <= ranges_max, ranges.size());
        writer.number(static_cast<std::uint32_t>(ranges.size()));
        for (const MessageRange& range : ranges) {
            writer.number(range.first.value()).number(range.count);
        }
    }

    // Number arithmetic must not wrap: what lies beyond all numbers is nobody's.
    [[nodiscard]] bool sane() const {
        for (std::size_t i = 0; i < size(); ++i) {
            const MessageRange range = (*this)[i];
            if (range.count == 0 || range.first.value() == 0 ||
                range.first.value() > UINT64_MAX - range.count) {
                return false;
            }
        }
        return true;
    }
    [[nodiscard]] std::size_t size() const { return entries_.size() / entry_bytes; }
    [[nodiscard]] MessageRange operator[](std::size_t i) const {
        const std::byte* at = entries_.data() + i * entry_bytes;
        return {MessageNumber(load<std::uint64_t>(at)), load<std::uint64_t>(at + 8)};
    }

  private:
    Bytes entries_;
};

inline void encode_identity(Writer& writer, const Identity& identity) {
    writer.number(identity.uid).number(identity.gid).number(identity.pid);
}

[[nodiscard]] inline Identity decode_identity(Reader& reader) {
    Identity identity;
    identity.uid = reader.number<std::uint32_t>();
    identity.gid = reader.number<std::uint32_t>();
    identity.pid = reader.number<std::uint32_t>();
    return identity;
}

[[nodiscard]] inline std::int64_t to_micros(WallTime time) {
    return time.time_since_epoch().count();
}
[[nodiscard]] inline WallTime from_micros(std::int64_t micros) {
    return WallTime(std::chrono::microseconds(micros));
}

// A frame without a body.
template <FrameType Type>
struct EmptyFrame {
    static constexpr FrameType type = Type;
    void encode(Writer&) const {}
    [[nodiscard]] static std::optional<EmptyFrame> decode(Bytes) { return EmptyFrame{}; }
};
using Goodbye = EmptyFrame<FrameType::goodbye>;
using GoodbyeReply = EmptyFrame<FrameType::goodbye_reply>;
using CloseHandle = EmptyFrame<FrameType::close_handle>;
using Closed = EmptyFrame<FrameType::closed>;
using Resume = EmptyFrame<FrameType::resume>;
using ConsumerActive = EmptyFrame<FrameType::consumer_active>;
using Status = EmptyFrame<FrameType::status>;
using Backup = EmptyFrame<FrameType::backup>;
using BackupNext = EmptyFrame<FrameType::backup_next>;

struct Hello {
    static constexpr FrameType type = FrameType::hello;
    std::uint32_t magic = wire::magic;
    std::uint16_t version_min = protocol_version;
    std::uint16_t version_max = protocol_version;
    std::uint64_t features = 0;              // none yet
    std::uint32_t frame_body_bytes_max = 0;  // that the client takes; at least 65,536
    std::uint32_t heartbeat_ms = 0;  // the client promises a frame at least so often; 0: none
    std::string_view client_name;

    void encode(Writer& w) const {
        w.number(magic).number(version_min).number(version_max).number(features);
        w.number(frame_body_bytes_max).number(heartbeat_ms).string16(client_name);
    }
    [[nodiscard]] static std::optional<Hello> decode(Bytes body) {
        Reader r(body);
        Hello f;
        f.magic = r.number<std::uint32_t>();
        f.version_min = r.number<std::uint16_t>();
        f.version_max = r.number<std::uint16_t>();
        f.features = r.number<std::uint64_t>();
        f.frame_body_bytes_max = r.number<std::uint32_t>();
        f.heartbeat_ms = r.number<std::uint32_t>();
        f.client_name = r.string16();
        return r.ok() ? std::optional(f) : std::nullopt;
    }
};

struct Welcome {
    static constexpr FrameType type = FrameType::welcome;
    std::uint16_t version = protocol_version;
    std::uint64_t features = 0;
    std::uint32_t frame_body_bytes_max = 0;  // that the daemon takes
    std::uint32_t message_body_bytes_max = 0;
    std::uint32_t handles_max = 0;
    std::uint32_t heartbeat_ms = 0;  // as the daemon will hold the client to; 0: not
    Identity identity;               // the client, as the daemon sees it
    std::string_view server_name;    // "mqd 0.1.0"

    void encode(Writer& w) const {
        w.number(version).number(features).number(frame_body_bytes_max);
        w.number(message_body_bytes_max).number(handles_max).number(heartbeat_ms);
        encode_identity(w, identity);
        w.string16(server_name);
    }
    [[nodiscard]] static std::optional<Welcome> decode(Bytes body) {
        Reader r(body);
        Welcome f;
        f.version = r.number<std::uint16_t>();
        f.features = r.number<std::uint64_t>();
        f.frame_body_bytes_max = r.number<std::uint32_t>();
        f.message_body_bytes_max = r.number<std::uint32_t>();
        f.handles_max = r.number<std::uint32_t>();
        f.heartbeat_ms = r.number<std::uint32_t>();
        f.identity = decode_identity(r);
        f.server_name = r.string16();
        return r.ok() ? std::optional(f) : std::nullopt;
    }
};

template <FrameType Type>
struct PingFrame {
    static constexpr FrameType type = Type;
    Bytes payload;  // at most ping_bytes_max; PONG gives it back

    void encode(Writer& w) const { w.bytes(payload); }
    [[nodiscard]] static std::optional<PingFrame> decode(Bytes body) {
        return body.size() <= ping_bytes_max ? std::optional(PingFrame{body}) : std::nullopt;
    }
};
using Ping = PingFrame<FrameType::ping>;
using Pong = PingFrame<FrameType::pong>;

// Messages first_line .. first_line + count - 1 of a producer handle.
struct Publish {
    static constexpr FrameType type = FrameType::publish;
    static constexpr std::size_t fixed_bytes = 16;
    LineNumber first_line;
    std::uint32_t count = 0;                          // 1..batch_messages_max
    Durability durability = Durability::unspecified;  // what the confirm waits for
    Bytes batch;

    void encode(Writer& w) const {
        w.number(first_line.value()).number(count);
        w.number(static_cast<std::uint8_t>(durability)).number(std::uint8_t{0});
        w.number(std::uint16_t{0}).bytes(batch);
    }
    [[nodiscard]] static std::optional<Publish> decode(Bytes body) {
        Reader r(body);
        Publish f;
        f.first_line = LineNumber(r.number<std::uint64_t>());
        f.count = r.number<std::uint32_t>();
        const auto durability = r.number<std::uint8_t>();
        (void)r.take(3);
        f.batch = r.rest();
        f.durability = static_cast<Durability>(durability);
        const bool sane = f.count >= 1 && f.count <= batch_messages_max &&
                          durability <= static_cast<std::uint8_t>(Durability::disk);
        return r.ok() && sane ? std::optional(f) : std::nullopt;
    }
};

// CREDIT: absolute totals since the handle was opened. A consumer's: messages and batch bytes that
// the daemon may have delivered in all. A producer's: that the client may have published in all.
struct Credit {
    static constexpr FrameType type = FrameType::credit;
    std::uint64_t message_limit = 0;
    std::uint64_t byte_limit = 0;

    void encode(Writer& w) const { w.number(message_limit).number(byte_limit); }
    [[nodiscard]] static std::optional<Credit> decode(Bytes body) {
        Reader r(body);
        Credit f;
        f.message_limit = r.number<std::uint64_t>();
        f.byte_limit = r.number<std::uint64_t>();
        return r.ok() ? std::optional(f) : std::nullopt;
    }
};

// Part of a confirm: `count` lines in order became messages first_number, first_number + 1, …
struct ConfirmedRun {
    MessageNumber first_number;
    std::uint32_t count = 0;
};

struct Confirm {
    static constexpr FrameType type = FrameType::confirm;
    static constexpr std::size_t run_bytes = 12;
    LineNumber first_line;
    Durability durability{};  // the least that all these lines reached
    Credit credit;            // the publish credit of the handle from now on
    Bytes runs;               // n x (u64 first_number, u32 count)

    [[nodiscard]] std::size_t size() const { return runs.size() / run_bytes; }
    [[nodiscard]] ConfirmedRun operator[](std::size_t i) const {
        const std::byte* at = runs.data() + i * run_bytes;
        return {MessageNumber(load<std::uint64_t>(at)), load<std::uint32_t>(at + 8)};
    }
    static void append_run(std::vector<std::byte>& runs, const ConfirmedRun& run) {
        Writer(runs).number(run.first_number.value()).number(run.count);
    }

    void encode(Writer& w) const {
        w.number(first_line.value()).number(static_cast<std::uint8_t>(durability));
        w.number(credit.message_limit).number(credit.byte_limit);
        w.number(static_cast<std::uint32_t>(size())).bytes(runs);
    }
    [[nodiscard]] static std::optional<Confirm> decode(Bytes body) {
        Reader r(body);
        Confirm f;
        f.first_line = LineNumber(r.number<std::uint64_t>());
        f.durability = static_cast<Durability>(r.number<std::uint8_t>());
        f.credit.message_limit = r.number<std::uint64_t>();
        f.credit.byte_limit = r.number<std::uint64_t>();
        f.runs = r.take(std::size_t{r.number<std::uint32_t>()} * run_bytes);
        return r.ok() ? std::optional(f) : std::nullopt;
    }
};

// ERROR answers the request of its correlation id (0: the connection itself); the code says whether
// the daemon closes the connection behind it.
struct ErrorFrame {
    static constexpr FrameType type = FrameType::error;
    ErrorCode code{};
    std::uint64_t limit = 0;
    std::uint32_t retry_after_ms = 0;
    std::string_view text;

    void encode(Writer& w) const {
        w.number(static_cast<std::uint16_t>(code)).number(limit).number(retry_after_ms);
        w.string16(text);
    }
    [[nodiscard]] static std::optional<ErrorFrame> decode(Bytes body) {
        Reader r(body);
        ErrorFrame f;
        f.code = static_cast<ErrorCode>(r.number<std::uint16_t>());
        f.limit = r.number<std::uint64_t>();
        f.retry_after_ms = r.number<std::uint32_t>();
        f.text = r.string16();
        return r.ok() ? std::optional(f) : std::nullopt;
    }
    [[nodiscard]] Error to_error() const {
        return {code, std::string(text), limit, retry_after_ms, 0};
    }
};

// Lines first_line .. first_line + count - 1 were not taken.
struct Refuse {
    static constexpr FrameType type = FrameType::refuse;
    LineNumber first_line;
    std::uint64_t count = 0;
    Credit credit;  // the publish credit of the handle from now on
    ErrorFrame error;

    void encode(Writer& w) const {
        w.number(first_line.value()).number(count);
        credit.encode(w);
        error.encode(w);
    }
    [[nodiscard]] static std::optional<Refuse> decode(Bytes body) {
        Reader r(body);
        Refuse f;
        f.first_line = LineNumber(r.number<std::uint64_t>());
        f.count = r.number<std::uint64_t>();
        f.credit.message_limit = r.number<std::uint64_t>();
        f.credit.byte_limit = r.number<std::uint64_t>();
        const auto error = ErrorFrame::decode(r.rest());
        if (!r.ok() || !error) {
            return std::nullopt;
        }
        f.error = *error;
        return f;
    }
};

// Consecutive messages for a consumer handle, with what the daemon adds to the batch.
struct Deliver {
    static constexpr FrameType type = FrameType::deliver;
    static constexpr std::size_t fixed_bytes = 36;
    MessageNumber first_number;
    WallTime published;
    std::uint32_t count = 0;
    std::uint32_t attempt = 0;  // 1: the first delivery
    Identity sender;
    Bytes batch;

    // All but the batch, which the daemon sends from where it lies: fixed_bytes.
    void encode_fixed(std::byte* to) const {
        store(to, first_number.value());
        store(to + 8, to_micros(published));
        store(to + 16, count);
        store(to + 20, attempt);
        store(to + 24, sender.uid);
        store(to + 28, sender.gid);
        store(to + 32, sender.pid);
    }
    void encode(Writer& w) const {
        w.number(first_number.value()).number(to_micros(published)).number(count).number(attempt);
        encode_identity(w, sender);
        w.bytes(batch);
    }
    [[nodiscard]] static std::optional<Deliver> decode(Bytes body) {
        Reader r(body);
        Deliver f;
        f.first_number = MessageNumber(r.number<std::uint64_t>());
        f.published = from_micros(r.number<std::int64_t>());
        f.count = r.number<std::uint32_t>();
        f.attempt = r.number<std::uint32_t>();
        f.sender = decode_identity(r);
        f.batch = r.rest();
        return r.ok() && f.count >= 1 ? std::optional(f) : std::nullopt;
    }
};

// ACK, NACK (back to its place in the queue) and EXTEND (lease_ms from now) of leased messages.
template <FrameType Type>
struct Settle {
    static constexpr FrameType type = Type;
    std::uint32_t lease_ms = 0;  // EXTEND: the new lease, 0: the handle's; else 0
    RangeList ranges;

    [[nodiscard]] static std::optional<Settle> decode(Bytes body) {
        Reader r(body);
        Settle f;
        f.lease_ms = r.number<std::uint32_t>();
        const auto ranges = RangeList::decode(r);
        if (!ranges) {
            return std::nullopt;
        }
        f.ranges = *ranges;
        return f;
    }
};
using Ack = Settle<FrameType::ack>;
using Extend = Settle<FrameType::extend>;

// u32 delay_ms (0: ready at once) | ranges | string8 reason. The first clients sent no reason.
// In NACK: there is no delay, whatever the schedule of the queue says.
inline constexpr std::uint32_t delay_none = UINT32_MAX;

struct Nack {
    static constexpr FrameType type = FrameType::nack;
    std::uint32_t delay_ms = 0;  // until they are ready again; 0: as the queue says
    RangeList ranges;
    std::string_view reason;  // for people: why it failed

    [[nodiscard]] static std::optional<Nack> decode(Bytes body) {
        Reader r(body);
        Nack f;
        f.delay_ms = r.number<std::uint32_t>();
        const auto ranges = RangeList::decode(r);
        if (!ranges) {
            return std::nullopt;
        }
        f.ranges = *ranges;
        if (!r.rest().empty()) {
            f.reason = r.string8();
        }
        return r.ok() ? std::optional(f) : std::nullopt;
    }
};

// What a client sends: the ranges as it has them.
struct SettleRequest {
    std::uint32_t lease_ms = 0;  // NACK: delay_ms
    std::span<const MessageRange> ranges = {};
    std::string_view reason = {};  // NACK: at most 255 bytes
};

inline void append_settle(std::vector<std::byte>& out, FrameType type, const SettleRequest& request,
                          CorrelationId correlation, HandleId handle, std::uint8_t flags) {
    const std::size_t at = out.size();
    out.resize(at + frame_header_bytes);
    Writer writer(out);
    writer.number(request.lease_ms);
    RangeList::encode(writer, request.ranges);
    if (type == FrameType::nack) {
        writer.string8(request.reason);
    }
    const auto body = static_cast<std::uint32_t>(out.size() - at - frame_header_bytes);
    encode_frame_header(out.data() + at, {body, type, flags, correlation, handle});
}

// Answers ACK, NACK, EXTEND with flag_confirm.
struct Settled {
    static constexpr FrameType type = FrameType::settled;
    Durability durability{};       // of an ACK
    std::uint64_t settled = 0;     // messages it applied to
    std::uint64_t not_leased = 0;  // messages that this handle did not hold (any more)

    void encode(Writer& w) const {
        w.number(static_cast<std::uint8_t>(durability)).number(settled).number(not_leased);
    }
    [[nodiscard]] static std::optional<Settled> decode(Bytes body) {
        Reader r(body);
        Settled f;
        f.durability = static_cast<Durability>(r.number<std::uint8_t>());
        f.settled = r.number<std::uint64_t>();
        f.not_leased = r.number<std::uint64_t>();
        return r.ok() ? std::optional(f) : std::nullopt;
    }
};

// These messages of the handle ran out of their lease and are ready again.
struct LeaseLost {
    static constexpr FrameType type = FrameType::lease_lost;
    RangeList ranges;

    [[nodiscard]] static std::optional<LeaseLost> decode(Bytes body) {
        Reader r(body);
        const auto ranges = RangeList::decode(r);
        return ranges ? std::optional(LeaseLost{*ranges}) : std::nullopt;
    }
};

}  // namespace mqd::wire
