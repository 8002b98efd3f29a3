// RangeMap against the obvious model: one map entry per number.

#include "daemon/engine/range_map.hpp"

#include <doctest/doctest.h>

#include <map>
#include <utility>
#include <vector>

#include "support/dice.hpp"

namespace mqd::engine {
namespace {

using Map = RangeMap<std::uint32_t>;
using Pieces = std::vector<std::pair<MessageRange, std::uint32_t>>;

MessageRange range(std::uint64_t first, std::uint64_t count) {
    return {MessageNumber(first), count};
}

Pieces pieces(const Map& map) {
    Pieces all;
    map.for_each([&](MessageRange piece, std::uint32_t value) { all.emplace_back(piece, value); });
    return all;
}

Pieces take(Map& map, MessageRange what) {
    Pieces taken;
    map.take(what,
             [&](MessageRange piece, std::uint32_t value) { taken.emplace_back(piece, value); });
    return taken;
}

struct Fixture {
    Map map{std::pmr::get_default_resource()};
};

TEST_CASE_FIXTURE(Fixture, "range map: neighbours of one value are one run") {
    map.insert(range(1, 10), 0);
    map.insert(range(21, 10), 0);
    CHECK(map.runs() == 2);
    map.insert(range(11, 10), 0);
    CHECK(map.runs() == 1);
    CHECK(map.count() == 30);
    CHECK(pieces(map) == Pieces{{range(1, 30), 0}});
}

TEST_CASE_FIXTURE(Fixture, "range map: neighbours of different values stay apart") {
    map.insert(range(1, 10), 0);
    map.insert(range(11, 10), 1);
    CHECK(pieces(map) == Pieces{{range(1, 10), 0}, {range(11, 10), 1}});
    CHECK(map.front().range == range(1, 10));
}

TEST_CASE_FIXTURE(Fixture, "range map: taking from the front, the middle and the back") {
    map.insert(range(1, 100), 7);
    CHECK(take(map, range(1, 10)) == Pieces{{range(1, 10), 7}});
    CHECK(take(map, range(50, 10)) == Pieces{{range(50, 10), 7}});
    CHECK(take(map, range(91, 10)) == Pieces{{range(91, 10), 7}});
    CHECK(pieces(map) == Pieces{{range(11, 39), 7}, {range(60, 31), 7}});
    CHECK(map.count() == 70);
}

TEST_CASE_FIXTURE(Fixture, "range map: taking over holes gives what is there, in order") {
    map.insert(range(5, 5), 1);
    map.insert(range(20, 5), 2);
    CHECK(take(map, range(1, 1000)) == Pieces{{range(5, 5), 1}, {range(20, 5), 2}});
    CHECK(map.empty());
    CHECK(take(map, range(1, 1000)).empty());
}

TEST_CASE_FIXTURE(Fixture, "range map: a range that ends with the last number") {
    map.insert(range(5, 5), 1);
    CHECK(take(map, range(7, UINT64_MAX - 7)) == Pieces{{range(7, 3), 1}});
    CHECK(pieces(map) == Pieces{{range(5, 2), 1}});
}

TEST_CASE_FIXTURE(Fixture, "range map: find_from gives the run that holds a number or is next") {
    map.insert(range(10, 5), 1);
    map.insert(range(20, 5), 2);
    Map::Run run;
    REQUIRE(map.find_from(MessageNumber(1), run));
    CHECK(run.range == range(10, 5));
    REQUIRE(map.find_from(MessageNumber(14), run));
    CHECK(run.range == range(10, 5));
    REQUIRE(map.find_from(MessageNumber(15), run));
    CHECK(run.range == range(20, 5));
    CHECK_FALSE(map.find_from(MessageNumber(25), run));
}

// --- random

class Model {
  public:
    explicit Model(std::uint64_t seed, std::uint64_t numbers = 60, std::uint64_t longest = 12)
        : dice_(seed), last_(numbers), longest_(longest) {}

