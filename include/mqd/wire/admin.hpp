#pragma once

// The frames of the administrator: queues, peek, status. See wire/frame.hpp for how frames work.

#include <chrono>

#include "mqd/rate.hpp"
#include "mqd/wire/frame.hpp"
#include "mqd/wire/peek_filter.hpp"

namespace mqd::wire {

inline constexpr std::size_t retry_delays_max = 32;
inline constexpr std::uint32_t group_in_flight_max = 65'536;
inline constexpr std::uint32_t group_rate_count_max = 1'000'000;
inline constexpr std::chrono::milliseconds retry_delay_max = std::chrono::hours(30 * 24);
inline constexpr std::chrono::milliseconds expire_idle_max = delay_max;
inline constexpr std::chrono::milliseconds undo_time_max = delay_max;

// At most so many, in a second, a minute, an hour or a day: what people write as 10/s or 100/h.
[[nodiscard]] constexpr bool valid_group_rate(const Rate& rate) {
    using std::chrono::seconds;
    return rate.count <= group_rate_count_max &&
           (!rate.limits() || rate.per == seconds(1) || rate.per == std::chrono::minutes(1) ||
            rate.per == std::chrono::hours(1) || rate.per == std::chrono::hours(24));
}

// Options of a queue, as they travel and as records keep them:
//
//     u16 n | n x (u16 id, u16 value_bytes, value)
//
// An unknown id is refused. What is not there is left to the daemon: its default when the queue is
// made, as it is when the queue is changed.
enum class QueueOptionId : std::uint16_t {
    durability = 1,    // u8
    lease_ms = 2,      // u32
    max_attempts = 3,  // u32: deliveries, after which a message is a dead letter; 0: no limit
    dead_letter = 4,   // the name of the queue that dead letters go to; empty: NAME.dead
    max_messages = 5,  // u64: that live; 0: no limit
    max_bytes = 6,     // u64: of batches; 0: no limit
    on_full = 7,       // u8
    retry = 8,         // n x u32, milliseconds: how long a message waits after a failed delivery
    paused = 9,        // u8: see Paused
    priorities = 10,   // u8: 1: messages have priorities; as long as the queue lives
    group_in_flight = 17,  // u32: messages of one group at a time; at least 1
    ttl = 11,              // u64, milliseconds: how long a message waits at most; 0: no limit
    on_expired = 12,       // u8
    dedup_window = 13,     // u64, milliseconds: how long ids are remembered; 0: not at all
    dedup_count = 14,      // u32: of how many messages, at most
    expire_idle = 15,      // u64, milliseconds: it is deleted after so long without use; 0: never
    temporary = 16,        // u8: 1: it is deleted with the session that made it
    history = 18,          // u32: so many events of its messages are kept; 0: none
    history_time = 19,     // u64, milliseconds: for so long at most; 0: no limit
    group_rate = 20,  // u32 messages of one group in u32 seconds, at most; 0 messages: no limit
    undo_time = 21,   // u64, milliseconds: what is purged can be put back so long; 0: not
};

// The value of the option `paused`. Bits 0 (publishing) and 1 (consuming) say whether it is paused;
// bits 4 and 5 whether that is said at all: what is not stays as it is, so that who pauses the one
// does not undo what somebody else did to the other.
struct Paused {
    std::optional<bool> publishing;
    std::optional<bool> consuming;

    [[nodiscard]] std::uint8_t bits() const {
        return static_cast<std::uint8_t>((publishing.value_or(false) ? 0x01 : 0) |
                                         (consuming.value_or(false) ? 0x02 : 0) |
                                         (publishing ? 0x10 : 0) | (consuming ? 0x20 : 0));
    }
    // Nothing: there are bits that mean nothing.
    [[nodiscard]] static std::optional<Paused> from_bits(std::uint8_t bits) {
        Paused paused;
        if ((bits & 0x10) != 0) {
            paused.publishing = (bits & 0x01) != 0;
        }
        if ((bits & 0x20) != 0) {
            paused.consuming = (bits & 0x02) != 0;
        }
        return paused.bits() == bits ? std::optional(paused) : std::nullopt;
    }
};

struct QueueOptions {
    std::optional<Durability> durability;   // 0 on the wire: as if not there
    std::optional<std::uint32_t> lease_ms;  // likewise
    std::optional<std::uint32_t> max_attempts;
    std::optional<std::string_view> dead_letter;
    std::optional<std::uint64_t> max_messages;
    std::optional<std::uint64_t> max_bytes;
    std::optional<OnFull> on_full;  // 0 on the wire: as if not there
    std::optional<std::vector<std::chrono::milliseconds>> retry;
    std::optional<std::uint8_t> paused;            // bits of Paused, sound or not
    std::optional<std::uint8_t> priorities;        // 0 or 1, sound or not
    std::optional<std::uint64_t> ttl_ms;           // 0: no limit
    std::optional<OnExpired> on_expired;           // 0 on the wire: as if not there
    std::optional<std::uint64_t> dedup_window_ms;  // 0: ids are not looked at
    std::optional<std::uint32_t> dedup_count;
    std::optional<std::uint64_t> expire_idle_ms;
    std::optional<std::uint8_t> temporary;  // sound if 0 or 1
    std::optional<std::uint32_t> group_in_flight;
    std::optional<std::uint32_t> history;
    std::optional<std::uint64_t> history_time_ms;
    std::optional<Rate> group_rate;
    std::optional<std::uint64_t> undo_time_ms;
    std::optional<std::uint16_t> unknown_id;  // decoded: the first id that is not known

