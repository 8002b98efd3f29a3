// The rate of groups: how far apart messages of one are delivered, who does not mind, and what is
// kept for it.

#include <doctest/doctest.h>

#include "engine/group_fixture.hpp"

namespace mqd::engine::test {
namespace {

constexpr Rate ten_a_second{10};  // 100 ms from one to the next

struct RatedGroups : GroupFixture {
    Queue& create_rated(Rate rate, std::uint32_t in_flight = 1) {
        Queue& queue = create("q");
        set_rate(queue, rate);
        allow(queue, in_flight);
        return queue;
    }
    [[nodiscard]] std::optional<std::int64_t> next_due_ms() const {
        const auto due = engine.next_due(DueClock::journal);
        return due ? std::optional(*due / 1'000'000) : std::nullopt;
    }
    Numbers woken(std::int64_t now_ms) {
        wake(now_ms);
        return delivered(now_ms);
    }
};

TEST_CASE("rate: the spacing is rounded up, so that nobody is faster") {
    using std::chrono::nanoseconds;
    CHECK(Rate{}.spacing().count() == 0);
    CHECK(Rate{3}.spacing() == nanoseconds(333'333'334));
    CHECK(Rate{1'000'000}.spacing() == std::chrono::microseconds(1));
    CHECK(Rate{60, std::chrono::minutes(1)}.spacing() == std::chrono::seconds(1));
    CHECK(Rate{1, std::chrono::hours(24)}.spacing() == std::chrono::hours(24));
}

TEST_CASE_FIXTURE(RatedGroups, "group rate: messages of one group keep their distance") {
    Queue& queue = create_rated(ten_a_second);
    publish_groups(queue, "aaab-");
    Consumer& consumer = consume(queue);
    CHECK(delivered(7) == Numbers{1, 4, 5});
    CHECK(next_due_ms() == 107);
    ack(consumer, range(1, 1));
    CHECK(delivered(8).empty());
    CHECK(queue.held() == 2);
    CHECK(woken(106).empty());
    CHECK(woken(107) == Numbers{2});
    CHECK(woken(500).empty());  // its rest is over, and it is under way
    ack(consumer, range(2, 1));
    CHECK(delivered(501) == Numbers{3});
    ack(consumer, range(3, 3));
    wake(601);
    CHECK_FALSE(next_due_ms());
}

TEST_CASE_FIXTURE(RatedGroups, "group rate: there is no burst after a long silence") {
    Queue& queue = create_rated(ten_a_second, 10);
    publish_groups(queue, "aaa");
    consume(queue);
    CHECK(delivered(5000) == Numbers{1});
    CHECK(woken(5099).empty());
    CHECK(woken(5100) == Numbers{2});
    CHECK(woken(9000) == Numbers{3});
}

TEST_CASE_FIXTURE(RatedGroups, "group rate: the distance counts, whatever is in flight") {
    Queue& queue = create_rated(ten_a_second, 2);
    publish_groups(queue, "aaaa");
    CHECK(queue.ready() == 2);
    Consumer& consumer = consume(queue);
    CHECK(delivered(0) == Numbers{1});
    CHECK(queue.ready() == 0);  // the second one is held again
    CHECK(woken(100) == Numbers{2});
    CHECK(woken(200).empty());  // two are under way
    ack(consumer, range(1, 1));
    CHECK(delivered(210) == Numbers{3});
    ack(consumer, range(2, 2));
    CHECK(delivered(220).empty());
    CHECK(woken(310) == Numbers{4});
}

TEST_CASE_FIXTURE(RatedGroups, "group rate: groups that rest hold up no other, nor each other") {
    Queue& queue = create_rated(ten_a_second);
    publish_groups(queue, "ab");
    Consumer& consumer = consume(queue);
    CHECK(delivered(0) == Numbers{1, 2});
    ack(consumer, range(1, 2));
    publish_groups(queue, "ab-c");
    CHECK(delivered(50) == Numbers{5, 6});
    CHECK(woken(100) == Numbers{3, 4});
}

TEST_CASE_FIXTURE(RatedGroups, "group rate: what comes back is delivered at once") {
    Queue& queue = create_rated(ten_a_second);
    publish_groups(queue, "aa");
    Consumer& consumer = consume(queue);
    CHECK(delivered(0) == Numbers{1});
    engine.nack(consumer, range(1, 1), at_ms(1), std::nullopt, returned);
    CHECK(delivered(1) == Numbers{1});
    Consumer& other = consume(queue);
    engine.detach(consumer, ConsumerEnd::failed, at_ms(2));
    CHECK(delivered(2) == Numbers{1});
    Consumer& last = consume(queue);
    engine.detach(other, ConsumerEnd::gave_back, at_ms(3));
    CHECK(delivered(3) == Numbers{1});
    engine.nack(last, range(1, 1), at_ms(4), std::chrono::milliseconds(10), returned);
    CHECK(woken(14) == Numbers{1});
    CHECK(next_due_ms() == 100);  // the rest is that of the first delivery
    ack(last, range(1, 1));
    CHECK(woken(99).empty());
    CHECK(woken(100) == Numbers{2});
}

TEST_CASE_FIXTURE(RatedGroups, "group rate: what was given back counts as delivered all the same") {
    Queue& queue = create_rated(ten_a_second);
    publish_groups(queue, "aa");
    Consumer& consumer = consume(queue);
    CHECK(delivered(0) == Numbers{1});
    engine.detach(consumer, ConsumerEnd::gave_back, at_ms(1));
    Consumer& other = consume(queue);
    wake(100);
    CHECK(delivered(150) == Numbers{1});
    CHECK_FALSE(next_due_ms());  // it starts no other rest
    ack(other, range(1, 1));
    CHECK(delivered(151) == Numbers{2});
}

TEST_CASE_FIXTURE(RatedGroups, "group rate: a group without messages is kept while it rests") {
    Queue& queue = create_rated(ten_a_second);
    Consumer& consumer = consume(queue);
    publish_groups(queue, "ab");
    CHECK(delivered(0) == Numbers{1, 2});
    ack(consumer, range(1, 2));
    CHECK(engine.grouped_messages() == 0);
    CHECK(engine.kept_groups() == 2);
    publish_groups(queue, "a");
    CHECK(engine.kept_groups() == 1);
    CHECK(queue.held() == 1);
    CHECK(delivered(99).empty());
    CHECK(woken(100) == Numbers{3});
    CHECK(engine.kept_groups() == 0);
    ack(consumer, range(3, 1));
    CHECK(engine.kept_groups() == 1);
    wake(200);
    CHECK(engine.kept_groups() == 0);
    publish_groups(queue, "ab");
    CHECK(delivered(200) == Numbers{4, 5});
}

TEST_CASE_FIXTURE(RatedGroups,
                  "group rate: so many groups go on in one call, and then the others") {
    Queue& queue = create_rated(ten_a_second);
    Consumer& consumer = consume(queue);
    publish_groups(queue, "abcabc");
    CHECK(delivered(0) == Numbers{1, 2, 3});
    ack(consumer, range(1, 3));
    wake(100, 2);
    CHECK(delivered(100) == Numbers{4, 5});
    CHECK(next_due_ms() == 100);
    wake(100, 2);
    CHECK(delivered(101) == Numbers{6});
    CHECK(next_due_ms() == 200);
}

TEST_CASE_FIXTURE(RatedGroups, "group rate: delays and rests are due on one clock") {
    Queue& queue = create_rated(ten_a_second);
    publish_groups(queue, "a-a");
    engine.apply(DelayMessages{queue.id(), range(2, 1), Due::on(at_ms(60))});
    Consumer& consumer = consume(queue);
    CHECK(delivered(0) == Numbers{1});
    ack(consumer, range(1, 1));
    CHECK(next_due_ms() == 60);
    CHECK(woken(60) == Numbers{2});
    CHECK(next_due_ms() == 100);
    engine.apply(DelayMessages{queue.id(), range(3, 1), Due::on(at_ms(100))});
    wake(100, 1);  // one of the two
    CHECK(next_due_ms() == 100);
    CHECK(woken(100) == Numbers{3});
}

TEST_CASE_FIXTURE(RatedGroups, "group rate: another rate counts at once, for those that rest too") {
    Queue& queue = create_rated(ten_a_second);
    publish_groups(queue, "aaa");
    Consumer& consumer = consume(queue);
    CHECK(delivered(0) == Numbers{1});
    ack(consumer, range(1, 1));
    set_rate(queue, {1, std::chrono::minutes(1)});
    CHECK(woken(100).empty());
    CHECK(next_due_ms() == 60'000);
    set_rate(queue, {20});
    CHECK(next_due_ms() == 50);
    CHECK(woken(101) == Numbers{2});
    CHECK(next_due_ms() == 151);
}

TEST_CASE_FIXTURE(RatedGroups, "group rate: without one, those that rest go on") {
    Queue& queue = create_rated({1, std::chrono::hours(24)}, 2);
    publish_groups(queue, "aaab");
    Consumer& consumer = consume(queue);
    CHECK(delivered(0) == Numbers{1, 4});
    ack(consumer, range(4, 1));
    CHECK(engine.kept_groups() == 1);
    set_rate(queue, {});
    CHECK(woken(1) == Numbers{2});
    CHECK(engine.kept_groups() == 0);
    CHECK_FALSE(next_due_ms());
    ack(consumer, range(1, 2));
    CHECK(delivered(1) == Numbers{3});
    CHECK_FALSE(next_due_ms());
}

TEST_CASE_FIXTURE(RatedGroups, "group rate: one that is set later counts from the next one on") {
    Queue& queue = create("q");
    publish_groups(queue, "aaa");
    Consumer& consumer = consume(queue);
    CHECK(delivered(0) == Numbers{1});
    set_rate(queue, ten_a_second);
    ack(consumer, range(1, 1));
    CHECK(delivered(1) == Numbers{2});
    ack(consumer, range(2, 1));
    CHECK(delivered(2).empty());
    CHECK(woken(101) == Numbers{3});
}

TEST_CASE_FIXTURE(RatedGroups, "group rate: a purge does not end the rest") {
    Queue& queue = create_rated(ten_a_second);
    publish_groups(queue, "aaa");
    Consumer& consumer = consume(queue);
    CHECK(delivered(0) == Numbers{1});
    ack(consumer, range(1, 1));
    CHECK(purge(queue) == 2);
    CHECK(engine.kept_groups() == 1);
    publish_groups(queue, "a");
    CHECK(delivered(50).empty());
    CHECK(woken(100) == Numbers{4});
}

TEST_CASE_FIXTURE(RatedGroups, "group rate: a queue that is deleted leaves nothing to wake") {
    Queue& queue = create_rated(ten_a_second);
    publish_groups(queue, "ab");
    Consumer& consumer = consume(queue);
    CHECK(delivered(0) == Numbers{1, 2});
    ack(consumer, range(1, 1));
    CHECK(engine.kept_groups() == 1);
    destroy(queue);
    CHECK(engine.kept_groups() == 0);
    CHECK_FALSE(next_due_ms());
    wake(1000);
}

TEST_CASE_FIXTURE(RatedGroups, "group rate: whose turn ends before it comes passes it on") {
    Queue& queue = create_rated(ten_a_second, 2);
    publish_groups(queue, "aaaa");
    Consumer& consumer = consume(queue, 1);
    CHECK(delivered(0) == Numbers{1});
    wake(100);
    CHECK(queue.ready() == 1);
    std::vector<MessageRange> decided;
    engine.admit_end(queue, range(2, 1), decided);
    engine.apply(queue, RemoveMessages{queue.id(), decided});
    engine.apply(DelayMessages{queue.id(), range(3, 1), Due::on(at_ms(900))});
    engine.grant(consumer, no_limit, no_limit);
    CHECK(delivered(120) == Numbers{4});
    CHECK(next_due_ms() == 220);
}

TEST_CASE_FIXTURE(RatedGroups, "group rate: who was not met while it rested overtakes nobody") {
    Queue& queue = create_rated(ten_a_second, 3);
    publish_groups(queue, "aa-aa");
    Consumer& consumer = consume(queue, 2);
    CHECK(delivered(0) == Numbers{1, 3});  // 2 is held again, and 4 keeps its slot
    CHECK(queue.ready_in(range(4, 1)) == 1);
    publish_groups(queue, "a");
    engine.grant(consumer, no_limit, no_limit);
    wake(100);
    CHECK(delivered(100) == Numbers{2});
    CHECK(woken(200) == Numbers{4});
    CHECK(woken(300).empty());  // three are under way
    ack(consumer, range(1, 1));
    CHECK(delivered(300) == Numbers{5});
    ack(consumer, range(2, 3));
    CHECK(woken(400) == Numbers{6});
}

TEST_CASE_FIXTURE(RatedGroups, "group rate: what lies on the disk is waited for, and not skipped") {
    Queue& queue = create_rated(ten_a_second, 2);
    const AddMessages command = engine.admit_add(queue, 3);
    engine.apply(queue, command, members_of(MessageNumber(1), "aab"));
    announce(queue, range(1, 2));
    consume(queue);
    CHECK(delivered(0) == Numbers{1});  // 2 is held again, and 3 is not there
    CHECK(engine.starved().size() == 1);
    announce(queue, range(3, 1));
    CHECK(delivered(0) == Numbers{3});
    CHECK(engine.starved().empty());
    CHECK(woken(100) == Numbers{2});
    CHECK(engine.starved().empty());
}

TEST_CASE_FIXTURE(RatedGroups, "group rate: several that one takes at once are met one by one") {
    Queue& queue = create_rated(ten_a_second, 3);
    publish_groups(queue, "aa-bb-aa");
    consume(queue);
    CHECK(delivered(0) == Numbers{1, 3, 4, 6});
    CHECK(queue.held() == 4);
    CHECK(woken(100) == Numbers{2, 5});
    CHECK(woken(200) == Numbers{7});
}

TEST_CASE_FIXTURE(RatedGroups, "group rate: a queue without one keeps nothing of its groups") {
    Queue& queue = create("q");
    publish_groups(queue, "aab");
    Consumer& consumer = consume(queue);
    CHECK(delivered(0) == Numbers{1, 3});
    ack(consumer, range(1, 3));
    CHECK(delivered(0) == Numbers{2});
    CHECK(queue.groups()->rests() == 0);
    CHECK_FALSE(next_due_ms());
}

}  // namespace
}  // namespace mqd::engine::test
