// What an actor does as an administrator.

#include "mqd/wire/admin.hpp"
#include "mqd/wire/message_history.hpp"
#include "mqd/wire/message_move.hpp"
#include "sim/actor.hpp"

namespace mqd::sim {

using wire::FrameType;

// Single messages of a queue of which it knows the incarnation.
void Actor::end_some() {
    for (const Consuming& one : consuming_) {
        if (session_.is_open(one.handle)) {
            const MessageRange range{some_number(one.queue, 60), dice_.between(1, 4)};
            ask(
                wire::MessagesDeleteRequest{
                    one.queue, session_.consumer(one.handle).incarnation, {&range, 1}},
                FrameType::done);
            return;
        }
    }
}

// Likewise, to the end of the one queue to which messages are moved.
void Actor::move_some() {
    for (const Consuming& one : consuming_) {
        if (session_.is_open(one.handle) && one.queue != habits_.moves_to &&
            !one.queue.ends_with(".dead")) {
            const MessageRange range{MessageNumber(dice_.between(1, 100)), dice_.between(1, 40)};
            const MessageRange other{MessageNumber(dice_.between(1, 100)), dice_.between(1, 3)};
            const std::vector<MessageRange> ranges{range, other};
            ask(wire::MessagesMoveRequest{one.queue, session_.consumer(one.handle).incarnation,
                                          habits_.moves_to, ranges},
                FrameType::done);
            return;
        }
    }
}

void Actor::administer() {
    if (!habits_.moves_to.empty() && dice_.one_in(3)) {
        return move_some();
    }
    if (habits_.group_rate.limits() && dice_.one_in(4)) {
        return change_rate();
    }
    const std::string& queue = some_queue();
    if (habits_.history != 0 && dice_.one_in(3)) {
        return ask(wire::MessageHistory{queue, QueueId(0), some_number(queue, 60)},
                   FrameType::message_history_reply);
    }
    switch (dice_.below(10)) {
        case 0:
            if (habits_.deletes) {
                wire::QueueDelete frame;
                frame.queue = queue;
                ask(frame, FrameType::done);
            }
            break;
        case 1:
            if (habits_.purges) {
                wire::QueuePurge frame;
                frame.queue = queue;
                frame.for_good = habits_.undo_ms != 0 && dice_.one_in(8);
                ask(frame, FrameType::done);
            }
            break;
        case 2:
        case 3: {
            create(dice_.below(habits_.made));
            break;
        }
        case 4: {
            wire::QueueShow frame;
            frame.queue = queue;
            ask(frame, FrameType::queue_info);
            break;
        }
        case 5: {
            wire::QueueList frame;
            frame.max = 100;
            ask(frame, FrameType::queue_list_reply);
            break;
        }
        case 6:
            if (habits_.purges && dice_.one_in(2)) {
                end_some();
            } else {
                ask(wire::Status{}, FrameType::status_reply);
            }
            break;
        case 7:
            if (habits_.undo_ms != 0) {
                ask(wire::QueueUndo{queue}, FrameType::done);
                break;
            }
            pause(queue, {dice_.one_in(4), dice_.one_in(4)});
            break;
        default: {
            wire::Peek frame;
            frame.queue = queue;
            frame.from = dice_.one_in(20) ? MessageNumber() : some_number(queue, 40);
            frame.max = static_cast<std::uint32_t>(dice_.between(1, 30));
            if (dice_.one_in(3)) {
                frame.filter.emplace();
                frame.filter->states = static_cast<std::uint8_t>(dice_.below(16));
                if (dice_.one_in(2)) {
                    frame.filter->headers.push_back({"n", "v"});
                }
            }
            ask(frame, FrameType::peek_reply);
            break;
        }
    }
}

}  // namespace mqd::sim
