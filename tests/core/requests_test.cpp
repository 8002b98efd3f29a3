// The administrator's requests.

#include "core/core_fixture.hpp"

namespace mqd::core::test {
namespace {

using std::string;
using wire::FrameType;

struct Administering : ServingFixture {
    WireClient& admin = connect();

    void ask_for(std::string_view name, Durability durability, std::uint32_t lease_ms = 0) {
        wire::QueueCreate frame;
        frame.queue = name;
        frame.options.durability = durability;
        frame.options.lease_ms = lease_ms;
        admin.send(frame, 0, 3);
        daemon.settle();
    }
};

TEST_CASE_FIXTURE(Administering, "create: answered when it is on the disk, with what it is") {
    wire::QueueCreate frame;
    frame.queue = "jobs";
    frame.options.lease_ms = 1234;
    admin.send(frame, 0, 3);
    CHECK(admin.silent());
    daemon.settle();
    const auto info = admin.next<wire::QueueInfo>();
    CHECK(info.queue == "jobs");
    CHECK(info.durability == Durability::disk);
    CHECK(info.lease_ms == 1234);
    CHECK(info.next_number == MessageNumber(1));
}

TEST_CASE_FIXTURE(Administering, "create: the same again is fine, another is not") {
    ask_for("jobs", Durability::written);
    const QueueId id = admin.next<wire::QueueInfo>().incarnation;
    ask_for("jobs", Durability::written);
    CHECK(admin.next<wire::QueueInfo>().incarnation == id);
    ask_for("jobs", Durability::disk);
    admin.expect_error(ErrorCode::queue_exists, 3);
    ask_for("jobs", Durability::written, 77);
    admin.expect_error(ErrorCode::queue_exists, 3);
}

TEST_CASE_FIXTURE(Administering, "create: names and options are checked") {
    ask_for("", Durability::disk);
    admin.expect_error(ErrorCode::bad_name, 3);
    ask_for(string(wire::queue_name_bytes_max + 1, 'a'), Durability::disk);
    admin.expect_error(ErrorCode::bad_name, 3);
    ask_for(string(wire::queue_name_bytes_max, 'a'), Durability::disk);
    (void)admin.next<wire::QueueInfo>();
    ask_for("q", static_cast<Durability>(4));
    admin.expect_error(ErrorCode::bad_option, 3);
    ask_for("q", Durability::disk, 24 * 3600 * 1000 + 1);
    admin.expect_error(ErrorCode::bad_option, 3);
}

TEST_CASE("create: there is a limit") {
    CoreFixture fixture;
    fixture.options.queues_max = 2;
    fixture.start();
    fixture.create("a", Durability::disk);
    fixture.create("b", Durability::memory);
    WireClient& client = fixture.connect();
    wire::QueueCreate frame;
    frame.queue = "c";
    client.send(frame, 0, 3);
    client.expect_error(ErrorCode::too_many_queues, 3);
}

TEST_CASE_FIXTURE(Administering, "list: in order of names, and in pieces") {
    for (const char* name : {"b", "d", "a", "c"}) {
        ask_for(name, Durability::disk);
        (void)admin.next<wire::QueueInfo>();
    }
    wire::QueueList frame;
    frame.max = 3;
    admin.send(frame, 0, 4);
    auto reply = admin.next<wire::QueueListReply>();
    REQUIRE(reply.queues.size() == 3);
    CHECK(reply.more);
    CHECK(reply.queues[0].queue == "a");
    frame.after = "c";
    admin.send(frame, 0, 5);
    reply = admin.next<wire::QueueListReply>();
    REQUIRE(reply.queues.size() == 1);
    CHECK_FALSE(reply.more);
    CHECK(reply.queues[0].queue == "d");
}

TEST_CASE_FIXTURE(Administering, "show: producers are counted, however they end") {
    create("q", Durability::disk);
    const auto producers = [&] {
        admin.ask(wire::FrameType::queue_show, "q");
        return admin.next<wire::QueueInfo>().producers;
    };
    WireClient& client = connect();
    for (std::uint32_t handle = 1; handle <= 3; ++handle) {
        (void)client.open_producer("q", handle);
    }
    CHECK(producers() == 3);
    client.publish(1, {"x"}, Durability::unspecified, 1);
    client.send(wire::CloseHandle{}, 1, 4);
    CHECK(producers() == 3);  // it waits for its answer
    daemon.settle();
    CHECK(producers() == 2);
    SUBCASE("with their connection") {
        client.end();
        CHECK(producers() == 0);
    }
    SUBCASE("with their queue") {
        admin.ask(wire::FrameType::queue_delete, "q");
        daemon.settle();
        (void)admin.next<wire::Done>();
        create("q", Durability::disk);
        CHECK(producers() == 0);
        client.send(wire::CloseHandle{}, 2, 5);
        client.end();
        CHECK(producers() == 0);
    }
}

TEST_CASE("list: a reply fits into what the client takes") {
    CoreFixture fixture;
    fixture.options.queues_max = 500;
    fixture.start();
    fixture.daemon.begin_turn();
    for (int i = 0; i < 400; ++i) {
        engine::QueueDefinition definition;
        definition.name = std::to_string(i) + string(190, 'n');
        fixture.daemon.core().declare_queue(definition);
    }
    fixture.daemon.end_turn();
    fixture.daemon.settle();
    WireClient client(fixture.daemon);
    wire::Hello hello;
    hello.frame_body_bytes_max = 65'536;
    client.send(hello);
    (void)client.next<wire::Welcome>();
    std::size_t seen = 0;
    string after;
    for (bool more = true; more;) {
        wire::QueueList frame;
        frame.after = after;
        frame.max = 1000;
        client.send(frame, 0, 4);
        const auto reply = client.next<wire::QueueListReply>();
        CHECK(client.last_header().body_bytes <= 65'536);
        REQUIRE_FALSE(reply.queues.empty());
        seen += reply.queues.size();
        after = reply.queues.back().queue;
        more = reply.more;
    }
    CHECK(seen == 400);
}

TEST_CASE_FIXTURE(Administering, "show, purge and delete say how much") {
    create("q", Durability::disk);
    WireClient& client = connect();
    (void)client.open_producer("q");
    for (std::uint64_t line = 1; line <= 5; ++line) {
        client.publish(line, {"x"});
    }
    daemon.settle();
    (void)client.open_consumer("q", 2, 2);
    admin.ask(FrameType::queue_show, "q");
    const auto info = admin.next<wire::QueueInfo>();
    CHECK(info.ready == 3);
    CHECK(info.leased == 2);
    CHECK(info.consumers == 1);
    CHECK(info.producers == 1);
    CHECK(info.next_number == MessageNumber(6));
    CHECK(info.bytes == 5 * 9);
    admin.ask(FrameType::queue_purge, "q");
    CHECK(admin.silent());
    daemon.settle();
    CHECK(admin.next<wire::Done>().count == 3);
    admin.ask(FrameType::queue_delete, "q");
    daemon.settle();
    CHECK(admin.next<wire::Done>().count == 2);
    admin.ask(FrameType::queue_show, "q");
    admin.expect_error(ErrorCode::no_such_queue, 7);
    CHECK(daemon.core().journal().figures().booked_bytes == 0);
}

TEST_CASE_FIXTURE(Administering, "peek: shows bodies and states, and takes nothing") {
    create("q", Durability::disk);
    WireClient& client = connect();
    (void)client.open_producer("q");
    for (std::uint64_t line = 1; line <= 4; ++line) {
        client.publish(line, {std::to_string(line)});
    }
    daemon.settle();
    (void)client.open_consumer("q", 2, 1);
    wire::Peek frame;
    frame.queue = "q";
    frame.max = 3;
    admin.send(frame, 0, 8);
    const auto reply = admin.next<wire::PeekReply>();
    CHECK(reply.more);
    CHECK(reply.next == MessageNumber(4));
    REQUIRE(reply.runs.size() == 3);
    CHECK(reply.runs[0].state == wire::MessageState::leased);
    CHECK(reply.runs[0].messages.attempt == 1);
    CHECK(reply.runs[1].state == wire::MessageState::ready);
    CHECK(reply.runs[1].messages.attempt == 0);
    CHECK(bodies_of(reply.runs[2].messages) == std::vector<string>{"3"});
    frame.from = reply.next;
    admin.send(frame, 0, 8);
    const auto rest = admin.next<wire::PeekReply>();
    CHECK_FALSE(rest.more);
    REQUIRE(rest.runs.size() == 1);
    CHECK(queue("q").ready() == 3);
}

TEST_CASE_FIXTURE(ServingFixture, "peek: a client that takes small frames only is told so") {
    create("q", Durability::memory);
    WireClient client(daemon);
    wire::Hello hello;
    hello.frame_body_bytes_max = 65'536;
    client.send(hello);
    (void)client.next<wire::Welcome>();
    wire::Peek frame;
    frame.queue = "q";
    client.send(frame, 0, 8);
    client.expect_error(ErrorCode::bad_option, 8);
}

TEST_CASE_FIXTURE(Administering, "status: named numbers") {
    create("q", Durability::disk);
    admin.send(wire::Status{}, 0, 8);
    const auto reply = admin.next<wire::StatusReply>();
    bool found = false;
    for (const auto& item : reply.items) {
        found = found || (item.name == "queues" && item.value == 1);
    }
    CHECK(found);
}

}  // namespace
}  // namespace mqd::core::test
