#include "daemon/storage/recovery.hpp"

#include <algorithm>
#include <memory>
#include <optional>
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

std::string range_text(std::uint64_t first, std::uint64_t last) {
    return first == last ? "group " + std::to_string(first)
                         : "groups " + std::to_string(first) + " to " + std::to_string(last);
}

bool has_usable_size(const StoredFile& stored) {
    return stored.bytes % block_bytes == 0 && stored.bytes >= file_bytes_min &&
           stored.bytes <= file_bytes_limit;
}

class Recoverer {
  public:
    enum class LostHeaders { leave, rescue };
    Recoverer(Disk& disk, const ReplayFunction& replay, const DamageFunction& damage,
              LostHeaders lost_headers = LostHeaders::leave, Sequence seen = {},
              const std::function<bool()>& begin_anew = {})
        : disk_(disk),
          replay_(replay),
          damage_(damage),
          lost_headers_(lost_headers),
          seen_(seen),
          begin_anew_(begin_anew) {}

    Result<RecoveredJournal> run();

  private:
    Result<void> rescue();
    Result<void> check_order();
    Result<void> read_file(std::size_t index);
    Result<bool> stopped(std::size_t index, File& file, JournalReader& reader, At at);
    Result<void> check_sequence(const GroupHeader& header, const StoredFile& stored,
                                std::uint64_t offset);
    Result<void> deliver(const JournalReader::Found& found, std::size_t index);
    Result<bool> judge_end(const StoredFile& stored, std::uint64_t offset, At at,
                           const JournalReader::Rest& rest);
    Result<void> check_oldest();
    Result<void> check_suspects();
    Result<void> find_highest();
    Result<void> damage(const Damage& found);
    Result<void> damage(Row row, const std::string& detail) {
        return damage({row, {}, 0, line_of(row) + "; " + detail});
    }
    Result<void> file_damage(Row row, const StoredFile& file, std::uint64_t offset,
                             const std::string& lost);
    void note_end(Row row, const StoredFile& file, std::uint64_t offset);

    Disk& disk_;
    const ReplayFunction& replay_;
    const DamageFunction& damage_;  // empty: the first damage ends it
    const LostHeaders lost_headers_;
    const Sequence seen_;
    const std::function<bool()> begin_anew_;
    RecoveredJournal journal_;
    std::uint64_t expected_ = 0;     // sequence of the next group
    bool last_file_stands_ = false;  // at least one group of it does
    bool behind_hole_ = false;       // the next group of this file may have any later sequence
    // What follows in the last file, as of where reading first stopped.
    std::optional<JournalReader::Rest> rest_;
};

Result<void> Recoverer::damage(const Damage& found) {
    MQD_ASSERT(verdict_of(found.row).verdict == Verdict::damage, found.row);
    journal_.told.damaged = true;
    return damage_ ? damage_(found) : Error{ErrorCode::damaged, found.text};
}

Result<void> Recoverer::file_damage(Row row, const StoredFile& file, std::uint64_t offset,
                                    const std::string& lost) {
    return damage({row, file.name, offset,
                   line_of(row) + "; " + disk_.path(file.name) + " offset " +
                       std::to_string(offset) + ": " + lost});
}

Result<RecoveredJournal> Recoverer::run() {
    auto survey = survey_journal(disk_);
    if (!survey) {
        return survey.error();
    }
    journal_.in_use = std::move(survey->in_use);
    journal_.unused = std::move(survey->unused);
    if (lost_headers_ == LostHeaders::rescue) {
        if (auto told = rescue(); !told) {
            return told.error();
        }
    }
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
    if (journal_.told.damaged || journal_.told.last < seen_ || (begin_anew_ && begin_anew_())) {
        journal_.told.damaged = true;
        journal_.told.clean = false;
        if (auto found = find_highest(); !found) {
            return found.error();
        }
    } else if (!journal_.in_use.empty() && !last_file_stands_) {
        journal_.unused.push_back(std::move(journal_.in_use.back()));
        journal_.in_use.pop_back();
        journal_.begin_undone = true;
    }
    return std::move(journal_);
}

