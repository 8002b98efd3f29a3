// StateMap against the obvious model: one map entry per message, whoever of them is a member.

#include "daemon/engine/state_map.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <vector>

#include "support/dice.hpp"

namespace mqd::engine {
namespace {

class RandomStateMap {
  public:
    RandomStateMap(std::uint64_t seed, std::uint64_t numbers, std::uint64_t stride)
        : dice_(seed), numbers_(numbers), stride_(stride) {
        map_.use_marks(members_, MemberMark::leased, usual);
        other_.use_marks(members_, MemberMark::held, 0);
        // Some are members from the beginning, some join later, as after a restart.
        for (std::uint64_t n = 0; n < numbers_; ++n) {
            if (dice_.below(3) != 0) {
                join(n);
            }
        }
    }

    void step() {
        const std::uint64_t what = dice_.below(8);
        if (what < 3) {
            insert();
        } else if (what < 6) {
            take(any_range());
        } else if (what == 6) {
            join(dice_.below(numbers_));
        } else {
            erase(dice_.below(numbers_));
        }
        look();
    }

    void check() {
        std::map<MessageNumber, std::uint32_t> seen;
        map_.for_each([&](MessageRange range, std::uint32_t attempts) {
            REQUIRE((seen.empty() || seen.rbegin()->first < range.first));
            for (std::uint64_t i = 0; i < range.count; ++i) {
                seen.emplace(range.first.plus(i), attempts);
            }
        });
        REQUIRE(seen == model_);
        REQUIRE(map_.count() == model_.size());
    }

    void clear() {
        map_.clear();
        model_.clear();
        REQUIRE(map_.empty());
        REQUIRE(other_.count() == others_);
    }

  private:
    static constexpr std::uint32_t usual = 1;

    [[nodiscard]] MessageNumber number_of(std::uint64_t n) const {
        return MessageNumber(1 + n / 8 * 8 * stride_ + n % 8);
    }
    // Most of them of one message, as with groups, and some of many.
    [[nodiscard]] MessageRange any_range() {
        const std::uint64_t n = dice_.below(numbers_);
        const std::uint64_t reach = dice_.below(2) == 0 ? 1 : 1 + dice_.below(300);
        return {number_of(n), reach};
    }

    void join(std::uint64_t n) {
        const MessageNumber number = number_of(n);
        if (members_.add(number, Member(GroupRef(0))) != no_member && dice_.below(2) == 0) {
            other_.insert({number, 1}, 0);  // beside it, another map has its own marks
            ++others_;
        }
    }
    void erase(std::uint64_t n) {
        const MessageRange range{number_of(n), 1};
        take(range);
        others_ -= other_.take(range, [](MessageRange, std::uint32_t) {});
        members_.erase(range, [](const Member&) {});
    }

    void insert() {
        MessageRange range = any_range();
        const auto next = model_.lower_bound(range.first);
        if (next != model_.end()) {
            range.count = std::min(range.count, next->first - range.first);
        }
        if (range.count == 0) {
            return;
        }
        const auto attempts = static_cast<std::uint32_t>(dice_.below(4) == 0 ? 2 : usual);
        map_.insert(range, attempts);
        for (std::uint64_t i = 0; i < range.count; ++i) {
            model_.emplace(range.first.plus(i), attempts);
        }
    }

    void take(MessageRange range) {
        std::uint64_t sum = 0;
        MessageNumber at = range.first;
        const std::uint64_t taken = map_.take(range, [&](MessageRange piece, std::uint32_t value) {
            REQUIRE(piece.first >= at);
            REQUIRE(piece.end() <= range.end());
            for (std::uint64_t i = 0; i < piece.count; ++i) {
                const auto one = model_.find(piece.first.plus(i));
                REQUIRE(one != model_.end());
                REQUIRE(one->second == value);
                model_.erase(one);
            }
            sum += piece.count;
            at = piece.end();
        });
        REQUIRE(taken == sum);
        const auto left = model_.lower_bound(range.first);
        REQUIRE((left == model_.end() || left->first >= range.end()));
    }

    void look() {
        const MessageRange range = any_range();
        const auto from = model_.lower_bound(range.first);
        const auto to = model_.lower_bound(range.end());
        REQUIRE(map_.count_in(range) == static_cast<std::uint64_t>(std::distance(from, to)));
        StateMap::Run run;
        REQUIRE(map_.find_from(range.first, run) == (from != model_.end()));
        if (from != model_.end()) {
            REQUIRE(std::max(run.range.first, range.first) == from->first);
            REQUIRE(run.value == from->second);
            for (MessageNumber at = from->first; at < run.range.end(); at = at.plus(1)) {
                REQUIRE(model_.count(at) == 1);
            }
        }
        REQUIRE(map_.count() == model_.size());
        REQUIRE(map_.empty() == model_.empty());
        if (!model_.empty()) {
            REQUIRE(map_.front().range.first == model_.begin()->first);
        }
    }

    test::Dice dice_;
    std::uint64_t numbers_;
    std::uint64_t stride_;
    MemberChunks members_;
    StateMap map_{std::pmr::get_default_resource()};
    StateMap other_{std::pmr::get_default_resource()};
    std::uint64_t others_ = 0;
    std::map<MessageNumber, std::uint32_t> model_;
};

TEST_CASE("state map: members and others agree with a plain map, dense and sparse") {
    for (std::uint64_t seed = 1; seed <= 6; ++seed) {
        INFO("seed ", seed);
        const std::uint64_t numbers = seed % 3 == 0 ? 30'000 : 400;
        RandomStateMap random(seed, numbers, seed % 2 == 0 ? 1 : 16);
        for (int step = 0; step < 2'000; ++step) {
            random.step();
        }
        random.check();
        random.clear();
        for (int step = 0; step < 500; ++step) {
            random.step();
        }
        random.check();
    }
}

TEST_CASE("state map: members that lie together are taken as one run") {
    MemberChunks members;
    StateMap map(std::pmr::get_default_resource());
    map.use_marks(members, MemberMark::held, 0);
    for (std::uint64_t n = 1; n <= 1000; ++n) {
        REQUIRE(members.add(MessageNumber(n), Member(GroupRef(0))) != no_member);
    }
    map.insert({MessageNumber(1), 1000}, 0);
    CHECK(map.take({MessageNumber(500), 1}, [](MessageRange, std::uint32_t) {}) == 1);
    std::vector<MessageRange> pieces;
    const auto note = [&](MessageRange piece, std::uint32_t) { pieces.push_back(piece); };
    CHECK(map.take({MessageNumber(3), 900}, note) == 899);
    CHECK(pieces == std::vector<MessageRange>{{MessageNumber(3), 497}, {MessageNumber(501), 402}});
    StateMap::Run run;
    REQUIRE(map.find_from(MessageNumber(1), run));
    CHECK(run.range == MessageRange{MessageNumber(1), 2});
    REQUIRE(map.find_from(MessageNumber(3), run));
    CHECK(run.range == MessageRange{MessageNumber(903), 98});
}

TEST_CASE("state map: without members it is a map of runs") {
    StateMap map(std::pmr::get_default_resource());
    map.insert({MessageNumber(5), 10}, 0);
    map.insert({MessageNumber(20), 10}, 1);
    CHECK(map.count() == 20);
    CHECK(map.count_in({MessageNumber(10), 15}) == 10);
    CHECK(map.front().range == MessageRange{MessageNumber(5), 10});
    map.clear();
    CHECK(map.empty());
}

}  // namespace
}  // namespace mqd::engine
