#include "daemon/core/lost_state.hpp"

#include <algorithm>

#include "daemon/core/backlog.hpp"
#include "daemon/core/read_page.hpp"
#include "daemon/storage/journal_survey.hpp"
#include "daemon/storage/recovery.hpp"

namespace mqd::core {

Result<bool> LostState::is_lost() {
    const auto survey = storage::survey_journal(disk_);
    if (!survey) {
        return survey.error();
    }
    const auto checkpoint = storage::read_checkpoint(
        disk_, [](wire::Bytes) { return Result<void>(); }, storage::CheckpointUse::look_at);
    if (!checkpoint) {
        return checkpoint.error();
    }
    whole_ = checkpoint->number;
    const std::uint64_t told = checkpoint->from.value() + 1;
    if (survey->in_use.empty()) {  // an empty store, or one whose files have lost their headers
        std::uint64_t first = UINT64_MAX;
        for (const storage::StoredFile& file : survey->unused) {
            if (file.suspect && file.stray_sequence != 0) {
                first = std::min(first, file.stray_sequence);
            }
        }
        return first != UINT64_MAX && first > told;
    }
    const storage::FileHeader& oldest = survey->in_use.front().header;
    const bool tells_all = oldest.version == 1 && whole_ == 0;  // as its state group does
    return !tells_all && oldest.first_sequence > told;
}

Result<storage::Checkpoint> LostState::restore() {
    mender_.note_damage(
        "the checkpoint is lost: the state is put together from what is left of it, "
        "and from the segments");
    mender_.without_state();
    std::vector<storage::LooseChunk> chunks[2];
    for (std::uint64_t i = 0; i < 2; ++i) {
        auto read = storage::read_loose_chunks(disk_, storage::checkpoint_file_name(i));
        if (!read) {
            return read.error();
        }
        chunks[i] = std::move(*read);
        for (const storage::LooseChunk& chunk : chunks[i]) {
            RecordReader reader(chunk.body);
            while (const auto record = reader.next()) {
                mender_.learn(*record);
            }
        }
    }
    const auto number = [](const std::vector<storage::LooseChunk>& from) {
        return from.empty() ? 0 : from.front().header.number;
    };
    if (number(chunks[0]) > number(chunks[1])) {
        std::swap(chunks[0], chunks[1]);
    }
    if (whole_ != 0 && whole_ == number(chunks[1])) {
        chunks[0].clear();  // knows nothing that this one does not
    }
    if (auto named = read_names(); !named) {
        return named.error();
    }
    storage::Checkpoint known;
    for (const auto& some : chunks) {
        for (const storage::LooseChunk& chunk : some) {
            known.number = std::max(known.number, chunk.header.number);
            known.from = std::max(known.from, Sequence(chunk.header.from));
            RecordReader reader(chunk.body);
            while (const auto record = reader.next()) {
                apply(*record);
            }
        }
    }
    for (const auto& [key, as_of] : parts_) {
        known.through = std::max(known.through, as_of);
        replay_.parts_.add(key.first, key.second, as_of);
    }
    for (const auto& [name, queue] : core_.engine_.queues()) {
        const engine::NextNumbers& numbers = queue->numbers();
        numbers.for_each_applied([&, id = queue->id()](MessageNumber next) {
            next_[{id, numbers.has_levels() ? level_of_number(next) : 0}] = next;
        });
    }
    if (auto revived = revive_segments(); !revived) {
        return revived.error();
    }
    if (revived_ > 0) {
        mender_.tell(std::to_string(revived_) +
                     " messages in segments live again; some of them may have been acked");
    }
    if (auto fitting = replay_.checkpoint_read(known); !fitting) {
        return fitting.error();
    }
    // The next one is written to the file that is broken. None of the journal is told by a whole
    // one.
    storage::Checkpoint last;
    last.number = known.number == 0 ? 0 : known.number - 1;
    last.through = known.through;
    return last;
}

// What the journal tells of the queues that pages may belong to.
Result<void> LostState::read_names() {
    const storage::ReplayFunction learn = [&](const storage::GroupView& group) -> Result<void> {
        RecordReader reader(group.body);
        while (const auto record = reader.next()) {
            mender_.learn(*record);
        }
        return {};
    };
    const storage::JournalSalvage passing_over{
        [](const storage::Damage&) { return Result<void>(); }, {}, {}};
    const auto read = storage::salvage_journal(disk_, learn, passing_over);
    return read ? Result<void>() : read.error();
}

void LostState::apply(const RecordView& record) {
    if (record.type == RecordType::create_queue) {
        if (const auto command = decode_create_queue(record.body)) {
            const engine::Queue* namesake = core_.engine_.find(command->definition.name);
            if (namesake != nullptr && namesake->id() != command->id) {
                replay_.delete_if_there(namesake->id());  // this one took its place
            }
            if (core_.engine_.find(command->id) != nullptr) {
                return;  // the older checkpoint knew it already
            }
        }
    } else if (record.type == RecordType::state_of) {
        if (const auto part = decode_state_of(record.body)) {
            begin_part(*part);
        }
        return;
    } else if (record.type == RecordType::restore_messages) {
        std::vector<engine::RestoreMessages> runs;
        if (!decode_restore(record.body, runs) || runs.empty() ||
            mender_.queue_for(runs.front().id, runs.front().range.first) == nullptr) {
            return;
        }
    } else if (record.type == RecordType::place_messages) {
        const auto place = decode_place(record.body);
        if (!place || mender_.queue_for(place->id, place->range.first) == nullptr) {
            return;
        }
    }
    if (const std::string_view bad = replay_.apply_state(record); !bad.empty()) {
        mender_.note_misfit({}, std::string(bad), "the checkpoint: " + std::string(bad));
    }
}

// All that was said of that part is void.
void LostState::begin_part(const StatePart& part) {
    // The first part begins with 0, the last one ends behind all.
    const bool last = part.to == MessageNumber(UINT64_MAX);
    engine::Queue* queue = mender_.queue_for(part.id, last ? part.from : part.to);
    if (queue == nullptr) {
        return;
    }
    const MessageRange range{part.from, part.to - part.from};
    mender_.end_living(*queue, range);
    core_.backlog_->forget(*queue, range);
    // What follows is known as it was before; if no part told of it, as of no group at all.
    const auto behind = parts_.upper_bound({part.id, part.to});
    const bool known = behind != parts_.begin() && std::prev(behind)->first.first == part.id;
    parts_[{part.id, part.to}] = known ? std::prev(behind)->second : Sequence(0);
    parts_.erase(parts_.lower_bound({part.id, part.from}), parts_.lower_bound({part.id, part.to}));
    parts_[{part.id, part.from}] = part.as_of;
}

bool LostState::covered(const engine::Queue& queue, MessageNumber number) const {
    const QueueId id = queue.id();
    const auto next = next_.find({id, queue.numbers().has_levels() ? level_of_number(number) : 0});
    if (next == next_.end() || number >= next->second) {
        return false;
    }
    const auto behind = parts_.upper_bound({id, number});
    return behind != parts_.begin() && std::prev(behind)->first.first == id &&
           std::prev(behind)->second.value() != 0;
}

Result<void> LostState::revive_segments() {
    std::vector<PageRecord> pages;
    auto searched = mender_.for_each_page([&](const PageRecord& record) -> Result<void> {
        pages.push_back(record);
        return {};
    });
    if (!searched) {
        return searched;
    }
    // Of what was carried, or written in vain before, the younger place counts.
    std::sort(pages.begin(), pages.end(), [](const PageRecord& a, const PageRecord& b) {
        return std::pair(a.address.segment, a.address.offset) >
               std::pair(b.address.segment, b.address.offset);
    });
    for (const PageRecord& record : pages) {
        const bool gone =
            mender_.was_deleted(record.id) && core_.engine_.find(record.id) == nullptr;
        engine::Queue* queue = gone ? nullptr : mender_.queue_for(record.id, record.range.first);
        if (queue == nullptr || !queue->numbers().may_be(record.range)) {
            continue;
        }
        if (auto revived = revive(*queue, record); !revived) {
            return revived;
        }
    }
    return {};
}

Result<void> LostState::revive(engine::Queue& queue, const PageRecord& found) {
    const Page* page = core_.backlog_->page_at(queue.id(), found.range.first);
    const bool known = page != nullptr && page->address == found.address;
    if (!known && core_.backlog_->overlaps(queue, found.range)) {
        return {};
    }
    ReadPage read(queue.id(), found.range, found.address);
    if (auto done = mender_.read(read); !done) {
        return done;
    }
    PageRecord record = found;
    std::uint64_t revived = 0;
    for (const Block* block : read.blocks) {
        record.held += block->count;
        record.times.expires =
            block->has_own_ttls() ? engine::Time{} : record.times.expires;  // to be read
        for (MessageNumber at = block->first; at < block->end(); at = at.plus(1)) {
            if (!covered(queue, at) && queue.live_in({at, 1}) == 0) {
                mender_.revive(queue, {at, 1});
                ++revived;
            }
        }
    }
    if (revived > 0 && (known || core_.backlog_->restore(queue, record))) {
        revived_ += revived;
    }
    return {};
}

}  // namespace mqd::core
