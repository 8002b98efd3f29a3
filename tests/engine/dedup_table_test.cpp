#include "daemon/engine/dedup_table.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "support/dice.hpp"

namespace mqd::engine {
namespace {

WallTime at_us(std::int64_t us) {
    return WallTime(std::chrono::microseconds(us));
}

TEST_CASE("dedup table: an id is known until it is forgotten, the oldest first") {
    DedupTable table;
    CHECK(table.find({1, 1}) == nullptr);
    for (std::uint64_t i = 1; i <= 5; ++i) {
        table.add({{i, 7}, MessageNumber(10 * i), at_us(static_cast<std::int64_t>(i))});
    }
    CHECK(table.find({3, 7})->number == MessageNumber(30));
    CHECK(table.find({3, 8}) == nullptr);
    table.forget_before(at_us(3));
    CHECK(table.size() == 3);
    CHECK(table.find({2, 7}) == nullptr);
    CHECK(table.find({3, 7})->number == MessageNumber(30));
    table.forget_down_to(1);
    CHECK(table.find({4, 7}) == nullptr);
    CHECK(table.at(0).number == MessageNumber(50));
    table.forget_down_to(0);
    CHECK(table.size() == 0);
    CHECK(table.find({5, 7}) == nullptr);
}

TEST_CASE("dedup table: hashes that collide in their places are told apart") {
    DedupTable table;
    for (std::uint64_t i = 0; i < 1000; ++i) {
        table.add({{UINT64_MAX - i % 3, i << 8}, MessageNumber(i + 1), {}});
    }
    for (std::uint64_t i = 0; i < 1000; ++i) {
        CHECK(table.find({UINT64_MAX - i % 3, i << 8})->number == MessageNumber(i + 1));
    }
    table.forget_down_to(10);
    CHECK(table.find({UINT64_MAX - 989 % 3, 989u << 8}) == nullptr);
    CHECK(table.find({UINT64_MAX - 990 % 3, 990u << 8})->number == MessageNumber(991));
}

TEST_CASE("dedup table: a number is found if it is between the oldest and the newest") {
    const std::uint64_t seed = test::Dice::new_seed();
    MESSAGE("seed ", seed);
    test::Dice dice(seed);
    DedupTable table;
    std::uint64_t oldest = 1;
    std::uint64_t next = 1;
    const auto hash_of = [&](std::uint64_t number) {
        return DedupHash{(number * 0x9E3779B97F4A7C15u) << (seed % 2 * 40), number};
    };
    for (int step = 0; step < 20'000; ++step) {
        if (dice.percent(step % 4000 < 2000 ? 70 : 30)) {
            table.add({hash_of(next), MessageNumber(next), at_us(static_cast<std::int64_t>(next))});
            ++next;
        } else if (oldest < next) {
            oldest += dice.below(std::min<std::uint64_t>(4, next - oldest) + 1);
            table.forget_before(at_us(static_cast<std::int64_t>(oldest)));
        }
        REQUIRE(table.size() == next - oldest);
        const std::uint64_t asked = dice.between(1, next);
        const DedupTable::Entry* found = table.find(hash_of(asked));
        REQUIRE((found != nullptr) == (asked >= oldest && asked < next));
        REQUIRE((found == nullptr || found->number == MessageNumber(asked)));
    }
}

TEST_CASE("dedup table: an id takes 40 bytes at most") {
    test::Dice dice(1);
    DedupTable table;
    for (std::uint64_t i = 1; i <= 100'000; ++i) {
        table.add({{dice.next(), dice.next()}, MessageNumber(i), {}});
        if (i % 1000 == 0) {
            REQUIRE(table.memory_bytes() <= i * 40);
        }
    }
}

}  // namespace
}  // namespace mqd::engine
