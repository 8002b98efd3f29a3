#pragma once

// The state of a store whose checkpoint cannot be read any more, with `on_damage = "salvage"`: put
// together from the pieces of both checkpoint files that are whole, from the segments, and from
// what the journal tells of queues. Each piece says of which part of which queue it is, and as of
// when; the younger one counts. What lies in segments and belongs to no piece lives again: it may
// have been acked. Loop thread only, during the start; writes nothing.

#include <map>

#include "daemon/core/mender.hpp"
#include "daemon/core/replay.hpp"
#include "daemon/storage/checkpoint_file.hpp"

namespace mqd::core {

class LostState {
  public:
    LostState(Core& core, storage::Disk& disk, Mender& mender, Replay& replay)
        : core_(core), disk_(disk), mender_(mender), replay_(replay) {}

    // Whether no whole checkpoint tells what was before the journal's first group. Errors: those
    // of the system.
    Result<bool> is_lost();
    // Puts the state together, before the journal is replayed. The answer is what the next
    // checkpoint is to follow on.
    Result<storage::Checkpoint> restore();

  private:
    Result<void> read_names();
    void apply(const RecordView& record);
    void begin_part(const StatePart& part);
    Result<void> revive_segments();
    Result<void> revive(engine::Queue& queue, const PageRecord& record);
    [[nodiscard]] bool covered(const engine::Queue& queue, MessageNumber number) const;

    Core& core_;
    storage::Disk& disk_;
    Mender& mender_;
    Replay& replay_;
    // As of which group the state is known, by queue and first number of a part; 0: not at all.
    std::map<std::pair<QueueId, MessageNumber>, Sequence> parts_;
    // By queue and level, which is 0 without priorities: numbers from there on are in no part.
    std::map<std::pair<QueueId, unsigned>, MessageNumber> next_;
    std::uint64_t whole_ = 0;  // the newest whole checkpoint; 0: none
    std::uint64_t revived_ = 0;
};

}  // namespace mqd::core
