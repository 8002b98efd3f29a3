#pragma once

// The bytes of a journal file; docs/storage.md shows the same as pictures. All numbers are
// little-endian.
//
//   file   := header_block group* rest
//   header_block: 4096 bytes, a FileHeader and zeros
//   group  := GroupHeader body padding          from a block boundary to a block boundary
//   rest   := whatever an earlier use of the file left; never looked at but for group headers
//
// A file header is valid if and only if
//   magic is ours and version is from 1 to ours; crc is the CRC32C of all 4096 bytes, taken with
//   crc itself as zero; file_bytes is a multiple of 4096, from file_bytes_min to file_bytes_limit;
//   and state is `spare`, or `in_use` with ordinal and first_sequence from 1 to number_max.
// A group header at offset `at` of a file that is in use is valid if and only if
//   magic is ours and version is from 1 to ours; crc is the CRC32C of its bytes 8..63; salt is the
//   file header's; block x 4096 == at; 1 <= sequence <= number_max; watermark < sequence; header,
//   body and padding end within file_bytes; kind is a GroupKind, is `state` if and only if block ==
//   1, and has no body if it is a seal or clean_stop.
// A group is valid if and only if its header is, and body_crc is the CRC32C of body and padding.
// A file's groups are its valid groups from block 1 on, each beginning where the one before ends,
// the first with the file header's first_sequence, each further one with the sequence after.
//
// Pure functions, any thread.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "daemon/storage/disk.hpp"
#include "daemon/storage/group_buffer.hpp"
#include "daemon/storage/journal.hpp"

namespace mqd::storage {

// 1: a file's state group told all small state. 2: it names the checkpoint that does; groups say
// what lies in segments. Files of both are read, and stand side by side in one store.
inline constexpr std::uint32_t journal_version = 3;
inline constexpr std::uint64_t file_bytes_min = 16 * block_bytes;
inline constexpr std::uint64_t file_bytes_limit = 1024ull * 1024 * 1024;
inline constexpr std::uint64_t number_max = std::uint64_t{1} << 62;  // ordinals, sequences

enum class FileState : std::uint32_t {
    spare = 1,   // nothing in it counts: it may be begun
    in_use = 2,  // its groups count
};

struct FileHeader {
    static constexpr std::uint64_t magic_value = 0x314C4E4A444D510A;  // "\nQMDJNL1"
    static constexpr std::uint32_t flag_filled = 1;

    std::uint64_t magic = magic_value;
    std::uint32_t version = journal_version;
    std::uint32_t crc = 0;
    FileState state{};
    std::uint32_t flags = 0;    // flag_filled: every block has been written once
    std::uint64_t ordinal = 0;  // spare: of the use that ended; 0: none
    std::uint64_t salt = 0;     // of this use; spare: of the use whose groups may still lie here
    std::uint64_t first_sequence = 0;  // of the group at block 1; spare: 0
    std::uint64_t file_bytes = 0;
    std::int64_t wall_ns = 0;  // when it was begun; spare: 0
};
static_assert(sizeof(FileHeader) == 64 && sizeof(FileHeader) == GroupBuffer::header_bytes);
static_assert(offsetof(FileHeader, crc) == 12 && offsetof(FileHeader, wall_ns) == 56);

struct GroupHeader {
    static constexpr std::uint32_t magic_value = 0x4744514D;  // "MQDG"

    std::uint32_t magic = magic_value;
    std::uint32_t crc = 0;
    std::uint64_t salt = 0;
    std::uint64_t sequence = 0;
    std::uint64_t watermark = 0;  // the last sequence known to be synced when this was written
    std::int64_t journal_ns = 0;
    std::int64_t wall_ns = 0;
    std::uint32_t body_bytes = 0;
    std::uint32_t body_crc = 0;
    std::uint32_t block = 0;  // where it lies in the file, in blocks
    std::uint16_t files_back =
        0;                  // the oldest file still needed is so many ordinals before this one
    std::uint8_t kind = 0;  // GroupKind
    std::uint8_t version = journal_version;
};
static_assert(sizeof(GroupHeader) == GroupBuffer::header_bytes);
static_assert(offsetof(GroupHeader, salt) == 8 && offsetof(GroupHeader, version) == 63);

// What a group with that body takes in a file.
[[nodiscard]] constexpr std::uint64_t group_file_bytes(std::uint64_t body_bytes) {
    return (sizeof(GroupHeader) + body_bytes + block_bytes - 1) / block_bytes * block_bytes;
}

// Marks one use of one file. Two uses of a file never share one: ordinal and first sequence differ,
// or, where a crash took both back, the time does. `seed` keeps strangers from guessing it.
[[nodiscard]] std::uint64_t make_salt(std::uint64_t seed, const FileHeader& header);

// A whole header block.
using HeaderBlock = std::array<std::byte, block_bytes>;
// Fills the first block of `block`, checksum included.
void encode_file_header(FileHeader header, std::span<std::byte> block);

enum class FileHeaderSign {
    in_use,
    spare,
    blank,    // all zero
    newer,    // whole, but of a version we do not know
    invalid,  // anything else
};
struct FoundFileHeader {
    FileHeaderSign sign = FileHeaderSign::invalid;
    FileHeader header;  // as far as `sign` says that it can be trusted
};
// Precondition: block.size() == block_bytes.
[[nodiscard]] FoundFileHeader decode_file_header(std::span<const std::byte> block);

// Puts header and both checksums into a sealed buffer (GroupBuffer::seal).
void encode_group(GroupHeader header, std::span<std::byte> sealed);

// What the beginning of a block says about a group.
enum class GroupSign {
    valid,    // a group header of this use of the file
    torn,     // it bears magic and salt of this use, but is not valid
    foreign,  // nothing, or another use
};
struct FoundGroupHeader {
    GroupSign sign = GroupSign::foreign;
    GroupHeader header;
};
// `file`: of the file, in use. `at`: offset of the block. Precondition: at least a header of bytes.
[[nodiscard]] FoundGroupHeader decode_group_header(std::span<const std::byte> bytes,
                                                   const FileHeader& file, std::uint64_t at);
// Whether a group header of any use lies here: magic, checksum and place are right.
[[nodiscard]] FoundGroupHeader decode_any_group_header(std::span<const std::byte> bytes,
                                                       std::uint64_t at);
// `group`: header, body and padding.
[[nodiscard]] bool body_matches(const GroupHeader& header, std::span<const std::byte> group);

[[nodiscard]] bool is_zero(std::span<const std::byte> bytes);

}  // namespace mqd::storage
