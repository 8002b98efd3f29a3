#pragma once

// The journal: one log of commit groups for all queues, in zero-filled files that are recycled
// strictly oldest first. Format, verdict table and recovery: docs/storage.md. It knows bytes,
// sequences and files; what the records mean is core's business.
//
// Lives on the loop thread, except for the I/O that it posts to two workers: `commit` writes and
// syncs groups, `background` allocates and zero-fills files. At most one group is on its way.
//
// Life of a group: submit() stamps it with the next sequence -> listener.journal_written(sequence)
// (handed to the kernel) -> if synced, listener.journal_durable(sequence); Reach says how far it
// goes and what is told apart. A failed write or sync is final: listener.journal_failed(error), and
// nothing is confirmed after it.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/storage/disk.hpp"
#include "daemon/storage/group_buffer.hpp"
#include "daemon/storage/worker.hpp"
#include "mqd/result.hpp"
#include "mqd/types.hpp"

namespace mqd::storage {

// Which journal file: its place in the order of use, from 1 on; a recycled file has a new ordinal.
using FileOrdinal = StrongNumber<struct FileOrdinalTag, std::uint64_t>;

// The two clocks as they stand in every group header, in nanoseconds: the journal clock and the
// wall clock.
struct GroupTime {
    std::int64_t journal_ns = 0;
    std::int64_t wall_ns = 0;
};

struct JournalOptions {
    std::uint64_t file_bytes = 64ull * 1024 * 1024;   // of one file; multiple of block_bytes
    std::uint64_t bytes_max = 1024ull * 1024 * 1024;  // of all files together; at least two
    // Random in the daemon, so that nobody can forge what recovery looks for; the seed in a
    // simulation.
    std::uint64_t salt_seed = 0;
};

enum class GroupKind : std::uint32_t {
    records = 0,
    state = 1,       // the first group of a file: all small state as of the group before
    seal = 2,        // empty: raises the watermark over the group before
    clean_stop = 3,  // a seal, and nothing was on its way when the daemon stopped
};

// How far a group is taken at once. Telling `written` apart costs a wake-up of the loop beside the
// sync, so it is done only where somebody waits for it.
enum class Reach : std::uint8_t {
    written,               // to the kernel; a later sync makes it durable
    durable,               // to the disk; both are told when it is there
    written_then_durable,  // to the disk; each is told as soon as it is so
};

// A group as recovery found it. `body` is valid during the call only.
struct GroupView {
    Sequence sequence;
    FileOrdinal file;
    GroupKind kind{};
    GroupTime time;
    std::span<const std::byte> body;
};

enum class Row : char;  // verdict.hpp

// Stored bytes that lie: one row of the table in docs/storage.md, found in one place.
struct Damage {
    Row row{};
    std::string file;          // its name; empty: it is not there
    std::uint64_t offset = 0;  // in it
    std::string text;          // letter, what was seen, file, and what is lost
};
// Is told of damage. Success: what follows is read on, with the next group that is whole, whatever
// its sequence. An error ends it.
using DamageFunction = std::function<Result<void>(const Damage&)>;

// How a journal is opened of which something cannot be read any more.
struct JournalSalvage {
    DamageFunction damage;
    Sequence seen;  // groups up to here are known to have been
    // Asked when all is replayed: whether something else of the store is damaged, so that what
    // comes goes into a new file in any case. Empty: no.
    std::function<bool()> begin_anew;
};

// What recovery tells about the store.
struct Recovery {
    Sequence last;  // the last group that stands; 0: an empty store
    GroupTime last_time;
    bool clean = false;    // the last group is a clean_stop
    bool damaged = false;  // and passed over
    std::uint64_t bytes_read = 0;
    std::uint64_t files = 0;
    std::string verdict;  // letter of the row in docs/storage.md, and one line of words
};

class JournalListener {
  public:
    virtual ~JournalListener() = default;
    // All groups up to `sequence` were handed to the kernel / are on the disk. Called from a
    // worker's `done`, never from within submit().
    virtual void journal_written(Sequence sequence) = 0;
    virtual void journal_durable(Sequence sequence) = 0;
    // Final. The process must confirm nothing more and end.
    virtual void journal_failed(const Error& error) = 0;
    // A file was emptied, added, or space came back: what was refused may be tried again.
    virtual void journal_room_changed() = 0;
};

class Journal {
  public:
    // Reads the store, hands every group that stands to `replay` in order (a state group only where
    // replay begins), then makes durable and tidy what it found, as docs/storage.md says. Blocks.
    // Errors: damaged (names file, offset and what is lost) and unsupported_version, both with
    // nothing changed; io_error; no_space; bad_config for options out of bounds. A replay error
    // ends it, with nothing changed. With `salvage`, damage is told and passed over; nothing is
    // written to a damaged journal's files then, but to a new one behind all of them, until core
    // has emptied them. Disk and workers outlive the journal; what it posted may run,
    // or be dropped, after its end.
    static Result<std::unique_ptr<Journal>> open(
        Disk& disk, Worker& commit, Worker& background, const JournalOptions& options,
        JournalListener& listener, const std::function<Result<void>(const GroupView&)>& replay,
        const JournalSalvage* salvage = nullptr);
    ~Journal();
    Journal(const Journal&) = delete;
    Journal& operator=(const Journal&) = delete;

