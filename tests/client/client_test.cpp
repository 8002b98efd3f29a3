#include "mqd/client.hpp"

#include <doctest/doctest.h>
#include <poll.h>

#include <string>
#include <thread>

#include "peer.hpp"

using namespace mqd;
using namespace mqd::client;
using std::chrono::milliseconds;
using std::chrono::seconds;
using wire::FrameType;

namespace {

// Answers everything that may still come with nothing, until the client goes.
void ignore_the_rest(PeerSocket& socket) {
    socket.read_to_end();
}

void confirm_next(PeerSocket& socket, std::uint64_t number) {
    const SentFrame frame = socket.expect(FrameType::publish);
    const auto publish = wire::Publish::decode(frame.body);
    socket.write(encode_confirm(frame.header.handle, publish->first_line.value(),
                                {{MessageNumber(number), publish->count}}, plenty));
}

}  // namespace

TEST_CASE("client: it knows whom it is connected to") {
    Peer peer(ignore_the_rest);
    {
        const Client client = peer.connect();
        CHECK(client.server_name() == "mqd test");
        CHECK(client.identity() == Identity{1000, 1000, 77});
        CHECK(client.message_body_bytes_max() == 512 * 1024);
        CHECK(client.connected());
    }
    peer.join();
}

TEST_CASE("client: publish returns the id that the confirm gave") {
    Peer peer([](PeerSocket& socket) {
        socket.open_producer();
        confirm_next(socket, 1842);
        socket.goodbye();
    });
    Client client = peer.connect();
    auto producer = client.producer("orders");
    REQUIRE(producer.has_value());
    CHECK(producer->queue() == "orders");
    CHECK(producer->queue_durability() == Durability::disk);
    const auto message = producer->publish("hello", {{"type", "x"}});
    REQUIRE(message.has_value());
    CHECK(format_message_id("orders", message->incarnation, message->number) == "orders:3:1842");
    CHECK(message->durability == Durability::disk);
    CHECK(producer->unconfirmed() == 0);
    CHECK(client.close().has_value());
    CHECK(!client.connected());
    CHECK(client.error()->code == ErrorCode::usage);
    peer.join();
}

TEST_CASE("client: publish_many returns the runs of its own lines") {
    Peer peer([](PeerSocket& socket) {
        const HandleId handle = socket.open_producer();
        (void)socket.expect(FrameType::publish);
        socket.write(
            encode_confirm(handle, 1, {{MessageNumber(10), 2}, {MessageNumber(20), 1}}, plenty));
        socket.write(encode_confirm(handle, 4, {{MessageNumber(21), 1}}, plenty));
        ignore_the_rest(socket);
    });
    {
        Client client = peer.connect();
        auto producer = client.producer("orders");
        REQUIRE(producer.has_value());
        REQUIRE(producer->send("before").has_value());
        const std::vector<Message> messages{{"a", {}}, {"b", {}}, {"c", {}}};
        const auto runs = producer->publish_many(messages);
        REQUIRE(runs.has_value());
        REQUIRE(runs->size() == 2);
        CHECK((*runs)[0] == ConfirmedLines{LineNumber(2), 1, MessageNumber(11), Durability::disk});
        CHECK((*runs)[1] == ConfirmedLines{LineNumber(3), 2, MessageNumber(20), Durability::disk});
    }
    peer.join();
}

