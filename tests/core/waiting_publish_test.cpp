// Publishes to a full queue that wait for room: taken in order, refused when their time is over,
// and in nobody's way.

#include "core/core_fixture.hpp"
#include "mqd/wire/message_move.hpp"

namespace mqd::core::test {

namespace {

using Strings = std::vector<std::string>;

class WaitingPublish : public CoreFixture {
  protected:
    void create_with(std::string_view name, Durability durability, std::uint64_t max_messages) {
        WireClient& client = connect();
        wire::QueueCreate frame;
        frame.queue = name;
        frame.options.durability = durability;
        frame.options.max_messages = max_messages;
        frame.options.on_full = OnFull::wait;
        client.send(frame, 0, 1);
        daemon.settle();
        (void)client.next<wire::QueueInfo>();
        client.end();
        clients.pop_back();
    }
    WireClient& producer(std::string_view name, std::uint32_t wait_ms = 0,
                         std::string_view producer_name = {}) {
        WireClient& client = connect();
        client.send(wire::OpenProducer{name, producer_name, wait_ms}, 1, 9);
        daemon.settle();
        (void)client.await<wire::Opened>();
        return client;
    }
    WireClient& consumer(std::string_view name) {
        WireClient& client = connect();
        (void)client.open_consumer(name);
        daemon.settle();
        return client;
    }
    // What came since, in short: "+3" three lines from … confirmed, "-2 queue_full" refused.
    Strings answers(WireClient& client) {
        daemon.settle();
        Strings found;
        for (const Received& frame : client.take()) {
            if (frame.header.type == wire::FrameType::confirm) {
                const auto confirm = frame.as<wire::Confirm>();
                std::uint64_t count = 0;
                for (std::size_t i = 0; i < confirm.size(); ++i) {
                    count += confirm[i].count;
                }
                found.push_back("+" + std::to_string(count));
            } else if (frame.header.type == wire::FrameType::refuse) {
                const auto refusal = frame.as<wire::Refuse>();
                found.push_back("-" + std::to_string(refusal.count) + " " +
                                std::string(error_name(refusal.error.code)));
            }
        }
        return found;
    }
    Strings delivered(WireClient& client) {
        daemon.settle();
        Strings found;
        for (const Received& frame : client.take()) {
            if (frame.header.type == wire::FrameType::deliver) {
                for (const std::string& body : bodies_of(frame.as<wire::Deliver>())) {
                    found.push_back(body);
                }
            }
        }
        return found;
    }
    void pass(std::int64_t ms) { daemon.settle_for(std::chrono::milliseconds(ms)); }
    void update(std::string_view name, const wire::QueueOptions& changed) {
        WireClient& client = connect();
        wire::QueueUpdate frame;
        frame.queue = name;
        frame.options = changed;
        client.send(frame, 0, 3);
        daemon.settle();
        (void)client.next<wire::QueueInfo>();
        client.end();
        clients.pop_back();
    }
};

}  // namespace

TEST_CASE_FIXTURE(WaitingPublish, "waiting publish: taken when there is room, whole and in order") {
    for (const Durability durability :
         {Durability::memory, Durability::written, Durability::disk}) {
        CAPTURE(durability);
        if (!daemon.up()) {
            start();
        }
        const std::string name = "q" + std::to_string(static_cast<int>(durability));
        create_with(name, durability, 2);
        WireClient& client = producer(name);
        client.publish(1, {"a", "b"});
        CHECK(answers(client) == Strings{"+2"});
        client.publish(3, {"c", "d"});
        client.publish(5, {"e"});
        CHECK(answers(client).empty());
        CHECK(queue(name).live() == 2);
        WireClient& reader = consumer(name);
        CHECK(delivered(reader) == Strings{"a", "b"});
        reader.ack(1);
        CHECK(answers(client).empty());  // not half of a frame, and nobody before it
        reader.ack(2);
        CHECK(answers(client) == Strings{"+2"});
        CHECK(delivered(reader) == Strings{"c", "d"});
        reader.ack(3);
        CHECK(answers(client) == Strings{"+1"});
        CHECK(delivered(reader) == Strings{"e"});
        if (durability == Durability::disk) {
            lose_power();
            start();
            CHECK(queue(name).live() >= 2);
        }
    }
}

TEST_CASE_FIXTURE(WaitingPublish,
                  "waiting publish: refused when its time is over, with all behind it") {
    start();
    create_with("q", Durability::disk, 1);
    WireClient& client = producer("q", 100);
    WireClient& patient = producer("q");
    client.publish(1, {"a"});
    CHECK(answers(client) == Strings{"+1"});
    client.publish(2, {"b"});
    pass(60);
    client.publish(3, {"c"});
    patient.publish(1, {"e"});
    CHECK(answers(client).empty());
    pass(30);
    CHECK(answers(client).empty());
    pass(20);
    daemon.settle();
    const auto refusal = client.await<wire::Refuse>();
    CHECK(refusal.first_line == LineNumber(2));
    CHECK(refusal.count == 1);
    CHECK(refusal.error.code == ErrorCode::queue_full);
    CHECK(refusal.error.limit == 1);
    CHECK(refusal.error.retry_after_ms == 200);
    CHECK(refusal.error.text == "queue \"q\" is full: max_messages; waited for 100 ms");
    CHECK(answers(client) == Strings{"-1 resume_needed"});
    client.publish(4, {"f"});
    CHECK(answers(client) == Strings{"-1 resume_needed"});
    // The default is five seconds.
    pass(4700);
    CHECK(answers(patient).empty());
    pass(300);
    CHECK(answers(patient) == Strings{"-1 queue_full"});
    CHECK(queue("q").live() == 1);
    // It can go on.
    client.send(wire::Resume{}, 1);
    WireClient& reader = consumer("q");
    reader.ack(1);
    client.publish(5, {"g"});
    CHECK(answers(client) == Strings{"+1"});
}

TEST_CASE_FIXTURE(WaitingPublish, "waiting publish: first come, first served") {
    start();
    create_with("q", Durability::memory, 1);
    WireClient& first = producer("q");
    WireClient& second = producer("q");
    WireClient& third = producer("q");
    first.publish(1, {"a"});
    second.publish(1, {"b"});
    first.publish(2, {"c"});
    third.publish(1, {"d"});
    WireClient& reader = consumer("q");
    Strings got;
    for (std::uint64_t number = 1; number <= 4; ++number) {
        for (std::string& body : delivered(reader)) {
            got.push_back(body);
        }
        reader.ack(number);
    }
    CHECK(got == Strings{"a", "b", "c", "d"});
    CHECK(answers(first) == Strings{"+1", "+1"});
    CHECK(answers(second) == Strings{"+1"});
    CHECK(answers(third) == Strings{"+1"});
}

TEST_CASE_FIXTURE(WaitingPublish,
                  "waiting publish: blocks no ack, no other queue and no other handle") {
    start();
    create_with("q", Durability::disk, 1);
    create("other", Durability::disk);
    WireClient& client = producer("q");
    (void)client.open_producer("other", 3);
    (void)client.open_consumer("q", 2, 1);
    client.publish(1, {"a"});
    daemon.settle();
    (void)client.take();  // confirmed, and delivered
    for (std::uint64_t line = 2; line < 100; ++line) {
        client.publish(line, {"waits"});
    }
    client.publish(1, {"x"}, Durability::unspecified, 3);
    CHECK(answers(client) == Strings{"+1"});
    client.ack(1, 1, 44);
    daemon.settle();
    std::uint64_t settled = 0;
    std::uint64_t confirms = 0;
    for (const Received& frame : client.take()) {
        settled += frame.header.type == wire::FrameType::settled ? 1 : 0;
        confirms += frame.header.type == wire::FrameType::confirm ? 1 : 0;
    }
    CHECK(settled == 1);
    CHECK(confirms == 1);
    CHECK(queue("q").live() == 1);
}

TEST_CASE_FIXTURE(WaitingPublish, "waiting publish: a session that ends takes it along") {
    start();
    create_with("q", Durability::disk, 1);
    const std::uint64_t booked = daemon.core().journal().figures().booked_bytes;
    WireClient& client = producer("q");
    client.publish(1, {"a"});
    client.publish(2, {"b"});
    client.publish(3, {"c"});
    CHECK(answers(client) == Strings{"+1"});
    client.end();
    clients.pop_back();
    daemon.settle();
    WireClient& reader = consumer("q");
    CHECK(delivered(reader) == Strings{"a"});
    reader.ack(1);
    pass(100);
    CHECK(queue("q").live() == 0);
    CHECK(queue("q").next_number() == MessageNumber(2));
    CHECK(daemon.core().journal().figures().booked_bytes == booked);
}

TEST_CASE_FIXTURE(WaitingPublish,
                  "waiting publish: the end of a handle and of a session waits for it") {
    start();
    create_with("q", Durability::disk, 1);
    WireClient& client = producer("q", 50);
    client.publish(1, {"a"});
    client.publish(2, {"b"});
    client.send(wire::CloseHandle{}, 1, 5);
    CHECK(answers(client) == Strings{"+1"});
    client.send(wire::Goodbye{}, 0, 6);
    CHECK(client.silent());
    pass(60);
    (void)client.next<wire::Refuse>();
    (void)client.next<wire::Closed>();
    (void)client.next<wire::GoodbyeReply>();
}

TEST_CASE_FIXTURE(WaitingPublish, "waiting publish: refused at once where it can never be taken") {
    start();
    create_with("q", Durability::disk, 2);
    WireClient& client = producer("q");
    client.publish(1, {"1", "2", "3"});
    CHECK(answers(client) == Strings{"-3 queue_full"});
    client.send(wire::Resume{}, 1);
    client.publish(4, {"1", "2"});
    client.publish(6, {"3"});
    CHECK(answers(client) == Strings{"+2"});
    SUBCASE("paused") {
        wire::QueueOptions changed;
        changed.paused = wire::Paused{true, std::nullopt}.bits();
        update("q", changed);
        CHECK(answers(client) == Strings{"-1 queue_paused"});
    }
    SUBCASE("deleted") {
        connect().ask(wire::FrameType::queue_delete, "q");
        CHECK(answers(client) == Strings{"-1 queue_deleted"});
    }
    SUBCASE("it shall not wait any more") {
        wire::QueueOptions changed;
        changed.on_full = OnFull::reject;
        update("q", changed);
        CHECK(answers(client) == Strings{"-1 queue_full"});
    }
    SUBCASE("it shall drop instead") {
        wire::QueueOptions changed;
        changed.on_full = OnFull::drop_oldest;
        update("q", changed);
        CHECK(answers(client) == Strings{"+1"});
        CHECK(queue("q").live() == 2);
    }
    SUBCASE("the limit is raised") {
        wire::QueueOptions changed;
        changed.max_messages = 3;
        update("q", changed);
        CHECK(answers(client) == Strings{"+1"});
    }
    SUBCASE("the daemon stops") {
        daemon.core().begin_stop();
        CHECK(answers(client) == Strings{"-1 stopping"});
    }
}

TEST_CASE_FIXTURE(WaitingPublish, "waiting publish: of a memory queue that is deleted") {
    start();
    create_with("q", Durability::memory, 1);
    WireClient& client = producer("q");
    client.publish(1, {"1"});
    client.publish(2, {"2"});
    connect().ask(wire::FrameType::queue_delete, "q");
    CHECK(answers(client) == Strings{"+1", "-1 queue_deleted"});
}

TEST_CASE_FIXTURE(WaitingPublish,
                  "waiting publish: bounded in frames, and by limits.memory_bytes") {
    options.memory_bytes_max = 400'000;
    start();
    create_with("q", Durability::memory, 1);
    WireClient& client = producer("q");
    client.publish(1, {"a"});
    CHECK(answers(client) == Strings{"+1"});
    for (std::uint64_t line = 2; line <= 1025; ++line) {
        client.publish(line, {"b"});
    }
    CHECK(answers(client).empty());
    client.publish(1026, {"c"});
    client.publish(1027, {"d"});
    CHECK(answers(client).empty());  // answered in order
    client.end();
    WireClient& large = producer("q");
    const std::string body(40'000, 'x');
    large.publish(1, {body});
    CHECK(answers(large).empty());
    WireClient& beside = producer("q");
    WireClient* last = &beside;
    for (int i = 0; i < 12; ++i) {
        last = &producer("q");
        last->publish(1, {body});
    }
    CHECK(answers(*last) == Strings{"-1 memory_full"});
}

TEST_CASE_FIXTURE(WaitingPublish,
                  "waiting publish: a producer with a name goes on where it was taken") {
    start();
    create_with("q", Durability::disk, 1);
    WireClient& client = producer("q", 0, "p");
    client.publish(1, {"a"});
    client.publish(2, {"b"});
    CHECK(answers(client) == Strings{"+1"});
    client.send(wire::Resume{}, 1);  // of no use, and no harm
    client.publish(3, {"c"});
    CHECK(answers(client).empty());
    // Another one takes the name: what waits is of no use any more.
    WireClient& heir = connect();
    heir.send(wire::OpenProducer{"q", "p"}, 1, 9);
    daemon.settle();
    CHECK(heir.await<wire::Opened>().last_line == LineNumber(1));
    WireClient& reader = consumer("q");
    CHECK(answers(client) == Strings{"-1 producer_fenced", "-1 resume_needed"});
    heir.publish(2, {"b"});
    reader.ack(1);
    CHECK(answers(heir) == Strings{"+1"});
    CHECK(delivered(reader) == Strings{"a", "b"});
}

TEST_CASE_FIXTURE(
    WaitingPublish,
    "waiting publish: whose name is opened again is refused at once, also behind others") {
    start();
    create_with("q", Durability::disk, 1);
    WireClient& first = producer("q");
    first.publish(1, {"a"});
    CHECK(answers(first) == Strings{"+1"});
    first.publish(2, {"b"});
    WireClient& old = producer("q", 0, "p");
    old.publish(1, {"x"});
    old.publish(2, {"y"});
    WireClient& last = producer("q");
    last.publish(1, {"c"});
    CHECK(answers(old).empty());
    WireClient& again = producer("q", 0, "p");
    CHECK(answers(old) == Strings{"-1 producer_fenced", "-1 resume_needed"});
    again.publish(1, {"x"});
    CHECK(answers(first).empty());
    WireClient& reader = consumer("q");
    for (const std::uint64_t number : {1, 2, 3, 4}) {
        reader.ack(number);
        daemon.settle_for(std::chrono::milliseconds(100));
    }
    CHECK(delivered(reader) == Strings{"a", "b", "c", "x"});
}

TEST_CASE_FIXTURE(WaitingPublish, "waiting publish: in a transaction and a move it is as reject") {
    start();
    create_with("q", Durability::disk, 1);
    create("from", Durability::disk);
    WireClient& client = producer("q");
    client.publish(1, {"a"});
    CHECK(answers(client) == Strings{"+1"});
    WireClient& filler = producer("from");
    filler.publish(1, {"b"});
    CHECK(answers(filler) == Strings{"+1"});
    const std::vector<MessageRange> all{{MessageNumber(1), 1}};
    client.send(wire::MessagesMoveRequest{"from", queue("from").id(), "q", all}, 0, 3);
    client.expect_error(ErrorCode::queue_full, 3);
}

TEST_CASE_FIXTURE(WaitingPublish,
                  "rendezvous: taken when a consumer has credit, told when delivered") {
    start();
    create_with("r", Durability::memory, engine::rendezvous);
    WireClient& client = producer("r");
    client.publish(1, {"a"});
    client.publish(2, {"b", "c"});
    client.publish(4, {"d"});
    CHECK(answers(client).empty());
    CHECK(queue("r").live() == 0);
    WireClient& reader = connect();
    (void)reader.open_consumer("r", 2, 1);
    CHECK(answers(client) == Strings{"+1"});
    CHECK(delivered(reader) == Strings{"a"});
    reader.send(wire::Credit{2, plenty}, 2);
    CHECK(answers(client).empty());  // half of the second frame
    CHECK(delivered(reader) == Strings{"b"});
    reader.send(wire::Credit{3, plenty}, 2);
    CHECK(answers(client) == Strings{"+2"});
    CHECK(delivered(reader) == Strings{"c"});
    CHECK(queue("r").ready() == 0);
    // What comes back is delivered before anything is taken.
    reader.end();
    daemon.settle();
    CHECK(queue("r").ready() == 3);
    WireClient& other = connect();
    (void)other.open_consumer("r", 2, 3);
    CHECK(delivered(other) == Strings{"a", "b", "c"});
    CHECK(answers(client).empty());
    pass(6000);
    CHECK(answers(client) == Strings{"-1 queue_full"});
}

TEST_CASE_FIXTURE(WaitingPublish,
                  "rendezvous: many frames at once, and a consumer with room for all") {
    start();
    create_with("r", Durability::memory, engine::rendezvous);
    WireClient& client = producer("r");
    WireClient& reader = consumer("r");
    for (std::uint64_t line = 1; line <= 50; ++line) {
        client.publish(line, {std::to_string(line)});
    }
    daemon.settle();
    CHECK(delivered(reader).size() == 50);
    CHECK(answers(client).size() == 50);
}

TEST_CASE_FIXTURE(WaitingPublish, "rendezvous: ends while somebody waits for the rest of a frame") {
    start();
    create_with("r", Durability::memory, engine::rendezvous);
    WireClient& client = producer("r");
    client.publish(1, {"a", "b"});
    WireClient& reader = connect();
    (void)reader.open_consumer("r", 2, 1);
    CHECK(delivered(reader) == Strings{"a"});
    CHECK(answers(client).empty());
    SUBCASE("the queue") {
        connect().ask(wire::FrameType::queue_delete, "r");
        CHECK(answers(client) == Strings{"-2 queue_deleted"});
    }
    SUBCASE("the producer") {
        client.end();
        daemon.settle();
        CHECK(queue("r").live() == 2);
    }
    SUBCASE("the daemon") {
        daemon.core().begin_stop();
        CHECK(answers(client) == Strings{"-2 stopping"});
    }
}

TEST_CASE_FIXTURE(WaitingPublish, "rendezvous: nothing is confirmed behind what is refused") {
    start();
    create_with("r", Durability::memory, engine::rendezvous);
    WireClient& client = producer("r");
    WireClient& reader = consumer("r");
    const auto publish = [&](std::uint64_t line, std::string_view group) {
        std::vector<std::byte> attributes;
        if (!group.empty()) {
            wire::Writer writer(attributes);
            writer.number(static_cast<std::uint16_t>(wire::AttributeId::group)).string16(group);
        }
        std::vector<std::byte> batch;
        wire::append_message(batch, attributes, wire::as_bytes(std::to_string(line)));
        wire::Publish frame;
        frame.first_line = LineNumber(line);
        frame.count = 1;
        frame.batch = batch;
        client.send(frame, 1);
    };
    publish(1, "g");
    publish(2, "g");  // is held: the first of its group is under way
    publish(3, "");
    CHECK(delivered(reader) == Strings{"1", "3"});
    CHECK(answers(client) == Strings{"+1"});
    SUBCASE("the queue is deleted") {
        connect().ask(wire::FrameType::queue_delete, "r");
        CHECK(answers(client) == Strings{"-1 queue_deleted", "-1 resume_needed"});
    }
    SUBCASE("the daemon stops") {
        daemon.core().begin_stop();
        CHECK(answers(client) == Strings{"-1 stopping", "-1 resume_needed"});
    }
}

TEST_CASE_FIXTURE(WaitingPublish, "rendezvous: in memory only, and without delays") {
    start();
    WireClient& client = connect();
    wire::QueueCreate frame;
    frame.queue = "r";
    frame.options.durability = Durability::disk;
    frame.options.max_messages = engine::rendezvous;
    frame.options.on_full = OnFull::wait;
    client.send(frame, 0, 1);
    client.expect_error(ErrorCode::bad_option, 1);
    frame.options.durability = Durability::memory;
    frame.options.on_full = OnFull::reject;
    client.send(frame, 0, 2);
    client.expect_error(ErrorCode::bad_option, 2);
    frame.options.on_full = OnFull::wait;
    client.send(frame, 0, 3);
    daemon.settle();
    (void)client.next<wire::QueueInfo>();
    (void)client.open_producer("r");
    std::vector<std::byte> attributes;
    wire::Writer writer(attributes);
    writer.number(static_cast<std::uint16_t>(static_cast<std::uint16_t>(wire::AttributeId::delay) |
                                             wire::critical_bit));
    writer.number(std::uint16_t{8}).number(std::uint64_t{1000});
    std::vector<std::byte> batch;
    wire::append_message(batch, attributes, wire::as_bytes("late"));
    wire::Publish publish;
    publish.first_line = LineNumber(1);
    publish.count = 1;
    publish.batch = batch;
    client.send(publish, 1);
    CHECK(answers(client) == Strings{"-1 bad_option"});
}

TEST_CASE_FIXTURE(WaitingPublish,
                  "limits: what is beyond limits.disk_bytes is refused, acks are not") {
    options.journal = {64 * 1024, 4 * 64 * 1024};
    options.backlog.memory_bytes = 20'000;
    options.backlog.segment_bytes = 16'000;
    options.disk_bytes_max = 100'000;
    start();
    create("q", Durability::disk);
    create("m", Durability::memory);
    WireClient& client = producer("q");
    std::uint64_t line = 1;
    Strings last;
    for (; line <= 400; ++line) {
        client.publish(line, {std::string(1000, 'x')});
        last = answers(client);
        if (last != Strings{"+1"}) {
            break;
        }
    }
    CHECK(last == Strings{"-1 disk_full"});
    CHECK(line > 50);
    CHECK(line < 300);
    (void)client.open_producer("m", 3);
    client.publish(1, {"x"}, Durability::unspecified, 3);
    CHECK(answers(client) == Strings{"+1"});
    // Whoever takes something makes room.
    WireClient& reader = consumer("q");
    std::uint64_t taken = 0;
    for (int i = 0; i < 1000 && queue("q").live() > 0; ++i) {
        const std::size_t count = delivered(reader).size();
        if (count > 0) {
            reader.ack(taken + 1, count);
            taken += count;
        }
        pass(5);
    }
    CHECK(taken == line - 1);
    pass(2000);
    client.send(wire::Resume{}, 1);
    client.publish(line + 1, {"goes on"});
    CHECK(answers(client) == Strings{"+1"});
}

TEST_CASE_FIXTURE(WaitingPublish, "waiting publish: a producer waits for a day at most") {
    start();
    create_with("q", Durability::memory, 1);
    WireClient& client = connect();
    client.send(wire::OpenProducer{"q", {}, 24 * 3600 * 1000 + 1}, 1, 9);
    client.expect_error(ErrorCode::bad_option, 9);
    client.send(wire::OpenProducer{"q", {}, 24 * 3600 * 1000}, 1, 9);
    (void)client.next<wire::Opened>();
}

}  // namespace mqd::core::test
