#pragma once

// "Did you mean": the nearest of the names that exist.

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace mqd::mqctl {

// How many characters must be inserted, deleted, replaced or swapped with their neighbour to make
// one of the other.
[[nodiscard]] std::size_t edit_distance(std::string_view from, std::string_view to);

// The candidate nearest to `name`, if it is near enough to be what was meant; else empty.
[[nodiscard]] std::string_view nearest_name(std::string_view name,
                                            std::span<const std::string> candidates);

// " (did you mean "orders"?)", or nothing.
[[nodiscard]] std::string did_you_mean(std::string_view name,
                                       std::span<const std::string> candidates);

}  // namespace mqd::mqctl
