#pragma once

// What must be true of a message queue, kept by the most obvious means: one record per message, one
// per queue, producer and consumer. The judge stands at the border of the daemon: it is told every
// frame that goes in, in order, and every frame that comes out, and it knows when a process ended
// and how. It shares no code with the daemon but the decoding of frames.
//
// The first contradiction is kept as violation(); what comes after it means nothing.

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "mqd/types.hpp"
#include "mqd/wire/admin.hpp"
#include "mqd/wire/handle.hpp"
#include "mqd/wire/message_history.hpp"
#include "mqd/wire/message_move.hpp"
#include "mqd/wire/transact.hpp"

namespace mqd::sim {

// Every message has a name of its own, in the first 8 bytes of its body.
using Uid = std::uint64_t;

// In the lines of a producer: the message was published before, with the same id.
inline constexpr Uid once_more = Uid{1} << 63;
[[nodiscard]] constexpr bool is_once_more(Uid uid) {
    return (uid & once_more) != 0;
}

// How a process ended. What it had confirmed at `written` survives all but a power loss; an I/O
// error counts as one, since the page cache then promises nothing.
enum class End { clean, killed, power_lost };

struct ConsumerRecord;
struct TransactionRecord;

struct QueueRecord {
    std::string name;
    QueueId id;
    Durability durability{};
    std::uint32_t lease_ms = 0;
    bool dead = false;                     // nothing of it may be seen any more
    bool delete_asked = false;             // it may be gone
    std::string moves_to;                  // somebody asked to move messages of it there
    std::map<MessageNumber, Uid> numbers;  // those that anybody saw, for ever
    // The highest number that was delivered, of each level; 0 without priorities.
    std::array<MessageNumber, number_levels + 1> first_seen_up_to{};
    bool priorities = false;
    // With priorities: those that were confirmed and not delivered since, or not long since.
    std::map<MessageNumber, Uid> undelivered;
    std::vector<const ConsumerRecord*> attached;
};

struct ProducerRecord {
    QueueRecord* queue = nullptr;
    Identity identity;
    std::vector<Uid> lines;              // line - 1 -> message
    std::vector<std::uint64_t> resumes;  // the lines that were next when RESUME came
    std::uint64_t answered = 0;          // lines
    std::uint64_t refused_line = 0;      // the last refused one; 0: none
    std::uint32_t wait_ms = 0;           // that it asked for
    // Of one with a name. Of `lines`, 0 is one that cannot be taken any more.
    std::vector<Uid>* input = nullptr;        // line - 1 -> message, of all its handles; null: none
    const std::uint64_t* openings = nullptr;  // of the name, so far
    std::uint64_t opening = 0;
    std::vector<LineNumber> line_numbers;  // of lines, which come again after a refusal
    // Of frames without a whole answer: behind its last line, as `answered`; and its bytes.
    std::deque<std::pair<std::uint64_t, std::uint64_t>> frames;
    std::uint64_t bytes_answered = 0;
    std::uint64_t window_bytes = 0;  // its credit, without what was answered

