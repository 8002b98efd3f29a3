#pragma once

// The bytes of a segment file; docs/storage.md shows the same as pictures. All numbers are
// little-endian.
//
//   file := SegmentHeader page* rest
//   page := PageHeader body                      back to back, from any offset to any offset
//   rest := what was being written when the process ended; nothing refers to it
//
// A page holds messages of one queue in order of their numbers. Where it lies and what it holds is
// said by the journal and the checkpoint; its header says the same again, so that a page can be
// checked, and found, without them.
//
// A segment header is valid if and only if magic and version are ours and crc is the CRC32C of its
// 64 bytes, taken with crc itself as zero. A page header at offset `at` of segment n is valid if
// and only if magic and version are ours, crc is the CRC32C of its bytes 8..63, segment == n,
// offset == at, and count > 0. A page is valid if and only if its header is, it ends within the
// file, and body_crc is the CRC32C of the body.
//
// Pure functions, any thread.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "mqd/types.hpp"

namespace mqd::storage {

inline constexpr std::uint32_t segment_version = 1;

// Segment files are called segment-000001, segment-000002, ...; no number is used twice.
using SegmentNumber = StrongNumber<struct SegmentNumberTag, std::uint32_t>;
[[nodiscard]] std::string segment_file_name(SegmentNumber number);
[[nodiscard]] std::optional<SegmentNumber> segment_file_number(std::string_view name);

struct SegmentHeader {
    static constexpr std::uint64_t magic_value = 0x31474553444D510A;  // "\nQMDSEG1"

    std::uint64_t magic = magic_value;
    std::uint32_t version = segment_version;
    std::uint32_t crc = 0;
    std::uint32_t number = 0;
    std::uint32_t reserved[11] = {};
};
static_assert(sizeof(SegmentHeader) == 64 && offsetof(SegmentHeader, crc) == 12);

struct PageHeader {
    static constexpr std::uint32_t magic_value = 0x5044514D;  // "MQDP"

    std::uint32_t magic = magic_value;
    std::uint32_t crc = 0;
    std::uint64_t offset = 0;  // of this header in the file
    std::uint32_t segment = 0;
    std::uint32_t queue = 0;
    std::uint64_t first = 0;  // the page holds all messages that lived from here on ...
    std::uint64_t count = 0;  // ... for so many numbers
    std::uint32_t body_bytes = 0;
    std::uint32_t body_crc = 0;
    std::uint32_t reserved[3] = {};
    std::uint32_t version = segment_version;
};
static_assert(sizeof(PageHeader) == 64 && offsetof(PageHeader, offset) == 8);

// Where a page lies.
struct PageAddress {
    SegmentNumber segment;
    std::uint64_t offset = 0;
    std::uint32_t bytes = 0;  // header and body
    friend bool operator==(const PageAddress&, const PageAddress&) = default;
};

void encode_segment_header(SegmentNumber number, std::span<std::byte> out);
[[nodiscard]] bool segment_header_valid(std::span<const std::byte> bytes, SegmentNumber number);

// Both checksums, over a header whose other fields are filled and the body behind it.
void seal_page(PageHeader header, std::span<std::byte> page);
// The header of a valid page, or what is wrong with it.
struct FoundPage {
    PageHeader header;
    std::string_view wrong;  // empty: valid
};
// Precondition: at least a header of bytes. The body is checked if it is there.
[[nodiscard]] FoundPage decode_page(std::span<const std::byte> bytes, SegmentNumber segment,
                                    std::uint64_t offset);

}  // namespace mqd::storage
