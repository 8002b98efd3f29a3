#include "daemon/engine/dedup_table.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "daemon/engine/prefetch.hpp"
#include "mqd/assert.hpp"

namespace mqd::engine {

namespace {

// In hundredths of its slots: a shard that is fuller, or emptier, is made anew.
constexpr std::size_t fullest = 88;
constexpr std::size_t emptiest = 20;
constexpr std::size_t full_when_new = 50;
// While a shard is made anew: so many entries ahead are on their way from memory.
constexpr std::size_t fetched_ahead = 16;

std::uint16_t tag_of(const DedupHash& hash) {
    return static_cast<std::uint16_t>(hash.low);
}

// The high bit of each 16 that are zero, and perhaps of some behind the first ones.
std::uint64_t zeroes(std::uint64_t word) {
    return (word - 0x0001'0001'0001'0001u) & ~word & 0x8000'8000'8000'8000u;
}

}  // namespace

// Four tags at a time; bit 16 * i + w stands for tag i of word w.
std::uint64_t DedupTable::Bucket::with_tag(std::uint16_t tag) const {
    static_assert(std::endian::native == std::endian::little);
    constexpr std::size_t in_word = sizeof(std::uint64_t) / sizeof(std::uint16_t);
    const std::uint64_t sought = 0x0001'0001'0001'0001u * tag;
    std::uint64_t some = 0;
    for (std::size_t w = 0; w < slots / in_word; ++w) {
        std::uint64_t word = 0;
        std::memcpy(&word, tags.data() + w * in_word, sizeof word);
        some |= zeroes(word ^ sought) >> (15 - w);
    }
    return some;
}

template <typename Fn>
void DedupTable::search(const DedupHash& hash, Fn&& fn) const {
    if (shards_.empty()) {
        return;
    }
    const Shard& shard = shards_[shard_of(hash)];
    std::size_t at = shard.buckets.empty() ? 0 : shard.home(hash);
    for (std::size_t left = shard.buckets.size(); left > 0; --left, at = shard.next(at)) {
        const Bucket& bucket = shard.buckets[at];
        for (std::uint64_t some = bucket.with_tag(tag_of(hash)); some != 0; some &= some - 1) {
            const std::size_t slot = Bucket::slot_of(std::countr_zero(some));
            if (in_row(bucket.places[slot]) && fn(bucket, slot)) {
                return;
            }
        }
        if (left_at_front(bucket.passed)) {
            return;
        }
    }
}

const DedupTable::Entry* DedupTable::find(const DedupHash& hash) const {
    const Entry* found = nullptr;
    search(hash, [&](const Bucket& bucket, std::size_t slot) {
        const Entry& entry = entry_of(bucket.places[slot]);
        found = entry.hash == hash && entry.number != forgotten ? &entry : nullptr;
        return found != nullptr;
    });
    return found;
}

void DedupTable::bring_near(const DedupHash& hash) const {
    if (!shards_.empty()) {
        const Shard& shard = shards_[shard_of(hash)];
        if (!shard.buckets.empty()) {
            const Bucket& bucket = shard.buckets[shard.home(hash)];
            prefetch(&bucket);
            prefetch(&bucket.places.back());
        }
    }
}

// In a slot that leads to nothing. Precondition: there is one.
void DedupTable::put(Shard& shard, const DedupHash& hash, std::uint32_t place) const {
    for (std::size_t at = shard.home(hash);; at = shard.next(at)) {
        Bucket& bucket = shard.buckets[at];
        if (left_at_front(bucket.passed)) {  // so that it stays so when places begin anew
            bucket.passed = static_cast<std::uint32_t>(begin_ - 1);
        }
        std::size_t slot = place % Bucket::slots;  // free ones lie anywhere
        for (std::size_t i = 0; i < Bucket::slots; ++i) {
            slot = slot + 1 == Bucket::slots ? 0 : slot + 1;
            if (!in_row(bucket.places[slot])) {
                bucket.places[slot] = place;
                bucket.tags[slot] = tag_of(hash);
                ++shard.used;
                return;
            }
        }
        if (left_at_front(bucket.passed) || index_of(bucket.passed) < index_of(place)) {
            bucket.passed = place;
        }
    }
}

// To the size that fits what it holds, and one more.
void DedupTable::resize(Shard& shard) const {
    std::vector<std::uint32_t> places;
    places.reserve(shard.used);
    for (const Bucket& bucket : shard.buckets) {
        std::copy_if(bucket.places.begin(), bucket.places.end(), std::back_inserter(places),
                     [&](std::uint32_t place) { return in_row(place); });
    }
    const std::size_t slots = (places.size() + 1) * 100 / full_when_new;
    Shard made;
    made.buckets.resize(slots / Bucket::slots + 1);
    for (std::size_t i = 0; i < places.size(); ++i) {
        if (i + fetched_ahead < places.size()) {
            prefetch(&entry_of(places[i + fetched_ahead]));
        }
        put(made, entry_of(places[i]).hash, places[i]);
    }
    shard = std::move(made);
}

void DedupTable::add(const Entry& entry) {
    MQD_ASSERT(entry.number != forgotten, size_);
    MQD_ASSERT(entries_.size() < entries_max, entries_.size());
    if (shards_.empty()) {
        shards_.resize(shard_count);
    }
    Shard& shard = shards_[shard_of(entry.hash)];
    if ((shard.used + 1) * 100 > shard.slots() * fullest) {
        resize(shard);
    }
    put(shard, entry.hash, static_cast<std::uint32_t>(end()));
    entries_.push_back(entry);
    ++size_;
}

void DedupTable::pop_front() {
    Shard& shard = shards_[shard_of(entries_.front().hash)];
    entries_.pop_front();
    ++begin_;
    --shard.used;
    if (shard.used * 100 < shard.slots() * emptiest && shard.buckets.size() > 1) {
        resize(shard);
    }
}

// Its place is given out again, so its slot must not lead there.
void DedupTable::pop_back() {
    const DedupHash hash = entries_.back().hash;
    const auto place = static_cast<std::uint32_t>(end() - 1);
    search(hash, [&](const Bucket& bucket, std::size_t slot) {
        const bool found = bucket.places[slot] == place;
        if (found) {
            const_cast<Bucket&>(bucket).places[slot] = static_cast<std::uint32_t>(begin_ - 1);
        }
        return found;
    });
    entries_.pop_back();
    --shards_[shard_of(hash)].used;
}

void DedupTable::trim() {
    while (!entries_.empty() && entries_.front().number == forgotten) {
        pop_front();
    }
    while (!entries_.empty() && entries_.back().number == forgotten) {
        pop_back();
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
    pop_front();
    --size_;
    trim();
}

void DedupTable::forget_newest() {
    pop_back();
    --size_;
    trim();
}

std::size_t DedupTable::memory_bytes() const {
    std::size_t bytes = entries_.size() * sizeof(Entry) + shards_.size() * sizeof(Shard);
    for (const Shard& shard : shards_) {
        bytes += shard.buckets.capacity() * sizeof(Bucket);
    }
    return bytes;
}

}  // namespace mqd::engine