    [[nodiscard]] bool fenced() const { return openings != nullptr && *openings != opening; }
    // Of the next answer. Precondition: a line is not answered.
    [[nodiscard]] std::uint64_t next_answered() const {
        return input == nullptr ? answered + 1 : line_numbers.at(answered).value();
    }
};

struct MessageRecord {
    QueueRecord* queue = nullptr;
    const ProducerRecord* producer = nullptr;
    std::uint64_t hash = 0;  // of the encoded message
    Durability asked{};
    unsigned priority = 0;
    std::uint64_t visible_since = 0;  // the turn
    std::uint64_t arrival = 0;        // of its frame, among all; 0: it does not count
    std::uint64_t frame_count = 0;    // messages
    std::int64_t sent_ns = 0;
    std::uint64_t total_max = 0;  // of all messages, when it was sent, with its frame; 0: unknown
    bool beyond_disk = false;     // when it was sent, limits.disk_bytes was used up
    bool refused = false;
    bool uncertain = false;  // a purge may have ended it
    // An undo would put it back, perhaps, or for certain.
    std::uint64_t purge = 0;  // the last one that may have ended it, if nobody undid that
    bool undoable = false;
    bool undo_certain = false;
    std::uint64_t undo = 0;  // that was asked for and is not answered, nor was it purged again
    bool restored = false;   // by one, perhaps: limits do not refuse that
    // What it survives, as somebody was told: unspecified: nobody was told anything.
    Durability kept{};
    // Ended, and what that end survives; unspecified: not ended.
    Durability gone{};
    bool may_be_gone = false;  // it had ended before a crash, which may have taken that back
    MessageNumber number;      // 0: not known
    bool visible = false;      // to consumers, for certain
    bool delivered = false;
    std::optional<WallTime> published;
    ConsumerRecord* holder = nullptr;
    std::int64_t lease_ends_ns = 0;
    std::uint32_t attempts = 0;
    // After a crash the daemon may have forgotten some, and remember them again at the next: then
    // the highest count that was ever seen is the bound.
    bool attempts_exact = true;
    std::uint32_t attempts_max = 0;
    // It was rejected, or failed as often as it may: it may be in the dead letters, or on the way.
    bool dying = false;
    // Seen in the dead letters, as safe as that: where it was before.
    QueueRecord* origin = nullptr;
    MessageNumber origin_number;
    Durability moved{};
    std::uint32_t dead_attempts_max = 0;  // there, before a crash that may have taken it back
    // It waits until then, on either clock; nothing: it does not.
    std::optional<std::int64_t> ready_at_ns{};
    std::optional<std::int64_t> due_us{};
    bool waited = false;  // it was published so: younger ones may be delivered before it
    bool failed_once = false;
    std::string group;                      // the key; empty: none
    bool released_now = false;              // in this turn, perhaps behind its deliveries
    bool started = false;                   // delivered since the daemon was started, and there
    TransactionRecord* born = nullptr;      // it was published in it
    TransactionRecord* ended_by = nullptr;  // it was acked in it
    std::uint64_t ttl_ms = 0;               // of itself or its queue; 0: none
    // When that is over for certain; nothing: it is not known by when it was taken.
    std::optional<std::int64_t> expires_by_ns{};
    bool may_have_expired = false;  // and was dropped
};

// How a consumer ended; as the daemon counts deliveries.
enum class Lent { failed, gave_back };

struct ConsumerRecord {
    QueueRecord* queue = nullptr;
    std::uint64_t connection = 0;
    std::int64_t lease_ns = 0;
    std::map<MessageNumber, Uid> held;
    std::uint64_t place = 0;  // among all that asked to be opened
    Sharing sharing{};
    bool waits = false;  // it was told so, and not yet that its turn has come
};

// An ACK that waits for SETTLED, and a purge, or an end of single messages, that waits for DONE.
struct EndingRecord {
    QueueRecord* queue = nullptr;
    std::vector<Uid> messages;    // that end with it, for certain
    std::vector<Uid> kept;        // which could be put back before it, for certain
    std::uint64_t purge = 0;      // or undo, among all
    std::uint64_t given_way = 0;  // as Judge::given_way_ was then
    std::uint64_t not_leased = 0;
};

// Several steps that happen together or not at all.
struct TransactionRecord {
    struct Settlement {
        wire::TransactKind kind{};
        ConsumerRecord* consumer = nullptr;
        std::vector<std::byte> body;
    };
    std::vector<ProducerRecord*> producers;  // one for each publish
    std::vector<Settlement> settlements;
    std::vector<Uid> ended;                     // acked
    bool leased = true;                         // all that it settles
    Durability strictest = Durability::memory;  // of the queues concerned
    Durability asked{};
    Durability reached{};            // as somebody was told, or could see; unspecified: nobody
    bool taken = false;              // it was not refused
    bool crashed = false;            // and then a crash came that it may not have survived
    std::optional<bool> happened{};  // as was seen then; false also: refused
};

class Judge {
  public:
    [[nodiscard]] const std::optional<std::string>& violation() const { return violation_; }
    void violate(std::string what);

