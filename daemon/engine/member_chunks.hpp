#pragma once

// Members of groups by their numbers: an array for each 64 numbers, as many entries long as it has
// to be, so that what lies together costs 16 bytes, and half a byte for its place in the order. One
// that lies alone costs 112. Members can point to each other. Owned by a GroupTable.

#include <bit>
#include <cstdint>
#include <memory>
#include <vector>

#include "daemon/engine/packed_set.hpp"
#include "mqd/types.hpp"

namespace mqd::engine {

// Which group of a GroupIndex.
using GroupRef = StrongNumber<struct GroupRefTag, std::uint32_t>;
// Where a member stands: its chunk, and its place among the numbers of that.
using MemberLink = StrongNumber<struct MemberLinkTag, std::uint64_t>;
inline constexpr unsigned member_link_bits = 38;
inline constexpr MemberLink no_member{(std::uint64_t{1} << member_link_bits) - 1};

enum class MemberState : std::uint8_t {
    none,
    slot,    // it has a slot of its group
    listed,  // it waits for one, in the list of its group
    stray,   // it waits out of order
};

// 16 bytes.
class Member {
  public:
    Member() = default;
    explicit Member(GroupRef group)
        : next_(link_mask),
          group_low_(group.value() & low_mask),
          state_(0),
          previous_(link_mask),
          group_high_(group.value() >> low_bits & high_mask) {}

    [[nodiscard]] GroupRef group() const {
        return GroupRef(static_cast<std::uint32_t>(group_low_) |
                        static_cast<std::uint32_t>(group_high_) << low_bits);
    }
    [[nodiscard]] MemberState state() const { return static_cast<MemberState>(state_); }
    void set_state(MemberState state) { state_ = static_cast<std::uint64_t>(state) & 3u; }
    [[nodiscard]] MemberLink next() const { return MemberLink(next_); }
    void set_next(MemberLink next) { next_ = next.value() & link_mask; }
    [[nodiscard]] MemberLink previous() const { return MemberLink(previous_); }
    void set_previous(MemberLink previous) { previous_ = previous.value() & link_mask; }

  private:
    // A constant to the compiler without optimisation too, which warns of what may not fit.
    static constexpr std::uint64_t link_mask = no_member.value();
    static constexpr unsigned low_bits = 24;
    static constexpr std::uint32_t low_mask = (1u << low_bits) - 1;
    static constexpr std::uint32_t high_mask = 0xFF;

    std::uint64_t next_ : member_link_bits = 0;
    std::uint64_t group_low_ : low_bits = 0;
    std::uint64_t state_ : 2 = 0;
    std::uint64_t previous_ : member_link_bits = 0;
    std::uint64_t group_high_ : 32 - low_bits = 0;
};
static_assert(sizeof(Member) == 16);

class MemberChunks {
  public:
    struct Found {
        MessageNumber number;
        MemberLink link;
    };

    [[nodiscard]] bool empty() const { return size_ == 0; }
    [[nodiscard]] std::size_t size() const { return size_; }
    [[nodiscard]] std::size_t memory_bytes() const;

    [[nodiscard]] Member& operator[](MemberLink link) {
        Chunk& chunk = chunks_[chunk_of(link)];
        return chunk.members[chunk.index(offset_of(link))];
    }
    [[nodiscard]] const Member& operator[](MemberLink link) const {
        const Chunk& chunk = chunks_[chunk_of(link)];
        return chunk.members[chunk.index(offset_of(link))];
    }
    [[nodiscard]] MessageNumber number(MemberLink link) const {
        return MessageNumber(chunks_[chunk_of(link)].base + offset_of(link));
    }

    [[nodiscard]] bool contains(MessageNumber number) const;
    // Precondition: it is not there.
    void add(MessageNumber number, const Member& member);
    // The first from `number` on. False: there is none.
    [[nodiscard]] bool find_from(MessageNumber number, Found& out) const;
    // fn(const Member&) of each of the range, which are gone then. fn must not touch this.
    template <typename Fn>
    void erase(MessageRange range, Fn&& fn);

  private:
    static constexpr unsigned chunk_bits = 6;
    static constexpr std::uint64_t chunk_numbers = std::uint64_t{1} << chunk_bits;
    static constexpr unsigned first_capacity = 4;
    static constexpr unsigned growth = 4;

    struct Chunk {
        std::uint64_t base = 0;     // its first number
        std::uint64_t present = 0;  // a bit for each
        // Those that are there, in order; or of all numbers, if there is room.
        std::unique_ptr<Member[]> members;
        std::uint32_t capacity = 0;
        std::uint32_t size = 0;

        [[nodiscard]] unsigned index(unsigned offset) const {
            if (capacity == chunk_numbers) {
                return offset;
            }
            const std::uint64_t before = present & ((std::uint64_t{1} << offset) - 1);
            return static_cast<unsigned>(std::popcount(before));
        }
    };
    struct Listed {
        std::uint64_t base = 0;
        std::uint32_t chunk = 0;
        friend bool operator<(const Listed& a, const Listed& b) { return a.base < b.base; }
    };
    using Place = PackedSet<Listed>::Place;

    [[nodiscard]] static std::size_t chunk_of(MemberLink link) {
        return static_cast<std::size_t>(link.value() >> chunk_bits);
    }
    [[nodiscard]] static unsigned offset_of(MemberLink link) {
        return static_cast<unsigned>(link.value() & (chunk_numbers - 1));
    }
    [[nodiscard]] static std::uint64_t base_of(MessageNumber number) {
        return number.value() & ~(chunk_numbers - 1);
    }
    // The first chunk that does not lie before this one.
    [[nodiscard]] Place place_from(std::uint64_t base) const;
    Chunk& chunk_at(std::uint64_t base);
    static void resize(Chunk& chunk, unsigned capacity);
    // Some of it were erased. Returns the place behind it if it is gone.
    Place shrink(Place at);

    std::vector<Chunk> chunks_;
    std::vector<std::uint32_t> free_;  // of chunks_
    PackedSet<Listed> order_;
    mutable Place near_;  // where the last look-up ended; it may be gone
    std::size_t size_ = 0;
};

template <typename Fn>
void MemberChunks::erase(MessageRange range, Fn&& fn) {
    Place at = place_from(base_of(range.first));
    while (at != order_.end() && order_[at].base < range.end().value()) {
        Chunk& chunk = chunks_[order_[at].chunk];
        std::uint64_t gone = chunk.present;
        if (range.first.value() > chunk.base) {
            gone &= ~std::uint64_t{0} << (range.first.value() - chunk.base);
        }
        if (range.end().value() < chunk.base + chunk_numbers) {
            gone &= (std::uint64_t{1} << (range.end().value() - chunk.base)) - 1;
        }
        if (gone == 0) {
            at = order_.next(at);
            continue;
        }
        for (std::uint64_t rest = gone; rest != 0; rest &= rest - 1) {
            fn(chunk.members[chunk.index(static_cast<unsigned>(std::countr_zero(rest)))]);
            --chunk.size;
            --size_;
        }
        if (chunk.capacity != chunk_numbers) {
            unsigned kept = 0;
            for (std::uint64_t rest = chunk.present; rest != 0; rest &= rest - 1) {
                const auto offset = static_cast<unsigned>(std::countr_zero(rest));
                if ((gone >> offset & 1) == 0) {
                    chunk.members[kept++] = chunk.members[chunk.index(offset)];
                }
            }
        }
        chunk.present &= ~gone;
        at = shrink(at);
    }
}

}  // namespace mqd::engine
