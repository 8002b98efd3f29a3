#pragma once

// The engine: all queues as one pure state machine. No I/O, no threads, no clock, no random
// numbers, no log: the same calls give the same state, always.
//
// A durable change takes two steps. admit_…() decides it and reserves what it decided on (numbers,
// leases, names), so that nothing else can decide differently meanwhile; core journals the
// decision; apply(), the same that replays the journal after a restart, makes it so. Memory queues
// take both steps at once. Leases, credit and residency are volatile and take effect at once.

#include <map>
#include <memory>
#include <memory_resource>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "daemon/engine/queue.hpp"
#include "mqd/result.hpp"

namespace mqd::engine {

// Decisions, as the journal holds them and apply() takes them.
struct CreateQueue {
    QueueId id;
    QueueDefinition definition;
    MessageNumber next;  // the first number it gives out; 1 for a new queue, or with priorities
};
// Name, durability and priorities are as they were.
struct UpdateQueue {
    QueueId id;
    QueueDefinition definition;
};
struct DeleteQueue {
    QueueId id;
};
struct AddMessages {
    QueueId id;
    MessageRange range;
};
struct RemoveMessages {
    QueueId id;
    std::span<const MessageRange> ranges;
};
// Messages were delivered: their delivery count is now `attempts`. Replay only; dispatch() has done
// it.
struct CountDelivery {
    QueueId id;
    MessageRange range;
    std::uint32_t attempts = 0;
};
// Live messages of a state group. Replay only.
struct RestoreMessages {
    QueueId id;
    MessageRange range;
    std::uint32_t attempts = 0;
};
// Numbers below `next`, of its level, are not given out any more. Start only.
struct SkipNumbers {
    QueueId id;
    MessageNumber next;
};

// A delivery of messages failed. Those that live keep the first time and the last reason.
struct NoteFailure {
    QueueId id;
    MessageRange range;
    Failure failure;
};

// Messages wait until then: what of the range is ready, or delayed until another time.
struct DelayMessages {
    QueueId id;
    MessageRange range;
    Due due;
    std::uint32_t attempts = 0;  // so often they were delivered before, at least
};

// Messages are kept until then, for whoever undoes it, and not delivered: what of the range is
// ready, held, delayed, or purged until another time.
struct PurgeMessages {
    QueueId id;
    MessageRange range;
    Time until;
};

// They are put back: what of the ranges is purged.
struct UndoPurge {
    QueueId id;
    std::span<const MessageRange> ranges;
};

// An extent of which something may have come to the end of its time to live.
struct ExpiredExtent {
    Queue* queue = nullptr;
    Extent* extent = nullptr;  // null: none
    bool whole = false;        // all of it has, by the TTL of its queue
};

// Messages that somebody had leased, and that may be delivered again.
struct ReturnedMessages {
    QueueId id;
    MessageRange range;
};

// Lines of a producer up to this one were taken, the last of them at that time.
struct MarkProducer {
    QueueId id;
    std::string_view name;
    LineNumber line;
    WallTime used;
};

// How a consumer ended: what it had leased failed, or was given back, which counts as no delivery.
enum class ConsumerEnd : std::uint8_t { failed, gave_back };

struct SettleResult {
    std::uint64_t settled = 0;     // messages
    std::uint64_t not_leased = 0;  // messages
};

// What a consumer lost because its lease ran out.
struct LeaseLoss {
    Consumer* consumer = nullptr;
    MessageRange range;
};

class Engine {
  public:
    // The salt is for hash tables whose keys clients choose; what the engine does does not depend
    // on it, only how long it takes.
    explicit Engine(std::uint64_t hash_salt = 0);
    ~Engine();
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    // Memory for what is attached to the engine; outlives it all.
    [[nodiscard]] std::pmr::memory_resource* memory() { return &memory_; }

    // --- queues
    [[nodiscard]] Queue* find(std::string_view name) const;  // null: none
    [[nodiscard]] Queue* find(QueueId id) const;
    // In byte order of their names.
    [[nodiscard]] const std::map<std::string, Queue*, std::less<>>& queues() const {
        return by_name_;
    }
    // Reserves the name and gives the new queue its id. Errors: queue_exists (also while a create
    // of that name is on its way).
    Result<CreateQueue> admit_create(QueueDefinition definition);
    // The same in the place of `old`, which is deleted first: a queue under the same name with a
    // new id.
    CreateQueue admit_recreate(const Queue& old);
    // Precondition: !queue.deleting().
    DeleteQueue admit_delete(Queue& queue);
    // Detaches its consumers; hands back its extents through released().
    void apply(const CreateQueue& command);
    void apply(const UpdateQueue& command);
    void apply(const DeleteQueue& command);
    // The id that the next queue gets; kept by the state group, so that none is used twice.
    [[nodiscard]] QueueId next_queue_id() const { return next_queue_id_; }
    void restore_next_queue_id(QueueId id);