    // Queues that are empty and not used may go.
    void set_expires() { expires_ = true; }
    // Of all queues but dead letters; 0: none.
    void set_attempts_limit(std::uint32_t limit) { attempts_limit_ = limit; }
    // Likewise: how long a message waits after each failure, in milliseconds.
    void set_retry(std::vector<std::uint32_t> retry) { retry_ = std::move(retry); }
    void set_messages_limit(std::uint64_t limit, OnFull on_full) {
        messages_limit_ = limit;
        on_full_ = on_full;
        drops_ = on_full == OnFull::drop_oldest;
    }
    // Memory queues hold nothing, but for dead letters. `heard`: all that is delivered is heard of.
    void set_rendezvous(bool heard) {
        rendezvous_ = true;
        hears_all_ = heard;
    }
    // Of all queues together, and of each connection; 0: none.
    void set_total_limits(std::uint64_t messages, std::uint64_t leases) {
        total_limit_ = messages;
        leases_limit_ = leases;
    }
    // Of segment files, beyond which nothing is taken; and of the credit that the producers of one
    // connection have. 0: none.
    void set_disk_limit(std::uint64_t bytes) { disk_limit_ = bytes; }
    void set_credit_limit(std::uint64_t bytes) { credit_limit_ = bytes; }
    // As they are while the frames of a turn go in.
    void set_segment_bytes(std::uint64_t bytes) { segment_bytes_ = bytes; }
    // Queues of these names have them.
    void set_priorities(std::set<std::string, std::less<>> queues) {
        with_priorities_ = std::move(queues);
    }
    void set_group_in_flight(std::uint32_t count) { group_in_flight_ = count; }
    // The least time between two first deliveries of one group; 0: none.
    void set_group_spacing(std::chrono::nanoseconds spacing) {
        group_spacing_ns_ = spacing.count();
    }
    // Likewise: the TTL of the queues, 0: none, and whether what has expired goes to dead letters.
    void set_ttl(std::uint64_t ttl_ms, bool buries) {
        queue_ttl_ms_ = ttl_ms;
        buries_ = buries;
    }
    // What is purged can be put back; `for_ever`: as long as the run lasts.
    void set_undo(bool for_ever) {
        undoes_ = true;
        undoes_for_ever_ = for_ever;
    }
    // All queues keep what happens to their messages.
    void set_history() { remembers_ = true; }
    void set_time(std::int64_t now_ns, std::int64_t wall_us);
    [[nodiscard]] double time_ms() const { return static_cast<double>(now_ns_) / 1e6; }

    // --- queues
    QueueRecord& queue_seen(std::string_view name, QueueId id, Durability durability,
                            std::uint32_t lease_ms, bool said_later = false);
    // All of that name that may exist.
    [[nodiscard]] std::vector<QueueRecord*> queues_named(std::string_view name);
    void delete_asked(std::string_view name);
    void deleted(std::string_view name);
    [[nodiscard]] EndingRecord purge_asked(QueueRecord& queue, bool for_good);
    [[nodiscard]] EndingRecord end_asked(QueueRecord& queue, const wire::RangeList& ranges);
    // Any message of it may be there from now on, and in one of the two only.
    void move_asked(QueueRecord& queue, std::string_view target) {
        queue.moves_to = target;
        moved_into_.emplace(target);
    }
    // Also of dead letters that nobody has seen yet.
    void purge_asked(std::string_view name);
    void purged(const EndingRecord& ending, const wire::Done& done);
    void may_be_purged(MessageRecord& message) const;
    static void note_kept(Uid uid, MessageRecord& message, EndingRecord& ending);
    // QUEUE_UNDO went in, and was answered.
    [[nodiscard]] EndingRecord undo_asked(QueueRecord& queue);
    void undone(const EndingRecord& ending, const wire::Done& done);
    // What was kept for an undo ended early, for its room.
    void gave_way();
    [[nodiscard]] const std::deque<QueueRecord>& queues() const { return queues_; }

