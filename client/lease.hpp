#pragma once

// How long the lease of a queue or a consumer may be that a program asks for: the range of the
// daemon's configuration (queue_defaults.lease). The protocol knows the upper end only, and so do
// Session and EXTEND.

#include <chrono>
#include <cstdint>
#include <optional>

#include "mqd/error.hpp"

namespace mqd::client {

inline constexpr std::chrono::milliseconds lease_min{100};
inline constexpr std::chrono::milliseconds lease_max = std::chrono::hours(24);

// `limit` is the end of the range that it lies beyond.
[[nodiscard]] inline Error lease_out_of_range(std::chrono::milliseconds limit) {
    return {ErrorCode::bad_option, "a lease is 100ms to 1d long",
            static_cast<std::uint64_t>(limit.count())};
}

inline constexpr std::chrono::milliseconds run_time_max = std::chrono::hours(24 * 3650);

[[nodiscard]] inline std::optional<Error> check_max_run_time(std::chrono::milliseconds time) {
    if (time.count() >= 0 && time <= run_time_max) {
        return std::nullopt;
    }
    return Error{ErrorCode::bad_option, "the longest time of a run is 0 to ten years",
                 static_cast<std::uint64_t>(run_time_max.count())};
}

// What is wrong with it; nothing: 0 (whoever is asked decides), or lease_min to lease_max.
[[nodiscard]] inline std::optional<Error> check_lease(std::chrono::milliseconds lease) {
    if (lease.count() == 0 || (lease >= lease_min && lease <= lease_max)) {
        return std::nullopt;
    }
    return lease_out_of_range(lease < lease_min ? lease_min : lease_max);
}

}  // namespace mqd::client
