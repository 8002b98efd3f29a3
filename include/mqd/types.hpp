#pragma once

// The numbers that cross function borders, each a type of its own, so that a queue id cannot be
// passed for a message number. Construction and reading are explicit; point minus point is a
// count. Used by daemon and client alike; the words are those of docs/protocol.md.

#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

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
// The number of a message in its queue, from 1 on; the `1842` in `orders:3:1842`.
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

[[nodiscard]] std::string inline format_message_id(const std::string& queue, QueueId incarnation,
                                                   MessageNumber number) {
    return queue + ':' + std::to_string(incarnation.value()) + ':' + std::to_string(number.value());
}

}  // namespace mqd

template <typename Tag, typename Rep>
struct std::hash<mqd::StrongNumber<Tag, Rep>> {
    std::size_t operator()(mqd::StrongNumber<Tag, Rep> number) const noexcept {
        return std::hash<Rep>{}(number.value());
    }
};
