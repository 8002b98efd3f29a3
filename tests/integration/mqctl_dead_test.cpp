// mqctl dead against a real daemon: what fails too often, or is given up, and how it comes back.

#include <doctest/doctest.h>

#include <csignal>

#include "integration/mqctl_run.hpp"

namespace mqd::test {
namespace {

struct Fixture {
    DaemonProcess daemon{MQD_BIN};
    Mqctl mqctl{daemon.url()};

    explicit Fixture(const std::string& max_attempts = "16") {
        daemon.start();
        mqctl.must({"-q", "queue", "create", "orders", "--max-attempts", max_attempts});
        mqctl.must({"-q", "publish", "orders", "-H", "type:invoice", "body"});
    }
    [[nodiscard]] MqctlEnd execute(const std::string& script) const {
        return mqctl.run({"consume", "orders", "--exec", "--", "sh", "-c", script});
    }
    [[nodiscard]] std::string dead() const {
        return mqctl.must({"dead", "list", "orders", "-o", "json"});
    }
    // The move is a commit of its own, which nobody waits for.
    [[nodiscard]] bool has_dead_letter() const {
        return eventually([this] { return !dead().empty(); });
    }
};

bool mentions(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

TEST_CASE("mqctl dead: without dead letters there is nothing to list, purge or retry") {
    const Fixture f;
    CHECK(f.dead().empty());
    CHECK(f.mqctl.must({"dead", "list", "orders"}).empty());
    CHECK(f.mqctl.run({"dead", "purge", "orders"}).exit == 0);
    CHECK(f.mqctl.run({"dead", "retry", "orders"}).exit == 0);
    CHECK(f.mqctl.run({"dead", "list", "none"}).exit == 5);
}

TEST_CASE("mqctl dead: exit status 65 gives a message up, and retry brings it back") {
    const Fixture f;
    CHECK(f.execute("exit 65").exit == 1);
    REQUIRE(f.has_dead_letter());
    const std::string json = f.dead();
    CHECK(mentions(json, R"("cause":"rejected","attempts":1)"));
    CHECK(mentions(json, R"("id":"orders:1:1","reason":"exit status 65")"));
    CHECK(mentions(f.mqctl.must({"dead", "list", "orders"}), "orders:1:1  rejected"));

    const MqctlEnd retried = f.mqctl.run({"dead", "retry", "orders"});
    CHECK(retried.exit == 0);
    CHECK(mentions(retried.err, "1 message published"));
    CHECK(eventually([&] { return f.dead().empty(); }));
    CHECK(f.mqctl.must({"consume", "orders", "-o", "%i %h{type} %b %a"}) ==
          "orders:1:2 invoice body 1");
}

TEST_CASE("mqctl dead: a message is dead after its last attempt, and purge removes it") {
    const Fixture f("2");
    CHECK(f.execute("exit 1").exit == 1);
    CHECK(f.dead().empty());
    CHECK(f.execute("exit 3").exit == 1);
    REQUIRE(f.has_dead_letter());
    CHECK(mentions(f.dead(), R"("cause":"attempts","attempts":2)"));
    CHECK(mentions(f.dead(), R"("reason":"exit status 3")"));
    CHECK(f.mqctl.run({"consume", "orders"}).exit == 6);

    CHECK(f.mqctl.run({"dead", "purge", "orders"}).exit == 2);
    CHECK(mentions(f.mqctl.run({"dead", "purge", "orders", "--yes"}).err, "1 message removed"));
    CHECK(f.dead().empty());
}

// Whatever it does to its worker, and whatever becomes of the daemon meanwhile, it is tried as
// often as it may, and not once more.
TEST_CASE("mqctl dead: a message that kills its worker is dead after exactly its last attempt") {
    constexpr int limit = 6;
    Fixture f(std::to_string(limit));
    f.mqctl.must({"-q", "queue", "create", "other"});
    for (int attempt = 1; attempt <= limit; ++attempt) {
        CAPTURE(attempt);
        CHECK(f.dead().empty());
        const MqctlEnd end = f.execute("echo $MQD_ATTEMPT; kill -9 $PPID");
        CHECK(end.out == std::to_string(attempt) + "\n");
        CHECK(end.exit == 128 + SIGKILL);
        f.mqctl.must({"-q", "publish", "other", "x"});  // the count rides along with it
        if (attempt == 2) {
            f.daemon.kill();
            f.daemon.start();
        } else if (attempt % 2 == 0 && attempt < limit) {
            REQUIRE(f.daemon.stop().has_value());
            f.daemon.start();
        }
    }
    REQUIRE(f.has_dead_letter());
    CHECK(mentions(f.dead(), R"("cause":"attempts","attempts":6)"));
    f.daemon.kill();
    f.daemon.start();
    CHECK(mentions(f.dead(), R"("id":"orders:1:1")"));
    CHECK(f.mqctl.run({"consume", "orders"}).exit == 6);
}

}  // namespace
}  // namespace mqd::test