    // --- messages
    // Of all queues: what is there and what is on its way in, without what is on its way out.
    [[nodiscard]] std::uint64_t messages() const { return messages_; }
    // Gives the next `count` numbers; of that priority, on a queue that has them.
    AddMessages admit_add(Queue& queue, std::uint32_t count, unsigned priority = 0);
    void apply(const AddMessages& command);
    // `members` are those of the range that belong to groups, in order.
    void apply(Queue& queue, const AddMessages& command, std::span<const GroupMember> members = {});
    // The messages' bodies are in memory. Precondition: the range was applied, is not resident, and
    // its `live` messages are alive: live is counted here.
    void announce_resident(Queue& queue, Extent& extent);
    // They are no longer, though they live: what of them is to be delivered waits until they are
    // announced again. The extent is core's from now on; released() does not name it.
    void forget_resident(Queue& queue, Extent& extent);
    // The ready and dying messages of the range cannot be read: they stay where they are.
    void set_aside(Queue& queue, MessageRange range);
    // Decides to end what of `ranges` the consumer has leased; appends the decision to `decided`.
    SettleResult admit_ack(Consumer& consumer, std::span<const MessageRange> ranges,
                           std::vector<MessageRange>& decided);
    SettleResult admit_ack(Consumer& consumer, MessageRange range,
                           std::vector<MessageRange>& decided) {
        return admit_ack(consumer, {&range, 1}, decided);
    }
    // The same on a queue in memory, where what is decided is applied at once.
    SettleResult ack(Consumer& consumer, std::span<const MessageRange> ranges,
                     std::vector<MessageRange>& decided);
    // Decides to end what of the range waits: ready, delayed, set aside, dying or purged. Appends
    // the decision to `decided`.
    void admit_end(Queue& queue, MessageRange range, std::vector<MessageRange>& decided);
    // The same for what of them could not be put back if a purge is undone: set aside or dying.
    void admit_end_lost(Queue& queue, MessageRange range, std::vector<MessageRange>& decided);
    // Decides to end what of the range is dying: it is moved elsewhere.
    void admit_move(Queue& queue, MessageRange range);
    // Decides that the oldest of those that are ready or held make room: they are dying.
    // Precondition: there are so many. (overflow.cpp)
    void admit_overflow(Queue& queue, std::uint64_t count);
    // What of the range is ending does not end: it is dying.
    void give_up_ending(Queue& queue, MessageRange range);
    // admit_end() of all messages.
    void admit_purge(Queue& queue, std::vector<MessageRange>& decided);
    void apply(const RemoveMessages& command);
    void apply(Queue& queue, const RemoveMessages& command);
    void apply(const CountDelivery& command);
    void apply(const RestoreMessages& command);
    void apply(const SkipNumbers& command);
    void apply(const NoteFailure& command);
    void apply(const DelayMessages& command);
    void apply(const PurgeMessages& command);
    void apply(const UndoPurge& command);
    // It tells the most that was taken, so that it does no harm where more is known.
    void apply(const MarkProducer& command);

    // --- purges that can be undone (purges.cpp)
    // What of these is ready, held or delayed is purged from now on, until then; appends it to
    // `purged`. Returns how many they are.
    std::uint64_t purge(Queue& queue, MessageRange range, Time until,
                        std::vector<MessageRange>& purged);
    // All that is purged is put back, each message at its place: ready, held, or delayed if it was.
    // Appends it to `restored`.
    void undo_purge(Queue& queue, std::vector<MessageRange>& restored);
    // When the first is not kept any longer.
    [[nodiscard]] std::optional<Time> next_purge_end() const;
    // Decides to end what was purged and is not kept any longer: of one queue, at most so many runs
    // of messages. Null: nothing is left to be ended.
    Queue* admit_purge_end(Time now, std::size_t runs_max, std::vector<MessageRange>& decided);
    // Runs of purged messages, of all queues; what they cost goes by that.
    [[nodiscard]] std::size_t purge_runs() const { return purge_runs_; }

