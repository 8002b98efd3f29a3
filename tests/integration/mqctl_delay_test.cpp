// Messages that wait for their time, as mqctl publishes, shows, cancels and copies them, against a
// real daemon.

#include <doctest/doctest.h>

#include <chrono>
#include <csignal>

#include "integration/orders_queue.hpp"

namespace mqd::test {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

struct Fixture : OrdersQueue {
    using OrdersQueue::OrdersQueue;

    // What publishing prints: the id.
    [[nodiscard]] std::string publish(const std::vector<std::string>& options,
                                      const std::string& body) const {
        std::vector<std::string> arguments{"publish", "orders", body};
        arguments.insert(arguments.end(), options.begin(), options.end());
        std::string id = mqctl.must(arguments);
        id.pop_back();
        return id;
    }
};

bool mentions(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

constexpr auto far_future = "2034-12-24T08:00:00.000123Z";

TEST_CASE("mqctl publish --delay: it is delivered after that time, and not before") {
    const Fixture f;
    (void)f.publish({"--delay", "1h"}, "much later");
    const auto published = Clock::now();
    (void)f.publish({"--delay", "700ms"}, "later");
    (void)f.publish({}, "now");
    CHECK(f.mqctl.must({"consume", "orders"}) == "now\n");
    CHECK(f.mqctl.must({"consume", "orders", "--wait", "30s"}) == "later\n");
    CHECK(Clock::now() - published >= 700ms);
    CHECK(f.mqctl.run({"consume", "orders"}).exit == 6);
    CHECK(f.number("delayed") == 1);
    CHECK(f.number("ready") == 0);
    CHECK(mentions(f.mqctl.must({"queue", "show", "orders"}), "delayed          1\n"));
    CHECK(mentions(f.mqctl.must({"status"}), "messages_delayed"));
}

TEST_CASE("mqctl publish --due: what is due is ready at once, the rest waits through a restart") {
    Fixture f;
    (void)f.publish({"--due", far_future}, "then");
    (void)f.publish({"--due", "2020-01-01T00:00:00Z"}, "past");
    CHECK(f.mqctl.must({"consume", "orders", "--drain"}) == "past\n");
    REQUIRE(eventually([&] { return f.number("leased") == 0; }));  // the ack is on the disk
    f.daemon.kill();
    f.daemon.restart();
    CHECK(f.number("delayed") == 1);
    CHECK(f.mqctl.run({"consume", "orders"}).exit == 6);
    CHECK(f.mqctl.must({"peek", "orders", "-o", "%b %s %u"}) ==
          "then delayed " + std::string(far_future));
    const MqctlEnd late = f.mqctl.run({"publish", "orders", "x", "--due", "2099-01-01T00:00:00Z"});
    CHECK(late.exit == 2);
    CHECK(mentions(late.err, "ten years"));
}

TEST_CASE("mqctl peek: a delayed message is shown with the time that it waits for") {
    const Fixture f;
    (void)f.publish({"--due", far_future}, "a");
    const MqctlEnd one = f.mqctl.run({"peek", "orders"});
    CHECK(one.out == "a\n");
    CHECK(one.err == "mqctl: orders:1:1 is delayed until " + std::string(far_future) + '\n');
    CHECK(mentions(f.mqctl.must({"peek", "orders", "-o", "json"}),
                   R"("state":"delayed","due":")" + std::string(far_future) + '"'));

    (void)f.publish({"--due", "2033-01-01T00:00:00Z"}, "b");
    (void)f.publish({}, "c");
    const MqctlEnd all = f.mqctl.run({"peek", "orders", "-n", "10"});
    CHECK(all.out == "a\nb\nc\n");
    CHECK(mentions(all.err, "2 messages are delayed, the next of them, orders:1:2, until 2033-"));
    CHECK(f.mqctl.must({"peek", "orders", "-n", "10", "-o", "%s "}) == "delayed delayed ready ");
    CHECK(f.mqctl.run({"-q", "peek", "orders"}).err.empty());
}

TEST_CASE("mqctl publish --jsonl: a line says its own time, or has that of the command line") {
    const Fixture f;
    f.mqctl.must({"-q", "publish", "orders", "--jsonl", "--due", far_future},
                 "{\"body\":\"a\"}\n{\"body\":\"b\",\"due\":\"2033-01-01T00:00:00Z\"}\n"
                 "{\"body\":\"c\",\"delay_ms\":3600000}\n{\"body\":\"d\"}\n");
    CHECK(f.mqctl.must({"peek", "orders", "-n", "10", "-o", "%b%s%u\\n"})
              .starts_with("adelayed2034-12-24T08:00:00.000123Z\n"
                           "bdelayed2033-01-01T00:00:00.000000Z\ncdelayed20"));
    CHECK(f.number("delayed") == 4);
    const MqctlEnd bad =
        f.mqctl.run({"publish", "orders", "--jsonl"},
                    "{\"body\":\"a\",\"delay_ms\":1,\"due\":\"2033-01-01T00:00Z\"}\n");
    CHECK(bad.exit == 2);
    CHECK(mentions(bad.err, "line 1: a message has one delay or one due time"));
}

TEST_CASE("mqctl export: what is delayed keeps its time when it is imported") {
    const Fixture f;
    (void)f.publish({"--due", far_future}, "a");
    (void)f.publish({"--delay", "1h"}, "b");
    (void)f.publish({}, "c");
    const std::string lines = f.mqctl.must({"export", "orders"});
    CHECK(mentions(lines, R"("due":")" + std::string(far_future) + '"'));
    f.mqctl.must({"-q", "queue", "create", "copy", "--memory"});
    f.mqctl.must({"-q", "import", "copy"}, lines);
    const std::string format = "%b%s%u\n";
    const std::string copy = f.mqctl.must({"peek", "copy", "-n", "10", "-o", format});
    CHECK(copy.starts_with("adelayed" + std::string(far_future) + "\nbdelayed"));
    CHECK(copy.ends_with("\ncready\n"));
    CHECK(f.mqctl.queue_number("copy", "delayed") == 2);
}

TEST_CASE("mqctl delete: ends what waits, and names what it cannot end") {
    const Fixture f;
    const std::string late = f.publish({"--delay", "1h"}, "late");
    const std::string ready = f.publish({}, "ready");
    const std::string leased = f.publish({}, "leased");
    CHECK(f.mqctl.run({"delete", late}).exit == 2);
    CHECK(f.number("delayed") == 1);
    const MqctlEnd two = f.mqctl.run({"delete", "--yes", late, ready});
    CHECK(two.exit == 0);
    CHECK(two.err == "mqctl: 2 messages deleted\n");
    CHECK(f.number("delayed") + f.number("ready") == 1);

    MqctlProcess worker(f.mqctl.url(), {"consume", "orders", "--exec", "--", "sh", "-c",
                                        "echo begun; until [ -e " + f.daemon.folder() +
                                            "/go ]; do sleep 0.01; done"});
    REQUIRE(worker.read_line() == "begun");
    const std::string other = f.publish({}, "other");
    const MqctlEnd some = f.mqctl.run({"delete", "-y", leased, late, "orders:2:1", other});
    CHECK(some.exit == 1);
    CHECK(mentions(some.err, leased + " was not deleted: it is leased\n"));
    CHECK(mentions(some.err, late + " was not deleted: there is no such message"));
    CHECK(mentions(some.err, "orders:2:1 was not deleted: queue \"orders\" is incarnation 1 now"));
    CHECK(mentions(some.err, "1 message deleted\n"));
    write_file(f.daemon.folder() + "/go", "");
    CHECK(worker.wait_for_end().exit == 0);

    const std::string kept = f.publish({}, "kept");
    CHECK(f.mqctl.run({"delete", "-y", kept, "ordesr:1:1"}).exit == 5);
    CHECK(f.mqctl.must({"consume", "orders", "--drain"}) == "kept\n");
}

TEST_CASE("mqctl consume --exec: exit 75 delays the message by --retry-delay") {
    const Fixture f;
    (void)f.publish({}, "x");
    const auto run = [&](const std::string& delay, const std::string& script) {
        return f.mqctl.run(
            {"consume", "orders", "--retry-delay", delay, "--exec", "--", "sh", "-c", script});
    };
    MqctlEnd end = run("1h", "exit 75");
    CHECK(end.exit == 1);
    CHECK(mentions(end.err, "at the end, to be tried again in 1h"));
    CHECK(f.number("delayed") == 1);
    CHECK(f.number("ready") == 0);

    (void)f.publish({}, "y");
    end = run("1h", "exit 1");
    CHECK_FALSE(mentions(end.err, "1h"));
    CHECK(f.number("ready") == 1);
    end = run("0", "exit 75");
    CHECK(end.exit == 1);
    CHECK(mentions(end.err, "to be tried again at once"));
    CHECK(f.number("ready") == 1);
    CHECK(run("0", "[ $MQD_ATTEMPT = 3 ]").exit == 0);
}

TEST_CASE("mqctl consume --exec --follow: a message that was delayed is tried again in its time") {
    const Fixture f;
    (void)f.publish({}, "x");
    MqctlProcess worker(f.mqctl.url(),
                        {"consume", "orders", "--follow", "--retry-delay", "600ms", "--exec", "--",
                         "sh", "-c", "echo $MQD_ATTEMPT; [ $MQD_ATTEMPT = 3 ] || exit 75"});
    REQUIRE(worker.read_line() == "1");
    const auto first = Clock::now();
    REQUIRE(worker.read_line() == "2");
    REQUIRE(worker.read_line() == "3");
    CHECK(Clock::now() - first >= 600ms);
    worker.send_signal(SIGTERM);
    CHECK(worker.wait_for_end().exit == 143);
    CHECK(eventually([&] { return f.number("ready") + f.number("leased") == 0; }));
    CHECK(f.number("delayed") == 0);
}

TEST_CASE(
    "mqctl publish: limits.delayed_messages refuses what is delayed beyond it, and no other") {
    const Fixture f("[limits]\ndelayed_messages = 1\n");
    (void)f.publish({"--delay", "1h"}, "a");
    const MqctlEnd refused = f.mqctl.run({"publish", "orders", "b", "--delay", "2h"});
    CHECK(refused.exit == 7);
    CHECK(mentions(refused.err, "limits.delayed_messages"));
    CHECK(f.publish({}, "c") == "orders:1:2");
}

}  // namespace
}  // namespace mqd::test
