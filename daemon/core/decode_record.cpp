// The reading side of the records.

#include "daemon/core/record.hpp"

#include <cstring>

#include "daemon/core/block.hpp"
#include "daemon/core/queue_options.hpp"

namespace mqd::core {

namespace {

// Of the journal clock, far enough from the end of time that a TTL can be added.
constexpr bool sane_time(std::int64_t ns) {
    return ns >= 0 && ns <= INT64_MAX / 2;
}

engine::Time read_time(wire::Reader& r) {
    return engine::Time(std::chrono::nanoseconds(r.number<std::int64_t>()));
}

bool sane_time(engine::Time time) {
    return time == engine::Time::min() || time == engine::Time::max() ||
           sane_time(time.time_since_epoch().count());
}

bool sane_range(MessageNumber first, std::uint64_t count) {
    return count > 0 && first.value() <= UINT64_MAX - count;
}

// u32 id | u32 n | n x (u64 first, u64 count). The queue; nothing if it is malformed.
std::optional<QueueId> decode_ranges(wire::Bytes body, std::vector<MessageRange>& ranges) {
    wire::Reader r(body);
    const QueueId id(r.number<std::uint32_t>());
    const auto n = r.number<std::uint32_t>();
    ranges.clear();
    for (std::uint32_t i = 0; i < n && r.ok(); ++i) {
        const MessageNumber first(r.number<std::uint64_t>());
        const auto count = r.number<std::uint64_t>();
        if (!sane_range(first, count)) {
            return std::nullopt;
        }
        ranges.push_back({first, count});
    }
    return r.ok() && n <= remove_ranges_max ? std::optional(id) : std::nullopt;
}

}  // namespace

std::optional<engine::CreateQueue> decode_create_queue(wire::Bytes body) {
    wire::Reader r(body);
    engine::CreateQueue command;
    command.id = QueueId(r.number<std::uint32_t>());
    const auto durability = r.number<std::uint8_t>();
    command.definition.durability = static_cast<Durability>(durability);
    command.definition.lease = std::chrono::milliseconds(r.number<std::uint32_t>());
    command.next = MessageNumber(r.number<std::uint64_t>());
    command.definition.name = std::string(r.string8());
    bool known = true;
    if (!r.rest().empty()) {
        const wire::QueueOptions options = wire::QueueOptions::decode(r);
        known = check_options(command.definition.name, options).has_value();
        set_options(command.definition, options);
    }
    const bool sane = durability >= static_cast<std::uint8_t>(Durability::memory) &&
                      durability <= static_cast<std::uint8_t>(Durability::disk) &&
                      command.next.value() >= 1 && command.definition.lease.count() > 0 && known &&
                      wire::valid_queue_name(command.definition.name);
    return r.ok() && sane ? std::optional(command) : std::nullopt;
}

std::optional<UpdateRecord> decode_update_queue(wire::Bytes body) {
    wire::Reader r(body);
    UpdateRecord record;
    record.id = QueueId(r.number<std::uint32_t>());
    record.options = wire::QueueOptions::decode(r);
    return r.ok() && check_options({}, record.options) ? std::optional(record) : std::nullopt;
}

std::optional<engine::NoteFailure> decode_note_failure(wire::Bytes body) {
    wire::Reader r(body);
    engine::NoteFailure command;
    command.id = QueueId(r.number<std::uint32_t>());
    command.range.first = MessageNumber(r.number<std::uint64_t>());
    command.range.count = r.number<std::uint64_t>();
    command.failure.first = wire::from_micros(r.number<std::int64_t>());
    command.failure.last = wire::from_micros(r.number<std::int64_t>());
    command.failure.rejected = r.number<std::uint8_t>() != 0;
    const std::string_view reason = r.string8();
    if (!reason.empty()) {
        command.failure.reason = std::make_shared<const std::string>(reason);
    }
    const bool sane =
        command.range.count > 0 && command.range.first.value() <= UINT64_MAX - command.range.count;
    return r.ok() && sane ? std::optional(command) : std::nullopt;
}

bool decode_delay(wire::Bytes body, std::vector<engine::DelayMessages>& runs) {
    wire::Reader r(body);
    runs.clear();
    const QueueId id(r.number<std::uint32_t>());
    const auto n = r.number<std::uint32_t>();
    for (std::uint32_t i = 0; i < n && r.ok(); ++i) {
        engine::DelayMessages run;
        run.id = id;
        run.range.first = MessageNumber(r.number<std::uint64_t>());
        run.range.count = r.number<std::uint32_t>();
        const auto clock = r.number<std::uint8_t>();
        (void)r.number<std::uint8_t>();
        run.attempts = r.number<std::uint16_t>();
        run.due = {static_cast<engine::DueClock>(clock), r.number<std::int64_t>()};
        if (run.range.count == 0 || run.range.first.value() > UINT64_MAX - run.range.count ||
            clock >= engine::due_clocks) {
            return false;
        }
        runs.push_back(run);
    }
    return r.ok() && n > 0;
}

std::optional<QueueId> decode_group(wire::Bytes body, std::vector<engine::GroupMember>& members) {
    wire::Reader r(body);
    members.clear();
    const QueueId id(r.number<std::uint32_t>());
    const auto n = r.number<std::uint32_t>();
    for (std::uint32_t i = 0; i < n && r.ok(); ++i) {
        const MessageNumber number(r.number<std::uint64_t>());
        const engine::GroupId group(r.number<std::uint64_t>());
        if (number.value() == UINT64_MAX || group.value() >> engine::group_id_bits != 0) {
            return std::nullopt;
        }
        members.push_back({number, group});
    }
    return r.ok() ? std::optional(id) : std::nullopt;
}

std::optional<engine::MarkProducer> decode_mark_producer(wire::Bytes body) {
    wire::Reader r(body);
    engine::MarkProducer command;
    command.id = QueueId(r.number<std::uint32_t>());
    command.line = LineNumber(r.number<std::uint64_t>());
    command.used = wire::from_micros(r.number<std::int64_t>());
    command.name = r.string8();
    const bool sane = command.line.value() > 0 && !command.name.empty() &&
                      command.name.size() <= wire::producer_name_bytes_max;
    return r.ok() && sane ? std::optional(command) : std::nullopt;
}

bool decode_dedup_marks(wire::Bytes body, DedupMarks& marks) {
    wire::Reader r(body);
    marks.id = QueueId(r.number<std::uint32_t>());
    marks.as_of = Sequence(r.number<std::uint64_t>());
    marks.key.low = r.number<std::uint64_t>();
    marks.key.high = r.number<std::uint64_t>();
    marks.entries.clear();
    const auto runs = r.number<std::uint32_t>();
    for (std::uint32_t run = 0; run < runs && r.ok(); ++run) {
        const MessageNumber first(r.number<std::uint64_t>());
        const auto count = r.number<std::uint32_t>();
        const auto taken = r.number<std::int64_t>();
        if (first.value() == 0 || count == 0 || !sane_time(taken) ||
            count > r.rest().size() / dedup_hash_bytes || engine::is_expected(first.plus(count))) {
            return false;
        }
        for (std::uint32_t i = 0; i < count; ++i) {
            engine::DedupHash hash;
            hash.high = r.number<std::uint64_t>();
            hash.low = r.number<std::uint64_t>();
            marks.entries.push_back(
                {hash, first.plus(i), engine::Time(std::chrono::nanoseconds(taken))});
        }
    }
    return r.ok() && r.rest().empty();
}

std::optional<QueueId> decode_queue_id(wire::Bytes body) {
    wire::Reader r(body);
    const QueueId id(r.number<std::uint32_t>());
    return r.ok() ? std::optional(id) : std::nullopt;
}

std::optional<MessagesRecord> decode_messages(wire::Bytes body) {
    wire::Reader r(body);
    MessagesRecord record;
    record.id = QueueId(r.number<std::uint32_t>());
    record.range.count = r.number<std::uint32_t>();
    record.range.first = MessageNumber(r.number<std::uint64_t>());
    record.published = wire::from_micros(r.number<std::int64_t>());
    record.sender = wire::decode_identity(r);
    (void)r.number<std::uint32_t>();
    record.batch = r.rest();
    const bool sane = record.range.count >= 1 && record.range.count <= wire::batch_messages_max &&
                      record.range.first.value() >= 1 &&
                      record.range.first.value() <= UINT64_MAX - record.range.count;
    return r.ok() && sane ? std::optional(record) : std::nullopt;
}

Block* Block::from_record(const MessagesRecord& record) {
    const auto count = static_cast<std::uint32_t>(record.range.count);
    if (record.batch.size() / wire::message_header_bytes < count) {
        return nullptr;
    }
    Block* block = create(count, static_cast<std::uint32_t>(record.batch.size()));
    wire::AttributeSet seen;
    if (wire::check_batch(record.batch, count, wire::message_body_bytes_hard_max, block->offsets(),
                          wire::Author::daemon, seen)) {
        block->drop_reference();
        return nullptr;
    }
    std::memcpy(block->data(), record.batch.data(), record.batch.size());
    block->first = record.range.first;
    block->queue = record.id;
    block->published = record.published;
    block->sender = record.sender;
    block->grouped = seen.has(wire::AttributeId::group);
    block->ttl_min = seen.ttl_min();
    if (record.taken != engine::Time::min()) {
        block->take(record.taken);
    }
    return block;
}

std::optional<engine::RemoveMessages> decode_remove(wire::Bytes body,
                                                    std::vector<MessageRange>& ranges) {
    const auto id = decode_ranges(body, ranges);
    return id ? std::optional(engine::RemoveMessages{*id, ranges}) : std::nullopt;
}

std::optional<engine::UndoPurge> decode_undo_purge(wire::Bytes body,
                                                   std::vector<MessageRange>& ranges) {
    const auto id = decode_ranges(body, ranges);
    return id ? std::optional(engine::UndoPurge{*id, ranges}) : std::nullopt;
}

bool decode_purge(wire::Bytes body, std::vector<engine::PurgeMessages>& runs) {
    wire::Reader r(body);
    runs.clear();
    const QueueId id(r.number<std::uint32_t>());
    const auto n = r.number<std::uint32_t>();
    for (std::uint32_t i = 0; i < n && r.ok(); ++i) {
        const MessageNumber first(r.number<std::uint64_t>());
        const auto count = r.number<std::uint64_t>();
        const auto until = r.number<std::int64_t>();
        if (!sane_range(first, count) || !sane_time(until)) {
            return false;
        }
        runs.push_back({id, {first, count}, engine::Time(std::chrono::nanoseconds(until))});
    }
    return r.ok() && n > 0;
}

std::optional<engine::CountDelivery> decode_count_delivery(wire::Bytes body) {
    wire::Reader r(body);
    engine::CountDelivery command;
    command.id = QueueId(r.number<std::uint32_t>());
    command.attempts = r.number<std::uint32_t>();
    command.range.first = MessageNumber(r.number<std::uint64_t>());
    command.range.count = r.number<std::uint64_t>();
    const bool sane =
        command.range.count > 0 && command.range.first.value() <= UINT64_MAX - command.range.count;
    return r.ok() && sane ? std::optional(command) : std::nullopt;
}

bool decode_restore(wire::Bytes body, std::vector<engine::RestoreMessages>& runs) {
    wire::Reader r(body);
    const QueueId id(r.number<std::uint32_t>());
    std::uint64_t at = r.number<std::uint64_t>();
    const auto n = r.number<std::uint32_t>();
    runs.clear();
    for (std::uint32_t i = 0; i < n && r.ok(); ++i) {
        const std::uint64_t gap = r.number<std::uint32_t>();
        const std::uint64_t count = r.number<std::uint32_t>();
        const auto attempts = r.number<std::uint32_t>();
        if (count == 0 || at > UINT64_MAX - (gap + count)) {
            return false;
        }
        at += gap;
        runs.push_back({id, {MessageNumber(at), count}, attempts});
        at += count;
    }
    return r.ok();
}

std::optional<engine::SkipNumbers> decode_skip_numbers(wire::Bytes body) {
    wire::Reader r(body);
    engine::SkipNumbers command;
    command.id = QueueId(r.number<std::uint32_t>());
    command.next = MessageNumber(r.number<std::uint64_t>());
    return r.ok() ? std::optional(command) : std::nullopt;
}

std::optional<PageRecord> decode_place(wire::Bytes body) {
    wire::Reader r(body);
    PageRecord record;
    record.id = QueueId(r.number<std::uint32_t>());
    record.address.segment = storage::SegmentNumber(r.number<std::uint32_t>());
    record.range.first = MessageNumber(r.number<std::uint64_t>());
    record.range.count = r.number<std::uint64_t>();
    record.address.offset = r.number<std::uint64_t>();
    record.address.bytes = r.number<std::uint32_t>();
    record.held = r.number<std::uint32_t>();
    PageTimes& times = record.times;
    if (!r.rest().empty()) {
        for (engine::Time* time : {&times.oldest, &times.tenth, &times.expires}) {
            *time = read_time(r);
        }
    }
    const bool sane = record.range.count > 0 && record.range.first.value() >= 1 &&
                      record.range.first.value() <= UINT64_MAX - record.range.count &&
                      record.held > 0 && record.held <= record.range.count &&
                      record.address.segment.value() > 0 &&
                      record.address.bytes > sizeof(storage::PageHeader) &&
                      record.address.offset <= UINT64_MAX - record.address.bytes &&
                      sane_time(times.oldest) && sane_time(times.tenth) && sane_time(times.expires);
    return r.ok() && sane ? std::optional(record) : std::nullopt;
}

std::optional<TakenRecord> decode_taken(wire::Bytes body) {
    wire::Reader r(body);
    const QueueId id(r.number<std::uint32_t>());
    const auto ns = r.number<std::int64_t>();
    return r.ok() && sane_time(ns)
               ? std::optional(TakenRecord{id, engine::Time(std::chrono::nanoseconds(ns))})
               : std::nullopt;
}

std::optional<StatePart> decode_state_of(wire::Bytes body) {
    wire::Reader r(body);
    StatePart part;
    part.id = QueueId(r.number<std::uint32_t>());
    part.from = MessageNumber(r.number<std::uint64_t>());
    part.to = MessageNumber(r.number<std::uint64_t>());
    part.as_of = Sequence(r.number<std::uint64_t>());
    return r.ok() && part.from < part.to ? std::optional(part) : std::nullopt;
}

std::optional<std::uint64_t> decode_see_checkpoint(wire::Bytes body) {
    wire::Reader r(body);
    const auto number = r.number<std::uint64_t>();
    return r.ok() ? std::optional(number) : std::nullopt;
}

std::optional<storage::SegmentNumber> decode_next_segment(wire::Bytes body) {
    wire::Reader r(body);
    const auto number = r.number<std::uint32_t>();
    return r.ok() && number > 0 ? std::optional(storage::SegmentNumber(number)) : std::nullopt;
}

}  // namespace mqd::core
