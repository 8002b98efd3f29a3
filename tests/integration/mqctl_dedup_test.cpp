// Messages with ids of their own, as mqctl publishes, shows and copies them, against a real daemon.

#include <doctest/doctest.h>

#include "integration/mqctl_run.hpp"

namespace mqd::test {
namespace {

bool mentions(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

TEST_CASE("mqctl publish --id: it is taken once, also across a kill") {
    DaemonProcess daemon(MQD_BIN, {});
    daemon.start();
    const Mqctl mqctl(daemon.url());
    mqctl.must({"-q", "queue", "create", "orders", "--dedup-window", "10m", "--dedup-count", "5"});
    CHECK(mentions(mqctl.must({"queue", "show", "orders"}), "dedup_window     10m\n"));
    const std::string first = mqctl.must({"publish", "orders", "--id", "a", "one"});
    CHECK(mqctl.must({"publish", "orders", "--id", "a", "other"}) == first);
    daemon.kill();
    daemon.start();
    CHECK(mqctl.must({"publish", "orders", "--id", "a", "other"}) == first);
    CHECK(mqctl.queue_number("orders", "duplicates") == 1);
    CHECK(mentions(mqctl.must({"status"}), "messages_duplicate"));
    const std::string lines = mqctl.must({"export", "orders"});
    CHECK(mentions(lines, R"("dedup_id":"a")"));
    mqctl.must({"-q", "queue", "create", "copy", "--dedup-window", "1m"});
    mqctl.must({"-q", "import", "copy"}, lines + lines);
    CHECK(mqctl.must({"consume", "copy", "--drain"}) == "one\n");
    CHECK(mqctl.must({"consume", "orders", "--drain"}) == "one\n");
    CHECK(mqctl.must({"publish", "orders", "--id", "a", "other"}) == first);
    CHECK(mqctl.queue_number("orders", "ready") == 0);
}

}  // namespace
}  // namespace mqd::test
