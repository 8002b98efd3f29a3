#pragma once

// Messages go from one queue to the end of another.

#include <span>
#include <string_view>

#include "mqd/wire/frame.hpp"

namespace mqd::wire {

// Moves messages that wait, ready or delayed, in order of their numbers. What is leased stays. The
// daemon moves as many as it can at once; DONE says how many, and where to go on.
struct MessagesMove {
    static constexpr FrameType type = FrameType::messages_move;
    std::string_view queue;
    QueueId incarnation;  // of the queue that has them; another one is refused: no_such_queue
    std::string_view target;
    RangeList ranges;

    [[nodiscard]] static std::optional<MessagesMove> decode(Bytes body) {
        Reader r(body);
        MessagesMove f;
        f.queue = r.string8();
        f.incarnation = QueueId(r.number<std::uint32_t>());
        f.target = r.string8();
        const auto ranges = RangeList::decode(r);
        if (!ranges || !r.ok()) {
            return std::nullopt;
        }
        f.ranges = *ranges;
        return f;
    }
};

// What a client sends: the ranges as it has them.
struct MessagesMoveRequest {
    static constexpr FrameType type = FrameType::messages_move;
    std::string_view queue;
    QueueId incarnation;
    std::string_view target;
    std::span<const MessageRange> ranges;

    void encode(Writer& w) const {
        w.string8(queue).number(incarnation.value()).string8(target);
        RangeList::encode(w, ranges);
    }
};

}  // namespace mqd::wire
