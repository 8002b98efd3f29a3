#pragma once

// The journal clock: nanoseconds that go on while the daemon runs, and by max(0, difference of the
// wall clock) across a restart. The engine is handed points of it and never asks.

#include <chrono>

namespace mqd::engine {

struct JournalClock {
    using duration = std::chrono::nanoseconds;
    using rep = duration::rep;
    using period = duration::period;
    using time_point = std::chrono::time_point<JournalClock>;
    static constexpr bool is_steady = true;
};

using Time = JournalClock::time_point;

}  // namespace mqd::engine
