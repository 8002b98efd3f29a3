#pragma once

// The frames of a transaction: docs/protocol.md, "Transactions". As those of frame.hpp, which has
// the rest.

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "mqd/types.hpp"
#include "mqd/wire/frame.hpp"

namespace mqd::wire {

inline constexpr std::size_t transact_operations_max = 256;  // in one frame

// Any byte: whether it is known is for the daemon to say.
enum class TransactKind : std::uint8_t {
    publish = 1,  // TransactPublish
    ack = 2,      // as ACK
    nack = 3,     // as NACK
    extend = 4,   // as EXTEND
    reject = 5,   // as NACK; the messages go to the dead letters
};

// u8 kind | u8[3] 0 | u32 handle | u32 body_bytes | body
struct TransactOperation {
    static constexpr std::size_t fixed_bytes = 12;
    TransactKind kind{};
    HandleId handle;  // a consumer's; not of publish
    Bytes body;
};

// u8 durability | u8[3] 0 | u16 n | n operations. n is 1..transact_operations_max.
struct Transact {
    static constexpr FrameType type = FrameType::transact;
    static constexpr std::size_t fixed_bytes = 6;
    Durability durability = Durability::unspecified;  // what the answer waits for
    std::uint16_t count = 0;
    Bytes operations;  // encoded, and well-formed but for their bodies

    void encode(Writer& w) const {
        w.number(static_cast<std::uint8_t>(durability)).number(std::uint8_t{0});
        w.number(std::uint16_t{0}).number(count).bytes(operations);
    }
    [[nodiscard]] static std::optional<Transact> decode(Bytes body) {
        Reader r(body);
        Transact f;
        const auto durability = r.number<std::uint8_t>();
        (void)r.take(3);
        f.count = r.number<std::uint16_t>();
        f.durability = static_cast<Durability>(durability);
        const Bytes from = r.rest();
        for (std::uint16_t i = 0; i < f.count && r.ok(); ++i) {
            (void)next(r);
        }
        f.operations = from.first(from.size() - r.rest().size());
        const bool sane = f.count >= 1 && f.count <= transact_operations_max &&
                          durability <= static_cast<std::uint8_t>(Durability::disk);
        return r.ok() && sane ? std::optional(f) : std::nullopt;
    }
    // Reads one operation; it is void if the reader is not ok() then.
    [[nodiscard]] static TransactOperation next(Reader& r) {
        TransactOperation operation;
        operation.kind = static_cast<TransactKind>(r.number<std::uint8_t>());
        (void)r.take(3);
        operation.handle = HandleId(r.number<std::uint32_t>());
        operation.body = r.take(r.number<std::uint32_t>());
        return operation;
    }
};

// string8 queue | u32 count | batch
struct TransactPublish {
    std::string_view queue;
    std::uint32_t count = 0;  // 1..batch_messages_max
    Bytes batch;

    [[nodiscard]] static std::optional<TransactPublish> decode(Bytes body) {
        Reader r(body);
        TransactPublish f;
        f.queue = r.string8();
        f.count = r.number<std::uint32_t>();
        f.batch = r.rest();
        const bool sane = f.count >= 1 && f.count <= batch_messages_max;
        return r.ok() && sane ? std::optional(f) : std::nullopt;
    }
};

// Appends one operation, whose body `write` writes.
template <typename Write>
inline void append_operation(std::vector<std::byte>& out, TransactKind kind, HandleId handle,
                             Write&& write) {
    const std::size_t at = out.size();
    Writer writer(out);
    writer.number(static_cast<std::uint8_t>(kind)).number(std::uint8_t{0});
    writer.number(std::uint16_t{0}).number(handle.value()).number(std::uint32_t{0});
    write(writer);
    const std::size_t body = out.size() - at - TransactOperation::fixed_bytes;
    MQD_ASSERT(body <= frame_body_bytes_hard_max, body);
    store(out.data() + at + 8, static_cast<std::uint32_t>(body));
}

inline void append_publish_operation(std::vector<std::byte>& out, const TransactPublish& publish) {
    append_operation(out, TransactKind::publish, HandleId(0), [&](Writer& w) {
        w.string8(publish.queue).number(publish.count).bytes(publish.batch);
    });
}

// Any but publish.
inline void append_settle_operation(std::vector<std::byte>& out, TransactKind kind, HandleId handle,
                                    const SettleRequest& request) {
    append_operation(out, kind, handle, [&](Writer& w) {
        w.number(request.lease_ms);
        RangeList::encode(w, request.ranges);
        if (kind == TransactKind::nack || kind == TransactKind::reject) {
            w.string8(request.reason);
        }
    });
}

// What became of one publish: `count` messages in order, in runs of consecutive numbers.
struct TransactedPublish {
    static constexpr std::size_t fixed_bytes = 6;
    QueueId incarnation;
    std::vector<ConfirmedRun> runs;
};

// u8 durability | u8[3] 0 | u16 n | n x (u32 incarnation | u16 runs | runs x (u64 first, u32
// count)), one for each publish, in order.
struct Transacted {
    static constexpr FrameType type = FrameType::transacted;
    static constexpr std::size_t fixed_bytes = 6;
    Durability durability{};  // reached
    std::vector<TransactedPublish> published;

    void encode(Writer& w) const {
        w.number(static_cast<std::uint8_t>(durability)).number(std::uint8_t{0});
        w.number(std::uint16_t{0}).number(static_cast<std::uint16_t>(published.size()));
        for (const TransactedPublish& one : published) {
            w.number(one.incarnation.value()).number(static_cast<std::uint16_t>(one.runs.size()));
            for (const ConfirmedRun& run : one.runs) {
                w.number(run.first_number.value()).number(run.count);
            }
        }
    }
    [[nodiscard]] static std::optional<Transacted> decode(Bytes body) {
        Reader r(body);
        Transacted f;
        f.durability = static_cast<Durability>(r.number<std::uint8_t>());
        (void)r.take(3);
        const auto n = r.number<std::uint16_t>();
        for (std::uint16_t i = 0; i < n && r.ok(); ++i) {
            TransactedPublish& one = f.published.emplace_back();
            one.incarnation = QueueId(r.number<std::uint32_t>());
            const auto runs = r.number<std::uint16_t>();
            for (std::uint16_t k = 0; k < runs && r.ok(); ++k) {
                ConfirmedRun& run = one.runs.emplace_back();
                run.first_number = MessageNumber(r.number<std::uint64_t>());
                run.count = r.number<std::uint32_t>();
            }
        }
        return r.ok() && n <= transact_operations_max ? std::optional(std::move(f)) : std::nullopt;
    }
};

}  // namespace mqd::wire
