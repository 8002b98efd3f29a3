#include "mqd/message_history.hpp"

#include "client/connection.hpp"
#include "mqd/client.hpp"

namespace mqd {

namespace {

HistoryEvent to_event(const wire::HistoryEvent& event) {
    return {event.kind,
            event.at,
            event.by,
            std::string(event.client),
            event.handle,
            event.attempt,
            std::string(event.text),
            event.incarnation,
            event.number};
}

void take_state(MessageHistory& into, const wire::MessageHistoryReply& reply) {
    into.incarnation = reply.incarnation;
    into.kept = reply.kept;
    into.known_from = reply.known_from;
    into.next_number = reply.next_number;
    into.state = reply.state;
    into.deliveries = reply.deliveries;
    into.first_failed = reply.first_failed;
    into.last_failed = reply.last_failed;
    into.rejected = reply.rejected;
    into.reason = reply.reason;
}

}  // namespace

Result<MessageHistory> Client::message_history(std::string_view queue, QueueId incarnation,
                                               MessageNumber number) {
    if (!wire::valid_queue_name(queue)) {
        return Error{ErrorCode::bad_name, "not a queue name: \"" + std::string(queue) + '"',
                     wire::queue_name_bytes_max};
    }
    MessageHistory history;
    wire::MessageHistory asked{queue, incarnation, number};
    do {
        const auto body = connection_->call(asked, wire::FrameType::message_history_reply);
        if (!body) {
            return body.error();
        }
        const auto reply = wire::MessageHistoryReply::decode(*body);
        if (!reply || (reply->next != 0 && reply->next <= asked.from)) {
            return Error{ErrorCode::protocol_violation,  // else it would never end
                         "the daemon sent a malformed MESSAGE_HISTORY_REPLY frame"};
        }
        take_state(history, *reply);
        for (const wire::HistoryEvent& event : reply->events) {
            history.events.push_back(to_event(event));
        }
        asked.from = reply->next;
    } while (asked.from != 0);
    return history;
}

}  // namespace mqd