    // --- publishing
    ProducerRecord& opened_producer(QueueRecord& queue, Identity identity);
    // OPEN_PRODUCER of a name went in: whoever had it is fenced. Says which opening it is.
    [[nodiscard]] std::uint64_t name_asked(const std::string& queue, const std::string& producer);
    ProducerRecord& opened_named(QueueRecord& queue, Identity identity, const std::string& producer,
                                 std::uint64_t opening, LineNumber last_line);
    void publish(ProducerRecord& producer, const wire::Publish& frame);
    void resume(ProducerRecord& producer);
    void confirm(ProducerRecord& producer, const wire::Confirm& frame);
    void refuse(ProducerRecord& producer, const wire::Refuse& frame);

    // --- transactions: TRANSACT went in; it was refused, or taken, at once; it was answered
    TransactionRecord& transact(const wire::Transact& frame, Identity identity,
                                const std::map<HandleId, ConsumerRecord*>& consumers);
    void refused(TransactionRecord& record, const wire::ErrorFrame& error);
    void taken(TransactionRecord& record);
    void transacted(TransactionRecord& record, const wire::Transacted& frame);

    // --- consuming
    // OPEN_CONSUMER went in: what comes of it is younger than all that were asked for before.
    [[nodiscard]] std::uint64_t next_place() { return ++last_place_; }
    ConsumerRecord& opened_consumer(QueueRecord& queue, const wire::Opened& frame,
                                    std::uint64_t place, Sharing sharing);
    void activated(ConsumerRecord& consumer);
    void deliver(ConsumerRecord& consumer, const wire::Deliver& frame);
    // All frames of one turn were told: first deliveries came in order.
    void turn_ended();
    // Some messages could not be read, so that others overtake them; which is right after an I/O
    // error only.
    void some_are_set_aside(bool after_error);
    [[nodiscard]] EndingRecord ack(ConsumerRecord& consumer, const wire::RangeList& ranges);
    void settled(const EndingRecord& ending, const wire::Settled& frame);
    void nack(ConsumerRecord& consumer, const wire::Nack& frame, bool reject);
    void extend(ConsumerRecord& consumer, const wire::Extend& frame);
    void lease_lost(ConsumerRecord& consumer, const wire::RangeList& ranges);
    // Of all producers of one connection.
    void check_credit(std::uint64_t bytes, std::size_t producers);
    // All that the consumers of one connection hold.
    void check_leases(std::uint64_t held);
    // What the daemon says of how many there are.
    void counted(const wire::QueueInfo& info);
    // What it held is ready again, or dying.
    void consumer_ended(ConsumerRecord& consumer, Lent how);
    // From now on the daemon ends leases on its own behalf: those deliveries do not count.
    void stopping() { stopping_ = true; }
    void peeked(QueueRecord& queue, const wire::PeekedRun& run);

    // --- history: a delivery was heard of; how many so far, as of the question; the answer
    void heard(QueueId queue, const wire::Deliver& frame);
    [[nodiscard]] std::uint64_t deliveries_heard() const { return deliveries_heard_; }
    void history_told(MessageNumber number, std::uint64_t heard_before,
                      const wire::MessageHistoryReply& reply);

    // --- the process
    void restarted(End end);
    // Everything that can be delivered was, and was acked.
    void drained();

    struct Figures {
        std::uint64_t published = 0;
        std::uint64_t confirmed = 0;
        std::uint64_t refused = 0;
        std::uint64_t handed_over = 0;       // in rendezvous queues
        std::uint64_t refused_in_total = 0;  // frames, by limits of all queues together
        std::uint64_t delivered = 0;
        std::uint64_t redelivered = 0;
        std::uint64_t acked = 0;
        std::uint64_t restored = 0;  // for certain, by an undo
        std::uint64_t leases_lost = 0;
        std::uint64_t dead_letters = 0;  // that were delivered as such
        std::uint64_t waited = 0;        // that were published to wait
        std::uint64_t transactions = 0;  // taken
        std::uint64_t expired = 0;       // whose time to live was over
        std::uint64_t sent_again = 0;    // by producers with names
        std::uint64_t known_again = 0;   // of messages with ids: confirmed as what they were
        std::uint64_t moved = 0;         // that were delivered where they were moved to
        std::uint64_t histories = 0;     // that were told

