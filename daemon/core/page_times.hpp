#pragma once

// What is known of the times to live of the messages of one page while it lies in a segment only:
// enough to say when it is worth reading it, and no more (docs/storage.md, "Times to live").

#include <algorithm>
#include <chrono>

#include "daemon/engine/time.hpp"

namespace mqd::core {

struct PageTimes {
    // When the oldest of its messages was taken, and the last one of the oldest tenth. Min: that is
    // not known, so that it is read as soon as its queue has a TTL.
    engine::Time oldest = engine::Time::min();
    engine::Time tenth = engine::Time::min();
    // When it is to be read for the TTLs of its messages' own; max: never.
    engine::Time expires = engine::Time::max();

    // How late the end of the first of them may be: a tenth of its time, and at least a second. By
    // then, or when a tenth of the page has expired, it is read.
    [[nodiscard]] static engine::Time read_by(engine::Time first, engine::Time::duration ttl,
                                              engine::Time tenth_expired) {
        const engine::Time::duration late = std::max(ttl / 10, engine::Time::duration(least_late));
        return std::min(first + late, std::max(first, tenth_expired));
    }
    // When it is to be read; max: never.
    [[nodiscard]] engine::Time due(std::chrono::milliseconds queue_ttl) const {
        if (queue_ttl.count() == 0) {
            return expires;
        }
        if (oldest == engine::Time::min()) {
            return engine::Time{};
        }
        if (oldest == engine::Time::max()) {
            return expires;  // nothing of it can expire
        }
        return std::min(expires, read_by(oldest + queue_ttl, queue_ttl, tenth + queue_ttl));
    }

    static constexpr std::chrono::seconds least_late{1};
};

}  // namespace mqd::core
