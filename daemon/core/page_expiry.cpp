// What expires in segments: when a page is to be read for it. While it is in memory, the engine
// knows; when it is dropped from there, what is left of its times is noted.

#include <algorithm>

#include "daemon/core/backlog.hpp"
#include "daemon/core/core.hpp"
#include "mqd/wire/batch.hpp"

namespace mqd::core {

namespace {

constexpr std::size_t reads_max = 8;  // of pages, at the same time

// When the messages of the block that may still be delivered expire, by TTLs of their own.
void append_expiries(const engine::Queue& queue, const Block& block,
                     std::vector<engine::Time>& expiries) {
    wire::BatchReader reader(block.slice({block.first, block.count}));
    for (MessageNumber at = block.first; const auto message = reader.next(); at = at.plus(1)) {
        const std::uint64_t ttl_ms = wire::ttl_of(message->attributes);
        if (ttl_ms != 0 && queue.deliverable_in({at, 1}) != 0) {
            expiries.push_back(block.taken + std::chrono::milliseconds(ttl_ms));
        }
    }
}

}  // namespace

// Sorts the blocks, which are those of one page.
PageTimes Backlog::times_of(const engine::Queue& queue, std::vector<const Block*>& blocks) {
    std::sort(blocks.begin(), blocks.end(),
              [](const Block* a, const Block* b) { return a->first < b->first; });
    PageTimes times;
    times.oldest = times.tenth = engine::Time::max();
    std::vector<engine::Time> expiries;
    std::uint64_t total = 0;
    for (const Block* block : blocks) {
        const std::uint64_t count = queue.deliverable_in({block->first, block->count});
        total += count;
        if (count > 0) {
            times.oldest = std::min(times.oldest, block->taken);
        }
        if (count > 0 && block->has_own_ttls()) {
            append_expiries(queue, *block, expiries);
        }
    }
    std::uint64_t seen = 0;
    for (const Block* block : blocks) {
        seen += queue.deliverable_in({block->first, block->count});
        if (seen > 0 && seen >= total / 10) {
            times.tenth = block->taken;
            break;
        }
    }
    if (!expiries.empty()) {
        const auto earliest = *std::min_element(expiries.begin(), expiries.end());
        engine::Time tenth = engine::Time::max();
        if (const auto nth = static_cast<std::size_t>(total / 10); nth < expiries.size()) {
            const auto at = expiries.begin() + static_cast<std::ptrdiff_t>(nth);
            std::nth_element(expiries.begin(), at, expiries.end());
            tenth = *at;
        }
        times.expires = PageTimes::read_by(earliest, earliest - times.oldest, tenth);
    }
    return times;
}

void Backlog::list_expiry(Page& page, engine::Time not_before) {
    unlist_expiry(page);
    const engine::Time due = page.times.due(page.owner->queue.definition().ttl);
    if (due != engine::Time::max() && !page.unreadable) {
        page.listed = std::max(due, not_before);
        expiring_.emplace(page.listed, page.owner->queue.id(), page.range.first);
    }
}

void Backlog::unlist_expiry(Page& page) {
    if (page.listed != engine::Time::max()) {
        expiring_.erase({page.listed, page.owner->queue.id(), page.range.first});
        page.listed = engine::Time::max();
    }
}

void Backlog::ttl_changed(const engine::Queue& queue) {
    if (QueuePages* owner = find_pages(queue.id())) {
        for (auto& [last, page] : owner->pages) {
            if (page.blocks == nullptr && !page.reading) {
                list_expiry(page);
            }
        }
    }
}

engine::Time Backlog::next_expiry() const {
    if (expiring_.empty() || expiry_reads_ >= reads_max) {
        return engine::Time::max();
    }
    const engine::Time next = std::get<engine::Time>(*expiring_.begin());
    return may_read() ? next : std::max(next, read_deadline_);
}

void Backlog::expire_turn() {
    while (!expiring_.empty() && expiry_reads_ < reads_max && may_read()) {
        const auto [at, id, first] = *expiring_.begin();
        if (at > core_.now_.journal) {
            return;
        }
        QueuePages* owner = find_pages(id);
        Page* page = owner == nullptr ? nullptr : owner->find(first);
        MQD_ASSERT(page != nullptr, id, first);
        unlist_expiry(*page);
        if (page->blocks == nullptr && !page->reading && !owner->queue.deleting()) {
            pace_read(*page);
            read(*page, Why::to_expire);
        }
    }
}

}  // namespace mqd::core
