// Out of the journal and into the segments: what has waited until its journal file is to be
// recycled, or is more than the memory budget holds; and what lives in segment files in which most
// is dead, into others.

#include <algorithm>
#include <iterator>

#include "daemon/core/backlog.hpp"
#include "daemon/core/core.hpp"
#include "daemon/core/read_page.hpp"
#include "daemon/storage/passing_error.hpp"
#include "daemon/storage/planted_fault.hpp"

namespace mqd::core {

namespace {

// What is written at once while the journal is short of files, for each byte of other records that
// have gathered (docs/storage.md, "Room").
constexpr std::uint64_t short_ratio = 16;
// A quarter of the budget may be in the journal only; half of it, and producers wait.
constexpr std::uint64_t unwritten_share = 4;
constexpr std::size_t carried_at_once = 64;  // pages

}  // namespace

void Backlog::write_turn() {
    retire_files();
    groups_durable();
    // A stop writes nothing that it does not have to, which is what the journal needs room for.
    const bool wanted = !core_.stopping_ || core_.journal_->file_to_carry();
    if (wanted && !store_.writing() && (!refusal_ || core_.now_.journal >= retry_deadline_)) {
        if (refusal_) {
            retry_deadline_ = core_.now_.journal + storage::retry_every;
        }
        if (!to_carry_.empty() && carry_reads_ == 0) {
            carry_pages();
        } else if (const auto limit = flush_limit()) {
            flush(*limit);
        } else if (carry_reads_ == 0 && !core_.stopping_) {
            carry();
        }
        if (refusal_ && !store_.writing() && carry_reads_ == 0) {
            refusal_.reset();  // nothing is left to be refused
            retry_deadline_ = engine::Time::max();
        }
    }
    evict_turn();
    scrub_turn();
}

void Backlog::refuse(const Error& error) {
    refusal_ = error;
    retry_deadline_ = core_.now_.journal + storage::retry_every;
}

bool Backlog::empties_files() const {
    const storage::Journal& journal = *core_.journal_;
    return journal.recovery().damaged && journal.oldest_file() <= to_empty_;
}

// Up to which journal file messages are to be written to segments now; nothing: none are.
std::optional<storage::FileOrdinal> Backlog::flush_limit() const {
    const JournalBlocks& blocks = core_.journal_blocks_;
    if (blocks.memory_bytes() == 0) {
        return std::nullopt;
    }
    const storage::Journal& journal = *core_.journal_;
    const storage::FileOrdinal current = journal.current_file();
    if (blocks.memory_bytes() > options_.memory_bytes / unwritten_share || journal_crowded(2)) {
        return current;
    }
    storage::FileOrdinal limit(current.value() > 2 ? current.value() - 2 : 0);
    limit = std::max(limit, to_empty_);
    if (const auto file = journal.file_to_carry()) {
        limit = std::max(limit, *file);
    }
    std::optional<storage::FileOrdinal> result;
    blocks.for_each_file([&](storage::FileOrdinal file, const Block* first) {
        if (file <= limit && first != nullptr) {
            result = limit;
        }
        return file <= limit && !result;
    });
    return result;
}

// A young journal has few files, and would refuse what comes before it has grown, which it does
// from the half on.
bool Backlog::journal_crowded(unsigned eighths) const {
    const storage::Journal::Figures journal = core_.journal_->figures();
    return journal.booked_bytes > journal.booked_bytes_max / 8 * eighths;
}

void Backlog::flush(storage::FileOrdinal limit) {
    std::uint64_t wanted = batch_bytes_;
    if (core_.journal_->file_to_carry()) {
        std::uint64_t other = 0;
        for (const CommitGroup& group : core_.pending_) {
            other += group.buffer.body_bytes();
        }
        wanted = std::max(wanted, short_ratio * other);
    }
    std::uint64_t bytes = 0;
    core_.journal_blocks_.for_each_file([&](storage::FileOrdinal file, Block* block) {
        for (; file <= limit && block != nullptr && bytes < wanted; block = block->next) {
            if (!block->flushing && block->announced) {
                bytes += write_page(*block, limit);
            }
        }
        return file < limit && bytes < wanted;
    });
    if (!written_.empty()) {
        store_.write([this](const Result<void>& written) { batch_done(written); });
    }
}

// Whether one page can hold both of two blocks, and what lies between them. No page has numbers of
// two levels: more come at the end of each.
bool Backlog::joins_page(const engine::Queue& queue, const Block& block, const Block& next) {
    return level_of_number(block.first) == level_of_number(next.first) &&
           queue.live_in({block.end(), next.first - block.end()}) == 0;
}

// The page that begins with this block, and what of its queue comes right behind it. Returns its
// size; 0: the queue is about to go.
std::uint64_t Backlog::write_page(Block& first, storage::FileOrdinal limit) {
    engine::Queue* queue = core_.engine_.find(first.queue);
    MQD_ASSERT(queue != nullptr, first.queue);
    if (queue->deleting()) {
        return 0;
    }
    Written page;
    page.queue = queue->id();
    std::uint64_t bytes = 0;
    for (Block* block = &first; block != nullptr;) {
        bytes += block->bytes;
        block->flushing = true;
        block->add_reference();
        page.blocks.push_back(block);
        auto* next =
            const_cast<Block*>(static_cast<const Block*>(queue->extent_from(block->end())));
        const bool follows = next != nullptr && next->file.value() != 0 && next->file <= limit &&
                             !next->flushing && bytes + next->bytes <= options_.page_bytes &&
                             (next->first == block->end() || joins_page(*queue, *block, *next));
        block = follows ? next : nullptr;
    }
    page.range = {first.first, page.blocks.back()->end() - first.first};
    storage::GroupBuffer& body =
        store_.begin_page(group_of(*queue, bytes), page.queue, page.range,
                          bytes + page.blocks.size() * (page_record_bytes + taken_record_bytes));
    engine::Time taken = engine::Time::min();
    for (const Block* block : page.blocks) {
        append_living(body, *queue, *block, taken);
    }
    page.address = store_.end_page();
    written_.push_back(std::move(page));
    return bytes;
}

storage::SegmentGroup Backlog::group_of(const engine::Queue& queue, std::uint64_t bytes) const {
    const bool own = live_bytes(queue.id()) + bytes >= options_.own_segment_bytes;
    return storage::SegmentGroup(own ? queue.id().value() : 0);
}

// Says first when it was taken, where that may matter and is not said yet.
void Backlog::append_living(storage::GroupBuffer& body, const engine::Queue& queue,
                            const Block& block, engine::Time& taken) {
    const bool matters = taken != engine::Time::min() || core_.tells_taken(queue, block);
    if (matters && block.knows_taken() && block.taken != taken) {
        append_taken(body, {queue.id(), block.taken});
        taken = block.taken;
    }
    engine::LiveRun run;
    MessageRange living{block.first, 0};
    const auto flush = [&] {
        if (living.count > 0) {
            append_messages(
                body, RecordType::carry_messages,
                {queue.id(), living, block.published, block.sender, block.slice(living)});
        }
    };
    for (MessageNumber at = block.first; at < block.end() && queue.find_live(at, run);) {
        if (run.range.first >= block.end()) {
            break;
        }
        at = std::min(run.range.end(), block.end());
        if (run.range.first != living.end()) {
            flush();
            living = {run.range.first, 0};
        }
        living.count = at - living.first;
    }
    flush();
}

void Backlog::batch_done(const Result<void>& written) {
    if (!written) {
        const Error& error = written.error();
        if (storage::is_passing(error)) {
            refuse(error);
            batch_bytes_ = 1;  // one page may still fit
        } else {
            core_.journal_failed(error);  // what it was to hold is in the journal still
        }
    } else {
        refusal_.reset();
        retry_deadline_ = engine::Time::max();
        batch_bytes_ = std::min(options_.flush_bytes, batch_bytes_ + options_.page_bytes);
    }
    for (Written& page : std::exchange(written_, {})) {
        page_written(page, written.has_value());
    }
    retire_files();
    core_.answers_due_ = true;  // producers may have been kept waiting
}

void Backlog::page_written(Written& written, bool ok) {
    engine::Queue* queue = core_.engine_.find(written.queue);
    // What belongs to a queue that is being deleted goes with it, from where it is.
    const std::uint64_t live =
        ok && queue != nullptr && !queue->deleting() ? queue->live_in(written.range) : 0;
    if (live > 0 && written.from) {
        QueuePages* owner = find_pages(written.queue);
        Page* page = owner == nullptr ? nullptr : owner->find(written.range.first);
        MQD_ASSERT(page != nullptr && page->range == written.range, written.range.first);
        move(*page, written.address);
        ++figures_.pages_carried;
        append_place(*page);
    } else if (live > 0) {
        QueuePages& owner = pages_of(*queue);
        const MessageNumber last(written.range.end().value() - 1);
        const auto [at, added] = owner.pages.try_emplace(last);
        MQD_ASSERT(added, last);
        Page& page = at->second;
        page.owner = &owner;
        page.range = written.range;
        page.address = written.address;
        page.held = page.live = static_cast<std::uint32_t>(live);
        std::vector<const Block*> announced;
        std::copy_if(written.blocks.begin(), written.blocks.end(), std::back_inserter(announced),
                     [](const Block* block) { return block->announced; });
        page.times = times_of(*queue, announced);
        live_messages_ += live;
        owner.live_bytes += page.live_bytes();
        store_.add_page(page.address);
        list_in_segment(page);
        ++figures_.pages_written;
        CommitGroup& group = append_place(page);
        for (Block* block : written.blocks) {
            if (!block->announced) {
                continue;  // it ended meanwhile
            }
            core_.journal_blocks_.hold(block->file);
            group.placed.push_back(block->file);
            core_.journal_blocks_.unlink(*block);
            core_.unbook(*block);
            link(*block, page);
        }
    }
    for (Block* block : written.blocks) {
        block->flushing = false;
        block->drop_reference();
    }
}

CommitGroup& Backlog::append_place(const Page& page) {
    CommitGroup& group = core_.open_group(record_header_bytes + place_bytes);
    core::append_place(group.buffer,
                       {page.owner->queue.id(), page.range, page.address, page.held, page.times});
    return group;
}

// --- carrying

// Most of a file is dead: what lives in it goes elsewhere, a few pages at a time.
void Backlog::carry() {
    const auto segment = store_.file_to_carry();
    if (!segment) {
        return;
    }
    const auto head = in_segment_.find(*segment);
    MQD_ASSERT(head != in_segment_.end(), *segment);
    std::uint64_t bytes = 0;
    std::size_t pages = 0;
    for (Page* page = head->second;
         page != nullptr && bytes < options_.flush_bytes && pages < carried_at_once;
         page = page->next) {
        if (!page->unreadable) {
            bytes += page->address.bytes;
            ++pages;
            read(*page, Why::to_carry);
        }
    }
    if (pages == 0) {
        store_.leave_out(*segment);  // nothing of it can be read
    }
}

void Backlog::carry_pages() {
    for (const std::shared_ptr<ReadPage>& job : std::exchange(to_carry_, {})) {
        QueuePages* owner = find_pages(job->queue);
        Page* page = owner == nullptr ? nullptr : owner->find(job->range.first);
        if (page == nullptr || page->range != job->range || page->address != job->address ||
            owner->queue.deleting()) {
            continue;  // it ended meanwhile
        }
        if (!job->error) {
            job->error = what_lacks(*job, *page);
        }
        if (job->error) {
            if (storage::is_passing(*job->error)) {
                refuse(*job->error);
            } else {
                set_aside(*page, *job->error);
            }
            continue;
        }
        storage::GroupBuffer& body = store_.begin_page(group_of(owner->queue, 0), job->queue,
                                                       job->range, page->address.bytes);
        engine::Time taken = engine::Time::min();
        for (Block* block : job->blocks) {
            if (!block->knows_taken()) {
                block->take(core_.time_taken(block->published));
            }
            if (storage::planted(storage::Fault::lost_straggler) && job->blocks.size() > 1 &&
                block == job->blocks.back()) {
                continue;
            }
            append_living(body, owner->queue, *block, taken);
        }
        Written& written = written_.emplace_back();
        written.queue = job->queue;
        written.range = job->range;
        written.address = store_.end_page();
        written.from = job->address;
    }
    if (!written_.empty()) {
        store_.write([this](const Result<void>& written) { batch_done(written); });
    }
}

void Backlog::move(Page& page, const storage::PageAddress& address) {
    const std::uint64_t before = page.live_bytes();
    unlist_in_segment(page);
    store_.drop_page(page.address, before);
    page.address = address;
    page.held = page.live;
    store_.add_page(page.address);
    list_in_segment(page);
    page.owner->live_bytes += page.live_bytes();
    page.owner->live_bytes -= before;
}

}  // namespace mqd::core
