#include "daemon/storage/segment_format.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <functional>
#include <vector>

#include "daemon/storage/crc32c.hpp"

namespace mqd::storage {
namespace {

using Bytes = std::vector<std::byte>;

constexpr SegmentNumber segment{17};
constexpr std::uint64_t offset = 4712;
constexpr std::size_t body_bytes = 100;

Bytes make_header() {
    Bytes bytes(sizeof(SegmentHeader), std::byte{0xEE});
    encode_segment_header(segment, bytes);
    return bytes;
}

PageHeader page_header() {
    PageHeader header;
    header.offset = offset;
    header.segment = segment.value();
    header.queue = 5;
    header.first = 1000;
    header.count = 30;
    return header;
}

Bytes make_page(const PageHeader& header = page_header(), std::size_t body = body_bytes) {
    Bytes page(sizeof header + body);
    for (std::size_t i = 0; i < body; ++i) {
        page[sizeof header + i] = static_cast<std::byte>(i * 7);
    }
    seal_page(header, page);
    return page;
}

// A page whose header was changed by somebody who knows how its checksum is made.
Bytes forge(const std::function<void(PageHeader&)>& change) {
    Bytes page = make_page();
    PageHeader header;
    std::memcpy(&header, page.data(), sizeof header);
    change(header);
    header.crc = crc32c(std::as_bytes(std::span(&header, 1)).subspan(8));
    std::memcpy(page.data(), &header, sizeof header);
    return page;
}

Bytes forge_file(const std::function<void(SegmentHeader&)>& change) {
    Bytes bytes = make_header();
    SegmentHeader header;
    std::memcpy(&header, bytes.data(), sizeof header);
    change(header);
    header.crc = 0;
    header.crc = crc32c(std::as_bytes(std::span(&header, 1)));
    std::memcpy(bytes.data(), &header, sizeof header);
    return bytes;
}

bool valid(const Bytes& page) {
    return decode_page(page, segment, offset).wrong.empty();
}

TEST_CASE("segment format: a name is a number of six digits or more, written in one way") {
    CHECK(segment_file_name(SegmentNumber(1)) == "segment-000001");
    CHECK(segment_file_name(SegmentNumber(999'999)) == "segment-999999");
    CHECK(segment_file_name(SegmentNumber(1'000'000)) == "segment-1000000");
    CHECK(segment_file_name(SegmentNumber(UINT32_MAX)) == "segment-4294967295");
    for (const std::uint32_t number : {1u, 42u, 999'999u, 1'000'000u, UINT32_MAX}) {
        CHECK(segment_file_number(segment_file_name(SegmentNumber(number))) ==
              SegmentNumber(number));
    }
    for (const char* name :
         {"", "segment-", "segment-1", "segment-000000", "segment-00001", "segment-0000001",
          "segment-01000000", "segment-4294967296", "segment-99999999999999999999",
          "segment-00001x", "segment-000001 ", " segment-000001", "segment-000001.new",
          "segment--00001", "segment-+00001", "Segment-000001", "segment000001", "journal-0001"}) {
        CAPTURE(name);
        CHECK_FALSE(segment_file_number(name).has_value());
    }
}

TEST_CASE("segment format: a file header is valid as the grammar says, and not otherwise") {
    CHECK(segment_header_valid(make_header(), segment));
    CHECK(segment_header_valid(forge_file([](SegmentHeader&) {}), segment));
    CHECK_FALSE(segment_header_valid(make_header(), SegmentNumber(18)));
    CHECK_FALSE(segment_header_valid(forge_file([](SegmentHeader& h) { ++h.magic; }), segment));
    CHECK_FALSE(segment_header_valid(forge_file([](SegmentHeader& h) { ++h.version; }), segment));
    CHECK_FALSE(segment_header_valid(forge_file([](SegmentHeader& h) { ++h.number; }), segment));
    const Bytes whole = make_header();
    for (std::size_t count = 0; count < whole.size(); ++count) {
        CHECK_FALSE(segment_header_valid(std::span(whole).first(count), segment));
    }
}

TEST_CASE("segment format: every flipped bit of a file header is noticed") {
    Bytes bytes = make_header();
    for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
        const auto flip = static_cast<std::byte>(1u << (bit % 8));
        bytes[bit / 8] ^= flip;
        CHECK_FALSE(segment_header_valid(bytes, segment));
        bytes[bit / 8] ^= flip;
    }
    CHECK(segment_header_valid(bytes, segment));
}

// docs/storage.md, byte for byte.
TEST_CASE("segment format: the bytes lie where the document says") {
    const Bytes file = make_header();
    CHECK(std::memcmp(file.data(), "\nQMDSEG1\x01\0\0\0", 12) == 0);
    CHECK(file[16] == std::byte{17});
    const Bytes page = make_page();
    const auto u32 = [&](std::size_t at) {
        std::uint32_t value = 0;
        std::memcpy(&value, page.data() + at, sizeof value);
        return value;
    };
    CHECK(std::memcmp(page.data(), "MQDP", 4) == 0);
    CHECK(u32(4) == crc32c(std::span(page).subspan(8, 56)));
    CHECK(u32(8) == offset);
    CHECK(u32(16) == segment.value());
    CHECK(u32(20) == 5);
    CHECK(u32(24) == 1000);
    CHECK(u32(32) == 30);
    CHECK(u32(40) == body_bytes);
    CHECK(u32(44) == crc32c(std::span(page).subspan(64)));
    CHECK(u32(60) == segment_version);
}

TEST_CASE("segment format: a page says what was sealed") {
    const Bytes page = make_page();
    const FoundPage found = decode_page(page, segment, offset);
    CHECK(found.wrong.empty());
    CHECK(found.header.queue == 5);
    CHECK(found.header.first == 1000);
    CHECK(found.header.count == 30);
    CHECK(found.header.body_bytes == body_bytes);
    CHECK(valid(forge([](PageHeader&) {})));
    CHECK(valid(make_page(page_header(), 0)));
}

TEST_CASE("segment format: a page is valid as the grammar says, and not otherwise") {
    const auto wrong_with = [](const std::function<void(PageHeader&)>& change) {
        return decode_page(forge(change), segment, offset).wrong;
    };
    CHECK(wrong_with([](PageHeader& h) { ++h.magic; }) == "no page header");
    CHECK(wrong_with([](PageHeader& h) { ++h.version; }) == "a page of a later version");
    CHECK(wrong_with([](PageHeader& h) { ++h.segment; }) == "a page that belongs elsewhere");
    CHECK(wrong_with([](PageHeader& h) { h.offset += 8; }) == "a page that belongs elsewhere");
    CHECK(wrong_with([](PageHeader& h) { h.count = 0; }) == "a page that belongs elsewhere");
    CHECK(wrong_with([](PageHeader& h) { ++h.body_crc; }) == "a page whose checksum is wrong");
    // It ends within the file: a body that is longer than what is there.
    for (const std::uint32_t bytes : {std::uint32_t{body_bytes + 1}, 0xFFFFFFC0u, 0xFFFFFFFFu}) {
        CHECK(wrong_with([&](PageHeader& h) { h.body_bytes = bytes; }) ==
              "a page whose checksum is wrong");
    }
    const Bytes page = make_page();
    CHECK_FALSE(decode_page(page, SegmentNumber(18), offset).wrong.empty());
    CHECK_FALSE(decode_page(page, segment, offset + 8).wrong.empty());
}

TEST_CASE("segment format: the header of a page can be read alone, and a cut page is noticed") {
    const Bytes page = make_page();
    CHECK(decode_page(std::span(page).first(sizeof(PageHeader)), segment, offset).wrong.empty());
    for (std::size_t count = sizeof(PageHeader) + 1; count < page.size(); ++count) {
        CHECK_FALSE(decode_page(std::span(page).first(count), segment, offset).wrong.empty());
    }
    Bytes longer = page;  // what lies behind it is another's
    longer.resize(page.size() + 50, std::byte{1});
    CHECK(valid(longer));
}

TEST_CASE("segment format: every flipped bit of a page is noticed") {
    Bytes page = make_page();
    for (std::size_t bit = 0; bit < 8 * page.size(); ++bit) {
        const auto flip = static_cast<std::byte>(1u << (bit % 8));
        page[bit / 8] ^= flip;
        CHECK_FALSE(valid(page));
        page[bit / 8] ^= flip;
    }
    CHECK(valid(page));
}

}  // namespace
}  // namespace mqd::storage
