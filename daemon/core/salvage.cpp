#include "daemon/core/salvage.hpp"

#include <algorithm>
#include <cerrno>

#include "daemon/core/backlog.hpp"
#include "daemon/core/read_page.hpp"
#include "daemon/core/record.hpp"
#include "daemon/storage/passing_error.hpp"

namespace mqd::core {

namespace {

constexpr std::size_t ranges_at_once = 500;  // in one record: well below the smallest group

}  // namespace

Result<void> Salvage::run() {
    for (const auto& [name, queue] : core_.engine_.queues()) {
        if (!queue->durable()) {
            continue;
        }
        if (QueuePages* owner = core_.backlog_->find_pages(queue->id())) {
            for (auto& [last, page] : owner->pages) {
                if (auto looked = look_at(*queue, page); !looked) {
                    return looked;
                }
            }
        }
        look_for_bodies(*queue);
    }
    for (const Lost& lost : lost_) {
        engine::Queue* queue = core_.engine_.find(lost.id);
        MQD_ASSERT(queue != nullptr, lost.id);
        core_.engine_.apply(*queue, engine::RemoveMessages{lost.id, {&lost.range, 1}});
    }
    core_.free_released();
    if (messages_ > 0) {
        core_.complain("salvage: " + std::to_string(messages_) + " messages are lost" +
                       (lines_ > lines_max ? ", in " + std::to_string(lines_) +
                                                 " places, of which the first are named"
                                           : ""));
    }
    return {};
}

Result<void> Salvage::look_at(const engine::Queue& queue, Page& page) {
    const std::uint64_t live = queue.live_in(page.range);
    if (live == 0) {
        return {};
    }
    ReadPage read(queue.id(), page.range, page.address);
    read.run(disk_, ReadPage::From::device);
    if (!read.error) {
        const std::string where = disk_.path(storage::segment_file_name(page.address.segment)) +
                                  ": offset " + std::to_string(page.address.offset);
        lose(queue, page.range, read.blocks, where + ": a page that does not hold them");
        // If it holds more than was said of it, that was wrong, and not the page.
        page.held = static_cast<std::uint32_t>(std::max<std::uint64_t>(page.held, live));
        return {};
    }
    if (read.error->code == ErrorCode::damaged || read.error->os_errno == ENOENT) {
        lose(queue, page.range, {}, read.error->text);
        return {};
    }
    return storage::is_passing(*read.error) ? Result<void>(*read.error) : Result<void>();
}

// Each message that is in no page is in a block of the journal.
void Salvage::look_for_bodies(const engine::Queue& queue) {
    core_.backlog_->for_each_unpaged(
        queue, {MessageNumber(1), UINT64_MAX - 1}, [&](MessageRange range) {
            for (MessageNumber at = range.first; at < range.end();) {
                if (const engine::Extent* extent = queue.extent_at(at)) {
                    at = std::min(range.end(), extent->end());
                    continue;
                }
                const MessageNumber end = std::min(range.end(), queue.resident_from(at));
                lose(queue, {at, end - at}, {}, "neither a journal file nor a segment holds them");
                at = end;
            }
        });
}

void Salvage::lose(const engine::Queue& queue, MessageRange range, const std::vector<Block*>& held,
                   const std::string& why) {
    const std::uint64_t before = messages_;
    const auto add = [&](MessageNumber from, MessageNumber to) {
        engine::LiveRun run;
        while (from < to && queue.find_live(from, run) && run.range.first < to) {
            const MessageNumber end = std::min(run.range.end(), to);
            lost_.push_back({queue.id(), {run.range.first, end - run.range.first}});
            messages_ += end - run.range.first;
            from = end;
        }
    };
    MessageNumber at = range.first;
    for (const Block* block : held) {
        add(at, block->first);
        at = block->end();
    }
    add(at, range.end());
    if (messages_ > before) {
        name(queue, range, messages_ - before, why);
    }
}

void Salvage::name(const engine::Queue& queue, MessageRange range, std::uint64_t messages,
                   const std::string& why) {
    if (++lines_ <= lines_max) {
        core_.complain("salvage: " + std::to_string(messages) + " messages of queue \"" +
                       queue.name() + "\" are lost, among numbers " +
                       std::to_string(range.first.value()) + " to " +
                       std::to_string(range.end().value() - 1) + ": " + why);
    }
}

void Salvage::append_records() {
    std::vector<MessageRange> ranges;
    for (std::size_t i = 0; i < lost_.size(); ++i) {
        ranges.push_back(lost_[i].range);
        const bool last = i + 1 == lost_.size() || lost_[i + 1].id != lost_[i].id;
        if (last || ranges.size() == ranges_at_once) {
            CommitGroup& group = core_.open_group(record_header_bytes + 8 + ranges.size() * 16);
            append_remove(group.buffer, lost_[i].id, ranges);
            core_.raise_need(group, Need::durable);
            ranges.clear();
        }
    }
}

}  // namespace mqd::core
