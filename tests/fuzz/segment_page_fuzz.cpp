// A page of a segment with any bytes: it is read and cut into blocks, or refused. What comes out is
// in order, within the range of the page, and well-formed; and encoded again it gives the same.
//
// Input: how (bit 0: the bytes are the body, and the checksums are right; else they are the page),
// count of the range (u8), then the bytes.

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "daemon/core/read_page.hpp"
#include "daemon/core/record.hpp"
#include "mqd/assert.hpp"
// The fuzzers link no test library.
#include "support/sim_disk.cpp"  // NOLINT

namespace {

using namespace mqd;

constexpr QueueId queue{1};
constexpr storage::SegmentNumber segment{1};
constexpr std::uint64_t offset = sizeof(storage::SegmentHeader);

void check_blocks(const core::ReadPage& page) {
    MessageNumber at = page.range.first;
    for (core::Block* block : page.blocks) {
        MQD_ASSERT(block->first >= at && block->count > 0, block->first);
        MQD_ASSERT(block->end() <= page.range.end(), block->first);
        MQD_ASSERT(block->queue == queue && block->references == 1);
        at = block->end();
        const MessageRange all{block->first, block->count};
        MQD_ASSERT(block->slice(all).size() == block->bytes, block->bytes);
        storage::GroupBuffer again;
        core::append_messages(again, core::RecordType::carry_messages,
                              {queue, all, block->published, block->sender, block->slice(all)});
        core::RecordReader reader(again.body());
        const auto record = reader.next();
        MQD_ASSERT(record.has_value());
        const auto messages = core::decode_messages(record->body);
        MQD_ASSERT(messages.has_value() && messages->range == all);
        MQD_ASSERT(std::ranges::equal(messages->batch, block->slice(all)));
    }
}

void run(std::uint8_t how, std::uint8_t count, std::span<const std::byte> input) {
    const bool sealed = how % 2 != 0;
    std::vector<std::byte> page(sealed ? sizeof(storage::PageHeader) : 0);
    page.insert(page.end(), input.begin(), input.end());
    if (page.size() <= sizeof(storage::PageHeader)) {
        return;
    }
    const MessageRange range{MessageNumber(1), std::max<std::uint64_t>(1, count)};
    if (sealed) {
        storage::PageHeader header;
        header.offset = offset;
        header.segment = segment.value();
        header.queue = queue.value();
        header.first = range.first.value();
        header.count = range.count;
        storage::seal_page(header, page);
    }
    const auto bytes = static_cast<std::uint32_t>(page.size());
    page.insert(page.begin(), offset, std::byte{0});
    test::SimDisk disk;
    disk.put(storage::segment_file_name(segment), std::move(page));
    core::ReadPage read(queue, range, {segment, offset, bytes});
    read.run(disk);
    if (read.error) {
        MQD_ASSERT(read.error->code == ErrorCode::damaged && !read.error->text.empty());
    } else {
        check_blocks(read);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size >= 2) {
        run(data[0], data[1], std::as_bytes(std::span(data + 2, size - 2)));
    }
    return 0;
}
