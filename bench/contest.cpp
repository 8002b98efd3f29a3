#include "bench/contest.hpp"

#include <algorithm>
#include <cstdio>
#include <thread>

namespace mqd::bench {

namespace {

constexpr std::chrono::milliseconds disk_wait_step{1'000};

Figures median_of(const std::vector<Figures>& runs) {
    std::map<std::string, std::vector<double>> values;
    for (const Figures& run : runs) {
        for (const auto& [name, value] : run) {
            values[name].push_back(value);
        }
    }
    Figures result;
    for (auto& [name, list] : values) {
        std::sort(list.begin(), list.end());
        const std::size_t middle = list.size() / 2;
        result[name] = list.size() % 2 == 1 ? list[middle] : (list[middle - 1] + list[middle]) / 2;
    }
    return result;
}

}  // namespace

const Standing* Outcome::find(const std::string& contender) const {
    const auto found = std::find_if(standings.begin(), standings.end(),
                                    [&](const Standing& s) { return s.name == contender; });
    return found == standings.end() ? nullptr : &*found;
}

bool Outcome::failed() const {
    return std::any_of(standings.begin(), standings.end(),
                       [](const Standing& standing) { return !standing.errors.empty(); });
}

Outcome Contest::run(const Workload& workload) {
    Outcome outcome{workload, {}};
    for (const Contender& contender : workload.contenders) {
        outcome.standings.push_back(
            {.name = contender.name, .runs = {}, .errors = {}, .median = {}});
    }
    for (int i = 0; i < options_.runs; ++i) {
        for (std::size_t j = 0; j < workload.contenders.size(); ++j) {
            take_turn(workload, workload.contenders[j], outcome.standings[j]);
        }
    }
    for (Standing& standing : outcome.standings) {
        standing.median = median_of(standing.runs);
    }
    return outcome;
}

void Contest::take_turn(const Workload& workload, const Contender& contender, Standing& standing) {
    const double before_us = workload.uses_disk ? await_disk() : 0;
    auto figures = contender.measure();
    if (!figures) {
        std::fprintf(stderr, "mqd-bench: %s, %s: %s\n", workload.name.c_str(),
                     contender.name.c_str(), figures.error().text.c_str());
        standing.errors.push_back(figures.error().text);
        return;
    }
    if (workload.uses_disk) {
        (*figures)["disk_sync_us"] = std::max(before_us, gauge_.sync_us());
    }
    standing.runs.push_back(std::move(*figures));
}

double Contest::await_disk() {
    double now_us = gauge_.sync_us();
    auto left = std::min(options_.disk_wait_max, disk_wait_left_);
    while (now_us > slow_disk_factor * gauge_.best_us() && left >= disk_wait_step) {
        std::this_thread::sleep_for(disk_wait_step);
        left -= disk_wait_step;
        disk_wait_left_ -= disk_wait_step;
        now_us = gauge_.sync_us();
    }
    return now_us;
}

}  // namespace mqd::bench
