#pragma once

// What is measured: the list of all workloads.

#include <chrono>
#include <vector>

#include "bench/contenders.hpp"
#include "bench/contest.hpp"

namespace mqd::bench {

struct WorkloadOptions {
    Place place;
    std::chrono::milliseconds memory_duration{1'000};  // of publishing, in one run
    std::chrono::milliseconds disk_duration{600};      // the same; disks are metered
};

[[nodiscard]] std::vector<Workload> make_workloads(const WorkloadOptions& options);

}  // namespace mqd::bench
