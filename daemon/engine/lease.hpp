#pragma once

// That a message is with a consumer: until when, and how often it was delivered.

#include <cstdint>

#include "daemon/engine/time.hpp"

namespace mqd::engine {

struct Lease {
    std::uint32_t attempt = 0;  // 1: the first delivery
    Time deadline;
    friend bool operator==(const Lease&, const Lease&) = default;
};

}  // namespace mqd::engine
