#include "daemon/core/dead_letters.hpp"

#include <algorithm>

#include "daemon/core/core.hpp"
#include "daemon/core/record.hpp"
#include "daemon/core/retry_hint.hpp"
#include "daemon/storage/passing_error.hpp"
#include "mqd/wire/batch.hpp"

namespace mqd::core {

namespace {

constexpr std::uint64_t moved_per_turn = 256;                // messages
constexpr std::uint64_t moved_bytes_per_turn = 1024 * 1024;  // of batches
constexpr std::uint64_t moved_at_once = 64;                  // in one batch
constexpr std::size_t queue_name_bytes_max = 200;
// So many that had to make room may wait to be moved before their queue takes nothing more.
constexpr std::uint64_t overflow_waiting_max = 4096;
// The attribute that a dead letter has: its fixed fields, the name of its queue, and a reason.
constexpr std::size_t dead_letter_bytes_max =
    wire::attribute_header_bytes + 37 + queue_name_bytes_max + UINT8_MAX;

// That of the first message of the range, which is cut to those behind it that have the same.
unsigned cut_to_priority(const Block& block, MessageRange& range) {
    wire::BatchReader reader(block.slice(range));
    const auto next = [&] { return wire::decode_priority(reader.next()->attributes).value_or(0); };
    const unsigned priority = next();
    std::uint64_t count = 1;
    while (count < range.count && next() == priority) {
        ++count;
    }
    range.count = count;
    return priority;
}

// The message as it was, but for what was said of an earlier death, and its time to live.
void append_dead_letter(std::vector<std::byte>& batch, const wire::MessageView& message,
                        wire::DeadLetterView dead, std::vector<std::byte>& attributes) {
    attributes.clear();
    MessageMover::copy_attributes(message.attributes, attributes, true);
    wire::Writer writer(attributes);
    std::vector<std::byte> value;
    wire::Writer value_writer(value);
    wire::encode_dead_letter(value_writer, dead);
    if (attributes.size() + wire::attribute_header_bytes + value.size() <=
        wire::attributes_bytes_max) {
        writer.number(static_cast<std::uint16_t>(wire::AttributeId::dead_letter));
        writer.string16(wire::as_text(value));
    } else {  // then nothing says that it is one, and it must not pass for a member of its group
        MessageMover::leave_out_group(attributes);
    }
    wire::append_message(batch, attributes, message.body);
}

}  // namespace

// Dead letters of dead letters stay where they are.
std::string DeadLetters::target_of(const engine::Queue& queue) {
    if (!queue.definition().dead_letter.empty()) {
        return queue.definition().dead_letter;
    }
    constexpr std::string_view suffix = engine::dead_letter_suffix;
    return engine::keeps_dead_letters(queue.definition())
               ? queue.name()
               : queue.name().substr(0, queue_name_bytes_max - suffix.size()) + std::string(suffix);
}

void DeadLetters::turn() {
    const bool any = !core_.engine_.with_dying().empty() && !core_.stopping_;
    more_ = any && !core_.serving_;  // the start comes first
    if (!any || more_) {
        retry_deadline_ = engine::Time::max();
        refused_.clear();
        return;
    }
    if (core_.now_.journal >= retry_deadline_) {
        retry_deadline_ = engine::Time::max();
        refused_.clear();
    }
    core_.engine_.forget_dying();
    Budget left{moved_per_turn, moved_bytes_per_turn};
    for (engine::Queue* queue : core_.engine_.with_dying()) {
        if (queue->deleting() || refused_.contains(queue->id())) {
            continue;  // they go with it; or wait
        }
        if (move_some(*queue, left) == Outcome::refused) {
            refused_.insert(queue->id());
            retry_deadline_ = std::min(retry_deadline_, core_.now_.journal + storage::retry_every);
        }
        if (left.messages == 0 || left.bytes == 0) {
            more_ = true;
            return;
        }
    }
}

std::optional<Error> DeadLetters::refusal(const engine::Queue& queue) const {
    const engine::Queue* target = core_.engine_.find(target_of(queue));
    const bool durable = target != nullptr ? target->durable() : queue.durable();
    if (durable && (core_.backlog_->refusal() || core_.journal_->disk_full())) {
        return Error{ErrorCode::disk_full,
                     "queue \"" + queue.name() +
                         "\" is full, and the disk too: nothing becomes a dead letter",
                     0, retry_after_ms};
    }
    if (refused_.contains(queue.id()) || queue.overflowed() >= overflow_waiting_max) {
        return Error{ErrorCode::queue_full,
                     "queue \"" + queue.name() +
                         "\" is full: max_messages, and what makes room waits to become a dead "
                         "letter",
                     queue.definition().max_messages, retry_after_ms};
    }
    return std::nullopt;
}

DeadLetters::Outcome DeadLetters::declare_target(const engine::Queue& queue, std::string name) {
    if (core_.queues() >= core_.options_.queues_max) {
        return Outcome::refused;
    }
    engine::QueueDefinition definition;
    definition.name = std::move(name);
    definition.durability = queue.definition().durability;
    definition.lease = queue.definition().lease;
    definition.history = queue.definition().history;
    definition.history_time = queue.definition().history_time;
    core_.declare_queue(definition);
    return Outcome::waits;
}

DeadLetters::Outcome DeadLetters::move_some(engine::Queue& queue, Budget& left) {
    std::string name = target_of(queue);
    engine::Queue* target = core_.engine_.find(name);
    if (target == &queue) {
        core_.engine_.revive(queue);
        return Outcome::moved;
    }
    if (target == nullptr) {
        --left.messages;
        return declare_target(queue, std::move(name));
    }
    if (target->deleting() || (target->durable() && core_.backlog_->pressed())) {
        return Outcome::waits;
    }
    engine::LiveRun run;
    for (MessageNumber at(0);
         left.messages > 0 && left.bytes > 0 && queue.find_in(engine::LiveState::dying, at, run);) {
        at = run.range.first;
        const auto* block = static_cast<const Block*>(queue.extent_at(at));
        if (block == nullptr) {
            if (core_.backlog_->want(queue, at)) {
                return Outcome::waits;  // until its page is read
            }
            continue;  // set aside
        }
        const std::uint64_t fitting = std::max<std::uint64_t>(1, block->fitting(at, left.bytes));
        run.range.count =
            std::min({run.range.count, block->end() - at, left.messages, moved_at_once, fitting});
        if (circles(queue, *block, run, *target)) {
            const MessageRange one{at, 1};
            core_.engine_.admit_move(queue, one);
            core_.history_.note(queue, {&one, 1}, {wire::HistoryKind::expired});
            core_.remove(queue, {&one, 1}, Need::nothing);
            --left.messages;
            continue;
        }
        if (target->durable()) {
            cut_to_group(*block, run.range);
        }
        const unsigned priority =
            target->definition().priorities ? cut_to_priority(*block, run.range) : 0;
        const std::uint64_t bytes = block->bytes_of(run.range);  // it may end with its messages
        if (!move(queue, *target, *block, run, priority)) {
            // What is on its way may leave room behind: it is not a time to wait for then.
            const bool more_to_come = !core_.pending_.empty() || !core_.in_flight_.empty();
            return more_to_come ? Outcome::waits : Outcome::refused;
        }
        left.messages -= run.range.count;
        left.bytes -= std::min(left.bytes, bytes);
    }
    return Outcome::moved;
}

// Whether the first one would go back to the queue in which it expired before, and so for ever.
bool DeadLetters::circles(const engine::Queue& queue, const Block& block,
                          const engine::LiveRun& run, const engine::Queue& target) const {
    wire::BatchReader reader(block.slice({run.range.first, 1}));
    const auto message = reader.next();
    wire::AttributeReader attributes(message->attributes);
    while (const auto attribute = attributes.next()) {
        const auto dead = wire::decode_dead_letter(*attribute);
        if (dead && dead->cause == wire::DeadLetterCause::expired) {
            return dead->queue == target.name() &&
                   cause_of(queue, block, *message, run.attempts, run.range.first) ==
                       wire::DeadLetterCause::expired;
        }
    }
    return false;
}

// To as many as fit into one commit group, with what they say of their death.
void DeadLetters::cut_to_group(const Block& block, MessageRange& range) const {
    const auto bytes = [&] {
        return carry_bytes_max(block.bytes_of(range) + range.count * dead_letter_bytes_max,
                               range.count);
    };
    while (range.count > 1 && bytes() > core_.journal_->group_bytes_max()) {
        range.count /= 2;
    }
}

// False: there is no room for it now.
bool DeadLetters::move(engine::Queue& queue, engine::Queue& target, const Block& block,
                       const engine::LiveRun& run, unsigned priority) {
    Block* dead = make_block(queue, block, run);
    if (target.durable()) {
        if (carry_bytes_max(dead->bytes, dead->count) > core_.journal_->group_bytes_max() ||
            core_.backlog_->refusal()) {
            dead->drop_reference();
            return false;
        }
        const std::uint64_t booked = booked_bytes(dead->bytes, dead->count);
        if (core_.journal_->book(booked)) {
            dead->drop_reference();
            return false;
        }
        dead->booked_bytes = booked;
        core_.durable_messages_ += dead->count;
    } else if (queue.durable() &&
               core_.memory_bytes_ - core_.backlog_->resident_bytes() + dead->memory_bytes() >
                   core_.options_.memory_bytes_max) {
        dead->drop_reference();
        return false;
    }
    dead->charge(core_.memory_bytes_);
    dead->published = block.published;
    dead->sender = block.sender;
    core_.engine_.admit_move(queue, run.range);
    core_.batch_.clear();
    core_.batch_.parts.push_back({dead, priority});
    core_.mover_.append(queue, {&run.range, 1}, target);
    return true;
}

// Of one that no consumer rejected.
wire::DeadLetterCause DeadLetters::cause_of(const engine::Queue& queue, const Block& block,
                                            const wire::MessageView& message,
                                            std::uint32_t attempts, MessageNumber number) const {
    if (queue.has_overflowed(number)) {
        return wire::DeadLetterCause::overflow;
    }
    const std::uint32_t most = queue.definition().max_attempts;
    const bool failed = most != 0 && attempts >= most;
    return !failed && Core::expiry_of(queue, block, message) <= core_.now_.journal
               ? wire::DeadLetterCause::expired
               : wire::DeadLetterCause::attempts;
}

Block* DeadLetters::make_block(const engine::Queue& queue, const Block& block,
                               const engine::LiveRun& run) const {
    std::vector<std::byte> batch;
    std::vector<std::byte> attributes;
    wire::BatchReader reader(block.slice(run.range));
    for (std::uint64_t i = 0; i < run.range.count; ++i) {
        const auto message = reader.next();
        MQD_ASSERT(message.has_value(), run.range.first, i);  // it was checked when it came in
        wire::DeadLetterView dead;
        dead.attempts = run.attempts;
        dead.incarnation = queue.id();
        dead.number = run.range.first.plus(i);
        dead.queue = queue.name();
        dead.cause = cause_of(queue, block, *message, run.attempts, dead.number);
        dead.first_failed = dead.last_failed =
            dead.cause != wire::DeadLetterCause::attempts ? core_.now_.wall : WallTime();
        engine::RangeMap<engine::Failure>::Run failed;
        if (queue.failures().find_from(dead.number, failed) && failed.range.first <= dead.number) {
            dead.first_failed = failed.value.first;
            dead.last_failed = failed.value.last;
            dead.cause = failed.value.rejected ? wire::DeadLetterCause::rejected : dead.cause;
            dead.reason = failed.value.reason ? std::string_view(*failed.value.reason) : "";
        }
        append_dead_letter(batch, *message, dead, attributes);
    }
    return MessageMover::make_block(batch, static_cast<std::uint32_t>(run.range.count));
}

}  // namespace mqd::core
