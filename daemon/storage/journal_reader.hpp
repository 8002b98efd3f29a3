#pragma once

// Reads one journal file from its first group on, in big sequential pieces. It tells what lies at
// each position and decides nothing: what that means is recovery's business. Used while the journal
// is opened, on the thread that opens it.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "daemon/storage/block_memory.hpp"
#include "daemon/storage/disk.hpp"
#include "daemon/storage/journal_format.hpp"
#include "mqd/result.hpp"

namespace mqd::storage {

// A window over a file that moves forward. What lies behind the end of the file reads as zeros:
// there is no difference between a byte that was never written and one that is missing.
class FileWindow {
  public:
    // `file` outlives the window. `bytes`: where reading ahead ends.
    FileWindow(File& file, std::uint64_t bytes)
        : file_(file), file_bytes_((bytes + block_bytes - 1) / block_bytes * block_bytes) {}

    // [offset, offset + bytes) of the file, valid until the next call. Both are multiples of
    // block_bytes; offsets never go back. Error: io_error.
    Result<std::span<const std::byte>> at(std::uint64_t offset, std::size_t bytes);
    [[nodiscard]] std::uint64_t bytes_read() const { return bytes_read_; }

  private:
    Result<void> read(std::uint64_t offset, std::span<std::byte> into);

    File& file_;
    std::uint64_t file_bytes_;
    std::unique_ptr<BlockMemory> memory_;
    std::uint64_t begin_ = 0;  // of what is held
    std::size_t held_ = 0;
    std::uint64_t bytes_read_ = 0;
};

// What lies where the next group is expected.
enum class At {
    group,  // a valid one (its sequence is for the caller to judge)
    torn,   // one of this use of the file, with header or body not as written
    end,    // zeros, or what an earlier use left
};

class JournalReader {
  public:
    // `header`: the valid header of `file`, which is in use; `stored_bytes`: its length now. It
    // begins at `position`, a multiple of block_bytes. `file` outlives the reader.
    JournalReader(File& file, const FileHeader& header, std::uint64_t stored_bytes,
                  std::uint64_t position = block_bytes)
        : header_(header),
          stored_bytes_(std::min(header.file_bytes, stored_bytes)),
          window_(file, stored_bytes_),
          position_(position) {}

    struct Found {
        At at = At::end;
        GroupHeader header;               // if a group
        std::span<const std::byte> body;  // likewise; valid until the next call
    };
    // Looks at position(), and moves behind it if there is a group.
    Result<Found> next();
    // Where the last next() looked, if it found no group; the end of what was read, if it did.
    [[nodiscard]] std::uint64_t position() const { return position_; }

    // What the blocks from position() to the end of the file say, once next() found no group there.
    struct Rest {
        std::uint64_t watermark = 0;       // the highest in a valid group header; 0: there is none
        std::optional<GroupHeader> later;  // the first valid header behind position()
        std::uint64_t later_offset = 0;
        std::vector<std::uint64_t>
            blocks;  // that begin as a group of this use does; and position()
    };
    Result<Rest> scan_rest();
    // After next() found no group: moves to the next valid header behind position(). False: there
    // is none. Not together with scan_rest().
    Result<bool> skip_to_header();
    [[nodiscard]] std::uint64_t bytes_read() const { return window_.bytes_read(); }

  private:
    FileHeader header_;
    std::uint64_t stored_bytes_;
    FileWindow window_;
    std::uint64_t position_;
};

// The highest numbers in any valid group header of the file; 0: there is none.
struct HighestNumbers {
    std::uint64_t watermark = 0;
    std::uint64_t sequence = 0;
};
// `salt`: of that use of the file; nothing: of whatever use.
Result<HighestNumbers> scan_highest(File& file, std::uint64_t bytes,
                                    std::optional<std::uint64_t> salt = {});

}  // namespace mqd::storage
