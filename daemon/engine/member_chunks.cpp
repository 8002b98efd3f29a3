#include "daemon/engine/member_chunks.hpp"

#include <algorithm>
#include <utility>

#include "daemon/engine/gallop.hpp"

namespace mqd::engine {

std::size_t MemberChunks::memory_bytes() const {
    std::size_t bytes = chunks_.capacity() * sizeof(Chunk) + free_.capacity() * sizeof free_[0] +
                        rows_.capacity() * sizeof(Row) +
                        (order_.capacity() + free_rows_.capacity()) * sizeof order_[0];
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
        row_before < order_.size() && (row_before == 0 || row(row_before - 1).last < base);
    const std::size_t sought = gallop(goes_on ? row_before : 0, order_.size(),
                                      [&](std::size_t i) { return row(i).last < base; });
    if (sought == order_.size()) {
        return {sought, 0};
    }
    const std::vector<Listed>& listed = row(sought).listed;
    const bool near = goes_on && sought == row_before && near_.index < listed.size() &&
                      (near_.index == 0 || listed[near_.index - 1].base < base);
    const std::size_t index = gallop(near ? near_.index : 0, listed.size(),
                                     [&](std::size_t i) { return listed[i].base < base; });
    near_ = {sought, index};
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
        if (order_.empty() || row(order_.size() - 1).listed.size() == row_max) {
            add_row(order_.size());
        }
        at = {order_.size() - 1, row(order_.size() - 1).listed.size()};
    } else if (row(at.row).listed.size() == row_max) {
        const auto half = static_cast<std::ptrdiff_t>(row_max / 2);
        add_row(at.row + 1);
        std::vector<Listed>& full = row(at.row).listed;
        row(at.row + 1).listed.assign(full.begin() + half, full.end());
        full.resize(row_max / 2);
        recount(at.row);
        recount(at.row + 1);
        if (at.index > row_max / 2) {
            at = {at.row + 1, at.index - row_max / 2};
        }
    }
    Row& row = this->row(at.row);
    row.listed.insert(row.listed.begin() + static_cast<std::ptrdiff_t>(at.index), listed);
    row.last = row.listed.back().base;
    chunks_[listed.chunk].row = order_[at.row];
}

void MemberChunks::add_row(std::size_t at) {
    std::uint32_t index = 0;
    if (free_rows_.empty()) {
        index = static_cast<std::uint32_t>(rows_.size());
        rows_.emplace_back();
    } else {
        index = free_rows_.back();
        free_rows_.pop_back();
    }
    order_.insert(order_.begin() + static_cast<std::ptrdiff_t>(at), index);
}

void MemberChunks::drop_row(std::size_t at) {
    row(at) = {};
    free_rows_.push_back(order_[at]);
    order_.erase(order_.begin() + static_cast<std::ptrdiff_t>(at));
}

// Precondition: none of it is marked.
void MemberChunks::unlist(Place at) {
    Row& row = this->row(at.row);
    row.listed.erase(row.listed.begin() + static_cast<std::ptrdiff_t>(at.index));
    if (row.listed.empty()) {
        return drop_row(at.row);
    }
    row.last = row.listed.back().base;
    if (at.row + 1 < order_.size() &&
        row.listed.size() + this->row(at.row + 1).listed.size() <= row_max / 2) {
        const Row& behind = this->row(at.row + 1);
        row.listed.insert(row.listed.end(), behind.listed.begin(), behind.listed.end());
        drop_row(at.row + 1);
        recount(at.row);
    }
}

void MemberChunks::recount(std::size_t at) {
    Row& row = this->row(at);
    row.last = row.listed.back().base;
    row.marked = {};
    for (const Listed& listed : row.listed) {
        Chunk& chunk = chunks_[listed.chunk];
        chunk.row = order_[at];
        for (std::size_t i = 0; i < member_marks; ++i) {
            row.marked[i] += static_cast<std::uint32_t>(std::popcount(chunk.marks[i]));
        }
    }
}

