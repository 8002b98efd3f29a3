// Random commands on a few queues, with every number's state kept beside the engine, one record
// each. After each step, every number is in exactly one state, and it is the one that the record
// says.

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>

#include "engine/engine_fixture.hpp"
#include "support/dice.hpp"

namespace mqd::engine::test {
namespace {

enum class State { admitted, ready, delayed, leased, ending, gone };

struct Record {
    State state = State::admitted;
    const Consumer* holder = nullptr;
    std::uint32_t attempts = 0;
    std::int64_t lease_ends_ms = 0;
    Due due{};
    bool timed = false;  // the time is to come, whatever is decided meanwhile
};

class RandomEngine : EngineFixture {
  public:
    explicit RandomEngine(std::uint64_t seed) : dice_(seed) {
        queue_ = &create("q", dice_.one_in(3) ? Durability::memory : Durability::disk);
        sharing_ = dice_.one_in(3) ? Sharing::single_active : Sharing::shared;
        room_.leases_max = dice_.one_in(2) ? dice_.between(1, 12) : UINT64_MAX;
    }

    void step() {
        switch (dice_.below(14)) {
            case 0:
            case 1: admit(); break;
            case 2:
            case 3: apply_one(); break;
            case 4: announce_one(); break;
            case 5: attach_one(); break;
            case 6: detach_one(); break;
            case 7: settle(true); break;
            case 8: settle(false); break;
            case 9: extend_some(); break;
            case 10: pass_time(); break;
            case 11:
                if (dice_.one_in(20)) {
                    purge_all();
                }
                break;
            case 12: make_room(); break;
            case 13: delay_some(); break;
        }
        deliver();
        check();
    }

  private:
    void admit() {
        const AddMessages command =
            engine.admit_add(*queue_, static_cast<std::uint32_t>(dice_.between(1, 6)));
        for (auto n = command.range.first; n < command.range.end(); n = n.plus(1)) {
            REQUIRE(records_.try_emplace(n).second);  // no number twice
        }
        adds_.push_back(command);
    }

    // Whatever was decided first is applied first, as in the journal.
    void apply_one() {
        if (!adds_.empty()) {
            const AddMessages command = adds_.front();
            adds_.pop_front();
            engine.apply(command);
            for (auto n = command.range.first; n < command.range.end(); n = n.plus(1)) {
                records_[n].state = State::ready;
            }
            absent_.push_back(command.range);
        }
        if (!removes_.empty() && dice_.one_in(2)) {
            const std::vector<MessageRange> ranges = removes_.front();
            removes_.pop_front();
            engine.apply(RemoveMessages{queue_->id(), ranges});
            for (const MessageRange& piece : ranges) {
                for (auto n = piece.first; n < piece.end(); n = n.plus(1)) {
                    REQUIRE(records_[n].state == State::ending);
                    records_[n].state = State::gone;
                    records_[n].timed = false;
                }
            }
        }
    }

    void announce_one() {
        if (!absent_.empty()) {
            announce(*queue_, absent_.front());
            absent_.pop_front();
        }
    }

    void attach_one() {
        if (attached_.size() < 4) {
            Consumer& consumer =
                attach(*queue_, static_cast<std::int64_t>(dice_.between(5, 90)), sharing_);
            consumer.piece_bytes_max = dice_.between(1, 5) * message_bytes;
            consumer.room = dice_.one_in(2) ? &room_ : nullptr;
            attached_.push_back(&consumer);
        }
        Consumer& lucky = *attached_[dice_.below(attached_.size())];
        engine.grant(lucky, lucky.messages_delivered + dice_.below(8),
                     lucky.bytes_delivered + dice_.below(8) * message_bytes);
    }

    void detach_one() {
        if (attached_.empty() || !dice_.one_in(3)) {
            return;
        }
        const std::size_t index = dice_.below(attached_.size());
        Consumer* consumer = attached_[index];
        attached_.erase(attached_.begin() + static_cast<std::ptrdiff_t>(index));
        engine.detach(*consumer, ConsumerEnd::failed, at_ms(0));
        for (auto& [number, record] : records_) {
            if (record.state == State::leased && record.holder == consumer) {
                record.state = State::ready;
            }
        }
    }

    // As core does it: when there is room again, all that share it are woken.
    void make_room() {
        room_.bytes = dice_.below(20) * message_bytes;
        if (room_.wanted && room_.bytes > 0) {
            room_.wanted = false;
            for (Consumer* consumer : attached_) {
                engine.wake(*consumer);
            }
        }
    }

