#include "daemon/core/check_store.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "daemon/core/backlog.hpp"
#include "daemon/core/core.hpp"
#include "daemon/core/read_page.hpp"
#include "daemon/core/record.hpp"
#include "daemon/core/replay.hpp"
#include "daemon/core/session.hpp"
#include "daemon/storage/checkpoint_file.hpp"
#include "daemon/storage/read_only_disk.hpp"
#include "daemon/storage/recovery.hpp"

namespace mqd::core {

namespace {

constexpr std::string_view lock_file = "lock";
constexpr std::uint64_t checkpoint_files = 2;

// Nothing is written, so nothing is posted.
class NoWorker : public storage::Worker {
  public:
    void post(std::function<void()>, std::function<void()>) override { MQD_ASSERT(false); }
};

std::string numbers(MessageRange range) {
    const std::uint64_t first = range.first.value();
    const std::uint64_t last = range.end().value() - 1;
    return first == last ? "message " + std::to_string(first)
                         : "messages " + std::to_string(first) + " to " + std::to_string(last);
}

std::string of_queue(const engine::Queue& queue) {
    return " of queue \"" + queue.name() + '"';
}

}  // namespace

class StoreCheck {
  public:
    explicit StoreCheck(storage::Disk& disk)
        : disk_(disk), core_(CoreOptions{}), replay_(core_, [this](const Replay::Misfit& misfit) {
              note_misfit(misfit);
              return Result<void>();
          }) {
        core_.backlog_ = std::make_unique<Backlog>(core_, disk_, worker_);
    }

    Result<StoreReport> run();

  private:
    Result<void> list_files();
    Result<void> read_checkpoint();
    Result<void> read_journal();
    void check_ends();
    void name_files();
    void check_queue(const engine::Queue& queue);
    void check_run(const engine::Queue& queue, MessageRange run);
    void note_nowhere(const engine::Queue& queue, MessageRange range);
    void check_page(const engine::Queue& queue, const Page& page);
    bool check_segment(const engine::Queue& queue, const Page& page, std::uint64_t live);
    [[nodiscard]] std::string wrong_with_segment(storage::SegmentNumber number);
    void check_contents(const engine::Queue& queue, const Page& page, const ReadPage& read);
    void check_unused_segments();

    void count_messages(const storage::GroupView& group);
    void note_misfit(const Replay::Misfit& misfit);
    StoreFinding* add(StoreFinding finding);

