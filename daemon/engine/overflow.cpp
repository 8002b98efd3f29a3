// Messages that have to make room for younger ones, where their queue does not drop them.

#include "daemon/engine/engine.hpp"

namespace mqd::engine {

void Engine::admit_overflow(Queue& queue, std::uint64_t count) {
    while (count > 0) {
        MessageRange oldest = queue.oldest_waiting();
        oldest.count = std::min(oldest.count, count);
        for (const LiveState state : {LiveState::ready, LiveState::held}) {
            count -= queue.in(state).take(oldest, [&](MessageRange piece, std::uint32_t attempts) {
                make_dying(queue, piece, attempts);
                queue.overflowed_.insert(piece, true);
            });
        }
        leave_groups(queue, {&oldest, 1});
    }
}

// They are dying no more, or not for that.
void Engine::forget_overflow(Queue& queue, MessageRange range) {
    if (!queue.overflowed_.empty()) {
        queue.overflowed_.take(range, [](MessageRange, bool) {});
    }
}

}  // namespace mqd::engine
