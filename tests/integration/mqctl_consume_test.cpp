// mqctl consume and peek against a real daemon: what is taken, acked and given back.

#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <future>

#include "integration/listening_peer.hpp"
#include "integration/mqctl_run.hpp"

namespace mqd::test {
namespace {

struct Fixture {
    DaemonProcess daemon{MQD_BIN};
    Mqctl mqctl{daemon.url()};

    Fixture() {
        daemon.start();
        mqctl.must({"-q", "queue", "create", "orders"});
    }
    void publish(const std::string& lines) const {
        mqctl.must({"-q", "publish", "orders", "--lines"}, lines);
    }
    [[nodiscard]] std::uint64_t ready() const { return mqctl.queue_number("orders", "ready"); }
    // Acks that nobody waits for are written with the next group; until then they count as leased.
    [[nodiscard]] bool all_gone() const {
        return eventually([this] { return ready() + leased() == 0; });
    }
    [[nodiscard]] bool none_leased() const {
        return eventually([this] { return leased() == 0; });
    }
    [[nodiscard]] std::uint64_t leased() const { return mqctl.queue_number("orders", "leased"); }
};

bool mentions(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

std::string numbered(int count, const std::string& filling = {}) {
    std::string text;
    for (int i = 1; i <= count; ++i) {
        text += std::to_string(i) + filling + '\n';
    }
    return text;
}

TEST_CASE("mqctl consume: takes one message, and none is exit 6") {
    const Fixture f;
    CHECK(f.mqctl.run({"consume", "orders"}).exit == 6);
    f.publish("a\nb\n");
    CHECK(f.mqctl.must({"consume", "orders"}) == "a\n");
    CHECK(f.ready() == 1);
    CHECK(f.mqctl.must({"sub", "orders", "-o", "raw"}) == "b");
    const MqctlEnd empty = f.mqctl.run({"consume", "orders", "-n", "10"});
    CHECK(empty.exit == 6);
    CHECK(empty.out.empty());
    CHECK(empty.err.empty());
    CHECK(f.none_leased());
}

TEST_CASE("mqctl consume: -n takes at most so many") {
    const Fixture f;
    f.publish(numbered(2500));
    CHECK(f.mqctl.must({"consume", "orders", "-n", "3"}) == numbered(3));
    CHECK(f.ready() == 2497);
    CHECK(f.mqctl.must({"consume", "orders", "-n", "2000", "-q"}).ends_with("\n2003\n"));
    CHECK(f.ready() == 497);
    CHECK(f.mqctl.must({"consume", "orders", "-n", "1000000"}).ends_with("\n2500\n"));
    CHECK(f.ready() == 0);
}

TEST_CASE("mqctl consume: --wait waits for the first, and for no longer than it says") {
    const Fixture f;
    CHECK(f.mqctl.run({"consume", "orders", "--wait", "50ms"}).exit == 6);
    MqctlProcess waiting(f.mqctl.url(), {"consume", "orders", "--wait", "1h"});
    f.publish("late\n");
    const MqctlEnd end = waiting.wait();
    CHECK(end.exit == 0);
    CHECK(end.out == "late\n");
}

TEST_CASE("mqctl consume: --drain takes all there is and is content with none") {
    const Fixture f;
    CHECK(f.mqctl.must({"consume", "orders", "--drain"}).empty());
    f.publish(numbered(5000));
    CHECK(f.mqctl.must({"consume", "orders", "--drain"}) == numbered(5000));
    CHECK(f.all_gone());
}

TEST_CASE("mqctl consume: --follow shows and acks each message at once, until a signal") {
    const Fixture f;
    for (const auto& [signal, exit] : {std::pair(SIGINT, 130), std::pair(SIGTERM, 143)}) {
        MqctlProcess follow(f.mqctl.url(), {"consume", "orders", "--follow"});
        for (const std::string line : {"one", "two"}) {
            f.publish(line + '\n');
            CHECK(follow.read_line() == line);
            CHECK(f.all_gone());
        }
        follow.send_signal(signal);
        const MqctlEnd end = follow.wait_for_end();
        CHECK(end.exit == exit);
        CHECK(end.err.empty());
    }
    CHECK(f.none_leased());
}

TEST_CASE("mqctl consume: what nobody reads is given back at a signal") {
    const Fixture f;
    constexpr std::uint64_t count = 2000;
    f.publish(numbered(count, std::string(1000, 'x')));  // more than a pipe holds
    MqctlProcess follow(f.mqctl.url(), {"consume", "orders", "--follow"});
    REQUIRE(eventually([&] { return f.leased() > 0; }));
    follow.send_signal(SIGTERM);
    const MqctlEnd end = follow.wait_for_end();
    CHECK(end.exit == 143);
    CHECK(f.none_leased());
    // All is there that was not written; what was written in part is there too.
    const auto written =
        static_cast<std::uint64_t>(std::count(end.out.begin(), end.out.end(), '\n'));
    CHECK(f.ready() >= count - written);
}

TEST_CASE("mqctl consume: leases are extended while a reader is slow") {
    const Fixture f;
    constexpr std::uint64_t count = 2000;
    f.publish(numbered(count, std::string(1000, 'x')));
    MqctlProcess follow(f.mqctl.url(), {"consume", "orders", "--follow", "--lease", "300ms"});
    REQUIRE(eventually([&] { return f.leased() > 0; }));
    const std::uint64_t ready = f.ready();
    const bool came_back =
        eventually([&] { return f.ready() > ready; }, std::chrono::milliseconds(1500));
    CHECK_FALSE(came_back);
    follow.send_signal(SIGTERM);
    CHECK(follow.wait_for_end().exit == 143);
}

// More than mqctl hands out and its reader takes at once; the PONG says that all of it was read, so
// that nothing on the connection will wake it any more.
TEST_CASE("mqctl consume: what came while a reader was slow is written when it reads on") {
    constexpr std::uint64_t count = 100;
    std::promise<void> all_read;
    std::vector<MessageRange> acked;
    std::vector<MessageRange> nacked;
    {
        ListeningPeer daemon([&](client::PeerSocket& socket) {
            const HandleId consumer = socket.open_consumer();
            for (std::uint64_t number = 1; number <= count; ++number) {
                socket.write(client::encode_deliver(consumer, number, {std::string(10'000, 'x')}));
            }
            socket.write(client::encode(wire::Ping{}, CorrelationId(1)));
            (void)socket.expect_behind(wire::FrameType::pong, acked, nacked);
            all_read.set_value();
            socket.answer_close(socket.expect_behind(wire::FrameType::close_handle, acked, nacked));
            socket.goodbye();
        });
        MqctlProcess follow(daemon.url(), {"consume", "orders", "--follow"});
        REQUIRE(all_read.get_future().wait_for(patience) == std::future_status::ready);
        std::uint64_t lines = 0;
        while (lines < count && follow.read_line()) {
            ++lines;
        }
        CHECK(lines == count);
        follow.send_signal(SIGTERM);
        CHECK(follow.wait_for_end().exit == 143);
    }
    CHECK(acked == std::vector{MessageRange{MessageNumber(1), count}});
}

TEST_CASE("mqctl consume: a reader that is gone acks nothing") {
    const Fixture f;
    f.publish("a\nb\n");
    MqctlProcess consume(f.mqctl.url(), {"consume", "orders", "-n", "3", "--wait", "1h"});
    REQUIRE(consume.read_line() == "a");
    REQUIRE(consume.read_line() == "b");
    CHECK(f.none_leased());
    consume.close_output();
    f.publish("c\n");
    const MqctlEnd end = consume.wait_for_end();
    CHECK(end.exit == 1);
    CHECK(mentions(end.err, "standard output"));
    CHECK(f.ready() == 1);
    CHECK(f.mqctl.must({"consume", "orders"}) == "c\n");
}

TEST_CASE("mqctl consume: a daemon that dies is exit 3") {
    Fixture f;
    MqctlProcess follow(f.mqctl.url(), {"consume", "orders", "--follow"});
    f.publish("a\n");
    REQUIRE(follow.read_line() == "a");
    f.daemon.kill();
    const MqctlEnd end = follow.wait();
    CHECK(end.exit == 3);
    CHECK(mentions(end.err, "orders"));
    f.daemon.restart();
    CHECK(f.ready() + f.leased() <= 1);
}

TEST_CASE("mqctl consume: a queue that does not exist is exit 5") {
    const Fixture f;
    for (const std::string command : {"consume", "peek"}) {
        const MqctlEnd end = f.mqctl.run({command, "ordesr"});
        CHECK(end.exit == 5);
        CHECK(mentions(end.err, "did you mean \"orders\"?"));
    }
}

TEST_CASE("mqctl consume: JSON lines say where a message comes from") {
    const Fixture f;
    f.mqctl.must({"publish", "orders", "-H", "type:invoice", "hello"});
    const std::string line = f.mqctl.must({"consume", "orders", "-o", "json"});
    CHECK(line.starts_with(R"({"id":"orders:1:1","queue":"orders","number":1,"attempt":1,)"
                           R"("published":"2)"));
    CHECK(mentions(line, R"("sender":{"uid":)" + std::to_string(::getuid()) + ','));
    CHECK(line.ends_with(R"("headers":{"type":"invoice"},"body":"hello"})"
                         "\n"));
}

TEST_CASE("mqctl peek: shows messages and takes none") {
    const Fixture f;
    CHECK(f.mqctl.run({"peek", "orders"}).exit == 6);
    f.publish(numbered(1500));
    CHECK(f.mqctl.must({"peek", "orders"}) == "1\n");
    CHECK(f.mqctl.must({"peek", "orders", "-n", "1500"}) == numbered(1500));
    CHECK(f.mqctl.must({"peek", "orders", "-n", "2", "--from", "1499"}) == "1499\n1500\n");
    CHECK(mentions(f.mqctl.must({"peek", "orders", "-o", "json"}), R"("state":"ready")"));
    CHECK(f.ready() == 1500);
}

}  // namespace
}  // namespace mqd::test
