#pragma once

// The frames that open the handles of a connection: docs/protocol.md, "Handles". As those of
// frame.hpp, which has the rest.

#include <cstdint>
#include <optional>
#include <string_view>

#include "mqd/types.hpp"
#include "mqd/wire/frame.hpp"

namespace mqd::wire {

// header.handle: the number that the client gives to the new handle, 1..handles_max.
// Clients that know no names of producers end behind the queue, those that know no waiting behind
// the name.
struct OpenProducer {
    static constexpr FrameType type = FrameType::open_producer;
    std::string_view queue;
    std::string_view producer{};  // its name; empty: it has none
    // How long a publish waits at most where the queue has no room; 0: as the daemon does.
    std::uint32_t wait_ms = 0;

    void encode(Writer& w) const {
        w.string8(queue);
        if (!producer.empty() || wait_ms != 0) {
            w.string8(producer);
        }
        if (wait_ms != 0) {
            w.number(wait_ms);
        }
    }
    [[nodiscard]] static std::optional<OpenProducer> decode(Bytes body) {
        Reader r(body);
        OpenProducer f;
        f.queue = r.string8();
        if (!r.rest().empty()) {
            f.producer = r.string8();
        }
        if (!r.rest().empty()) {
            f.wait_ms = r.number<std::uint32_t>();
        }
        return r.ok() ? std::optional(f) : std::nullopt;
    }
};

// The first clients ended behind byte_limit.
struct OpenConsumer {
    static constexpr FrameType type = FrameType::open_consumer;
    std::string_view queue;
    std::uint32_t lease_ms = 0;       // 0: the queue's
    std::uint64_t message_limit = 0;  // first credit, as in CREDIT
    std::uint64_t byte_limit = 0;
    Sharing sharing = Sharing::shared;  // any byte: whether it is known is for the daemon to say

    void encode(Writer& w) const {
        w.string8(queue).number(lease_ms).number(message_limit).number(byte_limit);
        w.number(static_cast<std::uint8_t>(sharing));
    }
    [[nodiscard]] static std::optional<OpenConsumer> decode(Bytes body) {
        Reader r(body);
        OpenConsumer f;
        f.queue = r.string8();
        f.lease_ms = r.number<std::uint32_t>();
        f.message_limit = r.number<std::uint64_t>();
        f.byte_limit = r.number<std::uint64_t>();
        if (!r.rest().empty()) {
            f.sharing = static_cast<Sharing>(r.number<std::uint8_t>());
        }
        return r.ok() ? std::optional(f) : std::nullopt;
    }
};

// Whether deliveries are for a consumer that asked to be exclusive or single_active.
enum class Turn : std::uint8_t {
    unsaid = 0,   // of others; or the daemon is of the first release and does not know of sharing
    active = 1,   // they are
    waiting = 2,  // not before CONSUMER_ACTIVE
};

// The first daemons ended behind byte_limit.
struct Opened {
    static constexpr FrameType type = FrameType::opened;
    QueueId incarnation;
    Durability durability = Durability::disk;  // of the queue
    std::uint32_t lease_ms = 0;                // as it holds for this consumer
    std::uint64_t message_limit = 0;           // producer: first publish credit, as in CREDIT
    std::uint64_t byte_limit = 0;
    Turn turn = Turn::unsaid;
    // Of a producer with a name: its last line that was taken, 0 for none. Otherwise nothing.
    std::optional<LineNumber> last_line{};

    void encode(Writer& w) const {
        w.number(incarnation.value()).number(static_cast<std::uint8_t>(durability));
        w.number(lease_ms).number(message_limit).number(byte_limit);
        w.number(static_cast<std::uint8_t>(turn));
        if (last_line) {
            w.number(last_line->value());
        }
    }
    [[nodiscard]] static std::optional<Opened> decode(Bytes body) {
        Reader r(body);
        Opened f;
        f.incarnation = QueueId(r.number<std::uint32_t>());
        f.durability = static_cast<Durability>(r.number<std::uint8_t>());
        f.lease_ms = r.number<std::uint32_t>();
        f.message_limit = r.number<std::uint64_t>();
        f.byte_limit = r.number<std::uint64_t>();
        if (!r.rest().empty()) {
            f.turn = static_cast<Turn>(r.number<std::uint8_t>());
        }
        if (!r.rest().empty()) {
            f.last_line = LineNumber(r.number<std::uint64_t>());
        }
        return r.ok() ? std::optional(f) : std::nullopt;
    }
};

}  // namespace mqd::wire