    // Calls fn(id, option) for each option, there or not, in the order of their ids.
    template <typename Options, typename Fn>
    static void for_each(Options& options, Fn&& fn) {
        fn(QueueOptionId::durability, options.durability);
        fn(QueueOptionId::lease_ms, options.lease_ms);
        fn(QueueOptionId::max_attempts, options.max_attempts);
        fn(QueueOptionId::dead_letter, options.dead_letter);
        fn(QueueOptionId::max_messages, options.max_messages);
        fn(QueueOptionId::max_bytes, options.max_bytes);
        fn(QueueOptionId::on_full, options.on_full);
        fn(QueueOptionId::retry, options.retry);
        fn(QueueOptionId::paused, options.paused);
        fn(QueueOptionId::priorities, options.priorities);
        fn(QueueOptionId::ttl, options.ttl_ms);
        fn(QueueOptionId::on_expired, options.on_expired);
        fn(QueueOptionId::dedup_window, options.dedup_window_ms);
        fn(QueueOptionId::dedup_count, options.dedup_count);
        fn(QueueOptionId::expire_idle, options.expire_idle_ms);
        fn(QueueOptionId::temporary, options.temporary);
        fn(QueueOptionId::group_in_flight, options.group_in_flight);
        fn(QueueOptionId::history, options.history);
        fn(QueueOptionId::history_time, options.history_time_ms);
        fn(QueueOptionId::group_rate, options.group_rate);
        fn(QueueOptionId::undo_time, options.undo_time_ms);
    }

    [[nodiscard]] unsigned count() const {
        unsigned n = 0;
        for_each(*this, [&n](QueueOptionId, const auto& option) { n += option ? 1 : 0; });
        return n;
    }

    void encode(Writer& w) const {
        w.number(static_cast<std::uint16_t>(count()));
        for_each(*this, [&w](QueueOptionId id, const auto& option) {
            if (option) {
                w.number(static_cast<std::uint16_t>(id));
                write(w, *option);
            }
        });
    }
    // Fails the reader if malformed.
    [[nodiscard]] static QueueOptions decode(Reader& r) {
        QueueOptions options;
        const auto n = r.number<std::uint16_t>();
        for (std::uint16_t i = 0; i < n && r.ok(); ++i) {
            const auto read_id = r.number<std::uint16_t>();
            Reader value(r.take(r.number<std::uint16_t>()));
            bool known = false;
            for_each(options, [&](QueueOptionId id, auto& option) {
                if (static_cast<std::uint16_t>(id) == read_id) {
                    known = true;
                    read(value, option);
                }
            });
            if (!known) {
                options.unknown_id = options.unknown_id.value_or(read_id);
            }
            if (!value.ok()) {
                r.fail();
            }
        }
        options.leave_out_zeros();
        return options;
    }

  private:
    // A value behind its length.
    static void write(Writer& w, std::string_view value) { w.string16(value); }
    static void write(Writer& w, const std::vector<std::chrono::milliseconds>& delays) {
        MQD_ASSERT(delays.size() * sizeof(std::uint32_t) <= UINT16_MAX, delays.size());
        w.number(static_cast<std::uint16_t>(delays.size() * sizeof(std::uint32_t)));
        for (const std::chrono::milliseconds delay : delays) {
            MQD_ASSERT(delay.count() >= 0 && delay.count() <= UINT32_MAX, delay.count());
            w.number(static_cast<std::uint32_t>(delay.count()));
        }
    }
    static void write(Writer& w, const Rate& rate) {
        w.number(static_cast<std::uint16_t>(2 * sizeof(std::uint32_t)));
        w.number(rate.count).number(static_cast<std::uint32_t>(rate.per.count()));
    }
    static void write(Writer& w, Durability value) { write(w, static_cast<std::uint8_t>(value)); }
    static void write(Writer& w, OnFull value) { write(w, static_cast<std::uint8_t>(value)); }
    static void write(Writer& w, OnExpired value) { write(w, static_cast<std::uint8_t>(value)); }
    template <typename T>
    static void write(Writer& w, T value) {
        w.number(static_cast<std::uint16_t>(sizeof value)).number(value);
    }

    // A value that is all that the reader has.
    static void read(Reader& r, std::optional<std::string_view>& value) {
        value = as_text(r.rest());
    }
    static void read(Reader& r, std::optional<std::vector<std::chrono::milliseconds>>& delays) {
        delays.emplace();
        while (!r.rest().empty()) {
            delays->emplace_back(r.number<std::uint32_t>());
        }
    }
    static void read(Reader& r, std::optional<Rate>& rate) {
        rate.emplace();
        rate->count = r.number<std::uint32_t>();
        rate->per = std::chrono::seconds(r.number<std::uint32_t>());
    }
    static void read(Reader& r, std::optional<Durability>& value) {
        value = static_cast<Durability>(r.number<std::uint8_t>());
    }
    static void read(Reader& r, std::optional<OnFull>& value) {
        value = static_cast<OnFull>(r.number<std::uint8_t>());
    }
    static void read(Reader& r, std::optional<OnExpired>& value) {
        value = static_cast<OnExpired>(r.number<std::uint8_t>());
    }
    template <typename T>
    static void read(Reader& r, std::optional<T>& value) {
        value = r.number<T>();
    }

    void leave_out_zeros() {
        if (durability == Durability::unspecified) {
            durability.reset();
        }
        if (lease_ms == 0u) {
            lease_ms.reset();
        }
        if (on_full == OnFull::unspecified) {
            on_full.reset();
        }
        if (on_expired == OnExpired::unspecified) {
            on_expired.reset();
        }
    }
};

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