    storage::ReadOnlyDisk disk_;
    NoWorker worker_;
    Core core_;
    Replay replay_;
    StoreReport report_;
    std::map<std::string, std::uint64_t> sizes_;  // of the files in the folder, by name
    storage::Checkpoint checkpoint_;
    storage::RecoveredJournal journal_;
    std::map<storage::SegmentNumber, std::string> segments_;  // looked at: what is wrong
    std::set<std::string> used_segments_;
    // Where the finding for each kind of misfit, and for each queue's part of a segment, stands.
    std::map<std::string, std::size_t> misfits_;
    std::vector<storage::FileOrdinal> misfit_files_;  // beside findings; 0: none
    std::map<std::pair<storage::SegmentNumber, QueueId>, std::size_t> lost_pages_;
};

Result<StoreReport> StoreCheck::run() {
    if (auto listed = list_files(); !listed) {
        return listed.error();
    }
    if (auto read = read_checkpoint(); !read) {
        return read.error();
    }
    if (auto read = read_journal(); !read) {
        return read.error();
    }
    check_ends();
    for (const auto& [name, queue] : core_.engine().queues()) {
        ++report_.queues;
        if (queue->durable()) {
            check_queue(*queue);
        }
    }
    check_unused_segments();
    name_files();
    return std::move(report_);
}

// --- the files

Result<void> StoreCheck::list_files() {
    const auto names = disk_.list();
    if (!names) {
        return names.error();
    }
    for (const std::string& name : *names) {
        const bool journal = storage::journal_file_number(name).has_value();
        const bool segment = storage::segment_file_number(name).has_value();
        bool checkpoint = false;
        for (std::uint64_t number = 0; number < checkpoint_files; ++number) {
            checkpoint = checkpoint || name == storage::checkpoint_file_name(number);
        }
        if (!journal && !segment && !checkpoint) {
            if (name != lock_file) {
                report_.notes.push_back({name, "is no file of mqd"});
            }
            continue;
        }
        auto file = disk_.open(name, storage::OpenMode::read_direct);
        auto size = file ? (*file)->size() : file.error();
        if (!size) {
            return size.error();
        }
        sizes_[name] = *size;
        report_.bytes += *size;
        ++report_.files;
        report_.journal_files += journal ? 1 : 0;
        report_.segments += segment ? 1 : 0;
    }
    return {};
}

// The findings that know a journal file by its place in the order get its name.
void StoreCheck::name_files() {
    misfit_files_.resize(report_.findings.size());
    for (std::size_t i = 0; i < report_.findings.size(); ++i) {
        StoreFinding& finding = report_.findings[i];
        if (finding.kind == StoreFinding::Kind::record && misfit_files_[i].value() == 0) {
            finding.file = storage::checkpoint_file_name(checkpoint_.number);
        }
        for (const storage::StoredFile& stored : journal_.in_use) {
            if (misfit_files_[i].value() == stored.header.ordinal && stored.header.ordinal != 0) {
                finding.file = stored.name;
            }
        }
    }
}

// --- checkpoint and journal

Result<void> StoreCheck::read_checkpoint() {
    const auto found = storage::read_checkpoint(
        disk_, [this](wire::Bytes body) { return replay_.checkpoint(body); },
        storage::CheckpointUse::look_at);
    if (!found) {
        return found.error();
    }
    checkpoint_ = *found;
    report_.checkpoint = checkpoint_.number;
    if (auto fitting = replay_.checkpoint_read(checkpoint_); !fitting) {
        return fitting;
    }
    for (std::uint64_t number = 0; number < checkpoint_files; ++number) {
        const std::string name = storage::checkpoint_file_name(number);
        if (!sizes_.contains(name)) {
            continue;
        }
        const auto other = storage::look_at_checkpoint(disk_, name);
        if (other && other->number == 0) {
            report_.notes.push_back(
                {name,
                 "holds no whole checkpoint: one was being written when the daemon ended, "
                 "or was damaged later"});
        }
    }
    return {};
}

Result<void> StoreCheck::read_journal() {
    auto recovered = storage::recover_journal(
        disk_,
        [this](const storage::GroupView& group) {
            count_messages(group);
            return replay_.group(group);
        },
        [this](const storage::Damage& damage) -> Result<void> {
            StoreFinding finding;
            finding.kind = StoreFinding::Kind::journal;
            finding.file = damage.file;
            if (!damage.file.empty()) {
                finding.offset = damage.offset;
            }
            finding.text = damage.text;
            add(std::move(finding));
            return {};
        });
    if (!recovered) {
        return recovered.error();
    }
    journal_ = std::move(*recovered);
    report_.verdict = journal_.told.verdict;
    report_.sequence = journal_.told.last.value();
    return {};
}

void StoreCheck::count_messages(const storage::GroupView& group) {
    RecordReader reader(group.body);
    while (const auto record = reader.next()) {
        if (record->type == RecordType::add_messages ||
            record->type == RecordType::carry_messages) {
            const auto messages = decode_messages(record->body);
            report_.messages += messages ? messages->range.count : 0;
        }
    }
}

void StoreCheck::check_ends() {
    if (journal_.told.last < checkpoint_.through) {
        StoreFinding finding;
        finding.kind = StoreFinding::Kind::checkpoint;
        finding.file = storage::checkpoint_file_name(checkpoint_.number);
        finding.text = "the journal ends with group " + std::to_string(report_.sequence) +
                       ", and the checkpoint tells of group " +
                       std::to_string(checkpoint_.through.value());
        add(std::move(finding));
    }
}

// Records that are wrong in the same way are one finding, which names the first.
void StoreCheck::note_misfit(const Replay::Misfit& misfit) {
    const std::string what(misfit.what);
    QueueId id;
    MessageRange range;
    if (misfit.record) {
        id = decode_queue_id(misfit.record->body).value_or(id);
        const bool messages = misfit.record->type == RecordType::add_messages ||
                              misfit.record->type == RecordType::carry_messages;
        if (const auto found = messages ? decode_messages(misfit.record->body) : std::nullopt) {
            range = found->range;
        }
    }
    const auto [at, first] =
        misfits_.try_emplace(what + '/' + std::to_string(id.value()), report_.findings.size());
    if (!first) {
        if (at->second < report_.findings.size()) {
            ++report_.findings[at->second].times;
        }
        return;
    }
    StoreFinding finding;
    finding.kind = misfit.no_state ? StoreFinding::Kind::checkpoint : StoreFinding::Kind::record;
    finding.queue_id = id;
    finding.range = range;
    finding.text = Replay::text_of(misfit);
    if (const engine::Queue* queue = core_.engine().find(id)) {
        finding.queue = queue->name();
    }
    if (add(std::move(finding)) != nullptr) {
        misfit_files_.resize(report_.findings.size());
        misfit_files_.back() = misfit.file;
    }
}

// --- messages

void StoreCheck::check_queue(const engine::Queue& queue) {
    for (const engine::LiveRun& run : queue.live_runs()) {
        report_.live += run.range.count;
        check_run(queue, run.range);
    }
    if (const QueuePages* owner = core_.backlog().pages(queue.id())) {
        for (const auto& [last, page] : owner->pages) {
            check_page(queue, page);
        }
    }
}

// Each message is in a page, or in a block of the journal.
void StoreCheck::check_run(const engine::Queue& queue, MessageRange run) {
    for (MessageNumber at = run.first; at < run.end();) {
        if (const Page* page = core_.backlog().page_at(queue.id(), at)) {
            at = std::min(run.end(), page->range.end());
        } else if (const engine::Extent* extent = queue.extent_at(at)) {
            at = std::min(run.end(), extent->end());
        } else {
            MessageNumber end = std::min(run.end(), queue.resident_from(at));
            if (const QueuePages* owner = core_.backlog().pages(queue.id())) {
                const auto next = owner->pages.lower_bound(at);
                end = next == owner->pages.end() ? end : std::min(end, next->second.range.first);
            }
            note_nowhere(queue, {at, end - at});
            at = end;
        }
    }
}

void StoreCheck::note_nowhere(const engine::Queue& queue, MessageRange range) {
    StoreFinding finding;
    finding.kind = StoreFinding::Kind::message;
    finding.queue = queue.name();
    finding.queue_id = queue.id();
    finding.range = range;
    finding.messages = range.count;
    finding.text = numbers(range) + of_queue(queue) + (range.count == 1 ? " is" : " are") +
                   " alive, and neither a journal file nor a segment holds " +
                   (range.count == 1 ? "it" : "them");
    add(std::move(finding));
}

void StoreCheck::check_page(const engine::Queue& queue, const Page& page) {
    const std::uint64_t live = queue.live_in(page.range);
    if (live == 0) {
        return;
    }
    ++report_.pages;
    used_segments_.insert(storage::segment_file_name(page.address.segment));
    StoreFinding finding;
    finding.file = storage::segment_file_name(page.address.segment);
    finding.offset = page.address.offset;
    finding.queue = queue.name();
    finding.queue_id = queue.id();
    finding.range = page.range;
    finding.messages = live;
    const std::string whose = std::to_string(live) + " live messages" + of_queue(queue) +
                              ", among numbers " + std::to_string(page.range.first.value()) +
                              " to " + std::to_string(page.range.end().value() - 1);
    const engine::Extent* extent = queue.extent_from(page.range.first);
    if (extent != nullptr && extent->first < page.range.end()) {
        finding.kind = StoreFinding::Kind::message;
        finding.text = "a page and a journal file hold the same messages: " + whose;
        add(finding);
    }
    if (live > page.held) {
        finding.kind = StoreFinding::Kind::page;
        finding.text = "a page of " + std::to_string(page.held) + " messages: " + whose;
        add(finding);
    }
    if (!check_segment(queue, page, live)) {
        return;
    }
    ReadPage read(queue.id(), page.range, page.address);
    read.run(disk_, ReadPage::From::device);
    if (!read.error) {
        check_contents(queue, page, read);
        return;
    }
    finding.kind = read.error->code == ErrorCode::damaged ? StoreFinding::Kind::page
                                                          : StoreFinding::Kind::unreadable;
    finding.text = read.error->text + ": " + whose;
    add(std::move(finding));
}

// Whether the page can be looked for. What is wrong with a whole file is one finding for each queue
// that has pages in it.
bool StoreCheck::check_segment(const engine::Queue& queue, const Page& page, std::uint64_t live) {
    const storage::SegmentNumber number = page.address.segment;
    auto known = segments_.find(number);
    if (known == segments_.end()) {
        known = segments_.emplace(number, wrong_with_segment(number)).first;
    }
    const std::string name = storage::segment_file_name(number);
    const auto size = sizes_.find(name);
    std::string wrong = known->second;
    if (wrong.empty() && size->second < page.address.offset + page.address.bytes) {
        wrong = "the file ends within or before its pages, at byte " + std::to_string(size->second);
    }
    if (wrong.empty()) {
        return true;
    }
    const auto [at, first] = lost_pages_.try_emplace({number, queue.id()}, report_.findings.size());
    StoreFinding* found = nullptr;
    if (first) {
        StoreFinding finding;
        finding.kind = StoreFinding::Kind::segment;
        finding.file = name;
        finding.offset = page.address.offset;
        finding.queue = queue.name();
        finding.queue_id = queue.id();
        finding.range = page.range;
        found = add(std::move(finding));
    } else if (at->second < report_.findings.size()) {
        found = &report_.findings[at->second];
    }
    if (found != nullptr) {
        found->range.count = page.range.end() - found->range.first;
        found->messages += live;
        found->text = disk_.path(name) + ": " + wrong + ": " + std::to_string(found->messages) +
                      " live messages" + of_queue(queue) + ", among numbers " +
                      std::to_string(found->range.first.value()) + " to " +
                      std::to_string(found->range.end().value() - 1);
    }
    // A header that is not as it was written says nothing about the pages behind it.
    return !known->second.empty() && size != sizes_.end() &&
           size->second >= page.address.offset + page.address.bytes;
}

std::string StoreCheck::wrong_with_segment(storage::SegmentNumber number) {
    const std::string name = storage::segment_file_name(number);
    if (!sizes_.contains(name)) {
        return "the file is missing";
    }
    auto file = disk_.open(name, storage::OpenMode::read_direct);
    if (!file) {
        return {};  // reading its pages says so
    }
    std::array<std::byte, sizeof(storage::SegmentHeader)> header{};
    const auto count = (*file)->read(0, header);
    if (!count) {
        return {};
    }
    return *count == header.size() && storage::segment_header_valid(header, number)
               ? std::string()
               : "no valid header";
}

// All that lives is there.
void StoreCheck::check_contents(const engine::Queue& queue, const Page& page,
                                const ReadPage& read) {
    std::uint64_t held = 0;
    std::uint64_t live = 0;
    for (const Block* block : read.blocks) {
        held += block->count;
        live += queue.live_in({block->first, block->count});
    }
    report_.messages += held;
    const std::uint64_t wanted = queue.live_in(page.range);
    if (live == wanted && held >= page.held) {
        return;
    }
    StoreFinding finding;
    finding.kind = StoreFinding::Kind::page;
    finding.file = storage::segment_file_name(page.address.segment);
    finding.offset = page.address.offset;
    finding.queue = queue.name();
    finding.queue_id = queue.id();
    finding.range = page.range;
    finding.messages = wanted - live;
    finding.text = disk_.path(finding.file) + ": offset " + std::to_string(page.address.offset) +
                   ": a page of " + std::to_string(held) + " messages, where " +
                   std::to_string(page.held) + " were written; " + std::to_string(wanted - live) +
                   " live messages" + of_queue(queue) + " are not in it, among numbers " +
                   std::to_string(page.range.first.value()) + " to " +
                   std::to_string(page.range.end().value() - 1);
    add(std::move(finding));
}

// A start takes segments that nobody knows for left-overs. Without any journal, they are all there
// is.
void StoreCheck::check_unused_segments() {
    const bool journal_gone = journal_.told.last.value() == 0;
    for (const auto& [name, size] : sizes_) {
        if (!storage::segment_file_number(name) || used_segments_.contains(name)) {
            continue;
        }
        if (!journal_gone) {
            report_.notes.push_back({name, "holds nothing that lives; the next start removes it"});
            continue;
        }
        StoreFinding finding;
        finding.kind = StoreFinding::Kind::segment;
        finding.file = name;
        finding.text = disk_.path(name) + ": pages of messages, and no journal that tells of them";
        add(std::move(finding));
    }
}

StoreFinding* StoreCheck::add(StoreFinding finding) {
    ++(finding.kind == StoreFinding::Kind::unreadable ? report_.unreadable : report_.damaged);
    if (report_.findings.size() >= StoreReport::findings_max) {
        return nullptr;
    }
    report_.findings.push_back(std::move(finding));
    return &report_.findings.back();
}

Result<StoreReport> check_store(storage::Disk& disk) {
    return StoreCheck(disk).run();
}

std::string_view to_text(StoreFinding::Kind kind) {
    switch (kind) {
        case StoreFinding::Kind::journal: return "journal";
        case StoreFinding::Kind::checkpoint: return "checkpoint";
        case StoreFinding::Kind::record: return "record";
        case StoreFinding::Kind::segment: return "segment";
        case StoreFinding::Kind::page: return "page";
        case StoreFinding::Kind::message: return "message";
        case StoreFinding::Kind::unreadable: return "unreadable";
    }
    MQD_ASSERT(false, kind);
    return {};
}

}  // namespace mqd::core
