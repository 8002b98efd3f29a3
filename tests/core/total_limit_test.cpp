// Limits of all queues together, and of one connection: messages that live, and messages that are
// leased.

#include <map>

#include "core/core_fixture.hpp"
#include "mqd/wire/message_move.hpp"
#include "mqd/wire/transact.hpp"

namespace mqd::core::test {

namespace {

class TotalLimit : public CoreFixture {
  protected:
    void create_with(std::string_view name, const wire::QueueOptions& chosen) {
        WireClient& client = connect();
        wire::QueueCreate frame;
        frame.queue = name;
        frame.options = chosen;
        client.send(frame, 0, 1);
        daemon.settle();
        (void)client.next<wire::QueueInfo>();
        clients.pop_back();
    }
    WireClient& producer(std::string_view name) {
        WireClient& client = connect();
        (void)client.open_producer(name);
        next_lines_[&client] = 1;
        return client;
    }
    // "confirmed", or the refusal, after which it goes on.
    std::string publish(WireClient& client, std::size_t count) {
        std::uint64_t& line = next_lines_.at(&client);
        client.publish(line, std::vector<std::string>(count, "x"));
        line += count;
        daemon.settle();
        return answer(client);
    }
    std::string answer(WireClient& client) {
        std::string found = "nothing";
        for (const Received& frame : client.take()) {
            if (frame.header.type == wire::FrameType::refuse) {
                const auto refusal = frame.as<wire::Refuse>();
                client.send(wire::Resume{}, 1);
                return std::string(error_name(refusal.error.code)) + ' ' +
                       std::to_string(refusal.error.limit) + ' ' +
                       std::to_string(refusal.error.retry_after_ms) + ' ' +
                       std::string(refusal.error.text);
            }
            found = frame.header.type == wire::FrameType::confirm ? "confirmed" : found;
        }
        return found;
    }
    std::uint64_t status(std::string_view name) {
        WireClient& client = connect();
        client.send(wire::Status{}, 0, 1);
        const auto reply = client.await<wire::StatusReply>();
        const auto item = std::find_if(reply.items.begin(), reply.items.end(),
                                       [&](const auto& one) { return one.name == name; });
        REQUIRE(item != reply.items.end());
        const std::uint64_t value = item->value;
        clients.pop_back();
        return value;
    }

