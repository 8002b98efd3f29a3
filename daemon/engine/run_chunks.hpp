#pragma once

// Sorted runs of numbers in chunks of an array each: what lies together is found together, and
// there is no node for every run. Like a B-tree of two levels; the look-up that continues where the
// last one ended, which is what deliveries and acks do, costs a comparison, and one that lies a
// little behind it a few. Memory: a chunk is at least a quarter full unless it is the only one, so
// at most four times the runs.

#include <algorithm>
#include <cstdint>
#include <memory_resource>
#include <new>
#include <utility>
#include <vector>

#include "daemon/engine/gallop.hpp"
#include "mqd/assert.hpp"
#include "mqd/types.hpp"

namespace mqd::engine {

template <typename Value>
class RunChunks {
  public:
    struct Entry {
        MessageNumber first;
        MessageNumber last;
        Value value{};
    };
    // Where an entry stands; good until one is added or erased.
    struct Place {
        std::uint32_t chunk = 0;
        std::uint32_t index = 0;
        friend bool operator==(const Place&, const Place&) = default;
    };

    explicit RunChunks(std::pmr::memory_resource* memory) : chunks_(memory) {}
    ~RunChunks() { clear(); }
    RunChunks(const RunChunks&) = delete;
    RunChunks& operator=(const RunChunks&) = delete;

    [[nodiscard]] std::size_t size() const { return size_; }
    [[nodiscard]] Place begin() const {
        return size_ == 0 ? end() : Place{head_, chunks_[head_].begin};
    }
    [[nodiscard]] Place end() const { return {static_cast<std::uint32_t>(chunks_.size()), 0}; }
    [[nodiscard]] const Entry& operator[](Place at) const {
        return chunks_[at.chunk].entries[at.index];
    }
    [[nodiscard]] Place next(Place at) const { return settled({at.chunk, at.index + 1}); }
    // Precondition: at is not begin().
    [[nodiscard]] Place before(Place at) const {
        if (at.chunk < chunks_.size() && at.index > chunks_[at.chunk].begin) {
            return {at.chunk, at.index - 1};
        }
        MQD_ASSERT(at.chunk > head_);
        return {at.chunk - 1, chunks_[at.chunk - 1].end - 1};
    }

    // The first entry that does not end before `number`.
    [[nodiscard]] Place find(MessageNumber number) const {
        if (size_ == 0) {
            return end();
        }
        std::uint32_t at = near_.chunk;
        if (!holds(at, number)) {
            if (holds(at + 1, number)) {
                ++at;
            } else {
                at = chunk_from(number);
                if (at == chunks_.size()) {
                    return end();
                }
            }
        }
        near_ = {at, index_in(at, number)};
        return near_;
    }

    // Precondition: the order stays one.
    void set_first(Place at, MessageNumber first) { entry(at).first = first; }
    void set_last(Place at, MessageNumber last) {
        entry(at).last = last;
        Chunk& chunk = chunks_[at.chunk];
        chunk.last = at.index + 1 == chunk.end ? last : chunk.last;
    }

    // Before the entry at `at`, or behind all of them.
    void insert(Place at, Entry entry) {
        if (chunks_.empty()) {
            chunks_.push_back({});
        }
        if (at.chunk == chunks_.size()) {
            const std::uint32_t back = at.chunk - 1;
            at = {back, chunks_[back].end};
        } else if (at.index == chunks_[at.chunk].begin && at.chunk > head_ &&
                   chunks_[at.chunk - 1].size() < chunks_[at.chunk].size()) {
            at = {at.chunk - 1, chunks_[at.chunk - 1].end};
        }
        make_room(at);
        Chunk& chunk = chunks_[at.chunk];
        chunk.entries[at.index] = std::move(entry);
        chunk.last = chunk.entries[chunk.end - 1].last;
        near_ = at;
        ++size_;
    }

    // Returns the place of the one behind it.
    Place erase(Place at) {
        Chunk& chunk = chunks_[at.chunk];
        --size_;
        Entry* const entries = chunk.entries;
        if (at.index - chunk.begin < chunk.end - at.index - 1) {
            std::move_backward(entries + chunk.begin, entries + at.index, entries + at.index + 1);
            entries[chunk.begin++].value = Value{};
            ++at.index;
        } else {
            std::move(entries + at.index + 1, entries + chunk.end, entries + at.index);
            entries[--chunk.end].value = Value{};
        }
        if (chunk.size() > 0) {
            chunk.last = entries[chunk.end - 1].last;
        }
        return chunk.size() <= sparse_max ? thinned(at) : settled(at);
    }

