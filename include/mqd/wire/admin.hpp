#pragma once

// The frames of the administrator: queues, peek, status. See wire/frame.hpp for how frames work.

#include "mqd/wire/frame.hpp"
#include "mqd/wire/peek_filter.hpp"
#include "mqd/wire/queue_options.hpp"

namespace mqd::wire {

// A frame about a queue and its options.
template <FrameType Type>
struct QueueWithOptions {
    static constexpr FrameType type = Type;
    std::string_view queue;
    QueueOptions options;

    void encode(Writer& w) const {
        w.string8(queue);
        options.encode(w);
    }
    [[nodiscard]] static std::optional<QueueWithOptions> decode(Bytes body) {
        Reader r(body);
        QueueWithOptions f;
        f.queue = r.string8();
        f.options = QueueOptions::decode(r);
        return r.ok() ? std::optional(f) : std::nullopt;
    }
};
using QueueCreate = QueueWithOptions<FrameType::queue_create>;
// Changes the options that are there; durability cannot be changed.
using QueueUpdate = QueueWithOptions<FrameType::queue_update>;

// A frame whose body is the name of a queue.
template <FrameType Type>
struct QueueNamed {
    static constexpr FrameType type = Type;
    std::string_view queue;

    void encode(Writer& w) const { w.string8(queue); }
    [[nodiscard]] static std::optional<QueueNamed> decode(Bytes body) {
        Reader r(body);
        QueueNamed f;
        f.queue = r.string8();
        return r.ok() ? std::optional(f) : std::nullopt;
    }
};
using QueueDelete = QueueNamed<FrameType::queue_delete>;
using QueueShow = QueueNamed<FrameType::queue_show>;
// What of it was purged, or deleted singly, and is still kept is put back.
using QueueUndo = QueueNamed<FrameType::queue_undo>;

// Of queue_purge and messages_delete: behind the rest of the frame, if it is said.
inline constexpr std::uint8_t flag_for_good = 0x01;  // not to be undone, and no room is kept for it

// Ends all messages that wait; see MessagesDelete.
struct QueuePurge {
    static constexpr FrameType type = FrameType::queue_purge;
    std::string_view queue;
    bool for_good = false;

    void encode(Writer& w) const {
        w.string8(queue);
        encode_for_good(w, for_good);
    }
    [[nodiscard]] static std::optional<QueuePurge> decode(Bytes body) {
        Reader r(body);
        QueuePurge f;
        f.queue = r.string8();
        f.for_good = decode_for_good(r);
        return r.ok() ? std::optional(f) : std::nullopt;
    }
    // Daemons of the first releases pass it over.
    static void encode_for_good(Writer& w, bool for_good) {
        if (for_good) {
            w.number(flag_for_good);
        }
    }
    [[nodiscard]] static bool decode_for_good(Reader& r) {
        return !r.rest().empty() && (r.number<std::uint8_t>() & flag_for_good) != 0;
    }
};

struct QueueInfo {
    static constexpr FrameType type = FrameType::queue_info;
    std::string_view queue;
    QueueId incarnation;
    Durability durability{};
    std::uint32_t lease_ms = 0;
    std::uint64_t ready = 0;    // messages
    std::uint64_t leased = 0;   // messages, those whose ack is on its way to the disk included
    std::uint64_t bytes = 0;    // encoded batch bytes held for this queue
    MessageNumber next_number;  // with priorities: of the lowest
    std::uint32_t consumers = 0;
    std::uint32_t producers = 0;
    std::uint64_t dying = 0;    // messages that wait to be moved to the dead letters
    std::uint64_t delayed = 0;  // messages that wait for their time
    QueueOptions options;       // all but durability and lease
    std::uint64_t held = 0;     // messages that wait for others of their group, or its rate
    std::uint64_t expired = 0;  // messages, since the daemon was started
    // With priorities: the next number of each level, from that of priority 9 on; else none.
    std::vector<MessageNumber> next_of_levels;
    std::uint64_t duplicates = 0;  // messages that were not taken once more; as `expired`
    std::uint64_t purged = 0;      // messages that QUEUE_UNDO would put back
    WallTime undo_until{};         // the first of them only until then; 1970: there are none

