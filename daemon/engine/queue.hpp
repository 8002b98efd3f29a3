#pragma once

// One queue. Every number below next_number() is in exactly one state:
//
//    delayed
//       │ ▲
//  when │ │ when published, or after a failure
//   due ▼ │
//     ready ──dispatch──► leased (by one consumer) ──ack──► ending ──applied──► gone
//       ▲                   │                                  ▲ ▲
//       └── nack, lease over, consumer gone            purge ──┘ │ (from ready)
//                           │                                    │
//                           └── the same, for the last time ──► dying
//
// When the time to live of a message that is ready or delayed is over, it is ending, or dying; that
// of a leased one is looked at when it comes back.
// A purge that can be undone makes what is ready, held or delayed `purged`: it is kept until its
// time is over, and then it is ending; an undo puts it back.
// `delayed` are those that wait for a time, since they were published or after a failure; then each
// is ready in the place that its number gives it.
// `held` are ready messages whose turn has not come: as many of their group as may be are under
// way, or it rests. `dying` are messages that have failed as often as they may, or that a consumer
// rejected: they wait to be moved to the dead letters. `aside` are ready messages whose bodies
// cannot be read: they are kept, and can be purged. `ending` are messages whose end was decided and
// is on its way to the disk: they can neither be delivered nor expire, and they still count as
// alive until apply(). On a memory queue they are gone at once. Cost follows runs of numbers, not
// messages. No clock, no I/O; owned by the Engine.

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "daemon/engine/consumer.hpp"
#include "daemon/engine/dedup_window.hpp"
#include "daemon/engine/delay_table.hpp"
#include "daemon/engine/extent.hpp"
#include "daemon/engine/group_table.hpp"
#include "daemon/engine/next_numbers.hpp"
#include "daemon/engine/output_room.hpp"
#include "daemon/engine/producer_marks.hpp"
#include "daemon/engine/queue_definition.hpp"
#include "daemon/engine/range_map.hpp"
#include "daemon/engine/state_map.hpp"
#include "daemon/engine/taker_ring.hpp"
#include "mqd/types.hpp"

namespace mqd::engine {

// What dispatch() decided: consecutive messages of one extent and one attempt, for one consumer.
struct Delivery {
    Consumer* consumer = nullptr;
    const Extent* extent = nullptr;
    MessageRange range;
    std::uint32_t attempt = 0;
};

enum class LiveState : std::uint8_t { ready, leased, ending, aside, dying, delayed, held, purged };
inline constexpr std::size_t live_states = 8;

// Some of them.
class LiveStates {
  public:
    constexpr LiveStates(std::initializer_list<LiveState> states) {
        for (const LiveState state : states) {
            add(state);
        }
    }
    [[nodiscard]] static constexpr LiveStates all() {
        LiveStates states{};
        states.bits_ = (1u << live_states) - 1;
        return states;
    }
    // All but those that were purged, which are there for whoever undoes it only.
    [[nodiscard]] static constexpr LiveStates visible() {
        LiveStates states = all();
        states.bits_ &= ~(1u << static_cast<unsigned>(LiveState::purged));
        return states;
    }
    constexpr void add(LiveState state) { bits_ |= 1u << static_cast<unsigned>(state); }
    [[nodiscard]] constexpr bool has(LiveState state) const {
        return (bits_ >> static_cast<unsigned>(state) & 1u) != 0;
    }

  private:
    unsigned bits_ = 0;
};

// What went wrong with a message, the last time and the first.
struct Failure {
    WallTime first;
    WallTime last;
    bool rejected = false;  // by a consumer: it is not to be delivered again
    // Why, for people; shared by those that failed together. Null: nobody said.
    std::shared_ptr<const std::string> reason;
    friend bool operator==(const Failure&, const Failure&) = default;
};

// A run of live messages with equal delivery count.
struct LiveRun {
    MessageRange range;
    std::uint32_t attempts = 0;
};

class Queue {
  public:
    Queue(QueueId id, QueueDefinition definition, MessageNumber next,
          std::pmr::memory_resource* memory);
    Queue(const Queue&) = delete;
    Queue& operator=(const Queue&) = delete;

