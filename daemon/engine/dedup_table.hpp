#pragma once

// The ids of messages that one queue remembers, oldest first, to know a message that is published
// once more: a hash of 128 bits, the number that the message got, and when. At most 40 bytes an id:
// 32 in a row, and a slot of 5 bytes, of which at least 65 in 100 are in use, that leads to it; and
// some KiB for the whole. The slots lie in shards, which grow one by one, so that no single call
// takes long.
//
// A hash stands for its id. It is for the caller to compute it with a key that nobody outside
// knows: with 2^20 ids in the table, the probability that any two of them that differ have one hash
// is below 2^-88, by accident and by intent alike.

#include <cstdint>
#include <deque>
#include <optional>
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

  private:
    static constexpr std::uint8_t free_tag = 0;
    static constexpr std::size_t shard_count = 64;

    // By hash, open addressing: where in the row it is (the lower half of its position), and some
    // bits of the hash, so that few others are looked at. A slot whose entry has left the row leads
    // to nothing, and is used again: to forget one looks at no slot.
    struct Shard {
        std::vector<std::uint32_t> places;
        std::vector<std::uint8_t> tags;
        std::size_t used = 0;  // slots, those that lead to nothing included

        [[nodiscard]] std::size_t home(const DedupHash& hash) const;
        [[nodiscard]] std::size_t next(std::size_t slot) const {
            return slot + 1 == tags.size() ? 0 : slot + 1;
        }
    };

    [[nodiscard]] static std::size_t shard_of(const DedupHash& hash) { return hash.low >> 58; }
    [[nodiscard]] std::uint32_t index_of(std::uint32_t place) const {
        return place - static_cast<std::uint32_t>(begin_);
    }
    [[nodiscard]] bool in_row(std::uint32_t place) const {
        return index_of(place) < entries_.size();
    }
    [[nodiscard]] const Entry& entry_of(std::uint32_t place) const {
        return entries_[index_of(place)];
    }
    [[nodiscard]] std::optional<std::size_t> slot_of(const Shard& shard,
                                                     const DedupHash& hash) const;
    void put(Shard& shard, const DedupHash& hash, std::uint32_t place) const;
    void rebuild(Shard& shard) const;
    void trim();

    std::deque<Entry> entries_;  // neither the first nor the last of them is forgotten
    std::uint64_t begin_ = 0;
    std::size_t size_ = 0;
    std::vector<Shard> shards_;  // none before the first entry
};

}  // namespace mqd::engine