    // --- producers with names (producer_marks.cpp)
    // The mark of that name, made if there is none; it stays where it is until its queue is gone,
    // or forget_mark(). Whoever had it before is fenced from now on.
    ProducerMark& open_mark(Queue& queue, std::string_view name);
    // Decides that lines up to this one are taken.
    static void admit_lines(ProducerMark& mark, LineNumber last);
    static void apply(ProducerMark& mark, LineNumber line, WallTime used);
    // Precondition: no line of it was ever taken.
    void forget_mark(Queue& queue, const ProducerMark& mark);
    // Of all queues.
    [[nodiscard]] std::size_t producer_marks() const { return producer_marks_; }

    // --- ids of messages (dedup_window.cpp)
    // The queue remembers ids from now on, if it does not already.
    void open_dedup(Queue& queue, DedupKey key);
    // It remembers none any more.
    static void close_dedup(Queue& queue);
    // Forgets ids whose time is over, or that are more than the queue may remember: the oldest,
    // at most so many.
    static void forget_ids(Queue& queue, Time now, std::size_t at_most);
    void note_duplicates(Queue& queue, std::uint64_t count);
    // Of all queues.
    [[nodiscard]] std::size_t dedup_ids() const { return dedup_ids_; }
    // Messages that were published once more, also to queues that are gone.
    [[nodiscard]] std::uint64_t duplicate_messages() const { return duplicate_messages_; }

    // What has failed as often as its queue allows, or was rejected, is dying from now on. At the
    // end of a start.
    void judge_attempts();
    // These messages belong to groups, if they are not known to. Start only; they get their slots
    // with judge_groups().
    void restore_groups(Queue& queue, std::span<const GroupMember> members);
    // Who of each group is under way, and who is held. At the end of a start, behind
    // judge_attempts().
    void judge_groups();
    // Messages that belong to groups, of all queues; what they cost goes by that.
    [[nodiscard]] std::size_t grouped_messages() const { return grouped_messages_; }
    // Groups without messages, of all queues, that are kept because they rest.
    [[nodiscard]] std::size_t kept_groups() const { return kept_groups_; }

    // Queues with dying messages, as of the last forget_dying() or since.
    [[nodiscard]] const std::vector<Queue*>& with_dying() const { return with_dying_; }
    void forget_dying();
    // What is dying is ready once more: there is nowhere for it to go.
    void revive(Queue& queue);

    // Extents none of whose messages lives any more, in the order in which they ended; for core to
    // take and clear.
    [[nodiscard]] std::vector<Extent*>& released() { return released_; }

    // Hands back all extents, when the process ends.
    void release_all();

    // --- consumers
    // Precondition: not attached, queue not deleting, and it admits another one of that sharing.
    void attach(Consumer& consumer, Queue& queue);
    // Everything it has leased is ready again, at once; if it failed, as after nack(). Then it is
    // the turn of the one that waits longest.
    void detach(Consumer& consumer, ConsumerEnd end, Time now);
    void grant(Consumer& consumer, std::uint64_t message_limit, std::uint64_t byte_limit);
    // Those whose turn came while others were detached, each once; for core to tell and clear.
    [[nodiscard]] std::vector<Consumer*>& activated() { return activated_; }
    // There is output room again.
    void wake(Consumer& consumer);
    // Appends what it applied to: it is dying, if it has failed as often as it may, or delayed for
    // so long, or ready again. Without a delay, the queue says how long.
    SettleResult nack(Consumer& consumer, MessageRange range, Time now,
                      std::optional<std::chrono::milliseconds> delay,
                      std::vector<MessageRange>& returned);
    // The same, and it is not to be delivered again.
    SettleResult reject(Consumer& consumer, MessageRange range,
                        std::vector<MessageRange>& rejected);
    SettleResult extend(Consumer& consumer, MessageRange range, Time deadline);

    // Delivers what can be delivered on the queues that changed: strictly in order of numbers,
    // shared fairly between the consumers that have credit.
    void dispatch(Time now, std::vector<Delivery>& out);
    // Queues on which the last dispatch() stopped before a message that is not resident, though
    // somebody has credit for it.
    [[nodiscard]] const std::vector<Queue*>& starved() const { return starved_; }

    // Whether dispatch() has queues to look at.
    [[nodiscard]] bool wants_dispatch() const { return !dirty_.empty() || !freed_rooms_.empty(); }

