#pragma once

// What came out: a table for people, printed workload by workload, and one JSON file for programs.

#include <cstdio>
#include <string>
#include <vector>

#include "bench/contest.hpp"

namespace mqd::bench {

// What the figures depend on beside the programs.
struct Machine {
    int cores = 0;
    std::string kernel;
    std::string file_system;  // of the folder that the data lies in
    bool in_memory = false;   // that file system has no disk: a sync costs nothing there
};

[[nodiscard]] Machine describe_machine(const std::string& folder);

void print_outcome(std::FILE* out, const Outcome& outcome, double best_sync_us);

struct Report {
    Machine machine;
    int runs = 0;
    std::vector<Outcome> outcomes;
};
[[nodiscard]] std::string to_json(const Report& report);

}  // namespace mqd::bench
