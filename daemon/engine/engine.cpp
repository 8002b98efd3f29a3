#include "daemon/engine/engine.hpp"

#include <algorithm>
#include <utility>

namespace mqd::engine {

namespace {

// Of these, a message can be ended by somebody who does not hold it.
constexpr std::array waiting_states = {LiveState::ready, LiveState::held, LiveState::delayed,
                                       LiveState::aside, LiveState::dying};
constexpr std::array lost_states = {LiveState::aside, LiveState::dying};

}  // namespace

Engine::Engine(std::uint64_t hash_salt) : hash_salt_(hash_salt) {}
Engine::~Engine() = default;

Queue* Engine::find(std::string_view name) const {
    const auto at = by_name_.find(name);
    return at == by_name_.end() ? nullptr : at->second;
}

Queue* Engine::find(QueueId id) const {
    const auto at = by_id_.find(id);
    return at == by_id_.end() ? nullptr : at->second.get();
}

Result<CreateQueue> Engine::admit_create(QueueDefinition definition) {
    if (by_name_.contains(definition.name) || reserved_names_.contains(definition.name)) {
        return Error{ErrorCode::queue_exists, "queue \"" + definition.name + "\" exists"};
    }
    reserved_names_.insert(definition.name);
    const QueueId id = next_queue_id_;
    next_queue_id_ = id.plus(1);
    return CreateQueue{id, std::move(definition), MessageNumber(1)};
}

CreateQueue Engine::admit_recreate(const Queue& old) {
    MQD_ASSERT(old.deleting_);
    const QueueId id = next_queue_id_;
    next_queue_id_ = id.plus(1);
    return {id, old.definition_, MessageNumber(1)};
}

DeleteQueue Engine::admit_delete(Queue& queue) {
    MQD_ASSERT(!queue.deleting_);
    queue.deleting_ = true;
    return {queue.id_};
}

void Engine::apply(const CreateQueue& command) {
    MQD_ASSERT(!by_name_.contains(command.definition.name));
    MQD_ASSERT(!by_id_.contains(command.id), command.id);
    reserved_names_.erase(command.definition.name);
    auto queue = std::make_unique<Queue>(command.id, command.definition, command.next, &memory_);
    by_name_.emplace(queue->name(), queue.get());
    by_id_.emplace(command.id, std::move(queue));
    next_queue_id_ = std::max(next_queue_id_, command.id.plus(1));
}

void Engine::apply(const UpdateQueue& command) {
    Queue* queue = find(command.id);
    MQD_ASSERT(queue != nullptr, command.id);
    MQD_ASSERT(queue->name() == command.definition.name);
    MQD_ASSERT(queue->definition().durability == command.definition.durability, command.id);
    MQD_ASSERT(queue->definition().priorities == command.definition.priorities, command.id);
    const bool other_ttl = queue->definition_.ttl != command.definition.ttl;
    queue->definition_ = command.definition;
    widen_groups(*queue);
    list_due(*queue);  // groups rest for as long as they do now
    if (other_ttl) {
        ttl_changed(*queue);
    }
    mark_dirty(*queue);  // it may be paused no more
}

void Engine::apply(const DeleteQueue& command) {
    Queue* queue = find(command.id);
    MQD_ASSERT(queue != nullptr, command.id);
    while (!queue->consumers_.empty()) {
        detach(*queue->consumers_.back(), ConsumerEnd::gave_back, {});
    }
    messages_ -= messages_of(*queue);
    release_all(*queue);
    grouped_messages_ -= queue->groups_ ? queue->groups_->size() : 0;
    queue->groups_.reset();
    count_kept_groups(*queue);
    queue->delays_.reset();
    note_delays(*queue);
    queue->purges_.reset();
    note_purges(*queue);
    list_expiry(*queue, Time::max());
    std::erase_if(returned_, [&](const ReturnedMessages& some) { return some.id == command.id; });
    producer_marks_ -= queue->marks_ ? queue->marks_->size() : 0;
    std::erase(dirty_, queue);
    std::erase(starved_, queue);
    std::erase(with_dying_, queue);
    by_name_.erase(queue->name());
    by_id_.erase(command.id);
}

void Engine::restore_next_queue_id(QueueId id) {
    next_queue_id_ = std::max(next_queue_id_, id);
}

AddMessages Engine::admit_add(Queue& queue, std::uint32_t count, unsigned priority) {
    MQD_ASSERT(count > 0);
    messages_ += count;
    return {queue.id_, queue.numbers_.admit(priority, count)};
}

void Engine::apply(const AddMessages& command) {
    Queue* queue = find(command.id);
    MQD_ASSERT(queue != nullptr, command.id);
    apply(*queue, command);
}

void Engine::apply(Queue& queue, const AddMessages& command, std::span<const GroupMember> members) {
    if (queue.numbers_.admitted(command.range.first) < command.range.end()) {  // replay
        messages_ += command.range.count;
    }
    queue.numbers_.apply(command.range);
    if (members.empty()) {
        make_ready(queue, command.range, 0);
    } else if (!queue.groups_restored_) {
        enter(queue, command.range, members);
    } else {
        restore_groups(queue, members);
        make_ready(queue, command.range, 0);
    }
}

void Engine::announce_resident(Queue& queue, Extent& extent) {
    MQD_ASSERT(extent.count > 0 && extent.live > 0 && extent.live <= extent.count, extent.live);
    const bool added =
        queue.extents_.emplace(MessageNumber(extent.end().value() - 1), &extent).second;
    MQD_ASSERT(added, extent.first);
    extent.announced = true;
    queue.resident_bytes_ += extent.offset(extent.end());
    if (extent.expires != Time::max() || queue.definition_.ttl.count() != 0) {
        note_arrival(queue, extent);
    }
    mark_dirty(queue);
}

void Engine::forget_resident(Queue& queue, Extent& extent) {
    MQD_ASSERT(extent.announced && extent.live > 0, extent.first);
    queue.near_extent_ = queue.extents_.end();
    const auto erased = queue.extents_.erase(MessageNumber(extent.end().value() - 1));
    MQD_ASSERT(erased == 1, extent.first);
    unlist_expiry(queue, extent);
    extent.announced = false;
    queue.resident_bytes_ -= extent.offset(extent.end());
}

SettleResult Engine::admit_ack(Consumer& consumer, std::span<const MessageRange> ranges,
                               std::vector<MessageRange>& decided) {
    MQD_ASSERT(consumer.queue != nullptr);
    return end_leased({consumer, decided}, ranges);
}

SettleResult Engine::ack(Consumer& consumer, std::span<const MessageRange> ranges,
                         std::vector<MessageRange>& decided) {
    MQD_ASSERT(consumer.queue != nullptr && !consumer.queue->durable());
    return end_leased({consumer, decided, true}, ranges);
}

SettleResult Engine::end_leased(Acking acking, std::span<const MessageRange> ranges) {
    Consumer& consumer = acking.consumer;
    Queue& queue = *consumer.queue;
    const bool grouped = begin_leaving(queue);
    ended_.clear();
    for (std::size_t i = 0; i < ranges.size(); ++i) {
        if (grouped) {
            i += end_members(acking, ranges.subspan(i));
            if (i == ranges.size()) {
                break;
            }
        }
        acking.settled +=
            consumer.leased.take(ranges[i], [&](MessageRange piece, const Lease& lease) {
                end_lease(queue, piece);
                queue.in(LiveState::ending).insert(piece, lease.attempt);
                if (grouped) {
                    leave_group(queue, piece);
                }
                append_merged(acking.decided, piece);
                if (acking.applied) {
                    ended_.push_back(piece);
                }
            });
    }
    messages_ -= acking.settled;
    leases_ended(consumer, acking.settled);
    if (grouped) {
        end_leaving(queue);
        count_kept_groups(queue);
    }
    if (!ended_.empty()) {
        apply(queue, RemoveMessages{queue.id_, ended_});
    }
    std::uint64_t asked = 0;
    for (const MessageRange& range : ranges) {
        asked += range.count;
    }
    return {acking.settled, asked - acking.settled};
}

void Engine::append_merged(std::vector<MessageRange>& ranges, MessageRange range) {
    if (!ranges.empty() && ranges.back().end() == range.first) {
        ranges.back().count += range.count;
    } else {
        ranges.push_back(range);
    }
}

void Engine::admit_end(Queue& queue, MessageRange range, std::vector<MessageRange>& decided) {
    queue.in(LiveState::purged).take(range, [&](MessageRange piece, std::uint32_t attempts) {
        queue.in(LiveState::ending).insert(piece, attempts);
        note_purge_end(queue, piece);
        decided.push_back(piece);
    });
    end_in(queue, waiting_states, range, decided);
}

void Engine::admit_end_lost(Queue& queue, MessageRange range, std::vector<MessageRange>& decided) {
    end_in(queue, lost_states, range, decided);
}

void Engine::end_in(Queue& queue, std::span<const LiveState> states, MessageRange range,
                    std::vector<MessageRange>& decided) {
    const std::size_t before = decided.size();
    for (const LiveState state : states) {
        messages_ -= queue.in(state).take(range, [&](MessageRange piece, std::uint32_t attempts) {
            queue.in(LiveState::ending).insert(piece, attempts);
            decided.push_back(piece);
        });
    }
    queue.ends_delayed_ = queue.ends_delayed_ || queue.delays_;
    forget_overflow(queue, range);
    leave_groups(queue, std::span(decided).subspan(before));
}

void Engine::admit_purge(Queue& queue, std::vector<MessageRange>& decided) {
    const std::size_t before = decided.size();
    messages_ += queue.purged();  // they do not count
    const auto end = [&](LiveState state) {
        queue.in(state).for_each([&](MessageRange range, std::uint32_t attempts) {
            queue.in(LiveState::ending).insert(range, attempts);
            decided.push_back(range);
        });
        messages_ -= queue.in(state).count();
        queue.in(state).clear();
    };
    end(LiveState::purged);
    for (std::size_t i = before; i < decided.size(); ++i) {
        note_purge_end(queue, decided[i]);
    }
    for (const LiveState state : waiting_states) {
        end(state);
    }
    queue.ends_delayed_ = queue.ends_delayed_ || queue.delays_;
    queue.overflowed_.clear();
    leave_groups(queue, std::span(decided).subspan(before));
}

void Engine::admit_move(Queue& queue, MessageRange range) {
    const auto end = [&](MessageRange piece, std::uint32_t attempts) {
        queue.in(LiveState::ending).insert(piece, attempts);
        leave_groups(queue, {&piece, 1});
    };
    messages_ -= queue.in(LiveState::dying).take(range, end);
    forget_overflow(queue, range);
}

void Engine::give_up_ending(Queue& queue, MessageRange range) {
    const auto die = [&](MessageRange piece, std::uint32_t attempts) {
        make_dying(queue, piece, attempts);
    };
    messages_ += queue.in(LiveState::ending).take(range, die);
    forget_delay(queue, range);
}

void Engine::set_aside(Queue& queue, MessageRange range) {
    std::vector<MessageRange> pieces;
    for (const LiveState state : {LiveState::ready, LiveState::dying}) {
        queue.in(state).take(range, [&](MessageRange piece, std::uint32_t attempts) {
            queue.in(LiveState::aside).insert(piece, attempts);
            pieces.push_back(piece);
        });
    }
    forget_overflow(queue, range);
    leave_groups(queue, pieces);
    mark_dirty(queue);
}

void Engine::apply(const RemoveMessages& command) {
    Queue* queue = find(command.id);
    MQD_ASSERT(queue != nullptr, command.id);
    apply(*queue, command);
}

void Engine::apply(Queue& queue, const RemoveMessages& command) {
    Extent* near = nullptr;
    for (std::size_t i = 0; i < command.ranges.size(); ++i) {
        if (queue.groups_) {
            i += remove_members(queue, command.ranges.subspan(i), near);
            if (i == command.ranges.size()) {
                break;
            }
        }
        const MessageRange& range = command.ranges[i];
        const auto forget = [](MessageRange, std::uint32_t) {};
        const std::uint64_t admitted = queue.in(LiveState::ending).take(range, forget);
        std::uint64_t removed = admitted;
        if (removed != range.count) {  // replay, where nothing was admitted
            removed += queue.in(LiveState::ready).take(range, forget);
            removed += queue.in(LiveState::delayed).take(range, forget);
            messages_ -= removed - admitted;
            removed += queue.in(LiveState::purged).take(range, forget);
        }
        if (queue.ends_delayed_ || removed != admitted) {
            forget_delay(queue, range);
        }
        if (queue.ends_purged_ || removed != admitted) {
            forget_purge(queue, range);
        }
        MQD_ASSERT(removed == range.count, range.first, range.count, removed);
        forget_groups(queue, range);
        forget_removed(queue, range, near);
    }
    queue.ends_delayed_ = queue.ends_delayed_ && !queue.in(LiveState::ending).empty();
    queue.ends_purged_ = queue.ends_purged_ && !queue.in(LiveState::ending).empty();
}

void Engine::forget_removed(Queue& queue, MessageRange range, Extent*& near) {
    if (!queue.failures_.empty()) {
        queue.failures_.take(range, [](MessageRange, const Failure&) {});
    }
    release(queue, range, near);
}

void Engine::apply(const CountDelivery& command) {
    Queue* queue = find(command.id);
    MQD_ASSERT(queue != nullptr, command.id);
    std::vector<MessageRange> pieces;
    for (const LiveState state : {LiveState::ready, LiveState::delayed}) {
        queue->in(state).take(command.range,
                              [&](MessageRange piece, std::uint32_t) { pieces.push_back(piece); });
    }
    messages_ +=
        queue->in(LiveState::purged).take(command.range, [&](MessageRange piece, std::uint32_t) {
            pieces.push_back(piece);
        });
    forget_delay(*queue, command.range);
    forget_purge(*queue, command.range);
    for (const MessageRange& piece : pieces) {
        queue->in(LiveState::ready).insert(piece, command.attempts);
    }
}

void Engine::apply(const NoteFailure& command) {
    Queue* queue = find(command.id);
    MQD_ASSERT(queue != nullptr, command.id);
    std::vector<RangeMap<Failure>::Run> pieces;
    LiveRun run;
    for (MessageNumber at = command.range.first; queue->find_live(at, run);) {
        at = std::min(run.range.end(), command.range.end());
        if (run.range.first >= command.range.end()) {
            break;
        }
        // What is not noted yet is as the command says; the rest is merged, in whatever order.
        MessageNumber from = run.range.first;
        const auto add = [&](MessageRange range, const Failure& failure) {
            if (range.count > 0) {
                pieces.push_back({range, failure});
            }
        };
        queue->failures_.take({from, at - from}, [&](MessageRange range, const Failure& before) {
            add({from, range.first - from}, command.failure);
            const bool newer = before.last <= command.failure.last;
            const Failure& last = newer ? command.failure : before;
            const Failure& other = newer ? before : command.failure;
            Failure merged = last;
            merged.reason = last.reason ? last.reason : other.reason;
            merged.first = std::min(before.first, command.failure.first);
            merged.rejected = before.rejected || command.failure.rejected;
            add(range, merged);
            from = range.end();
        });
        add({from, at - from}, command.failure);
    }
    for (const auto& piece : pieces) {
        queue->failures_.insert(piece.range, piece.value);
    }
}

void Engine::judge_attempts() {
    for (const auto& [name, queue] : by_name_) {
        const std::uint32_t most = queue->definition_.max_attempts;
        std::vector<MessageRange> over;
        const auto judge = [&](MessageRange range, std::uint32_t attempts) {
            if (most != 0 && attempts >= most) {
                over.push_back(range);
            }
        };
        queue->in(LiveState::ready).for_each(judge);
        queue->in(LiveState::delayed).for_each(judge);
        queue->failures_.for_each([&](MessageRange range, const Failure& failure) {
            if (failure.rejected) {
                over.push_back(range);
            }
        });
        for (const MessageRange& range : over) {
            for (const LiveState state : {LiveState::ready, LiveState::delayed}) {
                queue->in(state).take(range,
                                      [&, to = queue](MessageRange piece, std::uint32_t attempts) {
                                          make_dying(*to, piece, attempts);
                                      });
            }
            forget_delay(*queue, range);
        }
    }
}

void Engine::revive(Queue& queue) {
    std::vector<LiveRun> runs;
    queue.in(LiveState::dying).for_each([&](MessageRange range, std::uint32_t attempts) {
        runs.push_back({range, attempts});
    });
    queue.in(LiveState::dying).clear();
    queue.overflowed_.clear();
    for (const LiveRun& run : runs) {
        make_ready(queue, run.range, run.attempts);
        note_returned(queue, run.range);
    }
}

void Engine::apply(const RestoreMessages& command) {
    Queue* queue = find(command.id);
    MQD_ASSERT(queue != nullptr, command.id);
    make_ready(*queue, command.range, command.attempts);
    messages_ += command.range.count;
}

void Engine::apply(const SkipNumbers& command) {
    Queue* queue = find(command.id);
    MQD_ASSERT(queue != nullptr, command.id);
    queue->numbers_.skip(command.next);
}

void Engine::mark_dirty(Queue& queue) {
    if (!queue.dirty_) {
        queue.dirty_ = true;
        dirty_.push_back(&queue);
    }
}

void Engine::end_lease(Queue& queue, MessageRange range) {
    const std::uint64_t ended =
        queue.in(LiveState::leased).take(range, [](MessageRange, std::uint32_t) {});
    MQD_ASSERT(ended == range.count, range.first, range.count, ended);
}

std::uint64_t Engine::messages_of(const Queue& queue) {
    return queue.live() - queue.ending() - queue.purged() + queue.numbers().on_their_way();
}

void Engine::make_ready(Queue& queue, MessageRange range, std::uint32_t attempts) {
    if (queue.groups_ && !queue.groups_restored_) {
        place(queue, range, attempts);
    } else {
        queue.in(LiveState::ready).insert(range, attempts);
    }
    mark_dirty(queue);
}

void Engine::make_dying(Queue& queue, MessageRange range, std::uint32_t attempts) {
    queue.in(LiveState::dying).insert(range, attempts);
    list_dying(queue);
}

// What was delivered and not acked: it may be delivered again, at once or later, or not. Times are
// rounded up to whole milliseconds, so that what failed together stays one run.
void Engine::put_back(Queue& queue, MessageRange range, std::uint32_t attempts, Time now,
                      std::optional<std::chrono::milliseconds> delay) {
    const std::uint32_t most = queue.definition_.max_attempts;
    const auto& schedule = queue.definition_.retry;
    note_returned(queue, range);
    if (most != 0 && attempts >= most) {
        return make_dying(queue, range, attempts);
    }
    if (!delay && !schedule.empty()) {
        delay = schedule[std::min<std::size_t>(std::max(attempts, 1u), schedule.size()) - 1];
    }
    if (!delay || delay->count() == 0) {
        return make_ready(queue, range, attempts);
    }
    const Due due = Due::on(std::chrono::ceil<std::chrono::milliseconds>(now + *delay));
    make_delayed(queue, range, attempts, due);
    delayed_.push_back({queue.id_, range, due, attempts});
}

void Engine::list_dying(Queue& queue) {
    if (!queue.dying_listed_) {
        queue.dying_listed_ = true;
        with_dying_.push_back(&queue);
    }
}

// Who was first is last next time, so that nobody's many keep the others.
void Engine::forget_dying() {
    if (!with_dying_.empty()) {
        std::rotate(with_dying_.begin(), with_dying_.begin() + 1, with_dying_.end());
    }
    std::erase_if(with_dying_, [](Queue* queue) {
        queue->dying_listed_ = queue->dying() > 0;
        return !queue->dying_listed_;
    });
}

void Engine::release_all(Queue& queue) {
    for (const auto& [last, extent] : queue.extents_) {
        unlist_expiry(queue, *extent);
        extent->announced = false;
        extent->live = 0;
        released_.push_back(extent);
    }
    queue.extents_.clear();
    queue.near_extent_ = queue.extents_.end();
    queue.resident_bytes_ = 0;
}

void Engine::release_all() {
    for (const auto& [name, queue] : by_name_) {
        release_all(*queue);
    }
}

// `near`: the extent of the range before, which often is the same one.
void Engine::release(Queue& queue, MessageRange range, Extent*& near) {
    if (near != nullptr && range.first >= near->first && range.end() <= near->end() &&
        range.count < near->live) {
        near->live -= static_cast<std::uint32_t>(range.count);
        return;
    }
    near = nullptr;
    auto at = queue.extent_place(range.first);
    while (at != queue.extents_.end() && at->second->first < range.end()) {
        Extent& extent = *at->second;
        const MessageNumber from = std::max(extent.first, range.first);
        const MessageNumber to = std::min(extent.end(), range.end());
        const auto gone = static_cast<std::uint32_t>(to - from);
        MQD_ASSERT(gone <= extent.live, gone, extent.live);
        extent.live -= gone;
        if (extent.live > 0) {
            near = &extent;
            ++at;
            continue;
        }
        unlist_expiry(queue, extent);
        extent.announced = false;
        queue.resident_bytes_ -= extent.offset(extent.end());
        released_.push_back(&extent);
        at = queue.extents_.erase(at);
        queue.near_extent_ = at;
    }
}

}  // namespace mqd::engine
