// Reads the pages of all segments, past the page cache and slowly, to find what rots before
// somebody needs it.

#include <algorithm>

#include "daemon/core/backlog.hpp"
#include "daemon/core/core.hpp"
#include "daemon/core/read_page.hpp"
#include "daemon/storage/passing_error.hpp"

namespace mqd::core {

namespace {

constexpr std::chrono::hours pass_every{24};

}  // namespace

void Backlog::scrub_turn() {
    if (options_.scrub_bytes_per_second == 0 || core_.stopping_ || scrubbing_ ||
        core_.now_.journal < scrub_deadline_) {
        return;
    }
    if (scrub_pages_.empty() && !list_next_segment()) {
        scrub_next_ = storage::SegmentNumber(0);
        scrub_deadline_ = core_.now_.journal + pass_every;
        return;
    }
    const auto job = scrub_pages_.back();
    scrub_pages_.pop_back();
    scrub_deadline_ =
        core_.now_.journal + std::chrono::microseconds(std::uint64_t{job->address.bytes} *
                                                       1'000'000 / options_.scrub_bytes_per_second);
    scrubbing_ = true;
    worker_.post([job, &disk = disk_] { job->run(disk, ReadPage::From::device); },
                 [this, alive = std::weak_ptr<bool>(alive_), job] {
                     if (!alive.expired()) {
                         scrubbed(*job);
                     }
                 });
}

// The pages of the next segment, in its list's order. False: that was the last one.
bool Backlog::list_next_segment() {
    const Page* head = nullptr;
    storage::SegmentNumber next(UINT32_MAX);
    for (const auto& [number, page] : in_segment_) {
        if (number > scrub_next_ && number < next) {
            next = number;
            head = page;
        }
    }
    scrub_next_ = next;
    for (const Page* page = head; page != nullptr; page = page->next) {
        scrub_pages_.push_back(
            std::make_shared<ReadPage>(page->owner->queue.id(), page->range, page->address));
    }
    return head != nullptr;
}

void Backlog::scrubbed(const ReadPage& job) {
    scrubbing_ = false;
    figures_.scrubbed_bytes += job.address.bytes;
    QueuePages* owner = find_pages(job.queue);
    Page* page = owner == nullptr ? nullptr : owner->find(job.range.first);
    const bool there = page != nullptr && page->address == job.address && !page->unreadable;
    if (!there || !job.error || storage::is_passing(*job.error)) {
        return;
    }
    set_aside(*page, *job.error);
}

}  // namespace mqd::core
