#include "daemon/core/backup.hpp"

#include <algorithm>
#include <utility>

#include "daemon/core/backlog.hpp"
#include "daemon/core/core.hpp"
#include "daemon/core/record.hpp"
#include "daemon/core/session.hpp"
#include "daemon/storage/block_memory.hpp"
#include "mqd/wire/backup.hpp"

namespace mqd::core {

namespace {

using How = storage::SnapshotSource::How;

Error to_client(const Error& cause) {
    const bool full = cause.code == ErrorCode::no_space;
    return {full ? ErrorCode::disk_full : ErrorCode::backup_failed, cause.text};
}

}  // namespace

// --- requests

Result<void> Backup::begin(Session& session, CorrelationId correlation) {
    if (core_.stopping_) {
        return Error{ErrorCode::stopping, "the daemon is shutting down"};
    }
    if (stage_ != Stage::none) {
        return Error{ErrorCode::backup_running, "another backup is being taken", 1};
    }
    if (core_.backlog_->empties_files()) {
        return Error{ErrorCode::backup_failed,
                     "the store is being salvaged, which takes some seconds", 0, 1000};
    }
    stage_ = Stage::waiting;
    session_ = &session;
    asked_.push_back(correlation);
    target_ = core_.journal_->last();
    if (core_.journal_->current_file().value() == 0) {
        // A store without a group would be copied to nothing, which is no store.
        append_next_queue_id(core_.open_group(record_header_bytes + 4).buffer,
                             core_.engine_.next_queue_id());
        core_.raise_need(core_.pending_.back(), Need::durable);
        target_ = target_.plus(1);
    }
    return {};
}

Result<void> Backup::next(const Session& session, CorrelationId correlation) {
    if (session_ != &session || stage_ != Stage::open) {
        return Error{ErrorCode::no_backup, "there is no backup, or it has ended"};
    }
    asked_.push_back(correlation);
    idle_deadline_ = core_.now_.journal + core_.options_.backup_idle_max;
    return {};
}

void Backup::session_ended(const Session& session) {
    if (session_ == &session) {
        end();
    }
}

// --- a turn

void Backup::turn() {
    if (core_.stopping_ && (stage_ == Stage::waiting || stage_ == Stage::taking)) {
        fail({ErrorCode::stopping, "the daemon is shutting down"});
    }
    if (stage_ == Stage::open) {
        give_up_if_idle();
    }
    pump();
}

bool Backup::wants_turn() const {
    if (working_) {
        return false;
    }
    return old_ || (stage_ == Stage::open && !asked_.empty() && session_->backup_room() > 0);
}

std::optional<engine::Time> Backup::next_deadline() const {
    return stage_ == Stage::open ? std::optional(idle_deadline_) : std::nullopt;
}

// The files take space as long as they are there, also what the daemon itself has removed since.
void Backup::give_up_if_idle() {
    const engine::Time now = core_.now_.journal;
    if (now < idle_deadline_) {
        return;
    }
    idle_deadline_ = now + core_.options_.backup_idle_max;
    const std::uint64_t unread = session_->output().bytes();
    if (unread == std::exchange(unread_bytes_, unread) && !working_) {
        fail({ErrorCode::backup_failed, "nothing was asked for, or read, for too long"});
    }
}

void Backup::pump() {
    if (working_) {
        return;
    }
    if (old_) {
        post_removal();
    } else if (stage_ == Stage::waiting && core_.applied_durable_ >= target_) {
        take_over();
        post_taking();
    } else if (stage_ == Stage::taking) {
        post_taking();
    } else if (stage_ == Stage::open && !asked_.empty() && session_->backup_room() > 0) {
        post_read();
    }
}

void Backup::post(std::function<void()> work, std::function<void()> done) {
    MQD_ASSERT(!working_);
    working_ = true;
    worker_.post(std::move(work),
                 [this, alive = std::weak_ptr<bool>(alive_), done = std::move(done)] {
                     if (alive.expired()) {
                         return;
                     }
                     working_ = false;
                     done();
                     pump();
                 });
}

// --- the files

// This moment is the one that the backup shows: all that is durable now, and nothing else.
void Backup::take_over() {
    std::vector<storage::SnapshotSource> sources;
    for (const storage::SegmentNumber number : core_.backlog_->told_segments()) {
        sources.push_back({storage::segment_file_name(number), How::link, 0});
    }
    segments_ = sources.size();
    // The one that is being written now goes to the other file, and has not counted yet.
    if (const storage::Checkpoint& last = core_.checkpoint_->last(); last.number != 0) {
        sources.push_back({storage::checkpoint_file_name(last.number), How::copy, last.bytes});
    }
    checkpoints_ = sources.size() - segments_;
    journal_.clear();
    for (const storage::Journal::DurableFile& file : core_.journal_->durable_files()) {
        sources.push_back({file.name, How::copy, file.bytes});
        journal_.push_back(file.file);
    }
    snapshot_ = std::make_shared<storage::Snapshot>(disk_, std::move(sources));
    there_ = 0;
    stage_ = Stage::taking;
    hold_journal();
}

// A file of the journal is let go as soon as it is copied.
void Backup::hold_journal() {
    const std::size_t before = segments_ + checkpoints_;
    const std::size_t copied = there_ - std::min(there_, before);
    core_.journal_->hold_from(stage_ == Stage::taking && copied < journal_.size()
                                  ? std::optional(journal_[copied])
                                  : std::nullopt);
}

void Backup::post_taking() {
    auto result = std::make_shared<Result<std::size_t>>(std::size_t{0});
    post([snapshot = snapshot_, result] { *result = snapshot->take_some(); },
         [this, snapshot = snapshot_, result] {
             if (snapshot != snapshot_) {
                 return;  // the session has ended meanwhile
             }
             if (!*result) {
                 return fail(result->error());
             }
             there_ = **result;
             hold_journal();
             if (snapshot_->taken()) {
                 opened();
             }
         });
}

void Backup::opened() {
    stage_ = Stage::open;
    hold_journal();
    at_file_ = 0;
    at_offset_ = 0;
    idle_deadline_ = core_.now_.journal + core_.options_.backup_idle_max;
    wire::BackupReply reply;
    for (const storage::Snapshot::FileInfo& file : snapshot_->files()) {
        ++reply.files;
        reply.bytes += file.bytes;
    }
    const CorrelationId correlation = asked_.front();
    asked_.pop_front();
    core_.answers_due_ = true;  // somebody may wait to say goodbye
    session_->send(reply, correlation);
}

void Backup::post_removal() {
    auto result = std::make_shared<Result<bool>>(false);
    post([snapshot = old_, result] { *result = snapshot->remove_some(); },
         [this, result] {
             if (!*result) {
                 core_.complain("files of a backup stay until the next one, or the next start: " +
                                result->error().text);
             }
             if (!*result || **result) {
                 old_.reset();
             }
         });
}

// --- parts

// Read on the worker, sent on the loop thread.
struct Backup::Part {
    Part() = default;
    ~Part() {
        if (block != nullptr) {
            block->drop_reference();
        }
    }
    Part(const Part&) = delete;
    Part& operator=(const Part&) = delete;

