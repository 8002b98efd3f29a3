#include "daemon/core/record.hpp"

#include <cstring>

#include "daemon/core/block.hpp"
#include "daemon/core/queue_options.hpp"

namespace mqd::core {

namespace {

// Writes into memory that is there already; the size was computed by the caller.
class RecordWriter {
  public:
    RecordWriter(storage::GroupBuffer& group, RecordType type, std::size_t body_bytes)
        : at_(group.extend(record_header_bytes + body_bytes)),
          end_(at_ + record_header_bytes + body_bytes) {
        number(static_cast<std::uint32_t>(body_bytes));
        number(static_cast<std::uint8_t>(type));
        number(std::uint8_t{0});
        number(std::uint16_t{0});
    }
    ~RecordWriter() { MQD_ASSERT(at_ == end_); }
    RecordWriter(const RecordWriter&) = delete;
    RecordWriter& operator=(const RecordWriter&) = delete;

    template <typename T>
    RecordWriter& number(T value) {
        wire::store(at_, value);
        at_ += sizeof value;
        return *this;
    }
    RecordWriter& bytes(wire::Bytes bytes) {
        if (!bytes.empty()) {
            std::memcpy(at_, bytes.data(), bytes.size());
        }
        at_ += bytes.size();
        return *this;
    }

