#include "daemon/core/backlog.hpp"

#include <algorithm>
#include <utility>

#include "daemon/core/core.hpp"
#include "daemon/core/read_page.hpp"

namespace mqd::core {

namespace {

constexpr std::chrono::seconds first_scrub_after{10};
// Empty files are removed at such a rate, or within such a time if that is faster: a file system
// that tells its device what is free keeps it busy for milliseconds a file, and every commit waits.
constexpr std::uint64_t removed_bytes_per_second = 256u << 20;
constexpr std::uint64_t removed_within_seconds = 4;

}  // namespace

Backlog::Backlog(Core& core, storage::Disk& disk, storage::Worker& worker)
    : core_(core),
      disk_(disk),
      worker_(worker),
      options_(core.options_.backlog),
      store_(disk, worker, core.options_.backlog.segment_bytes),
      batch_bytes_(core.options_.backlog.flush_bytes) {}

Backlog::~Backlog() {
    for (const Written& written : written_) {
        for (Block* block : written.blocks) {
            block->drop_reference();
        }
    }
}

// --- replay

bool Backlog::restore(engine::Queue& queue, const PageRecord& record) {
    const auto next_block = [&](MessageNumber from) {
        const engine::Extent* extent = queue.extent_from(from);
        const bool inside = extent != nullptr && extent->first < record.range.end();
        return inside ? const_cast<Block*>(static_cast<const Block*>(extent)) : nullptr;
    };
    for (const Block* block = next_block(record.range.first); block != nullptr;
         block = next_block(block->end())) {
        if (block->first < record.range.first || block->end() > record.range.end()) {
            return false;
        }
    }
    while (Block* block = next_block(record.range.first)) {
        core_.engine_.forget_resident(queue, *block);
        core_.journal_blocks_.unlink(*block);
        core_.durable_messages_ -= block->count;
        block->drop_reference();
    }
    QueuePages& owner = pages_of(queue);
    const MessageNumber last(record.range.end().value() - 1);
    for (auto at = owner.pages.lower_bound(record.range.first);
         at != owner.pages.end() && at->second.range.first <= last;) {
        at = owner.pages.erase(at);
    }
    Page& page = owner.pages.try_emplace(last).first->second;
    page.owner = &owner;
    page.range = record.range;
    page.address = record.address;
    page.held = record.held;
    page.times = record.times;
    store_.skip_number(record.address.segment);
    return true;
}

void Backlog::forget(const engine::Queue& queue, MessageRange range) {
    if (QueuePages* owner = find_pages(queue.id())) {
        std::erase_if(owner->pages, [&](const auto& entry) {
            const MessageNumber first = entry.second.range.first;
            return first >= range.first && first < range.end();
        });
    }
}

bool Backlog::overlaps(const engine::Queue& queue, MessageRange range) const {
    const QueuePages* owner = pages(queue.id());
    if (owner == nullptr) {
        return false;
    }
    const auto next = owner->pages.lower_bound(range.first);
    return next != owner->pages.end() && next->second.range.first < range.end();
}

Result<void> Backlog::open() {
    for (auto& [id, owner] : queues_) {
        for (auto at = owner.pages.begin(); at != owner.pages.end();) {
            Page& page = at->second;
            const std::uint64_t live = owner.queue.live_in(page.range);
            if (live == 0) {
                at = owner.pages.erase(at);
                continue;
            }
            if (live > page.held) {
                return Error{ErrorCode::damaged,
                             "queue \"" + owner.queue.name() + "\": a page of " +
                                 std::to_string(page.held) + " messages from number " +
                                 std::to_string(page.range.first.value()) + " on, of which " +
                                 std::to_string(live) + " live"};
            }
            page.live = static_cast<std::uint32_t>(live);
            live_messages_ += live;
            owner.live_bytes += page.live_bytes();
            store_.add_page(page.address);
            store_.shrink_page(page.address, page.address.bytes - page.live_bytes());
            list_in_segment(page);
            list_expiry(page);
            ++at;
        }
    }
    scrub_deadline_ = core_.now_.journal + first_scrub_after;
    return store_.open();
}

// --- a turn

bool Backlog::may_remove_files() const {
    return !dead_.empty() && dead_.front().commit <= core_.durable_commit_ &&
           !core_.backup_->holds_segments();
}

void Backlog::groups_durable() {
    const bool short_of_room = refusal_ || core_.journal_->disk_full();
    while (may_remove_files() && (short_of_room || core_.now_.journal >= removal_deadline_)) {
        const std::uint64_t waiting = store_.figures().dead_bytes;
        const std::uint64_t rate =
            std::max(removed_bytes_per_second, waiting / removed_within_seconds);
        const std::uint64_t bytes = store_.file_bytes(dead_.front().segment);
        removal_deadline_ =
            core_.now_.journal + std::chrono::microseconds(bytes * 1'000'000 / rate);
        remove_file(dead_.front().segment);
        dead_.pop_front();
        if (refusal_) {
            retry_deadline_ = core_.now_.journal;  // that may be the room it lacks
        }
    }
}

// Their pages ended by records that may not be durable yet: until they are, a crash brings the
// messages back.
void Backlog::retire_files() {
    for (const storage::SegmentNumber number : store_.take_dead()) {
        if (store_.made_in_vain(number)) {
            remove_file(number);
        } else {
            dead_.push_back({CommitId(core_.next_commit_.value() - 1), number});
        }
    }
}

void Backlog::remove_file(storage::SegmentNumber number) {
    store_.remove(number, [this](const Error& error) { core_.journal_failed(error); });
}

void Backlog::placed(const std::vector<storage::FileOrdinal>& files) {
    bool freed = false;
    for (const storage::FileOrdinal file : files) {
        freed = core_.journal_blocks_.let_go(file) || freed;
    }
    if (freed) {
        core_.release_files();
    }
}

bool Backlog::pressed() const {
    if (refusal_ || core_.stopping_) {
        return false;
    }
    const storage::Journal& journal = *core_.journal_;
    const std::uint64_t files =
        std::max<std::uint64_t>(3, options_.replay_bytes_max / core_.options_.journal.file_bytes);
    const bool full = core_.journal_blocks_.memory_bytes() > options_.memory_bytes / 2;
    const bool long_replay = journal.current_file() - journal.oldest_file() >= files;
    return (store_.writing() && (full || journal_crowded(3))) ||
           (long_replay && (store_.writing() || core_.checkpoint_->active()));
}

bool Backlog::holds_all_of(storage::FileOrdinal file) const {
    const Block* block = core_.journal_blocks_.first(file);
    while (block != nullptr) {
        const engine::Queue* queue = core_.engine_.find(block->queue);
        if (queue == nullptr || !queue->deleting()) {
            return false;
        }
        block = block->next;  // goes with its queue
    }
    return true;
}

// --- the engine's changes

void Backlog::removed(engine::Queue& queue, std::span<const MessageRange> ranges) {
    QueuePages* owner = find_pages(queue.id());
    if (owner == nullptr) {
        return;
    }
    for (const MessageRange& range : ranges) {
        auto at = owner->pages.lower_bound(range.first);
        while (at != owner->pages.end() && at->second.range.first < range.end()) {
            Page& page = at->second;
            ++at;
            const MessageNumber from = std::max(page.range.first, range.first);
            const MessageNumber to = std::min(page.range.end(), range.end());
            const std::uint64_t gone = to - from;
            MQD_ASSERT(gone <= page.live, gone, page.live);
            const std::uint64_t before = page.live_bytes();
            page.live -= static_cast<std::uint32_t>(gone);
            live_messages_ -= gone;
            const std::uint64_t ended = before - page.live_bytes();
            owner->live_bytes -= ended;
            if (page.live > 0) {
                store_.shrink_page(page.address, ended);
            } else {
                store_.drop_page(page.address, ended);
                drop(*owner, page);
            }
        }
    }
    if (owner->pages.empty()) {
        queues_.erase(queue.id());
    } else if (queue.consumers() > 0) {
        want_pages(*owner);
    }
    retire_files();
}

void Backlog::queue_removed(QueueId id) {
    QueuePages* owner = find_pages(id);
    if (owner == nullptr) {
        return;
    }
    while (!owner->pages.empty()) {
        Page& page = owner->pages.begin()->second;
        if (page.listed != engine::Time::max()) {  // its queue is there no more
            expiring_.erase({page.listed, id, page.range.first});
            page.listed = engine::Time::max();
        }
        live_messages_ -= page.live;
        store_.drop_page(page.address, page.live_bytes());
        drop(*owner, page);
    }
    queues_.erase(id);
    arrived_ = true;  // whoever waits for one of them is to be told
    retire_files();
}

// --- pages

const QueuePages* Backlog::pages(QueueId id) const {
    const auto at = queues_.find(id);
    return at == queues_.end() ? nullptr : &at->second;
}

QueuePages* Backlog::find_pages(QueueId id) {
    const auto at = queues_.find(id);
    return at == queues_.end() ? nullptr : &at->second;
}

QueuePages& Backlog::pages_of(engine::Queue& queue) {
    return queues_.try_emplace(queue.id(), queue, core_.engine_.memory()).first->second;
}

void Backlog::link(Block& block, Page& page) {
    MQD_ASSERT(block.page == nullptr && block.file.value() == 0, block.first);
    QueuePages& owner = *page.owner;
    if (page.blocks == nullptr) {
        if (owner.resident.empty()) {
            owner.ring_index = ring_.size();
            ring_.push_back(&owner);
        }
        owner.resident.insert(&page);
    }
    block.page = &page;
    block.previous = nullptr;
    block.next = page.blocks;
    if (page.blocks != nullptr) {
        page.blocks->previous = &block;
    }
    page.blocks = &block;
    owner.resident_bytes += block.memory_bytes();
    resident_bytes_ += block.memory_bytes();
}

void Backlog::unlink(Block& block) {
    Page& page = *block.page;
    QueuePages& owner = *page.owner;
    (block.previous != nullptr ? block.previous->next : page.blocks) = block.next;
    if (block.next != nullptr) {
        block.next->previous = block.previous;
    }
    block.page = nullptr;
    block.previous = block.next = nullptr;
    owner.resident_bytes -= block.memory_bytes();
    resident_bytes_ -= block.memory_bytes();
    if (page.blocks != nullptr) {
        return;
    }
    owner.resident.erase(&page);
    if (owner.resident.empty()) {
        MQD_ASSERT(ring_[owner.ring_index] == &owner);
        ring_[owner.ring_index] = ring_.back();
        ring_[owner.ring_index]->ring_index = owner.ring_index;
        ring_.pop_back();
    }
}

void Backlog::drop(QueuePages& owner, Page& page) {
    MQD_ASSERT(page.blocks == nullptr, page.range.first);
    unlist_in_segment(page);
    unlist_expiry(page);
    owner.pages.erase(MessageNumber(page.range.end().value() - 1));
}

void Backlog::list_in_segment(Page& page) {
    Page*& head = in_segment_[page.address.segment];
    page.previous = nullptr;
    page.next = head;
    if (head != nullptr) {
        head->previous = &page;
    }
    head = &page;
}

void Backlog::unlist_in_segment(Page& page) {
    const auto at = in_segment_.find(page.address.segment);
    MQD_ASSERT(at != in_segment_.end(), page.address.segment);
    (page.previous != nullptr ? page.previous->next : at->second) = page.next;
    if (page.next != nullptr) {
        page.next->previous = page.previous;
    }
    page.previous = page.next = nullptr;
    if (at->second == nullptr) {
        in_segment_.erase(at);
    }
}

Backlog::Figures Backlog::figures() const {
    Figures figures = figures_;
    figures.segments = store_.figures();
    for (const auto& [id, owner] : queues_) {
        figures.pages += owner.pages.size();
    }
    return figures;
}

}  // namespace mqd::core
