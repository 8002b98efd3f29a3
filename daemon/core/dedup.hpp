#pragma once

// Messages that are published once more, on queues with the option `dedup_window`: they are left
// out of their batch, and confirmed as the messages that they were the first time. Ids are
// remembered when a batch is admitted, so that what is on its way counts; the journal tells of them
// by the messages themselves, and checkpoints by records of their own (docs/storage.md, "Ids of
// messages"). A queue without the option pays one branch a batch. Loop thread only.

#include <cstdint>
#include <vector>

#include "daemon/core/dedup_lines.hpp"
#include "daemon/engine/engine.hpp"
#include "mqd/result.hpp"
#include "mqd/wire/frame.hpp"
#include "mqd/wire/handle.hpp"

namespace mqd::core {

class Core;
struct CommitGroup;
struct MessagesRecord;
struct PendingDedup;
struct TakenBatch;

class Dedup {
  public:
    explicit Dedup(Core& core) : core_(core) {}

    [[nodiscard]] static bool watches(const engine::Queue& queue) {
        return queue.dedup() != nullptr && queue.definition().dedup_window.count() > 0;
    }

    // Of batches that are admitted together, the first.
    [[nodiscard]] std::uint32_t next_batch() const { return next_batch_; }
    // The frame without the messages that were published before, which `lines` tells; what it views
    // is valid until the next call. What is left is expected to get numbers: number_lines() or
    // take_back() has to follow. Batches from `together` on are admitted with this one. Errors:
    // memory_full, disk_full; then nothing is changed. Precondition: watches(queue).
    Result<wire::Publish> sort_out(engine::Queue& queue, const wire::Publish& frame,
                                   std::uint32_t together, DedupLines& lines);
    // It was refused. Of several batches, the last one comes first.
    static void take_back(engine::Queue& queue, DedupLines& lines);
    // The batch has its numbers.
    void number_lines(engine::Queue& queue, TakenBatch& batch);
    // It was taken, or will be for sure.
    void taken(engine::Queue& queue, const DedupLines& lines);

    // The queue remembers ids when the group is there, unless it does already then.
    void append_opening(QueueId id, CommitGroup& group);
    void open(const PendingDedup& opening);
    // It has other options.
    void updated(QueueId id);
    // At the end of a start.
    void started(engine::Queue& queue);

    // Of a record in the journal: its messages are remembered.
    static void remember(engine::Queue& queue, const MessagesRecord& record);

    // Forgets ids whose time is over on queues to which nobody publishes.
    void turn();
    [[nodiscard]] engine::Time next_deadline() const { return sweep_at_; }
    // Windows were shortened, or filled.
    void sweep_soon();

  private:
    [[nodiscard]] engine::DedupKey new_key();
    struct LineHash {
        std::uint32_t line = 0;
        engine::DedupHash hash;
    };
    bool admit(engine::Queue& queue, const LineHash& next, std::uint32_t together,
               DedupLines& lines) const;
    Result<void> check_room(const engine::Queue& queue, const DedupLines& lines) const;
    void leave_out_known(const wire::Publish& frame, const DedupLines& lines);

    Core& core_;
    std::uint32_t next_batch_ = 0;
    std::uint64_t keys_made_ = 0;
    engine::Time sweep_at_ = engine::Time::max();
    std::vector<std::byte> rest_;  // scratch: a batch without what was known
};

}  // namespace mqd::core
