// Queues with a rate for each group, as mqctl makes, shows and changes them, against a real daemon.

#include <doctest/doctest.h>

#include <chrono>

#include "integration/mqctl_run.hpp"

namespace mqd::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

struct Fixture {
    DaemonProcess daemon{MQD_BIN, {}};
    Mqctl mqctl;

    Fixture() : mqctl((daemon.start(), daemon.url())) {}
    void publish(const std::string& group, const std::string& body) const {
        mqctl.must({"publish", "calls", "--group", group, body});
    }
};

bool mentions(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

TEST_CASE("mqctl queue create --group-rate: messages of a group keep their distance") {
    const Fixture f;
    f.mqctl.must({"-q", "queue", "create", "calls", "--group-rate", "20/s"});
    const auto before = steady_clock::now();
    for (const char* const body : {"a1", "a2", "a3", "a4"}) {
        f.publish("a", body);
    }
    f.publish("b", "b1");
    const std::string bodies = f.mqctl.must({"consume", "calls", "-n", "5", "--wait", "1m"});
    CHECK(steady_clock::now() - before >= 3 * milliseconds(50));
    CHECK(bodies.find("a1") < bodies.find("a2"));
    CHECK(bodies.find("a2") < bodies.find("a3"));
    CHECK(bodies.find("a3") < bodies.find("a4"));
    CHECK(mentions(bodies, "b1"));
    CHECK(f.mqctl.queue_number("calls", "held") == 0);
}

// So slow that nothing but the change lets the second one go.
TEST_CASE("mqctl queue update --group-rate none: what waited for it goes on") {
    const Fixture f;
    f.mqctl.must({"-q", "queue", "create", "calls", "--group-rate", "1/d"});
    CHECK(mentions(f.mqctl.must({"queue", "show", "calls"}), "group_rate       1/d\n"));
    CHECK(mentions(f.mqctl.must({"queue", "show", "calls", "-o", "json"}),
                   R"("group_in_flight":1,"group_rate":"1/d",)"));
    f.publish("a", "first");
    CHECK(f.mqctl.must({"consume", "calls"}) == "first\n");
    f.publish("a", "second");
    CHECK(f.mqctl.queue_number("calls", "held") == 1);
    f.mqctl.must({"queue", "update", "calls", "--group-rate", "none"});
    CHECK(f.mqctl.must({"consume", "calls", "--wait", "1m"}) == "second\n");
    CHECK(mentions(f.mqctl.must({"queue", "show", "calls"}), "group_rate       none\n"));
    CHECK(mentions(f.mqctl.must({"queue", "list", "-o", "json"}), R"("group_rate":null,)"));
}

TEST_CASE("mqctl queue apply: a rate of groups is compared and changed") {
    const Fixture f;
    f.mqctl.must({"-q", "queue", "create", "calls", "--group-rate", "20/s"});
    const std::string file = "[queue.calls]\ngroup_rate = \"100/h\"\n";
    CHECK(mentions(f.mqctl.must({"queue", "apply", "-", "--dry-run"}, file),
                   "group_rate 20/s -> 100/h"));
    f.mqctl.must({"-q", "queue", "apply", "-"}, file);
    CHECK(mentions(f.mqctl.must({"queue", "show", "calls"}), "group_rate       100/h\n"));
    const MqctlEnd refused = f.mqctl.run({"queue", "update", "calls", "--group-rate", "0/s"});
    CHECK(refused.exit == 2);
    CHECK(mentions(refused.err, "mqctl: --group-rate: \"0/s\" is not a rate"));
}

}  // namespace
}  // namespace mqd::test
