#pragma once

// Where the messages of durable queues are when they wait long: written from the journal to
// segments (flush.cpp), dropped from memory, and read back ahead of the consumers (paging.cpp),
// under one budget that all queues share. docs/storage.md, "Segments", says why nothing is lost on
// the way. Loop thread only.

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "daemon/core/handle.hpp"
#include "daemon/core/page.hpp"
#include "daemon/core/record.hpp"
#include "daemon/storage/segment_store.hpp"

namespace mqd::core {

class Core;
struct CommitGroup;
struct ReadPage;

struct BacklogOptions {
    std::uint64_t memory_bytes = 64u << 20;           // of messages of durable queues
    std::uint64_t page_bytes = 512u << 10;            // of one page, unless one batch is larger
    std::uint64_t flush_bytes = 1u << 20;             // written to segments at once
    std::uint64_t segment_bytes = 64u << 20;          // of one file, unless one page is larger
    std::uint64_t own_segment_bytes = 1u << 20;       // a queue with so much has files of its own
    std::uint64_t replay_bytes_max = 64u << 20;       // of journal that a restart has to read
    std::uint64_t scrub_bytes_per_second = 4u << 20;  // 0: none
    // Runs, pages and queues of a checkpoint that are encoded in one turn; about half a
    // millisecond.
    std::uint64_t checkpoint_items = 1024;
    std::uint64_t checkpoint_chunk_bytes = 256u << 10;  // written as soon as it is so large
};

class Backlog {
  public:
    Backlog(Core& core, storage::Disk& disk, storage::Worker& worker);
    ~Backlog();
    Backlog(const Backlog&) = delete;
    Backlog& operator=(const Backlog&) = delete;

    // --- replay
    // All live messages of the range lie at that address; what was said of it before is void.
    // False: nothing is changed, as a batch of the journal lies in the range in part.
    [[nodiscard]] bool restore(engine::Queue& queue, const PageRecord& record);
    // The queue's live messages in the range that no page holds: fn(MessageRange).
    template <typename Fn>
    void for_each_unpaged(const engine::Queue& queue, MessageRange range, Fn&& fn) const;
    void skip_segments(storage::SegmentNumber next) {
        store_.skip_number(storage::SegmentNumber(next.value() - 1));
    }
    void forget(QueueId id) { queues_.erase(id); }
    // Of the queue's pages, those that begin in the range.
    void forget(const engine::Queue& queue, MessageRange range);
    // Whether a page holds any number of the range.
    [[nodiscard]] bool overlaps(const engine::Queue& queue, MessageRange range) const;
    // The page that holds a live message; null: none does.
    [[nodiscard]] const Page* page_at(QueueId id, MessageNumber number) const {
        const QueuePages* owner = pages(id);
        return owner == nullptr ? nullptr : owner->find(number);
    }
    // Everything is replayed. Errors: those of SegmentStore::open().
    Result<void> open();
    // All that lives in the journal's files up to that one goes to segments as soon as may be.
    void empty_files(storage::FileOrdinal last) { to_empty_ = last; }
    // Those files are there still.
    [[nodiscard]] bool empties_files() const;

    // --- a turn
    // After deliveries: begins to read what somebody waits for.
    void read_turn();
    // Before the commit: begins to write what has waited long enough, and drops what is too much.
    void write_turn();
    // The groups up to durable_commit_ are on the disk.
    void groups_durable();
    // Records of pages were submitted: the files they came from are no longer held.
    void placed(const std::vector<storage::FileOrdinal>& files);

    // --- times to live (page_expiry.cpp)
    // Reads the pages of which something has expired, a few at a time.
    void expire_turn();
    void ttl_changed(const engine::Queue& queue);
    [[nodiscard]] engine::Time next_expiry() const;

    // --- the engine's changes
    void removed(engine::Queue& queue, std::span<const MessageRange> ranges);
    void queue_removed(QueueId id);
    // A block ended that belongs to a page.
    void unlink(Block& block);

