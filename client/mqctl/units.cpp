#include "client/mqctl/units.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>

namespace mqd::mqctl {
namespace {

struct DurationUnit {
    std::string_view suffix;
    std::int64_t microseconds;
};
constexpr std::array<DurationUnit, 6> duration_units{{
    {"us", 1},
    {"ms", 1'000},
    {"s", 1'000'000},
    {"m", 60'000'000},
    {"h", 3'600'000'000},
    {"d", 86'400'000'000},
}};
constexpr double duration_us_max = 100.0 * 366 * 86'400e6;

Error bad_duration(std::string_view text) {
    return {ErrorCode::bad_option,
            "\"" + std::string(text) + "\" is not a duration (write 250ms, 30s, 5m, 2h or 7d)"};
}

}  // namespace

Result<std::chrono::microseconds> parse_duration(std::string_view text) {
    if (text == "0") {
        return std::chrono::microseconds(0);
    }
    double number = 0;
    const char* const end = text.data() + text.size();
    const auto parsed = std::from_chars(text.data(), end, number, std::chars_format::fixed);
    if (parsed.ec != std::errc() || !(number >= 0)) {
        return bad_duration(text);
    }
    const std::string_view suffix(parsed.ptr, static_cast<std::size_t>(end - parsed.ptr));
    for (const DurationUnit& unit : duration_units) {
        if (suffix == unit.suffix) {
            const double microseconds = number * static_cast<double>(unit.microseconds);
            if (microseconds > duration_us_max) {
                return bad_duration(text);
            }
            return std::chrono::microseconds(std::llround(microseconds));
        }
    }
    return bad_duration(text);
}

std::string format_duration(std::chrono::milliseconds duration) {
    constexpr std::int64_t us_per_ms = 1000;
    for (auto unit = duration_units.rbegin(); unit != duration_units.rend(); ++unit) {
        const std::int64_t milliseconds = unit->microseconds / us_per_ms;
        if (milliseconds != 0 && duration.count() != 0 && duration.count() % milliseconds == 0) {
            return std::to_string(duration.count() / milliseconds) + std::string(unit->suffix);
        }
    }
    return std::to_string(duration.count()) + "ms";
}

Result<std::uint64_t> parse_bytes(std::string_view text) {
    struct Unit {
        std::string_view suffix;
        std::uint64_t bytes;
    };
    constexpr std::array<Unit, 10> units{{{"", 1},
                                          {"B", 1},
                                          {"kB", 1'000},
                                          {"MB", 1'000'000},
                                          {"GB", 1'000'000'000},
                                          {"TB", 1'000'000'000'000},
                                          {"KiB", 1ull << 10},
                                          {"MiB", 1ull << 20},
                                          {"GiB", 1ull << 30},
                                          {"TiB", 1ull << 40}}};
    std::uint64_t number = 0;
    const char* const end = text.data() + text.size();
    const auto parsed = std::from_chars(text.data(), end, number);
    const std::string_view suffix(parsed.ptr, static_cast<std::size_t>(end - parsed.ptr));
    for (const Unit& unit : units) {
        if (parsed.ec == std::errc() && suffix == unit.suffix &&
            number <= UINT64_MAX / unit.bytes) {
            return number * unit.bytes;
        }
    }
    return Error{ErrorCode::bad_option,
                 "\"" + std::string(text) + "\" is not a size (write 64KiB, 10MB or 1GiB)"};
}

std::string format_bytes(std::uint64_t bytes) {
    constexpr std::array<const char*, 6> units{"kB", "MB", "GB", "TB", "PB", "EB"};
    if (bytes < 1000) {
        return std::to_string(bytes) + " B";
    }
    double value = static_cast<double>(bytes) / 1000;
    std::size_t unit = 0;
    while (value >= 999.5 && unit + 1 < units.size()) {
        value /= 1000;
        ++unit;
    }
    std::array<char, 32> text{};
    const int size = std::snprintf(text.data(), text.size(), value < 9.95 ? "%.1f %s" : "%.0f %s",
                                   value, units[unit]);
    return {text.data(), static_cast<std::size_t>(size)};
}

std::string format_count(std::uint64_t count) {
    std::string text = std::to_string(count);
    for (std::size_t at = text.size(); at > 3; at -= 3) {
        text.insert(at - 3, ",");
    }
    return text;
}

std::string format_messages(std::uint64_t count) {
    return format_count(count) + (count == 1 ? " message" : " messages");
}

std::string format_time(WallTime time) {
    const auto day = std::chrono::floor<std::chrono::days>(time);
    const std::chrono::year_month_day date(day);
    const std::chrono::hh_mm_ss clock(time - day);
    std::array<char, 48> text{};
    const int size = std::snprintf(
        text.data(), text.size(), "%04d-%02u-%02uT%02d:%02d:%02d.%06dZ", int{date.year()},
        unsigned{date.month()}, unsigned{date.day()}, static_cast<int>(clock.hours().count()),
        static_cast<int>(clock.minutes().count()), static_cast<int>(clock.seconds().count()),
        static_cast<int>(clock.subseconds().count()));
    return {text.data(), static_cast<std::size_t>(size)};
}

Result<Durability> parse_durability(std::string_view text) {
    for (const auto durability : {Durability::memory, Durability::written, Durability::disk}) {
        if (text == durability_name(durability)) {
            return durability;
        }
    }
    return Error{ErrorCode::bad_option,
                 "\"" + std::string(text) + "\" is not a durability (memory, written, disk)"};
}

std::string_view durability_name(Durability durability) {
    switch (durability) {
        case Durability::unspecified: return "default";
        case Durability::memory: return "memory";
        case Durability::written: return "written";
        case Durability::disk: return "disk";
    }
    return "unknown";
}

std::string_view on_full_name(OnFull on_full) {
    switch (on_full) {
        case OnFull::unspecified: return "default";
        case OnFull::reject: return "reject";
        case OnFull::drop_oldest: return "drop-oldest";
    }
    return "unknown";
}

}  // namespace mqd::mqctl