        bool operator==(const Figures&) const = default;
    };
    [[nodiscard]] const Figures& figures() const { return figures_; }
    // How often it was said that something is on the disk.
    [[nodiscard]] std::uint64_t promises() const { return promises_; }

  private:
    [[nodiscard]] MessageRecord* find(Uid uid);
    [[nodiscard]] std::optional<std::string> wrong(const ConsumerRecord& consumer,
                                                   const MessageRecord& message,
                                                   const wire::Deliver& frame) const;
    bool bind(QueueRecord& queue, MessageNumber number, Uid uid);
    // What was sent earlier, and is not refused, has the smaller number: nobody who waits for room
    // is overtaken.
    void check_arrival(const QueueRecord& queue, MessageNumber number, Uid uid);
    [[nodiscard]] std::uint64_t may_exist_in_all() const;
    void check_total();
    void check_total_refusal(std::uint64_t total_max, const wire::ErrorFrame& error);
    [[nodiscard]] bool beyond_disk(const QueueRecord& queue) const;
    void check_room(Uid uid, const MessageRecord& message);
    void check_disk_refusal(bool beyond, const wire::ErrorFrame& error);
    static void note_credit(ProducerRecord& producer, std::uint64_t byte_limit);
    void check_waited(const ProducerRecord& producer, const MessageRecord& message);
    [[nodiscard]] bool may_overflow(const QueueRecord& queue) const;
    [[nodiscard]] bool is_rendezvous(const QueueRecord& queue) const;
    void check_handed();
    [[nodiscard]] bool sent_named(ProducerRecord& producer, Uid uid, LineNumber line);
    void check_taken(Uid uid, LineNumber line);
    void check_not_taken(Uid uid, LineNumber line);
    [[nodiscard]] bool may_exist(const MessageRecord& message) const;
    void check_turn(const ConsumerRecord& consumer);
    void check_sharing(const QueueRecord& queue);
    [[nodiscard]] bool check_level(const QueueRecord& queue, MessageNumber number,
                                   const MessageRecord& message) const;
    void note_visible(MessageNumber number, Uid uid, MessageRecord& message);
    void check_overtaken();
    void release(MessageRecord& message);
    void publish(TransactionRecord& record, const wire::TransactPublish& frame, Identity identity);
    void happened(TransactionRecord& record, Durability level);
    void tell_of_transactions(Uid uid, MessageRecord& message);
    static void age(TransactionRecord& record, End end);
    void failed(Uid uid, MessageRecord& message, bool rejected, std::uint32_t delay_ms = 0);
    [[nodiscard]] bool waits(const MessageRecord& message) const;
    [[nodiscard]] std::string early(const MessageRecord& message) const;
    void note_ttl(Uid uid, MessageRecord& message, wire::Bytes attributes);
    void note_taken(MessageRecord& message);
    bool sent_once_more(ProducerRecord& producer, Uid uid, const wire::MessageView& view);
    void confirm_once_more(ProducerRecord& producer, Uid uid, MessageNumber number,
                           Durability durability);
    void note_sent(Uid uid, MessageRecord& message, const wire::MessageView& view);
    [[nodiscard]] bool is_over(const MessageRecord& message) const;
    void let_expire();
    [[nodiscard]] static std::int64_t ttl_ns(const MessageRecord& message) {
        return static_cast<std::int64_t>(message.ttl_ms) * 1'000'000;
    }
    void note_times(Uid uid, MessageRecord& message, wire::Bytes attributes);
    void check_groups();
    void check_group_deliveries();
    void check_group(const MessageRecord& delivered, Uid uid);
    void check_rest(Uid uid, MessageRecord& message, std::uint32_t attempt);
    [[nodiscard]] std::uint32_t limit_of(const QueueRecord& queue) const;
    void check_expired(const QueueRecord& queue);
    [[nodiscard]] static bool may_be_in(const MessageRecord& message, const QueueRecord& queue);
    void move(MessageRecord& message, QueueRecord& target);
    static void age(MessageRecord& message, End end);
    [[nodiscard]] std::string name(Uid uid) const;
    template <typename Fn>
    void for_held(ConsumerRecord& consumer, const wire::RangeList& ranges, Fn&& fn);

