#pragma once

// Members of groups by their numbers: an array for each 64 numbers, as many entries long as it has
// to be, so that what lies together costs 16 bytes, and a byte and a quarter for its place in the
// order and its marks. One that lies alone costs 112. Members can point to each other. A look-up
// that goes on a little behind the last one is cheap, which is what sorted ones do. Owned by a
// GroupTable.
//
// Marks are for the states in which members are one by one: a bit each, beside the members, where a
// RangeMap would have a run for each. Who is marked is said by a StateMap.

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "daemon/engine/prefetch.hpp"
#include "mqd/assert.hpp"
#include "mqd/types.hpp"

namespace mqd::engine {

// Which group of a GroupIndex.
using GroupRef = StrongNumber<struct GroupRefTag, std::uint32_t>;
// Where a member stands: its chunk, and its place among the numbers of that.
using MemberLink = StrongNumber<struct MemberLinkTag, std::uint64_t>;
inline constexpr unsigned member_link_bits = 38;
inline constexpr MemberLink no_member{(std::uint64_t{1} << member_link_bits) - 1};

// A list of leases; MemberLeases.
using LeaseRef = StrongNumber<struct LeaseRefTag, std::uint32_t>;
inline constexpr unsigned lease_ref_bits = 17;
inline constexpr LeaseRef no_lease{0};
inline constexpr std::uint32_t lease_refs_max = (1u << lease_ref_bits) - 1;

enum class MemberState : std::uint8_t {
    none,
    slot,    // it has a slot of its group
    listed,  // it waits for one, in the list of its group
    stray,   // it waits out of order
};

// What a member can be marked as.
enum class MemberMark : std::uint8_t { ready, held, leased, ending };
inline constexpr std::size_t member_marks = 4;

// 16 bytes.
class Member {
  public:
    Member() = default;
    explicit Member(GroupRef group)
        : next_(link_mask),
          group_low_(group.value() & low_mask),
          state_(0),
          previous_(link_mask),
          group_high_(group.value() >> low_bits & high_mask),
          lease_(0),
          started_(0) {}

    [[nodiscard]] GroupRef group() const {
        return GroupRef(static_cast<std::uint32_t>(group_low_) |
                        static_cast<std::uint32_t>(group_high_) << low_bits);
    }
    [[nodiscard]] MemberState state() const { return static_cast<MemberState>(state_); }
    void set_state(MemberState state) { state_ = static_cast<std::uint64_t>(state) & 3u; }
    // Whether its group has rested for it.
    [[nodiscard]] bool started() const { return started_ != 0; }
    void set_started() { started_ = 1; }
    [[nodiscard]] MemberLink next() const { return MemberLink(next_); }
    void set_next(MemberLink next) { next_ = next.value() & link_mask; }
    [[nodiscard]] MemberLink previous() const { return MemberLink(previous_); }
    void set_previous(MemberLink previous) { previous_ = previous.value() & link_mask; }
    // While it is in a list of leases, it is in no other, and the links are for that.
    [[nodiscard]] LeaseRef lease() const { return LeaseRef(static_cast<std::uint32_t>(lease_)); }
    void set_lease(LeaseRef lease) { lease_ = lease.value() & lease_refs_max; }

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
    std::uint64_t lease_ : lease_ref_bits = 0;
    std::uint64_t started_ : 1 = 0;
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
    // Before they are looked at: first where it stands, and then, when that has come, it.
    void bring_place_near(MemberLink link) const { prefetch(&chunks_[chunk_of(link)]); }
    void bring_near(MemberLink link) const { prefetch(&(*this)[link]); }

    // no_member, and nothing done: it is there already.
    MemberLink add(MessageNumber number, const Member& member);
    // The first from `number` on. False: there is none.
    [[nodiscard]] bool find_from(MessageNumber number, Found& out) const;
    // Where a member stands. False: it is none.
    [[nodiscard]] bool find(MessageNumber number, MemberLink& out) const {
        const Place at = place_from(base_of(number));
        if (!holds(at, number)) {
            return false;
        }
        out = MemberLink(std::uint64_t{listed(at).chunk} << chunk_bits |
                         (number.value() & (chunk_numbers - 1)));
        return true;
    }
    // fn(const Member&) of each of the range, which are gone then. fn must not touch this.
    // Precondition: none of them is marked.
    template <typename Fn>
    void erase(MessageRange range, Fn&& fn);

    // Of one that is not marked.
    void erase(MemberLink link);

