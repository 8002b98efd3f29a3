// Many short runs, each from its own seed. MQD_SIM_SEED and MQD_SIM_SEEDS say which: the first seed
// and how many; MQD_SIM_SEED=n MQD_SIM_SEEDS=1 replays one run exactly.

#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>

#include "sim/simulation.hpp"
#include "support/sanitized.hpp"

namespace mqd::sim {
namespace {

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
    const char* given = std::getenv(name);
    return given != nullptr ? std::strtoull(given, nullptr, 10) : otherwise;
}

void simulate(const char* what, std::uint64_t seeds, const Disasters& disasters) {
    const std::uint64_t first = from_environment("MQD_SIM_SEED", 1);
    seeds = from_environment("MQD_SIM_SEEDS", seeds / mqd::test::slowness);
    std::printf("simulation: %s: MQD_SIM_SEED=%llu MQD_SIM_SEEDS=%llu\n", what,
                static_cast<unsigned long long>(first), static_cast<unsigned long long>(seeds));
    Judge::Figures sum;
    std::uint64_t starts = 0;
    std::uint64_t turns = 0;
    for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
        Simulation simulation(seed, disasters);
        simulation.run();
        starts += simulation.starts();
        turns += simulation.turns();
        sum.published += simulation.figures().published;
        sum.confirmed += simulation.figures().confirmed;
        sum.refused += simulation.figures().refused;
        sum.delivered += simulation.figures().delivered;
        sum.redelivered += simulation.figures().redelivered;
        sum.acked += simulation.figures().acked;
        sum.leases_lost += simulation.figures().leases_lost;
        if (simulation.violation()) {
            std::printf("INVARIANT VIOLATED: seed=%llu turn=%llu: %s\n",
                        static_cast<unsigned long long>(seed),
                        static_cast<unsigned long long>(simulation.turns()),
                        simulation.violation()->c_str());
            FAIL("seed " << seed << ": " << *simulation.violation());
        }
    }
    const auto number = [](std::uint64_t value) { return static_cast<unsigned long long>(value); };
    std::printf(
        "simulation: %s: starts=%llu turns=%llu published=%llu confirmed=%llu refused=%llu "
        "delivered=%llu redelivered=%llu acked=%llu leases_lost=%llu\n",
        what, number(starts), number(turns), number(sum.published), number(sum.confirmed),
        number(sum.refused), number(sum.delivered), number(sum.redelivered), number(sum.acked),
        number(sum.leases_lost));
}

TEST_CASE("simulation: power loss at random moments loses nothing confirmed") {
    Disasters disasters;
    disasters.power_losses = 6;
    disasters.kills = 2;
    disasters.clean_stops = 2;
    disasters.io_errors = 1;
    disasters.full_disks = 1;
    simulate("power loss", 2000, disasters);
}

TEST_CASE("simulation: a killed process loses nothing written") {
    Disasters disasters;
    disasters.kills = 6;
    disasters.clean_stops = 1;
    simulate("kill", 400, disasters);
}

TEST_CASE("simulation: clean restarts lose nothing and count every delivery") {
    Disasters disasters;
    disasters.clean_stops = 5;
    simulate("clean restart", 400, disasters);
}

}  // namespace
}  // namespace mqd::sim
