#pragma once

// Core joins engine, storage and sessions: admit -> stamp -> journal -> (durable) -> apply ->
// confirms and deliveries. One per daemon, on the loop thread; no sockets, and no clock of its own:
// the loop says what time it is with begin_turn(). docs/architecture.md follows one message through
// it.
//
//     begin_turn(now); session.receive(bytes) …; journal completions …; end_turn(); send the output
//
// Nothing is delivered, confirmed or committed before end_turn(), which does it for the whole turn
// at once.

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/core/backlog.hpp"
#include "daemon/core/backup.hpp"
#include "daemon/core/checkpoint_pass.hpp"
#include "daemon/core/commit_group.hpp"
#include "daemon/core/dead_letters.hpp"
#include "daemon/core/dedup.hpp"
#include "daemon/core/handle.hpp"
#include "daemon/core/history.hpp"
#include "daemon/core/journal_blocks.hpp"
#include "daemon/core/message_mover.hpp"
#include "daemon/core/move_requests.hpp"
#include "daemon/core/on_damage.hpp"
#include "daemon/core/out_queue.hpp"
#include "daemon/core/queue_lifetimes.hpp"
#include "daemon/core/taken_batch.hpp"
#include "daemon/core/waiting_publishes.hpp"
#include "daemon/engine/engine.hpp"
#include "daemon/storage/journal.hpp"
#include "mqd/wire/admin.hpp"
#include "mqd/wire/batch.hpp"

