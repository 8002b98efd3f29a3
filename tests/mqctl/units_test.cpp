#include "client/mqctl/units.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <ctime>

namespace mqd::mqctl {
namespace {

using namespace std::chrono_literals;

TEST_CASE("units: durations have a number and a unit") {
    CHECK(*parse_duration("250us") == 250us);
    CHECK(*parse_duration("250ms") == 250ms);
    CHECK(*parse_duration("30s") == 30s);
    CHECK(*parse_duration("1.5s") == 1500ms);
    CHECK(*parse_duration("5m") == 5min);
    CHECK(*parse_duration("2h") == 2h);
    CHECK(*parse_duration("7d") == 168h);
    CHECK(*parse_duration("0") == 0us);
    CHECK(*parse_duration("0s") == 0us);
    CHECK(*parse_duration("36600d") == 36600 * 24h);
    for (const char* const text : {"", "5", "s", "-5s", "+5s", "5 s", "5x", "5sx", "nan", "infs",
                                   "1e3s", "0x5s", "36601d", "99999999999999999999d"}) {
        CAPTURE(text);
        const auto parsed = parse_duration(text);
        REQUIRE_FALSE(parsed);
        CHECK(parsed.error().code == ErrorCode::bad_option);
    }
}

TEST_CASE("units: a duration is shown in the largest unit that divides it") {
    CHECK(format_duration(0ms) == "0ms");
    CHECK(format_duration(250ms) == "250ms");
    CHECK(format_duration(1500ms) == "1500ms");
    CHECK(format_duration(30s) == "30s");
    CHECK(format_duration(90s) == "90s");
    CHECK(format_duration(5min) == "5m");
    CHECK(format_duration(48h) == "2d");
}

TEST_CASE("units: bytes have at least two digits") {
    CHECK(format_bytes(0) == "0 B");
    CHECK(format_bytes(999) == "999 B");
    CHECK(format_bytes(1000) == "1.0 kB");
    CHECK(format_bytes(8'600'000) == "8.6 MB");
    CHECK(format_bytes(9'960'000) == "10 MB");
    CHECK(format_bytes(999'499) == "999 kB");
    CHECK(format_bytes(999'500) == "1.0 MB");
    CHECK(format_bytes(UINT64_MAX) == "18 EB");
}

TEST_CASE("units: counts are grouped by thousands") {
    CHECK(format_count(0) == "0");
    CHECK(format_count(999) == "999");
    CHECK(format_count(1000) == "1,000");
    CHECK(format_count(12'345'678) == "12,345,678");
    CHECK(format_messages(1) == "1 message");
    CHECK(format_messages(1000) == "1,000 messages");
}

TEST_CASE("units: times are RFC 3339 in UTC") {
    CHECK(format_time(WallTime(0us)) == "1970-01-01T00:00:00.000000Z");
    CHECK(format_time(WallTime(1'763'712'123'000'123us)) == "2025-11-21T08:02:03.000123Z");
    CHECK(format_time(WallTime(-1us)) == "1969-12-31T23:59:59.999999Z");
}

TEST_CASE("units: a time is RFC 3339, and seconds may be left out") {
    constexpr auto whole = WallTime(1'763'712'123s);
    CHECK(*parse_time("1970-01-01T00:00:00Z") == WallTime(0us));
    CHECK(*parse_time("2025-11-21T08:02:03Z") == whole);
    CHECK(*parse_time("2025-11-21t08:02:03z") == whole);
    CHECK(*parse_time("2025-11-21 08:02:03Z") == whole);
    CHECK(*parse_time("2025-11-21T08:02Z") == whole - 3s);
    CHECK(*parse_time("2025-11-21T09:02:03+01:00") == whole);
    CHECK(*parse_time("2025-11-20T22:32:03-09:30") == whole);
    CHECK(*parse_time("2025-11-21T08:02:03.000123Z") == whole + 123us);
    CHECK(*parse_time("2025-11-21T08:02:03.5Z") == whole + 500ms);
    CHECK(*parse_time("2025-11-21T08:02:03.123456789Z") == whole + 123456us);
    CHECK(*parse_time("2016-12-31T23:59:60Z") == *parse_time("2017-01-01T00:00:00Z"));
    CHECK(*parse_time("2024-02-29T00:00:00Z") == WallTime(1'709'164'800s));
    for (const auto time : {WallTime(-1us), whole + 123us, *parse_time("9999-12-31T23:59:59Z")}) {
        CHECK(*parse_time(format_time(time)) == time);
    }
    for (const char* const text : {"",
                                   "now",
                                   "30s",
                                   "1763712123",
                                   "2025-11-21",
                                   "2025-11-21T",
                                   "2025-11-21T08Z",
                                   "2025-11-21T8:02:03Z",
                                   "2025-13-01T00:00:00Z",
                                   "2025-00-01T00:00:00Z",
                                   "2025-02-29T00:00:00Z",
                                   "2025-11-31T00:00:00Z",
                                   "2025-11-21T24:00:00Z",
                                   "2025-11-21T08:60:00Z",
                                   "2025-11-21T08:02:61Z",
                                   "2025-11-21T08:02:03.Z",
                                   "2025-11-21T08:02:03 Z",
                                   "2025-11-21T08:02:03+1:00",
                                   "2025-11-21T08:02:03+0100",
                                   "2025-11-21T08:02:03+24:00",
                                   "2025-11-21T08:02:03Zx",
                                   "25-11-21T08:02:03Z",
                                   "-025-11-21T08:02:03Z",
                                   "2025-11-21T08:02:03,5Z",
                                   "2025/11/21 08:02:03Z"}) {
        CAPTURE(text);
        const auto parsed = parse_time(text);
        REQUIRE_FALSE(parsed);
        CHECK(parsed.error().code == ErrorCode::bad_option);
        CHECK(parsed.error().text.find(std::string(text) + "\" is not a time") !=
              std::string::npos);
    }
}

TEST_CASE("units: a time without an offset is local time") {
    const char* const before = std::getenv("TZ");
    const std::string kept = before != nullptr ? before : "";
    REQUIRE(::setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1) == 0);
    CHECK(*parse_time("2026-12-24T08:00:00") == *parse_time("2026-12-24T07:00:00Z"));
    CHECK(*parse_time("2026-07-01 08:00:00.25") == *parse_time("2026-07-01T06:00:00.25Z"));
    CHECK(*parse_time("1970-01-01T00:59:59") == WallTime(-1s));
    CHECK(*parse_time("2026-03-29T04:00") == *parse_time("2026-03-29T02:00Z"));  // summer begins
    CHECK(*parse_time("2026-12-24T08:00:00Z") == *parse_time("2026-12-24T09:00:00+01:00"));
    before != nullptr ? ::setenv("TZ", kept.c_str(), 1) : ::unsetenv("TZ");
    ::tzset();
}

TEST_CASE("units: durabilities have the names of the protocol") {
    for (const auto durability : {Durability::memory, Durability::written, Durability::disk}) {
        CHECK(*parse_durability(durability_name(durability)) == durability);
    }
    CHECK_FALSE(parse_durability("default"));
    CHECK_FALSE(parse_durability(""));
}

TEST_CASE("units: a size has a unit, or is bytes") {
    CHECK(*parse_bytes("0") == 0);
    CHECK(*parse_bytes("17") == 17);
    CHECK(*parse_bytes("10MB") == 10'000'000);
    CHECK(*parse_bytes("64KiB") == 65'536);
    CHECK(*parse_bytes("16777215TiB") == 16'777'215ull << 40);
    for (const char* const text :
         {"", "B", "1G", "-1", "1.5MB", "16777216TiB", "1 KiB", "18446744073709551616"}) {
        CAPTURE(text);
        CHECK(parse_bytes(text).error().code == ErrorCode::bad_option);
    }
}

}  // namespace
}  // namespace mqd::mqctl
