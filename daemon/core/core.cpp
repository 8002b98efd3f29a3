#include "daemon/core/core.hpp"

#include <algorithm>

#include "daemon/core/queue_options.hpp"
#include "daemon/core/record.hpp"
#include "daemon/core/session.hpp"
#include "daemon/engine/prefetch.hpp"
#include "daemon/storage/passing_error.hpp"
#include "daemon/storage/planted_fault.hpp"

namespace mqd::core {

namespace {

// An idle session keeps memory for so many.
constexpr std::size_t waiters_kept_max = 64;
// Where messages go out one by one, as those of groups do, each lies elsewhere: the bytes of those
// that come so many later are asked for beforehand.
constexpr std::size_t deliveries_ahead = 8;
constexpr std::size_t cache_line = 64;
constexpr std::size_t ahead_bytes_max = 4 * cache_line;

void bring_near(const engine::Delivery& delivery) {
    const auto& block = static_cast<const Block&>(*delivery.extent);
    const std::byte* from = block.data() + block.offset(delivery.range.first);
    const std::size_t bytes = std::min(block.bytes_of(delivery.range), ahead_bytes_max);
    for (std::size_t i = 0; i < bytes; i += cache_line) {
        engine::prefetch(from + i);
    }
}

}  // namespace

Core::Core(const CoreOptions& options) : options_(options), engine_(options.hash_salt) {
    MQD_ASSERT(options_.message_bytes_max <= wire::message_body_bytes_hard_max);
    MQD_ASSERT(options_.frame_body_bytes_max <= wire::frame_body_bytes_hard_max);
}

Core::~Core() {
    MQD_ASSERT(sessions_.empty(), sessions_.size());
    for (auto* groups : {&pending_, &in_flight_}) {
        for (CommitGroup& group : *groups) {
            for (const PendingCommand& command : group.commands) {
                if (command.kind == PendingCommand::Kind::add && command.block != nullptr) {
                    command.block->drop_reference();
                }
            }
            for (const TakenBatch& batch : group.batches) {
                for (const BatchPart& part : batch.parts) {
                    part.block->drop_reference();
                }
            }
            for (Block* block : group.carried) {
                block->drop_reference();
            }
        }
    }
    backlog_.reset();
    engine_.release_all();
    for (engine::Extent* extent : engine_.released()) {
        static_cast<Block*>(extent)->drop_reference();
    }
    MQD_ASSERT(memory_bytes_ == 0, memory_bytes_);
}

void Core::begin_turn(Now now) {
    MQD_ASSERT(now.journal >= now_.journal);
    now_ = now;
}

void Core::end_turn() {
    if (failure_) {
        return;
    }
    expire_leases();
    wake_due();
    purge_turn();
    expire_turn();
    waiting_publishes_.turn();
    if (!stopping_) {
        deliver();
    }
    waiting_publishes_.handed_turn();
    answer_peeks();
    moves_.turn();
    dead_letters_.turn();
    lifetimes_.turn();
    dedup_.turn();
    retry_growth_turn();
    checkpoint_turn();
    backlog_->write_turn();
    carry_turn();
    backup_->turn();
    commit_turn();
    if (answers_due_) {
        answers_due_ = false;
        answer_producers();
        answer_waiters();
        for (Session* session : leaving_) {
            session->answer_goodbye();
        }
    }
    serving_ = serving_ || (pending_.empty() && in_flight_.empty() && !journal_->busy());
}

void Core::retry_growth_turn() {
    if (!journal_->disk_full()) {
        retry_deadline_ = engine::Time::max();
        return;
    }
    if (now_.journal >= retry_deadline_) {
        journal_->retry_growth();
        retry_deadline_ = engine::Time::max();
    }
    if (retry_deadline_ == engine::Time::max()) {
        retry_deadline_ = now_.journal + storage::retry_every;
    }
}

std::optional<engine::Time> Core::next_deadline() const {
    if (failure_) {
        return std::nullopt;
    }
    engine::Time next = std::min({retry_deadline_, backlog_->next_deadline(),
                                  dead_letters_.next_deadline(), lifetimes_.next_deadline(),
                                  waiting_publishes_.next_deadline(), dedup_.next_deadline()});
    if (checkpoint_retry_ > now_.journal) {
        next = std::min(next, checkpoint_retry_);
    }
    if (const auto idle = backup_->next_deadline()) {
        next = std::min(next, *idle);
    }
    if (const auto lease = engine_.next_deadline()) {
        next = std::min(next, *lease);
    }
    if (expires()) {
        next = std::min({next, engine_.next_expiry().value_or(next), backlog_->next_expiry(),
                         engine_.next_purge_end().value_or(next)});
    }
    if (const auto due = engine_.next_due(engine::DueClock::journal)) {
        next = std::min(next, engine::Time(std::chrono::nanoseconds(*due)));
    }
    if (const auto due = engine_.next_due(engine::DueClock::wall)) {
        const auto ahead = WallTime(std::chrono::microseconds(*due)) - now_.wall;
        next = std::min(next,
                        now_.journal + std::clamp<WallTime::duration>(ahead, {}, wire::delay_max));
    }
    if (!journal_->busy() && !waits_for_room_) {  // else its completion comes first
        next = std::min(next, pending_.empty() ? sync_deadline_ : ride_deadline_);
        if (pending_.empty() && in_flight_.empty() && !sealed_) {
            next = std::min(next, seal_deadline_);
        }
    }
    return next == engine::Time::max() ? std::nullopt : std::optional(next);
}

void Core::begin_stop() {
    stopping_ = true;
}

bool Core::stopped() const {
    const bool owed = owes_checkpoint_ && now_.journal >= checkpoint_retry_;  // and there is room
    return sealed_for_stop_ && !journal_->busy() && journal_->durable() == journal_->last() &&
           !backup_->active() && !owed;
}

void Core::add_session(Session& session) {
    sessions_.push_back(&session);
}

void Core::remove_session(Session& session) {
    std::erase(sessions_, &session);
    std::erase(with_output_, &session);
    std::erase(leaving_, &session);
    std::erase(waiting_, &session);
    moves_.session_ended(session);
    std::erase_if(peeks_, [&](const PendingPeek& peek) { return peek.session == &session; });
}

void Core::take_sessions_with_output(std::vector<Session*>& taken) {
    MQD_ASSERT(taken.empty());
    taken.swap(with_output_);
    for (Session* session : taken) {
        session->output_taken();
    }
}

void Core::note_output(Session& session) {
    with_output_.push_back(&session);
}

// --- deliveries

void Core::deliver() {
    for (engine::Consumer* active : engine_.activated()) {
        const auto& consumer = static_cast<ConsumerHandle&>(*active);
        consumer.session->send(wire::ConsumerActive{}, CorrelationId(0), consumer.handle);
    }
    engine_.activated().clear();
    deliveries_.clear();
    engine_.dispatch(now_.journal, deliveries_);
    for (std::size_t i = 0; i < deliveries_.size(); ++i) {
        const engine::Delivery& delivery = deliveries_[i];
        if (i + deliveries_ahead < deliveries_.size()) {
            bring_near(deliveries_[i + deliveries_ahead]);
        }
        auto& consumer = static_cast<ConsumerHandle&>(*delivery.consumer);
        consumer.session->send_delivery(consumer, delivery);
        history_.delivered(delivery);
    }
    backlog_->read_turn();
    count_deliveries();
}

// Delivery counts ride along: a crash of the daemon keeps them, a power loss may forget the last.
void Core::count_deliveries() {
    engine::CountDelivery run;
    const auto flush = [&] {
        CommitGroup* group = run.range.count > 0 ? open_aside(record_header_bytes + 24) : nullptr;
        if (group != nullptr) {
            append_count_delivery(group->buffer, run);
        }
        run.range.count = 0;
    };
    for (const engine::Delivery& delivery : deliveries_) {
        const engine::Queue& queue = *delivery.consumer->queue;
        if (!queue.durable()) {
            continue;
        }
        if (run.range.count > 0 && run.id == queue.id() && run.attempts == delivery.attempt &&
            run.range.end() == delivery.range.first) {
            run.range.count += delivery.range.count;
            continue;
        }
        flush();
        run = {queue.id(), delivery.range, delivery.attempt};
    }
    flush();
}

void Core::free_released() {
    for (engine::Extent* extent : engine_.released()) {
        auto& block = static_cast<Block&>(*extent);
        unbook(block);
        if (block.file.value() != 0) {
            unlink_from_file(block);
        } else if (block.page != nullptr) {
            backlog_->unlink(block);
        }
        block.drop_reference();
    }
    engine_.released().clear();
}

// --- ends

void Core::ack(ConsumerHandle& consumer, const wire::Ack& frame, CorrelationId correlation,
               bool confirm) {
    engine::SettleResult result;
    decided_.clear();
    acked_.clear();
    for (std::size_t i = 0; i < frame.ranges.size(); ++i) {
        acked_.push_back(frame.ranges[i]);
        result.not_leased += consumer.queue == nullptr ? frame.ranges[i].count : 0;
    }
    const bool durable = consumer.queue != nullptr && consumer.queue->durable();
    if (durable) {
        result = engine_.admit_ack(consumer, acked_, decided_);
    } else if (consumer.queue != nullptr) {
        result = engine_.ack(consumer, acked_, decided_);
    }
    const Durability level = durable ? consumer.queue->definition().durability : Durability::memory;
    if (!decided_.empty()) {
        history_.note(consumer, decided_, wire::HistoryKind::acked);
        const Need need = !confirm                       ? Need::nothing
                          : level == Durability::written ? Need::written
                                                         : Need::durable;
        if (durable) {
            remove(*consumer.queue, decided_, need);
        } else {
            free_released();
        }
    }
    if (!confirm) {
        return;
    }
    Waiter waiter;
    waiter.kind = Waiter::Kind::settled;
    // While the queue is being deleted, what ends with it is as durable as its deletion: that lies
    // in the last group or before it.
    waiter.commit = durable && !decided_.empty() ? CommitId(next_commit_.value() - 1) : CommitId(0);
    waiter.level =
        storage::planted(storage::Fault::ack_applied_before_durable) ? Durability::written : level;
    waiter.correlation = correlation;
    waiter.handle = consumer.handle;
    waiter.settled = {level, result.settled, result.not_leased};
    wait(*consumer.session, std::move(waiter));
}

// Ends messages that were admitted for it: at once on a memory queue, by way of the journal on
// others.
void Core::remove(engine::Queue& queue, std::span<const MessageRange> ranges, Need need) {
    if (queue.deleting()) {
        return;  // they go with their queue; its journal record is written already
    }
    if (!queue.durable()) {
        engine_.apply(queue, engine::RemoveMessages{queue.id(), ranges});
        free_released();
        return;
    }
    while (!ranges.empty()) {
        const auto some = ranges.first(std::min(ranges.size(), remove_ranges_max));
        CommitGroup& group = open_group(record_header_bytes + 8 + some.size() * 16);
        append_remove(group.buffer, queue.id(), some);
        group.commands.push_back({PendingCommand::Kind::remove, queue.definition().durability,
                                  &queue, nullptr, static_cast<std::uint32_t>(group.ranges.size()),
                                  static_cast<std::uint32_t>(some.size())});
        group.ranges.insert(group.ranges.end(), some.begin(), some.end());
        raise_need(group, need);
        ranges = ranges.subspan(some.size());
    }
}

// --- answers

void Core::wait(Session& session, Waiter waiter) {
    if (session.waiters().empty()) {
        waiting_.push_back(&session);
    }
    session.waiters().push_back(std::move(waiter));
    answers_due_ = true;
}

// Before anything is dropped from memory again.
void Core::answer_peeks() {
    if (peeks_.empty() || !backlog_->take_arrived()) {
        return;
    }
    for (const PendingPeek& peek : std::exchange(peeks_, {})) {
        const auto frame = wire::Peek::decode(peek.frame);
        MQD_ASSERT(frame.has_value(), peek.frame.size());
        peek.session->peek(*frame, peek.correlation);
    }
    answers_due_ = true;  // somebody may wait to say goodbye
}

bool Core::peeks_pending(const Session& session) const {
    return std::any_of(peeks_.begin(), peeks_.end(),
                       [&](const PendingPeek& peek) { return peek.session == &session; });
}

void Core::answer_waiters() {
    for (Session* session : waiting_) {
        answer_waiters(*session);
    }
    std::erase_if(waiting_, [](Session* session) { return session->waiters().empty(); });
}

void Core::answer_waiters(Session& session) {
    std::vector<Waiter>& waiters = session.waiters();
    std::size_t kept = 0;
    for (std::size_t i = 0; i < waiters.size(); ++i) {
        Waiter& waiter = waiters[i];
        // As with a producer: what memory or journal cannot take slows down whoever sends it.
        const bool held_back = waiter.slowed && backlog_->pressed();
        if (reached(waiter.commit, waiter.level) && !held_back) {
            answer(session, waiter);
        } else if (kept++ != i) {
            waiters[kept - 1] = std::move(waiter);
        }
    }
    waiters.resize(kept);
    if (kept == 0 && waiters.capacity() > waiters_kept_max) {
        std::vector<Waiter>().swap(waiters);
    }
}

void Core::answer(Session& session, const Waiter& waiter) {
    switch (waiter.kind) {
        case Waiter::Kind::settled:
            session.send(waiter.settled, waiter.correlation, waiter.handle);
            break;
        case Waiter::Kind::transacted: answer_transaction(session, waiter); break;
        case Waiter::Kind::done: session.send(waiter.done, waiter.correlation); break;
        case Waiter::Kind::opened:
            session.send(waiter.opened, waiter.correlation, waiter.handle);
            break;
        case Waiter::Kind::queue_info:
            if (const engine::Queue* queue = engine_.find(waiter.queue)) {
                session.send(queue_info(*queue), waiter.correlation);
            } else {
                session.send_error({ErrorCode::no_such_queue, "deleted meanwhile"},
                                   waiter.correlation);
            }
            break;
    }
}

wire::QueueInfo Core::queue_info(const engine::Queue& queue) const {
    wire::QueueInfo info;
    info.queue = queue.name();
    info.incarnation = queue.id();
    info.durability = queue.definition().durability;
    info.lease_ms = static_cast<std::uint32_t>(queue.definition().lease.count());
    info.ready = queue.ready();
    info.leased = queue.leased() + queue.ending();
    info.bytes = queue.resident_bytes() + backlog_->unread_bytes(queue.id());
    info.next_number = queue.next_applied();
    info.consumers = static_cast<std::uint32_t>(queue.consumers());
    info.producers = queue.producers();
    info.dying = queue.dying();
    info.delayed = queue.delayed();
    info.held = queue.held();
    info.options = options_of(queue.definition());
    if (queue.numbers().has_levels()) {
        queue.numbers().for_each_applied(
            [&](MessageNumber next) { info.next_of_levels.push_back(next); });
    }
    info.expired = queue.expired();
    info.duplicates = queue.duplicates();
    info.purged = queue.purged();
    if (info.purged > 0) {
        const auto first = queue.purges()->earliest(engine::DueClock::journal);
        info.undo_until = wall_time_of({engine::DueClock::journal, first.value_or(0)});
    }
    return info;
}

wire::StatusReply Core::status() const {
    std::uint64_t ready = 0;
    std::uint64_t leased = 0;
    std::uint64_t delayed = 0;
    std::uint64_t held = 0;
    for (const auto& [name, queue] : engine_.queues()) {
        ready += queue->ready();
        leased += queue->leased() + queue->ending();
        delayed += queue->delayed();
        held += queue->held();
    }
    const storage::Journal::Figures journal = journal_->figures();
    const Backlog::Figures backlog = backlog_->figures();
    const CheckpointPass::Figures checkpoint = checkpoint_->figures();
    wire::StatusReply reply;
    reply.items = {
        {"queues", engine_.queues().size()},
        {"connections", sessions_.size()},
        {"messages", messages()},
        {"messages_max", options_.messages_max},
        {"messages_ready", ready},
        {"messages_delayed", delayed},
        {"messages_held", held},
        {"messages_leased", leased},
        {"messages_expired", engine_.expired_messages()},
        {"messages_duplicate", engine_.duplicate_messages()},
        {"memory_bytes", memory_bytes_},
        {"memory_bytes_max", options_.memory_bytes_max},
        {"history_events", history_.events()},
        {"durable_messages", durable_messages_},
        {"publish_credit_bytes", granted_credit_bytes_},
        {"journal_files", journal.files},
        {"journal_file_bytes", journal.file_bytes},
        {"journal_bytes_max", journal.bytes_max},
        {"journal_booked_bytes", journal.booked_bytes},
        {"journal_booked_bytes_max", journal.booked_bytes_max},
        {"journal_groups", journal.groups},
        {"journal_syncs", journal.syncs},
        {"journal_bytes_written", journal.bytes_written},
        {"journal_last_sequence", journal_->last().value()},
        {"journal_durable_sequence", journal_->durable().value()},
        {"disk_full", journal_->disk_full() || backlog_->refusal() ? 1u : 0u},
        {"segment_files", backlog.segments.files},
        {"segment_bytes", backlog.segments.bytes},
        {"segment_live_bytes", backlog.segments.live_bytes},
        {"pages", backlog.pages},
        {"pages_written", backlog.pages_written},
        {"pages_read", backlog.pages_read},
        {"pages_carried", backlog.pages_carried},
        {"resident_bytes", backlog_->resident_bytes() + journal_blocks_.memory_bytes()},
        {"unreadable_messages", backlog.unreadable_messages},
        {"scrubbed_bytes", backlog.scrubbed_bytes},
        {"checkpoints", checkpoint.checkpoints},
        {"checkpoint_bytes", checkpoint.bytes},
        {"longest_turn_us",
         static_cast<std::uint64_t>(longest_turn_ / std::chrono::microseconds(1))},
        {"backup_running", backup_->active() ? 1u : 0u},
        {"stopping", stopping_ ? 1u : 0u},
    };
    return reply;
}

}  // namespace mqd::core
