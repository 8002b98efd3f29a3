#include "client/mqctl/queue_plan.hpp"

#include <doctest/doctest.h>

namespace mqd::mqctl {
namespace {

using std::chrono::milliseconds;
using Action = QueueChange::Action;

// A queue as a daemon describes it.
QueueInfo there(const std::string& name, std::uint64_t ready = 0) {
    QueueInfo info;
    info.name = name;
    info.options.durability = Durability::disk;
    info.options.lease = milliseconds(30'000);
    info.options.max_attempts = 16;
    info.options.dead_letter = "";
    info.options.max_messages = 0;
    info.options.max_bytes = 0;
    info.options.on_full = OnFull::reject;
    info.options.retry.emplace();
    info.ready = ready;
    return info;
}

DesiredQueue wanted(const std::string& name, const QueueOptions& options = {}) {
    return {name, options};
}

std::string text_of(const std::vector<DesiredQueue>& desired, const std::vector<QueueInfo>& actual,
                    bool prune = false) {
    const QueuePlan plan = plan_queues(desired, actual, prune);
    CHECK(plan.refusals.empty());
    return plan_text(plan);
}

std::vector<std::string> refusals_of(const DesiredQueue& desired, const QueueInfo& actual) {
    return plan_queues(std::vector{desired}, std::vector{actual}, false).refusals;
}

TEST_CASE("queue plan: what is missing is made, with what the file says") {
    QueueOptions options;
    options.durability = Durability::disk;
    options.lease = milliseconds(30'000);
    CHECK(text_of({wanted("orders", options), wanted("x")}, {}) ==
          "+ orders  disk, lease 30s\n"
          "+ x       as the daemon makes it\n");

    const QueuePlan plan = plan_queues(std::vector{wanted("orders", options)}, {}, true);
    REQUIRE(plan.changes.size() == 1);
    CHECK(plan.changes[0].action == Action::create);
    CHECK(plan.changes[0].options.lease == milliseconds(30'000));
    CHECK_FALSE(plan.changes[0].options.max_messages);
}

TEST_CASE("queue plan: of what is there, only what differs is changed") {
    QueueInfo orders = there("orders");
    orders.options.max_messages = 1000;
    QueueOptions options;
    options.durability = Durability::disk;
    options.lease = milliseconds(60'000);
    options.max_attempts = 16;
    options.max_messages = 5000;
    options.retry = {milliseconds(1000), milliseconds(90'000)};
    CHECK(text_of({wanted("orders", options)}, {orders}) ==
          "~ orders  lease 30s -> 1m, max_messages 1000 -> 5000, retry none -> 1s,90s\n");

    const QueuePlan plan =
        plan_queues(std::vector{wanted("orders", options)}, std::vector{orders}, false);
    REQUIRE(plan.changes.size() == 1);
    const QueueOptions& asked = plan.changes[0].options;
    CHECK(asked.durability == Durability::unspecified);
    CHECK_FALSE(asked.max_attempts);
    CHECK(asked.max_messages == 5000u);
}

TEST_CASE("queue plan: what the file does not say stays, and what is so already is no change") {
    QueueInfo orders = there("orders");
    orders.options.max_messages = 1000;
    orders.options.publishing_paused = true;
    CHECK(text_of({wanted("orders")}, {orders}).empty());
    CHECK(text_of({wanted("orders", orders.options)}, {orders}).empty());
    CHECK(text_of({}, {orders}).empty());
}

TEST_CASE("queue plan: each option is compared and shown") {
    QueueOptions options;
    options.max_attempts = 0;
    options.dead_letter = "failed";
    options.max_messages = 0;
    options.max_bytes = 1536;
    options.on_full = OnFull::reject;
    options.group_rate = Rate{10};
    QueueInfo orders = there("orders");
    orders.options.max_messages = 7;
    orders.options.on_full = OnFull::drop_oldest;
    orders.options.group_rate = Rate{};
    CHECK(text_of({wanted("orders", options)}, {orders}) ==
          "~ orders  max_attempts 16 -> none, dead_letter orders.dead -> failed, "
          "max_messages 7 -> none, max_bytes none -> 1536B, on_full drop-oldest -> reject, "
          "group_rate none -> 10/s\n");
}

TEST_CASE("queue plan: the dead-letter queue that it has anyway may be said or not") {
    QueueOptions said;
    said.dead_letter = "orders.dead";
    QueueInfo orders = there("orders");
    CHECK(text_of({wanted("orders", said)}, {orders}).empty());
    orders.options.dead_letter = "orders.dead";
    said.dead_letter = "";
    CHECK(text_of({wanted("orders", said)}, {orders}).empty());
}

TEST_CASE("queue plan: a durability that differs is refused, by name and both values") {
    QueueOptions options;
    options.durability = Durability::memory;
    options.lease = milliseconds(60'000);
    const auto refusals = refusals_of(wanted("orders", options), there("orders"));
    REQUIRE(refusals.size() == 1);
    CHECK(refusals[0] ==
          "queue \"orders\": its durability is disk and cannot be changed to memory");
}

TEST_CASE("queue plan: drop-oldest and a limit of bytes that the queue has are refused") {
    QueueOptions options;
    options.on_full = OnFull::drop_oldest;
    QueueInfo orders = there("orders");
    orders.options.max_bytes = 1024;
    const auto refusals = refusals_of(wanted("orders", options), orders);
    REQUIRE(refusals.size() == 1);
    CHECK(refusals[0].find("\"orders\": on_full drop-oldest") != std::string::npos);
    CHECK(refusals[0].find("max_bytes, which would be 1KiB") != std::string::npos);
    options.max_bytes = 0;
    CHECK(refusals_of(wanted("orders", options), orders).empty());
}

TEST_CASE("queue plan: queues that are not declared go only when asked for") {
    QueueInfo old = there("old", 12);
    old.leased = 3;
    old.delayed = 1000;
    const std::vector<QueueInfo> actual{there("a"), old, there("older", 1)};
    CHECK(text_of({wanted("a")}, actual).empty());
    CHECK(text_of({wanted("a"), wanted("b")}, actual, true) ==
          "+ b      as the daemon makes it\n"
          "- old    12 messages ready, 3 leased, 1,000 delayed\n"
          "- older  1 message ready\n");
}

TEST_CASE("queue plan: where dead letters of queues that stay go, stays") {
    QueueInfo orders = there("orders");
    orders.options.dead_letter = "graveyard";
    std::vector<QueueInfo> actual{there("a"),           there("a.dead"),         there("failed"),
                                  there("graveyard"),   there("graveyard.dead"), orders,
                                  there("orders.dead"), there("x.dead")};
    // What the daemon has is what counts, where the file does not say.
    CHECK(text_of({wanted("a"), wanted("orders")}, actual, true) ==
          "- failed       0 messages ready\n"
          "- orders.dead  0 messages ready\n"
          "- x.dead       0 messages ready\n");
    // Else what it will be; so a second run has nothing left to do.
    QueueOptions failed;
    failed.dead_letter = "failed";
    CHECK(text_of({wanted("a", failed), wanted("x")}, actual, true) ==
          "~ a               dead_letter a.dead -> failed\n"
          "+ x               as the daemon makes it\n"
          "- a.dead          0 messages ready\n"
          "- graveyard       0 messages ready\n"
          "- graveyard.dead  0 messages ready\n"
          "- orders          0 messages ready\n"
          "- orders.dead     0 messages ready\n");
}

TEST_CASE("queue plan: queues that are each other's dead letters end the search") {
    QueueInfo a = there("a");
    a.options.dead_letter = "b";
    QueueInfo b = there("b");
    b.options.dead_letter = "a";
    CHECK(text_of({wanted("a")}, {a, b}, true).empty());
}

TEST_CASE("queue plan: as JSON, with what came of it") {
    QueueOptions options;
    options.durability = Durability::written;
    options.retry = {milliseconds(1000)};
    options.group_rate = Rate{100, std::chrono::hours(1)};
    QueueOptions more;
    more.lease = milliseconds(60'000);
    more.on_full = OnFull::drop_oldest;
    more.group_rate = Rate{};
    QueueInfo orders = there("orders");
    orders.options.group_rate = Rate{5};
    QueuePlan plan = plan_queues(std::vector{wanted("new", options), wanted("orders", more)},
                                 std::vector{there("old", 12), orders}, true);
    plan.changes[0].outcome = QueueChange::Outcome::done;
    plan.changes[1].outcome = QueueChange::Outcome::unknown;
    CHECK(plan_json(plan) ==
          R"({"action":"create","queue":"new","options":{"durability":"written","retry_ms":[1000],)"
          R"("group_rate":"100/h"},"done":true})"
          "\n"
          R"({"action":"update","queue":"orders","options":{"lease_ms":60000,)"
          R"("on_full":"drop-oldest","group_rate":null},)"
          R"("before":{"lease_ms":30000,"on_full":"reject","group_rate":"5/s"},"done":null})"
          "\n"
          R"({"action":"delete","queue":"old","ready":12,"leased":0,"delayed":0,"done":false})"
          "\n");
}

TEST_CASE("queue plan: what a daemon of an earlier release does not say is unknown") {
    QueueInfo orders = there("orders");
    orders.options.max_messages.reset();
    QueueOptions options;
    options.max_messages = 5;
    CHECK(text_of({wanted("orders", options)}, {orders}) ==
          "~ orders  max_messages unknown -> 5\n");
}

}  // namespace
}  // namespace mqd::mqctl
