#pragma once

// Which lines of a batch were published before, and what is to be remembered of the others. Part of
// a TakenBatch; loop thread only.

#include <cstdint>
#include <span>
#include <vector>

#include "daemon/engine/dedup_window.hpp"
#include "mqd/wire/handle.hpp"

namespace mqd::core {

struct DedupLines {
    struct Known {
        std::uint32_t line = 0;  // of the frame, from 0 on
        // Of the message that it is; or expected, where that is a line of this batch, or of one
        // that is admitted together with it.
        MessageNumber number;
    };
    std::uint32_t lines = 0;   // of the frame, all of them
    std::vector<Known> known;  // in the order of the lines
    // Of those with ids that are new: their entries in the window with that key, one behind the
    // other, which have no numbers yet.
    std::uint32_t expected = 0;
    std::uint64_t position = 0;
    engine::DedupKey key;
    std::uint32_t batch = 0;  // as which they are expected

    void clear() {
        lines = 0;
        known.clear();
        expected = 0;
    }
};

// The number of each line, in order. `fresh` are those of the lines that were not known, in their
// order; `number_of` gives that of a line of another batch, which is expected.
template <typename Fn>
[[nodiscard]] std::vector<MessageNumber> numbers_of_all(const DedupLines& dedup,
                                                        std::span<const wire::ConfirmedRun> fresh,
                                                        Fn&& number_of) {
    std::vector<MessageNumber> numbers;
    numbers.reserve(dedup.lines);
    auto known = dedup.known.begin();
    const auto append_known = [&] {
        for (; known != dedup.known.end() && known->line == numbers.size(); ++known) {
            if (!engine::is_expected(known->number)) {
                numbers.push_back(known->number);
                continue;
            }
            const engine::ExpectedNumber expected = engine::to_expected(known->number);
            numbers.push_back(expected.batch == dedup.batch ? numbers[expected.line]
                                                            : number_of(expected));
        }
    };
    for (const wire::ConfirmedRun& run : fresh) {
        for (std::uint32_t i = 0; i < run.count; ++i) {
            append_known();
            numbers.push_back(run.first_number.plus(i));
        }
    }
    append_known();
    return numbers;
}

// The same as runs.
[[nodiscard]] std::vector<wire::ConfirmedRun> runs_of(std::span<const MessageNumber> numbers);

}  // namespace mqd::core
