// The real daemon under load, killed with SIGKILL at random moments and restarted on the same data,
// again and again; History judges what its clients saw. (This proves recovery, not syncs: the page
// cache outlives a process. The simulation covers power loss.)
//
// MQD_KILLS=20000 makes it long; MQD_SEED repeats the decisions of a run.

#include <doctest/doctest.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <string>

#include "integration/history.hpp"
#include "integration/load.hpp"
#include "mqd/client.hpp"
#include "support/daemon_process.hpp"
#include "support/dice.hpp"

namespace mqd::test {

namespace {

constexpr std::uint64_t filler_max = 400;
// Bounds what the history remembers in a long run.
constexpr std::uint64_t kills_per_round = 50;
constexpr std::array<const char*, 3> queues = {"one", "two", "three"};

// Small files and little memory, so that files are recycled and messages written to segments and
// read back while it runs.
const char* const small_journal =
    "[storage]\njournal_file_bytes = \"2MiB\"\njournal_bytes = \"8MiB\"\n"
    "memory = \"1MiB\"\nsegment_bytes = \"256KiB\"\n"
    "[limits]\nmessage_bytes = \"64KiB\"\nframe_bytes = \"256KiB\"\n"
    "queues = 100\n"
    "[queue.one]\ndurability = \"disk\"\nlease = \"1h\"\n"
    "[queue.two]\ndurability = \"disk\"\nlease = \"1h\"\n"
    "[queue.three]\ndurability = \"written\"\nlease = \"1h\"\n";

std::uint64_t kills_wanted() {
    const char* given = std::getenv("MQD_KILLS");
    return given != nullptr ? std::stoull(given) : sanitized ? 10 : 50;
}

// A moment: after so many events of the load, or while the daemon is still starting.
void wait_for_moment(DaemonProcess& daemon, const History& history, Dice& dice) {
    if (dice.one_in(6)) {
        ::poll(nullptr, 0, static_cast<int>(dice.below(30)));  // the moment itself is random
        return;
    }
    const bool serving = daemon.wait_serving();
    INFO("stderr of mqd:\n", daemon.errors());
    REQUIRE(serving);
    const std::uint64_t until = history.events() + dice.between(1, 10'000);
    const bool reached = eventually([&] { return history.events() >= until; });
    CHECK_MESSAGE(reached, "the load stands still");
}

void expect_no_violation(const History& history, std::uint64_t kills) {
    const History::Figures figures = history.figures();
    MESSAGE(kills, " kills, ", figures.published, " published, ", figures.confirmed, " confirmed, ",
            figures.refused, " refused, ", figures.deliveries, " deliveries, ",
            figures.redeliveries, " of them again, ", figures.acks_confirmed, " acks confirmed");
    // It was a load, and not a row of refusals.
    CHECK(figures.confirmed > kills * 100);
    CHECK(figures.acks_confirmed > kills * 10);
    CHECK(figures.redeliveries > kills);
    for (const std::string& violation : history.violations()) {
        CHECK_MESSAGE(false, violation);
    }
}

// Everything was acked with a confirm, so nothing comes back; and no number is used again.
void expect_drained(const DaemonProcess& daemon, std::map<std::string, std::uint64_t>& numbers) {
    auto client = Client::connect(daemon.url());
    REQUIRE(client);
    for (const char* queue : queues) {
        const auto info = client->show_queue(queue);
        REQUIRE(info);
        CHECK(info->ready == 0);
        CHECK(info->leased == 0);
        CHECK(info->next_number.value() >= numbers[queue]);
        numbers[queue] = info->next_number.value();
    }
}

// Some kills, then all that is left is taken out and judged.
void play_round(DaemonProcess& daemon, std::uint64_t kills, Dice& dice) {
    History history(filler_max);
    Load load({.url = daemon.url(),
               .queues = {queues.begin(), queues.end()},
               .producers = 4,
               .consumers = 5,
               .filler_max = filler_max,
               .seed = dice.next()},
              history);
    load.daemon_started(daemon.pid());
    load.begin();
    for (std::uint64_t i = 0; i < kills; ++i) {
        wait_for_moment(daemon, history, dice);
        INFO("stderr of mqd:\n", daemon.errors());
        REQUIRE(daemon.alive());
        daemon.kill();
        daemon.launch();
        load.daemon_started(daemon.pid());
    }
    REQUIRE(daemon.wait_serving());
    load.stop_producers();
    load.stop_consumers();
    load.drain();
    history.finish();
    expect_no_violation(history, kills);
}

}  // namespace

TEST_CASE("kill: no confirmed message is lost when the daemon is killed under load") {
    const std::uint64_t seed = Dice::new_seed();
    MESSAGE("seed ", seed);
    Dice dice(seed);
    DaemonProcess daemon(MQD_BIN, {.config = small_journal});
    daemon.start();
    std::map<std::string, std::uint64_t> numbers;
    for (std::uint64_t left = kills_wanted(); left > 0;) {
        const std::uint64_t kills = std::min(left, kills_per_round);
        play_round(daemon, kills, dice);
        left -= kills;
        daemon.restart();
        expect_drained(daemon, numbers);
    }
}

}  // namespace mqd::test
