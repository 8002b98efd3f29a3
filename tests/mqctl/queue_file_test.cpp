#include "client/mqctl/queue_file.hpp"

#include <doctest/doctest.h>

#include <set>

#include "client/mqctl/queue_option_list.hpp"
#include "daemon/config/config_key.hpp"

namespace mqd::mqctl {
namespace {

using std::chrono::milliseconds;

std::string error_of(std::string_view text) {
    const auto queues = parse_queue_file(text, "q.toml");
    REQUIRE_FALSE(queues);
    CHECK(queues.error().code == ErrorCode::bad_config);
    return queues.error().text;
}

TEST_CASE("queue file: what a queue says, and what the defaults of the file say, is said") {
    const auto queues = parse_queue_file(R"(
[queue_defaults]
lease = "1m"
max_attempts = 3
[queue.orders]
durability = "disk"
lease = "30s"
dead_letter = "failed"
max_messages = 5000
max_bytes = "1MiB"
on_full = "reject"
retry = ["1s", "10s"]
priorities = true
group_rate = "100/h"
[queue."a.b"]
)",
                                         "q.toml");
    REQUIRE(queues);
    REQUIRE(queues->size() == 2);
    const QueueOptions& plain = (*queues)[0].options;
    CHECK((*queues)[0].name == "a.b");
    CHECK(plain.lease == milliseconds(60'000));
    CHECK(plain.max_attempts == 3u);
    CHECK(plain.durability == Durability::unspecified);
    CHECK(plain.on_full == OnFull::unspecified);
    CHECK_FALSE(plain.dead_letter);
    CHECK_FALSE(plain.max_messages);
    CHECK_FALSE(plain.max_bytes);
    CHECK_FALSE(plain.retry);
    CHECK_FALSE(plain.priorities);
    const QueueOptions& full = (*queues)[1].options;
    CHECK((*queues)[1].name == "orders");
    CHECK(full.durability == Durability::disk);
    CHECK(full.lease == milliseconds(30'000));
    CHECK(full.max_attempts == 3u);
    CHECK(full.dead_letter == "failed");
    CHECK(full.max_messages == 5000u);
    CHECK(full.max_bytes == 1024u * 1024);
    CHECK(full.on_full == OnFull::reject);
    CHECK(full.retry == std::vector{milliseconds(1000), milliseconds(10'000)});
    CHECK(full.priorities == true);
    CHECK(full.group_rate == Rate{100, std::chrono::hours(1)});
    CHECK_FALSE(full.publishing_paused);
}

TEST_CASE("queue file: other sections of mqd.toml are checked and passed over") {
    const auto queues =
        parse_queue_file("[storage]\ndurability = \"memory\"\n[queue.a]\n", "q.toml");
    REQUIRE(queues);
    REQUIRE(queues->size() == 1);
    CHECK((*queues)[0].options.durability == Durability::unspecified);
    CHECK(error_of("[limits]\nqueues = 0\n").starts_with("q.toml:2:10: limits.queues: "));
}

TEST_CASE("queue file: a mistake is named with its place and what was perhaps meant") {
    CHECK(error_of("[queue.a]\nmax_mesages = 1\n") ==
          "q.toml:2:1: unknown key \"queue.a.max_mesages\" (did you mean \"max_messages\"?)");
    CHECK(error_of("[queu.a]\n") ==
          "q.toml:1:2: unknown section \"queu\" (did you mean \"queue\"?)");
    CHECK(error_of("[queue.a]\nlease = 30\n").starts_with("q.toml:2:9: queue.a.lease: must be"));
    CHECK(error_of("[queue.a\n").starts_with("q.toml:1:9: "));
    CHECK(read_queue_file("/nonexistent/q.toml").error().code == ErrorCode::io_error);
}

TEST_CASE("queue file: every option that the configuration has for a queue can be applied") {
    std::set<std::string_view> listed;
    for_each_option([&](std::string_view key, auto, auto) { listed.insert(key); });
    engine::QueueDefinition definition;
    std::set<std::string_view> known;
    for (const ConfigKey& key : keys_of(definition)) {
        known.insert(key.name);
    }
    CHECK(listed == known);
}

}  // namespace
}  // namespace mqd::mqctl
