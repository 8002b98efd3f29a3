// Messages with a group, over the protocol: their order, what becomes of it whatever happens to the
// daemon, and what is refused.

#include "core/stored_fixture.hpp"
#include "support/canonical_state.hpp"

namespace mqd::core::test {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A body, and the key of its group in front of a colon; without one, it has none.
std::vector<std::byte> grouped_batch(const std::vector<std::string>& messages) {
    std::vector<std::byte> batch;
    for (const std::string& message : messages) {
        std::vector<std::byte> attributes;
        const std::size_t colon = message.find(':');
        if (colon != std::string::npos) {
            wire::Writer writer(attributes);
            writer.number(static_cast<std::uint16_t>(
                static_cast<std::uint16_t>(wire::AttributeId::group) | wire::critical_bit));
            writer.string16(std::string_view(message).substr(0, colon));
        }
        wire::append_message(batch, attributes, wire::as_bytes(message));
    }
    return batch;
}

class MessageGroup : public CoreFixture {
  protected:
    void send(WireClient& client, std::uint64_t line, const std::vector<std::string>& messages) {
        const auto batch = grouped_batch(messages);
        wire::Publish frame;
        frame.first_line = LineNumber(line);
        frame.count = static_cast<std::uint32_t>(messages.size());
        frame.batch = batch;
        client.send(frame, 1);
        daemon.settle();
    }
    void publish(std::string_view name, const std::vector<std::string>& messages) {
        WireClient& client = connect();
        (void)client.open_producer(name);
        send(client, 1, messages);
        (void)client.await<wire::Confirm>();
        clients.pop_back();
    }
    std::vector<std::string> delivered(WireClient& client) {
        daemon.settle();
        std::vector<std::string> bodies;
        for (const Received& frame : client.take()) {
            if (frame.header.type == wire::FrameType::deliver) {
                const auto some = bodies_of(frame.as<wire::Deliver>());
                bodies.insert(bodies.end(), some.begin(), some.end());
            }
        }
        return bodies;
    }
    WireClient& consume(std::string_view name) {
        WireClient& client = connect();
        client.send(wire::OpenConsumer{name, 0, plenty, plenty}, 2, 9);
        return client;
    }
    [[nodiscard]] mqd::test::CanonicalState state() {
        return mqd::test::canonical_state(daemon.core().engine(), {daemon.now(), daemon.wall()});
    }
};

using Bodies = std::vector<std::string>;

}  // namespace

TEST_CASE_FIXTURE(MessageGroup, "message groups: each in order, one at a time, beside the others") {
    start();
    for (const Durability durability :
         {Durability::memory, Durability::written, Durability::disk}) {
        CAPTURE(durability);
        const std::string name = "q" + std::to_string(static_cast<int>(durability));
        create(name, durability);
        publish(name, {"a:1", "a:2", "b:3", "4", "a:5"});
        CHECK(queue(name).held() == 2);
        WireClient& client = consume(name);
        CHECK(delivered(client) == Bodies{"a:1", "b:3", "4"});
        client.ack(1);
        CHECK(delivered(client) == Bodies{"a:2"});
        client.settle(wire::FrameType::nack, {{MessageNumber(2), 1}});
        CHECK(delivered(client) == Bodies{"a:2"});
        client.ack(2, 3);
        CHECK(delivered(client) == Bodies{"a:5"});
        clients.clear();
    }
}

