#pragma once

// The bytes that wait to be written, as a queue of chunks. A PUBLISH frame is built in a chunk of
// its own, which then becomes part of the queue without a copy; small frames are copied behind what
// waits already. Chunks are used again, so that the steady state allocates nothing. Owned by one
// Session.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "mqd/wire/bytes.hpp"

namespace mqd::client {

struct Chunk {
    std::unique_ptr<std::byte[]> data;
    std::size_t capacity = 0;
    std::size_t size = 0;

    [[nodiscard]] std::size_t room() const { return capacity - size; }
    [[nodiscard]] explicit operator bool() const { return data != nullptr; }
};

class Output {
  public:
    // Precondition: chunk_bytes > 0. The usual capacity of a chunk.
    explicit Output(std::size_t chunk_bytes);

    // An empty chunk of the usual capacity, or of `bytes`, whichever is more.
    [[nodiscard]] Chunk take_chunk(std::size_t bytes);
    // Gives a chunk back unused.
    void give_back(Chunk chunk);

    // Appends a copy.
    void append(wire::Bytes bytes);
    // Appends what is in the chunk and leaves it empty or without data.
    void append(Chunk& chunk);

    [[nodiscard]] std::size_t size() const { return size_; }
    [[nodiscard]] bool empty() const { return size_ == 0; }
    // The first pieces in order, as many as fit into `views`; returns how many these are.
    std::size_t views(std::span<wire::Bytes> views) const;
    // The first `count` bytes are written. Precondition: count <= size().
    void consume(std::size_t count);
    // How many bytes that were so far.
    [[nodiscard]] std::uint64_t consumed() const { return consumed_; }
    void clear();

  private:
    // A frame of at most so many bytes is copied, so that it does not hold a chunk.
    static constexpr std::size_t copied_bytes_max = 8 * 1024;
    static constexpr std::size_t spares_max = 8;
    static constexpr std::size_t spare_bytes_max = 4 * 1024 * 1024;

    std::size_t chunk_bytes_;
    std::deque<Chunk> chunks_;
    std::size_t head_ = 0;  // bytes of the first chunk that are consumed
    std::size_t size_ = 0;
    std::uint64_t consumed_ = 0;
    std::vector<Chunk> spares_;
};

}  // namespace mqd::client
