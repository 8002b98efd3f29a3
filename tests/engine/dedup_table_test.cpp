#include "daemon/engine/dedup_table.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <vector>

#include "support/dice.hpp"

namespace mqd::engine {
namespace {

Time at_us(std::uint64_t us) {
    return Time(std::chrono::microseconds(us));
}

void forget_before(DedupTable& table, std::uint64_t us) {
    while (!table.empty() && table.oldest().taken < at_us(us)) {
        table.forget_oldest();
    }
}

void forget_down_to(DedupTable& table, std::size_t count) {
    while (table.size() > count) {
        table.forget_oldest();
    }
}

TEST_CASE("dedup table: an id is known until it is forgotten, the oldest first") {
    DedupTable table;
    CHECK(table.find({1, 1}) == nullptr);
    for (std::uint64_t i = 1; i <= 5; ++i) {
        table.add({{i, 7}, MessageNumber(10 * i), at_us(i)});
    }
    CHECK(table.find({3, 7})->number == MessageNumber(30));
    CHECK(table.find({3, 8}) == nullptr);
    forget_before(table, 3);
    CHECK(table.size() == 3);
    CHECK(table.find({2, 7}) == nullptr);
    CHECK(table.find({3, 7})->number == MessageNumber(30));
    forget_down_to(table, 1);
    CHECK(table.find({4, 7}) == nullptr);
    CHECK(table.oldest().number == MessageNumber(50));
    forget_down_to(table, 0);
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
    forget_down_to(table, 10);
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
            table.add({hash_of(next), MessageNumber(next), at_us(next)});
            ++next;
        } else if (oldest < next) {
            oldest += dice.below(std::min<std::uint64_t>(4, next - oldest) + 1);
            forget_before(table, oldest);
        }
        REQUIRE(table.size() == next - oldest);
        const std::uint64_t asked = dice.between(1, next);
        const DedupTable::Entry* found = table.find(hash_of(asked));
        REQUIRE((found != nullptr) == (asked >= oldest && asked < next));
        REQUIRE((found == nullptr || found->number == MessageNumber(asked)));
    }
}

TEST_CASE("dedup table: any may be forgotten out of turn, and the newest again") {
    const std::uint64_t seed = test::Dice::new_seed();
    MESSAGE("seed ", seed);
    test::Dice dice(seed);
    DedupTable table;
    std::map<std::uint64_t, DedupHash> there;
    std::uint64_t next = 1;
    for (int step = 0; step < 5'000; ++step) {
        const std::uint64_t kind = dice.below(8);
        if (kind < 4 || there.empty()) {
            const DedupHash hash{dice.next(), dice.next()};
            table.add({hash, MessageNumber(next), {}});
            there.emplace(next++, hash);
        } else if (kind < 6) {
            const auto at =
                std::next(there.begin(), static_cast<std::ptrdiff_t>(dice.below(there.size())));
            table.forget(at->second);
            REQUIRE(table.find(at->second) == nullptr);
            there.erase(at);
        } else if (kind == 6) {
            table.forget_newest();
            there.erase(std::prev(there.end()));
        } else {
            table.forget_oldest();
            there.erase(there.begin());
        }
        REQUIRE(table.size() == there.size());
        std::vector<std::uint64_t> row;
        for (std::uint64_t at = table.begin(); at < table.end(); ++at) {
            if (table.at(at).number != DedupTable::forgotten) {
                row.push_back(table.at(at).number.value());
                REQUIRE(table.find(table.at(at).hash) == &table.at(at));
            }
        }
        REQUIRE(std::equal(row.begin(), row.end(), there.begin(), there.end(),
                           [](std::uint64_t a, const auto& b) { return a == b.first; }));
    }
}

TEST_CASE("dedup table: what is taken back again and again leaves nothing") {
    const std::uint64_t seed = test::Dice::new_seed();
    MESSAGE("seed ", seed);
    test::Dice dice(seed);
    DedupTable table;
    std::vector<DedupHash> kept;
    std::size_t bytes = 0;
    for (int round = 0; round < 2'000; ++round) {
        for (std::uint64_t i = 1; i <= 200; ++i) {
            table.add({{dice.next(), dice.next()}, MessageNumber(i), {}});
        }
        bytes = std::max(bytes, table.memory_bytes());
        for (int i = 0; i < 200; ++i) {
            table.forget_newest();
        }
        REQUIRE(table.empty());
    }
    for (std::uint64_t i = 1; i <= 200; ++i) {
        kept.push_back({dice.next(), dice.next()});
        table.add({kept.back(), MessageNumber(i), {}});
    }
    for (const DedupHash& hash : kept) {
        REQUIRE(table.find(hash) != nullptr);
    }
    CHECK(table.memory_bytes() <= bytes);
}

TEST_CASE("dedup table: many come and go, and each is found while it is there") {
    const std::uint64_t seed = test::Dice::new_seed();
    MESSAGE("seed ", seed);
    constexpr std::uint64_t most = 20'000;
    const auto hash_of = [&](std::uint64_t i) {
        test::Dice dice(seed + i);
        return DedupHash{dice.next(), dice.next()};
    };
    DedupTable table;
    for (std::uint64_t i = 1; i <= 10 * most; ++i) {
        REQUIRE(table.find(hash_of(i)) == nullptr);
        table.add({hash_of(i), MessageNumber(i), {}});
        forget_down_to(table, most);
        const std::uint64_t other = i - (i * 7 % std::min(i, most));
        REQUIRE(table.find(hash_of(other))->number == MessageNumber(other));
        REQUIRE((i <= most || table.find(hash_of(i - most)) == nullptr));
    }
    forget_down_to(table, 100);
    CHECK(table.memory_bytes() <= 100 * 45 + 12'000);
}

TEST_CASE("dedup table: an id takes 45 bytes at most") {
    test::Dice dice(1);
    DedupTable table;
    for (std::uint64_t i = 1; i <= 100'000; ++i) {
        table.add({{dice.next(), dice.next()}, MessageNumber(i), {}});
        if (i % 1000 == 0) {
            REQUIRE(table.memory_bytes() <= i * 45 + 12'000);
        }
    }
}

}  // namespace
}  // namespace mqd::engine
