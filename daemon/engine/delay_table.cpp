#include "daemon/engine/delay_table.hpp"

namespace mqd::engine {

namespace {

constexpr std::size_t erased_singly_max = 64;

}  // namespace

std::size_t DelayTable::memory_bytes() const {
    std::size_t bytes = by_number_.memory_bytes();
    for (const PackedSet<Point>& times : by_time_) {
        bytes += times.memory_bytes();
    }
    return bytes;
}

PackedSet<DelayTable::Held>::Place DelayTable::place_of(MessageNumber number) const {
    const auto at = by_number_.lower_bound({number, 0, 0, {}});
    if (at != by_number_.begin()) {
        const auto before = by_number_.before(at);
        if (by_number_[before].end() > number) {
            return before;
        }
    }
    return at;
}

void DelayTable::add(const Held& held) {
    by_number_.insert(held);
    times(held.clock).insert({held.at, held.first});
}

void DelayTable::remove(PackedSet<Held>::Place at) {
    const Held held = by_number_[at];
    by_number_.erase(at);
    PackedSet<Point>& points = times(held.clock);
    const auto point = points.lower_bound({held.at, held.first});
    MQD_ASSERT(point != points.end() && points[point].first == held.first, held.first);
    points.erase(point);
}

void DelayTable::insert(MessageRange range, Due due) {
    MQD_ASSERT(range.count > 0);
    const auto at = place_of(range.first);
    MQD_ASSERT(at == by_number_.end() || by_number_[at].first >= range.end(), range.first);
    if (at != by_number_.begin()) {
        const auto before = by_number_.before(at);
        Held held = by_number_[before];
        if (held.end() == range.first && held.due() == due &&
            range.count <= UINT32_MAX - held.count) {
            held.count += static_cast<std::uint32_t>(range.count);
            by_number_.replace(before, held);
            return;
        }
    }
    while (range.count > 0) {
        const auto count =
            static_cast<std::uint32_t>(std::min<std::uint64_t>(range.count, UINT32_MAX));
        add({range.first, due.at, count, due.clock});
        range = {range.first.plus(count), range.count - count};
    }
}

void DelayTable::erase(MessageRange range) {
    for (std::size_t singly = 1;; ++singly) {
        if (singly == erased_singly_max) {
            erase_whole(range);
        }
        const auto at = place_of(range.first);
        if (at == by_number_.end() || by_number_[at].first >= range.end()) {
            return;
        }
        const Held held = by_number_[at];
        remove(at);
        const auto keep = [&](MessageNumber from, MessageNumber to) {
            if (from < to) {
                add({from, held.at, static_cast<std::uint32_t>(to - from), held.clock});
            }
        };
        keep(held.first, std::min(held.end(), range.first));
        keep(std::max(held.first, range.end()), held.end());
    }
}

// The runs that lie in the range as a whole: one pass over all there are, where a look-up for each
// would take longer. Precondition: none reaches into the range from before it.
void DelayTable::erase_whole(MessageRange range) {
    const auto last = place_of(range.end());
    const bool cut = last != by_number_.end() && by_number_[last].first < range.end();
    const MessageNumber end = cut ? by_number_[last].first : range.end();
    const auto inside = [&](const auto& one) {
        return one.first >= range.first && one.first < end;
    };
    for (PackedSet<Point>& points : by_time_) {
        points.erase_if(inside);
    }
    by_number_.erase_if(inside);
}

bool DelayTable::find_from(MessageNumber number, Run& out) const {
    const auto at = place_of(number);
    if (at == by_number_.end()) {
        return false;
    }
    const Held& held = by_number_[at];
    out = {{held.first, held.count}, held.due()};
    return true;
}

std::optional<std::int64_t> DelayTable::earliest(DueClock clock) const {
    const PackedSet<Point>& points = by_time_[static_cast<std::size_t>(clock)];
    return points.empty() ? std::nullopt : std::optional(points[points.begin()].at);
}

bool DelayTable::take_due(DueClock clock, std::int64_t now, MessageRange& out) {
    const auto due = earliest(clock);
    if (!due || *due > now) {
        return false;
    }
    const PackedSet<Point>& points = times(clock);
    const auto at = place_of(points[points.begin()].first);
    out = {by_number_[at].first, by_number_[at].count};
    remove(at);
    return true;
}

}  // namespace mqd::engine
