#pragma once

// The segments: append-only files for the messages that wait longer than their journal file. The
// store writes pages in batches, reads them back, counts what lives in which file, and removes
// files in which nothing lives. What a page means is core's business.
//
// Lives on the loop thread, except for the I/O that it posts to one worker, whose jobs run in
// order. One batch at a time; reads come and go beside it. A file that was open when the process
// ended is never written again.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "daemon/storage/disk.hpp"
#include "daemon/storage/group_buffer.hpp"
#include "daemon/storage/segment_format.hpp"
#include "daemon/storage/worker.hpp"
#include "mqd/result.hpp"

namespace mqd::storage {

// Which pages share a file: those of one queue, by its id, or, under 0, small ones of any queue.
using SegmentGroup = StrongNumber<struct SegmentGroupTag, std::uint32_t>;

class SegmentStore {
  public:
    SegmentStore(Disk& disk, Worker& worker, std::uint64_t segment_bytes)
        : disk_(disk), worker_(worker), segment_bytes_(segment_bytes) {}
    SegmentStore(const SegmentStore&) = delete;
    SegmentStore& operator=(const SegmentStore&) = delete;

    // --- start: add_page() for each page that lives, then open().

    // Looks at the files once. Those of no page are removed in the background. Errors: io_error;
    // damaged, if a file is missing or shorter than its pages, which names it.
    Result<void> open();
    // A file of this number was there once; it is not given out again.
    void skip_number(SegmentNumber number);
    [[nodiscard]] SegmentNumber next_number() const { return next_number_; }

    // --- what lives

    void add_page(const PageAddress& address);
    // A page's live bytes have changed, by what is gone.
    void shrink_page(const PageAddress& address, std::uint64_t bytes);
    // The page is gone, with its last live bytes.
    void drop_page(const PageAddress& address, std::uint64_t live_bytes);
    // Files that hold nothing any more, each told once. They may be removed as soon as what ended
    // their pages is durable.
    [[nodiscard]] std::vector<SegmentNumber> take_dead();
    // Such a file was made for a batch that failed: no page was ever told to be in it, and without
    // it there is no more room than before.
    [[nodiscard]] bool made_in_vain(SegmentNumber number) const {
        return segments_.at(number).in_vain;
    }
    // Removes the file. `failed` is called, from a `done` of the worker, if that did not succeed.
    void remove(SegmentNumber number, std::function<void(const Error&)> failed);
    // The file with the smallest live share, if what is dead in all files is more than what lives
    // and two files: its pages are to be written anew elsewhere. Files that hold nothing any more
    // do not count: what lives would be written again and again, until they may be removed.
    [[nodiscard]] std::optional<SegmentNumber> file_to_carry();
    // That one cannot be carried: it is neither named nor counted any more.
    void leave_out(SegmentNumber number);

    // The files that pages were told to be in, dead ones that are not removed yet included: those
    // that anything in journal and checkpoint may speak of.
    [[nodiscard]] std::vector<SegmentNumber> told_files() const;

    // --- writing

    [[nodiscard]] bool writing() const { return writing_; }
    // Begins a page of the next batch and returns the buffer to append its body to; `bytes` is what
    // that will about be. Precondition: !writing(), the page before is ended.
    [[nodiscard]] GroupBuffer& begin_page(SegmentGroup group, QueueId queue, MessageRange range,
                                          std::uint64_t bytes);
    PageAddress end_page();
    // Writes and syncs the batch; then `done`, from a `done` of the worker. After an error none of
    // its pages counts. Precondition: at least one page.
    void write(std::function<void(const Result<void>&)> done);

    // --- reading

    using PageBytes = std::shared_ptr<std::vector<std::byte>>;
    // A page, header and body, checked. `device`: read past the page cache. Errors: damaged, which
    // names file and offset; io_error.
    [[nodiscard]] static Result<PageBytes> read(Disk& disk, const PageAddress& address,
                                                QueueId queue, MessageRange range,
                                                bool device = false);

    struct Figures {
        std::uint64_t files = 0;
        std::uint64_t bytes = 0;
        std::uint64_t live_bytes = 0;
        std::uint64_t dead_bytes = 0;  // of files that hold nothing any more
    };
    [[nodiscard]] Figures figures() const {
        return {segments_.size(), bytes_, live_bytes_, dead_bytes_};
    }
    [[nodiscard]] std::uint64_t file_bytes(SegmentNumber number) const {
        return segments_.at(number).bytes;
    }

  private:
    struct Segment {
        SegmentGroup group;
        bool open = false;      // pages may be appended
        bool in_batch = false;  // of the batch being filled or written
        bool left_out = false;  // of the sums, and of what is carried
        bool in_vain = false;   // it was made for a batch that failed
        std::uint64_t bytes = 0;
        std::uint64_t live_bytes = 0;
        std::uint64_t pages = 0;
    };
    // What goes to one file in one write.
    struct Run {
        SegmentNumber segment;
        bool creates = false;
        std::uint64_t offset = 0;
        GroupBuffer bytes;
        struct Page {
            std::size_t at = 0;  // in bytes
            std::size_t end = 0;
            PageHeader header;
        };
        std::vector<Page> pages;
    };
    using Batch = std::vector<Run>;

    SegmentNumber open_segment(SegmentGroup group, std::uint64_t bytes);
    void close(Segment& segment);
    void note_dead(SegmentNumber number, Segment& segment);
    static Result<void> write_batch(Disk& disk, Batch& batch);
    void batch_done(const Result<void>& written,
                    const std::function<void(const Result<void>&)>& done);

    Disk& disk_;
    Worker& worker_;
    const std::uint64_t segment_bytes_;
    std::map<SegmentNumber, Segment> segments_;
    std::map<SegmentGroup, SegmentNumber> open_;
    std::vector<SegmentNumber> dead_;
    SegmentNumber next_number_{1};
    std::uint64_t bytes_ = 0;
    std::uint64_t dead_bytes_ = 0;  // of them, in files that hold nothing any more
    std::uint64_t live_bytes_ = 0;
    std::shared_ptr<Batch> batch_ = std::make_shared<Batch>();
    Run* filling_ = nullptr;  // the page that is begun is the last of this run
    bool writing_ = false;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // expired: do not call back
};

}  // namespace mqd::storage
