#include "sim/backup_taker.hpp"
#include "mqd/wire/backup.hpp"

#include <algorithm>
#include <array>

namespace mqd::sim {

namespace {

constexpr std::uint64_t leaves_once_in = 300;  // acts

}  // namespace

BackupTaker::BackupTaker(core::Core& core, test::Dice dice)
    : dice_(dice), session_(std::make_unique<core::Session>(core, Identity{}, nullptr)) {
    wire::Hello hello;
    hello.frame_body_bytes_max = wire::frame_body_bytes_hard_max;
    send(hello);
    send(wire::Backup{});
}

template <typename Frame>
void BackupTaker::send(const Frame& frame) {
    std::vector<std::byte> bytes;
    wire::append_frame(bytes, frame, CorrelationId(1));
    session_->receive(bytes);
}

void BackupTaker::act() {
    if (dice_.one_in(leaves_once_in)) {
        over_ = true;
        return;
    }
    if (dice_.one_in(2)) {
        read();
    }
    while (open_ && !over_ && asked_ < wire::backup_next_max && dice_.one_in(2)) {
        send(wire::BackupNext{});
        ++asked_;
    }
    over_ = over_ || session_->closing();
}

void BackupTaker::read() {
    const core::OutQueue& output = session_->output();
    std::array<wire::Bytes, 16> pieces;
    while (!output.empty()) {
        std::size_t sent = 0;
        for (std::size_t i = 0, n = output.gather(pieces); i < n; ++i) {
            partial_.insert(partial_.end(), pieces[i].begin(), pieces[i].end());
            sent += pieces[i].size();
        }
        session_->output_sent(sent);
    }
    while (!over_ && partial_.size() >= wire::frame_header_bytes) {
        const wire::FrameHeader header = wire::decode_frame_header(partial_.data());
        const std::size_t whole = wire::frame_header_bytes + header.body_bytes;
        take(header, wire::Bytes(partial_).first(whole).subspan(wire::frame_header_bytes));
        partial_.erase(partial_.begin(), partial_.begin() + static_cast<std::ptrdiff_t>(whole));
    }
}

void BackupTaker::take(const wire::FrameHeader& header, wire::Bytes body) {
    switch (header.type) {
        case wire::FrameType::welcome: return;
        case wire::FrameType::backup_reply: open_ = true; return;
        case wire::FrameType::backup_part: {
            const auto part = wire::BackupPart::decode(body);
            MQD_ASSERT(part.has_value());
            test::SimDisk::Bytes& file = files_[std::string(part->file)];
            MQD_ASSERT(part->offset == file.size(), part->offset, file.size());
            file.insert(file.end(), part->bytes.begin(), part->bytes.end());
            --asked_;
            whole_ = part->end == wire::BackupEnd::backup;
            over_ = whole_;
            return;
        }
        default: over_ = true;  // an error
    }
}

}  // namespace mqd::sim
