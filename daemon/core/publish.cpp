// The way in: a PUBLISH frame is checked, its room reserved, its numbers given, its bytes copied
// once; and the way of the answer, from what became durable to CONFIRM and REFUSE in the order of
// the lines.

#include <algorithm>
#include <cstring>

#include "daemon/core/core.hpp"
#include "daemon/core/message_groups.hpp"
#include "daemon/core/record.hpp"
#include "daemon/core/retry_hint.hpp"
#include "daemon/core/session.hpp"
#include "daemon/storage/planted_fault.hpp"

namespace mqd::core {

namespace {

// Of the runs in one CONFIRM: what is more goes into the next, so that it fits every client.
constexpr std::size_t confirm_runs_bytes_max = 4096 * wire::Confirm::run_bytes;
// A crash leaves at most so many numbers of a queue out, and one publish in so many messages waits.
constexpr std::uint64_t numbers_told_ahead = 1 << 16;
constexpr std::uint64_t first_window_bytes = 64 * 1024;
constexpr std::uint64_t least_window_bytes = 4 * 1024;

}  // namespace

Result<void> Core::check_open(const Producer& producer) const {
    if (stopping_) {
        return Error{ErrorCode::stopping, "the daemon is shutting down"};
    }
    if (producer.queue == nullptr || producer.queue->deleting()) {
        return Error{ErrorCode::queue_deleted, "the queue was deleted"};
    }
    if (producer.fenced()) {
        return Error{ErrorCode::producer_fenced, "producer \"" + std::string(producer.mark->name) +
                                                     "\" was opened again, and goes on there"};
    }
    if (producer.queue->definition().publishing_paused) {
        return Error{ErrorCode::queue_paused,
                     "publishing to queue \"" + producer.queue->name() + "\" is paused"};
    }
    return {};
}

Result<void> Core::publish(Producer& producer, const wire::Publish& frame, Identity sender) {
    if (auto open = check_open(producer); !open) {
        return open;
    }
    engine::Queue& queue = *producer.queue;
    const Durability most = queue.durable() ? Durability::disk : Durability::memory;
    if (frame.durability > most) {
        return Error{ErrorCode::durability_unavailable,
                     "queue \"" + queue.name() + "\" is kept in memory"};
    }
    return Dedup::watches(queue) ? publish_unknown(producer, frame, sender)
                                 : publish_new(producer, frame, frame, sender);
}

// `rest` is what is to be taken of the frame: all of it, or what was not published before.
Result<void> Core::publish_new(Producer& producer, const wire::Publish& frame,
                               const wire::Publish& rest, Identity sender) {
    engine::Queue& queue = *producer.queue;
    const Result<std::uint64_t> dropped = to_drop(queue, {rest.count, rest.batch.size()});
    // What never fits does not wait; whoever comes waits behind those that do.
    const bool behind =
        waiting_publishes_.any(queue) && !storage::planted(storage::Fault::queue_jumper);
    const bool waits = queue.definition().on_full == OnFull::wait && !Dedup::watches(queue) &&
                       (dropped ? behind || engine::is_rendezvous(queue.definition())
                                : dropped.error().retry_after_ms != 0);
    if (!dropped && !waits) {
        return dropped.error();
    }
    if (waits && producer.waits_enough()) {
        return Error{ErrorCode::queue_full,
                     "queue \"" + queue.name() + "\" is full, and so many frames wait already",
                     waiting_frames_max, retry_after_ms};
    }
    const bool loses = dropped && !engine::buries_oldest(queue.definition());
    if (auto total = check_total(rest.count, loses ? *dropped : 0); !total) {
        return total;
    }
    if (const auto taken = take_batch(rest, queue, {mark_bytes(producer)}); !taken) {
        return taken.error();
    }
    std::swap(batch_.dedup, known_lines_);
    PendingLines& lines = add_lines(producer, frame, frame.durability);
    if (waits) {
        waiting_publishes_.add(producer, lines, frame.durability, sender);
    } else {
        if (*dropped > 0) {
            make_room(queue, *dropped);
        }
        enter(producer, lines, frame.durability, sender);
    }
    list_pending(producer);
    return {};
}

// batch_ becomes messages, which are the lines.
void Core::enter(Producer& producer, PendingLines& lines, Durability asked, Identity sender) {
    engine::Queue& queue = *producer.queue;
    for (const BatchPart& part : batch_.parts) {
        Block& block = *part.block;
        block.first = engine_.admit_add(queue, block.count, part.priority).range.first;
        block.queue = queue.id();
        block.published = now_.wall;
        block.sender = sender;
    }
    batch_.place(queue.id());
    history_.published(queue, batch_, producer.session, producer.mark ? producer.mark->name : "");
    const bool some_known = !batch_.dedup.known.empty();
    lines.number = batch_.parts.front().block->first;
    lines.level = level_of(queue, {lines.number, batch_.count()}, asked);
    lines.level = some_known ? std::max(lines.level, queue.definition().durability) : lines.level;
    lines.commit = CommitId(0);
    if (batch_.parts.size() > 1 || some_known) {
        number_lines(lines);
    }
    if (batch_.dedup.expected > 0) {
        dedup_.number_lines(queue, batch_);
    }
    if (queue.durable()) {
        append_parts(producer, lines.level);
        lines.commit = pending_.back().id;
    } else {
        apply_batch(queue, batch_);
        answers_due_ = true;
        if (engine::is_rendezvous(queue.definition())) {
            waiting_publishes_.hand_over(producer, lines, batch_);
        }
    }
    if (producer.mark != nullptr) {
        note_lines(producer, static_cast<std::uint32_t>(lines.count));
    }
}

PendingLines& Core::add_lines(Producer& producer, const wire::Publish& frame, Durability level) {
    PendingLines& lines = producer.pending.emplace_back();
    lines.first = producer.next_line;
    lines.count = frame.count;
    lines.bytes = frame.batch.size();
    lines.level = level;
    return lines;
}

// It is there, with its numbers, in a memory queue.
void Core::apply_batch(engine::Queue& queue, const TakenBatch& batch) {
    for (const BatchPart& part : batch.parts) {
        part.block->take(now_.journal);
        engine_.apply(queue,
                      engine::AddMessages{queue.id(), {part.block->first, part.block->count}},
                      batch.members_of(part));
        engine_.announce_resident(queue, *part.block);
    }
    for (const engine::DelayMessages& run : batch.delays) {
        engine_.apply(run);
    }
}

// Checks the batch and copies it into batch_, with all that it needs reserved.
Result<void> Core::take_batch(const wire::Publish& frame, const engine::Queue& queue,
                              const Intake& intake) {
    if (frame.batch.size() / wire::message_header_bytes < frame.count) {
        return Error{ErrorCode::protocol_violation, "PUBLISH: fewer messages than its count says"};
    }
    batch_.clear();
    const auto bytes = static_cast<std::uint32_t>(frame.batch.size());
    Block* block = Block::create(frame.count, bytes);
    wire::AttributeSet seen;
    const std::uint32_t body_bytes_max = intake.author == wire::Author::client
                                             ? options_.message_bytes_max
                                             : wire::message_body_bytes_hard_max;
    const auto bad = wire::check_batch(frame.batch, frame.count, body_bytes_max, block->offsets(),
                                       intake.author, seen);
    if (bad) {
        block->drop_reference();
        if (*bad == ErrorCode::message_too_big) {
            return Error{*bad, "a message is larger than limits.message_bytes",
                         options_.message_bytes_max};
        }
        if (*bad == ErrorCode::bad_option) {
            return Error{*bad, "a message has one TTL, of 1 ms to ten years",
                         static_cast<std::uint64_t>(wire::ttl_max.count())};
        }
        return Error{*bad, *bad == ErrorCode::unknown_attribute
                               ? "a message has a critical attribute this daemon does not know"
                               : "PUBLISH: malformed batch"};
    }
    const auto read = read_attributes(frame, queue, seen, block->offsets(), intake.author);
    if (!intake.delays.empty()) {
        batch_.delay_lines(intake.delays);
    }
    const auto reserved = read ? reserve(queue, frame, intake.mark_bytes) : read;
    if (!reserved) {
        block->drop_reference();
        return reserved.error();
    }
    block->ttl_min = seen.ttl_min();
    if (batch_.split.mixed()) {
        batch_.split.for_each([&](unsigned priority, std::span<const BatchRun> runs) {
            Block* part = copy_messages(frame.batch, block->offsets(), runs);
            part->ttl_min = seen.ttl_min();
            batch_.parts.push_back({part, priority});
        });
        block->drop_reference();
    } else {
        std::memcpy(block->data(), frame.batch.data(), bytes);
        batch_.parts.push_back({block, batch_.split.priority()});
    }
    for (const BatchPart& part : batch_.parts) {
        if (queue.durable()) {
            part.block->booked_bytes = booked_bytes(part.block->bytes, part.block->count);
            durable_messages_ += part.block->count;
        }
        part.block->charge(memory_bytes_);
    }
    return {};
}

// What of the attributes the daemon has to heed.
Result<void> Core::read_attributes(const wire::Publish& frame, const engine::Queue& queue,
                                   const wire::AttributeSet& seen, const std::uint32_t* end_offsets,
                                   wire::Author author) {
    const bool ranked = queue.definition().priorities;
    if (seen.has(wire::AttributeId::priority) && (ranked || author == wire::Author::client)) {
        if (!ranked) {
            return Error{ErrorCode::bad_option,
                         "queue \"" + queue.name() +
                             "\" does not declare priorities (they are said when a queue is "
                             "created: --priorities of mqctl queue create)"};
        }
        if (auto read = batch_.split.read(frame.batch, end_offsets, frame.count); !read) {
            return read;
        }
    }
    const bool timed = seen.has(wire::AttributeId::delay) || seen.has(wire::AttributeId::due);
    const bool grouped = seen.has(wire::AttributeId::group);
    if (timed && engine::is_rendezvous(queue.definition())) {
        return Error{ErrorCode::bad_option,
                     "queue \"" + queue.name() + "\" is a rendezvous: nothing is delayed in it"};
    }
    if (!timed && !grouped) {
        return {};
    }
    Result<void> result;
    std::size_t joined_from = 0;
    for_each_part_run(frame.batch, end_offsets,
                      [&](wire::Bytes run, std::uint64_t position, bool begins_part) {
                          joined_from = begins_part ? batch_.delays.size() : joined_from;
                          if (timed && result) {
                              result = read_times(run, position, joined_from);
                          }
                          if (grouped) {
                              append_members(run, position, batch_.members);
                          }
                      });
    return result;
}

// Calls fn(batch, position, begins_part) for each run of messages that lie together in the batch
// and are in one part, in the order of the parts; `position` counts over all parts.
template <typename Fn>
void Core::for_each_part_run(wire::Bytes batch, const std::uint32_t* end_offsets, Fn&& fn) const {
    if (!batch_.split.mixed()) {
        fn(batch, 0, true);
        return;
    }
    std::uint64_t position = 0;
    batch_.split.for_each([&](unsigned, std::span<const BatchRun> runs) {
        bool begins_part = true;
        for (const BatchRun& run : runs) {
            const std::uint32_t begin = run.first == 0 ? 0 : end_offsets[run.first - 1];
            const std::uint32_t end = end_offsets[run.first + run.count - 1];
            fn(batch.subspan(begin, end - begin), position, begins_part);
            begins_part = false;
            position += run.count;
        }
    });
}

Result<void> Core::reserve(const engine::Queue& queue, const wire::Publish& frame,
                           std::size_t mark_bytes) {
    if (!batch_.delays.empty()) {
        const std::size_t runs = engine_.delay_runs() + admitted_delays_ + batch_.delays.size();
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
    if (auto reserved = reserve_members(queue); !reserved) {
        return reserved;
    }
    // Carried forward message by message, it still has to fit into one group.
    if (queue.durable() && carry_bytes_max(frame.batch.size(), frame.count) + mark_bytes +
                                   delay_record_bytes(batch_.delays.size()) >
                               journal_->group_bytes_max()) {
        return Error{ErrorCode::message_too_big, "the batch is too large for the journal's files",
                     journal_->group_bytes_max()};
    }
    if (queue.durable() && options_.disk_bytes_max != 0 &&
        backlog_->segment_bytes() >= options_.disk_bytes_max) {
        return Error{ErrorCode::disk_full, "limits.disk_bytes is used up by messages that wait",
                     options_.disk_bytes_max, retry_after_ms};
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
    const std::uint64_t parts = batch_.split.mixed() ? batch_.split.levels() : 1;
    auto refused = journal_->book(booked_bytes(frame.batch.size(), frame.count, parts));
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
    if (queue.definition().priorities) {
        return own;  // what was told early would have to be noted for each level
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

// Of the record that goes with each batch of a producer into its group.
std::size_t Core::mark_bytes(const Producer& producer) {
    return producer.mark != nullptr ? mark_producer_record_bytes(producer.mark->name) : 0;
}

// batch_, with all that goes with it, in a durable queue.
void Core::append_batch(engine::Queue& queue, CommitGroup& group) {
    for (const BatchPart& part : batch_.parts) {
        Block& block = *part.block;
        const MessagesRecord record{queue.id(),
                                    {block.first, block.count},
                                    block.published,
                                    block.sender,
                                    {block.data(), block.bytes}};
        append_messages(group.buffer, RecordType::add_messages, record);
        append_add_command(queue, part, group);
        queue.admitted(block.bytes);
    }
    append_delays(queue, group);
}

// What a batch became is in one group: after a crash all of it is there, or nothing.
void Core::append_parts(const Producer& producer, Durability level) {
    engine::Queue& queue = *producer.queue;
    std::size_t bytes = delay_record_bytes(batch_.delays.size()) + mark_bytes(producer);
    for (const BatchPart& part : batch_.parts) {
        bytes += record_header_bytes + messages_fixed_bytes + part.block->bytes;
    }
    CommitGroup& group = open_group(bytes);
    append_batch(queue, group);
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
            PendingLines& lines = producer.pending.front();
            bool all = true;
            if (lines.pieces) {
                all = confirm_pieces(lines, run);
            } else {
                confirm_run(run, {lines.number, static_cast<std::uint32_t>(lines.count)});
            }
            const bool durable = lines.commit.value() != 0;
            const Durability got = !durable                                  ? Durability::memory
                                   : reached(lines.commit, Durability::disk) ? Durability::disk
                                   : reached(lines.commit, Durability::written)
                                       ? Durability::written
                                       : Durability::memory;
            least = std::min(least, got);
            if (!all) {
                break;  // the next CONFIRM goes on with it
            }
            take();
        }
        wire::Confirm::append_run(runs_, run);
        grow_window(producer);
        producer.session->send_confirm(producer, first, least, runs_);
    }
}

// Adds what a run of lines became to the CONFIRM: to its last run, if it follows it.
void Core::confirm_run(wire::ConfirmedRun& run, const wire::ConfirmedRun& next) {
    if (run.count > 0 && run.first_number.plus(run.count) == next.first_number &&
        run.count <= UINT32_MAX - next.count) {
        run.count += next.count;
        return;
    }
    if (run.count > 0) {
        wire::Confirm::append_run(runs_, run);
    }
    run = next;
}

// --- publish credit

// Of all producers, and of those of the connection.
std::uint64_t Core::credit_left(Session& session) const {
    const auto left = [](std::uint64_t most, std::uint64_t granted) {
        return most - std::min(most, granted);
    };
    return std::min(left(options_.publish_credit_bytes, granted_credit_bytes_),
                    left(options_.connection_credit_bytes, session.granted_credit_bytes()));
}

void Core::open_window(Producer& producer) {
    const std::uint64_t left = credit_left(*producer.session);
    producer.window_bytes = std::max(
        least_window_bytes, std::min({first_window_bytes, options_.producer_credit_bytes, left}));
    producer.window_messages = options_.producer_credit_messages;
    granted_credit_bytes_ += producer.window_bytes;
    producer.session->granted_credit_bytes() += producer.window_bytes;
    producer.credit = {producer.window_messages, producer.window_bytes};
}

// A producer that used more than half of its window gets twice as much, while there is.
void Core::grow_window(Producer& producer) {
    if (producer.window_short) {
        producer.window_short = false;
        const std::uint64_t wanted =
            std::min(producer.window_bytes * 2, options_.producer_credit_bytes);
        const std::uint64_t more = wanted - std::min(wanted, producer.window_bytes);
        if (more <= credit_left(*producer.session)) {
            producer.window_bytes += more;
            granted_credit_bytes_ += more;
            producer.session->granted_credit_bytes() += more;
        }
    }
    producer.credit = {producer.messages_answered + producer.window_messages,
                       producer.bytes_answered + producer.window_bytes};
}

void Core::close_producer(Producer& producer) {
    waiting_publishes_.producer_gone(producer);
    granted_credit_bytes_ -= producer.window_bytes;
    producer.session->granted_credit_bytes() -= producer.window_bytes;
    if (producer.queue != nullptr) {
        producer.queue->producer_closed();
        close_named(producer);
        lifetimes_.used(*producer.queue);
    }
    if (producer.pending_listed) {
        std::erase(pending_producers_, &producer);
    }
}

}  // namespace mqd::core
