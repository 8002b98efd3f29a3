// Messages with a group: how many of each are under way, in which order, and what a random mix of
// everything leaves of that.

#include <doctest/doctest.h>

#include <map>
#include <set>
#include <vector>

#include "engine/group_fixture.hpp"
#include "support/dice.hpp"

namespace mqd::engine::test {
namespace {

TEST_CASE_FIXTURE(GroupFixture, "groups: one of each at a time, in order, and the others go by") {
    Queue& queue = create("q");
    publish_groups(queue, "aab-ab");
    CHECK(queue.ready() == 3);
    CHECK(queue.held() == 3);
    Consumer& consumer = consume(queue);
    CHECK(delivered() == Numbers{1, 3, 4});
    ack(consumer, range(1, 1));
    CHECK(delivered() == Numbers{2});
    ack(consumer, range(3, 2));
    CHECK(delivered() == Numbers{6});
    ack(consumer, range(2, 1));
    CHECK(delivered() == Numbers{5});
    ack(consumer, range(5, 2));
    CHECK(queue.live() == 0);
    CHECK(engine.grouped_messages() == 0);
}

TEST_CASE_FIXTURE(GroupFixture, "groups: what comes back goes before those that are held") {
    Queue& queue = create("q");
    publish_groups(queue, "aaa");
    Consumer& consumer = consume(queue);
    CHECK(delivered() == Numbers{1});
    engine.nack(consumer, range(1, 1), at_ms(0), std::nullopt, returned);
    CHECK(delivered() == Numbers{1});
    engine.nack(consumer, range(1, 1), at_ms(0), std::chrono::milliseconds(50), returned);
    CHECK(delivered().empty());  // it is delayed, and still in the way
    CHECK(queue.delayed() == 1);
    engine.wake_due({at_ms(50), WallTime()}, 10);
    CHECK(delivered(50) == Numbers{1});
    Consumer& other = consume(queue);
    engine.detach(consumer, ConsumerEnd::gave_back, at_ms(50));
    CHECK(delivered(50) == Numbers{1});
    ack(other, range(1, 1));
    CHECK(delivered(50) == Numbers{2});
}

TEST_CASE_FIXTURE(GroupFixture, "groups: a message that is published for later is not in the way") {
    Queue& queue = create("q");
    publish_groups(queue, "aa");
    engine.apply(DelayMessages{queue.id(), range(1, 1), Due::on(at_ms(100))});
    Consumer& consumer = consume(queue);
    CHECK(delivered() == Numbers{2});
    engine.wake_due({at_ms(100), WallTime()}, 10);
    CHECK(queue.held() == 1);
    CHECK(delivered(100).empty());
    ack(consumer, range(2, 1));
    CHECK(delivered(100) == Numbers{1});
}

TEST_CASE_FIXTURE(GroupFixture, "groups: of those that are put off together, none gets the turn") {
    Queue& queue = create("q");
    publish_groups(queue, "aabaa");
    engine.apply(DelayMessages{queue.id(), range(1, 4), Due::on(at_ms(100))});
    CHECK(queue.delayed() == 4);
    Consumer& consumer = consume(queue);
    CHECK(delivered() == Numbers{5});
    ack(consumer, range(5, 1));
    engine.wake_due({at_ms(100), WallTime()}, 10);
    CHECK(delivered(100) == Numbers{1, 3});
}

TEST_CASE_FIXTURE(GroupFixture, "groups: as many at a time as the queue says") {
    Queue& queue = create("q");
    allow(queue, 2);
    publish_groups(queue, "aaaaa");
    Consumer& consumer = consume(queue);
    CHECK(delivered() == Numbers{1, 2});
    ack(consumer, range(2, 1));
    CHECK(delivered() == Numbers{3});
    allow(queue, 3);
    CHECK(delivered() == Numbers{4});
    allow(queue, 1);
    ack(consumer, range(1, 1));
    CHECK(delivered().empty());
    ack(consumer, range(3, 2));
    CHECK(delivered() == Numbers{5});
}

TEST_CASE_FIXTURE(GroupFixture, "groups: ends of any kind pass the turn on") {
    Queue& queue = create("q");
    QueueDefinition definition = queue.definition();
    definition.max_attempts = 1;
    engine.apply(UpdateQueue{queue.id(), definition});
    publish_groups(queue, "aaaaaa");
    Consumer& consumer = consume(queue);
    CHECK(delivered() == Numbers{1});
    engine.nack(consumer, range(1, 1), at_ms(0), std::nullopt, returned);
    CHECK(queue.dying() == 1);
    CHECK(delivered().empty());  // its place is taken until it is moved
    engine.admit_move(queue, range(1, 1));
    const MessageRange moved = range(1, 1);
    engine.apply(queue, RemoveMessages{queue.id(), {&moved, 1}});
    CHECK(delivered() == Numbers{2});
    ack(consumer, range(2, 1));

    std::vector<MessageRange> decided;
    engine.admit_end(queue, range(3, 2), decided);  // the one whose turn it is, and the next
    engine.apply(queue, RemoveMessages{queue.id(), decided});
    CHECK(delivered() == Numbers{5});
    decided.clear();
    engine.admit_end(queue, range(5, 2), decided);  // 5 is leased: it stays
    engine.apply(queue, RemoveMessages{queue.id(), decided});
    CHECK(queue.live() == 1);
    ack(consumer, range(5, 1));
    CHECK(engine.grouped_messages() == 0);
}

TEST_CASE_FIXTURE(GroupFixture, "groups: a purge leaves what is leased, and its group goes on") {
    Queue& queue = create("q");
    publish_groups(queue, "aaabb");
    Consumer& consumer = consume(queue, 1);
    CHECK(delivered() == Numbers{1});
    CHECK(purge(queue) == 4);
    CHECK(engine.grouped_messages() == 1);
    publish_groups(queue, "ab");
    engine.grant(consumer, no_limit, no_limit);
    CHECK(delivered() == Numbers{7});
    ack(consumer, range(1, 1));
    CHECK(delivered() == Numbers{6});
}

TEST_CASE_FIXTURE(GroupFixture, "groups: unreadable ones do not hold up those behind them") {
    Queue& queue = create("q");
    publish_groups(queue, "aab-");
    engine.set_aside(queue, range(1, 4));  // 2 was held: it is met again when its turn has come
    CHECK(queue.aside() == 3);
    CHECK(delivered().empty());
    CHECK(purge(queue) == 4);
    publish_groups(queue, "aa");
    engine.set_aside(queue, range(5, 1));
    Consumer& consumer = consume(queue);
    CHECK(delivered() == Numbers{6});
    CHECK(purge(queue) == 1);
    ack(consumer, range(6, 1));
    CHECK(engine.grouped_messages() == 0);
}

TEST_CASE_FIXTURE(GroupFixture,
                  "groups: a start gives the turn to what failed, then to the oldest") {
    Queue& queue = create("q", Durability::disk);
    for (int i = 0; i < 6; ++i) {
        add(queue, 1);
    }
    const auto members = members_of(MessageNumber(1), "aaabbb");
    engine.restore_groups(queue, members);
    engine.restore_groups(queue, members);  // the checkpoint told it, and the journal again
    engine.apply(CountDelivery{queue.id(), range(2, 1), 1});
    engine.apply(DelayMessages{queue.id(), range(2, 1), Due::on(at_ms(70))});
    engine.apply(DelayMessages{queue.id(), range(4, 1), Due::on(at_ms(70))});
    const MessageRange gone = range(6, 1);
    engine.apply(queue, RemoveMessages{queue.id(), {&gone, 1}});
    engine.judge_attempts();
    engine.judge_groups();
    announce(queue, range(1, 6)).live = 5;
    CHECK(queue.held() == 2);  // 1 and 3, behind 2
    Consumer& consumer = consume(queue);
    CHECK(delivered() == Numbers{5});
    engine.wake_due({at_ms(70), WallTime()}, 10);
    CHECK(delivered(70) == Numbers{2});
    ack(consumer, range(2, 1));
    CHECK(delivered(70) == Numbers{1});
    ack(consumer, range(5, 1));
    CHECK(delivered(70) == Numbers{4});
}

// That it was delivered was lost, and that it was delayed for it was not.
TEST_CASE_FIXTURE(GroupFixture, "groups: a delay tells that what waits has failed") {
    Queue& queue = create("q", Durability::disk);
    add(queue, 3);
    engine.restore_groups(queue, members_of(MessageNumber(1), "aaa"));
    engine.apply(DelayMessages{queue.id(), range(2, 1), Due::on(at_ms(70)), 1});
    engine.judge_attempts();
    engine.judge_groups();
    announce(queue, range(1, 3));
    CHECK(queue.held() == 2);
    CHECK(delivered().empty());
    engine.wake_due({at_ms(70), WallTime()}, 10);
    CHECK(queue.live_runs()[1].attempts == 1);
}

// One had left its group before its end, or its end was lost, and then the next one failed.
TEST_CASE_FIXTURE(GroupFixture,
                  "groups: a start gives no more turns than there are, whoever failed") {
    Queue& queue = create("q", Durability::disk);
    add(queue, 3);
    engine.restore_groups(queue, members_of(MessageNumber(1), "aaa"));
    engine.apply(DelayMessages{queue.id(), range(1, 1), Due::on(at_ms(90)), 1});
    engine.apply(DelayMessages{queue.id(), range(2, 1), Due::on(at_ms(70)), 2});
    engine.judge_attempts();
    engine.judge_groups();
    announce(queue, range(1, 3));
    Consumer& consumer = consume(queue);
    engine.wake_due({at_ms(70), WallTime()}, 10);
    CHECK(delivered(70).empty());
    engine.wake_due({at_ms(90), WallTime()}, 10);
    for (std::uint64_t n = 1; n <= 3; ++n) {
        CHECK(delivered(90) == Numbers{n});
        ack(consumer, range(n, 1));
    }
}

TEST_CASE_FIXTURE(GroupFixture, "groups: nor more than there are to those that are revived") {
    Queue& queue = create("q", Durability::disk);
    QueueDefinition definition = queue.definition();
    definition.max_attempts = 1;
    engine.apply(UpdateQueue{queue.id(), definition});
    add(queue, 3);
    engine.restore_groups(queue, members_of(MessageNumber(1), "aaa"));
    engine.apply(CountDelivery{queue.id(), range(1, 2), 1});
    engine.judge_attempts();
    engine.judge_groups();
    announce(queue, range(1, 3));
    Consumer& consumer = consume(queue);
    REQUIRE(queue.dying() == 2);
    CHECK(delivered().empty());
    engine.revive(queue);
    for (std::uint64_t n = 1; n <= 3; ++n) {
        CHECK(delivered() == Numbers{n});
        ack(consumer, range(n, 1));
    }
}

TEST_CASE_FIXTURE(GroupFixture, "groups: a queue takes its members with it") {
    Queue& queue = create("q");
    publish_groups(queue, "aaabbb");
    destroy(queue);
    CHECK(engine.grouped_messages() == 0);
}

// --- everything at random

class RandomGroups : GroupFixture {
  public:
    explicit RandomGroups(std::uint64_t seed) : dice_(seed), queue_(&create("q")) {
        allow(*queue_, static_cast<std::uint32_t>(dice_.between(1, 3)));
        if (dice_.one_in(2)) {
            rate_ = {static_cast<std::uint32_t>(dice_.between(10, 200))};
            set_rate(*queue_, rate_);
        }
        consumer_ = &consume(*queue_);
    }

