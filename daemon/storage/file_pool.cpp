#include "daemon/storage/file_pool.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "mqd/assert.hpp"

namespace mqd::storage {

namespace {

constexpr std::uint64_t files_at_start = 2;
constexpr std::uint64_t files_kept_when_shrinking = 3;
constexpr std::uint32_t retry_after_growth_ms = 10;
constexpr std::uint32_t retry_after_full_ms = 500;

// Creates the file with its space. Its name is not durable yet. No file of the pool bears it, so
// one that does is what an earlier try has left, and goes.
Result<std::unique_ptr<File>> make_file(Disk& disk, const std::string& name, std::uint64_t bytes) {
    auto file = disk.open(name, OpenMode::create);
    if (!file && file.error().os_errno == EEXIST) {
        if (auto removed = disk.remove(name); !removed) {
            return removed.error();
        }
        file = disk.open(name, OpenMode::create);
    }
    if (!file) {
        return file.error();
    }
    if (auto allocated = (*file)->allocate(bytes); !allocated) {
        // Best effort: what is left is a file that is not in use, and goes when the store is
        // opened.
        (void)disk.remove(name).has_value();
        return allocated.error();
    }
    return file;
}

}  // namespace

FilePool::FilePool(Disk& disk, Worker& background, const JournalOptions& options, Events events)
    : disk_(disk), background_(background), options_(options), events_(std::move(events)) {
    zeros_ = std::make_shared<BlockMemory>(
        static_cast<std::size_t>(std::min(fill_bytes, options.file_bytes)));
}

FilePool::~FilePool() = default;

Result<void> FilePool::open(const RecoveredJournal& found) {
    durable_ = found.told.damaged ? found.highest : found.told.last;
    for (const StoredFile& stored : found.in_use) {
        if (auto opened = open_stored(stored); !opened) {
            return opened;
        }
        JournalFile& file = *in_use_.back();
        if (found.told.damaged) {
            // Of what was not read nobody will say that it is not needed any more. It goes when a
            // group behind all damage is durable.
            file.emptied = !stored.replayed && &stored != &found.in_use.back();
            file.emptied_as_of = durable_;
        } else {
            // The group that says so is durable: it may have taken the last block there was.
            file.emptied = stored.header.ordinal < found.oldest_needed;
        }
    }
    bool names_changed = false;
    for (const StoredFile& stored : found.unused) {
        // Of another size, since the configuration changed or a crash came while it was made; or
        // one more than the configuration allows now.
        if (stored.bytes != options_.file_bytes || !room().may_grow()) {
            if (auto gone = disk_.remove(stored.name); !gone) {
                return gone;
            }
            names_changed = true;
        } else if (auto opened = open_stored(stored); !opened) {
            return opened;
        }
    }
    // Groups behind damage go into a new file, whatever the configuration allows.
    const std::size_t spares_wanted =
        in_use_.empty() ? files_at_start : (found.told.damaged ? 1 : 0);
    while (spare_.size() < spares_wanted) {
        if (auto grown = grow_now(); !grown) {
            if (spare_.empty()) {
                return grown;
            }
            growth_error_ = grown.error();
            break;
        }
        names_changed = true;
    }
    if (names_changed) {
        if (auto synced = disk_.sync_directory(); !synced) {
            return synced;
        }
    }
    pump();
    return {};
}

Result<void> FilePool::open_stored(const StoredFile& stored) {
    auto opened = disk_.open(stored.name, OpenMode::read_write);
    if (!opened) {
        return opened.error();
    }
    auto file = std::make_unique<JournalFile>();
    file->number = stored.number;
    file->name = stored.name;
    file->file = std::move(*opened);
    file->filled = stored.filled;
    file->filled_to = block_bytes;
    file->salt = stored.header.salt;
    const bool in_use = stored.header.state == FileState::in_use;
    file->bytes = in_use ? stored.header.file_bytes : stored.bytes;
    if (in_use) {
        file->ordinal = FileOrdinal(stored.header.ordinal);
        in_use_.push_back(std::move(file));
    } else {
        spare_.push_back(std::move(file));
    }
    return {};
}

Result<void> FilePool::grow_now() {
    auto file = std::make_unique<JournalFile>();
    file->number = free_number();
    file->name = journal_file_name(file->number);
    file->bytes = options_.file_bytes;
    file->filled_to = block_bytes;
    auto made = make_file(disk_, file->name, file->bytes);
    if (!made) {
        return made.error();
    }
    file->file = std::move(*made);
    spare_.push_back(std::move(file));
    return {};
}

std::uint32_t FilePool::free_number() const {
    const auto taken = [&](std::uint32_t number) {
        const auto has_it = [&](const Owned& file) { return file->number == number; };
        return number == number_at_work_ || std::any_of(spare_.begin(), spare_.end(), has_it) ||
               std::any_of(in_use_.begin(), in_use_.end(), has_it);
    };
    std::uint32_t number = 1;
    while (taken(number)) {
        ++number;
    }
    return number;
}

// --- files in use

FilePool::JournalFile* FilePool::current() {
    return in_use_.empty() ? nullptr : in_use_.back().get();
}

FileOrdinal FilePool::oldest() const {
    return in_use_.empty() ? FileOrdinal(0) : in_use_.front()->ordinal;
}

FileOrdinal FilePool::oldest_needed() const {
    for (const Owned& file : in_use_) {
        if (!file->emptied) {
            return file->ordinal;
        }
    }
    MQD_ASSERT(in_use_.empty());  // the current file is never emptied
    return FileOrdinal(0);
}

bool FilePool::has_filled_spare() const {
    return std::any_of(spare_.begin(), spare_.end(),
                       [](const Owned& file) { return file->filled; });
}

bool FilePool::spare_ready() {
    const bool ready = std::any_of(spare_.begin(), spare_.end(),
                                   [this](const Owned& file) { return file.get() != filling_; });
    // The only one has a piece of its zero-filling on the way: that shall be its last.
    begin_waits_ = !ready && !spare_.empty();
    return ready;
}

bool FilePool::better_spare_ready() const {
    return !in_use_.empty() && !in_use_.back()->filled && has_filled_spare() && can_grow();
}

FilePool::JournalFile& FilePool::begin(FileOrdinal ordinal) {
    MQD_ASSERT(spare_ready());
    auto chosen = spare_.end();
    for (auto file = spare_.begin(); file != spare_.end(); ++file) {
        const bool better = chosen == spare_.end() || ((*file)->filled && !(*chosen)->filled);
        if (file->get() != filling_ && better) {
            chosen = file;
        }
    }
    MQD_ASSERT(chosen != spare_.end());
    JournalFile& file = **chosen;
    file.ordinal = ordinal;
    file.emptied = false;
    in_use_.push_back(std::move(*chosen));
    spare_.erase(chosen);
    begin_waits_ = false;
    pump();
    return file;
}

void FilePool::emptied(FileOrdinal ordinal, Sequence last) {
    MQD_ASSERT(!in_use_.empty() && ordinal != in_use_.back()->ordinal, ordinal);
    for (const Owned& file : in_use_) {
        if (file->ordinal == ordinal && !file->emptied) {
            file->emptied = true;
            file->emptied_as_of = last;
        }
    }
    pump();
}

void FilePool::durable(Sequence sequence) {
    MQD_ASSERT(sequence >= durable_, sequence, durable_);
    durable_ = sequence;
    pump();
}

void FilePool::hold_from(std::optional<FileOrdinal> first) {
    held_from_ = first;
    pump();
}

// --- room

JournalRoom FilePool::room() const {
    JournalRoom room;
    room.file_bytes = options_.file_bytes;
    room.bytes_max = options_.bytes_max;
    room.bytes = bytes_at_work_;
    for (const Owned& file : in_use_) {
        room.bytes += file->bytes;
    }
    for (const Owned& file : spare_) {
        room.bytes += file->bytes;
    }
    room.spare_files = spare_.size();
    room.current_left = current_left_;
    return room;
}

std::uint64_t FilePool::file_count() const {
    return in_use_.size() + spare_.size() + (bytes_at_work_ > 0 ? 1 : 0);
}

std::optional<Error> FilePool::book(std::uint64_t bytes) {
    const JournalRoom now = room();
    const std::uint64_t max = now.booked_max();
    const bool reserve_only = now.is_reserve() && file_to_carry().has_value();
    if (bytes > max || booked_ > max - bytes || reserve_only) {
        if (bytes <= now.booked_max_when_grown()) {
            refused_bytes_ = std::max(refused_bytes_, bytes);
        }
        pump();
        return refusal(bytes);
    }
    refused_bytes_ = 0;
    booked_ += bytes;
    if (booked_ > max / 2) {
        pump();
    }
    return std::nullopt;
}

Error FilePool::refusal(std::uint64_t bytes) const {
    const JournalRoom now = room();
    Error error;
    error.limit = now.booked_max();
    error.retry_after_ms = retry_after_full_ms;
    const std::string wanted = std::to_string(bytes) + " bytes more than " +
                               std::to_string(booked_) + " of " + std::to_string(error.limit);
    if (disk_full() && now.may_grow()) {
        error.code = ErrorCode::no_space;
        error.text = "the journal cannot grow for " + wanted + ": " + growth_error_->text;
        return error;
    }
    error.code = ErrorCode::journal_full;
    if (now.may_grow()) {
        error.retry_after_ms = retry_after_growth_ms;
        error.text = "the journal is growing for " + wanted;
    } else {
        error.text = "the journal is full: " + wanted;
    }
    return error;
}

void FilePool::book_recovered(std::uint64_t bytes) {
    booked_ += bytes;
    pump();
}

void FilePool::unbook(std::uint64_t bytes) {
    MQD_ASSERT(bytes <= booked_, bytes, booked_);
    booked_ -= bytes;
}

std::optional<FileOrdinal> FilePool::file_to_carry() const {
    if (in_use_.size() < 2 || in_use_.front()->emptied || can_grow() || bytes_at_work_ > 0 ||
        !room().is_short()) {
        return std::nullopt;
    }
    return in_use_.front()->ordinal;
}

void FilePool::retry_growth() {
    if (!growth_error_ || stopped_) {
        return;
    }
    if (!room().may_grow() || !wants_growth()) {
        growth_error_.reset();
    } else if (!working_) {
        start_growth();
    }
}

// More files, up to bytes_max: while there is no spare, or half of what may be booked is booked.
bool FilePool::wants_growth() const {
    return spare_.empty() || booked_ + refused_bytes_ > room().booked_max() / 2;
}

// One file less: when it would not be missed for long.
bool FilePool::wants_fewer() const {
    const JournalRoom now = room();
    if (now.bytes > options_.bytes_max) {
        return true;
    }
    return now.files() > files_kept_when_shrinking && spare_.size() >= 2 &&
           booked_ < now.booked_max_after_shrinking() / 8;
}

// --- background

void FilePool::pump() {
    if (working_ || stopped_) {
        return;
    }
    if (start_recycling()) {
        return;
    }
    if (can_grow() && wants_growth()) {
        start_growth();
        return;
    }
    start_filling();
}

void FilePool::run(std::function<Result<void>()> work,
                   std::function<void(const Result<void>&)> done) {
    MQD_ASSERT(!working_ && !stopped_);
    working_ = true;
    auto result = std::make_shared<Result<void>>();
    background_.post([work = std::move(work), result] { *result = work(); },
                     [this, alive = std::weak_ptr<bool>(alive_), done = std::move(done), result] {
                         if (alive.expired() || stopped_) {
                             return;
                         }
                         working_ = false;
                         done(*result);
                         pump();
                     });
}

// The oldest file, once a group is durable that says that it is not needed any more: its header
// says so before anything else of it changes.
bool FilePool::start_recycling() {
    if (in_use_.size() < 2 || !in_use_.front()->emptied ||
        durable_ <= in_use_.front()->emptied_as_of) {
        return false;
    }
    if (held_from_ && in_use_.front()->ordinal >= *held_from_) {
        return false;  // it is being copied
    }
    Owned file = std::move(in_use_.front());
    in_use_.pop_front();
    bytes_at_work_ = file->bytes;
    number_at_work_ = file->number;
    if (file->bytes != options_.file_bytes || wants_fewer()) {
        start_removal(std::move(file));
        return true;
    }
    FileHeader header;
    header.state = FileState::spare;
    header.flags = file->filled ? FileHeader::flag_filled : 0;
    header.ordinal = file->ordinal.value();
    header.salt = file->salt;
    header.file_bytes = file->bytes;
    auto block = std::make_shared<BlockMemory>(block_bytes);
    encode_file_header(header, block->bytes());
    auto shared = std::make_shared<Owned>(std::move(file));
    const std::shared_ptr<File> storage = (*shared)->file;
    run(
        [storage, block]() -> Result<void> {
            if (auto written = storage->write_for_sync(0, block->bytes()); !written) {
                return written;
            }
            return storage->sync();
        },
        [this, shared](const Result<void>& recycled) {
            bytes_at_work_ = 0;
            number_at_work_ = 0;
            if (!recycled) {
                events_.failed(recycled.error());
                return;
            }
            (*shared)->ordinal = FileOrdinal(0);
            (*shared)->filled_to = block_bytes;
            spare_.push_back(std::move(*shared));
            events_.room_changed();
        });
    return true;
}

void FilePool::start_removal(Owned file) {
    const std::string name = file->name;
    file.reset();
    run(
        [&disk = disk_, name]() -> Result<void> {
            if (auto removed = disk.remove(name); !removed) {
                return removed;
            }
            return disk.sync_directory();
        },
        [this](const Result<void>& removed) {
            bytes_at_work_ = 0;
            number_at_work_ = 0;
            if (!removed) {
                events_.failed(removed.error());
                return;
            }
            events_.room_changed();
        });
}

bool FilePool::start_growth() {
    auto file = std::make_shared<Owned>(std::make_unique<JournalFile>());
    JournalFile& made = **file;
    made.number = free_number();
    made.name = journal_file_name(made.number);
    made.bytes = options_.file_bytes;
    made.filled_to = block_bytes;
    number_at_work_ = made.number;
    run(
        [&disk = disk_, &made, file]() -> Result<void> {
            auto opened = make_file(disk, made.name, made.bytes);
            if (!opened) {
                return opened.error();
            }
            made.file = std::move(*opened);
            return disk.sync_directory();
        },
        [this, file](const Result<void>& grown) { growth_done(grown, std::move(*file)); });
    return true;
}

// A file that cannot be made hurts nothing that exists, so no error here is final: not a full disk,
// nor a lack of descriptors.
void FilePool::growth_done(const Result<void>& grown, Owned file) {
    number_at_work_ = 0;
    if (!grown) {
        growth_error_ = grown.error();
        return;
    }
    growth_error_.reset();
    spare_.push_back(std::move(file));
    if (booked_ + refused_bytes_ <= room().booked_max()) {
        refused_bytes_ = 0;
    }
    events_.room_changed();
}

bool FilePool::start_filling() {
    if (begin_waits_ && !has_filled_spare()) {
        return false;
    }
    const auto unfilled =
        std::find_if(spare_.begin(), spare_.end(), [](const Owned& file) { return !file->filled; });
    if (unfilled == spare_.end()) {
        return false;
    }
    JournalFile& file = **unfilled;
    const std::uint64_t from = file.filled_to;
    const std::uint64_t to = std::min(file.bytes, from + zeros_->bytes().size());
    filling_ = &file;
    FileHeader header;
    header.state = FileState::spare;
    header.flags = FileHeader::flag_filled;
    header.file_bytes = file.bytes;
    run(
        [storage = file.file, zeros = zeros_, from, to, header,
         last = to == file.bytes]() -> Result<void> {
            const auto piece = zeros->bytes().first(static_cast<std::size_t>(to - from));
            if (auto written = storage->write_for_sync(from, piece); !written) {
                return written;
            }
            if (auto synced = storage->sync(); !synced || !last) {
                return synced;
            }
            BlockMemory block(block_bytes);
            encode_file_header(header, block.bytes());
            if (auto written = storage->write_for_sync(0, block.bytes()); !written) {
                return written;
            }
            return storage->sync();
        },
        [this, &file, to](const Result<void>& filled) {
            filling_ = nullptr;
            if (filled) {
                filling_done(file, to);
            } else if (filled.error().code == ErrorCode::no_space) {
                give_up(file, filled.error());
            } else {
                events_.failed(filled.error());
            }
        });
    return true;
}

// The file system reserves nothing, and is full: one file less.
void FilePool::give_up(JournalFile& file, const Error& error) {
    const auto place = std::find_if(spare_.begin(), spare_.end(),
                                    [&](const Owned& spare) { return spare.get() == &file; });
    MQD_ASSERT(place != spare_.end());
    Owned lost = std::move(*place);
    spare_.erase(place);
    growth_error_ = error;
    bytes_at_work_ = lost->bytes;
    number_at_work_ = lost->number;
    start_removal(std::move(lost));
}

void FilePool::filling_done(JournalFile& file, std::uint64_t filled_to) {
    MQD_ASSERT(filled_to > file.filled_to && filled_to <= file.bytes, filled_to);
    file.filled_to = filled_to;
    if (filled_to == file.bytes) {
        file.filled = true;
        file.salt = 0;
    }
    if (begin_waits_) {
        events_.room_changed();  // it can be begun as it is, and is not filled further until then
    }
}

}  // namespace mqd::storage
