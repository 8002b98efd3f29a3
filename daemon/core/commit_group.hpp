#pragma once

// A commit group on core's side: the bytes that go to the journal, and the decisions in them as
// apply() takes them, so that nothing has to be read back. Kept from use to use. Loop thread only.

#include <vector>

#include "daemon/core/block.hpp"
#include "daemon/core/handle.hpp"
#include "daemon/core/taken_batch.hpp"
#include "daemon/engine/engine.hpp"
#include "daemon/storage/group_buffer.hpp"
#include "mqd/wire/admin.hpp"

namespace mqd::core {

// What somebody waits for, in order of strength.
enum class Need : std::uint8_t {
    nothing,  // rides with the next group, or after commit_delay_max
    written,
    durable,
};

struct PendingCommand {
    enum class Kind : std::uint8_t {
        add,
        add_batch,  // to a memory queue, in a transaction: its numbers are given when it is there
        delay,
        mark,
        dedup,  // ids are remembered from now on
        remove,
        reject,
        create,
        update,
        remove_queue
    };
    Kind kind{};
    Durability level{};              // written or disk: it is applied when the group is that
    engine::Queue* queue = nullptr;  // not for create and update
    Block* block = nullptr;          // add
    // add: in members; remove: in ranges; delay: in delays; mark: in marks; create: in
    // creates; dedup: in dedups; update: in updates; reject: in rejects; add_batch: in batches
    std::uint32_t first = 0;
    std::uint32_t count = 0;  // add: members of groups; remove: ranges; delay: runs
};

// Of a transaction: messages that are on their way to the dead letters when it is there.
struct PendingReject {
    std::vector<MessageRange> ranges;
    engine::Failure failure;
};

struct PendingUpdate {
    QueueId id;
    wire::QueueOptions options;
    std::string dead_letter;  // what the options view
};

struct PendingDedup {
    QueueId id;
    engine::DedupKey key;
};

// Lines of a producer with a name were taken.
struct PendingMark {
    engine::ProducerMark* mark = nullptr;
    LineNumber line;
    WallTime used;
};

struct CommitGroup {
    CommitId id;
    storage::GroupBuffer buffer;
    std::vector<PendingCommand> commands;
    std::vector<MessageRange> ranges;
    std::vector<engine::DelayMessages> delays;
    std::vector<engine::GroupMember> members;
    std::vector<PendingMark> marks;
    std::vector<PendingDedup> dedups;
    std::vector<engine::CreateQueue> creates;
    std::vector<PendingUpdate> updates;
    std::vector<PendingReject> rejects;
    std::vector<TakenBatch> batches;
    std::vector<Block*> carried;  // blocks that live in this group's file from now on
    // Files of blocks that lie in segments, as this group says.
    std::vector<storage::FileOrdinal> placed;
    Need need = Need::nothing;
    bool written_awaited = false;  // somebody waits for no more than that
    std::size_t aside_bytes = 0;   // of records that open_aside() let in
    Sequence sequence;             // once submitted
    bool applied_written = false;  // what is applied when written, was
    // A transaction in it concerns `written` queues and others: nothing is applied before it is
    // durable, here and behind it.
    bool whole = false;

    void clear() {
        buffer.clear();
        commands.clear();
        ranges.clear();
        delays.clear();
        members.clear();
        marks.clear();
        dedups.clear();
        creates.clear();
        updates.clear();
        rejects.clear();
        batches.clear();
        carried.clear();
        placed.clear();
        need = Need::nothing;
        written_awaited = false;
        aside_bytes = 0;
        applied_written = false;
        whole = false;
    }
};

}  // namespace mqd::core
