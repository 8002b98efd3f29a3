// Queues, numbers, ends, and what replay does.

#include "daemon/engine/engine.hpp"

#include <doctest/doctest.h>

#include "engine/engine_fixture.hpp"

namespace mqd::engine::test {
namespace {

using Ranges = std::vector<MessageRange>;

QueueDefinition named(const char* name) {
    QueueDefinition definition;
    definition.name = name;
    return definition;
}

TEST_CASE_FIXTURE(EngineFixture, "engine: a name is reserved while its queue is being created") {
    auto first = engine.admit_create(named("q"));
    REQUIRE(first.has_value());
    const auto second = engine.admit_create(named("q"));
    REQUIRE_FALSE(second.has_value());
    CHECK(second.error().code == ErrorCode::queue_exists);
    CHECK(engine.find("q") == nullptr);
    engine.apply(*first);
    CHECK(engine.find("q") == engine.find(first->id));
    CHECK_FALSE(engine.admit_create(named("q")).has_value());
}

TEST_CASE_FIXTURE(EngineFixture, "engine: queue ids are given once") {
    Queue& first = create("a");
    const QueueId id = first.id();
    destroy(first);
    CHECK(engine.find("a") == nullptr);
    CHECK(engine.find(id) == nullptr);
    Queue& second = create("a");
    CHECK(second.id() > id);
    CHECK(second.next_number() == MessageNumber(1));
    engine.restore_next_queue_id(QueueId(1000));
    CHECK(create("b").id() == QueueId(1000));
    engine.restore_next_queue_id(QueueId(7));
    CHECK(create("c").id() == QueueId(1001));
}

TEST_CASE_FIXTURE(EngineFixture, "engine: a queue goes on in place of itself under a new id") {
    Queue& old = create("q");
    const QueueId old_id = old.id();
    publish(old, 3);
    const DeleteQueue gone = engine.admit_delete(old);
    const CreateQueue again = engine.admit_recreate(old);
    engine.apply(gone);
    engine.apply(again);
    REQUIRE(engine.find("q") != nullptr);
    CHECK(engine.find("q")->id() > old_id);
    CHECK(engine.find("q")->live() == 0);
}

TEST_CASE_FIXTURE(EngineFixture, "engine: a delete takes consumers and extents with it") {
    Queue& queue = create("q");
    publish(queue, 3);
    publish(queue, 3);
    Consumer& consumer = consume(queue, 2);
    (void)dispatch();
    destroy(queue);
    CHECK(consumer.queue == nullptr);
    CHECK(consumer.leased.empty());
    CHECK(engine.released().size() == 2);
    CHECK_FALSE(engine.next_deadline().has_value());
    CHECK(dispatch().empty());
}

TEST_CASE_FIXTURE(EngineFixture, "engine: a purge ends what is ready, and nothing else") {
    Queue& queue = create("q");
    publish(queue, 10);
    Consumer& consumer = consume(queue, 3);
    (void)dispatch();
    (void)engine.nack(consumer, range(2, 1), at_ms(0), {}, returned);
    CHECK(purge(queue) == 8);
    CHECK(queue.ready() == 0);
    CHECK(queue.leased() == 2);
    CHECK(engine.released().empty());
    CHECK(ack(consumer, range(1, 3)).settled == 2);
    CHECK(engine.released().size() == 1);
    CHECK(publish(queue, 1).first == MessageNumber(11));
}

TEST_CASE_FIXTURE(EngineFixture, "engine: a purge of an empty queue decides nothing") {
    Queue& queue = create("q");
    std::vector<MessageRange> decided;
    engine.admit_purge(queue, decided);
    CHECK(decided.empty());
}

TEST_CASE_FIXTURE(EngineFixture, "engine: replay counts deliveries of what still lives") {
    Queue& queue = create("q", Durability::disk);
    publish(queue, 10);
    engine.apply(CountDelivery{queue.id(), range(2, 4), 3});
    const MessageRange gone = range(3, 1);
    engine.apply(RemoveMessages{queue.id(), {&gone, 1}});
    engine.apply(CountDelivery{queue.id(), range(1, 4), 5});
    const auto runs = queue.live_runs();
    REQUIRE(runs.size() == 4);
    CHECK(runs[0].range == range(1, 2));
    CHECK(runs[0].attempts == 5);
    CHECK(runs[1].range == range(4, 1));
    CHECK(runs[1].attempts == 5);
    CHECK(runs[2].range == range(5, 1));
    CHECK(runs[2].attempts == 3);
    CHECK(runs[3].range == range(6, 5));
    CHECK(runs[3].attempts == 0);
}

TEST_CASE_FIXTURE(EngineFixture, "engine: a state group restores what lived") {
    QueueDefinition definition = named("q");
    engine.apply(CreateQueue{QueueId(7), definition, MessageNumber(100)});
    Queue& queue = *engine.find("q");
    CHECK(queue.next_number() == MessageNumber(100));
    engine.apply(RestoreMessages{QueueId(7), range(40, 5), 2});
    engine.apply(RestoreMessages{QueueId(7), range(60, 1), 0});
    CHECK(queue.ready() == 6);
    CHECK(engine.next_queue_id() == QueueId(8));
    const MessageRange gone = range(40, 4);
    engine.apply(RemoveMessages{QueueId(7), {&gone, 1}});
    announce(queue, range(44, 1));
    announce(queue, range(60, 1));
    Consumer& consumer = consume(queue);
    const auto deliveries = dispatch();
    CHECK(ranges_of(deliveries, consumer) == Ranges{range(44, 1), range(60, 1)});
    CHECK(deliveries[0].attempt == 3);
    CHECK(publish(queue, 1).first == MessageNumber(100));
}

TEST_CASE_FIXTURE(EngineFixture, "engine: numbers that are skipped are not given") {
    Queue& queue = create("q", Durability::written);
    publish(queue, 3);
    engine.apply(SkipNumbers{queue.id(), MessageNumber(1000)});
    engine.apply(SkipNumbers{queue.id(), MessageNumber(10)});
    CHECK(queue.next_number() == MessageNumber(1000));
    CHECK(publish(queue, 1).first == MessageNumber(1000));
    CHECK(queue.ready() == 4);
}

TEST_CASE_FIXTURE(EngineFixture, "engine: extents come back in the order in which they end") {
    Queue& queue = create("q");
    TestExtent& first = publish(queue, 2);
    TestExtent& second = publish(queue, 2);
    TestExtent& third = publish(queue, 2);
    Consumer& consumer = consume(queue);
    (void)dispatch();
    (void)ack(consumer, range(3, 4));
    (void)ack(consumer, range(1, 2));
    CHECK(engine.released() == std::vector<Extent*>{&second, &third, &first});
    CHECK(first.live == 0);
    CHECK(queue.resident_bytes() == 0);
}

TEST_CASE_FIXTURE(EngineFixture, "engine: all extents come back at the end") {
    Queue& queue = create("q");
    publish(queue, 2);
    publish(create("r"), 2);
    engine.release_all();
    CHECK(engine.released().size() == 2);
    CHECK(queue.resident_bytes() == 0);
}

}  // namespace
}  // namespace mqd::engine::test
