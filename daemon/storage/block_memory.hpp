#pragma once

// Zeroed memory on a block boundary, for direct I/O. Owned by whoever made it.

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>

#include "daemon/storage/disk.hpp"
#include "mqd/assert.hpp"

namespace mqd::storage {

class BlockMemory {
  public:
    // `bytes`: a multiple of block_bytes, at least one block.
    explicit BlockMemory(std::size_t bytes) : bytes_(bytes) {
        MQD_ASSERT(bytes > 0 && bytes % block_bytes == 0, bytes);
        memory_.reset(static_cast<std::byte*>(std::aligned_alloc(block_bytes, bytes)));
        MQD_ASSERT(memory_ != nullptr, bytes);
        std::memset(memory_.get(), 0, bytes);
    }

    [[nodiscard]] std::span<std::byte> bytes() { return {memory_.get(), bytes_}; }
    [[nodiscard]] std::span<const std::byte> bytes() const { return {memory_.get(), bytes_}; }

  private:
    struct Free {
        void operator()(std::byte* memory) const { std::free(memory); }
    };

    std::unique_ptr<std::byte, Free> memory_;
    std::size_t bytes_;
};

}  // namespace mqd::storage
