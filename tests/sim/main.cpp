// mqd-sim: the simulation of tests/sim for as many seeds as it is told.

#include <getopt.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "sim/campaign.hpp"

namespace mqd::sim {
namespace {

constexpr int exit_violated = 1;
constexpr int exit_usage = 2;
constexpr std::chrono::seconds progress_every{1};

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

void print_usage(std::FILE* to) {
    (void)std::fputs(
        "usage: mqd-sim [OPTION...]\n"
        "Runs the daemon over a simulated disk and clock, with simulated clients and disasters,\n"
        "judged by an independent model. A seed decides everything: the same seed is the same "
        "run.\n"
        "\n"
        "  --seed N      the first seed (default: a new one)\n"
        "  --seeds COUNT so many seeds, from that one on (default: 1)\n"
        "  --steps M     turns of the daemon's loop in each run (default: 700)\n"
        "  --plan PLAN   what goes wrong:\n",
        to);
    for (const Plan& plan : plans()) {
        const bool is_default = &plan == &plans().front();
        (void)std::fprintf(to, "                  %-14s %s%s\n", plan.name.data(), plan.text.data(),
                           is_default ? " (default)" : "");
    }
    (void)std::fputs(
        "  --trace       prints every frame and every disaster\n"
        "  --help\n"
        "\n"
        "Ends with 0 if every invariant held. With 1 if one was broken: then it says which, and "
        "the\n"
        "command that replays that run. With 2 if it was called wrongly.\n",
        to);
}

[[noreturn]] void refuse_usage(const std::string& why) {
    (void)std::fprintf(stderr, "mqd-sim: %s; see mqd-sim --help\n", why.c_str());
    std::exit(exit_usage);
}

std::uint64_t number(std::string_view option, std::string_view text, std::uint64_t least) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value < least) {
        refuse_usage(std::string(option) + " takes a number from " + std::to_string(least) +
                     " on, not \"" + std::string(text) + '"');
    }
    return value;
}

CampaignOptions parse(int argc, char** argv) {
    const option names[] = {{"seed", required_argument, nullptr, 's'},
                            {"seeds", required_argument, nullptr, 'n'},
                            {"steps", required_argument, nullptr, 'm'},
                            {"plan", required_argument, nullptr, 'p'},
                            {"trace", no_argument, nullptr, 't'},
                            {"help", no_argument, nullptr, 'h'},
                            {nullptr, 0, nullptr, 0}};
    CampaignOptions options;
    options.plan = &plans().front();
    options.program = argv[0];
    std::optional<std::uint64_t> seed;
    for (int found = 0; (found = ::getopt_long(argc, argv, "h", names, nullptr)) != -1;) {
        switch (found) {
            case 's': seed = number("--seed", optarg, 0); break;
            case 'n': options.seeds = number("--seeds", optarg, 1); break;
            case 'm': options.steps = number("--steps", optarg, 1); break;
            case 'p': options.plan = find_plan(optarg); break;
            case 't': options.traced = true; break;
            case 'h': print_usage(stdout); std::exit(0);
            default: refuse_usage("it was called wrongly");
        }
        if (options.plan == nullptr) {
            refuse_usage("there is no plan \"" + std::string(optarg) + '"');
        }
    }
    if (optind < argc) {
        refuse_usage("it takes no \"" + std::string(argv[optind]) + '"');
    }
    options.first_seed = seed ? *seed : test::Dice::new_seed();
    return options;
}

// On a terminal, a line that is written again and again.
class ProgressLine {
  public:
    explicit ProgressLine(std::uint64_t seeds)
        : wanted_(::isatty(STDERR_FILENO) == 1), seeds_(seeds) {}

    void show(std::uint64_t done) {
        const Clock::time_point now = Clock::now();
        if (!wanted_ || now < next_) {
            return;
        }
        next_ = now + progress_every;
        shown_ = true;
        (void)std::fprintf(stderr, "\rmqd-sim: %llu of %llu seeds, %.0f a second ",
                           static_cast<unsigned long long>(done),
                           static_cast<unsigned long long>(seeds_),
                           static_cast<double>(done) / Seconds(now - started_).count());
    }
    void clear() const {
        if (shown_) {
            (void)std::fputs("\r\x1B[K", stderr);
        }
    }
    [[nodiscard]] double seconds() const { return Seconds(Clock::now() - started_).count(); }

  private:
    bool wanted_;
    std::uint64_t seeds_;
    Clock::time_point started_ = Clock::now();
    Clock::time_point next_ = started_ + progress_every;
    bool shown_ = false;
};

int run(int argc, char** argv) {
    CampaignOptions options = parse(argc, argv);
    ProgressLine progress(options.seeds);
    if (!options.traced) {
        options.progress = [&](std::uint64_t done) { progress.show(done); };
    }
    const CampaignResult result = run_campaign(options);
    progress.clear();
    if (result.failure) {
        (void)std::fputs(failure_text(*result.failure).c_str(), stdout);
    }
    const double seconds = progress.seconds();
    (void)std::printf(
        "mqd-sim: %s, %llu seeds from %llu, %llu steps: %s; %.1f s, %.0f seeds/s; %s\n",
        options.plan->name.data(), static_cast<unsigned long long>(result.seeds),
        static_cast<unsigned long long>(options.first_seed),
        static_cast<unsigned long long>(options.steps), result.failure ? "FAILED" : "clean",
        seconds, static_cast<double>(result.seeds) / seconds, figures_text(result).c_str());
    return result.failure ? exit_violated : 0;
}

}  // namespace
}  // namespace mqd::sim

int main(int argc, char** argv) {
    return mqd::sim::run(argc, argv);
}
