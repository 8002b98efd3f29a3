#include "daemon/core/salvage.hpp"

#include <algorithm>

#include "daemon/core/backlog.hpp"
#include "daemon/core/read_page.hpp"
#include "daemon/core/record.hpp"
#include "daemon/storage/passing_error.hpp"

namespace mqd::core {

namespace {

constexpr std::size_t ranges_at_once = 500;  // in one record: well below the smallest group

// What lives of [from, to).
void append_live(const engine::Queue& queue, MessageNumber from, MessageNumber to,
                 std::vector<MessageRange>& out) {
    engine::LiveRun run;
    while (from < to && queue.find_live(from, run) && run.range.first < to) {
        from = std::min(run.range.end(), to);
        out.push_back({run.range.first, from - run.range.first});
    }
}

}  // namespace

Result<void> Salvage::forget_damaged_pages() {
    for (const auto& [name, queue] : core_.engine_.queues()) {
        QueuePages* owner = core_.backlog_->find_pages(queue->id());
        if (owner == nullptr) {
            continue;
        }
        for (auto& [last, page] : owner->pages) {
            if (auto looked = look_at(*queue, page); !looked) {
                return looked;
            }
        }
    }
    for (const Gone& gone : gone_) {
        core_.backlog_->forget(*core_.engine_.find(gone.id), {gone.range.first, 1});
    }
    return {};
}

Result<void> Salvage::look_at(engine::Queue& queue, Page& page) {
    const std::uint64_t live = queue.live_in(page.range);
    if (live == 0) {
        return {};
    }
    ReadPage read(queue.id(), page.range, page.address);
    read.run(disk_, ReadPage::From::device);
    if (!read.error) {
        std::vector<MessageRange> lacking;
        MessageNumber at = page.range.first;
        for (const Block* block : read.blocks) {
            append_live(queue, at, block->first, lacking);
            at = block->end();
        }
        append_live(queue, at, page.range.end(), lacking);
        const std::string where = disk_.path(storage::segment_file_name(page.address.segment)) +
                                  ": offset " + std::to_string(page.address.offset);
        lose(queue, page.range, lacking, where + ": a page that does not hold them");
        // If it holds more than was said of it, that was wrong, and not the page.
        page.held = static_cast<std::uint32_t>(std::max<std::uint64_t>(page.held, live));
        return {};
    }
    if (read.is_gone()) {
        gone_.push_back({queue.id(), page.range, read.error->text});
        return {};
    }
    return storage::is_passing(*read.error) ? Result<void>(*read.error) : Result<void>();
}

void Salvage::give_up() {
    for (const Gone& gone : gone_) {
        engine::Queue& queue = *core_.engine_.find(gone.id);
        lose(queue, gone.range, nowhere(queue, gone.range), gone.why);
    }
    for (const auto& [name, queue] : core_.engine_.queues()) {
        if (!queue->durable()) {
            continue;
        }
        for (const MessageRange& range : nowhere(*queue, {MessageNumber(1), UINT64_MAX - 1})) {
            lose(*queue, range, {range}, "neither a journal file nor a segment holds them");
        }
    }
    if (messages_ > 0) {
        core_.complain("salvage: " + std::to_string(messages_) + " messages are lost" +
                       (lines_ > lines_max ? ", in " + std::to_string(lines_) +
                                                 " places, of which the first are named"
                                           : ""));
    }
}

std::vector<MessageRange> Salvage::nowhere(const engine::Queue& queue, MessageRange range) const {
    std::vector<MessageRange> result;
    core_.backlog_->for_each_unpaged(queue, range, [&](MessageRange unpaged) {
        if (queue.waiting_in(unpaged) == 0) {
            return;  // given up already
        }
        for (MessageNumber at = unpaged.first; at < unpaged.end();) {
            if (const engine::Extent* extent = queue.extent_at(at)) {
                at = std::min(unpaged.end(), extent->end());
                continue;
            }
            const MessageNumber end = std::min(unpaged.end(), queue.resident_from(at));
            result.push_back({at, end - at});
            at = end;
        }
    });
    return result;
}

void Salvage::lose(engine::Queue& queue, MessageRange range,
                   const std::vector<MessageRange>& messages, const std::string& why) {
    std::uint64_t count = 0;
    for (const MessageRange& some : messages) {
        core_.engine_.admit_end(queue, some, lost_[queue.id()]);
        count += some.count;
    }
    messages_ += count;
    if (count > 0) {
        name(queue, range, count, why);
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
    for (const auto& [id, ranges] : lost_) {
        for (std::span<const MessageRange> rest = ranges; !rest.empty();) {
            const auto some = rest.first(std::min(rest.size(), ranges_at_once));
            core_.remove(*core_.engine_.find(id), some, Need::durable);
            rest = rest.subspan(some.size());
        }
    }
}

}  // namespace mqd::core