  private:
    std::byte* at_;
    std::byte* end_;
};

// What is not as it is without being said.
wire::QueueOptions stored_options(const engine::QueueDefinition& definition) {
    static const engine::QueueDefinition otherwise;
    return options_of(definition, &otherwise);
}

// Without what dead_letter and retry hold.
constexpr std::size_t options_bytes_max = 200;

}  // namespace

void append_create_queue(storage::GroupBuffer& group, const engine::CreateQueue& command) {
    const std::string& name = command.definition.name;
    std::vector<std::byte> options;
    if (const wire::QueueOptions stored = stored_options(command.definition); stored.count() > 0) {
        wire::Writer writer(options);
        stored.encode(writer);
    }
    RecordWriter record(group, RecordType::create_queue,
                        4 + 1 + 4 + 8 + 1 + name.size() + options.size());
    record.number(command.id.value());
    record.number(static_cast<std::uint8_t>(command.definition.durability));
    record.number(static_cast<std::uint32_t>(command.definition.lease.count()));
    record.number(command.next.value());
    record.number(static_cast<std::uint8_t>(name.size())).bytes(wire::as_bytes(name));
    record.bytes(options);
}

std::size_t create_queue_bytes(const engine::QueueDefinition& definition) {
    return record_header_bytes + 18 + definition.name.size() + options_bytes_max +
           definition.dead_letter.size() + definition.retry.size() * sizeof(std::uint32_t);
}

void append_update_queue(storage::GroupBuffer& group, QueueId id,
                         const wire::QueueOptions& options) {
    std::vector<std::byte> encoded;
    wire::Writer writer(encoded);
    options.encode(writer);
    RecordWriter(group, RecordType::update_queue, 4 + encoded.size())
        .number(id.value())
        .bytes(encoded);
}

void append_note_failure(storage::GroupBuffer& group, const engine::NoteFailure& command) {
    const engine::Failure& failure = command.failure;
    const std::string_view reason = failure.reason ? std::string_view(*failure.reason) : "";
    MQD_ASSERT(reason.size() <= UINT8_MAX, reason.size());
    RecordWriter record(group, RecordType::note_failure, 4 + 4 * 8 + 1 + 1 + reason.size());
    record.number(command.id.value());
    record.number(command.range.first.value()).number(command.range.count);
    record.number(wire::to_micros(failure.first)).number(wire::to_micros(failure.last));
    record.number(static_cast<std::uint8_t>(failure.rejected));
    record.number(static_cast<std::uint8_t>(reason.size())).bytes(wire::as_bytes(reason));
}

void append_delay(storage::GroupBuffer& group, std::span<const engine::DelayMessages> runs) {
    RecordWriter record(group, RecordType::delay_messages, 8 + runs.size() * delay_run_bytes);
    record.number(runs.front().id.value()).number(static_cast<std::uint32_t>(runs.size()));
    for (const engine::DelayMessages& run : runs) {
        MQD_ASSERT(run.range.count <= UINT32_MAX, run.range.count);
        record.number(run.range.first.value());
        record.number(static_cast<std::uint32_t>(run.range.count));
        record.number(static_cast<std::uint8_t>(run.due.clock)).number(std::uint8_t{0});
        record.number(static_cast<std::uint16_t>(std::min(run.attempts, delay_attempts_max)));
        record.number(run.due.at);
    }
}

void append_group(storage::GroupBuffer& group, QueueId id,
                  std::span<const engine::GroupMember> members) {
    RecordWriter record(group, RecordType::group_messages, 8 + members.size() * group_member_bytes);
    record.number(id.value()).number(static_cast<std::uint32_t>(members.size()));
    for (const engine::GroupMember& member : members) {
        record.number(member.number.value()).number(member.group.value());
    }
}

void append_mark_producer(storage::GroupBuffer& group, const engine::MarkProducer& command) {
    RecordWriter record(group, RecordType::mark_producer,
                        mark_producer_record_bytes(command.name) - record_header_bytes);
    record.number(command.id.value()).number(command.line.value());
    record.number(wire::to_micros(command.used));
    record.number(static_cast<std::uint8_t>(command.name.size()));
    record.bytes(wire::as_bytes(command.name));
}

namespace {

// How many from there on are consecutive and were taken at one time.
std::size_t run_length(std::span<const engine::DedupTable::Entry> entries) {
    std::size_t n = 1;
    while (n < entries.size() && entries[n].taken == entries.front().taken &&
           entries[n].number == entries.front().number.plus(n)) {
        ++n;
    }
    return n;
}

}  // namespace

void append_dedup_marks(storage::GroupBuffer& group, const DedupMarks& marks) {
    std::uint32_t runs = 0;
    std::span<const engine::DedupTable::Entry> left = marks.entries;
    for (; !left.empty(); left = left.subspan(run_length(left))) {
        ++runs;
    }
    RecordWriter record(group, RecordType::dedup_marks,
                        dedup_marks_bytes - record_header_bytes + runs * dedup_run_bytes +
                            marks.entries.size() * dedup_hash_bytes);
    record.number(marks.id.value()).number(marks.as_of.value());
    record.number(marks.key.low).number(marks.key.high).number(runs);
    for (left = marks.entries; !left.empty();) {
        const std::size_t length = run_length(left);
        record.number(left.front().number.value()).number(static_cast<std::uint32_t>(length));
        record.number(left.front().taken.time_since_epoch().count());
        for (const engine::DedupTable::Entry& entry : left.first(length)) {
            record.number(entry.hash.high).number(entry.hash.low);
        }
        left = left.subspan(length);
    }
}

void append_delete_queue(storage::GroupBuffer& group, QueueId id) {
    RecordWriter(group, RecordType::delete_queue, 4).number(id.value());
}

void append_messages(storage::GroupBuffer& group, RecordType type, const MessagesRecord& record) {
    RecordWriter writer(group, type, messages_fixed_bytes + record.batch.size());
    writer.number(record.id.value()).number(static_cast<std::uint32_t>(record.range.count));
    writer.number(record.range.first.value()).number(wire::to_micros(record.published));
    writer.number(record.sender.uid).number(record.sender.gid).number(record.sender.pid);
    writer.number(std::uint32_t{0}).bytes(record.batch);
}

namespace {

void append_ranges(storage::GroupBuffer& group, RecordType type, QueueId id,
                   std::span<const MessageRange> ranges) {
    while (!ranges.empty()) {
        const auto some = ranges.first(std::min(ranges.size(), remove_ranges_max));
        RecordWriter record(group, type, 8 + some.size() * 16);
        record.number(id.value()).number(static_cast<std::uint32_t>(some.size()));
        for (const MessageRange& range : some) {
            record.number(range.first.value()).number(range.count);
        }
        ranges = ranges.subspan(some.size());
    }
}

}  // namespace

void append_remove(storage::GroupBuffer& group, QueueId id, std::span<const MessageRange> ranges) {
    append_ranges(group, RecordType::remove_messages, id, ranges);
}

void append_undo_purge(storage::GroupBuffer& group, QueueId id,
                       std::span<const MessageRange> ranges) {
    append_ranges(group, RecordType::undo_purge, id, ranges);
}

void append_purge(storage::GroupBuffer& group, std::span<const engine::PurgeMessages> runs) {
    RecordWriter record(group, RecordType::purge_messages, 8 + runs.size() * purge_run_bytes);
    record.number(runs.front().id.value()).number(static_cast<std::uint32_t>(runs.size()));
    for (const engine::PurgeMessages& run : runs) {
        record.number(run.range.first.value()).number(run.range.count);
        record.number(run.until.time_since_epoch().count());
    }
}

void append_count_delivery(storage::GroupBuffer& group, const engine::CountDelivery& command) {
    RecordWriter record(group, RecordType::count_delivery, 24);
    record.number(command.id.value()).number(command.attempts);
    record.number(command.range.first.value()).number(command.range.count);
}

void append_restore(storage::GroupBuffer& group, QueueId id,
                    std::span<const engine::LiveRun> runs) {
    while (!runs.empty()) {
        // A gap of more than 32 bits, as a message that is stuck for ever makes it, begins a new
        // record.
        std::size_t n = 1;
        while (n < std::min(runs.size(), restore_runs_max) &&
               runs[n].range.first - runs[n - 1].range.end() <= UINT32_MAX) {
            ++n;
        }
        RecordWriter record(group, RecordType::restore_messages, 16 + n * restore_run_bytes);
        MessageNumber at = runs.front().range.first;
        record.number(id.value()).number(at.value()).number(static_cast<std::uint32_t>(n));
        for (const engine::LiveRun& run : runs.first(n)) {
            MQD_ASSERT(run.range.count <= UINT32_MAX, run.range.count);
            record.number(static_cast<std::uint32_t>(run.range.first - at));
            record.number(static_cast<std::uint32_t>(run.range.count));
            record.number(run.attempts);
            at = run.range.end();
        }
        runs = runs.subspan(n);
    }
}

void append_skip_numbers(storage::GroupBuffer& group, const engine::SkipNumbers& command) {
    RecordWriter record(group, RecordType::skip_numbers, 12);
    record.number(command.id.value()).number(command.next.value());
}

void append_tell_numbers(storage::GroupBuffer& group, QueueId id, MessageNumber next) {
    RecordWriter(group, RecordType::tell_numbers, 12).number(id.value()).number(next.value());
}

void append_next_queue_id(storage::GroupBuffer& group, QueueId id) {
    RecordWriter(group, RecordType::next_queue_id, 4).number(id.value());
}

void append_place(storage::GroupBuffer& group, const PageRecord& record) {
    RecordWriter writer(group, RecordType::place_messages, place_bytes);
    writer.number(record.id.value()).number(record.address.segment.value());
    writer.number(record.range.first.value()).number(record.range.count);
    writer.number(record.address.offset).number(record.address.bytes).number(record.held);
    for (const engine::Time time :
         {record.times.oldest, record.times.tenth, record.times.expires}) {
        writer.number(std::int64_t{time.time_since_epoch().count()});
    }
}

void append_taken(storage::GroupBuffer& group, const TakenRecord& record) {
    RecordWriter(group, RecordType::note_taken, 12)
        .number(record.id.value())
        .number(std::int64_t{record.taken.time_since_epoch().count()});
}

void append_see_checkpoint(storage::GroupBuffer& group, std::uint64_t number) {
    RecordWriter(group, RecordType::see_checkpoint, 8).number(number);
}

void append_state_of(storage::GroupBuffer& group, const StatePart& part) {
    RecordWriter writer(group, RecordType::state_of, 28);
    writer.number(part.id.value()).number(part.from.value()).number(part.to.value());
    writer.number(part.as_of.value());
}

void append_next_segment(storage::GroupBuffer& group, storage::SegmentNumber number) {
    RecordWriter(group, RecordType::next_segment, 4).number(number.value());
}

}  // namespace mqd::core
