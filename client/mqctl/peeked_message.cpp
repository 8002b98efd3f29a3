#include "client/mqctl/peeked_message.hpp"

namespace mqd::mqctl {
namespace {

std::string_view state_name(MessageState state) {
    switch (state) {
        case MessageState::ready: return "ready";
        case MessageState::leased: return "leased";
        case MessageState::delayed: return "delayed";
        case MessageState::held: return "held";
        case MessageState::dying: return "dying";
        case MessageState::purged: return "purged";
    }
    return "unknown";
}

}  // namespace

ShownMessage shown(std::string_view queue, QueueId incarnation, const PeekedMessage& message) {
    ShownMessage shown;
    shown.queue = queue;
    shown.incarnation = incarnation;
    shown.number = message.number;
    shown.attempt = message.deliveries;
    shown.published = message.published;
    shown.sender = message.sender;
    shown.body = message.body;
    shown.dead_letter = message.dead_letter;
    shown.state = state_name(message.state);
    shown.due = message.due;
    shown.priority = message.priority;
    shown.group = message.group;
    shown.dedup_id = message.dedup_id;
    shown.expires = message.expires;
    for (const auto& [key, value] : message.headers) {
        shown.headers.emplace_back(key, value);
    }
    return shown;
}

}  // namespace mqd::mqctl
