// A header whose checksum is right and that nobody can have written: each clause of the grammar at
// the head of journal_format.hpp, one beyond its bound and at it.

#include <cstring>
#include <functional>

#include "daemon/storage/block_memory.hpp"
#include "daemon/storage/crc32c.hpp"
#include "daemon/storage/journal_format.hpp"

#include <doctest/doctest.h>

namespace mqd::storage {
namespace {

FileHeaderSign sign_of(const std::function<void(FileHeader&)>& change) {
    FileHeader header;
    header.state = FileState::in_use;
    header.ordinal = 7;
    header.first_sequence = 100;
    header.file_bytes = file_bytes_min;
    change(header);
    BlockMemory block(block_bytes);
    std::memcpy(block.bytes().data(), &header, sizeof header);
    header.crc = crc32c(block.bytes());  // with crc as zero
    std::memcpy(block.bytes().data(), &header, sizeof header);
    return decode_file_header(block.bytes()).sign;
}

TEST_CASE("file header: at each bound it is valid") {
    CHECK(sign_of([](FileHeader&) {}) == FileHeaderSign::in_use);
    CHECK(sign_of([](FileHeader& header) { header.version = 1; }) == FileHeaderSign::in_use);
    CHECK(sign_of([](FileHeader& header) { header.file_bytes = file_bytes_limit; }) ==
          FileHeaderSign::in_use);
    CHECK(sign_of([](FileHeader& header) { header.ordinal = 1; }) == FileHeaderSign::in_use);
    CHECK(sign_of([](FileHeader& header) { header.ordinal = number_max; }) ==
          FileHeaderSign::in_use);
    CHECK(sign_of([](FileHeader& header) { header.first_sequence = 1; }) == FileHeaderSign::in_use);
    CHECK(sign_of([](FileHeader& header) { header.first_sequence = number_max; }) ==
          FileHeaderSign::in_use);
    CHECK(sign_of([](FileHeader& header) {
              header.state = FileState::spare;
              header.ordinal = header.first_sequence = 0;
          }) == FileHeaderSign::spare);
}

TEST_CASE("file header: beyond a bound it is none, though its checksum is right") {
    const std::function<void(FileHeader&)> changes[] = {
        [](FileHeader& header) { header.version = 0; },
        [](FileHeader& header) { header.file_bytes += 512; },
        [](FileHeader& header) { header.file_bytes -= block_bytes; },
        [](FileHeader& header) { header.file_bytes = file_bytes_limit + block_bytes; },
        [](FileHeader& header) { header.state = FileState{0}; },
        [](FileHeader& header) { header.state = FileState{3}; },
        [](FileHeader& header) { header.ordinal = 0; },
        [](FileHeader& header) { header.ordinal = number_max + 1; },
        [](FileHeader& header) { header.first_sequence = 0; },
        [](FileHeader& header) { header.first_sequence = number_max + 1; },
    };
    for (const auto& change : changes) {
        CHECK(sign_of(change) == FileHeaderSign::invalid);
    }
    CHECK(sign_of([](FileHeader& header) { header.version = journal_version + 1; }) ==
          FileHeaderSign::newer);
}

// What a file without a header may hold is found by this: a group of any use.
TEST_CASE("file header: a group of any use is one where it lies, and nowhere else") {
    GroupHeader group;
    group.salt = 1234;
    group.sequence = 5;
    group.watermark = 4;
    group.block = 3;
    const auto sign = [](const GroupHeader& header, std::uint64_t at) {
        BlockMemory block(block_bytes);
        encode_group(header, block.bytes());
        return decode_any_group_header(block.bytes(), at).sign;
    };
    CHECK(sign(group, 3 * block_bytes) == GroupSign::valid);
    CHECK(sign(group, 4 * block_bytes) == GroupSign::foreign);
    group.watermark = 5;  // of itself
    CHECK(sign(group, 3 * block_bytes) == GroupSign::foreign);
    CHECK(is_zero({}));
}

}  // namespace
}  // namespace mqd::storage