    // --- time
    // When expire() next has something to do; not later than the first lease ends, perhaps earlier.
    [[nodiscard]] std::optional<Time> next_deadline() const;
    void expire(Time now, std::vector<LeaseLoss>& lost);
    // What was delayed after a failure, in order, for core to take and clear.
    [[nodiscard]] std::vector<DelayMessages>& delayed() { return delayed_; }
    // Runs of messages that are delayed until the same time; what they cost goes by that.
    [[nodiscard]] std::size_t delay_runs() const { return delay_runs_; }
    // When the first message is due, on that clock; or the first rest of a group is over.
    [[nodiscard]] std::optional<std::int64_t> next_due(DueClock clock) const;
    // What is due is ready, and groups go on whose rest is over; at most so many runs of messages,
    // and groups, at once.
    void wake_due(const Clocks& now, std::size_t runs_max);

    // --- times to live (expiry.cpp)
    // As long as this is not later than now, dispatch() delivers nothing of the queues of which
    // something is to be ended.
    [[nodiscard]] std::optional<Time> next_expiry() const;
    // Where to look next, now. If it is not the whole of it, set_expiry() has to follow.
    [[nodiscard]] ExpiredExtent next_expired(Time now);
    void set_expiry(Queue& queue, Extent& extent, Time next);
    // Decides that the time of those in the range is over: what waits, ready or delayed, is dying
    // or, appended to `decided`, ending, as the queue says. Returns how many they are.
    std::uint64_t admit_expiry(Queue& queue, MessageRange range,
                               std::vector<MessageRange>& decided);
    // To be looked at once more; for core to take and clear. Of queues that may expire only.
    [[nodiscard]] std::vector<ReturnedMessages>& returned() { return returned_; }
    // Of all queues, also of those that are gone.
    [[nodiscard]] std::uint64_t expired_messages() const { return expired_messages_; }

  private:
    struct ExpiringExtent {
        Time at;
        QueueId id;
        MessageNumber last;
        friend auto operator<=>(const ExpiringExtent&, const ExpiringExtent&) = default;
    };
    [[nodiscard]] static ExpiringExtent expiring(const Queue& queue, const Extent& extent);
    void note_arrival(Queue& queue, Extent& extent);
    void unlist_expiry(Queue& queue, Extent& extent);
    void list_expiry(Queue& queue, Time at);
    void ttl_changed(Queue& queue);
    void note_returned(Queue& queue, MessageRange range);
    [[nodiscard]] std::vector<QueueId> expired_queues(Time now) const;
    [[nodiscard]] static bool by_extents(const Queue& queue);
    void mark_dirty(Queue& queue);
    void dispatch(Queue& queue, Time now, const std::vector<QueueId>& expired,
                  std::vector<Delivery>& out);
    void share(Queue& queue, Time now, std::vector<Delivery>& out);
    void stop(Consumer& consumer);
    void leases_ended(Consumer& consumer, std::uint64_t count);
    bool dispatch_to(Queue& queue, Consumer& consumer, std::uint64_t quota, Time now,
                     std::vector<Delivery>& out);
    // A run of messages that are ready.
    struct Coming {
        MessageRange range;
        std::uint32_t attempts = 0;
        const Extent* extent = nullptr;  // of the first one; null: it is not resident
        MemberLink member = no_member;   // the first one, if it is one and that is known
    };
    void look_ahead(const Queue& queue, std::uint64_t messages);
    static void take_ready(Queue& queue, Consumer& consumer, Coming& coming, std::uint64_t count,
                           const Lease& lease);
    void list_taker(Consumer& consumer);
    void unlist_taker(Consumer& consumer);
    void pass_turn(Queue& queue);
    static void end_lease(Queue& queue, MessageRange range);
    [[nodiscard]] static std::uint64_t messages_of(const Queue& queue);
    void end_in(Queue& queue, std::span<const LiveState> states, MessageRange range,
                std::vector<MessageRange>& decided);
    void make_ready(Queue& queue, MessageRange range, std::uint32_t attempts);
    void make_dying(Queue& queue, MessageRange range, std::uint32_t attempts);
    void make_delayed(Queue& queue, MessageRange range, std::uint32_t attempts, Due due);
    void forget_delay(Queue& queue, MessageRange range);
    // purges.cpp
    void make_purged(Queue& queue, MessageRange range, std::uint32_t attempts, Time until);
    void restore(Queue& queue, MessageRange range, std::uint32_t attempts);
    void note_purge_end(Queue& queue, MessageRange range);
    void forget_purge(Queue& queue, MessageRange range);
    void note_purges(Queue& queue);
    // groups.cpp
    void open_groups(Queue& queue);
    void enter(Queue& queue, MessageRange range, std::span<const GroupMember> members);
    void place(Queue& queue, MessageRange range, std::uint32_t attempts);
    void leave_groups(Queue& queue, std::span<const MessageRange> ranges);
    bool begin_leaving(const Queue& queue);
    void leave_group(Queue& queue, MessageRange range);
    void give_up_leaving(Queue& queue);
    // An ack that is under way.
    struct Acking {
        Consumer& consumer;
        std::vector<MessageRange>& decided;
        bool applied = false;  // at once
        std::uint64_t settled = 0;
        Extent* near = nullptr;  // of the last one that is gone
    };
    SettleResult end_leased(Acking acking, std::span<const MessageRange> ranges);
    std::size_t end_members(Acking& acking, std::span<const MessageRange> ranges);
    std::size_t remove_members(Queue& queue, std::span<const MessageRange> ranges, Extent*& near);
    void pass_on(Queue& queue, GroupRef group);
    void end_leaving(Queue& queue);
    void pass_on(Queue& queue, std::span<const GroupRef> groups);
    void forget_groups(Queue& queue, MessageRange range);
    void judge_groups(Queue& queue);
    void widen_groups(Queue& queue);
    // group_rests.cpp
    std::uint64_t begin_rests(Queue& queue, MessageRange range, std::uint32_t attempts, Time now);
    void end_rests(Queue& queue, Time now, std::size_t& groups_max);
    [[nodiscard]] static std::optional<Time> first_rest_over(const Queue& queue);
    void count_kept_groups(Queue& queue);
    void note_delays(Queue& queue);
    void list_due(Queue& queue);
    void put_back(Queue& queue, MessageRange range, std::uint32_t attempts, Time now,
                  std::optional<std::chrono::milliseconds> delay);
    void list_dying(Queue& queue);
    static void forget_overflow(Queue& queue, MessageRange range);
    template <typename Fn>
    SettleResult give_up(Consumer& consumer, MessageRange range, std::vector<MessageRange>& pieces,
                         Fn&& put);
    void set_floor(Consumer& consumer, Time floor);
    static void append_merged(std::vector<MessageRange>& ranges, MessageRange range);
    void forget_removed(Queue& queue, MessageRange range, Extent*& near);
    void release(Queue& queue, MessageRange range, Extent*& near);
    void release_all(Queue& queue);