    // How many are marked so.
    [[nodiscard]] std::uint64_t marked(MemberMark mark) const { return marked_[index_of(mark)]; }
    [[nodiscard]] std::uint64_t marked_in(MessageRange range, MemberMark mark) const;
    // Marks one that is not marked so. False: it is no member.
    bool mark(MessageNumber number, MemberMark mark);
    void mark(MemberLink link, MemberMark mark);
    // False: it is not marked so.
    bool unmark(MessageNumber number, MemberMark mark);
    // The same without a look-up, and marks it otherwise.
    bool unmark(MemberLink link, MemberMark mark);
    bool change_mark(MemberLink link, MemberMark from, MemberMark to);
    // Marks the members of the range, and calls fn(MessageRange) for what is between them, in
    // order. fn must not touch this. Precondition: none of them is marked so.
    template <typename Fn>
    void mark(MessageRange range, MemberMark mark, Fn&& fn);
    // Calls fn(MessageRange) for those of the range that are marked, in order, which are marked no
    // more then; fn must not touch this mark. Returns how many they were.
    template <typename Fn>
    std::uint64_t unmark(MessageRange range, MemberMark mark, Fn&& fn);
    // The first that are marked so from `number` on, as many as lie together. False: none is.
    [[nodiscard]] bool find_marked(MessageNumber number, MemberMark mark, MessageRange& out) const;
    // Where a member stands that is marked so. False: it is not.
    [[nodiscard]] bool find_marked(MessageNumber number, MemberMark mark, MemberLink& out) const {
        const Place at = place_from(base_of(number));
        if (!holds(at, number) || (chunk(at).marks[index_of(mark)] & bit_of(number)) == 0) {
            return false;
        }
        out = MemberLink(std::uint64_t{listed(at).chunk} << chunk_bits |
                         (number.value() & (chunk_numbers - 1)));
        return true;
    }
    // The lowest of those that are marked so, as many runs as there is room for. A run may be told
    // in two.
    struct MarkedRun {
        MessageRange range;
        MemberLink first;
    };
    [[nodiscard]] std::size_t find_lowest(MemberMark mark, std::span<MarkedRun> out) const;

  private:
    static constexpr unsigned chunk_bits = 6;
    static constexpr std::uint64_t chunk_numbers = std::uint64_t{1} << chunk_bits;
    static constexpr unsigned first_capacity = 2;
    static constexpr unsigned growth = 4;
    static constexpr std::size_t row_max = 128;  // chunks

    struct alignas(64) Chunk {
        std::uint64_t base = 0;     // its first number
        std::uint64_t present = 0;  // a bit for each
        // Those that are there, in order; or of all numbers, if there is room.
        std::unique_ptr<Member[]> members;
        std::uint32_t row = 0;  // which lists it
        std::uint8_t capacity = 0;
        std::uint8_t size = 0;
        std::array<std::uint64_t, member_marks> marks{};  // a bit for each

        [[nodiscard]] unsigned index(unsigned offset) const {
            if (capacity == chunk_numbers) {
                return offset;
            }
            const std::uint64_t before = present & ((std::uint64_t{1} << offset) - 1);
            return static_cast<unsigned>(std::popcount(before));
        }
        // The bits of those of the range. Precondition: it ends behind the base, and begins before
        // the end.
        [[nodiscard]] std::uint64_t bits_of(MessageRange range) const {
            std::uint64_t bits = ~std::uint64_t{0};
            if (range.first.value() > base) {
                bits <<= range.first.value() - base;
            }
            if (range.end().value() - base < chunk_numbers) {
                bits &= (std::uint64_t{1} << (range.end().value() - base)) - 1;
            }
            return bits;
        }
    };
    static_assert(sizeof(Chunk) == 64);
    struct Listed {
        std::uint64_t base = 0;
        std::uint32_t chunk = 0;
    };
    // Up to row_max chunks in order, and how many are marked there, so that a look for the next
    // mark passes over the rows that have none.
    struct Row {
        std::vector<Listed> listed;  // not empty
        std::uint64_t last = 0;      // the base of the last one
        std::array<std::uint32_t, member_marks> marked{};
    };
    // Where a chunk stands in the order; good until one is added or erased.
    struct Place {
        std::size_t row = 0;  // of order_
        std::size_t index = 0;
    };
    static constexpr std::uint64_t no_base = ~std::uint64_t{0};  // a base is a multiple of 64