    [[nodiscard]] QueueId id() const { return id_; }
    [[nodiscard]] const QueueDefinition& definition() const { return definition_; }
    [[nodiscard]] const std::string& name() const { return definition_.name; }
    [[nodiscard]] bool durable() const { return definition_.durability != Durability::memory; }
    // A delete was admitted: no publish, no new handle.
    [[nodiscard]] bool deleting() const { return deleting_; }

    [[nodiscard]] std::uint64_t ready() const { return in(LiveState::ready).count(); }
    [[nodiscard]] std::uint64_t leased() const { return in(LiveState::leased).count(); }
    [[nodiscard]] std::uint64_t ending() const { return in(LiveState::ending).count(); }
    [[nodiscard]] std::uint64_t aside() const { return in(LiveState::aside).count(); }
    [[nodiscard]] std::uint64_t dying() const { return in(LiveState::dying).count(); }
    [[nodiscard]] std::uint64_t delayed() const { return in(LiveState::delayed).count(); }
    [[nodiscard]] std::uint64_t held() const { return in(LiveState::held).count(); }
    [[nodiscard]] std::uint64_t purged() const { return in(LiveState::purged).count(); }
    [[nodiscard]] std::uint64_t live() const;
    [[nodiscard]] std::size_t consumers() const { return consumers_.size(); }
    // How its consumers share it; without any, it is open to all.
    [[nodiscard]] Sharing sharing() const {
        return consumers_.empty() ? Sharing::shared : consumers_.front()->sharing;
    }
    // Whether one more consumer may be attached that shares it so.
    [[nodiscard]] bool admits(Sharing how) const {
        return consumers_.empty() || (how == sharing() && how != Sharing::exclusive);
    }
    // Handles that publish to it; core counts them here and the engine does not look at it.
    [[nodiscard]] std::uint32_t producers() const { return producers_; }
    void producer_opened() { ++producers_; }
    void producer_closed() {
        MQD_ASSERT(producers_ > 0);
        --producers_;
    }
    // Of those that have names. Null: there never was one.
    [[nodiscard]] const ProducerMarks* producer_marks() const { return marks_.get(); }
    // The ids of messages that it remembers. Null: it has no window for them.
    [[nodiscard]] DedupWindow* dedup() { return dedup_.get(); }
    [[nodiscard]] const DedupWindow* dedup() const { return dedup_.get(); }
    // Messages that were published once more, since it is there.
    [[nodiscard]] std::uint64_t duplicates() const { return duplicates_; }
    // Bytes of batches that are admitted and not applied yet; counted by core, as the producers.
    [[nodiscard]] std::uint64_t admitted_bytes() const { return admitted_bytes_; }
    void admitted(std::uint64_t bytes) { admitted_bytes_ += bytes; }
    void arrived(std::uint64_t bytes) {
        MQD_ASSERT(bytes <= admitted_bytes_, bytes);
        admitted_bytes_ -= bytes;
    }
    // Messages that come with a commit group and have no numbers yet; counted by core, as well.
    [[nodiscard]] std::uint64_t expected() const { return expected_; }
    void expect(std::uint64_t messages) { expected_ += messages; }
    void came(std::uint64_t messages) {
        MQD_ASSERT(messages <= expected_, messages);
        expected_ -= messages;
    }
    // Of the batches of its resident messages, whole extents.
    [[nodiscard]] std::uint64_t resident_bytes() const { return resident_bytes_; }
    // The number of the next message to be admitted; behind what is still on its way to the disk.
    // With priorities: of the lowest one.
    [[nodiscard]] MessageNumber next_number() const { return numbers_.last_admitted(); }
    // The number behind the last message that was applied; likewise.
    [[nodiscard]] MessageNumber next_applied() const { return numbers_.last_applied(); }
    // The same in the level of that number.
    [[nodiscard]] MessageNumber next_applied(MessageNumber like) const {
        return numbers_.applied(like);
    }
    [[nodiscard]] const NextNumbers& numbers() const { return numbers_; }

