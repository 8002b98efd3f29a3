// From PUBLISH to CONFIRM and REFUSE: durability, order, credit, limits.

#include <algorithm>

#include "core/core_fixture.hpp"

namespace mqd::core::test {
namespace {

using std::string;

void check_confirm(const wire::Confirm& confirm, std::uint64_t line, std::uint64_t number,
                   std::uint32_t count, Durability durability) {
    CHECK(confirm.first_line == LineNumber(line));
    CHECK(confirm.durability == durability);
    REQUIRE(confirm.size() == 1);
    CHECK(confirm[0].first_number == MessageNumber(number));
    CHECK(confirm[0].count == count);
}

struct Publishing : ServingFixture {
    WireClient* client = nullptr;

    void open(Durability durability, WireClient** consumer = nullptr) {
        create("q", durability);
        client = &connect();
        (void)client->open_producer("q");
        if (consumer != nullptr) {
            *consumer = &connect();
            (void)(*consumer)->open_consumer("q");
        }
    }
    // One step of the commit worker, and a turn.
    void write_returns() {
        daemon.begin_turn();
        daemon.commit().run_work();
        if (daemon.commit().has_done()) {
            daemon.commit().run_done();
        }
        daemon.end_turn();
    }
    void expect_refuse(std::uint64_t line, std::uint64_t count, ErrorCode code) {
        const auto refuse = client->next<wire::Refuse>();
        CHECK(refuse.first_line == LineNumber(line));
        CHECK(refuse.count == count);
        CHECK(error_name(refuse.error.code) == error_name(code));
    }
};

TEST_CASE_FIXTURE(Publishing, "publish: on a memory queue all happens at once") {
    WireClient* consumer = nullptr;
    open(Durability::memory, &consumer);
    client->publish(1, {"a", "b"});
    check_confirm(client->next<wire::Confirm>(), 1, 1, 2, Durability::memory);
    CHECK(bodies_of(consumer->next<wire::Deliver>()) == std::vector<string>{"a", "b"});
}

TEST_CASE_FIXTURE(Publishing, "publish: on a disk queue the sync comes first") {
    WireClient* consumer = nullptr;
    open(Durability::disk, &consumer);
    client->publish(1, {"a", "b"});
    CHECK(client->silent());
    write_returns();  // written: in the page cache
    CHECK(client->silent());
    CHECK(consumer->silent());
    write_returns();  // synced
    check_confirm(client->next<wire::Confirm>(), 1, 1, 2, Durability::disk);
    CHECK(bodies_of(consumer->next<wire::Deliver>()) == std::vector<string>{"a", "b"});
}

TEST_CASE_FIXTURE(Publishing, "publish: on a written queue the write is enough") {
    WireClient* consumer = nullptr;
    open(Durability::written, &consumer);
    client->publish(1, {"a"});
    CHECK(client->silent());
    write_returns();
    check_confirm(client->next<wire::Confirm>(), 1, 1, 1, Durability::written);
    CHECK_FALSE(consumer->silent());
}

TEST_CASE_FIXTURE(Publishing, "publish: a confirm may be asked for earlier, visibility not") {
    WireClient* consumer = nullptr;
    open(Durability::disk, &consumer);
    // The first of them waits: the journal says first that numbers may be told early.
    client->publish(1, {"first"}, Durability::memory);
    CHECK(client->silent());
    daemon.settle();
    check_confirm(client->next<wire::Confirm>(), 1, 1, 1, Durability::disk);
    CHECK(bodies_of(consumer->next<wire::Deliver>()) == std::vector<string>{"first"});
    client->publish(2, {"a"}, Durability::memory);
    check_confirm(client->next<wire::Confirm>(), 2, 2, 1, Durability::memory);
    client->publish(3, {"b"}, Durability::written);
    CHECK(client->silent());
    write_returns();
    CHECK(consumer->silent());
    daemon.settle();
    CHECK_FALSE(client->silent());
    CHECK(bodies_of(consumer->next<wire::Deliver>()) == std::vector<string>{"a"});
    CHECK(bodies_of(consumer->next<wire::Deliver>()) == std::vector<string>{"b"});
}

TEST_CASE_FIXTURE(Publishing, "publish: a confirm may be asked for later than visibility") {
    WireClient* consumer = nullptr;
    open(Durability::written, &consumer);
    client->publish(1, {"a"}, Durability::disk);
    write_returns();
    CHECK(client->silent());
    CHECK_FALSE(consumer->silent());
    write_returns();
    check_confirm(client->next<wire::Confirm>(), 1, 1, 1, Durability::disk);
}

TEST_CASE_FIXTURE(Publishing, "publish: more than the queue gives is refused") {
    open(Durability::memory);
    client->publish(1, {"a"}, Durability::written);
    expect_refuse(1, 1, ErrorCode::durability_unavailable);
}

TEST_CASE_FIXTURE(Publishing, "publish: what gathers during a sync is the next group") {
    open(Durability::disk);
    client->publish(1, {"a"});
    const std::uint64_t groups = daemon.core().journal().figures().groups;
    for (std::uint64_t line = 2; line <= 20; ++line) {
        client->publish(line, {"b"});
    }
    daemon.settle();
    CHECK(daemon.core().journal().figures().groups == groups + 1);
    const auto frames = client->take();
    REQUIRE(frames.size() == 2);
    check_confirm(frames[1].as<wire::Confirm>(), 2, 2, 19, Durability::disk);
}

TEST_CASE_FIXTURE(Publishing, "publish: after a refusal all is refused until RESUME, in order") {
    open(Durability::disk);
    client->publish(1, {"a"});
    client->publish(2, {string(options.message_bytes_max + 1, 'x')});
    client->publish(3, {"b"});
    client->publish(4, {"c", "d"});
    CHECK(client->silent());  // line 1 is not answered yet
    client->send(wire::Resume{}, 1);
    client->publish(6, {"e"});
    daemon.settle();
    check_confirm(client->next<wire::Confirm>(), 1, 1, 1, Durability::disk);
    expect_refuse(2, 1, ErrorCode::message_too_big);
    expect_refuse(3, 3, ErrorCode::resume_needed);
    check_confirm(client->next<wire::Confirm>(), 6, 2, 1, Durability::disk);
    CHECK(client->silent());
}

TEST_CASE_FIXTURE(Publishing, "publish: one REFUSE does not stand on both sides of a RESUME") {
    open(Durability::disk);
    WireClient& other = connect();
    other.ask(wire::FrameType::queue_delete, "q");
    client->publish(1, {"a"});
    client->send(wire::Resume{}, 1);
    client->publish(2, {"b"});
    expect_refuse(1, 1, ErrorCode::queue_deleted);
    expect_refuse(2, 1, ErrorCode::queue_deleted);
}

TEST_CASE_FIXTURE(Publishing, "publish: a line out of place closes") {
    open(Durability::disk);
    client->publish(2, {"a"});
    client->expect_error(ErrorCode::protocol_violation);
}

TEST_CASE_FIXTURE(Publishing, "publish: a malformed batch closes, an unknown attribute refuses") {
    open(Durability::disk);
    std::vector<std::byte> batch;
    wire::Publish frame;
    frame.first_line = LineNumber(1);
    frame.count = 1;
    SUBCASE("cut") {
        batch = make_batch({"abc"});
        batch.pop_back();
        frame.batch = batch;
        client->send(frame, 1);
        client->expect_error(ErrorCode::protocol_violation);
    }
    SUBCASE("another count") {
        batch = make_batch({"abc", "d"});
        frame.batch = batch;
        client->send(frame, 1);
        client->expect_error(ErrorCode::protocol_violation);
    }
    SUBCASE("critical") {
        std::vector<std::byte> attributes;
        wire::Writer(attributes).number(std::uint16_t{0x8008}).number(std::uint16_t{0});
        wire::append_message(batch, attributes, {});
        frame.batch = batch;
        client->send(frame, 1);
        daemon.settle();
        expect_refuse(1, 1, ErrorCode::unknown_attribute);
    }
}

// --- credit

TEST_CASE("publish: beyond the credit the connection is closed") {
    CoreFixture fixture;
    fixture.options.producer_credit_messages = 4;
    fixture.start();
    fixture.create("q", Durability::disk);
    WireClient& client = fixture.connect();
    CHECK(client.open_producer("q").message_limit == 4);
    client.publish(1, {"a", "b", "c", "d"});
    SUBCASE("while lines are unanswered") {
        client.publish(5, {"e"});
        client.expect_error(ErrorCode::credit_exceeded);
    }
    SUBCASE("after they were answered there is more") {
        fixture.daemon.settle();
        CHECK(client.next<wire::Confirm>().credit.message_limit == 8);
        client.publish(5, {"e"});
        CHECK_FALSE(client.session().closing());
    }
    SUBCASE("more than one message") {
        fixture.daemon.settle();
        (void)client.next<wire::Confirm>();
        client.publish(5, {"e", "f", "g", "h", "i"});
        client.expect_error(ErrorCode::credit_exceeded);
    }
}

TEST_CASE("publish: a message larger than the credit may go when nothing is unanswered") {
    CoreFixture fixture;
    fixture.options.publish_credit_bytes = 1;
    fixture.start();
    fixture.create("q", Durability::disk);
    WireClient& client = fixture.connect();
    const auto opened = client.open_producer("q");
    const string large(opened.byte_limit + 1, 'x');
    client.publish(1, {large});
    CHECK_FALSE(client.session().closing());
    SUBCASE("one at a time") {
        fixture.daemon.settle();
        (void)client.next<wire::Confirm>();
        client.publish(2, {large});
        fixture.daemon.settle();
        (void)client.next<wire::Confirm>();
    }
    SUBCASE("not two") {
        client.publish(2, {large});
        client.expect_error(ErrorCode::credit_exceeded);
    }
}

TEST_CASE_FIXTURE(Publishing, "publish: a busy producer's credit grows") {
    open(Durability::disk);
    std::uint64_t line = 1;
    std::uint64_t limit = 0;
    std::uint64_t bytes = 0;
    for (int i = 0; i < 6; ++i) {
        for (int k = 0; k < 3; ++k, ++line) {
            client->publish(line, {string(20'000, 'x')});
            bytes += 20'000 + wire::message_header_bytes;
        }
        daemon.settle();
        for (const Received& frame : client->take()) {
            limit = frame.as<wire::Confirm>().credit.byte_limit;
        }
    }
    CHECK(limit - bytes > 64 * 1024);
}

// --- limits

TEST_CASE("publish: the memory limit refuses, and acks make room") {
    CoreFixture fixture;
    fixture.options.memory_bytes_max = 10'000;
    fixture.start();
    for (const Durability durability : {Durability::memory, Durability::disk}) {
        const string name = "q" + std::to_string(static_cast<int>(durability));
        fixture.create(name, durability);
        WireClient& client = fixture.connect();
        (void)client.open_producer(name);
        std::uint64_t line = 1;
        wire::Refuse refuse;
        for (; refuse.count == 0; ++line) {
            REQUIRE(line < 20);
            client.publish(line, {string(1000, 'x')});
            fixture.daemon.settle();
            const auto frames = client.take();
            REQUIRE(frames.size() == 1);
            if (frames[0].header.type == wire::FrameType::refuse) {
                refuse = frames[0].as<wire::Refuse>();
                CHECK(refuse.error.code == ErrorCode::memory_full);
                CHECK(refuse.error.limit == 10'000);
                CHECK(refuse.error.retry_after_ms > 0);
            }
        }
        (void)client.open_consumer(name);
        (void)client.take();
        client.ack(1, 100);
        fixture.daemon.settle_for(std::chrono::milliseconds(100));
        client.send(wire::Resume{}, 1);
        client.publish(line, {string(1000, 'x')});
        fixture.daemon.settle();
        (void)client.await<wire::Confirm>();
        client.ack(1, 100);
        fixture.clients.clear();
        WireClient& tidy = fixture.connect();
        tidy.ask(wire::FrameType::queue_purge, name);
        fixture.daemon.settle();
    }
}

TEST_CASE("publish: memory that unsent output holds counts until it is sent") {
    CoreFixture fixture;
    fixture.options.memory_bytes_max = 60'000;
    fixture.start();
    fixture.create("q", Durability::memory);
    WireClient& client = fixture.connect();
    (void)client.open_producer("q");
    client.publish(1, {string(600, 's'), string(40'000, 'L')});
    (void)client.next<wire::Confirm>();
    const auto memory_bytes = [&] {
        client.send(wire::Status{}, 0, 1);
        const auto reply = client.await<wire::StatusReply>();
        const auto item = std::find_if(reply.items.begin(), reply.items.end(),
                                       [](const auto& one) { return one.name == "memory_bytes"; });
        REQUIRE(item != reply.items.end());
        return item->value;
    };
    const std::uint64_t one_batch = memory_bytes();
    CHECK(one_batch > 40'600);
    // The small one waits in the output of a client that does not read and acks it all the same.
    WireClient& slow = fixture.connect();
    slow.send(wire::OpenConsumer{"q", 0, 1, plenty}, 2, 9);
    (void)client.open_consumer("q");
    CHECK(client.next<wire::Deliver>().first_number == MessageNumber(2));
    client.ack(2);
    slow.ack(1);
    CHECK(fixture.queue("q").live() == 0);
    CHECK(memory_bytes() == one_batch);
    client.publish(3, {string(40'000, 'M')});
    CHECK(client.next<wire::Refuse>().error.code == ErrorCode::memory_full);
    SUBCASE("by being read") {
        (void)slow.take();
    }
    SUBCASE("or given up") {
        slow.end();
    }
    CHECK(memory_bytes() == 0);
    client.send(wire::Resume{}, 1);
    client.publish(4, {string(40'000, 'M')});
    (void)client.await<wire::Confirm>();
}

TEST_CASE("publish: what the journal has no room for waits in segments") {
    CoreFixture fixture;
    fixture.options.journal = {64 * 1024, 4 * 64 * 1024};
    fixture.options.backlog.page_bytes = 16 * 1024;
    fixture.options.backlog.segment_bytes = 256 * 1024;
    fixture.options.backlog.memory_bytes = 64 * 1024;
    fixture.start();
    fixture.create("q", Durability::disk);
    WireClient& client = fixture.connect();
    (void)client.open_producer("q");
    (void)client.take();
    constexpr std::uint64_t count = 3000;
    std::uint64_t taken = 0;
    for (std::uint64_t line = 1; line <= count; ++line) {
        client.publish(line, {std::to_string(line) + string(500, 'x')});
        fixture.daemon.settle();
        for (const Received& frame : client.take()) {
            REQUIRE(frame.header.type == wire::FrameType::confirm);
            taken += frame.as<wire::Confirm>()[0].count;
        }
    }
    CHECK(taken == count);
    const auto& backlog = fixture.daemon.core().backlog();
    CHECK(fixture.daemon.core().journal().figures().files <= 4);
    CHECK(backlog.figures().segments.bytes > count * 400);
    CHECK(backlog.resident_bytes() <= 64 * 1024);
    // All of it comes out again, in order, and leaves nothing behind.
    (void)client.open_consumer("q");
    std::uint64_t next = 1;
    while (next <= count) {
        fixture.daemon.settle();
        const auto delivery = client.next<wire::Deliver>();
        CHECK(delivery.first_number == MessageNumber(next));
        CHECK(bodies_of(delivery)[0] == std::to_string(next) + string(500, 'x'));
        client.ack(next, delivery.count);
        next += delivery.count;
    }
    fixture.daemon.settle_for(std::chrono::milliseconds(1000));
    CHECK(fixture.queue("q").live() == 0);
    CHECK(backlog.figures().pages == 0);
    CHECK(backlog.figures().segments.files == 0);
}

TEST_CASE("publish: a full disk refuses, acks go on, and it heals within a second") {
    CoreFixture fixture;
    fixture.options.journal = {64 * 1024, 16 * 64 * 1024};
    fixture.options.queues_max = 5;
    fixture.start();
    fixture.create("q", Durability::disk);
    WireClient& client = fixture.connect();
    (void)client.open_producer("q");
    (void)client.open_consumer("q");
    fixture.disk.set_capacity(fixture.disk.used());
    std::uint64_t line = 1;
    std::optional<ErrorCode> refused;
    for (; refused != ErrorCode::disk_full; ++line) {
        REQUIRE(line < 1000);
        client.publish(line, {string(500, 'x')});
        fixture.daemon.settle();
        for (const Received& frame : client.take()) {
            if (frame.header.type == wire::FrameType::refuse) {
                refused = frame.as<wire::Refuse>().error.code;
                const bool known =
                    refused == ErrorCode::disk_full || refused == ErrorCode::journal_full;
                CHECK_MESSAGE(known, error_name(*refused));
                client.send(wire::Resume{}, 1);
            }
        }
    }
    client.ack(1, line, 3);
    fixture.daemon.settle();
    CHECK(client.await<wire::Settled>().durability == Durability::disk);
    CHECK(fixture.queue("q").live() == 0);
    CHECK_FALSE(fixture.daemon.core().failure().has_value());
    fixture.disk.set_capacity(UINT64_MAX);
    fixture.daemon.settle_for(std::chrono::milliseconds(1000));
    CHECK_FALSE(fixture.daemon.core().journal().disk_full());
    // No deadline stays behind, which would keep the loop awake.
    fixture.daemon.pass(std::chrono::seconds(1));
    fixture.daemon.settle();
    const auto deadline = fixture.daemon.core().next_deadline();
    CHECK((!deadline || *deadline > fixture.daemon.now()));
    client.publish(line, {string(500, 'x')});
    fixture.daemon.settle();
    (void)client.await<wire::Confirm>();
}

}  // namespace
}  // namespace mqd::core::test
