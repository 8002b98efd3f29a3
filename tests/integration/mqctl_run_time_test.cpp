// mqctl consume --exec against a real daemon: commands that run for too long, and leases that run
// out all the same.

#include <doctest/doctest.h>

#include <csignal>

#include "integration/mqctl_run.hpp"

namespace mqd::test {
namespace {

struct Fixture {
    DaemonProcess daemon{MQD_BIN, {}};
    Mqctl mqctl{daemon.url()};

    Fixture() {
        daemon.start();
        mqctl.must({"-q", "queue", "create", "orders", "--max-attempts", "1"});
        mqctl.must({"-q", "queue", "create", "orders.dead"});
        mqctl.must({"-q", "publish", "orders", "body"});
    }
    [[nodiscard]] MqctlEnd execute(const std::vector<std::string>& options,
                                   const std::string& script) const {
        std::vector<std::string> arguments{"consume", "orders"};
        arguments.insert(arguments.end(), options.begin(), options.end());
        arguments.insert(arguments.end(), {"--exec", "--", "sh", "-c", script});
        return mqctl.run(arguments);
    }
    [[nodiscard]] std::string reason() const {
        return mqctl.must({"consume", "orders.dead", "--wait", "10s", "-o", "json"});
    }
};

bool mentions(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

// Whether the process of that number is there, and no zombie.
bool runs(const std::string& pid) {
    const std::string state = "/proc/" + pid + "/stat";
    return ::system(("grep -qv ' Z ' " + state + " 2>/dev/null").c_str()) == 0;
}

TEST_CASE("mqctl consume --max-run-time: a command that runs too long is ended with its group") {
    const Fixture f;
    const MqctlEnd end =
        f.execute({"--max-run-time", "300ms"}, "sleep 1000 & echo $!; trap 'exit 0' TERM; wait");
    CHECK(end.exit == 1);
    CHECK(
        end.err ==
        "mqctl: orders:1:1: the command ran longer than 300ms and was ended; the message is given "
        "back at the end\n");
    REQUIRE(end.out.size() > 1);
    const std::string sleeper = end.out.substr(0, end.out.size() - 1);
    CHECK(eventually([&] { return !runs(sleeper); }));
    CHECK(mentions(f.reason(), R"("reason":"ran longer than 300ms")"));
}

// It takes the five seconds that a command has to end.
TEST_CASE("mqctl consume --max-run-time: a command that does not end is killed") {
    const Fixture f;
    const MqctlEnd end = f.execute({"--max-run-time", "50ms", "--lease", "100ms"},
                                   "trap '' TERM; while :; do sleep 0.05; done");
    CHECK(end.exit == 1);
    CHECK(mentions(end.err, "ran longer than 50ms"));
    CHECK_FALSE(mentions(end.err, "the lease ran out"));
    CHECK(mentions(f.reason(), R"("reason":"ran longer than 50ms")"));
}

TEST_CASE("mqctl consume --max-run-time: what ends in time is judged by its end") {
    const Fixture f;
    CHECK(f.execute({"--max-run-time", "1h"}, "cat").out == "body");
    CHECK(eventually([&] { return f.mqctl.queue_number("orders", "leased") == 0; }));
    const MqctlEnd without = f.mqctl.run({"consume", "orders", "--max-run-time", "1h"});
    CHECK(without.exit == 2);
    CHECK(mentions(without.err, "belong to --exec"));
}

TEST_CASE("mqctl consume --exec: the message whose lease ran out is named") {
    const Fixture f;
    f.mqctl.must({"-q", "publish", "orders", "second"});
    const std::string go = f.daemon.folder() + "/go";
    MqctlProcess worker(f.mqctl.url(),
                        {"consume", "orders", "-n", "2", "--lease", "300ms", "--exec", "--", "sh",
                         "-c", "echo begun; until [ -e " + go + " ]; do sleep 0.01; done"});
    REQUIRE(worker.read_line() == "begun");
    worker.stop();
    REQUIRE(eventually([&] { return f.mqctl.queue_number("orders", "leased") == 0; }));
    worker.send_signal(SIGCONT);
    REQUIRE(eventually([&] { return mentions(worker.complaints(), "the lease ran out"); }));
    CHECK(mentions(worker.complaints(),
                   "the lease ran out for 1 message from orders:1:1 on: done twice, perhaps"));
    CHECK_FALSE(mentions(worker.complaints(), "orders:1:2"));
    write_file(go, "");
    (void)worker.wait_for_end();
}

}  // namespace
}  // namespace mqd::test
