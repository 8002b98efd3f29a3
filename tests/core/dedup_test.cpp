// Messages that are published once more, over the protocol: what they are confirmed as, how long
// that holds, and what becomes of it whatever happens to the daemon.

#include "core/core_fixture.hpp"
#include "mqd/wire/message_move.hpp"
#include "mqd/wire/transact.hpp"

namespace mqd::core::test {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Numbers = std::vector<std::uint64_t>;
using Bodies = std::vector<std::string>;

// A body, and its id in front of a colon; without one, it has none.
std::vector<std::byte> batch_of(const Bodies& messages) {
    std::vector<std::byte> batch;
    for (const std::string& message : messages) {
        std::vector<std::byte> attributes;
        const std::size_t colon = message.find(':');
        if (colon != std::string::npos) {
            wire::Writer writer(attributes);
            writer.number(static_cast<std::uint16_t>(
                static_cast<std::uint16_t>(wire::AttributeId::dedup_id) | wire::critical_bit));
            writer.string16(std::string_view(message).substr(0, colon));
        }
        wire::append_message(batch, attributes, wire::as_bytes(message));
    }
    return batch;
}

void append_numbers(const std::vector<wire::ConfirmedRun>& runs, Numbers& numbers) {
    for (const wire::ConfirmedRun& run : runs) {
        for (std::uint32_t i = 0; i < run.count; ++i) {
            numbers.push_back(run.first_number.plus(i).value());
        }
    }
}

class DedupTest : public CoreFixture {
  protected:
    void create_queue(std::string_view name, Durability durability,
                      std::uint64_t window_ms = 60'000, std::uint32_t count = 1000) {
        wire::QueueCreate frame;
        frame.queue = name;
        frame.options.durability = durability;
        frame.options.dedup_window_ms = window_ms;
        frame.options.dedup_count = count;
        WireClient& client = connect();
        client.send(frame, 0, 1);
        daemon.settle();
        (void)client.next<wire::QueueInfo>();
        clients.pop_back();
    }
    void update(std::string_view name, std::uint64_t window_ms) {
        wire::QueueUpdate frame;
        frame.queue = name;
        frame.options.dedup_window_ms = window_ms;
        WireClient& client = connect();
        client.send(frame, 0, 1);
        daemon.settle();
        (void)client.next<wire::QueueInfo>();
        clients.pop_back();
    }
    static void send(WireClient& client, std::uint64_t line, const Bodies& messages,
                     Durability durability = Durability::unspecified) {
        const auto batch = batch_of(messages);
        wire::Publish frame;
        frame.first_line = LineNumber(line);
        frame.count = static_cast<std::uint32_t>(messages.size());
        frame.batch = batch;
        frame.durability = durability;
        client.send(frame, 1);
    }
    Numbers confirmed(WireClient& client) {
        daemon.settle();
        Numbers numbers;
        for (const Received& frame : client.take()) {
            if (frame.header.type == wire::FrameType::confirm) {
                const auto confirm = frame.as<wire::Confirm>();
                last_durability = confirm.durability;
                for (std::size_t i = 0; i < confirm.size(); ++i) {
                    append_numbers({confirm[i]}, numbers);
                }
            } else if (frame.header.type == wire::FrameType::refuse) {
                FAIL("REFUSE: " << frame.as<wire::Refuse>().error.text);
            }
        }
        return numbers;
    }
    // By a client of its own.
    Numbers publish(std::string_view name, const Bodies& messages,
                    Durability durability = Durability::unspecified) {
        WireClient& client = connect();
        (void)client.open_producer(name);
        send(client, 1, messages, durability);
        const Numbers numbers = confirmed(client);
        clients.pop_back();
        return numbers;
    }
    Bodies drain(std::string_view name) {
        WireClient& client = connect();
        client.send(wire::OpenConsumer{name, 0, plenty, plenty}, 2, 9);
        daemon.settle();
        Bodies bodies;
        for (const Received& frame : client.take()) {
            if (frame.header.type == wire::FrameType::deliver) {
                const auto delivery = frame.as<wire::Deliver>();
                const Bodies some = bodies_of(delivery);
                bodies.insert(bodies.end(), some.begin(), some.end());
                client.ack(delivery.first_number.value(), some.size());
            }
        }
        daemon.settle_for(milliseconds(20));  // nobody waits for the acks
        clients.pop_back();
        return bodies;
    }
    void restart(int way) {
        way == 0 ? kill() : way == 1 ? lose_power() : stop();
        start();
    }
    Durability last_durability{};
};

}  // namespace