    [[nodiscard]] const Recovery& recovery() const;

    // --- committing

    // A group, or a sync, is on its way; after a failure, for ever.
    [[nodiscard]] bool busy() const;
    [[nodiscard]] Sequence last() const;  // of the last group submitted
    [[nodiscard]] Sequence durable() const;
    [[nodiscard]] std::uint64_t unsynced_bytes() const;  // submitted and not known to be durable

    // Whether a group of `group_bytes` (GroupBuffer::file_bytes) begins a new file, and so needs
    // the state group before it.
    [[nodiscard]] bool needs_new_file(std::size_t group_bytes) const;
    // Whether a new file is there to be begun. Bookings see to it that one is; while one is still
    // being made, this says no for a moment and journal_room_changed() follows.
    [[nodiscard]] bool new_file_ready() const;

    // A new file is worth beginning though the current one is not full: the first file of a store,
    // and one made in a hurry, is not zero-filled, and each sync of it waits for metadata too. The
    // next submit() may begin one then.
    [[nodiscard]] bool better_file_ready() const;

    // Nothing can be begun, and the oldest file is only waiting for one more durable group, which
    // says that it is not needed any more. A seal submitted now is that group: each file keeps its
    // last block for it.
    [[nodiscard]] bool seal_wanted() const;

    struct Submitted {
        Sequence sequence;  // of `group`
        FileOrdinal file;   // that it lies in
    };
    // Sends `group` on its way and leaves an empty buffer in its place. `state` is written before
    // it, as a group of its own, and begins a new file: if needs_new_file(), and only if that or
    // better_file_ready(). Preconditions: !busy(); group.file_bytes() <= group_bytes_max(); for a
    // new file: new_file_ready(), durable() == last(), and state is the small state as of last().
    // kind: records, seal or clean_stop.
    Submitted submit(GroupBuffer& group, GroupKind kind, GroupTime time, Reach reach,
                     GroupBuffer* state);
    // Syncs what was written so far. Preconditions: !busy(), durable() < last().
    void sync();
    [[nodiscard]] std::uint64_t group_bytes_max() const;  // a quarter of a file

    // --- room

    // Books `bytes` for messages that live in the journal (batch bytes plus the price of carrying
    // and ending them). Answers no_space (the file system), journal_full (bytes_max) or nothing
    // when booked. The sum of bookings stays below what the files that exist can carry while acks
    // go on for ever.
    [[nodiscard]] std::optional<Error> book(std::uint64_t bytes);
    void unbook(std::uint64_t bytes);
    // Books without asking: for what recovery found.
    void book_recovered(std::uint64_t bytes);

    // The oldest file, if it must be emptied before it can be recycled because room runs short: its
    // live messages are to be carried forward, by records in later groups: at least 16 times as
    // many bytes as have gathered of anything else, or all that is left. That is what keeps acks
    // going for ever on a full disk (docs/storage.md, "Room").
    [[nodiscard]] std::optional<FileOrdinal> file_to_carry() const;
    // The oldest file that holds groups, and the file being written. Equal in a store of one file.
    [[nodiscard]] FileOrdinal oldest_file() const;
    [[nodiscard]] FileOrdinal current_file() const;
    // Nothing lives in `file` any more, as of the groups submitted so far; it is recycled as soon
    // as those are durable and all older files are recycled. Not for the current file.
    void file_emptied(FileOrdinal file);
    // --- copying

    // A file in use, and how much of its beginning holds all of its groups that are durable.
    struct DurableFile {
        FileOrdinal file;
        std::string name;
        std::uint64_t bytes = 0;
    };
    // Oldest first: copied, they are a journal that ends with the group durable(). No file in a
    // store that has no group yet.
    [[nodiscard]] std::vector<DurableFile> durable_files() const;
    // What lies in the files in use from this one on, up to durable(), is not touched until this is
    // called again, though nothing may live in them; nothing: none is held. A journal that is short
    // of room waits for it, acks too: so only for as long as it takes to copy them.
    void hold_from(std::optional<FileOrdinal> first);

    // --- a full disk

    // To be called about every half second while disk_full(): tries again to make files.
    void retry_growth();
    [[nodiscard]] bool disk_full() const;

    struct Figures {
        std::uint64_t files = 0;
        std::uint64_t file_bytes = 0;
        std::uint64_t bytes_max = 0;
        std::uint64_t booked_bytes = 0;
        std::uint64_t booked_bytes_max = 0;  // with the files that exist now
        std::uint64_t groups = 0;
        std::uint64_t syncs = 0;
        std::uint64_t bytes_written = 0;
    };
    [[nodiscard]] Figures figures() const;

  private:
    class Implementation;
    explicit Journal(std::unique_ptr<Implementation> implementation);
    std::unique_ptr<Implementation> implementation_;
};

}  // namespace mqd::storage
