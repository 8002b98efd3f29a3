#include "client/output.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "mqd/assert.hpp"

namespace mqd::client {

Output::Output(std::size_t chunk_bytes) : chunk_bytes_(chunk_bytes) {
    MQD_ASSERT(chunk_bytes > 0);
}

Chunk Output::take_chunk(std::size_t bytes) {
    const auto fits = std::find_if(spares_.rbegin(), spares_.rend(),
                                   [&](const Chunk& spare) { return spare.capacity >= bytes; });
    if (fits != spares_.rend()) {
        std::swap(*fits, spares_.back());
        Chunk chunk = std::move(spares_.back());
        spares_.pop_back();
        return chunk;
    }
    const std::size_t capacity = std::max(bytes, chunk_bytes_);
    return {std::make_unique_for_overwrite<std::byte[]>(capacity), capacity, 0};
}

void Output::give_back(Chunk chunk) {
    if (chunk && chunk.capacity <= spare_bytes_max && spares_.size() < spares_max) {
        chunk.size = 0;
        spares_.push_back(std::move(chunk));
    }
}

void Output::append(wire::Bytes bytes) {
    if (bytes.empty()) {
        return;
    }
    if (chunks_.empty() || chunks_.back().room() < bytes.size()) {
        chunks_.push_back(take_chunk(bytes.size()));
    }
    Chunk& last = chunks_.back();
    std::memcpy(last.data.get() + last.size, bytes.data(), bytes.size());
    last.size += bytes.size();
    size_ += bytes.size();
}

void Output::append(Chunk& chunk) {
    if (chunk.size <= copied_bytes_max) {
        append(wire::Bytes(chunk.data.get(), chunk.size));
        chunk.size = 0;
        return;
    }
    size_ += chunk.size;
    chunks_.push_back(std::exchange(chunk, Chunk{}));
}

std::size_t Output::views(std::span<wire::Bytes> views) const {
    std::size_t filled = 0;
    std::size_t skip = head_;
    for (const Chunk& chunk : chunks_) {
        if (filled == views.size()) {
            break;
        }
        views[filled++] = wire::Bytes(chunk.data.get() + skip, chunk.size - skip);
        skip = 0;
    }
    return filled;
}

void Output::consume(std::size_t count) {
    MQD_ASSERT(count <= size_, count, size_);
    size_ -= count;
    consumed_ += count;
    head_ += count;
    while (!chunks_.empty() && head_ >= chunks_.front().size) {
        head_ -= chunks_.front().size;
        give_back(std::move(chunks_.front()));
        chunks_.pop_front();
    }
}

void Output::clear() {
    consume(size_);
}

}  // namespace mqd::client
