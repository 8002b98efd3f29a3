// mqctl consume --exec against a real daemon: commands, what their end means, and how they are
// ended.

#include <doctest/doctest.h>

#include <csignal>

#include "integration/orders_queue.hpp"

namespace mqd::test {
namespace {

struct Fixture : OrdersQueue {
    using OrdersQueue::OrdersQueue;

    [[nodiscard]] std::uint64_t ready() const { return number("ready"); }
    // Acks that nobody waits for are written with the next group; until then they count as leased.
    [[nodiscard]] bool all_gone() const {
        return eventually([this] { return ready() + number("leased") == 0; });
    }
};

bool mentions(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

std::string numbered(int first, int last) {
    std::string text;
    for (int i = first; i <= last; ++i) {
        text += std::to_string(i) + '\n';
    }
    return text;
}

TEST_CASE("mqctl consume --exec: a command for each message, acked when it ends with 0") {
    const Fixture f;
    f.mqctl.must({"publish", "orders", "-H", "Content-Type:text", "body"});
    f.publish_lines("second\n");
    CHECK(f.mqctl.must(
              {"consume", "orders", "--drain", "--exec", "--", "sh", "-c",
               "echo \"$(cat) $MQD_ID $MQD_QUEUE $MQD_ATTEMPT $MQD_HEADER_CONTENT_TYPE\""}) ==
          "body orders:1:1 orders 1 text\nsecond orders:1:2 orders 1 \n");
    CHECK(f.all_gone());
    CHECK(f.mqctl.run({"consume", "orders", "--exec", "--", "true"}).exit == 6);
}

TEST_CASE("mqctl consume --exec: a command that fails gives its message back") {
    const Fixture f;
    f.publish_lines("a\n");
    int attempt = 1;
    for (const std::string script : {"exit 1", "exit 75", "kill -9 $$"}) {
        const MqctlEnd end = f.mqctl.run(
            {"consume", "orders", "--exec", "--", "sh", "-c", "echo $MQD_ATTEMPT; " + script});
        CHECK(end.exit == 1);
        CHECK(end.out == std::to_string(attempt++) + '\n');
        CHECK(mentions(end.err, "orders:1:1"));
        CHECK(f.ready() == 1);
    }
    const MqctlEnd missing = f.mqctl.run({"consume", "orders", "--exec", "--", "/no/such/program"});
    CHECK(missing.exit == 1);
    CHECK(mentions(missing.err, "/no/such/program"));
    CHECK(f.ready() == 1);
}

TEST_CASE("mqctl consume --exec: some done and some not is exit 9") {
    const Fixture f;
    f.publish_lines("good\nbad\n");
    const MqctlEnd end =
        f.mqctl.run({"consume", "orders", "-n", "2", "--exec", "--", "grep", "-q", "good"});
    CHECK(end.exit == 9);
    CHECK(f.mqctl.must({"consume", "orders"}) == "bad\n");
}

TEST_CASE("mqctl consume --exec -j: so many at once") {
    const Fixture f;
    f.publish_lines(numbered(1, 3));
    // Each waits until all three have begun.
    const std::string script =
        ": >$MQD_ID; until [ $(ls orders:* | wc -l) = 3 ]; do sleep 0.01; done; cat";
    const std::string folder = f.daemon.folder();
    const std::string out = f.mqctl.must({"consume", "orders", "-n", "3", "-j", "3", "--exec", "--",
                                          "sh", "-c", "cd " + folder + " && " + script});
    CHECK(out.size() == 3);
    CHECK(f.all_gone());
}

TEST_CASE("mqctl consume --exec: the lease is extended while the command runs") {
    const Fixture f;
    f.publish_lines("a\n");
    CHECK(f.mqctl.must({"consume", "orders", "--lease", "300ms", "--exec", "--", "sh", "-c",
                        "sleep 1; echo $MQD_ATTEMPT"}) == "1\n");
    CHECK(f.all_gone());
}

TEST_CASE("mqctl consume --exec: a signal lets commands end, for the time of --grace") {
    const Fixture f;
    f.publish_lines("a\nb\n");
    const std::string go = f.daemon.folder() + "/go";
    const std::string script = "echo begun; until [ -e " + go + " ]; do sleep 0.01; done";

    MqctlProcess killing(f.mqctl.url(), {"consume", "orders", "--follow", "--grace", "50ms",
                                         "--exec", "--", "sh", "-c", script});
    REQUIRE(killing.read_line() == "begun");
    killing.send_signal(SIGTERM);
    CHECK(killing.wait_for_end().exit == 143);
    CHECK(f.ready() == 2);

    MqctlProcess waiting(f.mqctl.url(), {"consume", "orders", "--follow", "--grace", "1h", "--exec",
                                         "--", "sh", "-c", script});
    REQUIRE(waiting.read_line() == "begun");
    waiting.send_signal(SIGINT);
    REQUIRE(eventually([&] { return mentions(waiting.complaints(), "waiting"); }));
    write_file(go, "");
    const MqctlEnd end = waiting.wait_for_end();
    CHECK(end.exit == 130);
    CHECK(end.out.empty());  // the second was not begun
    CHECK(f.mqctl.must({"consume", "orders", "--drain"}) == "b\n");
}

// --- each once
// -----------------------------------------------------------------------------------

TEST_CASE("mqctl consume --exec: --drain tries each message once, whatever fails") {
    const Fixture f;
    for (const std::string jobs : {"1", "3"}) {
        f.publish_lines("good\nbad\nbad\ngood\nbad\ngood\n");
        const MqctlEnd end = f.mqctl.run({"consume", "orders", "--drain", "-j", jobs, "--exec",
                                          "--", "sh", "-c", "echo $MQD_ATTEMPT; grep -q good"});
        CHECK(end.exit == 9);
        CHECK(end.out == "1\n1\n1\n1\n1\n1\n");
        CHECK(f.ready() == 3);
        CHECK(f.mqctl.must({"consume", "orders", "--drain", "-o", "%b %a "}) ==
              "bad 2 bad 2 bad 2 ");
        CHECK(f.all_gone());
    }
    f.publish_lines(numbered(1, 100));
    for (const std::string jobs : {"1", "7"}) {
        const MqctlEnd end = f.mqctl.run({"consume", "orders", "--drain", "-q", "-j", jobs,
                                          "--exec", "--", "sh", "-c", "echo; false"});
        CHECK(end.exit == 1);
        CHECK(end.out == std::string(100, '\n'));
        CHECK(f.ready() == 100);
    }
}

TEST_CASE("mqctl consume --exec: -n tries so many messages, each once, and takes no more") {
    const Fixture f;
    f.publish_lines(numbered(1, 6));
    for (const std::string jobs : {"1", "2", "9"}) {
        const MqctlEnd end = f.mqctl.run({"consume", "orders", "-n", "4", "-j", jobs, "--exec",
                                          "--", "sh", "-c", "echo; exit 1"});
        CHECK(end.exit == 1);
        CHECK(end.out == std::string(4, '\n'));
        CHECK(f.ready() == 6);
    }
    const MqctlEnd some = f.mqctl.run(
        {"consume", "orders", "-n", "4", "--follow", "--exec", "--", "grep", "-q", "[13]"});
    CHECK(some.exit == 9);
    CHECK(f.mqctl.must({"consume", "orders", "-n", "4", "-o", "%b:%a "}) == "2:5 4:5 5:1 6:1 ");
}

// --- ends from outside
// ---------------------------------------------------------------------------

TEST_CASE("mqctl consume --exec: when the connection breaks, commands are asked to end") {
    Fixture f;
    f.publish_lines("a\n");
    const std::string wait = "echo begun; while :; do sleep 0.01; done";
    MqctlProcess asked(f.mqctl.url(), {"consume", "orders", "--follow", "--grace", "1h", "--exec",
                                       "--", "sh", "-c", "trap 'echo asked; exit' TERM; " + wait});
    REQUIRE(asked.read_line() == "begun");
    f.daemon.kill();
    MqctlEnd end = asked.wait_for_end();
    CHECK(end.exit == 3);
    CHECK(end.out == "asked\n");
    CHECK(mentions(end.err, "ending 1 command"));

    f.daemon.restart();
    MqctlProcess killed(f.mqctl.url(), {"consume", "orders", "--follow", "--grace", "50ms",
                                        "--exec", "--", "sh", "-c", "trap '' TERM; " + wait});
    REQUIRE(killed.read_line() == "begun");
    f.daemon.kill();
    end = killed.wait_for_end();
    CHECK(end.exit == 3);
    CHECK(mentions(end.err, "killing 1 command that"));
    f.daemon.restart();
    CHECK(f.ready() == 1);
}

// What is waited for here is the client: the daemon would give it ten minutes.
const std::string patient = "[server]\nshutdown_timeout = \"10m\"\n";

TEST_CASE("mqctl consume --exec: when the daemon stops, commands that run are finished and acked") {
    Fixture f(patient);
    f.publish_lines("a\nb\n");
    const std::string go = f.daemon.folder() + "/go";
    MqctlProcess worker(f.mqctl.url(),
                        {"consume", "orders", "--follow", "--exec", "--", "sh", "-c",
                         "echo begun; until [ -e " + go + " ]; do sleep 0.01; done"});
    REQUIRE(worker.read_line() == "begun");
    f.daemon.send_signal(SIGTERM);
    REQUIRE(eventually([&] { return mentions(worker.complaints(), "the daemon is stopping"); }));
    write_file(go, "");
    const MqctlEnd end = worker.wait_for_end();
    CHECK(end.exit == 3);
    CHECK(end.out.empty());  // the second was not begun
    CHECK(f.daemon.wait() == ProcessEnd{0, 0});
    f.daemon.restart();
    CHECK(f.mqctl.must({"consume", "orders", "--drain", "-o", "%b %a"}) == "b 1");
}

TEST_CASE("mqctl: a daemon that stops does not wait for those who wait for it") {
    Fixture f(patient);
    f.publish_lines("a\n");
    MqctlProcess follow(f.mqctl.url(), {"consume", "orders", "--follow"});
    REQUIRE(follow.read_line() == "a");
    MqctlProcess worker(f.mqctl.url(), {"consume", "orders", "--follow", "--exec", "--", "cat"});
    MqctlProcess waiting(f.mqctl.url(), {"consume", "orders", "-n", "5", "--wait", "1h"});
    MqctlProcess publish(f.mqctl.url(), {"publish", "orders", "--lines"});
    publish.write("b\nbegun");
    REQUIRE(publish.read_line());
    MqctlProcess idle(f.mqctl.url(), {"publish", "orders"});
    REQUIRE(eventually([&] { return f.number("producers") == 2 && f.number("consumers") == 3; }));
    f.daemon.send_signal(SIGTERM);
    CHECK(f.daemon.wait() == ProcessEnd{0, 0});
    for (MqctlProcess* const process : {&follow, &worker, &waiting, &publish, &idle}) {
        const MqctlEnd end = process->wait_for_end();
        CHECK(end.exit == 3);
        CHECK(mentions(end.err, "\"orders\": the daemon is stopping"));
    }
    f.daemon.restart();
    CHECK(f.ready() + f.number("leased") == 0);
}

}  // namespace
}  // namespace mqd::test
