#pragma once

// Many runs of the simulation, a seed each, until one of them breaks an invariant. The test program
// and mqd-sim are front ends of this; the same seed, plan and steps are the same run in both.

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "sim/simulation.hpp"

namespace mqd::sim {

// What goes wrong in the runs of a campaign, and how many of them make a good test.
struct Plan {
    std::string_view name;
    std::string_view text;
    Disasters disasters;
    std::uint64_t seeds = 0;
};

[[nodiscard]] std::span<const Plan> plans();
// Null: there is none of that name.
[[nodiscard]] const Plan* find_plan(std::string_view name);

struct CampaignOptions {
    const Plan* plan = nullptr;
    std::uint64_t first_seed = 1;
    std::uint64_t seeds = 1;
    std::uint64_t steps = Disasters().turns;
    bool traced = false;
    std::string program = "mqd-sim";  // as the command that replays a seed calls it
    std::function<void(std::uint64_t seeds_done)> progress;  // after each seed; may be empty
};

struct CampaignResult {
    std::uint64_t seeds = 0;  // that were run
    std::uint64_t starts = 0;
    std::uint64_t turns = 0;
    Judge::Figures figures;
    Paths paths;
    struct Failure {
        std::uint64_t seed = 0;
        std::uint64_t turn = 0;
        std::string what;
        std::string replay;  // the command that does it again

        bool operator==(const Failure&) const = default;
    };
    std::optional<Failure> failure;  // of the last seed

    bool operator==(const CampaignResult&) const = default;
};

// If the program dies meanwhile, by an assertion or a signal, its last words on standard error are
// the command that replays the seed. One campaign at a time.
[[nodiscard]] CampaignResult run_campaign(const CampaignOptions& options);

// Two lines: what was broken, and the command that replays it.
[[nodiscard]] std::string failure_text(const CampaignResult::Failure& failure);
// One line: "starts=… turns=… …".
[[nodiscard]] std::string figures_text(const CampaignResult& result);

}  // namespace mqd::sim