// A file that is not in use, and begins with the state group of a use of it: if there is a hole in
// the order where that belongs, its header was lost.
Result<void> Recoverer::rescue() {
    std::vector<StoredFile>& files = journal_.in_use;
    std::vector<StoredFile> lost;
    std::erase_if(journal_.unused, [&](StoredFile& file) {
        const bool candidate = file.suspect && file.stray_sequence != 0 && has_usable_size(file);
        if (candidate) {
            lost.push_back(file);
        }
        return candidate;
    });
    std::sort(lost.begin(), lost.end(), [](const StoredFile& a, const StoredFile& b) {
        return a.stray_sequence > b.stray_sequence;
    });
    // Spares were in use before all others.
    std::uint64_t spared = 0;
    for (const StoredFile& spare : journal_.unused) {
        spared = std::max(spared, spare.header.ordinal);
    }
    const std::uint64_t newest = files.empty() ? 0 : files.back().header.first_sequence;
    const auto behind_newest = static_cast<std::uint64_t>(
        std::count_if(lost.begin(), lost.end(),
                      [&](const StoredFile& file) { return file.stray_sequence > newest; }));
    for (StoredFile& file : lost) {
        const auto after = std::find_if(files.begin(), files.end(), [&](const StoredFile& other) {
            return other.header.first_sequence >= file.stray_sequence;
        });
        const std::uint64_t before = after != files.begin() ? after[-1].header.ordinal
                                     : files.empty()        ? spared
                                                            : 0;
        const std::uint64_t ordinal =
            after == files.end() ? before + behind_newest : after->header.ordinal - 1;
        const bool known =
            after != files.end() && after->header.first_sequence == file.stray_sequence;
        if (known || ordinal <= before) {
            journal_.unused.push_back(std::move(file));
            continue;
        }
        file.header.state = FileState::in_use;
        file.header.ordinal = ordinal;
        file.header.salt = file.stray_salt;
        file.header.first_sequence = file.stray_sequence;
        file.header.file_bytes = file.bytes;
        file.suspect = false;
        auto told = file_damage(
            Row::groups_without_header, file, 0,
            "its groups are read from group " + std::to_string(file.stray_sequence) + " on");
        if (!told) {
            return told;
        }
        files.insert(after, std::move(file));
    }
    return {};
}

// No sequence that was ever used is used again: not those of groups that cannot be read either.
Result<void> Recoverer::find_highest() {
    std::uint64_t highest = std::max(journal_.told.last, seen_).value();
    const auto look = [&](const StoredFile& stored, std::uint64_t salt) -> Result<void> {
        const auto file = disk_.open(stored.name, OpenMode::read_direct);
        if (!file) {
            return file.error();
        }
        const auto found = scan_highest(**file, stored.bytes, salt);
        if (!found) {
            return found.error();
        }
        highest = std::max({highest, found->sequence, found->watermark});
        return {};
    };
    for (const StoredFile& stored : journal_.in_use) {
        highest = std::max(highest, stored.header.first_sequence);
        if (auto looked = look(stored, stored.header.salt); !looked) {
            return looked;
        }
    }
    for (const StoredFile& stored : journal_.unused) {
        if (auto looked = stored.suspect ? look(stored, stored.stray_salt) : Result<void>();
            !looked) {
            return looked;
        }
    }
    journal_.highest = Sequence(highest);
    return {};
}

