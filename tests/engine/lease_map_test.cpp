// LeaseMap against the obvious model, two of them over the same members.

#include "daemon/engine/lease_map.hpp"

#include <doctest/doctest.h>

#include <array>
#include <map>
#include <vector>

#include "daemon/engine/state_map.hpp"
#include "support/dice.hpp"

namespace mqd::engine {
namespace {

constexpr GroupRef some_group{0};

Time at_ms(std::uint64_t ms) {
    return Time(std::chrono::milliseconds(ms));
}

Member with_slot() {
    Member member(some_group);
    member.set_state(MemberState::slot);
    return member;
}

class RandomLeases {
  public:
    RandomLeases(std::uint64_t seed, std::uint64_t numbers) : dice_(seed), numbers_(numbers) {
        leased_.use_marks(members_, MemberMark::leased, 1);
        for (std::uint64_t n = 0; n < numbers_; ++n) {
            if (dice_.below(3) != 0) {
                REQUIRE(members_.add(MessageNumber(n), with_slot()) != no_member);
            }
        }
    }

    void step() {
        const unsigned who = static_cast<unsigned>(dice_.below(2));
        const std::uint64_t what = dice_.below(16);
        if (what < 8) {
            lease(who);
        } else if (what < 14) {
            take(who, any_range());
        } else if (what < 15) {
            look(who);
        } else if (dice_.below(8) == 0) {
            clear(who);
        }
    }

    void look(unsigned who) {
        std::map<MessageNumber, Lease> seen;
        maps_[who].for_each([&](MessageRange range, const Lease& lease) {
            for (std::uint64_t i = 0; i < range.count; ++i) {
                REQUIRE(seen.emplace(range.first.plus(i), lease).second);
            }
        });
        REQUIRE(seen == models_[who]);
        REQUIRE(maps_[who].count() == seen.size());
        REQUIRE(maps_[who].empty() == seen.empty());
        const MessageRange range = any_range();
        const auto from = seen.lower_bound(range.first);
        const auto to = seen.lower_bound(range.end());
        REQUIRE(maps_[who].count_in(range) == static_cast<std::uint64_t>(std::distance(from, to)));
    }

  private:
    [[nodiscard]] MessageRange any_range() {
        const std::uint64_t first = dice_.below(numbers_);
        const std::uint64_t most = dice_.below(2) == 0 ? 3 : numbers_;
        return {MessageNumber(first), 1 + dice_.below(std::min(most, numbers_ - first))};
    }
    [[nodiscard]] bool leased(MessageNumber number) const {
        return models_[0].contains(number) || models_[1].contains(number);
    }

    void lease(unsigned who) {
        MessageRange range = any_range();
        range.count = std::min<std::uint64_t>(range.count, 10);
        for (MessageNumber at = range.first; at < range.end(); at = at.plus(1)) {
            if (leased(at)) {
                return;
            }
        }
        const Lease lease{1 + static_cast<std::uint32_t>(dice_.below(4) / 3),
                          at_ms(dice_.below(4))};
        maps_[who].use_members(leases_);
        leased_.insert(range, lease.attempt);
        MemberLink link;
        if (range.count == 1 && members_.find(range.first, link)) {
            maps_[who].insert(link, range.first, lease);
        } else {
            maps_[who].insert(range, lease);
        }
        for (MessageNumber at = range.first; at < range.end(); at = at.plus(1)) {
            models_[who].emplace(at, lease);
        }
    }

    void take(unsigned who, MessageRange range) {
        MemberLink link;
        if (range.count == 1 && members_.find(range.first, link) && dice_.below(2) == 0) {
            const auto one = models_[who].find(range.first);
            const bool listed = one != models_[who].end() && one->second.attempt == 1;
            REQUIRE(maps_[who].take(link) == listed);
            if (listed) {
                end(who, range, one->second);
            }
            return;
        }
        MessageNumber at = range.first;
        std::uint64_t sum = 0;
        const std::uint64_t taken =
            maps_[who].take(range, [&](MessageRange piece, const Lease& lease) {
                REQUIRE(piece.first >= at);
                REQUIRE(piece.end() <= range.end());
                end(who, piece, lease);
                sum += piece.count;
                at = piece.end();
            });
        REQUIRE(taken == sum);
        const auto left = models_[who].lower_bound(range.first);
        REQUIRE((left == models_[who].end() || left->first >= range.end()));
    }

    void end(unsigned who, MessageRange piece, const Lease lease) {
        REQUIRE(leased_.take(piece, [](MessageRange, std::uint32_t) {}) == piece.count);
        for (MessageNumber at = piece.first; at < piece.end(); at = at.plus(1)) {
            const auto one = models_[who].find(at);
            REQUIRE(one != models_[who].end());
            REQUIRE(one->second == lease);
            models_[who].erase(one);
        }
    }

    void clear(unsigned who) {
        for (const auto& [number, lease] : models_[who]) {
            leased_.take({number, 1}, [](MessageRange, std::uint32_t) {});
        }
        maps_[who].clear();
        models_[who].clear();
        REQUIRE(maps_[who].empty());
    }

    mqd::test::Dice dice_;
    std::uint64_t numbers_;
    MemberChunks members_;
    MemberLeases leases_{members_};
    StateMap leased_{std::pmr::get_default_resource()};
    std::array<LeaseMap, 2> maps_{LeaseMap(std::pmr::get_default_resource()),
                                  LeaseMap(std::pmr::get_default_resource())};
    std::array<std::map<MessageNumber, Lease>, 2> models_;
};

TEST_CASE("lease map: members and others agree with a plain map") {
    const std::uint64_t seed = mqd::test::Dice::new_seed();
    INFO("seed ", seed);
    for (const std::uint64_t numbers : {std::uint64_t{8}, std::uint64_t{300}}) {
        RandomLeases leases(seed, numbers);
        for (int i = 0; i < 20'000; ++i) {
            leases.step();
        }
        leases.look(0);
        leases.look(1);
    }
}

TEST_CASE("lease map: where there are too many lists, it keeps runs") {
    MemberChunks members;
    MemberLeases leases(members);
    StateMap leased(std::pmr::get_default_resource());
    leased.use_marks(members, MemberMark::leased, 1);
    LeaseMap map(std::pmr::get_default_resource());
    map.use_members(leases);
    constexpr std::uint64_t count = std::uint64_t{lease_refs_max} + 1;
    for (std::uint64_t n = 0; n < count; ++n) {
        const MemberLink link = members.add(MessageNumber(n), with_slot());
        leased.insert({MessageNumber(n), 1}, 1);
        map.insert(link, MessageNumber(n), {1, at_ms(n)});
        CHECK((members[link].lease() != no_lease) == (n < lease_refs_max));
    }
    CHECK(map.count() == count);
    std::uint64_t next = 0;
    const auto in_order = [&](MessageRange range, const Lease& lease) {
        CHECK(range == MessageRange{MessageNumber(next), 1});
        CHECK(lease == Lease{1, at_ms(next)});
        ++next;
    };
    CHECK(map.take({MessageNumber(0), count}, in_order) == count);
    CHECK(map.empty());
}

}  // namespace
}  // namespace mqd::engine
