// The oldest of a full queue make room: they are dying, with a mark that says why.

#include <doctest/doctest.h>

#include "engine/engine_fixture.hpp"

namespace mqd::engine::test {

TEST_CASE_FIXTURE(EngineFixture, "overflow: the oldest are dying, and marked as long as they are") {
    Queue& queue = create("q");
    publish(queue, 5);
    engine.admit_overflow(queue, 2);
    CHECK(queue.ready() == 3);
    CHECK(queue.dying() == 2);
    CHECK(queue.overflowed() == 2);
    CHECK(queue.has_overflowed(MessageNumber(2)));
    CHECK_FALSE(queue.has_overflowed(MessageNumber(3)));
    engine.admit_move(queue, {MessageNumber(1), 1});
    CHECK(queue.overflowed() == 1);
    std::vector<MessageRange> decided;
    engine.admit_end(queue, {MessageNumber(1), 3}, decided);
    CHECK(queue.overflowed() == 0);
    CHECK(queue.dying() == 0);
    CHECK(queue.ready() == 2);
}

TEST_CASE_FIXTURE(EngineFixture, "overflow: what is purged or revived is marked no more") {
    Queue& queue = create("q");
    publish(queue, 3);
    engine.admit_overflow(queue, 1);
    engine.revive(queue);
    CHECK(queue.overflowed() == 0);
    CHECK(queue.ready() == 3);
    engine.admit_overflow(queue, 3);
    std::vector<MessageRange> decided;
    engine.admit_purge(queue, decided);
    CHECK(queue.overflowed() == 0);
    CHECK(queue.ending() == 3);
}

}  // namespace mqd::engine::test
