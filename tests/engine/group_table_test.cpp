// GroupTable against the obvious model: one map entry per member.

#include "daemon/engine/group_table.hpp"

#include <doctest/doctest.h>

#include <map>
#include <vector>

#include "support/dice.hpp"

namespace mqd::engine {
namespace {

constexpr std::uint64_t some_salt = 0x1234'5678'9ABC'DEF1;

GroupMember member(std::uint64_t number, std::uint64_t group) {
    return {MessageNumber(number), GroupId(group)};
}

MemberLink link_of(const GroupTable& table, MessageNumber number) {
    MemberChunks::Found found;
    REQUIRE(table.find_in(number, number.plus(1), found));
    REQUIRE(found.number == number);
    return found.link;
}

TEST_CASE("group table: 17 bytes a message and 56 a group, where numbers lie together") {
    constexpr std::uint64_t messages = 1 << 16;
    constexpr std::uint64_t groups = 1 << 12;
    GroupTable table(some_salt);
    for (std::uint64_t n = 0; n < messages; ++n) {
        CHECK(table.join(member(n, n % groups)) != no_member);
    }
    CHECK(table.join(member(7, 7)) == no_member);
    CHECK(table.size() == messages);
    // Arrays grow by doubling.
    CHECK(table.memory_bytes() <= messages * 18 + groups * 2 * 48);
    table.erase({MessageNumber(0), messages});
    CHECK(table.empty());
}

TEST_CASE("group table: a member that lies alone costs 112 bytes") {
    constexpr std::uint64_t messages = 1 << 12;
    GroupTable table(some_salt);
    for (std::uint64_t n = 0; n < messages; ++n) {
        CHECK(table.join(member(n * 100, 1)) != no_member);
    }
    CHECK(table.memory_bytes() <= messages * (112 + 16));
}

TEST_CASE("group table: ids that have their lowest or highest bits in common") {
    for (const unsigned shift : {0u, 16u, 32u, 48u}) {
        GroupTable table(some_salt);
        for (std::uint64_t n = 1; n <= 10'000; ++n) {
            const std::uint64_t id = n << shift & ((std::uint64_t{1} << group_id_bits) - 1);
            CHECK(table.join(member(n, id)) != no_member);
        }
        for (std::uint64_t n = 1; n <= 10'000; n += 2) {
            table.erase({MessageNumber(n), 1});
        }
        GroupMember found;
        REQUIRE(table.find_from(MessageNumber(1), found));
        CHECK(found.number == MessageNumber(2));
        CHECK(table.size() == 5'000);
    }
}

class RandomTable {
  public:
    RandomTable(std::uint64_t seed, std::uint64_t numbers) : dice_(seed), numbers_(numbers) {}

    void step() {
        const unsigned what = static_cast<unsigned>(dice_.below(10));
        if (what < 4) {
            join();
        } else if (what < 7) {
            place(any());
        } else if (what < 9) {
            leave(any());
        } else {
            erase();
        }
    }

    void check() {
        GroupMember found;
        MessageNumber at(0);
        for (const auto& [number, one] : model_) {
            REQUIRE(table_.find_from(at, found));
            REQUIRE(found == GroupMember{number, one.group});
            at = number.plus(1);
        }
        REQUIRE_FALSE(table_.find_from(at, found));
        REQUIRE(table_.size() == model_.size());
    }

  private:
    enum class State : std::uint8_t { none, slot, held };
    struct One {
        GroupId group;
        State state = State::none;
    };
    static constexpr std::uint32_t slots = 2;

    [[nodiscard]] MessageNumber any() {
        const auto at = model_.lower_bound(MessageNumber(dice_.below(numbers_)));
        return at == model_.end() ? MessageNumber(0) : at->first;
    }
    [[nodiscard]] std::uint32_t taken(GroupId group) const {
        std::uint32_t count = 0;
        for (const auto& [number, one] : model_) {
            count += one.group == group && one.state == State::slot ? 1 : 0;
        }
        return count;
    }

    void join() {
        const MessageNumber number(dice_.below(numbers_));
        const GroupId group(dice_.below(12));
        const bool is_new = model_.emplace(number, One{group}).second;
        REQUIRE((table_.join({number, group}) != no_member) == is_new);
    }
    void place(MessageNumber number) {
        const auto at = model_.find(number);
        if (at == model_.end() || at->second.state == State::held) {
            return;
        }
        const bool gets = at->second.state == State::slot || taken(at->second.group) < slots;
        const MemberLink link = link_of(table_, number);
        REQUIRE(table_.take_slot(link, slots) == gets);
        if (!gets) {
            table_.hold(link);
        }
        at->second.state = gets ? State::slot : State::held;
    }
    void leave(MessageNumber number) {
        const auto at = model_.find(number);
        if (at == model_.end()) {
            return;
        }
        std::vector<GroupRef> freed;
        table_.give_up(link_of(table_, number), freed);
        REQUIRE(freed.size() == (at->second.state == State::slot ? 1 : 0));
        at->second.state = State::none;
        for (const GroupRef ref : freed) {
            REQUIRE(table_.id_of(ref) == at->second.group);
            pass_on(ref);
        }
    }
    void pass_on(GroupRef ref) {
        const GroupId group = table_.id_of(ref);
        MemberLink next;
        while (true) {
            auto oldest = model_.begin();
            while (oldest != model_.end() &&
                   (oldest->second.group != group || oldest->second.state != State::held)) {
                ++oldest;
            }
            const bool passes = oldest != model_.end() && taken(group) < slots;
            REQUIRE(table_.pass_on(ref, slots, next) == passes);
            if (!passes) {
                return;
            }
            REQUIRE(table_.members().number(next) == oldest->first);
            oldest->second.state = State::slot;
        }
    }
    void erase() {
        const MessageRange range{MessageNumber(dice_.below(numbers_)), dice_.between(1, 80)};
        const auto from = model_.lower_bound(range.first);
        const auto to = model_.lower_bound(range.end());
        std::vector<MessageNumber> gone;
        for (auto at = from; at != to; ++at) {
            gone.push_back(at->first);
        }
        for (const MessageNumber number : gone) {
            leave(number);
        }
        // Passing on may have given slots to some of them.
        for (const MessageNumber number : gone) {
            if (model_.at(number).state != State::none) {
                leave(number);
            }
        }
        for (const MessageNumber number : gone) {
            if (model_.at(number).state != State::none) {
                return;  // of one group, and many
            }
        }
        table_.erase(range);
        for (const MessageNumber number : gone) {
            model_.erase(number);
        }
    }

    mqd::test::Dice dice_;
    std::uint64_t numbers_;
    GroupTable table_{some_salt};
    std::map<MessageNumber, One> model_;
};

TEST_CASE("group table: random members agree with one map entry each") {
    const std::uint64_t seed = mqd::test::Dice::new_seed();
    CAPTURE(seed);
    for (const std::uint64_t numbers : {100u, 600u, 60'000u}) {
        CAPTURE(numbers);
        for (std::uint64_t round = 0; round < 10; ++round) {
            RandomTable random(seed + round, numbers);
            for (int i = 0; i < 1'500; ++i) {
                random.step();
            }
            random.check();
        }
    }
}

}  // namespace
}  // namespace mqd::engine
