// Deliveries, settlements, handles and their ends.

#include "core/core_fixture.hpp"

namespace mqd::core::test {
namespace {

using std::string;
using wire::FrameType;

struct Consuming : ServingFixture {
    WireClient* client = nullptr;

    // Producer is handle 1, consumer handle 2; `count` messages "1", "2", …
    void open(Durability durability, std::uint64_t count, std::uint64_t credit = plenty,
              std::uint32_t lease_ms = 0) {
        create("q", durability);
        client = &connect();
        (void)client->open_producer("q");
        for (std::uint64_t line = 1; line <= count; ++line) {
            client->publish(line, {std::to_string(line)});
        }
        daemon.settle();
        (void)client->take();
        (void)client->open_consumer("q", 2, credit, lease_ms);
    }
    // What was delivered since, as first number and count.
    std::vector<std::pair<std::uint64_t, std::uint32_t>> delivered() {
        std::vector<std::pair<std::uint64_t, std::uint32_t>> all;
        for (const Received& frame : client->take()) {
            const auto delivery = frame.as<wire::Deliver>();
            const std::uint64_t first = delivery.first_number.value();
            if (!all.empty() && all.back().first + all.back().second == first) {
                all.back().second += delivery.count;
            } else {
                all.emplace_back(first, delivery.count);
            }
        }
        return all;
    }
};
using Ranges = std::vector<std::pair<std::uint64_t, std::uint32_t>>;

TEST_CASE_FIXTURE(Consuming, "consume: a delivery says who published, when, and how often") {
    open(Durability::disk, 1);
    const auto delivery = client->next<wire::Deliver>();
    CHECK(client->last_header().handle == HandleId(2));
    CHECK(delivery.first_number == MessageNumber(1));
    CHECK(delivery.attempt == 1);
    CHECK(delivery.sender == Identity{1, 2, 3});
    CHECK(bodies_of(delivery) == std::vector<string>{"1"});
}

TEST_CASE_FIXTURE(Consuming, "consume: credit is a total") {
    open(Durability::disk, 10, 3);
    CHECK(delivered() == Ranges{{1, 3}});
    client->send(wire::Credit{2, plenty}, 2);
    CHECK(client->silent());
    client->send(wire::Credit{5, plenty}, 2);
    CHECK(delivered() == Ranges{{4, 2}});
}

TEST_CASE_FIXTURE(Consuming, "consume: an ack is confirmed when it is as durable as the queue") {
    open(Durability::disk, 3);
    (void)client->take();
    client->ack(1, 2, 17);
    CHECK(client->silent());
    daemon.settle();
    auto settled = client->next<wire::Settled>();
    CHECK(client->last_header().correlation == CorrelationId(17));
    CHECK(settled.durability == Durability::disk);
    CHECK(settled.settled == 2);
    client->ack(2, 5, 18);
    daemon.settle();
    settled = client->next<wire::Settled>();
    CHECK(settled.settled == 1);
    CHECK(settled.not_leased == 4);
}

TEST_CASE_FIXTURE(Consuming, "consume: an ack without confirm rides with the next group") {
    open(Durability::disk, 3);
    (void)client->take();
    daemon.settle_for(std::chrono::milliseconds(100));
    const std::uint64_t groups = daemon.core().journal().figures().groups;
    client->ack(1);
    daemon.settle();
    CHECK(daemon.core().journal().figures().groups == groups);
    daemon.settle_for(options.commit_delay_max);
    CHECK(daemon.core().journal().figures().groups == groups + 1);
    CHECK(queue("q").live() == 2);
    CHECK(client->silent());
}

TEST_CASE_FIXTURE(Consuming, "consume: a nack is delivered again in its place") {
    open(Durability::disk, 10, 5);
    (void)client->take();
    client->settle(FrameType::nack, {{MessageNumber(2), 2}}, 2, 4);
    CHECK(client->next<wire::Settled>().settled == 2);
    client->send(wire::Credit{8, plenty}, 2);
    const auto again = client->next<wire::Deliver>();
    CHECK(again.first_number == MessageNumber(2));
    CHECK(again.attempt == 2);
}

TEST_CASE_FIXTURE(Consuming, "consume: a lease that runs out is told, and can be extended") {
    open(Durability::disk, 2, 2, 100);
    (void)client->take();
    client->settle(FrameType::extend, {{MessageNumber(2), 1}}, 2, 0, 500);
    daemon.settle_for(std::chrono::milliseconds(120));
    const auto lost = client->next<wire::LeaseLost>();
    REQUIRE(lost.ranges.size() == 1);
    CHECK(lost.ranges[0] == MessageRange{MessageNumber(1), 1});
    daemon.settle_for(std::chrono::milliseconds(300));
    CHECK(client->silent());
    daemon.settle_for(std::chrono::milliseconds(200));
    CHECK(client->next<wire::LeaseLost>().ranges[0] == MessageRange{MessageNumber(2), 1});
}

TEST_CASE("consume: many separate leases that run out are told together") {
    constexpr std::uint64_t messages = 20'000;
    CoreFixture fixture;
    fixture.start();
    fixture.create("q", Durability::memory);
    WireClient& client = fixture.connect();
    (void)client.open_producer("q");
    for (std::uint64_t line = 1; line < messages; line += 2000) {
        client.publish(line, std::vector<string>(2000));
        (void)client.next<wire::Confirm>();
    }
    WireClient& reader = fixture.connect();
    (void)reader.open_consumer("q", 2, messages, 1000);
    (void)reader.take();
    for (std::uint64_t n = 2; n <= messages; n += 2) {
        reader.ack(n);
    }
    fixture.daemon.settle_for(std::chrono::milliseconds(1100));
    std::uint64_t frames = 0;
    MessageNumber next(1);
    for (const Received& frame : reader.take()) {
        ++frames;
        CHECK(frame.header.handle == HandleId(2));
        const auto lost = frame.as<wire::LeaseLost>();
        for (std::size_t i = 0; i < lost.ranges.size(); ++i) {
            REQUIRE(lost.ranges[i] == MessageRange{next, 1});
            next = next.plus(2);
        }
    }
    CHECK(next == MessageNumber(messages + 1));
    CHECK(frames == 3);
}

TEST_CASE_FIXTURE(Consuming, "consume: a lease that runs out is told to its own handle") {
    open(Durability::memory, 4, 2, 100);
    (void)client->take();
    (void)client->open_consumer("q", 3, plenty, 100);
    (void)client->take();
    client->ack(1);
    daemon.settle_for(std::chrono::milliseconds(110));
    auto lost = client->next<wire::LeaseLost>();
    CHECK(client->last_header().handle == HandleId(2));
    REQUIRE(lost.ranges.size() == 1);
    CHECK(lost.ranges[0] == MessageRange{MessageNumber(2), 1});
    lost = client->next<wire::LeaseLost>();
    CHECK(client->last_header().handle == HandleId(3));
    REQUIRE(lost.ranges.size() == 1);
    CHECK(lost.ranges[0] == MessageRange{MessageNumber(3), 2});
}

TEST_CASE_FIXTURE(Consuming, "consume: a broken connection gives its messages back at once") {
    open(Durability::disk, 5);
    (void)client->take();
    WireClient& other = connect();
    (void)other.open_consumer("q");
    CHECK(other.silent());
    clients.erase(clients.begin());
    daemon.settle();
    const auto delivery = other.next<wire::Deliver>();
    CHECK(delivery.first_number == MessageNumber(1));
    CHECK(delivery.attempt == 2);
}

TEST_CASE_FIXTURE(Consuming, "consume: so does CLOSE_HANDLE, and so does GOODBYE") {
    open(Durability::disk, 5);
    (void)client->take();
    WireClient& other = connect();
    (void)other.open_consumer("q");
    SUBCASE("close") {
        client->send(wire::CloseHandle{}, 2, 6);
        (void)client->next<wire::Closed>();
    }
    SUBCASE("goodbye") {
        client->send(wire::Goodbye{}, 0, 6);
        (void)client->next<wire::GoodbyeReply>();
        daemon.settle();
    }
    CHECK(other.next<wire::Deliver>().first_number == MessageNumber(1));
    CHECK(client->silent());
}

TEST_CASE_FIXTURE(Consuming, "consume: ranges that cannot be close the connection") {
    open(Durability::disk, 1);
    (void)client->take();
    MessageRange range{MessageNumber(1), 0};
    SUBCASE("empty") {}
    SUBCASE("number 0") {
        range = {MessageNumber(0), 1};
    }
    SUBCASE("beyond all numbers") {
        range = {MessageNumber(2), UINT64_MAX - 1};
    }
    for (const FrameType type : {FrameType::ack, FrameType::nack, FrameType::extend}) {
        WireClient& other = connect();
        (void)other.open_consumer("q");
        other.settle(type, {range});
        other.expect_error(ErrorCode::protocol_violation);
    }
    client->ack(2, UINT64_MAX - 2, 3);  // nobody's, but possible
    CHECK(client->next<wire::Settled>().not_leased == UINT64_MAX - 2);
}

TEST_CASE("consume: who does not read gets only so much") {
    CoreFixture fixture;
    fixture.options.output_bytes_max = 40'000;
    fixture.start();
    fixture.create("q", Durability::memory);
    WireClient& client = fixture.connect();
    (void)client.open_producer("q");
    for (std::uint64_t line = 1; line <= 100; ++line) {
        client.publish(line, {string(1000, 'x')});
        (void)client.take();
    }
    WireClient& slow = fixture.connect();
    slow.send(wire::OpenConsumer{"q", 0, plenty, plenty}, 2, 9);
    CHECK(slow.session().output().bytes() < 25'000);
    CHECK_FALSE(slow.session().overflowed());
    std::uint64_t got = 0;
    for (int round = 0; round < 100 && got < 100; ++round) {
        for (const Received& frame : slow.take()) {
            got += frame.header.type == FrameType::deliver ? frame.as<wire::Deliver>().count : 0;
        }
        fixture.daemon.settle();
    }
    CHECK(got == 100);
    SUBCASE("and who asks without reading is closed") {
        while (!slow.session().overflowed()) {
            slow.send(wire::Status{}, 0, 1);
        }
    }
}

TEST_CASE("consume: small messages in batches of their own do not overflow who reads") {
    CoreFixture fixture;
    fixture.options.output_bytes_max = 40'000;
    fixture.start();
    fixture.create("q", Durability::memory);
    WireClient& client = fixture.connect();
    (void)client.open_producer("q");
    for (std::uint64_t line = 1; line <= 5000; ++line) {
        client.publish(line, {""});
        (void)client.take();
    }
    WireClient& reader = fixture.connect();
    reader.send(wire::OpenConsumer{"q", 0, plenty, plenty}, 2, 9);
    std::uint64_t got = 0;
    for (int round = 0; round < 5000 && got < 5000; ++round) {
        REQUIRE(reader.session().output().bytes() <= 20'000 + 200);  // half of it, and a delivery
        for (const Received& frame : reader.take()) {
            got += frame.header.type == FrameType::deliver ? frame.as<wire::Deliver>().count : 0;
        }
        fixture.daemon.settle();
    }
    CHECK(got == 5000);
}

// --- handles

TEST_CASE_FIXTURE(ServingFixture, "handles: numbers are given by the client, within bounds") {
    create("q", Durability::disk);
    WireClient& client = connect();
    wire::OpenProducer frame;
    frame.queue = "q";
    client.send(frame, 0, 1);
    client.expect_error(ErrorCode::too_many_handles, 1);
    client.send(frame, options.handles_max + 1, 2);
    client.expect_error(ErrorCode::too_many_handles, 2);
    client.send(frame, options.handles_max, 3);
    (void)client.next<wire::Opened>();
    client.send(frame, options.handles_max, 4);
    client.expect_error(ErrorCode::handle_in_use, 4);
    client.send(wire::CloseHandle{}, options.handles_max, 5);
    (void)client.next<wire::Closed>();
    client.send(wire::CloseHandle{}, options.handles_max, 6);
    client.expect_error(ErrorCode::no_such_handle, 6);
    client.send(frame, options.handles_max, 7);
    (void)client.next<wire::Opened>();
}

TEST_CASE_FIXTURE(ServingFixture, "handles: a queue must be there, and a lease not too long") {
    create("q", Durability::disk);
    WireClient& client = connect();
    wire::OpenProducer frame;
    frame.queue = "nobody";
    client.send(frame, 1, 1);
    client.expect_error(ErrorCode::no_such_queue, 1);
    frame.queue = ".bad";
    client.send(frame, 1, 2);
    client.expect_error(ErrorCode::bad_name, 2);
    client.send(wire::OpenConsumer{"q", 24 * 3600 * 1000 + 1, 1, 1}, 1, 3);
    client.expect_error(ErrorCode::bad_option, 3);
    client.send(wire::OpenConsumer{"q", 24 * 3600 * 1000, 1, 1}, 1, 4);
    (void)client.next<wire::Opened>();
}

TEST_CASE_FIXTURE(ServingFixture, "handles: CLOSED of a producer comes behind its last answer") {
    create("q", Durability::disk);
    WireClient& client = connect();
    (void)client.open_producer("q");
    client.publish(1, {"a"});
    client.send(wire::CloseHandle{}, 1, 2);
    CHECK(client.silent());
    SUBCASE("as it should be") {
        daemon.settle();
        (void)client.next<wire::Confirm>();
        (void)client.next<wire::Closed>();
        CHECK(client.last_header().correlation == CorrelationId(2));
        (void)client.open_producer("q");
    }
    SUBCASE("a second CLOSE_HANDLE finds nothing to close") {
        client.send(wire::CloseHandle{}, 1, 3);
        client.expect_error(ErrorCode::no_such_handle, 3);
        daemon.settle();
        (void)client.next<wire::Confirm>();
        (void)client.next<wire::Closed>();
        CHECK(client.last_header().correlation == CorrelationId(2));
        CHECK(client.silent());
    }
    SUBCASE("nothing may be published behind it") {
        client.publish(2, {"b"});
        client.expect_error(ErrorCode::protocol_violation);
    }
    SUBCASE("a refusal is an answer") {
        WireClient& other = connect();
        (void)other.open_producer("q");
        other.publish(1, {string(options.message_bytes_max + 1, 'x')});
        other.send(wire::CloseHandle{}, 1, 2);
        daemon.settle();
        (void)other.next<wire::Refuse>();
        (void)other.next<wire::Closed>();
    }
    SUBCASE("and the connection may end meanwhile") {
        clients.pop_back();
        daemon.settle();
        CHECK(queue("q").ready() == 1);
    }
}

TEST_CASE_FIXTURE(Consuming, "handles: a deleted queue ends its consumers, not the session") {
    open(Durability::disk, 5, 3);
    (void)client->take();
    WireClient& admin = connect();
    admin.ask(FrameType::queue_delete, "q", 12);
    client->ack(1, 1, 30);
    daemon.settle();
    CHECK(admin.next<wire::Done>().count == 5);
    bool told = false;
    bool settled = false;
    for (const Received& frame : client->take()) {
        if (frame.header.type == FrameType::error) {
            CHECK(frame.as<wire::ErrorFrame>().code == ErrorCode::queue_deleted);
            CHECK(frame.header.handle == HandleId(2));
            told = true;
        } else {
            CHECK(frame.as<wire::Settled>().settled == 1);
            settled = true;
        }
    }
    CHECK(told);
    CHECK(settled);
    client->ack(2, 1, 31);
    CHECK(client->next<wire::Settled>().not_leased == 1);
    client->send(wire::CloseHandle{}, 2, 32);
    (void)client->next<wire::Closed>();
    client->publish(6, {"x"});
    CHECK(client->next<wire::Refuse>().error.code == ErrorCode::queue_deleted);
    CHECK(daemon.core().engine().find("q") == nullptr);
}

// The ack of a message whose queue is being deleted is not durable before the deletion is.
TEST_CASE_FIXTURE(Consuming, "handles: an ack is not confirmed before the deletion it goes with") {
    open(Durability::disk, 2);
    (void)client->take();
    WireClient& admin = connect();
    admin.ask(FrameType::queue_delete, "q", 12);
    client->ack(1, 1, 30);
    CHECK(client->silent());
    kill();
    start();
    CHECK(queue("q").live() == 2);
}

}  // namespace
}  // namespace mqd::core::test
