// Limits of all queues together, and of one connection, as clients meet them in a real daemon.

#include <doctest/doctest.h>

#include <string>

#include "integration/orders_queue.hpp"
#include "mqd/client.hpp"

namespace mqd::test {
namespace {

bool mentions(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

TEST_CASE("mqctl publish: limits.messages refuses what is beyond it, in whichever queue") {
    const OrdersQueue f("[limits]\nmessages = 3\n");
    f.mqctl.must({"-q", "queue", "create", "other", "--memory"});
    f.publish_lines("a\nb\n");
    f.mqctl.must({"publish", "other", "c"});
    CHECK(mentions(f.mqctl.must({"status"}), "messages_max"));
    for (const char* queue : {"orders", "other"}) {
        const MqctlEnd refused = f.mqctl.run({"publish", queue, "d"});
        CHECK(refused.exit == 7);
        CHECK(mentions(refused.err, "limits.messages is used up by waiting messages"));
    }
    CHECK(f.mqctl.must({"consume", "orders"}) == "a\n");
    f.mqctl.must({"publish", "other", "d"});
    CHECK(f.mqctl.run({"publish", "orders", "e"}).exit == 7);
    f.mqctl.must({"move", "orders", "other"});
    CHECK(f.mqctl.must({"consume", "other", "--drain"}) == "c\nd\nb\n");
}

TEST_CASE("mqctl consume: limits.connection_unacked bounds what is fetched, and nothing stops") {
    const OrdersQueue f("[limits]\nconnection_unacked = 4\n");
    std::string lines;
    for (int i = 1; i <= 300; ++i) {
        lines += std::to_string(i) + '\n';
    }
    f.publish_lines(lines);
    ConnectOptions options;
    options.timeout = patience;
    auto client = Client::connect(f.mqctl.url(), options);
    REQUIRE(client);
    auto consumer = client->consumer("orders");
    REQUIRE(consumer);
    REQUIRE(eventually([&] { return f.number("leased") == 4; }));
    CHECK(f.number("ready") == 296);
    const auto first = consumer->receive(patience);
    REQUIRE(first);
    REQUIRE(first->has_value());
    CHECK((*first)->body == "1");
    // Another connection gets the rest, and goes on and on with four at a time.
    CHECK(f.mqctl.must({"consume", "orders", "-n", "296", "--wait", "60s"}) ==
          lines.substr(lines.find("5\n")));
    CHECK(eventually([&] { return f.number("leased") == 4; }));  // its acks come to the disk
}

}  // namespace
}  // namespace mqd::test
