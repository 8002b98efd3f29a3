// Messages that wait for a time: the table of times against the obvious model, and what the engine
// makes of it.

#include <doctest/doctest.h>

#include <map>
#include <vector>

#include "engine/engine_fixture.hpp"
#include "support/dice.hpp"

namespace mqd::engine::test {
namespace {

Due journal_ms(std::int64_t ms) {
    return Due::on(at_ms(ms));
}
Due wall_ms(std::int64_t ms) {
    return Due::on(WallTime(std::chrono::milliseconds(ms)));
}
Clocks clocks_ms(std::int64_t journal, std::int64_t wall = 0) {
    return {at_ms(journal), WallTime(std::chrono::milliseconds(wall))};
}

// One entry per message.
using Model = std::map<MessageNumber, Due>;

void check_same(const DelayTable& table, const Model& model) {
    Model found;
    DelayTable::Run run;
    for (MessageNumber at(0); table.find_from(at, run);) {
        for (auto n = run.range.first; n < run.range.end(); n = n.plus(1)) {
            REQUIRE(found.emplace(n, run.due).second);
        }
        at = run.range.end();
    }
    REQUIRE(found == model);
    REQUIRE(table.empty() == model.empty());
    for (const DueClock clock : {DueClock::journal, DueClock::wall}) {
        std::optional<std::int64_t> earliest;
        for (const auto& [number, due] : model) {
            if (due.clock == clock) {
                earliest = std::min(earliest.value_or(due.at), due.at);
            }
        }
        REQUIRE(table.earliest(clock) == earliest);
    }
}

Due some_due(mqd::test::Dice& dice) {
    const auto ms = static_cast<std::int64_t>(dice.below(50));
    return dice.one_in(3) ? wall_ms(ms) : journal_ms(ms);
}

void random_step(DelayTable& table, Model& model, mqd::test::Dice& dice) {
    const MessageRange what = range(dice.between(1, 900), dice.between(1, 12));
    switch (dice.below(4)) {
        case 0: {
            const auto clock = dice.one_in(2) ? DueClock::journal : DueClock::wall;
            const std::int64_t now = (clock == DueClock::journal ? journal_ms(10) : wall_ms(10)).at;
            const auto earliest = table.earliest(clock);
            MessageRange due;
            if (table.take_due(clock, now, due)) {
                REQUIRE(*earliest <= now);
                for (auto n = due.first; n < due.end(); n = n.plus(1)) {
                    REQUIRE(model.at(n) == Due{clock, *earliest});
                    model.erase(n);
                }
            } else {
                REQUIRE((!earliest || *earliest > now));
            }
            break;
        }
        case 1: {
            const MessageRange gone{what.first, dice.one_in(20) ? 300 : what.count};
            table.erase(gone);
            model.erase(model.lower_bound(gone.first), model.lower_bound(gone.end()));
            break;
        }
        default: {
            const Due due = some_due(dice);
            table.erase(what);
            table.insert(what, due);
            for (auto n = what.first; n < what.end(); n = n.plus(1)) {
                model[n] = due;
            }
        }
    }
}

TEST_CASE("delay table: random changes, against one entry per message") {
    const std::uint64_t seed = mqd::test::Dice::new_seed();
    CAPTURE(seed);
    mqd::test::Dice dice(seed);
    for (int round = 0; round < 20; ++round) {
        DelayTable table;
        Model model;
        for (int i = 0; i < 400; ++i) {
            random_step(table, model, dice);
            if (i % 20 == 0) {
                check_same(table, model);
            }
        }
        table.erase(range(0, 10'000));
        CHECK(table.empty());
        CHECK(table.runs() == 0);
    }
}

TEST_CASE("delay table: a message with a time of its own costs at most 64 bytes") {
    const std::uint64_t seed = mqd::test::Dice::new_seed();
    CAPTURE(seed);
    mqd::test::Dice dice(seed);
    DelayTable table;
    constexpr std::uint64_t count = 200'000;
    for (std::uint64_t i = 1; i <= count; ++i) {
        table.insert(range(i, 1), Due{DueClock::journal, static_cast<std::int64_t>(dice.next())});
    }
    CHECK(table.runs() == count);
    CHECK(table.memory_bytes() <= 64 * count);
}

TEST_CASE("delay table: very many are erased in one pass, but for what reaches out of it") {
    // The range ends within a run, at the end of all, between two, and behind all.
    for (const std::uint64_t end : {1'005u, 1'010u, 900u, 5'000u}) {
        CAPTURE(end);
        DelayTable table;
        Model model;
        const auto insert = [&](MessageRange what, Due due) {
            table.insert(what, due);
            for (auto n = what.first; n < what.end(); n = n.plus(1)) {
                model[n] = due;
            }
        };
        insert(range(1, 50), journal_ms(7));
        for (std::uint64_t i = 51; i <= 1'000; ++i) {
            const auto ms = static_cast<std::int64_t>(i * 7919 % 1000);
            insert(range(i, 1), i % 3 == 0 ? wall_ms(ms) : journal_ms(ms));
        }
        insert(range(1'001, 9), journal_ms(3));
        const MessageRange gone = range(20, end - 20);  // from within a run
        table.erase(gone);
        model.erase(model.lower_bound(gone.first), model.lower_bound(gone.end()));
        check_same(table, model);
    }
}

TEST_CASE("delay table: neighbours of one time are one run") {
    DelayTable table;
    table.insert(range(1, 10), journal_ms(5));
    table.insert(range(11, 10), journal_ms(5));
    CHECK(table.runs() == 1);
    table.insert(range(21, 10), journal_ms(6));
    table.insert(range(31, 10), Due{DueClock::wall, journal_ms(6).at});
    CHECK(table.runs() == 3);
    // More than a run can say.
    table.insert({MessageNumber(100), std::uint64_t{UINT32_MAX} + 5}, journal_ms(7));
    CHECK(table.runs() == 5);
    // Nor does a full run take its neighbour in.
    const MessageNumber last(100 + std::uint64_t{UINT32_MAX} - 1);
    table.erase({last.plus(1), 5});
    table.insert({last.plus(1), 1}, journal_ms(7));
    CHECK(table.runs() == 5);
}

TEST_CASE_FIXTURE(EngineFixture,
                  "engine: a delayed message is delivered at its time, in its place") {
    Queue& queue = create("q");
    publish(queue, 4);
    engine.apply(DelayMessages{queue.id(), range(2, 2), journal_ms(100)});
    Consumer& consumer = consume(queue);
    CHECK(ranges_of(dispatch(), consumer) == std::vector{range(1, 1), range(4, 1)});
    CHECK(queue.delayed() == 2);
    CHECK(engine.next_due(DueClock::journal) == journal_ms(100).at);
    publish(queue, 1);
    engine.wake_due(clocks_ms(99), 10);
    CHECK(queue.delayed() == 2);
    engine.wake_due(clocks_ms(100), 10);
    CHECK(queue.delayed() == 0);
    CHECK_FALSE(engine.next_due(DueClock::journal));
    CHECK(ranges_of(dispatch(), consumer) == std::vector{range(2, 2), range(5, 1)});
}

TEST_CASE_FIXTURE(EngineFixture, "engine: a wall-clock time follows the wall clock") {
    Queue& queue = create("q");
    publish(queue, 2);
    engine.apply(DelayMessages{queue.id(), range(1, 1), wall_ms(1'000)});
    engine.wake_due(clocks_ms(10'000, 999), 10);
    CHECK(queue.delayed() == 1);
    engine.wake_due(clocks_ms(10'001, 500), 10);  // it was set back
    CHECK(queue.delayed() == 1);
    engine.wake_due(clocks_ms(10'002, 5'000), 10);  // and far ahead
    CHECK(queue.delayed() == 0);
}

TEST_CASE_FIXTURE(EngineFixture, "engine: what is due is woken in bounded steps") {
    Queue& first = create("first");
    Queue& second = create("second");
    for (Queue* queue : {&first, &second}) {
        publish(*queue, 3);
        for (std::uint64_t i = 1; i <= 3; ++i) {
            engine.apply(DelayMessages{queue->id(), range(i, 1),
                                       journal_ms(static_cast<std::int64_t>(10 - i))});
        }
    }
    engine.wake_due(clocks_ms(50), 4);
    CHECK(first.delayed() + second.delayed() == 2);
    CHECK(engine.next_due(DueClock::journal).has_value());
    engine.wake_due(clocks_ms(50), 4);
    CHECK(first.delayed() + second.delayed() == 0);
}

TEST_CASE_FIXTURE(EngineFixture, "engine: a failure delays as the consumer says, or the queue") {
    QueueDefinition definition;
    definition.name = "q";
    definition.durability = Durability::disk;
    definition.max_attempts = 4;
    definition.retry = {std::chrono::milliseconds(100), std::chrono::milliseconds(1000)};
    engine.apply(*engine.admit_create(std::move(definition)));
    Queue& queue = *engine.find("q");
    publish(queue, 1);
    Consumer& consumer = consume(queue);
    const auto fail = [&](std::int64_t now, std::optional<std::chrono::milliseconds> delay) {
        REQUIRE(count_of(dispatch(now), consumer) == 1);
        (void)engine.nack(consumer, range(1, 1), at_ms(now), delay, returned);
    };
    fail(0, {});
    CHECK(engine.next_due(DueClock::journal) == journal_ms(100).at);
    REQUIRE(engine.delayed().size() == 1);
    CHECK(engine.delayed().front().due == journal_ms(100));
    engine.wake_due(clocks_ms(100), 1);
    fail(100, {});  // the second failure, and every later one
    CHECK(engine.next_due(DueClock::journal) == journal_ms(1100).at);
    engine.wake_due(clocks_ms(1100), 1);
    fail(1100, std::chrono::milliseconds(7));  // the consumer knows better
    CHECK(engine.next_due(DueClock::journal) == journal_ms(1107).at);
    engine.wake_due(clocks_ms(1107), 1);
    fail(1107, {});
    CHECK(queue.dying() == 1);  // the last attempt
    CHECK(queue.delayed() == 0);
    CHECK(engine.delayed().size() == 3);
}

TEST_CASE_FIXTURE(EngineFixture, "engine: at once is at once, whatever the schedule says") {
    QueueDefinition definition;
    definition.name = "q";
    definition.durability = Durability::memory;
    definition.retry = {std::chrono::milliseconds(100)};
    engine.apply(*engine.admit_create(std::move(definition)));
    Queue& queue = *engine.find("q");
    publish(queue, 3);
    Consumer& consumer = consume(queue, 3);
    CHECK(count_of(dispatch(), consumer) == 3);
    (void)engine.nack(consumer, range(1, 1), at_ms(0), std::chrono::milliseconds(0), returned);
    CHECK(queue.ready() == 1);
    (void)expire(1'100);  // the lease of the others ran out: that is a failure
    CHECK(queue.delayed() == 2);
    CHECK(engine.next_due(DueClock::journal) == journal_ms(1'200).at);
    // One that is given back has not failed.
    Consumer& other = consume(queue, 1);
    CHECK(count_of(dispatch(1'100), other) == 1);
    engine.detach(other, ConsumerEnd::gave_back, at_ms(1'100));
    CHECK(queue.ready() == 1);
    CHECK(queue.delayed() == 2);
}

TEST_CASE_FIXTURE(EngineFixture, "engine: a purge, and the end of its queue, end what is delayed") {
    Queue& queue = create("q");
    publish(queue, 5);
    engine.apply(DelayMessages{queue.id(), range(1, 3), journal_ms(10)});
    CHECK(queue.live() == 5);
    CHECK(purge(queue) == 5);
    CHECK_FALSE(engine.next_due(DueClock::journal));
    publish(queue, 5);
    engine.apply(DelayMessages{queue.id(), range(6, 3), wall_ms(10)});
    destroy(queue);
    CHECK_FALSE(engine.next_due(DueClock::wall));
    engine.wake_due(clocks_ms(50, 50), 10);
}

TEST_CASE_FIXTURE(EngineFixture,
                  "engine: at a start, what waits and has failed too often is dying") {
    QueueDefinition definition;
    definition.name = "q";
    definition.durability = Durability::disk;
    definition.max_attempts = 2;
    engine.apply(*engine.admit_create(std::move(definition)));
    Queue& queue = *engine.find("q");
    publish(queue, 3);
    engine.apply(CountDelivery{queue.id(), range(1, 1), 2});
    engine.apply(DelayMessages{queue.id(), range(1, 3), journal_ms(10)});
    Failure rejected;
    rejected.rejected = true;
    engine.apply(NoteFailure{queue.id(), range(2, 1), rejected});
    engine.judge_attempts();
    CHECK(queue.dying() == 2);
    CHECK(queue.delayed() == 1);
    CHECK(engine.delay_runs() == 1);
}

TEST_CASE_FIXTURE(EngineFixture, "engine: looked at, what is delayed comes piece by piece") {
    Queue& queue = create("q");
    publish(queue, 6);
    engine.apply(DelayMessages{queue.id(), range(2, 2), journal_ms(10)});
    engine.apply(DelayMessages{queue.id(), range(4, 1), journal_ms(20)});
    std::vector<std::pair<MessageRange, LiveState>> pieces;
    (void)queue.peek(MessageNumber(1),
                     [&](const Extent&, MessageRange piece, std::uint32_t, LiveState state) {
                         pieces.emplace_back(piece, state);
                         return true;
                     });
    CHECK(pieces ==
          std::vector<std::pair<MessageRange, LiveState>>{{range(1, 1), LiveState::ready},
                                                          {range(2, 2), LiveState::delayed},
                                                          {range(4, 1), LiveState::delayed},
                                                          {range(5, 2), LiveState::ready}});
    CHECK(queue.delay_of(MessageNumber(3)).due == journal_ms(10));
    CHECK(engine.delay_runs() == 2);
}

TEST_CASE_FIXTURE(EngineFixture, "engine: what waits can be ended one by one") {
    Queue& queue = create("q");
    publish(queue, 6);
    engine.apply(DelayMessages{queue.id(), range(2, 2), journal_ms(10)});
    Consumer& consumer = consume(queue, 1);
    REQUIRE(ranges_of(dispatch(), consumer) == std::vector{range(1, 1)});
    std::vector<MessageRange> decided;
    engine.admit_end(queue, range(1, 2), decided);
    engine.admit_end(queue, range(5, 1), decided);
    CHECK(decided == std::vector{range(2, 1), range(5, 1)});  // what is leased stays
    engine.apply(queue, RemoveMessages{queue.id(), decided});
    CHECK(queue.live() == 4);
    CHECK(queue.delayed() == 1);
}

// A checkpoint may be all that is left of it, if the record of its end is lost with the power.
TEST_CASE_FIXTURE(EngineFixture,
                  "engine: what was delayed keeps its time until its end is applied") {
    Queue& queue = create("q");
    publish(queue, 5);
    engine.apply(DelayMessages{queue.id(), range(1, 4), journal_ms(10)});
    std::vector<MessageRange> decided;
    engine.admit_end(queue, range(1, 1), decided);
    CHECK(queue.delayed() == 3);
    DelayTable::Run run;
    REQUIRE(queue.delays()->find_from(MessageNumber(1), run));
    CHECK(run.range == range(1, 4));
    engine.apply(queue, RemoveMessages{queue.id(), decided});
    REQUIRE(queue.delays()->find_from(MessageNumber(1), run));
    CHECK(run.range == range(2, 3));

    decided.clear();
    engine.admit_purge(queue, decided);
    REQUIRE(queue.delays()->find_from(MessageNumber(1), run));
    CHECK(run.range == range(2, 3));
    SUBCASE("it is applied in time") {
        engine.apply(queue, RemoveMessages{queue.id(), decided});
        CHECK_FALSE(engine.next_due(DueClock::journal));
        CHECK(engine.delay_runs() == 0);
    }
    SUBCASE("its time comes before") {
        engine.wake_due(clocks_ms(10), 10);
        CHECK(queue.ready() == 0);
        CHECK(engine.delay_runs() == 0);
        engine.apply(queue, RemoveMessages{queue.id(), decided});
    }
    SUBCASE("it is given up") {
        for (const MessageRange& some : decided) {
            engine.give_up_ending(queue, some);
        }
        CHECK(engine.delay_runs() == 0);
        CHECK(queue.dying() == 4);
        return;
    }
    CHECK(queue.live() == 0);
}

TEST_CASE_FIXTURE(EngineFixture, "engine: in a replay, a delivery and an end undo a delay") {
    Queue& queue = create("q", Durability::disk);
    publish(queue, 4);
    engine.apply(DelayMessages{queue.id(), range(1, 4), journal_ms(10)});
    CHECK(queue.waiting_in(range(1, 4)) == 4);
    engine.apply(CountDelivery{queue.id(), range(2, 1), 1});
    CHECK(queue.ready() == 1);
    const MessageRange ended = range(3, 1);
    engine.apply(queue, RemoveMessages{queue.id(), {&ended, 1}});
    CHECK(queue.delayed() == 2);
    CHECK(queue.waiting_in(range(1, 4)) == 3);
    engine.apply(DelayMessages{queue.id(), range(1, 4), journal_ms(20)});
    CHECK(queue.delayed() == 3);
    CHECK(engine.next_due(DueClock::journal) == journal_ms(20).at);
}

}  // namespace
}  // namespace mqd::engine::test