    std::pmr::unsynchronized_pool_resource memory_;
    std::map<std::string, Queue*, std::less<>> by_name_;
    std::set<std::string, std::less<>> reserved_names_;
    std::size_t dedup_ids_ = 0;  // outlives the queues
    std::unordered_map<QueueId, std::unique_ptr<Queue>> by_id_;
    QueueId next_queue_id_{1};
    std::uint64_t next_serial_ = 1;
    std::vector<Queue*> dirty_;
    std::vector<Queue*> dispatching_;
    std::vector<Queue*> starved_;
    std::vector<OutputRoom*> freed_rooms_;  // with consumers that wait there, and leases left
    std::vector<Extent*> released_;
    std::vector<Queue*> with_dying_;
    std::vector<DelayMessages> delayed_;
    std::vector<Consumer*> activated_;
    std::vector<MessageRange> expired_;                           // scratch
    std::map<std::pair<Time, std::uint64_t>, Consumer*> floors_;  // by lease_floor, serial
    // Queues with delayed messages, or groups that rest, by the time of the first.
    std::array<std::set<std::pair<std::int64_t, QueueId>>, due_clocks> due_queues_;
    std::size_t delay_runs_ = 0;  // of all queues
    // Queues with purged messages, by the time of the first.
    std::set<std::pair<std::int64_t, QueueId>> purge_queues_;
    std::size_t purge_runs_ = 0;
    std::size_t grouped_messages_ = 0;
    std::size_t kept_groups_ = 0;
    std::uint64_t hash_salt_;
    std::vector<Coming> coming_;       // scratch
    std::vector<MessageRange> ended_;  // scratch: what an ack ends and has yet to apply
    std::vector<MemberLink> leaving_;  // scratch: who gives up a slot soon
    std::vector<GroupRef> freed_;      // scratch: groups of which somebody gave up a slot
    // Queues with a TTL, by the time at which the first extent expires that is not looked at yet;
    // and extents with TTLs of their own.
    std::set<std::pair<Time, QueueId>> expiring_queues_;
    std::set<ExpiringExtent> expiring_extents_;
    std::vector<ReturnedMessages> returned_;
    std::uint64_t expired_messages_ = 0;
    std::uint64_t messages_ = 0;  // messages_of() all queues
    std::size_t producer_marks_ = 0;
    std::uint64_t duplicate_messages_ = 0;
};

}  // namespace mqd::engine