  private:
    std::map<WireClient*, std::uint64_t> next_lines_;
};

const std::string full = "memory_full 4 200 limits.messages is used up by waiting messages";
const std::string never = "memory_full 4 0 limits.messages is used up by waiting messages";

}  // namespace

TEST_CASE_FIXTURE(TotalLimit, "total limit: messages of all queues, at it and one beyond") {
    options.messages_max = 4;
    start();
    for (const Durability durability :
         {Durability::memory, Durability::written, Durability::disk}) {
        CAPTURE(durability);
        const std::string a = "a" + std::to_string(static_cast<int>(durability));
        const std::string b = "b" + std::to_string(static_cast<int>(durability));
        create(a, durability);
        create(b, durability);
        WireClient& to_a = producer(a);
        WireClient& to_b = producer(b);
        CHECK(publish(to_a, 5) == never);
        CHECK(publish(to_a, 3) == "confirmed");
        CHECK(publish(to_b, 2) == full);
        CHECK(publish(to_b, 1) == "confirmed");
        CHECK(publish(to_b, 1) == full);
        CHECK(status("messages") == 4);
        CHECK(status("messages_max") == 4);
        // What is leased counts; what is acked does not, and acks are not refused.
        WireClient& consumer = connect();
        (void)consumer.open_consumer(a);
        CHECK(publish(to_b, 1) == full);
        consumer.ack(1);
        CHECK(publish(to_b, 1) == "confirmed");
        CHECK(publish(to_b, 1) == full);
        consumer.ask(wire::FrameType::queue_purge, b);
        consumer.ack(2, 2);
        daemon.settle_for(std::chrono::milliseconds(100));
        CHECK(status("messages") == 0);
        CHECK(publish(to_b, 4) == "confirmed");
        consumer.ask(wire::FrameType::queue_delete, b);
        daemon.settle();
        CHECK(status("messages") == 0);
    }
}

TEST_CASE_FIXTURE(TotalLimit, "total limit: a start counts what there is, which may be more") {
    options.messages_max = 100;
    start();
    create("q", Durability::disk);
    CHECK(publish(producer("q"), 7) == "confirmed");
    WireClient& consumer = connect();
    (void)consumer.open_consumer("q");
    consumer.ack(3, 1, 5);
    daemon.settle();
    (void)consumer.await<wire::Settled>();
    options.messages_max = 4;
    SUBCASE("after a clean stop") {
        stop();
    }
    SUBCASE("after a crash") {
        lose_power();
    }
    start();
    CHECK(status("messages") == 6);
    WireClient& client = producer("q");
    CHECK(publish(client, 1) == full);
    WireClient& other = connect();
    (void)other.open_consumer("q");
    other.ack(1, 4, 5);
    daemon.settle();
    CHECK(publish(client, 2) == full);  // three are left: the third was gone before
    CHECK(publish(client, 1) == "confirmed");
}

TEST_CASE_FIXTURE(TotalLimit, "total limit: what makes room in its own queue makes room here") {
    options.messages_max = 4;
    start();
    wire::QueueOptions lossy;
    lossy.durability = Durability::memory;
    lossy.max_messages = 3;
    lossy.on_full = OnFull::drop_oldest;
    create_with("lossy", lossy);
    wire::QueueOptions buries = lossy;
    buries.max_messages = 1;
    buries.on_full = OnFull::dead_letter;
    create_with("buries", buries);
    WireClient& client = producer("lossy");
    CHECK(publish(client, 3) == "confirmed");
    WireClient& other = producer("buries");
    CHECK(publish(other, 1) == "confirmed");
    CHECK(publish(client, 2) == "confirmed");
    CHECK(queue("lossy").live() == 3);
    CHECK(publish(other, 1) == full);  // the dead letter would be one more
    CHECK(status("messages") == 4);
}

TEST_CASE_FIXTURE(TotalLimit, "total limit: who waits for room in its queue counts, and is taken") {
    options.messages_max = 4;
    start();
    wire::QueueOptions narrow;
    narrow.durability = Durability::disk;
    narrow.max_messages = 2;
    narrow.on_full = OnFull::wait;
    create_with("narrow", narrow);
    create("q", Durability::memory);
    WireClient& client = producer("narrow");
    CHECK(publish(client, 2) == "confirmed");
    CHECK(publish(client, 1) == "nothing");
    CHECK(status("messages") == 3);
    WireClient& other = producer("q");
    CHECK(publish(other, 2) == full);
    CHECK(publish(other, 1) == "confirmed");
    // Beyond the limit of all, it does not wait.
    WireClient& late = producer("narrow");
    CHECK(publish(late, 1) == full);
    WireClient& consumer = connect();
    (void)consumer.open_consumer("narrow", 2, 2);
    consumer.ack(1, 1, 5);
    daemon.settle();
    CHECK(answer(client) == "confirmed");
    CHECK(status("messages") == 3);
    // One that ends while it waits gives its place back.
    CHECK(publish(late, 1) == "nothing");
    CHECK(status("messages") == 4);
    late.end();
    CHECK(status("messages") == 3);
}

TEST_CASE_FIXTURE(TotalLimit,
                  "total limit: a transaction is refused whole, or what it acks counts") {
    options.messages_max = 4;
    start();
    create("from", Durability::disk);
    create("to", Durability::memory);
    CHECK(publish(producer("from"), 3) == "confirmed");
    WireClient& client = connect();
    (void)client.open_consumer("from");
    const std::vector<std::byte> two = make_batch({"a", "b"});
    std::vector<std::byte> operations;
    const std::vector<MessageRange> first{{MessageNumber(1), 1}};
    wire::append_publish_operation(operations, {"to", 2, two});
    client.send(wire::Transact{Durability::unspecified, 1, operations}, 0, 5);
    const auto refused = client.await<wire::ErrorFrame>();
    CHECK(refused.code == ErrorCode::memory_full);
    CHECK(refused.limit == 4);
    CHECK(refused.text ==
          "operation 1 (publish to \"to\"): limits.messages is used up by waiting messages");
    CHECK(status("messages") == 3);
    operations.clear();
    wire::append_settle_operation(operations, wire::TransactKind::ack, HandleId(2), {0, first, ""});
    wire::append_publish_operation(operations, {"to", 2, two});
    client.send(wire::Transact{Durability::unspecified, 2, operations}, 0, 6);
    CHECK(status("messages") == 4);  // also while it is on its way
    daemon.settle();
    (void)client.await<wire::Transacted>();
    CHECK(status("messages") == 4);
    CHECK(queue("to").live() == 2);
    CHECK(publish(producer("to"), 1) == full);
}

TEST_CASE_FIXTURE(TotalLimit, "total limit: moves and dead letters are not refused") {
    options.messages_max = 4;
    start();
    create("q", Durability::disk);
    create("other", Durability::disk);
    WireClient& client = producer("q");
    CHECK(publish(client, 4) == "confirmed");
    const MessageRange all{MessageNumber(1), 3};
    client.send(wire::MessagesMoveRequest{"q", queue("q").id(), "other", {&all, 1}}, 0, 5);
    daemon.settle();
    CHECK(client.await<wire::Done>().count == 3);
    WireClient& consumer = connect();
    (void)consumer.open_consumer("q");
    std::vector<std::byte> bytes;
    const std::vector<MessageRange> last{{MessageNumber(4), 1}};
    wire::append_settle(bytes, wire::FrameType::nack, {0, last}, CorrelationId(0), HandleId(2),
                        wire::flag_dead_letter);
    consumer.receive(bytes);
    daemon.settle();
    CHECK(queue("q.dead").ready() == 1);
    CHECK(queue("other").ready() == 3);
    CHECK(status("messages") == 4);
    CHECK(publish(client, 1) == full);
}

TEST_CASE_FIXTURE(TotalLimit,
                  "total limit: a connection has so many messages leased, and no more") {
    options.leases_max = 3;
    start();
    create("a", Durability::memory);
    create("b", Durability::disk);
    CHECK(publish(producer("a"), 10) == "confirmed");
    CHECK(publish(producer("b"), 10) == "confirmed");
    WireClient& client = connect();
    (void)client.open_consumer("a", 2);
    (void)client.open_consumer("b", 3);
    const auto leased = [&](std::string_view name) { return queue(name).leased(); };
    CHECK(leased("a") == 3);
    CHECK(leased("b") == 0);
    client.ack(1);
    client.ack(2);
    CHECK(leased("a") + leased("b") == 3);
    CHECK(leased("b") == 1);  // in turn
    // Another connection is not concerned, nor does the limit close anything.
    WireClient& other = connect();
    (void)other.open_consumer("b", 2, 2);
    CHECK(leased("b") == 3);
    client.send(wire::CloseHandle{}, 2, 5);
    CHECK(leased("a") == 0);
    CHECK(leased("b") == 5);
    CHECK_FALSE(client.session().closing());
    client.end();
    daemon.settle();
    CHECK(leased("b") == 2);
}

TEST_CASE_FIXTURE(TotalLimit, "total limit: leases that run out make room for others") {
    options.leases_max = 1;
    start();
    create("a", Durability::memory);
    create("b", Durability::memory);
    CHECK(publish(producer("a"), 1) == "confirmed");
    CHECK(publish(producer("b"), 1) == "confirmed");
    WireClient& client = connect();
    (void)client.open_consumer("a", 2, plenty, 100);
    (void)client.open_consumer("b", 3, plenty, 100);
    CHECK(queue("a").leased() == 1);
    CHECK(queue("b").leased() == 0);
    daemon.settle_for(std::chrono::milliseconds(130));
    CHECK(queue("a").leased() == 0);
    CHECK(queue("b").leased() == 1);
}

TEST_CASE_FIXTURE(TotalLimit, "total limit: a rendezvous takes what a connection may have leased") {
    options.leases_max = 2;
    start();
    wire::QueueOptions rendezvous;
    rendezvous.durability = Durability::memory;
    rendezvous.max_messages = UINT64_MAX;
    rendezvous.on_full = OnFull::wait;
    create_with("r", rendezvous);
    WireClient& client = producer("r");
    WireClient& consumer = connect();
    (void)consumer.open_consumer("r");
    CHECK(publish(client, 1) == "confirmed");
    CHECK(publish(client, 1) == "confirmed");
    CHECK(publish(client, 1) == "nothing");
    CHECK(queue("r").live() == 2);
    consumer.ack(1);
    daemon.settle();
    CHECK(answer(client) == "confirmed");
}

TEST_CASE_FIXTURE(TotalLimit, "total limit: a connection has its share of the publish credit") {
    options.connection_credit_bytes = 70'000;
    start();
    create("q", Durability::memory);
    WireClient& client = connect();
    CHECK(client.open_producer("q", 1).byte_limit == 64 * 1024);
    CHECK(client.open_producer("q", 2).byte_limit == 4464);
    CHECK(client.open_producer("q", 3).byte_limit == 4096);  // always enough to go on
    WireClient& other = connect();
    CHECK(other.open_producer("q", 1).byte_limit == 64 * 1024);
    client.send(wire::CloseHandle{}, 1, 5);
    daemon.settle();
    CHECK(client.open_producer("q", 4).byte_limit == 61'440);
}

}  // namespace mqd::core::test
