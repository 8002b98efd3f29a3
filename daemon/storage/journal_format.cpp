#include "daemon/storage/journal_format.hpp"

#include <bit>
#include <cstring>

#include "daemon/storage/crc32c.hpp"
#include "daemon/storage/planted_fault.hpp"
#include "mqd/assert.hpp"

namespace mqd::storage {

static_assert(std::endian::native == std::endian::little, "headers are copied as they lie");

namespace {

constexpr bool check_sums = !planted(Fault::drop_checksum);

std::uint64_t mix(std::uint64_t value) {
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
    return value ^ (value >> 31);
}

template <typename Header>
Header load(std::span<const std::byte> bytes) {
    MQD_ASSERT(bytes.size() >= sizeof(Header), bytes.size());
    Header header;
    std::memcpy(&header, bytes.data(), sizeof header);
    return header;
}

template <typename Header>
std::span<const std::byte> bytes_of(const Header& header) {
    return std::as_bytes(std::span<const Header, 1>(&header, 1));
}

std::uint32_t file_header_crc(FileHeader header, std::span<const std::byte> block) {
    header.crc = 0;
    const std::uint32_t of_header = crc32c(bytes_of(header));
    return crc32c(block.subspan(sizeof header, block_bytes - sizeof header), of_header);
}

std::uint32_t group_header_crc(const GroupHeader& header) {
    return crc32c(bytes_of(header).subspan(offsetof(GroupHeader, salt)));
}

bool is_sane(const FileHeader& header) {
    if (header.file_bytes % block_bytes != 0 || header.file_bytes < file_bytes_min ||
        header.file_bytes > file_bytes_limit) {
        return false;
    }
    if (header.state == FileState::spare) {
        return true;
    }
    return header.state == FileState::in_use && header.ordinal >= 1 &&
           header.ordinal <= number_max && header.first_sequence >= 1 &&
           header.first_sequence <= number_max;
}

bool is_sane(const GroupHeader& header, const FileHeader& file, std::uint64_t at) {
    constexpr auto last_kind = static_cast<std::uint8_t>(GroupKind::clean_stop);
    if (header.version < 1 || header.version > journal_version || header.kind > last_kind ||
        header.sequence < 1 || header.sequence > number_max ||
        header.watermark >= header.sequence) {
        return false;
    }
    const auto kind = static_cast<GroupKind>(header.kind);
    const bool begins_file = header.block == 1;
    const bool seals = kind == GroupKind::seal || kind == GroupKind::clean_stop;
    return (kind == GroupKind::state) == begins_file && (!seals || header.body_bytes == 0) &&
           at + group_file_bytes(header.body_bytes) <= file.file_bytes;
}

}  // namespace

std::uint64_t make_salt(std::uint64_t seed, const FileHeader& header) {
    std::uint64_t salt = mix(seed ^ 0x9E3779B97F4A7C15);
    salt = mix(salt ^ header.ordinal);
    salt = mix(salt ^ header.first_sequence);
    return mix(salt ^ static_cast<std::uint64_t>(header.wall_ns));
}

void encode_file_header(FileHeader header, std::span<std::byte> block) {
    MQD_ASSERT(block.size() >= block_bytes, block.size());
    std::memset(block.data(), 0, block_bytes);
    header.crc = file_header_crc(header, block);
    std::memcpy(block.data(), &header, sizeof header);
    MQD_ASSERT(is_sane(header));
}

FoundFileHeader decode_file_header(std::span<const std::byte> block) {
    MQD_ASSERT(block.size() == block_bytes, block.size());
    FoundFileHeader found;
    found.header = load<FileHeader>(block);
    const FileHeader& header = found.header;
    if (is_zero(block)) {
        found.sign = FileHeaderSign::blank;
    } else if (header.magic != FileHeader::magic_value ||
               (check_sums && header.crc != file_header_crc(header, block))) {
        found.sign = FileHeaderSign::invalid;
    } else if (header.version > journal_version) {
        found.sign = FileHeaderSign::newer;
    } else if (header.version >= 1 && is_sane(header)) {
        found.sign =
            header.state == FileState::in_use ? FileHeaderSign::in_use : FileHeaderSign::spare;
    }
    return found;
}

void encode_group(GroupHeader header, std::span<std::byte> sealed) {
    MQD_ASSERT(sealed.size() == group_file_bytes(header.body_bytes), sealed.size());
    header.body_crc = crc32c(sealed.subspan(sizeof header));
    header.crc = group_header_crc(header);
    std::memcpy(sealed.data(), &header, sizeof header);
}

FoundGroupHeader decode_group_header(std::span<const std::byte> bytes, const FileHeader& file,
                                     std::uint64_t at) {
    FoundGroupHeader found;
    found.header = load<GroupHeader>(bytes);
    const GroupHeader& header = found.header;
    if (header.magic != GroupHeader::magic_value || header.salt != file.salt) {
        return found;
    }
    const bool whole = (!check_sums || header.crc == group_header_crc(header)) &&
                       header.block * block_bytes == at && is_sane(header, file, at);
    found.sign = whole ? GroupSign::valid : GroupSign::torn;
    return found;
}

FoundGroupHeader decode_any_group_header(std::span<const std::byte> bytes, std::uint64_t at) {
    FoundGroupHeader found;
    found.header = load<GroupHeader>(bytes);
    const GroupHeader& header = found.header;
    if (header.magic == GroupHeader::magic_value && header.crc == group_header_crc(header) &&
        header.block * block_bytes == at && header.watermark < header.sequence) {
        found.sign = GroupSign::valid;
    }
    return found;
}

bool body_matches(const GroupHeader& header, std::span<const std::byte> group) {
    MQD_ASSERT(group.size() == group_file_bytes(header.body_bytes), group.size());
    return !check_sums || header.body_crc == crc32c(group.subspan(sizeof header));
}

bool is_zero(std::span<const std::byte> bytes) {
    return bytes.empty() || (bytes[0] == std::byte{0} &&
                             std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

}  // namespace mqd::storage
