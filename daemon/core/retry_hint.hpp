#pragma once

// When a client that was refused for want of room is told to try again: as long as consumers and
// the disk take to make some, and short enough that nobody notices.

#include <cstdint>

namespace mqd::core {

inline constexpr std::uint32_t retry_after_ms = 200;

}  // namespace mqd::core
