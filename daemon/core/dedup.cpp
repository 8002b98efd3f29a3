#include "daemon/core/dedup.hpp"

#include <algorithm>
#include <array>
#include <span>

#include "daemon/core/core.hpp"
#include "daemon/core/dedup_hash.hpp"
#include "daemon/core/record.hpp"
#include "daemon/core/retry_hint.hpp"
#include "daemon/storage/planted_fault.hpp"
#include "mqd/wire/batch.hpp"

namespace mqd::core {

namespace {

constexpr std::uint32_t batch_mask = 0x7FFF'FFFF;
// So many ids are hashed before the first is looked up: meanwhile, memory comes.
constexpr std::size_t hashed_together = 32;
// More than come, so that those behind them are forgotten little by little.
constexpr std::size_t forgotten_per_line = 2;
constexpr std::size_t forgotten_per_batch = 64;
constexpr std::size_t forgotten_per_sweep = 16'384;  // and queue
constexpr std::chrono::seconds sweep_every{1};
constexpr std::chrono::milliseconds sweep_on_after{5};

std::size_t forgotten_with(std::uint64_t lines) {
    return static_cast<std::size_t>(lines) * forgotten_per_line + forgotten_per_batch;
}

// Of a message that a client published; a dead letter only tells what it was.
std::optional<wire::Bytes> id_of(wire::Bytes attributes) {
    const auto id = wire::find_attribute(attributes, wire::AttributeId::dedup_id);
    return id && !wire::find_attribute(attributes, wire::AttributeId::dead_letter) ? id
                                                                                   : std::nullopt;
}

}  // namespace

std::vector<wire::ConfirmedRun> runs_of(std::span<const MessageNumber> numbers) {
    std::vector<wire::ConfirmedRun> runs;
    for (const MessageNumber number : numbers) {
        if (!runs.empty() && runs.back().first_number.plus(runs.back().count) == number) {
            ++runs.back().count;
        } else {
            runs.push_back({number, 1});
        }
    }
    return runs;
}

Result<wire::Publish> Dedup::sort_out(engine::Queue& queue, const wire::Publish& frame,
                                      std::uint32_t together, DedupLines& lines) {
    engine::DedupWindow& window = *queue.dedup();
    const engine::Time now = core_.now_.journal;
    engine::Engine::forget_ids(queue, now, forgotten_with(frame.count));
    lines.clear();
    lines.lines = frame.count;
    lines.position = window.table().end();
    lines.key = window.key();
    lines.batch = next_batch_;
    next_batch_ = (next_batch_ + 1) & batch_mask;
    bool elsewhere = false;
    wire::BatchReader reader(frame.batch);
    std::array<LineHash, hashed_together> hashed;
    for (std::uint32_t line = 0; line < frame.count;) {
        std::size_t count = 0;
        for (; line < frame.count && count < hashed.size(); ++line) {
            const auto message = reader.next();
            if (!message) {
                take_back(queue, lines);
                return frame;  // malformed, which is found where it is taken
            }
            const auto id = wire::find_attribute(message->attributes, wire::AttributeId::dedup_id);
            if (id && !id->empty() && id->size() <= wire::dedup_id_bytes_max) {
                hashed[count] = {line, dedup_hash(window.key(), *id)};
                window.bring_near(hashed[count++].hash);
            }
        }
        for (const LineHash& next : std::span(hashed).first(count)) {
            elsewhere = admit(queue, next, together, lines) || elsewhere;
        }
    }
    auto room = check_room(queue, lines);
    if (room && elsewhere) {
        room = Error{ErrorCode::memory_full,
                     "a message with the same dedup_id is on its way in a transaction", 0,
                     retry_after_ms};
    }
    if (!room) {
        take_back(queue, lines);
        return room.error();
    }
    if (lines.known.empty()) {
        return frame;
    }
    leave_out_known(frame, lines);
    wire::Publish rest = frame;
    rest.count = frame.count - static_cast<std::uint32_t>(lines.known.size());
    rest.batch = rest_;
    return rest;
}

// Returns whether it is on its way in another batch that is not admitted together with this one.
bool Dedup::admit(engine::Queue& queue, const LineHash& next, std::uint32_t together,
                  DedupLines& lines) const {
    const MessageNumber known = queue.dedup()->admit(
        next.hash, {lines.batch, next.line}, core_.now_.journal, queue.definition().dedup_window);
    if (known.value() == 0) {
        ++lines.expected;
        return false;
    }
    lines.known.push_back({next.line, known});
    return engine::is_expected(known) && ((engine::to_expected(known).batch - together) &
                                          batch_mask) > ((lines.batch - together) & batch_mask);
}

// For the ids that are new.
Result<void> Dedup::check_room(const engine::Queue& queue, const DedupLines& lines) const {
    if (lines.expected == 0) {
        return {};
    }
    const std::size_t held = queue.dedup()->table().size();
    const std::size_t leaving = held - std::min<std::size_t>(held, queue.definition().dedup_count);
    if (core_.engine_.dedup_ids() - leaving > core_.options_.dedup_ids_max) {
        return Error{ErrorCode::memory_full, "limits.dedup_ids is used up",
                     core_.options_.dedup_ids_max, retry_after_ms};
    }
    // Checkpoints tell them, and grow: that room is kept for what is there already.
    if (queue.durable() && (core_.backlog_->refusal() || core_.journal_->disk_full())) {
        return Error{ErrorCode::disk_full, "the disk is full: nothing is taken that has a dedup_id",
                     0, retry_after_ms};
    }
    return {};
}

void Dedup::leave_out_known(const wire::Publish& frame, const DedupLines& lines) {
    rest_.clear();
    wire::Bytes left = frame.batch;
    auto known = lines.known.begin();
    for (std::uint32_t line = 0; line < frame.count; ++line) {
        const std::size_t bytes = wire::message_header_bytes +
                                  wire::load<std::uint32_t>(left.data()) +
                                  wire::load<std::uint16_t>(left.data() + 4);
        if (known != lines.known.end() && known->line == line) {
            ++known;
        } else {
            rest_.insert(rest_.end(), left.begin(),
                         left.begin() + static_cast<std::ptrdiff_t>(bytes));
        }
        left = left.subspan(bytes);
    }
    rest_.insert(rest_.end(), left.begin(), left.end());  // more than the count says is refused
}

void Dedup::take_back(engine::Queue& queue, DedupLines& lines) {
    if (lines.expected > 0 && queue.dedup() != nullptr && queue.dedup()->key() == lines.key) {
        MQD_ASSERT(queue.dedup()->table().end() == lines.position + lines.expected, lines.position);
        queue.dedup()->take_back(lines.expected);
    }
    lines.clear();
}

void Dedup::number_lines(engine::Queue& queue, TakenBatch& batch) {
    DedupLines& lines = batch.dedup;
    const std::uint32_t expected = std::exchange(lines.expected, 0);
    engine::DedupWindow* window = queue.dedup();
    if (expected == 0 || window == nullptr || window->key() != lines.key) {
        return;  // the window was closed meanwhile
    }
    const std::vector<wire::ConfirmedRun> runs = batch.numbers();
    auto run = runs.begin();
    std::uint32_t before = 0;  // lines that are not known, in the runs before
    auto known = lines.known.begin();
    for (std::uint64_t at = lines.position; at < lines.position + expected; ++at) {
        const std::uint32_t line = engine::to_expected(window->table().at(at).number).line;
        while (known != lines.known.end() && known->line < line) {
            ++known;
        }
        const auto fresh = line - static_cast<std::uint32_t>(known - lines.known.begin());
        for (; fresh - before >= run->count; ++run) {
            before += run->count;
        }
        window->set_number(at, run->first_number.plus(fresh - before));
    }
}

void Dedup::taken(engine::Queue& queue, const DedupLines& lines) {
    core_.engine_.note_duplicates(queue, lines.known.size());
    engine::Engine::forget_ids(queue, core_.now_.journal, forgotten_with(lines.lines));
    if (sweep_at_ == engine::Time::max()) {
        sweep_soon();
    }
}

void Dedup::remember(engine::Queue& queue, const MessagesRecord& record) {
    if (!watches(queue) || storage::planted(storage::Fault::lost_dedup_mark)) {
        return;
    }
    engine::DedupWindow& window = *queue.dedup();
    wire::BatchReader reader(record.batch);
    for (std::uint64_t i = 0; i < record.range.count; ++i) {
        const auto message = reader.next();
        if (!message) {
            break;
        }
        if (const auto id = id_of(message->attributes)) {
            window.remember(dedup_hash(window.key(), *id), record.range.first.plus(i),
                            record.taken);
        }
    }
    engine::Engine::forget_ids(queue, record.taken, forgotten_with(record.range.count));
}

// Nobody outside knows the seed, which is of this process.
engine::DedupKey Dedup::new_key() {
    const engine::DedupKey seed = core_.options_.dedup_seed;
    const std::uint64_t count = ++keys_made_;
    const engine::DedupHash hash =
        dedup_hash(seed, wire::as_bytes({reinterpret_cast<const char*>(&count), sizeof count}));
    return {hash.low, hash.high};
}

void Dedup::append_opening(QueueId id, CommitGroup& group) {
    const PendingDedup opening{id, new_key()};
    append_dedup_marks(group.buffer, {id, {}, opening.key, {}});
    group.commands.push_back({PendingCommand::Kind::dedup, Durability::disk, nullptr, nullptr,
                              static_cast<std::uint32_t>(group.dedups.size()), 1});
    group.dedups.push_back(opening);
}

void Dedup::open(const PendingDedup& opening) {
    if (engine::Queue* queue = core_.engine_.find(opening.id)) {
        core_.engine_.open_dedup(*queue, opening.key);
    }
}

void Dedup::updated(QueueId id) {
    engine::Queue& queue = *core_.engine_.find(id);
    if (queue.definition().dedup_window.count() == 0) {
        engine::Engine::close_dedup(queue);
    }
    sweep_soon();
}

// After damage there may be ids of messages that are gone, or no key.
void Dedup::started(engine::Queue& queue) {
    if (!queue.durable()) {
        return;  // it is made anew
    }
    if (queue.definition().dedup_window.count() == 0) {
        engine::Engine::close_dedup(queue);
        return;
    }
    if (queue.dedup() == nullptr) {
        CommitGroup& group = core_.open_group(dedup_marks_bytes);
        append_opening(queue.id(), group);
        core_.raise_need(group, Need::durable);
        return;
    }
    std::vector<engine::DedupHash> lost;
    const engine::DedupTable& table = queue.dedup()->table();
    for (std::uint64_t at = table.begin(); at < table.end(); ++at) {
        const MessageNumber number = table.at(at).number;
        if (number != engine::DedupTable::forgotten && number >= queue.next_applied(number)) {
            lost.push_back(table.at(at).hash);
        }
    }
    for (const engine::DedupHash& hash : lost) {
        queue.dedup()->forget(hash);
    }
    sweep_soon();
}

void Dedup::sweep_soon() {
    sweep_at_ = std::min(sweep_at_, core_.now_.journal + sweep_every);
}

void Dedup::turn() {
    const engine::Time now = core_.now_.journal;
    if (now < sweep_at_) {
        return;
    }
    sweep_at_ = engine::Time::max();
    if (core_.engine_.dedup_ids() == 0) {
        return;
    }
    for (const auto& [name, queue] : core_.engine_.queues()) {
        if (queue->dedup() == nullptr) {
            continue;
        }
        engine::Engine::forget_ids(*queue, now, forgotten_per_sweep);
        const engine::DedupTable& table = queue->dedup()->table();
        if (!table.empty()) {
            const engine::Time over = table.oldest().taken + queue->definition().dedup_window;
            const bool more = over <= now || table.size() > queue->definition().dedup_count;
            sweep_at_ = std::min(sweep_at_,
                                 more ? now + sweep_on_after : std::max(over, now + sweep_every));
        }
    }
}

}  // namespace mqd::core
