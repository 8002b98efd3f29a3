#pragma once

// The message that every load sends, through whatever broker: 128 bytes that begin with who sent
// it, as which one, and when. So each consumer can prove that every message came exactly once and
// in order, and can tell its age without asking anybody.

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

#include "bench/failure.hpp"
#include "mqd/types.hpp"

namespace mqd::bench {

inline constexpr std::size_t body_bytes = 128;

struct MessageHead {
    std::uint64_t sequence = 0;  // from 0 on, per producer
    std::int64_t sent_ns = 0;    // CLOCK_MONOTONIC, the same for all processes of a machine
    std::uint32_t producer = 0;
    std::uint32_t last = 0;  // 1: this producer sends no more
};
static_assert(sizeof(MessageHead) <= body_bytes);

[[nodiscard]] inline std::int64_t now_ns() {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

// A body whose head changes from message to message; the rest is there to be carried.
class MessageBody {
  public:
    MessageBody() { bytes_.fill(std::byte{'x'}); }

    [[nodiscard]] const std::array<std::byte, body_bytes>& with(const MessageHead& head) {
        std::memcpy(bytes_.data(), &head, sizeof head);
        return bytes_;
    }

  private:
    std::array<std::byte, body_bytes> bytes_;
};

[[nodiscard]] inline MessageHead read_head(const std::byte* body) {
    MessageHead head;
    std::memcpy(&head, body, sizeof head);
    return head;
}

// The priority of a message, where messages have one: any, but the same for whoever asks.
[[nodiscard]] constexpr unsigned priority_of(std::uint64_t sequence) {
    constexpr std::uint64_t golden = 0x9E3779B97F4A7C15u;
    return static_cast<unsigned>((sequence * golden >> 32) % (priority_max + 1));
}

// The same as ArrivalCheck where messages have priorities: those of each in order, and all of them.
class RankedArrivalCheck {
  public:
    explicit RankedArrivalCheck(std::size_t producers)
        : producers_(producers), unfinished_(producers) {
        for (Arrived& from : producers_) {
            for (unsigned priority = 0; priority <= priority_max; ++priority) {
                from.due[priority] = next_of(priority, 0);
            }
        }
    }

    void take(const MessageHead& head) {
        if (head.producer >= producers_.size()) {
            fail("a message of an unknown producer, " + std::to_string(head.producer));
        }
        Arrived& from = producers_[head.producer];
        const unsigned priority = priority_of(head.sequence);
        if (head.sequence != from.due[priority]) {
            fail("producer " + std::to_string(head.producer) + ": message " +
                 std::to_string(head.sequence) + " came where " +
                 std::to_string(from.due[priority]) + " was due");
        }
        from.due[priority] = next_of(priority, head.sequence + 1);
        from.all = head.last != 0 ? head.sequence + 1 : from.all;
        ++messages_;
        unfinished_ -= ++from.count == from.all ? 1 : 0;
    }

    [[nodiscard]] bool complete() const { return unfinished_ == 0; }
    [[nodiscard]] std::uint64_t messages() const { return messages_; }

  private:
    struct Arrived {
        std::array<std::uint64_t, priority_max + 1> due{};
        std::uint64_t count = 0;
        std::uint64_t all = 0;  // known when the last one has come
    };
    static std::uint64_t next_of(unsigned priority, std::uint64_t sequence) {
        while (priority_of(sequence) != priority) {
            ++sequence;
        }
        return sequence;
    }

    std::vector<Arrived> producers_;
    std::size_t unfinished_;
    std::uint64_t messages_ = 0;
};

inline constexpr std::uint32_t groups = 10'000;

// That of a message, spread over all as if by chance (the mixer of splitmix64).
[[nodiscard]] inline std::uint32_t group_of(std::uint64_t sequence) {
    std::uint64_t z = sequence + 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return static_cast<std::uint32_t>((z ^ (z >> 31)) % groups);
}

// The same as ArrivalCheck where messages have groups: those of each in order, and all of them.
class GroupedArrivalCheck {
  public:
    explicit GroupedArrivalCheck(std::size_t producers)
        : producers_(producers), unfinished_(producers) {}

    void take(const MessageHead& head) {
        if (head.producer >= producers_.size()) {
            fail("a message of an unknown producer, " + std::to_string(head.producer));
        }
        Arrived& from = producers_[head.producer];
        std::uint64_t& behind = from.behind[group_of(head.sequence)];
        if (head.sequence < behind) {
            fail("producer " + std::to_string(head.producer) + ": message " +
                 std::to_string(head.sequence) + " came behind " + std::to_string(behind - 1) +
                 " of its group");
        }
        behind = head.sequence + 1;
        from.all = head.last != 0 ? head.sequence + 1 : from.all;
        ++messages_;
        unfinished_ -= ++from.count == from.all ? 1 : 0;
    }

    [[nodiscard]] bool complete() const { return unfinished_ == 0; }
    [[nodiscard]] std::uint64_t messages() const { return messages_; }

  private:
    struct Arrived {
        std::vector<std::uint64_t> behind = std::vector<std::uint64_t>(groups);  // of each
        std::uint64_t count = 0;
        std::uint64_t all = 0;  // known when the last one came
    };
    std::vector<Arrived> producers_;
    std::size_t unfinished_;
    std::uint64_t messages_ = 0;
};

// Ends the process when a message is missing, comes twice or out of order: figures of a load that
// lost messages must not be printed.
class ArrivalCheck {
  public:
    explicit ArrivalCheck(std::size_t producers) : due_(producers, 0), unfinished_(producers) {}

    void take(const MessageHead& head) {
        if (head.producer >= due_.size() || head.sequence != due_[head.producer]) {
            refuse(head);
        }
        ++due_[head.producer];
        ++messages_;
        unfinished_ -= head.last;
    }

    [[nodiscard]] bool complete() const { return unfinished_ == 0; }
    [[nodiscard]] std::uint64_t messages() const { return messages_; }

  private:
    [[noreturn]] void refuse(const MessageHead& head) const {
        if (head.producer >= due_.size()) {
            fail("a message of an unknown producer, " + std::to_string(head.producer));
        }
        fail("producer " + std::to_string(head.producer) + ": message " +
             std::to_string(head.sequence) + " came where " + std::to_string(due_[head.producer]) +
             " was due");
    }

    std::vector<std::uint64_t> due_;  // per producer: the sequence that comes next
    std::size_t unfinished_;          // producers whose last message has not come
    std::uint64_t messages_ = 0;
};

}  // namespace mqd::bench
