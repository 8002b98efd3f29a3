// What a session does for the administrator.

#include <algorithm>

#include "daemon/core/backlog.hpp"
#include "daemon/core/queue_options.hpp"
#include "daemon/core/session.hpp"

namespace mqd::core {

namespace {

constexpr std::uint32_t list_max = 1000;
constexpr std::size_t list_fixed_bytes = 5;

}  // namespace

void Session::on_queue_create(CorrelationId correlation, const wire::QueueCreate& frame) {
    if (!wire::valid_queue_name(frame.queue)) {
        return send_error(
            {ErrorCode::bad_name, "a queue name has 1 to 200 letters, digits, '.', '_' or '-'"},
            correlation);
    }
    if (const auto sound = check_options(frame.queue, frame.options); !sound) {
        return send_error(sound.error(), correlation);
    }
    if (core_.stopping_) {
        return send_error({ErrorCode::stopping, "the daemon is shutting down"}, correlation);
    }
    if (const auto created = core_.create_queue(frame, *this, correlation); !created) {
        send_error(created.error(), correlation);
    }
}

void Session::on_queue_update(CorrelationId correlation, const wire::QueueUpdate& frame) {
    engine::Queue* queue = find_queue(frame.queue, correlation);
    if (queue == nullptr) {
        return;
    }
    if (const auto sound = check_options(frame.queue, frame.options); !sound) {
        return send_error(sound.error(), correlation);
    }
    if (const auto updated = core_.update_queue(*queue, frame.options, *this, correlation);
        !updated) {
        send_error(updated.error(), correlation);
    }
}

void Session::on_queue_delete(CorrelationId correlation, const wire::QueueDelete& frame) {
    if (engine::Queue* queue = find_queue(frame.queue, correlation)) {
        const auto result = core_.delete_queue(*queue, *this, correlation);
        if (!result) {
            send_error(result.error(), correlation);
        }
    }
}

void Session::on_queue_purge(CorrelationId correlation, const wire::QueuePurge& frame) {
    if (engine::Queue* queue = find_queue(frame.queue, correlation)) {
        core_.purge_queue(*queue, frame.for_good, *this, correlation);
    }
}

void Session::on_queue_undo(CorrelationId correlation, const wire::QueueUndo& frame) {
    if (engine::Queue* queue = find_queue(frame.queue, correlation)) {
        if (const auto undone = core_.undo_purge(*queue, *this, correlation); !undone) {
            send_error(undone.error(), correlation);
        }
    }
}

void Session::on_messages_delete(CorrelationId correlation, const wire::MessagesDelete& frame) {
    engine::Queue* queue = find_queue(frame.queue, correlation);
    if (queue == nullptr) {
        return;
    }
    if (queue->id() != frame.incarnation) {
        return send_error(
            {ErrorCode::no_such_queue, "queue \"" + queue->name() + "\" is incarnation " +
                                           std::to_string(queue->id().value()) + " now"},
            correlation);
    }
    if (!frame.ranges.sane()) {
        return violation("MESSAGES_DELETE: bad range");
    }
    core_.delete_messages(*queue, frame, *this, correlation);
}

void Session::on_messages_move(CorrelationId correlation, const wire::MessagesMove& frame) {
    if (!frame.ranges.sane()) {
        return violation("MESSAGES_MOVE: bad range");
    }
    core_.moves_.take(*this, frame, correlation);
}

void Session::on_queue_show(CorrelationId correlation, const wire::QueueShow& frame) {
    if (const engine::Queue* queue = find_queue(frame.queue, correlation)) {
        send(core_.queue_info(*queue), correlation);
    }
}

void Session::on_queue_list(CorrelationId correlation, const wire::QueueList& frame) {
    const auto& queues = core_.engine_.queues();
    wire::QueueListReply reply;
    auto at = queues.upper_bound(frame.after);
    std::size_t bytes = list_fixed_bytes;
    std::vector<std::byte> entry;
    for (; at != queues.end() && reply.queues.size() < std::clamp(frame.max, 1u, list_max); ++at) {
        const wire::QueueInfo info = core_.queue_info(*at->second);
        entry.clear();
        wire::Writer writer(entry);
        info.encode(writer);
        bytes += sizeof(std::uint16_t) + entry.size();
        if (bytes > frame_body_bytes_max_) {
            break;  // `more` says so
        }
        reply.queues.push_back(info);
    }
    reply.more = at != queues.end();
    send(reply, correlation);
}

void Session::on_backup(CorrelationId correlation) {
    if (const auto begun = core_.backup_->begin(*this, correlation); !begun) {
        send_error(begun.error(), correlation);
    }
}

void Session::on_backup_next(CorrelationId correlation) {
    if (core_.backup_->unanswered(*this) >= wire::backup_next_max) {
        return violation("too many BACKUP_NEXT without an answer");
    }
    if (const auto next = core_.backup_->next(*this, correlation); !next) {
        send_error(next.error(), correlation);
    }
}

}  // namespace mqd::core
