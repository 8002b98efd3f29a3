// Messages that fail: how often they may, and what is noted of it.

#include <doctest/doctest.h>

#include "engine/engine_fixture.hpp"

namespace mqd::engine::test {

namespace {

WallTime wall(std::int64_t seconds) {
    return WallTime(std::chrono::seconds(seconds));
}

Failure failure(std::int64_t first, std::int64_t last, const char* reason = nullptr,
                bool rejected = false) {
    return {wall(first), wall(last), rejected,
            reason != nullptr ? std::make_shared<const std::string>(reason) : nullptr};
}

class Failing : public EngineFixture {
  protected:
    Queue& create_limited(std::uint32_t max_attempts) {
        QueueDefinition definition;
        definition.name = "q";
        definition.max_attempts = max_attempts;
        auto command = engine.admit_create(std::move(definition));
        engine.apply(*command);
        return *engine.find("q");
    }
    void note(Queue& queue, MessageRange messages, const Failure& what) {
        engine.apply(NoteFailure{queue.id(), messages, what});
    }
    [[nodiscard]] static Failure noted(const Queue& queue, std::uint64_t number) {
        RangeMap<Failure>::Run run;
        REQUIRE(queue.failures().find_from(MessageNumber(number), run));
        REQUIRE(run.range.first <= MessageNumber(number));
        return run.value;
    }
};

}  // namespace

TEST_CASE_FIXTURE(Failing, "failure: the last attempt that fails makes a message dying") {
    Queue& queue = create_limited(2);
    publish(queue, 3);
    Consumer& consumer = consume(queue);
    CHECK(dispatch().size() == 1);
    (void)engine.nack(consumer, range(1, 3), at_ms(0), {}, returned);
    CHECK(queue.ready() == 3);
    CHECK(dispatch().size() == 1);
    (void)engine.nack(consumer, range(1, 1), at_ms(0), {}, returned);
    CHECK(expire(5000).size() == 1);
    CHECK(queue.dying() == 3);
    CHECK(queue.live() == 3);
    CHECK(dispatch().empty());
    CHECK(engine.with_dying().size() == 1);
    engine.admit_move(queue, range(1, 2));
    CHECK(queue.ending() == 2);
    const MessageRange gone = range(1, 2);
    engine.apply(queue, RemoveMessages{queue.id(), {&gone, 1}});
    engine.revive(queue);
    CHECK(queue.ready() == 1);
    engine.forget_dying();
    CHECK(engine.with_dying().empty());
    engine.forget_dying();  // of which there are none
    CHECK(engine.with_dying().empty());
}

TEST_CASE_FIXTURE(Failing, "failure: what is given back comes again under the same attempt") {
    Queue& queue = create_limited(1);
    publish(queue, 1);
    for (int i = 0; i < 3; ++i) {
        Consumer& consumer = consume(queue);
        const auto deliveries = dispatch();
        REQUIRE(deliveries.size() == 1);
        CHECK(deliveries[0].attempt == 1);
        engine.detach(consumer, ConsumerEnd::gave_back, at_ms(0));
    }
    Consumer& consumer = consume(queue);
    CHECK(dispatch().size() == 1);
    engine.detach(consumer, ConsumerEnd::failed, at_ms(0));
    CHECK(queue.dying() == 1);
}

TEST_CASE_FIXTURE(Failing, "failure: the first time and the last reason stay, in any order") {
    for (const bool forward : {true, false}) {
        EngineFixture fresh;
        QueueDefinition definition;
        definition.name = "q";
        auto command = fresh.engine.admit_create(std::move(definition));
        fresh.engine.apply(*command);
        Queue& queue = *fresh.engine.find("q");
        fresh.publish(queue, 10);
        const NoteFailure one{queue.id(), range(1, 6), failure(10, 10, "first")};
        const NoteFailure two{queue.id(), range(4, 20), failure(20, 20, "second", true)};
        const NoteFailure three{queue.id(), range(5, 1), failure(30, 30)};
        for (const NoteFailure& command_of :
             forward ? std::vector{one, two, three} : std::vector{three, two, one}) {
            fresh.engine.apply(command_of);
        }
        CHECK(*noted(queue, 3).reason == "first");
        CHECK(*noted(queue, 4).reason == "second");
        CHECK(noted(queue, 4).first == wall(10));
        CHECK(noted(queue, 4).last == wall(20));
        CHECK(noted(queue, 5).last == wall(30));
        CHECK(*noted(queue, 5).reason == "second");
        CHECK(noted(queue, 5).rejected);
        CHECK(noted(queue, 10).first == wall(20));
        CHECK(queue.failures().count() == 10);  // what does not live is not noted
        const MessageRange all = range(1, 10);
        fresh.engine.apply(queue, RemoveMessages{queue.id(), {&all, 1}});
        CHECK(queue.failures().empty());
    }
}

TEST_CASE_FIXTURE(Failing, "failure: a start judges by counts and rejections") {
    Queue& queue = create_limited(3);
    add(queue, 6);
    engine.apply(CountDelivery{queue.id(), range(1, 2), 3});
    engine.apply(CountDelivery{queue.id(), range(3, 2), 2});
    note(queue, range(4, 2), failure(1, 1, "no", true));
    engine.judge_attempts();
    CHECK(queue.dying() == 4);
    LiveRun run;
    REQUIRE(queue.find_in(LiveState::dying, MessageNumber(3), run));
    CHECK(run.range == range(4, 1));
    CHECK_FALSE(queue.find_in(LiveState::dying, MessageNumber(6), run));
    engine.set_aside(queue, range(1, 1));
    CHECK(queue.aside() == 1);
    CHECK(purge(queue) == 6);
    CHECK(queue.live() == 0);
}

}  // namespace mqd::engine::test
