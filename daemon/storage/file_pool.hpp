#pragma once

// The files of the journal: which are in use, which are spare, when more are made and when old ones
// are recycled. Makes, zero-fills and recycles on the background worker, one piece of work at a
// time: emptied files first, then growth, then zero-filling. Loop thread only, but for that work.
//
// Life of a file:
//   (making) -> spare -> in use -> emptied -> (recycling) -> spare, or removed
// A spare is zero-filled in pieces of fill_bytes. It may be begun before that is done, if there is
// no other, and left early when there is; what is left of it is filled after its next recycling.

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/storage/block_memory.hpp"
#include "daemon/storage/disk.hpp"
#include "daemon/storage/journal.hpp"
#include "daemon/storage/journal_format.hpp"
#include "daemon/storage/journal_room.hpp"
#include "daemon/storage/recovery.hpp"
#include "daemon/storage/worker.hpp"

namespace mqd::storage {

class FilePool {
  public:
    static constexpr std::uint64_t fill_bytes = 1024 * 1024;  // at a time

    // Called from a `done` of the background worker.
    struct Events {
        std::function<void()> room_changed;
        std::function<void(const Error&)> failed;  // final
    };

    struct JournalFile {
        std::uint32_t number = 0;  // in its name
        std::string name;
        std::shared_ptr<File> file;
        std::uint64_t bytes = 0;
        bool filled = false;          // every block has been written once
        std::uint64_t filled_to = 0;  // while it is being zero-filled
        std::uint64_t salt = 0;       // of its groups; of the last use's, while it is spare
        FileOrdinal ordinal;          // in use only, as are those below
        bool emptied = false;
        Sequence emptied_as_of;  // the last group submitted then
    };

    FilePool(Disk& disk, Worker& background, const JournalOptions& options, Events events);
    ~FilePool();
    FilePool(const FilePool&) = delete;
    FilePool& operator=(const FilePool&) = delete;

    // Takes over what recovery found, and makes the first files of an empty store. Blocks. Error:
    // io_error; no_space, if there is not a single file.
    Result<void> open(const RecoveredJournal& found);
    // Nothing is posted any more.
    void stop() { stopped_ = true; }

    // --- files in use
    [[nodiscard]] JournalFile* current();  // nullptr in an empty store
    [[nodiscard]] FileOrdinal oldest() const;
    // The oldest file that is not emptied: what replay will need.
    [[nodiscard]] FileOrdinal oldest_needed() const;
    [[nodiscard]] bool spare_ready();
    // The current file is not zero-filled, a spare is, and leaving the rest of the one unused for
    // the other takes nothing from anybody: more files may be made.
    [[nodiscard]] bool better_spare_ready() const;
    // The spare to be written on becomes the current file. Precondition: spare_ready().
    JournalFile& begin(FileOrdinal ordinal);
    void emptied(FileOrdinal ordinal, Sequence last);
    // All groups up to here are on the disk: emptied files may be recycled.
    void durable(Sequence sequence);
    // Files in use, from this one on, are neither recycled nor removed, emptied or not, until this
    // is called again; nothing: all may be.
    void hold_from(std::optional<FileOrdinal> first);
    // Oldest first; the last one is current().
    [[nodiscard]] const std::deque<std::unique_ptr<JournalFile>>& in_use() const { return in_use_; }

    // No spare is there or being made, and the oldest file is emptied, but no later group is
    // durable.
    [[nodiscard]] bool waits_for_group() const {
        return spare_.empty() && !working_ && in_use_.size() >= 2 && in_use_.front()->emptied &&
               durable_ <= in_use_.front()->emptied_as_of;
    }

    // --- room
    [[nodiscard]] std::optional<Error> book(std::uint64_t bytes);
    void book_recovered(std::uint64_t bytes);
    void unbook(std::uint64_t bytes);
    [[nodiscard]] std::optional<FileOrdinal> file_to_carry() const;
    void retry_growth();
    [[nodiscard]] bool disk_full() const { return growth_error_.has_value(); }
    [[nodiscard]] std::uint64_t booked() const { return booked_; }
    [[nodiscard]] JournalRoom room() const;
    [[nodiscard]] std::uint64_t file_count() const;
    // Of the current file that is not written yet; the journal tells, room() needs it.
    void set_current_left(std::uint64_t bytes) { current_left_ = bytes; }

  private:
    using Owned = std::unique_ptr<JournalFile>;

    Result<void> open_stored(const StoredFile& stored);
    Result<void> grow_now();
    [[nodiscard]] std::uint32_t free_number() const;
    [[nodiscard]] bool can_grow() const { return !disk_full() && room().may_grow(); }
    [[nodiscard]] bool wants_growth() const;
    [[nodiscard]] bool wants_fewer() const;
    [[nodiscard]] bool has_filled_spare() const;
    [[nodiscard]] Error refusal(std::uint64_t bytes) const;

    // --- background
    void pump();
    void run(std::function<Result<void>()> work, std::function<void(const Result<void>&)> done);
    bool start_recycling();
    void start_removal(Owned file);
    bool start_growth();
    void growth_done(const Result<void>& grown, Owned file);
    bool start_filling();
    void give_up(JournalFile& file, const Error& error);
    void filling_done(JournalFile& file, std::uint64_t filled_to);

    Disk& disk_;
    Worker& background_;
    const JournalOptions options_;
    const Events events_;
    std::deque<Owned> in_use_;  // oldest first; the last one is written
    std::vector<Owned> spare_;
    std::shared_ptr<BlockMemory> zeros_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // expired: do not call back

    Sequence durable_;
    std::optional<FileOrdinal> held_from_;
    std::uint64_t booked_ = 0;
    std::uint64_t refused_bytes_ =
        0;  // wanted by the biggest booking refused since the last growth
    std::uint64_t current_left_ = 0;
    std::uint64_t bytes_at_work_ = 0;    // of the file that is being recycled or removed
    std::optional<Error> growth_error_;  // why no file could be made
    std::uint32_t number_at_work_ = 0;   // of the file being made, recycled or removed; 0: none
    JournalFile* filling_ = nullptr;     // a piece of it is being written now
    bool working_ = false;               // something is posted
    bool stopped_ = false;
    bool begin_waits_ = false;  // for the piece being filled: then no further one
};

}  // namespace mqd::storage
