#include "daemon/core/waiting_publishes.hpp"

#include <algorithm>
#include <utility>

#include "daemon/core/core.hpp"
#include "daemon/core/retry_hint.hpp"

namespace mqd::core {

void WaitingPublishes::add(Producer& producer, PendingLines& lines, Durability asked,
                           Identity sender) {
    MQD_ASSERT(!producer.waits_enough(), producer.waiting_frames);
    const QueueId id = producer.queue->id();
    Waiting& waiting = queues_[id].emplace_back();
    waiting.producer = &producer;
    waiting.lines = &lines;
    waiting.bytes = lines.bytes;
    waiting.asked = asked;
    waiting.sender = sender;
    waiting.deadline = core_.now_.journal + producer.wait;
    waiting.place = ++last_place_;
    waiting.batch = std::exchange(core_.batch_, {});
    core_.count_unnumbered(waiting.batch);
    deadlines_.insert({waiting.deadline, id, waiting.place});
    lines.commit = not_yet_taken;
    lines.level = Durability::disk;
    ++producer.waiting_frames;
    producer.waiting_lines += lines.count;
}

void WaitingPublishes::turn() {
    if (queues_.empty()) {
        return;
    }
    for (auto at = queues_.begin(); at != queues_.end();) {
        take_some(at->second);
        at = at->second.empty() ? queues_.erase(at) : std::next(at);
    }
    expire();
}

bool WaitingPublishes::wants_turn() const {
    return std::any_of(queues_.begin(), queues_.end(), [&](const auto& one) {
        const Waiting& first = one.second.front();
        const engine::Queue& queue = *first.producer->queue;
        return !core_.check_open(*first.producer) || queue.definition().on_full != OnFull::wait ||
               core_.to_drop(queue, {first.lines->count, first.bytes}).has_value();
    });
}

// Strictly in order: whoever is larger than the room there is waits until there is enough, and is
// not passed by for ever.
void WaitingPublishes::take_some(Line& line) {
    while (!line.empty()) {
        Waiting& first = line.front();
        engine::Queue& queue = *first.producer->queue;
        if (const auto open = core_.check_open(*first.producer); !open) {
            refuse(line, *first.producer, open.error());
            continue;
        }
        const auto room = core_.to_drop(queue, {first.lines->count, first.bytes});
        if (room) {
            take(first, *room);
            forget(line, line.begin());
        } else if (queue.definition().on_full != OnFull::wait) {  // it was changed meanwhile
            refuse(line, *first.producer, room.error());
        } else {
            return;
        }
    }
}

void WaitingPublishes::take(Waiting& waiting, std::uint64_t to_drop) {
    if (to_drop > 0) {
        core_.make_room(*waiting.producer->queue, to_drop);
    }
    core_.uncount_unnumbered(waiting.batch);
    core_.batch_ = std::exchange(waiting.batch, {});
    core_.enter(*waiting.producer, *waiting.lines, waiting.asked, waiting.sender);
}

void WaitingPublishes::expire() {
    while (!deadlines_.empty() && std::get<0>(*deadlines_.begin()) <= core_.now_.journal) {
        const auto [deadline, id, place] = *deadlines_.begin();
        Line& line = queues_.at(id);
        auto over = line.begin();
        while (over->place != place) {
            ++over;
        }
        refuse(line, *over->producer, waited_in_vain(*over));
        if (line.empty()) {
            queues_.erase(id);
        }
    }
}

Error WaitingPublishes::waited_in_vain(const Waiting& waiting) const {
    const engine::Queue& queue = *waiting.producer->queue;
    const auto room = core_.to_drop(queue, {waiting.lines->count, waiting.bytes});
    Error error = room ? Error{ErrorCode::queue_full, "queue \"" + queue.name() + "\" is full",
                               queue.definition().max_messages, retry_after_ms}
                       : room.error();
    error.text += "; waited for " + std::to_string(waiting.producer->wait.count()) + " ms";
    return error;
}

// With all that waits behind it on the same handle: what was taken has to be a prefix.
void WaitingPublishes::refuse(Line& line, Producer& producer, Error error) {
    producer.refusing = true;
    for (auto at = line.begin(); at != line.end();) {
        if (at->producer != &producer) {
            ++at;
            continue;
        }
        core_.uncount_unnumbered(at->batch);
        for (const BatchPart& part : at->batch.parts) {
            core_.unbook(*part.block);
            part.block->drop_reference();
        }
        at->lines->refusal = std::make_unique<Error>(std::exchange(error, behind_a_refusal()));
        at = forget(line, at);
    }
    core_.answers_due_ = true;
}

WaitingPublishes::Line::iterator WaitingPublishes::forget(Line& line, Line::iterator at) {
    Producer& producer = *at->producer;
    --producer.waiting_frames;
    producer.waiting_lines -= at->lines->count;
    deadlines_.erase({at->deadline, producer.queue->id(), at->place});
    return line.erase(at);
}

void WaitingPublishes::hand_over(Producer& producer, PendingLines& lines, const TakenBatch& batch) {
    Handed& handed = handed_.emplace_back(Handed{&producer, &lines, {}});
    for (const BatchPart& part : batch.parts) {
        handed.ranges.push_back({part.block->first, part.block->count});
    }
    lines.commit = not_yet_taken;
    lines.level = Durability::disk;
}

void WaitingPublishes::handed_turn() {
    Producers refused;
    std::erase_if(handed_, [&](const Handed& handed) {
        const engine::Queue& queue = *handed.producer->queue;
        const bool waits =
            std::any_of(handed.ranges.begin(), handed.ranges.end(),
                        [&](MessageRange range) { return queue.waiting_in(range) > 0; });
        if (waits && !core_.stopping_) {
            return false;
        }
        if (waits) {
            refuse_handed(handed, {ErrorCode::stopping, "the daemon is shutting down"}, refused);
        } else {
            handed.lines->commit = CommitId(0);
            handed.lines->level = Durability::memory;
            if (refused.contains(handed.producer)) {
                handed.lines->refusal = std::make_unique<Error>(behind_a_refusal());
            }
        }
        core_.answers_due_ = true;
        return true;
    });
}

// With what was delivered behind it on the same handle and is not told yet: what is confirmed has
// no holes.
void WaitingPublishes::refuse_handed(const Handed& handed, Error error, Producers& refused) {
    Producer& producer = *handed.producer;
    producer.refusing = true;
    handed.lines->refusal = std::make_unique<Error>(std::move(error));
    if (!refused.insert(&producer).second) {
        return;  // this is behind one that was refused just now
    }
    if (producer.mark != nullptr) {  // its lines come again under the same numbers
        producer.last_taken = LineNumber(handed.lines->first.value() - 1);
    }
    bool behind = false;
    for (PendingLines& lines : producer.pending) {
        if (behind && !lines.refusal && lines.commit != not_yet_taken) {
            lines.refusal = std::make_unique<Error>(behind_a_refusal());
        }
        behind = behind || &lines == handed.lines;
    }
}

void WaitingPublishes::queue_gone(const engine::Queue& queue) {
    Producers refused;
    std::erase_if(handed_, [&](const Handed& handed) {
        const bool gone = handed.producer->queue == &queue;
        if (gone) {
            refuse_handed(handed, {ErrorCode::queue_deleted, "the queue was deleted"}, refused);
        }
        return gone;
    });
    const auto at = queues_.find(queue.id());
    if (at == queues_.end()) {
        return;
    }
    while (!at->second.empty()) {
        refuse(at->second, *at->second.front().producer,
               {ErrorCode::queue_deleted, "the queue was deleted"});
    }
    queues_.erase(at);
}

void WaitingPublishes::name_opened(const engine::Queue& queue) {
    const auto at = queues_.find(queue.id());
    if (at == queues_.end()) {
        return;
    }
    Line& line = at->second;
    const auto fenced = [](const Waiting& waiting) { return waiting.producer->fenced(); };
    while (true) {
        const auto one = std::find_if(line.begin(), line.end(), fenced);
        if (one == line.end()) {
            break;
        }
        refuse(line, *one->producer, core_.check_open(*one->producer).error());
    }
    if (line.empty()) {
        queues_.erase(at);
    }
}

void WaitingPublishes::producer_gone(Producer& producer) {
    std::erase_if(handed_, [&](const Handed& handed) { return handed.producer == &producer; });
    if (producer.waiting_frames == 0) {
        return;
    }
    const auto at = queues_.find(producer.queue->id());
    refuse(at->second, producer, {ErrorCode::queue_full, "its handle has ended"});
    if (at->second.empty()) {
        queues_.erase(at);
    }
}

}  // namespace mqd::core
