#pragma once

// A map from message numbers to a value, kept as runs of numbers with equal values: what lies
// together costs one entry, however many messages it is.

#include <algorithm>
#include <cstdint>
#include <memory_resource>

#include "daemon/engine/run_chunks.hpp"
#include "mqd/assert.hpp"
#include "mqd/types.hpp"

namespace mqd::engine {

template <typename Value>
class RangeMap {
  public:
    struct Run {
        MessageRange range;
        Value value;
    };

    explicit RangeMap(std::pmr::memory_resource* memory) : runs_(memory) {}

    [[nodiscard]] bool empty() const { return count_ == 0; }
    [[nodiscard]] std::uint64_t count() const { return count_; }     // numbers
    [[nodiscard]] std::size_t runs() const { return runs_.size(); }  // entries

    // Precondition: none of the range is in the map.
    void insert(MessageRange range, const Value& value) {
        MQD_ASSERT(range.count > 0);
        const MessageNumber last = range.first.plus(range.count - 1);
        const auto next = runs_.find(range.first);
        MQD_ASSERT(next == runs_.end() || runs_[next].first > last, last);
        count_ += range.count;
        const bool joins_next =
            next != runs_.end() && runs_[next].first == last.plus(1) && runs_[next].value == value;
        if (next != runs_.begin()) {
            const auto before = runs_.before(next);
            if (runs_[before].last.plus(1) == range.first && runs_[before].value == value) {
                runs_.set_last(before, joins_next ? runs_[next].last : last);
                if (joins_next) {
                    runs_.erase(next);
                }
                return;
            }
        }
        if (joins_next) {
            runs_.set_first(next, range.first);
            return;
        }
        runs_.insert(next, {range.first, last, value});
    }

    // Takes out what of `range` is in the map, piece by piece in order: fn(MessageRange, const
    // Value&). fn must not touch this map. Returns how many numbers were taken.
    template <typename Fn>
    std::uint64_t take(MessageRange range, Fn&& fn) {
        std::uint64_t taken = 0;
        auto at = runs_.find(range.first);
        while (at != runs_.end() && runs_[at].first < range.end()) {
            const MessageNumber run_first = runs_[at].first;
            const MessageNumber run_last = runs_[at].last;
            const MessageNumber from = std::max(run_first, range.first);
            const MessageNumber to = std::min(run_last.plus(1), range.end());
            const Value value = runs_[at].value;
            if (from == run_first && to > run_last) {
                at = runs_.erase(at);
            } else if (to > run_last) {
                runs_.set_last(at, MessageNumber(from.value() - 1));  // from > run_first >= 0
                at = runs_.next(at);
            } else {
                runs_.set_first(at, to);
                if (from != run_first) {
                    runs_.insert(at, {run_first, MessageNumber(from.value() - 1), value});
                }
                at = runs_.end();  // it goes on behind the range
            }
            const MessageRange piece{from, to - from};
            count_ -= piece.count;
            taken += piece.count;
            fn(piece, value);
        }
        return taken;
    }

    // The run with the lowest numbers. Precondition: not empty.
    [[nodiscard]] Run front() const {
        MQD_ASSERT(!empty());
        return run(runs_.begin());
    }

    // The first run that ends behind `number`; its range may begin before or after it.
    [[nodiscard]] bool find_from(MessageNumber number, Run& out) const {
        const auto at = runs_.find(number);
        if (at == runs_.end()) {
            return false;
        }
        out = run(at);
        return true;
    }

    // How many numbers of the range are in the map.
    [[nodiscard]] std::uint64_t count_in(MessageRange range) const {
        std::uint64_t count = 0;
        for (auto at = runs_.find(range.first); at != runs_.end() && runs_[at].first < range.end();
             at = runs_.next(at)) {
            count += std::min(runs_[at].last.plus(1), range.end()) -
                     std::max(runs_[at].first, range.first);
        }
        return count;
    }

    template <typename Fn>
    void for_each(Fn&& fn) const {
        for (auto at = runs_.begin(); at != runs_.end(); at = runs_.next(at)) {
            fn(run(at).range, runs_[at].value);
        }
    }

    void clear() {
        runs_.clear();
        count_ = 0;
    }

  private:
    using Runs = RunChunks<Value>;

    [[nodiscard]] Run run(typename Runs::Place at) const {
        const auto& entry = runs_[at];
        return {{entry.first, entry.last.plus(1) - entry.first}, entry.value};
    }

    Runs runs_;
    std::uint64_t count_ = 0;
};

}  // namespace mqd::engine
