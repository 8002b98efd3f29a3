#include "client/mqctl/units.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <optional>

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

// Takes a time apart, from left to right. Once something is not as it must be, it stays bad.
class TimeReader {
  public:
    explicit TimeReader(std::string_view text) : rest_(text) {}

    // Exactly so many digits, of a number in this range.
    int digits(std::size_t count, int min, int max) {
        int value = 0;
        for (std::size_t i = 0; i < count; ++i) {
            const char digit = i < rest_.size() ? rest_[i] : '\0';
            ok_ = ok_ && digit >= '0' && digit <= '9';
            value = value * 10 + (digit - '0');
        }
        ok_ = ok_ && value >= min && value <= max;
        rest_.remove_prefix(ok_ ? count : 0);
        return ok_ ? value : min;
    }
    // One of these characters, if it comes next; else '\0'.
    char maybe(std::string_view characters) {
        if (!ok_ || rest_.empty() || characters.find(rest_[0]) == std::string_view::npos) {
            return '\0';
        }
        const char found = rest_[0];
        rest_.remove_prefix(1);
        return found;
    }
    void must(std::string_view characters) { ok_ = maybe(characters) != '\0'; }
    // Digits behind the point of the seconds, of which there is one at least.
    std::chrono::microseconds fraction() {
        int value = digits(1, 0, 9) * 100'000;
        for (int unit = 10'000;; unit /= 10) {
            const char digit = maybe("0123456789");
            if (digit == '\0') {
                break;
            }
            value += (digit - '0') * unit;
        }
        return std::chrono::microseconds(value);
    }
    [[nodiscard]] bool ok() const { return ok_; }
    [[nodiscard]] bool at_end() const { return rest_.empty(); }

  private:
    std::string_view rest_;
    bool ok_ = true;
};

// Of the clock on the wall here; nothing: there is no such day.
std::optional<std::chrono::seconds> local_seconds(std::chrono::year_month_day date,
                                                  std::chrono::seconds clock) {
    std::tm local{};
    local.tm_year = int{date.year()} - 1900;
    local.tm_mon = static_cast<int>(unsigned{date.month()}) - 1;
    local.tm_mday = static_cast<int>(unsigned{date.day()});
    local.tm_hour = static_cast<int>(clock / std::chrono::hours(1));
    local.tm_min = static_cast<int>(clock % std::chrono::hours(1) / std::chrono::minutes(1));
    local.tm_sec = static_cast<int>((clock % std::chrono::minutes(1)).count());
    local.tm_isdst = -1;
    local.tm_wday = -1;  // stays so if it fails
    const std::time_t time = std::mktime(&local);
    return local.tm_wday < 0 ? std::nullopt : std::optional(std::chrono::seconds(time));
}

// What stands behind a time of day: Z, +01:00, or nothing, which is local time.
std::optional<std::chrono::seconds> read_offset(TimeReader& reader,
                                                std::chrono::year_month_day date,
                                                std::chrono::seconds clock) {
    const std::chrono::seconds utc = std::chrono::sys_days(date).time_since_epoch() + clock;
    if (reader.maybe("Zz") != '\0') {
        return utc;
    }
    const char sign = reader.maybe("+-");
    if (sign == '\0') {
        return local_seconds(date, clock);
    }
    const std::chrono::hours hours(reader.digits(2, 0, 23));
    reader.must(":");
    const std::chrono::minutes minutes(reader.digits(2, 0, 59));
    return sign == '+' ? utc - hours - minutes : utc + hours + minutes;
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
                return Error{ErrorCode::bad_option, "\"" + std::string(text) +
                                                        "\" is too long: a duration is at most " +
                                                        "100 years (36600d)"};
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

Result<WallTime> parse_time(std::string_view text) {
    TimeReader reader(text);
    const std::chrono::year year(reader.digits(4, 0, 9999));
    reader.must("-");
    const auto month = static_cast<unsigned>(reader.digits(2, 1, 12));
    reader.must("-");
    const auto day = static_cast<unsigned>(reader.digits(2, 1, 31));
    reader.must("Tt ");
    std::chrono::seconds clock = std::chrono::hours(reader.digits(2, 0, 23));
    reader.must(":");
    clock += std::chrono::minutes(reader.digits(2, 0, 59));
    std::chrono::microseconds fraction{};
    if (reader.maybe(":") != '\0') {
        clock += std::chrono::seconds(reader.digits(2, 0, 60));  // 60: a leap second
        fraction = reader.maybe(".") != '\0' ? reader.fraction() : fraction;
    }
    const std::chrono::year_month_day date(year, std::chrono::month(month), std::chrono::day(day));
    const auto seconds = date.ok() ? read_offset(reader, date, clock) : std::nullopt;
    if (!seconds || !reader.ok() || !reader.at_end()) {
        return Error{ErrorCode::bad_option,
                     "\"" + std::string(text) +
                         "\" is not a time (write 2026-12-24T08:00:00Z, or with an offset as "
                         "+01:00; without one it is local time)"};
    }
    return WallTime(*seconds + fraction);
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

std::string_view on_expired_name(OnExpired on_expired) {
    switch (on_expired) {
        case OnExpired::unspecified: return "default";
        case OnExpired::drop: return "drop";
        case OnExpired::dead_letter: return "dead_letter";
    }
    return "unknown";
}

std::string_view on_full_name(OnFull on_full) {
    switch (on_full) {
        case OnFull::unspecified: return "default";
        case OnFull::reject: return "reject";
        case OnFull::drop_oldest: return "drop-oldest";
        case OnFull::dead_letter: return "dead-letter";
        case OnFull::wait: return "wait";
    }
    return "unknown";
}

std::optional<OnFull> parse_on_full(std::string_view name) {
    for (const OnFull what :
         {OnFull::reject, OnFull::drop_oldest, OnFull::dead_letter, OnFull::wait}) {
        if (name == on_full_name(what)) {
            return what;
        }
    }
    return std::nullopt;
}

}  // namespace mqd::mqctl
