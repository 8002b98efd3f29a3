#pragma once

// Producer and consumer for the daemon, through the public client library: what a program that
// cares for its throughput would write, and nothing that only a benchmark could.

#include <string>

#include "bench/load.hpp"

namespace mqd::bench {

struct MqdClientOptions {
    std::string url;
    std::string queue;
    LoadShape shape;
    // Another queue, to which one message after the other is published meanwhile; empty: none.
    std::string disturbed_queue;
};

[[nodiscard]] LoadClient make_mqd_client(const MqdClientOptions& options);

}  // namespace mqd::bench