    void step(int percent_inserted = 55) {
        const MessageRange what = range(dice_.between(1, last_), dice_.between(1, longest_));
        if (dice_.percent(static_cast<unsigned>(percent_inserted))) {
            insert_missing(what);
        } else {
            take(what);
        }
    }
    // Takes what there is from the front, a few at a time.
    void take_front(int times) {
        for (int i = 0; i < times && !map_.empty(); ++i) {
            take({map_.front().range.first, dice_.between(1, longest_)});
        }
    }

    // The map refuses what is there, so only the gaps go in.
    void insert_missing(MessageRange what) {
        const auto value = static_cast<std::uint32_t>(dice_.below(3));
        std::vector<MessageRange> gaps;
        for (std::uint64_t n = what.first.value(); n < what.end().value(); ++n) {
            if (numbers_.contains(n)) {
                continue;
            }
            if (!gaps.empty() && gaps.back().end().value() == n) {
                ++gaps.back().count;
            } else {
                gaps.push_back(range(n, 1));
            }
            numbers_[n] = value;
        }
        for (const MessageRange& gap : gaps) {
            map_.insert(gap, value);
        }
    }

    void take(MessageRange what) {
        std::map<std::uint64_t, std::uint32_t> expected;
        const auto from = numbers_.lower_bound(what.first.value());
        const auto to = numbers_.lower_bound(what.end().value());
        expected.insert(from, to);
        numbers_.erase(from, to);
        std::map<std::uint64_t, std::uint32_t> taken;
        std::uint64_t behind = 0;
        const std::uint64_t count = map_.take(what, [&](MessageRange piece, std::uint32_t value) {
            REQUIRE(piece.count > 0);
            REQUIRE(piece.first.value() >= behind);
            behind = piece.end().value();
            for (std::uint64_t n = piece.first.value(); n < behind; ++n) {
                taken[n] = value;
            }
        });
        REQUIRE(count == expected.size());
        REQUIRE(taken == expected);
    }

    void check() {
        std::map<std::uint64_t, std::uint32_t> found;
        std::size_t runs = 0;
        std::uint64_t last_end = 0;
        std::uint32_t last_value = 0;
        map_.for_each([&](MessageRange piece, std::uint32_t value) {
            const bool could_join = piece.first.value() == last_end && value == last_value;
            REQUIRE_FALSE(could_join);
            last_end = piece.end().value();
            last_value = value;
            ++runs;
            for (std::uint64_t n = piece.first.value(); n < last_end; ++n) {
                found[n] = value;
            }
        });
        REQUIRE(found == numbers_);
        REQUIRE(map_.runs() == runs);
        REQUIRE(map_.count() == numbers_.size());
    }

  private:
    mqd::test::Dice dice_;
    std::uint64_t last_;
    std::uint64_t longest_;
    RangeMap<std::uint32_t> map_{std::pmr::get_default_resource()};
    std::map<std::uint64_t, std::uint32_t> numbers_;
};

TEST_CASE("range map: random inserts and takes agree with one entry per number") {
    const std::uint64_t seed = mqd::test::Dice::new_seed();
    CAPTURE(seed);
    for (std::uint64_t round = 0; round < 20; ++round) {
        Model model(seed + round);
        for (int i = 0; i < 1000; ++i) {
            model.step();
            model.check();
        }
    }
}

TEST_CASE(
    "range map: the same with thousands of runs, that grow, shrink and leave from the front") {
    const std::uint64_t seed = mqd::test::Dice::new_seed();
    CAPTURE(seed);
    for (std::uint64_t round = 0; round < 10; ++round) {
        Model model(seed + round, 20'000, 3);
        for (const int percent_inserted : {95, 50, 80, 10, 90}) {
            for (int i = 0; i < 4'000; ++i) {
                model.step(percent_inserted);
            }
            model.check();
            model.take_front(round % 2 == 0 ? 1'000 : 0);
            model.check();
        }
        model.take_front(100'000);
        model.check();
    }
}

}  // namespace
}  // namespace mqd::engine
