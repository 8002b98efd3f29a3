#pragma once

// The ids of messages that one queue remembers, oldest first, to know a message that is published
// once more: a hash of 128 bits, the number that the message got, and when. At most 45 bytes an id:
// 32 in a row, and a slot of 6.4 bytes, of which at least half are in use, that leads to it;
// and some KiB for the whole. The slots lie in shards, which grow one by one, so that no single
// call takes long.
//
// Slots are in buckets of two cache lines each: to look an id up and to add it touches one or two
// of them, whatever the table holds, and no memory besides, unless 16 bits of some other hash
// happen to be the same; to forget the oldest touches none.
//
// A hash stands for its id. It is for the caller to compute it with a key that nobody outside
// knows: with 2^20 ids in the table, the probability that any two of them that differ have one hash
// is below 2^-88, by accident and by intent alike.

#include <array>
#include <cstdint>
#include <deque>
#include <vector>

#include "daemon/engine/time.hpp"
#include "mqd/types.hpp"

namespace mqd::engine {

struct DedupHash {
    std::uint64_t high = 0;
    std::uint64_t low = 0;
    friend bool operator==(const DedupHash&, const DedupHash&) = default;
};

class DedupTable {
  public:
    struct Entry {
        DedupHash hash;
        MessageNumber number;  // 0: forgotten out of turn, and passed over
        Time taken;
    };
    static_assert(sizeof(Entry) == 32);
    static constexpr MessageNumber forgotten{0};

    // The message that was taken under that id. Null: none is remembered. Valid until a change.
    [[nodiscard]] const Entry* find(const DedupHash& hash) const;
    // Behind all others. Precondition: no such hash is there, its number is not 0, and size() is
    // less than 2^31.
    void add(const Entry& entry);
    // Wherever it is, if it is there.
    void forget(const DedupHash& hash);
    // Preconditions: there is one.
    void forget_oldest();
    void forget_newest();

    [[nodiscard]] std::size_t size() const { return size_; }
    [[nodiscard]] bool empty() const { return size_ == 0; }
    // Precondition: there is one.
    [[nodiscard]] const Entry& oldest() const { return entries_.front(); }

    // Where they lie in the row, some of them forgotten: positions from begin() on, below end(). An
    // entry keeps its position as long as it is there.
    [[nodiscard]] std::uint64_t begin() const { return begin_; }
    [[nodiscard]] std::uint64_t end() const { return begin_ + entries_.size(); }
    [[nodiscard]] const Entry& at(std::uint64_t position) const {
        return entries_[static_cast<std::size_t>(position - begin_)];
    }
    // Precondition: it is not forgotten, nor is `number`.
    void set_number(std::uint64_t position, MessageNumber number) {
        entries_[static_cast<std::size_t>(position - begin_)].number = number;
    }

    [[nodiscard]] std::size_t memory_bytes() const;

    // It is looked up soon: lets the memory that this needs come meanwhile.
    void bring_near(const DedupHash& hash) const;

  private:
    static constexpr std::size_t shard_count = 64;

    // Positions in the row are kept as their lower halves, places. A slot leads to an id as long as
    // its place is in the row; to forget the oldest id touches no slot. (2^32 ids later, a slot
    // that was not used again leads to another id, for a while: that costs a comparison.)
    struct alignas(128) Bucket {
        static constexpr std::size_t slots = 20;

        std::array<std::uint16_t, slots> tags{};  // bits of the hashes: others are seldom read
        // The place of the newest id that found this bucket full and went on: while that has not
        // left the row at its front, a look-up goes on as well.
        std::uint32_t passed = 0;
        std::array<std::uint32_t, slots> places{};

        // A bit for each slot with that tag, and seldom one for another; slot_of() tells which.
        [[nodiscard]] std::uint64_t with_tag(std::uint16_t tag) const;
        [[nodiscard]] static std::size_t slot_of(int bit) {
            const auto at = static_cast<std::size_t>(bit);
            return at / 16 + at % 16 * 4;
        }
    };
    static_assert(sizeof(Bucket) == 128);

    // Buckets stand in the order of the high bits of the hashes, so that their number need not be a
    // power of two.
    struct Shard {
        std::vector<Bucket> buckets;
        std::size_t used = 0;  // slots that lead into the row, also to what is forgotten

        [[nodiscard]] std::size_t slots() const { return buckets.size() * Bucket::slots; }
        [[nodiscard]] std::size_t home(const DedupHash& hash) const {
            return static_cast<std::size_t>(((hash.high >> 32) * buckets.size()) >> 32);
        }
        [[nodiscard]] std::size_t next(std::size_t bucket) const {
            return bucket + 1 == buckets.size() ? 0 : bucket + 1;
        }
    };

    [[nodiscard]] static std::size_t shard_of(const DedupHash& hash) { return hash.low >> 58; }
    // Behind the beginning of the row; with the place of what has left it at the front, more than
    // it can be long.
    [[nodiscard]] std::uint32_t index_of(std::uint32_t place) const {
        return place - static_cast<std::uint32_t>(begin_);
    }
    [[nodiscard]] bool in_row(std::uint32_t place) const {
        return index_of(place) < entries_.size();
    }
    [[nodiscard]] bool left_at_front(std::uint32_t place) const {
        return index_of(place) >= entries_max;
    }
    [[nodiscard]] const Entry& entry_of(std::uint32_t place) const {
        return entries_[index_of(place)];
    }
    // fn(bucket, slot) of what may lead to an id with that hash, until it says true.
    template <typename Fn>
    void search(const DedupHash& hash, Fn&& fn) const;
    void put(Shard& shard, const DedupHash& hash, std::uint32_t place) const;
    void resize(Shard& shard) const;
    void pop_front();
    void pop_back();
    void trim();

    static constexpr std::uint32_t entries_max = std::uint32_t{1} << 31;

    std::deque<Entry> entries_;  // neither the first nor the last of them is forgotten
    std::uint64_t begin_ = 1;    // so that a new slot, with the place 0, leads to nothing
    std::size_t size_ = 0;
    std::vector<Shard> shards_;  // none before the first entry
};

}  // namespace mqd::engine
