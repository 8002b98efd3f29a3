#include "daemon/storage/journal_survey.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <utility>

#include "daemon/storage/block_memory.hpp"
#include "daemon/storage/verdict.hpp"

namespace mqd::storage {

namespace {

constexpr std::string_view name_prefix = "journal-";
constexpr std::size_t digits_min = 4;

Result<std::uint64_t> read_start(File& file, BlockMemory& start) {
    std::memset(start.bytes().data(), 0, start.bytes().size());
    const auto count = file.read(0, start.bytes());
    if (!count) {
        return count.error();
    }
    std::memset(start.bytes().data() + *count, 0, start.bytes().size() - *count);
    return std::uint64_t{*count};
}

Result<StoredFile> look_at(Disk& disk, const std::string& name, std::uint32_t number,
                           BlockMemory& start, Survey& survey) {
    StoredFile stored;
    stored.number = number;
    stored.name = name;
    const auto file = disk.open(name, OpenMode::read_direct);
    if (!file) {
        return file.error();
    }
    const auto bytes = (*file)->size();
    if (!bytes) {
        return bytes.error();
    }
    stored.bytes = *bytes;
    const auto read = read_start(**file, start);
    if (!read) {
        return read.error();
    }
    survey.bytes_read += *read;

    const std::span<const std::byte> found = start.bytes();
    const FoundFileHeader header = decode_file_header(found.first(block_bytes));
    const FoundGroupHeader group =
        decode_any_group_header(found.subspan(block_bytes, block_bytes), block_bytes);
    const bool holds_group = group.sign == GroupSign::valid;
    stored.stray_salt = holds_group ? group.header.salt : 0;
    if (holds_group && group.header.kind == static_cast<std::uint8_t>(GroupKind::state)) {
        stored.stray_sequence = group.header.sequence;
    }
    switch (header.sign) {
        case FileHeaderSign::in_use:
        case FileHeaderSign::spare:
            stored.header = header.header;
            stored.filled = (header.header.flags & FileHeader::flag_filled) != 0;
            stored.suspect = header.sign == FileHeaderSign::spare && holds_group &&
                             group.header.salt != header.header.salt;
            break;
        case FileHeaderSign::blank: stored.suspect = holds_group; break;
        case FileHeaderSign::invalid: stored.suspect = true; break;
        case FileHeaderSign::newer: {
            const VerdictRow& row = verdict_of(Row::newer_version);
            Error error;
            error.code = ErrorCode::unsupported_version;
            error.text = std::string{static_cast<char>(row.row)} + ": " + std::string(row.what) +
                         ": " + disk.path(name) + " has version " +
                         std::to_string(header.header.version) + ", this is version " +
                         std::to_string(journal_version);
            return error;
        }
    }
    return stored;
}

}  // namespace

std::string journal_file_name(std::uint32_t number) {
    std::string digits = std::to_string(number);
    if (digits.size() < digits_min) {
        digits.insert(0, digits_min - digits.size(), '0');
    }
    return std::string(name_prefix) + digits;
}

std::optional<std::uint32_t> journal_file_number(std::string_view name) {
    if (!name.starts_with(name_prefix)) {
        return std::nullopt;
    }
    const std::string_view digits = name.substr(name_prefix.size());
    std::uint32_t number = 0;
    const auto [end, failed] =
        std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (failed != std::errc{} || end != digits.data() + digits.size() ||
        journal_file_name(number) != name) {
        return std::nullopt;
    }
    return number;
}

Result<Survey> survey_journal(Disk& disk) {
    const auto names = disk.list();
    if (!names) {
        return names.error();
    }
    Survey survey;
    BlockMemory start(2 * block_bytes);
    for (const std::string& name : *names) {
        const auto number = journal_file_number(name);
        if (!number) {
            continue;
        }
        auto stored = look_at(disk, name, *number, start, survey);
        if (!stored) {
            return stored.error();
        }
        const bool in_use = stored->header.state == FileState::in_use;
        (in_use ? survey.in_use : survey.unused).push_back(std::move(*stored));
    }
    const auto by_number = [](const StoredFile& a, const StoredFile& b) {
        return a.number < b.number;
    };
    std::sort(survey.unused.begin(), survey.unused.end(), by_number);
    std::sort(survey.in_use.begin(), survey.in_use.end(),
              [](const StoredFile& a, const StoredFile& b) {
                  return std::pair(a.header.ordinal, a.header.first_sequence) <
                         std::pair(b.header.ordinal, b.header.first_sequence);
              });
    return survey;
}

}  // namespace mqd::storage
