#pragma once

// What a Ledger holds, in the order of numbers: small entries in sorted arrays of up to 128, so
// that one that comes or goes in the middle of thousands moves a kilobyte at most. A look-up begins
// where the last one ended. Owned by a Ledger.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "mqd/types.hpp"

namespace mqd::client {

class EntryList {
  public:
    // Messages of one frame that lie together.
    struct Entry {
        MessageNumber first;
        std::uint32_t count = 0;
        std::uint32_t slot = 0;  // the Ledger's

        [[nodiscard]] MessageNumber end() const { return first.plus(count); }
        [[nodiscard]] MessageRange range() const { return {first, count}; }
    };
    // Where an entry stands; good until one is added or erased.
    struct Place {
        std::size_t chunk = 0;
        std::size_t index = 0;
    };

    [[nodiscard]] Place begin() const { return {}; }
    [[nodiscard]] bool at_end(Place at) const { return at.chunk == chunks_.size(); }
    [[nodiscard]] Place next(Place at) const {
        return at.index + 1 < chunks_[at.chunk].size() ? Place{at.chunk, at.index + 1}
                                                       : Place{at.chunk + 1, 0};
    }
    [[nodiscard]] const Entry& operator[](Place at) const { return chunks_[at.chunk][at.index]; }
    // Whoever changes it keeps the order.
    [[nodiscard]] Entry& operator[](Place at) { return chunks_[at.chunk][at.index]; }

    // The first entry that ends behind `number`.
    [[nodiscard]] Place find(MessageNumber number) const;
    // Before the one at `at`, or behind all of them. Returns where it stands.
    Place insert(Place at, const Entry& entry);
    // Returns the place of the one behind it.
    Place erase(Place at);
    void clear() { chunks_.clear(); }

  private:
    static constexpr std::size_t chunk_max = 128;  // entries
    using Chunk = std::vector<Entry>;              // none is empty

    std::vector<Chunk> chunks_;
    mutable Place near_;  // where the last look-up ended; it may be gone
};

}  // namespace mqd::client