    // Memory or journal fill faster than the segments take it: no producer of a durable queue is
    // to be answered for a moment.
    [[nodiscard]] bool pressed() const;
    // Why nothing can be written to segments now; it is tried again.
    [[nodiscard]] const std::optional<Error>& refusal() const { return refusal_; }
    [[nodiscard]] engine::Time next_deadline() const {
        return std::min({retry_deadline_, read_retry_, next_scrub(), next_removal(), next_read()});
    }
    // Every message of that file is written to a segment, or ended.
    [[nodiscard]] bool holds_all_of(storage::FileOrdinal file) const;

    // Brings the page that holds a live message into memory; take_arrived() says when to look
    // again. False: it cannot be read.
    bool want(engine::Queue& queue, MessageNumber number);
    // Whether pages have come since the last call.
    [[nodiscard]] bool take_arrived() { return std::exchange(arrived_, false); }
    // The number behind the page that holds a message.
    [[nodiscard]] MessageNumber behind_unreadable(const engine::Queue& queue,
                                                  MessageNumber number) const;
    [[nodiscard]] const QueuePages* pages(QueueId id) const;

    // For a backup: SegmentStore::told_files().
    [[nodiscard]] std::vector<storage::SegmentNumber> told_segments() const {
        return store_.told_files();
    }
    [[nodiscard]] storage::SegmentNumber next_segment() const { return store_.next_number(); }
    [[nodiscard]] std::uint64_t resident_bytes() const { return resident_bytes_; }
    // In pages.
    [[nodiscard]] std::uint64_t live_messages() const { return live_messages_; }
    [[nodiscard]] std::uint64_t live_bytes(QueueId id) const {
        const QueuePages* found = pages(id);
        return found == nullptr ? 0 : found->live_bytes;
    }
    // Of a queue's messages, what lies in segments only.
    [[nodiscard]] std::uint64_t unread_bytes(QueueId id) const {
        const QueuePages* found = pages(id);
        return found == nullptr
                   ? 0
                   : found->live_bytes - std::min(found->live_bytes, found->resident_bytes);
    }
    struct Figures {
        storage::SegmentStore::Figures segments;
        std::uint64_t pages = 0;
        std::uint64_t pages_read = 0;
        std::uint64_t pages_written = 0;
        std::uint64_t pages_carried = 0;
        std::uint64_t unreadable_messages = 0;
        std::uint64_t scrubbed_bytes = 0;
    };
    [[nodiscard]] Figures figures() const;
    // Of all segment files.
    [[nodiscard]] std::uint64_t segment_bytes() const { return store_.figures().bytes; }

  private:
    friend class Salvage;

    // A page that is being written.
    struct Written {
        QueueId queue;
        MessageRange range;
        storage::PageAddress address;
        std::vector<Block*> blocks;                // whose bytes it has; referenced
        std::optional<storage::PageAddress> from;  // it was carried from there
    };

    // --- pages (backlog.cpp)
    QueuePages& pages_of(engine::Queue& queue);
    [[nodiscard]] QueuePages* find_pages(QueueId id);
    void link(Block& block, Page& page);
    void drop(QueuePages& owner, Page& page);
    void list_in_segment(Page& page);
    void unlist_in_segment(Page& page);
    void retire_files();
    void remove_file(storage::SegmentNumber number);
    [[nodiscard]] bool may_remove_files() const;
    [[nodiscard]] engine::Time next_removal() const {
        return may_remove_files() ? removal_deadline_ : engine::Time::max();
    }

    // --- writing (flush.cpp)
    [[nodiscard]] std::optional<storage::FileOrdinal> flush_limit() const;
    // More than so many eighths of what may be booked in the journal are.
    [[nodiscard]] bool journal_crowded(unsigned eighths) const;
    void flush(storage::FileOrdinal limit);
    std::uint64_t write_page(Block& first, storage::FileOrdinal limit);
    [[nodiscard]] static bool joins_page(const engine::Queue& queue, const Block& block,
                                         const Block& next);
    [[nodiscard]] storage::SegmentGroup group_of(const engine::Queue& queue,
                                                 std::uint64_t bytes) const;
    void append_living(storage::GroupBuffer& body, const engine::Queue& queue, const Block& block,
                       engine::Time& taken);
    void batch_done(const Result<void>& written);
    void page_written(Written& written, bool ok);
    CommitGroup& append_place(const Page& page);
    void refuse(const Error& error);
    void carry();
    void carry_pages();
    void move(Page& page, const storage::PageAddress& address);

