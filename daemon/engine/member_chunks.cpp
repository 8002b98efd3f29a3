#include "daemon/engine/member_chunks.hpp"

#include <algorithm>

namespace mqd::engine {

std::size_t MemberChunks::memory_bytes() const {
    std::size_t bytes = chunks_.capacity() * sizeof(Chunk) + free_.capacity() * sizeof free_[0] +
                        order_.memory_bytes();
    for (const Chunk& chunk : chunks_) {
        bytes += chunk.capacity * sizeof(Member);
    }
    return bytes;
}

MemberChunks::Place MemberChunks::place_from(std::uint64_t base) const {
    if (order_.has(near_)) {
        const std::uint64_t here = order_[near_].base;
        if (here == base) {
            return near_;
        }
        if (here < base) {
            const Place next = order_.next(near_);
            if (next != order_.end() && order_[next].base >= base) {
                near_ = next;
                return next;
            }
        }
    }
    const Place at = order_.lower_bound({base, 0});
    if (at != order_.end()) {
        near_ = at;
    }
    return at;
}

bool MemberChunks::contains(MessageNumber number) const {
    Found found;
    return find_from(number, found) && found.number == number;
}

bool MemberChunks::find_from(MessageNumber number, Found& out) const {
    Place at = place_from(base_of(number));
    if (at == order_.end()) {
        return false;
    }
    std::uint32_t index = order_[at].chunk;
    std::uint64_t behind = chunks_[index].present;
    if (number.value() > chunks_[index].base) {
        behind &= ~std::uint64_t{0} << (number.value() - chunks_[index].base);
        if (behind == 0) {
            at = order_.next(at);
            if (at == order_.end()) {
                return false;
            }
            near_ = at;
            index = order_[at].chunk;
            behind = chunks_[index].present;
        }
    }
    const auto offset = static_cast<unsigned>(std::countr_zero(behind));
    out = {MessageNumber(chunks_[index].base + offset),
           MemberLink(std::uint64_t{index} << chunk_bits | offset)};
    return true;
}

MemberChunks::Chunk& MemberChunks::chunk_at(std::uint64_t base) {
    const Place at = place_from(base);
    if (at != order_.end() && order_[at].base == base) {
        return chunks_[order_[at].chunk];
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
    order_.insert({base, index});
    near_ = {};
    chunks_[index].base = base;
    return chunks_[index];
}

void MemberChunks::add(MessageNumber number, const Member& member) {
    Chunk& chunk = chunk_at(base_of(number));
    const auto offset = static_cast<unsigned>(number.value() - chunk.base);
    const std::uint64_t bit = std::uint64_t{1} << offset;
    MQD_ASSERT((chunk.present & bit) == 0, number);
    if (chunk.size == chunk.capacity) {
        resize(chunk, std::max(first_capacity, chunk.capacity * growth));
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
}

void MemberChunks::resize(Chunk& chunk, unsigned capacity) {
    Chunk other{chunk.base, chunk.present, std::make_unique<Member[]>(capacity), capacity,
                chunk.size};
    for (std::uint64_t rest = chunk.present; rest != 0; rest &= rest - 1) {
        const auto offset = static_cast<unsigned>(std::countr_zero(rest));
        other.members[other.index(offset)] = chunk.members[chunk.index(offset)];
    }
    chunk = std::move(other);
}

MemberChunks::Place MemberChunks::shrink(Place at) {
    const std::uint32_t index = order_[at].chunk;
    Chunk& chunk = chunks_[index];
    if (chunk.present != 0) {
        if (chunk.capacity > first_capacity && chunk.size <= first_capacity) {
            resize(chunk, first_capacity);
        }
        return order_.next(at);
    }
    const std::uint64_t base = chunk.base;
    chunk = {};
    free_.push_back(index);
    order_.erase(at);
    near_ = {};
    if (order_.empty() && chunks_.size() > chunk_numbers * chunk_numbers) {
        std::vector<Chunk>().swap(chunks_);
        std::vector<std::uint32_t>().swap(free_);
    }
    return order_.lower_bound({base, 0});
}

}  // namespace mqd::engine
