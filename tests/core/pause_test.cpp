// Queues that are paused: for those who publish, for those who consume, or for both.

#include "core/core_fixture.hpp"

namespace mqd::core::test {

namespace {

class Pause : public ServingFixture {
  protected:
    // As QUEUE_INFO says it is then.
    wire::Paused pause(std::string_view name, const wire::Paused& paused) {
        WireClient& client = connect();
        wire::QueueUpdate frame;
        frame.queue = name;
        frame.options.paused = paused.bits();
        client.send(frame, 0, 1);
        daemon.settle();
        const auto info = client.next<wire::QueueInfo>();
        return *wire::Paused::from_bits(info.options.paused.value());
    }
    std::uint64_t delivered(WireClient& client) {
        std::uint64_t count = 0;
        for (const Received& frame : client.take()) {
            if (frame.header.type == wire::FrameType::deliver) {
                count += frame.as<wire::Deliver>().count;
            }
        }
        return count;
    }
    WireClient& producer(std::string_view name) {
        WireClient& client = connect();
        (void)client.open_producer(name);
        return client;
    }
};

}  // namespace

TEST_CASE_FIXTURE(Pause, "pause: a queue takes nothing while publishing is paused, and delivers") {
    for (const Durability durability :
         {Durability::memory, Durability::written, Durability::disk}) {
        const std::string name = "q" + std::to_string(static_cast<int>(durability));
        CAPTURE(name);
        create(name, durability);
        WireClient& client = producer(name);
        client.publish(1, {"a"});
        daemon.settle();
        (void)client.await<wire::Confirm>();
        const wire::Paused paused = pause(name, {true, {}});
        CHECK(paused.publishing == true);
        CHECK(paused.consuming == false);

        client.publish(2, {"b", "c"});
        daemon.settle();
        const auto refusal = client.await<wire::Refuse>();
        CHECK(refusal.error.code == ErrorCode::queue_paused);
        CHECK(refusal.error.text.find('"' + name + '"') != std::string::npos);
        CHECK(refusal.count == 2);
        CHECK(queue(name).live() == 1);
        CHECK(queue(name).next_number() == MessageNumber(2));
        WireClient& consumer = connect();
        (void)consumer.open_consumer(name);
        daemon.settle();
        CHECK(delivered(consumer) == 1);

        (void)pause(name, {false, {}});
        client.send(wire::Resume{}, 1);
        client.publish(4, {"d"});
        daemon.settle();
        (void)client.await<wire::Confirm>();
        CHECK(queue(name).live() == 2);
    }
}

TEST_CASE_FIXTURE(Pause,
                  "pause: consumers stay and can settle, and get what is ready when it ends") {
    create("q", Durability::disk);
    WireClient& client = producer("q");
    client.publish(1, {"a", "b"});
    daemon.settle();
    WireClient& consumer = connect();
    (void)consumer.open_consumer("q", 2, 3);
    daemon.settle();
    CHECK(delivered(consumer) == 2);
    (void)pause("q", {{}, true});

    client.publish(3, {"c", "d"});
    daemon.settle();
    CHECK(delivered(consumer) == 0);
    CHECK(queue("q").ready() == 2);
    consumer.ack(1, 1, 5);
    daemon.settle();
    CHECK(consumer.await<wire::Settled>().settled == 1);
    consumer.settle(wire::FrameType::nack, {{MessageNumber(2), 1}});
    daemon.settle();
    CHECK(delivered(consumer) == 0);
    CHECK(queue("q").ready() == 3);
    WireClient& late = connect();
    (void)late.open_consumer("q", 2, 1);
    daemon.settle();
    CHECK(delivered(late) == 0);

    (void)pause("q", {{}, false});
    CHECK(delivered(consumer) == 1);  // its credit of 3 is used up
    CHECK(delivered(late) == 1);
    CHECK(queue("q").ready() == 1);
}

TEST_CASE_FIXTURE(Pause, "pause: the lease of what was delivered runs out as ever") {
    create("q", Durability::disk);
    WireClient& client = producer("q");
    client.publish(1, {"a"});
    daemon.settle();
    WireClient& consumer = connect();
    (void)consumer.open_consumer("q", 2, plenty, 100);
    daemon.settle();
    CHECK(delivered(consumer) == 1);
    (void)pause("q", {{}, true});
    daemon.settle_for(std::chrono::milliseconds(500));
    CHECK(queue("q").ready() == 1);
    CHECK(delivered(consumer) == 0);
    (void)pause("q", {{}, false});
    CHECK(delivered(consumer) == 1);
}

TEST_CASE_FIXTURE(Pause,
                  "pause: who changes the one leaves the other as it is, over a restart too") {
    create("q", Durability::disk);
    create("m", Durability::memory);
    (void)pause("q", {true, {}});
    (void)pause("m", {true, true});
    wire::Paused paused = pause("q", {{}, true});
    CHECK(paused.publishing == true);
    CHECK(paused.consuming == true);
    paused = pause("q", {false, {}});
    CHECK(paused.publishing == false);
    CHECK(paused.consuming == true);
    lose_power();
    start();
    CHECK(!queue("q").definition().publishing_paused);
    CHECK(queue("q").definition().consuming_paused);
    CHECK(queue("m").definition().publishing_paused);
    CHECK(queue("m").definition().consuming_paused);
    // Once more, from what the restart wrote.
    lose_power();
    start();
    CHECK(queue("q").definition().consuming_paused);
    paused = pause("q", {});
    CHECK(paused.publishing == false);
    CHECK(paused.consuming == true);
}

TEST_CASE_FIXTURE(Pause, "pause: a dead-letter queue takes dead letters all the same") {
    create("q", Durability::disk);
    create("q.dead", Durability::disk);
    (void)pause("q.dead", {true, true});
    WireClient& client = producer("q");
    client.publish(1, {"a"});
    (void)client.open_consumer("q");
    daemon.settle();
    std::vector<std::byte> bytes;
    const MessageRange range{MessageNumber(1), 1};
    wire::append_settle(bytes, wire::FrameType::nack, {0, {&range, 1}, "no"}, CorrelationId(0),
                        HandleId(2), wire::flag_dead_letter);
    client.receive(bytes);
    daemon.settle_for(std::chrono::milliseconds(100));
    CHECK(queue("q").live() == 0);
    CHECK(queue("q.dead").ready() == 1);
}

TEST_CASE_FIXTURE(Pause, "pause: a queue may be made paused, and only known bits are taken") {
    WireClient& client = connect();
    wire::QueueCreate frame;
    frame.queue = "q";
    for (const unsigned bits : {0x01u, 0x02u, 0x04u, 0x08u, 0x12u, 0x21u, 0x40u, 0x80u, 0xffu}) {
        CAPTURE(bits);
        frame.options.paused = static_cast<std::uint8_t>(bits);
        client.send(frame, 0, 1);
        client.expect_error(ErrorCode::bad_option, 1);
    }
    frame.options.paused = wire::Paused{{}, true}.bits();
    client.send(frame, 0, 1);
    daemon.settle();
    (void)client.next<wire::QueueInfo>();
    CHECK(queue("q").definition().consuming_paused);
    CHECK(!queue("q").definition().publishing_paused);
}

}  // namespace mqd::core::test