MemberLink MemberChunks::add(MessageNumber number, const Member& member) {
    const Place place = chunk_at(base_of(number));
    Chunk& chunk = this->chunk(place);
    const auto offset = static_cast<unsigned>(number.value() - chunk.base);
    const std::uint64_t bit = std::uint64_t{1} << offset;
    if ((chunk.present & bit) != 0) {
        return no_member;
    }
    if (chunk.size == chunk.capacity) {
        const auto most = static_cast<unsigned>(chunk_numbers);
        const bool goes_on = chunk.capacity == 0 && offset == 0 && follows_full(place);
        resize(chunk,
               goes_on ? most : std::min(most, std::max(first_capacity, chunk.capacity * growth)));
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
    return MemberLink(std::uint64_t{listed(place).chunk} << chunk_bits | offset);
}

// Whether it goes on where numbers lie together: it is not grown step by step then.
bool MemberChunks::follows_full(Place at) const {
    if (at.row == 0 && at.index == 0) {
        return false;
    }
    const Listed& before =
        at.index > 0 ? row(at.row).listed[at.index - 1] : row(at.row - 1).listed.back();
    return before.base + chunk_numbers == listed(at).base &&
           chunks_[before.chunk].capacity == chunk_numbers;
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
    chunk.capacity = static_cast<std::uint8_t>(capacity);
}

void MemberChunks::erase(MemberLink link) {
    Chunk& chunk = chunks_[chunk_of(link)];
    const std::uint64_t bit = std::uint64_t{1} << offset_of(link);
    MQD_ASSERT((chunk.present & bit) != 0, chunk.base, offset_of(link));
    for (const std::uint64_t marks : chunk.marks) {
        MQD_ASSERT((marks & bit) == 0, chunk.base, offset_of(link));
    }
    if (chunk.capacity != chunk_numbers) {
        Member* const members = chunk.members.get();
        const unsigned at = chunk.index(offset_of(link));
        std::move(members + at + 1, members + chunk.size, members + at);
    }
    chunk.present &= ~bit;
    --chunk.size;
    --size_;
    if (chunk.present != 0) {
        thin(chunk);
    } else {
        (void)shrink(place_from(chunk.base));
    }
}

// A chunk with few left is a small one.
void MemberChunks::thin(Chunk& chunk) {
    if (chunk.capacity > first_capacity && chunk.size <= first_capacity) {
        resize(chunk, first_capacity);
    }
}

MemberChunks::Place MemberChunks::shrink(Place at) {
    const std::uint32_t index = listed(at).chunk;
    Chunk& chunk = chunks_[index];
    if (chunk.present != 0) {
        thin(chunk);
        return next(at);
    }
    const std::uint64_t base = chunk.base;
    chunk = {};
    free_.push_back(index);
    unlist(at);
    if (order_.empty() && chunks_.size() > chunk_numbers * chunk_numbers) {
        std::vector<Chunk>().swap(chunks_);
        std::vector<std::uint32_t>().swap(free_);
        std::vector<Row>().swap(rows_);
        std::vector<std::uint32_t>().swap(free_rows_);
    }
    near_ = at;
    near_base_ = no_base;
    return seek(base);
}

std::uint64_t MemberChunks::marked_in(MessageRange range, MemberMark mark) const {
    const std::size_t which = index_of(mark);
    std::uint64_t count = 0;
    for (Place at = place_from(base_of(range.first)); begins_before(at, range.end());) {
        if (row(at.row).marked[which] == 0) {
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
    const bool is_lowest = number.value() <= lowest_[which];
    const MessageNumber from(std::max(number.value(), lowest_[which]));
    Place at = place_from(base_of(from));
    while (!at_end(at)) {
        const Chunk& chunk = this->chunk(at);
        std::uint64_t marks = chunk.marks[which];
        if (from.value() > chunk.base) {
            marks &= ~std::uint64_t{0} << (from.value() - chunk.base);
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
            near_ = at;
            near_base_ = chunk.base;
            if (out.end().value() != chunk.base + chunk_numbers) {
                break;
            }
        }
        at = next(at);
        while (out.count == 0 && !at_end(at) && row(at.row).marked[which] == 0) {
            at = {at.row + 1, 0};
        }
    }
    if (is_lowest) {
        lowest_[which] = out.count != 0 ? out.first.value() : UINT64_MAX;
    }
    return out.count != 0;
}

std::size_t MemberChunks::find_lowest(MemberMark mark, std::span<MarkedRun> out) const {
    const std::size_t which = index_of(mark);
    std::size_t found = 0;
    for (Place at = place_from(base_of(MessageNumber(lowest_[which]))); !at_end(at);) {
        const Row& row = this->row(at.row);
        for (; row.marked[which] != 0 && at.index < row.listed.size(); ++at.index) {
            const Listed& listed = row.listed[at.index];
            for (std::uint64_t marks = chunks_[listed.chunk].marks[which]; marks != 0;) {
                const auto first = static_cast<unsigned>(std::countr_zero(marks));
                const auto end = first + static_cast<unsigned>(std::countr_one(marks >> first));
                marks &= end < chunk_numbers ? ~std::uint64_t{0} << end : 0;
                const MessageNumber number(listed.base + first);
                if (found != 0 && out[found - 1].range.end() == number) {
                    out[found - 1].range.count += end - first;
                } else if (found < out.size()) {
                    out[found++] = {{number, end - first},
                                    MemberLink(std::uint64_t{listed.chunk} << chunk_bits | first)};
                } else {
                    lowest_[which] = out[0].range.first.value();
                    return found;
                }
            }
        }
        at = {at.row + 1, 0};
    }
    lowest_[which] = found != 0 ? out[0].range.first.value() : UINT64_MAX;
    return found;
}

}  // namespace mqd::engine
