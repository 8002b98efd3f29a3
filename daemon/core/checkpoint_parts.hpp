#pragma once

// What a checkpoint knows of the messages of each queue, as of which group: it was written while
// the daemon went on, so parts of it know more than others. Of a start, and gone with it.

#include <algorithm>
#include <set>
#include <string_view>
#include <vector>

#include "daemon/storage/group_buffer.hpp"
#include "mqd/types.hpp"

namespace mqd::core {

class CheckpointParts {
  public:
    // The part from that number on, up to the next one of the queue.
    void add(QueueId id, MessageNumber from, Sequence as_of) {
        parts_.push_back({id, from, as_of});
    }
    // All are there, but those of these queues are void. Before anything is looked up.
    void close(const std::set<QueueId>& deleted) {
        std::erase_if(parts_, [&](const Part& part) { return deleted.contains(part.id); });
        std::sort(parts_.begin(), parts_.end(), [](const Part& a, const Part& b) {
            return std::pair(a.id, a.from) < std::pair(b.id, b.from);
        });
    }
    // Whether that message is told as of that group, or a later one.
    [[nodiscard]] bool knows(QueueId id, MessageNumber at, Sequence sequence) const {
        const auto part = part_of(id, at);
        return part != parts_.end() && part->as_of >= sequence;
    }
    // What of the range is not known as of that group: fn(MessageRange) says what is wrong with it.
    template <typename Fn>
    std::string_view for_each_unknown(QueueId id, MessageRange range, Sequence sequence,
                                      Fn&& fn) const {
        for (MessageNumber at = range.first; at < range.end();) {
            const auto part = part_of(id, at);
            MessageNumber to = range.end();
            if (part != parts_.end() && std::next(part) != parts_.end() &&
                std::next(part)->id == id) {
                to = std::min(to, std::next(part)->from);
            }
            if (part == parts_.end() || part->as_of < sequence) {
                if (const std::string_view bad = fn(MessageRange{at, to - at}); !bad.empty()) {
                    return bad;
                }
            }
            at = to;
        }
        return {};
    }

  private:
    struct Part {
        QueueId id;
        MessageNumber from;
        Sequence as_of;
    };

    [[nodiscard]] std::vector<Part>::const_iterator part_of(QueueId id, MessageNumber at) const {
        auto next = std::upper_bound(parts_.begin(), parts_.end(), std::pair(id, at),
                                     [](const std::pair<QueueId, MessageNumber>& a, const Part& b) {
                                         return a < std::pair(b.id, b.from);
                                     });
        if (next == parts_.begin() || std::prev(next)->id != id) {
            return parts_.end();
        }
        return std::prev(next);
    }

    std::vector<Part> parts_;
};

}  // namespace mqd::core
