// Messages that fail too often, or that a consumer rejects, go to the dead letters, whatever
// happens meanwhile.

#include "core/core_fixture.hpp"
#include "daemon/core/check_store.hpp"

namespace mqd::core::test {

namespace {

struct Dead {
    std::string body;
    wire::DeadLetterView view;
    std::vector<std::byte> bytes;  // what the view looks at
};

class DeadLetter : public CoreFixture {
  protected:
    void create_with(std::string_view name, Durability durability, std::uint32_t max_attempts,
                     std::string_view dead_letter = {}) {
        WireClient& client = connect();
        wire::QueueCreate frame;
        frame.queue = name;
        frame.options.durability = durability;
        frame.options.max_attempts = max_attempts;
        frame.options.dead_letter = dead_letter;
        client.send(frame, 0, 1);
        daemon.settle();
        (void)client.next<wire::QueueInfo>();
        clients.pop_back();
    }
    void fill(std::string_view name, const std::vector<std::string>& bodies) {
        WireClient& client = connect();
        (void)client.open_producer(name);
        client.publish(1, bodies);
        daemon.settle();
        (void)client.await<wire::Confirm>();
        clients.pop_back();
    }
    void nack(WireClient& client, MessageRange range, std::string_view reason,
              std::uint8_t flags = 0) {
        std::vector<std::byte> bytes;
        wire::append_settle(bytes, wire::FrameType::nack, {0, {&range, 1}, reason},
                            CorrelationId(0), HandleId(2), flags);
        client.receive(bytes);
        daemon.settle();
    }
    // All that a new consumer of the queue gets, with what it says of its death.
    std::vector<Dead> dead_in(std::string_view name) {
        WireClient& client = connect();
        (void)client.open_consumer(name);
        daemon.settle();
        std::vector<Dead> found;
        for (const Received& frame : client.take()) {
            if (frame.header.type != wire::FrameType::deliver) {
                continue;
            }
            wire::BatchReader reader(frame.as<wire::Deliver>().batch);
            while (const auto message = reader.next()) {
                Dead& one = found.emplace_back();
                one.body = wire::as_text(message->body);
                one.bytes.assign(message->attributes.begin(), message->attributes.end());
                wire::AttributeReader attributes(one.bytes);
                while (const auto attribute = attributes.next()) {
                    one.view = wire::decode_dead_letter(*attribute).value_or(one.view);
                }
            }
        }
        client.end();
        clients.pop_back();
        daemon.settle();
        return found;
    }
    // Delivers all there is and lets the connection break.
    void fail_all(std::string_view name) {
        WireClient& client = connect();
        (void)client.open_consumer(name);
        daemon.settle();
        client.end();
        clients.pop_back();
        daemon.settle();
    }
};

}  // namespace

TEST_CASE_FIXTURE(DeadLetter, "dead letter: after the last attempt, and not before") {
    for (const Durability durability :
         {Durability::memory, Durability::written, Durability::disk}) {
        CAPTURE(durability);
        if (!daemon.up()) {
            start();
        }
        const std::string name = "q" + std::to_string(static_cast<int>(durability));
        create_with(name, durability, 3);
        fill(name, {"a", "b"});
        for (int i = 1; i <= 3; ++i) {
            CHECK(queue(name).ready() == 2);
            CHECK(daemon.core().engine().find(name + ".dead") == nullptr);
            fail_all(name);
        }
        CHECK(queue(name).live() == 0);
        CHECK(queue(name + ".dead").ready() == 2);
        CHECK(queue(name + ".dead").definition().durability == durability);
        const auto dead = dead_in(name + ".dead");
        REQUIRE(dead.size() == 2);
        CHECK(dead[1].body == "b");
        CHECK(dead[1].view.cause == wire::DeadLetterCause::attempts);
        CHECK(dead[1].view.attempts == 3);
        CHECK(dead[1].view.number == MessageNumber(2));
        CHECK(dead[1].view.queue == name);
        CHECK(dead[1].view.reason == "the connection of its consumer ended");
        // Dead letters have no limit of their own.
        for (int i = 0; i < 30; ++i) {
            fail_all(name + ".dead");
        }
        CHECK(queue(name + ".dead").ready() == 2);
    }
}

TEST_CASE_FIXTURE(DeadLetter, "dead letter: rejected with a reason, at once") {
    start();
    create_with("q", Durability::disk, 16, "morgue");
    fill("q", {"a", "b", "c"});
    WireClient& client = connect();
    (void)client.open_consumer("q");
    daemon.settle();
    nack(client, {MessageNumber(2), 1}, "no such customer", wire::flag_dead_letter);
    CHECK(queue("q").live() == 2);
    client.end();
    const auto dead = dead_in("morgue");
    REQUIRE(dead.size() == 1);
    CHECK(dead[0].body == "b");
    CHECK(dead[0].view.cause == wire::DeadLetterCause::rejected);
    CHECK(dead[0].view.reason == "no such customer");
    CHECK(dead[0].view.attempts == 1);
    CHECK(dead[0].view.first_failed == dead[0].view.last_failed);
}

TEST_CASE_FIXTURE(DeadLetter,
                  "dead letter: counts, times and reasons survive kill and power loss") {
    for (const bool power : {false, true}) {
        for (const bool checkpoint : {false, true}) {
            CAPTURE(power);
            CAPTURE(checkpoint);
            disk.load({});
            options.journal = {64 * 1024, 8 * 64 * 1024};
            start();
            create_with("q", Durability::disk, 3);
            fill("q", {"a"});
            const auto fail = [&](const std::string& reason) {
                WireClient& client = connect();
                (void)client.open_consumer("q", 2, 1);  // once: it is not to come again at once
                daemon.settle();
                nack(client, {MessageNumber(1), 1}, reason);
                client.end();
                clients.pop_back();
                daemon.pass(std::chrono::seconds(2));
                daemon.settle_for(std::chrono::milliseconds(100));
            };
            const auto again = [&] {
                if (checkpoint) {
                    create("other", Durability::disk);
                    for (int i = 0; i < 40; ++i) {
                        fill("other", {std::string(5'000, 'x')});
                    }
                    daemon.settle_for(std::chrono::milliseconds(100));
                    REQUIRE(daemon.core().checkpoint().figures().checkpoints > 0);
                }
                power ? lose_power() : kill();
                start();
            };
            fail("first");
            again();
            fail("second");
            again();
            CHECK(queue("q").ready() == 1);
            fail("third");
            again();
            CHECK(queue("q").live() == 0);
            const auto dead = dead_in("q.dead");
            REQUIRE(dead.size() == 1);
            CHECK(dead[0].body == "a");
            CHECK(dead[0].view.attempts == 3);
            CHECK(dead[0].view.reason == "third");
            CHECK(dead[0].view.last_failed - dead[0].view.first_failed >= std::chrono::seconds(4));
            clients.clear();
            daemon.end();
        }
    }
}

TEST_CASE_FIXTURE(DeadLetter, "dead letter: the last delivery was under way when the daemon died") {
    start();
    create_with("q", Durability::disk, 2);
    fill("q", {"a"});
    fail_all("q");
    WireClient& client = connect();
    (void)client.open_consumer("q");
    daemon.settle_for(std::chrono::milliseconds(100));
    kill();
    start();
    daemon.settle();
    CHECK(queue("q").live() == 0);
    CHECK(queue("q.dead").ready() == 1);
}

TEST_CASE_FIXTURE(DeadLetter,
                  "dead letter: what is given back, or ended by a stop, does not count") {
    start();
    create_with("q", Durability::disk, 2);
    create_with("m", Durability::memory, 2);
    fill("q", {"a"});
    fill("m", {"a"});
    for (int i = 0; i < 5; ++i) {
        for (const std::string_view name : {"q", "m"}) {
            WireClient& client = connect();
            (void)client.open_consumer(name);
            daemon.settle();
            CHECK(client.await<wire::Deliver>().attempt == 1);
            client.send(wire::CloseHandle{}, 2, 7);
            (void)client.await<wire::Closed>();
            (void)client.open_consumer(name);
            daemon.settle();
            CHECK(client.await<wire::Deliver>().attempt == 1);
            client.send(wire::Goodbye{}, 0, 8);
            daemon.settle();
            (void)client.await<wire::GoodbyeReply>();
            clients.pop_back();
        }
    }
    CHECK(queue("q").ready() == 1);
    CHECK(queue("m").ready() == 1);
    fail_all("q");
    WireClient& client = connect();
    (void)client.open_consumer("q");
    daemon.settle();
    CHECK(client.await<wire::Deliver>().attempt == 2);
    daemon.core().begin_stop();
    client.end();
    clients.clear();
    daemon.settle_for(std::chrono::milliseconds(100));
    REQUIRE(daemon.core().stopped());
    daemon.end();
    start();
    CHECK(queue("q").ready() == 1);
    WireClient& last = connect();
    (void)last.open_consumer("q");
    daemon.settle();
    CHECK(last.await<wire::Deliver>().attempt == 2);
}

TEST_CASE_FIXTURE(DeadLetter, "dead letter: what waits in a segment is read to be moved") {
    options.journal = {64 * 1024, 8 * 64 * 1024};
    options.backlog.memory_bytes = 20'000;
    options.backlog.page_bytes = 4'000;
    options.backlog.segment_bytes = 16'000;
    start();
    create_with("q", Durability::disk, 1);
    for (int i = 0; i < 100; ++i) {
        fill("q", {std::to_string(i) + std::string(1000, 'x')});
    }
    daemon.settle_for(std::chrono::milliseconds(100));
    for (int i = 0; i < 20 && queue("q").live() > 0; ++i) {
        fail_all("q");
        daemon.settle_for(std::chrono::milliseconds(1000));
    }
    CHECK(queue("q").live() == 0);
    CHECK(queue("q.dead").ready() == 100);
    const auto all = dead_in("q.dead");
    CHECK(all.size() >= 10);  // as many as memory and window let through at once
    lose_power();
    const auto report = check_store(disk);
    REQUIRE(report.has_value());
    CHECK(report->sound());
    start();
    CHECK(queue("q.dead").live() == 100);
}

TEST_CASE_FIXTURE(DeadLetter, "dead letter: a full disk makes it wait, and nothing is lost") {
    options.journal = {64 * 1024, 4 * 64 * 1024};
    options.backlog.memory_bytes = 20'000;
    options.backlog.segment_bytes = 16'000;
    start();
    create_with("q", Durability::disk, 1);
    create("other", Durability::disk);
    for (int i = 0; i < 5; ++i) {
        fill("q", {std::to_string(i) + std::string(500, 'x')});
    }
    WireClient& client = connect();
    (void)client.open_producer("other");
    disk.set_capacity(disk.used());
    for (std::uint64_t line = 1; line <= 200; ++line) {
        client.publish(line, {std::string(2000, 'x')});
        daemon.settle();
    }
    fail_all("q");
    CHECK(queue("q").dying() +
              (daemon.core().engine().find("q.dead") != nullptr ? queue("q.dead").live() : 0) ==
          5);
    CHECK(queue("q").dying() > 0);
    disk.set_capacity(UINT64_MAX);
    daemon.settle_for(std::chrono::milliseconds(3000));
    CHECK(queue("q").live() == 0);
    CHECK(queue("q.dead").ready() == 5);
}

TEST_CASE_FIXTURE(DeadLetter, "dead letter: queues and limits can be changed and go meanwhile") {
    start();
    create_with("q", Durability::disk, 5);
    fill("q", {"a", "b"});
    fail_all("q");
    fail_all("q");
    WireClient& admin = connect();
    wire::QueueUpdate update;
    update.queue = "q";
    update.options.max_attempts = 3;
    update.options.dead_letter = "elsewhere";
    admin.send(update, 0, 3);
    daemon.settle();
    const auto info = admin.await<wire::QueueInfo>();
    CHECK(info.options.max_attempts == 3);
    CHECK(info.options.dead_letter == "elsewhere");
    kill();
    start();
    CHECK(queue("q").definition().max_attempts == 3);
    fail_all("q");
    CHECK(queue("q").live() == 0);
    CHECK(queue("elsewhere").ready() == 2);
    WireClient& other = connect();
    update.options = {};
    update.options.durability = Durability::memory;
    other.send(update, 0, 4);
    other.expect_error(ErrorCode::bad_option, 4);
    update.options = {};
    update.options.dead_letter = "q";
    other.send(update, 0, 5);
    other.expect_error(ErrorCode::bad_option, 5);
}

TEST_CASE_FIXTURE(DeadLetter, "dead letter: into a queue of another durability") {
    for (const Durability from : {Durability::memory, Durability::written, Durability::disk}) {
        for (const Durability to : {Durability::memory, Durability::written, Durability::disk}) {
            CAPTURE(from);
            CAPTURE(to);
            disk.load({});
            start();
            create_with("from", from, 1, "to");
            create("to", to);
            fill("from", {"a", "b", "c"});
            fail_all("from");
            CHECK(queue("from").live() == 0);
            CHECK(queue("to").ready() == 3);
            if (to == Durability::disk) {
                lose_power();
                start();
                CHECK(queue("to").ready() == 3);
                CHECK(queue("from").live() == 0);
            }
            clients.clear();
            daemon.end();
        }
    }
}

TEST_CASE_FIXTURE(DeadLetter, "dead letter: a rejection survives a stop before the move") {
    for (const bool clean : {false, true}) {
        CAPTURE(clean);
        disk.load({});
        start();
        create_with("q", Durability::disk, 0);
        fill("q", {"a", "b"});
        WireClient& client = connect();
        (void)client.open_consumer("q");
        daemon.settle();
        const MessageRange one{MessageNumber(1), 1};
        std::vector<std::byte> bytes;
        wire::append_settle(bytes, wire::FrameType::nack, {0, {&one, 1}, "no"}, CorrelationId(0),
                            HandleId(2), wire::flag_dead_letter);
        daemon.begin_turn();
        client.session().receive(bytes);
        daemon.core().begin_stop();  // so that nothing is moved any more
        daemon.end_turn();
        daemon.settle_for(std::chrono::milliseconds(50));
        client.end();
        clients.clear();
        if (clean) {
            daemon.settle_for(std::chrono::milliseconds(100));
            REQUIRE(daemon.core().stopped());
        }
        daemon.end();
        disk.kill();
        start();
        daemon.settle();
        CHECK(queue("q").live() == 1);
        CHECK(queue("q.dead").ready() == 1);
        clients.clear();
        daemon.end();
    }
}

TEST_CASE_FIXTURE(DeadLetter, "dead letter: what is rejected among the dead letters stays there") {
    start();
    create_with("q.dead", Durability::disk, 2);
    fill("q.dead", {"a"});
    WireClient& client = connect();
    (void)client.open_consumer("q.dead", 2, 1);
    daemon.settle();
    nack(client, {MessageNumber(1), 1}, "no", wire::flag_dead_letter);
    CHECK(queue("q.dead").ready() == 1);
    client.end();
    for (int i = 0; i < 4; ++i) {
        fail_all("q.dead");
    }
    CHECK(queue("q.dead").ready() == 1);
    CHECK(daemon.core().engine().queues().size() == 1);
}

TEST_CASE_FIXTURE(DeadLetter,
                  "dead letter: no queue is made beyond limits.queues, and others go on") {
    options.queues_max = 3;
    start();
    create_with("a", Durability::disk, 1);
    create_with("b", Durability::memory, 1, "c");
    create_with("c", Durability::memory, 0);
    fill("a", {"1"});
    fill("b", {"1", "2"});
    fail_all("a");
    fail_all("b");
    CHECK(queue("a").dying() == 1);
    CHECK(queue("c").ready() == 2);
    WireClient& client = connect();
    client.send(wire::QueuePurge{"a"}, 0, 5);
    daemon.settle();
    CHECK(client.await<wire::Done>().count == 1);
    CHECK(queue("a").live() == 0);
}

// With what they say of their death, they may not fit into one commit group as they once did.
TEST_CASE_FIXTURE(DeadLetter, "dead letter: a batch as large as may be is moved in parts") {
    options.journal = {64 * 1024, 512 * 1024};
    start();
    create_with("q", Durability::disk, 1);
    const std::string body(1950, 'x');
    fill("q", {body, body, body, body});
    WireClient& client = connect();
    (void)client.open_consumer("q");
    daemon.settle();
    nack(client, {MessageNumber(1), 4}, std::string(255, 'r'));
    daemon.settle_for(std::chrono::seconds(2));
    CHECK(queue("q").live() == 0);
    CHECK(dead_in("q.dead").size() == 4);
}

TEST_CASE_FIXTURE(DeadLetter,
                  "dead letter: a name of any length is an error, and no more than that") {
    start();
    WireClient& client = connect();
    for (const std::size_t bytes : {201u, 1000u, 65'400u, 65'535u}) {
        const std::string name(bytes, 'x');
        wire::QueueCreate frame;
        frame.queue = "q";
        frame.options.dead_letter = name;
        client.send(frame, 0, 6);
        client.expect_error(ErrorCode::bad_option, 6);
    }
}

}  // namespace mqd::core::test
