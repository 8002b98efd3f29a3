// Consumer over a connection: what its calls do besides what they are called for.

#include <doctest/doctest.h>

#include <atomic>
#include <string>
#include <thread>

#include "mqd/client.hpp"
#include "peer.hpp"

using namespace mqd;
using namespace mqd::client;
using wire::FrameType;

namespace {

std::vector<std::byte> stopping() {
    return encode(wire::ErrorFrame{ErrorCode::stopping, 0, 0, "the daemon is shutting down"});
}

}  // namespace

TEST_CASE("consumer: a daemon that is about to stop ends a receive that waits, behind the rest") {
    Peer peer([](PeerSocket& socket) {
        const HandleId handle = socket.open_consumer();
        socket.write(encode_deliver(handle, 1, {"one", "two"}));
        socket.write(stopping());
        const SentFrame ack = socket.expect(FrameType::ack);
        if (to_vector(wire::Ack::decode(ack.body)->ranges) !=
            std::vector<MessageRange>{{MessageNumber(1), 2}}) {
            throw std::runtime_error("another ack");
        }
        (void)socket.expect(FrameType::credit);
        socket.goodbye();
    });
    Client client = peer.connect();
    auto consumer = client.consumer("orders");
    REQUIRE(consumer.has_value());
    SUBCASE("one by one") {
        for (const std::string_view expected : {"one", "two"}) {
            const auto delivery = consumer->receive();
            REQUIRE(delivery.has_value());
            REQUIRE(delivery->has_value());
            CHECK((*delivery)->body == expected);
        }
        REQUIRE(consumer->ack({MessageNumber(1), 2}).has_value());
        CHECK(consumer->receive().error().code == ErrorCode::stopping);
        CHECK(consumer->receive(Timeout(0)).error().code == ErrorCode::stopping);
    }
    SUBCASE("in batches") {
        const auto batch = consumer->receive_batch();
        REQUIRE(batch.has_value());
        REQUIRE(batch->has_value());
        REQUIRE(consumer->ack((*batch)->range).has_value());
        CHECK(consumer->receive_batch().error().code == ErrorCode::stopping);
    }
    SUBCASE("by run") {
        const auto handled = consumer->run([](const Delivery&) { return Verdict::ack; });
        REQUIRE(!handled.has_value());
        CHECK(handled.error().code == ErrorCode::stopping);
    }
    CHECK(client.stopping());
    CHECK(client.connected());
    CHECK(client.close().has_value());
    peer.join();
}

TEST_CASE("consumer: who goes on receiving from a daemon that stops learns that it has gone") {
    std::atomic<bool> told{false};
    Peer peer([&](PeerSocket& socket) {
        socket.open_consumer();
        socket.write(stopping());
        while (!told) {
            std::this_thread::yield();
        }
    });
    Client client = peer.connect();
    auto consumer = client.consumer("orders");
    REQUIRE(consumer.has_value());
    CHECK(consumer->receive().error().code == ErrorCode::stopping);
    told = true;
    peer.join();
    ErrorCode last = ErrorCode::stopping;
    for (int i = 0; i < 1'000 && last == ErrorCode::stopping; ++i) {
        last = consumer->receive().error().code;
    }
    CHECK(last == ErrorCode::disconnected);
}
