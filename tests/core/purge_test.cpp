// Purges that can be undone: what the administrator asks for, whatever happens to the daemon, its
// disk and its room meanwhile.

#include "core/core_fixture.hpp"
#include "daemon/core/check_store.hpp"
#include "support/canonical_state.hpp"

namespace mqd::core::test {

namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using Bodies = std::vector<std::string>;

MessageRange range(std::uint64_t first, std::uint64_t count) {
    return {MessageNumber(first), count};
}

class Purge : public CoreFixture {
  protected:
    Purge() { options.queue_defaults.undo_time = minutes(10); }

    void fill(std::string_view name, const Bodies& bodies, Durability durability) {
        create(name, durability);
        publish(name, bodies);
    }
    void publish(std::string_view name, const Bodies& bodies) {
        WireClient& client = connect();
        (void)client.open_producer(name);
        client.publish(1, bodies);
        daemon.settle_for(std::chrono::milliseconds(50));
        (void)client.await<wire::Confirm>();
        clients.pop_back();
    }
    template <typename Frame>
    wire::Done ask(const Frame& frame) {
        WireClient& client = connect();
        client.send(frame, 0, 3);
        daemon.settle();
        const auto done = client.await<wire::Done>();
        clients.pop_back();
        return done;
    }
    wire::Done purge(std::string_view name, bool for_good = false) {
        return ask(wire::QueuePurge{name, for_good});
    }
    std::uint64_t undo(std::string_view name) { return ask(wire::QueueUndo{name}).count; }
    wire::QueueInfo info(std::string_view name) {
        WireClient& client = connect();
        client.ask(wire::FrameType::queue_show, name);
        info_ = client.await<wire::QueueInfo>();
        info_.queue = {};
        clients.pop_back();
        return info_;
    }
    // What is delivered now to a consumer that leaves with it.
    Bodies ready_in(std::string_view name) {
        WireClient& client = connect();
        (void)client.open_consumer(name);
        daemon.settle();
        Bodies bodies;
        for (const Received& frame : client.take()) {
            if (frame.header.type == wire::FrameType::deliver) {
                const auto some = bodies_of(frame.as<wire::Deliver>());
                bodies.insert(bodies.end(), some.begin(), some.end());
            }
        }
        client.send(wire::CloseHandle{}, 2);
        clients.pop_back();
        daemon.settle();
        return bodies;
    }
    [[nodiscard]] mqd::test::CanonicalState state() {
        return mqd::test::canonical_state(daemon.core().engine(), {daemon.now(), daemon.wall()});
    }

    wire::QueueInfo info_;
};

}  // namespace

TEST_CASE_FIXTURE(Purge, "purge: it can be undone, in memory and on the disk") {
    start();
    for (const Durability durability :
         {Durability::memory, Durability::written, Durability::disk}) {
        const std::string name = "q" + std::to_string(static_cast<int>(durability));
        CAPTURE(name);
        fill(name, {"a", "b", "c"}, durability);
        const wire::Done purged = purge(name);
        CHECK(purged.count == 3);
        CHECK(purged.kept == 3);
        CHECK(ready_in(name).empty());
        CHECK(info(name).ready == 0);
        CHECK(info(name).purged == 3);
        CHECK(info(name).undo_until > daemon.wall() + minutes(10) - seconds(1));
        CHECK(info(name).undo_until <= daemon.wall() + minutes(10) + seconds(1));
        publish(name, {"d"});
        CHECK(undo(name) == 3);
        CHECK(info(name).purged == 0);
        CHECK(info(name).undo_until == WallTime{});
        CHECK(ready_in(name) == Bodies{"a", "b", "c", "d"});
        CHECK(undo(name) == 0);
    }
}

TEST_CASE_FIXTURE(
    Purge, "purge: what is purged survives a stop, a kill and a power loss, and so does its undo") {
    start();
    fill("q", {"a", "b", "c", "d"}, Durability::disk);
    const MessageRange some = range(2, 2);
    CHECK(ask(wire::MessagesDeleteRequest{"q", queue("q").id(), {&some, 1}}).kept == 2);
    CHECK(ready_in("q") == Bodies{"a", "d"});
    for (const int end : {0, 1, 2}) {
        CAPTURE(end);
        daemon.settle_for(seconds(1));
        const auto before = state();
        end == 0 ? stop() : end == 1 ? kill() : lose_power();
        start();
        CHECK(state() == before);
        CHECK(info("q").purged == 2);
        CHECK(ready_in("q") == Bodies{"a", "d"});
    }
    CHECK(undo("q") == 2);
    lose_power();
    start();
    CHECK(ready_in("q") == Bodies{"a", "b", "c", "d"});
}

TEST_CASE_FIXTURE(Purge, "purge: it ends when its time is over, and the room is free") {
    start();
    fill("q", {"a", "b"}, Durability::disk);
    CHECK(purge("q").kept == 2);
    daemon.settle_for(minutes(10) - seconds(1));
    CHECK(queue("q").purged() == 2);
    daemon.settle_for(seconds(3));
    CHECK(queue("q").live() == 0);
    CHECK(undo("q") == 0);
    CHECK(daemon.core().journal().figures().booked_bytes == 0);
    lose_power();
    start();
    CHECK(queue("q").live() == 0);
}