    [[nodiscard]] static constexpr std::size_t index_of(MemberMark mark) {
        return static_cast<std::size_t>(mark);
    }
    [[nodiscard]] static std::size_t chunk_of(MemberLink link) {
        return static_cast<std::size_t>(link.value() >> chunk_bits);
    }
    [[nodiscard]] static unsigned offset_of(MemberLink link) {
        return static_cast<unsigned>(link.value() & (chunk_numbers - 1));
    }
    [[nodiscard]] static std::uint64_t base_of(MessageNumber number) {
        return number.value() & ~(chunk_numbers - 1);
    }
    [[nodiscard]] bool at_end(Place at) const { return at.row == order_.size(); }
    [[nodiscard]] Row& row(std::size_t i) { return rows_[order_[i]]; }
    [[nodiscard]] const Row& row(std::size_t i) const { return rows_[order_[i]]; }
    [[nodiscard]] Place next(Place at) const {
        return at.index + 1 < row(at.row).listed.size() ? Place{at.row, at.index + 1}
                                                        : Place{at.row + 1, 0};
    }
    [[nodiscard]] const Listed& listed(Place at) const { return row(at.row).listed[at.index]; }
    [[nodiscard]] Chunk& chunk(Place at) { return chunks_[listed(at).chunk]; }
    [[nodiscard]] const Chunk& chunk(Place at) const { return chunks_[listed(at).chunk]; }
    [[nodiscard]] static std::uint64_t bit_of(MessageNumber number) {
        return std::uint64_t{1} << (number.value() & (chunk_numbers - 1));
    }
    // Whether that member is in the chunk of that place, which is where place_from() found it.
    [[nodiscard]] bool holds(Place at, MessageNumber number) const {
        return !at_end(at) && listed(at).base == base_of(number) &&
               (chunk(at).present & bit_of(number)) != 0;
    }
    // Whether there is one at that place, and it begins before the end.
    [[nodiscard]] bool begins_before(Place at, MessageNumber end) const {
        return !at_end(at) && listed(at).base < end.value();
    }

    // The first chunk that does not lie before this one.
    [[nodiscard]] Place place_from(std::uint64_t base) const {
        return base == near_base_ ? near_ : seek(base);
    }
    [[nodiscard]] Place seek(std::uint64_t base) const;
    Place chunk_at(std::uint64_t base);
    void insert(Place& at, const Listed& listed);
    void add_row(std::size_t at);
    void drop_row(std::size_t at);
    void unlist(Place at);
    // After chunks of other rows came to the one at `at`, or went.
    void recount(std::size_t at);
    // So many more of the row are marked so, the first of them there.
    void count_marked(Row& row, std::size_t which, MessageNumber first, std::uint32_t count) {
        row.marked[which] += count;
        marked_[which] += count;
        lowest_[which] = std::min(lowest_[which], first.value());
    }
    void count_unmarked(Row& row, std::size_t which, std::uint32_t count) {
        row.marked[which] -= count;
        marked_[which] -= count;
    }
    [[nodiscard]] bool follows_full(Place at) const;
    static void resize(Chunk& chunk, unsigned capacity);
    // Some of it were erased. Returns the place behind it.
    Place shrink(Place at);
    static void thin(Chunk& chunk);

