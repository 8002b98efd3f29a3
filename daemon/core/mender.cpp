#include "daemon/core/mender.hpp"

#include <algorithm>

#include "daemon/core/backlog.hpp"
#include "daemon/core/read_page.hpp"

namespace mqd::core {

void Mender::tell(const std::string& text) {
    if (++lines_ < lines_max) {
        core_.complain("salvage: " + text);
    } else if (lines_ == lines_max) {
        core_.complain("salvage: there is more, which is not named");
    }
}

void Mender::note_damage(const std::string& text) {
    damaged_ = true;
    followed_.clear();
    tell(text);
}

void Mender::note_misfit(QueueId id, const std::string& what, const std::string& first) {
    Misfits& misfits = misfits_[{id, what}];
    if (misfits.times++ == 0) {
        misfits.first = first;
    }
}

void Mender::tell_losses() {
    for (const auto& [key, misfits] : misfits_) {
        const engine::Queue* queue = core_.engine_.find(key.first);
        const std::string whose =
            queue == nullptr ? std::string() : ", of queue \"" + queue->name() + '"';
        tell(misfits.first + whose + ", is applied as far as it fits" +
             (misfits.times > 1 ? "; so are " + std::to_string(misfits.times - 1) + " more"
                                : std::string()));
    }
    misfits_.clear();
    tell_gaps();
}

void Mender::learn(const RecordView& record) {
    if (record.type == RecordType::create_queue) {
        if (const auto command = decode_create_queue(record.body)) {
            learnt_[command->id] = *command;
        }
    } else if (record.type == RecordType::delete_queue) {
        if (const auto id = decode_queue_id(record.body)) {
            deleted_.insert(*id);
        }
    }
}

engine::Queue* Mender::queue_for(QueueId id, MessageNumber like) {
    if (engine::Queue* queue = core_.engine_.find(id)) {
        return queue->durable() ? queue : nullptr;
    }
    engine::CreateQueue command;
    command.id = id;
    const auto learnt = learnt_.find(id);
    if (learnt != learnt_.end() && core_.engine_.find(learnt->second.definition.name) == nullptr) {
        core_.engine_.apply(learnt->second);
        return queue_for(id, like);
    }
    command.definition.name = "salvaged." + std::to_string(id.value());
    for (unsigned copy = 2; core_.engine_.find(command.definition.name) != nullptr; ++copy) {
        command.definition.name =
            "salvaged." + std::to_string(id.value()) + '.' + std::to_string(copy);
    }
    command.definition.durability = Durability::disk;
    const unsigned level = level_of_number(like);
    command.definition.priorities = level >= 1 && level <= number_levels;
    command.definition.lease = core_.options_.queue_defaults.lease;
    command.next = MessageNumber(1);
    core_.engine_.apply(command);
    tell("the name of queue " + std::to_string(id.value()) + " is lost; it is called \"" +
         command.definition.name + "\" from now on");
    return core_.engine_.find(id);
}

void Mender::note_gap(const engine::Queue& queue, MessageNumber next) {
    const MessageNumber from = queue.next_applied(next);
    if (damaged_) {
        followed_.insert(queue.id());
    }
    if (damaged_ && next > from) {
        gaps_.emplace_back(queue.id(), MessageRange{from, next - from});
    }
}

// Later records may have brought back what an earlier one lacked.
void Mender::tell_gaps() {
    for (const auto& [id, gap] : gaps_) {
        const engine::Queue* queue = core_.engine_.find(id);
        engine::LiveRun run;
        for (MessageNumber at = gap.first; queue != nullptr && at < gap.end();) {
            const bool lives = queue->find_live(at, run) && run.range.first < gap.end();
            const MessageNumber end = lives ? run.range.first : gap.end();
            if (at < end) {
                tell("messages " + format_number(at) + " to " +
                     format_number(MessageNumber(end.value() - 1)) + " of queue \"" +
                     queue->name() + "\" are lost, as far as they were published and not acked");
            }
            at = lives ? run.range.end() : gap.end();
        }
    }
    gaps_.clear();
}

void Mender::note_lost_end(bool of_all) {
    for (const auto& [name, queue] : core_.engine_.queues()) {
        if (queue->durable() && (of_all || !followed_.contains(queue->id()))) {
            queue->numbers().for_each_applied([&, whose = name](MessageNumber next) {
                tell("messages from " + format_number(next) + " on of queue \"" + whose +
                     "\" are lost, if any were published");
            });
        }
    }
}

void Mender::revive(engine::Queue& queue, MessageRange range) {
    const auto make_live = [&](MessageNumber from, MessageNumber to) {
        const MessageNumber known = std::clamp(queue.next_applied(from), from, to);
        if (from < known) {
            core_.engine_.apply(engine::RestoreMessages{queue.id(), {from, known - from}, 0});
        }
        if (known < to) {
            core_.engine_.apply(queue, engine::AddMessages{queue.id(), {known, to - known}});
        }
    };
    engine::LiveRun run;
    MessageNumber at = range.first;
    while (at < range.end() && queue.find_live(at, run) && run.range.first < range.end()) {
        if (at < run.range.first) {
            make_live(at, run.range.first);
        }
        at = std::min(run.range.end(), range.end());
    }
    if (at < range.end()) {
        make_live(at, range.end());
    }
}

void Mender::revive_page(engine::Queue& queue, const PageRecord& record) {
    ReadPage page(queue.id(), record.range, record.address);
    if (auto done = read(page); !done) {
        failure_ = done.error();
        return;
    }
    for (const Block* block : page.blocks) {
        note_gap(queue, block->first);
        revive(queue, {block->first, block->count});
    }
    if (record.range.end() > queue.next_applied(record.range.first)) {
        core_.engine_.apply(engine::SkipNumbers{queue.id(), record.range.end()});
    }
}

Result<void> Mender::read(ReadPage& page) {
    page.run(disk_, ReadPage::From::device);
    return page.error && !page.is_gone() ? Result<void>(*page.error) : Result<void>();
}

void Mender::end_living(engine::Queue& queue, MessageRange range) {
    engine::LiveRun run;
    for (MessageNumber at = range.first; at < range.end() && queue.find_live(at, run);) {
        const MessageNumber from = std::max(run.range.first, at);
        if (from >= range.end()) {
            return;
        }
        at = std::min(run.range.end(), range.end());
        const MessageRange living{from, at - from};
        core_.engine_.apply(queue, engine::RemoveMessages{queue.id(), {&living, 1}});
    }
}

// --- what nobody knows of

bool Mender::any_nowhere(const engine::Queue& queue, MessageRange range) const {
    bool any = false;
    core_.backlog_->for_each_unpaged(queue, range, [&](MessageRange unpaged) {
        for (MessageNumber at = unpaged.first; at < unpaged.end() && !any;) {
            const engine::Extent* extent = queue.extent_at(at);
            any = extent == nullptr;
            at = any ? unpaged.end() : std::min(unpaged.end(), extent->end());
        }
    });
    return any;
}

bool Mender::any_nowhere() const {
    const auto& queues = core_.engine_.queues();
    return std::any_of(queues.begin(), queues.end(), [&](const auto& entry) {
        return entry.second->durable() &&
               any_nowhere(*entry.second, {MessageNumber(1), UINT64_MAX - 1});
    });
}

Result<void> Mender::search_segments() {
    return for_each_page([&](const PageRecord& record) -> Result<void> {
        engine::Queue* queue = core_.engine_.find(record.id);
        const bool may_hold =
            queue != nullptr && queue->durable() && any_nowhere(*queue, record.range);
        return may_hold ? adopt(*queue, record) : Result<void>();
    });
}

Result<void> Mender::for_each_page(const PageFunction& fn) {
    const auto names = disk_.list();
    if (!names) {
        return names.error();
    }
    for (const std::string& name : *names) {
        const auto number = storage::segment_file_number(name);
        if (auto searched = number ? search(*number, fn) : Result<void>(); !searched) {
            return searched;
        }
    }
    return {};
}

// Page headers stand at multiples of 8; where one is broken, the next is looked for.
Result<void> Mender::search(storage::SegmentNumber number, const PageFunction& fn) {
    constexpr std::uint64_t step = 8;
    constexpr std::size_t read_bytes = 1024 * 1024;
    auto file = disk_.open(storage::segment_file_name(number), storage::OpenMode::read_write);
    if (!file) {
        return file.error();
    }
    std::vector<std::byte> bytes(read_bytes);
    std::uint64_t begin = 0;
    std::size_t held = 0;
    for (std::uint64_t at = sizeof(storage::SegmentHeader);;) {
        if (at < begin || at + sizeof(storage::PageHeader) > begin + held) {
            const auto count = (*file)->read(at, bytes);
            if (!count) {
                return count.error();
            }
            begin = at;
            held = *count;
            if (held < sizeof(storage::PageHeader)) {
                return {};
            }
        }
        const auto here = std::span<const std::byte>(bytes).subspan(
            static_cast<std::size_t>(at - begin), sizeof(storage::PageHeader));
        const storage::FoundPage page = storage::decode_page(here, number, at);
        if (!page.wrong.empty()) {
            at += step;
            continue;
        }
        PageRecord record;
        record.id = QueueId(page.header.queue);
        record.range = {MessageNumber(page.header.first), page.header.count};
        record.address = {
            number, at,
            static_cast<std::uint32_t>(sizeof(storage::PageHeader)) + page.header.body_bytes};
        if (auto done = fn(record); !done) {
            return done;
        }
        at += (record.address.bytes + step - 1) / step * step;
    }
}

// Only a page that holds all that lives of its range, and is in nobody's way.
Result<void> Mender::adopt(engine::Queue& queue, const PageRecord& found) {
    ReadPage page(queue.id(), found.range, found.address);
    if (auto done = read(page); !done) {
        return done;
    }
    std::uint64_t living = 0;
    PageRecord record = found;
    for (const Block* block : page.blocks) {
        living += queue.live_in({block->first, block->count});
        record.held += block->count;
        record.times.expires =
            block->has_own_ttls() ? engine::Time{} : record.times.expires;  // to be read
    }
    if (core_.backlog_->overlaps(queue, found.range) || living != queue.live_in(found.range) ||
        !core_.backlog_->restore(queue, record)) {
        return {};
    }
    adopted_.push_back(record);
    tell(std::to_string(living) + " messages of queue \"" + queue.name() + "\" from number " +
         std::to_string(found.range.first.value()) + " on were found in " +
         disk_.path(storage::segment_file_name(found.address.segment)));
    return {};
}

void Mender::append_records() {
    for (const PageRecord& record : adopted_) {
        CommitGroup& group = core_.open_group(record_header_bytes + place_bytes);
        append_place(group.buffer, record);
        core_.raise_need(group, Need::durable);
    }
}

}  // namespace mqd::core
