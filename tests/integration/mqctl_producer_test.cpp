// mqctl publish --producer against a real daemon that is killed in the middle: run again as it is
// until it ends with 0, every line is in the queue once, in order.

#include <doctest/doctest.h>

#include "integration/mqctl_run.hpp"
#include "mqd/client.hpp"
#include "support/dice.hpp"

namespace mqd::test {
namespace {

constexpr std::uint64_t lines_total = 100'000;
constexpr std::uint64_t lines_between_kills = 15'000;  // at most
constexpr int kills = 5;
constexpr int runs_max = 20;
const char* const one_queue = "[queue.orders]\ndurability = \"disk\"\n";

std::string numbered_lines(std::uint64_t count) {
    std::string text;
    for (std::uint64_t i = 1; i <= count; ++i) {
        text += "line " + std::to_string(i) + '\n';
    }
    return text;
}

bool mentions(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

const std::vector<std::string> import_lines = {"-q",      "publish",    "orders",
                                               "--lines", "--producer", "import-7"};

// Waits until so many more lines are taken, or all are.
void wait_for_lines(const DaemonProcess& daemon, std::uint64_t more) {
    auto client = Client::connect(daemon.url());
    REQUIRE(client);
    std::optional<std::uint64_t> from;
    REQUIRE(eventually([&] {
        const auto info = client->show_queue("orders");
        REQUIRE(info);
        const std::uint64_t taken = info->next_number.value() - 1;
        from = from.value_or(taken);
        return taken >= std::min(*from + more, lines_total);
    }));
}

}  // namespace

TEST_CASE("mqctl publish --producer: run again after kills, each line goes in once, in order") {
    const std::uint64_t seed = Dice::new_seed();
    MESSAGE("seed ", seed);
    Dice dice(seed);
    DaemonProcess daemon(MQD_BIN, {.config = one_queue});
    daemon.start();
    const Mqctl mqctl(daemon.url());
    const std::string input = numbered_lines(lines_total);
    const std::string file = daemon.folder() + "/input";
    write_file(file, input);
    for (int i = 0; i < kills; ++i) {
        MqctlProcess publishing(daemon.url(), import_lines, "<'" + file + '\'');
        wait_for_lines(daemon, dice.between(1, lines_between_kills));
        daemon.kill();
        const MqctlEnd end = publishing.wait();
        daemon.start();
        if (end.exit == 0) {  // it was done before
            CHECK(mqctl.queue_number("orders", "ready") == lines_total);
        }
    }
    MqctlEnd last;
    for (int i = 0; i < runs_max && last.exit != 0; ++i) {  // one that is refused is run again, too
        last = mqctl.run(import_lines, {}, "<'" + file + '\'');
    }
    CHECK_MESSAGE(last.exit == 0, last.err);
    CHECK(mqctl.queue_number("orders", "ready") == lines_total);
    const bool same = mqctl.must({"consume", "orders", "--drain"}) == input;
    CHECK(same);
}

TEST_CASE("mqctl publish --producer: says what it passes over") {
    DaemonProcess daemon(MQD_BIN);
    daemon.start();
    const Mqctl mqctl(daemon.url());
    mqctl.must({"-q", "queue", "create", "orders"});
    const std::vector<std::string> publish = {"publish", "orders", "--lines", "--producer", "p"};
    CHECK(mqctl.must(publish, "a\nb\n") == "orders:1:1\norders:1:2\n");
    const MqctlEnd more = mqctl.run(publish, "a\nb\nc\n");
    CHECK(more.exit == 0);
    CHECK(more.out == "orders:1:3\n");
    CHECK(mentions(more.err, "producer \"p\": 2 messages were taken before, and are passed over"));
    const MqctlEnd same = mqctl.run(publish, "a\nb\nc\n");
    CHECK(same.exit == 0);
    CHECK(same.out.empty());
    CHECK(mentions(same.err, "nothing to publish: all of the input was taken before"));
    const MqctlEnd less = mqctl.run(publish, "a\n");
    CHECK(less.exit != 0);
    CHECK(mentions(less.err, "the input has 1 message, and of producer \"p\" 3 were taken before"));
    const MqctlEnd json =
        mqctl.run({"publish", "orders", "--jsonl", "--producer", "j"}, "{\"body\":\"x\"}\n");
    CHECK(json.exit == 0);
    const MqctlEnd single = mqctl.run({"publish", "orders", "--producer", "p", "body"});
    CHECK(single.exit == 2);
    CHECK(mentions(single.err, "--producer goes with --lines, --null or --jsonl"));
    CHECK(mqctl.run({"publish", "orders", "--lines", "--producer", ""}, "a\n").exit == 2);
    CHECK(mqctl.queue_number("orders", "ready") == 4);
}

TEST_CASE("mqctl publish --producer: what has no room as a whole goes in as far as it has") {
    DaemonProcess daemon(MQD_BIN);
    daemon.start();
    const Mqctl mqctl(daemon.url());
    mqctl.must({"-q", "queue", "create", "orders", "--max-messages", "100"});
    const std::string input = numbered_lines(1'000);
    std::string out;
    for (int run = 0; run < 10; ++run) {
        const MqctlEnd end = mqctl.run(import_lines, input);
        CHECK(end.exit == (run < 9 ? 9 : 0));
        CHECK(mqctl.queue_number("orders", "ready") == 100);
        out += mqctl.must({"consume", "orders", "--drain"});
    }
    const bool same = out == input;
    CHECK(same);
    CHECK(mqctl.must({"publish", "orders", "--jsonl", "--producer", "j"},
                     "{\"body\":\"x\",\"headers\":{\"k\":\"v\"},\"group\":\"g\"}\n") != "");
    CHECK(mqctl.must({"consume", "orders", "-o", "%b %h{k} %g"}) == "x v g");
}

}  // namespace mqd::test
