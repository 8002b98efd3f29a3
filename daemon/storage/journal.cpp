#include "daemon/storage/journal.hpp"

#include <algorithm>
#include <utility>

#include "daemon/storage/commit_pipeline.hpp"
#include "daemon/storage/file_pool.hpp"
#include "daemon/storage/journal_format.hpp"
#include "daemon/storage/recovery.hpp"
#include "mqd/assert.hpp"

namespace mqd::storage {

namespace {

constexpr std::uint64_t files_min = 2;             // of bytes_max
constexpr std::uint64_t seal_bytes = block_bytes;  // kept at the end of a file: see seal_wanted()
constexpr std::uint64_t files_max = 65535;         // GroupHeader::files_back counts them

Result<void> check(const JournalOptions& options) {
    Error error;
    error.code = ErrorCode::bad_config;
    if (options.file_bytes % block_bytes != 0 || options.file_bytes < file_bytes_min ||
        options.file_bytes > file_bytes_limit) {
        error.text = "a journal file has to be a multiple of " + std::to_string(block_bytes) +
                     " bytes, from " + std::to_string(file_bytes_min) + " to " +
                     std::to_string(file_bytes_limit);
        error.limit = file_bytes_limit;
        return error;
    }
    if (options.bytes_max / options.file_bytes < files_min ||
        options.bytes_max / options.file_bytes > files_max) {
        error.text = "the journal has to have room for " + std::to_string(files_min) + " to " +
                     std::to_string(files_max) + " files of " + std::to_string(options.file_bytes) +
                     " bytes";
        error.limit = options.file_bytes * files_max;
        return error;
    }
    return {};
}

}  // namespace

class Journal::Implementation {
    friend class Journal;

  public:
    Implementation(Disk& disk, Worker& commit, Worker& background, const JournalOptions& options,
                   JournalListener& listener)
        : options_(options),
          listener_(listener),
          pipeline_(commit, {[this] { written(); }, [this] { synced(); },
                             [this](const Error& error) { fail(error); }}),
          pool_(disk, background, options,
                {[this] { listener_.journal_room_changed(); },
                 [this](const Error& error) { fail(error); }}) {}

    Result<void> open(const RecoveredJournal& found) {
        recovery_ = found.told;
        const std::uint64_t bytes =
            found.in_use.empty() ? 0 : found.in_use.back().header.file_bytes;
        last_ = written_ = durable_ = found.told.damaged ? found.highest : found.told.last;
        position_ = durable_position_ = found.told.damaged ? bytes : found.position;
        for (const StoredFile& file : found.in_use) {
            last_ordinal_ = FileOrdinal(file.header.ordinal);
        }
        for (const StoredFile& file : found.unused) {
            last_ordinal_ = std::max(last_ordinal_, FileOrdinal(file.header.ordinal));
        }
        note_current_left(bytes);
        return pool_.open(found);
    }

    bool needs_new_file(std::uint64_t group_bytes) {
        const FilePool::JournalFile* current = pool_.current();
        return current == nullptr || position_ + group_bytes + seal_bytes > current->bytes;
    }
    bool seal_wanted() {
        const FilePool::JournalFile* current = pool_.current();
        return current != nullptr && !failed_ && !pipeline_.busy() && durable_ == last_ &&
               position_ + seal_bytes <= current->bytes && pool_.waits_for_group();
    }

    [[nodiscard]] std::vector<DurableFile> durable_files() const;

    Submitted submit(GroupBuffer& group, GroupKind kind, GroupTime time, Reach reach,
                     GroupBuffer* state);
    void sync();

  private:
    void begin_file(CommitPipeline::Flight& flight, GroupTime time, GroupBuffer& state);
    GroupHeader next_group(const GroupBuffer& body, GroupKind kind, GroupTime time);
    void note_current_left(std::uint64_t file_bytes) {
        pool_.set_current_left(file_bytes - std::min(file_bytes, position_));
    }
    void written();
    void synced();
    void fail(const Error& error);