    void encode(Writer& w) const {
        w.string8(queue).number(incarnation.value());
        w.number(static_cast<std::uint8_t>(durability)).number(lease_ms);
        w.number(ready).number(leased).number(bytes).number(next_number.value());
        w.number(consumers).number(producers).number(dying).number(delayed);
        options.encode(w);
        w.number(held).number(expired);
        w.number(static_cast<std::uint8_t>(next_of_levels.size()));
        for (const MessageNumber next : next_of_levels) {
            w.number(next.value());
        }
        w.number(duplicates).number(purged).number(to_micros(undo_until));
    }
    [[nodiscard]] static QueueInfo decode(Reader& r) {
        QueueInfo f;
        f.queue = r.string8();
        f.incarnation = QueueId(r.number<std::uint32_t>());
        f.durability = static_cast<Durability>(r.number<std::uint8_t>());
        f.lease_ms = r.number<std::uint32_t>();
        f.ready = r.number<std::uint64_t>();
        f.leased = r.number<std::uint64_t>();
        f.bytes = r.number<std::uint64_t>();
        f.next_number = MessageNumber(r.number<std::uint64_t>());
        f.consumers = r.number<std::uint32_t>();
        f.producers = r.number<std::uint32_t>();
        if (!r.rest().empty()) {  // a daemon of version 0.1.0 ended here
            f.dying = r.number<std::uint64_t>();
            f.delayed = r.number<std::uint64_t>();
            f.options = QueueOptions::decode(r);
            f.held = r.number<std::uint64_t>();
            f.expired = r.number<std::uint64_t>();
            const auto levels = r.number<std::uint8_t>();
            for (std::uint8_t i = 0; i < levels && r.ok(); ++i) {
                f.next_of_levels.emplace_back(r.number<std::uint64_t>());
            }
            f.duplicates = r.number<std::uint64_t>();
            f.purged = r.number<std::uint64_t>();
            f.undo_until = from_micros(r.number<std::int64_t>());
        }
        return f;
    }
    [[nodiscard]] static std::optional<QueueInfo> decode(Bytes body) {
        Reader r(body);
        const QueueInfo f = decode(r);
        return r.ok() ? std::optional(f) : std::nullopt;
    }
};

struct QueueList {
    static constexpr FrameType type = FrameType::queue_list;
    std::string_view after;  // names behind this one, in byte order; empty: from the start
    std::uint32_t max = 0;   // 1..1000

    void encode(Writer& w) const { w.string8(after).number(max); }
    [[nodiscard]] static std::optional<QueueList> decode(Bytes body) {
        Reader r(body);
        QueueList f;
        f.after = r.string8();
        f.max = r.number<std::uint32_t>();
        return r.ok() ? std::optional(f) : std::nullopt;
    }
};

// u8 more | u32 n | n x QUEUE_INFO, each behind a u16 of its bytes. By hand in the daemon, since
// the number of entries is not known before they are written.
struct QueueListReply {
    static constexpr FrameType type = FrameType::queue_list_reply;
    bool more = false;
    std::vector<QueueInfo> queues;

    void encode(Writer& w) const {
        w.number(static_cast<std::uint8_t>(more)).number(static_cast<std::uint32_t>(queues.size()));
        std::vector<std::byte> entry;
        for (const QueueInfo& queue : queues) {
            entry.clear();
            Writer entry_writer(entry);
            queue.encode(entry_writer);
            w.number(static_cast<std::uint16_t>(entry.size())).bytes(entry);
        }
    }
    [[nodiscard]] static std::optional<QueueListReply> decode(Bytes body) {
        Reader r(body);
        QueueListReply f;
        f.more = r.number<std::uint8_t>() != 0;
        const auto n = r.number<std::uint32_t>();
        for (std::uint32_t i = 0; i < n && r.ok(); ++i) {
            const auto info = QueueInfo::decode(r.take(r.number<std::uint16_t>()));
            if (!info) {
                return std::nullopt;
            }
            f.queues.push_back(*info);
        }
        return r.ok() ? std::optional(f) : std::nullopt;
    }
};

// Ends messages that wait: ready, delayed, on their way to the dead letters, or such as cannot be
// read. What is leased stays.
struct MessagesDelete {
    static constexpr FrameType type = FrameType::messages_delete;
    std::string_view queue;
    QueueId incarnation;  // of the queue that has them; another one is refused: no_such_queue
    RangeList ranges;
    bool for_good = false;  // see flag_for_good

    [[nodiscard]] static std::optional<MessagesDelete> decode(Bytes body) {
        Reader r(body);
        MessagesDelete f;
        f.queue = r.string8();
        f.incarnation = QueueId(r.number<std::uint32_t>());
        const auto ranges = RangeList::decode(r);
        if (!ranges || !r.ok()) {
            return std::nullopt;
        }
        f.ranges = *ranges;
        f.for_good = QueuePurge::decode_for_good(r);
        return f;
    }
};

// What a client sends: the ranges as it has them.
struct MessagesDeleteRequest {
    static constexpr FrameType type = FrameType::messages_delete;
    std::string_view queue;
    QueueId incarnation;
    std::span<const MessageRange> ranges;
    bool for_good = false;

    void encode(Writer& w) const {
        w.string8(queue).number(incarnation.value());
        RangeList::encode(w, ranges);
        QueuePurge::encode_for_good(w, for_good);
    }
};

// Answers what has no answer of its own: queue_delete, queue_purge and messages_delete with the
// messages removed, queue_undo with those put back, messages_move with those moved.
struct Done {
    static constexpr FrameType type = FrameType::done;
    std::uint64_t count = 0;
    // Of messages_move: the first of the numbers that were asked for that it did not come to; 0,
    // and not on the wire: it came to all of them.
    MessageNumber next{};
    // Of queue_purge and messages_delete: how many of them queue_undo would put back; 0, and not on
    // the wire: none. Behind `next`.
    std::uint64_t kept = 0;

