// Messages whose time to live is over: never delivered after it and never ended before it, wherever
// they lie and whatever happens to the daemon meanwhile.

#include "core/core_fixture.hpp"
#include "daemon/core/check_store.hpp"
#include "support/canonical_state.hpp"

namespace mqd::core::test {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Bodies = std::vector<std::string>;

struct Mortal {
    std::string body;
    std::uint64_t ttl_ms = 0;  // 0: none
    std::uint64_t delay_ms = 0;
};

void add(wire::Writer& writer, wire::AttributeId id, std::uint64_t value) {
    writer.number(static_cast<std::uint16_t>(static_cast<std::uint16_t>(id) | wire::critical_bit));
    writer.number(std::uint16_t{8}).number(value);
}

class Ttl : public CoreFixture {
  protected:
    static std::vector<std::byte> mortal_batch(const std::vector<Mortal>& messages) {
        std::vector<std::byte> batch;
        for (const Mortal& message : messages) {
            std::vector<std::byte> attributes;
            wire::Writer writer(attributes);
            if (message.ttl_ms != 0) {
                add(writer, wire::AttributeId::ttl, message.ttl_ms);
            }
            if (message.delay_ms != 0) {
                add(writer, wire::AttributeId::delay, message.delay_ms);
            }
            wire::append_message(batch, attributes, wire::as_bytes(message.body));
        }
        return batch;
    }
    void send(WireClient& client, std::uint64_t line, wire::Bytes batch, std::uint32_t count) {
        wire::Publish frame;
        frame.first_line = LineNumber(line);
        frame.count = count;
        frame.batch = batch;
        client.send(frame, 1);
        daemon.settle();
    }
    void publish(std::string_view name, const std::vector<Mortal>& messages) {
        WireClient& client = connect();
        (void)client.open_producer(name);
        send(client, 1, mortal_batch(messages), static_cast<std::uint32_t>(messages.size()));
        (void)client.await<wire::Confirm>();
        clients.pop_back();
    }
    void make(std::string_view name, Durability durability, std::uint64_t ttl_ms,
              OnExpired on_expired = OnExpired::drop) {
        WireClient& client = connect();
        wire::QueueCreate frame;
        frame.queue = name;
        frame.options.durability = durability;
        frame.options.ttl_ms = ttl_ms;
        frame.options.on_expired = on_expired;
        client.send(frame, 0, 1);
        daemon.settle();
        const auto info = client.await<wire::QueueInfo>();
        CHECK(info.options.ttl_ms == ttl_ms);
        CHECK(info.options.on_expired == on_expired);
        clients.pop_back();
    }
    void update(std::string_view name, const wire::QueueOptions& wanted) {
        WireClient& client = connect();
        wire::QueueUpdate frame;
        frame.queue = name;
        frame.options = wanted;
        client.send(frame, 0, 1);
        daemon.settle();
        (void)client.await<wire::QueueInfo>();
        clients.pop_back();
    }
    wire::QueueInfo info(std::string_view name) {
        WireClient& client = connect();
        client.ask(wire::FrameType::queue_show, name);
        daemon.settle();
        auto found = client.await<wire::QueueInfo>();
        clients.pop_back();
        found.queue = {};
        return found;
    }
    // What is delivered now to a consumer that gives it all back.
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
    void end_daemon(int how) { how == 0 ? kill() : how == 1 ? lose_power() : stop(); }
    void expect_sound() {
        kill();
        const auto report = check_store(disk);
        REQUIRE(report.has_value());
        CHECK(report->findings.empty());
        start();
    }
};

}  // namespace

TEST_CASE_FIXTURE(Ttl, "ttl: gone at its time and not before, wherever it lies in the queue") {
    start();
    for (const Durability durability :
         {Durability::memory, Durability::written, Durability::disk}) {
        CAPTURE(durability);
        const std::string name = "q" + std::to_string(static_cast<int>(durability));
        create(name, durability);
        publish(name, {{"a"}, {"b", 1000}, {"c", 500}, {"d"}, {"e", 500}, {"f", 2000, 1500}});
        daemon.settle_for(milliseconds(480));
        CHECK(ready_in(name) == Bodies{"a", "b", "c", "d", "e"});
        daemon.settle_for(milliseconds(50));
        CHECK(queue(name).live() == 4);
        CHECK(ready_in(name) == Bodies{"a", "b", "d"});
        daemon.settle_for(milliseconds(520));
        CHECK(ready_in(name) == Bodies{"a", "d"});
        daemon.settle_for(milliseconds(600));
        CHECK(ready_in(name) == Bodies{"a", "d", "f"});
        daemon.settle_for(milliseconds(600));
        CHECK(ready_in(name) == Bodies{"a", "d"});
        CHECK(queue(name).live() == 2);
        CHECK(info(name).expired == 4);
    }
}

