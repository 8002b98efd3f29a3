#include "daemon/core/taken_batch.hpp"

namespace mqd::core {

void TakenBatch::clear() {
    parts.clear();
    split.clear();
    delays.clear();
    members.clear();
    moved.reset();
    dedup.clear();
}

std::uint32_t TakenBatch::count() const {
    std::uint32_t sum = 0;
    for (const BatchPart& part : parts) {
        sum += part.block->count;
    }
    return sum;
}

void TakenBatch::delay_lines(std::span<const engine::DelayMessages> lines) {
    delays.assign(lines.begin(), lines.end());
    if (!split.mixed()) {
        return;
    }
    // One by one, as neighbours may go different ways.
    std::vector<engine::DelayMessages> placed;
    std::uint64_t position = 0;
    split.for_each([&](unsigned, std::span<const BatchRun> runs) {
        for (const BatchRun& run : runs) {
            for (std::uint64_t line = run.first; line < run.first + run.count; ++line, ++position) {
                for (const engine::DelayMessages& delayed : lines) {
                    const std::uint64_t first = delayed.range.first.value();
                    if (line >= first && line - first < delayed.range.count) {
                        placed.push_back({{}, {MessageNumber(position), 1}, delayed.due});
                    }
                }
            }
        }
    });
    delays = std::move(placed);
}

std::vector<wire::ConfirmedRun> TakenBatch::numbers() const {
    if (parts.empty()) {
        return {};
    }
    if (parts.size() == 1) {
        return {{parts.front().block->first, parts.front().block->count}};
    }
    std::array<MessageNumber, priority_max + 1> next;
    for (const BatchPart& part : parts) {
        next[part.priority] = part.block->first;
    }
    return numbers_of_lines(next, split.lines());
}

void TakenBatch::place(QueueId id) {
    place_delays(id);
    place_members();
}

void TakenBatch::place_delays(QueueId id) {
    auto part = parts.begin();
    std::uint64_t begin = 0;  // of the part
    for (engine::DelayMessages& run : delays) {
        const std::uint64_t position = run.range.first.value();
        for (; position - begin >= part->block->count; ++part) {
            begin += part->block->count;
        }
        run.id = id;
        run.range.first = part->block->first.plus(position - begin);
    }
}

void TakenBatch::place_members() {
    auto member = members.begin();
    std::uint64_t begin = 0;  // of the part
    for (BatchPart& part : parts) {
        part.first_member = static_cast<std::uint32_t>(member - members.begin());
        for (; member != members.end() && member->number.value() - begin < part.block->count;
             ++member) {
            member->number = part.block->first.plus(member->number.value() - begin);
            ++part.members;
        }
        begin += part.block->count;
    }
}

std::vector<wire::ConfirmedRun> numbers_of_lines(std::array<MessageNumber, priority_max + 1> next,
                                                 std::span<const PrioritySplit::Lines> lines) {
    std::vector<wire::ConfirmedRun> runs;
    runs.reserve(lines.size());
    for (const PrioritySplit::Lines& run : lines) {
        runs.push_back({next[run.priority], run.count});
        next[run.priority] = next[run.priority].plus(run.count);
    }
    return runs;
}

}  // namespace mqd::core
