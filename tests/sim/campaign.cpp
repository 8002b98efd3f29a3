#include "sim/campaign.hpp"

#include <array>

#include "sim/last_words.hpp"

namespace mqd::sim {

namespace {

constexpr Disasters power_losses{
    .power_losses = 6, .kills = 2, .clean_stops = 2, .io_errors = 1, .full_disks = 1};
constexpr Disasters kills{.kills = 6, .clean_stops = 1};
constexpr Disasters clean_restarts{.clean_stops = 5};
constexpr Disasters io_errors{.clean_stops = 1, .io_errors = 6, .full_disks = 1};

constexpr std::array all_plans{
    Plan{"power-loss", "the power fails, and everything else happens too", power_losses, 2000},
    Plan{"kill", "the process is killed or stopped; the disk is sound", kills, 400},
    Plan{"clean-restart", "the daemon is stopped and started", clean_restarts, 400},
    Plan{"io-error", "calls to the disk fail, once or from then on", io_errors, 400},
};

std::string replay_command(const CampaignOptions& options, std::uint64_t seed) {
    return options.program + " --plan " + std::string(options.plan->name) + " --steps " +
           std::to_string(options.steps) + " --seed " + std::to_string(seed);
}

void add(Judge::Figures& sum, const Judge::Figures& more) {
    sum.published += more.published;
    sum.confirmed += more.confirmed;
    sum.refused += more.refused;
    sum.handed_over += more.handed_over;
    sum.refused_in_total += more.refused_in_total;
    sum.delivered += more.delivered;
    sum.redelivered += more.redelivered;
    sum.acked += more.acked;
    sum.restored += more.restored;
    sum.leases_lost += more.leases_lost;
    sum.expired += more.expired;
    sum.dead_letters += more.dead_letters;
    sum.moved += more.moved;
    sum.histories += more.histories;
}

void add(Paths& sum, const Paths& more) {
    sum.pages_written += more.pages_written;
    sum.pages_read += more.pages_read;
    sum.pages_carried += more.pages_carried;
    sum.checkpoints += more.checkpoints;
    sum.backups += more.backups;
}

}  // namespace

std::span<const Plan> plans() {
    return all_plans;
}

const Plan* find_plan(std::string_view name) {
    for (const Plan& plan : all_plans) {
        if (plan.name == name) {
            return &plan;
        }
    }
    return nullptr;
}

CampaignResult run_campaign(const CampaignOptions& options) {
    MQD_ASSERT(options.plan != nullptr);
    Disasters disasters = options.plan->disasters;
    disasters.turns = options.steps;
    CampaignResult result;
    LastWords last_words;
    for (std::uint64_t i = 0; i < options.seeds && !result.failure; ++i) {
        const std::uint64_t seed = options.first_seed + i;
        const std::string replay = replay_command(options, seed);
        last_words.set("\nended in the middle of a run; to replay it: " + replay + '\n');
        Simulation simulation(seed, disasters, options.traced);
        simulation.run();
        ++result.seeds;
        result.starts += simulation.starts();
        result.turns += simulation.turns();
        add(result.figures, simulation.figures());
        add(result.paths, simulation.paths());
        if (const auto& what = simulation.violation()) {
            result.failure = {seed, simulation.turns(), *what, replay};
        }
        if (options.progress) {
            options.progress(result.seeds);
        }
    }
    return result;
}

std::string failure_text(const CampaignResult::Failure& failure) {
    return "INVARIANT VIOLATED: seed=" + std::to_string(failure.seed) +
           " turn=" + std::to_string(failure.turn) + ": " + failure.what +
           "\nto replay it: " + failure.replay + '\n';
}

std::string figures_text(const CampaignResult& result) {
    const Judge::Figures& of = result.figures;
    std::string text;
    const auto figure = [&](std::string_view name, std::uint64_t value) {
        text += (text.empty() ? "" : " ") + std::string(name) + '=' + std::to_string(value);
    };
    figure("starts", result.starts);
    figure("turns", result.turns);
    figure("published", of.published);
    figure("confirmed", of.confirmed);
    figure("refused", of.refused);
    figure("refused_in_total", of.refused_in_total);
    figure("handed_over", of.handed_over);
    figure("delivered", of.delivered);
    figure("redelivered", of.redelivered);
    figure("acked", of.acked);
    figure("restored", of.restored);
    figure("leases_lost", of.leases_lost);
    figure("expired", of.expired);
    figure("dead_letters", of.dead_letters);
    figure("moved", of.moved);
    figure("histories", of.histories);
    figure("pages_written", result.paths.pages_written);
    figure("pages_read", result.paths.pages_read);
    figure("pages_carried", result.paths.pages_carried);
    figure("checkpoints", result.paths.checkpoints);
    figure("backups", result.paths.backups);
    return text;
}

}  // namespace mqd::sim
