#include "daemon/core/batch_parts.hpp"

#include <cstring>

namespace mqd::core {

namespace {

std::uint32_t begin_of(const std::uint32_t* end_offsets, std::uint32_t index) {
    return index == 0 ? 0 : end_offsets[index - 1];
}

}  // namespace

std::uint32_t bytes_of(const std::uint32_t* end_offsets, std::span<const BatchRun> runs) {
    std::uint32_t bytes = 0;
    for (const BatchRun& run : runs) {
        bytes += end_offsets[run.first + run.count - 1] - begin_of(end_offsets, run.first);
    }
    return bytes;
}

Block* copy_messages(wire::Bytes batch, const std::uint32_t* end_offsets,
                     std::span<const BatchRun> runs) {
    std::uint32_t count = 0;
    for (const BatchRun& run : runs) {
        count += run.count;
    }
    MQD_ASSERT(count > 0);
    Block* block = Block::create(count, bytes_of(end_offsets, runs));
    std::uint32_t* offset = block->offsets();
    std::uint32_t at = 0;
    for (const BatchRun& run : runs) {
        const std::uint32_t begin = begin_of(end_offsets, run.first);
        const std::uint32_t* ends = end_offsets + run.first;
        const std::uint32_t bytes = ends[run.count - 1] - begin;
        MQD_ASSERT(begin + bytes <= batch.size(), begin, bytes);
        std::memcpy(block->data() + at, batch.data() + begin, bytes);
        for (std::uint32_t i = 0; i < run.count; ++i) {
            *offset++ = at + (ends[i] - begin);
        }
        at += bytes;
    }
    MQD_ASSERT(at == block->bytes, at);
    return block;
}

}  // namespace mqd::core
