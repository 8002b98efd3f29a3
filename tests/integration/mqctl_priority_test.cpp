// Messages with priorities, as mqctl publishes, shows, cancels and copies them, against a real
// daemon.

#include <doctest/doctest.h>

#include "integration/mqctl_run.hpp"

namespace mqd::test {
namespace {

struct Fixture {
    DaemonProcess daemon;
    Mqctl mqctl;

    explicit Fixture(const std::string& config = {})
        : daemon(MQD_BIN, {.config = config}), mqctl(daemon.url()) {
        daemon.start();
        mqctl.must({"-q", "queue", "create", "jobs", "--priorities"});
    }
    [[nodiscard]] std::string publish(const std::string& body, const std::string& priority) const {
        return mqctl.must({"publish", "jobs", body, "--priority", priority});
    }
};

bool mentions(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

TEST_CASE("mqctl publish --priority: the highest is consumed first, also after a kill") {
    Fixture f;
    CHECK(mentions(f.publish("low", "0"), ":0.1\n"));
    CHECK(mentions(f.publish("high", "9"), ":9.1\n"));
    CHECK(mentions(f.mqctl.must({"publish", "jobs", "none"}), ":0.2\n"));
    CHECK(mentions(f.publish("middle", "5"), ":5.1\n"));
    CHECK(mentions(f.mqctl.must({"queue", "show", "jobs"}), "priorities       yes\n"));
    CHECK(f.mqctl.must({"peek", "jobs", "-n", "9", "-o", "%n %p %b\\n"}) ==
          "9.1 9 high\n5.1 5 middle\n0.1 0 low\n0.2  none\n");
    CHECK(f.mqctl.must({"peek", "jobs", "--from", "5.1"}) == "middle\n");
    (void)f.daemon.kill();
    f.daemon.start();
    CHECK(f.mqctl.must({"consume", "jobs", "-n", "4"}) == "high\nmiddle\nlow\nnone\n");
    CHECK(mentions(f.publish("next", "9"), ":9.2\n"));
}

TEST_CASE("mqctl: where there are none, a priority is refused, and they cannot be had later") {
    const Fixture f;
    f.mqctl.must({"-q", "queue", "create", "plain"});
    const MqctlEnd refused = f.mqctl.run({"publish", "plain", "x", "--priority", "1"});
    CHECK(refused.exit != 0);
    CHECK(mentions(refused.err, "queue \"plain\" does not declare priorities"));
    CHECK(f.mqctl.queue_number("plain", "ready") == 0);
}

TEST_CASE("mqctl: a message with a priority is deleted, exported and imported") {
    const Fixture f;
    std::string id = f.publish("gone", "7");
    id.pop_back();
    (void)f.publish("kept", "3");
    f.mqctl.must({"delete", "-y", id});
    const std::string exported = f.mqctl.must({"export", "jobs"});
    CHECK(mentions(exported, R"("priority":3,)"));
    CHECK_FALSE(mentions(exported, "gone"));
    f.mqctl.must({"-q", "queue", "create", "copy", "--priorities"});
    f.mqctl.must({"-q", "import", "copy"}, exported);
    CHECK(f.mqctl.must({"peek", "copy", "-o", "%n %p %b\\n"}) == "3.1 3 kept\n");
}

TEST_CASE("mqctl dead retry: what failed keeps its priority") {
    const Fixture f;
    (void)f.publish("b", "4");
    CHECK(f.mqctl.run({"consume", "jobs", "--exec", "--", "sh", "-c", "exit 65"}).exit != 0);
    // The move is a commit of its own, which nobody waits for.
    CHECK(eventually([&] { return mentions(f.mqctl.must({"dead", "list", "jobs"}), ":4.1"); }));
    f.mqctl.must({"-q", "dead", "retry", "jobs"});
    CHECK(f.mqctl.must({"peek", "jobs", "-o", "%n %p\\n"}) == "4.2 4\n");
}

}  // namespace
}  // namespace mqd::test
