// Many short runs, each from its own seed. What fails here is replayed with mqd-sim, by the command
// that is printed; mqd-sim also runs other seeds, and more of them.

#include <doctest/doctest.h>

#include <cstdio>

#include "sim/campaign.hpp"
#include "support/sanitized.hpp"

namespace mqd::sim {
namespace {

void simulate(std::string_view plan) {
    CampaignOptions options;
    options.plan = find_plan(plan);
    REQUIRE(options.plan != nullptr);
    options.seeds = options.plan->seeds / mqd::test::slowness;
    const CampaignResult result = run_campaign(options);
    std::printf("simulation: %s: seeds=%llu %s\n", options.plan->name.data(),
                static_cast<unsigned long long>(result.seeds), figures_text(result).c_str());
    if (result.failure) {
        FAIL(failure_text(*result.failure));
    }
}

TEST_CASE("simulation: power loss at random moments loses nothing confirmed") {
    simulate("power-loss");
}

TEST_CASE("simulation: a killed process loses nothing written") {
    simulate("kill");
}

TEST_CASE("simulation: clean restarts lose nothing and count every delivery") {
    simulate("clean-restart");
}

TEST_CASE("simulation: a disk that fails loses nothing confirmed") {
    simulate("io-error");
}

// What a failure prints would be worth nothing otherwise. The second time, other runs come before.
TEST_CASE("simulation: a seed gives the same run each time") {
    CampaignOptions options;
    options.plan = &plans().front();
    for (const std::uint64_t seed : {1u, 5u, 77u}) {
        CAPTURE(seed);
        options.first_seed = seed;
        const CampaignResult once = run_campaign(options);
        CHECK(run_campaign(options) == once);
        options.first_seed = seed + 1;
        CHECK_FALSE(run_campaign(options) == once);
    }
}

}  // namespace
}  // namespace mqd::sim
