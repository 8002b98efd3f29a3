#pragma once

// The messages of one queue that are in one state, with their delivery counts: a RangeMap, and on a
// queue with groups marks beside its members (MemberChunks) for those whose count is the usual one.
// Members are held, leased and ended one by one: a run for each, at its place in the order, cost
// more than all the rest. What is marked costs a bit, whatever lies around it. Owned by a Queue.
//
// Runs are cut as they are kept: messages that lie together and have one count can be two runs.

#include <algorithm>
#include <cstdint>
#include <memory_resource>

#include "daemon/engine/member_chunks.hpp"
#include "daemon/engine/range_map.hpp"

namespace mqd::engine {

class StateMap {
  public:
    using Run = RangeMap<std::uint32_t>::Run;

    explicit StateMap(std::pmr::memory_resource* memory) : runs_(memory) {}

    // From now on, members that come with that count are marked so; they outlive this.
    void use_marks(MemberChunks& members, MemberMark mark, std::uint32_t usual) {
        members_ = &members;
        mark_ = mark;
        usual_ = usual;
    }

    [[nodiscard]] std::uint64_t count() const { return runs_.count() + marked(); }  // messages
    [[nodiscard]] bool empty() const { return count() == 0; }

    // Precondition: none of the range is in the map.
    void insert(MessageRange range, std::uint32_t value) {
        if (members_ == nullptr || value != usual_) {
            return runs_.insert(range, value);
        }
        if (range.count == 1) {
            if (!members_->mark(range.first, mark_)) {
                runs_.insert(range, value);
            }
            return;
        }
        members_->mark(range, mark_, [&](MessageRange rest) { runs_.insert(rest, value); });
    }

    // Takes out what of `range` is in the map, piece by piece in order: fn(MessageRange, attempts).
    // fn must not touch this map. Returns how many messages were taken.
    template <typename Fn>
    std::uint64_t take(MessageRange range, Fn&& fn) {
        if (marked() == 0) {
            return runs_.take(range, fn);
        }
        if (range.count == 1) {
            if (!members_->unmark(range.first, mark_)) {
                return runs_.take(range, fn);
            }
            fn(range, usual_);
            return 1;
        }
        const auto of_marks = [&](MessageRange piece) { fn(piece, usual_); };
        if (runs_.empty()) {
            return members_->unmark(range, mark_, of_marks);
        }
        std::uint64_t taken = 0;
        Run run;
        for (MessageNumber at = range.first; at < range.end() && find_from(at, run);) {
            const MessageNumber from = std::max(run.range.first, at);
            const MessageNumber to = std::min(run.range.end(), range.end());
            if (from >= to) {
                break;
            }
            const std::uint64_t before = taken;
            taken += members_->unmark({from, to - from}, mark_, of_marks);
            taken += taken == before ? runs_.take({from, to - from}, fn) : 0;
            at = to;
        }
        return taken;
    }

    // The run with the lowest numbers. Precondition: not empty.
    [[nodiscard]] Run front() const {
        if (marked() == 0) {
            return runs_.front();
        }
        Run run{};
        const bool found = find_from(MessageNumber(0), run);
        MQD_ASSERT(found, count());
        return run;
    }

    // The first run that ends behind `number`; its range may begin before or after it.
    [[nodiscard]] bool find_from(MessageNumber number, Run& out) const {
        const bool found = runs_.find_from(number, out);
        MessageRange marks;
        if (marked() == 0 || (found && out.range.first <= number) ||
            !members_->find_marked(number, mark_, marks) ||
            (found && out.range.first < marks.first)) {
            return found;
        }
        out = {marks, usual_};
        return true;
    }

    // The runs with the lowest numbers, as many as there is room for, if they are all marked.
    [[nodiscard]] std::size_t lowest_marked(std::span<MemberChunks::MarkedRun> out) const {
        return runs_.empty() && marked() != 0 ? members_->find_lowest(mark_, out) : 0;
    }

    // How many messages of the range are in the map.
    [[nodiscard]] std::uint64_t count_in(MessageRange range) const {
        return runs_.count_in(range) + (marked() == 0 ? 0 : members_->marked_in(range, mark_));
    }

    template <typename Fn>
    void for_each(Fn&& fn) const {
        Run run;
        for (MessageNumber at(0); find_from(at, run); at = run.range.end()) {
            fn(run.range, run.value);
        }
    }

    void clear() {
        runs_.clear();
        if (marked() != 0) {
            members_->unmark({MessageNumber(0), UINT64_MAX}, mark_, [](MessageRange) {});
        }
    }

  private:
    [[nodiscard]] std::uint64_t marked() const {
        return members_ == nullptr ? 0 : members_->marked(mark_);
    }

    RangeMap<std::uint32_t> runs_;
    MemberChunks* members_ = nullptr;  // null: it uses no marks
    MemberMark mark_{};
    std::uint32_t usual_ = 0;  // how often those that are marked were delivered
};

}  // namespace mqd::engine
