// A full queue of which the oldest become dead letters, so that the newest are taken and nothing is
// lost.

#include "core/core_fixture.hpp"

namespace mqd::core::test {

namespace {

class Overflow : public CoreFixture {
  protected:
    WireClient& create_with(std::string_view name, Durability durability,
                            std::uint64_t max_messages) {
        WireClient& client = connect();
        wire::QueueCreate frame;
        frame.queue = name;
        frame.options.durability = durability;
        frame.options.max_messages = max_messages;
        frame.options.on_full = OnFull::dead_letter;
        client.send(frame, 0, 1);
        daemon.settle();
        (void)client.next<wire::QueueInfo>();
        (void)client.open_producer(name);
        return client;
    }
    void publish(WireClient& client, std::uint64_t line, const std::vector<std::string>& bodies) {
        client.publish(line, bodies);
        daemon.settle();
        CHECK(client.await<wire::Confirm>().first_line == LineNumber(line));
    }
    // What a consumer of its own gets, and of each dead letter its cause and number.
    std::vector<std::string> contents(std::string_view name) {
        WireClient& client = connect();
        (void)client.open_consumer(name);
        daemon.settle();
        std::vector<std::string> found;
        for (const Received& frame : client.take()) {
            if (frame.header.type != wire::FrameType::deliver) {
                continue;
            }
            wire::BatchReader reader(frame.as<wire::Deliver>().batch);
            while (const auto message = reader.next()) {
                std::string text(wire::as_text(message->body));
                wire::AttributeReader attributes(message->attributes);
                while (const auto attribute = attributes.next()) {
                    if (const auto dead = wire::decode_dead_letter(*attribute)) {
                        text += " " + std::to_string(static_cast<int>(dead->cause)) + " " +
                                std::to_string(dead->number.value());
                    }
                }
                found.push_back(text);
            }
        }
        client.end();
        clients.pop_back();
        daemon.settle();
        return found;
    }
};

using Strings = std::vector<std::string>;

}  // namespace

TEST_CASE_FIXTURE(Overflow, "overflow: the oldest become dead letters, the newest are taken") {
    for (const Durability durability :
         {Durability::memory, Durability::written, Durability::disk}) {
        CAPTURE(durability);
        if (!daemon.up()) {
            start();
        }
        const std::string name = "q" + std::to_string(static_cast<int>(durability));
        WireClient& client = create_with(name, durability, 3);
        publish(client, 1, {"a", "b"});
        publish(client, 3, {"c", "d", "e"});
        CHECK(contents(name) == Strings{"c", "d", "e"});
        CHECK(contents(name + ".dead") == Strings{"a 4 1", "b 4 2"});
        // A frame that is larger than the queue is refused, and moves nobody.
        client.publish(6, {"1", "2", "3", "4"});
        daemon.settle();
        CHECK(client.await<wire::Refuse>().error.code == ErrorCode::queue_full);
        client.send(wire::Resume{}, 1);
        CHECK(queue(name).live() == 3);
        // What is leased does not go.
        WireClient& holder = connect();
        (void)holder.open_consumer(name);
        daemon.settle();
        client.publish(10, {"f"});
        daemon.settle();
        CHECK(client.await<wire::Refuse>().error.code == ErrorCode::queue_full);
        if (durability == Durability::disk) {
            lose_power();
            start();
            CHECK(contents(name) == Strings{"c", "d", "e"});
            CHECK(contents(name + ".dead") == Strings{"a 4 1", "b 4 2"});
        }
    }
}

TEST_CASE_FIXTURE(Overflow, "overflow: many before one of them is on the disk") {
    start();
    WireClient& client = create_with("q", Durability::disk, 3);
    std::uint64_t taken = 0;
    for (std::uint64_t line = 1; line <= 20; ++line) {
        client.publish(line, {std::to_string(line)});
        taken += client.silent() ? 1 : 0;
        client.send(wire::Resume{}, 1);
    }
    daemon.settle();
    std::uint64_t confirmed = 0;
    for (const Received& frame : client.take()) {
        if (frame.header.type == wire::FrameType::confirm) {
            const auto confirm = frame.as<wire::Confirm>();
            for (std::size_t i = 0; i < confirm.size(); ++i) {
                confirmed += confirm[i].count;
            }
        }
    }
    CHECK(confirmed >= 3);
    CHECK(queue("q").live() == 3);
    const std::uint64_t dead =
        daemon.core().engine().find("q.dead") != nullptr ? queue("q.dead").live() : 0;
    CHECK(dead == confirmed - 3);
}

TEST_CASE_FIXTURE(Overflow,
                  "overflow: a crash before the move puts them back, and nothing is lost") {
    start();
    WireClient& client = create_with("q", Durability::disk, 2);
    publish(client, 1, {"a", "b"});
    client.publish(3, {"c"});  // decided, and not on the disk
    CHECK(queue("q").dying() == 1);
    lose_power();
    start();
    CHECK(queue("q").ready() == 2);
    WireClient& again = connect();
    (void)again.open_producer("q");
    publish(again, 1, {"c", "d"});
    CHECK(contents("q") == Strings{"c", "d"});
    CHECK(contents("q.dead") == Strings{"a 4 1", "b 4 2"});
}

TEST_CASE_FIXTURE(Overflow,
                  "overflow: on a full disk the publish is refused, and nothing is lost") {
    options.journal = {64 * 1024, 4 * 64 * 1024};
    options.backlog.memory_bytes = 20'000;
    options.backlog.segment_bytes = 16'000;
    start();
    WireClient& client = create_with("q", Durability::disk, 2);
    publish(client, 1, {"a", "b"});
    create("other", Durability::disk);
    WireClient& filler = connect();
    (void)filler.open_producer("other");
    disk.set_capacity(disk.used());
    for (std::uint64_t line = 1; line <= 200; ++line) {
        filler.publish(line, {std::string(2000, 'x')});
        daemon.settle();
    }
    client.publish(3, {"c"});
    daemon.settle();
    const auto refusal = client.await<wire::Refuse>().error;
    CHECK(refusal.code == ErrorCode::disk_full);
    CHECK(refusal.retry_after_ms == 200);
    CHECK(queue("q").ready() == 2);
    disk.set_capacity(UINT64_MAX);
    daemon.settle_for(std::chrono::milliseconds(3000));
    client.send(wire::Resume{}, 1);
    publish(client, 4, {"c"});
    CHECK(contents("q") == Strings{"b", "c"});
    CHECK(contents("q.dead") == Strings{"a 4 1"});
}

TEST_CASE_FIXTURE(Overflow,
                  "overflow: what is to be moved can be purged, and can be acked nowhere") {
    start();
    WireClient& client = create_with("q", Durability::disk, 2);
    publish(client, 1, {"a", "b"});
    client.publish(3, {"c", "d"});
    CHECK(queue("q").overflowed() == 2);
    client.ask(wire::FrameType::queue_purge, "q");
    CHECK(queue("q").overflowed() == 0);
    daemon.settle();
    client.publish(5, {"e", "f"});
    daemon.settle();
    CHECK(queue("q").live() <= 2);
}

TEST_CASE_FIXTURE(Overflow, "overflow: a queue that keeps dead letters refuses") {
    start();
    WireClient& client = create_with("q.dead", Durability::memory, 1);
    publish(client, 1, {"a"});
    client.publish(2, {"b"});
    daemon.settle();
    CHECK(client.await<wire::Refuse>().error.code == ErrorCode::queue_full);
    CHECK(queue("q.dead").ready() == 1);
    wire::QueueUpdate update;
    update.queue = "q.dead";
    update.options.max_bytes = 100;
    client.send(update, 0, 3);
    client.expect_error(ErrorCode::bad_option, 3);
}

}  // namespace mqd::core::test
