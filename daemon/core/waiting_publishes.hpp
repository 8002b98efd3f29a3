#pragma once

// Publishes to a full queue whose on_full is `wait`: they are taken when there is room, in the
// order in which they came to the queue, and refused when their time is over before. A frame that
// waits has been checked, copied, and has everything reserved that it needs but its place, so it
// counts for limits.memory_bytes and is bounded by the credit of its producer. Its lines stand
// among the pending ones of its handle, and hold back the answers behind them; nothing else waits
// for it. Owned by the core; loop thread only.

#include <list>
#include <map>
#include <set>
#include <tuple>

#include "daemon/core/handle.hpp"
#include "daemon/core/taken_batch.hpp"
#include "daemon/engine/engine.hpp"

namespace mqd::core {

class Core;

class WaitingPublishes {
  public:
    explicit WaitingPublishes(Core& core) : core_(core) {}

    // Whether somebody waits for room in the queue, so that who comes now waits behind.
    [[nodiscard]] bool any(const engine::Queue& queue) const {
        return !queues_.empty() && queues_.contains(queue.id());
    }
    // Takes core's batch, with all that is reserved for it. The lines stay where they are until
    // they are taken or refused. Precondition: !producer.waits_enough().
    void add(Producer& producer, PendingLines& lines, Durability asked, Identity sender);

    // Takes what there is room for, and refuses what has waited long enough or cannot be taken any
    // more.
    void turn();
    // What came into a rendezvous queue, which has just been given to consumers or waits for that
    // in handed_turn(): behind each delivery.
    void hand_over(Producer& producer, PendingLines& lines, const TakenBatch& batch);
    void handed_turn();
    // turn() would do something now.
    [[nodiscard]] bool wants_turn() const;
    // When the first one has waited long enough; max: none waits.
    [[nodiscard]] engine::Time next_deadline() const {
        return deadlines_.empty() ? engine::Time::max() : std::get<0>(*deadlines_.begin());
    }

    // The queue is about to go: nobody waits for it any more.
    void queue_gone(const engine::Queue& queue);
    // A name was opened again: who had it before waits no more, wherever in the line.
    void name_opened(const engine::Queue& queue);
    // The handle ends: nothing of what it waits for is taken.
    void producer_gone(Producer& producer);

  private:
    struct Waiting {
        Producer* producer = nullptr;
        PendingLines* lines = nullptr;
        TakenBatch batch;
        std::uint64_t bytes = 0;  // as it was sent
        Durability asked{};
        Identity sender;
        engine::Time deadline;
        std::uint64_t place = 0;  // among all that ever waited
    };
    using Line = std::list<Waiting>;
    // In a rendezvous queue, and not yet delivered as a whole.
    struct Handed {
        Producer* producer = nullptr;
        PendingLines* lines = nullptr;
        std::vector<MessageRange> ranges;
    };

    void expire();
    void take_some(Line& line);
    void take(Waiting& waiting, std::uint64_t to_drop);
    void refuse(Line& line, Producer& producer, Error error);
    Line::iterator forget(Line& line, Line::iterator at);
    using Producers = std::set<const Producer*>;
    static void refuse_handed(const Handed& handed, Error error, Producers& refused);
    [[nodiscard]] Error waited_in_vain(const Waiting& waiting) const;

    Core& core_;
    std::map<QueueId, Line> queues_;  // none of them empty
    std::vector<Handed> handed_;
    std::set<std::tuple<engine::Time, QueueId, std::uint64_t>> deadlines_;
    std::uint64_t last_place_ = 0;
};

}  // namespace mqd::core
