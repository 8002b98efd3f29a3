#pragma once

// A sorted set of small values, packed into chunks: little more memory than the values themselves,
// where a node of a tree each would cost several times that. An insertion moves part of one chunk,
// and now and then the list of chunks.

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <vector>

#include "mqd/assert.hpp"

namespace mqd::engine {

template <typename Value>
class PackedSet {
  public:
    // Where a value stands; good until the set is changed.
    struct Place {
        std::size_t chunk = 0;
        std::size_t index = 0;
        friend bool operator==(const Place&, const Place&) = default;
    };

    [[nodiscard]] bool empty() const { return chunks_.empty(); }
    [[nodiscard]] std::size_t size() const { return size_; }
    [[nodiscard]] std::size_t memory_bytes() const {
        std::size_t bytes = chunks_.capacity() * sizeof(Chunk);
        for (const Chunk& chunk : chunks_) {
            bytes += chunk.capacity() * sizeof(Value);
        }
        return bytes;
    }

    [[nodiscard]] Place begin() const { return {}; }
    [[nodiscard]] Place end() const { return {chunks_.size(), 0}; }
    [[nodiscard]] Place next(Place at) const {
        return at.index + 1 < chunks_[at.chunk].size() ? Place{at.chunk, at.index + 1}
                                                       : Place{at.chunk + 1, 0};
    }
    // Precondition: at is not begin().
    [[nodiscard]] Place before(Place at) const {
        MQD_ASSERT(at != begin());
        return at.index > 0 ? Place{at.chunk, at.index - 1}
                            : Place{at.chunk - 1, chunks_[at.chunk - 1].size() - 1};
    }
    [[nodiscard]] const Value& operator[](Place at) const { return chunks_[at.chunk][at.index]; }

    // The first value that is not less.
    [[nodiscard]] Place lower_bound(const Value& value) const {
        const auto chunk = std::lower_bound(
            chunks_.begin(), chunks_.end(), value,
            [](const Chunk& some, const Value& sought) { return some.back() < sought; });
        if (chunk == chunks_.end()) {
            return end();
        }
        const auto at = std::lower_bound(chunk->begin(), chunk->end(), value);
        return {static_cast<std::size_t>(chunk - chunks_.begin()),
                static_cast<std::size_t>(at - chunk->begin())};
    }

    // Precondition: there is none like it.
    void insert(const Value& value) {
        Place at = lower_bound(value);
        MQD_ASSERT(at == end() || value < (*this)[at]);
        ++size_;
        if (at == end()) {  // behind all: chunks that are filled in order end up full
            if (chunks_.empty() || chunks_.back().size() == chunk_max) {
                chunks_.emplace_back();
            }
            chunks_.back().push_back(value);
            return;
        }
        if (chunks_[at.chunk].size() == chunk_max) {
            split(at);
        }
        Chunk& chunk = chunks_[at.chunk];
        chunk.insert(chunk.begin() + static_cast<std::ptrdiff_t>(at.index), value);
    }

    void erase(Place at) {
        Chunk& chunk = chunks_[at.chunk];
        chunk.erase(chunk.begin() + static_cast<std::ptrdiff_t>(at.index));
        --size_;
        if (chunk.empty()) {
            chunks_.erase(chunks_.begin() + static_cast<std::ptrdiff_t>(at.chunk));
        } else if (at.chunk + 1 < chunks_.size() &&
                   chunk.size() + chunks_[at.chunk + 1].size() <= chunk_max / 2) {
            Chunk& behind = chunks_[at.chunk + 1];
            chunk.insert(chunk.end(), behind.begin(), behind.end());
            chunks_.erase(chunks_.begin() + static_cast<std::ptrdiff_t>(at.chunk + 1));
        }
    }

    // Erases all of which `gone` says so: one pass, whatever they are.
    template <typename Fn>
    void erase_if(Fn&& gone) {
        size_ = 0;
        for (Chunk& chunk : chunks_) {
            std::erase_if(chunk, gone);
            size_ += chunk.size();
        }
        std::erase_if(chunks_, [](const Chunk& chunk) { return chunk.empty(); });
    }

    // The same value as far as the order goes. Precondition: neither is less than the other.
    void replace(Place at, const Value& value) {
        Value& old = chunks_[at.chunk][at.index];
        MQD_ASSERT(!(old < value) && !(value < old));
        old = value;
    }

  private:
    static constexpr std::size_t chunk_max = 128;  // values
    using Chunk = std::vector<Value>;              // none is empty

    // Halves the chunk; `at` stays where the value that it names goes.
    void split(Place& at) {
        Chunk& full = chunks_[at.chunk];
        const auto half = full.begin() + static_cast<std::ptrdiff_t>(chunk_max / 2);
        Chunk upper(half, full.end());
        Chunk lower(full.begin(), half);
        full = std::move(lower);
        chunks_.insert(chunks_.begin() + static_cast<std::ptrdiff_t>(at.chunk + 1),
                       std::move(upper));
        if (at.index > chunk_max / 2) {
            at = {at.chunk + 1, at.index - chunk_max / 2};
        }
    }

    std::vector<Chunk> chunks_;
    std::size_t size_ = 0;
};

}  // namespace mqd::engine
