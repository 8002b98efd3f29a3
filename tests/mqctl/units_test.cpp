#include "client/mqctl/units.hpp"

#include <doctest/doctest.h>

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
