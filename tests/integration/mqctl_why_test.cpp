// mqctl why, against a real daemon.

#include <doctest/doctest.h>

#include "integration/mqctl_run.hpp"

namespace mqd::test {
namespace {

bool mentions(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

std::string without_newline(std::string text) {
    if (text.ends_with('\n')) {
        text.pop_back();
    }
    return text;
}

TEST_CASE("mqctl why: the life of a message, to its dead letter, and over a restart") {
    DaemonProcess daemon(MQD_BIN, {});
    const Mqctl mqctl(daemon.url());
    daemon.start();
    mqctl.must({"-q", "queue", "create", "a", "--history", "1000", "--history-time", "none"});
    CHECK(mentions(mqctl.must({"queue", "show", "a"}), "history          1000\n"));
    const std::string id = without_newline(mqctl.must({"publish", "a", "hello"}));
    const std::string other = without_newline(mqctl.must({"publish", "a", "there"}));
    CHECK(mentions(mqctl.must({"why", id}), "  published      by uid "));
    CHECK(mqctl.run({"consume", "a", "-n", "1", "--exec", "--", "sh", "-c", "exit 65"}).exit == 1);
    CHECK(eventually([&] { return mentions(mqctl.must({"why", id}), "arrived-dead"); }));
    const std::string life = mqctl.must({"why", id});
    CAPTURE(life);
    CHECK(mentions(life, "  delivered      to uid "));
    CHECK(mentions(life, ", delivery 1\n"));
    CHECK(mentions(life, "  rejected       by uid "));
    CHECK(mentions(life, ": \"exit status 65\"\n"));
    CHECK(mentions(life, "  dead-lettered  to a.dead:"));
    CHECK(mentions(life, "\na.dead:"));
    CHECK(mentions(life, "  arrived-dead   from " + id + '\n'));
    CHECK(mentions(life, "now ready, 0 deliveries"));
    const std::string lines = mqctl.must({"why", id, "-o", "json"});
    CHECK(mentions(lines, R"({"id":")" + id + R"(","event":"published",)"));
    CHECK(mentions(lines, R"("reason":"exit status 65")"));
    CHECK(mentions(lines, R"("complete":true)"));

    const auto later = mqctl.run({"why", id.substr(0, id.rfind(':')) + ":99"});
    CHECK(later.exit == 6);
    CHECK(mentions(later.err, "it was not published yet: the next number is 3"));
    CHECK(mqctl.run({"why", "a:77:1"}).exit == 5);
    CHECK(mqctl.run({"why", "none:1:1"}).exit == 5);
    CHECK(mqctl.run({"why"}).exit == 2);
    CHECK(mqctl.run({"why", "a"}).exit == 2);

    daemon.kill();
    daemon.start();
    const std::string after = mqctl.must({"why", other});
    CAPTURE(after);
    CHECK(mentions(after, "  published      by uid "));
    CHECK(mentions(after, "(what happened before "));
    CHECK(mentions(after, "now ready, "));
    const auto gone = mqctl.run({"why", id});
    CHECK(gone.exit == 6);
    CHECK(mentions(gone.err, "it is not in the queue any more"));
}

TEST_CASE("mqctl why: a queue that keeps nothing says so") {
    DaemonProcess daemon(MQD_BIN, {});
    const Mqctl mqctl(daemon.url());
    daemon.start();
    mqctl.must({"-q", "queue", "create", "a"});
    const std::string id = without_newline(mqctl.must({"publish", "a", "hello"}));
    const std::string there = mqctl.must({"why", id});
    CHECK(mentions(there, "  published      by uid "));
    CHECK(mentions(there, "(the queue keeps no history"));
    CHECK(mqctl.must({"consume", "a", "--drain"}) == "hello\n");
    CHECK(eventually([&] { return mqctl.run({"why", id}).exit == 6; }));
    CHECK(mentions(mqctl.run({"why", id}).err, "which keeps no history"));
}

}  // namespace
}  // namespace mqd::test