TEST_CASE_FIXTURE(Purge, "purge: its time goes on while the daemon does not run") {
    start();
    fill("q", {"a"}, Durability::disk);
    CHECK(purge("q").kept == 1);
    kill();
    daemon.pass(minutes(11));
    start();
    daemon.settle_for(seconds(1));
    CHECK(queue("q").live() == 0);
}

TEST_CASE_FIXTURE(Purge, "purge: for good, also of what was kept before") {
    start();
    fill("q", {"a", "b", "c"}, Durability::disk);
    const MessageRange first = range(1, 1);
    CHECK(ask(wire::MessagesDeleteRequest{"q", queue("q").id(), {&first, 1}}).kept == 1);
    const MessageRange second = range(2, 1);
    const wire::Done deleted =
        ask(wire::MessagesDeleteRequest{"q", queue("q").id(), {&second, 1}, true});
    CHECK(deleted.count == 1);
    CHECK(deleted.kept == 0);
    const wire::Done purged = purge("q", true);
    CHECK(purged.count == 2);
    CHECK(purged.kept == 0);
    CHECK(queue("q").live() == 0);
    CHECK(undo("q") == 0);
}

TEST_CASE_FIXTURE(Purge,
                  "purge: a queue that keeps nothing, and one that is told to from then on") {
    options.queue_defaults.undo_time = {};
    start();
    fill("q", {"a"}, Durability::disk);
    CHECK(purge("q").kept == 0);
    WireClient& client = connect();
    wire::QueueUpdate update;
    update.queue = "q";
    update.options.undo_time_ms = 60'000;
    client.send(update, 0, 5);
    daemon.settle();
    CHECK(client.await<wire::QueueInfo>().options.undo_time_ms == 60'000u);
    publish("q", {"b"});
    CHECK(purge("q").kept == 1);
    update.options.undo_time_ms = std::uint64_t{11} * 365 * 86'400'000;
    client.send(update, 0, 6);
    client.expect_error(ErrorCode::bad_option, 6);
    client.send(wire::QueueUndo{"none"}, 0, 7);
    client.expect_error(ErrorCode::no_such_queue, 7);
}

TEST_CASE_FIXTURE(Purge, "purge: limits of messages do not count it, and do not refuse its undo") {
    options.messages_max = 3;
    start();
    fill("q", {"a", "b", "c"}, Durability::memory);
    CHECK(purge("q").kept == 3);
    publish("q", {"d", "e", "f"});
    CHECK(undo("q") == 3);
    CHECK(ready_in("q") == Bodies{"a", "b", "c", "d", "e", "f"});
    CHECK(daemon.core().engine().messages() == 6);
}

TEST_CASE_FIXTURE(
    Purge, "purge: what is kept gives way where memory runs short, and nothing is kept then") {
    options.memory_bytes_max = 100'000;
    start();
    create("q", Durability::memory);
    publish("q", Bodies(10, std::string(5'000, 'x')));
    CHECK(purge("q").kept == 10);
    create("other", Durability::memory);
    publish("other", Bodies(8, std::string(5'000, 'x')));
    CHECK(undo("q") == 0);
    CHECK(queue("q").live() == 0);
    bool told = false;
    for (const std::string& notice : daemon.core().take_notices()) {
        told = told || notice.find("10 purged messages of queue \"q\"") != std::string::npos;
    }
    CHECK(told);
    publish("other", Bodies(10, std::string(5'000, 'x')));
    CHECK(purge("other").kept == 0);
}

TEST_CASE_FIXTURE(Purge, "purge: it is not shown, unless somebody asks for it") {
    start();
    fill("q", {"a", "b"}, Durability::disk);
    const MessageRange first = range(1, 1);
    (void)ask(wire::MessagesDeleteRequest{"q", queue("q").id(), {&first, 1}});
    WireClient& client = connect();
    client.send(wire::Peek{"q", MessageNumber(1), 10}, 0, 3);
    daemon.settle();
    REQUIRE(client.await<wire::PeekReply>().runs.size() == 1);
    wire::Peek frame{"q", MessageNumber(1), 10};
    frame.filter.emplace();
    frame.filter->states = wire::state_bit(wire::MessageState::purged);
    client.send(frame, 0, 4);
    daemon.settle();
    const auto reply = client.await<wire::PeekReply>();
    REQUIRE(reply.runs.size() == 1);
    CHECK(reply.runs[0].state == wire::MessageState::purged);
}

TEST_CASE_FIXTURE(Purge, "purge: of a backlog on the disk, which a check finds sound") {
    options.journal = {64 * 1024, 8 * 64 * 1024};
    options.backlog.memory_bytes = 20'000;
    options.backlog.page_bytes = 4'000;
    options.backlog.segment_bytes = 16'000;
    start();
    create("q", Durability::disk);
    for (int i = 0; i < 100; ++i) {
        publish("q", {std::to_string(i) + std::string(1000, 'x')});
    }
    CHECK(daemon.core().backlog().segment_bytes() > 0);
    CHECK(purge("q").kept == 100);
    kill();
    start();
    CHECK(queue("q").purged() == 100);
    CHECK(undo("q") == 100);
    CHECK(queue("q").ready() == 100);
    const auto before = state();
    stop();
    const auto report = check_store(disk);
    REQUIRE(report.has_value());
    CHECK(report->sound());
    start();
    CHECK(state() == before);
    CHECK(ready_in("q").front().front() == '0');
    CHECK(purge("q", true).count == 100);
    daemon.settle_for(seconds(10));
    CHECK(daemon.core().backlog().segment_bytes() == 0);
}

}  // namespace mqd::core::test
