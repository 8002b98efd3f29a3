#include "client/ledger.hpp"

#include <algorithm>

#include "mqd/assert.hpp"

namespace mqd::client {

namespace {

// The end of a range that may come from anybody, without overflow.
MessageNumber end_of(MessageRange range) {
    const std::uint64_t room = UINT64_MAX - range.first.value();
    return range.first.plus(std::min(range.count, room));
}

}  // namespace

void append_merged(std::vector<MessageRange>& ranges, MessageRange range) {
    if (!ranges.empty() && ranges.back().end() == range.first) {
        ranges.back().count += range.count;
    } else {
        ranges.push_back(range);
    }
}

void sort_and_merge(std::vector<MessageRange>& ranges) {
    const auto by_first = [](const MessageRange& a, const MessageRange& b) {
        return a.first < b.first;
    };
    if (!std::is_sorted(ranges.begin(), ranges.end(), by_first)) {
        std::sort(ranges.begin(), ranges.end(), by_first);
    }
    std::size_t kept = 0;
    for (const MessageRange& range : ranges) {
        if (kept != 0 && ranges[kept - 1].end() == range.first) {
            ranges[kept - 1].count += range.count;
        } else {
            ranges[kept++] = range;
        }
    }
    ranges.resize(kept);
}

std::size_t Ledger::find(MessageNumber number) const {
    // Most look-ups go on where the one before ended.
    for (std::size_t i = near_; i < std::min(near_ + 2, held_.size()); ++i) {
        if (held_[i].range.end() > number && (i == 0 || held_[i - 1].range.end() <= number)) {
            near_ = i;
            return i;
        }
    }
    const auto found = std::partition_point(
        held_.begin(), held_.end(), [&](const Held& held) { return held.range.end() <= number; });
    near_ = static_cast<std::size_t>(found - held_.begin());
    return near_;
}

bool Ledger::add(const std::shared_ptr<DeliverFrame>& frame) {
    const MessageRange range{frame->messages.first_number, frame->messages.count};
    const std::size_t at = find(range.first);
    if (at != held_.size() && held_[at].range.first < range.end()) {
        return false;
    }
    held_.insert(held_.begin() + static_cast<std::ptrdiff_t>(at), Held{range, frame});
    frame->unsettled = frame->messages.count;
    messages_ += range.count;
    return true;
}

std::size_t Ledger::cut(std::size_t i, MessageNumber from, MessageNumber to, Removed& sum) {
    Held& held = held_[i];
    DeliverFrame& frame = *held.frame;
    MQD_ASSERT(held.range.first <= from && from < to && to <= held.range.end(), from, to);
    const std::uint64_t count = to - from;
    sum.messages += count;
    sum.bytes += frame.bytes(frame.index(from), frame.index(to));
    frame.unsettled -= static_cast<std::uint32_t>(count);
    frame.has_holes = frame.has_holes || frame.index(to) > frame.next;
    messages_ -= count;
    const MessageRange before{held.range.first, from - held.range.first};
    const MessageRange behind{to, held.range.end() - to};
    if (before.count == 0 && behind.count == 0) {
        held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(i));
        return i;
    }
    if (before.count == 0) {
        held.range = behind;
        return i;
    }
    held.range = before;
    if (behind.count != 0) {
        Held rest{behind, held.frame, held.overrun};
        held_.insert(held_.begin() + static_cast<std::ptrdiff_t>(i) + 1, std::move(rest));
    }
    return i + 1;
}

Ledger::Removed Ledger::remove(MessageRange range, std::vector<MessageRange>& removed) {
    Removed sum;
    const MessageNumber end = end_of(range);
    std::size_t i = range.count == 0 ? held_.size() : find(range.first);
    while (i < held_.size() && held_[i].range.first < end) {
        const MessageNumber from = std::max(held_[i].range.first, range.first);
        const MessageNumber to = std::min(held_[i].range.end(), end);
        append_merged(removed, {from, to - from});
        i = cut(i, from, to, sum);
    }
    return sum;
}

Ledger::Removed Ledger::remove_handed_out(MessageNumber up_to, std::vector<MessageRange>& removed) {
    Removed sum;
    const MessageNumber end = end_of({up_to, 1});
    std::size_t i = 0;
    while (i < held_.size() && held_[i].range.first < end) {
        const DeliverFrame& frame = *held_[i].frame;
        const MessageNumber from = held_[i].range.first;
        const MessageNumber handed_out = frame.messages.first_number.plus(frame.next);
        const MessageNumber to = std::min({held_[i].range.end(), handed_out, end});
        if (from >= to) {
            ++i;
            continue;
        }
        append_merged(removed, {from, to - from});
        i = cut(i, from, to, sum);
    }
    return sum;
}

bool Ledger::holds(const DeliverFrame& frame, MessageNumber number) const {
    const std::size_t i = find(number);
    return i < held_.size() && held_[i].range.first <= number && held_[i].frame.get() == &frame;
}

void Ledger::held_of(MessageRange range, std::vector<MessageRange>& held) const {
    const MessageNumber end = end_of(range);
    std::size_t i = range.count == 0 ? held_.size() : find(range.first);
    for (; i < held_.size() && held_[i].range.first < end; ++i) {
        const MessageNumber from = std::max(held_[i].range.first, range.first);
        append_merged(held, {from, std::min(held_[i].range.end(), end) - from});
    }
}

void Ledger::mark_overrun(const DeliverFrame& frame, MessageRange range,
                          std::vector<MessageRange>& marked) {
    const MessageNumber end = end_of(range);
    std::size_t i = range.count == 0 ? held_.size() : find(range.first);
    while (i < held_.size() && held_[i].range.first < end) {
        const Held held = held_[i];
        const MessageNumber from = std::max(held.range.first, range.first);
        const MessageNumber to = std::min(held.range.end(), end);
        if (held.frame.get() != &frame || held.overrun) {
            ++i;
            continue;
        }
        append_merged(marked, {from, to - from});
        held_[i] = {{from, to - from}, held.frame, true};
        const auto insert = [&](std::size_t at, MessageRange rest) {
            held_.insert(held_.begin() + static_cast<std::ptrdiff_t>(at), {rest, held.frame});
        };
        if (held.range.end() != to) {
            insert(i + 1, {to, held.range.end() - to});
        }
        if (held.range.first != from) {
            insert(i++, {held.range.first, from - held.range.first});
        }
        ++i;
    }
}

void Ledger::renewable(std::vector<MessageRange>& held) const {
    for (const Held& one : held_) {
        if (!one.overrun) {
            append_merged(held, one.range);
        }
    }
}

void Ledger::clear() {
    held_.clear();
    messages_ = 0;
}

}  // namespace mqd::client
