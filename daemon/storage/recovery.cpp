#include "daemon/storage/recovery.hpp"

#include <algorithm>
#include <memory>
#include <utility>

#include "daemon/storage/block_memory.hpp"
#include "daemon/storage/journal_reader.hpp"
#include "daemon/storage/verdict.hpp"
#include "mqd/assert.hpp"

namespace mqd::storage {

namespace {

std::string line_of(Row row) {
    const VerdictRow& found = verdict_of(row);
    return std::string{static_cast<char>(found.row)} + ": " + std::string(found.what);
}

Error damage(Row row, const std::string& detail) {
    MQD_ASSERT(verdict_of(row).verdict == Verdict::damage, row);
    Error error;
    error.code = ErrorCode::damaged;
    error.text = line_of(row) + "; " + detail;
    return error;
}

std::string range_text(std::uint64_t first, std::uint64_t last) {
    return first == last ? "group " + std::to_string(first)
                         : "groups " + std::to_string(first) + " to " + std::to_string(last);
}

class Recoverer {
  public:
    Recoverer(Disk& disk, const ReplayFunction& replay) : disk_(disk), replay_(replay) {}

    Result<RecoveredJournal> run();

  private:
    Result<void> check_order() const;
    Result<void> read_file(std::size_t index);
    Result<void> deliver(const JournalReader::Found& found, const StoredFile& file);
    Result<void> judge_end(std::size_t index, JournalReader& reader, At at);
    Result<void> check_oldest() const;
    Result<void> check_suspects();
    Error file_damage(Row row, const StoredFile& file, std::uint64_t offset,
                      const std::string& lost) const;
    void note_end(Row row, const StoredFile& file, std::uint64_t offset);

