#pragma once

// What is known of the messages of one queue that lie in segments: page by page, in order of their
// numbers. A page costs about 160 bytes of memory, however many messages it holds. Loop thread
// only.

#include <cstdint>
#include <map>
#include <memory_resource>
#include <set>

#include "daemon/core/block.hpp"
#include "daemon/core/page_times.hpp"
#include "daemon/engine/queue.hpp"
#include "daemon/storage/segment_format.hpp"

namespace mqd::core {

struct QueuePages;

// All live messages of [first, first + count), on the disk. Either all of them that live are in
// memory too, as blocks, or none is.
struct Page {
    QueuePages* owner = nullptr;
    MessageRange range;
    storage::PageAddress address;
    std::uint32_t held = 0;   // messages that lived when it was written
    std::uint32_t live = 0;   // of them
    Block* blocks = nullptr;  // in memory; in no order
    bool reading = false;     // on the way into memory
    bool unreadable = false;  // its messages are set aside
    PageTimes times;
    engine::Time listed = engine::Time::max();  // to be read then, for what expires; max: not
    Page* previous = nullptr;                   // in its segment
    Page* next = nullptr;

    // What its live messages take in the segment, as far as their number says it.
    [[nodiscard]] std::uint64_t live_bytes() const {
        return std::uint64_t{address.bytes} * live / held;
    }
};

struct PageOrder {
    [[nodiscard]] bool operator()(const Page* a, const Page* b) const {
        return a->range.first < b->range.first;
    }
};

struct QueuePages {
    QueuePages(engine::Queue& its_queue, std::pmr::memory_resource* memory)
        : queue(its_queue), pages(memory) {}

    engine::Queue& queue;
    std::pmr::map<MessageNumber, Page> pages;  // by last number
    std::set<Page*, PageOrder> resident;       // with blocks
    std::uint64_t resident_bytes = 0;          // of memory
    std::uint64_t live_bytes = 0;              // in segments
    std::size_t ring_index = 0;                // among those with resident pages
    bool wanted = false;                       // in the list of those to read ahead for

    // The page that holds a number, if it may be there; null: none.
    [[nodiscard]] Page* find(MessageNumber number) {
        const auto at = pages.lower_bound(number);
        return at == pages.end() || at->second.range.first > number ? nullptr : &at->second;
    }
    [[nodiscard]] const Page* find(MessageNumber number) const {
        return const_cast<QueuePages*>(this)->find(number);
    }
};

}  // namespace mqd::core
