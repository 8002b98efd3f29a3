#pragma once

// What can be said of a queue, and how it travels.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "mqd/rate.hpp"
#include "mqd/wire/frame.hpp"

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

}  // namespace mqd::wire