    std::vector<Chunk> chunks_;
    std::vector<std::uint32_t> free_;  // of chunks_
    std::vector<Row> rows_;            // that stay where they are
    std::vector<std::uint32_t> free_rows_;
    std::vector<std::uint32_t> order_;           // of rows_
    mutable Place near_;                         // where the last look-up ended; it may be gone
    mutable std::uint64_t near_base_ = no_base;  // the base of who stands there; or nobody's
    std::size_t size_ = 0;
    std::array<std::uint64_t, member_marks> marked_{};
    mutable std::array<std::uint64_t, member_marks> lowest_{};  // nobody below is marked so
};

template <typename Fn>
void MemberChunks::erase(MessageRange range, Fn&& fn) {
    for (Place at = place_from(base_of(range.first)); begins_before(at, range.end());) {
        Chunk& chunk = this->chunk(at);
        const std::uint64_t gone = chunk.present & chunk.bits_of(range);
        if (gone == 0) {
            at = next(at);
            continue;
        }
        for (const std::uint64_t marks : chunk.marks) {
            MQD_ASSERT((marks & gone) == 0, range.first);
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

inline bool MemberChunks::mark(MessageNumber number, MemberMark mark) {
    const std::size_t which = index_of(mark);
    const Place at = place_from(base_of(number));
    if (!holds(at, number)) {
        return false;
    }
    std::uint64_t& marks = chunk(at).marks[which];
    MQD_ASSERT((marks & bit_of(number)) == 0, number);
    marks |= bit_of(number);
    count_marked(row(at.row), which, number, 1);
    return true;
}

inline bool MemberChunks::unmark(MessageNumber number, MemberMark mark) {
    const std::size_t which = index_of(mark);
    const Place at = place_from(base_of(number));
    if (!holds(at, number) || (chunk(at).marks[which] & bit_of(number)) == 0) {
        return false;
    }
    chunk(at).marks[which] &= ~bit_of(number);
    count_unmarked(row(at.row), which, 1);
    return true;
}

inline bool MemberChunks::unmark(MemberLink link, MemberMark mark) {
    Chunk& chunk = chunks_[chunk_of(link)];
    const std::uint64_t bit = std::uint64_t{1} << offset_of(link);
    if ((chunk.marks[index_of(mark)] & bit) == 0) {
        return false;
    }
    chunk.marks[index_of(mark)] &= ~bit;
    count_unmarked(rows_[chunk.row], index_of(mark), 1);
    return true;
}

inline void MemberChunks::mark(MemberLink link, MemberMark mark) {
    Chunk& chunk = chunks_[chunk_of(link)];
    const std::uint64_t bit = std::uint64_t{1} << offset_of(link);
    MQD_ASSERT((chunk.marks[index_of(mark)] & bit) == 0, chunk.base, offset_of(link));
    chunk.marks[index_of(mark)] |= bit;
    count_marked(rows_[chunk.row], index_of(mark), MessageNumber(chunk.base + offset_of(link)), 1);
}

inline bool MemberChunks::change_mark(MemberLink link, MemberMark from, MemberMark to) {
    const bool changed = unmark(link, from);
    if (changed) {
        mark(link, to);
    }
    return changed;
}

template <typename Fn>
void MemberChunks::mark(MessageRange range, MemberMark mark, Fn&& fn) {
    const std::size_t which = index_of(mark);
    MessageNumber from = range.first;
    const auto pass_over = [&](MessageNumber to) {
        if (from < to) {
            fn(MessageRange{from, to - from});
        }
    };
    for (Place at = place_from(base_of(range.first)); begins_before(at, range.end());
         at = next(at)) {
        Chunk& chunk = this->chunk(at);
        const std::uint64_t marks = chunk.present & chunk.bits_of(range);
        MQD_ASSERT((chunk.marks[which] & marks) == 0, range.first);
        chunk.marks[which] |= marks;
        for (std::uint64_t rest = marks; rest != 0;) {
            const int first = std::countr_zero(rest);
            const int end = first + std::countr_one(rest >> first);
            pass_over(MessageNumber(chunk.base + static_cast<std::uint64_t>(first)));
            from = MessageNumber(chunk.base + static_cast<std::uint64_t>(end));
            rest &= end < static_cast<int>(chunk_numbers) ? ~std::uint64_t{0} << end : 0;
        }
        if (marks != 0) {
            const MessageNumber first(chunk.base +
                                      static_cast<std::uint64_t>(std::countr_zero(marks)));
            count_marked(row(at.row), which, first,
                         static_cast<std::uint32_t>(std::popcount(marks)));
        }
        if (range.end().value() - chunk.base <= chunk_numbers) {
            break;
        }
    }
    pass_over(range.end());
}

template <typename Fn>
std::uint64_t MemberChunks::unmark(MessageRange range, MemberMark mark, Fn&& fn) {
    const std::size_t which = index_of(mark);
    std::uint64_t sum = 0;
    MessageRange run;  // that may go on in the next chunk
    for (Place at = place_from(base_of(range.first)); begins_before(at, range.end());) {
        Row& row = this->row(at.row);
        if (row.marked[which] == 0) {
            at = {at.row + 1, 0};
            continue;
        }
        Chunk& chunk = this->chunk(at);
        std::uint64_t marks = chunk.marks[which] & chunk.bits_of(range);
        chunk.marks[which] &= ~marks;
        std::uint32_t count = 0;
        while (marks != 0) {
            const int first = std::countr_zero(marks);
            const int length = std::countr_one(marks >> first);
            const MessageNumber begin(chunk.base + static_cast<std::uint64_t>(first));
            if (run.count != 0 && run.end() != begin) {
                fn(run);
                run.count = 0;
            }
            run.first = run.count == 0 ? begin : run.first;
            run.count += static_cast<std::uint64_t>(length);
            const int end = first + length;
            marks &= end < static_cast<int>(chunk_numbers) ? ~std::uint64_t{0} << end : 0;
            count += static_cast<std::uint32_t>(length);
        }
        count_unmarked(row, which, count);
        sum += count;
        if (range.end().value() - chunk.base <= chunk_numbers) {
            break;
        }
        at = next(at);
    }
    if (run.count != 0) {
        fn(run);
    }
    return sum;
}

}  // namespace mqd::engine
