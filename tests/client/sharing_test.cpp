// Consumers that do not share their queue: what OPEN_CONSUMER asks for, and how a program learns
// that its turn has come.

#include <doctest/doctest.h>

#include <chrono>
#include <string>

#include "mqd/client.hpp"
#include "peer.hpp"

using namespace mqd;
using namespace mqd::client;
using std::chrono::seconds;
using wire::FrameType;
using wire::Turn;

namespace {

std::vector<std::byte> consumer_active(HandleId handle) {
    return encode(wire::ConsumerActive{}, {}, handle);
}

ConsumerOptions single_active() {
    ConsumerOptions options;
    options.sharing = Sharing::single_active;
    return options;
}

}  // namespace

TEST_CASE("sharing: a consumer asks for it, and is active unless it is told to wait") {
    Sharing asked{};
    Turn answer{};
    ConsumerOptions options;
    SUBCASE("shared") {
        answer = Turn::unsaid;
    }
    SUBCASE("exclusive") {
        options.sharing = Sharing::exclusive;
        answer = Turn::active;
    }
    SUBCASE("the first of those of which a single one is active") {
        options = single_active();
        answer = Turn::active;
    }
    SUBCASE("another of them") {
        options = single_active();
        answer = Turn::waiting;
    }
    Peer peer([&](PeerSocket& socket) {
        const SentFrame open = socket.expect(FrameType::open_consumer);
        asked = open.as<wire::OpenConsumer>().sharing;
        socket.write(encode(wire::Opened{QueueId(3), Durability::disk, 1000, 0, 0, answer},
                            open.header.correlation, open.header.handle));
        socket.close_handle();
        socket.goodbye();
    });
    Client client = peer.connect();
    auto consumer = client.consumer("orders", options);
    REQUIRE(consumer.has_value());
    CHECK(consumer->active() == (answer != Turn::waiting));
    CHECK(consumer->close().has_value());
    CHECK(!consumer->active());
    CHECK(client.close().has_value());
    peer.join();
    CHECK(asked == options.sharing);
}

TEST_CASE("sharing: a handler is called once when the turn has come, before its messages") {
    Peer peer([](PeerSocket& socket) {
        const HandleId handle = socket.open_consumer(30'000, Turn::waiting);
        const SentFrame ping = socket.expect(FrameType::ping);  // the handlers are set
        socket.write(encode(wire::Pong{ping.body}, ping.header.correlation));
        socket.write(consumer_active(handle));
        socket.write(encode_deliver(handle, 1, {"mine"}));
        socket.write(encode_lease_lost(handle, {{MessageNumber(1), 1}}));
        socket.read_to_end();
    });
    {
        Client client = peer.connect();
        auto consumer = client.consumer("orders", single_active());
        REQUIRE(consumer.has_value());
        CHECK(!consumer->active());
        int calls = 0;
        consumer->on_active([&] {
            ++calls;
            CHECK(consumer->active());
        });
        bool lost = false;
        consumer->on_lease_lost([&](MessageRange) { lost = true; });
        REQUIRE(client.ping().has_value());
        while (!lost) {
            REQUIRE(client.process(seconds(20)).has_value());
        }
        CHECK(calls == 1);
        CHECK(consumer->active());
    }
    peer.join();
}

TEST_CASE("sharing: a turn that comes with the answer is there from the start") {
    Peer peer([](PeerSocket& socket) {
        const SentFrame open = socket.expect(FrameType::open_consumer);
        auto bytes = encode(wire::Opened{QueueId(3), Durability::disk, 1000, 0, 0, Turn::waiting},
                            open.header.correlation, open.header.handle);
        const auto active = consumer_active(open.header.handle);
        bytes.insert(bytes.end(), active.begin(), active.end());
        socket.write(bytes);
        const SentFrame ping = socket.expect(FrameType::ping);
        socket.write(encode_lease_lost(open.header.handle, {{MessageNumber(1), 1}}));
        socket.write(encode(wire::Pong{ping.body}, ping.header.correlation));
        socket.read_to_end();
    });
    {
        Client client = peer.connect();
        auto consumer = client.consumer("orders", single_active());
        REQUIRE(consumer.has_value());
        int calls = 0;
        consumer->on_active([&] { ++calls; });
        REQUIRE(client.ping().has_value());
        CHECK(consumer->active());
        CHECK(calls == 0);
    }
    peer.join();
}

TEST_CASE("sharing: a daemon that does not know of it is asked for nothing more") {
    Peer peer([](PeerSocket& socket) {
        (void)socket.open_consumer();
        socket.close_handle();
        socket.goodbye();
    });
    Client client = peer.connect();
    const auto consumer = client.consumer("orders", single_active());
    REQUIRE(!consumer.has_value());
    CHECK(consumer.error().code == ErrorCode::bad_option);
    CHECK(client.close().has_value());
    peer.join();
}

TEST_CASE("sharing: a refusal is the error of the call, and the client goes on") {
    Peer peer([](PeerSocket& socket) {
        const SentFrame open = socket.expect(FrameType::open_consumer);
        socket.write(encode(wire::ErrorFrame{ErrorCode::queue_exclusive, 0, 0, "it has another"},
                            open.header.correlation, open.header.handle));
        socket.goodbye();
    });
    Client client = peer.connect();
    const auto consumer = client.consumer("orders", single_active());
    REQUIRE(!consumer.has_value());
    CHECK(consumer.error().code == ErrorCode::queue_exclusive);
    CHECK(client.close().has_value());
    peer.join();
}

TEST_CASE("sharing: a turn for one that does not wait breaks the protocol") {
    Peer peer([](PeerSocket& socket) {
        socket.write(consumer_active(socket.open_consumer(30'000, Turn::active)));
        socket.read_to_end();
    });
    {
        Client client = peer.connect();
        const auto consumer = client.consumer("orders", single_active());
        while (client.connected()) {
            (void)client.process(seconds(20));
        }
        CHECK(client.error()->code == ErrorCode::protocol_violation);
    }
    peer.join();
}
