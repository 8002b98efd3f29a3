// mqctl queue apply against a real daemon.

#include <doctest/doctest.h>

#include <fstream>

#include "integration/mqctl_run.hpp"

namespace mqd::test {
namespace {

struct Fixture {
    DaemonProcess daemon;
    Mqctl mqctl{daemon.url()};

    explicit Fixture(const std::string& config = {}) : daemon{MQD_BIN, {.config = config}} {
        daemon.start();
    }

    // The path of a file with that text.
    [[nodiscard]] std::string file(std::string_view text) const {
        const std::string path = daemon.folder() + "/queues.toml";
        std::ofstream(path, std::ios::binary) << text;
        return path;
    }
    [[nodiscard]] MqctlEnd apply(std::string_view text,
                                 const std::vector<std::string>& options = {}) const {
        std::vector<std::string> arguments{"queue", "apply", file(text)};
        arguments.insert(arguments.end(), options.begin(), options.end());
        return mqctl.run(arguments);
    }
};

bool mentions(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

constexpr std::string_view two_queues = R"(
[queue_defaults]
lease = "2m"
[queue.events]
durability = "memory"
max_messages = 1000
on_full = "drop-oldest"
[queue.orders]
max_attempts = 5
retry = ["1s", "10s"]
)";

TEST_CASE("mqctl queue apply: makes what is missing, changes what differs, and then nothing") {
    const Fixture f;
    f.mqctl.must({"-q", "queue", "create", "orders", "--max-bytes", "1MiB"});
    const std::string changes =
        "+ events  memory, lease 2m, max_messages 1000, on_full drop-oldest\n"
        "~ orders  lease 30s -> 2m, max_attempts 16 -> 5, retry none -> 1s,10s\n";

    const MqctlEnd dry = f.apply(two_queues, {"--dry-run"});
    CHECK(dry.exit == 0);
    CHECK(dry.out == changes);
    CHECK(dry.err == "mqctl: 2 changes to make, and none made\n");
    CHECK(f.mqctl.run({"queue", "show", "events"}).exit == 5);

    const MqctlEnd applied = f.apply(two_queues);
    CHECK(applied.exit == 0);
    CHECK(applied.out == changes);
    CHECK(applied.err == "mqctl: 2 changes made\n");
    CHECK(mentions(f.mqctl.must({"queue", "show", "events", "-o", "json"}),
                   R"("durability":"memory","lease_ms":120000)"));
    const std::string orders = f.mqctl.must({"queue", "show", "orders", "-o", "json"});
    CHECK(mentions(orders, R"("max_attempts":5,)"));
    CHECK(mentions(orders, R"("max_bytes":1048576,)"));  // not said: as it was
    CHECK(mentions(orders, R"("retry_ms":[1000,10000])"));

    for (const std::vector<std::string>& options :
         {std::vector<std::string>{}, {"--dry-run"}, {"--prune"}}) {
        const MqctlEnd again = f.apply(two_queues, options);
        CHECK(again.exit == 0);
        CHECK(again.out.empty());
        CHECK(again.err == "mqctl: nothing to change\n");
    }
}

TEST_CASE("mqctl queue apply: what no file says is the default of the daemon when it is made") {
    const Fixture f("[storage]\ndurability = \"written\"\n[queue_defaults]\nmax_messages = 7\n");
    CHECK(f.mqctl.run({"queue", "apply", "-"}, "[queue.a]\n").out ==
          "+ a  as the daemon makes it\n");
    const std::string a = f.mqctl.must({"queue", "show", "a", "-o", "json"});
    CHECK(mentions(a, R"("durability":"written")"));
    CHECK(mentions(a, R"("max_messages":7)"));
    // The daemon's own file: its other sections are passed over.
    const MqctlEnd own = f.mqctl.run({"queue", "apply", f.daemon.config_path()});
    CHECK(own.exit == 0);
    CHECK(own.err == "mqctl: nothing to change\n");
}

TEST_CASE("mqctl queue apply: what cannot be changed is refused before anything is") {
    const Fixture f;
    f.mqctl.must({"-q", "queue", "create", "orders"});
    const std::string text = "[queue.first]\n[queue.orders]\ndurability = \"memory\"\n";
    for (const std::vector<std::string>& options : {std::vector<std::string>{}, {"--dry-run"}}) {
        const MqctlEnd refused = f.apply(text, options);
        CHECK(refused.exit == 1);
        CHECK(refused.out.empty());
        CHECK(refused.err ==
              "mqctl: queue \"orders\": its durability is disk and cannot be changed to memory\n");
    }
    CHECK(f.mqctl.run({"queue", "show", "first"}).exit == 5);
}

TEST_CASE("mqctl queue apply: a mistake in the file is named with its place") {
    const Fixture f;
    const MqctlEnd wrong = f.apply("[queue.a]\nmax_mesages = 5\n");
    CHECK(wrong.exit == 2);
    CHECK(mentions(wrong.err,
                   "/queues.toml:2:1: unknown key \"queue.a.max_mesages\" "
                   "(did you mean \"max_messages\"?)"));
    CHECK(f.mqctl.run({"queue", "apply", f.daemon.folder() + "/none.toml"}).exit == 1);
}

TEST_CASE("mqctl queue apply: --prune deletes the others, but not where dead letters go") {
    const Fixture f;
    for (const std::string name : {"orders", "orders.dead", "failed", "old"}) {
        f.mqctl.must({"-q", "queue", "create", name});
    }
    f.mqctl.must({"-q", "publish", "old", "--lines"}, "a\nb\n");
    const std::string text = "[queue.orders]\n[queue.events]\ndead_letter = \"failed\"\n";
    CHECK(f.apply(text, {"--dry-run"}).out == "+ events  dead_letter failed\n");

    const MqctlEnd unasked = f.apply(text, {"--prune"});
    CHECK(unasked.exit == 2);
    CHECK(unasked.out == "+ events  dead_letter failed\n- old     2 messages ready\n");
    CHECK(mentions(unasked.err, "queue apply --prune needs --yes where nobody can be asked"));
    CHECK(f.mqctl.run({"queue", "show", "events"}).exit == 5);

    CHECK(f.apply(text, {"--prune", "--dry-run"}).exit == 0);
    CHECK(f.mqctl.queue_number("old", "ready") == 2);
    CHECK(f.apply(text, {"--prune", "--yes"}).exit == 0);
    CHECK(f.mqctl.run({"queue", "show", "old"}).exit == 5);
    for (const std::string name : {"orders", "orders.dead", "events", "failed"}) {
        f.mqctl.must({"queue", "show", name});
    }
    CHECK(f.apply(text, {"--prune", "--yes"}).err == "mqctl: nothing to change\n");

    const MqctlEnd empty = f.apply("[queue_defaults]\n", {"--prune", "--yes"});
    CHECK(empty.exit == 2);
    CHECK(mentions(empty.err, "declares no queue"));
}

TEST_CASE("mqctl queue apply: when the daemon refuses one, it says what is done and what is not") {
    const Fixture f("[limits]\nqueues = 2\n");
    const std::string text = "[queue.a]\n[queue.b]\n[queue.c]\n[queue.d]\n";
    const MqctlEnd partly = f.apply(text);
    CHECK(partly.exit == 9);
    CHECK(mentions(partly.err, "mqctl: creating \"c\": "));
    CHECK(mentions(partly.err, "mqctl: done: + a, + b; not done: + c, + d"));

    const MqctlEnd none = f.apply(text, {"-o", "json"});
    CHECK(none.exit == 7);
    CHECK(none.out == R"({"action":"create","queue":"c","options":{},"done":false})"
                      "\n"
                      R"({"action":"create","queue":"d","options":{},"done":false})"
                      "\n");
    CHECK(f.apply("[queue.a]\nlease = \"1m\"\n", {"-o", "json"}).out ==
          R"({"action":"update","queue":"a","options":{"lease_ms":60000},)"
          R"("before":{"lease_ms":30000},"done":true})"
          "\n");
    CHECK(f.apply("[queue.a]\nlease = \"1m\"\n", {"-o", "json"}).out.empty());
}

}  // namespace
}  // namespace mqd::test
