#include "daemon/engine/member_chunks.hpp"

#include <algorithm>
#include <utility>

#include "daemon/engine/gallop.hpp"

namespace mqd::engine {

std::size_t MemberChunks::memory_bytes() const {
    std::size_t bytes = chunks_.capacity() * sizeof(Chunk) + free_.capacity() * sizeof free_[0] +
                        rows_.capacity() * sizeof(Row);
    for (const Chunk& chunk : chunks_) {
        bytes += chunk.capacity * sizeof(Member);
    }
    for (const Row& row : rows_) {
        bytes += row.listed.capacity() * sizeof(Listed);
    }
    return bytes;
}

MemberChunks::Place MemberChunks::seek(std::uint64_t base) const {
    const std::size_t row_before = near_.row;
    const bool goes_on =
        row_before < rows_.size() && (row_before == 0 || rows_[row_before - 1].last < base);
    const std::size_t row = gallop(goes_on ? row_before : 0, rows_.size(),
                                   [&](std::size_t i) { return rows_[i].last < base; });
    if (row == rows_.size()) {
        return {row, 0};
    }
    const std::vector<Listed>& listed = rows_[row].listed;
    const bool near = goes_on && row == row_before && near_.index < listed.size() &&
                      (near_.index == 0 || listed[near_.index - 1].base < base);
    const std::size_t index = gallop(near ? near_.index : 0, listed.size(),
                                     [&](std::size_t i) { return listed[i].base < base; });
    near_ = {row, index};
    near_base_ = listed[index].base == base ? base : no_base;
    return near_;
}

bool MemberChunks::find_from(MessageNumber number, Found& out) const {
    Place at = place_from(base_of(number));
    if (at_end(at)) {
        return false;
    }
    std::uint64_t behind = chunk(at).present;
    if (number.value() > listed(at).base) {
        behind &= ~std::uint64_t{0} << (number.value() - listed(at).base);
        if (behind == 0) {
            at = next(at);
            if (at_end(at)) {
                return false;
            }
            near_ = at;
            near_base_ = listed(at).base;
            behind = chunk(at).present;
        }
    }
    const auto offset = static_cast<unsigned>(std::countr_zero(behind));
    out = {MessageNumber(listed(at).base + offset),
           MemberLink(std::uint64_t{listed(at).chunk} << chunk_bits | offset)};
    return true;
}

// The one with that base, made if there is none.
MemberChunks::Place MemberChunks::chunk_at(std::uint64_t base) {
    Place at = place_from(base);
    if (begins_before(at, MessageNumber(base + 1))) {
        return at;
    }
    std::uint32_t index = 0;
    if (free_.empty()) {
        index = static_cast<std::uint32_t>(chunks_.size());
        MQD_ASSERT(index < no_member.value() >> chunk_bits, index);
        chunks_.emplace_back();
    } else {
        index = free_.back();
        free_.pop_back();
    }
    chunks_[index].base = base;
    insert(at, {base, index});
    near_ = at;
    near_base_ = base;
    return at;
}

// Before the one at `at`, or behind all of them; `at` is where it stands then.
void MemberChunks::insert(Place& at, const Listed& listed) {
    if (at_end(at)) {  // rows that are filled in order end up full
        if (rows_.empty() || rows_.back().listed.size() == row_max) {
            rows_.emplace_back();
        }
        at = {rows_.size() - 1, rows_.back().listed.size()};
    } else if (rows_[at.row].listed.size() == row_max) {
        const auto half = static_cast<std::ptrdiff_t>(row_max / 2);
        Row upper;
        std::vector<Listed>& full = rows_[at.row].listed;
        upper.listed.assign(full.begin() + half, full.end());
        upper.last = rows_[at.row].last;
        full.resize(row_max / 2);
        rows_[at.row].last = full.back().base;
        recount(upper);
        recount(rows_[at.row]);
        rows_.insert(rows_.begin() + static_cast<std::ptrdiff_t>(at.row) + 1, std::move(upper));
        if (at.index > row_max / 2) {
            at = {at.row + 1, at.index - row_max / 2};
        }
    }
    Row& row = rows_[at.row];
    row.listed.insert(row.listed.begin() + static_cast<std::ptrdiff_t>(at.index), listed);
    row.last = row.listed.back().base;
}

// Precondition: none of it is marked.
void MemberChunks::unlist(Place at) {
    Row& row = rows_[at.row];
    const auto row_at = rows_.begin() + static_cast<std::ptrdiff_t>(at.row);
    row.listed.erase(row.listed.begin() + static_cast<std::ptrdiff_t>(at.index));
    if (row.listed.empty()) {
        rows_.erase(row_at);
        return;
    }
    row.last = row.listed.back().base;
    if (at.row + 1 < rows_.size() &&
        row.listed.size() + rows_[at.row + 1].listed.size() <= row_max / 2) {
        const Row& behind = rows_[at.row + 1];
        row.listed.insert(row.listed.end(), behind.listed.begin(), behind.listed.end());
        row.last = behind.last;
        for (std::size_t i = 0; i < member_marks; ++i) {
            row.marked[i] += behind.marked[i];
        }
        rows_.erase(row_at + 1);
    }
}

void MemberChunks::recount(Row& row) const {
    row.marked = {};
    for (const Listed& listed : row.listed) {
        for (std::size_t i = 0; i < member_marks; ++i) {
            row.marked[i] +=
                static_cast<std::uint32_t>(std::popcount(chunks_[listed.chunk].marks[i]));
        }
    }
}

bool MemberChunks::add(MessageNumber number, const Member& member) {
    Chunk& chunk = this->chunk(chunk_at(base_of(number)));
    const auto offset = static_cast<unsigned>(number.value() - chunk.base);
    const std::uint64_t bit = std::uint64_t{1} << offset;
    if ((chunk.present & bit) != 0) {
        return false;
    }
    if (chunk.size == chunk.capacity) {
        const auto most = static_cast<unsigned>(chunk_numbers);
        resize(chunk, std::min(most, std::max(first_capacity, chunk.capacity * growth)));
    }
    const unsigned at = chunk.index(offset);
    if (chunk.capacity != chunk_numbers) {
        Member* const members = chunk.members.get();
        std::move_backward(members + at, members + chunk.size, members + chunk.size + 1);
    }
    chunk.members[at] = member;
    chunk.present |= bit;
    ++chunk.size;
    ++size_;
    return true;
}

void MemberChunks::resize(Chunk& chunk, unsigned capacity) {
    const bool spreads = capacity == chunk_numbers;
    auto members = std::make_unique<Member[]>(capacity);
    unsigned kept = 0;
    for (std::uint64_t rest = chunk.present; rest != 0; rest &= rest - 1) {
        const auto offset = static_cast<unsigned>(std::countr_zero(rest));
        members[spreads ? offset : kept++] = chunk.members[chunk.index(offset)];
    }
    chunk.members = std::move(members);
    chunk.capacity = capacity;
}

MemberChunks::Place MemberChunks::shrink(Place at) {
    const std::uint32_t index = listed(at).chunk;
    Chunk& chunk = chunks_[index];
    if (chunk.present != 0) {
        if (chunk.capacity > first_capacity && chunk.size <= first_capacity) {
            resize(chunk, first_capacity);
        }
        return next(at);
    }
    const std::uint64_t base = chunk.base;
    chunk = {};
    free_.push_back(index);
    unlist(at);
    if (rows_.empty() && chunks_.size() > chunk_numbers * chunk_numbers) {
        std::vector<Chunk>().swap(chunks_);
        std::vector<std::uint32_t>().swap(free_);
    }
    near_ = at;
    near_base_ = no_base;
    return seek(base);
}

std::uint64_t MemberChunks::marked_in(MessageRange range, MemberMark mark) const {
    const std::size_t which = index_of(mark);
    std::uint64_t count = 0;
    for (Place at = place_from(base_of(range.first)); begins_before(at, range.end());) {
        const Row& row = rows_[at.row];
        if (row.marked[which] == 0) {
            at = {at.row + 1, 0};
            continue;
        }
        const std::uint64_t marks = chunk(at).marks[which] & chunk(at).bits_of(range);
        count += static_cast<std::uint64_t>(std::popcount(marks));
        at = next(at);
    }
    return count;
}

bool MemberChunks::find_marked(MessageNumber number, MemberMark mark, MessageRange& out) const {
    const std::size_t which = index_of(mark);
    out = {};
    Place at = place_from(base_of(number));
    while (!at_end(at)) {
        const Chunk& chunk = this->chunk(at);
        std::uint64_t marks = chunk.marks[which];
        if (number.value() > chunk.base) {
            marks &= ~std::uint64_t{0} << (number.value() - chunk.base);
        }
        if (out.count != 0) {  // the chunk before is marked up to its end
            if (chunk.base == out.end().value()) {
                out.count += static_cast<std::uint64_t>(std::countr_one(marks));
            }
            if (chunk.base + chunk_numbers != out.end().value()) {
                break;
            }
        } else if (marks != 0) {
            const auto first = static_cast<unsigned>(std::countr_zero(marks));
            out = {MessageNumber(chunk.base + first),
                   static_cast<std::uint64_t>(std::countr_one(marks >> first))};
            if (out.end().value() != chunk.base + chunk_numbers) {
                break;
            }
        }
        at = next(at);
        while (out.count == 0 && !at_end(at) && rows_[at.row].marked[which] == 0) {
            at = {at.row + 1, 0};
        }
    }
    return out.count != 0;
}

}  // namespace mqd::engine
