#pragma once

// Sizes, durations and rates as people write them, in the configuration and on the command line:
// "64KiB", "10MB", "250ms", "30s", "7d", "10/s". Total: every text gives a value or an Error
// (bad_config) of one line. The formatters give the shortest text that reads back to the same
// value.

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "mqd/rate.hpp"
#include "mqd/result.hpp"

namespace mqd {

// Bytes: digits and one of B, kB, MB, GB, TB (powers of 1000), KiB, MiB, GiB, TiB (powers of 1024).
// A number alone is bytes.
[[nodiscard]] Result<std::uint64_t> parse_size(std::string_view text);
[[nodiscard]] std::string format_size(std::uint64_t bytes);

// Digits and one of ms, s, m, h, d. A number alone is refused, except 0: of what, nobody can say.
[[nodiscard]] Result<std::chrono::milliseconds> parse_duration(std::string_view text);
// Precondition: not negative.
[[nodiscard]] std::string format_duration(std::chrono::milliseconds duration);

// A number from 1 on, with at most nine digits, and one of /s, /m, /h, /d; a number alone is in a
// second.
[[nodiscard]] Result<Rate> parse_rate(std::string_view text);
// "none" if there is no limit. Precondition: it is in a second, a minute, an hour or a day.
[[nodiscard]] std::string format_rate(const Rate& rate);

}  // namespace mqd
