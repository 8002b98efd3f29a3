// Any bytes as the records of a group or of a checkpoint: each decoder takes or refuses them; what
// it takes is sane, and encoded again it is taken again, alike.

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "daemon/core/block.hpp"
#include "daemon/core/record.hpp"
#include "mqd/assert.hpp"

namespace {

using namespace mqd;
using namespace mqd::core;

// The body of the record that was appended.
wire::Bytes only_record(storage::GroupBuffer& group, RecordType type) {
    RecordReader reader(group.body());
    const auto record = reader.next();
    MQD_ASSERT(record.has_value() && record->type == type);
    MQD_ASSERT(!reader.next().has_value() && reader.ok());
    return record->body;
}

// What a decoder read of the body ends where the encoder's does; more may follow it.
void expect_same(storage::GroupBuffer& group, RecordType type, wire::Bytes body) {
    const wire::Bytes again = only_record(group, type);
    MQD_ASSERT(again.size() <= body.size(), again.size(), body.size());
    MQD_ASSERT(std::ranges::equal(again, body.first(again.size())));
}

void decode(wire::Bytes body) {
    storage::GroupBuffer group;
    const auto encoded = [&](RecordType type) {
        expect_same(group, type, body);
        group.clear();
    };
    if (const auto found = decode_create_queue(body)) {
        append_create_queue(group, *found);
        encoded(RecordType::create_queue);
    }
    if (const auto found = decode_queue_id(body)) {
        append_delete_queue(group, *found);
        encoded(RecordType::delete_queue);
    }
    DedupMarks marks;
    if (decode_dedup_marks(body, marks)) {
        append_dedup_marks(group, marks);  // runs that follow each other become one
        DedupMarks again;
        MQD_ASSERT(decode_dedup_marks(only_record(group, RecordType::dedup_marks), again));
        MQD_ASSERT(again.entries.size() == marks.entries.size(), marks.entries.size());
        group.clear();
    }
    if (const auto found = decode_mark_producer(body)) {
        append_mark_producer(group, *found);
        encoded(RecordType::mark_producer);
    }
    if (const auto found = decode_count_delivery(body)) {
        MQD_ASSERT(found->range.first <= found->range.end());
        append_count_delivery(group, *found);
        encoded(RecordType::count_delivery);
    }
    if (const auto found = decode_skip_numbers(body)) {
        append_skip_numbers(group, *found);
        encoded(RecordType::skip_numbers);
    }
    if (const auto found = decode_place(body)) {
        MQD_ASSERT(found->held > 0 && found->held <= found->range.count);
        MQD_ASSERT(found->range.first < found->range.end());
        append_place(group, *found);
        if (body.size() < place_bytes) {
            group.clear();  // of a store that knew no times
        } else {
            encoded(RecordType::place_messages);
        }
    }
    if (const auto found = decode_taken(body)) {
        append_taken(group, *found);
        encoded(RecordType::note_taken);
    }
    if (const auto found = decode_state_of(body)) {
        MQD_ASSERT(found->from < found->to);
        append_state_of(group, *found);
        encoded(RecordType::state_of);
    }
    if (const auto found = decode_see_checkpoint(body)) {
        append_see_checkpoint(group, *found);
        encoded(RecordType::see_checkpoint);
    }
    if (const auto found = decode_next_segment(body)) {
        append_next_segment(group, *found);
        encoded(RecordType::next_segment);
    }
    std::vector<MessageRange> ranges;
    if (const auto found = decode_remove(body, ranges)) {
        for (const MessageRange& range : found->ranges) {
            MQD_ASSERT(range.first < range.end());
        }
    }
    std::vector<engine::RestoreMessages> runs;
    if (decode_restore(body, runs)) {
        std::uint64_t before = 0;
        for (const engine::RestoreMessages& run : runs) {
            MQD_ASSERT(run.range.count > 0 && run.range.first.value() >= before);
            MQD_ASSERT(run.range.first < run.range.end());
            before = run.range.end().value();
        }
    }
    if (const auto found = decode_messages(body)) {
        MQD_ASSERT(found->range.first < found->range.end());
        if (Block* block = Block::from_record(*found)) {
            MQD_ASSERT(block->bytes == found->batch.size(), block->bytes);
            MQD_ASSERT(block->offsets()[block->count - 1] == block->bytes);
            block->drop_reference();
        }
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    RecordReader reader(std::as_bytes(std::span(data, size)));
    while (const auto record = reader.next()) {
        // A copy that ends where the body ends: the sanitizer sees a byte read too far.
        const std::vector<std::byte> body(record->body.begin(), record->body.end());
        decode(body);
    }
    return 0;
}
