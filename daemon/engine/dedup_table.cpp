#include "daemon/engine/dedup_table.hpp"

#include <algorithm>

#include "mqd/assert.hpp"

namespace mqd::engine {

namespace {

constexpr std::size_t least_slots = 16;
// Between the two, in hundredths, a table is full: beyond, it grows.
constexpr std::size_t fullest = 85;
constexpr std::size_t full_after_growth = 66;

std::uint8_t tag_of(const DedupHash& hash) {
    return static_cast<std::uint8_t>(hash.low) | 1;  // never free_tag
}

}  // namespace

// The slots stand in the order of the high bits of the hashes, so that their number need not be a
// power of two.
std::size_t DedupTable::home(const DedupHash& hash) const {
    const std::uint64_t bits = hash.high >> 32;
    return static_cast<std::size_t>((bits * tags_.size()) >> 32);
}

std::optional<std::size_t> DedupTable::slot_of(const DedupHash& hash) const {
    if (tags_.empty()) {
        return std::nullopt;
    }
    for (std::size_t slot = home(hash); tags_[slot] != free_tag; slot = next(slot)) {
        if (tags_[slot] == tag_of(hash) && in_slot(slot).hash == hash) {
            return slot;
        }
    }
    return std::nullopt;
}

const DedupTable::Entry* DedupTable::find(const DedupHash& hash) const {
    const auto slot = slot_of(hash);
    return slot ? &in_slot(*slot) : nullptr;
}

void DedupTable::put(const DedupHash& hash, std::uint32_t place) {
    std::size_t slot = home(hash);
    while (tags_[slot] != free_tag) {
        slot = next(slot);
    }
    tags_[slot] = tag_of(hash);
    places_[slot] = place;
}

void DedupTable::grow() {
    const std::size_t slots =
        std::max(least_slots, (entries_.size() + 1) * 100 / full_after_growth);
    std::vector<std::uint8_t>(slots, free_tag).swap(tags_);
    std::vector<std::uint32_t>(slots).swap(places_);
    std::uint32_t place = first_place_;
    for (const Entry& entry : entries_) {
        put(entry.hash, place++);
    }
}

void DedupTable::add(const Entry& entry) {
    MQD_ASSERT(find(entry.hash) == nullptr && entries_.size() < UINT32_MAX - 1, entries_.size());
    if ((entries_.size() + 1) * 100 > tags_.size() * fullest) {
        grow();
    }
    entries_.push_back(entry);
    put(entry.hash, first_place_ + static_cast<std::uint32_t>(entries_.size() - 1));
}

// What stands behind a slot that becomes free, and would not be found any more, moves there.
void DedupTable::forget_oldest() {
    const auto found = slot_of(entries_.front().hash);
    MQD_ASSERT(found.has_value());
    std::size_t gap = *found;
    for (std::size_t slot = next(gap); tags_[slot] != free_tag; slot = next(slot)) {
        const std::size_t wanted = home(in_slot(slot).hash);
        const bool between =
            gap <= slot ? gap < wanted && wanted <= slot : gap < wanted || wanted <= slot;
        if (!between) {
            tags_[gap] = tags_[slot];
            places_[gap] = places_[slot];
            gap = slot;
        }
    }
    tags_[gap] = free_tag;
    entries_.pop_front();
    ++first_place_;
}

void DedupTable::forget_before(WallTime time) {
    while (!entries_.empty() && entries_.front().taken < time) {
        forget_oldest();
    }
}

void DedupTable::forget_down_to(std::size_t count) {
    while (entries_.size() > count) {
        forget_oldest();
    }
}

}  // namespace mqd::engine