    std::optional<std::string> violation_;
    std::int64_t now_ns_ = 0;
    std::int64_t wall_us_ = 0;
    std::uint32_t attempts_limit_ = 0;
    std::uint64_t messages_limit_ = 0;
    bool rendezvous_ = false;
    bool hears_all_ = false;
    std::vector<Uid> handed_;  // confirmed in this turn, by rendezvous queues
    std::uint64_t total_limit_ = 0;
    std::uint64_t leases_limit_ = 0;
    std::uint64_t disk_limit_ = 0;
    std::uint64_t credit_limit_ = 0;
    std::uint64_t segment_bytes_ = 0;
    OnFull on_full_ = OnFull::reject;
    bool crashed_ = false;            // and what had to make room may be back
    std::uint64_t last_arrival_ = 0;  // of frames
    std::uint32_t group_in_flight_ = 1;
    std::int64_t group_spacing_ns_ = 0;
    // When a message of a group was last delivered for the first time, since the daemon was
    // started.
    std::map<std::pair<const QueueRecord*, std::string>, std::int64_t> last_starts_;
    std::vector<Uid> group_deliveries_;     // of this turn: messages with a group
    std::vector<MessageRecord*> released_;  // likewise
    bool expires_ = false;
    std::set<std::string, std::less<>> moved_into_;  // names of queues
    bool drops_ = false;                             // any message may be dropped for a younger one
    std::vector<std::uint32_t> retry_;
    std::set<std::string, std::less<>> with_priorities_;
    std::uint64_t turn_ = 1;
    std::map<QueueRecord*, MessageNumber> delivered_last_;  // in this turn, the highest number
    // Times of messages, on either clock. When one has come it counts no more: a message that was
    // due may be delivered, though a clock be set back.
    std::set<std::pair<std::int64_t, Uid>> times_ns_;
    std::set<std::pair<std::int64_t, Uid>> times_us_;
    std::uint64_t queue_ttl_ms_ = 0;
    bool buries_ = false;
    std::set<std::pair<std::int64_t, Uid>> expiries_ns_;  // before which they do not expire
    bool stopping_ = false;
    Figures figures_;
    std::uint64_t promises_ = 0;
    std::deque<QueueRecord> queues_;
    std::deque<ProducerRecord> producers_;
    std::map<std::pair<std::string, std::string>, std::uint64_t> openings_;  // by queue and name
    std::map<std::pair<QueueId, std::string>, std::vector<Uid>> inputs_;
    // Of messages with ids: the numbers that they were confirmed with first.
    std::map<Uid, MessageNumber> first_numbers_;
    std::deque<ConsumerRecord> consumers_;
    std::deque<TransactionRecord> transactions_;
    std::uint64_t last_place_ = 0;
    std::unordered_map<Uid, MessageRecord> messages_;
    struct FirstDelivery {
        QueueRecord* queue;
        MessageNumber number;
    };
    std::vector<FirstDelivery> first_deliveries_;  // of this turn
    bool overtaking_ = false;                      // messages were set aside
    struct HeardDelivery {
        std::uint64_t place = 0;  // among all of them
        std::uint32_t attempt = 0;
    };
    bool remembers_ = false;
    bool undoes_ = false;
    bool undoes_for_ever_ = false;
    std::uint64_t purges_ = 0;
    std::uint64_t given_way_ = 0;  // so often
    std::uint64_t deliveries_heard_ = 0;
    std::map<std::pair<QueueId, MessageNumber>, std::vector<HeardDelivery>>
        heard_;                                         // since a start
    std::set<std::string, std::less<>> deletes_asked_;  // in this turn
};

inline constexpr std::string_view dead_suffix = ".dead";
[[nodiscard]] inline bool is_dead_letters(std::string_view name) {
    return name.ends_with(dead_suffix);
}

// Of what its sender said.
[[nodiscard]] std::uint64_t hash_of(const wire::MessageView& message);

// A message as the simulated producers write it, and back.
[[nodiscard]] std::vector<std::byte> make_body(Uid uid, std::size_t bytes);
[[nodiscard]] std::optional<Uid> uid_of(wire::Bytes body);

}  // namespace mqd::sim