    Disk& disk_;
    const ReplayFunction& replay_;
    RecoveredJournal journal_;
    std::uint64_t expected_ = 0;       // sequence of the next group
    std::uint64_t oldest_needed_ = 0;  // ordinal, as the last group says
    bool last_file_stands_ = false;    // at least one group of it does
};

Error Recoverer::file_damage(Row row, const StoredFile& file, std::uint64_t offset,
                             const std::string& lost) const {
    return damage(row, disk_.path(file.name) + " offset " + std::to_string(offset) + ": " + lost);
}

Result<RecoveredJournal> Recoverer::run() {
    auto survey = survey_journal(disk_);
    if (!survey) {
        return survey.error();
    }
    journal_.in_use = std::move(survey->in_use);
    journal_.unused = std::move(survey->unused);
    journal_.told.bytes_read = survey->bytes_read;
    journal_.told.files = journal_.in_use.size();
    journal_.told.verdict = line_of(Row::empty_store);
    if (auto ordered = check_order(); !ordered) {
        return ordered.error();
    }
    for (std::size_t index = 0; index < journal_.in_use.size(); ++index) {
        if (auto read = read_file(index); !read) {
            return read.error();
        }
    }
    if (auto complete = check_oldest(); !complete) {
        return complete.error();
    }
    if (auto checked = check_suspects(); !checked) {
        return checked.error();
    }
    if (!journal_.in_use.empty() && !last_file_stands_) {
        journal_.unused.push_back(std::move(journal_.in_use.back()));
        journal_.in_use.pop_back();
        journal_.begin_undone = true;
    }
    return std::move(journal_);
}

// What the headers say together, before any group is read.
Result<void> Recoverer::check_order() const {
    const std::vector<StoredFile>& files = journal_.in_use;
    for (std::size_t i = 1; i < files.size(); ++i) {
        const std::uint64_t before = files[i - 1].header.ordinal;
        const std::uint64_t ordinal = files[i].header.ordinal;
        if (ordinal == before) {
            return damage(Row::file_twice, disk_.path(files[i - 1].name) + " and " +
                                               disk_.path(files[i].name) + " are both number " +
                                               std::to_string(ordinal));
        }
        if (ordinal != before + 1) {
            return damage(Row::file_missing, "number " + std::to_string(before + 1) +
                                                 " is not in " + disk_.path("") + ": " +
                                                 range_text(files[i - 1].header.first_sequence,
                                                            files[i].header.first_sequence - 1) +
                                                 " are lost in part");
        }
        if (files[i].header.first_sequence <= files[i - 1].header.first_sequence) {
            return file_damage(Row::sequence_gap, files[i], 0,
                               "it begins with group " +
                                   std::to_string(files[i].header.first_sequence) +
                                   ", not behind the file before");
        }
    }
    return {};
}

Result<void> Recoverer::read_file(std::size_t index) {
    const StoredFile& stored = journal_.in_use[index];
    const bool last_file = index + 1 == journal_.in_use.size();
    const std::uint64_t end =
        last_file ? number_max + 1 : journal_.in_use[index + 1].header.first_sequence;
    const auto file = disk_.open(stored.name, OpenMode::read_direct);
    if (!file) {
        return file.error();
    }
    JournalReader reader(**file, stored.header, stored.bytes);
    expected_ = stored.header.first_sequence;
    At at = At::group;
    while (expected_ < end) {
        const std::uint64_t offset = reader.position();
        const auto found = reader.next();
        if (!found) {
            return found.error();
        }
        at = found->at;
        if (at != At::group) {
            break;
        }
        if (found->header.sequence != expected_) {
            return file_damage(Row::sequence_gap, stored, offset,
                               "group " + std::to_string(found->header.sequence) +
                                   " lies where group " + std::to_string(expected_) +
                                   " was expected");
        }
        if (auto delivered = deliver(*found, stored); !delivered) {
            return delivered.error();
        }
    }
    if (last_file) {
        if (auto judged = judge_end(index, reader, at); !judged) {
            return judged.error();
        }
    } else if (at != At::group) {
        return file_damage(Row::file_ends_early, stored, reader.position(),
                           range_text(expected_, end - 1) +
                               " cannot be read from here; the next file begins with group " +
                               std::to_string(end));
    }
    // The file to go on in: the last one in which a group stands.
    if (last_file_stands_ || !last_file) {
        journal_.position = reader.position();
    }
    journal_.told.bytes_read += reader.bytes_read();
    return {};
}

Result<void> Recoverer::deliver(const JournalReader::Found& found, const StoredFile& file) {
    const GroupHeader& header = found.header;
    MQD_ASSERT(header.sequence == expected_, header.sequence, expected_);
    const auto kind = static_cast<GroupKind>(header.kind);
    const bool replay_begins = &file == &journal_.in_use.front();
    if (kind != GroupKind::state || replay_begins) {
        GroupView view;
        view.sequence = Sequence(header.sequence);
        view.file = FileOrdinal(file.header.ordinal);
        view.kind = kind;
        view.time = {header.journal_ns, header.wall_ns};
        view.body = found.body;
        if (auto replayed = replay_(view); !replayed) {
            return replayed;
        }
    }
    journal_.told.last = Sequence(header.sequence);
    journal_.told.last_time = {header.journal_ns, header.wall_ns};
    journal_.told.clean = kind == GroupKind::clean_stop;
    // A file that claims to need more files than there ever were is checked against the first one.
    oldest_needed_ =
        file.header.ordinal - std::min<std::uint64_t>(header.files_back, file.header.ordinal - 1);
    last_file_stands_ = &file == &journal_.in_use.back();
    ++expected_;
    return {};
}

Result<void> Recoverer::judge_end(std::size_t index, JournalReader& reader, At at) {
    MQD_ASSERT(at != At::group || expected_ > number_max, expected_);
    const StoredFile& stored = journal_.in_use[index];
    const auto rest = reader.scan_rest();
    if (!rest) {
        return rest.error();
    }
    const Evidence evidence = rest->watermark >= expected_ ? Evidence::covers
                              : rest->later                ? Evidence::below
                                                           : Evidence::none;
    const VerdictRow& row = verdict_at_end(at, evidence);
    if (row.verdict == Verdict::damage) {
        std::string lost = range_text(expected_, rest->watermark) + " had been synced";
        if (rest->later) {
            lost += "; the next readable header is that of group " +
                    std::to_string(rest->later->sequence) + " at offset " +
                    std::to_string(rest->later_offset);
        }
        return file_damage(row.row, stored, reader.position(), lost);
    }
    journal_.blocks_to_zero = rest->blocks;
    if (row.verdict == Verdict::clean_end) {
        journal_.blocks_to_zero.clear();
    }
    note_end(row.row, stored, reader.position());
    return {};
}

void Recoverer::note_end(Row row, const StoredFile& file, std::uint64_t offset) {
    const bool cut = verdict_of(row).verdict == Verdict::torn_tail;
    journal_.told.verdict = line_of(row) + "; " + disk_.path(file.name) +
                            (cut ? " is cut at offset " : " ends at offset ") +
                            std::to_string(offset) + ", group " + std::to_string(expected_ - 1) +
                            " is the last";
}

// The last group that stands says how far back the files go that are needed; a spare says which
// file had been begun after it at the latest.
Result<void> Recoverer::check_oldest() const {
    const std::uint64_t newest =
        journal_.in_use.empty() ? 0 : journal_.in_use.back().header.ordinal;
    for (const StoredFile& spare : journal_.unused) {
        if (spare.header.ordinal > newest) {
            return damage(
                Row::file_missing,
                disk_.path(spare.name) + " was number " + std::to_string(spare.header.ordinal) +
                    ", and the file that was written after it is not in " + disk_.path(""));
        }
    }
    if (journal_.in_use.empty()) {
        return {};
    }
    const FileHeader& oldest = journal_.in_use.front().header;
    if (journal_.told.last.value() == 0) {
        // No group stands at all: right for the first file of a store, and for no other.
        if (oldest.ordinal == 1 && oldest.first_sequence == 1) {
            return {};
        }
        return damage(Row::file_missing,
                      "the files before " + disk_.path(journal_.in_use.front().name) +
                          " are not there; " + range_text(1, oldest.first_sequence - 1) +
                          " are lost in part");
    }
    if (oldest.ordinal > oldest_needed_) {
        return damage(Row::file_missing,
                      "numbers " + std::to_string(oldest_needed_) + " to " +
                          std::to_string(oldest.ordinal - 1) + " are needed and not in " +
                          disk_.path("") + ": what lies before group " +
                          std::to_string(oldest.first_sequence) + " is lost in part");
    }
    return {};
}

// A file that is not in use should hold nothing newer than what stands: if it does, it was in use,
// and lost its header.
Result<void> Recoverer::check_suspects() {
    for (const StoredFile& suspect : journal_.unused) {
        if (!suspect.suspect) {
            continue;
        }
        const auto file = disk_.open(suspect.name, OpenMode::read_direct);
        if (!file) {
            return file.error();
        }
        const auto watermark = scan_watermarks(**file, suspect.bytes);
        if (!watermark) {
            return watermark.error();
        }
        journal_.told.bytes_read += suspect.bytes;
        const std::uint64_t last = journal_.told.last.value();
        if (*watermark > last) {
            return file_damage(Row::groups_without_header, suspect, 0,
                               range_text(last + 1, *watermark) + " had been synced");
        }
    }
    return {};
}

Result<void> make_spare(Disk& disk, StoredFile& stored) {
    auto file = disk.open(stored.name, OpenMode::read_write);
    if (!file) {
        return file.error();
    }
    FileHeader header;
    header.state = FileState::spare;
    header.file_bytes = stored.bytes;
    header.salt = stored.stray_salt;
    header.flags = stored.filled ? FileHeader::flag_filled : 0;
    BlockMemory block(block_bytes);
    encode_file_header(header, block.bytes());
    if (auto written = (*file)->write(0, block.bytes()); !written) {
        return written;
    }
    stored.header = header;
    stored.suspect = false;
    return (*file)->sync();
}

Result<void> sync_file(Disk& disk, const StoredFile& stored) {
    auto file = disk.open(stored.name, OpenMode::read_write);
    return file ? (*file)->sync() : Result<void>(file.error());
}

Result<void> tidy_last_file(Disk& disk, const StoredFile& stored,
                            const std::vector<std::uint64_t>& blocks_to_zero) {
    auto file = disk.open(stored.name, OpenMode::read_write);
    if (!file) {
        return file.error();
    }
    // What was read may lie in the disk's own cache only.
    if (auto synced = (*file)->sync(); !synced) {
        return synced;
    }
    if (stored.bytes < stored.header.file_bytes) {
        if (auto grown = (*file)->allocate(stored.header.file_bytes); !grown) {
            return grown;
        }
    }
    BlockMemory zeros(block_bytes);
    for (const std::uint64_t block : blocks_to_zero) {
        if (auto written = (*file)->write(block, zeros.bytes()); !written) {
            return written;
        }
    }
    return (*file)->sync();
}

bool has_usable_size(const StoredFile& stored) {
    return stored.bytes % block_bytes == 0 && stored.bytes >= file_bytes_min &&
           stored.bytes <= file_bytes_limit;
}

}  // namespace

Result<RecoveredJournal> recover_journal(Disk& disk, const ReplayFunction& replay) {
    return Recoverer(disk, replay).run();
}

Result<void> tidy_journal(Disk& disk, RecoveredJournal& journal) {
    // First what stands, then the rest: a file that was begun in vain is undone when the one before
    // it is known to be on the disk.
    if (!journal.in_use.empty()) {
        const bool blocks_are_here = !journal.begin_undone;
        const std::vector<std::uint64_t> none;
        auto tidied = tidy_last_file(disk, journal.in_use.back(),
                                     blocks_are_here ? journal.blocks_to_zero : none);
        if (!tidied) {
            return tidied;
        }
    }
    journal.blocks_to_zero.clear();
    for (StoredFile& stored : journal.unused) {
        const bool undone = stored.header.state == FileState::in_use;
        if ((stored.suspect || undone) && has_usable_size(stored)) {
            if (auto made = make_spare(disk, stored); !made) {
                return made;
            }
        } else if (stored.header.state == FileState::spare) {
            // The process may have ended between the write and the sync of this header. If a power
            // loss took it back later on, an old file would be in use again, with a gap behind it.
            if (auto synced = sync_file(disk, stored); !synced) {
                return synced;
            }
        }
    }
    return disk.sync_directory();
}

}  // namespace mqd::storage
