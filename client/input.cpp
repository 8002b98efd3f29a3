#include "client/input.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "mqd/assert.hpp"

namespace mqd::client {

Block::Block(std::size_t bytes)
    : data(std::make_unique_for_overwrite<std::byte[]>(bytes)), capacity(bytes) {}

Input::Input() : block_(std::make_shared<Block>(block_bytes)) {}

std::span<std::byte> Input::space(std::size_t frame_bytes) {
    if (begin_ == end_ && block_.use_count() == 1) {
        begin_ = end_ = 0;
    }
    const std::size_t have = end_ - begin_;
    const std::size_t want = std::max(frame_bytes, have + read_bytes_min);
    if (block_->capacity - begin_ < want) {
        const bool held = block_.use_count() > 1;
        if (!held && block_->capacity >= want) {
            std::memmove(block_->data.get(), block_->data.get() + begin_, have);
        } else {
            auto next = free_block(want);
            std::memcpy(next->data.get(), block_->data.get() + begin_, have);
            if (held) {
                left_ = block_;
            }
            if (others_.size() < blocks_kept_max && block_->capacity <= spare_bytes_max) {
                others_.push_back(std::move(block_));
            }
            block_ = std::move(next);
        }
        begin_ = 0;
        end_ = have;
    }
    MQD_ASSERT(block_->capacity - begin_ >= want);
    return {block_->data.get() + end_, block_->capacity - end_};
}

std::shared_ptr<Block> Input::free_block(std::size_t bytes) {
    const auto is_free = [&](const std::shared_ptr<Block>& other) {
        return other.use_count() == 1 && other->capacity >= bytes;
    };
    const auto found = std::find_if(others_.begin(), others_.end(), is_free);
    if (found == others_.end()) {
        return std::make_shared<Block>(std::max(bytes, block_bytes));
    }
    std::swap(*found, others_.back());
    auto block = std::move(others_.back());
    others_.pop_back();
    return block;
}

void Input::filled(std::size_t count) {
    MQD_ASSERT(count <= block_->capacity - end_, count);
    end_ += count;
}

wire::Bytes Input::unread() const {
    return {block_->data.get() + begin_, end_ - begin_};
}

void Input::skip(std::size_t count) {
    MQD_ASSERT(count <= end_ - begin_, count);
    begin_ += count;
}

}  // namespace mqd::client
