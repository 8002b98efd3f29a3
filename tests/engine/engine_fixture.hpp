#pragma once

// An engine with verbs, for the tests of this folder: extents of ten-byte messages, consumers with
// or without bound, and a look at the state of every number.

#include <deque>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/engine/engine.hpp"

namespace mqd::engine::test {

inline constexpr std::uint32_t message_bytes = 10;
inline constexpr std::uint64_t no_limit = UINT64_MAX / 2;

inline Time at_ms(std::int64_t ms) {
    return Time(std::chrono::milliseconds(ms));
}
inline MessageRange range(std::uint64_t first, std::uint64_t count) {
    return {MessageNumber(first), count};
}

struct TestExtent : Extent {
    explicit TestExtent(MessageRange messages, std::uint32_t bytes_each = message_bytes)
        : ends(messages.count) {
        for (std::size_t i = 0; i < ends.size(); ++i) {
            ends[i] = static_cast<std::uint32_t>(i + 1) * bytes_each;
        }
        first = messages.first;
        count = live = static_cast<std::uint32_t>(messages.count);
        end_offsets = ends.data();
    }
    std::vector<std::uint32_t> ends;
};

struct EngineFixture {
    Engine engine;
    std::deque<TestExtent> extents;
    std::deque<Consumer> consumers;

    Queue& create(std::string_view name, Durability durability = Durability::memory) {
        QueueDefinition definition;
        definition.name = std::string(name);
        definition.durability = durability;
        auto command = engine.admit_create(std::move(definition));
        MQD_ASSERT(command.has_value());
        engine.apply(*command);
        return *engine.find(name);
    }
    void destroy(Queue& queue) {
        const DeleteQueue command = engine.admit_delete(queue);
        engine.apply(command);
    }

    std::vector<MessageRange> returned;  // by nack()

    // Numbers only; what was published is resident when announce() says so.
    MessageRange add(Queue& queue, std::uint32_t count) {
        const AddMessages command = engine.admit_add(queue, count);
        engine.apply(queue, command);
        return command.range;
    }
    TestExtent& announce(Queue& queue, MessageRange messages,
                         std::uint32_t bytes_each = message_bytes) {
        TestExtent& extent = extents.emplace_back(messages, bytes_each);
        engine.announce_resident(queue, extent);
        return extent;
    }
    TestExtent& publish(Queue& queue, std::uint32_t count,
                        std::uint32_t bytes_each = message_bytes) {
        return announce(queue, add(queue, count), bytes_each);
    }

    // Attached, without credit.
    Consumer& attach(Queue& queue, std::int64_t lease_ms = 1000,
                     Sharing sharing = Sharing::shared) {
        Consumer& consumer = consumers.emplace_back(engine.memory());
        consumer.lease = std::chrono::milliseconds(lease_ms);
        consumer.piece_bytes_max = 1 << 20;
        consumer.sharing = sharing;
        engine.attach(consumer, queue);
        return consumer;
    }
    Consumer& consume(Queue& queue, std::uint64_t messages = no_limit,
                      std::uint64_t bytes = no_limit) {
        Consumer& consumer = attach(queue);
        engine.grant(consumer, messages, bytes);
        return consumer;
    }

    std::vector<Delivery> dispatch(std::int64_t now_ms = 0) {
        std::vector<Delivery> out;
        engine.dispatch(at_ms(now_ms), out);
        return out;
    }
    std::vector<LeaseLoss> expire(std::int64_t now_ms) {
        std::vector<LeaseLoss> lost;
        engine.expire(at_ms(now_ms), lost);
        return lost;
    }

    // Both steps of an ack at once.
    SettleResult ack(Consumer& consumer, MessageRange messages) {
        Queue& queue = *consumer.queue;
        std::vector<MessageRange> decided;
        const SettleResult result = engine.admit_ack(consumer, messages, decided);
        if (!decided.empty()) {
            engine.apply(queue, RemoveMessages{queue.id(), decided});
        }
        return result;
    }
    std::uint64_t purge(Queue& queue) {
        std::vector<MessageRange> decided;
        engine.admit_purge(queue, decided);
        engine.apply(queue, RemoveMessages{queue.id(), decided});
        return std::accumulate(
            decided.begin(), decided.end(), std::uint64_t{0},
            [](std::uint64_t sum, const MessageRange& one) { return sum + one.count; });
    }
};

// What was dispatched to one consumer, neighbours joined.
inline std::vector<MessageRange> ranges_of(const std::vector<Delivery>& deliveries,
                                           const Consumer& consumer) {
    std::vector<MessageRange> ranges;
    for (const Delivery& delivery : deliveries) {
        if (delivery.consumer != &consumer) {
            continue;
        }
        if (!ranges.empty() && ranges.back().end() == delivery.range.first) {
            ranges.back().count += delivery.range.count;
        } else {
            ranges.push_back(delivery.range);
        }
    }
    return ranges;
}

inline std::uint64_t count_of(const std::vector<Delivery>& deliveries, const Consumer& consumer) {
    std::uint64_t count = 0;
    for (const Delivery& delivery : deliveries) {
        count += delivery.consumer == &consumer ? delivery.range.count : 0;
    }
    return count;
}

}  // namespace mqd::engine::test
