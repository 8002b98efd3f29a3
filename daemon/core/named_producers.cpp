// Producers with names: what was taken of them is kept with the queue, in the commit group of the
// messages, so that whoever opens the name again knows where to go on.

#include "daemon/core/core.hpp"
#include "daemon/core/record.hpp"
#include "daemon/core/retry_hint.hpp"
#include "daemon/core/session.hpp"
#include "daemon/storage/planted_fault.hpp"

namespace mqd::core {

// Whoever had the name is fenced.
Result<void> Core::open_named(Producer& producer, std::string_view name) {
    if (name.size() > wire::producer_name_bytes_max) {
        return Error{ErrorCode::bad_name, "a producer's name has 1 to 128 bytes",
                     wire::producer_name_bytes_max};
    }
    const engine::ProducerMarks* marks = producer.queue->producer_marks();
    if (marks == nullptr || marks->find(name) == marks->end()) {
        if (engine_.producer_marks() >= options_.named_producers_max) {
            return Error{ErrorCode::too_many_handles, "limits.named_producers is used up",
                         options_.named_producers_max};
        }
        // Checkpoints tell it, and grow: that room is kept for what is there already.
        if (producer.queue->durable() && (backlog_->refusal() || journal_->disk_full())) {
            return Error{ErrorCode::disk_full, "the disk is full: no new producer gets a name", 0,
                         retry_after_ms};
        }
    }
    producer.mark = &engine_.open_mark(*producer.queue, name);
    waiting_publishes_.name_opened(*producer.queue);
    ++producer.mark->handles;
    producer.opening = producer.mark->openings;
    producer.last_taken = producer.mark->taken;
    producer.next_line = producer.last_taken.plus(1);
    return {};
}

// The client takes what OPENED says for confirmed: so all of it is as durable as the queue before.
void Core::answer_opened(Producer& producer, wire::Opened opened, CorrelationId correlation) {
    opened.last_line = producer.last_taken;
    Waiter waiter;
    waiter.kind = Waiter::Kind::opened;
    const bool on_its_way = producer.mark->applied < producer.mark->taken;
    waiter.commit = on_its_way ? CommitId(next_commit_.value() - 1) : CommitId(0);
    waiter.level = producer.queue->definition().durability;
    waiter.correlation = correlation;
    waiter.handle = producer.handle;
    waiter.opened = opened;
    wait(*producer.session, std::move(waiter));
}

// Behind the batch, in its group.
void Core::note_lines(Producer& producer, std::uint32_t count) {
    engine::ProducerMark& mark = *producer.mark;
    producer.last_taken = producer.last_taken.plus(count);
    engine::Engine::admit_lines(mark, producer.last_taken);
    if (!producer.queue->durable()) {
        engine::Engine::apply(mark, producer.last_taken, now_.wall);
        return;
    }
    CommitGroup& group = pending_.back();
    if (!storage::planted(storage::Fault::forgotten_producer_mark)) {
        append_mark_producer(group.buffer,
                             {producer.queue->id(), mark.name, producer.last_taken, now_.wall});
    }
    group.commands.push_back({PendingCommand::Kind::mark, producer.queue->definition().durability,
                              producer.queue, nullptr,
                              static_cast<std::uint32_t>(group.marks.size()), 1});
    group.marks.push_back({&mark, producer.last_taken, now_.wall});
}

// A name of which nothing was ever taken is not kept.
void Core::close_named(const Producer& producer) {
    if (producer.mark == nullptr) {
        return;
    }
    MQD_ASSERT(producer.mark->handles > 0);
    if (--producer.mark->handles == 0 && producer.mark->taken.value() == 0) {
        engine_.forget_mark(*producer.queue, *producer.mark);
    }
}

}  // namespace mqd::core
