// Who gets which message: order, fair shares, credit, output room.

#include <doctest/doctest.h>

#include "engine/engine_fixture.hpp"

namespace mqd::engine::test {
namespace {

using Ranges = std::vector<MessageRange>;

TEST_CASE_FIXTURE(EngineFixture, "dispatch: in order of numbers, one piece for each extent") {
    Queue& queue = create("q");
    publish(queue, 3);
    publish(queue, 4);
    Consumer& consumer = consume(queue);
    const auto deliveries = dispatch();
    REQUIRE(deliveries.size() == 2);
    CHECK(deliveries[0].range == range(1, 3));
    CHECK(deliveries[1].range == range(4, 4));
    CHECK(deliveries[0].attempt == 1);
    CHECK(deliveries[0].extent == &extents[0]);
    CHECK(count_of(deliveries, consumer) == 7);
    CHECK(dispatch().empty());
}

TEST_CASE_FIXTURE(EngineFixture, "dispatch: nothing without credit, all with it") {
    Queue& queue = create("q");
    publish(queue, 5);
    Consumer& consumer = attach(queue);
    CHECK(dispatch().empty());
    engine.grant(consumer, 5, 0);
    CHECK(dispatch().empty());
    engine.grant(consumer, 5, 1000);
    CHECK(count_of(dispatch(), consumer) == 5);
}

TEST_CASE_FIXTURE(EngineFixture,
                  "dispatch: nothing while consuming is paused, all when it is not") {
    Queue& queue = create("q");
    Consumer& consumer = consume(queue);
    UpdateQueue update{queue.id(), queue.definition()};
    update.definition.consuming_paused = true;
    engine.apply(update);
    publish(queue, 5);
    CHECK(dispatch().empty());
    CHECK(!queue.wants_dispatch());
    CHECK(!engine.wants_dispatch());
    update.definition.consuming_paused = false;
    engine.apply(update);
    CHECK(queue.wants_dispatch());
    CHECK(engine.wants_dispatch());
    CHECK(count_of(dispatch(), consumer) == 5);
}

TEST_CASE_FIXTURE(EngineFixture, "dispatch: credit is a total, and never taken back") {
    Queue& queue = create("q");
    publish(queue, 10);
    Consumer& consumer = consume(queue, 4);
    CHECK(count_of(dispatch(), consumer) == 4);
    engine.grant(consumer, 2, 2);
    CHECK(dispatch().empty());
    engine.grant(consumer, 7, 0);
    CHECK(ranges_of(dispatch(), consumer) == Ranges{range(5, 3)});
}

TEST_CASE_FIXTURE(EngineFixture, "dispatch: byte credit cuts a batch between messages") {
    Queue& queue = create("q");
    publish(queue, 10);
    Consumer& consumer = consume(queue, no_limit, 3 * message_bytes);
    CHECK(ranges_of(dispatch(), consumer) == Ranges{range(1, 3)});
    CHECK(consumer.bytes_delivered == 3 * message_bytes);
}

TEST_CASE_FIXTURE(EngineFixture, "dispatch: one message may exceed the bytes that are left") {
    Queue& queue = create("q");
    publish(queue, 4);
    Consumer& consumer = consume(queue, no_limit, message_bytes + 1);
    CHECK(ranges_of(dispatch(), consumer) == Ranges{range(1, 2)});
    CHECK(consumer.bytes_delivered > consumer.byte_limit);
    engine.grant(consumer, no_limit, 2 * message_bytes);
    CHECK(dispatch().empty());
}

TEST_CASE_FIXTURE(EngineFixture, "dispatch: pieces are bounded, but never below one message") {
    Queue& queue = create("q");
    publish(queue, 7);
    Consumer& consumer = attach(queue);
    consumer.piece_bytes_max = 3 * message_bytes;
    engine.grant(consumer, no_limit, no_limit);
    auto deliveries = dispatch();
    REQUIRE(deliveries.size() == 3);
    CHECK(deliveries[0].range == range(1, 3));
    CHECK(deliveries[2].range == range(7, 1));
    publish(queue, 2, 1000);
    deliveries = dispatch();
    REQUIRE(deliveries.size() == 2);
    CHECK(deliveries[0].range == range(8, 1));
}

TEST_CASE_FIXTURE(EngineFixture, "dispatch: consumers with credit get equal shares") {
    Queue& queue = create("q");
    Consumer& a = consume(queue);
    Consumer& b = consume(queue);
    Consumer& c = consume(queue);
    publish(queue, 30);
    const auto deliveries = dispatch();
    CHECK(count_of(deliveries, a) == 10);
    CHECK(count_of(deliveries, b) == 10);
    CHECK(count_of(deliveries, c) == 10);
}

TEST_CASE_FIXTURE(EngineFixture, "dispatch: what one has no credit for, the others share") {
    Queue& queue = create("q");
    Consumer& a = consume(queue, 2);
    Consumer& b = consume(queue);
    Consumer& c = consume(queue);
    publish(queue, 32);
    const auto deliveries = dispatch();
    CHECK(count_of(deliveries, a) == 2);
    CHECK(count_of(deliveries, b) + count_of(deliveries, c) == 30);
    CHECK(count_of(deliveries, b) >= 14);
    CHECK(count_of(deliveries, c) >= 14);
    CHECK(queue.ready() == 0);
}

TEST_CASE_FIXTURE(EngineFixture, "dispatch: single messages go round") {
    Queue& queue = create("q");
    Consumer& a = consume(queue);
    Consumer& b = consume(queue);
    Consumer& c = consume(queue);
    std::uint64_t got_a = 0;
    std::uint64_t got_b = 0;
    std::uint64_t got_c = 0;
    for (int i = 0; i < 30; ++i) {
        publish(queue, 1);
        const auto deliveries = dispatch();
        got_a += count_of(deliveries, a);
        got_b += count_of(deliveries, b);
        got_c += count_of(deliveries, c);
    }
    CHECK(got_a == 10);
    CHECK(got_b == 10);
    CHECK(got_c == 10);
}

TEST_CASE_FIXTURE(EngineFixture, "dispatch: who waits longest is first, whoever comes and goes") {
    Queue& queue = create("q");
    Consumer& a = consume(queue);
    Consumer& b = consume(queue);
    Consumer& c = consume(queue, 1);
    Consumer& d = consume(queue);
    const auto takers = [&] {
        publish(queue, 4);
        std::vector<const Consumer*> all;
        for (const Delivery& delivery : dispatch()) {
            all.push_back(delivery.consumer);
        }
        return all;
    };
    CHECK(takers() == std::vector<const Consumer*>{&a, &b, &c, &d});
    (void)ack(a, range(1, 1));
    engine.detach(a, ConsumerEnd::failed, at_ms(0));
    engine.grant(c, 2, no_limit);
    Consumer& e = consume(queue);
    CHECK(queue.consumers() == 4);
    CHECK(takers() == std::vector<const Consumer*>{&b, &d, &c, &e});
    CHECK(takers() == std::vector<const Consumer*>{&b, &d});  // two each
    CHECK(takers() == std::vector<const Consumer*>{&e, &b});
}

TEST_CASE_FIXTURE(EngineFixture, "dispatch: output room stops a reader that is slow") {
    Queue& queue = create("q");
    OutputRoom room{5 * message_bytes};
    Consumer& slow = attach(queue);
    slow.room = &room;
    engine.grant(slow, no_limit, no_limit);
    publish(queue, 3);
    publish(queue, 3);
    publish(queue, 3);
    // The piece that begins while there is room may exceed it.
    CHECK(ranges_of(dispatch(), slow) == Ranges{range(1, 6)});
    CHECK(room.bytes == 0);
    CHECK(room.wanted);
    CHECK(dispatch().empty());
    room = {1000};
    engine.wake(slow);
    CHECK(ranges_of(dispatch(), slow) == Ranges{range(7, 3)});
    CHECK_FALSE(room.wanted);
}

TEST_CASE_FIXTURE(EngineFixture, "dispatch: each delivery takes its overhead of the room, too") {
    Queue& queue = create("q");
    OutputRoom room{3 * message_bytes + 1};
    room.delivery_bytes = 2 * message_bytes;
    Consumer& consumer = attach(queue);
    consumer.room = &room;
    engine.grant(consumer, no_limit, no_limit);
    publish(queue, 1);
    publish(queue, 1);
    publish(queue, 1);
    CHECK(ranges_of(dispatch(), consumer) == Ranges{range(1, 2)});
    CHECK(room.bytes == 0);
}

TEST_CASE_FIXTURE(EngineFixture, "dispatch: a reader without room leaves the rest to others") {
    Queue& queue = create("q");
    OutputRoom room{0};
    Consumer& slow = attach(queue);
    slow.room = &room;
    engine.grant(slow, no_limit, no_limit);
    Consumer& quick = consume(queue);
    publish(queue, 10);
    const auto deliveries = dispatch();
    CHECK(count_of(deliveries, slow) == 0);
    CHECK(count_of(deliveries, quick) == 10);
    CHECK(room.wanted);
}

TEST_CASE_FIXTURE(EngineFixture, "dispatch: what a connection may have leased, and no more") {
    OutputRoom room{no_limit};
    room.leases_max = 5;
    Queue& queue = create("q");
    Consumer& a = attach(queue);
    Consumer& b = attach(queue);
    a.room = b.room = &room;
    engine.grant(a, no_limit, no_limit);
    engine.grant(b, no_limit, no_limit);
    publish(queue, 20);
    auto some = dispatch();
    CHECK(count_of(some, a) + count_of(some, b) == 5);
    CHECK(room.leases == 5);
    CHECK_FALSE(room.wanted);
    CHECK_FALSE(engine.wants_dispatch());
    CHECK(dispatch().empty());
    // Its credit is kept, and counts again when leases end: acks, nacks, time, a handle that ends.
    CHECK(ack(a, range(1, 2)).settled == 2);
    CHECK(engine.wants_dispatch());
    CHECK(ranges_of(dispatch(), b) == Ranges{range(6, 2)});
    CHECK(engine.nack(a, range(3, 1), at_ms(0), std::nullopt, returned).settled == 1);
    CHECK(ranges_of(dispatch(), a) == Ranges{range(3, 1)});
    CHECK(expire(1000).size() >= 2);
    some = dispatch(1000);
    CHECK(count_of(some, a) + count_of(some, b) == 5);
    engine.detach(a, ConsumerEnd::failed, at_ms(1000));
    CHECK(room.leases == b.leased.count());
    (void)dispatch(1000);
    CHECK(b.leased.count() == 5);
    std::vector<MessageRange> rejected;
    CHECK(engine.reject(b, range(1, 20), rejected).settled == 5);
    CHECK(count_of(dispatch(1000), b) == 5);
}

MessageNumber first_leased(const Consumer& consumer) {
    MessageNumber first(UINT64_MAX);
    consumer.leased.for_each(
        [&](MessageRange range, const Lease&) { first = std::min(first, range.first); });
    return first;
}

TEST_CASE_FIXTURE(EngineFixture, "dispatch: consumers of one connection get its leases in turn") {
    OutputRoom room{no_limit};
    room.leases_max = 4;
    Queue& busy = create("a");
    Queue& idle = create("b");
    Queue& other = create("c");
    std::vector<Consumer*> all;
    for (Queue* queue : {&busy, &idle, &other}) {
        all.push_back(&attach(*queue));
        all.back()->room = &room;
        engine.grant(*all.back(), no_limit, no_limit);
    }
    publish(busy, 100);
    publish(other, 100);
    CHECK(count_of(dispatch(), *all[0]) == 4);
    CHECK(dispatch().empty());
    std::uint64_t next = 1;
    std::uint64_t got = 0;
    for (int i = 0; i < 20;
         ++i) {  // whoever acks, and though its queue has something new each time
        publish(busy, 1);
        if (all[0]->leased.count() > 0) {
            CHECK(ack(*all[0], range(next, 1)).settled == 1);
            next = all[0]->leased.empty() ? next : first_leased(*all[0]).value();
        } else {
            const MessageNumber first = first_leased(*all[2]);
            CHECK(ack(*all[2], {first, 1}).settled == 1);
        }
        const auto some = dispatch();
        CHECK(some.size() == 1);
        got += count_of(some, *all[2]);
        next = all[0]->leased.empty() ? next : first_leased(*all[0]).value();
    }
    CHECK(got == 10);  // every other time
    // The one that had nothing is not passed by when it has.
    publish(idle, 1);
    CHECK(dispatch().empty());
    engine.detach(*all[0], ConsumerEnd::failed, at_ms(0));
    engine.detach(*all[2], ConsumerEnd::failed, at_ms(0));
    CHECK(count_of(dispatch(), *all[1]) == 1);
    engine.detach(*all[1], ConsumerEnd::failed, at_ms(0));
    CHECK(room.leases == 0);
    CHECK(room.stopped.empty());
    CHECK_FALSE(room.freed);
}

TEST_CASE_FIXTURE(EngineFixture, "dispatch: another connection gets what one may not have") {
    OutputRoom room{no_limit};
    room.leases_max = 1;
    Queue& queue = create("q");
    Consumer& bounded = attach(queue);
    bounded.room = &room;
    engine.grant(bounded, no_limit, no_limit);
    Consumer& free = consume(queue);
    publish(queue, 10);
    const auto some = dispatch();
    CHECK(count_of(some, bounded) == 1);
    CHECK(count_of(some, free) == 9);
    destroy(queue);
    CHECK(room.leases == 0);
    CHECK(room.stopped.empty());
}

TEST_CASE_FIXTURE(EngineFixture, "dispatch: different delivery counts are different pieces") {
    Queue& queue = create("q");
    publish(queue, 6);
    Consumer& first = consume(queue, 3);
    (void)dispatch();
    engine.detach(first, ConsumerEnd::failed, at_ms(0));
    Consumer& second = consume(queue);
    const auto deliveries = dispatch();
    REQUIRE(deliveries.size() == 2);
    CHECK(deliveries[0].range == range(1, 3));
    CHECK(deliveries[0].attempt == 2);
    CHECK(deliveries[1].range == range(4, 3));
    CHECK(deliveries[1].attempt == 1);
    CHECK(count_of(deliveries, second) == 6);
}

TEST_CASE_FIXTURE(EngineFixture, "dispatch: a queue that is being deleted delivers nothing") {
    Queue& queue = create("q", Durability::disk);
    publish(queue, 6);
    (void)consume(queue);
    const DeleteQueue command = engine.admit_delete(queue);
    CHECK(dispatch().empty());
    engine.apply(command);
    CHECK(dispatch().empty());
    CHECK(engine.released().size() == 1);
}

}  // namespace
}  // namespace mqd::engine::test
