#pragma once

// Producer and consumer for the floors (bare_broker.hpp says what travels). They do what any good
// client does and no more: gather up to 64 KiB for a write, read while a write is blocked, confirm
// and ack by totals.

#include "bench/load.hpp"
#include "bench/socket.hpp"

namespace mqd::bench {

inline constexpr std::size_t client_buffer_bytes = 64 * 1024;

// `confirms`: the server confirms and takes acks; the relay does neither.
struct FloorClientOptions {
    Address address;
    LoadShape shape;
    bool confirms = true;
};

[[nodiscard]] LoadClient make_floor_client(const FloorClientOptions& options);

}  // namespace mqd::bench
