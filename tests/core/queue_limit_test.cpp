// A queue's own limits: what is over is refused, or the oldest make room.

#include "core/core_fixture.hpp"

namespace mqd::core::test {

namespace {

class QueueLimit : public CoreFixture {
  protected:
    QueueLimit() { start(); }

    WireClient& create_with(std::string_view name, const wire::QueueOptions& limits) {
        WireClient& client = connect();
        wire::QueueCreate frame;
        frame.queue = name;
        frame.options = limits;
        client.send(frame, 0, 1);
        daemon.settle();
        (void)client.next<wire::QueueInfo>();
        (void)client.open_producer(name);
        return client;
    }
    // "confirmed", or the refusal.
    std::string publish(WireClient& client, const std::vector<std::string>& bodies) {
        client.publish(line_, bodies);
        line_ += bodies.size();
        daemon.settle();
        for (const Received& frame : client.take()) {
            if (frame.header.type == wire::FrameType::refuse) {
                const auto refusal = frame.as<wire::Refuse>();
                client.send(wire::Resume{}, 1);
                return std::string(error_name(refusal.error.code)) + ' ' +
                       std::to_string(refusal.error.limit);
            }
        }
        return "confirmed";
    }

  private:
    std::uint64_t line_ = 1;
};

}  // namespace

TEST_CASE_FIXTURE(QueueLimit, "queue limit: a message more than max_messages is refused") {
    wire::QueueOptions limits;
    limits.max_messages = 3;
    WireClient& client = create_with("q", limits);
    CHECK(publish(client, {"a", "b"}) == "confirmed");
    CHECK(publish(client, {"c", "d"}) == "queue_full 3");
    CHECK(publish(client, {"c"}) == "confirmed");
    CHECK(publish(client, {"d"}) == "queue_full 3");
    // What is leased counts; what is acked does not.
    WireClient& consumer = connect();
    (void)consumer.open_consumer("q");
    daemon.settle();
    CHECK(publish(client, {"d"}) == "queue_full 3");
    consumer.ack(1, 1);
    CHECK(publish(client, {"d"}) == "confirmed");
    CHECK(publish(client, {"e"}) == "queue_full 3");
}

TEST_CASE_FIXTURE(QueueLimit, "queue limit: what is on its way counts") {
    wire::QueueOptions limits;
    limits.max_messages = 3;
    limits.max_bytes = 60;
    WireClient& client = create_with("q", limits);
    client.publish(1, {"a", "b"});
    client.publish(3, {"c"});
    client.publish(4, {"d"});  // none of them is on the disk yet
    daemon.settle();
    CHECK(client.await<wire::Refuse>().error.code == ErrorCode::queue_full);
    CHECK(queue("q").ready() == 3);
}

TEST_CASE_FIXTURE(QueueLimit,
                  "queue limit: bytes are those of batches, at the limit and one over") {
    wire::QueueOptions limits;
    limits.max_bytes = 40;  // 8 a message besides its body
    WireClient& client = create_with("q", limits);
    CHECK(publish(client, {"123456789012"}) == "confirmed");
    CHECK(publish(client, {"1234567890123"}) == "queue_full 40");
    CHECK(publish(client, {"123456789012"}) == "confirmed");
    CHECK(publish(client, {""}) == "queue_full 40");
}

TEST_CASE_FIXTURE(QueueLimit, "queue limit: the oldest that are ready are dropped") {
    for (const Durability durability : {Durability::memory, Durability::disk}) {
        CAPTURE(durability);
        const std::string name = "q" + std::to_string(static_cast<int>(durability));
        wire::QueueOptions limits;
        limits.durability = durability;
        limits.max_messages = 3;
        limits.on_full = OnFull::drop_oldest;
        WireClient& client = create_with(name, limits);
        for (std::uint64_t line = 1; line <= 20; ++line) {  // many before one is on the disk
            client.publish(line, {std::to_string(line)});
        }
        daemon.settle();
        std::uint64_t refused = 0;
        for (const Received& frame : client.take()) {
            refused += frame.header.type == wire::FrameType::refuse ? 1 : 0;
        }
        if (durability == Durability::memory) {
            CHECK(refused == 0);
            CHECK(queue(name).next_number() == MessageNumber(21));
        }
        CHECK(queue(name).live() == 3);
        // What is leased is not dropped.
        WireClient& consumer = connect();
        (void)consumer.open_consumer(name);
        daemon.settle();
        client.send(wire::Resume{}, 1);
        client.publish(21, {"x"});
        daemon.settle();
        CHECK(client.await<wire::Refuse>().error.code == ErrorCode::queue_full);
        if (durability == Durability::disk) {
            lose_power();
            start();
            CHECK(queue(name).live() == 3);
        }
    }
}

TEST_CASE_FIXTURE(QueueLimit, "queue limit: options that contradict each other are refused") {
    wire::QueueOptions limits;
    limits.max_messages = 3;
    limits.on_full = OnFull::drop_oldest;
    WireClient& client = create_with("q", limits);
    wire::QueueUpdate update;
    update.queue = "q";
    update.options.max_bytes = 1000;
    client.send(update, 0, 3);
    client.expect_error(ErrorCode::bad_option, 3);
    update.options.on_full = OnFull::reject;
    client.send(update, 0, 4);
    daemon.settle();
    CHECK(client.await<wire::QueueInfo>().options.max_bytes == 1000);
}

}  // namespace mqd::core::test