    void encode(Writer& w) const {
        w.number(count);
        if (next.value() != 0 || kept != 0) {
            w.number(next.value());
        }
        if (kept != 0) {
            w.number(kept);
        }
    }
    [[nodiscard]] static std::optional<Done> decode(Bytes body) {
        Reader r(body);
        Done f{r.number<std::uint64_t>()};
        if (!r.rest().empty()) {
            f.next = MessageNumber(r.number<std::uint64_t>());
        }
        if (!r.rest().empty()) {
            f.kept = r.number<std::uint64_t>();
        }
        return r.ok() ? std::optional(f) : std::nullopt;
    }
};

// Looks at messages without taking them.
struct Peek {
    static constexpr FrameType type = FrameType::peek;
    std::string_view queue;
    MessageNumber from;     // the first number looked at
    std::uint32_t max = 0;  // messages; 1..1000
    std::optional<PeekFilter> filter{};

    void encode(Writer& w) const {
        w.string8(queue).number(from.value()).number(max);
        if (filter) {
            filter->encode(w);
        }
    }
    [[nodiscard]] static std::optional<Peek> decode(Bytes body) {
        Reader r(body);
        Peek f;
        f.queue = r.string8();
        f.from = MessageNumber(r.number<std::uint64_t>());
        f.max = r.number<std::uint32_t>();
        if (!r.rest().empty()) {
            f.filter = PeekFilter::decode(r);
        }
        return r.ok() ? std::optional(f) : std::nullopt;
    }
};

// Consecutive messages in one state: the fields of DELIVER, `attempt` counting the deliveries so
// far.
struct PeekedRun {
    MessageState state{};
    Deliver messages;
    WallTime due{};  // of delayed ones: when they will be ready, by the wall clock as it is now
};

// u64 next | u8 more | u32 n | n x (u8 state, u32 bytes, [i64 due_us: delayed,] DELIVER body).
// `next` is where to go on; bytes: of what follows.
struct PeekReply {
    static constexpr FrameType type = FrameType::peek_reply;
    // Of a run, at most, beside its batch.
    static constexpr std::size_t run_fixed_bytes = 1 + 4 + 8 + Deliver::fixed_bytes;
    MessageNumber next;
    bool more = false;
    std::vector<PeekedRun> runs;

    void encode(Writer& w) const {
        w.number(next.value()).number(static_cast<std::uint8_t>(more));
        w.number(static_cast<std::uint32_t>(runs.size()));
        for (const PeekedRun& run : runs) {
            const bool delayed = run.state == MessageState::delayed;
            w.number(static_cast<std::uint8_t>(run.state));
            w.number(static_cast<std::uint32_t>((delayed ? 8 : 0) + Deliver::fixed_bytes +
                                                run.messages.batch.size()));
            if (delayed) {
                w.number(to_micros(run.due));
            }
            run.messages.encode(w);
        }
    }
    [[nodiscard]] static std::optional<PeekReply> decode(Bytes body) {
        Reader r(body);
        PeekReply f;
        f.next = MessageNumber(r.number<std::uint64_t>());
        f.more = r.number<std::uint8_t>() != 0;
        const auto n = r.number<std::uint32_t>();
        for (std::uint32_t i = 0; i < n && r.ok(); ++i) {
            PeekedRun run;
            run.state = static_cast<MessageState>(r.number<std::uint8_t>());
            Reader rest(r.take(r.number<std::uint32_t>()));
            if (run.state == MessageState::delayed) {
                run.due = from_micros(rest.number<std::int64_t>());
            }
            const auto messages = Deliver::decode(rest.rest());
            if (!messages) {
                return std::nullopt;
            }
            run.messages = *messages;
            f.runs.push_back(run);
        }
        return r.ok() ? std::optional(f) : std::nullopt;
    }
};

// Named numbers, so that a later daemon can tell more: u32 n | n x (string8 name, u64 value).
struct StatusReply {
    static constexpr FrameType type = FrameType::status_reply;
    struct Item {
        std::string_view name;
        std::uint64_t value = 0;
    };
    std::vector<Item> items;

    void encode(Writer& w) const {
        w.number(static_cast<std::uint32_t>(items.size()));
        for (const Item& item : items) {
            w.string8(item.name).number(item.value);
        }
    }
    [[nodiscard]] static std::optional<StatusReply> decode(Bytes body) {
        Reader r(body);
        StatusReply f;
        const auto n = r.number<std::uint32_t>();
        for (std::uint32_t i = 0; i < n && r.ok(); ++i) {
            const std::string_view name = r.string8();
            f.items.push_back({name, r.number<std::uint64_t>()});
        }
        return r.ok() ? std::optional(f) : std::nullopt;
    }
};

// 1..200 bytes out of A-Z a-z 0-9 . _ - and not beginning with '.' or '-'.
[[nodiscard]] inline bool valid_queue_name(std::string_view name) {
    if (name.empty() || name.size() > queue_name_bytes_max || name[0] == '.' || name[0] == '-') {
        return false;
    }
    for (const char c : name) {
        const bool fine = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                          (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
        if (!fine) {
            return false;
        }
    }
    return true;
}

}  // namespace mqd::wire
