// Exclusive consumers, and those of which a single one is active: who is admitted, who has the
// turn, and what the next one finds.

#include <doctest/doctest.h>

#include "engine/engine_fixture.hpp"

namespace mqd::engine::test {
namespace {

using Ranges = std::vector<MessageRange>;

struct SharingFixture : EngineFixture {
    Queue& queue = create("q");

    Consumer& attach_as(Sharing sharing, std::uint64_t messages = no_limit) {
        Consumer& consumer = attach(queue, 1000, sharing);
        engine.grant(consumer, messages, no_limit);
        return consumer;
    }
    Consumer& single(std::uint64_t messages = no_limit) {
        return attach_as(Sharing::single_active, messages);
    }
    void end(Consumer& consumer) { engine.detach(consumer, ConsumerEnd::failed, at_ms(0)); }
    std::vector<Consumer*> take_activated() { return std::exchange(engine.activated(), {}); }
};

TEST_CASE_FIXTURE(SharingFixture, "sharing: consumers of one queue share it alike") {
    using enum Sharing;
    for (const Sharing how : {shared, exclusive, single_active}) {
        CHECK(queue.admits(how));
    }
    CHECK(queue.sharing() == shared);  // as long as nobody has it
    Consumer& first = attach_as(shared);
    CHECK(queue.sharing() == shared);
    CHECK(queue.admits(shared));
    CHECK(!queue.admits(exclusive));
    CHECK(!queue.admits(single_active));
    end(first);

    Consumer& only = attach_as(exclusive);
    CHECK(queue.sharing() == exclusive);
    for (const Sharing how : {shared, exclusive, single_active}) {
        CHECK(!queue.admits(how));
    }
    end(only);

    Consumer& active = single();
    CHECK(queue.sharing() == single_active);
    CHECK(queue.admits(single_active));
    CHECK(!queue.admits(shared));
    CHECK(!queue.admits(exclusive));
    end(active);
    CHECK(queue.admits(exclusive));
}

TEST_CASE_FIXTURE(SharingFixture, "sharing: the oldest gets all, and the next one takes over") {
    Consumer& first = single();
    Consumer& second = single();
    Consumer& third = single();
    CHECK(!first.waiting);
    CHECK(second.waiting);
    CHECK(take_activated().empty());  // who attaches looks for itself
    publish(queue, 10);
    CHECK(count_of(dispatch(), first) == 10);

    end(first);
    CHECK(take_activated() == std::vector<Consumer*>{&second});
    publish(queue, 2);
    const auto deliveries = dispatch();
    CHECK(ranges_of(deliveries, second) == Ranges{range(1, 12)});
    CHECK(count_of(deliveries, third) == 0);

    end(second);
    CHECK(count_of(dispatch(), third) == 12);
    end(third);
    CHECK(queue.ready() == 12);
}

TEST_CASE_FIXTURE(SharingFixture, "sharing: what the first one left unsettled comes in its place") {
    Consumer& first = single(5);
    Consumer& second = single();
    publish(queue, 8);
    CHECK(ranges_of(dispatch(), first) == Ranges{range(1, 5)});
    (void)ack(first, range(2, 2));
    end(first);
    const auto deliveries = dispatch();
    CHECK(ranges_of(deliveries, second) == Ranges{range(1, 1), range(4, 5)});
    REQUIRE(deliveries.size() >= 2);
    CHECK(deliveries.front().attempt == 2);
    CHECK(deliveries.back().attempt == 1);
}

TEST_CASE_FIXTURE(SharingFixture, "sharing: an active one without credit keeps its turn") {
    Consumer& first = single(3);
    Consumer& second = single();
    publish(queue, 5);
    CHECK(count_of(dispatch(), first) == 3);
    CHECK(dispatch().empty());
    CHECK(!queue.wants_dispatch());
    CHECK(second.waiting);
    engine.grant(first, 5, no_limit);
    CHECK(ranges_of(dispatch(), first) == Ranges{range(4, 2)});
}

TEST_CASE_FIXTURE(SharingFixture, "sharing: an active one without output room keeps its turn") {
    Consumer& first = single();
    Consumer& second = single();
    OutputRoom room{0, false, 0};
    first.room = &room;
    second.room = &room;
    publish(queue, 5);
    CHECK(dispatch().empty());
    room.bytes = 1000;
    engine.wake(first);
    engine.wake(second);  // core wakes all that share the room
    CHECK(count_of(dispatch(), first) == 5);
}

TEST_CASE_FIXTURE(SharingFixture, "sharing: a lease that runs out hands nothing over") {
    Consumer& first = single();
    Consumer& second = single();
    publish(queue, 4);
    CHECK(count_of(dispatch(), first) == 4);
    CHECK(expire(2000).size() == 1);
    const auto again = dispatch(2000);
    CHECK(count_of(again, first) == 4);
    CHECK(count_of(again, second) == 0);
    CHECK(take_activated().empty());
}

TEST_CASE_FIXTURE(SharingFixture, "sharing: credit that comes while waiting is kept") {
    Consumer& first = single(0);
    Consumer& second = attach(queue, 1000, Sharing::single_active);
    publish(queue, 6);
    engine.grant(second, 4, no_limit);
    CHECK(dispatch().empty());
    CHECK(!engine.wants_dispatch());
    end(first);
    CHECK(ranges_of(dispatch(), second) == Ranges{range(1, 4)});
}

TEST_CASE_FIXTURE(SharingFixture, "sharing: one that leaves while waiting is passed over") {
    Consumer& first = single();
    Consumer& second = single();
    Consumer& third = single();
    end(second);
    CHECK(take_activated().empty());
    Consumer& fourth = single();
    end(first);
    CHECK(take_activated() == std::vector<Consumer*>{&third});
    // A connection ends with several of them: whoever had the turn in between is not told.
    end(third);
    end(fourth);
    CHECK(take_activated().empty());
    Consumer& last = single();
    CHECK(!last.waiting);
}

TEST_CASE_FIXTURE(SharingFixture, "sharing: a queue that is deleted gives no turns") {
    Consumer& first = single();
    Consumer& second = single();
    const DeleteQueue command = engine.admit_delete(queue);
    end(first);
    CHECK(take_activated().empty());
    engine.apply(command);
    CHECK(second.queue == nullptr);
}

}  // namespace
}  // namespace mqd::engine::test