    void settle(bool with_ack) {
        if (attached_.empty() || records_.empty()) {
            return;
        }
        Consumer& consumer = *attached_[dice_.below(attached_.size())];
        const MessageRange what = some_range();
        std::vector<MessageRange> decided;
        const std::int64_t delay_ms =
            dice_.one_in(2) ? static_cast<std::int64_t>(dice_.below(60)) : 0;
        const SettleResult result =
            with_ack ? engine.admit_ack(consumer, what, decided)
                     : engine.nack(consumer, what, at_ms(now_ms_),
                                   std::chrono::milliseconds(delay_ms), returned);
        std::uint64_t held = 0;
        for (auto at = records_.lower_bound(what.first);
             at != records_.end() && at->first < what.end(); ++at) {
            Record& record = at->second;
            if (record.state == State::leased && record.holder == &consumer) {
                record.state = with_ack ? State::ending : State::ready;
                if (!with_ack && delay_ms > 0) {
                    record.state = State::delayed;
                    record.due = Due::on(at_ms(now_ms_ + delay_ms));
                    record.timed = true;
                }
                ++held;
            }
        }
        REQUIRE(result.settled == held);
        REQUIRE(result.not_leased == what.count - held);
        if (!decided.empty()) {
            removes_.push_back(decided);
        }
    }

    // What is ready, or delayed, until another time, on either clock.
    void delay_some() {
        if (records_.empty()) {
            return;
        }
        const MessageRange what = some_range();
        const auto after_ms = static_cast<std::int64_t>(dice_.below(60));
        const Due due = dice_.one_in(2)
                            ? Due::on(at_ms(now_ms_ + after_ms))
                            : Due::on(WallTime(std::chrono::milliseconds(wall_ms_ + after_ms)));
        engine.apply(DelayMessages{queue_->id(), what, due});
        for (auto at = records_.lower_bound(what.first);
             at != records_.end() && at->first < what.end(); ++at) {
            if (at->second.state == State::ready || at->second.state == State::delayed) {
                at->second.state = State::delayed;
                at->second.due = due;
                at->second.timed = true;
            }
        }
    }

    // The wall clock may be set, back or forward.
    void wake_due() {
        wall_ms_ += static_cast<std::int64_t>(dice_.below(30)) - (dice_.one_in(9) ? 60 : 0);
        const Clocks now{at_ms(now_ms_), WallTime(std::chrono::milliseconds(wall_ms_))};
        engine.wake_due(now, 1000);
        for (auto& [number, record] : records_) {
            if (record.timed && record.due.at <= now.on(record.due.clock)) {
                record.timed = false;
                record.state = record.state == State::delayed ? State::ready : record.state;
            }
        }
        for (const DueClock clock : {DueClock::journal, DueClock::wall}) {
            std::optional<std::int64_t> next;
            for (const auto& [number, record] : records_) {
                if (record.timed && record.due.clock == clock) {
                    next = std::min(next.value_or(record.due.at), record.due.at);
                }
            }
            REQUIRE(engine.next_due(clock) == next);
        }
    }

    void extend_some() {
        if (attached_.empty() || records_.empty()) {
            return;
        }
        Consumer& consumer = *attached_[dice_.below(attached_.size())];
        const MessageRange what = some_range();
        const std::int64_t end = now_ms_ + static_cast<std::int64_t>(dice_.between(1, 100));
        (void)engine.extend(consumer, what, at_ms(end));
        for (auto at = records_.lower_bound(what.first);
             at != records_.end() && at->first < what.end(); ++at) {
            if (at->second.state == State::leased && at->second.holder == &consumer) {
                at->second.lease_ends_ms = end;
            }
        }
    }

    void pass_time() {
        now_ms_ += static_cast<std::int64_t>(dice_.below(30));
        wake_due();
        for (const LeaseLoss& loss : expire(now_ms_)) {
            for (auto n = loss.range.first; n < loss.range.end(); n = n.plus(1)) {
                Record& record = records_[n];
                REQUIRE(record.state == State::leased);
                REQUIRE(record.holder == loss.consumer);
                REQUIRE(record.lease_ends_ms <= now_ms_);
                record.state = State::ready;
            }
        }
        const auto next = engine.next_deadline();
        for (const auto& [number, record] : records_) {
            if (record.state == State::leased) {
                // 20 ms are the steps in which one consumer's leases are looked through.
                REQUIRE(record.lease_ends_ms + 20 > now_ms_);
                REQUIRE(next.has_value());
                REQUIRE(*next <= at_ms(record.lease_ends_ms + 20));
            }
        }
    }

    void purge_all() {
        std::vector<MessageRange> decided;
        engine.admit_purge(*queue_, decided);
        for (auto& [number, record] : records_) {
            const bool waits = record.state == State::ready || record.state == State::delayed;
            record.state = waits ? State::ending : record.state;
        }
        if (!decided.empty()) {
            removes_.push_back(decided);
        }
    }

