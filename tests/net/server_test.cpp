// The event loop within the test: its listeners, its hooks, its endings. What a whole daemon does
// with hostile and slow clients is in tests/integration.

#include "daemon/net/server.hpp"

#include <doctest/doctest.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <memory>
#include <string>
#include <thread>

#include "daemon/net/listening_socket.hpp"
#include "daemon/storage/posix_disk.hpp"
#include "mqd/client.hpp"
#include "net/raw_connection.hpp"
#include "support/daemon_process.hpp"

namespace mqd::net {

namespace {

using test::eventually;
using test::RawConnection;

// A server over a private folder, running in a thread of its own. Signals reach it because they
// are those of the whole process.
class RunningServer {
  public:
    explicit RunningServer(ServerOptions options = {}) {
        spdlog::set_level(spdlog::level::off);
        auto disk = storage::PosixDisk::open(folder_.path());
        REQUIRE(disk);
        disk_ = std::move(*disk);
        server_ = std::make_unique<Server>(core::CoreOptions{}, options);
        REQUIRE(server_->open(*disk_));
        engine::QueueDefinition orders;
        orders.name = "orders";
        orders.lease = std::chrono::milliseconds(60'000);
        REQUIRE(server_->declare({orders}));
        const auto local = listen_unix(path(), 0600);
        const auto other = listen_unix(other_path(), 0600);
        const auto tcp = listen_tcp("127.0.0.1", 0);
        REQUIRE(local);
        REQUIRE(other);
        REQUIRE(tcp);
        port_ = bound_port(*tcp);
        server_->add_listener("local", *local);
        server_->add_listener("other", *other);
        server_->add_listener("tcp", *tcp);
        thread_ = std::thread([this] {
            end_ = server_->run({[this] { ++reloads_; }, [this] { ++stoppings_; }});
            ended_ = true;
        });
        // Once it answers, the signals are its own.
        RawConnection probe(path());
        probe.greet();
    }
    RunningServer(const RunningServer&) = delete;
    RunningServer& operator=(const RunningServer&) = delete;
    ~RunningServer() {
        if (!ended_) {
            signal(SIGTERM);
        }
        thread_.join();
    }

    void signal(int number) const { ::kill(::getpid(), number); }
    [[nodiscard]] bool wait_end() const {
        return eventually([&] { return ended_.load(); });
    }

    [[nodiscard]] std::string path() const { return folder_.path() + "/socket"; }
    [[nodiscard]] std::string other_path() const { return folder_.path() + "/other"; }
    [[nodiscard]] std::uint16_t port() const { return port_; }
    [[nodiscard]] int reloads() const { return reloads_; }
    [[nodiscard]] int stoppings() const { return stoppings_; }
    [[nodiscard]] Server::End end() const { return end_; }

  private:
    test::TemporaryFolder folder_;
    std::unique_ptr<storage::PosixDisk> disk_;
    std::unique_ptr<Server> server_;
    std::uint16_t port_ = 0;
    std::atomic<int> reloads_ = 0;
    std::atomic<int> stoppings_ = 0;
    std::atomic<bool> ended_ = false;
    std::atomic<Server::End> end_ = Server::End::stopped;
    std::thread thread_;
};

}  // namespace

TEST_CASE("server: all listeners are served, Unix and TCP alike") {
    const RunningServer server({.shutdown_timeout = std::chrono::milliseconds(100)});
    for (const std::string& url : {"unix:" + server.path(), "unix:" + server.other_path(),
                                   "tcp://127.0.0.1:" + std::to_string(server.port())}) {
        CAPTURE(url);
        auto client = Client::connect(url);
        REQUIRE(client);
        const bool local = url.starts_with("unix:");
        CHECK(client->identity().pid ==
              (local ? static_cast<std::uint32_t>(::getpid()) : Identity::unknown_id));
        CHECK(client->identity().uid == (local ? ::getuid() : Identity::unknown_id));
        auto producer = client->producer("orders");
        auto consumer = client->consumer("orders");
        REQUIRE(producer);
        REQUIRE(consumer);
        const auto published = producer->publish("hello");
        REQUIRE(published);
        CHECK(published->durability == Durability::disk);
        const auto message = consumer->receive(test::patience);
        REQUIRE(message);
        REQUIRE(message->has_value());
        CHECK((*message)->body == "hello");
        CHECK((*message)->sender == client->identity());
        CHECK(consumer->ack((*message)->number));
        CHECK(client->close());
    }
}

TEST_CASE("server: SIGHUP reloads, SIGTERM stops, each by its hook") {
    const RunningServer server;
    for (int i = 1; i <= 3; ++i) {
        server.signal(SIGHUP);
        CHECK(eventually([&] { return server.reloads() == i; }));
    }
    CHECK(server.stoppings() == 0);
    server.signal(SIGTERM);
    CHECK(server.wait_end());
    CHECK(server.stoppings() == 1);
    CHECK(server.end() == Server::End::stopped);
    CHECK_FALSE(RawConnection(server.path()).connected());
}

TEST_CASE("server: a stop waits for its clients, a second signal does not") {
    const RunningServer server({.shutdown_timeout = std::chrono::hours(1)});
    RawConnection stays(server.path());
    stays.greet();
    server.signal(SIGTERM);
    CHECK(stays.receive_error() == ErrorCode::stopping);
    CHECK_FALSE(RawConnection(server.path()).connected());
    CHECK(server.stoppings() == 1);
    server.signal(SIGTERM);
    CHECK(server.wait_end());
    CHECK(server.end() == Server::End::aborted);
    CHECK(server.stoppings() == 1);
}

TEST_CASE("server: after shutdown_timeout a stop waits no longer") {
    const RunningServer server({.shutdown_timeout = std::chrono::milliseconds(100)});
    RawConnection stays(server.path());
    stays.greet();
    RawConnection mute(server.path());
    server.signal(SIGTERM);
    CHECK(server.wait_end());
    CHECK(server.end() == Server::End::stopped);
    CHECK(stays.wait_ended());
    CHECK(mute.wait_ended());
}

TEST_CASE("server: one connection more than there may be is told so, on every listener") {
    const RunningServer server(
        {.connections_max = 2, .shutdown_timeout = std::chrono::milliseconds(100)});
    const auto turned_away = [&](RawConnection connection) {
        const auto error = connection.receive_error();
        return error == ErrorCode::too_many_connections && connection.wait_ended();
    };
    RawConnection one(server.path());
    // The probe of the fixture may still count for a moment.
    REQUIRE(eventually([&] {
        RawConnection two(server.path());
        two.send_hello();
        const auto frame = two.receive();
        return frame && frame->header.type == wire::FrameType::welcome;
    }));
    one.greet();
    RawConnection two(server.path());
    two.send_hello();
    REQUIRE(two.receive().has_value());
    CHECK(turned_away(RawConnection(server.path())));
    CHECK(turned_away(RawConnection(server.other_path())));
    CHECK(turned_away(RawConnection(server.port())));
}

}  // namespace mqd::net
