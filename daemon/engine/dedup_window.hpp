#pragma once

// The ids of the messages of one queue that has a window for them: what was published before, as of
// when, and what is being published. Owned by the Queue; core computes the hashes and looks them up
// while it admits a batch, before the batch has numbers. No clock.

#include <cstdint>

#include "daemon/engine/dedup_table.hpp"
#include "mqd/assert.hpp"
#include "mqd/types.hpp"

namespace mqd::engine {

// The secret of a queue that the hashes of its ids are computed with; kept as long as the window.
struct DedupKey {
    std::uint64_t low = 0;
    std::uint64_t high = 0;
    friend bool operator==(const DedupKey&, const DedupKey&) = default;
};

// Stands for the number of a message that has none yet: the line of a batch, both counted from 0
// on. The numbers of messages are never so large.
struct ExpectedNumber {
    std::uint32_t batch = 0;  // of those that are admitted together
    std::uint32_t line = 0;
};
[[nodiscard]] inline MessageNumber to_number(ExpectedNumber expected) {
    return MessageNumber((std::uint64_t{1} << 63) | (std::uint64_t{expected.batch} << 32) |
                         expected.line);
}
[[nodiscard]] inline bool is_expected(MessageNumber number) {
    return number.value() >> 63 != 0;
}
[[nodiscard]] inline ExpectedNumber to_expected(MessageNumber number) {
    return {static_cast<std::uint32_t>(number.value() >> 32 & 0x7FFF'FFFF),
            static_cast<std::uint32_t>(number.value())};
}

class DedupWindow {
  public:
    // Ids that it remembers count in `sum`, which outlives it.
    DedupWindow(DedupKey key, std::size_t& sum) : key_(key), sum_(sum) {}
    ~DedupWindow() { sum_ -= table_.size(); }
    DedupWindow(const DedupWindow&) = delete;
    DedupWindow& operator=(const DedupWindow&) = delete;

    [[nodiscard]] const DedupKey& key() const { return key_; }
    [[nodiscard]] const DedupTable& table() const { return table_; }

    // --- while a batch is admitted
    // admit() follows soon.
    void bring_near(const DedupHash& hash) const { table_.bring_near(hash); }
    // A message that is to be published. Returns the number of the one that it is once more; 0: it
    // is new, and expected from now on.
    [[nodiscard]] MessageNumber admit(const DedupHash& hash, ExpectedNumber expected, Time now,
                                      Time::duration window) {
        if (const DedupTable::Entry* known = table_.find(hash)) {
            if (is_expected(known->number) || known->taken + window > now) {
                return known->number;
            }
            table_.forget(hash);  // its time is over, and it lies behind others
            --sum_;
        }
        table_.add({hash, to_number(expected), now});
        ++sum_;
        return MessageNumber(0);
    }
    // The last so many that were admitted are not published after all.
    void take_back(std::size_t count) {
        for (; count > 0; --count) {
            table_.forget_newest();
            --sum_;
        }
    }
    // One that was expected has its number.
    void set_number(std::uint64_t position, MessageNumber number) {
        MQD_ASSERT(is_expected(table_.at(position).number), position);
        table_.set_number(position, number);
    }

    // --- what is known of it from before
    void remember(const DedupHash& hash, MessageNumber number, Time taken) {
        sum_ -= table_.size();
        table_.forget(hash);
        table_.add({hash, number, taken});
        sum_ += table_.size();
    }

    void forget(const DedupHash& hash) {
        sum_ -= table_.size();
        table_.forget(hash);
        sum_ += table_.size();
    }

    // Forgets the oldest as long as fn(entry) says so, but no more than so many.
    template <typename Fn>
    void forget_oldest(std::size_t at_most, Fn&& fn) {
        for (; at_most > 0 && !table_.empty() && fn(table_.oldest()); --at_most) {
            table_.forget_oldest();
            --sum_;
        }
    }

  private:
    DedupKey key_;
    DedupTable table_;
    std::size_t& sum_;
};

}  // namespace mqd::engine
