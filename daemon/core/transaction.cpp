#include "daemon/core/transaction.hpp"

#include <algorithm>

#include "daemon/core/record.hpp"
#include "daemon/core/retry_hint.hpp"
#include "daemon/core/session.hpp"
#include "daemon/storage/planted_fault.hpp"

namespace mqd::core {

namespace {

constexpr std::size_t remove_fixed_bytes = record_header_bytes + 8;

std::string_view verb_of(wire::TransactKind kind) {
    switch (kind) {
        case wire::TransactKind::publish: return "publish";
        case wire::TransactKind::ack: return "ack";
        case wire::TransactKind::nack: return "nack";
        case wire::TransactKind::extend: return "extend";
        case wire::TransactKind::reject: return "reject";
    }
    return "unknown";
}

Error malformed(std::string what) {
    return {ErrorCode::protocol_violation, std::move(what)};
}

std::string text_of(MessageRange range) {
    const std::string first = std::to_string(range.first.value());
    return range.count == 1 ? first
                            : first + ".." + std::to_string(range.first.value() + range.count - 1);
}

}  // namespace

Transaction::~Transaction() {
    for (auto at = publishing_.rbegin(); at != publishing_.rend(); ++at) {
        Publishing& publishing = *at;
        Dedup::take_back(*publishing.queue, publishing.batch.dedup);
        if (!publishing.batch.parts.empty()) {
            core_.uncount_unnumbered(publishing.batch);
        }
        for (const BatchPart& part : publishing.batch.parts) {
            core_.unbook(*part.block);
            part.block->drop_reference();
        }
    }
}

// --- checks

Result<void> Transaction::admit(const wire::Transact& frame) {
    asked_ = frame.durability;
    wire::Reader reader(frame.operations);
    for (std::size_t i = 0; i < frame.count; ++i) {
        const wire::TransactOperation operation = wire::Transact::next(reader);
        if (auto admitted = admit(operation); !admitted) {
            Error error = admitted.error();
            error.text = "operation " + std::to_string(i + 1) + " (" + name_of(operation) +
                         "): " + error.text;
            return error;
        }
    }
    const Durability most =
        strictest_ == Durability::memory ? Durability::memory : Durability::disk;
    if (asked_ > most) {
        return Error{ErrorCode::durability_unavailable,
                     "all queues of the transaction are kept in memory"};
    }
    const std::size_t overhead = storage::GroupBuffer::header_bytes + storage::block_bytes;
    if (group_bytes_ + overhead > core_.journal_->group_bytes_max()) {
        return Error{ErrorCode::message_too_big,
                     "the transaction is too large for one commit group of the journal",
                     core_.journal_->group_bytes_max()};
    }
    return {};
}

// For people: what it is, and of which queue.
std::string Transaction::name_of(const wire::TransactOperation& operation) const {
    std::string name(verb_of(operation.kind));
    if (operation.kind == wire::TransactKind::publish) {
        const auto publish = wire::TransactPublish::decode(operation.body);
        return publish ? name + " to \"" + std::string(publish->queue) + '"' : name;
    }
    const auto from = consumer(operation.handle);
    return from && (*from)->queue != nullptr ? name + " on \"" + (*from)->queue->name() + '"'
                                             : name;
}

Result<void> Transaction::admit(const wire::TransactOperation& operation) {
    switch (operation.kind) {
        case wire::TransactKind::publish: {
            const auto publish = wire::TransactPublish::decode(operation.body);
            return publish ? admit_publish(*publish) : malformed("malformed body");
        }
        case wire::TransactKind::ack:
        case wire::TransactKind::nack:
        case wire::TransactKind::extend:
        case wire::TransactKind::reject: return admit_settling(operation);
    }
    return Error{ErrorCode::bad_option,
                 "kind " + std::to_string(static_cast<unsigned>(operation.kind)) +
                     " is not known to this daemon",
                 static_cast<std::uint64_t>(wire::TransactKind::reject)};
}

Transaction::QueueSum& Transaction::sum_of(engine::Queue& queue) {
    const auto at = std::find_if(sums_.begin(), sums_.end(),
                                 [&](const QueueSum& sum) { return sum.queue == &queue; });
    return at != sums_.end() ? *at : sums_.emplace_back(QueueSum{&queue});
}

// Something is to change on it that is as durable as the queue.
void Transaction::concern(const engine::Queue& queue) {
    if (queue.durable()) {
        strictest_ = std::max(strictest_, queue.definition().durability);
        laxest_ = std::min(laxest_, queue.definition().durability);
    }
}

Result<void> Transaction::admit_publish(const wire::TransactPublish& frame) {
    if (core_.stopping_) {
        return Error{ErrorCode::stopping, "the daemon is shutting down"};
    }
    engine::Queue* queue = core_.engine_.find(frame.queue);
    if (queue == nullptr || queue->deleting()) {
        const bool valid = wire::valid_queue_name(frame.queue);
        return Error{valid ? ErrorCode::no_such_queue : ErrorCode::bad_name,
                     valid ? "the queue does not exist"
                           : "a queue name has 1 to 200 letters, digits, '.', '_' or '-'"};
    }
    if (queue->definition().publishing_paused) {
        return Error{ErrorCode::queue_paused, "publishing to the queue is paused"};
    }
    const auto publish = sort_out(*queue, frame);
    if (!publish) {
        return publish.error();
    }
    if (auto admitted = admit_batch(*queue, *publish); !admitted) {
        Dedup::take_back(*queue, core_.known_lines_);
        return admitted;
    }
    const TakenBatch& batch = publishing_.back().batch;
    const std::size_t known = batch.dedup.known.size();
    const std::size_t runs = 2 * known + (batch.split.mixed() ? batch.split.lines().size() : 1);
    answer_bytes_ += wire::TransactedPublish::fixed_bytes + runs * wire::Confirm::run_bytes;
    if (runs > UINT16_MAX || answer_bytes_ > session_.frame_body_bytes_max_) {
        return Error{ErrorCode::message_too_big,
                     known > 0 ? "so many messages that are known do not fit into the answer"
                               : "so many changes of priority do not fit into the answer",
                     session_.frame_body_bytes_max_};
    }
    concern(*queue);
    (queue->durable() ? on_disk_ : in_memory_) = true;
    if (queue->durable()) {
        group_bytes_ += batch.parts.size() * (record_header_bytes + messages_fixed_bytes) +
                        publish->batch.size() + delay_record_bytes(batch.delays.size());
    }
    return {};
}

// The frame, without what was published before.
Result<wire::Publish> Transaction::sort_out(engine::Queue& queue,
                                            const wire::TransactPublish& frame) {
    wire::Publish publish;
    publish.count = frame.count;
    publish.batch = frame.batch;
    if (!Dedup::watches(queue)) {
        return publish;
    }
    auto rest = core_.dedup_.sort_out(queue, publish, first_dedup_batch_, core_.known_lines_);
    if (rest && rest->count == 0 && queue.durable() &&
        (core_.backlog_->refusal() || core_.journal_->disk_full())) {
        Dedup::take_back(queue, core_.known_lines_);
        return Error{ErrorCode::disk_full, "the disk is full", 0, retry_after_ms};
    }
    return rest;
}

Result<void> Transaction::admit_batch(engine::Queue& queue, const wire::Publish& publish) {
    if (publish.count == 0 && publish.batch.empty() && !core_.known_lines_.known.empty()) {
        core_.batch_.clear();
    } else {
        QueueSum& sum = sum_of(queue);
        sum.published += publish.count;
        sum.bytes += publish.batch.size();
        const auto dropped = core_.to_drop(queue, {sum.published, sum.bytes, sum.acked});
        if (!dropped) {
            return dropped.error();
        }
        // It may be less than before: there were acks between. What becomes a dead letter stays.
        leaving_ += engine::buries_oldest(queue.definition()) ? 0 : *dropped - sum.dropped;
        sum.dropped = *dropped;
        if (auto total = core_.check_total(publish.count, leaving_); !total) {
            return total;
        }
        if (const auto taken = core_.take_batch(publish, queue, {}); !taken) {
            return taken.error();
        }
    }
    std::swap(core_.batch_.dedup, core_.known_lines_);
    const TakenBatch& batch =
        publishing_.emplace_back(Publishing{&queue, std::exchange(core_.batch_, {})}).batch;
    core_.count_unnumbered(batch);
    return {};
}

Result<ConsumerHandle*> Transaction::consumer(HandleId handle) const {
    const std::size_t index = std::size_t{handle.value()} - 1;
    if (index < session_.handles_.size()) {
        if (auto* found = std::get_if<std::unique_ptr<ConsumerHandle>>(&session_.handles_[index])) {
            return found->get();
        }
    }
    return Error{ErrorCode::no_such_handle,
                 "no such consumer: handle " + std::to_string(handle.value())};
}

Result<void> Transaction::admit_settling(const wire::TransactOperation& operation) {
    Settling settling;
    settling.kind = operation.kind;
    settling.body = operation.body;
    if (operation.kind == wire::TransactKind::nack ||
        operation.kind == wire::TransactKind::reject) {
        const auto frame = wire::Nack::decode(operation.body);
        if (!frame) {
            return malformed("malformed body");
        }
        settling.ranges = frame->ranges;
        if (operation.kind == wire::TransactKind::reject) {
            settling.failure = core_.failure_of(frame->reason);
            settling.failure.rejected = true;
        }
    } else {
        const auto frame = wire::Extend::decode(operation.body);
        const bool extends = operation.kind == wire::TransactKind::extend;
        if (!frame || (extends && std::chrono::milliseconds(frame->lease_ms) > lease_max)) {
            return malformed(frame ? "bad lease" : "malformed body");
        }
        settling.ranges = frame->ranges;
    }
    if (!settling.ranges.sane()) {
        return malformed("bad range");
    }
    const auto from = consumer(operation.handle);
    if (!from) {
        return from.error();
    }
    settling.consumer = *from;
    if (auto fine = admit_ranges(settling); !fine) {
        return fine;
    }
    engine::Queue* queue = settling.consumer->queue;
    const bool ends = settling.kind == wire::TransactKind::ack;
    // What it notes books no room, and the room of acks is not for it.
    if (settling.kind == wire::TransactKind::reject && queue != nullptr && queue->durable() &&
        (core_.backlog_->refusal() || core_.journal_->disk_full())) {
        return Error{ErrorCode::disk_full, "the disk is full: nothing is rejected in transactions",
                     0, retry_after_ms};
    }
    if (queue != nullptr && (ends || settling.kind == wire::TransactKind::reject)) {
        concern(*queue);
        group_bytes_ += ends ? remove_fixed_bytes + settling.ranges.size() * sizeof(MessageRange)
                             : settling.ranges.size() * note_failure_record_bytes(settling.failure);
    }
    settling_.push_back(std::move(settling));
    return {};
}

// Each range is wholly leased by the consumer, and by no operation before given up.
Result<void> Transaction::admit_ranges(const Settling& settling) {
    const ConsumerHandle& from = *settling.consumer;
    if (from.queue != nullptr && from.queue->deleting()) {
        return Error{ErrorCode::queue_deleted, "the queue is being deleted"};
    }
    for (std::size_t i = 0; i < settling.ranges.size(); ++i) {
        const MessageRange range = settling.ranges[i];
        const auto behind = given_up_.lower_bound({from.handle, range.end()});
        const bool again = behind != given_up_.begin() &&
                           std::prev(behind)->first.first == from.handle &&
                           std::prev(behind)->second > range.first;
        if (from.queue == nullptr || again || from.leased.count_in(range) != range.count) {
            return Error{ErrorCode::not_leased,
                         text_of(range) + (again ? " is given up before in the same transaction"
                                                 : " is not leased by this consumer")};
        }
        if (settling.kind != wire::TransactKind::extend) {
            given_up_.emplace(std::pair(from.handle, range.first), range.end());
        }
        if (settling.kind == wire::TransactKind::ack) {
            sum_of(*from.queue).acked += range.count;
            leaving_ += range.count;
        }
    }
    return {};
}

// --- taking it

void Transaction::take(CorrelationId correlation) {
    for (const QueueSum& sum : sums_) {
        if (sum.dropped > 0) {
            core_.make_room(*sum.queue, sum.dropped);
        }
    }
    number_messages();
    for (Publishing& publishing : publishing_) {
        note_published(publishing);
    }
    decide_ends();
    if (strictest_ == Durability::memory) {
        CommitGroup at_once;
        for (Settling& settling : settling_) {
            append_end(at_once, settling);
        }
        for (Publishing& publishing : publishing_) {
            append_publish(at_once, publishing);
        }
        for (PendingCommand& command : at_once.commands) {
            core_.apply(at_once, command);
        }
        await(at_once, correlation);
    } else {
        // Asked for once, with the sum: all of it lies in one group.
        CommitGroup& group = core_.open_group(group_bytes_);
        group.whole = group.whole || laxest_ != strictest_;
        for (Settling& settling : settling_) {
            append_end(group, settling);
        }
        for (Publishing& publishing : publishing_) {
            append_publish(group, publishing);
        }
        await(group, correlation);
    }
    settle_at_once();
}

// Messages for durable queues get their numbers; those for memory queues when they are there.
void Transaction::number_messages() {
    level_ =
        asked_ == Durability::unspecified || in_memory_ ? std::max(asked_, strictest_) : asked_;
    for (Publishing& publishing : publishing_) {
        engine::Queue& queue = *publishing.queue;
        for (const BatchPart& part : publishing.batch.parts) {
            Block& block = *part.block;
            block.queue = queue.id();
            block.published = core_.now_.wall;
            block.sender = session_.identity();
            if (queue.durable()) {
                const auto added = core_.engine_.admit_add(queue, block.count, part.priority);
                block.first = added.range.first;
                level_ = std::max(level_, core_.level_of(queue, added.range, level_));
            }
        }
        if (queue.durable()) {
            publishing.batch.place(queue.id());
            core_.history_.published(queue, publishing.batch, &session_);
            if (!publishing.batch.dedup.known.empty()) {  // one may have to be told before
                level_ = std::max(level_, queue.definition().durability);
            }
        }
    }
}

// What the answer will tell of it.
void Transaction::note_published(Publishing& publishing) {
    publishing.published.queue = publishing.queue->id();
    for (const BatchPart& part : publishing.batch.parts) {
        publishing.published.parts.push_back({BlockReference(*part.block), part.priority});
    }
    const auto lines = publishing.batch.split.lines();
    publishing.published.lines.assign(lines.begin(), lines.end());
    publishing.published.dedup = publishing.batch.dedup;
}

void Transaction::decide_ends() {
    for (Settling& settling : settling_) {
        if (settling.kind == wire::TransactKind::ack ||
            settling.kind == wire::TransactKind::reject) {
            for (std::size_t i = 0; i < settling.ranges.size(); ++i) {
                const auto result = core_.engine_.admit_ack(*settling.consumer, settling.ranges[i],
                                                            settling.decided);
                MQD_ASSERT(result.not_leased == 0, settling.ranges[i].first);
            }
            const bool acks = settling.kind == wire::TransactKind::ack;
            const auto& reason = settling.failure.reason;
            core_.history_.note(*settling.consumer, settling.decided,
                                acks ? wire::HistoryKind::acked : wire::HistoryKind::rejected,
                                reason ? std::string_view(*reason) : std::string_view());
        }
    }
}

void Transaction::append_end(CommitGroup& group, Settling& settling) {
    if (settling.decided.empty()) {
        return;  // it goes back, or stays
    }
    engine::Queue& queue = *settling.consumer->queue;
    const Durability level = queue.durable() ? queue.definition().durability : strictest_;
    if (settling.kind == wire::TransactKind::reject) {
        for (const MessageRange& range : settling.decided) {
            if (queue.durable()) {
                append_note_failure(group.buffer, {queue.id(), range, settling.failure});
            }
        }
        group.commands.push_back({PendingCommand::Kind::reject, level, &queue, nullptr,
                                  static_cast<std::uint32_t>(group.rejects.size()), 0});
        group.rejects.push_back({std::move(settling.decided), std::move(settling.failure)});
        return;
    }
    if (queue.durable()) {
        append_remove(group.buffer, queue.id(), settling.decided);
    }
    group.commands.push_back({PendingCommand::Kind::remove, level, &queue, nullptr,
                              static_cast<std::uint32_t>(group.ranges.size()),
                              static_cast<std::uint32_t>(settling.decided.size())});
    group.ranges.insert(group.ranges.end(), settling.decided.begin(), settling.decided.end());
}

void Transaction::append_publish(CommitGroup& group, Publishing& publishing) {
    engine::Queue& queue = *publishing.queue;
    core_.lifetimes_.used(queue);
    if (publishing.batch.parts.empty()) {
        core_.dedup_.taken(queue, publishing.batch.dedup);
        publishing.batch.dedup.clear();
        return;
    }
    core_.uncount_unnumbered(publishing.batch);
    core_.batch_ = std::move(publishing.batch);
    publishing.batch = {};
    if (!queue.durable()) {
        core_.append_later(queue, strictest_, group);
        return;
    }
    const bool left_out =
        storage::planted(storage::Fault::half_a_batch) && &publishing != &publishing_.front();
    for (const BatchPart& part : core_.batch_.parts) {
        const Block& block = *part.block;
        if (!left_out) {
            append_messages(group.buffer, RecordType::add_messages,
                            {queue.id(),
                             {block.first, block.count},
                             block.published,
                             block.sender,
                             {block.data(), block.bytes}});
        }
        core_.append_add_command(queue, part, group);
        queue.admitted(block.bytes);
    }
    if (!left_out) {
        core_.append_delays(queue, group);
    }
    if (core_.batch_.dedup.lines > 0) {
        core_.dedup_.number_lines(queue, core_.batch_);
        core_.dedup_.taken(queue, core_.batch_.dedup);
    }
    core_.batch_.clear();
}

// The blocks are the engine's from now on, or wait in the group for it.
void Transaction::await(const CommitGroup& group, CorrelationId correlation) {
    Waiter waiter;
    waiter.kind = Waiter::Kind::transacted;
    waiter.commit = group.id;
    waiter.level = level_;
    waiter.correlation = correlation;
    waiter.slowed = on_disk_;
    for (Publishing& publishing : publishing_) {
        waiter.published.push_back(std::move(publishing.published));
    }
    if (strictest_ != Durability::memory) {
        CommitGroup& filled = core_.pending_.back();
        MQD_ASSERT(&filled == &group);
        const Durability most = std::max(level_, strictest_);
        core_.raise_need(filled, most == Durability::disk ? Need::durable : Need::written);
        if (level_ == Durability::written || strictest_ == Durability::written) {
            core_.raise_need(filled, Need::written);
        }
        core_.last_durable_publish_ = on_disk_ ? core_.now_.journal : core_.last_durable_publish_;
    }
    core_.wait(session_, std::move(waiter));
}

// What promises nothing beyond this process.
void Transaction::settle_at_once() {
    for (const Settling& settling : settling_) {
        if (settling.kind == wire::TransactKind::nack) {
            core_.nack(*settling.consumer, *wire::Nack::decode(settling.body), false);
        } else if (settling.kind == wire::TransactKind::extend) {
            session_.extend(*settling.consumer, *wire::Extend::decode(settling.body));
        }
    }
}

// --- the rest of it, when the group is there

// batch_ comes into a memory queue once the group is so durable: its messages get their numbers
// then, so that nobody's publish has to wait for them.
void Core::append_later(engine::Queue& queue, Durability level, CommitGroup& group) {
    for (const BatchPart& part : batch_.parts) {
        queue.admitted(part.block->bytes);
    }
    queue.expect(batch_.count());
    count_unnumbered(batch_);
    group.commands.push_back({PendingCommand::Kind::add_batch, level, &queue, nullptr,
                              static_cast<std::uint32_t>(group.batches.size()), 0});
    group.batches.push_back(std::exchange(batch_, {}));
}

void Core::add_batch(engine::Queue& queue, TakenBatch& batch) {
    queue.came(batch.count());
    for (const BatchPart& part : batch.parts) {
        Block& block = *part.block;
        queue.arrived(block.bytes);
        block.first = engine_.admit_add(queue, block.count, part.priority).range.first;
    }
    batch.place(queue.id());
    history_.came(queue, batch);
    apply_batch(queue, batch);
    if (batch.dedup.lines > 0) {
        dedup_.number_lines(queue, batch);
        dedup_.taken(queue, batch.dedup);
    }
    uncount_unnumbered(batch);
    batch.parts.clear();  // the engine's from now on
}

void Core::apply_reject(engine::Queue& queue, const PendingReject& reject) {
    for (const MessageRange& range : reject.ranges) {
        engine_.apply(engine::NoteFailure{queue.id(), range, reject.failure});
        engine_.give_up_ending(queue, range);
    }
}

namespace {

// Of what was new in it.
std::vector<wire::ConfirmedRun> numbers_of(const PublishedBatch& batch) {
    if (batch.parts.empty()) {
        return {};
    }
    if (batch.parts.size() == 1) {
        const Block& only = *batch.parts.front().block.operator->();
        return {{only.first, only.count}};
    }
    std::array<MessageNumber, priority_max + 1> next;
    for (const PublishedBatch::Part& part : batch.parts) {
        next[part.priority] = part.block->first;
    }
    return numbers_of_lines(next, batch.lines);
}

}  // namespace

void Core::answer_transaction(Session& session, const Waiter& waiter) {
    wire::Transacted reply;
    reply.durability = waiter.commit.value() == 0                    ? Durability::memory
                       : reached(waiter.commit, Durability::disk)    ? Durability::disk
                       : reached(waiter.commit, Durability::written) ? Durability::written
                                                                     : Durability::memory;
    std::vector<std::vector<MessageNumber>> numbers(waiter.published.size());
    const auto number_of = [&](engine::ExpectedNumber expected) {
        for (std::size_t i = 0; i < numbers.size(); ++i) {
            if (waiter.published[i].dedup.batch == expected.batch && !numbers[i].empty()) {
                return numbers[i][expected.line];
            }
        }
        return MessageNumber(0);
    };
    for (std::size_t i = 0; i < waiter.published.size(); ++i) {
        const PublishedBatch& batch = waiter.published[i];
        std::vector<wire::ConfirmedRun> runs = numbers_of(batch);
        if (batch.dedup.lines > 0) {
            numbers[i] = numbers_of_all(batch.dedup, runs, number_of);
            runs = runs_of(numbers[i]);
        }
        reply.published.push_back({batch.queue, std::move(runs)});
    }
    session.send(reply, waiter.correlation);
}

void Session::on_transact(CorrelationId correlation, const wire::Transact& frame) {
    Transaction transaction(core_, *this);
    if (const auto admitted = transaction.admit(frame); !admitted) {
        return closes_connection(admitted.error().code) ? close(admitted.error())
                                                        : send_error(admitted.error(), correlation);
    }
    transaction.take(correlation);
}

}  // namespace mqd::core