    // Messages whose time to live was over, since it is there.
    [[nodiscard]] std::uint64_t expired() const { return expired_; }
    // Whether any message of it may have a time to live.
    [[nodiscard]] bool may_expire() const { return definition_.ttl.count() != 0 || has_own_ttls_; }
    // How many of the range may be delivered, now or later: ready, delayed or leased.
    [[nodiscard]] std::uint64_t deliverable_in(MessageRange range) const;

    // How many messages its consumers have credit for, of those whose turn it is; 0 while paused.
    [[nodiscard]] std::uint64_t open_credit() const;
    // Whether dispatch() could deliver something: ready messages, and somebody with credit.
    [[nodiscard]] bool wants_dispatch() const;

    // The extent that holds a message; null: not resident.
    [[nodiscard]] const Extent* extent_at(MessageNumber number) const;
    // The first number from `number` on that an extent holds; the last of all numbers: none.
    [[nodiscard]] MessageNumber resident_from(MessageNumber number) const;
    // The first message that is to be delivered next. False: none is ready.
    [[nodiscard]] bool first_ready(MessageNumber& number) const {
        if (in(LiveState::ready).empty()) {
            return false;
        }
        number = in(LiveState::ready).front().range.first;
        return true;
    }
    // The run with the oldest of those that are ready or held; with priorities, among those of the
    // lowest that there is. Precondition: there are any.
    [[nodiscard]] MessageRange oldest_waiting() const;
    // How many messages of the range are ready.
    [[nodiscard]] std::uint64_t ready_in(MessageRange range) const;
    // How many wait, with their end not decided: ready, held, delayed or purged. All that live, in
    // a replay.
    [[nodiscard]] std::uint64_t waiting_in(MessageRange range) const;

    // The extent that holds `number`, or the next one behind it; null: none.
    [[nodiscard]] const Extent* extent_from(MessageNumber number) const;

    // All live messages in order, ready, leased and ending alike.
    [[nodiscard]] std::vector<LiveRun> live_runs() const;
    // The first live messages from `from` on: of one state, with one delivery count. False: none.
    [[nodiscard]] bool find_live(MessageNumber from, LiveRun& out) const;
    // The state of a message that lives, and its deliveries so far. Nothing: it does not.
    [[nodiscard]] std::optional<std::pair<LiveState, std::uint32_t>> state_of(
        MessageNumber number) const;
    // How many messages of the range live.
    [[nodiscard]] std::uint64_t live_in(MessageRange range) const;

    // The first messages from `from` on in that state, with their delivery count. False: none.
    [[nodiscard]] bool find_in(LiveState state, MessageNumber from, LiveRun& out) const;
    // Those that are dying because they had to make room for younger ones.
    [[nodiscard]] std::uint64_t overflowed() const { return overflowed_.count(); }
    [[nodiscard]] bool has_overflowed(MessageNumber number) const {
        return overflowed_.count_in({number, 1}) != 0;
    }
    // What went wrong with those that failed before.
    [[nodiscard]] const RangeMap<Failure>& failures() const { return failures_; }
    // Until when those that are delayed are, and those that were when their end was decided: it may
    // come to nothing, by a crash, and then they wait on. Null: none ever was.
    [[nodiscard]] const DelayTable* delays() const { return delays_.get(); }
    // Until when those that were purged are kept, on the journal clock; on the other one are those
    // whose end is decided, which may come to nothing as well. Null: none ever was.
    [[nodiscard]] const DelayTable* purges() const { return purges_.get(); }
    // Which of them belong to groups. Null: none ever did.
    [[nodiscard]] const GroupTable* groups() const { return groups_.get(); }
    // That of a delayed message, and of its neighbours that are due at the same time.
    [[nodiscard]] DelayTable::Run delay_of(MessageNumber number) const;

