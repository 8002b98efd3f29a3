#include "daemon/core/move_requests.hpp"

#include <algorithm>
#include <utility>

#include "daemon/core/core.hpp"
#include "daemon/core/session.hpp"

namespace mqd::core {

namespace {

constexpr std::uint64_t moved_per_request = 1000;               // messages
constexpr std::uint64_t moved_bytes_per_request = 1024 * 1024;  // of batches

constexpr MessageNumber none(UINT64_MAX);

// In order of their numbers, each number once.
std::vector<MessageRange> in_order(const wire::RangeList& list) {
    std::vector<MessageRange> ranges;
    for (std::size_t i = 0; i < list.size(); ++i) {
        ranges.push_back(list[i]);
    }
    std::sort(ranges.begin(), ranges.end(),
              [](const MessageRange& a, const MessageRange& b) { return a.first < b.first; });
    std::vector<MessageRange> joined;
    for (const MessageRange& range : ranges) {
        if (!joined.empty() && range.first <= joined.back().end()) {
            const MessageNumber end = std::max(joined.back().end(), range.end());
            joined.back().count = end - joined.back().first;
        } else {
            joined.push_back(range);
        }
    }
    return joined;
}

}  // namespace

void MoveRequests::take(Session& session, const wire::MessagesMove& frame,
                        CorrelationId correlation) {
    Request request{&session,
                    correlation,
                    std::string(frame.queue),
                    frame.incarnation,
                    std::string(frame.target),
                    in_order(frame.ranges)};
    if (waits(session) || !answered(request)) {
        requests_.push_back(std::move(request));
    }
}

void MoveRequests::turn() {
    if (requests_.empty()) {
        return;
    }
    for (Request& request : std::exchange(requests_, {})) {
        if (waits(*request.session) || !answered(request)) {
            requests_.push_back(std::move(request));
        }
    }
    core_.answers_due_ = true;  // somebody may wait to say goodbye
}

bool MoveRequests::waits(const Session& session) const {
    return std::any_of(requests_.begin(), requests_.end(),
                       [&](const Request& request) { return request.session == &session; });
}

void MoveRequests::session_ended(const Session& session) {
    std::erase_if(requests_, [&](const Request& request) { return request.session == &session; });
}

// False: it waits.
bool MoveRequests::answered(const Request& request) {
    const auto queues = find(request);
    if (!queues) {
        request.session->send_error(queues.error(), request.correlation);
        return true;
    }
    Progress progress{moved_per_request, moved_bytes_per_request, 0, {}, {}, false};
    const auto moved = move_some(*queues, request, progress);
    if (progress.moved == 0 && progress.waits) {
        return false;
    }
    if (!moved && progress.moved == 0) {
        request.session->send_error(moved.error(), request.correlation);
        return true;
    }
    // What stopped it is said when the rest is asked for.
    Waiter waiter;
    waiter.kind = Waiter::Kind::done;
    waiter.commit = progress.commit;
    waiter.level =
        std::max(queues->from->definition().durability, queues->to->definition().durability);
    waiter.correlation = request.correlation;
    waiter.done = {progress.moved, progress.next};
    core_.wait(*request.session, std::move(waiter));
    return true;
}

Result<MoveRequests::Queues> MoveRequests::find(const Request& request) const {
    if (core_.stopping_) {
        return Error{ErrorCode::stopping, "the daemon is shutting down"};
    }
    const auto find = [&](const std::string& name) {
        engine::Queue* queue = core_.engine_.find(name);
        return queue == nullptr || queue->deleting() ? nullptr : queue;
    };
    const auto missing = [](const std::string& name) {
        return wire::valid_queue_name(name)
                   ? Error{ErrorCode::no_such_queue, "queue \"" + name + "\" does not exist"}
                   : Error{ErrorCode::bad_name,
                           "a queue name has 1 to 200 letters, digits, '.', '_' or '-'"};
    };
    const Queues queues{find(request.queue), find(request.target)};
    if (queues.from == nullptr) {
        return missing(request.queue);
    }
    if (queues.from->id() != request.incarnation) {
        return Error{ErrorCode::no_such_queue, "queue \"" + request.queue + "\" is incarnation " +
                                                   std::to_string(queues.from->id().value()) +
                                                   " now"};
    }
    if (queues.to == nullptr) {
        return missing(request.target);
    }
    if (queues.from == queues.to) {
        return Error{ErrorCode::bad_option, "messages cannot be moved to the queue they are in"};
    }
    if (queues.to->definition().publishing_paused) {
        return Error{ErrorCode::queue_paused,
                     "publishing to queue \"" + request.target + "\" is paused"};
    }
    return queues;
}

// Errors: why no more was moved.
Result<void> MoveRequests::move_some(const Queues& queues, const Request& request,
                                     Progress& progress) {
    if (queues.to->durable() && core_.backlog_->pressed()) {
        progress.waits = true;
        return {};
    }
    Gathered gathered;
    for (const MessageRange& range : request.ranges) {
        for (MessageNumber at = range.first; at < range.end();) {
            const MessageNumber stopped =
                gather(*queues.from, {at, range.end() - at}, gathered, progress);
            if (stopped >= range.end()) {
                break;
            }
            at = stopped;
            const bool full = progress.messages_left == 0 || progress.next.value() != 0;
            const bool resident = queues.from->extent_at(at) != nullptr;
            if (auto flushed = flush(queues, request, gathered, progress); !flushed) {
                return flushed;
            }
            if (full) {
                progress.next = at;
                return {};
            }
            if (resident) {
                continue;  // another block
            }
            if (core_.backlog_->want(*queues.from, at)) {
                progress.next = at;
                progress.waits = true;
                return {};
            }
            at = core_.backlog_->behind_unreadable(*queues.from, at);
        }
    }
    return flush(queues, request, gathered, progress);
}

// Adds what can be moved with what is gathered already. Returns where it stopped: at another block,
// at what is not in memory, or where it is enough, which is then in progress.next; or behind it
// all.
MessageNumber MoveRequests::gather(const engine::Queue& queue, MessageRange range,
                                   Gathered& gathered, Progress& progress) const {
    constexpr engine::LiveStates movable{engine::LiveState::ready, engine::LiveState::held,
                                         engine::LiveState::delayed};
    MessageNumber stopped = none;
    const auto take = [&](const engine::Extent& extent, MessageRange piece, std::uint32_t,
                          engine::LiveState state) {
        if (piece.first >= range.end()) {
            return false;
        }
        if (gathered.block != nullptr && &extent != gathered.block) {
            stopped = piece.first;
            return false;
        }
        piece.count = std::min(piece.count, range.end() - piece.first);
        const bool first = progress.moved + gathered.count == 0;
        const std::uint64_t fitting = std::max<std::uint64_t>(
            extent.fitting(piece.first, progress.bytes_left), first ? 1 : 0);
        const std::uint64_t count = std::min({piece.count, progress.messages_left, fitting});
        if (count < piece.count) {
            stopped = piece.first.plus(count);
            progress.next = stopped;
        }
        if (count == 0) {
            return false;
        }
        piece.count = count;
        gathered.block = &static_cast<const Block&>(extent);
        if (state == engine::LiveState::delayed) {
            gathered.delays.push_back({queue.id(),
                                       {MessageNumber(gathered.count), count},
                                       queue.delay_of(piece.first).due});
        }
        gathered.ranges.push_back(piece);
        gathered.count += static_cast<std::uint32_t>(count);
        progress.messages_left -= count;
        progress.bytes_left -= std::min(progress.bytes_left, extent.bytes(piece));
        return stopped == none;
    };
    const MessageNumber unread = queue.peek(range.first, movable, take);
    return std::min(stopped, unread);
}

// Moves what is gathered, all or none.
Result<void> MoveRequests::flush(const Queues& queues, const Request& request, Gathered& gathered,
                                 Progress& progress) {
    if (gathered.count == 0) {
        return {};
    }
    const auto reserved = reserve(*queues.to, gathered);
    if (!reserved) {
        progress.next = gathered.ranges.front().first;
        return reserved.error();
    }
    for (const BatchPart& part : core_.batch_.parts) {
        part.block->published = gathered.block->published;
        part.block->sender = gathered.block->sender;
    }
    core_.decided_.clear();
    for (const MessageRange& range : gathered.ranges) {
        core_.engine_.admit_end(*queues.from, range, core_.decided_);
    }
    core_.mover_.append(*queues.from, core_.decided_, *queues.to, request.session);
    const bool durable = queues.from->durable() || queues.to->durable();
    progress.commit = durable ? core_.pending_.back().id : CommitId(0);
    progress.moved += gathered.count;
    gathered = {};
    return {};
}

// Takes a copy, for which there is room in the queue, in memory and in the journal.
Result<void> MoveRequests::reserve(engine::Queue& to, const Gathered& gathered) {
    std::vector<std::byte> batch;
    std::vector<std::byte> attributes;
    for (const MessageRange& range : gathered.ranges) {
        wire::BatchReader reader(gathered.block->slice(range));
        while (const auto message = reader.next()) {
            attributes.clear();
            MessageMover::copy_attributes(message->attributes, attributes);
            wire::append_message(batch, attributes, message->body);
        }
    }
    wire::Publish as_published;
    as_published.count = gathered.count;
    as_published.batch = batch;
    const auto dropped = core_.to_drop(to, {gathered.count, batch.size()});
    if (!dropped) {
        return dropped.error();
    }
    auto taken = core_.take_batch(as_published, to, {0, wire::Author::daemon, gathered.delays});
    if (taken && *dropped > 0) {
        core_.make_room(to, *dropped);
    }
    return taken;
}

}  // namespace mqd::core
