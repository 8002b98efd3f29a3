// What mqctl answers to who drives it by a script, and to who made a mistake, against a real
// daemon.

#include <doctest/doctest.h>

#include "integration/mqctl_run.hpp"

namespace mqd::test {
namespace {

struct Fixture {
    DaemonProcess daemon{MQD_BIN, {}};
    Mqctl mqctl{daemon.url()};

    Fixture() {
        daemon.start();
        mqctl.must({"-q", "queue", "create", "a", "--max-attempts", "1"});
        mqctl.must({"-q", "queue", "create", "b"});
    }
    void publish(const std::string& lines) const {
        mqctl.must({"-q", "publish", "a", "--lines"}, lines);
    }
    [[nodiscard]] MqctlEnd import(const std::string& line,
                                  const std::vector<std::string>& options = {}) const {
        std::vector<std::string> arguments{"publish", "a", "--jsonl"};
        arguments.insert(arguments.end(), options.begin(), options.end());
        return mqctl.run(arguments, line + '\n');
    }
};

bool mentions(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

TEST_CASE("mqctl -o json: what moves, ends and retries messages says how many") {
    const Fixture f;
    f.publish("1\n2\n3\n4\n");
    const auto json = [&](std::vector<std::string> arguments) {
        arguments.insert(arguments.begin(), {"-q", "-o", "json"});
        return f.mqctl.run(arguments).out;
    };
    CHECK(json({"move", "a", "b", "--dry-run"}) ==
          "{\"queue\":\"a\",\"target\":\"b\",\"found\":4,\"moved\":0}\n");
    CHECK(json({"move", "a", "b", "-n", "1"}) ==
          "{\"queue\":\"a\",\"target\":\"b\",\"found\":1,\"moved\":1}\n");
    CHECK(json({"delete", "a:1:2", "a:1:1", "--yes"}) == "{\"deleted\":1,\"kept\":1}\n");
    CHECK(json({"queue", "purge", "b", "--dry-run"}) ==
          "{\"queue\":\"b\",\"found\":1,\"removed\":0}\n");
    CHECK(json({"queue", "purge", "b", "--yes"}) ==
          "{\"queue\":\"b\",\"found\":1,\"removed\":1}\n");
    f.mqctl.must({"-q", "queue", "create", "c", "--max-attempts", "1"});
    f.mqctl.must({"-q", "publish", "c", "--lines"}, "1\n2\n3\n");
    CHECK(f.mqctl.run({"consume", "c", "--drain", "--exec", "--", "false"}).exit == 1);
    REQUIRE(eventually([&] {
        const MqctlEnd end = f.mqctl.run({"-o", "json", "queue", "show", "c.dead"});
        return mentions(end.out, "\"ready\":3");
    }));
    CHECK(json({"dead", "retry", "c", "-n", "1"}) ==
          "{\"queue\":\"c\",\"retried\":1,\"passed_over\":0}\n");
    CHECK(json({"dead", "purge", "c", "--yes"}) == "{\"queue\":\"c\",\"removed\":2}\n");
    CHECK(json({"queue", "delete", "c", "--yes"}) == "{\"queue\":\"c\",\"removed\":1}\n");
}

TEST_CASE("mqctl: a reader that has seen enough ends what it reads without a word") {
    const Fixture f;
    f.publish(std::string(2'000, '\n'));
    for (const std::string command : {"peek a -n 2000 -o json", "queue list", "--help"}) {
        const std::string err = f.daemon.folder() + "/err";
        const std::string status = f.daemon.folder() + "/status";
        const std::string run = "{ MQD_URL=" + f.mqctl.url() + ' ' + MQCTL_BIN + ' ' + command +
                                " 2>" + err + "; echo $? >" + status + "; } | true";
        CHECK(::system(("bash -c '" + run + '\'').c_str()) == 0);
        CHECK(read_file(err).empty());
        const std::string exit = read_file(status);
        CHECK((exit == "141\n" || exit == "0\n"));  // 0: it was through before
    }
}

TEST_CASE("mqctl: bad lines of JSON are bad input, and a contradiction is refused") {
    const Fixture f;
    for (const char* const line :
         {"nonsense", "{}", "{\"body\":1}", "{\"body\":\"x\",\"priority\":12}"}) {
        const MqctlEnd end = f.import(line);
        CHECK(end.exit == 2);
        CHECK(mentions(end.err, "line 1: "));
    }
    const std::string line = "{\"body\":\"x\",\"expires\":\"2999-01-01T00:00:00Z\"}";
    const MqctlEnd both = f.import(line, {"--ttl", "1h"});
    CHECK(both.exit == 2);
    CHECK(mentions(both.err, "line 1: \"expires\" contradicts --ttl"));
    CHECK(f.mqctl.queue_number("a", "ready") == 0);
    CHECK(f.import("{\"body\":\"x\",\"ttl_ms\":1000000}", {"--ttl", "1h"}).exit == 0);
    const MqctlEnd ranked = f.import("{\"body\":\"x\",\"priority\":3}");
    CHECK(mentions(ranked.err, "--priorities of mqctl queue create"));
}

TEST_CASE("mqctl queue create: a queue that is there otherwise says in what") {
    const Fixture f;
    const MqctlEnd end = f.mqctl.run({"queue", "create", "a", "--memory", "--lease", "7s",
                                      "--max-attempts", "1", "--max-messages", "9"});
    CHECK(end.exit == 1);
    CHECK(mentions(end.err, "exists with other options (durability, lease, max_messages)"));
    f.mqctl.must({"queue", "create", "a", "--max-attempts", "1"});
}

TEST_CASE("mqctl move: a target that is not there can be made") {
    const Fixture f;
    const MqctlEnd end = f.mqctl.run({"move", "a", "nowhere"});
    CHECK(end.exit == 5);
    CHECK(end.err ==
          "mqctl: queue \"nowhere\" does not exist (mqctl queue create nowhere makes it)\n");
}

}  // namespace
}  // namespace mqd::test
