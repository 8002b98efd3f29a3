#pragma once

// The numbers that cross function borders, each a type of its own, so that a queue id cannot be
// passed for a message number. Construction and reading are explicit; point minus point is a
// count. Used by daemon and client alike; the words are those of docs/protocol.md.

#include <charconv>
#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace mqd {

template <typename Tag, typename Rep>
class StrongNumber {
  public:
    using rep = Rep;

    constexpr StrongNumber() = default;
    explicit constexpr StrongNumber(Rep value) : value_(value) {}

    [[nodiscard]] constexpr Rep value() const { return value_; }
    friend constexpr auto operator<=>(StrongNumber, StrongNumber) = default;

    // The point that lies `count` further on.
    [[nodiscard]] constexpr StrongNumber plus(Rep count) const {
        return StrongNumber(static_cast<Rep>(value_ + count));
    }
    friend constexpr Rep operator-(StrongNumber a, StrongNumber b) {
        return static_cast<Rep>(a.value_ - b.value_);
    }

  private:
    Rep value_ = 0;
};

// The incarnation of a queue: given out once per creation, never again; the `3` in `orders:3:1842`.
using QueueId = StrongNumber<struct QueueIdTag, std::uint32_t>;
// The number of a message in its queue, from 1 on; the `1842` in `orders:3:1842`. On a queue with
// priorities, its uppermost byte is the level of its priority, and the rest counts within it.
using MessageNumber = StrongNumber<struct MessageNumberTag, std::uint64_t>;
// The running number of a message on one producer handle, from 1 on.
using LineNumber = StrongNumber<struct LineNumberTag, std::uint64_t>;
// The sequence of a commit group in the journal, from 1 on.
using Sequence = StrongNumber<struct SequenceTag, std::uint64_t>;
// A producer or consumer within one connection, from 1 on; chosen by the client at OPEN.
using HandleId = StrongNumber<struct HandleIdTag, std::uint32_t>;
// Ties an answer to its request within one connection; 0 stands for "no answer wanted".
using CorrelationId = StrongNumber<struct CorrelationIdTag, std::uint32_t>;

// `count` messages of one queue that lie together, beginning with `first`.
struct MessageRange {
    MessageNumber first;
    std::uint64_t count = 0;

    [[nodiscard]] constexpr MessageNumber end() const { return first.plus(count); }
    friend constexpr bool operator==(const MessageRange&, const MessageRange&) = default;
};

// How safe a message is. On a queue: how safe a message must be before it is visible. In a
// publish: what its confirm waits for. In a confirm: what was reached. The values are on the wire.
enum class Durability : std::uint8_t {
    unspecified = 0,  // in a publish only: the queue's own
    memory = 1,       // in the daemon's memory; gone when it ends
    written = 2,      // handed to the kernel; survives the daemon, not a power loss
    disk = 3,         // synced to the disk; survives a power loss
};

// What becomes of a publish to a queue that has reached its limit of messages or bytes. The values
// are on the wire.
enum class OnFull : std::uint8_t {
    unspecified = 0,  // in a request only: the daemon's default, or as it is
    reject = 1,       // it is refused: queue_full
    drop_oldest = 2,  // ready messages are dropped, the oldest first, until there is room
    dead_letter = 3,  // the same, and they are dead letters
    wait = 4,         // it waits for room, as long as its producer says
};

// What becomes of a message whose time to live is over. The values are on the wire.
enum class OnExpired : std::uint8_t {
    unspecified = 0,  // in a request only: the daemon's default, or as it is
    drop = 1,         // it ends
    dead_letter = 2,  // it is moved to the dead letters
};

// How a consumer shares its queue with others. All consumers of a queue share it alike. The values
// are on the wire.
enum class Sharing : std::uint8_t {
    shared = 0,         // each gets its share of the messages
    exclusive = 1,      // it is the only one
    single_active = 2,  // one gets all messages, the others wait to take its place, oldest first
};

// Whom the daemon saw at the other end of the socket when a batch came in. Stamped by the daemon;
// no client can set it. On TCP, `unknown_id` stands in every field.
struct Identity {
    static constexpr std::uint32_t unknown_id = 0xFFFFFFFF;
    std::uint32_t uid = unknown_id;
    std::uint32_t gid = unknown_id;
    std::uint32_t pid = unknown_id;
    friend constexpr bool operator==(const Identity&, const Identity&) = default;
};

// Wall-clock time as it travels and is stored: microseconds since 1970-01-01 UTC.
using WallTime = std::chrono::time_point<std::chrono::system_clock, std::chrono::microseconds>;

// How long a call may block.
using Timeout = std::chrono::milliseconds;
inline constexpr Timeout forever = Timeout::max();

// --- priorities: 0 to 9, the highest one first. On a queue that has them, a number is its level,
// 10 - priority, times 2^56, and a running number from 1 on: so the order of numbers is that of
// deliveries. On other queues the level is 0.

inline constexpr unsigned priority_max = 9;
inline constexpr unsigned number_levels = 10;  // 1 to 10
inline constexpr unsigned number_level_bits = 56;

[[nodiscard]] constexpr unsigned level_of_number(MessageNumber number) {
    return static_cast<unsigned>(number.value() >> number_level_bits);
}
[[nodiscard]] constexpr unsigned level_of_priority(unsigned priority) {
    return number_levels - priority;
}
// Precondition: a level of 1 to 10.
[[nodiscard]] constexpr unsigned priority_of_level(unsigned level) {
    return number_levels - level;
}
// The first that is given out.
[[nodiscard]] constexpr MessageNumber first_of_level(unsigned level) {
    return MessageNumber((std::uint64_t{level} << number_level_bits) + 1);
}

// How people read and write it: 1842, or 5.1842 where it has the level of priority 5.
[[nodiscard]] std::string inline format_number(MessageNumber number) {
    const unsigned level = level_of_number(number);
    if (level == 0 || level > number_levels) {
        return std::to_string(number.value());
    }
    const std::uint64_t running = number.value() - (std::uint64_t{level} << number_level_bits);
    return std::to_string(priority_of_level(level)) + '.' + std::to_string(running);
}
// The inverse; nothing: it is no number.
[[nodiscard]] inline std::optional<MessageNumber> parse_number(std::string_view text) {
    unsigned level = 0;
    if (text.size() > 2 && text[1] == '.' && text[0] >= '0' && text[0] <= '9') {
        level = level_of_priority(static_cast<unsigned>(text[0] - '0'));
        text.remove_prefix(2);
    }
    std::uint64_t value = 0;
    const char* end = text.data() + text.size();
    const auto [at, wrong] = std::from_chars(text.data(), end, value);
    if (text.empty() || wrong != std::errc() || at != end ||
        (level != 0 && value >> number_level_bits != 0)) {
        return std::nullopt;
    }
    return MessageNumber((std::uint64_t{level} << number_level_bits) + value);
}

[[nodiscard]] std::string inline format_message_id(const std::string& queue, QueueId incarnation,
                                                   MessageNumber number) {
    return queue + ':' + std::to_string(incarnation.value()) + ':' + format_number(number);
}

}  // namespace mqd

template <typename Tag, typename Rep>
struct std::hash<mqd::StrongNumber<Tag, Rep>> {
    std::size_t operator()(mqd::StrongNumber<Tag, Rep> number) const noexcept {
        return std::hash<Rep>{}(number.value());
    }
};
