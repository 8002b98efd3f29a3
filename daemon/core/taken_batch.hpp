#pragma once

// A batch that was taken, in the blocks that it is kept as, with what its attributes say of its
// messages. Loop thread only.

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "daemon/core/block.hpp"
#include "daemon/core/dedup_lines.hpp"
#include "daemon/core/history.hpp"
#include "daemon/core/priority_split.hpp"
#include "daemon/engine/engine.hpp"
#include "mqd/wire/frame.hpp"

namespace mqd::core {

// What of it has one priority.
struct BatchPart {
    Block* block = nullptr;
    unsigned priority = 0;
    std::uint32_t first_member = 0;  // of those of the batch that belong to groups
    std::uint32_t members = 0;
};

struct TakenBatch {
    // One unless it has several priorities, and then the highest first.
    std::vector<BatchPart> parts;
    PrioritySplit split;
    // In numbers counted over all parts, from 0 on, until place(); of no more than one part each.
    std::vector<engine::DelayMessages> delays;
    std::vector<engine::GroupMember> members;
    // It comes from another queue, and that is to be noted when it has its numbers.
    std::shared_ptr<const HistoryOfMove> moved;
    DedupLines dedup;  // what was left out of it before it was taken

    void clear();
    [[nodiscard]] std::uint32_t count() const;  // messages
    [[nodiscard]] std::span<const engine::GroupMember> members_of(const BatchPart& part) const {
        return std::span(members).subspan(part.first_member, part.members);
    }
    // Lines of it, from 0 on, wait until then. Precondition: `split` is that of the batch.
    void delay_lines(std::span<const engine::DelayMessages> lines);
    // What its lines became, in their order. Precondition: the blocks have their numbers.
    [[nodiscard]] std::vector<wire::ConfirmedRun> numbers() const;
    // The blocks have their numbers, in that queue.
    void place(QueueId id);

  private:
    void place_delays(QueueId id);
    void place_members();
};

// What the lines of a batch became, in their order. `next` is the first number of each priority
// that is among them.
[[nodiscard]] std::vector<wire::ConfirmedRun> numbers_of_lines(
    std::array<MessageNumber, priority_max + 1> next, std::span<const PrioritySplit::Lines> lines);

}  // namespace mqd::core