    void clear() {
        for (std::size_t i = head_; i < chunks_.size(); ++i) {
            release(chunks_[i]);
        }
        chunks_.clear();
        head_ = 0;
        size_ = 0;
    }

  private:
    static constexpr std::uint32_t chunk_max = 64;   // entries
    static constexpr std::uint32_t sparse_max = 16;  // is looked at whether it can be joined
    static constexpr std::uint32_t first_capacity = 2;
    static constexpr std::uint32_t growth = 4;

    struct Chunk {
        MessageNumber last;        // of its last entry
        Entry* entries = nullptr;  // [capacity], of which [begin, end) are in use
        std::uint32_t begin = 0;
        std::uint32_t end = 0;
        std::uint32_t capacity = 0;

        [[nodiscard]] std::uint32_t size() const { return end - begin; }
    };

    [[nodiscard]] Entry& entry(Place at) { return chunks_[at.chunk].entries[at.index]; }
    // The same place, or the beginning of the next chunk where it is behind the end of one.
    [[nodiscard]] Place settled(Place at) const {
        if (at.index < chunks_[at.chunk].end) {
            return at;
        }
        ++at.chunk;
        return at.chunk < chunks_.size() ? Place{at.chunk, chunks_[at.chunk].begin} : end();
    }
    // Whether find() of it ends in this chunk.
    [[nodiscard]] bool holds(std::uint32_t chunk, MessageNumber number) const {
        return chunk >= head_ && chunk < chunks_.size() && number <= chunks_[chunk].last &&
               (chunk == head_ || chunks_[chunk - 1].last < number);
    }
    // The first chunk that does not end before it. It is sought from where the last look-up ended,
    // if it lies behind that.
    [[nodiscard]] std::uint32_t chunk_from(MessageNumber number) const {
        const std::uint32_t near = near_.chunk;
        const bool goes_on =
            near > head_ && near < chunks_.size() && chunks_[near - 1].last < number;
        return static_cast<std::uint32_t>(
            gallop(goes_on ? near : head_, chunks_.size(),
                   [&](std::size_t i) { return chunks_[i].last < number; }));
    }
    [[nodiscard]] std::uint32_t index_in(std::uint32_t at, MessageNumber number) const {
        const Chunk& chunk = chunks_[at];
        for (std::uint32_t i = near_.index; i <= near_.index + 1; ++i) {
            if (i >= chunk.begin && i < chunk.end && number <= chunk.entries[i].last &&
                (i == chunk.begin || chunk.entries[i - 1].last < number)) {
                return i;
            }
        }
        const bool goes_on = at == near_.chunk && near_.index >= chunk.begin &&
                             near_.index < chunk.end && chunk.entries[near_.index].last < number;
        return static_cast<std::uint32_t>(
            gallop(goes_on ? near_.index + 1 : chunk.begin, chunk.end,
                   [&](std::size_t i) { return chunk.entries[i].last < number; }));
    }

    // Room for one more at `at`, wherever that is then.
    void make_room(Place& at) {
        const bool behind_all = at.chunk + 1 == chunks_.size() && at.index == chunks_.back().end;
        if (chunks_[at.chunk].size() == chunk_max || (behind_all && worn(chunks_.back()))) {
            split(at, behind_all);
        }
        Chunk& chunk = chunks_[at.chunk];
        if (chunk.size() == chunk.capacity) {
            resize(chunk, std::max(first_capacity, std::min(chunk.capacity * growth, chunk_max)));
        }
        Entry* const entries = chunk.entries;
        if (chunk.end == chunk.capacity && at.index == chunk.end) {  // all of it, once for many
            std::move(entries + chunk.begin, entries + chunk.end, entries);
            chunk.end -= chunk.begin;
            chunk.begin = 0;
            at.index = chunk.end;
        }
        const bool towards_front = at.index - chunk.begin < chunk.end - at.index;
        if (chunk.end == chunk.capacity || (towards_front && chunk.begin > 0)) {
            std::move(entries + chunk.begin, entries + at.index, entries + chunk.begin - 1);
            --chunk.begin;
            --at.index;
        } else {
            std::move_backward(entries + at.index, entries + chunk.end, entries + chunk.end + 1);
            ++chunk.end;
        }
    }

