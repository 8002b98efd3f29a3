#pragma once

// A copy of the store as it is at one moment, for a client that asks for it part by part while the
// daemon goes on. One at a time; it belongs to the session that asked for it, and ends with it.
// docs/storage.md, "Backup", says which files it consists of, and why they fit together.
//
// waiting: until what was told so far is on the disk -> taking: files are linked and copied; what
// is not yet there stays as it is -> open: parts are read when they are asked for, and the client
// reads what it got -> the files are removed. An error in any of them ends it, and hurts nothing
// else.
//
// Loop thread only, except for the work on the files, which it posts to the storage worker one
// bounded piece at a time.

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "daemon/engine/engine.hpp"
#include "daemon/storage/journal.hpp"
#include "daemon/storage/snapshot.hpp"
#include "daemon/storage/worker.hpp"
#include "mqd/result.hpp"
#include "mqd/types.hpp"

namespace mqd::core {

class Core;
class Session;

class Backup {
  public:
    Backup(Core& core, storage::Disk& disk, storage::Worker& worker)
        : core_(core), disk_(disk), worker_(worker) {}
    Backup(const Backup&) = delete;
    Backup& operator=(const Backup&) = delete;

    // --- for sessions
    // BACKUP_REPLY follows, or an error. Errors: backup_running, stopping,
    // backup_failed.
    Result<void> begin(Session& session, CorrelationId correlation);
    // BACKUP_PART follows, or an error. Error: no_backup.
    Result<void> next(const Session& session, CorrelationId correlation);
    // Requests of the session that are not answered yet.
    [[nodiscard]] std::size_t unanswered(const Session& session) const {
        return session_ == &session ? asked_.size() : 0;
    }
    // The session is about to end: nothing is sent to it any more.
    void session_ended(const Session& session);

    // --- for core
    void turn();
    [[nodiscard]] bool wants_turn() const;
    [[nodiscard]] std::optional<engine::Time> next_deadline() const;
    // It waits for what is written to be synced.
    [[nodiscard]] bool wants_sync() const { return stage_ == Stage::waiting; }
    // No file of a segment may be removed, no checkpoint begun.
    [[nodiscard]] bool holds_segments() const {
        return stage_ == Stage::taking && there_ < segments_;
    }
    [[nodiscard]] bool holds_checkpoints() const {
        return stage_ == Stage::taking && there_ < segments_ + checkpoints_;
    }
    // One is being taken or given out, or its files are not removed yet.
    [[nodiscard]] bool active() const { return stage_ != Stage::none || old_ || working_; }

  private:
    enum class Stage : std::uint8_t { none, waiting, taking, open };
    struct Part;

    void pump();
    void post(std::function<void()> work, std::function<void()> done);
    void take_over();
    void post_taking();
    void hold_journal();
    void opened();
    void post_removal();
    void post_read();
    void part_read(Part& part);
    void give_up_if_idle();
    void fail(const Error& error);
    void end();

    Core& core_;
    storage::Disk& disk_;
    storage::Worker& worker_;
    Stage stage_ = Stage::none;
    Session* session_ = nullptr;       // whose it is; null: stage none
    std::deque<CorrelationId> asked_;  // BACKUP, until it is open; then BACKUP_NEXT
    Sequence target_;                  // waiting: until that is durable
    // Touched by the worker only, while there is work for it.
    std::shared_ptr<storage::Snapshot> snapshot_;
    std::shared_ptr<storage::Snapshot> old_;  // to be removed
    bool working_ = false;                    // a piece is on its way
    // Of the sources of the snapshot: first the segments, then the checkpoint, then the journal.
    std::size_t segments_ = 0;
    std::size_t checkpoints_ = 0;
    std::vector<storage::FileOrdinal> journal_;
    std::size_t there_ = 0;  // of all of them
    // The next part: of which file, and from where.
    std::size_t at_file_ = 0;
    std::uint64_t at_offset_ = 0;
    engine::Time idle_deadline_;
    std::uint64_t unread_bytes_ = 0;  // of the session's output, when the deadline was set
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // expired: do not call back
};

}  // namespace mqd::core
