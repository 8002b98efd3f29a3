#pragma once

// The body of a commit group while it is being filled: aligned memory with room for the group
// header in front, padded to whole blocks, so that it is written as it lies. Keeps its memory from
// use to use. Owned by the loop thread, lent to the commit thread while it is being written.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <utility>

#include "daemon/storage/disk.hpp"
#include "mqd/assert.hpp"

namespace mqd::storage {

class GroupBuffer {
  public:
    static constexpr std::size_t header_bytes = 64;

    GroupBuffer() = default;
    GroupBuffer(GroupBuffer&& other) noexcept { swap(other); }
    GroupBuffer& operator=(GroupBuffer&& other) noexcept {
        swap(other);
        return *this;
    }

    [[nodiscard]] bool empty() const { return body_bytes_ == 0; }
    [[nodiscard]] std::size_t body_bytes() const { return body_bytes_; }
    // What the group takes in the file: header and body, in whole blocks.
    [[nodiscard]] std::size_t file_bytes() const {
        return (header_bytes + body_bytes_ + block_bytes - 1) / block_bytes * block_bytes;
    }

    // Appends `count` bytes and returns where they lie, to be filled before anything else is
    // called.
    [[nodiscard]] std::byte* extend(std::size_t count) {
        reserve(header_bytes + body_bytes_ + count);
        std::byte* at = memory_.get() + header_bytes + body_bytes_;
        body_bytes_ += count;
        return at;
    }

    void append(std::span<const std::byte> bytes) {
        if (!bytes.empty()) {
            std::memcpy(extend(bytes.size()), bytes.data(), bytes.size());
        }
    }

    // Zeroes the padding and gives the whole blocks; the first header_bytes are the caller's to
    // fill.
    [[nodiscard]] std::span<std::byte> seal() {
        reserve(header_bytes + body_bytes_);
        const std::size_t used = header_bytes + body_bytes_;
        std::memset(memory_.get() + used, 0, file_bytes() - used);
        return {memory_.get(), file_bytes()};
    }

    // What was appended. Valid until more is.
    [[nodiscard]] std::span<std::byte> body() {
        return {memory_.get() + header_bytes, body_bytes_};
    }

    void clear() { body_bytes_ = 0; }
    void swap(GroupBuffer& other) noexcept {
        std::swap(memory_, other.memory_);
        std::swap(capacity_, other.capacity_);
        std::swap(body_bytes_, other.body_bytes_);
    }

  private:
    struct Free {
        void operator()(std::byte* memory) const { std::free(memory); }
    };

    void reserve(std::size_t bytes) {
        if (bytes <= capacity_) {
            return;
        }
        std::size_t grown = capacity_ == 0 ? 16 * block_bytes : capacity_ * 2;
        while (grown < bytes) {
            grown *= 2;
        }
        auto* memory = static_cast<std::byte*>(std::aligned_alloc(block_bytes, grown));
        MQD_ASSERT(memory != nullptr, grown);
        if (memory_) {
            std::memcpy(memory, memory_.get(), header_bytes + body_bytes_);
        }
        memory_.reset(memory);
        capacity_ = grown;
    }

    std::unique_ptr<std::byte, Free> memory_;
    std::size_t capacity_ = 0;
    std::size_t body_bytes_ = 0;
};

}  // namespace mqd::storage