TEST_CASE_FIXTURE(Ttl, "ttl: the queue's and the message's, the shorter one counts") {
    start();
    for (const Durability durability : {Durability::memory, Durability::disk}) {
        CAPTURE(durability);
        const std::string name = "q" + std::to_string(static_cast<int>(durability));
        make(name, durability, 1000);
        publish(name, {{"a"}, {"b", 500}, {"c", 5000}});
        daemon.settle_for(milliseconds(300));
        publish(name, {{"d"}});
        CHECK(ready_in(name) == Bodies{"a", "b", "c", "d"});
        daemon.settle_for(milliseconds(230));
        CHECK(ready_in(name) == Bodies{"a", "c", "d"});
        daemon.settle_for(milliseconds(510));
        CHECK(ready_in(name) == Bodies{"d"});
        daemon.settle_for(milliseconds(310));
        CHECK(ready_in(name).empty());
        CHECK(info(name).expired == 4);
    }
}

TEST_CASE_FIXTURE(Ttl, "ttl: a change counts for what is there") {
    start();
    make("q", Durability::disk, 0);
    publish("q", {{"a"}, {"b"}});
    daemon.settle_for(seconds(2));
    publish("q", {{"c"}});
    wire::QueueOptions wanted;
    wanted.ttl_ms = 10'000;
    update("q", wanted);
    CHECK(queue("q").live() == 3);
    wanted.ttl_ms = 1000;
    update("q", wanted);
    daemon.settle_for(milliseconds(20));
    CHECK(queue("q").live() == 1);
    wanted.ttl_ms = 0;
    update("q", wanted);
    daemon.settle_for(seconds(5));
    CHECK(ready_in("q") == Bodies{"c"});
    kill();
    start();
    daemon.settle_for(seconds(5));
    CHECK(ready_in("q") == Bodies{"c"});
}