    void step() {
        switch (dice_.below(9)) {
            case 0:
            case 1: publish_some(); break;
            case 2:
            case 3: ack(*consumer_, some_range()); break;
            case 4:
                engine.nack(*consumer_, some_range(), at_ms(now_ms_),
                            std::chrono::milliseconds(dice_.below(40)), returned);
                break;
            case 5: end_some(); break;
            case 6:
                now_ms_ += static_cast<std::int64_t>(dice_.below(30));
                wake_all();
                break;
            case 7:
                if (dice_.one_in(4)) {
                    allow(*queue_, queue_->definition().group_in_flight +
                                       static_cast<std::uint32_t>(dice_.below(2)));
                }
                if (rate_.limits() && dice_.one_in(8)) {
                    rate_.count = static_cast<std::uint32_t>(dice_.between(10, 200));
                    set_rate(*queue_, rate_);
                    wake_all();
                }
                break;
            case 8:
                if (dice_.one_in(6)) {
                    engine.detach(*consumer_, ConsumerEnd::failed, at_ms(now_ms_));
                    consumer_ = &consume(*queue_);
                }
                break;
        }
        deliver();
        check();
    }

  private:
    void publish_some() {
        std::string letters;
        for (std::uint64_t i = dice_.between(1, 6); i > 0; --i) {
            letters += "-abc"[dice_.below(4)];
        }
        const MessageRange added = publish_groups(*queue_, letters);
        for (std::size_t i = 0; i < letters.size(); ++i) {
            groups_[added.first.plus(i)] = letters[i];
        }
        if (dice_.one_in(3)) {
            engine.apply(
                DelayMessages{queue_->id(), {added.first, 1}, Due::on(at_ms(now_ms_ + 20))});
        }
    }
    void end_some() {
        std::vector<MessageRange> decided;
        engine.admit_end(*queue_, some_range(), decided);
        engine.apply(*queue_, RemoveMessages{queue_->id(), decided});
    }
    MessageRange some_range() {
        const std::uint64_t most = groups_.empty() ? 1 : groups_.rbegin()->first.value();
        return range(dice_.between(most > 30 ? most - 30 : 1, most), dice_.between(1, 6));
    }

