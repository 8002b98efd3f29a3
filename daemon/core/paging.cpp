// From the segments into memory, ahead of the consumers, and out of it again when it is more than
// the budget.

#include <algorithm>
#include <cstring>

#include "daemon/core/backlog.hpp"
#include "daemon/core/core.hpp"
#include "daemon/core/read_page.hpp"
#include "daemon/storage/passing_error.hpp"

namespace mqd::core {

namespace {

// So much of a queue is read ahead of its consumers, if its share of the budget allows it.
constexpr std::uint64_t read_ahead_bytes_max = 4 * 1024 * 1024;
constexpr std::uint64_t read_ahead_share = 4;  // of the budget: a quarter at most
// While producers wait for commits: some two million messages of 128 bytes a second.
constexpr std::int64_t paced_bytes_per_second = 256 << 20;
constexpr std::chrono::milliseconds pace_burst{8};       // of reading, at once
constexpr std::chrono::milliseconds pace_ends_after{5};  // without a durable publish
// How many queues are looked at to find one that can spare memory.
constexpr std::size_t victims_looked_at = 64;

}  // namespace

// --- on the worker

void ReadPage::run(storage::Disk& disk, From from) {
    const auto bytes =
        storage::SegmentStore::read(disk, address, queue, range, from == From::device);
    if (!bytes) {
        error = bytes.error();
        return;
    }
    if (!cut(wire::Bytes(**bytes).subspan(sizeof(storage::PageHeader)))) {
        error = Error{ErrorCode::damaged, disk.path(storage::segment_file_name(address.segment)) +
                                              ": offset " + std::to_string(address.offset) +
                                              ": a page with malformed records"};
    }
}

bool ReadPage::cut(wire::Bytes body) {
    RecordReader reader(body);
    MessageNumber at = range.first;
    engine::Time taken = engine::Time::min();
    while (const auto found = reader.next()) {
        if (found->type == RecordType::note_taken) {
            const auto noted = decode_taken(found->body);
            if (!noted) {
                return false;
            }
            taken = noted->taken;
            continue;
        }
        auto record =
            found->type == RecordType::carry_messages ? decode_messages(found->body) : std::nullopt;
        if (!record || record->id != queue || record->range.first < at ||
            record->range.end() > range.end()) {
            return false;
        }
        at = record->range.end();
        record->taken = taken;
        Block* block = Block::from_record(*record);
        if (block == nullptr) {
            return false;
        }
        blocks.push_back(block);
    }
    return reader.ok();
}

// --- reading

void Backlog::want_pages(QueuePages& owner) {
    if (!owner.wanted) {
        owner.wanted = true;
        wanted_.push_back(owner.queue.id());
    }
}

void Backlog::read_turn() {
    for (engine::Queue* queue : core_.engine_.starved()) {
        QueuePages* owner = find_pages(queue->id());
        MessageNumber head;
        if (!queue->first_ready(head) || queue->extent_at(head) != nullptr) {
            continue;
        }
        Page* page = owner == nullptr ? nullptr : owner->find(head);
        MQD_ASSERT(page != nullptr, queue->id(), head);  // every message is somewhere
        if (page->unreadable) {
            core_.engine_.set_aside(*queue, page->range);
        } else {
            want_pages(*owner);
        }
    }
    if (read_retry_ != engine::Time::max() && core_.now_.journal < read_retry_) {
        return;
    }
    arrived_ = arrived_ || read_retry_ != engine::Time::max();
    read_retry_ = engine::Time::max();
    // Whoever is stopped by the pace goes to the end: the others come first next time.
    for (std::size_t n = wanted_.size(); n > 0 && may_read(); --n) {
        const QueueId id = wanted_.front();
        wanted_.pop_front();
        if (QueuePages* owner = find_pages(id)) {
            owner->wanted = false;
            read_ahead(*owner);
        }
    }
}

// A consumer that reads an old backlog is faster than anything that waits for the disk, and would
// leave little of processor and memory to it: while producers wait for commits, reading is paced.
bool Backlog::may_read() const {
    return core_.now_.journal >= read_deadline_ ||
           core_.now_.journal - core_.last_durable_publish_ > pace_ends_after;
}

engine::Time Backlog::next_read() const {
    const bool waits = !wanted_.empty() && !core_.stopping_ && read_retry_ == engine::Time::max();
    return waits ? read_deadline_ : engine::Time::max();
}

void Backlog::read_ahead(QueuePages& owner) {
    MessageNumber head;
    if (owner.queue.consumers() == 0 || !owner.queue.first_ready(head)) {
        return;
    }
    const std::uint64_t share = options_.memory_bytes / std::max<std::size_t>(1, ring_.size());
    const std::uint64_t window =
        std::min({read_ahead_bytes_max, share, options_.memory_bytes / read_ahead_share});
    std::uint64_t bytes = 0;
    for (auto at = owner.pages.lower_bound(head); at != owner.pages.end(); ++at) {
        Page& page = at->second;
        const bool first = bytes == 0;
        if (!first && bytes + page.address.bytes > window) {
            return;
        }
        if (page.unreadable || owner.queue.ready_in(page.range) == 0) {
            continue;
        }
        bytes += page.address.bytes;
        if (page.blocks == nullptr && !page.reading) {
            if (!may_read()) {
                want_pages(owner);
                return;
            }
            pace_read(page);
            read(page, Why::wanted);
        }
    }
}

void Backlog::pace_read(const Page& page) {
    read_deadline_ = std::max(read_deadline_, core_.now_.journal - pace_burst) +
                     std::chrono::nanoseconds(std::chrono::seconds(1)) * page.address.bytes /
                         paced_bytes_per_second;
}

bool Backlog::want(engine::Queue& queue, MessageNumber number) {
    QueuePages* owner = find_pages(queue.id());
    Page* page = owner == nullptr ? nullptr : owner->find(number);
    MQD_ASSERT(page != nullptr, queue.id(), number);  // every message is somewhere
    if (page->unreadable) {
        core_.engine_.set_aside(queue, page->range);
        return false;
    }
    if (page->blocks == nullptr && !page->reading && read_retry_ == engine::Time::max()) {
        read(*page, Why::wanted);
    }
    return true;
}

MessageNumber Backlog::behind_unreadable(const engine::Queue& queue, MessageNumber number) const {
    const Page* page = page_at(queue.id(), number);
    MQD_ASSERT(page != nullptr && page->unreadable, queue.id(), number);
    return page->range.end();
}

void Backlog::read(Page& page, Why why) {
    auto job = std::make_shared<ReadPage>(page.owner->queue.id(), page.range, page.address);
    job->to_carry = why == Why::to_carry;
    job->to_expire = why == Why::to_expire;
    expiry_reads_ += job->to_expire ? 1 : 0;
    if (job->to_carry) {
        ++carry_reads_;
    } else {
        page.reading = true;
    }
    worker_.post([job, &disk = disk_] { job->run(disk); },
                 [this, alive = std::weak_ptr<bool>(alive_), job] {
                     if (!alive.expired()) {
                         page_read(job);
                     }
                 });
}

void Backlog::page_read(const std::shared_ptr<ReadPage>& job) {
    if (job->to_carry) {
        --carry_reads_;
        to_carry_.push_back(job);
        return;
    }
    expiry_reads_ -= job->to_expire ? 1 : 0;
    arrived_ = true;
    QueuePages* owner = find_pages(job->queue);
    Page* page = owner == nullptr ? nullptr : owner->find(job->range.first);
    if (page == nullptr || page->range != job->range) {
        return;  // it ended meanwhile
    }
    page->reading = false;
    want_pages(*owner);
    if (job->error) {
        if (storage::is_passing(*job->error)) {
            read_retry_ = core_.now_.journal + storage::retry_every;  // it is in wanted_
            list_expiry(*page, read_retry_);
        } else {
            set_aside(*page, *job->error);
        }
        return;
    }
    if (const auto lacking = what_lacks(*job, *page)) {
        set_aside(*page, *lacking);
        return;
    }
    ++figures_.pages_read;
    unlist_expiry(*page);
    for (Block*& block : job->blocks) {
        if (block->live == 0) {
            continue;
        }
        if (!block->knows_taken()) {
            block->take(core_.time_taken(block->published));
        }
        block->charge(core_.memory_bytes_);
        link(*block, *page);
        core_.engine_.announce_resident(owner->queue, *std::exchange(block, nullptr));
    }
    std::erase(job->blocks, nullptr);
}

// Notes what of each block lives. All that lives of the page has to be among it, or whoever waits
// for the rest would have it read again and again.
std::optional<Error> Backlog::what_lacks(ReadPage& job, const Page& page) const {
    std::uint64_t living = 0;
    for (Block* block : job.blocks) {
        block->live =
            static_cast<std::uint32_t>(page.owner->queue.live_in({block->first, block->count}));
        living += block->live;
    }
    if (living == page.live) {
        return std::nullopt;
    }
    return Error{ErrorCode::damaged, disk_.path(storage::segment_file_name(job.address.segment)) +
                                         ": offset " + std::to_string(job.address.offset) +
                                         ": a page that lacks messages"};
}

// What cannot be read is not delivered, and not lost by us: it stays where it is, and is tried
// again after a restart. What of it is in memory is delivered as long as it stays there.
void Backlog::set_aside(Page& page, const Error& error) {
    page.unreadable = true;
    unlist_expiry(page);
    const engine::Queue& queue = page.owner->queue;
    figures_.unreadable_messages += page.live;
    core_.complain(error.text + ": " + std::to_string(page.live) + " messages of queue \"" +
                   queue.name() + "\" cannot be read, among numbers " +
                   format_number(page.range.first) + " to " +
                   format_number(MessageNumber(page.range.end().value() - 1)) +
                   "; they are set aside, and what follows is delivered");
    if (page.blocks == nullptr) {
        core_.engine_.set_aside(page.owner->queue, page.range);
    }
}

// --- dropping

void Backlog::evict(Page& page) {
    if (page.owner->queue.may_expire()) {
        std::vector<const Block*> blocks;
        for (const Block* block = page.blocks; block != nullptr; block = block->next) {
            blocks.push_back(block);
        }
        page.times = times_of(page.owner->queue, blocks);
        list_expiry(page, core_.now_.journal + PageTimes::least_late);
    }
    while (page.blocks != nullptr) {
        Block& block = *page.blocks;
        unlink(block);
        core_.engine_.forget_resident(page.owner->queue, block);
        block.drop_reference();
    }
}

// From the end of the queues, as that is wanted last: first of queues that have more than their
// share and nobody to wait for it, then of any with more than its share, then of any.
Page* Backlog::victim(unsigned pass) {
    const std::uint64_t share = options_.memory_bytes / ring_.size();
    for (std::size_t i = std::min(ring_.size(), victims_looked_at); i > 0; --i) {
        ring_at_ = (ring_at_ + 1) % ring_.size();
        QueuePages& owner = *ring_[ring_at_];
        const bool waited_for = owner.queue.wants_dispatch();
        const bool spare = owner.resident_bytes > share && owner.resident.size() > 1;
        if ((pass == 0 && spare && !waited_for) || (pass == 1 && spare) ||
            (pass == 2 && !waited_for) || pass == 3) {
            return *owner.resident.rbegin();
        }
    }
    return nullptr;
}

bool Backlog::evict_one() {
    for (unsigned pass = 0; pass < 4 && !ring_.empty(); ++pass) {
        if (Page* page = victim(pass)) {
            evict(*page);
            return true;
        }
    }
    return false;
}

void Backlog::evict_turn() {
    const std::uint64_t unwritten = core_.journal_blocks_.memory_bytes();
    const std::uint64_t allowed =
        options_.memory_bytes - std::min(options_.memory_bytes, unwritten);
    while (resident_bytes_ > allowed && evict_one()) {}
}

}  // namespace mqd::core
