// mqctl peek, move and purge with a choice of messages, and queues that end by themselves, against
// a real daemon.

#include <doctest/doctest.h>

#include <csignal>

#include "integration/mqctl_run.hpp"
#include "mqd/client.hpp"

namespace mqd::test {
namespace {

struct Fixture {
    DaemonProcess daemon;
    Mqctl mqctl;

    Fixture() : daemon(MQD_BIN, {}), mqctl(daemon.url()) {
        daemon.start();
        mqctl.must({"-q", "queue", "create", "a"});
        mqctl.must({"-q", "queue", "create", "b"});
    }
    void publish(const std::string& kind, const std::string& body) const {
        mqctl.must({"-q", "publish", "a", "-H", "kind:" + kind, body});
    }
};

bool mentions(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

TEST_CASE("mqctl move: what a filter lets through, in order, and it survives a kill") {
    Fixture f;
    for (const char* const body : {"1", "2", "3", "4"}) {
        f.publish(body[0] % 2 == 0 ? "even" : "odd", body);
    }
    CHECK(f.mqctl.must({"peek", "a", "-n", "9", "--filter", "kind=even", "-o", "%b %s\\n"}) ==
          "2 ready\n4 ready\n");
    CHECK(f.mqctl.run({"peek", "a", "--state", "delayed"}).exit == 6);
    CHECK(f.mqctl.run({"peek", "a", "--older", "1h"}).exit == 6);
    CHECK(mentions(f.mqctl.run({"move", "a", "b", "--dry-run", "--filter", "kind=even"}).err,
                   "2 messages would be moved"));
    CHECK(mentions(f.mqctl.run({"move", "a", "b", "--filter", "kind=even"}).err,
                   "2 messages moved from \"a\" to \"b\""));
    CHECK(mentions(f.mqctl.run({"move", "a", "b", "-n", "1", "--rate", "1000/s"}).err,
                   "1 message moved"));
    f.daemon.kill();
    f.daemon.start();
    CHECK(f.mqctl.must({"consume", "b", "--drain", "-o", "%b\\n"}) == "2\n4\n1\n");
    CHECK(f.mqctl.must({"consume", "a", "--drain"}) == "3\n");
    const auto nowhere = f.mqctl.run({"move", "a", "nowhere"});
    CHECK(nowhere.exit == 5);
    CHECK(mentions(nowhere.err, "\"nowhere\" does not exist"));
    CHECK(f.mqctl.run({"peek", "a", "--from", "a:77:1"}).exit == 5);
}

TEST_CASE("mqctl move: what is held behind others of its group goes with them") {
    const Fixture f;
    f.mqctl.must({"-q", "publish", "a", "--group", "g", "--lines"}, "1\n2\n3\n4\n5\n");
    CHECK(f.mqctl.queue_number("a", "held") == 4);
    CHECK(mentions(f.mqctl.run({"queue", "purge", "a", "--dry-run"}).err, "5 messages would be"));
    CHECK(mentions(f.mqctl.run({"move", "a", "b"}).err, "5 messages moved"));
    CHECK(f.mqctl.must({"consume", "b", "--drain"}) == "1\n2\n3\n4\n5\n");
}

TEST_CASE("mqctl move: a target that has room for some gets them") {
    const Fixture f;
    f.mqctl.must({"-q", "queue", "create", "narrow", "--max-messages", "3"});
    f.mqctl.must({"-q", "publish", "a", "--lines"}, "1\n2\n3\n4\n5\n");
    const auto end = f.mqctl.run({"move", "a", "narrow"});
    CHECK(end.exit == 9);
    CHECK(mentions(end.err, "3 messages moved"));
    CHECK(f.mqctl.must({"consume", "narrow", "--drain"}) == "1\n2\n3\n");
    CHECK(f.mqctl.must({"consume", "a", "--drain"}) == "4\n5\n");
}

TEST_CASE("mqctl move: a full target says how many were moved, and Ctrl-C too") {
    const Fixture f;
    for (int i = 0; i < 5; ++i) {
        f.publish("x", std::to_string(i));
    }
    f.mqctl.must({"-q", "queue", "update", "b", "--max-messages", "2"});
    const auto full = f.mqctl.run({"move", "a", "b"});
    CHECK(full.exit == 9);
    CHECK(mentions(full.err, "full"));
    CHECK(mentions(full.err, "2 messages moved"));
    CHECK(f.mqctl.run({"move", "a", "b"}).exit == 7);
    CHECK(f.mqctl.queue_number("a", "ready") == 3);
    f.mqctl.must({"-q", "queue", "update", "b", "--max-messages", "0"});
    MqctlProcess slow(f.mqctl.url(), {"move", "a", "b", "--rate", "1/h"});
    while (f.mqctl.queue_number("b", "ready") < 3) {}
    slow.send_signal(SIGINT);
    const MqctlEnd end = slow.wait();
    CHECK(end.exit == 130);
    CHECK(mentions(end.err, "stopped by a signal; 1 message moved"));
    CHECK(f.mqctl.queue_number("a", "ready") == 2);
}

TEST_CASE("mqctl queue purge: with a filter it asks likewise, and counts before") {
    const Fixture f;
    f.publish("x", "1");
    f.publish("y", "2");
    f.publish("x", "3");
    CHECK(f.mqctl.run({"queue", "purge", "a", "--filter", "kind=x"}).exit == 2);
    CHECK(mentions(f.mqctl.run({"queue", "purge", "a", "--filter", "kind=x", "--dry-run"}).err,
                   "2 messages would be removed"));
    CHECK(mentions(f.mqctl.run({"queue", "purge", "a", "--filter", "kind=x", "--yes"}).err,
                   "2 messages removed"));
    CHECK(f.mqctl.must({"consume", "a", "--drain"}) == "2\n");
}

TEST_CASE("queues that end by themselves are shown, and end") {
    const Fixture f;
    f.mqctl.must({"-q", "queue", "create", "idle", "--expire-idle", "300ms"});
    CHECK(mentions(f.mqctl.must({"queue", "show", "idle"}), "expire_idle      300ms\n"));
    while (f.mqctl.run({"queue", "show", "idle"}).exit != 5) {}
    auto client = Client::connect(f.mqctl.url());
    REQUIRE(client);
    QueueOptions options;
    options.temporary = true;
    const auto queue = client->create_queue("t", options);
    REQUIRE(queue);
    CHECK(queue->options.temporary == true);
    CHECK(queue->options.durability == Durability::memory);
    f.mqctl.must({"-q", "publish", "t", "x"});
    CHECK(mentions(f.mqctl.must({"queue", "show", "t"}), "temporary        yes\n"));
    REQUIRE(client->close());
    while (f.mqctl.run({"queue", "show", "t"}).exit != 5) {}
}

}  // namespace
}  // namespace mqd::test
