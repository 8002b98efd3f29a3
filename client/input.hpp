#pragma once

// The bytes that arrived and are not decoded yet, in blocks that deliveries are handed out of
// without a copy: who keeps a view holds the block, and a block is written again only when nobody
// does. Owned by one Session.

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "mqd/wire/bytes.hpp"

namespace mqd::client {

struct Block {
    explicit Block(std::size_t bytes);

    std::unique_ptr<std::byte[]> data;
    std::size_t capacity;
};

class Input {
  public:
    static constexpr std::size_t block_bytes = 256 * 1024;
    // What one read may bring in at least.
    static constexpr std::size_t read_bytes_min = 64 * 1024;

    Input();

    // Room for the next read, behind what is there. `frame_bytes` is how long the frame is that
    // begins at unread(), 0 if that is not known: room for its rest is among what is returned.
    [[nodiscard]] std::span<std::byte> space(std::size_t frame_bytes);
    // `count` bytes were written to the start of space().
    void filled(std::size_t count);

    // What is not decoded yet, in one piece.
    [[nodiscard]] wire::Bytes unread() const;
    // The first `count` bytes of it are dealt with. Views into them stay valid while their block is
    // held.
    void skip(std::size_t count);
    // Holds the block in which unread() lies.
    [[nodiscard]] std::shared_ptr<Block> block() const { return block_; }
    // The block that space() left last because somebody holds it; null after being asked once.
    // Whoever holds little of it may want to copy that.
    [[nodiscard]] std::shared_ptr<Block> take_left() { return std::move(left_); }

  private:
    static constexpr std::size_t spare_bytes_max = 2 * 1024 * 1024;
    static constexpr std::size_t blocks_kept_max = 8;

    [[nodiscard]] std::shared_ptr<Block> free_block(std::size_t bytes);

    std::shared_ptr<Block> block_;
    std::size_t begin_ = 0;  // of what is not decoded
    std::size_t end_ = 0;
    std::vector<std::shared_ptr<Block>> others_;  // held by views, or free
    std::shared_ptr<Block> left_;
};

}  // namespace mqd::client
