#include "client/entry_list.hpp"

#include <algorithm>

namespace mqd::client {

namespace {

// The first index in [from, size) of which before(index) is false; near ones are found fast.
template <typename Before>
std::size_t gallop(std::size_t from, std::size_t size, Before&& before) {
    std::size_t step = 1;
    std::size_t high = from;
    while (high < size && before(high)) {
        from = high + 1;
        high += step;
        step *= 2;
    }
    high = std::min(high, size);
    while (from < high) {
        const std::size_t middle = from + (high - from) / 2;
        if (before(middle)) {
            from = middle + 1;
        } else {
            high = middle;
        }
    }
    return from;
}

}  // namespace

EntryList::Place EntryList::find(MessageNumber number) const {
    const std::size_t before = near_.chunk;
    const bool goes_on =
        before < chunks_.size() && (before == 0 || chunks_[before - 1].back().end() <= number);
    const std::size_t chunk = gallop(goes_on ? before : 0, chunks_.size(), [&](std::size_t i) {
        return chunks_[i].back().end() <= number;
    });
    if (chunk == chunks_.size()) {
        return {chunk, 0};
    }
    const Chunk& entries = chunks_[chunk];
    const bool near = goes_on && chunk == before && near_.index < entries.size() &&
                      (near_.index == 0 || entries[near_.index - 1].end() <= number);
    const std::size_t index = gallop(near ? near_.index : 0, entries.size(),
                                     [&](std::size_t i) { return entries[i].end() <= number; });
    near_ = {chunk, index};
    return near_;
}

EntryList::Place EntryList::insert(Place at, const Entry& entry) {
    if (at_end(at)) {  // chunks that are filled in order end up full
        if (chunks_.empty() || chunks_.back().size() == chunk_max) {
            chunks_.emplace_back();
        }
        at = {chunks_.size() - 1, chunks_.back().size()};
    } else if (chunks_[at.chunk].size() == chunk_max) {
        constexpr auto half = static_cast<std::ptrdiff_t>(chunk_max / 2);
        Chunk& full = chunks_[at.chunk];
        Chunk upper(full.begin() + half, full.end());
        full.resize(chunk_max / 2);
        chunks_.insert(chunks_.begin() + static_cast<std::ptrdiff_t>(at.chunk) + 1,
                       std::move(upper));
        if (at.index > chunk_max / 2) {
            at = {at.chunk + 1, at.index - chunk_max / 2};
        }
    }
    Chunk& chunk = chunks_[at.chunk];
    chunk.insert(chunk.begin() + static_cast<std::ptrdiff_t>(at.index), entry);
    return at;
}

EntryList::Place EntryList::erase(Place at) {
    Chunk& chunk = chunks_[at.chunk];
    const auto chunk_at = chunks_.begin() + static_cast<std::ptrdiff_t>(at.chunk);
    chunk.erase(chunk.begin() + static_cast<std::ptrdiff_t>(at.index));
    if (chunk.empty()) {
        if (chunks_.size() > 1) {
            chunks_.erase(chunk_at);
            return {at.chunk, 0};
        }
        chunks_.clear();
        return {0, 0};
    }
    if (at.chunk + 1 < chunks_.size() &&
        chunk.size() + chunks_[at.chunk + 1].size() <= chunk_max / 2) {
        const Chunk& behind = chunks_[at.chunk + 1];
        chunk.insert(chunk.end(), behind.begin(), behind.end());
        chunks_.erase(chunk_at + 1);
    }
    return at.index < chunk.size() ? at : Place{at.chunk + 1, 0};
}

}  // namespace mqd::client
