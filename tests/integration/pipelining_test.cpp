// Publishing and consuming on one connection, both sides with more to send than the sockets hold:
// nobody waits for the other, and who does not read costs no memory.

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "mqd/client.hpp"
#include "mqd/wire/handle.hpp"
#include "net/raw_connection.hpp"
#include "support/daemon_process.hpp"

namespace mqd::test {

namespace {

// Deaf consumers take what others before them dropped, more often than 16 times perhaps.
const char* const queues =
    "[queue.memory]\ndurability = \"memory\"\nmax_attempts = 0\n[queue.disk]\ndurability = "
    "\"disk\"\n";

std::string body_of(std::uint64_t number, std::size_t bytes) {
    std::string body = std::to_string(number);
    body.resize(bytes, '.');
    return body;
}

Client connect(const DaemonProcess& daemon) {
    ConnectOptions options;
    options.timeout = patience;
    auto client = Client::connect(daemon.url(), options);
    REQUIRE(client);
    return std::move(*client);
}

// Publishes all without receiving one, while the daemon delivers as much as it likes; then takes
// them.
void publish_then_consume(const std::string& queue, std::uint64_t count, std::size_t bytes) {
    DaemonProcess daemon(MQD_BIN, {.config = queues});
    daemon.start();
    Client client = connect(daemon);
    auto consumer =
        client.consumer(queue, {.window_messages = count, .window_bytes = 32 * 1024 * 1024});
    REQUIRE(consumer);
    auto producer = client.producer(queue);
    REQUIRE(producer);
    for (std::uint64_t i = 1; i <= count; ++i) {
        const auto line = producer->send(body_of(i, bytes));
        REQUIRE_MESSAGE(line, line.error().text);
    }
    const auto confirmed = producer->wait_all(patience);
    REQUIRE_MESSAGE(confirmed, confirmed.error().text);
    for (std::uint64_t i = 1; i <= count; ++i) {
        const auto message = consumer->receive(patience);
        REQUIRE(message);
        REQUIRE(message->has_value());
        REQUIRE((*message)->body == body_of(i, bytes));
        REQUIRE(consumer->ack((*message)->number));
    }
    REQUIRE(client.close());
}

}  // namespace

TEST_CASE("pipelining: a client that only publishes does not block on its own deliveries") {
    publish_then_consume("memory", sanitized ? 5'000 : 30'000, 2'000);
}

TEST_CASE("pipelining: the same on a disk queue") {
    publish_then_consume("disk", sanitized ? 2'000 : 10'000, 2'000);
}

TEST_CASE("pipelining: two producers and two consumers share one connection") {
    constexpr std::uint64_t count = 5'000;
    DaemonProcess daemon(MQD_BIN, {.config = queues});
    daemon.start();
    Client client = connect(daemon);
    std::vector<Consumer> consumers;
    std::vector<Producer> producers;
    for (const char* queue : {"memory", "disk"}) {
        auto consumer = client.consumer(queue);
        REQUIRE(consumer);
        consumers.push_back(std::move(*consumer));
        auto producer = client.producer(queue);
        REQUIRE(producer);
        producers.push_back(std::move(*producer));
    }
    for (std::uint64_t i = 1; i <= count; ++i) {
        for (Producer& producer : producers) {
            REQUIRE(producer.send(body_of(i, 500)));
        }
    }
    for (Consumer& consumer : consumers) {
        for (std::uint64_t i = 1; i <= count; ++i) {
            const auto message = consumer.receive(patience);
            REQUIRE(message);
            REQUIRE(message->has_value());
            REQUIRE((*message)->body == body_of(i, 500));
            REQUIRE(consumer.ack((*message)->number));
        }
    }
    for (Producer& producer : producers) {
        CHECK(producer.unconfirmed() == 0);
    }
}

TEST_CASE("pipelining: consumers that never read take no memory and give back what they held") {
    constexpr std::uint64_t messages = 4'000;
    constexpr std::size_t bytes = 4'000;
    constexpr std::uint64_t readers = 20;
    constexpr std::uint64_t kib_each_max = 64;
    DaemonProcess daemon(MQD_BIN, {.config = queues});
    daemon.start();
    Client client = connect(daemon);
    auto producer = client.producer("memory");
    REQUIRE(producer);
    for (std::uint64_t i = 1; i <= messages; ++i) {
        REQUIRE(producer->send(body_of(i, bytes)));
    }
    REQUIRE(producer->wait_all(patience));
    const std::uint64_t before = resident_kib(daemon.pid());

    std::vector<std::unique_ptr<RawConnection>> deaf;
    for (std::uint64_t i = 0; i < readers; ++i) {
        deaf.push_back(std::make_unique<RawConnection>(daemon.socket_path()));
        deaf.back()->greet();
        wire::OpenConsumer open;
        open.queue = "memory";
        open.message_limit = UINT64_MAX;
        open.byte_limit = UINT64_MAX;
        deaf.back()->send_frame(open, 1);
    }
    CHECK(eventually([&] {
        const auto queue = client.show_queue("memory");
        return queue && queue->consumers == readers && queue->leased > 0;
    }));
    REQUIRE(client.ping());
    const std::uint64_t after = resident_kib(daemon.pid());
    MESSAGE("grown by ", after - std::min(before, after), " KiB with ", readers, " readers");
    if (!sanitized) {
        CHECK(after < before + readers * kib_each_max);
    }

    deaf.clear();
    auto consumer = client.consumer("memory");
    REQUIRE(consumer);
    for (std::uint64_t i = 1; i <= messages; ++i) {
        const auto message = consumer->receive(patience);
        REQUIRE(message);
        REQUIRE(message->has_value());
        REQUIRE(consumer->ack((*message)->number));
    }
    REQUIRE(client.flush());
    CHECK(eventually([&] {
        const auto queue = client.show_queue("memory");
        return queue && queue->ready + queue->leased == 0;
    }));
}

TEST_CASE("pipelining: a consumer that stops reading is passed by") {
    constexpr std::uint64_t messages = 2'000;
    DaemonProcess daemon(MQD_BIN, {.config = queues});
    daemon.start();
    RawConnection stopped(daemon.socket_path());
    stopped.greet();
    wire::OpenConsumer open;
    open.queue = "memory";
    open.message_limit = 10;
    open.byte_limit = UINT64_MAX;
    stopped.send_frame(open, 1);
    Client client = connect(daemon);
    REQUIRE(eventually([&] {
        const auto queue = client.show_queue("memory");
        return queue && queue->consumers == 1;
    }));
    auto producer = client.producer("memory");
    REQUIRE(producer);
    auto consumer = client.consumer("memory");
    REQUIRE(consumer);
    for (std::uint64_t i = 1; i <= messages; ++i) {
        REQUIRE(producer->send(body_of(i, 100)));
    }
    std::uint64_t received = 0;
    while (received < messages - 10) {
        const auto message = consumer->receive(patience);
        REQUIRE(message);
        REQUIRE(message->has_value());
        REQUIRE(consumer->ack((*message)->number));
        ++received;
    }
    CHECK(producer->unconfirmed() == 0);
}

}  // namespace mqd::test
