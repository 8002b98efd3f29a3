#pragma once

// "Did you mean …?": the known name that is nearest to a mistyped one.

#include <span>
#include <string>
#include <string_view>

namespace mqd {

// The nearest of `names` by insertions, deletions, replacements and swaps of neighbours; empty if
// none is near: more than a third of the letters are wrong.
[[nodiscard]] std::string_view nearest_name(std::string_view word,
                                            std::span<const std::string_view> names);

// ` (did you mean "name"?)`, or nothing.
[[nodiscard]] std::string did_you_mean(std::string_view word,
                                       std::span<const std::string_view> names);
[[nodiscard]] std::string did_you_mean(std::string_view word, std::span<const std::string> names);

}  // namespace mqd