    const JournalOptions options_;
    JournalListener& listener_;
    Recovery recovery_;
    CommitPipeline pipeline_;
    FilePool pool_;
    FileOrdinal last_ordinal_;
    std::uint64_t position_ = 0;          // in the current file: where the next group goes
    std::uint64_t durable_position_ = 0;  // likewise: behind the last durable group; 0: it has none
    Sequence last_;
    Sequence written_;
    Sequence durable_;
    std::uint64_t unsynced_bytes_ = 0;
    std::uint64_t state_bytes_ = 0;  // of the state group before the group on its way
    bool failed_ = false;
    Figures figures_;
};

std::vector<Journal::DurableFile> Journal::Implementation::durable_files() const {
    std::vector<DurableFile> files;
    for (const auto& file : pool_.in_use()) {
        files.push_back({file->ordinal, file->name, file->bytes});
    }
    if (!files.empty()) {
        files.back().bytes = durable_position_;
        if (durable_position_ == 0) {
            files.pop_back();  // it has only just been begun
        }
    }
    return files;
}

// Stamps the next group, and takes its place in the current file.
GroupHeader Journal::Implementation::next_group(const GroupBuffer& body, GroupKind kind,
                                                GroupTime time) {
    const FilePool::JournalFile& file = *pool_.current();
    MQD_ASSERT(position_ + body.file_bytes() <= file.bytes, position_, body.file_bytes());
    last_ = last_.plus(1);
    GroupHeader header;
    header.salt = file.salt;
    header.sequence = last_.value();
    header.watermark = durable_.value();
    header.journal_ns = time.journal_ns;
    header.wall_ns = time.wall_ns;
    header.body_bytes = static_cast<std::uint32_t>(body.body_bytes());
    header.block = static_cast<std::uint32_t>(position_ / block_bytes);
    header.files_back = static_cast<std::uint16_t>(file.ordinal - pool_.oldest_needed());
    header.kind = static_cast<std::uint8_t>(kind);
    position_ += body.file_bytes();
    note_current_left(file.bytes);
    unsynced_bytes_ += body.file_bytes();
    figures_.bytes_written += body.file_bytes();
    ++figures_.groups;
    return header;
}

void Journal::Implementation::begin_file(CommitPipeline::Flight& flight, GroupTime time,
                                         GroupBuffer& state) {
    MQD_ASSERT(durable_ == last_, durable_, last_);
    last_ordinal_ = last_ordinal_.plus(1);
    FilePool::JournalFile& file = pool_.begin(last_ordinal_);
    MQD_ASSERT(block_bytes + state.file_bytes() <= file.bytes / 2, state.file_bytes());
    FileHeader& header = flight.file_header;
    header = FileHeader{};
    header.state = FileState::in_use;
    header.flags = file.filled ? FileHeader::flag_filled : 0;
    header.ordinal = last_ordinal_.value();
    header.first_sequence = last_.value() + 1;
    header.file_bytes = file.bytes;
    header.wall_ns = time.wall_ns;
    header.salt = make_salt(options_.salt_seed, header);
    file.salt = header.salt;
    position_ = block_bytes;
    durable_position_ = 0;
    flight.begins_file = true;
    flight.state_header = next_group(state, GroupKind::state, time);
    state_bytes_ = state.file_bytes();
    flight.state.clear();
    flight.state.swap(state);
    ++figures_.syncs;
}

Journal::Submitted Journal::Implementation::submit(GroupBuffer& group, GroupKind kind,
                                                   GroupTime time, Reach reach,
                                                   GroupBuffer* state) {
    MQD_ASSERT(!failed_ && !pipeline_.busy());
    MQD_ASSERT(kind != GroupKind::state && (kind == GroupKind::records || group.empty()), kind);
    MQD_ASSERT(group.file_bytes() <= options_.file_bytes / 4, group.file_bytes());
    const bool frees = kind == GroupKind::seal && seal_wanted();
    const bool needs = needs_new_file(group.file_bytes()) && !frees;
    MQD_ASSERT(state != nullptr ? needs || pool_.better_spare_ready() : !needs);
    CommitPipeline::Flight& flight = pipeline_.flight();
    flight.begins_file = false;
    if (state != nullptr) {
        begin_file(flight, time, *state);
    }
    flight.file = pool_.current()->file;
    flight.header = next_group(group, kind, time);
    if (state != nullptr) {
        flight.header.watermark = flight.state_header.sequence;  // synced before this is written
    }
    flight.group.clear();
    flight.group.swap(group);
    flight.reach = reach;
    figures_.syncs += reach == Reach::written ? 0 : 1;
    pipeline_.write();
    return {last_, pool_.current()->ordinal};
}

void Journal::Implementation::sync() {
    MQD_ASSERT(!failed_ && !pipeline_.busy());
    MQD_ASSERT(durable_ < last_, durable_, last_);
    ++figures_.syncs;
    pipeline_.sync(pool_.current()->file);
}

void Journal::Implementation::written() {
    MQD_ASSERT(!failed_ && written_ < last_, written_, last_);
    written_ = last_;
    if (state_bytes_ > 0) {
        // Synced with the beginning of its file; `last_` is the group behind it.
        durable_position_ = block_bytes + state_bytes_;
        unsynced_bytes_ -= std::exchange(state_bytes_, 0);
        durable_ = Sequence(last_.value() - 1);
        pool_.durable(durable_);
    }
    listener_.journal_written(written_);
}

void Journal::Implementation::synced() {
    MQD_ASSERT(!failed_ && written_ == last_, written_, last_);
    durable_ = last_;
    durable_position_ = position_;
    unsynced_bytes_ = 0;
    pool_.durable(durable_);
    listener_.journal_durable(durable_);
}

void Journal::Implementation::fail(const Error& error) {
    if (failed_) {
        return;
    }
    failed_ = true;
    pipeline_.stop();
    pool_.stop();
    listener_.journal_failed(error);
}

Journal::Journal(std::unique_ptr<Implementation> implementation)
    : implementation_(std::move(implementation)) {}

Journal::~Journal() = default;

Result<std::unique_ptr<Journal>> Journal::open(
    Disk& disk, Worker& commit, Worker& background, const JournalOptions& options,
    JournalListener& listener, const std::function<Result<void>(const GroupView&)>& replay,
    const JournalSalvage* salvage) {
    if (auto checked = check(options); !checked) {
        return checked.error();
    }
    auto found = salvage != nullptr ? salvage_journal(disk, replay, *salvage)
                                    : recover_journal(disk, replay);
    if (!found) {
        return found.error();
    }
    if (auto tidied = tidy_journal(disk, *found); !tidied) {
        return tidied.error();
    }
    auto implementation =
        std::make_unique<Implementation>(disk, commit, background, options, listener);
    if (auto opened = implementation->open(*found); !opened) {
        return opened.error();
    }
    return std::unique_ptr<Journal>(new Journal(std::move(implementation)));
}

const Recovery& Journal::recovery() const {
    return implementation_->recovery_;
}
bool Journal::busy() const {
    return implementation_->pipeline_.busy();
}
Sequence Journal::last() const {
    return implementation_->last_;
}
Sequence Journal::durable() const {
    return implementation_->durable_;
}
std::uint64_t Journal::unsynced_bytes() const {
    return implementation_->unsynced_bytes_;
}

bool Journal::needs_new_file(std::size_t group_bytes) const {
    return implementation_->needs_new_file(group_bytes);
}

bool Journal::new_file_ready() const {
    return implementation_->pool_.spare_ready();
}

bool Journal::better_file_ready() const {
    return !implementation_->failed_ && implementation_->pool_.better_spare_ready();
}

bool Journal::seal_wanted() const {
    return implementation_->seal_wanted();
}

Journal::Submitted Journal::submit(GroupBuffer& group, GroupKind kind, GroupTime time, Reach reach,
                                   GroupBuffer* state) {
    return implementation_->submit(group, kind, time, reach, state);
}

void Journal::sync() {
    implementation_->sync();
}

std::uint64_t Journal::group_bytes_max() const {
    return implementation_->options_.file_bytes / 4;
}

std::optional<Error> Journal::book(std::uint64_t bytes) {
    return implementation_->pool_.book(bytes);
}

void Journal::unbook(std::uint64_t bytes) {
    implementation_->pool_.unbook(bytes);
}
void Journal::book_recovered(std::uint64_t bytes) {
    implementation_->pool_.book_recovered(bytes);
}

std::optional<FileOrdinal> Journal::file_to_carry() const {
    return implementation_->pool_.file_to_carry();
}

FileOrdinal Journal::oldest_file() const {
    return implementation_->pool_.oldest();
}

FileOrdinal Journal::current_file() const {
    const FilePool::JournalFile* current = implementation_->pool_.current();
    return current == nullptr ? FileOrdinal(0) : current->ordinal;
}

void Journal::file_emptied(FileOrdinal file) {
    implementation_->pool_.emptied(file, implementation_->last_);
}

std::vector<Journal::DurableFile> Journal::durable_files() const {
    return implementation_->durable_files();
}

void Journal::hold_from(std::optional<FileOrdinal> first) {
    implementation_->pool_.hold_from(first);
}

void Journal::retry_growth() {
    implementation_->pool_.retry_growth();
}
bool Journal::disk_full() const {
    return implementation_->pool_.disk_full();
}

Journal::Figures Journal::figures() const {
    Figures figures = implementation_->figures_;
    const JournalRoom room = implementation_->pool_.room();
    figures.files = implementation_->pool_.file_count();
    figures.file_bytes = room.file_bytes;
    figures.bytes_max = room.bytes_max;
    figures.booked_bytes = implementation_->pool_.booked();
    figures.booked_bytes_max = room.booked_max();
    return figures;
}

}  // namespace mqd::storage
