#pragma once

// Writes all small state to a checkpoint, a bounded piece in each turn, while the daemon goes on:
// each part of a queue says as of which group it was written, and replay applies to it only what
// came later (docs/storage.md, "Checkpoints"). Loop thread only.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "daemon/core/page.hpp"
#include "daemon/core/record.hpp"
#include "daemon/engine/engine.hpp"
#include "daemon/storage/checkpoint_file.hpp"
#include "mqd/types.hpp"

namespace mqd::core {

class Core;

class CheckpointPass {
  public:
    CheckpointPass(Core& core, storage::Disk& disk, storage::Worker& worker,
                   const storage::Checkpoint& last)
        : core_(core), writer_(disk, worker, last) {}

    // The last one that is on the disk.
    [[nodiscard]] const storage::Checkpoint& last() const { return writer_.last(); }
    // One is being written.
    [[nodiscard]] bool active() const { return writer_.active(); }
    // The last one found room for what was noted of failures.
    [[nodiscard]] bool told_failures() const { return told_failures_; }
    // The one that is being written, or the next one, is without.
    [[nodiscard]] bool leaves_out_failures() const { return leaves_out_failures_; }
    // The next turn has a piece to encode.
    [[nodiscard]] bool wants_turn() const { return encoding_ && writer_.unwritten() < chunks_max; }
    // Everything is encoded, and has to be durable before it counts.
    [[nodiscard]] bool wants_sync() const { return active() && !encoding_ && !finishing_; }

    void begin();
    void turn();
    void queue_removed(const engine::Queue& queue);

    struct Figures {
        std::uint64_t checkpoints = 0;
        std::uint64_t bytes = 0;  // of the last one
    };
    [[nodiscard]] Figures figures() const { return {written_, writer_.last().bytes}; }

  private:
    static constexpr std::uint64_t chunks_max = 4;  // encoded and not written

    void encode_some();
    void begin_queue(const engine::Queue& queue);
    [[nodiscard]] bool encode_part(const engine::Queue& queue, std::size_t& left);
    [[nodiscard]] bool any_noted() const;
    [[nodiscard]] bool encode_section(const engine::Queue& queue, std::size_t& left);
    [[nodiscard]] bool encode_failures(const engine::Queue& queue, std::size_t& left);
    [[nodiscard]] bool encode_delays(const engine::Queue& queue, std::size_t& left);
    [[nodiscard]] bool encode_purges(const engine::Queue& queue, std::size_t& left);
    [[nodiscard]] bool encode_groups(const engine::Queue& queue, std::size_t& left);
    [[nodiscard]] bool encode_marks(const engine::Queue& queue, std::size_t& left);
    [[nodiscard]] bool encode_ids(const engine::Queue& queue, std::size_t& left);
    void done(const Result<void>& written);

    Core& core_;
    storage::CheckpointWriter writer_;
    storage::GroupBuffer buffer_;
    bool encoding_ = false;
    bool finishing_ = false;
    Sequence through_;
    std::string at_name_;  // the queue that is being encoded, or was last
    QueueId at_id_;
    bool in_queue_ = false;
    bool leaves_out_failures_ = false;
    bool told_failures_ = true;  // the last one did
    enum class Section : std::uint8_t { parts, failures, delays, purges, groups, ids, marks };
    Section section_{};   // of the queue, that is being encoded
    MessageNumber from_;  // where it goes on
    std::string from_name_;
    // The ids of the queue that are told: what its window with that key remembered as of then.
    struct Ids {
        bool begun = false;
        engine::DedupKey key;
        Sequence as_of;
        std::uint64_t from = 0;  // positions
        std::uint64_t to = 0;
    } ids_;
    DedupMarks marks_;  // scratch
    std::vector<engine::LiveRun> runs_;
    std::vector<const Page*> pages_;
    std::uint64_t written_ = 0;
};

}  // namespace mqd::core