    void deliver() {
        std::vector<Delivery> deliveries;
        engine.dispatch(at_ms(now_ms_), deliveries);
        MessageNumber behind(0);
        for (const Delivery& delivery : deliveries) {
            REQUIRE(delivery.range.first >= behind);  // strictly in order
            REQUIRE(has_turn(delivery.consumer));
            behind = delivery.range.end();
            REQUIRE(delivery.range.first >= delivery.extent->first);
            REQUIRE(delivery.range.end() <= delivery.extent->end());
            for (auto n = delivery.range.first; n < delivery.range.end(); n = n.plus(1)) {
                Record& record = records_[n];
                REQUIRE(record.state == State::ready);
                REQUIRE(delivery.attempt == record.attempts + 1);
                record = {State::leased, delivery.consumer, delivery.attempt,
                          now_ms_ + delivery.consumer->lease.count(), Due{}};
            }
        }
        // What is left has no taker, or waits for its bytes, or for somebody to be woken.
        MessageNumber head;
        const bool waits_for_bytes =
            queue_->first_ready(head) && queue_->extent_at(head) == nullptr;
        REQUIRE((!queue_->wants_dispatch() || waits_for_bytes));
        const bool anybody =
            std::any_of(attached_.begin(), attached_.end(), [&](const Consumer* consumer) {
                return has_turn(consumer) && consumer->has_credit() &&
                       (consumer->room == nullptr || (consumer->has_room() && !room_.wanted));
            });
        REQUIRE((!anybody || queue_->ready() == 0 || waits_for_bytes));
    }

    void check() const {
        std::map<State, std::uint64_t> counts;
        std::map<const Consumer*, std::uint64_t> held;
        for (const auto& [number, record] : records_) {
            ++counts[record.state];
            if (record.state == State::leased) {
                ++held[record.holder];
            }
        }
        REQUIRE(queue_->ready() == counts[State::ready]);
        REQUIRE(queue_->leased() == counts[State::leased]);
        REQUIRE(queue_->delayed() == counts[State::delayed]);
        REQUIRE(queue_->ending() == counts[State::ending]);
        REQUIRE(engine.messages() == counts[State::admitted] + counts[State::ready] +
                                         counts[State::leased] + counts[State::delayed]);
        std::uint64_t shared = 0;
        for (const Consumer* consumer : attached_) {
            shared += consumer->room != nullptr ? held[consumer] : 0;
        }
        REQUIRE(room_.leases == shared);
        REQUIRE(room_.leases <= room_.leases_max);
        for (const Consumer* consumer : attached_) {
            REQUIRE(consumer->waiting == !has_turn(consumer));
            REQUIRE(consumer->leased.count() == held[consumer]);
            consumer->leased.for_each([&](MessageRange piece, const Lease& lease) {
                for (auto n = piece.first; n < piece.end(); n = n.plus(1)) {
                    REQUIRE(records_.at(n).holder == consumer);
                    REQUIRE(records_.at(n).attempts == lease.attempt);
                }
            });
        }
        std::set<MessageNumber> live;
        for (const LiveRun& run : queue_->live_runs()) {
            for (auto n = run.range.first; n < run.range.end(); n = n.plus(1)) {
                REQUIRE(live.insert(n).second);
                REQUIRE(records_.at(n).attempts == run.attempts);
            }
        }
        REQUIRE(live.size() == counts[State::ready] + counts[State::delayed] +
                                   counts[State::leased] + counts[State::ending]);
        check_delays();
    }

    void check_delays() const {
        std::set<MessageNumber> timed;
        DelayTable::Run run;
        for (MessageNumber at(0); queue_->delays() && queue_->delays()->find_from(at, run);) {
            for (auto n = run.range.first; n < run.range.end(); n = n.plus(1)) {
                REQUIRE(timed.insert(n).second);
                REQUIRE(records_.at(n).timed);
                REQUIRE(records_.at(n).due == run.due);
            }
            at = run.range.end();
        }
        for (const auto& [number, record] : records_) {
            REQUIRE(record.timed == timed.contains(number));
            REQUIRE((record.state != State::delayed || record.timed));
        }
    }

    // The oldest of a single_active queue, else anybody.
    [[nodiscard]] bool has_turn(const Consumer* consumer) const {
        return sharing_ != Sharing::single_active || consumer == attached_.front();
    }

    MessageRange some_range() {
        const std::uint64_t most = records_.rbegin()->first.value();
        const std::uint64_t least = most > 40 ? most - 40 : 1;
        return range(dice_.between(least, most), dice_.between(1, 8));
    }

    mqd::test::Dice dice_;
    Queue* queue_ = nullptr;
    std::map<MessageNumber, Record> records_;
    std::deque<AddMessages> adds_;
    std::deque<std::vector<MessageRange>> removes_;
    std::deque<MessageRange> absent_;
    Sharing sharing_{};
    std::vector<Consumer*> attached_;  // the oldest first
    OutputRoom room_{0, false, 3};
    std::int64_t now_ms_ = 0;
    std::int64_t wall_ms_ = 1'000'000;
};

TEST_CASE("engine: random commands leave every number in exactly one state") {
    const std::uint64_t seed = mqd::test::Dice::new_seed();
    CAPTURE(seed);
    for (std::uint64_t round = 0; round < 40; ++round) {
        CAPTURE(round);
        RandomEngine random(seed + round);
        for (int i = 0; i < 250; ++i) {
            random.step();
        }
    }
}

}  // namespace
}  // namespace mqd::engine::test
