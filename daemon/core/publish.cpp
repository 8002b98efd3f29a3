// The way in: a PUBLISH frame is checked, its room reserved, its numbers given, its bytes copied
// once; and the way of the answer, from what became durable to CONFIRM and REFUSE in the order of
// the lines.

#include <algorithm>
#include <cstring>

#include "daemon/core/core.hpp"
#include "daemon/core/record.hpp"
#include "daemon/core/session.hpp"

namespace mqd::core {

namespace {

constexpr std::uint32_t retry_after_ms = 200;

// Of the runs in one CONFIRM: what is more goes into the next, so that it fits every client.
constexpr std::size_t confirm_runs_bytes_max = 4096 * wire::Confirm::run_bytes;
// A crash leaves at most so many numbers of a queue out, and one publish in so many messages waits.
constexpr std::uint64_t numbers_told_ahead = 1 << 16;
constexpr std::uint64_t first_window_bytes = 64 * 1024;
constexpr std::uint64_t least_window_bytes = 4 * 1024;

}  // namespace

Result<void> Core::publish(Producer& producer, const wire::Publish& frame, Identity sender) {
    if (stopping_) {
        return Error{ErrorCode::stopping, "the daemon is shutting down"};
    }
    if (producer.queue == nullptr || producer.queue->deleting()) {
        return Error{ErrorCode::queue_deleted, "the queue was deleted"};
    }
    engine::Queue& queue = *producer.queue;
    if (queue.definition().publishing_paused) {
        return Error{ErrorCode::queue_paused,
                     "publishing to queue \"" + queue.name() + "\" is paused"};
    }
    const Durability most = queue.durable() ? Durability::disk : Durability::memory;
    if (frame.durability > most) {
        return Error{ErrorCode::durability_unavailable,
                     "queue \"" + queue.name() + "\" is kept in memory"};
    }
    const Result<std::uint64_t> dropped = to_drop(queue, frame);
    if (!dropped) {
        return dropped.error();
    }
    delays_.clear();
    Result<Block*> taken = take_batch(frame, queue);
    if (!taken) {
        return taken.error();
    }
    if (*dropped > 0) {
        drop_oldest(queue, *dropped);
    }
    Block& block = **taken;
    const engine::AddMessages added = engine_.admit_add(queue, frame.count);
    block.first = added.range.first;
    block.queue = queue.id();
    block.published = now_.wall;
    block.sender = sender;
    place_delays(queue.id(), block.first);
    const Durability level = level_of(queue, added.range, frame.durability);
    const LineNumber first_line = producer.next_line;
    PendingLines& lines = producer.pending.emplace_back();
    lines.first = first_line;
    lines.count = frame.count;
    lines.bytes = frame.batch.size();
    lines.number = added.range.first;
    lines.level = level;
    if (queue.durable()) {
        append_add(queue, block, level);
        lines.commit = pending_.back().id;
    } else {
        engine_.apply(queue, added);
        engine_.announce_resident(queue, block);
        for (const engine::DelayMessages& run : delays_) {
            engine_.apply(run);
        }
        answers_due_ = true;
    }
    list_pending(producer);
    return {};
}

// How many ready messages have to go for the queue's own limits; or why there is no room. What is
// on its way in counts, what is on its way out does not.
Result<std::uint64_t> Core::to_drop(const engine::Queue& queue, const wire::Publish& frame) const {
    const engine::QueueDefinition& definition = queue.definition();
    if (definition.max_bytes != 0) {
        const std::uint64_t held =
            queue.resident_bytes() + backlog_->unread_bytes(queue.id()) + queue.admitted_bytes();
        if (held + frame.batch.size() > definition.max_bytes) {
            return Error{ErrorCode::queue_full, "queue \"" + queue.name() + "\" is full: max_bytes",
                         definition.max_bytes, retry_after_ms};
        }
    }
    if (definition.max_messages == 0) {
        return std::uint64_t{0};
    }
    const std::uint64_t held =
        queue.live() - queue.ending() + (queue.next_number() - queue.next_applied());
    const std::uint64_t wanted = held + frame.count;
    const std::uint64_t over = wanted - std::min(wanted, definition.max_messages);
    const bool drops = definition.on_full == OnFull::drop_oldest;
    if (over > (drops ? queue.ready() : 0)) {
        return Error{ErrorCode::queue_full, "queue \"" + queue.name() + "\" is full: max_messages",
                     definition.max_messages,
                     frame.count > definition.max_messages ? 0 : retry_after_ms};
    }
    return over;
}

void Core::drop_oldest(engine::Queue& queue, std::uint64_t count) {
    decided_.clear();
    while (count > 0) {
        MessageRange oldest = queue.oldest_ready();
        oldest.count = std::min(oldest.count, count);
        engine_.admit_end(queue, oldest, decided_);
        count -= oldest.count;
    }
    remove(queue, decided_, Need::nothing);
}

// Checks the batch and copies it, with all that it needs reserved.
Result<Block*> Core::take_batch(const wire::Publish& frame, const engine::Queue& queue) {
    if (frame.batch.size() / wire::message_header_bytes < frame.count) {
        return Error{ErrorCode::protocol_violation, "PUBLISH: fewer messages than its count says"};
    }
    const auto bytes = static_cast<std::uint32_t>(frame.batch.size());
    Block* block = Block::create(frame.count, bytes);
    wire::AttributeSet seen;
    const auto bad = wire::check_batch(frame.batch, frame.count, options_.message_bytes_max,
                                       block->offsets(), wire::Author::client, seen);
    if (bad) {
        block->drop_reference();
        if (*bad == ErrorCode::message_too_big) {
            return Error{*bad, "a message is larger than limits.message_bytes",
                         options_.message_bytes_max};
        }
        return Error{*bad, *bad == ErrorCode::unknown_attribute
                               ? "a message has a critical attribute this daemon does not know"
                               : "PUBLISH: malformed batch"};
    }
    const bool timed = seen.has(wire::AttributeId::delay) || seen.has(wire::AttributeId::due);
    const auto times = timed ? read_times(frame.batch) : Result<void>();
    const auto reserved = times ? reserve(queue, frame) : times;
    if (!reserved) {
        block->drop_reference();
        return reserved.error();
    }
    if (queue.durable()) {
        block->booked_bytes = bytes + frame.count * booked_per_message;
        durable_messages_ += frame.count;
    }
    std::memcpy(block->data(), frame.batch.data(), bytes);
    block->charge(memory_bytes_);
    return block;
}

Result<void> Core::reserve(const engine::Queue& queue, const wire::Publish& frame) {
    if (!delays_.empty()) {
        const std::size_t runs = engine_.delay_runs() + admitted_delays_ + delays_.size();
        if (runs > options_.delays_max) {
            return Error{ErrorCode::memory_full, "limits.delayed_messages is used up",
                         options_.delays_max, retry_after_ms};
        }
        // Checkpoints tell them, and grow: that room is kept for what is there already.
        if (queue.durable() && (backlog_->refusal() || journal_->disk_full())) {
            return Error{ErrorCode::disk_full, "the disk is full: nothing is taken that waits", 0,
                         retry_after_ms};
        }
    }
    // Carried forward message by message, it still has to fit into one group.
    if (queue.durable() &&
        carry_bytes_max(frame.batch.size(), frame.count) + delay_record_bytes(delays_.size()) >
            journal_->group_bytes_max()) {
        return Error{ErrorCode::message_too_big, "the batch is too large for the journal's files",
                     journal_->group_bytes_max()};
    }
    // What lies in segments as well can be dropped at any time.
    const std::uint64_t memory = memory_bytes_ - backlog_->resident_bytes() +
                                 Block::memory_bytes(frame.count, frame.batch.size());
    const bool unwritten = queue.durable() && backlog_->refusal() &&
                           journal_blocks_.memory_bytes() > options_.backlog.memory_bytes;
    if (queue.durable() && backlog_->refusal() &&
        (unwritten || memory > options_.memory_bytes_max)) {
        Error full = *backlog_->refusal();
        full.code = ErrorCode::disk_full;
        full.retry_after_ms = retry_after_ms;
        return full;
    }
    if (memory > options_.memory_bytes_max) {
        return Error{ErrorCode::memory_full, "limits.memory_bytes is used up by waiting messages",
                     options_.memory_bytes_max, retry_after_ms};
    }
    if (!queue.durable()) {
        return {};
    }
    auto refused = journal_->book(frame.batch.size() + frame.count * booked_per_message);
    if (!refused) {
        return {};
    }
    if (refused->code == ErrorCode::no_space) {
        refused->code = ErrorCode::disk_full;  // the name under which it travels
    }
    return *std::move(refused);
}

// What a publish waits for before it is confirmed. To confirm it before it is as durable as its
// queue tells numbers that a crash may take back, and that must not be given to other messages
// then: so the journal says beforehand up to where that may have happened. Whoever comes before
// that is durable waits with it.
Durability Core::level_of(const engine::Queue& queue, MessageRange range, Durability asked) {
    const Durability own = queue.definition().durability;
    if (asked == Durability::unspecified || asked >= own || own != Durability::disk) {
        return asked == Durability::unspecified ? own : asked;
    }
    ToldEarly& told = told_early_[queue.id()];
    if (range.end() > told.next) {
        told.next = range.end().plus(numbers_told_ahead);
        CommitGroup& group = open_group(record_header_bytes + 12);
        append_tell_numbers(group.buffer, queue.id(), told.next);
        told.commit = group.id;
    }
    return reached(told.commit, Durability::disk) ? asked : Durability::disk;
}

void Core::append_add(engine::Queue& queue, Block& block, Durability level) {
    CommitGroup& group = open_group(record_header_bytes + messages_fixed_bytes + block.bytes +
                                    delay_record_bytes(delays_.size()));
    const MessagesRecord record{queue.id(),
                                {block.first, block.count},
                                block.published,
                                block.sender,
                                {block.data(), block.bytes}};
    append_messages(group.buffer, RecordType::add_messages, record);
    group.commands.push_back(
        {PendingCommand::Kind::add, queue.definition().durability, &queue, &block, 0, 0});
    append_delays(queue, group);
    queue.admitted(block.bytes);
    // It becomes visible when it is as durable as its queue, whatever its confirm waits for.
    const Durability most = std::max(level, queue.definition().durability);
    raise_need(group, most == Durability::disk ? Need::durable : Need::written);
    last_durable_publish_ = now_.journal;
    if (level == Durability::written || queue.definition().durability == Durability::written) {
        raise_need(group, Need::written);
    }
    answers_due_ = answers_due_ || level == Durability::memory;
}

void Core::refuse(Producer& producer, LineNumber first, std::uint64_t count, std::uint64_t bytes,
                  Error error) {
    // One REFUSE never stands on both sides of a RESUME.
    const bool standing = producer.refusing;
    producer.refusing = true;
    answers_due_ = true;
    if (standing && !producer.pending.empty()) {
        PendingLines& last = producer.pending.back();
        const bool again =
            error.code == ErrorCode::resume_needed || error.code == ErrorCode::queue_deleted;
        if (last.refusal && again && last.refusal->code == error.code) {
            last.count += count;
            last.bytes += bytes;
            return;
        }
    }
    PendingLines& lines = producer.pending.emplace_back();
    lines.first = first;
    lines.count = count;
    lines.bytes = bytes;
    lines.refusal = std::make_unique<Error>(std::move(error));
    list_pending(producer);
}

void Core::list_pending(Producer& producer) {
    if (!producer.pending_listed) {
        producer.pending_listed = true;
        pending_producers_.push_back(&producer);
    }
    const std::uint64_t unanswered = producer.bytes_received - producer.bytes_answered;
    producer.window_short = producer.window_short || unanswered * 2 > producer.window_bytes;
}

// --- answers

bool Core::reached(CommitId commit, Durability level) const {
    switch (level) {
        case Durability::unspecified: break;
        case Durability::memory: return true;
        case Durability::written: return commit <= written_commit_;
        case Durability::disk: return commit <= durable_commit_;
    }
    MQD_ASSERT(false, level);
    return false;
}

void Core::answer_producers() {
    // What memory or journal cannot take slows down whoever sends it, and nobody else.
    const bool pressed = backlog_->pressed();
    std::size_t kept = 0;
    for (Producer* producer : pending_producers_) {
        if (pressed && producer->queue != nullptr && producer->queue->durable()) {
            pending_producers_[kept++] = producer;
            continue;
        }
        answer(*producer);
        if (producer->pending.empty()) {
            producer->pending_listed = false;
            if (producer->closing) {
                producer->session->end_producer(*producer);
            }
        } else {
            pending_producers_[kept++] = producer;
        }
    }
    pending_producers_.resize(kept);
}

void Core::answer(Producer& producer) {
    const auto ready = [&](const PendingLines& lines) {
        return lines.refusal != nullptr || reached(lines.commit, lines.level);
    };
    const auto take = [&] {
        const PendingLines& lines = producer.pending.front();
        producer.messages_answered += lines.count;
        producer.bytes_answered += lines.bytes;
        producer.pending.pop_front();
    };
    while (!producer.pending.empty() && ready(producer.pending.front())) {
        const LineNumber first = producer.pending.front().first;
        if (const auto refusal = std::move(producer.pending.front().refusal)) {
            const std::uint64_t count = producer.pending.front().count;
            take();
            grow_window(producer);
            producer.session->send_refuse(producer, first, count, *refusal);
            continue;
        }
        runs_.clear();
        Durability least = Durability::disk;
        wire::ConfirmedRun run;
        while (!producer.pending.empty() && !producer.pending.front().refusal &&
               ready(producer.pending.front()) && runs_.size() < confirm_runs_bytes_max) {
            const PendingLines& lines = producer.pending.front();
            const auto count = static_cast<std::uint32_t>(lines.count);
            if (run.count > 0 && run.first_number.plus(run.count) == lines.number &&
                run.count <= UINT32_MAX - count) {
                run.count += count;
            } else {
                if (run.count > 0) {
                    wire::Confirm::append_run(runs_, run);
                }
                run = {lines.number, count};
            }
            const bool durable = lines.commit.value() != 0;
            const Durability got = !durable                                  ? Durability::memory
                                   : reached(lines.commit, Durability::disk) ? Durability::disk
                                   : reached(lines.commit, Durability::written)
                                       ? Durability::written
                                       : Durability::memory;
            least = std::min(least, got);
            take();
        }
        wire::Confirm::append_run(runs_, run);
        grow_window(producer);
        producer.session->send_confirm(producer, first, least, runs_);
    }
}

// --- publish credit

void Core::open_window(Producer& producer) {
    const std::uint64_t left = options_.publish_credit_bytes -
                               std::min(options_.publish_credit_bytes, granted_credit_bytes_);
    producer.window_bytes = std::max(
        least_window_bytes, std::min({first_window_bytes, options_.producer_credit_bytes, left}));
    producer.window_messages = options_.producer_credit_messages;
    granted_credit_bytes_ += producer.window_bytes;
    producer.credit = {producer.window_messages, producer.window_bytes};
}

// A producer that used more than half of its window gets twice as much, while there is.
void Core::grow_window(Producer& producer) {
    if (producer.window_short) {
        producer.window_short = false;
        const std::uint64_t wanted =
            std::min(producer.window_bytes * 2, options_.producer_credit_bytes);
        const std::uint64_t more = wanted - std::min(wanted, producer.window_bytes);
        if (granted_credit_bytes_ + more <= options_.publish_credit_bytes) {
            producer.window_bytes += more;
            granted_credit_bytes_ += more;
        }
    }
    producer.credit = {producer.messages_answered + producer.window_messages,
                       producer.bytes_answered + producer.window_bytes};
}

void Core::close_producer(Producer& producer) {
    granted_credit_bytes_ -= producer.window_bytes;
    if (producer.queue != nullptr) {
        producer.queue->producer_closed();
        lifetimes_.used(*producer.queue);
    }
    if (producer.pending_listed) {
        std::erase(pending_producers_, &producer);
    }
}

}  // namespace mqd::core
