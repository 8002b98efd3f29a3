// Messages with a time to live, as mqctl publishes, shows and copies them, against a real daemon.

#include <doctest/doctest.h>

#include <chrono>

#include "integration/mqctl_run.hpp"

namespace mqd::test {
namespace {

struct Fixture {
    DaemonProcess daemon{MQD_BIN, {}};
    Mqctl mqctl;

    Fixture() : mqctl((daemon.start(), daemon.url())) {
        mqctl.must({"-q", "queue", "create", "orders"});
    }
    [[nodiscard]] std::uint64_t number(const std::string& queue, std::string_view field) const {
        return mqctl.queue_number(queue, field);
    }
};

bool mentions(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

TEST_CASE("mqctl publish --ttl: it expires, and is counted") {
    const Fixture f;
    f.mqctl.must({"publish", "orders", "--ttl", "50ms", "soon gone"});
    f.mqctl.must({"publish", "orders", "--ttl", "1d", "stays"});
    REQUIRE(eventually([&] { return f.number("orders", "expired") == 1; }));
    CHECK(f.mqctl.must({"consume", "orders", "--drain"}) == "stays\n");
    CHECK(mentions(f.mqctl.must({"status"}), "messages_expired"));
    CHECK(f.mqctl.run({"publish", "orders", "--ttl", "0s", "x"}).exit == 2);
}

TEST_CASE("mqctl queue create --ttl --on-expired: dead letters say why") {
    const Fixture f;
    f.mqctl.must({"-q", "queue", "create", "jobs", "--ttl", "50ms", "--on-expired", "dead-letter"});
    const std::string shown = f.mqctl.must({"queue", "show", "jobs"});
    CHECK(mentions(shown, "ttl              50ms\n"));
    CHECK(mentions(shown, "on_expired       dead_letter\n"));
    f.mqctl.must({"publish", "jobs", "late"});
    REQUIRE(eventually([&] { return f.number("jobs", "expired") == 1; }));
    REQUIRE(eventually([&] { return f.number("jobs", "dying") == 0; }));
    CHECK(mentions(f.mqctl.must({"dead", "list", "jobs", "-o", "json"}), R"("cause":"expired")"));
    f.mqctl.must({"queue", "update", "jobs", "--ttl", "none"});
    CHECK(mentions(f.mqctl.must({"queue", "show", "jobs"}), "ttl              none\n"));
}

TEST_CASE("mqctl export and import: what is left of a TTL is kept") {
    const Fixture f;
    f.mqctl.must({"publish", "orders", "--ttl", "1d", "kept"});
    const std::string lines = f.mqctl.must({"export", "orders"});
    CHECK(mentions(lines, R"("expires":")"));
    f.mqctl.must({"-q", "queue", "create", "copy"});
    f.mqctl.must({"-q", "import", "copy"}, lines);
    CHECK(mentions(f.mqctl.must({"peek", "copy", "-o", "json"}), R"("expires":")"));
}

}  // namespace
}  // namespace mqd::test
