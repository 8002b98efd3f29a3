#include "daemon/engine/dedup_table.hpp"

#include <algorithm>
#include <utility>

#include "mqd/assert.hpp"

namespace mqd::engine {

namespace {

constexpr std::size_t least_slots = 16;
// In hundredths: beyond, slots that lead to nothing included, a shard is made anew, so full.
constexpr std::size_t fullest = 85;
constexpr std::size_t full_when_new = 66;
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

std::optional<std::size_t> DedupTable::slot_of(const Shard& shard, const DedupHash& hash) const {
    if (shard.tags.empty()) {
        return std::nullopt;
    }
    for (std::size_t slot = shard.home(hash); shard.tags[slot] != free_tag;
         slot = shard.next(slot)) {
        if (shard.tags[slot] == tag_of(hash) && in_row(shard.places[slot])) {
            const Entry& entry = entry_of(shard.places[slot]);
            if (entry.hash == hash && entry.number != forgotten) {
                return slot;
            }
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
    return slot ? &entry_of(shard.places[*slot]) : nullptr;
}

// In the first slot that leads to nothing.
void DedupTable::put(Shard& shard, const DedupHash& hash, std::uint32_t place) const {
    std::size_t slot = shard.home(hash);
    while (shard.tags[slot] != free_tag && in_row(shard.places[slot])) {
        slot = shard.next(slot);
    }
    shard.used += shard.tags[slot] == free_tag ? 1 : 0;
    shard.tags[slot] = tag_of(hash);
    shard.places[slot] = place;
}

// With room for more, and without the slots that lead to what is forgotten.
void DedupTable::rebuild(Shard& shard) const {
    std::vector<std::uint32_t> places;
    places.reserve(shard.used);
    for (std::size_t slot = 0; slot < shard.tags.size(); ++slot) {
        if (shard.tags[slot] != free_tag && in_row(shard.places[slot])) {
            places.push_back(shard.places[slot]);
        }
    }
    const std::size_t slots = std::max(least_slots, (places.size() + 1) * 100 / full_when_new);
    Shard rebuilt;
    rebuilt.tags.resize(slots, free_tag);
    rebuilt.places.resize(slots);
    for (const std::uint32_t place : places) {
        put(rebuilt, entry_of(place).hash, place);
    }
    shard = std::move(rebuilt);
}

void DedupTable::add(const Entry& entry) {
    MQD_ASSERT(entry.number != forgotten, size_);
    MQD_ASSERT(entries_.size() < entries_max, entries_.size());
    if (shards_.empty()) {
        shards_.resize(shard_count);
    }
    Shard& shard = shards_[shard_of(entry.hash)];
    if ((shard.used + 1) * 100 > shard.tags.size() * fullest) {
        rebuild(shard);
    }
    put(shard, entry.hash, static_cast<std::uint32_t>(end()));
    entries_.push_back(entry);
    ++size_;
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
        --size_;
        trim();
    }
}

void DedupTable::forget_oldest() {
    entries_.pop_front();
    ++begin_;
    --size_;
    trim();
}

void DedupTable::forget_newest() {
    entries_.pop_back();
    --size_;
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
