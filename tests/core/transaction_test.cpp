// Several publishes and settlements that happen together or not at all.

#include "core/core_fixture.hpp"
#include "daemon/core/check_store.hpp"
#include "mqd/wire/transact.hpp"

namespace mqd::core::test {

namespace {

using wire::TransactKind;

// A TRANSACT that is being written.
struct Batch {
    std::vector<std::byte> bytes;
    std::uint16_t count = 0;

    Batch& publish(std::string_view queue, const std::vector<std::string>& bodies) {
        const std::vector<std::byte> batch = make_batch(bodies);
        wire::append_publish_operation(bytes,
                                       {queue, static_cast<std::uint32_t>(bodies.size()), batch});
        ++count;
        return *this;
    }
    Batch& settle(TransactKind kind, std::uint32_t handle, std::vector<MessageRange> ranges,
                  std::uint32_t ms = 0) {
        wire::append_settle_operation(bytes, kind, HandleId(handle), {ms, ranges, ""});
        ++count;
        return *this;
    }
    Batch& ack(std::uint32_t handle, std::uint64_t first, std::uint64_t n = 1) {
        return settle(TransactKind::ack, handle, {{MessageNumber(first), n}});
    }
    [[nodiscard]] wire::Transact frame(Durability durability = Durability::unspecified) const {
        return {durability, count, bytes};
    }
};

class Transactions : public ServingFixture {
  protected:
    // A client that is lent all of the queue, under handle 2.
    WireClient& lent(std::string_view queue) {
        WireClient& client = connect();
        (void)client.open_consumer(queue);
        daemon.settle();
        (void)client.take();
        return client;
    }
    void fill(std::string_view name, const std::vector<std::string>& bodies) {
        WireClient& client = connect();
        (void)client.open_producer(name);
        client.publish(1, bodies);
        daemon.settle();
        (void)client.await<wire::Confirm>();
        client.end();
        clients.pop_back();
    }
    std::string refusal(WireClient& client, const Batch& batch, ErrorCode code,
                        Durability durability = Durability::unspecified) {
        client.send(batch.frame(durability), 0, 5);
        const auto error = client.await<wire::ErrorFrame>();
        CHECK(error_name(error.code) == error_name(code));
        return std::string(error.text);
    }
    std::uint64_t memory_bytes() {
        WireClient& client = connect();
        client.send(wire::Status{}, 0, 1);
        std::uint64_t bytes = 0;
        const auto status = client.await<wire::StatusReply>();
        for (const auto& item : status.items) {
            bytes = item.name == "memory_bytes" ? item.value : bytes;
        }
        client.end();
        clients.pop_back();
        return bytes;
    }
    wire::Transacted done(WireClient& client, const Batch& batch,
                          Durability durability = Durability::unspecified) {
        client.send(batch.frame(durability), 0, 5);
        daemon.settle();
        return client.await<wire::Transacted>();
    }
};

constexpr Durability durabilities[] = {Durability::memory, Durability::written, Durability::disk};

}  // namespace

TEST_CASE_FIXTURE(Transactions, "transaction: the ack of a message with the publish of others") {
    for (const Durability from : durabilities) {
        for (const Durability to : durabilities) {
            CAPTURE(static_cast<int>(from));
            CAPTURE(static_cast<int>(to));
            const std::string suffix =
                std::to_string(static_cast<int>(from) * 10 + static_cast<int>(to));
            create("in" + suffix, from);
            create("out" + suffix, to);
            create("log" + suffix, to);
            fill("in" + suffix, {"a", "b"});
            WireClient& client = lent("in" + suffix);
            Batch batch;
            batch.ack(2, 1).publish("out" + suffix, {"x", "y"}).publish("log" + suffix, {"l"});
            const auto reply = done(client, batch);
            CHECK(reply.durability >= std::max(from, to));
            REQUIRE(reply.published.size() == 2);
            CHECK(reply.published[0].incarnation == queue("out" + suffix).id());
            REQUIRE(reply.published[0].runs.size() == 1);
            CHECK(reply.published[0].runs[0].first_number == MessageNumber(1));
            CHECK(reply.published[0].runs[0].count == 2);
            CHECK(reply.published[1].runs[0].count == 1);
            CHECK(queue("in" + suffix).live() == 1);
            CHECK(queue("out" + suffix).ready() == 2);
            CHECK(queue("log" + suffix).ready() == 1);
            client.end();
            clients.pop_back();
        }
    }
    kill();
    start();
    CHECK(queue("in33").live() == 1);
    CHECK(queue("out33").ready() == 2);
    CHECK(queue("in22").live() == 1);
    CHECK(queue("log22").ready() == 1);
    CHECK(queue("in32").live() == 1);
    CHECK(queue("out32").ready() == 2);
    CHECK(queue("in31").live() == 1);
}

TEST_CASE_FIXTURE(Transactions, "transaction: nothing of it is seen before all of it is durable") {
    create("in", Durability::disk);
    create("w", Durability::written);
    create("m", Durability::memory);
    create("d", Durability::disk);
    fill("in", {"a"});
    WireClient& client = lent("in");
    WireClient& other = connect();
    (void)other.open_producer("w", 1);
    (void)other.open_producer("m", 3);
    Batch batch;
    batch.publish("w", {"w"}).publish("m", {"m"}).publish("d", {"d"}).ack(2, 1);
    client.send(batch.frame(), 0, 5);
    other.publish(1, {"later"});
    other.publish(1, {"later"}, Durability::unspecified, 3);
    std::size_t steps = 0;
    while (client.silent()) {
        REQUIRE(++steps < 100);
        const bool one = queue("d").ready() == 1;
        CHECK(queue("in").live() == (one ? 0 : 1));
        CHECK((queue("w").ready() > 0) == one);  // what comes behind it stays behind it
        CHECK(queue("m").ready() == (one ? 2 : 1));
        daemon.begin_turn();
        if (daemon.commit().has_work()) {
            daemon.commit().run_work();
        } else if (daemon.commit().has_done()) {
            daemon.commit().run_done();
        }
        daemon.end_turn();
    }
    const auto reply = client.next<wire::Transacted>();
    CHECK(reply.durability == Durability::disk);
    CHECK(reply.published[1].runs[0].first_number == MessageNumber(2));
    daemon.settle();
    CHECK(queue("w").ready() == 2);
    CHECK(queue("m").ready() == 2);
}

TEST_CASE_FIXTURE(Transactions, "transaction: a power loss at any write leaves all or nothing") {
    std::size_t whole = 0;
    std::size_t nothing = 0;
    for (std::uint64_t seed = 1; seed <= 24; ++seed) {
        CAPTURE(seed);
        const std::string n = std::to_string(seed);
        create("in" + n, seed % 2 == 0 ? Durability::disk : Durability::written);
        create("x" + n, Durability::disk);
        create("y" + n, seed % 3 == 0 ? Durability::written : Durability::disk);
        fill("in" + n, {"a", "b", "c"});
        daemon.settle_for(std::chrono::seconds(2));  // what is written is synced
        WireClient& client = lent("in" + n);
        Batch batch;
        batch.publish("x" + n, {std::string(6000, 'x')}).ack(2, 1);
        batch.publish("y" + n, {"y", "z"}).settle(TransactKind::reject, 2, {{MessageNumber(2), 1}});
        client.send(batch.frame(), 0, 5);
        for (std::uint64_t i = 0; i < seed % 7; ++i) {
            daemon.begin_turn();
            if (daemon.commit().has_work()) {
                daemon.commit().run_work();
            } else if (daemon.commit().has_done()) {
                daemon.commit().run_done();
            }
            daemon.end_turn();
        }
        const bool answered = !client.silent();
        seed % 5 == 0 ? kill() : lose_power(seed);
        start();
        const bool happened = queue("x" + n).live() == 1;
        happened ? ++whole : ++nothing;
        CHECK((happened || !answered));
        CHECK(queue("y" + n).live() == (happened ? 2 : 0));
        daemon.settle();
        // 1 is gone, and 2 on its way to the dead letters or there.
        CHECK(queue("in" + n).live() - queue("in" + n).dying() == (happened ? 1 : 3));
    }
    CHECK(whole > 3);
    CHECK(nothing > 3);
}

TEST_CASE_FIXTURE(Transactions, "transaction: what cannot be done changes nothing") {
    create("in", Durability::disk);
    create("out", Durability::disk);
    create("m", Durability::memory);
    fill("in", {"a", "b", "c"});
    WireClient& client = lent("in");
    const std::uint64_t memory = memory_bytes();
    const auto unchanged = [&] {
        daemon.settle();
        CHECK(queue("in").leased() == 3);
        CHECK(queue("out").live() == 0);
        CHECK(queue("out").next_number() == MessageNumber(1));
        CHECK(queue("m").live() == 0);
        CHECK(memory_bytes() == memory);
    };
    const Batch good = Batch().publish("out", {"x"}).publish("m", {"y"}).ack(2, 1);
    CHECK(refusal(client, Batch(good).publish("none", {"x"}), ErrorCode::no_such_queue) ==
          "operation 4 (publish to \"none\"): the queue does not exist");
    unchanged();
    CHECK(refusal(client, Batch(good).publish("no name", {"x"}), ErrorCode::bad_name)
              .starts_with("operation 4 (publish to \"no name\"): "));
    CHECK(refusal(client, Batch(good).ack(2, 1), ErrorCode::not_leased) ==
          "operation 4 (ack on \"in\"): 1 is given up before in the same transaction");
    CHECK(refusal(client, Batch(good).ack(2, 2, 3), ErrorCode::not_leased) ==
          "operation 4 (ack on \"in\"): 2..4 is not leased by this consumer");
    CHECK(refusal(client, Batch(good).ack(3, 1), ErrorCode::no_such_handle) ==
          "operation 4 (ack): no such consumer: handle 3");
    unchanged();
    // Also within one range list, also by another verb; but what is extended may be given up.
    Batch twice;
    twice.settle(TransactKind::nack, 2, {{MessageNumber(1), 2}, {MessageNumber(2), 1}});
    CHECK(refusal(client, twice, ErrorCode::not_leased)
              .starts_with("operation 1 (nack on \"in\"): 2 is given up"));
    CHECK(refusal(client,
                  Batch().ack(2, 2, 2).settle(TransactKind::extend, 2, {{MessageNumber(3), 1}}),
                  ErrorCode::not_leased)
              .starts_with("operation 2 (extend on \"in\"): 3 is given up"));
    Batch unknown = good;
    wire::append_operation(unknown.bytes, static_cast<TransactKind>(77), HandleId(0),
                           [](wire::Writer&) {});
    ++unknown.count;
    CHECK(refusal(client, unknown, ErrorCode::bad_option)
              .starts_with("operation 4 (unknown): kind 77"));
    CHECK(refusal(client, Batch().publish("m", {"y"}), ErrorCode::durability_unavailable,
                  Durability::disk) == "all queues of the transaction are kept in memory");
    CHECK(refusal(client, Batch(good).publish("out", {std::string(60'000, 'x')}),
                  ErrorCode::message_too_big)
              .starts_with("operation 4 (publish to \"out\"): a message is larger"));
    unchanged();
    Batch extended;
    extended.settle(TransactKind::extend, 2, {{MessageNumber(1), 3}}, 5000).ack(2, 1, 3);
    (void)done(client, extended);
    CHECK(queue("in").live() == 0);
}

TEST_CASE_FIXTURE(Transactions, "transaction: it has to fit into one commit group") {
    create("out", Durability::disk);
    WireClient& client = connect();
    // A frame never holds more than a group, but the records take more than the operations.
    const std::size_t most = daemon.core().options().frame_body_bytes_max;
    Batch batch;
    for (int i = 0; i < 200; ++i) {
        batch.publish("out", {"x"});
    }
    while (batch.bytes.size() + 50'000 < most) {
        batch.publish("out", {std::string(40'000, 'x')});
    }
    batch.publish("out", {std::string(most - batch.bytes.size() - 100, 'x')});
    CHECK(refusal(client, batch, ErrorCode::message_too_big)
              .starts_with("the transaction is too large for one commit group"));
    daemon.settle();
    CHECK(queue("out").live() == 0);
    Batch small;
    for (int i = 0; i < 4; ++i) {
        small.publish("out", {std::string(40'000, 'x')});
    }
    (void)done(client, small);
    CHECK(queue("out").live() == 4);
}

TEST_CASE_FIXTURE(Transactions, "transaction: the limits of a queue hold for all of it") {
    for (const Durability durability : durabilities) {
        CAPTURE(static_cast<int>(durability));
        const std::string name = "q" + std::to_string(static_cast<int>(durability));
        create("disk" + name, Durability::disk);
        wire::QueueCreate frame;
        frame.queue = name;
        frame.options.durability = durability;
        frame.options.max_messages = 3;
        WireClient& client = connect();
        client.send(frame, 0, 1);
        daemon.settle();
        (void)client.await<wire::QueueInfo>();
        fill(name, {"a", "b", "c"});
        (void)client.open_consumer(name, 2);
        daemon.settle();
        (void)client.take();
        CHECK(refusal(client, Batch().publish("disk" + name, {"x"}).publish(name, {"x"}),
                      ErrorCode::queue_full)
                  .starts_with("operation 2 (publish to \"" + name + "\"): "));
        CHECK(refusal(client, Batch().ack(2, 1).publish(name, {"x"}).publish(name, {"y"}),
                      ErrorCode::queue_full)
                  .starts_with("operation 3"));
        Batch batch;
        batch.ack(2, 1, 2).publish(name, {"x"}).publish("disk" + name, {"x"}).publish(name, {"y"});
        client.send(batch.frame(), 0, 6);
        // On its way, it counts.
        CHECK(refusal(client, Batch().publish(name, {"z"}), ErrorCode::queue_full)
                  .starts_with("operation 1"));
        daemon.settle();
        (void)client.await<wire::Transacted>();
        CHECK(queue(name).live() == 3);
        CHECK(queue(name).expected() == 0);
        client.end();
        clients.pop_back();
    }
}

TEST_CASE_FIXTURE(Transactions, "transaction: paused queues and a daemon that stops take none") {
    create("out", Durability::disk);
    create("in", Durability::disk);
    fill("in", {"a"});
    WireClient& client = lent("in");
    wire::QueueUpdate pause;
    pause.queue = "out";
    pause.options.paused = wire::Paused{true, false}.bits();
    client.send(pause, 0, 1);
    daemon.settle();
    (void)client.await<wire::QueueInfo>();
    CHECK(refusal(client, Batch().ack(2, 1).publish("out", {"x"}), ErrorCode::queue_paused)
              .starts_with("operation 2 (publish to \"out\"): "));
    daemon.core().begin_stop();
    CHECK(refusal(client, Batch().ack(2, 1).publish("out", {"x"}), ErrorCode::stopping)
              .starts_with("operation 2"));
    (void)done(client, Batch().ack(2, 1));  // settlements are taken to the end
    CHECK(queue("in").live() == 0);
}

TEST_CASE_FIXTURE(Transactions, "transaction: rejected messages are dead letters with the rest") {
    create("in", Durability::disk);
    create("out", Durability::disk);
    create("min", Durability::memory);
    fill("in", {"a", "b", "c"});
    fill("min", {"a"});
    WireClient& client = lent("in");
    (void)client.open_consumer("min", 3);
    daemon.settle();
    Batch batch;
    std::vector<MessageRange> ranges{{MessageNumber(1), 1}, {MessageNumber(3), 1}};
    wire::append_settle_operation(batch.bytes, TransactKind::reject, HandleId(2),
                                  {0, ranges, "no good"});
    ++batch.count;
    batch.settle(TransactKind::reject, 3, {{MessageNumber(1), 1}}).publish("out", {"report"});
    client.send(batch.frame(), 0, 5);
    CHECK(queue("in").ending() == 2);
    CHECK(queue("in").dying() == 0);
    daemon.settle();
    (void)client.await<wire::Transacted>();
    CHECK(queue("in").live() == 1);
    CHECK(queue("in.dead").live() == 2);
    CHECK(queue("min.dead").live() == 1);
    kill();
    start();
    CHECK(queue("in").live() == 1);
    CHECK(queue("in.dead").live() == 2);
    CHECK(queue("out").live() == 1);
}

TEST_CASE_FIXTURE(Transactions, "transaction: nacks and extends happen at once") {
    create("in", Durability::disk);
    create("out", Durability::disk);
    fill("in", {"a", "b", "c"});
    WireClient& client = lent("in");
    Batch batch;
    batch.ack(2, 1).settle(TransactKind::nack, 2, {{MessageNumber(2), 1}}, 60'000);
    batch.settle(TransactKind::extend, 2, {{MessageNumber(3), 1}}, 600'000).publish("out", {"x"});
    client.send(batch.frame(), 0, 5);
    CHECK(queue("in").delayed() == 1);
    CHECK(queue("in").leased() == 1);
    CHECK(queue("in").ending() == 1);
    CHECK(queue("out").ready() == 0);
    daemon.settle();
    (void)client.await<wire::Transacted>();
    daemon.settle_for(std::chrono::seconds(40));
    CHECK(queue("in").leased() == 1);  // the lease of the queue is 30 s long
}

TEST_CASE_FIXTURE(Transactions, "transaction: messages that wait, on every kind of queue") {
    create("in", Durability::disk);
    fill("in", {"a"});
    WireClient& client = lent("in");
    std::vector<std::byte> attributes;
    wire::Writer(attributes)
        .number(static_cast<std::uint16_t>(static_cast<std::uint16_t>(wire::AttributeId::delay) |
                                           wire::critical_bit))
        .number(std::uint16_t{8})
        .number(std::uint64_t{60'000});
    Batch batch;
    for (const Durability durability : durabilities) {
        const std::string name = "d" + std::to_string(static_cast<int>(durability));
        create(name, durability);
        std::vector<std::byte> bytes;
        wire::append_message(bytes, {}, wire::as_bytes("now"));
        wire::append_message(bytes, attributes, wire::as_bytes("later"));
        wire::append_publish_operation(batch.bytes, {name, 2, bytes});
        ++batch.count;
    }
    batch.ack(2, 1);
    (void)done(client, batch);
    for (const std::string& name : std::vector<std::string>{"d1", "d2", "d3"}) {
        CAPTURE(name);
        CHECK(queue(name).ready() == 1);
        CHECK(queue(name).delayed() == 1);
        CHECK(queue(name).delay_of(MessageNumber(2)).range == MessageRange{MessageNumber(2), 1});
    }
    kill();
    start();
    CHECK(queue("d3").delayed() == 1);
    daemon.settle_for(std::chrono::seconds(61));
    CHECK(queue("d3").ready() == 2);
}

TEST_CASE_FIXTURE(Transactions, "transaction: its session and its queues may end meanwhile") {
    create("in", Durability::disk);
    create("out", Durability::disk);
    create("m", Durability::memory);
    fill("in", {"a", "b"});
    {
        WireClient& client = lent("in");
        client.send(Batch().ack(2, 1).publish("out", {"x"}).publish("m", {"y"}).frame(), 0, 5);
        client.end();
        clients.pop_back();
        daemon.settle();
        CHECK(queue("in").live() == 1);
        CHECK(queue("out").live() == 1);
        CHECK(queue("m").live() == 1);
    }
    WireClient& client = lent("in");
    WireClient& admin = connect();
    client.send(Batch().ack(2, 2).publish("out", {"x"}).publish("m", {"y"}).frame(), 0, 5);
    admin.ask(wire::FrameType::queue_delete, "m");
    admin.ask(wire::FrameType::queue_delete, "in");
    CHECK(refusal(client, Batch().publish("m", {"z"}), ErrorCode::no_such_queue)
              .starts_with("operation 1"));
    client.send(wire::Goodbye{}, 0, 8);
    daemon.settle();
    const auto reply = client.await<wire::Transacted>();
    CHECK(reply.published.size() == 2);
    (void)client.await<wire::GoodbyeReply>();
    CHECK(daemon.core().engine().find("m") == nullptr);
    CHECK(daemon.core().engine().find("in") == nullptr);
    CHECK(queue("out").live() == 2);
}

TEST_CASE_FIXTURE(Transactions, "transaction: the answer waits for what was asked for") {
    create("in", Durability::disk);
    create("w", Durability::written);
    fill("in", {"a", "b"});
    WireClient& client = lent("in");
    client.send(Batch().ack(2, 1).frame(Durability::memory), 0, 5);
    CHECK(client.next<wire::Transacted>().durability == Durability::memory);
    CHECK(done(client, Batch().publish("w", {"x"}), Durability::disk).durability ==
          Durability::disk);
    // A number that is told before it is durable is said to be beforehand.
    create("d", Durability::disk);
    (void)done(client, Batch().publish("d", {"x"}), Durability::memory);
    client.send(Batch().publish("d", {"y"}).frame(Durability::memory), 0, 5);
    const auto early = client.next<wire::Transacted>();
    CHECK(early.durability == Durability::memory);
    CHECK(early.published[0].runs[0].first_number == MessageNumber(2));
    lose_power();
    start();
    CHECK(queue("d").next_number() > MessageNumber(2));
}

TEST_CASE_FIXTURE(Transactions, "transaction: malformed ones close the connection") {
    create("out", Durability::disk);
    const auto closes = [&](const wire::Transact& frame) {
        WireClient& client = connect();
        client.send(frame, 0, 5);
        const auto error = client.await<wire::ErrorFrame>();
        CHECK(error.code == ErrorCode::protocol_violation);
        CHECK(client.session().closing());
        clients.pop_back();
        daemon.settle();
        CHECK(queue("out").live() == 0);
    };
    Batch one;
    one.publish("out", {"x"});
    closes({Durability::unspecified, 0, {}});
    closes({Durability::unspecified, 2, one.bytes});
    closes({static_cast<Durability>(4), 1, one.bytes});
    Batch many;
    for (int i = 0; i < 256; ++i) {
        many.publish("out", {"x"});
    }
    closes(Batch(many).publish("out", {"x"}).frame());
    for (std::size_t cut = 0; cut < one.bytes.size(); ++cut) {
        closes({Durability::unspecified, 1, wire::Bytes(one.bytes).first(cut)});
    }
    // Bodies that say one thing and hold another.
    for (const std::uint32_t count : {0u, 2u, 65'537u}) {
        Batch lie = one;
        wire::append_publish_operation(lie.bytes, {"out", count, make_batch({"x"})});
        ++lie.count;
        closes(lie.frame());
    }
    Batch no_range;
    no_range.publish("out", {"x"}).settle(TransactKind::ack, 2, {{MessageNumber(1), 0}});
    closes(no_range.frame());
    Batch lease;
    lease.publish("out", {"x"})
        .settle(TransactKind::extend, 2, {{MessageNumber(1), 1}}, UINT32_MAX);
    closes(lease.frame());
    for (const TransactKind kind :
         {TransactKind::ack, TransactKind::nack, TransactKind::extend, TransactKind::reject}) {
        Batch empty = one;
        wire::append_operation(empty.bytes, kind, HandleId(2), [](wire::Writer&) {});
        ++empty.count;
        closes(empty.frame());
    }
    WireClient& client = connect();
    CHECK(done(client, many).published.size() == 256);
    CHECK(queue("out").live() == 256);
}

}  // namespace mqd::core::test
