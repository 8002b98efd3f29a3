// What is told of the life of a message, on queues that keep it.

#include "mqd/wire/message_history.hpp"
#include "core/core_fixture.hpp"
#include "mqd/wire/message_move.hpp"

namespace mqd::core::test {

namespace {

using std::chrono::milliseconds;
using wire::HistoryKind;
using wire::HistoryState;
using Kinds = std::vector<HistoryKind>;

// An answer, with what it views.
struct Told {
    Received frame;
    wire::MessageHistoryReply reply;

    [[nodiscard]] Kinds kinds() const {
        Kinds kinds;
        for (const wire::HistoryEvent& event : reply.events) {
            kinds.push_back(event.kind);
        }
        return kinds;
    }
};

class Remembering : public CoreFixture {
  protected:
    void create_with(std::string_view name, Durability durability, std::uint32_t history = 100,
                     const wire::QueueOptions& more = {}) {
        WireClient& client = connect();
        wire::QueueCreate frame;
        frame.queue = name;
        frame.options = more;
        frame.options.durability = durability;
        frame.options.history = history;
        client.send(frame, 0, 1);
        daemon.settle();
        CHECK(client.next<wire::QueueInfo>().options.history == history);
        clients.pop_back();
    }
    void fill(std::string_view name, const std::vector<std::string>& bodies) {
        WireClient& client = connect();
        (void)client.open_producer(name);
        client.publish(1, bodies);
        daemon.settle_for(milliseconds(20));
        (void)client.await<wire::Confirm>();
        clients.pop_back();
    }
    void update(std::string_view name, const wire::QueueOptions& changed) {
        WireClient& client = connect();
        client.send(wire::QueueUpdate{name, changed}, 0, 1);
        daemon.settle();
        (void)client.next<wire::QueueInfo>();
        clients.pop_back();
    }
    void settle(WireClient& client, wire::FrameType type, MessageRange range,
                std::string_view reason = {}, std::uint8_t flags = 0) {
        std::vector<std::byte> bytes;
        wire::append_settle(bytes, type, {0, {&range, 1}, reason}, CorrelationId(0), HandleId(2),
                            flags);
        client.receive(bytes);
        daemon.settle();
    }
    std::uint64_t status_item(std::string_view name) {
        WireClient& client = connect();
        client.send(wire::Status{}, 0, 5);
        std::uint64_t value = UINT64_MAX;
        for (const auto& item : client.next<wire::StatusReply>().items) {
            value = item.name == name ? item.value : value;
        }
        clients.pop_back();
        return value;
    }
    Told why(std::string_view name, std::uint64_t number, std::uint64_t from = 0) {
        WireClient& client = connect();
        client.send(wire::MessageHistory{name, queue(name).id(), MessageNumber(number), from}, 0,
                    5);
        Told told;
        auto frames = client.take();
        REQUIRE(frames.size() == 1);
        told.frame = std::move(frames.front());
        told.reply = told.frame.as<wire::MessageHistoryReply>();
        CHECK(told.reply.incarnation == queue(name).id());
        clients.pop_back();
        return told;
    }
};

MessageRange range(std::uint64_t first, std::uint64_t count) {
    return {MessageNumber(first), count};
}

}  // namespace

TEST_CASE_FIXTURE(Remembering, "history: from its publish to its end, on every kind of queue") {
    start();
    for (const Durability level : {Durability::memory, Durability::written, Durability::disk}) {
        const std::string name = "q" + std::to_string(static_cast<int>(level));
        CAPTURE(name);
        create_with(name, level);
        fill(name, {"a", "b", "c", "d"});
        CHECK(why(name, 2).kinds() == Kinds{HistoryKind::published});
        WireClient& client = connect();
        (void)client.open_consumer(name, 2, 2);
        daemon.settle();
        settle(client, wire::FrameType::nack, range(1, 1), "try again");
        CHECK(why(name, 1).kinds() ==
              Kinds{HistoryKind::published, HistoryKind::delivered, HistoryKind::nacked});
        const Told failed = why(name, 1);
        CHECK(failed.reply.state == HistoryState::ready);
        CHECK(failed.reply.deliveries == 1);
        CHECK(failed.reply.reason == "try again");
        CHECK(failed.reply.events[1].attempt == 1);
        CHECK(failed.reply.events[1].handle == HandleId(2));
        CHECK(failed.reply.events[1].by == Identity{1, 2, 3});
        CHECK(failed.reply.events[2].text == "try again");
        CHECK(failed.reply.first_failed == failed.reply.events[2].at);
        CHECK(why(name, 2).reply.state == HistoryState::leased);
        settle(client, wire::FrameType::ack, range(2, 1));
        daemon.settle_for(milliseconds(20));
        const Told gone = why(name, 2);
        CHECK(gone.reply.state == HistoryState::gone);
        CHECK(gone.kinds() ==
              Kinds{HistoryKind::published, HistoryKind::delivered, HistoryKind::acked});
        client.send(wire::Credit{4, plenty}, 2);
        daemon.settle();
        client.send(wire::CloseHandle{}, 2);
        daemon.settle();
        CHECK(why(name, 1).kinds() == Kinds{HistoryKind::published, HistoryKind::delivered,
                                            HistoryKind::nacked, HistoryKind::delivered,
                                            HistoryKind::given_back});
        const Told later = why(name, 9);
        CHECK(later.kinds().empty());
        CHECK(later.reply.next_number == MessageNumber(5));
        clients.clear();
    }
}

TEST_CASE_FIXTURE(Remembering, "history: a consumer that is gone, a lease that ran out") {
    start();
    create_with("q", Durability::disk);
    fill("q", {"a"});
    WireClient& first = connect();
    (void)first.open_consumer("q");
    daemon.settle();
    clients.pop_back();
    daemon.settle();
    WireClient& second = connect();
    (void)second.open_consumer("q", 2, 1, 100);
    daemon.settle();
    daemon.settle_for(milliseconds(200));
    CHECK(why("q", 1).kinds() == Kinds{HistoryKind::published, HistoryKind::delivered,
                                       HistoryKind::consumer_gone, HistoryKind::delivered,
                                       HistoryKind::lease_expired});
}

TEST_CASE_FIXTURE(Remembering, "history: who ended what waited, and where it was moved") {
    start();
    for (const Durability here : {Durability::memory, Durability::disk}) {
        for (const Durability there : {Durability::memory, Durability::disk}) {
            const std::string from = "from" + std::to_string(static_cast<int>(here)) +
                                     std::to_string(static_cast<int>(there));
            const std::string to = "to" + from;
            CAPTURE(from);
            create_with(from, here);
            create_with(to, there);
            fill(to, {"x", "y"});
            fill(from, {"a", "b", "c", "d"});
            WireClient& client = connect();
            const MessageRange second = range(2, 2);
            client.send(wire::MessagesMoveRequest{from, queue(from).id(), to, {&second, 1}}, 0, 3);
            daemon.settle_for(milliseconds(20));
            const MessageRange first = range(1, 1);
            client.send(wire::MessagesDeleteRequest{from, queue(from).id(), {&first, 1}}, 0, 4);
            daemon.settle();
            client.ask(wire::FrameType::queue_purge, from);
            daemon.settle_for(milliseconds(20));
            clients.pop_back();
            const Told moved = why(from, 3);
            REQUIRE(moved.kinds() == Kinds{HistoryKind::published, HistoryKind::moved});
            CHECK(moved.reply.events[1].text == to);
            CHECK(moved.reply.events[1].incarnation == queue(to).id());
            CHECK(moved.reply.events[1].number == MessageNumber(4));
            CHECK(moved.reply.events[1].by == Identity{1, 2, 3});
            const Told arrived = why(to, 4);
            REQUIRE(arrived.kinds() == Kinds{HistoryKind::arrived});
            CHECK(arrived.reply.events[0].text == from);
            CHECK(arrived.reply.events[0].number == MessageNumber(3));
            CHECK(why(from, 1).kinds() == Kinds{HistoryKind::published, HistoryKind::deleted});
            CHECK(why(from, 4).kinds() == Kinds{HistoryKind::published, HistoryKind::purged});
        }
    }
}

TEST_CASE_FIXTURE(Remembering,
                  "history: a dead letter says where it went, and its queue keeps it") {
    start();
    create_with("q", Durability::disk);
    fill("q", {"a", "b"});
    WireClient& client = connect();
    (void)client.open_consumer("q", 2, 2);
    daemon.settle();
    settle(client, wire::FrameType::nack, range(2, 1), "no use", wire::flag_dead_letter);
    daemon.settle_for(milliseconds(50));
    const Told dead = why("q", 2);
    REQUIRE(dead.kinds() == Kinds{HistoryKind::published, HistoryKind::delivered,
                                  HistoryKind::rejected, HistoryKind::dead_lettered});
    CHECK(dead.reply.events[2].text == "no use");
    CHECK(dead.reply.events[3].text == "q.dead");
    CHECK(dead.reply.events[3].number == MessageNumber(1));
    CHECK(queue("q.dead").definition().history == 100);
    const Told arrived = why("q.dead", 1);
    REQUIRE(arrived.kinds() == Kinds{HistoryKind::arrived_dead});
    CHECK(arrived.reply.events[0].text == "q");
    CHECK(arrived.reply.events[0].incarnation == queue("q").id());
    CHECK(arrived.reply.events[0].number == MessageNumber(2));
}

TEST_CASE_FIXTURE(Remembering, "history: what expires, and what is dropped for younger ones") {
    start();
    wire::QueueOptions limited;
    limited.max_messages = 2;
    limited.on_full = OnFull::drop_oldest;
    limited.ttl_ms = 100;
    create_with("q", Durability::memory, 100, limited);
    fill("q", {"a", "b"});
    fill("q", {"c"});
    daemon.settle_for(milliseconds(300));
    CHECK(why("q", 1).kinds() == Kinds{HistoryKind::published, HistoryKind::dropped});
    CHECK(why("q", 3).kinds() == Kinds{HistoryKind::published, HistoryKind::expired});
}

TEST_CASE_FIXTURE(Remembering, "history: so many events, for so long, and all queues together") {
    options.history_events_max = 6;
    start();
    wire::QueueOptions timed;
    timed.history_time_ms = 5000;
    create_with("q", Durability::memory, 3, timed);
    const WallTime begun = why("q", 1).reply.known_from;
    daemon.settle_for(milliseconds(5));
    for (int i = 0; i < 4; ++i) {
        fill("q", {"a"});
    }
    CHECK(why("q", 1).kinds().empty());
    CHECK(why("q", 1).reply.state == HistoryState::ready);
    CHECK(why("q", 1).reply.known_from > begun);
    CHECK(why("q", 2).kinds() == Kinds{HistoryKind::published});
    daemon.settle_for(milliseconds(8000));
    CHECK(why("q", 2).kinds().empty());

    wire::QueueOptions always;
    always.history_time_ms = 0;
    create_with("r", Durability::memory, 100, always);
    create_with("s", Durability::memory, 100, always);
    fill("s", {"a"});
    for (int i = 0; i < 20; ++i) {
        fill("r", {"a"});
        daemon.settle_for(milliseconds(5));
    }
    CHECK(status_item("history_events") == 6);
    CHECK(why("s", 1).kinds() == Kinds{HistoryKind::published});
    CHECK(why("r", 1).kinds().empty());
    CHECK(why("r", 20).kinds() == Kinds{HistoryKind::published});

    wire::QueueOptions off;
    off.history = 0;
    update("r", off);
    CHECK(why("r", 20).kinds().empty());
    CHECK(why("r", 20).reply.kept == 0);
    wire::QueueOptions on;
    on.history = 10;
    update("r", on);
    fill("r", {"a"});
    CHECK(why("r", 21).kinds() == Kinds{HistoryKind::published});
}

TEST_CASE_FIXTURE(Remembering, "history: a start forgets events, and not what the store knows") {
    start();
    create_with("q", Durability::disk);
    fill("q", {"a"});
    WireClient& client = connect();
    (void)client.open_consumer("q", 2, 1);
    daemon.settle();
    settle(client, wire::FrameType::nack, range(1, 1), "bad day");
    const WallTime failed = why("q", 1).reply.first_failed;
    daemon.settle_for(milliseconds(50));
    kill();
    start();
    const Told told = why("q", 1);
    CHECK(told.kinds().empty());
    CHECK(told.reply.kept == 100);
    CHECK(told.reply.state == HistoryState::ready);
    CHECK(told.reply.deliveries == 1);
    CHECK(told.reply.reason == "bad day");
    CHECK(told.reply.first_failed == failed);
    CHECK(told.reply.known_from > failed);
}

TEST_CASE_FIXTURE(Remembering, "history: a queue that keeps none, another incarnation, no number") {
    start();
    create("plain", Durability::memory);
    fill("plain", {"a"});
    CHECK(why("plain", 1).kinds().empty());
    CHECK(why("plain", 1).reply.state == HistoryState::ready);
    WireClient& client = connect();
    client.send(wire::MessageHistory{"plain", QueueId(99), MessageNumber(1)}, 0, 6);
    client.expect_error(ErrorCode::no_such_queue, 6);
    client.send(wire::MessageHistory{"plain", QueueId(0), MessageNumber(0)}, 0, 6);
    client.expect_error(ErrorCode::bad_option, 6);
    client.send(wire::MessageHistory{"none", QueueId(0), MessageNumber(1)}, 0, 6);
    client.expect_error(ErrorCode::no_such_queue, 6);
    client.send(wire::MessageHistory{"plain", QueueId(0), MessageNumber(1)}, 0, 6);
    CHECK(client.next<wire::MessageHistoryReply>().state == HistoryState::ready);
}

TEST_CASE_FIXTURE(Remembering, "history: many events of one message come in several answers") {
    start();
    wire::QueueOptions endless;
    endless.max_attempts = 0;
    create_with("q", Durability::memory, 10'000, endless);
    fill("q", {"a"});
    WireClient& client = connect();
    (void)client.open_consumer("q");
    for (int i = 0; i < 700; ++i) {
        daemon.settle();
        settle(client, wire::FrameType::nack, range(1, 1));
    }
    std::size_t events = 0;
    std::uint64_t from = 0;
    do {
        const Told told = why("q", 1, from);
        CHECK(told.reply.events.size() <= 1000);
        events += told.reply.events.size();
        from = told.reply.next;
    } while (from != 0);
    CHECK(events == 1 + 2 * 700 + 1);
}

}  // namespace mqd::core::test
