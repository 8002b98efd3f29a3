// Messages that wait for a time: as the publisher says, or after a failure; whatever happens to the
// daemon, its clock and its disk meanwhile.

#include "core/core_fixture.hpp"
#include "daemon/core/check_store.hpp"
#include "support/canonical_state.hpp"

namespace mqd::core::test {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct Timed {
    std::string body;
    std::uint64_t delay_ms = 0;            // 0: none
    std::optional<std::int64_t> due_us{};  // both: malformed
};

std::vector<std::byte> timed_batch(const std::vector<Timed>& messages) {
    std::vector<std::byte> batch;
    for (const Timed& message : messages) {
        std::vector<std::byte> attributes;
        wire::Writer writer(attributes);
        const auto add = [&](wire::AttributeId id, auto value) {
            writer.number(
                static_cast<std::uint16_t>(static_cast<std::uint16_t>(id) | wire::critical_bit));
            writer.number(static_cast<std::uint16_t>(sizeof value)).number(value);
        };
        if (message.delay_ms != 0) {
            add(wire::AttributeId::delay, message.delay_ms);
        }
        if (message.due_us) {
            add(wire::AttributeId::due, *message.due_us);
        }
        wire::append_message(batch, attributes, wire::as_bytes(message.body));
    }
    return batch;
}

class Delay : public CoreFixture {
  protected:
    void send(WireClient& client, std::uint64_t line, const std::vector<Timed>& messages) {
        const auto batch = timed_batch(messages);
        wire::Publish frame;
        frame.first_line = LineNumber(line);
        frame.count = static_cast<std::uint32_t>(messages.size());
        frame.batch = batch;
        client.send(frame, 1);
        daemon.settle();
    }
    void publish(std::string_view name, const std::vector<Timed>& messages) {
        WireClient& client = connect();
        (void)client.open_producer(name);
        send(client, 1, messages);
        (void)client.await<wire::Confirm>();
        clients.pop_back();
    }
    void expect_refused(const Timed& message, ErrorCode code) {
        WireClient& client = connect();
        (void)client.open_producer("q");
        send(client, 1, {message});
        CHECK(error_name(client.await<wire::Refuse>().error.code) == error_name(code));
        clients.pop_back();
    }
    // What is delivered now to a consumer that leaves with it.
    std::vector<std::string> ready_in(std::string_view name) {
        daemon.settle();
        WireClient& client = connect();
        (void)client.open_consumer(name);
        daemon.settle();
        std::vector<std::string> bodies;
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
    std::uint64_t remove(std::string_view name, std::vector<MessageRange> ranges) {
        WireClient& client = connect();
        client.send(wire::MessagesDeleteRequest{name, queue(name).id(), ranges}, 0, 3);
        daemon.settle();
        const std::uint64_t count = client.await<wire::Done>().count;
        clients.pop_back();
        return count;
    }
    [[nodiscard]] mqd::test::CanonicalState state() {
        return mqd::test::canonical_state(daemon.core().engine(), {daemon.now(), daemon.wall()});
    }
    [[nodiscard]] std::int64_t wall_us() { return wire::to_micros(daemon.wall()); }
};

MessageRange range(std::uint64_t first, std::uint64_t count) {
    return {MessageNumber(first), count};
}

}  // namespace

TEST_CASE_FIXTURE(Delay, "delay: delivered at its time and not before, in its place") {
    start();
    for (const Durability durability :
         {Durability::memory, Durability::written, Durability::disk}) {
        CAPTURE(durability);
        const std::string name = "q" + std::to_string(static_cast<int>(durability));
        create(name, durability);
        publish(name, {{"a"}, {"b", 1000}, {"c", 500}, {"d"}});
        CHECK(queue(name).delayed() == 2);
        CHECK(ready_in(name) == std::vector<std::string>{"a", "d"});
        daemon.settle_for(milliseconds(495));
        CHECK(ready_in(name) == std::vector<std::string>{"a", "d"});
        daemon.settle_for(milliseconds(10));
        CHECK(ready_in(name) == std::vector<std::string>{"a", "c", "d"});
        daemon.settle_for(milliseconds(500));
        CHECK(ready_in(name) == std::vector<std::string>{"a", "b", "c", "d"});
    }
}

TEST_CASE_FIXTURE(Delay, "delay: what waits waits on after any end of the daemon") {
    start();
    create("q", Durability::disk);
    publish("q", {{"a", 10'000}, {"b", 60'000}, {"c"}});
    for (int round = 0; round < 3; ++round) {
        CAPTURE(round);
        const auto before = state();
        round == 0 ? kill() : round == 1 ? lose_power() : stop();
        start();
        CHECK(state() == before);
        CHECK(queue("q").delayed() == 2);
    }
    kill();
    daemon.pass(seconds(30));  // the time that it is not running counts
    start();
    CHECK(ready_in("q") == std::vector<std::string>{"a", "c"});
    daemon.settle_for(seconds(31));
    CHECK(ready_in("q") == std::vector<std::string>{"a", "b", "c"});
}

TEST_CASE_FIXTURE(Delay, "delay: the wall clock moves due times, and no delays") {
    start();
    create("q", Durability::disk);
    const std::int64_t now = wall_us();
    publish("q", {{"delay", 60'000}, {"due", 0, now + 3'600'000'000}, {"past", 0, now - 1}});
    CHECK(ready_in("q") == std::vector<std::string>{"past"});
    daemon.shift_wall(std::chrono::hours(-5));
    daemon.settle_for(seconds(61));
    CHECK(ready_in("q") == std::vector<std::string>{"delay", "past"});
    stop();
    start();
    daemon.settle_for(std::chrono::hours(1));
    CHECK(ready_in("q") == std::vector<std::string>{"delay", "past"});
    daemon.shift_wall(std::chrono::hours(5));
    CHECK(ready_in("q") == std::vector<std::string>{"delay", "due", "past"});
}

TEST_CASE_FIXTURE(Delay, "delay: across a restart no clock goes back") {
    start();
    create("q", Durability::disk);
    publish("q", {{"a", 60'000}});
    stop();
    daemon.shift_wall(std::chrono::hours(-24));
    start();
    daemon.settle_for(seconds(61));
    CHECK(ready_in("q") == std::vector<std::string>{"a"});
}

TEST_CASE_FIXTURE(Delay, "delay: what makes no sense is refused, and changes nothing") {
    start();
    create("q", Durability::disk);
    const std::uint64_t most = wire::delay_max.count();
    const std::int64_t now = wall_us();
    const std::int64_t most_us = std::chrono::microseconds(wire::delay_max).count();
    expect_refused({"both", 5, now + 10}, ErrorCode::bad_option);
    expect_refused({"long", most + 1}, ErrorCode::bad_option);
    expect_refused({"longest", UINT64_MAX}, ErrorCode::bad_option);
    expect_refused({"far", 0, now + most_us + 1}, ErrorCode::bad_option);
    expect_refused({"farthest", 0, INT64_MAX}, ErrorCode::bad_option);
    CHECK(queue("q").live() == 0);
    publish("q", {{"ten years", most}, {"long ago", 0, INT64_MIN}, {"then", 0, now + most_us}});
    CHECK(queue("q").delayed() == 2);
    CHECK(ready_in("q") == std::vector<std::string>{"long ago"});
}

TEST_CASE_FIXTURE(Delay, "delay: beyond limits.delayed_messages a publish is refused") {
    options.delays_max = 3;
    start();
    create("q", Durability::memory);
    publish("q", {{"a", 10}, {"b", 20}, {"c", 20}, {"d", 30}});  // b and c are one run
    expect_refused({"e", 40}, ErrorCode::memory_full);
    publish("q", {{"f"}});
    daemon.settle_for(milliseconds(25));
    publish("q", {{"g", 40}});
}

TEST_CASE_FIXTURE(Delay, "delay: what is on its way counts for the limit") {
    options.delays_max = 3;
    start();
    create("q", Durability::disk);
    WireClient& client = connect();
    (void)client.open_producer("q");
    std::vector<std::byte> bytes;
    for (std::uint64_t line = 1; line <= 3; line += 2) {
        const auto batch = timed_batch({{"a", line * 10}, {"b", line * 20}});
        wire::Publish frame;
        frame.first_line = LineNumber(line);
        frame.count = 2;
        frame.batch = batch;
        wire::append_frame(bytes, frame, {}, HandleId(1));
    }
    client.receive(bytes);
    daemon.settle();
    CHECK(queue("q").delayed() == 2);
    CHECK(client.await<wire::Refuse>().error.code == ErrorCode::memory_full);
    daemon.settle_for(milliseconds(50));
    CHECK(queue("q").delayed() == 0);
    publish("q", {{"c", 10}, {"d", 20}, {"e", 30}});
}

// Checkpoints tell what waits, and have to find room, since acks go on by them.
TEST_CASE_FIXTURE(Delay, "delay: on a full disk nothing is taken that waits") {
    options.journal = {64 * 1024, 512 * 1024};
    options.backlog.memory_bytes = 20'000;
    start();
    create("q", Durability::disk);
    create("m", Durability::memory);
    publish("q", {{"a", 60'000}});
    disk.set_capacity(disk.used());
    const auto full = [&] {
        return daemon.core().backlog().refusal() || daemon.core().journal().disk_full();
    };
    WireClient& client = connect();
    (void)client.open_producer("q");
    for (std::uint64_t line = 1; line <= 500 && !full(); ++line) {
        client.publish(line, {std::string(3000, 'x')});
        daemon.settle_for(milliseconds(5));
    }
    REQUIRE(full());
    expect_refused({"b", 60'000}, ErrorCode::disk_full);
    publish("m", {{"c", 60'000}});
    CHECK(queue("q").delayed() == 1);
    disk.set_capacity(UINT64_MAX);
    daemon.settle_for(seconds(5));
    CHECK_FALSE(full());
    publish("q", {{"d", 60'000}});
    CHECK(queue("q").delayed() == 2);
}

TEST_CASE_FIXTURE(Delay, "delay: a nack with a delay, which rides along") {
    start();
    create("q", Durability::disk);
    publish("q", {{"a"}, {"b"}, {"c"}});
    WireClient& client = connect();
    (void)client.open_consumer("q", 2, 3);
    daemon.settle();
    client.settle(wire::FrameType::nack, {range(1, 2)}, 2, 5, 2000);
    CHECK(client.await<wire::Settled>().settled == 2);
    CHECK(queue("q").delayed() == 2);
    client.settle(wire::FrameType::nack, {range(3, 1)}, 2, 5, wire::delay_none);
    CHECK(queue("q").ready() == 1);
    client.end();
    daemon.settle_for(milliseconds(100));
    const auto before = state();
    lose_power();
    start();
    CHECK(state() == before);
    CHECK(ready_in("q") == std::vector<std::string>{"c"});
    daemon.settle_for(milliseconds(2000));
    CHECK(ready_in("q") == std::vector<std::string>{"a", "b", "c"});
}

TEST_CASE_FIXTURE(Delay, "delay: single messages are cancelled, and what is leased stays") {
    start();
    for (const Durability durability : {Durability::memory, Durability::disk}) {
        CAPTURE(durability);
        const std::string name = durability == Durability::memory ? "m" : "d";
        create(name, durability);
        publish(name, {{"a"}, {"b", 1000}, {"c", 1000}, {"d"}, {"e"}});
        WireClient& worker = connect();
        (void)worker.open_consumer(name, 2, 1);
        daemon.settle();
        CHECK(remove(name, {range(1, 2), range(5, 100)}) == 2);  // not a, which is leased
        CHECK(remove(name, {range(2, 1)}) == 0);
        worker.end();
        clients.clear();
        daemon.settle_for(seconds(2));
        CHECK(ready_in(name) == std::vector<std::string>{"a", "c", "d"});
    }
    kill();
    start();
    CHECK(ready_in("d") == std::vector<std::string>{"a", "c", "d"});
    WireClient& client = connect();
    const std::vector<MessageRange> all{range(1, 5)};
    client.send(wire::MessagesDeleteRequest{"d", queue("d").id().plus(1), all}, 0, 3);
    client.expect_error(ErrorCode::no_such_queue, 3);
    client.send(wire::MessagesDeleteRequest{"d", queue("d").id(), {}}, 0, 4);
    CHECK(client.await<wire::Done>().count == 0);
    const std::vector<MessageRange> none{range(0, 5)};
    client.send(wire::MessagesDeleteRequest{"d", queue("d").id(), none}, 0, 5);
    client.expect_error(ErrorCode::protocol_violation);
}

TEST_CASE_FIXTURE(Delay, "delay: a purge ends what waits") {
    start();
    create("q", Durability::disk);
    publish("q", {{"a"}, {"b", 1000}});
    WireClient& client = connect();
    client.ask(wire::FrameType::queue_purge, "q");
    daemon.settle();
    CHECK(client.await<wire::Done>().count == 2);
    kill();
    start();
    CHECK(queue("q").live() == 0);
    CHECK_FALSE(daemon.core().engine().next_due(engine::DueClock::journal).has_value());
}

TEST_CASE_FIXTURE(Delay, "delay: peek shows until when, and counts are told") {
    start();
    create("q", Durability::disk);
    const std::int64_t now = wall_us();
    publish("q", {{"a"}, {"b", 1000}, {"c", 1000}, {"d", 0, now + 5'000'000}, {"e"}});
    WireClient& client = connect();
    client.send(wire::Peek{"q", MessageNumber(1), 10}, 0, 3);
    daemon.settle();
    const auto reply = client.await<wire::PeekReply>();
    REQUIRE(reply.runs.size() == 4);
    CHECK(reply.runs[0].state == wire::MessageState::ready);
    CHECK(reply.runs[1].state == wire::MessageState::delayed);
    CHECK(reply.runs[1].messages.count == 2);
    CHECK(wire::to_micros(reply.runs[1].due) >= now + 1'000'000);
    CHECK(wire::to_micros(reply.runs[1].due) <= now + 1'002'000);
    CHECK(wire::to_micros(reply.runs[2].due) == now + 5'000'000);
    CHECK(reply.runs[3].messages.first_number == MessageNumber(5));
    client.ask(wire::FrameType::queue_show, "q");
    const auto info = client.await<wire::QueueInfo>();
    CHECK(info.ready == 2);
    CHECK(info.delayed == 3);
}

// Whatever of the journal is recycled meanwhile, and wherever the bodies lie.
TEST_CASE_FIXTURE(Delay, "delay: checkpoints and segments keep it") {
    options.journal = {64 * 1024, 256 * 1024};
    options.backlog.memory_bytes = 20'000;
    options.backlog.page_bytes = 4'000;
    options.backlog.flush_bytes = 4'000;
    options.backlog.checkpoint_items = 3;
    options.backlog.checkpoint_chunk_bytes = 200;
    start();
    create("q", Durability::disk);
    create("busy", Durability::disk);
    WireClient& client = connect();
    (void)client.open_producer("q", 1);
    for (std::uint64_t batch = 0; batch < 15; ++batch) {
        std::vector<Timed> messages;
        for (int i = 0; i < 20; ++i) {
            messages.push_back(
                {std::string(100, 'x'), static_cast<std::uint64_t>(20'000 + 7 * (i % 15))});
        }
        send(client, 1 + batch * 20, messages);
        daemon.settle_for(milliseconds(1));
    }
    CHECK(queue("q").delayed() == 300);
    (void)client.open_producer("busy", 2);
    for (std::uint64_t i = 1; i <= 400; ++i) {
        client.publish(i, {std::string(3000, 'y')}, Durability::unspecified, 2);
        daemon.settle_for(milliseconds(1));
    }
    CHECK(daemon.core().checkpoint().figures().checkpoints > 2);
    CHECK(queue("q").delayed() == 300);
    const auto before = state();
    kill();
    const auto report = check_store(disk);
    REQUIRE(report.has_value());
    CHECK(report->sound());
    start();
    CHECK(state() == before);
    daemon.settle_for(seconds(21));
    CHECK(queue("q").delayed() == 0);
    CHECK(ready_in("q").size() == 300);
}

TEST_CASE_FIXTURE(Delay, "delay: a dead letter does not wait again") {
    start();
    create("q", Durability::disk);
    publish("q", {{"a", 10}});
    daemon.settle_for(milliseconds(20));
    WireClient& client = connect();
    (void)client.open_consumer("q");
    daemon.settle();
    std::vector<std::byte> bytes;
    const MessageRange first = range(1, 1);
    wire::append_settle(bytes, wire::FrameType::nack, {0, {&first, 1}, "bad"}, CorrelationId(0),
                        HandleId(2), wire::flag_dead_letter);
    client.receive(bytes);
    daemon.settle();
    CHECK(queue("q.dead").ready() == 1);
    (void)client.open_consumer("q.dead", 3);
    daemon.settle();
    const auto delivery = client.await<wire::Deliver>();
    wire::BatchReader reader(delivery.batch);
    const auto message = reader.next();
    REQUIRE(message.has_value());
    const auto times = wire::decode_times(message->attributes);
    REQUIRE(times.has_value());
    CHECK_FALSE(times->delay_ms.has_value());
}

}  // namespace mqd::core::test
