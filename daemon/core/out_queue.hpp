#pragma once

// What waits to be sent on one connection: small frames in buffers of its own, slices of batches
// where they lie, in order. The network side gathers pieces into one write and says how much went
// out. Idle, it holds hardly any memory. Loop thread only.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <utility>
#include <vector>

#include "daemon/core/block.hpp"

namespace mqd::core {

// Buffers that were filled and sent, for whoever fills the next ones: to grow one anew each time
// copies all that is sent once more, and the system clears its pages. Owned by the Core.
class FrameBuffers {
  public:
    // A buffer that holds as much is full, though a frame may take it beyond that.
    static constexpr std::size_t buffer_bytes = 64 * 1024;

    // Empty; with memory, if there is one to spare.
    [[nodiscard]] std::vector<std::byte> take() {
        if (spares_.empty()) {
            return {};
        }
        std::vector<std::byte> buffer = std::move(spares_.back());
        spares_.pop_back();
        return buffer;
    }
    void give_back(std::vector<std::byte> buffer) {
        if (buffer.capacity() >= buffer_bytes && buffer.capacity() <= spare_bytes_max &&
            spares_.size() < spares_max) {
            buffer.clear();
            spares_.push_back(std::move(buffer));
        }
    }

  private:
    static constexpr std::size_t spare_bytes_max = 2 * buffer_bytes;
    static constexpr std::size_t spares_max = 16;

    std::vector<std::vector<std::byte>> spares_;
};

class OutQueue {
  public:
    // A slice up to this size is copied: cheaper than a piece of its own.
    static constexpr std::size_t copy_bytes_max = 512;

    explicit OutQueue(FrameBuffers& buffers) : buffers_(buffers) {}
    ~OutQueue() { clear(); }
    OutQueue(const OutQueue&) = delete;
    OutQueue& operator=(const OutQueue&) = delete;

    [[nodiscard]] bool empty() const { return bytes_ == 0; }
    [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

    // Whether it is much, in small frames: what one connection takes of deliveries of groups.
    [[nodiscard]] bool busy() const { return busy_; }

    // Memory to append frames to; follow with end_frames().
    [[nodiscard]] std::vector<std::byte>& frames() {
        if (busy_ && frames_.capacity() == 0) {
            frames_ = buffers_.take();
        }
        return frames_;
    }
    void end_frames() {
        const std::size_t added = frames_.size() - frames_noted_;
        if (added == 0) {
            return;
        }
        if (frames_noted_ != 0 && chunks_.back().block == nullptr) {
            chunks_.back().bytes += added;
        } else {
            chunks_.push_back({nullptr, frames_noted_, added, filled_});
        }
        frames_noted_ = frames_.size();
        bytes_ += added;
        if (frames_noted_ >= FrameBuffers::buffer_bytes) {
            full_.push_back(std::move(frames_));
            frames_ = {};
            frames_noted_ = 0;
            ++filled_;
            busy_ = true;
        }
    }

    void slice(Block& block, std::size_t offset, std::size_t count) {
        if (count <= copy_bytes_max) {
            const std::byte* from = block.data() + offset;
            std::vector<std::byte>& to = frames();
            to.insert(to.end(), from, from + count);
            end_frames();
            return;
        }
        end_frames();
        block.add_reference();
        chunks_.push_back({&block, offset, count, filled_});
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
            const std::byte* base =
                chunk.block != nullptr ? chunk.block->data() : buffer(chunk.buffer).data();
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
        Block* block;        // null: it lies in a buffer
        std::size_t offset;  // in the block's batch, or in the buffer
        std::size_t bytes;
        std::uint64_t buffer;  // the one that was being filled
    };
    static constexpr std::size_t kept_bytes_max = 16 * 1024;

    // Buffers are counted in the order in which they are filled.
    [[nodiscard]] const std::vector<std::byte>& buffer(std::uint64_t which) const {
        return which == filled_ ? frames_ : full_[full_.size() - (filled_ - which)];
    }
    void drop_front() {
        if (chunks_.front().block != nullptr) {
            chunks_.front().block->drop_reference();
        }
        chunks_.pop_front();
        const std::uint64_t needed = chunks_.empty() ? filled_ : chunks_.front().buffer;
        while (full_.size() > filled_ - needed) {
            buffers_.give_back(std::move(full_.front()));
            full_.erase(full_.begin());
        }
    }

    void release_frames() {
        MQD_ASSERT(frames_noted_ == frames_.size());
        frames_.clear();
        frames_noted_ = 0;
        if (frames_.capacity() > kept_bytes_max) {
            buffers_.give_back(std::exchange(frames_, {}));
        }
        busy_ = filled_ != filled_when_empty_;
        filled_when_empty_ = filled_;
    }

    FrameBuffers& buffers_;
    std::vector<std::byte> frames_;             // that is being filled
    std::size_t frames_noted_ = 0;              // of frames_, in chunks_
    std::vector<std::vector<std::byte>> full_;  // of which something is not sent
    std::uint64_t filled_ = 0;                  // buffers, since it is there
    std::uint64_t filled_when_empty_ = 0;       // as of when it was last empty
    bool busy_ = false;  // some buffers were filled since it was empty, or before that
    std::deque<Chunk> chunks_;
    std::size_t head_sent_ = 0;  // of the first chunk
    std::uint64_t bytes_ = 0;
};

}  // namespace mqd::core
