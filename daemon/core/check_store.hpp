#pragma once

// Looks at a store that no daemon uses, from end to end, and changes nothing: every checksum and
// sequence of the journal, the checkpoint, what both say together (by replaying them), and every
// page in which something lives. It goes on behind what it finds. What a start would refuse is a
// finding; so is what a consumer would run into later. Any thread; takes as much memory as a start.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "daemon/storage/disk.hpp"
#include "mqd/result.hpp"
#include "mqd/types.hpp"

namespace mqd::core {

struct StoreFinding {
    enum class Kind : std::uint8_t {
        journal,     // a row of the verdict table (docs/storage.md)
        checkpoint,  // none is whole, and the journal does not tell it all
        record,      // checksums are right, and it does not fit what is there
        segment,     // a file of pages that is missing, short, or not one
        page,        // a page that is not as it was written
        message,     // alive, and nowhere, or in two places
        unreadable,  // the operating system reports an error: not known to be damage
    };

    Kind kind{};
    std::string file;  // its name in the folder; empty: none in particular
    std::optional<std::uint64_t> offset;
    std::string queue;           // empty: none in particular, or its name is not known
    QueueId queue_id;            // 0: none in particular
    MessageRange range;          // what is concerned lies in it; count 0: none in particular
    std::uint64_t messages = 0;  // of the range, how many live and are concerned
    std::uint64_t times = 1;     // records only: how many are wrong in the same way
    std::string text;            // one line of words
};

// Something worth a look that costs no message.
struct StoreNote {
    std::string file;
    std::string text;
};

struct StoreReport {
    // More findings are counted only.
    static constexpr std::size_t findings_max = 1000;

    std::string verdict;           // of the journal: letter and words
    std::uint64_t sequence = 0;    // of its last group
    std::uint64_t checkpoint = 0;  // number of the one that counts; 0: none
    std::uint64_t files = 0;       // journal, checkpoint and segments
    std::uint64_t bytes = 0;       // of them
    std::uint64_t journal_files = 0;
    std::uint64_t segments = 0;
    std::uint64_t queues = 0;
    std::uint64_t messages = 0;  // read and checked, living or not
    std::uint64_t live = 0;
    std::uint64_t pages = 0;  // in which something lives
    std::uint64_t damaged = 0;
    std::uint64_t unreadable = 0;
    std::vector<StoreFinding> findings;
    std::vector<StoreNote> notes;

    [[nodiscard]] bool sound() const { return damaged + unreadable == 0; }
};

// `disk` is only read. The directory should be locked. Errors: io_error, unsupported_version: it
// cannot be looked at as a whole.
Result<StoreReport> check_store(storage::Disk& disk);

[[nodiscard]] std::string_view to_text(StoreFinding::Kind kind);

}  // namespace mqd::core
