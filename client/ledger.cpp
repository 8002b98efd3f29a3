#include "client/ledger.hpp"

#include <algorithm>
#include <utility>

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

Ledger::Place Ledger::add(Place at, MessageRange range, std::shared_ptr<DeliverFrame> frame,
                          bool overrun) {
    std::uint32_t slot = 0;
    if (free_slots_.empty()) {
        slot = static_cast<std::uint32_t>(slots_.size());
        slots_.emplace_back();
    } else {
        slot = free_slots_.back();
        free_slots_.pop_back();
    }
    slots_[slot] = {std::move(frame), overrun};
    return entries_.insert(at, {range.first, static_cast<std::uint32_t>(range.count), slot});
}

bool Ledger::add(const std::shared_ptr<DeliverFrame>& frame) {
    const MessageRange range{frame->messages.first_number, frame->messages.count};
    const Place at = entries_.find(range.first);
    if (!entries_.at_end(at) && entries_[at].first < range.end()) {
        return false;
    }
    add(at, range, frame, false);
    frame->unsettled = frame->messages.count;
    messages_ += range.count;
    return true;
}

Ledger::Place Ledger::cut(Place at, MessageNumber from, MessageNumber to, Removed& sum) {
    EntryList::Entry& entry = entries_[at];
    Slot& slot = slots_[entry.slot];
    DeliverFrame& frame = *slot.frame;
    MQD_ASSERT(entry.first <= from && from < to && to <= entry.end(), from, to);
    const std::uint64_t count = to - from;
    sum.messages += count;
    sum.bytes += frame.bytes(frame.index(from), frame.index(to));
    frame.unsettled -= static_cast<std::uint32_t>(count);
    frame.has_holes = frame.has_holes || frame.index(to) > frame.next;
    messages_ -= count;
    const std::uint64_t before = from - entry.first;
    const MessageRange behind{to, entry.end() - to};
    if (before == 0 && behind.count == 0) {
        slot = {};
        free_slots_.push_back(entry.slot);
        return entries_.erase(at);
    }
    if (before == 0) {
        entry.first = to;
        entry.count = static_cast<std::uint32_t>(behind.count);
        return at;
    }
    entry.count = static_cast<std::uint32_t>(before);
    if (behind.count == 0) {
        return entries_.next(at);
    }
    const Slot whole = slot;  // which may move
    return add(entries_.next(at), behind, whole.frame, whole.overrun);
}

Ledger::Removed Ledger::remove(MessageRange range, std::vector<MessageRange>& removed) {
    Removed sum;
    if (range.count == 0) {
        return sum;
    }
    const MessageNumber end = end_of(range);
    Place at = entries_.find(range.first);
    while (!entries_.at_end(at) && entries_[at].first < end) {
        const MessageNumber from = std::max(entries_[at].first, range.first);
        const MessageNumber to = std::min(entries_[at].end(), end);
        append_merged(removed, {from, to - from});
        at = cut(at, from, to, sum);
    }
    return sum;
}

Ledger::Removed Ledger::remove_handed_out(MessageNumber up_to, std::vector<MessageRange>& removed) {
    Removed sum;
    const MessageNumber end = end_of({up_to, 1});
    Place at = entries_.begin();
    while (!entries_.at_end(at) && entries_[at].first < end) {
        const DeliverFrame& frame = *slots_[entries_[at].slot].frame;
        const MessageNumber from = entries_[at].first;
        const MessageNumber handed_out = frame.messages.first_number.plus(frame.next);
        const MessageNumber to = std::min({entries_[at].end(), handed_out, end});
        if (from >= to) {
            at = entries_.next(at);
            continue;
        }
        append_merged(removed, {from, to - from});
        at = cut(at, from, to, sum);
    }
    return sum;
}

bool Ledger::holds(const DeliverFrame& frame, MessageNumber number) const {
    const Place at = entries_.find(number);
    return !entries_.at_end(at) && entries_[at].first <= number &&
           slots_[entries_[at].slot].frame.get() == &frame;
}

void Ledger::held_of(MessageRange range, std::vector<MessageRange>& held) const {
    if (range.count == 0) {
        return;
    }
    const MessageNumber end = end_of(range);
    for (Place at = entries_.find(range.first); !entries_.at_end(at) && entries_[at].first < end;
         at = entries_.next(at)) {
        const MessageNumber from = std::max(entries_[at].first, range.first);
        append_merged(held, {from, std::min(entries_[at].end(), end) - from});
    }
}

void Ledger::mark_overrun(const DeliverFrame& frame, MessageRange range,
                          std::vector<MessageRange>& marked) {
    if (range.count == 0) {
        return;
    }
    const MessageNumber end = end_of(range);
    Place at = entries_.find(range.first);
    while (!entries_.at_end(at) && entries_[at].first < end) {
        EntryList::Entry& entry = entries_[at];
        const Slot whole = slots_[entry.slot];
        const MessageNumber first = entry.first;
        const MessageNumber from = std::max(first, range.first);
        const MessageNumber to = std::min(entry.end(), end);
        const MessageRange behind{to, entry.end() - to};
        if (whole.frame.get() != &frame || whole.overrun) {
            at = entries_.next(at);
            continue;
        }
        append_merged(marked, {from, to - from});
        if (from != first) {
            entry.count = static_cast<std::uint32_t>(from - first);
            at = add(entries_.next(at), {from, to - from}, whole.frame, true);
        } else {
            entry.count = static_cast<std::uint32_t>(to - from);
            slots_[entry.slot].overrun = true;
        }
        if (behind.count != 0) {
            at = add(entries_.next(at), behind, whole.frame, false);
        }
        at = entries_.next(at);
    }
}

void Ledger::renewable(std::vector<MessageRange>& held) const {
    for (Place at = entries_.begin(); !entries_.at_end(at); at = entries_.next(at)) {
        if (!slots_[entries_[at].slot].overrun) {
            append_merged(held, entries_[at].range());
        }
    }
}

void Ledger::clear() {
    entries_.clear();
    slots_.clear();
    free_slots_.clear();
    messages_ = 0;
}

}  // namespace mqd::client
