#pragma once

// Opening a store that may have crashed, in two steps that never mix: recover_journal() reads
// everything, hands the groups that stand to `replay` and comes to a verdict, without a single
// write; tidy_journal() then makes durable what stands and removes what was cut. Why a crash during
// either is harmless: docs/storage.md, "Recovery". On the thread that opens the journal.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "daemon/storage/disk.hpp"
#include "daemon/storage/journal.hpp"
#include "daemon/storage/journal_survey.hpp"
#include "daemon/storage/verdict.hpp"
#include "mqd/result.hpp"

namespace mqd::storage {

struct RecoveredJournal {
    Recovery told;
    std::vector<StoredFile> in_use;  // oldest first; the last one is written on
    std::vector<StoredFile> unused;
    std::uint64_t position = 0;  // in the last of in_use: where the next group goes
    // The last group says that no file with a lower ordinal is needed.
    std::uint64_t oldest_needed = 0;

    // What tidy_journal() has to do.
    std::vector<std::uint64_t> blocks_to_zero;  // in the last of in_use
    bool begin_undone = false;  // the last of `unused` was begun, but none of its groups stands
};

using ReplayFunction = std::function<Result<void>(const GroupView&)>;

// Stored bytes that lie: one row of the table, found in one place.
struct Damage {
    Row row{};
    std::string file;          // its name; empty: it is not there
    std::uint64_t offset = 0;  // in it
    std::string text;          // letter, what was seen, file, and what is lost
};
// Is told of damage. Success: recovery goes on with the next group that is whole, whatever its
// sequence. An error ends it. What it says of where to go on writing is of no use after that.
using DamageFunction = std::function<Result<void>(const Damage&)>;

// Without `damage`, the first one is the error. Errors: damaged, unsupported_version, io_error, and
// what `replay` and `damage` return.
Result<RecoveredJournal> recover_journal(Disk& disk, const ReplayFunction& replay,
                                         const DamageFunction& damage = {});

// Leaves blocks_to_zero empty and no unused file suspect.
Result<void> tidy_journal(Disk& disk, RecoveredJournal& journal);

}  // namespace mqd::storage
