// mqctl queue undo, against a real daemon.

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

TEST_CASE("mqctl queue undo: what was purged and deleted comes back, also after a SIGKILL") {
    Fixture f;
    f.mqctl.must({"-q", "queue", "create", "orders", "--history", "100"});
    f.mqctl.must({"-q", "publish", "orders", "--lines"}, "a\nb\nc\n");
    const MqctlEnd purged = f.mqctl.run({"queue", "purge", "orders", "--yes"});
    CHECK(purged.exit == 0);
    CHECK(mentions(purged.err,
                   "3 messages removed from queue \"orders\"; `mqctl queue undo orders` puts back "
                   "what is kept: 3 messages, for 10m"));
    CHECK(f.mqctl.queue_number("orders", "ready") == 0);
    CHECK(f.mqctl.queue_number("orders", "purged") == 3);
    CHECK(mentions(f.mqctl.must({"peek", "orders", "--state", "purged", "-o", "%s %b\n"}),
                   "purged a\n"));
    f.daemon.kill();
    f.daemon.start();
    const MqctlEnd undone = f.mqctl.run({"queue", "undo", "orders"});
    CHECK(undone.exit == 0);
    CHECK(mentions(undone.err, "3 messages put back into queue \"orders\""));
    CHECK(f.mqctl.must({"delete", "orders:1:2", "-y", "-o", "json"}) ==
          "{\"deleted\":1,\"kept\":0}\n");
    CHECK(f.mqctl.must({"queue", "undo", "orders", "-o", "json"}) ==
          "{\"queue\":\"orders\",\"restored\":1}\n");
    CHECK(mentions(f.mqctl.must({"why", "orders:1:2"}), "restored"));
    CHECK(f.mqctl.must({"consume", "orders", "--drain"}) == "a\nb\nc\n");
    const MqctlEnd nothing = f.mqctl.run({"queue", "undo", "orders"});
    CHECK(nothing.exit == 1);
    CHECK(mentions(nothing.err, "nothing that was removed from queue \"orders\" is kept"));
    CHECK(f.mqctl.run({"queue", "undo", "none"}).exit == 5);
}

TEST_CASE("mqctl queue purge --for-good: there is no way back") {
    const Fixture f;
    f.mqctl.must({"-q", "queue", "create", "q", "--memory", "--undo-time", "1h"});
    CHECK(mentions(f.mqctl.must({"queue", "show", "q"}), "undo_time        1h\n"));
    f.mqctl.must({"-q", "publish", "q", "--lines"}, "a\nb\n");
    const MqctlEnd purged = f.mqctl.run({"queue", "purge", "q", "--for-good", "-y"});
    CHECK(purged.exit == 0);
    CHECK_FALSE(mentions(purged.err, "undo"));
    CHECK(f.mqctl.run({"queue", "undo", "q"}).exit == 1);
    const MqctlEnd wrong = f.mqctl.run({"queue", "update", "q", "--undo-time", "11y"});
    CHECK(wrong.exit == 2);
    CHECK(mentions(wrong.err, "--undo-time"));
}

}  // namespace
}  // namespace mqd::test
