// Purges that can be undone, in the engine.

#include <doctest/doctest.h>

#include "engine/engine_fixture.hpp"

namespace mqd::engine::test {
namespace {

struct PurgeFixture : EngineFixture {
    std::uint64_t purge_until(Queue& queue, MessageRange messages, std::int64_t until_ms) {
        purged.clear();
        return engine.purge(queue, messages, at_ms(until_ms), purged);
    }
    void undo(Queue& queue) {
        restored.clear();
        engine.undo_purge(queue, restored);
    }
    // What is not kept any longer; empty: nothing.
    std::vector<MessageRange> ended(std::int64_t now_ms) {
        std::vector<MessageRange> decided;
        if (Queue* queue = engine.admit_purge_end(at_ms(now_ms), 1000, decided)) {
            engine.apply(*queue, RemoveMessages{queue->id(), decided});
        }
        return decided;
    }

    std::vector<MessageRange> purged;
    std::vector<MessageRange> restored;
};

TEST_CASE_FIXTURE(PurgeFixture, "purge: what waits is kept, and comes back to its place") {
    Queue& queue = create("q");
    publish(queue, 6);
    engine.apply(DelayMessages{queue.id(), range(2, 2), Due::on(at_ms(100))});
    Consumer& consumer = consume(queue, 1);
    REQUIRE(ranges_of(dispatch(), consumer) == std::vector{range(1, 1)});

    CHECK(purge_until(queue, range(0, 100), 1000) == 5);
    CHECK(purged == std::vector{range(2, 5)});  // not what is leased
    CHECK(queue.purged() == 5);
    CHECK(queue.ready() + queue.delayed() == 0);
    CHECK(engine.messages() == 1);
    CHECK(engine.next_purge_end() == at_ms(1000));
    CHECK(purge_until(queue, range(0, 100), 2000) == 0);

    publish(queue, 1);
    undo(queue);
    CHECK(restored == std::vector{range(2, 5)});
    CHECK(queue.purged() == 0);
    CHECK(engine.purge_runs() == 0);
    CHECK(engine.messages() == 7);
    CHECK_FALSE(engine.next_purge_end().has_value());
    CHECK(queue.delayed() == 2);
    CHECK(queue.delay_of(MessageNumber(2)).due == Due::on(at_ms(100)));
    engine.grant(consumer, no_limit, no_limit);
    CHECK(ranges_of(dispatch(), consumer) == std::vector{range(4, 4)});
    engine.wake_due({at_ms(100), {}}, 10);
    CHECK(ranges_of(dispatch(100), consumer) == std::vector{range(2, 2)});
}

TEST_CASE_FIXTURE(PurgeFixture, "purge: a time that comes meanwhile has come") {
    Queue& queue = create("q");
    publish(queue, 2);
    engine.apply(DelayMessages{queue.id(), range(1, 1), Due::on(at_ms(10))});
    CHECK(purge_until(queue, range(1, 2), 1000) == 2);
    engine.wake_due({at_ms(10), {}}, 10);
    CHECK(queue.ready() == 0);
    undo(queue);
    CHECK(queue.ready() == 2);
}

TEST_CASE_FIXTURE(PurgeFixture, "purge: it ends when its time is over, and not before") {
    Queue& queue = create("q");
    publish(queue, 5);
    purge_until(queue, range(1, 2), 1000);
    purge_until(queue, range(4, 2), 2000);
    CHECK(ended(999).empty());
    CHECK(ended(1000) == std::vector{range(1, 2)});
    CHECK(engine.next_purge_end() == at_ms(2000));
    undo(queue);
    CHECK(restored == std::vector{range(4, 2)});
    CHECK(queue.live() == 3);
    CHECK(ended(3000).empty());
}

TEST_CASE_FIXTURE(PurgeFixture,
                  "purge: what ends is still told to be purged until that is applied") {
    Queue& queue = create("q", Durability::disk);
    publish(queue, 3);
    purge_until(queue, range(1, 3), 1000);
    std::vector<MessageRange> decided;
    REQUIRE(engine.admit_purge_end(at_ms(1000), 10, decided) == &queue);
    CHECK(queue.ending() == 3);
    DelayTable::Run run;
    REQUIRE(queue.purges()->find_from(MessageNumber(1), run));
    CHECK(run.range == range(1, 3));
    CHECK(engine.admit_purge_end(at_ms(1000), 10, decided) == nullptr);
    undo(queue);
    CHECK(restored.empty());
    engine.apply(queue, RemoveMessages{queue.id(), decided});
    CHECK(queue.purges()->empty());
    CHECK(queue.live() == 0);
}

TEST_CASE_FIXTURE(PurgeFixture, "purge: for good ends what was kept as well") {
    Queue& queue = create("q");
    publish(queue, 4);
    purge_until(queue, range(2, 2), 1000);
    CHECK(purge(queue) == 4);
    CHECK(queue.live() == 0);
    CHECK(engine.messages() == 0);
    CHECK(engine.purge_runs() == 0);
}

TEST_CASE_FIXTURE(PurgeFixture, "purge: single messages, also such as are purged already") {
    Queue& queue = create("q");
    publish(queue, 4);
    purge_until(queue, range(2, 2), 1000);
    std::vector<MessageRange> decided;
    engine.admit_end(queue, range(1, 2), decided);
    engine.apply(queue, RemoveMessages{queue.id(), decided});
    CHECK(queue.live() == 2);
    CHECK(queue.purged() == 1);
    CHECK(engine.messages() == 1);
}

TEST_CASE_FIXTURE(PurgeFixture, "purge: groups go on, and take back what is put back") {
    Queue& queue = create("q");
    const AddMessages command = engine.admit_add(queue, 4);
    const GroupId group(4);
    const std::vector<GroupMember> members{
        {MessageNumber(1), group}, {MessageNumber(2), group}, {MessageNumber(3), group}};
    engine.apply(queue, command, members);
    announce(queue, command.range);
    CHECK(queue.held() == 2);
    CHECK(purge_until(queue, range(1, 1), 1000) == 1);
    Consumer& consumer = consume(queue);
    CHECK(ranges_of(dispatch(), consumer) == std::vector{range(2, 1), range(4, 1)});
    undo(queue);
    CHECK(queue.held() == 2);
    CHECK(dispatch().empty());
    CHECK(ack(consumer, range(2, 1)).settled == 1);
    CHECK(ranges_of(dispatch(), consumer) == std::vector{range(1, 1)});
    CHECK(ack(consumer, range(1, 1)).settled == 1);
    CHECK(ranges_of(dispatch(), consumer) == std::vector{range(3, 1)});
}

TEST_CASE_FIXTURE(PurgeFixture, "purge: in a replay it may be told once more, and its undo too") {
    Queue& queue = create("q", Durability::disk);
    publish(queue, 4);
    engine.apply(PurgeMessages{queue.id(), range(1, 3), at_ms(1000)});
    engine.apply(PurgeMessages{queue.id(), range(2, 1), at_ms(2000)});
    CHECK(queue.purged() == 3);
    CHECK(queue.waiting_in(range(1, 4)) == 4);
    CHECK(engine.next_purge_end() == at_ms(1000));
    const MessageRange some = range(1, 2);
    engine.apply(UndoPurge{queue.id(), {&some, 1}});
    engine.apply(UndoPurge{queue.id(), {&some, 1}});
    CHECK(queue.ready() == 3);
    engine.apply(CountDelivery{queue.id(), range(3, 1), 1});
    CHECK(queue.ready() == 4);
    CHECK(engine.messages() == 4);
    engine.apply(PurgeMessages{queue.id(), range(1, 1), at_ms(1000)});
    const MessageRange gone = range(1, 2);
    engine.apply(queue, RemoveMessages{queue.id(), {&gone, 1}});
    CHECK(engine.purge_runs() == 0);
    CHECK(engine.messages() == 2);
}

TEST_CASE_FIXTURE(PurgeFixture, "purge: it goes with its queue, and is not shown to who looks") {
    Queue& queue = create("q");
    publish(queue, 4);
    purge_until(queue, range(2, 2), 1000);
    std::vector<MessageRange> seen;
    const auto look = [&](const Extent&, MessageRange piece, std::uint32_t, LiveState) {
        seen.push_back(piece);
        return true;
    };
    (void)queue.peek(MessageNumber(1), look);
    CHECK(seen == std::vector{range(1, 1), range(4, 1)});
    seen.clear();
    (void)queue.peek(MessageNumber(1), LiveStates{LiveState::purged}, look);
    CHECK(seen == std::vector{range(2, 2)});
    destroy(queue);
    CHECK(engine.purge_runs() == 0);
    CHECK_FALSE(engine.next_purge_end().has_value());
    CHECK(engine.messages() == 0);
}

}  // namespace
}  // namespace mqd::engine::test
