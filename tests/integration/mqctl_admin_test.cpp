// mqctl queue, status and ping against a real daemon.

#include <doctest/doctest.h>

#include <csignal>
#include <optional>

#include "integration/mqctl_run.hpp"
#include "mqd/client.hpp"

namespace mqd::test {
namespace {

struct Fixture {
    DaemonProcess daemon{MQD_BIN};
    Mqctl mqctl{daemon.url()};

    Fixture() { daemon.start(); }
};

bool mentions(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

TEST_CASE("mqctl queue: create, list and show") {
    const Fixture f;
    CHECK(f.mqctl.must({"queue", "list"}).empty());
    CHECK(f.mqctl.must({"queue", "create", "orders", "--lease", "2m"}).empty());
    CHECK(f.mqctl.must({"queue", "create", "orders", "--lease", "2m"}).empty());
    CHECK(mentions(f.mqctl.must({"queue", "create", "quick", "--memory", "-o", "json"}),
                   R"("durability":"memory")"));
    f.mqctl.must({"publish", "orders", "x"});

    // Data only: a header row is for a terminal.
    const std::string list = f.mqctl.must({"queue", "list"});
    CHECK(list.starts_with("orders  disk    1  0  "));
    CHECK(mentions(list, "\nquick   memory  0  0  0  0  0  0  0  16  none  none  no\n"));
    const std::string json = f.mqctl.must({"queue", "list", "-o", "json"});
    CHECK(json.starts_with(
        R"({"queue":"orders","incarnation":1,"durability":"disk",)"
        R"("lease_ms":120000,"ready":1,"leased":0,"delayed":0,"held":0,"bytes":)"));
    const std::string shown = f.mqctl.must({"queue", "show", "orders"});
    CHECK(mentions(shown, "lease            2m\n"));
    CHECK(mentions(shown, "next_number      2\n"));

    CHECK(mentions(shown, "max_attempts     16\n"));
    CHECK(mentions(shown, "dead_letter      orders.dead\n"));

    f.mqctl.must({"queue", "update", "orders", "--max-attempts", "0", "--max-bytes", "1MiB"});
    const std::string updated = f.mqctl.must({"queue", "show", "orders", "-o", "json"});
    CHECK(mentions(updated, R"("max_attempts":0,"dead_letter":"orders.dead","max_messages":0,)"
                            R"("max_bytes":1048576,"on_full":"reject","retry_ms":[])"));
    CHECK(mentions(shown, "retry            none\n"));
    f.mqctl.must({"queue", "update", "orders", "--retry", "1s,90s"});
    CHECK(mentions(f.mqctl.must({"queue", "show", "orders"}), "retry            1s,90s\n"));
    CHECK(mentions(f.mqctl.must({"queue", "show", "orders", "-o", "json"}),
                   R"("retry_ms":[1000,90000])"));
    CHECK(mentions(f.mqctl.run({"queue", "update", "orders", "--retry", "31d"}).err, "retry"));
    CHECK(f.mqctl.run({"queue", "update", "none", "--lease", "1s"}).exit == 5);
    CHECK(f.mqctl.run({"queue", "create", "orders", "--memory"}).exit == 1);
    CHECK(f.mqctl.run({"queue", "create", "-x-"}).exit == 2);
    CHECK(f.mqctl.run({"queue", "create", "--", "-x-"}).exit == 2);
    CHECK(f.mqctl.run({"queue", "show", "ordres"}).exit == 5);
}

TEST_CASE("mqctl queue: a queue is paused and resumed, each side by itself") {
    const Fixture f;
    f.mqctl.must({"-q", "queue", "create", "orders"});
    f.mqctl.must({"-q", "publish", "orders", "a"});
    f.mqctl.must({"queue", "pause", "orders", "--publishing"});
    const MqctlEnd refused = f.mqctl.run({"publish", "orders", "b"});
    CHECK(refused.exit == 7);
    CHECK(mentions(refused.err, "publishing to queue \"orders\" is paused"));
    CHECK(f.mqctl.must({"consume", "orders"}) == "a\n");
    CHECK(mentions(f.mqctl.must({"queue", "list"}), "  publishing\n"));

    f.mqctl.must({"queue", "pause", "orders"});
    CHECK(mentions(f.mqctl.must({"queue", "show", "orders"}), "paused           both\n"));
    f.mqctl.must({"queue", "resume", "orders", "--publishing"});
    CHECK(mentions(f.mqctl.must({"queue", "show", "orders", "-o", "json"}),
                   R"("publishing_paused":false,"consuming_paused":true)"));
    f.mqctl.must({"-q", "publish", "orders", "c"});
    CHECK(f.mqctl.run({"consume", "orders"}).exit == 6);
    CHECK(f.mqctl.run({"consume", "orders", "--exec", "--", "true"}).exit == 6);
    f.mqctl.must({"queue", "resume", "orders"});
    CHECK(f.mqctl.must({"consume", "orders"}) == "c\n");
    CHECK(f.mqctl.run({"queue", "pause", "none"}).exit == 5);
}

TEST_CASE("mqctl queue: purge and delete want --yes where nobody can be asked") {
    const Fixture f;
    f.mqctl.must({"-q", "queue", "create", "orders"});
    f.mqctl.must({"-q", "publish", "orders", "--lines"}, "a\nb\n");
    for (const std::string verb : {"purge", "delete"}) {
        const MqctlEnd refused = f.mqctl.run({"queue", verb, "orders"});
        CHECK(refused.exit == 2);
        CHECK(mentions(refused.err, "--yes"));
        CHECK(f.mqctl.queue_number("orders", "ready") == 2);
    }
    const MqctlEnd purged = f.mqctl.run({"queue", "purge", "orders", "--yes"});
    CHECK(purged.exit == 0);
    CHECK(mentions(purged.err, "2 messages"));
    CHECK(f.mqctl.queue_number("orders", "ready") == 0);
    CHECK(f.mqctl.run({"-q", "queue", "delete", "orders", "-y"}).err.empty());
    CHECK(f.mqctl.run({"queue", "delete", "orders", "--yes"}).exit == 5);
}

TEST_CASE("mqctl status and ping: what the daemon says of itself") {
    const Fixture f;
    CHECK(mentions(f.mqctl.must({"status"}), "queues "));
    const std::string status = f.mqctl.must({"status", "-o", "json"});
    CHECK(status.starts_with(R"({"server":"mqd )"));
    CHECK(mentions(status, R"("queues":0)"));
    CHECK(mentions(f.mqctl.must({"ping"}), "answered in"));
    CHECK(mentions(f.mqctl.must({"ping", "-o", "json"}), R"("round_trip_us":)"));
}

TEST_CASE("mqctl: data goes to standard output, talk to standard error") {
    const Fixture f;
    const MqctlEnd created = f.mqctl.run({"queue", "create", "orders"});
    CHECK(created.out.empty());
    CHECK(created.err.starts_with("mqctl: queue \"orders\""));
    CHECK(f.mqctl.run({"queue", "create", "orders", "-q"}).err.empty());
    CHECK(mentions(f.mqctl.run({"ping", "-v"}).err, "connected to mqd"));
}

TEST_CASE("mqctl: an address on the command line comes before MQD_URL") {
    const Fixture f;
    const Mqctl lost("unix:/nonexistent/mqd.sock");
    CHECK(lost.run({"ping"}).exit == 3);
    CHECK(lost.run({"-s", f.daemon.url(), "ping"}).exit == 0);
    CHECK(lost.run({"ping", "-s", f.daemon.socket_path()}).exit == 0);
    CHECK(lost.run({"ping", "-s", "nonsense"}).exit == 2);
    CHECK(lost.run({"ping", "-s", "tls://localhost:7441"}).exit == 2);
    CHECK_FALSE(mentions(lost.run({"ping", "-s", "nonsense"}).err, "MQD_URL"));
    for (const std::string url : {"nonsense", "tls://localhost:7441"}) {
        const MqctlEnd end = Mqctl(url).run({"ping"});
        CHECK(end.exit == 2);
        CHECK(mentions(end.err, "it comes from MQD_URL"));
    }
}

TEST_CASE("mqctl: a daemon with too many connections is exit 7, one that says nothing exit 6") {
    DaemonProcess daemon(MQD_BIN, {.config = "[limits]\nconnections = 1\n"});
    daemon.start();
    const Mqctl mqctl(daemon.url());
    std::optional<Client> holder;
    REQUIRE(eventually([&] {
        auto client = Client::connect(daemon.url());
        if (client) {
            holder.emplace(std::move(*client));
        }
        return holder.has_value();
    }));
    const MqctlEnd refused = mqctl.run({"ping"});
    CHECK(refused.exit == 7);
    CHECK(mentions(refused.err, "limits.connections is reached"));
    CHECK_FALSE(mentions(refused.err, "is mqd running?"));

    daemon.send_signal(SIGSTOP);
    const MqctlEnd silent = mqctl.run({"ping", "--timeout", "20ms"});
    CHECK(silent.exit == 6);
    CHECK(mentions(silent.err, "no answer within 20ms"));
    CHECK(mentions(Mqctl("unix:/nonexistent").run({"ping"}).err, "is mqd running?"));
}

}  // namespace
}  // namespace mqd::test