TEST_CASE_FIXTURE(DedupTest, "dedup: what comes once more is confirmed as what it was") {
    start();
    for (const Durability durability :
         {Durability::memory, Durability::written, Durability::disk}) {
        CAPTURE(durability);
        const std::string name = "q" + std::to_string(static_cast<int>(durability));
        create_queue(name, durability);
        CHECK(publish(name, {"a:1", "2", "b:3"}) == Numbers{1, 2, 3});
        CHECK(publish(name, {"b:x"}) == Numbers{3});
        CHECK(last_durability == durability);
        CHECK(publish(name, {"c:4", "a:x", "5", "b:x", "c:x", "6"}) == Numbers{4, 1, 5, 3, 4, 6});
        CHECK(queue(name).duplicates() == 4);
        CHECK(drain(name) == Bodies{"a:1", "2", "b:3", "c:4", "5", "6"});
        CHECK(publish(name, {"a:x"}) == Numbers{1});  // that it is gone does not matter
        CHECK(queue(name).live() == 0);
        if (durability != Durability::memory) {
            CHECK(publish(name, {"a:x"}, Durability::disk) == Numbers{1});
            CHECK(last_durability == Durability::disk);
        }
    }
    CHECK(daemon.core().engine().duplicate_messages() == 17);
}

TEST_CASE_FIXTURE(DedupTest, "dedup: a duplicate of what is on its way waits for it") {
    start();
    create_queue("q", Durability::disk);
    WireClient& client = connect();
    (void)client.open_producer("q");
    WireClient& other = connect();
    (void)other.open_producer("q");
    send(client, 1, {"a:1", "b:2"});
    send(other, 1, {"b:x"});
    send(other, 2, {"b:x"}, Durability::memory);
    (void)other.take();
    CHECK(other.silent());
    CHECK(queue("q").live() == 0);
    CHECK(confirmed(other) == Numbers{2, 2});
    CHECK(confirmed(client) == Numbers{1, 2});
    CHECK(queue("q").live() == 2);
}

