#pragma once

// So many in so long, as people say it: 10 in a second, 3000 in an hour. A plain value.

#include <chrono>
#include <cstdint>

namespace mqd {

struct Rate {
    std::uint32_t count = 0;      // 0: there is no limit
    std::chrono::seconds per{1};  // at least 1

    [[nodiscard]] constexpr bool limits() const { return count != 0; }
    // From one to the next, rounded up: who keeps it is never faster. 0: there is no limit.
    [[nodiscard]] constexpr std::chrono::nanoseconds spacing() const {
        const std::chrono::nanoseconds all = per;
        return limits() ? (all + std::chrono::nanoseconds(count - 1)) / count
                        : std::chrono::nanoseconds(0);
    }
    friend bool operator==(const Rate&, const Rate&) = default;
};

}  // namespace mqd
