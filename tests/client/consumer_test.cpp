// Consumer over a connection: what its calls do besides what they are called for.

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "mqd/client.hpp"
#include "peer.hpp"

using namespace mqd;
using namespace mqd::client;
using std::chrono::milliseconds;
using wire::FrameType;

namespace {

std::vector<std::byte> stopping() {
    return encode(wire::ErrorFrame{ErrorCode::stopping, 0, 0, "the daemon is shutting down"});
}

// Work of a program that calls nobody.
void work_for(milliseconds time) {
    const auto end = std::chrono::steady_clock::now() + time;
    while (std::chrono::steady_clock::now() < end) {
        std::this_thread::yield();
    }
}

}  // namespace

TEST_CASE("consumer: a delay that no nack can say leaves its messages held") {
    Peer peer([](PeerSocket& socket) {
        const HandleId handle = socket.open_consumer();
        socket.write(encode_deliver(handle, 1, {"one"}));
        const SentFrame nack = socket.expect(FrameType::nack);
        if (nack.as<wire::Nack>().delay_ms != 30'000) {
            throw std::runtime_error("another delay");
        }
    });
    Client client = peer.connect();
    auto consumer = client.consumer("orders");
    REQUIRE(consumer.has_value());
    REQUIRE(consumer->receive()->has_value());
    for (const auto delay : {milliseconds(-1), milliseconds(UINT32_MAX), milliseconds::max()}) {
        CHECK(consumer->nack(MessageNumber(1), {.delay = delay}).error().code ==
              ErrorCode::bad_option);
    }
    CHECK(consumer->unsettled() == 1);
    CHECK(consumer->nack(MessageNumber(1), {.delay = milliseconds(30'000)}).has_value());
    CHECK(consumer->unsettled() == 0);
    CHECK(client.flush().has_value());
    peer.join();
}

TEST_CASE("consumer: a daemon that is about to stop ends a receive that waits, behind the rest") {
    Peer peer([](PeerSocket& socket) {
        const HandleId handle = socket.open_consumer();
        socket.write(encode_deliver(handle, 1, {"one", "two"}));
        socket.write(stopping());
        std::vector<MessageRange> acked;
        std::vector<MessageRange> nacked;
        const SentFrame goodbye = socket.expect_behind(FrameType::goodbye, acked, nacked);
        if (acked != std::vector<MessageRange>{{MessageNumber(1), 2}} || !nacked.empty()) {
            throw std::runtime_error("other settlements");
        }
        socket.answer_goodbye(goodbye);
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

// The messages wait in the client, so that no call has to block. 40 times 5 ms are two leases.
TEST_CASE("consumer: leases are extended and acks written while it is busy with what is buffered") {
    constexpr std::uint32_t lease_ms = 100;
    constexpr std::uint64_t count = 40;
    std::uint64_t acks = 0;  // frames: without a round there is one, at the end
    std::uint64_t extends = 0;
    bool settles = true;
    Peer peer([&](PeerSocket& socket) {
        const HandleId handle = socket.open_consumer(lease_ms);
        socket.write(encode_deliver(handle, 1, std::vector<std::string>(count, "x")));
        while (true) {
            const SentFrame frame = socket.read();
            if (frame.header.type == FrameType::goodbye) {
                return socket.answer_goodbye(frame);
            }
            extends += frame.header.type == FrameType::extend ? 1 : 0;
            acks += frame.header.type == FrameType::ack ? 1 : 0;
        }
    });
    Client client = peer.connect();
    auto consumer = client.consumer("orders");
    REQUIRE(consumer.has_value());
    SUBCASE("by receive and ack") {
        for (std::uint64_t i = 1; i <= count; ++i) {
            const auto delivery = consumer->receive();
            REQUIRE(delivery.has_value());
            work_for(milliseconds(5));
            REQUIRE(consumer->ack((*delivery)->number).has_value());
        }
    }
    SUBCASE("by run") {
        const auto handled = consumer->run([&](const Delivery& delivery) {
            work_for(milliseconds(5));
            return delivery.number.value() == count ? Verdict::stop : Verdict::ack;
        });
        CHECK(handled.has_value());
    }
    SUBCASE("by receive alone") {
        for (std::uint64_t i = 1; i <= count; ++i) {
            REQUIRE(consumer->receive().has_value());
            work_for(milliseconds(5));
        }
        settles = false;
    }
    SUBCASE("by acks for one batch") {
        const auto batch = consumer->receive_batch();
        REQUIRE(batch.has_value());
        for (const Delivery& delivery : **batch) {
            work_for(milliseconds(5));
            REQUIRE(consumer->ack(delivery.number).has_value());
        }
    }
    CHECK(client.close().has_value());
    peer.join();
    CHECK(extends > 0);
    CHECK((acks > 1) == settles);
}

TEST_CASE("consumer: extensions wait for a daemon that does not read") {
    std::atomic<bool> done{false};
    Peer peer([&](PeerSocket& socket) {
        const HandleId handle = socket.open_consumer();
        socket.write(encode_deliver(handle, 1, {"x"}));
        while (!done) {
            std::this_thread::yield();
        }
        SentFrame frame = socket.read();
        while (frame.header.type == FrameType::extend) {
            frame = socket.read();
        }
        if (frame.header.type != FrameType::ack) {
            throw std::runtime_error("no ack behind the extensions");
        }
        (void)socket.expect(FrameType::credit);
        socket.goodbye();
    });
    ConnectOptions options;
    options.timeout = milliseconds(200);
    options.send_buffer_bytes = 4 * 1024;
    Client client = peer.connect(options);
    auto consumer = client.consumer("orders");
    REQUIRE(consumer.has_value());
    REQUIRE(consumer->receive().has_value());
    Result<void> extended;
    for (int i = 0; i < 1'000'000 && extended; ++i) {
        extended = consumer->extend({MessageNumber(1), 1}, milliseconds(0));
    }
    REQUIRE(!extended);
    CHECK(extended.error().code == ErrorCode::timeout);
    CHECK(consumer->ack(MessageNumber(1)).has_value());
    done = true;
    CHECK(client.close().has_value());
    peer.join();
}

TEST_CASE("consumer: a lease that the configuration would not take is not sent") {
    constexpr milliseconds day = std::chrono::hours(24);
    Peer peer([](PeerSocket& socket) {
        (void)socket.open_consumer();
        (void)socket.open_consumer();
        (void)socket.open_consumer();
        socket.goodbye();
    });
    Client client = peer.connect();
    ConsumerOptions options;
    for (const milliseconds lease : {milliseconds(-1), milliseconds(1), milliseconds(99),
                                     day + milliseconds(1), milliseconds::max()}) {
        options.lease = lease;
        const auto consumer = client.consumer("orders", options);
        REQUIRE(!consumer.has_value());
        CHECK(consumer.error().code == ErrorCode::bad_option);
        CHECK(consumer.error().text == "a lease is 100ms to 1d long");
        CHECK(consumer.error().limit == (lease < day ? 100 : 86'400'000));
        const auto queue = client.create_queue("orders", {Durability::disk, lease});
        REQUIRE(!queue.has_value());
        CHECK(queue.error().code == ErrorCode::bad_option);
    }
    std::vector<Consumer> consumers;  // their handles end with the session
    for (const milliseconds lease : {milliseconds(0), milliseconds(100), day}) {
        options.lease = lease;
        auto consumer = client.consumer("orders", options);
        REQUIRE(consumer.has_value());
        CHECK(consumer->extend({MessageNumber(1), 1}, day).has_value());
        CHECK(consumer->extend({MessageNumber(1), 1}, day + milliseconds(1)).error().code ==
              ErrorCode::bad_option);
        consumers.push_back(*std::move(consumer));
    }
    CHECK(client.close().has_value());
    peer.join();
}
