#include "daemon/config/units.hpp"

#include <array>
#include <charconv>
#include <limits>
#include <optional>
#include <span>

namespace mqd {
namespace {

struct Unit {
    std::string_view name;
    std::uint64_t factor = 1;
};

constexpr std::uint64_t kib = 1024;
constexpr std::uint64_t mib = 1024 * kib;
constexpr std::uint64_t gib = 1024 * mib;
constexpr std::uint64_t tib = 1024 * gib;

// In the order in which a formatter tries them: what divides the value first, wins.
constexpr std::array<Unit, 9> size_units{{{"TiB", tib},
                                          {"GiB", gib},
                                          {"MiB", mib},
                                          {"KiB", kib},
                                          {"TB", 1'000'000'000'000},
                                          {"GB", 1'000'000'000},
                                          {"MB", 1'000'000},
                                          {"kB", 1000},
                                          {"B", 1}}};

constexpr std::array<Unit, 5> duration_units{
    {{"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1000}, {"ms", 1}}};

constexpr std::array<Unit, 4> rate_units{{{"/s", 1}, {"/m", 60}, {"/h", 3600}, {"/d", 86'400}}};
constexpr std::size_t rate_digits_max = 9;

Error bad_value(std::string text) {
    return {ErrorCode::bad_config, std::move(text), 0, 0, 0};
}

std::string names_of(std::span<const Unit> units) {
    std::string names;
    for (auto unit = units.rbegin(); unit != units.rend(); ++unit) {
        names += names.empty() ? "" : ", ";
        names += unit->name;
    }
    return names;
}

// The number and the unit behind it; nothing if there is no number or it passes 64 bits.
struct Quantity {
    std::uint64_t number = 0;
    std::string_view unit;
};

std::optional<Quantity> split(std::string_view text) {
    Quantity quantity;
    const char* end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, quantity.number);
    if (error != std::errc{}) {
        return std::nullopt;
    }
    quantity.unit = {rest, static_cast<std::size_t>(end - rest)};
    return quantity;
}

// `what` is "size" or "duration", `example` a good one.
Result<std::uint64_t> parse_quantity(std::string_view text, std::span<const Unit> units,
                                     const std::string& what, const std::string& example) {
    const std::string quoted = '"' + std::string(text) + '"';
    const auto quantity = split(text);
    if (!quantity) {
        return bad_value(quoted + " is not a " + what + " such as \"" + example + '"');
    }
    for (const Unit& unit : units) {
        if (unit.name != quantity->unit) {
            continue;
        }
        // Signed 64 bits bound both: TOML's integers and std::chrono.
        const auto max = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
        if (quantity->number > max / unit.factor) {
            return bad_value(quoted + " is too large for a " + what);
        }
        return quantity->number * unit.factor;
    }
    if (quantity->unit.empty()) {
        return bad_value(quoted + " has no unit; write a " + what + " such as \"" + example + '"');
    }
    return bad_value(quoted + " has an unknown unit; a " + what + " has one of " + names_of(units));
}

std::string format_quantity(std::uint64_t value, std::span<const Unit> units) {
    for (const Unit& unit : units) {
        if (value != 0 && value % unit.factor == 0) {
            return std::to_string(value / unit.factor) + std::string(unit.name);
        }
    }
    return "0" + std::string(units.back().name);
}

bool is_plain_number(std::string_view text) {
    return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace

Result<std::uint64_t> parse_size(std::string_view text) {
    if (is_plain_number(text)) {
        return parse_quantity(std::string(text) + 'B', size_units, "size", "64KiB");
    }
    return parse_quantity(text, size_units, "size", "64KiB");
}

std::string format_size(std::uint64_t bytes) {
    return format_quantity(bytes, size_units);
}

Result<std::chrono::milliseconds> parse_duration(std::string_view text) {
    const auto count = text == "0" ? Result<std::uint64_t>(std::uint64_t{0})
                                   : parse_quantity(text, duration_units, "duration", "30s");
    if (!count) {
        return count.error();
    }
    return std::chrono::milliseconds(static_cast<std::int64_t>(*count));
}

std::string format_duration(std::chrono::milliseconds duration) {
    MQD_ASSERT(duration.count() >= 0, duration.count());
    return format_quantity(static_cast<std::uint64_t>(duration.count()), duration_units);
}

Result<Rate> parse_rate(std::string_view text) {
    const auto quantity = split(text);
    const std::string_view said = quantity ? quantity->unit : std::string_view();
    const bool sound =
        quantity && quantity->number > 0 && text.size() - said.size() <= rate_digits_max;
    for (const Unit& unit : rate_units) {
        if (sound && (unit.name == said || (said.empty() && unit.factor == 1))) {
            return Rate{static_cast<std::uint32_t>(quantity->number),
                        std::chrono::seconds(static_cast<std::int64_t>(unit.factor))};
        }
    }
    return bad_value('"' + std::string(text) +
                     "\" is not a rate, as in 50/s, 3000/m, 100/h or 5/d");
}

std::string format_rate(const Rate& rate) {
    if (!rate.limits()) {
        return "none";
    }
    for (const Unit& unit : rate_units) {
        if (std::chrono::seconds(static_cast<std::int64_t>(unit.factor)) == rate.per) {
            return std::to_string(rate.count) + std::string(unit.name);
        }
    }
    MQD_ASSERT(false, rate.per.count());
    return {};
}

}  // namespace mqd
