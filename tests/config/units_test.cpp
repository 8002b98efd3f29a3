#include "daemon/config/units.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

using namespace mqd;
using std::chrono::milliseconds;

namespace {

std::uint64_t read_size(std::string_view text) {
    const auto parsed = parse_size(text);
    REQUIRE_MESSAGE(parsed.has_value(), parsed.error().text);
    return *parsed;
}

milliseconds read_duration(std::string_view text) {
    const auto parsed = parse_duration(text);
    REQUIRE_MESSAGE(parsed.has_value(), parsed.error().text);
    return *parsed;
}

std::string size_error(std::string_view text) {
    const auto parsed = parse_size(text);
    return parsed ? "" : parsed.error().text;
}

std::string duration_error(std::string_view text) {
    const auto parsed = parse_duration(text);
    return parsed ? "" : parsed.error().text;
}

}  // namespace

TEST_CASE("units: sizes are read in powers of 1000 and of 1024") {
    CHECK(read_size("0") == 0);
    CHECK(read_size("512") == 512);
    CHECK(read_size("512B") == 512);
    CHECK(read_size("10kB") == 10'000);
    CHECK(read_size("10MB") == 10'000'000);
    CHECK(read_size("64KiB") == 65'536);
    CHECK(read_size("3MiB") == 3u * 1024 * 1024);
    CHECK(read_size("2GiB") == 2ull * 1024 * 1024 * 1024);
    CHECK(read_size("1TB") == 1'000'000'000'000);
    CHECK(read_size("1TiB") == 1ull << 40);
}

TEST_CASE("units: durations are read in their units") {
    CHECK(read_duration("0") == milliseconds(0));
    CHECK(read_duration("250ms") == milliseconds(250));
    CHECK(read_duration("30s") == milliseconds(30'000));
    CHECK(read_duration("5m") == milliseconds(300'000));
    CHECK(read_duration("2h") == milliseconds(7'200'000));
    CHECK(read_duration("7d") == milliseconds(604'800'000));
}

TEST_CASE("units: what is not a size is refused with a line that says why") {
    CHECK(size_error("") == "\"\" is not a size such as \"64KiB\"");
    CHECK(size_error("KiB") == "\"KiB\" is not a size such as \"64KiB\"");
    CHECK(size_error("-1") == "\"-1\" is not a size such as \"64KiB\"");
    CHECK(size_error(" 1KiB") == "\" 1KiB\" is not a size such as \"64KiB\"");
    CHECK(size_error("64kib") ==
          "\"64kib\" has an unknown unit; a size has one of B, kB, MB, GB, TB, KiB, MiB, GiB, TiB");
    for (const std::string text : {"1.5MiB", "64 KiB", "0x10", "64KiBs", "1e3", "1s", "64K"}) {
        CAPTURE(text);
        CHECK(size_error(text).find("has an unknown unit") != std::string::npos);
    }
}

TEST_CASE("units: rates are read and written in their units") {
    using std::chrono::seconds;
    for (const auto& [text, rate] : {std::pair("10/s", Rate{10}),
                                     {"3000/m", Rate{3000, seconds(60)}},
                                     {"100/h", Rate{100, seconds(3600)}},
                                     {"999999999/d", Rate{999'999'999, seconds(86'400)}}}) {
        CAPTURE(text);
        const auto parsed = parse_rate(text);
        REQUIRE(parsed.has_value());
        CHECK(*parsed == rate);
        CHECK(format_rate(rate) == text);
    }
    CHECK(*parse_rate("7") == Rate{7});
    CHECK(format_rate({}) == "none");
    for (const std::string bad : {"", "none", "0/s", "-1/s", "+1/s", " 1/s", "1/S", "1/", "/s",
                                  "1/ms", "1000000000/s", "99999999999999999999/s"}) {
        CAPTURE(bad);
        CHECK(parse_rate(bad).error().text ==
              '"' + bad + "\" is not a rate, as in 50/s, 3000/m, 100/h or 5/d");
    }
}

TEST_CASE("units: what is not a duration is refused with a line that says why") {
    CHECK(duration_error("30") == "\"30\" has no unit; write a duration such as \"30s\"");
    CHECK(duration_error("s") == "\"s\" is not a duration such as \"30s\"");
    CHECK(duration_error("-5s") == "\"-5s\" is not a duration such as \"30s\"");
    CHECK(duration_error("30sec") ==
          "\"30sec\" has an unknown unit; a duration has one of ms, s, m, h, d");
    CHECK(!duration_error("1m30s").empty());
    CHECK(!duration_error("64KiB").empty());
}

TEST_CASE("units: the largest value is taken, one more is refused") {
    const auto max = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    CHECK(read_size("9223372036854775807") == max);
    CHECK(read_size("8388607TiB") == 8'388'607ull << 40);
    CHECK(size_error("9223372036854775808").find("too large") != std::string::npos);
    CHECK(size_error("8388608TiB").find("too large") != std::string::npos);
    CHECK(!size_error("99999999999999999999999").empty());
    CHECK(read_duration("9223372036854775807ms") == milliseconds(max));
    CHECK(duration_error("9223372036854775808ms").find("too large") != std::string::npos);
}

TEST_CASE("units: what is printed is short and reads back") {
    CHECK(format_size(0) == "0B");
    CHECK(format_size(1000) == "1kB");
    CHECK(format_size(1025) == "1025B");
    CHECK(format_size(1ull << 30) == "1GiB");
    CHECK(format_duration(milliseconds(0)) == "0ms");
    CHECK(format_duration(milliseconds(1500)) == "1500ms");
    CHECK(format_duration(milliseconds(90'000)) == "90s");
    CHECK(format_duration(milliseconds(86'400'000)) == "1d");

    std::mt19937_64 random(1);
    for (int i = 0; i < 10'000; ++i) {
        const std::uint64_t value = random() >> (1 + random() % 63);
        CHECK(read_size(format_size(value)) == value);
        const milliseconds time(static_cast<std::int64_t>(value));
        CHECK(read_duration(format_duration(time)) == time);
    }
}
