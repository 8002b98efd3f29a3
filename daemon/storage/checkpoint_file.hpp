#pragma once

// The checkpoint: small state, written in chunks into one of two files in turn, so that the last
// whole one always stands. docs/storage.md shows the bytes as pictures; all numbers are
// little-endian.
//
//   file  := chunk* rest
//   chunk := ChunkHeader body padding            from a block boundary to a block boundary
//
// A chunk header is valid if and only if magic and version are ours and crc is the CRC32C of its
// bytes 8..63. A checkpoint is whole if and only if its chunks have indexes 0, 1, ... one behind
// the other, one number and `from`, valid headers and bodies, and the last one, and no other, is an
// `end` whose chain is that of the chunks before it. What follows is left from an earlier one, or
// from an attempt at the same one. The whole one with the higher number counts.
//
// What the body of a chunk means is core's business.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "daemon/storage/disk.hpp"
#include "daemon/storage/group_buffer.hpp"
#include "daemon/storage/worker.hpp"
#include "mqd/result.hpp"
#include "mqd/types.hpp"

namespace mqd::storage {

inline constexpr std::uint32_t checkpoint_version = 2;

enum class ChunkKind : std::uint32_t { state = 0, end = 1 };

struct ChunkHeader {
    static constexpr std::uint32_t magic_value = 0x4B44514D;  // "MQDK"

    std::uint32_t magic = magic_value;
    std::uint32_t crc = 0;
    std::uint64_t number = 0;   // of the checkpoint, from 1 on
    std::uint64_t from = 0;     // replay begins behind this sequence
    std::uint64_t through = 0;  // end: nothing in it is of a later sequence; state: 0
    std::uint32_t index = 0;
    std::uint32_t kind = 0;
    std::uint32_t body_bytes = 0;
    std::uint32_t body_crc = 0;  // of body and padding
    std::uint32_t chain = 0;     // end: CRC32C of the crc fields before it; state: 0
    std::uint32_t reserved[2] = {};
    std::uint32_t version = checkpoint_version;
};
static_assert(sizeof(ChunkHeader) == GroupBuffer::header_bytes);

struct Checkpoint {
    std::uint64_t number = 0;  // 0: there is none
    Sequence from;
    Sequence through;
    std::uint64_t bytes = 0;
};

[[nodiscard]] std::string checkpoint_file_name(std::uint64_t number);

// What else read_checkpoint() does with the file that it chose.
enum class CheckpointUse : std::uint8_t {
    go_on,    // syncs it: what it says is built upon from now on
    look_at,  // nothing
};
// Hands the bodies of the newest whole checkpoint to `chunk`, in order. Reads past the page cache,
// like recovery. Errors: io_error; unsupported_version; what `chunk` returns.
Result<Checkpoint> read_checkpoint(
    Disk& disk, const std::function<Result<void>(std::span<const std::byte>)>& chunk,
    CheckpointUse use = CheckpointUse::go_on);

// A chunk that is whole, whatever became of the others.
struct LooseChunk {
    ChunkHeader header;
    std::vector<std::byte> body;
};
// Of a file of that name: the chunks of the highest number in it, by their place. Nothing, if it is
// not there. Errors: io_error; unsupported_version.
Result<std::vector<LooseChunk>> read_loose_chunks(Disk& disk, const std::string& name);

// What lies in a file of that name: a checkpoint, or number 0 if it is not whole. Errors: as above.
Result<Checkpoint> look_at_checkpoint(Disk& disk, const std::string& name);

// Writes one checkpoint after the other, on a worker. Loop thread only.
class CheckpointWriter {
  public:
    CheckpointWriter(Disk& disk, Worker& worker, const Checkpoint& last)
        : disk_(disk), worker_(worker), last_(last) {}
    CheckpointWriter(const CheckpointWriter&) = delete;
    CheckpointWriter& operator=(const CheckpointWriter&) = delete;

    // The last one that is whole.
    [[nodiscard]] const Checkpoint& last() const { return last_; }
    // Between begin() and the answer to finish().
    [[nodiscard]] bool active() const { return active_; }
    // Chunks that are not written yet.
    [[nodiscard]] std::uint64_t unwritten() const { return unwritten_; }

    // `reserve`: what the ones after it may take, on a disk that is full then. Precondition:
    // !active().
    void begin(Sequence from, std::uint64_t reserve = 0);
    // Takes the body and leaves an empty buffer.
    void add(GroupBuffer& body);
    // Everything up to `through` is durable in the journal. `done` is called, from a `done` of the
    // worker, when the checkpoint is on the disk, or with the first error: then the one before
    // stands.
    void finish(Sequence through, std::function<void(const Result<void>&)> done);
    // A full disk, say, has been noticed before finish(): gives up.
    [[nodiscard]] const std::optional<Error>& error() const { return error_; }
    void abandon();

  private:
    struct Writing;

    void post(GroupBuffer& body, ChunkHeader header, std::function<void()> done);

    Disk& disk_;
    Worker& worker_;
    Checkpoint last_;
    Checkpoint next_;
    bool active_ = false;
    std::uint32_t index_ = 0;
    std::uint64_t unwritten_ = 0;
    std::optional<Error> error_;
    std::shared_ptr<Writing> writing_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // expired: do not call back
};

}  // namespace mqd::storage
