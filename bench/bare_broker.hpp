#pragma once

// The bare broker: what a perfect implementation could approach. One epoll loop with confirms, acks
// and an optional log with one fdatasync per turn of the loop; no queue index, no leases, no
// redelivery, one queue, one consumer.
//
// What travels: a client sends its Role, one byte. A producer then sends messages, each a u32 of
// its bytes and the body; a consumer gets the same bytes. Confirms and acks are u64 totals of
// messages, each of which replaces the one before.

#include <cstddef>
#include <cstdint>
#include <string>

#include "bench/message.hpp"

namespace mqd::bench {

// All messages are of one size, which lets a total of messages stand for a place in the stream.
inline constexpr std::size_t frame_bytes = sizeof(std::uint32_t) + body_bytes;

enum class LogMode {
    none,     // confirmed from memory
    written,  // confirmed when the kernel has it
    synced,   // confirmed and delivered when the disk has it
};

struct BareBrokerOptions {
    LogMode log = LogMode::none;
    std::string log_path;           // on the file system that is to be measured
    std::uint64_t unacked_max = 0;  // messages at the consumer
};

// Serves until the process is ended.
[[noreturn]] void run_bare_broker(int listener, const BareBrokerOptions& options);

// The plain relay: copies the bytes of one producer to one consumer, in one epoll loop.
[[noreturn]] void run_relay(int listener);

}  // namespace mqd::bench
