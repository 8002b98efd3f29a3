// Messages that wait for a time: what a PUBLISH says of it, what becomes of it after a failure, and
// their waking.

#include <algorithm>

#include "daemon/core/core.hpp"
#include "daemon/core/record.hpp"
#include "daemon/storage/planted_fault.hpp"
#include "mqd/wire/batch.hpp"

namespace mqd::core {

namespace {

// Woken in one turn: runs of messages.
constexpr std::size_t woken_per_turn = 1024;

}  // namespace

// Notes until when the messages wait, which have these positions in the parts of the batch. Runs of
// delays before `joined_from` are of another part.
Result<void> Core::read_times(wire::Bytes batch, std::uint64_t position, std::size_t joined_from) {
    wire::BatchReader reader(batch);
    for (std::uint64_t index = position;; ++index) {
        const auto message = reader.next();
        if (!message) {
            return {};
        }
        const auto due = due_of(message->attributes);
        if (!due) {
            return due.error();
        }
        if (!*due) {
            continue;
        }
        if (batch_.delays.size() > joined_from &&
            batch_.delays.back().range.end().value() == index &&
            batch_.delays.back().due == **due) {
            ++batch_.delays.back().range.count;
        } else {
            batch_.delays.push_back({{}, {MessageNumber(index), 1}, **due});
        }
    }
}

// Nothing: it does not wait. Delays are rounded up to whole milliseconds, so that what comes
// together is due together.
Result<std::optional<engine::Due>> Core::due_of(wire::Bytes attributes) const {
    constexpr auto milliseconds_max = static_cast<std::uint64_t>(wire::delay_max.count());
    const auto times = wire::decode_times(attributes);
    if (!times) {
        return Error{ErrorCode::bad_option, "a message has one delay or one due time"};
    }
    if (times->delay_ms.value_or(0) > milliseconds_max) {
        return Error{ErrorCode::bad_option, "delay: more than ten years", milliseconds_max};
    }
    if (times->delay_ms.value_or(0) > 0) {
        const std::chrono::milliseconds delay(*times->delay_ms);
        return std::optional(
            engine::Due::on(std::chrono::ceil<std::chrono::milliseconds>(now_.journal + delay)));
    }
    const std::int64_t wall = wire::to_micros(now_.wall);
    if (times->due_us.value_or(wall) <= wall) {
        return std::optional<engine::Due>();
    }
    if (*times->due_us - wall > std::chrono::microseconds(wire::delay_max).count()) {
        return Error{ErrorCode::bad_option, "due: more than ten years ahead", milliseconds_max};
    }
    return std::optional(engine::Due::on(wire::from_micros(*times->due_us)));
}

// In the group of the messages, and behind them.
void Core::append_delays(engine::Queue& queue, CommitGroup& group) {
    if (batch_.delays.empty()) {
        return;
    }
    if (!storage::planted(storage::Fault::forgotten_delay)) {
        append_delay(group.buffer, batch_.delays);
    }
    group.commands.push_back({PendingCommand::Kind::delay, queue.definition().durability, &queue,
                              nullptr, static_cast<std::uint32_t>(group.delays.size()),
                              static_cast<std::uint32_t>(batch_.delays.size())});
    group.delays.insert(group.delays.end(), batch_.delays.begin(), batch_.delays.end());
    admitted_delays_ += batch_.delays.size();
}

// What was delayed after a failure. It rides along: a power loss may forget the last, and then they
// are ready at once.
void Core::journal_delays() {
    for (const engine::DelayMessages& delayed : engine_.delayed()) {
        const engine::Queue* queue = engine_.find(delayed.id);
        if (queue == nullptr || !queue->durable() || queue->deleting() || failure_) {
            continue;
        }
        for (engine::DelayMessages part = delayed; part.range.count > 0;) {
            const std::uint64_t left = part.range.count;
            part.range.count = std::min<std::uint64_t>(left, UINT32_MAX);
            if (CommitGroup* group = open_aside(delay_record_bytes(1))) {
                append_delay(group->buffer, {&part, 1});
            }
            part.range = {part.range.end(), left - part.range.count};
        }
    }
    engine_.delayed().clear();
}

void Core::wake_due() {
    engine_.wake_due({now_.journal, now_.wall}, woken_per_turn);
}

WallTime Core::wall_time_of(engine::Due due) const {
    if (due.clock == engine::DueClock::wall) {
        return WallTime(std::chrono::microseconds(due.at));
    }
    const auto ahead = engine::Time(std::chrono::nanoseconds(due.at)) - now_.journal;
    return now_.wall + std::chrono::ceil<std::chrono::microseconds>(ahead);
}

}  // namespace mqd::core
