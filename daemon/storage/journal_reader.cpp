#include "daemon/storage/journal_reader.hpp"

#include <algorithm>
#include <cstring>

#include "mqd/assert.hpp"

namespace mqd::storage {

namespace {

constexpr std::size_t read_bytes = 4 * 1024 * 1024;

}  // namespace

Result<std::span<const std::byte>> FileWindow::at(std::uint64_t offset, std::size_t bytes) {
    MQD_ASSERT(offset % block_bytes == 0 && bytes % block_bytes == 0, offset, bytes);
    MQD_ASSERT(offset >= begin_ && offset < file_bytes_, offset, begin_, file_bytes_);
    if (offset + bytes > begin_ + held_) {
        const std::uint64_t ahead = file_bytes_ - offset;
        const std::size_t wanted = std::max<std::size_t>(
            bytes, static_cast<std::size_t>(std::min<std::uint64_t>(read_bytes, ahead)));
        const std::size_t kept =
            offset < begin_ + held_ ? static_cast<std::size_t>(begin_ + held_ - offset) : 0;
        const std::size_t kept_from = static_cast<std::size_t>(held_ - kept);
        if (!memory_ || memory_->bytes().size() < wanted) {
            auto grown = std::make_unique<BlockMemory>(wanted);
            if (kept > 0) {
                std::memcpy(grown->bytes().data(), memory_->bytes().data() + kept_from, kept);
            }
            memory_ = std::move(grown);
        } else if (kept > 0) {
            std::memmove(memory_->bytes().data(), memory_->bytes().data() + kept_from, kept);
        }
        begin_ = offset;
        held_ = kept;
        MQD_ASSERT(kept < wanted, kept, wanted);
        if (auto done = read(offset + kept, memory_->bytes().subspan(kept, wanted - kept)); !done) {
            return done.error();
        }
        held_ = wanted;
    }
    return std::span<const std::byte>(memory_->bytes())
        .subspan(static_cast<std::size_t>(offset - begin_), bytes);
}

Result<void> FileWindow::read(std::uint64_t offset, std::span<std::byte> into) {
    const auto count = file_.read(offset, into);
    if (!count) {
        return count.error();
    }
    MQD_ASSERT(*count <= into.size(), *count, into.size());
    std::memset(into.data() + *count, 0, into.size() - *count);
    bytes_read_ += *count;
    return {};
}

Result<JournalReader::Found> JournalReader::next() {
    Found found;
    if (position_ >= stored_bytes_) {
        return found;
    }
    const auto first = window_.at(position_, block_bytes);
    if (!first) {
        return first.error();
    }
    const FoundGroupHeader group = decode_group_header(*first, header_, position_);
    if (group.sign == GroupSign::foreign) {
        return found;
    }
    found.at = At::torn;
    if (group.sign == GroupSign::torn) {
        return found;
    }
    const auto bytes = static_cast<std::size_t>(group_file_bytes(group.header.body_bytes));
    MQD_ASSERT(position_ + bytes <= header_.file_bytes, position_, bytes);
    const auto whole = window_.at(position_, bytes);
    if (!whole) {
        return whole.error();
    }
    if (body_matches(group.header, *whole)) {
        found.at = At::group;
        found.header = group.header;
        found.body = whole->subspan(sizeof(GroupHeader), group.header.body_bytes);
        position_ += bytes;
    }
    return found;
}

Result<JournalReader::Rest> JournalReader::scan_rest() {
    Rest rest;
    for (std::uint64_t at = position_; at < stored_bytes_; at += block_bytes) {
        const auto block = window_.at(at, block_bytes);
        if (!block) {
            return block.error();
        }
        const FoundGroupHeader group = decode_group_header(*block, header_, at);
        if (group.sign == GroupSign::valid) {
            rest.watermark = std::max(rest.watermark, group.header.watermark);
            if (!rest.later && at > position_) {
                rest.later = group.header;
                rest.later_offset = at;
            }
        }
        if (group.sign != GroupSign::foreign || (at == position_ && !is_zero(*block))) {
            rest.blocks.push_back(at);
        }
    }
    return rest;
}

Result<bool> JournalReader::skip_to_header() {
    while (position_ + block_bytes < stored_bytes_) {
        position_ += block_bytes;
        const auto block = window_.at(position_, block_bytes);
        if (!block) {
            return block.error();
        }
        if (decode_group_header(*block, header_, position_).sign == GroupSign::valid) {
            return true;
        }
    }
    return false;
}

Result<HighestNumbers> scan_highest(File& file, std::uint64_t bytes,
                                    std::optional<std::uint64_t> salt) {
    FileWindow window(file, bytes);
    HighestNumbers highest;
    for (std::uint64_t at = 0; at + block_bytes <= bytes; at += block_bytes) {
        const auto block = window.at(at, block_bytes);
        if (!block) {
            return block.error();
        }
        const FoundGroupHeader group = decode_any_group_header(*block, at);
        if (group.sign == GroupSign::valid && (!salt || group.header.salt == *salt)) {
            highest.watermark = std::max(highest.watermark, group.header.watermark);
            highest.sequence = std::max(highest.sequence, group.header.sequence);
        }
    }
    return highest;
}

}  // namespace mqd::storage
