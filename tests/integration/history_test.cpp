// The judge of the kill test, judged: every fault that it shall find is put before it.

#include "integration/history.hpp"

#include <doctest/doctest.h>

#include <string>

namespace mqd::test {

namespace {

constexpr std::uint64_t filler = 64;
constexpr SessionKey first_session{1, 1};
constexpr SessionKey second_session{1, 2};
constexpr SessionKey later_run{2, 3};

MessageKey key(std::uint64_t number) {
    return {"orders", 3, number};
}

// Message `serial` of producer 1, published and confirmed under that number.
void publish(History& history, std::uint64_t serial, std::uint64_t number) {
    history.published(1, serial);
    history.confirmed(1, serial, key(number));
}

void deliver(History& history, const SessionKey& session, std::uint64_t serial,
             std::uint64_t number, std::uint32_t attempt = 1) {
    history.delivered(session, key(number), attempt, make_body(1, serial, filler));
}

void expect_violation(History& history, const std::string& word) {
    history.finish();
    const auto found = history.violations();
    REQUIRE(!found.empty());
    INFO(found[0]);
    CHECK(found[0].find(word) != std::string::npos);
}

void expect_peace(History& history) {
    history.finish();
    CHECK(history.violations() == std::vector<std::string>{});
}

}  // namespace

TEST_CASE("history: a life without faults is no violation") {
    History history(filler);
    publish(history, 1, 10);
    publish(history, 2, 11);
    deliver(history, first_session, 1, 10);
    deliver(history, first_session, 2, 11);
    history.ack_confirmed(first_session, key(10));
    history.nacking(first_session, key(11));
    deliver(history, second_session, 2, 11, 2);
    expect_peace(history);
}

TEST_CASE("history: a confirmed message that never comes is lost") {
    History history(filler);
    publish(history, 1, 10);
    expect_violation(history, "lost");
}

TEST_CASE("history: a message without an answer may come or not") {
    History history(filler);
    history.published(1, 1);
    history.published(1, 2);
    deliver(history, first_session, 2, 10);
    expect_peace(history);
}

TEST_CASE("history: what nobody published must not come") {
    History history(filler);
    deliver(history, first_session, 1, 10);
    expect_violation(history, "never published");
}

TEST_CASE("history: a changed body is found") {
    History history(filler);
    publish(history, 1, 10);
    std::string body = make_body(1, 1, filler);
    body += 'x';
    history.delivered(first_session, key(10), 1, body);
    expect_violation(history, "wrong body");
}

TEST_CASE("history: a refused message must not come") {
    History history(filler);
    history.published(1, 1);
    history.refused(1, 1);
    deliver(history, first_session, 1, 10);
    expect_violation(history, "refused, but delivered");
}

TEST_CASE("history: a message delivered and refused afterwards is found") {
    History history(filler);
    history.published(1, 1);
    deliver(history, first_session, 1, 10);
    history.refused(1, 1);
    expect_violation(history, "refused, but delivered");
}

TEST_CASE("history: an id has one message") {
    History history(filler);
    publish(history, 1, 10);
    history.published(1, 2);
    deliver(history, first_session, 2, 10);
    expect_violation(history, "was given to");
}

TEST_CASE("history: a message has one id") {
    History history(filler);
    publish(history, 1, 10);
    deliver(history, first_session, 1, 11);
    expect_violation(history, "two ids");
}

TEST_CASE("history: numbers follow the order of the producer") {
    History history(filler);
    publish(history, 1, 11);
    publish(history, 2, 10);
    expect_violation(history, "out of order");
}

TEST_CASE("history: first deliveries follow the numbers") {
    History history(filler);
    publish(history, 1, 10);
    publish(history, 2, 11);
    deliver(history, first_session, 2, 11);
    deliver(history, first_session, 1, 10);
    expect_violation(history, "first deliveries out of order");
}

TEST_CASE("history: a confirmed ack is the end of a message") {
    History history(filler);
    publish(history, 1, 10);
    deliver(history, first_session, 1, 10);
    history.ack_confirmed(first_session, key(10));
    history.ending(first_session);
    deliver(history, later_run, 1, 10, 2);
    expect_violation(history, "after its ack");
}

TEST_CASE("history: what a killed daemon left in a socket may be read late") {
    History history(filler);
    publish(history, 1, 10);
    deliver(history, later_run, 1, 10, 2);
    history.ack_confirmed(later_run, key(10));
    deliver(history, first_session, 1, 10);
    expect_peace(history);
}

TEST_CASE("history: a confirmed ack that is read late is the end of a message too") {
    History history(filler);
    publish(history, 1, 10);
    deliver(history, first_session, 1, 10);
    deliver(history, later_run, 1, 10, 2);
    history.ack_confirmed(first_session, key(10));
    expect_violation(history, "a later run delivered it");
}

TEST_CASE("history: two consumers must not have one message") {
    History history(filler);
    publish(history, 1, 10);
    deliver(history, first_session, 1, 10);
    deliver(history, second_session, 1, 10, 2);
    expect_violation(history, "another consumer has it");
}

TEST_CASE("history: what an ended consumer had may come again") {
    History history(filler);
    publish(history, 1, 10);
    deliver(history, first_session, 1, 10);
    history.ending(first_session);
    deliver(history, second_session, 1, 10, 2);
    expect_peace(history);
}

TEST_CASE("history: a line is answered once") {
    History history(filler);
    publish(history, 1, 10);
    history.refused(1, 1);
    deliver(history, first_session, 1, 10);
    expect_violation(history, "answered twice");
}

}  // namespace mqd::test