    // A full array that was emptied from the front a little: moving it for one more does not pay.
    [[nodiscard]] static bool worn(const Chunk& chunk) {
        return chunk.capacity == chunk_max && chunk.end == chunk_max && chunk.begin < sparse_max;
    }
    // Halves the chunk; where something is added behind all, that goes into a new one instead.
    void split(Place& at, bool behind_all) {
        chunks_.insert(chunks_.begin() + at.chunk + 1, Chunk{});
        if (behind_all) {
            ++at.chunk;
            at.index = 0;
            return;
        }
        Chunk& lower = chunks_[at.chunk];
        Chunk& upper = chunks_[at.chunk + 1];
        resize(upper, chunk_max);
        const std::uint32_t middle = lower.begin + lower.size() / 2;
        append(upper, lower, middle);
        if (at.index > lower.end) {
            at = {at.chunk + 1, at.index - lower.end};
        }
    }

    // What of `from` lies from `index` on goes behind the rest. Precondition: there is room.
    static void append(Chunk& to, Chunk& from, std::uint32_t index) {
        std::move(from.entries + index, from.entries + from.end, to.entries + to.end);
        for (std::uint32_t i = index; i < from.end; ++i) {
            from.entries[i].value = Value{};
        }
        to.end += from.end - index;
        to.last = to.entries[to.end - 1].last;
        from.end = index;
        if (from.size() > 0) {
            from.last = from.entries[from.end - 1].last;
        }
    }

    // `at` after one was erased from a chunk that has few left: they go to a neighbour with few.
    Place thinned(Place at) {
        Chunk& chunk = chunks_[at.chunk];
        if (chunk.size() == 0) {
            if (size_ == 0 && chunk.capacity <= first_capacity * growth) {
                chunk.begin = chunk.end = 0;  // it is used again soon, and small
                return end();
            }
            release(chunk);
            const bool at_head = at.chunk == head_;
            drop(at.chunk);
            at.chunk = at_head ? head_ : at.chunk;
            return at.chunk < chunks_.size() ? Place{at.chunk, chunks_[at.chunk].begin} : end();
        }
        if (at.chunk + 1 < chunks_.size() && joinable(at.chunk)) {
            const std::uint32_t offset = at.index - chunk.begin;
            join(at.chunk);
            return settled({at.chunk, chunks_[at.chunk].begin + offset});
        }
        if (at.chunk > head_ && joinable(at.chunk - 1)) {
            const std::uint32_t offset = at.index - chunk.begin;
            const std::uint32_t before = chunks_[at.chunk - 1].size();
            join(--at.chunk);
            return settled({at.chunk, chunks_[at.chunk].begin + before + offset});
        }
        return settled(at);
    }
    [[nodiscard]] bool joinable(std::uint32_t lower) const {
        return chunks_[lower].size() + chunks_[lower + 1].size() <= chunk_max / 2;
    }
    void join(std::uint32_t lower) {
        Chunk& chunk = chunks_[lower];
        Chunk& behind = chunks_[lower + 1];
        if (chunk.capacity - chunk.end < behind.size()) {
            resize(chunk, chunk_max);
        }
        append(chunk, behind, behind.begin);
        release(behind);
        drop(lower + 1);
    }
    void drop(std::uint32_t chunk) {
        if (chunk != head_) {
            chunks_.erase(chunks_.begin() + chunk);
            return;
        }
        chunks_[head_++] = Chunk{};
        if (head_ * 2 >= chunks_.size()) {
            chunks_.erase(chunks_.begin(), chunks_.begin() + head_);
            head_ = 0;
        }
    }
    void resize(Chunk& chunk, std::uint32_t capacity) {
        std::pmr::polymorphic_allocator<Entry> memory(chunks_.get_allocator().resource());
        Entry* const entries = memory.allocate(capacity);
        std::uninitialized_value_construct_n(entries, capacity);
        std::move(chunk.entries + chunk.begin, chunk.entries + chunk.end, entries);
        const std::uint32_t size = chunk.size();
        const MessageNumber last = chunk.last;
        release(chunk);
        chunk = {last, entries, 0, size, capacity};
    }
    void release(Chunk& chunk) {
        if (chunk.entries != nullptr) {
            std::pmr::polymorphic_allocator<Entry> memory(chunks_.get_allocator().resource());
            std::destroy_n(chunk.entries, chunk.capacity);
            memory.deallocate(chunk.entries, chunk.capacity);
        }
        chunk = {};
    }

    std::pmr::vector<Chunk> chunks_;  // from head_ on; none is empty, unless it is the only one
    std::uint32_t head_ = 0;
    mutable Place near_;  // where the last look-up ended; it may be gone
    std::size_t size_ = 0;
};

}  // namespace mqd::engine
