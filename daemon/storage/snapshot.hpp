#pragma once

// The files of one backup, under names of their own ("backup.segment-000017") beside those that the
// daemon goes on with: segments as hard links, since they are never written again in place; of
// everything else a copy. Taken, read and removed in bounded pieces, so that whoever shares the
// worker with it gets its turn between two of them. Which files, and why they fit together:
// docs/storage.md, "Backup".
//
// Every call blocks, and one thread at a time makes them: the storage worker. Nothing of it is
// synced: what a crash leaves is removed by the next start.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/storage/disk.hpp"
#include "mqd/result.hpp"

namespace mqd::storage {

inline constexpr std::string_view snapshot_prefix = "backup.";

struct SnapshotSource {
    enum class How : std::uint8_t { link, copy };

    std::string name;
    How how{};
    std::uint64_t bytes = 0;  // copy: its first so many, a multiple of block_bytes
};

class Snapshot {
  public:
    // What one call of take_some() or remove_some() does at most.
    static constexpr std::uint64_t copy_bytes_max = 1024 * 1024;
    static constexpr std::size_t names_max = 32;

    // Touches nothing. `disk` outlives it.
    Snapshot(Disk& disk, std::vector<SnapshotSource> sources)
        : disk_(disk), sources_(std::move(sources)) {}

    // The next piece. Returns how many of the sources are there, from the first on: all of them are
    // when it is taken(). Errors: those of the disk; no_space. Then it is to be removed.
    Result<std::size_t> take_some();
    [[nodiscard]] bool taken() const { return files_.size() == sources_.size(); }

    // In the order of the sources, as far as they are there. A linked file is as long as it was
    // when it was linked: whatever is behind that came later.
    struct FileInfo {
        std::string name;  // without the prefix
        std::uint64_t bytes = 0;
    };
    [[nodiscard]] const std::vector<FileInfo>& files() const { return files_; }

    // Reads from file `index`, up to its end; offset, size and address of `bytes` are multiples of
    // block_bytes. Error: io_error; damaged, if it is shorter than it was.
    Result<std::size_t> read(std::size_t index, std::uint64_t offset, std::span<std::byte> bytes);

    // The next piece of the removal; true: nothing is left. Nothing is taken or read from then on.
    Result<bool> remove_some();

  private:
    Result<void> link(const SnapshotSource& source);
    Result<void> copy_some(const SnapshotSource& source);
    Result<void> begin_copy(const SnapshotSource& source);

    Disk& disk_;
    std::vector<SnapshotSource> sources_;
    bool cleared_ = false;  // of what an earlier one has left
    std::vector<FileInfo> files_;
    // The copy that is being made.
    std::unique_ptr<File> from_;
    std::unique_ptr<File> to_;
    std::uint64_t copied_ = 0;
    // The file that was read last.
    std::unique_ptr<File> reading_;
    std::size_t reading_index_ = 0;
    std::size_t removed_ = 0;  // of the sources
};

// Removes what is left of snapshots whose process ended, or could not remove them. Error: io_error.
Result<void> remove_left_snapshot(Disk& disk);

}  // namespace mqd::storage
