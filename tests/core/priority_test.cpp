// Messages with priorities: in which order they come, which numbers they get, and what becomes of
// both when the daemon ends.

#include "core/core_fixture.hpp"
#include "daemon/core/backlog.hpp"
#include "daemon/core/check_store.hpp"
#include "support/canonical_state.hpp"
#include "support/dice.hpp"

namespace mqd::core::test {

namespace {

struct Ranked {
    std::string body;
    std::optional<unsigned> priority{};
    std::uint64_t delay_ms = 0;
};

std::vector<std::byte> ranked_batch(const std::vector<Ranked>& messages) {
    std::vector<std::byte> batch;
    for (const Ranked& message : messages) {
        std::vector<std::byte> attributes;
        wire::Writer writer(attributes);
        const auto add = [&](wire::AttributeId id, auto value) {
            writer.number(
                static_cast<std::uint16_t>(static_cast<std::uint16_t>(id) | wire::critical_bit));
            writer.number(static_cast<std::uint16_t>(sizeof value)).number(value);
        };
        if (message.priority) {
            add(wire::AttributeId::priority, static_cast<std::uint8_t>(*message.priority));
        }
        if (message.delay_ms != 0) {
            add(wire::AttributeId::delay, message.delay_ms);
        }
        wire::append_message(batch, attributes, wire::as_bytes(message.body));
    }
    return batch;
}

using Texts = std::vector<std::string>;

class Priority : public CoreFixture {
  protected:
    void create_ranked(std::string_view name, Durability durability = Durability::disk,
                       const wire::QueueOptions& more = {}) {
        WireClient& client = connect();
        wire::QueueCreate frame{name, more};
        frame.options.durability = durability;
        frame.options.priorities = 1;
        client.send(frame, 0, 1);
        daemon.settle();
        (void)client.next<wire::QueueInfo>();
        clients.pop_back();
    }
    void send(WireClient& client, std::uint64_t line, const std::vector<Ranked>& messages,
              Durability durability = Durability::unspecified) {
        const auto batch = ranked_batch(messages);
        wire::Publish frame;
        frame.first_line = LineNumber(line);
        frame.count = static_cast<std::uint32_t>(messages.size());
        frame.durability = durability;
        frame.batch = batch;
        client.send(frame, 1);
    }
    // By a producer of its own; the numbers that the lines became.
    Texts publish(std::string_view name, const std::vector<Ranked>& messages) {
        WireClient& client = connect();
        (void)client.open_producer(name);
        send(client, 1, messages);
        daemon.settle();
        Texts numbers;
        while (numbers.size() < messages.size()) {
            const auto confirm = client.await<wire::Confirm>();
            CHECK(confirm.first_line == LineNumber(numbers.size() + 1));
            for (std::size_t i = 0; i < confirm.size(); ++i) {
                for (std::uint32_t k = 0; k < confirm[i].count; ++k) {
                    numbers.push_back(format_number(confirm[i].first_number.plus(k)));
                }
            }
        }
        clients.pop_back();
        return numbers;
    }
    void expect_refused(std::string_view name, const std::vector<Ranked>& messages,
                        std::string_view text) {
        WireClient& client = connect();
        (void)client.open_producer(name);
        send(client, 1, messages);
        daemon.settle();
        const auto refused = client.await<wire::Refuse>();
        CHECK(error_name(refused.error.code) == "bad_option");
        CHECK(refused.error.text == text);
        CHECK(queue(name).live() == 0);
        clients.pop_back();
    }
    // What is delivered now to a consumer, which leaves with it.
    Texts ready_in(std::string_view name, std::uint64_t messages = plenty) {
        daemon.settle();
        WireClient& client = connect();
        (void)client.open_consumer(name, 2, messages);
        daemon.settle();
        Texts bodies = delivered_to(client);
        client.send(wire::Goodbye{}, 0, 5);
        clients.pop_back();
        daemon.settle();
        return bodies;
    }
    static Texts delivered_to(WireClient& client) {
        Texts bodies;
        for (const Received& frame : client.take()) {
            if (frame.header.type == wire::FrameType::deliver) {
                const auto some = bodies_of(frame.as<wire::Deliver>());
                bodies.insert(bodies.end(), some.begin(), some.end());
            }
        }
        return bodies;
    }
    [[nodiscard]] std::string state() {
        return mqd::test::canonical_state(daemon.core().engine(), {}).describe();
    }
};

const std::vector<Ranked> mixed = {{"a", 3}, {"b", 9}, {"c", 3}, {"d"}, {"e", 0}, {"f", 9}};

}  // namespace

TEST_CASE_FIXTURE(Priority, "priority: the highest comes first, and what is equal in its order") {
    start();
    for (const Durability durability :
         {Durability::memory, Durability::written, Durability::disk}) {
        CAPTURE(static_cast<int>(durability));
        const std::string name = "q" + std::to_string(static_cast<int>(durability));
        create_ranked(name, durability);
        CHECK(publish(name, mixed) == Texts{"3.1", "9.1", "3.2", "0.1", "0.2", "9.2"});
        CHECK(ready_in(name) == Texts{"b", "f", "a", "c", "d", "e"});
        CHECK(publish(name, {{"g", 3}, {"h", 3}}) == Texts{"3.3", "3.4"});
        CHECK(publish(name, {{"i", 5}, {"j", 9}}) == Texts{"5.1", "9.3"});
        CHECK(ready_in(name) == Texts{"b", "f", "j", "i", "a", "c", "g", "h", "d", "e"});
        CHECK(queue(name).numbers().on_their_way() == 0);
        CHECK(queue(name).admitted_bytes() == 0);
    }
}

TEST_CASE_FIXTURE(Priority, "priority: what is said wrong takes nothing") {
    start();
    create("plain", Durability::disk);
    create_ranked("q");
    expect_refused("plain", {{"a"}, {"b", 0}},
                   "queue \"plain\" does not declare priorities (they are said when a queue is "
                   "created: --priorities of mqctl queue create)");
    expect_refused("q", {{"a", 1}, {"b", 10}}, "a message has one priority, from 0 to 9");
    WireClient& client = connect();
    for (const unsigned value : {0u, 1u}) {
        wire::QueueUpdate update{"q", {}};
        update.options.priorities = static_cast<std::uint8_t>(value);
        client.send(update, 0, 3);
        daemon.settle();
        if (value == 0) {
            client.expect_error(ErrorCode::bad_option, 3);
        } else {
            CHECK(client.next<wire::QueueInfo>().options.priorities == 1);  // as it is
        }
    }
    wire::QueueCreate create{"w", {}};
    create.options.priorities = 2;
    client.send(create, 0, 4);
    client.expect_error(ErrorCode::bad_option, 4);
}

TEST_CASE_FIXTURE(Priority, "priority: numbers and messages are as they were after every end") {
    start();
    create_ranked("q");
    create_ranked("written", Durability::written);
    (void)publish("q", mixed);
    (void)publish("written", mixed);
    const std::string before = state();
    SUBCASE("a stop") {
        stop();
        start();
        CHECK(state() == before);
        CHECK(publish("written", {{"x", 9}}) == Texts{"9.3"});
    }
    SUBCASE("a kill") {
        kill();
        start();
    }
    SUBCASE("a power loss") {
        lose_power();
        start();
    }
    CHECK(ready_in("q") == Texts{"b", "f", "a", "c", "d", "e"});
    CHECK(publish("q", {{"g", 9}, {"h", 0}}) == Texts{"9.3", "0.3"});
    // What a power loss may have taken was seen, in each level.
    const Texts numbers = publish("written", {{"g", 9}, {"h", 0}, {"i", 4}});
    CHECK(*parse_number(numbers[0]) > *parse_number("9.2"));
    CHECK(*parse_number(numbers[1]) > *parse_number("0.2"));
    CHECK(*parse_number(numbers[2]) >= *parse_number("4.1"));
}

TEST_CASE_FIXTURE(Priority, "priority: all of a batch is there after a power loss, or nothing") {
    options.commit_delay_max = std::chrono::milliseconds(0);
    start();
    create_ranked("q");
    for (std::uint64_t seed = 1; seed <= 60; ++seed) {
        WireClient& client = connect();
        (void)client.open_producer("q");
        const std::uint64_t before = queue("q").live();
        send(client, 1, mixed);
        mqd::test::Dice dice(seed);
        for (std::uint64_t i = dice.below(4); i > 0; --i) {
            daemon.begin_turn();
            if (daemon.commit().has_work()) {
                daemon.commit().run_work();
            } else if (daemon.commit().has_done()) {
                daemon.commit().run_done();
            }
            daemon.end_turn();
        }
        lose_power(seed);
        start();
        const std::uint64_t added = queue("q").live() - before;
        CHECK_MESSAGE((added == 0 || added == mixed.size()), "seed " << seed);
    }
}

TEST_CASE_FIXTURE(Priority, "priority: nothing is confirmed before its queue's own durability") {
    start();
    create_ranked("q");
    WireClient& client = connect();
    (void)client.open_producer("q");
    send(client, 1, mixed, Durability::memory);
    CHECK(client.silent());
    daemon.settle();
    CHECK(client.await<wire::Confirm>().durability == Durability::disk);
}

TEST_CASE_FIXTURE(Priority, "priority: a batch of more runs than a CONFIRM has goes into several") {
    start();
    create_ranked("q", Durability::memory);
    std::vector<Ranked> many;
    for (unsigned i = 0; i < 4500; ++i) {
        many.push_back({"", i % 2});
    }
    const Texts numbers = publish("q", many);
    CHECK(numbers[0] == "0.1");
    CHECK(numbers[1] == "1.1");
    CHECK(numbers[4498] == "0.2250");
    CHECK(numbers[4499] == "1.2250");
}

TEST_CASE_FIXTURE(Priority, "priority: where the oldest is dropped, it is that of the lowest") {
    start();
    wire::QueueOptions limits;
    limits.max_messages = 4;
    limits.on_full = OnFull::drop_oldest;
    create_ranked("q", Durability::disk, limits);
    (void)publish("q", {{"a", 5}, {"b", 1}, {"c", 9}, {"d", 1}});
    (void)publish("q", {{"e", 0}});
    CHECK(ready_in("q") == Texts{"c", "a", "d", "e"});
    (void)publish("q", {{"f", 9}, {"g", 9}});
    CHECK(ready_in("q") == Texts{"c", "f", "g", "a"});
}

TEST_CASE_FIXTURE(Priority, "priority: messages of all priorities wait for their time") {
    for (const Durability durability : {Durability::memory, Durability::disk}) {
        if (durability == Durability::memory) {
            start();
        }
        const std::string name = "q" + std::to_string(static_cast<int>(durability));
        create_ranked(name, durability);
        (void)publish(name, {{"a", 1, 500}, {"b", 9, 500}, {"c", 1}, {"d", 9}, {"e", 1, 500}});
        CHECK(ready_in(name) == Texts{"d", "c"});
        CHECK(queue(name).delayed() == 3);
        if (durability == Durability::disk) {
            kill();
            start();
            CHECK(queue(name).delayed() == 3);
        }
        daemon.pass(std::chrono::milliseconds(600));
        CHECK(ready_in(name) == Texts{"b", "d", "a", "c", "e"});
    }
}

TEST_CASE_FIXTURE(Priority, "priority: a dead letter keeps it, and has its place by it") {
    start();
    create_ranked("graves");
    wire::QueueOptions to_graves;
    to_graves.dead_letter = "graves";
    create_ranked("q", Durability::disk, to_graves);
    create_ranked("r");
    for (const std::string name : {"q", "r"}) {
        (void)publish(name, mixed);
        WireClient& client = connect();
        (void)client.open_consumer(name);
        daemon.settle();
        CHECK(delivered_to(client).size() == mixed.size());
        wire::Nack nack;
        std::vector<MessageRange> all;
        for (unsigned level = 1; level <= number_levels; ++level) {
            all.push_back({first_of_level(level), 10});
        }
        std::vector<std::byte> bytes;
        wire::append_settle(bytes, wire::FrameType::nack, {0, all}, CorrelationId(0), HandleId(2),
                            wire::flag_dead_letter);
        client.receive(bytes);
        clients.pop_back();
        daemon.settle();
        CHECK(queue(name).live() == 0);
    }
    CHECK(ready_in("graves") == Texts{"b", "f", "a", "c", "d", "e"});
    CHECK(queue("graves").next_applied(first_of_level(1)) == first_of_level(1).plus(2));
    // One that the daemon made declares none.
    CHECK_FALSE(queue("r.dead").definition().priorities);
    CHECK(queue("r.dead").next_applied() == MessageNumber(7));
}

namespace {

// Most of it lies in segments.
class Paged : public Priority {
  protected:
    Paged() {
        options.journal = {64 * 1024, 1024 * 1024};
        options.backlog.memory_bytes = 64 * 1024;
        options.backlog.page_bytes = 8 * 1024;
        options.backlog.flush_bytes = 16 * 1024;
        options.backlog.checkpoint_items = 3;
        start();
        create_ranked("q");
    }
    // Batches of all priorities but 9.
    void fill(int batches) {
        mqd::test::Dice dice(7);
        for (int i = 0; i < batches; ++i) {
            std::vector<Ranked> messages;
            for (std::uint64_t k = dice.between(1, 12); k > 0; --k) {
                messages.push_back({std::to_string(published_++) + std::string(500, 'x'),
                                    static_cast<unsigned>(dice.below(priority_max))});
            }
            (void)publish("q", messages);
        }
    }
    std::uint64_t published_ = 0;
};

}  // namespace

TEST_CASE_FIXTURE(Paged, "priority: pages are of one level each, and all of it is found again") {
    fill(150);
    const QueuePages* pages = daemon.core().backlog().pages(queue("q").id());
    REQUIRE(pages != nullptr);
    CHECK(pages->pages.size() > 20);
    for (const auto& [last, page] : pages->pages) {
        CHECK(level_of_number(page.range.first) == level_of_number(last));
    }
    const std::string before = state();
    SUBCASE("after a stop") {
        stop();
        start();
        CHECK(state() == before);
    }
    SUBCASE("after a power loss") {
        lose_power();
        start();
        CHECK(state() == before);
    }
    SUBCASE("at once") {}
    CHECK(queue("q").ready() == published_);
}

TEST_CASE_FIXTURE(Paged, "priority: one that is higher comes at once, though the others are read") {
    fill(150);
    CHECK(daemon.core().backlog().unread_bytes(queue("q").id()) > 0);
    WireClient& consumer = connect();
    (void)consumer.open_consumer("q", 2, 1);
    daemon.settle();
    CHECK(delivered_to(consumer).size() == 1);
    WireClient& client = connect();
    (void)client.open_producer("q");
    send(client, 1, {{"now", 9}});
    daemon.settle();
    consumer.send(wire::Credit{2, plenty}, 2);
    CHECK(delivered_to(consumer) == Texts{"now"});
}

TEST_CASE_FIXTURE(Paged, "priority: a checkpoint that is written meanwhile tells each level") {
    mqd::test::Dice dice(3);
    WireClient& client = connect();
    (void)client.open_producer("q");
    std::uint64_t line = 1;
    for (int round = 0; round < 400; ++round) {
        std::vector<Ranked> messages;
        for (std::uint64_t k = dice.between(1, 5); k > 0; --k) {
            messages.push_back(
                {std::string(300, 'y'), static_cast<unsigned>(dice.below(priority_max + 1))});
        }
        send(client, line, messages);
        line += messages.size();
        daemon.begin_turn();
        daemon.commit().run_all();
        daemon.background().run_all();
        daemon.end_turn();
        daemon.pass(std::chrono::milliseconds(1));
        (void)client.take();
    }
    daemon.settle();
    CHECK(daemon.core().checkpoint().figures().checkpoints > 2);
    const std::string before = state();
    kill();
    start();
    CHECK(state() == before);
}

}  // namespace mqd::core::test
