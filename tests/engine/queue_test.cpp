// What a queue says about itself: counts, residency, peek, live runs.

#include "daemon/engine/queue.hpp"

#include <doctest/doctest.h>

#include <tuple>

#include "engine/engine_fixture.hpp"

namespace mqd::engine::test {
namespace {

using Ranges = std::vector<MessageRange>;

// first, count, attempts, state
using Peeked = std::vector<std::tuple<std::uint64_t, std::uint64_t, std::uint32_t, LiveState>>;
constexpr LiveState ready = LiveState::ready;
constexpr LiveState leased = LiveState::leased;
constexpr LiveState ending = LiveState::ending;

Peeked peek(const Queue& queue, std::uint64_t from) {
    Peeked all;
    queue.peek(MessageNumber(from), [&](const Extent& extent, MessageRange piece,
                                        std::uint32_t attempts, LiveState state) {
        CHECK(piece.first >= extent.first);
        CHECK(piece.end() <= extent.end());
        all.emplace_back(piece.first.value(), piece.count, attempts, state);
        return true;
    });
    return all;
}

TEST_CASE_FIXTURE(EngineFixture, "queue: counts follow a message through its life") {
    Queue& queue = create("q");
    publish(queue, 10);
    CHECK(queue.ready() == 10);
    Consumer& consumer = consume(queue, 4);
    (void)dispatch();
    CHECK(queue.ready() == 6);
    CHECK(queue.leased() == 4);
    std::vector<MessageRange> decided;
    (void)engine.admit_ack(consumer, range(1, 3), decided);
    CHECK(queue.leased() == 1);
    CHECK(queue.ending() == 3);
    CHECK(queue.live() == 10);
    engine.apply(queue, RemoveMessages{queue.id(), decided});
    CHECK(queue.ending() == 0);
    CHECK(queue.live() == 7);
    CHECK(queue.next_number() == MessageNumber(11));
}

TEST_CASE_FIXTURE(EngineFixture, "queue: the numbers of what is on its way are given already") {
    Queue& queue = create("q", Durability::disk);
    const AddMessages first = engine.admit_add(queue, 5);
    const AddMessages second = engine.admit_add(queue, 3);
    CHECK(first.range == range(1, 5));
    CHECK(second.range == range(6, 3));
    CHECK(queue.next_number() == MessageNumber(9));
    CHECK(queue.next_applied() == MessageNumber(1));
    CHECK(queue.live() == 0);
    engine.apply(first);
    CHECK(queue.next_applied() == MessageNumber(6));
    CHECK(queue.ready() == 5);
}

TEST_CASE_FIXTURE(EngineFixture, "queue: it waits for its first ready message to be resident") {
    Queue& queue = create("q", Durability::disk);
    const MessageRange first = add(queue, 5);
    publish(queue, 5);
    CHECK_FALSE(queue.wants_dispatch());  // nobody wants anything
    Consumer& consumer = consume(queue);
    CHECK(queue.wants_dispatch());
    CHECK(dispatch().empty());  // order is kept: 6..10 wait for 1..5
    announce(queue, first);
    CHECK(ranges_of(dispatch(), consumer) == Ranges{range(1, 10)});
    CHECK_FALSE(queue.wants_dispatch());
}

TEST_CASE_FIXTURE(EngineFixture, "queue: resident bytes are those of whole extents") {
    Queue& queue = create("q");
    TestExtent& extent = publish(queue, 10);
    publish(queue, 5);
    CHECK(queue.resident_bytes() == 15 * message_bytes);
    Consumer& consumer = consume(queue);
    (void)dispatch();
    (void)ack(consumer, range(1, 9));
    CHECK(queue.resident_bytes() == 15 * message_bytes);
    CHECK(engine.released().empty());
    (void)ack(consumer, range(10, 1));
    CHECK(queue.resident_bytes() == 5 * message_bytes);
    REQUIRE(engine.released().size() == 1);
    CHECK(engine.released().front() == &extent);
    CHECK_FALSE(extent.announced);
    CHECK(queue.extent_at(MessageNumber(10)) == nullptr);
    CHECK(queue.extent_at(MessageNumber(11)) != nullptr);
}

TEST_CASE_FIXTURE(EngineFixture, "queue: peek shows state and delivery count in order") {
    Queue& queue = create("q");
    publish(queue, 4);
    publish(queue, 4);
    Consumer& consumer = consume(queue, 6);
    (void)dispatch();
    (void)engine.nack(consumer, range(2, 1), at_ms(0), {}, returned);
    std::vector<MessageRange> decided;
    (void)engine.admit_ack(consumer, range(3, 1), decided);
    CHECK(peek(queue, 0) == Peeked{{1, 1, 1, leased},
                                   {2, 1, 1, ready},
                                   {3, 1, 1, ending},
                                   {4, 1, 1, leased},
                                   {5, 2, 1, leased},
                                   {7, 2, 0, ready}});
    CHECK(peek(queue, 6) == Peeked{{6, 1, 1, leased}, {7, 2, 0, ready}});
    CHECK(peek(queue, 9).empty());
    CHECK(peek(queue, UINT64_MAX).empty());
}

TEST_CASE_FIXTURE(EngineFixture, "queue: peek stops before what is not resident") {
    Queue& queue = create("q", Durability::disk);
    add(queue, 3);
    publish(queue, 3);
    const auto any = [](const Extent&, MessageRange, std::uint32_t, LiveState) { return true; };
    CHECK(queue.peek(MessageNumber(0), any) == MessageNumber(1));
    CHECK(queue.peek(MessageNumber(4), any) == MessageNumber(UINT64_MAX));
    CHECK(peek(queue, 4) == Peeked{{4, 3, 0, ready}});
}

TEST_CASE_FIXTURE(EngineFixture, "queue: peek passes over what is set aside") {
    Queue& queue = create("q", Durability::disk);
    add(queue, 3);
    publish(queue, 3);
    engine.set_aside(queue, range(1, 3));
    CHECK(queue.aside() == 3);
    CHECK(queue.live() == 6);
    CHECK(peek(queue, 0) == Peeked{{4, 3, 0, ready}});
    // It can be purged, like anything else that is not leased.
    std::vector<MessageRange> decided;
    engine.admit_purge(queue, decided);
    CHECK(queue.aside() == 0);
    CHECK(queue.ending() == 6);
}

TEST_CASE_FIXTURE(EngineFixture, "queue: peek stops when it is told to") {
    Queue& queue = create("q");
    publish(queue, 3);
    publish(queue, 3);
    int calls = 0;
    queue.peek(MessageNumber(1), [&](const Extent&, MessageRange, std::uint32_t, LiveState) {
        ++calls;
        return false;
    });
    CHECK(calls == 1);
}

TEST_CASE_FIXTURE(EngineFixture, "queue: live runs join ready, leased and ending alike") {
    Queue& queue = create("q", Durability::disk);
    publish(queue, 10);
    Consumer& consumer = consume(queue, 6);
    (void)dispatch();
    std::vector<MessageRange> decided;
    (void)engine.admit_ack(consumer, range(2, 1), decided);
    (void)engine.nack(consumer, range(4, 1), at_ms(0), {}, returned);
    const std::vector<LiveRun> runs = queue.live_runs();
    REQUIRE(runs.size() == 2);
    CHECK(runs[0].range == range(1, 6));
    CHECK(runs[0].attempts == 1);
    CHECK(runs[1].range == range(7, 4));
    CHECK(runs[1].attempts == 0);
}

TEST_CASE_FIXTURE(EngineFixture, "queue: how many of a range are ready") {
    Queue& queue = create("q");
    publish(queue, 10);
    (void)consume(queue, 3);
    (void)dispatch();
    CHECK(queue.ready_in(range(1, 10)) == 7);
    CHECK(queue.ready_in(range(1, 3)) == 0);
    CHECK(queue.ready_in(range(3, 2)) == 1);
    CHECK(queue.ready_in(range(5, 100)) == 6);
    CHECK(queue.ready_in(range(11, 5)) == 0);
}

}  // namespace
}  // namespace mqd::engine::test