    // Looks at live messages of these states, or all visible ones, from `from` on, in order, until
    // fn(extent, range, attempts, state) says false; those that are set aside are passed over. A
    // range lies in one extent, has one state, one delivery count and, if it is delayed, one due
    // time. Returns the first message that it did not come to because it is not resident; the last
    // of all numbers: there was none.
    template <typename Fn>
    MessageNumber peek(MessageNumber from, LiveStates states, Fn&& fn) const;
    template <typename Fn>
    MessageNumber peek(MessageNumber from, Fn&& fn) const {
        return peek(from, LiveStates::visible(), std::forward<Fn>(fn));
    }

  private:
    friend class Engine;

    [[nodiscard]] StateMap& in(LiveState state) { return states_[static_cast<std::size_t>(state)]; }
    [[nodiscard]] const StateMap& in(LiveState state) const {
        return states_[static_cast<std::size_t>(state)];
    }

    struct Peeked {
        MessageRange range;
        std::uint32_t attempts = 0;
        LiveState state{};
    };
    [[nodiscard]] bool peek_state(MessageNumber from, LiveStates states, Peeked& out) const;
    using Extents = std::pmr::map<MessageNumber, Extent*>;  // by last number
    // The first one that does not end before it.
    [[nodiscard]] Extents::const_iterator extent_place(MessageNumber number) const;

    QueueId id_;
    QueueDefinition definition_;
    NextNumbers numbers_;
    // The live messages of each state; value: deliveries so far, the one under way included.
    std::array<StateMap, live_states> states_;
    RangeMap<Failure> failures_;  // of live messages
    RangeMap<bool> overflowed_;   // of those that are dying; a start forgets it, as all dying
    std::unique_ptr<DelayTable> delays_;
    bool ends_delayed_ = false;  // some that are ending may have been delayed
    std::unique_ptr<DelayTable> purges_;
    bool ends_purged_ = false;  // as ends_delayed_
    std::unique_ptr<GroupTable> groups_;
    bool groups_restored_ = false;  // and not judged: nobody has a slot yet
    // The times under which the engine lists it, and the runs of delayed messages that it counts.
    std::array<std::optional<std::int64_t>, due_clocks> listed_due_;
    std::size_t counted_delays_ = 0;
    std::optional<std::int64_t> listed_purge_;  // likewise
    std::size_t counted_purges_ = 0;
    std::size_t counted_kept_groups_ = 0;  // likewise
    std::uint64_t resident_bytes_ = 0;
    Extents extents_;
    mutable Extents::const_iterator near_extent_;  // where the last look-up ended, or the end
    std::vector<Consumer*> consumers_;             // in no order
    TakerRing takers_;
    TakerRing waiting_;  // for their turn, the oldest first
    std::uint32_t producers_ = 0;
    std::unique_ptr<ProducerMarks> marks_;
    std::unique_ptr<DedupWindow> dedup_;
    std::uint64_t duplicates_ = 0;
    std::uint64_t admitted_bytes_ = 0;
    std::uint64_t expected_ = 0;
    bool deleting_ = false;
    bool dirty_ = false;         // in the engine's list
    bool dying_listed_ = false;  // likewise
    // By its TTL, all resident messages below have been looked at; and when the next one is to be.
    MessageNumber not_expired_from_{0};
    Time listed_expiry_ = Time::max();
    bool has_own_ttls_ = false;  // some message has or had a TTL of its own
    std::uint64_t expired_ = 0;
};

template <typename Fn>
MessageNumber Queue::peek(MessageNumber from, LiveStates states, Fn&& fn) const {
    Peeked piece;
    while (peek_state(from, states, piece)) {
        from = piece.range.end();
        if (piece.state == LiveState::aside) {
            continue;
        }
        const Extent* extent = extent_at(piece.range.first);
        if (extent == nullptr) {
            return piece.range.first;
        }
        from = std::min(from, extent->end());
        if (piece.state == LiveState::delayed) {
            from = std::min(from, delay_of(piece.range.first).range.end());
        }
        piece.range.count = from - piece.range.first;
        if (!fn(*extent, piece.range, piece.attempts, piece.state)) {
            break;
        }
    }
    return MessageNumber(UINT64_MAX);
}

}  // namespace mqd::engine
