// The life of a lease: it is acked, given back, extended, or it ends with its time or its consumer.

#include <doctest/doctest.h>

#include "engine/engine_fixture.hpp"

namespace mqd::engine::test {
namespace {

using Ranges = std::vector<MessageRange>;

std::int64_t ms(const std::optional<Time>& time) {
    REQUIRE(time.has_value());
    return std::chrono::ceil<std::chrono::milliseconds>(time->time_since_epoch()).count();
}

TEST_CASE_FIXTURE(EngineFixture, "lease: an ack of part of a delivery ends that part") {
    Queue& queue = create("q");
    publish(queue, 10);
    Consumer& consumer = consume(queue);
    (void)dispatch();
    const SettleResult result = ack(consumer, range(4, 3));
    CHECK(result.settled == 3);
    CHECK(result.not_leased == 0);
    CHECK(queue.leased() == 7);
    const SettleResult again = ack(consumer, range(3, 5));
    CHECK(again.settled == 2);
    CHECK(again.not_leased == 3);
}

TEST_CASE_FIXTURE(EngineFixture, "lease: an ack that was decided joins ranges that touch") {
    Queue& queue = create("q", Durability::disk);
    publish(queue, 10);
    Consumer& consumer = consume(queue);
    (void)dispatch();
    std::vector<MessageRange> decided;
    (void)engine.admit_ack(consumer, range(1, 2), decided);
    (void)engine.admit_ack(consumer, range(3, 2), decided);
    (void)engine.admit_ack(consumer, range(7, 2), decided);
    CHECK(decided == Ranges{range(1, 4), range(7, 2)});
}

TEST_CASE_FIXTURE(EngineFixture, "lease: what another one holds cannot be acked") {
    Queue& queue = create("q");
    publish(queue, 5);
    (void)consume(queue, 5);
    (void)dispatch();
    Consumer& other = consume(queue);
    std::vector<MessageRange> decided;
    const SettleResult result = engine.admit_ack(other, range(1, 5), decided);
    CHECK(result.settled == 0);
    CHECK(result.not_leased == 5);
    CHECK(decided.empty());
}

TEST_CASE_FIXTURE(EngineFixture, "lease: a nack returns a message to its place") {
    Queue& queue = create("q");
    publish(queue, 10);
    Consumer& consumer = consume(queue, 5);
    (void)dispatch();
    const SettleResult result = engine.nack(consumer, range(2, 2), at_ms(0), {}, returned);
    CHECK(result.settled == 2);
    engine.grant(consumer, 8, no_limit);
    const auto deliveries = dispatch();
    REQUIRE(deliveries.size() == 2);
    CHECK(deliveries[0].range == range(2, 2));
    CHECK(deliveries[0].attempt == 2);
    CHECK(deliveries[1].range == range(6, 1));
    CHECK(deliveries[1].attempt == 1);
}

TEST_CASE_FIXTURE(EngineFixture, "lease: it ends with its time, and the message is ready") {
    Queue& queue = create("q");
    publish(queue, 3);
    Consumer& consumer = consume(queue, 3);
    CHECK_FALSE(engine.next_deadline().has_value());
    (void)dispatch(100);
    CHECK(ms(engine.next_deadline()) == 1100);
    CHECK(expire(1099).empty());
    const auto lost = expire(1100);
    REQUIRE(lost.size() == 1);
    CHECK(lost[0].consumer == &consumer);
    CHECK(lost[0].range == range(1, 3));
    CHECK(queue.ready() == 3);
    CHECK(queue.leased() == 0);
    CHECK_FALSE(engine.next_deadline().has_value());
    Consumer& other = consume(queue);
    const auto deliveries = dispatch(1100);
    CHECK(count_of(deliveries, other) == 3);
    CHECK(deliveries[0].attempt == 2);
    CHECK(ack(consumer, range(1, 3)).not_leased == 3);
    CHECK(queue.leased() == 3);
}

TEST_CASE_FIXTURE(EngineFixture, "lease: only what is over ends") {
    Queue& queue = create("q");
    Consumer& consumer = consume(queue);
    publish(queue, 2);
    (void)dispatch(0);
    publish(queue, 2);
    (void)dispatch(500);
    const auto lost = expire(1000);
    REQUIRE(lost.size() == 1);
    CHECK(lost[0].range == range(1, 2));
    CHECK(queue.leased() == 2);
    CHECK(consumer.leased.count() == 2);
    CHECK(ms(engine.next_deadline()) == 1500);
}

TEST_CASE_FIXTURE(EngineFixture, "lease: leases that end close together are looked at in steps") {
    Queue& queue = create("q");
    (void)consume(queue);
    for (int i = 0; i < 10; ++i) {
        publish(queue, 1);
        (void)dispatch(i);
    }
    CHECK(expire(1000).size() == 1);
    CHECK(ms(engine.next_deadline()) == 1020);
    CHECK(expire(1019).empty());
    CHECK(expire(1020).size() == 9);
}

TEST_CASE_FIXTURE(EngineFixture, "lease: extended, it ends later, and other messages do not") {
    Queue& queue = create("q");
    publish(queue, 4);
    Consumer& consumer = consume(queue);
    (void)dispatch(0);
    const SettleResult result = engine.extend(consumer, range(2, 9), at_ms(3000));
    CHECK(result.settled == 3);
    CHECK(result.not_leased == 6);
    auto lost = expire(1000);
    REQUIRE(lost.size() == 1);
    CHECK(lost[0].range == range(1, 1));
    CHECK(expire(2999).empty());
    lost = expire(3000);
    REQUIRE(lost.size() == 1);
    CHECK(lost[0].range == range(2, 3));
}

TEST_CASE_FIXTURE(EngineFixture, "lease: extended to an earlier time, it ends earlier") {
    Queue& queue = create("q");
    publish(queue, 1);
    Consumer& consumer = consume(queue);
    (void)dispatch(0);
    (void)engine.extend(consumer, range(1, 1), at_ms(200));
    CHECK(ms(engine.next_deadline()) == 200);
    CHECK(expire(200).size() == 1);
}

TEST_CASE_FIXTURE(EngineFixture, "lease: it ends with its consumer, at once") {
    Queue& queue = create("q");
    publish(queue, 5);
    Consumer& gone = consume(queue, 3);
    (void)dispatch();
    (void)ack(gone, range(2, 1));
    engine.detach(gone, ConsumerEnd::failed, at_ms(0));
    CHECK(gone.queue == nullptr);
    CHECK(queue.ready() == 4);
    CHECK(queue.leased() == 0);
    CHECK(queue.consumers() == 0);
    CHECK_FALSE(engine.next_deadline().has_value());
    Consumer& other = consume(queue);
    CHECK(ranges_of(dispatch(), other) == Ranges{range(1, 1), range(3, 3)});
}

TEST_CASE_FIXTURE(EngineFixture, "lease: an ack on its way can neither expire nor come back") {
    Queue& queue = create("q", Durability::disk);
    publish(queue, 3);
    Consumer& consumer = consume(queue);
    (void)dispatch(0);
    std::vector<MessageRange> decided;
    (void)engine.admit_ack(consumer, range(1, 2), decided);
    const auto lost = expire(5000);
    REQUIRE(lost.size() == 1);
    CHECK(lost[0].range == range(3, 1));
    engine.detach(consumer, ConsumerEnd::failed, at_ms(0));
    CHECK(queue.ready() == 1);
    CHECK(queue.ending() == 2);
    engine.apply(queue, RemoveMessages{queue.id(), decided});
    CHECK(queue.live() == 1);
}

TEST_CASE_FIXTURE(EngineFixture, "lease: each delivery counts") {
    Queue& queue = create("q");
    publish(queue, 1);
    Consumer& consumer = consume(queue);
    for (std::uint32_t attempt = 1; attempt <= 5; ++attempt) {
        const auto deliveries = dispatch();
        REQUIRE(deliveries.size() == 1);
        CHECK(deliveries[0].attempt == attempt);
        (void)engine.nack(consumer, range(1, 1), at_ms(0), {}, returned);
    }
}

}  // namespace
}  // namespace mqd::engine::test