    // --- times to live (page_expiry.cpp)
    [[nodiscard]] static PageTimes times_of(const engine::Queue& queue,
                                            std::vector<const Block*>& blocks);
    void list_expiry(Page& page, engine::Time not_before = engine::Time::min());
    void unlist_expiry(Page& page);

    // --- reading and dropping (paging.cpp)
    void read_ahead(QueuePages& owner);
    [[nodiscard]] bool may_read() const;
    void want_pages(QueuePages& owner);
    void pace_read(const Page& page);
    [[nodiscard]] engine::Time next_read() const;
    enum class Why : std::uint8_t { wanted, to_carry, to_expire };
    void read(Page& page, Why why);
    void page_read(const std::shared_ptr<ReadPage>& job);
    [[nodiscard]] std::optional<Error> what_lacks(ReadPage& job, const Page& page) const;
    void set_aside(Page& page, const Error& error);
    void evict(Page& page);
    bool evict_one();
    void evict_turn();
    [[nodiscard]] Page* victim(unsigned pass);

    // --- scrub.cpp
    void scrub_turn();
    bool list_next_segment();
    void scrubbed(const ReadPage& job);
    [[nodiscard]] engine::Time next_scrub() const {
        const bool none = options_.scrub_bytes_per_second == 0 || scrubbing_ || queues_.empty();
        return none ? engine::Time::max() : scrub_deadline_;
    }

    Core& core_;
    storage::Disk& disk_;
    storage::Worker& worker_;
    const BacklogOptions& options_;
    storage::SegmentStore store_;
    std::unordered_map<QueueId, QueuePages> queues_;
    std::unordered_map<storage::SegmentNumber, Page*> in_segment_;  // heads of their lists
    std::vector<QueuePages*> ring_;                                 // with resident pages
    std::size_t ring_at_ = 0;
    std::deque<QueueId> wanted_;  // to read ahead for
    // Pages that lie in segments only, by the times at which they are to be read for what expires.
    std::set<std::tuple<engine::Time, QueueId, MessageNumber>> expiring_;
    std::uint64_t resident_bytes_ = 0;
    std::uint64_t live_messages_ = 0;
    std::vector<Written> written_;                     // the batch on its way
    std::vector<std::shared_ptr<ReadPage>> to_carry_;  // they are back
    std::size_t carry_reads_ = 0;                      // not back yet
    std::size_t expiry_reads_ = 0;                     // likewise
    struct Dead {
        CommitId commit;
        storage::SegmentNumber segment;
    };
    std::deque<Dead> dead_;
    engine::Time read_deadline_{};     // of the pace of reading
    engine::Time removal_deadline_{};  // no file is removed before
    bool arrived_ = false;
    storage::FileOrdinal to_empty_;  // with all before it; 0: none
    std::uint64_t batch_bytes_;      // flushed at once; less after a refusal
    std::optional<Error> refusal_;
    engine::Time retry_deadline_ = engine::Time::max();
    engine::Time read_retry_ = engine::Time::max();  // descriptors ran out
    bool scrubbing_ = false;
    engine::Time scrub_deadline_;
    storage::SegmentNumber scrub_next_;  // the last one that was listed
    std::vector<std::shared_ptr<ReadPage>> scrub_pages_;
    Figures figures_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // expired: do not call back
};

template <typename Fn>
void Backlog::for_each_unpaged(const engine::Queue& queue, MessageRange range, Fn&& fn) const {
    const QueuePages* owner = pages(queue.id());
    engine::LiveRun run;
    for (MessageNumber at = range.first; at < range.end() && queue.find_live(at, run);) {
        if (run.range.first >= range.end()) {
            return;
        }
        MessageNumber end = std::min(run.range.end(), range.end());
        at = run.range.first;
        if (owner != nullptr) {
            const auto page = owner->pages.lower_bound(at);
            if (page != owner->pages.end() && page->second.range.first <= at) {
                at = std::min(end, page->second.range.end());
                continue;
            }
            if (page != owner->pages.end()) {
                end = std::min(end, page->second.range.first);
            }
        }
        fn(MessageRange{at, end - at});
        at = end;
    }
}

}  // namespace mqd::core
