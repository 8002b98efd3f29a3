#pragma once

// What a crash can leave and what it means: the verdict table of docs/storage.md, as data. Recovery
// gathers facts, looks up the row and acts on its verdict; nothing else decides. Pure.

#include <cstdint>
#include <string_view>

#include "daemon/storage/journal_reader.hpp"

namespace mqd::storage {

enum class Verdict {
    fresh,       // no file holds anything: an empty store
    clean_end,   // go on behind the last group
    torn_tail,   // cut, make what stands durable, go on
    not_in_use,  // the file is a spare
    damage,      // stored bytes lie: refuse to start, change nothing
    newer,       // written by a later version of mqd: refuse
    failure,     // the system failed us: refuse, and name errno
};

// What the rest of the last file says about the position where reading stopped.
enum class Evidence {
    none,    // no valid group header there
    below,   // there are some, but no watermark covers the sequence that is missing
    covers,  // one does: the missing sequence had been synced
};

enum class Row : char {
    empty_store = 'A',
    end = 'B',
    torn = 'C',
    end_then_later = 'D',
    torn_then_later = 'E',
    end_below_watermark = 'F',
    torn_below_watermark = 'G',
    sequence_gap = 'H',
    file_ends_early = 'I',
    file_missing = 'J',
    file_twice = 'K',
    groups_without_header = 'L',
    header_unused = 'M',
    newer_version = 'N',
    os_error = 'O',
};

struct VerdictRow {
    Row row;
    Verdict verdict;
    std::string_view what;  // the reader saw, as the log says it
};

[[nodiscard]] const VerdictRow& verdict_of(Row row);
// For the last file. Precondition: at != At::group.
[[nodiscard]] const VerdictRow& verdict_at_end(At at, Evidence evidence);

}  // namespace mqd::storage
