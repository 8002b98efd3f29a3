#include "daemon/storage/crc32c.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <string_view>
#include <vector>

#include "support/dice.hpp"

namespace mqd::storage {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) {
    return std::as_bytes(std::span<const char>(text.data(), text.size()));
}

TEST_CASE("crc32c: gives the published values") {
    CHECK(crc32c({}) == 0);
    CHECK(crc32c(bytes_of("123456789")) == 0xE3069283);
    const std::vector<std::byte> zeros(32, std::byte{0});
    CHECK(crc32c(zeros) == 0x8A9136AA);
    const std::vector<std::byte> ones(32, std::byte{0xFF});
    CHECK(crc32c(ones) == 0x62A8AB43);
    std::vector<std::byte> rising(32);
    for (std::size_t i = 0; i < rising.size(); ++i) {
        rising[i] = static_cast<std::byte>(i);
    }
    CHECK(crc32c(rising) == 0x46DD794E);
    CHECK(crc32c_by_table(rising, 0) == 0x46DD794E);
}

TEST_CASE("crc32c: instruction and tables agree for every length and any beginning") {
    if (!crc32c_has_instruction()) {
        MESSAGE("this processor has no instruction for it");
        return;
    }
    const std::uint64_t seed = test::Dice::new_seed();
    CAPTURE(seed);
    test::Dice dice(seed);
    std::vector<std::byte> bytes(20'000);
    for (std::byte& byte : bytes) {
        byte = static_cast<std::byte>(dice.next());
    }
    const std::span<const std::byte> all = bytes;
    for (std::size_t count = 0; count < 10'000; ++count) {
        const auto part = all.subspan(static_cast<std::size_t>(dice.below(64)), count);
        const auto before = static_cast<std::uint32_t>(dice.next());
        REQUIRE(crc32c_by_instruction(part, before) == crc32c_by_table(part, before));
    }
}

TEST_CASE("crc32c: of two parts is that of the whole") {
    const auto whole = bytes_of("a batch is the unit of work");
    for (std::size_t cut = 0; cut <= whole.size(); ++cut) {
        CHECK(crc32c(whole.subspan(cut), crc32c(whole.first(cut))) == crc32c(whole));
    }
}

}  // namespace
}  // namespace mqd::storage
