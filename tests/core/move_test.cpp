// MESSAGES_MOVE: from the middle of one queue to the end of another, whatever happens meanwhile.

#include "core/core_fixture.hpp"
#include "mqd/wire/message_move.hpp"
#include "support/canonical_state.hpp"

namespace mqd::core::test {

namespace {

using std::chrono::milliseconds;
using Bodies = std::vector<std::string>;

class Move : public CoreFixture {
  protected:
    void fill(std::string_view name, const Bodies& bodies, std::uint64_t delay_ms = 0) {
        std::vector<std::byte> batch;
        for (const std::string& body : bodies) {
            std::vector<std::byte> attributes;
            wire::append_header(attributes, "k", body);
            if (delay_ms != 0) {
                wire::Writer writer(attributes);
                writer.number(static_cast<std::uint16_t>(
                    static_cast<std::uint16_t>(wire::AttributeId::delay) | wire::critical_bit));
                writer.number(std::uint16_t{8}).number(delay_ms);
            }
            wire::append_message(batch, attributes, wire::as_bytes(body));
        }
        WireClient& client = connect();
        (void)client.open_producer(name);
        wire::Publish frame;
        frame.first_line = LineNumber(1);
        frame.count = static_cast<std::uint32_t>(bodies.size());
        frame.batch = batch;
        client.send(frame, 1);
        daemon.settle_for(milliseconds(20));
        (void)client.await<wire::Confirm>();
        clients.pop_back();
    }
    void ask(WireClient& client, std::string_view from, std::string_view to,
             const std::vector<MessageRange>& ranges) {
        client.send(wire::MessagesMoveRequest{from, queue(from).id(), to, ranges}, 0, 3);
    }
    wire::Done move(std::string_view from, std::string_view to,
                    const std::vector<MessageRange>& ranges) {
        WireClient& client = connect();
        ask(client, from, to, ranges);
        daemon.settle_for(milliseconds(20));
        const auto done = client.await<wire::Done>();
        clients.pop_back();
        return done;
    }
    void expect_refused(std::string_view from, std::string_view to, ErrorCode code) {
        WireClient& client = connect();
        ask(client, from, to, {{MessageNumber(1), 100}});
        daemon.settle();
        client.expect_error(code, 3);
        clients.pop_back();
    }
    void update(std::string_view name, const wire::QueueOptions& changed) {
        WireClient& client = connect();
        client.send(wire::QueueUpdate{name, changed}, 0, 1);
        daemon.settle();
        (void)client.next<wire::QueueInfo>();
        clients.pop_back();
    }
    // What is delivered now, by a consumer that leaves with it.
    Bodies ready_in(std::string_view name) {
        daemon.settle();
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
};

MessageRange range(std::uint64_t first, std::uint64_t count) {
    return {MessageNumber(first), count};
}

}  // namespace

TEST_CASE_FIXTURE(Move, "move: in order, to the end of any other queue, and a kill keeps it") {
    start();
    for (const Durability here : {Durability::memory, Durability::written, Durability::disk}) {
        for (const Durability there : {Durability::memory, Durability::written, Durability::disk}) {
            const std::string from = "from" + std::to_string(static_cast<int>(here)) +
                                     std::to_string(static_cast<int>(there));
            const std::string to = "to" + from;
            CAPTURE(from);
            create(from, here);
            create(to, there);
            fill(from, {"a", "b", "c", "d", "e"});
            fill(to, {"x"});
            const auto done = move(from, to, {range(4, 2), range(2, 1), range(2, 1)});
            CHECK(done.count == 3);
            CHECK(done.next == MessageNumber(0));
            CHECK(ready_in(from) == Bodies{"a", "c"});
            CHECK(ready_in(to) == Bodies{"x", "b", "d", "e"});
            CHECK(move(from, to, {range(1, 100)}).count == 2);
            CHECK(move(from, to, {range(1, 100)}).count == 0);
            CHECK(queue(from).live() == 0);
            CHECK(queue(to).live() == 6);
        }
    }
    kill();
    start();
    CHECK(ready_in("tofrom33") == Bodies{"x", "b", "d", "e", "a", "c"});
    CHECK(ready_in("tofrom23") == Bodies{"x", "b", "d", "e", "a", "c"});
    CHECK(ready_in("tofrom32") == Bodies{"x", "b", "d", "e", "a", "c"});
    CHECK(queue("from33").live() == 0);
    CHECK(daemon.core().journal().figures().booked_bytes > 0);
}

TEST_CASE_FIXTURE(Move,
                  "move: leased messages stay, delayed ones wait on, headers and time are kept") {
    start();
    create("a", Durability::disk);
    create("b", Durability::disk);
    fill("a", {"leased", "ready"});
    const WallTime published = daemon.wall();
    daemon.pass(milliseconds(100));
    fill("a", {"later"}, 1000);
    WireClient& worker = connect();
    (void)worker.open_consumer("a", 2, 1);
    daemon.settle();
    CHECK(move("a", "b", {range(1, 3)}).count == 2);
    CHECK(queue("a").leased() == 1);
    CHECK(queue("b").ready() == 1);
    CHECK(queue("b").delayed() == 1);
    kill();
    start();
    WireClient& client = connect();
    client.send(wire::Peek{"b", MessageNumber(1), 10}, 0, 3);
    const auto reply = client.await<wire::PeekReply>();
    REQUIRE(reply.runs.size() == 2);
    CHECK(reply.runs[0].messages.published <= published);
    CHECK(reply.runs[0].messages.attempt == 0);
    CHECK(reply.runs[0].messages.sender == Identity{1, 2, 3});
    wire::BatchReader batch(reply.runs[1].messages.batch);
    const auto later = batch.next();
    REQUIRE(later.has_value());
    wire::AttributeReader attributes(later->attributes);
    const auto header = attributes.next();
    REQUIRE(header.has_value());
    CHECK(wire::decode_header(*header)->value == "later");
    CHECK_FALSE(attributes.next().has_value());
    CHECK(ready_in("b") == Bodies{"ready"});
    daemon.settle_for(milliseconds(1000));
    CHECK(ready_in("b") == Bodies{"ready", "later"});
}

TEST_CASE_FIXTURE(Move, "move: what the target does not take stays where it is") {
    start();
    create("a", Durability::disk);
    create("b", Durability::disk);
    create("m", Durability::memory);
    fill("a", {"1", "2", "3"});
    wire::QueueOptions limits;
    limits.max_messages = 2;
    update("b", limits);
    expect_refused("a", "b", ErrorCode::queue_full);
    CHECK(queue("a").ready() == 3);
    CHECK(move("a", "b", {range(1, 2)}).count == 2);
    expect_refused("a", "b", ErrorCode::queue_full);
    limits.on_full = OnFull::drop_oldest;
    update("b", limits);
    CHECK(move("a", "b", {range(3, 1)}).count == 1);
    CHECK(ready_in("b") == Bodies{"2", "3"});
    wire::QueueOptions paused;
    paused.paused = wire::Paused{true, std::nullopt}.bits();
    update("m", paused);
    expect_refused("b", "m", ErrorCode::queue_paused);
    expect_refused("b", "b", ErrorCode::bad_option);
    expect_refused("b", "none", ErrorCode::no_such_queue);
    expect_refused("b", "no name", ErrorCode::bad_name);
    WireClient& client = connect();
    const std::vector<MessageRange> all{range(1, 9)};
    client.send(wire::MessagesMoveRequest{"b", queue("b").id().plus(5), "a", all}, 0, 3);
    client.expect_error(ErrorCode::no_such_queue, 3);
    client.send(wire::MessagesMoveRequest{"none", queue("b").id(), "a", all}, 0, 3);
    client.expect_error(ErrorCode::no_such_queue, 3);
    client.send(wire::MessagesMoveRequest{"b", queue("b").id(), "a", {}}, 0, 4);
    CHECK(client.next<wire::Done>().count == 0);
    const std::vector<MessageRange> none{range(0, 1)};
    client.send(wire::MessagesMoveRequest{"b", queue("b").id(), "a", none}, 0, 4);
    client.expect_error(ErrorCode::protocol_violation);
}

TEST_CASE_FIXTURE(Move, "move: a bounded part at once, and where to go on") {
    start();
    create("a", Durability::disk);
    create("b", Durability::disk);
    for (int i = 0; i < 50; ++i) {
        fill("a", Bodies(50, std::string(100, 'x')));
    }
    const auto first = move("a", "b", {range(1, 2500)});
    CHECK(first.count == 1000);
    CHECK(first.next == MessageNumber(1001));
    const auto second = move("a", "b", {range(1, 900), range(1001, 1000), range(2400, 10)});
    CHECK(second.count == 1000);
    CHECK(second.next == MessageNumber(2400));
    create("m", Durability::memory);
    for (int i = 0; i < 40; ++i) {
        fill("m", {std::string(49'000, 'y')});
    }
    create("n", Durability::memory);
    const auto third = move("m", "n", {range(1, 40)});
    CHECK(third.count == 10);  // a header is as large as the body
    CHECK(third.next == MessageNumber(11));
    CHECK(move("m", "n", {range(31, 40)}).count == 10);
}

// Whatever of the journal is recycled meanwhile, and wherever the bodies lie.
TEST_CASE_FIXTURE(Move, "move: of messages that lie in segments, before and after a restart") {
    options.journal = {64 * 1024, 8 * 64 * 1024};
    options.backlog.memory_bytes = 20'000;
    options.backlog.page_bytes = 4'000;
    options.backlog.segment_bytes = 16'000;
    start();
    create("a", Durability::disk);
    create("b", Durability::disk);
    Bodies all;
    for (int i = 0; i < 60; ++i) {
        Bodies some;
        for (int k = 0; k < 10; ++k) {
            some.push_back(std::to_string(i * 10 + k) + std::string(300, 'z'));
        }
        fill("a", some);
        all.insert(all.end(), some.begin(), some.end());
    }
    REQUIRE(daemon.core().backlog().unread_bytes(queue("a").id()) > 0);
    std::uint64_t moved = 0;
    for (MessageNumber at(1); at.value() != 0;) {
        const auto done = move("a", "b", {{at, 601 - at.value()}});
        CHECK((done.count > 0 || done.next.value() == 0));
        moved += done.count;
        at = done.next;
        if (moved > 300 && moved < 350) {
            kill();
            start();
        }
    }
    CHECK(moved == 600);
    CHECK(queue("a").live() == 0);
    lose_power();
    start();
    CHECK(queue("b").live() == 600);
    WireClient& client = connect();
    Bodies found;
    (void)client.open_consumer("b");
    while (found.size() < all.size()) {
        daemon.settle_for(milliseconds(20));
        const auto frames = client.take();
        REQUIRE_FALSE(frames.empty());
        for (const Received& frame : frames) {
            if (frame.header.type == wire::FrameType::deliver) {
                const auto delivery = frame.as<wire::Deliver>();
                const auto some = bodies_of(delivery);
                found.insert(found.end(), some.begin(), some.end());
                client.ack(delivery.first_number.value(), delivery.count);
            }
        }
    }
    CHECK(found == all);
}

TEST_CASE_FIXTURE(Move,
                  "move: a session that ends takes its request along, and goodbye waits for it") {
    options.journal = {64 * 1024, 8 * 64 * 1024};
    options.backlog.memory_bytes = 20'000;
    options.backlog.page_bytes = 4'000;
    options.backlog.segment_bytes = 16'000;
    start();
    create("a", Durability::disk);
    create("b", Durability::disk);
    for (int i = 0; i < 60; ++i) {
        fill("a", Bodies(10, std::string(300, 'z')));
    }
    kill();
    start();
    REQUIRE(daemon.core().backlog().unread_bytes(queue("a").id()) > 0);
    WireClient& gone = connect();
    ask(gone, "a", "b", {range(1, 600)});
    CHECK(gone.silent());
    gone.end();
    daemon.settle();
    CHECK(queue("a").live() == 600);
    WireClient& client = connect();
    ask(client, "a", "b", {range(300, 1)});
    CHECK(client.silent());
    ask(client, "a", "b", {range(1, 1)});
    client.send(wire::Goodbye{}, 0, 9);
    daemon.settle_for(milliseconds(20));
    CHECK(client.next<wire::Done>().count == 1);
    CHECK(client.next<wire::Done>().count == 1);
    CHECK(queue("b").next_number() == MessageNumber(3));
    (void)client.next<wire::GoodbyeReply>();
}

TEST_CASE_FIXTURE(Move, "move: a crash in the middle leaves each message in one queue") {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        CAPTURE(seed);
        disk = mqd::test::SimDisk();
        start();
        create("a", Durability::disk);
        create("b", Durability::disk);
        fill("a", {"1", "2", "3", "4"});
        WireClient& client = connect();
        ask(client, "a", "b", {range(2, 2)});
        lose_power(seed);
        start();
        CHECK(queue("a").live() + queue("b").live() == 4);
        CHECK((queue("b").live() == 0 || queue("b").live() == 2));
        clients.clear();
        daemon.end();
    }
}

}  // namespace mqd::core::test