namespace mqd::core {

class Session;

struct Now {
    engine::Time journal;
    WallTime wall;
};

// When a message was taken of which only the wall clock is known, seen from that time.
[[nodiscard]] inline engine::Time time_taken(WallTime published, const Now& seen) {
    // Compared before it is subtracted: a damaged store may tell any time.
    const auto longest =
        std::chrono::floor<std::chrono::microseconds>(seen.journal.time_since_epoch());
    if (published >= seen.wall) {
        return seen.journal;
    }
    if (published <= seen.wall - longest) {
        return engine::Time();
    }
    return seen.journal - (seen.wall - published);
}

struct CoreOptions {
    engine::QueueDefinition queue_defaults = engine::default_definition();
    std::chrono::milliseconds commit_delay_max{5};     // of what nobody waits for
    std::chrono::milliseconds written_sync_max{1000};  // `written` data is synced after so long
    std::chrono::milliseconds seal_delay{50};          // an idle journal is sealed after so long
    std::uint64_t memory_bytes_max = 256u << 20;       // of message batches
    std::uint64_t delays_max = 4'000'000;   // runs of delayed messages; beyond, no publish adds one
    std::uint64_t grouped_max = 4'000'000;  // messages with a group; likewise
    std::uint64_t history_events_max = 1'000'000;  // of all queues; the oldest go beyond
    std::uint64_t dedup_ids_max = 16'777'216;      // ids of messages that are remembered; likewise
    engine::DedupKey dedup_seed{};                 // of the secrets that they are hashed with
    std::uint64_t hash_salt = 0;  // of tables whose keys clients choose; unpredictable
    std::uint32_t message_bytes_max = 1u << 20;
    std::uint32_t frame_body_bytes_max = 4u << 20;
    std::uint32_t queues_max = 10'000;
    std::uint32_t named_producers_max = 10'000;         // names of them, of all queues
    std::uint32_t handles_max = 1024;                   // per session
    std::uint64_t output_bytes_max = 8u << 20;          // per session
    std::uint64_t publish_credit_bytes = 64u << 20;     // of all producers
    std::uint64_t connection_credit_bytes = 64u << 20;  // of those of one session
    std::uint64_t producer_credit_bytes = 4u << 20;     // of one
    std::uint64_t disk_bytes_max = 0;  // of segment files, beyond which nothing is taken; 0: none
    std::uint64_t messages_max = 0;    // of all queues; likewise
    std::uint64_t leases_max = 0;      // messages that one session has leased; 0: no limit
    std::uint32_t producer_credit_messages = 65'536;
    std::chrono::milliseconds hello_timeout{10'000};
    std::uint64_t backup_part_bytes_max = 1u << 20;  // in one frame
    // A backup of which nothing is asked for or read for so long, or twice, is given up.
    std::chrono::milliseconds backup_idle_max{60'000};
    storage::JournalOptions journal;
    BacklogOptions backlog;
    OnDamage on_damage = OnDamage::refuse;
};

// What a transaction published to a queue.
struct PublishedBatch {
    struct Part {
        BlockReference block;
        unsigned priority = 0;
    };
    QueueId queue;
    std::vector<Part> parts;
    std::vector<PrioritySplit::Lines> lines;  // if there are several parts
    DedupLines dedup;
};

// A request of a session that is answered when its commit group is durable (or written, on a
// `written` queue).
struct Waiter {
    enum class Kind : std::uint8_t { settled, done, queue_info, transacted, opened };
    Kind kind{};
    CommitId commit;
    Durability level{};
    CorrelationId correlation;
    HandleId handle;
    wire::Settled settled;
    wire::Done done;
    std::string queue;  // queue_info
    // transacted: what it published, and whether that may have to wait for memory
    std::vector<PublishedBatch> published;
    bool slowed = false;
    wire::Opened opened;
};

// A PEEK that waits for messages to be read from their segment.
struct PendingPeek {
    Session* session = nullptr;
    CorrelationId correlation;
    std::vector<std::byte> frame;  // the rest of what it asks for
};

class Core : public storage::JournalListener {
  public:
    explicit Core(const CoreOptions& options);
    ~Core() override;
    Core(const Core&) = delete;
    Core& operator=(const Core&) = delete;

    // Opens the store and replays it; then the start group is on its way. Blocks; call before any
    // session exists. `disk` and the workers outlive the core.
    Result<void> start(storage::Disk& disk, storage::Worker& commit, storage::Worker& background,
                       Now now);
    // The start group is durable: sessions may be served.
    [[nodiscard]] bool serving() const { return serving_; }
    // The journal clock at start; the loop goes on from here.
    [[nodiscard]] engine::Time start_time() const { return now_.journal; }

    void begin_turn(Now now);
    void end_turn();
    // Everything that the turn led to is done; for the figures.
    void turn_ended(engine::Time now) {
        longest_turn_ = std::max(longest_turn_, now - now_.journal);
    }
    // When begin_turn/end_turn are wanted again without any other event.
    [[nodiscard]] std::optional<engine::Time> next_deadline() const;

    // end_turn() is wanted at once: sending made room for more output, or a checkpoint or a backup
    // has a piece to be written.
    [[nodiscard]] bool wants_turn() const {
        return !failure_ &&
               ((serving_ && !stopping_ && engine_.wants_dispatch()) || checkpoint_->wants_turn() ||
                backup_->wants_turn() || dead_letters_.wants_turn() || owes_expiry() ||
                lifetimes_.wants_turn() || waiting_publishes_.wants_turn());
    }
    // More has expired than the last turn ended.
    [[nodiscard]] bool owes_expiry() const {
        return expires() && engine_.next_expiry().value_or(engine::Time::max()) <= now_.journal;
    }

    // Refuses what is new and finishes what is old; stopped() when the journal is sealed. Sessions
    // should be told and ended first.
    void begin_stop();
    [[nodiscard]] bool stopping() const { return stopping_; }
    [[nodiscard]] bool stopped() const;
    // What rides along was more than the journal had room for: until a checkpoint tells it, the end
    // of the process takes it away.
    [[nodiscard]] bool owes_checkpoint() const { return owes_checkpoint_; }
    // A journal failure: nothing is confirmed any more, the process has to end.
    [[nodiscard]] const std::optional<Error>& failure() const { return failure_; }

    // What the operator should know, one line each, since the last call.
    [[nodiscard]] std::vector<std::string> take_complaints() {
        return std::exchange(complaints_, {});
    }
    // Likewise, what is as it should be.
    [[nodiscard]] std::vector<std::string> take_notices() { return std::exchange(notices_, {}); }

    // Creates a queue unless one of that name exists (then its options stand).
    void declare_queue(const engine::QueueDefinition& definition);

    // When a message of the block expires, by its queue's TTL or its own; max: never.
    [[nodiscard]] static engine::Time expiry_of(const engine::Queue& queue, const Block& block,
                                                const wire::MessageView& message);

    [[nodiscard]] const CoreOptions& options() const { return options_; }
    [[nodiscard]] const engine::Engine& engine() const { return engine_; }
    [[nodiscard]] const storage::Journal& journal() const { return *journal_; }
    [[nodiscard]] const Backlog& backlog() const { return *backlog_; }
    [[nodiscard]] const CheckpointPass& checkpoint() const { return *checkpoint_; }
    [[nodiscard]] const Backup& backup() const { return *backup_; }
    // Puts the sessions that have output to send, or want to be closed, into `taken`, which is
    // empty; each comes again when more is put into its output.
    void take_sessions_with_output(std::vector<Session*>& taken);
    [[nodiscard]] const std::vector<Session*>& sessions() const { return sessions_; }

    // --- storage::JournalListener
    void journal_written(Sequence sequence) override;
    void journal_durable(Sequence sequence) override;
    void journal_failed(const Error& error) override;
    void journal_room_changed() override;

  private:
    friend class Session;
    friend class Replay;
    friend class Backlog;
    friend class Backup;
    friend class DeadLetters;
    friend class Dedup;
    friend class MessageMover;
    friend class MoveRequests;
    friend class QueueLifetimes;
    friend class History;
    friend class CheckpointPass;
    friend class Salvage;
    friend class Start;
    friend class LostState;
    friend class Mender;
    friend class Transaction;
    friend class StoreCheck;
    friend class WaitingPublishes;

    // --- for sessions (session.cpp, requests.cpp)
    void add_session(Session& session);
    void remove_session(Session& session);
    void note_output(Session& session);
    // Takes a batch, or says why not. On success the lines are pending.
    Result<void> publish(Producer& producer, const wire::Publish& frame, Identity sender);
    // Whether anything of it can be taken now.
    [[nodiscard]] Result<void> check_open(const Producer& producer) const;
    void enter(Producer& producer, PendingLines& lines, Durability asked, Identity sender);
    Result<void> publish_new(Producer& producer, const wire::Publish& frame,
                             const wire::Publish& rest, Identity sender);
    Result<void> publish_unknown(Producer& producer, const wire::Publish& frame, Identity sender);
    Result<void> confirm_known(Producer& producer, const wire::Publish& frame);
    [[nodiscard]] CommitId commit_of_known(const engine::Queue& queue, const DedupLines& lines,
                                           Durability level);
    PendingLines& add_lines(Producer& producer, const wire::Publish& frame, Durability level);
    void refuse(Producer& producer, LineNumber first, std::uint64_t count, std::uint64_t bytes,
                Error error);
    void list_pending(Producer& producer);
    [[nodiscard]] std::uint64_t credit_left(Session& session) const;
    void open_window(Producer& producer);
    void close_producer(Producer& producer);
    Result<void> open_named(Producer& producer, std::string_view name);
    void answer_opened(Producer& producer, wire::Opened opened, CorrelationId correlation);
    void close_named(const Producer& producer);
    void note_lines(Producer& producer, std::uint32_t count);
    void close_consumer(ConsumerHandle& consumer, engine::ConsumerEnd end);
    engine::SettleResult nack(ConsumerHandle& consumer, const wire::Nack& frame, bool reject);
    void journal_delays();
    void ack(ConsumerHandle& consumer, const wire::Ack& frame, CorrelationId correlation,
             bool confirm);
    Result<void> create_queue(const wire::QueueCreate& frame, Session& session,
                              CorrelationId correlation);
    Result<void> update_queue(engine::Queue& queue, const wire::QueueOptions& options,
                              Session& session, CorrelationId correlation);
    Result<void> delete_queue(engine::Queue& queue, Session& session, CorrelationId correlation);
    void append_delete(engine::Queue& queue);
    // purges.cpp
    void purge_queue(engine::Queue& queue, bool for_good, Session& session,
                     CorrelationId correlation);
    void delete_messages(engine::Queue& queue, const wire::MessagesDelete& frame, Session& session,
                         CorrelationId correlation);
    [[nodiscard]] Result<void> undo_purge(engine::Queue& queue, Session& session,
                                          CorrelationId correlation);
    [[nodiscard]] bool lacks_room() const;
    [[nodiscard]] bool keeps_purged(const engine::Queue& queue, bool for_good) const;
    void purge(engine::Queue& queue, std::span<const MessageRange> ranges);
    void end_decided(engine::Queue& queue, wire::HistoryKind how, Session& session,
                     CorrelationId correlation);
    void wait_done(const engine::Queue& queue, const wire::Done& done, Session& session,
                   CorrelationId correlation);
    void purge_turn();
    [[nodiscard]] wire::QueueInfo queue_info(const engine::Queue& queue) const;
    [[nodiscard]] wire::StatusReply status() const;

    // --- admission and confirms (core.cpp, publish.cpp)
    struct Intake {
        std::size_t mark_bytes = 0;  // of records that go with it into its group
        wire::Author author = wire::Author::client;
        // Until when messages wait that are moved here, in numbers of their lines, from 0 on.
        std::span<const engine::DelayMessages> delays{};
    };
    Result<void> take_batch(const wire::Publish& frame, const engine::Queue& queue,
                            const Intake& intake);
    Result<void> read_attributes(const wire::Publish& frame, const engine::Queue& queue,
                                 const wire::AttributeSet& seen, const std::uint32_t* end_offsets,
                                 wire::Author author);
    Result<void> read_times(wire::Bytes batch, std::uint64_t position, std::size_t joined_from);
    [[nodiscard]] Result<std::optional<engine::Due>> due_of(wire::Bytes attributes) const;
    void number_lines(PendingLines& lines) const;
    Result<void> reserve(const engine::Queue& queue, const wire::Publish& frame,
                         std::size_t mark_bytes);
    // What is to come into a queue, and what leaves it before: messages, bytes, messages.
    struct Inflow {
        std::uint64_t messages = 0;
        std::uint64_t bytes = 0;
        std::uint64_t leaving = 0;
    };
    [[nodiscard]] Result<std::uint64_t> to_drop(const engine::Queue& queue,
                                                const Inflow& inflow) const;
    // Whether so many more messages may be there, of all queues, for which `leaving` of them go.
    [[nodiscard]] Result<void> check_total(std::uint64_t messages, std::uint64_t leaving) const;
    // Of all queues, with those that have no numbers yet.
    [[nodiscard]] std::uint64_t messages() const {
        return engine_.messages() + unnumbered_messages_;
    }
    // A batch of which no number is given yet, and all that it needs reserved: it counts.
    void count_unnumbered(const TakenBatch& batch);
    void uncount_unnumbered(const TakenBatch& batch);
    void make_room(engine::Queue& queue, std::uint64_t count);
    [[nodiscard]] static std::size_t mark_bytes(const Producer& producer);
    void append_parts(const Producer& producer, Durability level);
    void append_batch(engine::Queue& queue, CommitGroup& group);
    void append_add_command(engine::Queue& queue, const BatchPart& part, CommitGroup& group);
    template <typename Fn>
    void for_each_part_run(wire::Bytes batch, const std::uint32_t* end_offsets, Fn&& fn) const;
    bool confirm_pieces(PendingLines& lines, wire::ConfirmedRun& run);
    void confirm_run(wire::ConfirmedRun& run, const wire::ConfirmedRun& next);
    void append_delays(engine::Queue& queue, CommitGroup& group);
    [[nodiscard]] Result<void> reserve_members(const engine::Queue& queue) const;
    [[nodiscard]] std::size_t queues() const;
    void append_create(engine::CreateQueue command);
    void remove(engine::Queue& queue, std::span<const MessageRange> ranges, Need need);
    void deliver();
    void count_deliveries();
    [[nodiscard]] Durability level_of(const engine::Queue& queue, MessageRange range,
                                      Durability asked);
    void answer_producers();
    void answer(Producer& producer);
    void grow_window(Producer& producer);
    void wait(Session& session, Waiter waiter);
    void answer_peeks();
    [[nodiscard]] bool peeks_pending(const Session& session) const;
    void answer_waiters();
    void answer_waiters(Session& session);
    void answer(Session& session, const Waiter& waiter);
    [[nodiscard]] bool reached(CommitId commit, Durability level) const;
    void expire_leases();
    void wake_due();
    void expire_turn();
    void expire_returned(std::size_t& left);
    void expire_own(engine::Queue& queue, Block& block, std::size_t& left);
    void expire_each(engine::Queue& queue, const Block& block, MessageRange range);
    [[nodiscard]] bool expires() const { return serving_ && !stopping_; }
    [[nodiscard]] engine::Time time_taken(WallTime published) const {
        return core::time_taken(published, now_);
    }
    [[nodiscard]] bool tells_taken(const engine::Queue& queue, const Block& block) const;
    [[nodiscard]] WallTime wall_time_of(engine::Due due) const;
    [[nodiscard]] engine::Failure failure_of(std::string_view reason) const;
    void note_failures(engine::Queue& queue, std::span<const MessageRange> ranges,
                       const engine::Failure& failure);
    void free_released();

    // --- commit (commit.cpp)
    CommitGroup& open_group(std::size_t record_bytes);
    [[nodiscard]] CommitGroup* open_aside(std::size_t record_bytes);
    void raise_need(CommitGroup& group, Need need);
    [[nodiscard]] bool wants_sync() const {
        return checkpoint_->wants_sync() || backup_->wants_sync();
    }
    void commit_turn();
    void submit_front(bool sync);
    void submit_seal();
    void apply_written(CommitGroup& group);
    void apply_durable(CommitGroup& group);
    void apply(CommitGroup& group, PendingCommand& command);
    void apply_update(const PendingUpdate& update);
    // --- transactions (transaction.cpp)
    void append_later(engine::Queue& queue, Durability level, CommitGroup& group);
    void add_batch(engine::Queue& queue, TakenBatch& batch);
    void apply_batch(engine::Queue& queue, const TakenBatch& batch);
    void apply_reject(engine::Queue& queue, const PendingReject& reject);
    void answer_transaction(Session& session, const Waiter& waiter);
    void forget_queue(engine::Queue& queue);
    void retry_growth_turn();
    void carry_turn();
    void carry_block(Block& block);
    void unlink_from_file(Block& block);
    void unbook(Block& block);
    void note_file(const storage::Journal::Submitted& submitted);
    void release_files();
    [[nodiscard]] bool waits_for_segments(std::size_t group_bytes) const;
    void checkpoint_turn();
    void checkpoint_done(const Result<void>& written);
    void complain(std::string text) { complaints_.push_back(std::move(text)); }
    void notice(std::string text) { notices_.push_back(std::move(text)); }
    void encode_state(storage::GroupBuffer& state) const;
    [[nodiscard]] storage::GroupTime group_time() const;

    // --- start (start.cpp)
    void go_on_from_recovery();
    Result<void> check_complete() const;
    Result<void> check_group_size() const;
    [[nodiscard]] MessageNumber next_after_crash(const engine::Queue& queue,
                                                 MessageNumber next) const;
    void append_skips(const engine::Queue& queue);
    void append_start_records();

    CoreOptions options_;
    engine::Engine engine_;
    std::unique_ptr<storage::Journal> journal_;
    Now now_;
    bool serving_ = false;
    bool stopping_ = false;
    bool sealed_for_stop_ = false;
    std::optional<Error> failure_;

    std::vector<Session*> sessions_;
    std::vector<Session*> with_output_;
    std::vector<Producer*> pending_producers_;
    bool answers_due_ = false;
    std::vector<Session*> waiting_;  // sessions with waiters
    std::vector<PendingPeek> peeks_;
    std::vector<Session*> leaving_;  // said GOODBYE, not answered yet

    std::uint64_t memory_bytes_ = 0;          // of all blocks, also those only being sent from
    std::uint64_t durable_messages_ = 0;      // booked in the journal
    std::size_t admitted_delays_ = 0;         // runs that are not applied yet
    std::size_t admitted_members_ = 0;        // of groups; likewise
    std::uint64_t unnumbered_messages_ = 0;   // that wait for room, or come with a commit group
    std::uint64_t granted_credit_bytes_ = 0;  // of all producers

    CommitId next_commit_{2};
    CommitId written_commit_{1};  // 1: what the start found
    CommitId durable_commit_{1};
    std::deque<CommitGroup> pending_;    // back: being filled; front: next to go
    std::deque<CommitGroup> in_flight_;  // submitted, not yet durable
    std::vector<CommitGroup> spare_groups_;
    std::size_t aside_bytes_ = 0;  // of all of pending_
    // What was left out of the journal, and a checkpoint has to tell: records, so far and when the
    // last checkpoint began.
    std::uint64_t left_out_ = 0;
    std::uint64_t left_out_before_ = 0;
    CommitId left_out_first_{0};  // the last group that was there at the first of them
    CommitId left_out_last_{0};   // and at the last one
    bool owes_checkpoint_ = false;
    engine::Time ride_deadline_ = engine::Time::max();  // of what nobody waits for in pending_
    engine::Time last_durable_publish_{};
    engine::Time sync_deadline_ = engine::Time::max();  // of what is written and not synced
    engine::Time seal_deadline_ = engine::Time::max();
    engine::Time retry_deadline_ = engine::Time::max();  // while the disk is full
    bool waits_for_room_ = false;  // a new journal file is wanted and not there yet
    bool sealed_ = false;          // the last group is a seal
    JournalBlocks journal_blocks_;
    // The files in use, oldest first, and the sequence of each one's state group.
    struct FileStart {
        storage::FileOrdinal file;
        Sequence first;
    };
    std::deque<FileStart> journal_files_;
    // What is applied: all groups so far, on queues of that durability.
    Sequence applied_durable_;
    Sequence applied_written_;
    engine::Time checkpoint_retry_ = engine::Time::min();  // not before
    std::vector<std::string> complaints_;
    std::vector<std::string> notices_;
    engine::Time::duration longest_turn_{0};
    // Queues of which messages are confirmed before they are as durable as their queue: all numbers
    // below `next` may have been told, which the journal says in that group.
    struct ToldEarly {
        MessageNumber next;
        CommitId commit;
    };
    std::map<QueueId, ToldEarly> told_early_;
    storage::GroupBuffer state_buffer_;

    std::vector<engine::Delivery> deliveries_;
    FrameBuffers frame_buffers_;  // of all sessions
    std::vector<engine::LeaseLoss> losses_;
    std::vector<MessageRange> decided_;
    std::vector<MessageRange> purged_;
    std::vector<MessageRange> acked_;
    TakenBatch batch_;  // that is being published
    std::vector<std::byte> runs_;
    std::unique_ptr<Backlog> backlog_;
    std::unique_ptr<CheckpointPass> checkpoint_;
    std::unique_ptr<Backup> backup_;
    MessageMover mover_{*this};
    DeadLetters dead_letters_{*this};
    MoveRequests moves_{*this};
    QueueLifetimes lifetimes_{*this};
    History history_{*this};
    WaitingPublishes waiting_publishes_{*this};
    Dedup dedup_{*this};
    DedupLines known_lines_;  // of the frame that is being published
};

}  // namespace mqd::core
