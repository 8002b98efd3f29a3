// How long a producer lets its publishes wait for room in the daemon.

#include <doctest/doctest.h>

#include "mqd/client.hpp"
#include "peer.hpp"
#include "scripted_daemon.hpp"

namespace mqd::client {

TEST_CASE("producer wait: it is said when the handle is opened, and a day at most") {
    ScriptedDaemon daemon;
    daemon.greet();
    ProducerOptions options;
    options.wait = std::chrono::milliseconds(1500);
    REQUIRE(daemon.session.open_producer("orders", options).has_value());
    const auto frames = daemon.sent();
    REQUIRE(frames.size() == 1);
    const auto open = frames[0].as<wire::OpenProducer>();
    CHECK(open.queue == "orders");
    CHECK(open.producer.empty());
    CHECK(open.wait_ms == 1500);
    for (const auto bad : {std::chrono::milliseconds(-1), std::chrono::milliseconds(86'400'001)}) {
        options.wait = bad;
        const auto refused = daemon.session.open_producer("orders", options);
        REQUIRE_FALSE(refused.has_value());
        CHECK(refused.error().code == ErrorCode::bad_option);
    }
}

TEST_CASE("producer wait: without a word, the refusal comes before publish gives up") {
    std::uint32_t wait_ms = 0;
    Peer peer([&](PeerSocket& socket) {
        const SentFrame open = socket.expect(wire::FrameType::open_producer);
        wait_ms = wire::OpenProducer::decode(open.body)->wait_ms;
        socket.write(encode(wire::Opened{QueueId(3), Durability::disk, 0, 10, 1000},
                            open.header.correlation, open.header.handle));
        socket.read_to_end();
    });
    {
        Client client = peer.connect();
        CHECK(client.producer("orders").has_value());
    }
    peer.join();
    CHECK(wait_ms == 3750);
}

}  // namespace mqd::client