TEST_CASE_FIXTURE(DedupTest, "dedup: an id is forgotten when its time is over") {
    start();
    create_queue("q", Durability::disk, 10'000);
    CHECK(publish("q", {"a:1"}) == Numbers{1});
    daemon.pass(seconds(6));
    CHECK(publish("q", {"b:2"}) == Numbers{2});
    daemon.pass(milliseconds(3'900));
    CHECK(publish("q", {"a:x"}) == Numbers{1});
    daemon.pass(milliseconds(200));
    CHECK(publish("q", {"a:3", "b:x"}) == Numbers{3, 2});
    CHECK(queue("q").dedup()->table().size() == 2);
    daemon.settle_for(seconds(30));  // nobody publishes
    CHECK(queue("q").dedup()->table().empty());
    CHECK(daemon.core().engine().dedup_ids() == 0);
}

TEST_CASE_FIXTURE(DedupTest, "dedup: an id is forgotten when there are too many behind it") {
    start();
    create_queue("q", Durability::disk, 10'000, 2);
    CHECK(publish("q", {"a:1", "b:2"}) == Numbers{1, 2});
    CHECK(publish("q", {"a:x", "c:3"}) == Numbers{1, 3});
    CHECK(publish("q", {"b:x", "c:x", "a:4"}) == Numbers{2, 3, 4});
    CHECK(publish("q", {"b:5"}) == Numbers{5});
}

TEST_CASE_FIXTURE(DedupTest, "dedup: a queue without a window keeps the attribute, and no more") {
    start();
    create("q", Durability::disk);
    CHECK(publish("q", {"a:1", "a:2"}) == Numbers{1, 2});
    CHECK(queue("q").dedup() == nullptr);
    update("q", 60'000);
    CHECK(publish("q", {"a:3", "a:x"}) == Numbers{3, 3});
    restart(0);
    CHECK(publish("q", {"a:x"}) == Numbers{3});
    update("q", 0);
    CHECK(publish("q", {"a:4"}) == Numbers{4});
    CHECK(queue("q").dedup() == nullptr);
    restart(0);
    CHECK(queue("q").dedup() == nullptr);
    update("q", 60'000);
    restart(1);
    CHECK(publish("q", {"a:5", "a:x"}) == Numbers{5, 5});
}

TEST_CASE_FIXTURE(DedupTest, "dedup: ids are known after any end of the daemon") {
    options.journal = {64 * 1024, 512 * 1024};
    options.backlog.checkpoint_items = 3;
    for (const Durability durability : {Durability::written, Durability::disk}) {
        start();
        const std::string name = "q" + std::to_string(static_cast<int>(durability));
        CAPTURE(durability);
        create_queue(name, durability, 3'600'000, 500);
        std::uint64_t next = 1;
        Numbers numbers;
        for (int round = 0; round < 6; ++round) {
            for (int i = 0; i < 100; ++i) {
                const std::string id = std::to_string(numbers.size());
                const auto got = publish(name, {id + ":" + std::string(800, 'x')});
                REQUIRE(got.size() == 1);
                REQUIRE(got[0] >= next);
                next = got[0] + 1;
                numbers.push_back(got[0]);
                daemon.settle_for(milliseconds(2));
            }
            daemon.settle_for(seconds(2));  // what is written is on the disk
            CHECK(drain(name).size() == 100);
            REQUIRE(daemon.core().checkpoint().last().number > 0);
            restart(round % 3);
            CHECK(queue(name).dedup()->table().size() ==
                  std::min<std::size_t>(500, numbers.size()));
            for (std::size_t i = numbers.size() - std::min<std::size_t>(500, numbers.size());
                 i < numbers.size(); ++i) {
                REQUIRE(publish(name, {std::to_string(i) + ":x"}) == Numbers{numbers[i]});
            }
        }
        stop();
    }
}

TEST_CASE_FIXTURE(DedupTest, "dedup: what was refused is not remembered") {
    options.dedup_ids_max = 3;
    start();
    wire::QueueCreate frame;
    frame.queue = "full";
    frame.options.durability = Durability::memory;
    frame.options.dedup_window_ms = 1000;
    frame.options.max_messages = 2;
    WireClient& client = connect();
    client.send(frame, 0, 1);
    daemon.settle();
    (void)client.next<wire::QueueInfo>();
    (void)client.open_producer("full");
    send(client, 1, {"a:1", "b:2", "c:3"});
    daemon.settle();
    CHECK(client.await<wire::Refuse>().error.code == ErrorCode::queue_full);
    CHECK(queue("full").dedup()->table().empty());
    CHECK(publish("full", {"a:1", "b:2"}) == Numbers{1, 2});
    CHECK(publish("full", {"b:x", "a:x"}) == Numbers{2, 1});  // for which there is room
    CHECK(daemon.core().engine().dedup_ids() == 2);
    create_queue("many", Durability::disk, 1000);
    WireClient& other = connect();
    (void)other.open_producer("many");
    send(other, 1, {"a:1", "b:2"});
    daemon.settle();
    const auto refused = other.await<wire::Refuse>();
    CHECK(refused.error.code == ErrorCode::memory_full);
    CHECK(refused.error.limit == 3);
    CHECK(daemon.core().engine().dedup_ids() == 2);
    CHECK(queue("many").live() == 0);
    CHECK(publish("many", {"a:1"}) == Numbers{1});
    // A frame that is malformed behind what is well-formed.
    auto batch = batch_of({"x:1"});
    batch.push_back(std::byte{1});
    wire::Publish bad;
    bad.first_line = LineNumber(1);
    bad.count = 2;
    bad.batch = batch;
    WireClient& third = connect();
    (void)third.open_producer("many");
    third.send(bad, 1);
    CHECK(daemon.core().engine().dedup_ids() == 3);
}

TEST_CASE_FIXTURE(DedupTest, "dedup: dead letters and what is moved are not known by their ids") {
    start();
    wire::QueueCreate once;
    once.queue = "q";
    once.options.durability = Durability::disk;
    once.options.dedup_window_ms = 60'000;
    once.options.max_attempts = 1;
    connect().send(once, 0, 1);
    daemon.settle();
    clients.clear();
    create_queue("q.dead", Durability::disk);
    create_queue("to", Durability::disk);
    CHECK(publish("q", {"a:1", "b:2"}) == Numbers{1, 2});
    WireClient& client = connect();
    client.send(wire::OpenConsumer{"q", 0, 1, plenty}, 2, 9);
    daemon.settle();
    client.settle(wire::FrameType::nack, {{MessageNumber(1), 1}});
    daemon.settle();
    clients.clear();
    const MessageRange second{MessageNumber(2), 1};
    wire::MessagesMoveRequest move;
    move.queue = "q";
    move.incarnation = queue("q").id();
    move.target = "to";
    move.ranges = {&second, 1};
    WireClient& mover = connect();
    mover.send(move, 0, 5);
    daemon.settle();
    CHECK(mover.await<wire::Done>().count == 1);
    clients.clear();
    for (int i = 0; i < 2; ++i) {
        CHECK(queue("q.dead").live() == 1);
        CHECK(queue("to").live() == 1);
        CHECK(queue("q.dead").dedup()->table().empty());
        CHECK(queue("to").dedup()->table().empty());
        CHECK(publish("q", {"a:x", "b:x"}) == Numbers{1, 2});
        restart(i);
    }
    CHECK(publish("q.dead", {"a:3"}) == Numbers{2});
}

TEST_CASE_FIXTURE(DedupTest, "dedup: a producer with a name may publish what is known") {
    start();
    create_queue("q", Durability::disk);
    wire::OpenProducer open;
    open.queue = "q";
    open.producer = "p";
    {
        WireClient& client = connect();
        client.send(open, 1, 9);
        daemon.settle();
        CHECK(client.await<wire::Opened>().last_line == LineNumber(0));
        send(client, 1, {"a:1", "b:2"});
        send(client, 3, {"b:x", "a:x"});
        CHECK(confirmed(client) == Numbers{1, 2, 2, 1});
    }
    restart(1);
    WireClient& client = connect();
    client.send(open, 1, 9);
    daemon.settle();
    CHECK(client.await<wire::Opened>().last_line == LineNumber(4));
    send(client, 5, {"a:x"});
    CHECK(confirmed(client) == Numbers{1});
}

TEST_CASE_FIXTURE(DedupTest, "dedup: batches of several priorities") {
    start();
    wire::QueueCreate frame;
    frame.queue = "q";
    frame.options.durability = Durability::disk;
    frame.options.dedup_window_ms = 60'000;
    frame.options.priorities = 1;
    WireClient& client = connect();
    client.send(frame, 0, 1);
    daemon.settle();
    (void)client.next<wire::QueueInfo>();
    (void)client.open_producer("q");
    std::vector<std::byte> batch;
    const auto add = [&](std::string_view id, std::uint8_t priority) {
        std::vector<std::byte> attributes;
        wire::Writer writer(attributes);
        writer.number(std::uint16_t{0x8006}).string16(id);
        writer.number(std::uint16_t{0x8002}).number(std::uint16_t{1}).number(priority);
        wire::append_message(batch, attributes, {});
    };
    const auto publish_batch = [&](std::uint64_t line, std::uint32_t count) {
        wire::Publish publish;
        publish.first_line = LineNumber(line);
        publish.count = count;
        publish.batch = batch;
        client.send(publish, 1);
        batch.clear();
        return confirmed(client);
    };
    add("a", 0), add("b", 9), add("c", 0), add("b", 3), add("d", 9);
    const Numbers first = publish_batch(1, 5);
    REQUIRE(first.size() == 5);
    CHECK(first[3] == first[1]);
    CHECK(first[2] == first[0] + 1);
    CHECK(first[4] == first[1] + 1);
    for (int i = 0; i < 2; ++i) {
        add("d", 0), add("c", 5), add("b", 9), add("a", 1);
        CHECK(publish_batch(i == 0 ? 6 : 1, 4) == Numbers{first[4], first[2], first[1], first[0]});
        if (i == 0) {
            restart(1);
            (void)connect().open_producer("q");
            CHECK(publish("q", {"a:x"}) == Numbers{first[0]});
            break;
        }
    }
}

TEST_CASE_FIXTURE(DedupTest, "dedup: in a transaction, what is known counts as done") {
    start();
    create_queue("disk", Durability::disk);
    create_queue("memory", Durability::memory);
    CHECK(publish("disk", {"a:1"}) == Numbers{1});
    CHECK(publish("memory", {"m:1"}) == Numbers{1});
    const auto transact = [&](const std::vector<std::pair<std::string_view, Bodies>>& publishes) {
        std::vector<std::byte> operations;
        for (const auto& [name, bodies] : publishes) {
            const auto batch = batch_of(bodies);
            wire::TransactPublish publish;
            publish.queue = name;
            publish.count = static_cast<std::uint32_t>(bodies.size());
            publish.batch = batch;
            wire::append_publish_operation(operations, publish);
        }
        wire::Transact frame;
        frame.count = static_cast<std::uint16_t>(publishes.size());
        frame.operations = operations;
        WireClient& client = connect();
        client.send(frame, 0, 3);
        daemon.settle();
        const auto reply = client.await<wire::Transacted>();
        std::vector<Numbers> numbers;
        for (const auto& published : reply.published) {
            append_numbers(published.runs, numbers.emplace_back());
        }
        clients.pop_back();
        return numbers;
    };
    CHECK(transact({{"disk", {"a:x"}}}) == std::vector<Numbers>{{1}});
    CHECK(transact({{"disk", {"a:x", "b:2", "b:x"}},
                    {"memory", {"m:x", "n:2", "3"}},
                    {"memory", {"n:x", "o:4"}},
                    {"disk", {"b:x"}}}) == std::vector<Numbers>{{1, 2, 2}, {1, 2, 3}, {2, 4}, {2}});
    CHECK(transact({{"memory", {"o:x", "p:5", "p:x"}}}) == std::vector<Numbers>{{4, 5, 5}});
    CHECK(publish("memory", {"n:x", "o:x", "p:x"}) == Numbers{2, 4, 5});
    CHECK(queue("disk").live() == 2);
    CHECK(queue("memory").live() == 5);
    restart(1);
    CHECK(publish("disk", {"b:x", "a:x"}) == Numbers{2, 1});
}

}  // namespace mqd::core::test
