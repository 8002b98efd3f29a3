#pragma once

// What happened to a message: MESSAGE_HISTORY asks, and its answer tells what the daemon remembers.

#include <chrono>
#include <string_view>
#include <vector>

#include "mqd/wire/frame.hpp"

namespace mqd::wire {

inline constexpr std::uint32_t history_max = 1'000'000;  // events of one queue
inline constexpr std::chrono::milliseconds history_time_max = delay_max;

// Whoever does not know one of them passes it over: there may be more some day.
enum class HistoryKind : std::uint8_t {
    published = 1,
    delivered = 2,
    acked = 3,
    nacked = 4,
    rejected = 5,
    lease_expired = 6,
    consumer_gone = 7,  // its connection ended: the delivery failed
    given_back = 8,     // the consumer was closed, or the daemon stopped: it counts as no delivery
    expired = 9,        // its time to live was over, and it ended
    dropped = 10,       // to make room for younger ones
    purged = 11,
    deleted = 12,  // by its id
    moved = 13,    // to `number` of `text`
    dead_lettered = 14,
    arrived = 15,  // by a move, from `number` of `text`
    arrived_dead = 16,
    restored = 17,  // the purge, or the deletion, was undone
};
inline constexpr std::uint8_t history_kinds = 17;

enum class HistoryState : std::uint8_t {
    gone = 0,  // or it never was
    ready = 1,
    leased = 2,
    delayed = 3,
    dying = 4,
    held = 5,
    ending = 6,      // its end is decided, and on its way to the disk
    unreadable = 7,  // it is there, and cannot be read
    purged = 8,      // or deleted, which can be undone
};
inline constexpr std::uint8_t history_states = 8;

// One event of a message. Its text: of `published` the name of the producer, if it has one; of
// `nacked` and `rejected` the reason, if one was given; of those from `moved` on the other queue.
struct HistoryEvent {
    HistoryKind kind{};
    WallTime at;
    Identity by;              // unknown: the daemon itself, or a connection over TCP
    HandleId handle;          // of the consumer; 0: none
    std::uint32_t attempt{};  // of `delivered`: its delivery number so and so
    std::string_view client;  // what the connection calls itself; 255 bytes of it at most
    std::string_view text;
    QueueId incarnation;   // of the other queue
    MessageNumber number;  // there; 0: not known

    static constexpr std::size_t fixed_bytes = 1 + 8 + 3 * 4 + 4 + 4 + 1 + 1 + 4 + 8;
    static constexpr std::size_t bytes_max = fixed_bytes + 2 * UINT8_MAX;

    void encode(Writer& w) const {
        w.number(static_cast<std::uint8_t>(kind)).number(to_micros(at));
        w.number(by.uid).number(by.gid).number(by.pid);
        w.number(handle.value()).number(attempt).string8(client).string8(text);
        w.number(incarnation.value()).number(number.value());
    }
    // Fails the reader if malformed.
    [[nodiscard]] static HistoryEvent decode(Reader& r) {
        HistoryEvent e;
        e.kind = static_cast<HistoryKind>(r.number<std::uint8_t>());
        e.at = from_micros(r.number<std::int64_t>());
        e.by.uid = r.number<std::uint32_t>();
        e.by.gid = r.number<std::uint32_t>();
        e.by.pid = r.number<std::uint32_t>();
        e.handle = HandleId(r.number<std::uint32_t>());
        e.attempt = r.number<std::uint32_t>();
        e.client = r.string8();
        e.text = r.string8();
        e.incarnation = QueueId(r.number<std::uint32_t>());
        e.number = MessageNumber(r.number<std::uint64_t>());
        return e;
    }
};

struct MessageHistory {
    static constexpr FrameType type = FrameType::message_history;
    std::string_view queue;
    QueueId incarnation;  // another one is refused: no_such_queue; 0: whichever it is
    MessageNumber number;
    std::uint64_t from = 0;  // where to go on, as the answer before said; 0: from the beginning

    void encode(Writer& w) const {
        w.string8(queue).number(incarnation.value()).number(number.value()).number(from);
    }
    [[nodiscard]] static std::optional<MessageHistory> decode(Bytes body) {
        Reader r(body);
        MessageHistory f;
        f.queue = r.string8();
        f.incarnation = QueueId(r.number<std::uint32_t>());
        f.number = MessageNumber(r.number<std::uint64_t>());
        f.from = r.number<std::uint64_t>();
        return r.ok() ? std::optional(f) : std::nullopt;
    }
};

struct MessageHistoryReply {
    static constexpr FrameType type = FrameType::message_history_reply;
    QueueId incarnation;
    std::uint32_t kept = 0;     // the queue's option `history`; 0: no events are kept
    WallTime known_from;        // what happened to its messages earlier is not known
    MessageNumber next_number;  // in the level of the number: from there on none was given out
    HistoryState state{};
    std::uint32_t deliveries = 0;  // so far, if it is there
    // If it is there and failed before: when first and last, why last. 1970: it did not.
    WallTime first_failed;
    WallTime last_failed;
    bool rejected = false;
    std::string_view reason;
    std::uint64_t next = 0;            // where to go on; 0: that is all
    std::vector<HistoryEvent> events;  // the oldest first

    void encode(Writer& w) const {
        w.number(incarnation.value()).number(kept).number(to_micros(known_from));
        w.number(next_number.value()).number(static_cast<std::uint8_t>(state)).number(deliveries);
        w.number(to_micros(first_failed)).number(to_micros(last_failed));
        w.number(static_cast<std::uint8_t>(rejected)).string8(reason).number(next);
        w.number(static_cast<std::uint32_t>(events.size()));
        for (const HistoryEvent& event : events) {
            event.encode(w);
        }
    }
    [[nodiscard]] static std::optional<MessageHistoryReply> decode(Bytes body) {
        Reader r(body);
        MessageHistoryReply f;
        f.incarnation = QueueId(r.number<std::uint32_t>());
        f.kept = r.number<std::uint32_t>();
        f.known_from = from_micros(r.number<std::int64_t>());
        f.next_number = MessageNumber(r.number<std::uint64_t>());
        const auto state = r.number<std::uint8_t>();
        f.state = static_cast<HistoryState>(state);
        f.deliveries = r.number<std::uint32_t>();
        f.first_failed = from_micros(r.number<std::int64_t>());
        f.last_failed = from_micros(r.number<std::int64_t>());
        const auto rejected = r.number<std::uint8_t>();
        f.rejected = rejected != 0;
        f.reason = r.string8();
        f.next = r.number<std::uint64_t>();
        const auto n = r.number<std::uint32_t>();
        if (state > history_states || rejected > 1 ||
            r.rest().size() / HistoryEvent::fixed_bytes < n) {
            return std::nullopt;
        }
        for (std::uint32_t i = 0; i < n && r.ok(); ++i) {
            f.events.push_back(HistoryEvent::decode(r));
        }
        return r.ok() ? std::optional(std::move(f)) : std::nullopt;
    }
};

}  // namespace mqd::wire