    [[nodiscard]] bool is(LiveState state, MessageNumber number) const {
        switch (state) {
            case LiveState::leased: return consumer_->leased.count_in({number, 1}) == 1;
            case LiveState::ready: return queue_->ready_in({number, 1}) == 1;
            default: break;
        }
        return false;
    }

    // Nothing of a group overtakes what of it is deliverable, nor comes before its rest is over.
    void deliver() {
        std::map<char, MessageNumber> last;
        for (const Delivery& delivery : dispatch(now_ms_)) {
            const MessageRange& messages = delivery.range;
            for (auto n = messages.first; n < messages.end(); n = n.plus(1)) {
                const char group = groups_.at(n);
                if (group == '-') {
                    continue;
                }
                REQUIRE(last[group] < n);
                last[group] = n;
                if (delivery.attempt == 1) {
                    REQUIRE_FALSE(rests(group));
                    started_[group] = at_ms(now_ms_);
                }
            }
        }
        REQUIRE(queue_->ready() == 0);
    }
    [[nodiscard]] bool rests(char group) const {
        return rate_.limits() && started_.contains(group);
    }
    // A rest that is over is so, whatever the rate is later.
    void wake_all() {
        wake(now_ms_, 1000);
        std::erase_if(started_, [&](const auto& one) {
            return one.second + rate_.spacing() <= at_ms(now_ms_);
        });
    }