TEST_CASE_FIXTURE(MessageGroup, "message groups: they are the same after any end of the daemon") {
    options.journal = {64 * 1024, 512 * 1024};
    options.backlog.memory_bytes = 20'000;
    options.backlog.page_bytes = 3'000;
    options.backlog.flush_bytes = 6'000;
    start();
    create("q", Durability::disk);
    for (int i = 0; i < 60; ++i) {  // most of it goes to segments, and checkpoints tell of it
        const std::string filler(1000, 'x');
        publish("q", {"a:" + filler, "b:" + filler, filler, "a:" + filler});
        daemon.settle_for(milliseconds(5));
    }
    REQUIRE(daemon.core().backlog().figures().pages > 0);
    WireClient& first = consume("q");
    CHECK(delivered(first).size() > 3);
    first.ack(1, 2);
    first.ack(4, 1);
    daemon.settle_for(seconds(1));
    clients.clear();
    daemon.settle();
    for (int round = 0; round < 3; ++round) {
        CAPTURE(round);
        const auto before = state();
        const std::uint64_t held = queue("q").held();
        round == 0 ? kill() : round == 1 ? lose_power() : stop();
        start();
        CHECK(state() == before);
        CHECK(queue("q").held() == held);
        CHECK(daemon.core().engine().grouped_messages() == 60 * 3 - 3);
    }
    // Drained one after the other, none of a group overtakes another.
    WireClient& client = consume("q");
    std::uint64_t received = 0;
    for (std::uint64_t empty = 0; empty < 3;) {
        daemon.settle_for(milliseconds(20));
        std::vector<MessageRange> done;
        std::map<char, int> at_once;
        for (const Received& frame : client.take()) {
            if (frame.header.type != wire::FrameType::deliver) {
                continue;
            }
            const auto delivery = frame.as<wire::Deliver>();
            for (const std::string& body : bodies_of(delivery)) {
                CHECK((body[0] == 'x' || ++at_once[body[0]] == 1));
            }
            done.push_back({delivery.first_number, delivery.count});
            received += delivery.count;
        }
        empty = done.empty() ? empty + 1 : 0;
        if (!done.empty()) {
            client.settle(wire::FrameType::ack, done);
        }
    }
    CHECK(received == 240 - 3);
    CHECK(queue("q").live() == 0);
    CHECK(daemon.core().engine().grouped_messages() == 0);
}

TEST_CASE_FIXTURE(MessageGroup, "message groups: keys that cannot be are refused") {
    start();
    create("q", Durability::disk);
    WireClient& client = connect();
    (void)client.open_producer("q");
    send(client, 1, {std::string(129, 'k') + ":x"});
    client.expect_error(ErrorCode::protocol_violation);
    WireClient& other = connect();
    (void)other.open_producer("q");
    send(other, 1, {std::string(128, 'k') + ":x"});
    (void)other.await<wire::Confirm>();
    WireClient& third = connect();
    (void)third.open_producer("q");
    send(third, 1, {":x"});
    third.expect_error(ErrorCode::protocol_violation);
    CHECK(queue("q").live() == 1);
}

TEST_CASE_FIXTURE(MessageGroup, "message groups: beyond limits.grouped_messages it is refused") {
    options.grouped_max = 3;
    start();
    create("q", Durability::disk);
    publish("q", {"a:1", "a:2", "b:3", "4"});
    WireClient& client = connect();
    (void)client.open_producer("q");
    send(client, 1, {"a:5"});
    CHECK(client.await<wire::Refuse>().error.code == ErrorCode::memory_full);
    publish("q", {"6"});
    WireClient& consumer = consume("q");
    CHECK(delivered(consumer).size() == 4);
    consumer.ack(1);
    daemon.settle_for(milliseconds(20));
    publish("q", {"a:7"});
}

TEST_CASE_FIXTURE(MessageGroup, "message groups: a dead letter keeps its key and belongs to none") {
    start();
    create("q", Durability::disk);
    publish("q", {"a:1", "a:2"});
    WireClient& client = consume("q");
    for (const std::uint64_t number : {1, 2}) {
        daemon.settle_for(milliseconds(10));
        std::vector<std::byte> bytes;
        const MessageRange range{MessageNumber(number), 1};
        wire::append_settle(bytes, wire::FrameType::nack, {0, {&range, 1}}, {}, HandleId(2),
                            wire::flag_dead_letter);
        client.receive(bytes);
    }
    daemon.settle_for(milliseconds(50));
    CHECK(queue("q").live() == 0);
    CHECK(daemon.core().engine().grouped_messages() == 0);
    for (int round = 0; round < 2; ++round) {
        WireClient& reader = consume("q.dead");
        CHECK(delivered(reader) == Bodies{"a:1", "a:2"});
        stop();
        start();
        CHECK(daemon.core().engine().grouped_messages() == 0);
    }
}

