// A queue that is full, as mqctl makes, fills and shows it, against a real daemon.

#include <doctest/doctest.h>

#include "integration/mqctl_run.hpp"

namespace mqd::test {
namespace {

struct Fixture {
    DaemonProcess daemon{MQD_BIN, {}};
    Mqctl mqctl;

    Fixture() : mqctl((daemon.start(), daemon.url())) {}
};

bool mentions(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

TEST_CASE("mqctl queue create --on-full dead-letter: the oldest make room") {
    const Fixture f;
    f.mqctl.must({"-q", "queue", "create", "q", "--max-messages", "1", "--on-full", "dead-letter"});
    CHECK(mentions(f.mqctl.must({"queue", "show", "q"}), "on_full          dead-letter\n"));
    f.mqctl.must({"publish", "q", "old"});
    f.mqctl.must({"publish", "q", "new"});
    CHECK(f.mqctl.must({"consume", "q", "--drain"}) == "new\n");
    // It is visible there once it is on the disk.
    CHECK(eventually([&] {
        const MqctlEnd listed = f.mqctl.run({"dead", "list", "q", "-o", "json"});
        return mentions(listed.out, R"("cause":"overflow")");
    }));
    const auto wrong = f.mqctl.run({"queue", "update", "q", "--max-bytes", "1KiB"});
    CHECK(wrong.exit != 0);
    CHECK(mentions(wrong.err, "on_full dead-letter goes with max_messages"));
}

TEST_CASE("mqctl queue create --on-full wait: publish waits, and says for how long") {
    const Fixture f;
    f.mqctl.must({"-q", "queue", "create", "q", "--max-messages", "1", "--on-full", "wait"});
    f.mqctl.must({"publish", "q", "first"});
    const auto full = f.mqctl.run({"--timeout", "400ms", "publish", "q", "second"});
    CHECK(full.exit == 7);
    CHECK(mentions(full.err, "queue \"q\" is full: max_messages; waited for 300 ms"));
    MqctlProcess patient(f.daemon.url(), {"--timeout", "60s", "publish", "q", "third"});
    CHECK(f.mqctl.must({"consume", "q"}) == "first\n");
    CHECK(patient.wait().exit == 0);
    CHECK(f.mqctl.must({"consume", "q", "--drain"}) == "third\n");
}

TEST_CASE("mqctl queue create --max-messages rendezvous: publish ends when somebody has it") {
    const Fixture f;
    f.mqctl.must({"-q", "queue", "create", "r", "--memory", "--max-messages", "rendezvous",
                  "--on-full", "wait"});
    CHECK(mentions(f.mqctl.must({"queue", "show", "r"}), "max_messages     rendezvous\n"));
    CHECK(f.mqctl.run({"--timeout", "200ms", "publish", "r", "nobody"}).exit == 7);
    MqctlProcess sender(f.daemon.url(), {"--timeout", "60s", "publish", "r", "somebody"});
    CHECK(f.mqctl.must({"consume", "r", "--wait", "60s"}) == "somebody\n");
    CHECK(sender.wait().exit == 0);
    const auto wrong = f.mqctl.run({"queue", "create", "d", "--max-messages", "rendezvous"});
    CHECK(wrong.exit != 0);
    CHECK(mentions(wrong.err, "a rendezvous queue has on_full wait"));
}

}  // namespace
}  // namespace mqd::test