    // All that is deliverable was delivered: who is not leased is delayed, or held by as many of
    // its group as may be under way, or by its rest.
    void check() const {
        std::map<char, std::uint64_t> leased;
        std::set<char> live;
        std::uint64_t members = 0;
        for (const auto& [number, group] : groups_) {
            leased[group] += is(LiveState::leased, number) ? 1 : 0;
            if (group != '-' && queue_->live_in({number, 1}) == 1) {
                live.insert(group);
                ++members;
            }
        }
        REQUIRE(engine.grouped_messages() == members);
        const std::uint64_t most = queue_->definition().group_in_flight;
        std::map<char, std::uint64_t> delayed;
        DelayTable::Run run;
        for (MessageNumber at(0); queue_->delays() && queue_->delays()->find_from(at, run);) {
            for (auto n = run.range.first; n < run.range.end(); n = n.plus(1)) {
                ++delayed[groups_.at(n)];
            }
            at = run.range.end();
        }
        for (const GroupRef group :
             queue_->groups() ? queue_->groups()->waiting_groups() : std::vector<GroupRef>()) {
            const char letter = static_cast<char>(queue_->groups()->id_of(group).value());
            REQUIRE(leased[letter] <= most);
            REQUIRE((leased[letter] + delayed[letter] >= most || rests(letter)));
        }
        std::uint64_t kept = 0;
        for (const char letter : {'a', 'b', 'c'}) {
            REQUIRE(leased[letter] <= most);
            kept += rests(letter) && !live.contains(letter) ? 1 : 0;
        }
        REQUIRE(engine.kept_groups() == kept);
    }

    mqd::test::Dice dice_;
    Queue* queue_;
    Consumer* consumer_ = nullptr;
    std::map<MessageNumber, char> groups_;
    Rate rate_;
    std::map<char, Time> started_;  // when the groups that rest began to
    std::int64_t now_ms_ = 0;
};

TEST_CASE("groups: no random commands let one be overtaken, or wait for nothing") {
    const std::uint64_t seed = mqd::test::Dice::new_seed();
    CAPTURE(seed);
    for (std::uint64_t round = 0; round < 40; ++round) {
        CAPTURE(round);
        RandomGroups random(seed + round);
        for (int i = 0; i < 200; ++i) {
            random.step();
        }
    }
}

}  // namespace
}  // namespace mqd::engine::test