    void read(storage::Snapshot& snapshot) {
        storage::BlockMemory memory(bytes);
        const auto count = snapshot.read(file, offset, memory.bytes());
        if (!count) {
            error = count.error();
            return;
        }
        block = Block::create(0, static_cast<std::uint32_t>(*count));
        std::copy_n(memory.bytes().begin(), *count, block->data());
    }

    std::size_t file = 0;
    std::uint64_t offset = 0;
    std::size_t bytes = 0;   // at most; whole blocks
    Block* block = nullptr;  // one reference; charged to nobody
    std::optional<Error> error;
};

void Backup::post_read() {
    auto part = std::make_shared<Part>();
    part->file = at_file_;
    part->offset = at_offset_;
    part->bytes = session_->backup_room();
    post([snapshot = snapshot_, part] { part->read(*snapshot); },
         [this, snapshot = snapshot_, part] {
             if (snapshot == snapshot_) {
                 part_read(*part);
             }
         });
}

void Backup::part_read(Part& part) {
    if (part.error) {
        return fail(*part.error);
    }
    const auto& files = snapshot_->files();
    part.block->charge(core_.memory_bytes_);
    at_offset_ += part.block->bytes;
    wire::BackupPart frame;
    frame.file = files[part.file].name;
    frame.offset = part.offset;
    if (at_offset_ == files[part.file].bytes) {
        ++at_file_;
        at_offset_ = 0;
        frame.end = at_file_ == files.size() ? wire::BackupEnd::backup : wire::BackupEnd::file;
    }
    idle_deadline_ = core_.now_.journal + core_.options_.backup_idle_max;
    const CorrelationId correlation = asked_.front();
    asked_.pop_front();
    core_.answers_due_ = true;
    session_->send_backup_part(frame, *part.block, correlation);
    if (frame.end == wire::BackupEnd::backup) {
        const Error over{ErrorCode::no_backup, "the backup was sent to its end"};
        for (const CorrelationId more : asked_) {
            session_->send_error(over, more);
        }
        end();
    }
}

// --- ends

void Backup::fail(const Error& error) {
    const bool ours = error.code == ErrorCode::backup_failed || error.code == ErrorCode::stopping;
    const Error told = ours ? error : to_client(error);
    if (error.code != ErrorCode::stopping) {
        core_.complain("a backup was given up: " + error.text);
    }
    for (const CorrelationId correlation : asked_) {
        session_->send_error(told, correlation);
    }
    end();
}

void Backup::end() {
    stage_ = Stage::none;
    session_ = nullptr;
    asked_.clear();
    core_.answers_due_ = true;
    hold_journal();
    if (snapshot_) {
        MQD_ASSERT(!old_);
        old_ = std::exchange(snapshot_, nullptr);
    }
}

}  // namespace mqd::core
