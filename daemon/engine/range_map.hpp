#pragma once

// A map from message numbers to a value, kept as runs of numbers with equal values: what lies
// together costs one entry, however many messages it is. Keyed by the last number of a run, so that
// taking messages off its front, which is what consumers do, changes no key.

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>
#include <memory_resource>

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

    [[nodiscard]] bool empty() const { return runs_.empty(); }
    [[nodiscard]] std::uint64_t count() const { return count_; }     // numbers
    [[nodiscard]] std::size_t runs() const { return runs_.size(); }  // entries

    // Precondition: none of the range is in the map.
    void insert(MessageRange range, const Value& value) {
        MQD_ASSERT(range.count > 0);
        MessageNumber first = range.first;
        const MessageNumber last = range.first.plus(range.count - 1);
        auto next = runs_.lower_bound(range.first);
        MQD_ASSERT(next == runs_.end() || next->second.first > last, last);
        count_ += range.count;
        if (next != runs_.begin()) {
            auto before = std::prev(next);
            if (before->first.plus(1) == first && before->second.value == value) {
                first = before->second.first;
                if (next == runs_.end() || !joins(next, last, value)) {
                    auto node = runs_.extract(before);  // the same memory under its new key
                    node.key() = last;
                    runs_.insert(next, std::move(node));
                    return;
                }
                runs_.erase(before);
            }
        }
        if (next != runs_.end() && joins(next, last, value)) {
            next->second.first = first;
            return;
        }
        runs_.emplace_hint(next, last, Entry{first, value});
    }

    // Takes out what of `range` is in the map, piece by piece in order: fn(MessageRange, const
    // Value&). fn must not touch this map. Returns how many numbers were taken.
    template <typename Fn>
    std::uint64_t take(MessageRange range, Fn&& fn) {
        std::uint64_t taken = 0;
        auto at = runs_.lower_bound(range.first);
        while (at != runs_.end() && at->second.first < range.end()) {
            const MessageNumber run_first = at->second.first;
            const MessageNumber run_end = at->first.plus(1);
            const MessageNumber from = std::max(run_first, range.first);
            const MessageNumber to = std::min(run_end, range.end());
            const Value value = at->second.value;
            if (from == run_first && to == run_end) {
                at = runs_.erase(at);
            } else if (to == run_end) {
                auto node = runs_.extract(at++);
                node.key() = MessageNumber(from.value() - 1);  // from > run_first >= 0
                runs_.insert(at, std::move(node));
            } else {
                if (from != run_first) {
                    runs_.emplace_hint(at, MessageNumber(from.value() - 1),
                                       Entry{run_first, value});
                }
                at->second.first = to;
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
        const auto at = runs_.lower_bound(number);
        if (at == runs_.end()) {
            return false;
        }
        out = run(at);
        return true;
    }

    // How many numbers of the range are in the map.
    [[nodiscard]] std::uint64_t count_in(MessageRange range) const {
        std::uint64_t count = 0;
        for (auto at = runs_.lower_bound(range.first);
             at != runs_.end() && at->second.first < range.end(); ++at) {
            count +=
                std::min(at->first.plus(1), range.end()) - std::max(at->second.first, range.first);
        }
        return count;
    }

    template <typename Fn>
    void for_each(Fn&& fn) const {
        for (auto at = runs_.begin(); at != runs_.end(); ++at) {
            fn(run(at).range, at->second.value);
        }
    }

    void clear() {
        runs_.clear();
        count_ = 0;
    }

  private:
    struct Entry {
        MessageNumber first;
        Value value;
    };
    using Runs = std::pmr::map<MessageNumber, Entry>;

    [[nodiscard]] static bool joins(typename Runs::iterator next, MessageNumber last,
                                    const Value& value) {
        return next->second.first == last.plus(1) && next->second.value == value;
    }
    [[nodiscard]] static Run run(typename Runs::const_iterator at) {
        return {{at->second.first, at->first.plus(1) - at->second.first}, at->second.value};
    }

    Runs runs_;
    std::uint64_t count_ = 0;
};

}  // namespace mqd::engine
