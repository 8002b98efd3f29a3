// The driver under producers and consumers: handlers that throw, and the end.

#include <doctest/doctest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "mqd/client.hpp"
#include "peer.hpp"

using namespace mqd;
using namespace mqd::client;
using std::chrono::seconds;
using wire::FrameType;

namespace {

struct Thrown {};

}  // namespace

TEST_CASE("connection: when a handler throws, nobody loses news") {
    Peer peer([](PeerSocket& socket) {
        const HandleId first = socket.open_producer();
        const HandleId second = socket.open_producer();
        const HandleId consumer = socket.open_consumer();
        (void)socket.expect(FrameType::publish);
        (void)socket.expect(FrameType::publish);
        std::vector<std::byte> bytes = encode_deliver(consumer, 1, {"x"});
        const auto add = [&](const std::vector<std::byte>& frame) {
            bytes.insert(bytes.end(), frame.begin(), frame.end());
        };
        add(encode_confirm(first, 1, {{MessageNumber(1), 1}, {MessageNumber(5), 1}}, plenty));
        add(encode_confirm(second, 1, {{MessageNumber(3), 1}}, plenty));
        add(encode_lease_lost(consumer, {{MessageNumber(1), 1}}));
        socket.write(bytes);  // one read of the client
        std::vector<MessageRange> settled;
        const SentFrame ping = socket.expect_behind(FrameType::ping, settled, settled);
        socket.write(encode(wire::Pong{}, ping.header.correlation));
        socket.read_to_end();
    });
    {
        Client client = peer.connect();
        auto first = client.producer("orders");
        auto second = client.producer("orders");
        auto consumer = client.consumer("orders");
        REQUIRE(first.has_value());
        REQUIRE(second.has_value());
        REQUIRE(consumer.has_value());
        std::string told;
        bool throws = true;
        first->on_confirm([&](const ConfirmedLines& lines) {
            told += "first " + std::to_string(lines.first_number.value()) + ' ';
            if (throws) {
                throw Thrown();
            }
        });
        second->on_confirm([&](const ConfirmedLines& lines) {
            told += "second " + std::to_string(lines.first_number.value()) + ' ';
        });
        consumer->on_lease_lost([&](MessageRange range) {
            told += "lost " + std::to_string(range.first.value()) + ' ';
        });
        REQUIRE(first->send("a").has_value());
        REQUIRE(first->send("b").has_value());
        REQUIRE(second->send("c").has_value());
        CHECK_THROWS_AS((void)first->wait_all(seconds(20)), Thrown);
        CHECK(told == "first 1 ");
        CHECK(first->unconfirmed() == 0);
        throws = false;
        CHECK(client.ping().has_value());
        CHECK(told == "first 1 first 5 second 3 lost 1 ");
    }
    peer.join();
}

TEST_CASE("connection: a handler that throws out of close leaves a client that is of no use") {
    std::atomic<bool> asked{false};
    Peer peer([&](PeerSocket& socket) {
        const HandleId handle = socket.open_producer();
        (void)socket.expect(FrameType::publish);
        const SentFrame goodbye = socket.expect(FrameType::goodbye);
        socket.write(encode_confirm(handle, 1, {{MessageNumber(1), 1}}, plenty));
        while (!asked) {
            std::this_thread::yield();
        }
        socket.answer_goodbye(goodbye);
    });
    Client client = peer.connect();
    auto producer = client.producer("orders");
    REQUIRE(producer.has_value());
    producer->on_confirm([](const ConfirmedLines&) { throw Thrown(); });
    REQUIRE(producer->send("a").has_value());
    CHECK_THROWS_AS((void)client.close(), Thrown);
    CHECK(client.ping().error().code == ErrorCode::usage);
    CHECK(client.process(Timeout(0)).error().code == ErrorCode::usage);
    CHECK(client.flush().error().code == ErrorCode::usage);
    CHECK(client.producer("orders").error().code == ErrorCode::usage);
    CHECK(client.consumer("orders").error().code == ErrorCode::usage);
    CHECK(client.create_queue("orders").error().code == ErrorCode::usage);
    CHECK(producer->send("behind GOODBYE").error().code == ErrorCode::usage);
    CHECK(producer->unconfirmed() == 0);
    asked = true;
    CHECK(client.close().has_value());
    CHECK(client.error()->code == ErrorCode::usage);
    peer.join();
}
