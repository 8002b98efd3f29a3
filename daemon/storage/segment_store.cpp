#include "daemon/storage/segment_store.hpp"

#include <algorithm>
#include <cerrno>
#include <set>
#include <utility>

#include "daemon/storage/block_memory.hpp"
#include "mqd/assert.hpp"

namespace mqd::storage {

namespace {

constexpr std::size_t page_alignment = 8;

Error damaged_segment(const Disk& disk, SegmentNumber number, std::string_view what) {
    return {ErrorCode::damaged, disk.path(segment_file_name(number)) + ": " + std::string(what)};
}

// The same as File::read, in whole blocks.
Result<std::size_t> read_blocks(File& file, std::uint64_t offset, std::span<std::byte> bytes) {
    const std::uint64_t begin = offset / block_bytes * block_bytes;
    const std::uint64_t end = (offset + bytes.size() + block_bytes - 1) / block_bytes * block_bytes;
    BlockMemory memory(end - begin);
    const auto count = file.read(begin, memory.bytes());
    if (!count) {
        return count.error();
    }
    const auto skipped = static_cast<std::size_t>(offset - begin);
    const std::size_t got = std::min(bytes.size(), *count - std::min(*count, skipped));
    std::copy_n(memory.bytes().begin() + static_cast<std::ptrdiff_t>(skipped), got, bytes.begin());
    return got;
}

}  // namespace

// --- start

Result<void> SegmentStore::open() {
    auto names = disk_.list();
    if (!names) {
        return names.error();
    }
    std::set<SegmentNumber> there;
    for (const std::string& name : *names) {
        const auto number = segment_file_number(name);
        if (!number) {
            continue;
        }
        there.insert(*number);
        skip_number(*number);
        if (!segments_.contains(*number)) {
            // Written, but the process ended before the journal said so; or emptied before it did.
            segments_.emplace(*number, Segment{});
            dead_.push_back(*number);
        }
    }
    for (auto& [number, segment] : segments_) {
        if (segment.pages == 0) {
            continue;
        }
        if (!there.contains(number)) {
            return damaged_segment(disk_, number, "the file is missing");
        }
        auto file = disk_.open(segment_file_name(number), OpenMode::read_write);
        if (!file) {
            return file.error();
        }
        const auto size = (*file)->size();
        if (!size) {
            return size.error();
        }
        if (*size < segment.bytes) {
            return damaged_segment(disk_, number,
                                   "the file ends before byte " + std::to_string(segment.bytes));
        }
        bytes_ += *size - segment.bytes;
        segment.bytes = *size;
    }
    return {};
}

void SegmentStore::skip_number(SegmentNumber number) {
    next_number_ = std::max(next_number_, number.plus(1));
}

// --- what lives

void SegmentStore::add_page(const PageAddress& address) {
    skip_number(address.segment);
    Segment& segment = segments_[address.segment];
    ++segment.pages;
    segment.live_bytes += address.bytes;
    live_bytes_ += address.bytes;
    const std::uint64_t end = address.offset + address.bytes;
    if (end > segment.bytes) {  // as recovery finds them
        bytes_ += end - segment.bytes;
        segment.bytes = end;
    }
}

void SegmentStore::shrink_page(const PageAddress& address, std::uint64_t bytes) {
    Segment& segment = segments_.at(address.segment);
    MQD_ASSERT(bytes <= segment.live_bytes, bytes, segment.live_bytes);
    segment.live_bytes -= bytes;
    live_bytes_ -= segment.left_out ? 0 : bytes;
}

void SegmentStore::drop_page(const PageAddress& address, std::uint64_t live_bytes) {
    shrink_page(address, live_bytes);
    Segment& segment = segments_.at(address.segment);
    MQD_ASSERT(segment.pages > 0);
    if (--segment.pages == 0) {
        note_dead(address.segment, segment);
    }
}

void SegmentStore::note_dead(SegmentNumber number, Segment& segment) {
    if (segment.in_batch) {
        return;  // batch_done() looks again
    }
    close(segment);
    dead_bytes_ += segment.left_out ? 0 : segment.bytes;
    dead_.push_back(number);
}

std::vector<SegmentNumber> SegmentStore::take_dead() {
    return std::exchange(dead_, {});
}

void SegmentStore::remove(SegmentNumber number, std::function<void(const Error&)> failed) {
    const auto at = segments_.find(number);
    MQD_ASSERT(at != segments_.end() && at->second.pages == 0, number);
    const std::uint64_t bytes = at->second.left_out ? 0 : at->second.bytes;
    bytes_ -= bytes;
    dead_bytes_ -= bytes;
    segments_.erase(at);
    auto result = std::make_shared<Result<void>>();
    worker_.post(
        [&disk = disk_, number, result] { *result = disk.remove(segment_file_name(number)); },
        [alive = std::weak_ptr<bool>(alive_), result, failed = std::move(failed)] {
            const bool gone = *result || result->error().os_errno == ENOENT;
            if (!alive.expired() && !gone) {
                failed(result->error());
            }
        });
}

std::optional<SegmentNumber> SegmentStore::file_to_carry() {
    if (bytes_ - dead_bytes_ <= 2 * live_bytes_ + 2 * segment_bytes_) {
        return std::nullopt;
    }
    auto worst = segments_.end();
    for (auto at = segments_.begin(); at != segments_.end(); ++at) {
        const Segment& segment = at->second;
        if (segment.pages == 0 || segment.in_batch || segment.left_out) {
            continue;
        }
        // live / bytes < worst.live / worst.bytes
        if (worst == segments_.end() ||
            segment.live_bytes * worst->second.bytes < worst->second.live_bytes * segment.bytes) {
            worst = at;
        }
    }
    if (worst == segments_.end()) {
        return std::nullopt;
    }
    close(worst->second);
    return worst->first;
}

void SegmentStore::leave_out(SegmentNumber number) {
    Segment& segment = segments_.at(number);
    MQD_ASSERT(!segment.left_out && !segment.open, number);
    segment.left_out = true;
    bytes_ -= segment.bytes;
    live_bytes_ -= segment.live_bytes;
}

std::vector<SegmentNumber> SegmentStore::told_files() const {
    std::vector<SegmentNumber> numbers;
    for (const auto& [number, segment] : segments_) {
        const bool being_made =
            segment.in_batch &&
            std::any_of(batch_->begin(), batch_->end(), [&, number = number](const Run& run) {
                return run.segment == number && run.creates;
            });
        if (!being_made && !segment.in_vain) {
            numbers.push_back(number);
        }
    }
    return numbers;
}

// --- writing

void SegmentStore::close(Segment& segment) {
    if (segment.open) {
        segment.open = false;
        open_.erase(segment.group);
    }
}

SegmentNumber SegmentStore::open_segment(SegmentGroup group, std::uint64_t bytes) {
    if (const auto at = open_.find(group); at != open_.end()) {
        Segment& segment = segments_.at(at->second);
        if (segment.bytes + sizeof(PageHeader) + bytes <= segment_bytes_) {
            return at->second;
        }
        close(segment);
    }
    const SegmentNumber number = next_number_;
    next_number_ = number.plus(1);
    open_[group] = number;
    Segment& segment = segments_[number];
    segment.group = group;
    segment.open = true;
    return number;
}

GroupBuffer& SegmentStore::begin_page(SegmentGroup group, QueueId queue, MessageRange range,
                                      std::uint64_t bytes) {
    MQD_ASSERT(!writing_ && filling_ == nullptr);
    const SegmentNumber number = open_segment(group, bytes);
    Segment& segment = segments_.at(number);
    auto run = std::find_if(batch_->begin(), batch_->end(),
                            [&](const Run& one) { return one.segment == number; });
    if (run == batch_->end()) {
        batch_->emplace_back();
        run = std::prev(batch_->end());
        run->segment = number;
        run->offset = segment.bytes;
        run->creates = segment.bytes == 0;
        if (run->creates) {
            encode_segment_header(
                number, {run->bytes.extend(sizeof(SegmentHeader)), sizeof(SegmentHeader)});
        }
        segment.in_batch = true;
    }
    Run::Page page;
    page.at = run->bytes.body_bytes();
    page.header.offset = run->offset + page.at;
    page.header.segment = number.value();
    page.header.queue = queue.value();
    page.header.first = range.first.value();
    page.header.count = range.count;
    run->pages.push_back(page);
    (void)run->bytes.extend(sizeof(PageHeader));
    filling_ = &*run;
    return run->bytes;
}

PageAddress SegmentStore::end_page() {
    MQD_ASSERT(filling_ != nullptr);
    Run& run = *std::exchange(filling_, nullptr);
    Run::Page& page = run.pages.back();
    page.end = run.bytes.body_bytes();
    const std::size_t padding = (page_alignment - page.end % page_alignment) % page_alignment;
    std::fill_n(run.bytes.extend(padding), padding, std::byte{0});
    Segment& segment = segments_.at(run.segment);
    const std::uint64_t end = run.offset + run.bytes.body_bytes();
    bytes_ += end - segment.bytes;
    segment.bytes = end;
    return {run.segment, page.header.offset, static_cast<std::uint32_t>(page.end - page.at)};
}

void SegmentStore::write(std::function<void(const Result<void>&)> done) {
    MQD_ASSERT(!writing_ && filling_ == nullptr && !batch_->empty());
    writing_ = true;
    auto result = std::make_shared<Result<void>>();
    worker_.post([&disk = disk_, batch = batch_, result] { *result = write_batch(disk, *batch); },
                 [this, alive = std::weak_ptr<bool>(alive_), result, done = std::move(done)] {
                     if (!alive.expired()) {
                         batch_done(*result, done);
                     }
                 });
}

// On the worker.
Result<void> SegmentStore::write_batch(Disk& disk, Batch& batch) {
    bool created = false;
    for (Run& run : batch) {
        auto file = disk.open(segment_file_name(run.segment),
                              run.creates ? OpenMode::create : OpenMode::read_write);
        if (!file) {
            return file.error();
        }
        created = created || run.creates;
        const std::span<std::byte> bytes = run.bytes.body();
        for (const Run::Page& page : run.pages) {
            seal_page(page.header, bytes.subspan(page.at, page.end - page.at));
        }
        if (auto written = (*file)->write(run.offset, bytes); !written) {
            return written;
        }
        if (auto synced = (*file)->sync(); !synced) {
            return synced;
        }
    }
    return created ? disk.sync_directory() : Result<void>();
}

void SegmentStore::batch_done(const Result<void>& written,
                              const std::function<void(const Result<void>&)>& done) {
    writing_ = false;
    const Batch batch = std::exchange(*batch_, {});
    if (!written) {
        for (const Run& run : batch) {
            Segment& segment = segments_.at(run.segment);
            close(segment);  // what lies at its end now is anybody's guess
            segment.in_vain = run.creates;
        }
    }
    done(written);
    for (const Run& run : batch) {
        Segment& segment = segments_.at(run.segment);
        segment.in_batch = false;
        if (segment.pages == 0) {
            note_dead(run.segment, segment);
        }
    }
}

// --- reading

Result<SegmentStore::PageBytes> SegmentStore::read(Disk& disk, const PageAddress& address,
                                                   QueueId queue, MessageRange range, bool device) {
    auto file = disk.open(segment_file_name(address.segment),
                          device ? OpenMode::read_direct : OpenMode::read_write);
    if (!file) {
        return file.error();
    }
    auto bytes = std::make_shared<std::vector<std::byte>>(address.bytes);
    const auto count = device ? read_blocks(**file, address.offset, *bytes)
                              : (*file)->read(address.offset, *bytes);
    if (!count) {
        return count.error();
    }
    const std::string at = "offset " + std::to_string(address.offset) + ": ";
    if (*count < address.bytes) {
        return damaged_segment(disk, address.segment, at + "the file ends within a page");
    }
    const FoundPage found = decode_page(*bytes, address.segment, address.offset);
    if (!found.wrong.empty()) {
        return damaged_segment(disk, address.segment, at + std::string(found.wrong));
    }
    if (found.header.queue != queue.value() || found.header.first != range.first.value() ||
        found.header.count != range.count ||
        sizeof(PageHeader) + found.header.body_bytes != address.bytes) {
        return damaged_segment(disk, address.segment, at + "a page with other messages");
    }
    return bytes;
}

}  // namespace mqd::storage
