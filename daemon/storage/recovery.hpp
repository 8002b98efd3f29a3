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

    // told.damaged: no group is written to any of these files again. What comes goes into a new
    // one, with a sequence above this.
    Sequence highest;
};

using ReplayFunction = std::function<Result<void>(const GroupView&)>;

// Without `damage`, the first one is the error. Errors: damaged, unsupported_version, io_error, and
// what `replay` and `damage` return.
Result<RecoveredJournal> recover_journal(Disk& disk, const ReplayFunction& replay,
                                         const DamageFunction& damage = {});
// The same for a journal that may be damaged: files whose headers were lost are read as well, in
// the place that their groups say.
Result<RecoveredJournal> salvage_journal(Disk& disk, const ReplayFunction& replay,
                                         const JournalSalvage& salvage);

// Leaves blocks_to_zero empty, no unused file in use, and none suspect that has a journal's size.
Result<void> tidy_journal(Disk& disk, RecoveredJournal& journal);

}  // namespace mqd::storage
