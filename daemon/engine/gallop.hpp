#pragma once

// A search in something sorted that goes on where the one before it ended: what lies near is found
// after few looks, and what lies far in twice as many as by halving.

#include <algorithm>
#include <cstddef>

namespace mqd::engine {

// The first index in [from, size) of which before(index) is false; size: there is none.
// Precondition: where it is false once, it stays so, and it is true of all indexes below `from`.
template <typename Before>
[[nodiscard]] std::size_t gallop(std::size_t from, std::size_t size, Before&& before) {
    std::size_t step = 1;
    std::size_t high = from;
    while (high < size && before(high)) {
        from = high + 1;
        high += step;
        step *= 2;
    }
    high = std::min(high, size);
    while (from < high) {
        const std::size_t middle = from + (high - from) / 2;
        if (before(middle)) {
            from = middle + 1;
        } else {
            high = middle;
        }
    }
    return from;
}

}  // namespace mqd::engine
