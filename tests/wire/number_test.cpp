#include <doctest/doctest.h>

#include "mqd/wire/batch.hpp"

namespace mqd {
namespace {

TEST_CASE("numbers: their text says the priority where they have a level") {
    CHECK(format_number(MessageNumber(1842)) == "1842");
    CHECK(format_number(first_of_level(level_of_priority(5)).plus(1841)) == "5.1842");
    CHECK(format_number(first_of_level(level_of_priority(0))) == "0.1");
    CHECK(format_number(first_of_level(level_of_priority(9))) == "9.1");
    CHECK(format_number(MessageNumber(UINT64_MAX)) == "18446744073709551615");
    CHECK(format_message_id("jobs", QueueId(3), first_of_level(5).plus(1841)) == "jobs:3:5.1842");
    CHECK(first_of_level(level_of_priority(9)) < first_of_level(level_of_priority(8)));
}

TEST_CASE("numbers: their text is read back, and nothing else") {
    for (const std::uint64_t value :
         {std::uint64_t{1}, std::uint64_t{1842}, std::uint64_t{1} << 56, UINT64_MAX,
          first_of_level(1).value(), first_of_level(10).value() + 99,
          first_of_level(3).value() - 2}) {
        CHECK(parse_number(format_number(MessageNumber(value))) == MessageNumber(value));
    }
    for (const char* const text : {"", ".", "5.", ".5", "10.1", "a.1", "5.x", "5.1 ", "-1", "5.-1",
                                   "1842x", "5.72057594037927936", "18446744073709551616"}) {
        CAPTURE(text);
        CHECK_FALSE(parse_number(text));
    }
}

TEST_CASE("priority attribute: once, one byte, 0 to 9") {
    const auto read = [](const std::vector<std::vector<std::uint8_t>>& values) {
        std::vector<std::byte> attributes;
        wire::Writer writer(attributes);
        for (const auto& value : values) {
            writer.number(std::uint16_t{0x8002}).number(static_cast<std::uint16_t>(value.size()));
            for (const std::uint8_t byte : value) {
                writer.number(byte);
            }
        }
        return wire::decode_priority(attributes);
    };
    CHECK(read({}) == 0u);
    CHECK(read({{0}}) == 0u);
    CHECK(read({{9}}) == 9u);
    CHECK_FALSE(read({{10}}));
    CHECK_FALSE(read({{1}, {1}}));
    CHECK_FALSE(read({{1, 0}}));
    CHECK_FALSE(read({{}}));
}

}  // namespace
}  // namespace mqd
