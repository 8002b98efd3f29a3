// Workers that die, hang or are held up, and what becomes of the messages that they had.

#include <doctest/doctest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <functional>
#include <string>

#include "mqd/client.hpp"
#include "net/raw_connection.hpp"
#include "support/daemon_process.hpp"

namespace mqd::test {

namespace {

constexpr std::uint64_t count = 50;

// No lease runs out by itself unless a test wants it to.
const char* const queues =
    "[queue_defaults]\nlease = \"1h\"\n"
    "[queue.orders]\ndurability = \"disk\"\n"
    "[queue.other]\ndurability = \"disk\"\n";

Client connect(const std::string& url) {
    ConnectOptions options;
    options.timeout = patience;
    auto client = Client::connect(url, options);
    REQUIRE(client);
    return std::move(*client);
}

void publish(Client& client, std::uint64_t messages) {
    auto producer = client.producer("orders");
    REQUIRE(producer);
    for (std::uint64_t i = 1; i <= messages; ++i) {
        REQUIRE(producer->send("order " + std::to_string(i)));
    }
    REQUIRE(producer->wait_all(patience));
}

// Receives that many, all with that attempt, in order from the first on.
void expect_deliveries(Consumer& consumer, std::uint64_t messages, std::uint32_t attempt) {
    for (std::uint64_t i = 1; i <= messages; ++i) {
        const auto message = consumer.receive(patience);
        REQUIRE(message);
        REQUIRE(message->has_value());
        CHECK((*message)->body == "order " + std::to_string(i));
        CHECK((*message)->attempt == attempt);
    }
}

// What was delivered before this is in the journal, counted.
void write_counts(Client& client) {
    auto producer = client.producer("other");
    REQUIRE(producer);
    REQUIRE(producer->publish("behind the deliveries"));
}

// A process of its own that takes messages and holds them until it is killed.
class Worker {
  public:
    Worker(const std::string& url, std::uint64_t messages) {
        REQUIRE(::pipe(ready_) == 0);
        pid_ = ::fork();
        REQUIRE(pid_ >= 0);
        if (pid_ == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            ::_exit(work(url, messages, ready_[1]));
        }
        ::close(ready_[1]);
        char said = 0;
        REQUIRE(::read(ready_[0], &said, 1) == 1);
    }
    Worker(const Worker&) = delete;
    Worker& operator=(const Worker&) = delete;
    ~Worker() {
        kill();
        ::close(ready_[0]);
    }

    void kill() {
        if (pid_ > 0) {
            ::kill(pid_, SIGKILL);
            ::waitpid(pid_, nullptr, 0);
            pid_ = -1;
        }
    }

  private:
    static int work(const std::string& url, std::uint64_t messages, int ready) {
        auto client = Client::connect(url);
        if (!client) {
            return 1;
        }
        auto consumer = client->consumer("orders");
        if (!consumer) {
            return 1;
        }
        for (std::uint64_t i = 0; i < messages; ++i) {
            const auto message = consumer->receive(patience);
            if (!message || !*message) {
                return 1;
            }
        }
        (void)!::write(ready, "r", 1);
        while (true) {
            ::pause();
        }
    }

    pid_t pid_ = -1;
    int ready_[2]{};
};

}  // namespace

TEST_CASE("lease: what a killed worker held is delivered to another at once") {
    DaemonProcess daemon(MQD_BIN, {.config = queues});
    daemon.start();
    Client client = connect(daemon.url());
    publish(client, count);
    Worker worker(daemon.url(), count);
    auto consumer = client.consumer("orders");
    REQUIRE(consumer);
    const auto nothing = consumer->receive(Timeout(0));
    REQUIRE(nothing);
    CHECK_FALSE(nothing->has_value());
    worker.kill();
    expect_deliveries(*consumer, count, 2);  // the lease is an hour: it is the end that counts
}

TEST_CASE("lease: what a hung worker holds is delivered to another when its lease ends") {
    DaemonProcess daemon(MQD_BIN, {.config = queues});
    daemon.start();
    Client client = connect(daemon.url());
    publish(client, count);
    Client hung = connect(daemon.url());
    // Its credit is used up by then, so that nothing is given to it again.
    auto holder = hung.consumer(
        "orders",
        {.window_messages = count, .lease = std::chrono::milliseconds(300), .renew_leases = false});
    REQUIRE(holder);
    expect_deliveries(*holder, count, 1);
    auto consumer = client.consumer("orders");
    REQUIRE(consumer);
    expect_deliveries(*consumer, count, 2);
    // It wakes up, and learns that it holds nothing any more.
    CHECK(eventually([&] { return hung.process(Timeout(0)) && holder->leases_lost() == count; }));
    const auto late = holder->ack_confirmed({MessageNumber(1), count}, patience);
    REQUIRE(late);
    CHECK(late->settled == 0);
    CHECK(late->not_leased == count);
    const auto done = consumer->ack_confirmed({MessageNumber(1), count}, patience);
    REQUIRE(done);
    CHECK(done->settled == count);
}

TEST_CASE("lease: a worker that stays within the library keeps its leases") {
    DaemonProcess daemon(MQD_BIN, {.config = queues});
    daemon.start();
    Client client = connect(daemon.url());
    publish(client, count);
    auto consumer = client.consumer("orders", {.lease = std::chrono::milliseconds(300)});
    REQUIRE(consumer);
    expect_deliveries(*consumer, count, 1);
    // Four times the lease, spent waiting for a message that does not come.
    const auto nothing = consumer->receive(Timeout(1'200));
    REQUIRE(nothing);
    CHECK_FALSE(nothing->has_value());
    CHECK(consumer->leases_lost() == 0);
    const auto done = consumer->ack_confirmed({MessageNumber(1), count}, patience);
    REQUIRE(done);
    CHECK(done->settled == count);
}

TEST_CASE("lease: the count of deliveries survives the end of the daemon") {
    DaemonProcess daemon(MQD_BIN, {.config = queues});
    daemon.start();
    {
        Client client = connect(daemon.url());
        publish(client, count);
    }
    for (std::uint32_t attempt = 1; attempt <= 4; ++attempt) {
        Client client = connect(daemon.url());
        auto consumer = client.consumer("orders");
        REQUIRE(consumer);
        expect_deliveries(*consumer, count, attempt);
        write_counts(client);
        if (attempt >= 2) {
            daemon.restart();  // killed while the messages are leased
        }
    }
}

TEST_CASE("lease: a delivery that the daemon ends by stopping does not count") {
    DaemonProcess daemon(
        MQD_BIN, {.config = std::string(queues) + "[server]\nshutdown_timeout = \"100ms\"\n"});
    daemon.start();
    {
        Client client = connect(daemon.url());
        publish(client, count);
    }
    const auto hold_and_stop = [&](bool says_goodbye) {
        Client client = connect(daemon.url());
        RawConnection watcher(daemon.socket_path());
        watcher.greet();
        auto consumer = client.consumer("orders");
        REQUIRE(consumer);
        expect_deliveries(*consumer, count, 1);
        write_counts(client);
        daemon.send_signal(SIGTERM);
        REQUIRE(watcher.receive_error() == ErrorCode::stopping);
        if (says_goodbye) {
            (void)client.close(patience);  // without having settled anything
        }
        REQUIRE(daemon.wait() == ProcessEnd{0, 0});
        daemon.start();
    };
    hold_and_stop(false);  // cut off at shutdown_timeout
    hold_and_stop(true);
    Client client = connect(daemon.url());
    auto consumer = client.consumer("orders");
    REQUIRE(consumer);
    expect_deliveries(*consumer, count, 1);
}

}  // namespace mqd::test
