#pragma once

// The one narrow interface through which storage reaches the operating system: a flat directory of
// files. The daemon runs on `PosixDisk`, the tests on a simulated disk that drops, tears and
// reorders what was not synced, fills up and fails. Every call blocks; a File is used by one thread
// at a time, different files by different threads. Every failure carries name and errno.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mqd/result.hpp"

namespace mqd::storage {

// Every offset and size handed to a file opened for direct I/O, and every buffer's address, is a
// multiple.
inline constexpr std::size_t block_bytes = 4096;

class File {
  public:
    virtual ~File() = default;

    // Writes all of it at `offset`, or fails; a failed write may have written any part.
    virtual Result<void> write(std::uint64_t offset, std::span<const std::byte> bytes) = 0;
    // The same, for whole blocks that sync() follows at once: may go past the page cache, which
    // saves a copy. No more durable than write().
    virtual Result<void> write_for_sync(std::uint64_t offset, std::span<const std::byte> bytes) {
        return write(offset, bytes);
    }
    // Reads up to bytes.size(); fewer only at the end of the file.
    virtual Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> bytes) = 0;
    // When this returns, all that was written before is on the disk (fdatasync).
    virtual Result<void> sync() = 0;
    // Reserves space for [0, bytes) and makes the file that long; new bytes read as zeros.
    // ErrorCode::no_space when the file system is full.
    virtual Result<void> allocate(std::uint64_t bytes) = 0;
    virtual Result<std::uint64_t> size() = 0;
};

enum class OpenMode {
    read_write,   // must exist
    create,       // must not exist
    read_direct,  // must exist; reads what the disk has, not what the page cache believes
};

// Holds the data directory for this process until destroyed.
class DirectoryLock {
  public:
    virtual ~DirectoryLock() = default;
};

class Disk {
  public:
    virtual ~Disk() = default;

    virtual Result<std::unique_ptr<File>> open(std::string_view name, OpenMode mode) = 0;
    virtual Result<void> remove(std::string_view name) = 0;
    // Another name for the same file, a hard link: it holds the bytes when the first name is
    // removed. `new_name` must not exist. Errors: as the others; on a file system that knows no
    // hard links an io_error with EPERM, EOPNOTSUPP or ENOSYS.
    virtual Result<void> link(std::string_view name, std::string_view new_name) = 0;
    // Makes creations, links and removals durable.
    virtual Result<void> sync_directory() = 0;
    virtual Result<std::vector<std::string>> list() = 0;        // names, sorted
    virtual Result<std::unique_ptr<DirectoryLock>> lock() = 0;  // ErrorCode::locked
    // The same without making anything: where nobody has ever locked, nothing is held.
    virtual Result<std::unique_ptr<DirectoryLock>> lock_to_look() { return lock(); }
    virtual std::string path(std::string_view name) const = 0;  // for messages
};

}  // namespace mqd::storage
