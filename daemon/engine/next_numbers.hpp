#pragma once

// The numbers that a queue gives out next: one row of them or, with priorities, one for each level
// (mqd/types.hpp). What was admitted may still be on its way to the disk; what was applied is in
// the queue, or was. `like` names the row by any number of it.

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

#include "mqd/assert.hpp"
#include "mqd/types.hpp"

namespace mqd::engine {

class NextNumbers {
  public:
    // `next` counts on a queue without priorities only.
    NextNumbers(bool priorities, MessageNumber next) : single_{next, next} {
        if (priorities) {
            levels_ = std::make_unique<Levels>();
            for (unsigned level = 1; level <= number_levels; ++level) {
                const MessageNumber first = first_of_level(level);
                (*levels_)[level - 1] = {first, first};
            }
        }
    }

    [[nodiscard]] bool has_levels() const { return levels_ != nullptr; }
    [[nodiscard]] MessageNumber admitted(MessageNumber like) const { return row(like).admitted; }
    [[nodiscard]] MessageNumber applied(MessageNumber like) const { return row(like).applied; }
    // Of the lowest priority, which has the highest ones.
    [[nodiscard]] MessageNumber last_admitted() const { return last().admitted; }
    [[nodiscard]] MessageNumber last_applied() const { return last().applied; }

    // Whether the queue can have messages of these numbers, whatever was given out so far.
    [[nodiscard]] bool may_be(MessageRange range) const {
        const unsigned level = level_of_number(range.first);
        return range.count > 0 &&
               (levels_ == nullptr ||
                (level >= 1 && level <= number_levels && range.first >= first_of_level(level) &&
                 level == level_of_number(range.first.plus(range.count - 1))));
    }

    // The next `count` of that priority, which counts only where there are levels.
    MessageRange admit(unsigned priority, std::uint64_t count) {
        MQD_ASSERT(priority <= priority_max, priority);
        Row& row = levels_ ? (*levels_)[level_of_priority(priority) - 1] : single_;
        const MessageRange range{row.admitted, count};
        row.admitted = range.end();
        return range;
    }
    // Precondition: may_be(range), and it was not applied.
    void apply(MessageRange range) {
        Row& row = this->row(range.first);
        MQD_ASSERT(range.first >= row.applied, range.first);
        row.applied = range.end();
        row.admitted = std::max(row.admitted, row.applied);
    }
    // Numbers below `next` are not given out any more, in its level. Precondition: it may be one.
    void skip(MessageNumber next) {
        Row& row = this->row(next);
        row.applied = std::max(row.applied, next);
        row.admitted = std::max(row.admitted, row.applied);
    }

    // How many are admitted and not applied.
    [[nodiscard]] std::uint64_t on_their_way() const {
        std::uint64_t count = single_.admitted - single_.applied;
        for (unsigned i = 0; levels_ && i < number_levels; ++i) {
            count += (*levels_)[i].admitted - (*levels_)[i].applied;
        }
        return count;
    }
    // Calls fn(MessageNumber) with what is applied of each row, in order.
    template <typename Fn>
    void for_each_applied(Fn&& fn) const {
        if (levels_ == nullptr) {
            fn(single_.applied);
            return;
        }
        for (const Row& row : *levels_) {
            fn(row.applied);
        }
    }

  private:
    struct Row {
        MessageNumber admitted;
        MessageNumber applied;
    };
    using Levels = std::array<Row, number_levels>;

    [[nodiscard]] const Row& row(MessageNumber like) const {
        if (levels_ == nullptr) {
            return single_;
        }
        const unsigned level = level_of_number(like);
        MQD_ASSERT(level >= 1 && level <= number_levels, like);
        return (*levels_)[level - 1];
    }
    [[nodiscard]] Row& row(MessageNumber like) {
        return const_cast<Row&>(std::as_const(*this).row(like));
    }
    [[nodiscard]] const Row& last() const { return levels_ ? levels_->back() : single_; }

    Row single_;
    std::unique_ptr<Levels> levels_;  // null: without priorities
};

}  // namespace mqd::engine
