// mqctl consume --exclusive and --single with a real daemon: who gets the messages, and who is next
// when that one is killed.

#include <doctest/doctest.h>

#include <csignal>

#include "integration/orders_queue.hpp"

namespace mqd::test {
namespace {

using Arguments = std::vector<std::string>;

bool mentions(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

struct Fixture : OrdersQueue {
    [[nodiscard]] bool has_consumers(std::uint64_t count) const {
        return eventually([&] { return number("consumers") == count; });
    }
    [[nodiscard]] bool has_leased(std::uint64_t at_least) const {
        return eventually([&] { return number("leased") >= at_least; });
    }
};

bool complains(MqctlProcess& process, std::string_view of) {
    return eventually([&] { return mentions(process.complaints(), of); });
}

TEST_CASE("mqctl consume: --single takes over, in order, when the active one is killed") {
    const Fixture f;
    Arguments arguments{"consume", "orders", "--single", "--follow"};
    SUBCASE("to standard output") {}
    SUBCASE("with a command") {
        for (const char* const more : {"--exec", "--", "sh", "-c", "cat; echo"}) {
            arguments.emplace_back(more);
        }
    }
    MqctlProcess first(f.mqctl.url(), arguments);
    REQUIRE(complains(first, "mqctl: active on \"orders\"\n"));
    MqctlProcess second(f.mqctl.url(), arguments);
    REQUIRE(complains(second, "mqctl: waiting for \"orders\": another consumer is active\n"));
    f.publish_lines("1\n2\n");
    CHECK(first.read_line() == "1");
    CHECK(first.read_line() == "2");
    REQUIRE(eventually([&] {
        return f.mqctl.queue_number("orders", "ready") + f.mqctl.queue_number("orders", "leased") ==
               0;
    }));
    first.stop();  // what comes now stays leased
    f.publish_lines("3\n4\n5\n");
    REQUIRE(f.has_leased(1));
    CHECK(!mentions(second.complaints(), "active on"));
    first.send_signal(SIGKILL);
    for (const std::string line : {"3", "4", "5"}) {
        CHECK(second.read_line() == line);
    }
    CHECK(mentions(second.complaints(), "mqctl: active on \"orders\"\n"));
    second.send_signal(SIGTERM);
    CHECK(second.wait_for_end().exit == 143);
}

TEST_CASE("mqctl consume: --single keeps its turn until it has what -n asks for") {
    const Fixture f;
    MqctlProcess first(f.mqctl.url(), {"consume", "orders", "--single", "-n", "3", "--wait", "1h"});
    REQUIRE(complains(first, "active on"));
    MqctlProcess second(f.mqctl.url(), {"-q", "consume", "orders", "--single", "--follow"});
    REQUIRE(f.has_consumers(2));
    for (const std::string line : {"1", "2", "3"}) {
        f.publish_lines(line + '\n');
        CHECK(first.read_line() == line);
    }
    CHECK(first.wait_for_end().exit == 0);
    f.publish_lines("4\n");
    CHECK(second.read_line() == "4");
    CHECK(second.complaints().empty());
}

TEST_CASE("mqctl consume: --exclusive is exclusive, and says who is there") {
    const Fixture f;
    f.publish_lines("1\n2\n");
    {
        MqctlProcess first(f.mqctl.url(), {"consume", "orders", "--exclusive", "--follow"});
        CHECK(first.read_line() == "1");
        CHECK(first.read_line() == "2");
        for (const Arguments& more :
             {Arguments{}, Arguments{"--exclusive"}, Arguments{"--single"}}) {
            Arguments arguments{"consume", "orders"};
            arguments.insert(arguments.end(), more.begin(), more.end());
            const MqctlEnd end = f.mqctl.run(arguments);
            CHECK(end.exit == 7);
            CHECK(mentions(end.err, "queue \"orders\" has an exclusive consumer"));
        }
        first.send_signal(SIGTERM);
        CHECK(first.wait_for_end().exit == 143);
    }
    f.publish_lines("3\n");
    CHECK(f.mqctl.must({"consume", "orders", "--exclusive"}) == "3\n");
}

TEST_CASE("mqctl consume: --exclusive and --single are refused where others share the queue") {
    const Fixture f;
    const MqctlProcess shared(f.mqctl.url(), {"consume", "orders", "--follow"});
    REQUIRE(f.has_consumers(1));
    for (const std::string how : {"--exclusive", "--single"}) {
        const MqctlEnd end = f.mqctl.run({"consume", "orders", how});
        CHECK(end.exit == 7);
        CHECK(mentions(end.err, "queue \"orders\" has a shared consumer"));
    }
}

}  // namespace
}  // namespace mqd::test
