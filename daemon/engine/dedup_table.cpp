#include "daemon/engine/dedup_table.hpp"

#include <algorithm>
#include <utility>

#include "mqd/assert.hpp"

namespace mqd::engine {

namespace {

constexpr std::size_t least_slots = 16;
// Between the two, in hundredths, a shard is full: beyond, it grows.
constexpr std::size_t fullest = 85;
constexpr std::size_t full_after_growth = 66;
constexpr std::size_t entries_max = std::size_t{1} << 31;

std::uint8_t tag_of(const DedupHash& hash) {
    return static_cast<std::uint8_t>(hash.low) | 1;  // never free_tag
}

}  // namespace

// The slots stand in the order of the high bits of the hashes, so that their number need not be a
// power of two.
std::size_t DedupTable::Shard::home(const DedupHash& hash) const {
    const std::uint64_t bits = hash.high >> 32;
    return static_cast<std::size_t>((bits * tags.size()) >> 32);
}

void DedupTable::Shard::put(const DedupHash& hash, std::uint32_t place) {
    std::size_t slot = home(hash);
    while (tags[slot] != free_tag) {
        slot = next(slot);
    }
    tags[slot] = tag_of(hash);
    places[slot] = place;
}

std::optional<std::size_t> DedupTable::slot_of(const Shard& shard, const DedupHash& hash) const {
    if (shard.tags.empty()) {
        return std::nullopt;
    }
    for (std::size_t slot = shard.home(hash); shard.tags[slot] != free_tag;
         slot = shard.next(slot)) {
        if (shard.tags[slot] == tag_of(hash) && in_slot(shard, slot).hash == hash) {
            return slot;
        }
    }
    return std::nullopt;
}

const DedupTable::Entry* DedupTable::find(const DedupHash& hash) const {
    if (shards_.empty()) {
        return nullptr;
    }
    const Shard& shard = shards_[shard_of(hash)];
    const auto slot = slot_of(shard, hash);
    return slot ? &in_slot(shard, *slot) : nullptr;
}

void DedupTable::grow(Shard& shard) {
    const std::size_t slots = std::max(least_slots, (shard.used + 1) * 100 / full_after_growth);
    Shard grown;
    grown.tags.resize(slots, free_tag);
    grown.places.resize(slots);
    grown.used = shard.used;
    for (std::size_t slot = 0; slot < shard.tags.size(); ++slot) {
        if (shard.tags[slot] != free_tag) {
            grown.put(in_slot(shard, slot).hash, shard.places[slot]);
        }
    }
    shard = std::move(grown);
}

void DedupTable::add(const Entry& entry) {
    MQD_ASSERT(entry.number != forgotten && find(entry.hash) == nullptr, entry.number);
    MQD_ASSERT(entries_.size() < entries_max, entries_.size());
    if (shards_.empty()) {
        shards_.resize(shard_count);
    }
    Shard& shard = shards_[shard_of(entry.hash)];
    if ((shard.used + 1) * 100 > shard.tags.size() * fullest) {
        grow(shard);
    }
    entries_.push_back(entry);
    shard.put(entry.hash, static_cast<std::uint32_t>(end() - 1));
    ++shard.used;
    ++size_;
}

// What stands behind a slot that becomes free, and would not be found any more, moves there.
void DedupTable::free_slot(Shard& shard, std::size_t gap) {
    for (std::size_t slot = shard.next(gap); shard.tags[slot] != free_tag;
         slot = shard.next(slot)) {
        const std::size_t wanted = shard.home(in_slot(shard, slot).hash);
        const bool between =
            gap <= slot ? gap < wanted && wanted <= slot : gap < wanted || wanted <= slot;
        if (!between) {
            shard.tags[gap] = shard.tags[slot];
            shard.places[gap] = shard.places[slot];
            gap = slot;
        }
    }
    shard.tags[gap] = free_tag;
    --shard.used;
}

void DedupTable::drop_slot(const DedupHash& hash) {
    Shard& shard = shards_[shard_of(hash)];
    const auto slot = slot_of(shard, hash);
    MQD_ASSERT(slot.has_value() && size_ > 0, size_);
    free_slot(shard, *slot);
    --size_;
}

void DedupTable::trim() {
    while (!entries_.empty() && entries_.front().number == forgotten) {
        entries_.pop_front();
        ++begin_;
    }
    while (!entries_.empty() && entries_.back().number == forgotten) {
        entries_.pop_back();
    }
}

void DedupTable::forget(const DedupHash& hash) {
    if (const Entry* entry = find(hash)) {
        const_cast<Entry*>(entry)->number = forgotten;
        drop_slot(hash);
        trim();
    }
}

void DedupTable::forget_oldest() {
    drop_slot(entries_.front().hash);
    entries_.pop_front();
    ++begin_;
    trim();
}

void DedupTable::forget_newest() {
    drop_slot(entries_.back().hash);
    entries_.pop_back();
    trim();
}

std::size_t DedupTable::memory_bytes() const {
    std::size_t bytes = entries_.size() * sizeof(Entry) + shards_.size() * sizeof(Shard);
    for (const Shard& shard : shards_) {
        bytes += shard.places.capacity() * sizeof(std::uint32_t) + shard.tags.capacity();
    }
    return bytes;
}

}  // namespace mqd::engine
