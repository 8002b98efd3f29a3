#include "daemon/storage/journal_format.hpp"

#include <doctest/doctest.h>

#include <functional>
#include <vector>

#include "daemon/storage/block_memory.hpp"
#include "daemon/storage/verdict.hpp"

namespace mqd::storage {
namespace {

FileHeader any_file() {
    FileHeader file;
    file.state = FileState::in_use;
    file.ordinal = 7;
    file.salt = 0x1122334455667788;
    file.first_sequence = 100;
    file.file_bytes = file_bytes_min;
    return file;
}

GroupHeader any_group() {
    GroupHeader group;
    group.salt = any_file().salt;
    group.sequence = 100;
    group.watermark = 99;
    group.body_bytes = 5000;
    group.block = 2;
    group.kind = static_cast<std::uint8_t>(GroupKind::records);
    return group;
}

GroupSign sign_of(const GroupHeader& header, std::uint64_t at) {
    BlockMemory memory(static_cast<std::size_t>(group_file_bytes(header.body_bytes)));
    encode_group(header, memory.bytes());
    return decode_group_header(memory.bytes(), any_file(), at).sign;
}

FileHeaderSign sign_of(const FileHeader& header) {
    BlockMemory memory(block_bytes);
    encode_file_header(header, memory.bytes());
    return decode_file_header(memory.bytes()).sign;
}

TEST_CASE("journal format: headers come back as they were written") {
    BlockMemory block(block_bytes);
    encode_file_header(any_file(), block.bytes());
    const FoundFileHeader file = decode_file_header(block.bytes());
    CHECK(file.sign == FileHeaderSign::in_use);
    CHECK(file.header.ordinal == 7);
    CHECK(file.header.salt == any_file().salt);
    CHECK(file.header.first_sequence == 100);
    CHECK(file.header.file_bytes == file_bytes_min);

    BlockMemory memory(2 * block_bytes);
    encode_group(any_group(), memory.bytes());
    const FoundGroupHeader group = decode_group_header(memory.bytes(), any_file(), 2 * block_bytes);
    CHECK(group.sign == GroupSign::valid);
    CHECK(group.header.watermark == 99);
    CHECK(group.header.body_bytes == 5000);
    CHECK(body_matches(group.header, memory.bytes()));
}

TEST_CASE("journal format: each clause of the grammar is checked, checksum or not") {
    const std::uint64_t at = 2 * block_bytes;
    CHECK(sign_of(any_group(), at) == GroupSign::valid);
    const auto sign_with = [&](const std::function<void(GroupHeader&)>& change) {
        GroupHeader header = any_group();
        change(header);
        return sign_of(header, header.block * block_bytes);
    };
    CHECK(sign_of(any_group(), at + block_bytes) == GroupSign::torn);  // misplaced
    CHECK(sign_with([](GroupHeader& h) { h.magic ^= 1; }) == GroupSign::foreign);
    CHECK(sign_with([](GroupHeader& h) { h.salt ^= 1; }) == GroupSign::foreign);
    CHECK(sign_with([](GroupHeader& h) { h.version = journal_version + 1; }) == GroupSign::torn);
    CHECK(sign_with([](GroupHeader& h) { h.version = 0; }) == GroupSign::torn);
    CHECK(sign_with([](GroupHeader& h) { h.kind = 4; }) == GroupSign::torn);
    CHECK(sign_with([](GroupHeader& h) { h.kind = 1; }) == GroupSign::torn);  // state at block 2
    CHECK(sign_with([](GroupHeader& h) { h.kind = 2; }) == GroupSign::torn);  // seal with a body
    CHECK(sign_with([](GroupHeader& h) { h.sequence = 0; }) == GroupSign::torn);
    CHECK(sign_with([](GroupHeader& h) { h.watermark = h.sequence; }) == GroupSign::torn);
    CHECK(sign_with([](GroupHeader& h) { h.sequence = number_max; }) == GroupSign::valid);
    CHECK(sign_with([](GroupHeader& h) { h.sequence = number_max + 1; }) == GroupSign::torn);
    CHECK(sign_with([](GroupHeader& h) { h.block = 1; }) == GroupSign::torn);  // not a state
    CHECK(sign_with([](GroupHeader& h) { h.block = 14; }) == GroupSign::valid);
    CHECK(sign_with([](GroupHeader& h) { h.block = 15; }) == GroupSign::torn);  // over the end
}

TEST_CASE("journal format: what a file header can be") {
    CHECK(sign_of(any_file()) == FileHeaderSign::in_use);
    FileHeader spare = any_file();
    spare.state = FileState::spare;
    CHECK(sign_of(spare) == FileHeaderSign::spare);
    FileHeader newer = any_file();
    newer.version = journal_version + 1;
    CHECK(sign_of(newer) == FileHeaderSign::newer);
    FileHeader older = any_file();
    older.version = 0;
    CHECK(sign_of(older) == FileHeaderSign::invalid);
    BlockMemory zeros(block_bytes);
    CHECK(decode_file_header(zeros.bytes()).sign == FileHeaderSign::blank);
    BlockMemory block(block_bytes);
    encode_file_header(any_file(), block.bytes());
    for (std::size_t bit = 0; bit < 8 * block_bytes; ++bit) {
        block.bytes()[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
        REQUIRE(decode_file_header(block.bytes()).sign == FileHeaderSign::invalid);
        block.bytes()[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
    }
}

TEST_CASE("journal format: a salt differs with every part of what it is made of") {
    const FileHeader header = any_file();
    FileHeader other = header;
    other.ordinal += 1;
    CHECK(make_salt(1, header) != make_salt(1, other));
    other = header;
    other.first_sequence += 1;
    CHECK(make_salt(1, header) != make_salt(1, other));
    other = header;
    other.wall_ns += 1;
    CHECK(make_salt(1, header) != make_salt(1, other));
    CHECK(make_salt(1, header) != make_salt(2, header));
    CHECK(make_salt(1, header) == make_salt(1, header));
}

TEST_CASE("journal format: a group takes whole blocks") {
    CHECK(group_file_bytes(0) == block_bytes);
    CHECK(group_file_bytes(block_bytes - 64) == block_bytes);
    CHECK(group_file_bytes(block_bytes - 63) == 2 * block_bytes);
}

TEST_CASE("verdict: what lies at the end and what lies behind it select the row") {
    struct Case {
        At at;
        Evidence evidence;
        Row row;
        Verdict verdict;
    };
    constexpr Case cases[] = {
        {At::end, Evidence::none, Row::end, Verdict::clean_end},
        {At::torn, Evidence::none, Row::torn, Verdict::torn_tail},
        {At::end, Evidence::below, Row::end_then_later, Verdict::torn_tail},
        {At::torn, Evidence::below, Row::torn_then_later, Verdict::torn_tail},
        {At::end, Evidence::covers, Row::end_below_watermark, Verdict::damage},
        {At::torn, Evidence::covers, Row::torn_below_watermark, Verdict::damage},
    };
    for (const Case& expected : cases) {
        const VerdictRow& row = verdict_at_end(expected.at, expected.evidence);
        CHECK(row.row == expected.row);
        CHECK(row.verdict == expected.verdict);
    }
    for (char letter = 'A'; letter <= 'O'; ++letter) {
        CHECK(verdict_of(static_cast<Row>(letter)).row == static_cast<Row>(letter));
        CHECK_FALSE(verdict_of(static_cast<Row>(letter)).what.empty());
    }
}

}  // namespace
}  // namespace mqd::storage