// What the headers say together, before any group is read.
Result<void> Recoverer::check_order() {
    const std::vector<StoredFile>& files = journal_.in_use;
    for (std::size_t i = 1; i < files.size(); ++i) {
        const FileHeader& before = files[i - 1].header;
        const FileHeader& header = files[i].header;
        Result<void> looked;
        if (header.ordinal == before.ordinal) {
            looked = damage({Row::file_twice, files[i].name, 0,
                             line_of(Row::file_twice) + "; " + disk_.path(files[i - 1].name) +
                                 " and " + disk_.path(files[i].name) + " are both number " +
                                 std::to_string(header.ordinal)});
        } else if (header.ordinal != before.ordinal + 1) {
            looked = damage(Row::file_missing,
                            "number " + std::to_string(before.ordinal + 1) + " is not in " +
                                disk_.path("") + ": " +
                                range_text(before.first_sequence, header.first_sequence - 1) +
                                " are lost in part");
        } else if (header.first_sequence <= before.first_sequence) {
            looked = file_damage(Row::sequence_gap, files[i], 0,
                                 "it begins with group " + std::to_string(header.first_sequence) +
                                     ", not behind the file before");
        }
        if (!looked) {
            return looked;
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
    expected_ = std::max(stored.header.first_sequence, journal_.told.last.value() + 1);
    behind_hole_ = false;
    while (expected_ < end) {
        const std::uint64_t offset = reader.position();
        const auto found = reader.next();
        if (!found) {
            return found.error();
        }
        if (found->at != At::group) {
            const auto more = stopped(index, **file, reader, found->at);
            if (!more) {
                return more.error();
            }
            if (!*more) {
                break;
            }
            continue;
        }
        if (auto follows = check_sequence(found->header, stored, offset); !follows) {
            return follows;
        }
        if (found->header.sequence < expected_) {
            continue;
        }
        expected_ = found->header.sequence;
        if (auto delivered = deliver(*found, index); !delivered) {
            return delivered.error();
        }
    }
    // The file to go on in: the last one in which a group stands.
    if (last_file_stands_ || !last_file) {
        journal_.position = reader.position();
    }
    journal_.told.bytes_read += reader.bytes_read();
    return {};
}

Result<void> Recoverer::check_sequence(const GroupHeader& header, const StoredFile& stored,
                                       std::uint64_t offset) {
    const bool follows = header.sequence == expected_;
    const bool behind_hole = std::exchange(behind_hole_, false) && header.sequence > expected_;
    if (follows || behind_hole) {
        return {};
    }
    return file_damage(Row::sequence_gap, stored, offset,
                       "group " + std::to_string(header.sequence) + " lies where group " +
                           std::to_string(expected_) + " was expected");
}

// No group stands where the next one was expected. Says whether there is one behind the hole to go
// on with.
Result<bool> Recoverer::stopped(std::size_t index, File& file, JournalReader& reader, At at) {
    const StoredFile& stored = journal_.in_use[index];
    const std::uint64_t offset = reader.position();
    const bool told = behind_hole_;  // and what follows it is no better
    if (index + 1 == journal_.in_use.size()) {
        if (!rest_) {
            JournalReader ahead(file, stored.header, stored.bytes, offset);
            auto rest = damage_ ? ahead.scan_rest() : reader.scan_rest();
            if (!rest) {
                return rest.error();
            }
            rest_ = std::move(*rest);
            journal_.told.bytes_read += ahead.bytes_read();
        }
        auto damaged = told ? Result<bool>(true) : judge_end(stored, offset, at, *rest_);
        if (!damaged || !*damaged) {
            return damaged;
        }
    } else if (!told) {
        const std::uint64_t end = journal_.in_use[index + 1].header.first_sequence;
        auto allowed = file_damage(Row::file_ends_early, stored, offset,
                                   range_text(expected_, end - 1) +
                                       " cannot be read from here; the next file begins with "
                                       "group " +
                                       std::to_string(end));
        if (!allowed) {
            return allowed.error();
        }
    }
    behind_hole_ = true;
    return reader.skip_to_header();
}

Result<void> Recoverer::deliver(const JournalReader::Found& found, std::size_t index) {
    const StoredFile& file = journal_.in_use[index];
    const GroupHeader& header = found.header;
    MQD_ASSERT(header.sequence == expected_, header.sequence, expected_);
    const auto kind = static_cast<GroupKind>(header.kind);
    const bool replay_begins = index == 0;
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
        journal_.in_use[index].replayed = true;
    }
    journal_.told.last = Sequence(header.sequence);
    journal_.told.last_time = {header.journal_ns, header.wall_ns};
    journal_.told.clean = kind == GroupKind::clean_stop;
    // A file that claims to need more files than there ever were is checked against the first one.
    journal_.oldest_needed =
        file.header.ordinal - std::min<std::uint64_t>(header.files_back, file.header.ordinal - 1);
    last_file_stands_ = index + 1 == journal_.in_use.size();
    ++expected_;
    return {};
}

// Whether it is damage, which may be passed over.
Result<bool> Recoverer::judge_end(const StoredFile& stored, std::uint64_t offset, At at,
                                  const JournalReader::Rest& rest) {
    MQD_ASSERT(at != At::group || expected_ > number_max, expected_);
    const bool later = rest.later && rest.later_offset > offset;
    const Evidence evidence = rest.watermark >= expected_ ? Evidence::covers
                              : later                     ? Evidence::below
                                                          : Evidence::none;
    const VerdictRow& row = verdict_at_end(at, evidence);
    if (row.verdict == Verdict::damage) {
        std::string lost = range_text(expected_, rest.watermark) + " had been synced";
        if (later) {
            lost += "; the next readable header is that of group " +
                    std::to_string(rest.later->sequence) + " at offset " +
                    std::to_string(rest.later_offset);
        }
        journal_.told.verdict = line_of(row.row);
        const auto allowed = file_damage(row.row, stored, offset, lost);
        return allowed ? Result<bool>(true) : allowed.error();
    }
    journal_.blocks_to_zero = rest.blocks;
    if (row.verdict == Verdict::clean_end) {
        journal_.blocks_to_zero.clear();
    }
    note_end(row.row, stored, offset);
    return false;
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
Result<void> Recoverer::check_oldest() {
    const std::uint64_t newest =
        journal_.in_use.empty() ? 0 : journal_.in_use.back().header.ordinal;
    for (const StoredFile& spare : journal_.unused) {
        if (spare.header.ordinal <= newest) {
            continue;
        }
        auto allowed =
            damage(Row::file_missing,
                   disk_.path(spare.name) + " was number " + std::to_string(spare.header.ordinal) +
                       ", and the file that was written after it is not in " + disk_.path(""));
        if (!allowed) {
            return allowed;
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
    if (oldest.ordinal > journal_.oldest_needed) {
        return damage(Row::file_missing,
                      "numbers " + std::to_string(journal_.oldest_needed) + " to " +
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
        const auto found = scan_highest(**file, suspect.bytes);
        if (!found) {
            return found.error();
        }
        journal_.told.bytes_read += suspect.bytes;
        const std::uint64_t last = journal_.told.last.value();
        if (found->watermark > last) {
            auto allowed = file_damage(Row::groups_without_header, suspect, 0,
                                       range_text(last + 1, found->watermark) + " had been synced");
            if (!allowed) {
                return allowed;
            }
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

}  // namespace

Result<RecoveredJournal> recover_journal(Disk& disk, const ReplayFunction& replay,
                                         const DamageFunction& damage) {
    return Recoverer(disk, replay, damage).run();
}

Result<RecoveredJournal> salvage_journal(Disk& disk, const ReplayFunction& replay,
                                         const JournalSalvage& salvage) {
    // A look without consequences tells whether there is damage, and whether files were lost.
    bool file_lost = false;
    const DamageFunction note = [&](const Damage& found) -> Result<void> {
        file_lost =
            file_lost || found.row == Row::file_missing || found.row == Row::groups_without_header;
        return {};
    };
    const ReplayFunction pass = [](const GroupView&) -> Result<void> { return {}; };
    const auto looked = Recoverer(disk, pass, note).run();
    if (!looked) {
        return looked.error();
    }
    const auto lost_headers =
        file_lost ? Recoverer::LostHeaders::rescue : Recoverer::LostHeaders::leave;
    return Recoverer(disk, replay, salvage.damage, lost_headers, salvage.seen, salvage.begin_anew)
        .run();
}

Result<void> tidy_journal(Disk& disk, RecoveredJournal& journal) {
    // First what stands, then the rest: a file that was begun in vain is undone when the one before
    // it is known to be on the disk.
    if (!journal.in_use.empty()) {
        const bool blocks_are_here = !journal.begin_undone && !journal.told.damaged;
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
        } else if (undone) {
            // Its length never came, so it is no spare, and goes when the files are opened. The
            // next file that is begun gets its ordinal.
            stored.header = FileHeader{};
        }
    }
    return disk.sync_directory();
}

}  // namespace mqd::storage