TEST_CASE_FIXTURE(Ttl, "ttl: what is leased lives, and an ack wins, what comes back expires") {
    start();
    for (const Durability durability : {Durability::memory, Durability::disk}) {
        CAPTURE(durability);
        const std::string name = "q" + std::to_string(static_cast<int>(durability));
        create(name, durability);
        publish(name, {{"a", 500}, {"b", 500}, {"c", 500}, {"d", 60'000}});
        WireClient& client = connect();
        (void)client.open_consumer(name);
        daemon.settle();
        const auto first = client.await<wire::Deliver>().first_number.value();
        daemon.settle_for(milliseconds(600));
        CHECK(queue(name).leased() == 4);
        client.ack(first, 1, 5);
        daemon.settle();
        CHECK(client.await<wire::Settled>().settled == 1);
        client.settle(wire::FrameType::nack, {{MessageNumber(first + 1), 1}});
        daemon.settle_for(milliseconds(20));
        CHECK(queue(name).live() == 2);
        CHECK(client.silent());
        clients.pop_back();  // gives back the rest
        daemon.settle_for(milliseconds(20));
        CHECK(queue(name).live() == 1);
        CHECK(ready_in(name) == Bodies{"d"});
        CHECK(info(name).expired == 2);
    }
}

TEST_CASE_FIXTURE(Ttl, "ttl: it runs on across any end of the daemon") {
    for (const std::uint64_t queue_ttl : {0, 20'000}) {
        for (int how = 0; how < 3; ++how) {
            CAPTURE(queue_ttl);
            CAPTURE(how);
            start();
            const std::string name = "q" + std::to_string(queue_ttl) + std::to_string(how);
            make(name, Durability::disk, queue_ttl);
            publish(name, {{"a", queue_ttl == 0 ? 20'000u : 0}, {"b", 90'000}, {"c", 10'000}});
            end_daemon(how);
            start();
            daemon.settle_for(seconds(9));
            CHECK(queue(name).live() == 3);
            end_daemon(how);
            daemon.pass(seconds(5));  // the time that it is not running counts
            start();
            CHECK(ready_in(name) == Bodies{"a", "b"});
            daemon.settle_for(milliseconds(5000));
            CHECK(ready_in(name) == Bodies{"a", "b"});
            daemon.settle_for(milliseconds(1100));
            CHECK(ready_in(name) == (queue_ttl == 0 ? Bodies{"b"} : Bodies{}));
            end_daemon(how);
            daemon.shift_wall(
                std::chrono::hours(-5));  // and what the wall clock does then does not
            start();
            CHECK(ready_in(name) == (queue_ttl == 0 ? Bodies{"b"} : Bodies{}));
            expect_sound();
            end_daemon(how);
        }
    }
}

TEST_CASE_FIXTURE(Ttl, "ttl: dead letters say that they expired, and live on") {
    start();
    for (const Durability durability : {Durability::memory, Durability::disk}) {
        CAPTURE(durability);
        const std::string name = "q" + std::to_string(static_cast<int>(durability));
        make(name, durability, 1000, OnExpired::dead_letter);
        publish(name, {{"a"}, {"b", 500}, {"c", 100, 700}});
        daemon.settle_for(milliseconds(600));
        CHECK(queue(name).live() == 1);
        CHECK(queue(name + ".dead").live() == 2);
        daemon.settle_for(seconds(600));
        CHECK(queue(name).live() == 0);
        CHECK(info(name).expired == 3);
        WireClient& client = connect();
        (void)client.open_consumer(name + ".dead");
        daemon.settle();
        const auto frame = client.await<wire::Deliver>();
        wire::BatchReader reader(frame.batch);
        while (const auto message = reader.next()) {
            CHECK(wire::ttl_of(message->attributes) == 0);
            wire::AttributeReader attributes(message->attributes);
            std::optional<wire::DeadLetterView> dead;
            while (const auto attribute = attributes.next()) {
                dead = dead ? dead : wire::decode_dead_letter(*attribute);
            }
            REQUIRE(dead.has_value());
            CHECK(dead->cause == wire::DeadLetterCause::expired);
            CHECK(dead->attempts == 0);
            CHECK(dead->queue == name);
        }
        clients.pop_back();
    }
}

TEST_CASE_FIXTURE(Ttl,
                  "ttl: of dead letters it runs from their arrival, and they expire for good") {
    start();
    make("q.dead", Durability::disk, 1000, OnExpired::dead_letter);  // there is nowhere else
    make("q", Durability::disk, 1000, OnExpired::dead_letter);
    publish("q", {{"a"}});
    daemon.settle_for(milliseconds(1100));
    CHECK(ready_in("q.dead") == Bodies{"a"});
    daemon.settle_for(milliseconds(500));
    CHECK(queue("q.dead").live() == 1);
    daemon.settle_for(milliseconds(600));
    CHECK(queue("q.dead").live() == 0);
    expect_sound();
}

TEST_CASE_FIXTURE(Ttl, "ttl: two queues that are each other's dead letters are no circle") {
    start();
    for (const Durability durability : {Durability::memory, Durability::disk}) {
        CAPTURE(durability);
        make("a", durability, 1000, OnExpired::dead_letter);
        make("b", durability, 1000, OnExpired::dead_letter);
        wire::QueueOptions wanted;
        wanted.dead_letter = "b";
        update("a", wanted);
        wanted.dead_letter = "a";
        update("b", wanted);
        publish("a", {{"x"}});
        daemon.settle_for(milliseconds(1100));
        CHECK(queue("b").live() == 1);
        daemon.settle_for(milliseconds(1100));
        CHECK(queue("a").live() + queue("b").live() == 0);
        WireClient& client = connect();
        for (const std::string_view name : {"a", "b"}) {
            client.ask(wire::FrameType::queue_delete, name);
        }
        daemon.settle();
        clients.pop_back();
    }
    expect_sound();
}

TEST_CASE_FIXTURE(Ttl, "ttl: in segments") {
    options.backlog.memory_bytes = 20'000;
    options.backlog.page_bytes = 4000;
    for (const bool by_queue : {false, true}) {
        CAPTURE(by_queue);
        start();
        const std::string name = by_queue ? "all" : "each";
        make(name, Durability::disk, by_queue ? 60'000 : 0);
        const std::string filler(400, 'x');
        for (int i = 0; i < 40; ++i) {
            std::vector<Mortal> batch;
            for (std::uint64_t k = 0; k < 10; ++k) {
                // Each tenth one lives on.
                const std::uint64_t ttl = by_queue ? 0 : k == 9 ? 500'000 : 40'000 + 2000 * k;
                batch.push_back({filler, ttl});
            }
            publish(name, batch);
        }
        daemon.settle();
        REQUIRE(daemon.core().backlog().figures().pages > 10);
        for (int round = 0; round < 2; ++round) {
            CAPTURE(round);
            CHECK(queue(name).live() == 400);
            const auto reads = daemon.core().backlog().figures().pages_read;
            daemon.settle_for(seconds(10));
            CHECK(queue(name).live() == 400);
            CHECK(daemon.core().backlog().figures().pages_read == reads);
            round == 0 ? kill() : stop();
            start();
        }
        daemon.settle_for(seconds(45));
        CHECK(queue(name).live() == (by_queue ? 0 : 40));
        const auto pages_read = daemon.core().backlog().figures().pages_read;
        CHECK(pages_read < 700);
        kill();
        start();
        CHECK(queue(name).live() == (by_queue ? 0 : 40));
        expect_sound();
        daemon.settle_for(seconds(600));
        CHECK(queue(name).live() == 0);
        stop();
    }
}

TEST_CASE_FIXTURE(Ttl, "ttl: nothing in a segment is delivered late") {
    options.backlog.memory_bytes = 20'000;
    options.backlog.page_bytes = 8000;
    start();
    make("q", Durability::disk, 0);
    const std::string filler(300, 'x');
    for (std::uint64_t i = 0; i < 300; ++i) {
        publish("q", {{std::to_string(i) + filler, 10'000 + i * 1000}});
    }
    REQUIRE(daemon.core().backlog().figures().pages > 5);
    daemon.settle_for(milliseconds(159'400));
    Bodies got;
    WireClient& client = connect();
    (void)client.open_consumer("q");
    for (int i = 0; i < 10; ++i) {
        daemon.settle();
        for (const Received& frame : client.take()) {
            if (frame.header.type == wire::FrameType::deliver) {
                const auto some = bodies_of(frame.as<wire::Deliver>());
                got.insert(got.end(), some.begin(), some.end());
            }
        }
    }
    REQUIRE(!got.empty());
    CHECK(got.size() <= 151);
    CHECK(got.size() >= 149);
    CHECK(std::stoi(got.front()) == static_cast<int>(300 - got.size()));
}

TEST_CASE_FIXTURE(Ttl, "ttl: a TTL that is given later counts in segments too") {
    options.backlog.memory_bytes = 20'000;
    options.backlog.page_bytes = 4000;
    start();
    make("q", Durability::disk, 0);
    const std::string filler(400, 'x');
    for (int i = 0; i < 100; ++i) {
        publish("q", {{filler}});
    }
    daemon.settle_for(seconds(100));
    kill();
    start();
    daemon.settle_for(seconds(100));
    CHECK(queue("q").live() == 100);
    publish("q", {{"young"}});
    wire::QueueOptions wanted;
    wanted.ttl_ms = 150'000;
    update("q", wanted);
    daemon.settle();
    daemon.settle_for(milliseconds(100));
    CHECK(queue("q").live() == 1);
    daemon.settle_for(seconds(151));
    CHECK(queue("q").live() == 0);
}

TEST_CASE_FIXTURE(Ttl,
                  "ttl: more than a turn's worth at once, and nothing is delivered meanwhile") {
    start();
    create("m", Durability::memory);
    WireClient& producer = connect();
    (void)producer.open_producer("m");
    std::vector<Mortal> messages;
    for (std::uint64_t i = 0; i < 2500; ++i) {
        messages.push_back({"x", 1000 + (i * 7919) % 500});
    }
    for (std::uint64_t line = 1; line < 10'000; line += 2500) {  // within the credit
        send(producer, line, mortal_batch(messages), 2500);
    }
    CHECK(queue("m").live() == 10'000);
    WireClient& consumer = connect();
    daemon.pass(seconds(2));
    (void)consumer.open_consumer("m");
    daemon.settle();
    CHECK(consumer.silent());
    CHECK(queue("m").live() == 0);
    CHECK(daemon.core().engine().expired_messages() == 10'000);
}

TEST_CASE_FIXTURE(Ttl, "ttl: what makes no sense is refused") {
    start();
    create("q", Durability::memory);
    const auto refused = [&](auto make_attributes) {
        std::vector<std::byte> attributes;
        wire::Writer writer(attributes);
        make_attributes(writer);
        std::vector<std::byte> batch;
        wire::append_message(batch, attributes, wire::as_bytes("x"));
        WireClient& client = connect();
        (void)client.open_producer("q");
        send(client, 1, batch, 1);
        const ErrorCode code = client.await<wire::Refuse>().error.code;
        clients.pop_back();
        CHECK(error_name(code) == error_name(ErrorCode::bad_option));
    };
    refused([](auto& writer) { add(writer, wire::AttributeId::ttl, 0); });
    refused([](auto& writer) {
        add(writer, wire::AttributeId::ttl, static_cast<std::uint64_t>(wire::ttl_max.count()) + 1);
    });
    refused([](auto& writer) {
        add(writer, wire::AttributeId::ttl, 5);
        add(writer, wire::AttributeId::ttl, 6);
    });
    CHECK(queue("q").live() == 0);
    wire::QueueOptions wanted;
    wanted.ttl_ms = static_cast<std::uint64_t>(wire::ttl_max.count()) + 1;
    WireClient& client = connect();
    wire::QueueUpdate frame;
    frame.queue = "q";
    frame.options = wanted;
    client.send(frame, 0, 1);
    client.expect_error(ErrorCode::bad_option, 1);
    CHECK(queue("q").definition().ttl.count() == 0);
}

}  // namespace mqd::core::test
