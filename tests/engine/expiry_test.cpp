// Times to live: what the engine says is to be looked at, and what becomes of it.

#include <doctest/doctest.h>

#include "engine/engine_fixture.hpp"

namespace mqd::engine::test {

namespace {

class Expiry : public EngineFixture {
  protected:
    void set_ttl(Queue& queue, std::int64_t ms, OnExpired on_expired = OnExpired::drop) {
        QueueDefinition definition = queue.definition();
        definition.ttl = std::chrono::milliseconds(ms);
        definition.on_expired = on_expired;
        engine.apply(UpdateQueue{queue.id(), definition});
    }
    TestExtent& publish_at(Queue& queue, std::uint32_t count, std::int64_t ms,
                           std::int64_t expires_ms = 0) {
        TestExtent& extent = extents.emplace_back(add(queue, count));
        extent.taken = at_ms(ms);
        extent.expires = expires_ms == 0 ? Time::max() : at_ms(expires_ms);
        engine.announce_resident(queue, extent);
        return extent;
    }
    // Ends whatever expires as a whole. Returns how many messages.
    std::uint64_t expire_whole(std::int64_t now_ms) {
        std::uint64_t count = 0;
        for (;;) {
            const ExpiredExtent due = engine.next_expired(at_ms(now_ms));
            if (due.extent == nullptr) {
                return count;
            }
            REQUIRE(due.whole);
            std::vector<MessageRange> decided;
            count +=
                engine.admit_expiry(*due.queue, {due.extent->first, due.extent->count}, decided);
            engine.apply(*due.queue, RemoveMessages{due.queue->id(), decided});
        }
    }
};

}  // namespace

TEST_CASE_FIXTURE(Expiry, "expiry: without a TTL there is nothing to look at") {
    Queue& queue = create("q");
    publish_at(queue, 3, 0);
    CHECK_FALSE(engine.next_expiry());
    CHECK(engine.next_expired(at_ms(1'000'000)).extent == nullptr);
}

TEST_CASE_FIXTURE(Expiry, "expiry: by the TTL of a queue, in the order of numbers") {
    Queue& queue = create("q");
    set_ttl(queue, 100);
    publish_at(queue, 3, 0);
    publish_at(queue, 2, 50);
    CHECK(expire_whole(99) == 0);  // and the change of the TTL was looked at
    CHECK(engine.next_expiry() == at_ms(100));
    CHECK(expire_whole(100) == 3);
    CHECK(engine.next_expiry() == at_ms(150));
    set_ttl(queue, 0);
    CHECK_FALSE(engine.next_expiry());
    CHECK(expire_whole(1000) == 0);
    set_ttl(queue, 10);
    CHECK(expire_whole(1000) == 2);
    CHECK(queue.expired() == 5);
    CHECK(queue.live() == 0);
    CHECK_FALSE(engine.next_expiry());
}

TEST_CASE_FIXTURE(Expiry, "expiry: nothing is delivered while something is to be looked at") {
    Queue& queue = create("q");
    Queue& other = create("other");
    Consumer& consumer = consume(queue);
    Consumer& another = consume(other);
    set_ttl(queue, 100);
    publish_at(queue, 3, 0);
    publish_at(queue, 1, 60);
    publish_at(other, 2, 0);
    auto deliveries = dispatch(100);
    CHECK(count_of(deliveries, consumer) == 0);
    CHECK(count_of(deliveries, another) == 2);
    CHECK(engine.wants_dispatch());
    CHECK(expire_whole(100) == 3);
    deliveries = dispatch(100);
    CHECK(count_of(deliveries, consumer) == 1);
}

TEST_CASE_FIXTURE(Expiry, "expiry: what is leased stays, and is looked at when it comes back") {
    Queue& queue = create("q");
    Consumer& consumer = consume(queue);
    set_ttl(queue, 100);
    publish_at(queue, 4, 0);
    CHECK(expire_whole(0) == 0);
    CHECK(count_of(dispatch(0), consumer) == 4);
    CHECK(expire_whole(200) == 0);
    CHECK(queue.leased() == 4);
    CHECK(ack(consumer, range(1, 1)).settled == 1);
    engine.nack(consumer, range(2, 1), at_ms(200), std::nullopt, returned);
    REQUIRE(engine.returned().size() == 1);
    CHECK(engine.returned().front().range == range(2, 1));
    CHECK(engine.next_expiry().has_value());
    CHECK(dispatch(200).empty());
    engine.returned().clear();
    engine.detach(consumer, ConsumerEnd::gave_back, at_ms(200));
    CHECK(engine.returned().size() == 1);
    engine.returned().clear();
}

TEST_CASE_FIXTURE(Expiry, "expiry: an extent is listed for the first of its own TTLs") {
    Queue& queue = create("q");
    TestExtent& extent = publish_at(queue, 3, 0, 70);
    CHECK(engine.next_expiry() == at_ms(70));
    const ExpiredExtent due = engine.next_expired(at_ms(70));
    CHECK(due.extent == &extent);
    CHECK_FALSE(due.whole);
    std::vector<MessageRange> decided;
    CHECK(engine.admit_expiry(queue, range(2, 1), decided) == 1);
    engine.set_expiry(queue, extent, at_ms(90));
    CHECK(engine.next_expiry() == at_ms(90));
    engine.forget_resident(queue, extent);
    CHECK_FALSE(engine.next_expiry());
    engine.announce_resident(queue, extent);
    CHECK(engine.next_expiry() == at_ms(90));
    destroy(queue);
    CHECK_FALSE(engine.next_expiry());
}

TEST_CASE_FIXTURE(Expiry, "expiry: to the dead letters, unless it is one already") {
    for (const char* name : {"q", "q.dead"}) {
        Queue& queue = create(name);
        set_ttl(queue, 100, OnExpired::dead_letter);
        publish_at(queue, 3, 0);
        CHECK(expire_whole(100) == 3);
        CHECK(queue.dying() == (queue.name() == "q" ? 3 : 0));
        CHECK(queue.live() == queue.dying());
    }
}

}  // namespace mqd::engine::test
