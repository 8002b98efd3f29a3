// Producer over a connection: what its errors say of the messages.

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
using std::chrono::seconds;
using wire::FrameType;

TEST_CASE("producer: a publish that was not taken is told from one that has no answer yet") {
    std::atomic<bool> answer{false};
    Peer peer([&](PeerSocket& socket) {
        const HandleId handle = socket.open_producer({1, 1'000});
        (void)socket.expect(FrameType::publish);
        while (!answer) {
            std::this_thread::yield();
        }
        socket.write(encode_confirm(handle, 1, {{MessageNumber(7), 1}}, plenty));
        socket.read_to_end();
    });
    {
        ConnectOptions options;
        options.timeout = milliseconds(200);
        Client client = peer.connect(options);
        auto producer = client.producer("orders");
        REQUIRE(producer.has_value());
        // Taken: the line is used up, and can be waited for.
        CHECK(producer->publish("a").error().code == ErrorCode::outcome_unknown);
        CHECK(producer->next_line() == LineNumber(2));
        CHECK(producer->wait(LineNumber(1), Timeout(0)).error().code == ErrorCode::timeout);
        // Not taken: there is no credit.
        CHECK(producer->publish("b").error().code == ErrorCode::timeout);
        CHECK(producer->next_line() == LineNumber(2));
        answer = true;
        CHECK(producer->wait(LineNumber(1), seconds(20)).has_value());
        CHECK(producer->wait(LineNumber(2)).error().code == ErrorCode::usage);
    }
    peer.join();
}

TEST_CASE("producer: each way to publish takes a delay or a due time, at most ten years ahead") {
    Peer peer([](PeerSocket& socket) {
        const HandleId handle = socket.open_producer();
        std::vector<bool> timed;
        while (timed.size() < 5) {
            const SentFrame frame = socket.expect(FrameType::publish);
            const auto publish = frame.as<wire::Publish>();
            wire::BatchReader reader(publish.batch);
            while (const auto message = reader.next()) {
                const auto times = wire::decode_times(message->attributes);
                timed.push_back(times && (times->delay_ms == 5u || times->due_us == 7));
            }
            socket.write(encode_confirm(
                handle, publish.first_line.value(),
                {{MessageNumber(publish.first_line.value()), publish.count}}, plenty));
        }
        if (timed != std::vector<bool>{true, true, true, false, true}) {
            throw std::runtime_error("other times");
        }
    });
    Client client = peer.connect();
    auto producer = client.producer("orders");
    REQUIRE(producer.has_value());
    const MessageOptions delayed{.delay = milliseconds(5)};
    CHECK(producer->publish("a", {}, delayed).has_value());
    CHECK(producer->send("b", {}, delayed).has_value());
    CHECK(producer->try_send("c", {}, {.due = wire::from_micros(7)}).has_value());
    const auto now =
        std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
    for (const WallTime due : {now + wire::delay_max + std::chrono::minutes(1), WallTime::max()}) {
        CHECK(producer->publish("x", {}, {.due = due}).error().code == ErrorCode::bad_option);
    }
    CHECK(producer->next_line() == LineNumber(4));
    const std::vector<Message> messages{{"d", {}}, {"e", {}, {.due = wire::from_micros(7)}}};
    CHECK(producer->publish_many(messages).has_value());
    peer.join();
}

TEST_CASE("producer: a refused line is never waited for with success") {
    constexpr std::uint64_t refusals = ProducerHandle::refusals_max + 1;
    Peer peer([](PeerSocket& socket) {
        const HandleId handle = socket.open_producer();
        for (std::uint64_t line = 1; line <= refusals; ++line) {
            (void)socket.expect(FrameType::publish);
            socket.write(encode_refuse(
                handle, line, 1, line % 2 == 0 ? ErrorCode::memory_full : ErrorCode::disk_full,
                plenty));
            (void)socket.expect(FrameType::resume);
        }
        (void)socket.expect(FrameType::publish);
        socket.write(encode_confirm(handle, refusals + 1, {{MessageNumber(1), 1}}, plenty));
        socket.read_to_end();
    });
    {
        Client client = peer.connect();
        auto producer = client.producer("orders");
        REQUIRE(producer.has_value());
        for (std::uint64_t line = 1; line <= refusals; ++line) {
            REQUIRE(!producer->publish("x").has_value());
            REQUIRE(producer->resume().has_value());
        }
        REQUIRE(producer->publish("x").has_value());
        CHECK(producer->wait(LineNumber(1)).error().code == ErrorCode::usage);
        for (std::uint64_t line = 2; line <= refusals; ++line) {
            CHECK(producer->wait(LineNumber(line)).error().code ==
                  (line % 2 == 0 ? ErrorCode::memory_full : ErrorCode::disk_full));
        }
        CHECK(producer->wait(LineNumber(refusals + 1)).has_value());
    }
    peer.join();
}

TEST_CASE("producer: publish_many gives back what was confirmed before it failed") {
    Peer peer([](PeerSocket& socket) {
        const HandleId handle = socket.open_producer();
        (void)socket.expect(FrameType::publish);
        socket.write(encode_confirm(handle, 1, {{MessageNumber(10), 2}}, plenty));
        socket.write(encode_refuse(handle, 3, 2, ErrorCode::memory_full, plenty));
        (void)socket.expect(FrameType::resume);
        (void)socket.expect(FrameType::publish);
        socket.write(encode_confirm(handle, 5, {{MessageNumber(12), 1}}, plenty));
        socket.read_to_end();
    });
    {
        ConnectOptions options;
        options.timeout = milliseconds(200);
        Client client = peer.connect(options);
        auto producer = client.producer("orders");
        REQUIRE(producer.has_value());
        REQUIRE(producer->send("before").has_value());
        const std::vector<Message> messages{{"a", {}}, {"b", {}}, {"c", {}}};
        std::vector<ConfirmedLines> confirmed{{}};
        CHECK(producer->publish_many(messages, confirmed).error().code == ErrorCode::memory_full);
        CHECK(confirmed ==
              std::vector<ConfirmedLines>{{LineNumber(2), 1, MessageNumber(11), Durability::disk}});
        REQUIRE(producer->resume().has_value());
        CHECK(producer->publish_many(messages, confirmed).error().code ==
              ErrorCode::outcome_unknown);
        CHECK(confirmed ==
              std::vector<ConfirmedLines>{{LineNumber(5), 1, MessageNumber(12), Durability::disk}});
        CHECK(producer->publish_many({}, confirmed).has_value());
        CHECK(confirmed.empty());
    }
    peer.join();
}

// The handler takes longer than the timeout, and the second confirm comes behind it.
TEST_CASE("producer: publish_many goes on as long as there are confirms") {
    std::atomic<bool> handled{false};
    Peer peer([&](PeerSocket& socket) {
        const HandleId handle = socket.open_producer();
        (void)socket.expect(FrameType::publish);
        socket.write(encode_confirm(handle, 1, {{MessageNumber(10), 1}}, plenty));
        while (!handled) {
            std::this_thread::yield();
        }
        socket.write(encode_confirm(handle, 2, {{MessageNumber(11), 2}}, plenty));
        socket.read_to_end();
    });
    {
        ConnectOptions options;
        options.timeout = milliseconds(500);
        Client client = peer.connect(options);
        auto producer = client.producer("orders");
        REQUIRE(producer.has_value());
        producer->on_confirm([&](const ConfirmedLines&) {
            const auto end = std::chrono::steady_clock::now() + options.timeout;
            while (!handled && std::chrono::steady_clock::now() <= end) {
                std::this_thread::yield();
            }
            handled = true;
        });
        const std::vector<Message> messages{{"a", {}}, {"b", {}}, {"c", {}}};
        const auto runs = producer->publish_many(messages);
        REQUIRE(runs.has_value());
        CHECK(*runs ==
              std::vector<ConfirmedLines>{{LineNumber(1), 3, MessageNumber(10), Durability::disk}});
    }
    peer.join();
}
