#pragma once

// Who competes: the floors and mqd, each with one function that makes the contender for a load.

#include <chrono>
#include <string>

#include "bench/bare_broker.hpp"
#include "bench/contest.hpp"
#include "bench/load.hpp"
#include "bench/socket.hpp"
#include "mqd/types.hpp"

namespace mqd::bench {

inline constexpr const char* relay_name = "plain relay";
inline constexpr const char* bare_broker_name = "bare broker";
inline constexpr const char* mqd_name = "mqd";

// Where a measurement takes place.
struct Place {
    std::string folder;       // for sockets, logs and data directories
    std::string program;      // this one, to be executed anew as a bare broker
    std::string mqd_program;  // empty: mqd does not compete
};

// One in flight over TCP, it is slower than the bare broker: where no confirms and acks go back to
// carry them, TCP's own ACKs are segments of their own.
[[nodiscard]] Contender make_relay(const Place& place, Transport transport, const LoadShape& shape);
[[nodiscard]] Contender make_bare_broker(const Place& place, Transport transport,
                                         const LoadShape& shape, LogMode log);
[[nodiscard]] Contender make_mqd(const Place& place, Transport transport, const LoadShape& shape,
                                 Durability durability);

// A queue in memory under `shape`, while a durable queue of the same daemon waits for a disk whose
// every sync takes `sync_delay` longer.
[[nodiscard]] Contender make_mqd_with_slow_disk(const Place& place, const LoadShape& shape,
                                                std::chrono::milliseconds sync_delay);

// From exec to the first client, and what is resident then: start_ms, idle_resident_kib.
[[nodiscard]] Contender make_starting_bare_broker(const Place& place);
[[nodiscard]] Contender make_starting_mqd(const Place& place);

}  // namespace mqd::bench
