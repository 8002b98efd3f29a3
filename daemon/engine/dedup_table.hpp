#pragma once

// The ids of messages that one queue remembers, oldest first, to know a message that is published
// once more: a hash of 128 bits, the number that the message got, and when. At most 40 bytes an id:
// 32 in a row, and a slot of 5 bytes, of which at least 65 in 100 are in use, that leads to it.
//
// A hash stands for its id. It is for the caller to compute it with a key that nobody outside
// knows: with 2^20 ids in the table, the probability that any two of them that differ have one hash
// is below 2^-88, by accident and by intent alike.

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

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
        MessageNumber number;
        WallTime taken;
    };
    static_assert(sizeof(Entry) == 32);

    // The message that was taken under that id. Null: none is remembered. Valid until a change.
    [[nodiscard]] const Entry* find(const DedupHash& hash) const;
    // Precondition: no such hash is there, and size() is less than 2^32 - 1.
    void add(const Entry& entry);
    // Those that were taken before that time, up to the first that was not.
    void forget_before(WallTime time);
    // The oldest ones, until there are at most so many.
    void forget_down_to(std::size_t count);

    [[nodiscard]] std::size_t size() const { return entries_.size(); }
    // From the oldest, 0, on.
    [[nodiscard]] const Entry& at(std::size_t index) const { return entries_[index]; }
    [[nodiscard]] std::size_t memory_bytes() const {
        return entries_.size() * sizeof(Entry) + places_.capacity() * sizeof(std::uint32_t) +
               tags_.capacity();
    }

  private:
    static constexpr std::uint8_t free_tag = 0;

    [[nodiscard]] std::size_t home(const DedupHash& hash) const;
    [[nodiscard]] std::size_t next(std::size_t slot) const {
        return slot + 1 == tags_.size() ? 0 : slot + 1;
    }
    [[nodiscard]] const Entry& in_slot(std::size_t slot) const {
        return entries_[places_[slot] - first_place_];
    }
    [[nodiscard]] std::optional<std::size_t> slot_of(const DedupHash& hash) const;
    void put(const DedupHash& hash, std::uint32_t place);
    void grow();
    void forget_oldest();

    std::deque<Entry> entries_;
    std::uint32_t first_place_ = 0;  // of entries_.front(); places wrap around
    // By hash, open addressing: where in the row it is, and some bits of it, so that few others are
    // looked at.
    std::vector<std::uint32_t> places_;
    std::vector<std::uint8_t> tags_;
};

}  // namespace mqd::engine
