#pragma once

// Quantities as people write and read them: `250ms`, `30s`, `5m`, `7d`; `8.6 MB`; RFC 3339.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "mqd/result.hpp"
#include "mqd/types.hpp"

namespace mqd::mqctl {

// A number, whole or with a fraction, and one of us, ms, s, m, h, d: "1.5s". The bare "0" is zero.
// At most 100 years, never negative. ErrorCode::bad_option with a text that says what was expected.
[[nodiscard]] Result<std::chrono::microseconds> parse_duration(std::string_view text);

// The largest unit that divides it: 30000 ms is "30s", 1500 ms "1500ms".
[[nodiscard]] std::string format_duration(std::chrono::milliseconds duration);

// A whole number and one of B, kB, MB, GB, TB (powers of a thousand), KiB, MiB, GiB, TiB; a number
// alone is bytes. ErrorCode::bad_option with a text that says what was expected.
[[nodiscard]] Result<std::uint64_t> parse_bytes(std::string_view text);

// "842 B", "8.6 MB": powers of a thousand, two digits at least.
[[nodiscard]] std::string format_bytes(std::uint64_t bytes);

// "100,000"
[[nodiscard]] std::string format_count(std::uint64_t count);

// "3 messages", "1 message"
[[nodiscard]] std::string format_messages(std::uint64_t count);

// RFC 3339 in UTC, with microseconds: "2025-11-21T08:02:03.000123Z".
[[nodiscard]] std::string format_time(WallTime time);

// RFC 3339, of which the seconds and the offset may be left out, and the T may be a space; without
// an offset it is local time: "2026-12-24T08:00:00Z", "2026-12-24 08:00". What is finer than
// microseconds is cut off. ErrorCode::bad_option with a text that says what was expected.
[[nodiscard]] Result<WallTime> parse_time(std::string_view text);

[[nodiscard]] Result<Durability> parse_durability(std::string_view text);
[[nodiscard]] std::string_view durability_name(Durability durability);
[[nodiscard]] std::string_view on_full_name(OnFull on_full);
[[nodiscard]] std::optional<OnFull> parse_on_full(std::string_view name);
inline constexpr std::string_view on_full_names = "reject, drop-oldest, dead-letter and wait";
[[nodiscard]] std::string_view on_expired_name(OnExpired on_expired);

}  // namespace mqd::mqctl