TEST_CASE("client: send waits for credit, and reads meanwhile") {
    Peer peer([](PeerSocket& socket) {
        const HandleId handle = socket.open_producer({2, 1'000});
        const SentFrame first = socket.expect(FrameType::publish);
        if (wire::Publish::decode(first.body)->count != 2) {
            throw std::runtime_error("the credit was not used up");
        }
        socket.write(encode(wire::Credit{3, 1'000}, {}, handle));
        (void)socket.expect(FrameType::publish);
        socket.write(encode_confirm(handle, 1, {{MessageNumber(1), 3}}, plenty));
        ignore_the_rest(socket);
    });
    {
        Client client = peer.connect();
        auto producer = client.producer("orders");
        REQUIRE(producer.has_value());
        REQUIRE(producer->send("a").has_value());
        REQUIRE(producer->send("b").has_value());
        const auto third = producer->send("c");
        REQUIRE(third.has_value());
        CHECK(*third == LineNumber(3));
        CHECK(producer->wait_all(seconds(20)).has_value());
    }
    peer.join();
}

TEST_CASE("client: send gives up after the timeout, and uses no line") {
    Peer peer([](PeerSocket& socket) {
        socket.open_producer({1, 1'000});
        ignore_the_rest(socket);
    });
    {
        ConnectOptions options;
        options.timeout = milliseconds(50);
        Client client = peer.connect(options);
        auto producer = client.producer("orders");
        REQUIRE(producer.has_value());
        REQUIRE(producer->send("a").has_value());
        for (const bool blocking : {true, false}) {
            const auto line = blocking ? producer->send("b") : producer->try_send("b");
            REQUIRE(!line.has_value());
            CHECK(line.error().code == ErrorCode::timeout);
        }
        CHECK(producer->next_line() == LineNumber(2));
        CHECK(producer->wait_all(milliseconds(10)).error().code == ErrorCode::timeout);
    }
    peer.join();
}

TEST_CASE("client: a refusal is returned by every call until resume") {
    Peer peer([](PeerSocket& socket) {
        const HandleId handle = socket.open_producer();
        confirm_next(socket, 1);
        (void)socket.expect(FrameType::publish);
        socket.write(encode_refuse(handle, 2, 1, ErrorCode::memory_full, plenty));
        (void)socket.expect(FrameType::resume);
        confirm_next(socket, 2);
        socket.close_handle();
        ignore_the_rest(socket);
    });
    {
        Client client = peer.connect();
        auto producer = client.producer("orders");
        REQUIRE(producer.has_value());
        REQUIRE(producer->publish("a").has_value());
        const auto refused = producer->publish("b");
        REQUIRE(!refused.has_value());
        CHECK(refused.error().code == ErrorCode::memory_full);
        CHECK(refused.error().retry_after_ms == 250);
        CHECK(producer->send("c").error().code == ErrorCode::memory_full);
        CHECK(producer->wait_all().error().code == ErrorCode::memory_full);
        CHECK(producer->wait(LineNumber(1)).has_value());
        CHECK(producer->wait(LineNumber(2)).error().code == ErrorCode::memory_full);
        CHECK(producer->refused_from() == LineNumber(2));
        REQUIRE(producer->refusal() != nullptr);
        const auto lines = producer->resume();
        REQUIRE(lines.has_value());
        CHECK(*lines == LineRange{LineNumber(2), 1});
        CHECK(producer->refusal() == nullptr);
        const auto again = producer->publish("b");
        REQUIRE(again.has_value());
        CHECK(again->number == MessageNumber(2));
        CHECK(producer->close().has_value());
        CHECK(producer->next_line() == LineNumber(4));
        CHECK(producer->send("d").error().code == ErrorCode::usage);
    }
    peer.join();
}

TEST_CASE("client: when the connection breaks before the confirm, the outcome is unknown") {
    Peer peer([](PeerSocket& socket) {
        const HandleId handle = socket.open_producer();
        (void)socket.expect(FrameType::publish);
        socket.write(encode_confirm(handle, 1, {{MessageNumber(1), 1}}, plenty));
    });
    Client client = peer.connect();
    auto producer = client.producer("orders");
    REQUIRE(producer.has_value());
    REQUIRE(producer->send("a").has_value());
    REQUIRE(producer->send("b").has_value());
    const auto last = producer->publish("c");
    REQUIRE(!last.has_value());
    CHECK(last.error().code == ErrorCode::outcome_unknown);
    CHECK(producer->unconfirmed() == 2);
    CHECK(producer->wait(LineNumber(1)).has_value());
    CHECK(producer->wait(LineNumber(2)).error().code == ErrorCode::outcome_unknown);
    CHECK(producer->wait_all().error().code == ErrorCode::outcome_unknown);
    CHECK(producer->send("d").error().code == ErrorCode::disconnected);
    CHECK(producer->next_line() == LineNumber(4));
    CHECK(client.status().error().code == ErrorCode::disconnected);
    CHECK(!client.connected());
    CHECK(client.native_handle() == -1);
    peer.join();
}

TEST_CASE("client: what the daemon said before it closed is the error, not the broken pipe") {
    std::atomic<bool> opened{false};
    Peer peer([&](PeerSocket& socket) {
        socket.open_producer();
        while (!opened) {
            std::this_thread::yield();
        }
        socket.write(encode(wire::ErrorFrame{ErrorCode::output_overflow, 7, 0, "too slow"}));
    });
    Client client = peer.connect();
    auto producer = client.producer("orders");
    REQUIRE(producer.has_value());
    opened = true;
    peer.join();
    REQUIRE(producer->send(std::string(200'000, 'x')).has_value());
    (void)producer->flush();
    REQUIRE(client.error() != nullptr);
    CHECK(client.error()->code == ErrorCode::output_overflow);
    CHECK(client.error()->limit == 7);
    CHECK(producer->wait_all().error().code == ErrorCode::outcome_unknown);
}

TEST_CASE("client: it reads while its write is blocked") {
    // The peer reads nothing until it has written far more than a socket holds, and confirms
    // nothing before it has read far more as well.
    constexpr std::uint64_t frames = 200;
    constexpr std::uint64_t lines = 300;
    const std::string body(50'000, 'b');
    Peer peer([&](PeerSocket& socket) {
        const HandleId consumer = socket.open_consumer();
        const HandleId producer = socket.open_producer();
        (void)socket.expect(FrameType::publish);
        for (std::uint64_t i = 1; i <= frames; ++i) {
            socket.write(encode_deliver(consumer, i, {body}));
        }
        std::uint64_t received = 1;
        while (received < lines) {
            const SentFrame frame = socket.expect(FrameType::publish);
            received += wire::Publish::decode(frame.body)->count;
        }
        socket.write(encode_confirm(producer, 1, {{MessageNumber(1), lines}}, plenty));
        ignore_the_rest(socket);
    });
    {
        Client client = peer.connect();
        ConsumerOptions options;
        options.window_bytes = 100'000'000;
        auto consumer = client.consumer("orders", options);
        auto producer = client.producer("orders");
        REQUIRE(consumer.has_value());
        REQUIRE(producer.has_value());
        for (std::uint64_t i = 1; i <= lines; ++i) {
            REQUIRE(producer->send(body).has_value());
        }
        REQUIRE(producer->wait_all(seconds(20)).has_value());
        std::uint64_t received = 0;
        while (received < frames) {
            const auto batch = consumer->receive_batch(seconds(20));
            REQUIRE(batch.has_value());
            REQUIRE(batch->has_value());
            for (const Delivery& delivery : **batch) {
                REQUIRE(delivery.body == body);
                ++received;
            }
        }
    }
    peer.join();
}

TEST_CASE("client: receive returns nothing after its timeout, and messages as they come") {
    Peer peer([](PeerSocket& socket) {
        const HandleId handle = socket.open_consumer();
        const SentFrame status = socket.expect(FrameType::ping);
        socket.write(encode_deliver(handle, 1, {"one", "two"}));
        socket.write(encode(wire::Pong{}, status.header.correlation));
        std::vector<MessageRange> acked;
        std::vector<MessageRange> nacked;
        const SentFrame close = socket.expect_behind(FrameType::close_handle, acked, nacked);
        if (acked != std::vector<MessageRange>{{MessageNumber(1), 2}} || !nacked.empty()) {
            throw std::runtime_error("other settlements");
        }
        socket.answer_close(close);
        ignore_the_rest(socket);
    });
    {
        Client client = peer.connect();
        auto consumer = client.consumer("orders");
        REQUIRE(consumer.has_value());
        CHECK(consumer->lease() == seconds(30));
        const auto nothing = consumer->receive(milliseconds(5));
        REQUIRE(nothing.has_value());
        CHECK(!nothing->has_value());
        const auto time = client.ping();
        REQUIRE(time.has_value());
        CHECK(time->count() > 0);
        for (const std::string_view expected : {"one", "two"}) {
            const auto delivery = consumer->receive(Timeout(0));
            REQUIRE(delivery.has_value());
            REQUIRE(delivery->has_value());
            CHECK((*delivery)->body == expected);
            CHECK(consumer->ack((*delivery)->number).has_value());
        }
        CHECK(!consumer->receive(milliseconds(5))->has_value());
        CHECK(consumer->unsettled() == 0);
        CHECK(consumer->close().has_value());
        CHECK(consumer->receive().error().code == ErrorCode::usage);
    }
    peer.join();
}

TEST_CASE("client: run settles by what the handler says") {
    Peer peer([](PeerSocket& socket) {
        const HandleId handle = socket.open_consumer();
        socket.write(encode_deliver(handle, 1, {"ack", "nack", "ack", "dead", "stop", "later"}));
        std::vector<MessageRange> acked;
        std::vector<MessageRange> nacked;
        const SentFrame goodbye = socket.expect_behind(FrameType::goodbye, acked, nacked);
        if (acked.size() != 2 ||
            nacked != std::vector<MessageRange>{{MessageNumber(2), 1}, {MessageNumber(4), 1}}) {
            throw std::runtime_error("other settlements");
        }
        socket.answer_goodbye(goodbye);
    });
    Client client = peer.connect();
    auto consumer = client.consumer("orders");
    REQUIRE(consumer.has_value());
    const auto handled = consumer->run([](const Delivery& delivery) {
        return delivery.body == "ack"    ? Verdict::ack
               : delivery.body == "nack" ? Verdict::nack
               : delivery.body == "dead" ? Verdict::dead_letter
                                         : Verdict::stop;
    });
    REQUIRE(handled.has_value());
    CHECK(*handled == 4);
    CHECK(consumer->unsettled() == 2);
    CHECK(client.close().has_value());
    peer.join();
}

TEST_CASE("client: a confirmed ack says how many it reached") {
    Peer peer([](PeerSocket& socket) {
        const HandleId handle = socket.open_consumer();
        socket.write(encode_deliver(handle, 1, {"a", "b", "c"}));
        const SentFrame ack = socket.expect(FrameType::ack);
        socket.write(encode(wire::Settled{Durability::disk, 1, 1}, ack.header.correlation));
        ignore_the_rest(socket);
    });
    {
        Client client = peer.connect();
        auto consumer = client.consumer("orders");
        REQUIRE(consumer.has_value());
        REQUIRE(consumer->receive(seconds(20)).has_value());
        const auto settled = consumer->ack_confirmed({MessageNumber(2), 100}, seconds(20));
        REQUIRE(settled.has_value());
        CHECK(settled->settled == 1);
        CHECK(settled->not_leased == 1 + 98);
        CHECK(settled->durability == Durability::disk);
        // Nothing held, nothing asked.
        const auto none = consumer->ack_confirmed({MessageNumber(50), 2});
        REQUIRE(none.has_value());
        CHECK(none->not_leased == 2);
    }
    peer.join();
}

TEST_CASE("client: handlers are called while it waits, and cannot call into the library") {
    Peer peer([](PeerSocket& socket) {
        const HandleId producer = socket.open_producer();
        const HandleId consumer = socket.open_consumer();
        (void)socket.expect(FrameType::publish);
        socket.write(encode_deliver(consumer, 1, {"x"}));
        socket.write(encode_lease_lost(consumer, {{MessageNumber(1), 1}}));
        socket.write(encode_confirm(producer, 1, {{MessageNumber(5), 2}}, plenty));
        ignore_the_rest(socket);
    });
    {
        Client client = peer.connect();
        auto producer = client.producer("orders");
        auto consumer = client.consumer("orders");
        REQUIRE(producer.has_value());
        REQUIRE(consumer.has_value());
        std::vector<ConfirmedLines> confirmed;
        ErrorCode inside{};
        producer->on_confirm([&](const ConfirmedLines& lines) {
            confirmed.push_back(lines);
            inside = producer->send("from a handler").error().code;
        });
        std::vector<MessageRange> lost;
        consumer->on_lease_lost([&](MessageRange range) { lost.push_back(range); });
        REQUIRE(producer->send("a").has_value());
        REQUIRE(producer->send("b").has_value());
        REQUIRE(producer->wait_all(seconds(20)).has_value());
        REQUIRE(confirmed.size() == 1);
        CHECK(confirmed[0] == ConfirmedLines{LineNumber(1), 2, MessageNumber(5), Durability::disk});
        CHECK(inside == ErrorCode::usage);
        CHECK(lost == std::vector<MessageRange>{{MessageNumber(1), 1}});
        CHECK(consumer->leases_lost() == 1);
        CHECK(!consumer->receive(Timeout(0))->has_value());
    }
    peer.join();
}

TEST_CASE("client: in an event loop nothing blocks") {
    Peer peer([](PeerSocket& socket) {
        const HandleId producer = socket.open_producer();
        const HandleId consumer = socket.open_consumer();
        (void)socket.expect(FrameType::publish);
        socket.write(encode_confirm(producer, 1, {{MessageNumber(1), 1}}, plenty));
        socket.write(encode_deliver(consumer, 1, {"x"}));
        ignore_the_rest(socket);
    });
    {
        Client client = peer.connect();
        auto producer = client.producer("orders");
        auto consumer = client.consumer("orders");
        REQUIRE(producer.has_value());
        REQUIRE(consumer.has_value());
        REQUIRE(producer->try_send("x").has_value());
        bool got = false;
        while (!got || producer->unconfirmed() != 0) {
            const auto arrived = client.process(Timeout(0));
            REQUIRE(arrived.has_value());
            got = got || consumer->receive(Timeout(0))->has_value();
            if (!*arrived) {
                pollfd ready{client.native_handle(),
                             static_cast<short>(POLLIN | (client.wants_write() ? POLLOUT : 0)), 0};
                REQUIRE(::poll(&ready, 1, 20'000) == 1);
            }
        }
        CHECK(client.next_deadline().has_value());  // the lease of what was received
    }
    peer.join();
}

TEST_CASE("client: a request that is answered too late is a timeout, and the answer does no harm") {
    std::atomic<bool> late{false};
    Peer peer([&](PeerSocket& socket) {
        const SentFrame status = socket.expect(FrameType::status);
        while (!late) {
            std::this_thread::yield();
        }
        socket.write(encode(wire::StatusReply{}, status.header.correlation));
        const SentFrame again = socket.expect(FrameType::status);
        wire::StatusReply reply;
        reply.items = {{"queues", 4}};
        socket.write(encode(reply, again.header.correlation));
        ignore_the_rest(socket);
    });
    {
        ConnectOptions options;
        options.timeout = milliseconds(100);
        Client client = peer.connect(options);
        CHECK(client.status().error().code == ErrorCode::timeout);
        late = true;
        Result<std::vector<StatusItem>> status = client.status();
        for (int i = 0; i < 100 && !status; ++i) {
            status = client.status();
        }
        REQUIRE(status.has_value());
        REQUIRE(status->size() == 1);
        CHECK((*status)[0].name == "queues");
        CHECK((*status)[0].value == 4);
    }
    peer.join();
}

TEST_CASE("client: queues are listed page by page, and messages peeked at with their headers") {
    Peer peer([](PeerSocket& socket) {
        SentFrame list = socket.expect(FrameType::queue_list);
        wire::QueueInfo info;
        info.queue = "a";
        info.ready = 7;
        info.lease_ms = 30'000;
        socket.write(encode(wire::QueueListReply{true, {info}}, list.header.correlation));
        list = socket.expect(FrameType::queue_list);
        if (wire::QueueList::decode(list.body)->after != "a") {
            throw std::runtime_error("the second page does not begin behind the first");
        }
        info.queue = "b";
        socket.write(encode(wire::QueueListReply{false, {info}}, list.header.correlation));

        const SentFrame peek = socket.expect(FrameType::peek);
        std::vector<std::byte> attributes;
        wire::append_header(attributes, "type", "invoice");
        std::vector<std::byte> batch;
        wire::append_message(batch, attributes, wire::as_bytes("body"));
        wire::PeekReply reply{MessageNumber(6), true, {}};
        reply.runs.push_back(
            {wire::MessageState::leased, {MessageNumber(5), WallTime(), 1, 2, {1, 2, 3}, batch}});
        socket.write(encode(reply, peek.header.correlation));

        const SentFrame create = socket.expect(FrameType::queue_create);
        socket.write(encode(wire::ErrorFrame{ErrorCode::queue_exists, 0, 0, "other options"},
                            create.header.correlation));
        ignore_the_rest(socket);
    });
    {
        Client client = peer.connect();
        const auto queues = client.list_queues();
        REQUIRE(queues.has_value());
        REQUIRE(queues->size() == 2);
        CHECK((*queues)[0].name == "a");
        CHECK((*queues)[0].ready == 7);
        CHECK((*queues)[1].name == "b");
        CHECK((*queues)[1].options.lease == seconds(30));
        const auto page = client.peek("a", MessageNumber(1), 10);
        REQUIRE(page.has_value());
        CHECK(page->more);
        CHECK(page->next == MessageNumber(6));
        REQUIRE(page->messages.size() == 1);
        CHECK(page->messages[0].state == MessageState::leased);
        CHECK(page->messages[0].deliveries == 2);
        CHECK(page->messages[0].body == "body");
        CHECK(page->messages[0].headers[0].second == "invoice");
        CHECK(client.create_queue("a", {Durability::memory, seconds(1)}).error().code ==
              ErrorCode::queue_exists);
        CHECK(client.create_queue("not a name").error().code == ErrorCode::bad_name);
    }
    peer.join();
}

TEST_CASE("client: producers and consumers may outlive it") {
    Peer peer([](PeerSocket& socket) {
        socket.open_producer();
        socket.open_consumer();
        ignore_the_rest(socket);
    });
    std::optional<Producer> producer;
    std::optional<Consumer> consumer;
    {
        Client client = peer.connect();
        producer.emplace(*client.producer("orders"));
        consumer.emplace(*client.consumer("orders"));
        REQUIRE(producer->send("dropped").has_value());
    }
    peer.join();
    CHECK(producer->send("x").error().code == ErrorCode::usage);
    CHECK(producer->wait_all().error().code == ErrorCode::outcome_unknown);
    CHECK(consumer->receive().error().code == ErrorCode::usage);
    CHECK(consumer->ack(MessageNumber(1)).error().code == ErrorCode::usage);
}
