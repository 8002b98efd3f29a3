#pragma once

// What journal files a directory holds, from the first two blocks of each. Reads only. Used while
// the journal is opened, on the thread that opens it.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/storage/disk.hpp"
#include "daemon/storage/journal_format.hpp"
#include "mqd/result.hpp"

namespace mqd::storage {

// Journal files are called journal-0001, journal-0002, ...: a name is a place on the disk; the
// order of use is in the headers.
[[nodiscard]] std::string journal_file_name(std::uint32_t number);
[[nodiscard]] std::optional<std::uint32_t> journal_file_number(std::string_view name);

struct StoredFile {
    std::uint32_t number = 0;  // in its name
    std::string name;
    std::uint64_t bytes = 0;
    FileHeader header;    // in use or spare; otherwise blank
    bool filled = false;  // every block has been written once
    // Not in use, but block 1 holds a group that the header does not account for: it may be that
    // the header of a file in use was lost.
    bool suspect = false;
    std::uint64_t stray_salt = 0;      // of that group
    std::uint64_t stray_sequence = 0;  // likewise, if it is a state group: where the file begins
    bool replayed = false;             // groups of it were handed over
};

struct Survey {
    std::vector<StoredFile> in_use;  // by ordinal
    std::vector<StoredFile> unused;  // by number
    std::uint64_t bytes_read = 0;
};

// Errors: io_error; unsupported_version, which names the file.
Result<Survey> survey_journal(Disk& disk);

}  // namespace mqd::storage
