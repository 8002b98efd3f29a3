#pragma once

// What waits to be sent on one connection: small frames in memory of its own, slices of batches
// where they lie, in order. The network side gathers pieces into one write and says how much went
// out. Idle, it holds no memory. Loop thread only.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "daemon/core/block.hpp"

namespace mqd::core {

class OutQueue {
  public:
    // A slice up to this size is copied: cheaper than a piece of its own.
    static constexpr std::size_t copy_bytes_max = 512;

    OutQueue() = default;
    ~OutQueue() { clear(); }
    OutQueue(const OutQueue&) = delete;
    OutQueue& operator=(const OutQueue&) = delete;

    [[nodiscard]] bool empty() const { return bytes_ == 0; }
    [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

    // Memory to append frames to; follow with end_frames().
    [[nodiscard]] std::vector<std::byte>& frames() { return frames_; }
    void end_frames() {
        const std::size_t added = frames_.size() - frames_noted_;
        if (added == 0) {
            return;
        }
        if (!chunks_.empty() && chunks_.back().block == nullptr) {
            chunks_.back().bytes += added;
        } else {
            chunks_.push_back({nullptr, frames_noted_, added});
        }
        frames_noted_ = frames_.size();
        bytes_ += added;
    }

    void slice(Block& block, std::size_t offset, std::size_t count) {
        if (count <= copy_bytes_max) {
            const std::byte* from = block.data() + offset;
            frames_.insert(frames_.end(), from, from + count);
            end_frames();
            return;
        }
        end_frames();
        block.add_reference();
        chunks_.push_back({&block, offset, count});
        bytes_ += count;
    }

    // The next bytes to send, at most pieces.size() pieces; returns how many there are. Valid until
    // the queue is changed.
    std::size_t gather(std::span<wire::Bytes> pieces) const {
        std::size_t n = 0;
        std::size_t skip = head_sent_;
        for (const Chunk& chunk : chunks_) {
            if (n == pieces.size()) {
                break;
            }
            const std::byte* base = chunk.block != nullptr ? chunk.block->data() : frames_.data();
            pieces[n++] = {base + chunk.offset + skip, chunk.bytes - skip};
            skip = 0;
        }
        return n;
    }

    void consume(std::size_t sent) {
        MQD_ASSERT(sent <= bytes_, sent, bytes_);
        bytes_ -= sent;
        head_sent_ += sent;
        while (!chunks_.empty() && head_sent_ >= chunks_.front().bytes) {
            head_sent_ -= chunks_.front().bytes;
            drop_front();
        }
        if (chunks_.empty()) {
            release_frames();
        } else if (chunks_.front().block == nullptr) {
            trim_frames();
        }
    }

    void clear() {
        while (!chunks_.empty()) {
            drop_front();
        }
        bytes_ = 0;
        head_sent_ = 0;
        release_frames();
    }

  private:
    struct Chunk {
        Block* block;        // null: frames_
        std::size_t offset;  // in the block's batch, or in frames_
        std::size_t bytes;
    };
    static constexpr std::size_t kept_bytes_max = 16 * 1024;
    static constexpr std::size_t trim_bytes_min = 64 * 1024;

    void drop_front() {
        if (chunks_.front().block != nullptr) {
            chunks_.front().block->drop_reference();
        }
        chunks_.pop_front();
    }

    void release_frames() {
        MQD_ASSERT(frames_noted_ == frames_.size());
        frames_.clear();
        frames_noted_ = 0;
        if (frames_.capacity() > kept_bytes_max) {
            std::vector<std::byte>().swap(frames_);
        }
    }

    // A queue that never runs empty must not keep what it sent.
    void trim_frames() {
        const std::size_t sent = chunks_.front().offset + head_sent_;
        if (sent < trim_bytes_min || sent < frames_.size() / 2) {
            return;
        }
        frames_.erase(frames_.begin(), frames_.begin() + static_cast<std::ptrdiff_t>(sent));
        frames_noted_ -= sent;
        chunks_.front().bytes -= head_sent_;
        chunks_.front().offset += head_sent_;
        head_sent_ = 0;
        for (Chunk& chunk : chunks_) {
            if (chunk.block == nullptr) {
                chunk.offset -= sent;
            }
        }
    }

    std::vector<std::byte> frames_;
    std::size_t frames_noted_ = 0;  // of frames_, in chunks_
    std::deque<Chunk> chunks_;
    std::size_t head_sent_ = 0;  // of the first chunk
    std::uint64_t bytes_ = 0;
};

}  // namespace mqd::core