TEST_CASE_FIXTURE(MessageGroup, "message groups: more of each at a time, as the queue says") {
    start();
    create("q", Durability::disk);
    publish("q", {"a:1", "a:2", "a:3", "a:4"});
    const auto allow = [&](std::uint32_t count) -> WireClient& {
        WireClient& admin = connect();
        wire::QueueUpdate frame;
        frame.queue = "q";
        frame.options.group_in_flight = count;
        admin.send(frame, 0, 4);
        daemon.settle();
        return admin;
    };
    WireClient& client = consume("q");
    CHECK(delivered(client) == Bodies{"a:1"});
    CHECK(allow(3).await<wire::QueueInfo>().held == 1);
    CHECK(delivered(client) == Bodies{"a:2", "a:3"});
    allow(0).expect_error(ErrorCode::bad_option, 4);
    allow(65'537).expect_error(ErrorCode::bad_option, 4);
    stop();
    start();
    CHECK(queue("q").definition().group_in_flight == 3);
    CHECK(queue("q").held() == 1);
}

class RatedGroup : public MessageGroup {
  protected:
    // The answer: a QUEUE_INFO, or an error.
    WireClient& set_rate(const Rate& rate) {
        WireClient& admin = connect();
        wire::QueueUpdate frame;
        frame.queue = "q";
        frame.options.group_rate = rate;
        admin.send(frame, 0, 4);
        daemon.settle();
        return admin;
    }
    // Lets that time pass, without anything that is due in it being late.
    Bodies delivered_in(WireClient& client, milliseconds time) {
        daemon.settle_for(time);
        return delivered(client);
    }
};

TEST_CASE_FIXTURE(RatedGroup, "group rate: one message of each at a time, so far apart") {
    start();
    create("q", Durability::disk);
    CHECK(set_rate({10}).await<wire::QueueInfo>().options.group_rate == Rate{10});
    publish("q", {"a:1", "a:2", "b:3", "4", "a:5"});
    WireClient& client = consume("q");
    CHECK(delivered(client) == Bodies{"a:1", "b:3", "4"});
    client.ack(1);
    client.settle(wire::FrameType::nack, {{MessageNumber(3), 1}});
    CHECK(delivered_in(client, milliseconds(95)) == Bodies{"b:3"});
    CHECK(delivered_in(client, milliseconds(10)) == Bodies{"a:2"});
    CHECK(daemon.core().next_deadline().has_value());
    client.ack(2);
    set_rate({});
    CHECK(delivered_in(client, milliseconds(1)) == Bodies{"a:5"});
}

TEST_CASE_FIXTURE(RatedGroup, "group rate: a restart keeps it, and forgets who rested") {
    start();
    create("q", Durability::disk);
    set_rate({1, seconds(3600)});
    publish("q", {"a:1", "a:2", "a:3"});
    WireClient& before = consume("q");
    CHECK(delivered(before) == Bodies{"a:1"});
    before.ack(1);
    CHECK(delivered_in(before, seconds(10)).empty());
    stop();
    start();
    CHECK(queue("q").definition().group_rate == Rate{1, seconds(3600)});
    WireClient& after = consume("q");
    CHECK(delivered(after) == Bodies{"a:2"});
    after.ack(2);
    CHECK(delivered_in(after, seconds(3590)).empty());
    CHECK(delivered_in(after, seconds(20)) == Bodies{"a:3"});
}

TEST_CASE_FIXTURE(RatedGroup,
                  "group rate: a group that rests takes the place of its last message") {
    options.grouped_max = 2;
    start();
    create("q", Durability::memory);
    set_rate({1});
    publish("q", {"a:1", "b:2"});
    WireClient& consumer = consume("q");
    CHECK(delivered(consumer).size() == 2);
    consumer.ack(1, 2);
    daemon.settle();
    CHECK(daemon.core().engine().grouped_messages() == 0);
    CHECK(daemon.core().engine().kept_groups() == 2);
    WireClient& client = connect();
    (void)client.open_producer("q");
    send(client, 1, {"c:3"});
    CHECK(client.await<wire::Refuse>().error.code == ErrorCode::memory_full);
    daemon.settle_for(milliseconds(1001));
    CHECK(daemon.core().engine().kept_groups() == 0);
    publish("q", {"c:3"});
}

}  // namespace mqd::core::test
