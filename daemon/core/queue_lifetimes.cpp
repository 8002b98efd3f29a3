#include "daemon/core/queue_lifetimes.hpp"

#include <algorithm>

#include "daemon/core/core.hpp"

namespace mqd::core {

namespace {

constexpr std::size_t queues_per_turn = 256;
// A queue that is in use is looked at again after this part of its time, so it is deleted so much
// later than it could be, at most.
constexpr int look_again_part = 8;
constexpr std::chrono::milliseconds look_again_min{1000};

bool in_use(const engine::Queue& queue) {
    return queue.consumers() > 0 || queue.producers() > 0 || queue.live() > 0 ||
           queue.numbers().on_their_way() > 0 || queue.expected() > 0;
}

}  // namespace

void QueueLifetimes::note_use(const engine::Queue& queue) {
    const engine::Time now = core_.now_.journal;
    const engine::Time earliest = now + queue.definition().expire_idle;
    const auto [at, added] = watched_.try_emplace(queue.id(), Idle{now, earliest, false});
    at->second.last_used = now;
    if (added) {
        deadlines_.emplace(earliest, queue.id());
    } else if (earliest < at->second.deadline) {  // it has less time now
        look_again(at, earliest);
    }
}

void QueueLifetimes::look_again(Watched::iterator watched, engine::Time deadline) {
    deadlines_.erase({watched->second.deadline, watched->first});
    watched->second.deadline = deadline;
    deadlines_.emplace(deadline, watched->first);
}

void QueueLifetimes::forget(const engine::Queue& queue) {
    if (const auto at = watched_.find(queue.id()); at != watched_.end()) {
        deadlines_.erase({at->second.deadline, at->first});
        watched_.erase(at);
    }
    if (!queue.definition().temporary) {
        return;
    }
    std::erase(orphans_, queue.id());
    if (const auto at = owners_.find(queue.id()); at != owners_.end()) {
        std::erase(owned_[at->second], queue.id());
        owners_.erase(at);
    }
}

void QueueLifetimes::own(const Session& session, QueueId id) {
    owners_[id] = &session;
    owned_[&session].push_back(id);
}

bool QueueLifetimes::owns(const Session& session, const engine::Queue& queue) const {
    const auto at = owners_.find(queue.id());
    return at != owners_.end() && at->second == &session;
}

void QueueLifetimes::session_ended(const Session& session) {
    const auto at = owned_.find(&session);
    if (at == owned_.end()) {
        return;
    }
    for (const QueueId id : at->second) {
        owners_.erase(id);
        orphans_.push_back(id);
    }
    owned_.erase(at);
}

engine::Time QueueLifetimes::next_deadline() const {
    return deadlines_.empty() || core_.stopping_ ? engine::Time::max() : deadlines_.begin()->first;
}

void QueueLifetimes::turn() {
    more_ = false;
    if (core_.stopping_) {
        return;  // the next start ends temporary queues
    }
    std::size_t left = queues_per_turn;
    end_orphans(left);
    while (!deadlines_.empty() && deadlines_.begin()->first <= core_.now_.journal) {
        if (left-- == 0) {
            more_ = true;
            return;
        }
        look_at(watched_.find(deadlines_.begin()->second));
    }
}

void QueueLifetimes::end_orphans(std::size_t& left) {
    std::size_t kept = 0;
    for (const QueueId id : orphans_) {
        engine::Queue* queue = core_.engine_.find(id);
        if (queue == nullptr || left == 0) {  // on its way to the disk; or later
            more_ = more_ || queue != nullptr;
            orphans_[kept++] = id;
        } else if (!queue->deleting()) {
            core_.append_delete(*queue);
            --left;
        }
    }
    orphans_.resize(kept);
}

void QueueLifetimes::look_at(Watched::iterator watched) {
    const engine::Time now = core_.now_.journal;
    Idle& idle = watched->second;
    engine::Queue* queue = core_.engine_.find(watched->first);
    const std::chrono::milliseconds most =
        queue == nullptr ? std::chrono::milliseconds(0) : queue->definition().expire_idle;
    if (most.count() == 0 || queue->deleting()) {
        deadlines_.erase({idle.deadline, watched->first});
        watched_.erase(watched);
        return;
    }
    if (in_use(*queue)) {
        idle.in_use = true;
        return look_again(watched, now + std::max(most / look_again_part, look_again_min));
    }
    if (std::exchange(idle.in_use, false)) {  // it was since then, nobody knows until when
        idle.last_used = now;
    }
    if (idle.last_used + most > now) {
        return look_again(watched, idle.last_used + most);
    }
    core_.notice("queue \"" + queue->name() + "\" was not used for " +
                 std::to_string(most.count()) + " ms (expire_idle), and is deleted");
    core_.append_delete(*queue);
    deadlines_.erase({idle.deadline, watched->first});
    watched_.erase(watched);
}

}  // namespace mqd::core
