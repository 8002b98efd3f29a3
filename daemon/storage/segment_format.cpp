#include "daemon/storage/segment_format.hpp"

#include <charconv>
#include <cstring>

#include "daemon/storage/crc32c.hpp"
#include "mqd/assert.hpp"

namespace mqd::storage {

namespace {

constexpr std::string_view name_prefix = "segment-";
constexpr std::size_t name_digits = 6;

}  // namespace

std::string segment_file_name(SegmentNumber number) {
    std::string digits = std::to_string(number.value());
    if (digits.size() < name_digits) {
        digits.insert(0, name_digits - digits.size(), '0');
    }
    return std::string(name_prefix) + digits;
}

std::optional<SegmentNumber> segment_file_number(std::string_view name) {
    if (!name.starts_with(name_prefix)) {
        return std::nullopt;
    }
    const std::string_view digits = name.substr(name_prefix.size());
    std::uint32_t number = 0;
    const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    const bool whole = parsed.ec == std::errc{} && parsed.ptr == digits.data() + digits.size();
    if (!whole || number == 0 || segment_file_name(SegmentNumber(number)) != name) {
        return std::nullopt;
    }
    return SegmentNumber(number);
}

void encode_segment_header(SegmentNumber number, std::span<std::byte> out) {
    MQD_ASSERT(out.size() >= sizeof(SegmentHeader), out.size());
    SegmentHeader header;
    header.number = number.value();
    std::memcpy(out.data(), &header, sizeof header);
    header.crc = crc32c(out.first(sizeof header));
    std::memcpy(out.data(), &header, sizeof header);
}

bool segment_header_valid(std::span<const std::byte> bytes, SegmentNumber number) {
    if (bytes.size() < sizeof(SegmentHeader)) {
        return false;
    }
    SegmentHeader header;
    std::memcpy(&header, bytes.data(), sizeof header);
    const std::uint32_t crc = header.crc;
    header.crc = 0;
    return header.magic == SegmentHeader::magic_value && header.version == segment_version &&
           header.number == number.value() && crc == crc32c(std::as_bytes(std::span(&header, 1)));
}

void seal_page(PageHeader header, std::span<std::byte> page) {
    header.body_bytes = static_cast<std::uint32_t>(page.size() - sizeof header);
    header.body_crc = crc32c(page.subspan(sizeof header));
    header.crc = crc32c(std::as_bytes(std::span(&header, 1)).subspan(8));
    std::memcpy(page.data(), &header, sizeof header);
}

FoundPage decode_page(std::span<const std::byte> bytes, SegmentNumber segment,
                      std::uint64_t offset) {
    MQD_ASSERT(bytes.size() >= sizeof(PageHeader), bytes.size());
    FoundPage found;
    std::memcpy(&found.header, bytes.data(), sizeof found.header);
    const PageHeader& header = found.header;
    if (header.magic != PageHeader::magic_value ||
        header.crc != crc32c(bytes.first(sizeof header).subspan(8))) {
        found.wrong = "no page header";
    } else if (header.version != segment_version) {
        found.wrong = "a page of a later version";
    } else if (header.segment != segment.value() || header.offset != offset || header.count == 0) {
        found.wrong = "a page that belongs elsewhere";
    } else if (bytes.size() > sizeof header &&
               (bytes.size() < sizeof header + header.body_bytes ||
                crc32c(bytes.subspan(sizeof header, header.body_bytes)) != header.body_crc)) {
        found.wrong = "a page whose checksum is wrong";
    }
    return found;
}

}  // namespace mqd::storage
