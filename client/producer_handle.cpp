#include "client/producer_handle.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "mqd/assert.hpp"

namespace mqd::client {

namespace {

// Of a delay, a due time or a TTL.
constexpr std::size_t time_bytes = wire::attribute_header_bytes + 8;

bool waits(const MessageOptions& options) {
    return options.delay.count() != 0 || options.due.has_value();
}

constexpr std::size_t priority_bytes = wire::attribute_header_bytes + 1;

bool is_timed(const MessageOptions& options) {
    return waits(options) || options.ttl.count() != 0;
}

std::optional<Error> check_times(const MessageOptions& options) {
    constexpr auto limit = static_cast<std::uint64_t>(wire::delay_max.count());
    if (options.due && options.delay.count() != 0) {
        return Error{ErrorCode::bad_option, "a message has one delay or one due time", 0};
    }
    if (options.delay.count() < 0 || options.delay > wire::delay_max) {
        return Error{ErrorCode::bad_option, "a delay is 0 to ten years long", limit};
    }
    if (options.ttl.count() < 0 || options.ttl > wire::ttl_max) {
        return Error{ErrorCode::bad_option, "a TTL is 1 ms to ten years long", limit};
    }
    return std::nullopt;
}

std::byte* append_priority(std::byte* to, unsigned priority) {
    constexpr auto id = static_cast<std::uint16_t>(wire::AttributeId::priority);
    wire::store(to, static_cast<std::uint16_t>(id | wire::critical_bit));
    wire::store(to + 2, std::uint16_t{1});
    wire::store(to + wire::attribute_header_bytes, static_cast<std::uint8_t>(priority));
    return to + priority_bytes;
}

template <typename T>
std::byte* append_time(std::byte* to, wire::AttributeId id, T value) {
    static_assert(wire::attribute_header_bytes + sizeof value == time_bytes);
    wire::store(to,
                static_cast<std::uint16_t>(static_cast<std::uint16_t>(id) | wire::critical_bit));
    wire::store(to + 2, std::uint16_t{8});
    wire::store(to + wire::attribute_header_bytes, value);
    return to + time_bytes;
}

std::byte* append_times(std::byte* to, const MessageOptions& options) {
    if (options.due) {
        to = append_time(to, wire::AttributeId::due, wire::to_micros(*options.due));
    } else if (options.delay.count() != 0) {
        to = append_time(to, wire::AttributeId::delay,
                         static_cast<std::uint64_t>(options.delay.count()));
    }
    if (options.ttl.count() != 0) {
        to = append_time(to, wire::AttributeId::ttl,
                         static_cast<std::uint64_t>(options.ttl.count()));
    }
    return to;
}

// A critical one.
std::byte* append_text(std::byte* to, wire::AttributeId id, std::string_view text) {
    wire::store(to,
                static_cast<std::uint16_t>(static_cast<std::uint16_t>(id) | wire::critical_bit));
    wire::store(to + 2, static_cast<std::uint16_t>(text.size()));
    return std::copy_n(wire::as_bytes(text).data(), text.size(), to + wire::attribute_header_bytes);
}

}  // namespace

ProducerHandle::ProducerHandle(HandleId number, std::string_view queue_name,
                               const ProducerOptions& options, Output& output,
                               const PublishLimits& limits)
    : output_(output),
      limits_(limits),
      confirm_durability_(options.durability),
      has_name_(!options.name.empty()) {
    id = number;
    queue = queue_name;
}

Result<std::optional<LineNumber>> ProducerHandle::send(wire::Bytes body, HeaderList headers,
                                                       const MessageOptions& options) {
    if (refusal_) [[unlikely]] {
        return refusal_->error;
    }
    if (state != HandleState::open) [[unlikely]] {
        return error.value_or(Error{ErrorCode::usage, "the producer is closed"});
    }
    std::size_t attributes_bytes = 0;
    if (auto bad = check(body.size(), headers, options, attributes_bytes)) [[unlikely]] {
        return *std::move(bad);
    }
    const std::size_t message_bytes = wire::message_header_bytes + attributes_bytes + body.size();
    const bool credit = has_credit(message_bytes);
    if (!credit && !is_answered()) {
        flush();
        return std::optional<LineNumber>();
    }
    if (frame_count_ != 0 && (frame_bytes_max_ - frame_.size < message_bytes ||
                              frame_count_ == wire::batch_messages_max)) {
        flush();
    }
    if (frame_count_ == 0) {
        begin_frame(message_bytes);
    }
    append(body, headers, options, attributes_bytes);
    sent_messages_ += 1;
    sent_bytes_ += message_bytes;
    const LineNumber line = next_line_;
    next_line_ = line.plus(1);
    if (!credit) {
        flush();  // beyond the credit only a frame of exactly one message may go
    }
    return std::optional(line);
}

std::optional<Error> ProducerHandle::check(std::size_t body_bytes, const HeaderList& headers,
                                           const MessageOptions& options,
                                           std::size_t& attributes_bytes) const {
    if (is_timed(options)) [[unlikely]] {
        if (auto bad = check_times(options)) {
            return bad;
        }
        attributes_bytes +=
            (waits(options) ? time_bytes : 0) + (options.ttl.count() != 0 ? time_bytes : 0);
    }
    if (options.priority) {
        if (*options.priority > priority_max) {
            return Error{ErrorCode::bad_option, "a priority is 0 to 9", priority_max};
        }
        attributes_bytes += priority_bytes;
    }
    if (!options.group.empty()) [[unlikely]] {
        if (options.group.size() > wire::group_bytes_max) {
            return Error{ErrorCode::bad_option, "the key of a group has 1 to 128 bytes",
                         wire::group_bytes_max};
        }
        attributes_bytes += wire::attribute_header_bytes + options.group.size();
    }
    if (!options.dedup_id.empty()) {
        if (options.dedup_id.size() > wire::dedup_id_bytes_max) {
            return Error{ErrorCode::bad_option, "a dedup_id has 1 to 128 bytes",
                         wire::dedup_id_bytes_max};
        }
        attributes_bytes += wire::attribute_header_bytes + options.dedup_id.size();
    }
    for (const Header& header : headers) {
        if (header.key.empty() || header.key.size() > UINT8_MAX) {
            return Error{ErrorCode::bad_option, "a header key has 1 to 255 bytes", UINT8_MAX};
        }
        attributes_bytes +=
            wire::attribute_header_bytes + 1 + header.key.size() + header.value.size();
    }
    if (attributes_bytes > wire::attributes_bytes_max) {
        return Error{ErrorCode::message_too_big, "the headers of a message are too big",
                     wire::attributes_bytes_max};
    }
    if (body_bytes > limits_.message_body_bytes_max) {
        return Error{ErrorCode::message_too_big, "the body is bigger than the daemon takes",
                     limits_.message_body_bytes_max};
    }
    const std::size_t batch_bytes = wire::message_header_bytes + attributes_bytes + body_bytes;
    if (batch_bytes + wire::Publish::fixed_bytes > limits_.frame_body_bytes_max) {
        return Error{ErrorCode::message_too_big, "the message does not fit into a frame",
                     limits_.frame_body_bytes_max};
    }
    return std::nullopt;
}

bool ProducerHandle::has_credit(std::size_t message_bytes) const {
    return sent_messages_ < credit_.message_limit && sent_bytes_ < credit_.byte_limit &&
           message_bytes <= credit_.byte_limit - sent_bytes_;
}

void ProducerHandle::begin_frame(std::size_t message_bytes) {
    if (!frame_ || frame_.capacity < frame_overhead + message_bytes) {
        output_.give_back(std::exchange(frame_, Chunk{}));
        frame_ = output_.take_chunk(std::max(limits_.gather_bytes, frame_overhead + message_bytes));
    }
    // The chunk may have room for more than is to be gathered, or than the daemon takes.
    frame_bytes_max_ = std::min(std::max(limits_.gather_bytes, frame_overhead + message_bytes),
                                limits_.frame_body_bytes_max + wire::frame_header_bytes);
    frame_.size = frame_overhead;
}

void ProducerHandle::append(wire::Bytes body, const HeaderList& headers,
                            const MessageOptions& options, std::size_t attributes_bytes) {
    std::byte* to = frame_.data.get() + frame_.size;
    wire::store(to, static_cast<std::uint32_t>(body.size()));
    wire::store(to + 4, static_cast<std::uint16_t>(attributes_bytes));
    wire::store(to + 6, std::uint16_t{0});
    to += wire::message_header_bytes;
    if (attributes_bytes != 0 && is_timed(options)) {
        to = append_times(to, options);
    }
    if (options.priority) {
        to = append_priority(to, *options.priority);
    }
    if (!options.group.empty()) {
        to = append_text(to, wire::AttributeId::group, options.group);
    }
    if (!options.dedup_id.empty()) {
        to = append_text(to, wire::AttributeId::dedup_id, options.dedup_id);
    }
    for (const Header& header : headers) {
        wire::store(to, static_cast<std::uint16_t>(wire::AttributeId::header));
        wire::store(to + 2,
                    static_cast<std::uint16_t>(1 + header.key.size() + header.value.size()));
        wire::store(to + 4, static_cast<std::uint8_t>(header.key.size()));
        to += wire::attribute_header_bytes + 1;
        to = std::copy_n(wire::as_bytes(header.key).data(), header.key.size(), to);
        to = std::copy_n(wire::as_bytes(header.value).data(), header.value.size(), to);
    }
    if (!body.empty()) {
        std::memcpy(to, body.data(), body.size());
    }
    frame_.size += wire::message_header_bytes + attributes_bytes + body.size();
    frame_count_ += 1;
}

void ProducerHandle::flush() {
    if (frame_count_ == 0) {
        return;
    }
    std::byte* at = frame_.data.get();
    const auto body_bytes = static_cast<std::uint32_t>(frame_.size - wire::frame_header_bytes);
    wire::encode_frame_header(at, {body_bytes, wire::FrameType::publish, 0, {}, id});
    at += wire::frame_header_bytes;
    wire::store(at, framed_.value());
    wire::store(at + 8, frame_count_);
    wire::store(at + 12, static_cast<std::uint8_t>(confirm_durability_));
    wire::store(at + 13, std::uint8_t{0});
    wire::store(at + 14, std::uint16_t{0});
    output_.append(frame_);
    framed_ = framed_.plus(frame_count_);
    frame_count_ = 0;
    MQD_ASSERT(framed_ == next_line_, framed_, next_line_);
}

LineRange ProducerHandle::resume() {
    MQD_ASSERT(refusal_.has_value());
    flush();
    std::byte frame[wire::frame_header_bytes];
    wire::encode_frame_header(frame, {0, wire::FrameType::resume, 0, {}, id});
    output_.append(wire::Bytes(frame));
    const LineRange lines{refusal_->lines.first, next_line_ - refusal_->lines.first};
    if (has_name_) {
        refused_late_from_ = answered_;
        refused_late_ = framed_ - answered_;
        next_line_ = framed_ = answered_ = lines.first;
        refusal_.reset();
        return lines;
    }
    resumed_ = next_line_;
    remember({std::move(refusal_->error), lines});
    refusal_.reset();
    return lines;
}

void ProducerHandle::remember(Refusal ended) {
    if (!refusals_.empty()) {
        Refusal& last = refusals_.back();
        if (last.lines.end() == ended.lines.first && last.error.code == ended.error.code) {
            last.lines.count += ended.lines.count;
            last.error = std::move(ended.error);
            return;
        }
    }
    if (refusals_.size() == refusals_max) {
        known_from_ = refusals_.front().lines.end();
        refusals_.pop_front();
    }
    refusals_.push_back(std::move(ended));
}

const Error* ProducerHandle::refused(LineNumber line) const {
    if (refusal_ && line >= refusal_->lines.first) {
        return &refusal_->error;
    }
    // The first that ends behind the line.
    const auto found =
        std::partition_point(refusals_.begin(), refusals_.end(),
                             [&](const Refusal& ended) { return ended.lines.end() <= line; });
    return found != refusals_.end() && line >= found->lines.first ? &found->error : nullptr;
}

void ProducerHandle::take_confirmed(std::vector<ConfirmedLines>& into) {
    if (into.empty()) {
        std::swap(into, confirmed_);
    } else {
        into.insert(into.end(), confirmed_.begin(), confirmed_.end());
        confirmed_.clear();
    }
}

void ProducerHandle::opened(const wire::Opened& frame) {
    state = HandleState::open;
    incarnation = frame.incarnation;
    durability = frame.durability;
    lease_ms = frame.lease_ms;
    if (has_name_) {
        knows_last_line_ = frame.last_line.has_value();
        last_line_ = frame.last_line.value_or(LineNumber(0));
        next_line_ = framed_ = answered_ = resumed_ = known_from_ = last_line_.plus(1);
    }
    credit({frame.message_limit, frame.byte_limit});
}

void ProducerHandle::credit(const wire::Credit& frame) {
    credit_.message_limit = std::max(credit_.message_limit, frame.message_limit);
    credit_.byte_limit = std::max(credit_.byte_limit, frame.byte_limit);
}

bool ProducerHandle::confirm(const wire::Confirm& frame) {
    // What was refused, or never sent, cannot be confirmed.
    if (frame.first_line != answered_ || refusal_ || answered_ < resumed_ || refused_late_ > 0) {
        return false;
    }
    for (std::size_t i = 0; i < frame.size(); ++i) {
        const wire::ConfirmedRun run = frame[i];
        if (run.count == 0 || run.count > framed_ - answered_) {
            return false;
        }
        const ConfirmedLines lines{answered_, run.count, run.first_number, frame.durability};
        answered_ = answered_.plus(run.count);
        if (!confirmed_.empty()) {
            ConfirmedLines& last = confirmed_.back();
            if (last.first_number.plus(last.count) == lines.first_number &&
                last.first_line.plus(last.count) == lines.first_line &&
                last.durability == lines.durability) {
                last.count += lines.count;
                continue;
            }
        }
        confirmed_.push_back(lines);
    }
    credit(frame.credit);
    return true;
}

bool ProducerHandle::refuse(const wire::Refuse& frame) {
    if (refused_late_ > 0) {
        if (frame.first_line != refused_late_from_ || frame.count == 0 ||
            frame.count > refused_late_) {
            return false;
        }
        refused_late_from_ = refused_late_from_.plus(frame.count);
        refused_late_ -= frame.count;
        credit(frame.credit);
        return true;
    }
    if (frame.first_line != answered_ || frame.count == 0 || frame.count > framed_ - answered_) {
        return false;
    }
    if (answered_ < resumed_ && frame.count > resumed_ - answered_) {
        return false;  // one refusal cannot stand on both sides of a RESUME
    }
    if (!refusal_ && frame.first_line >= resumed_) {
        refusal_ = Refusal{frame.error.to_error(), {frame.first_line, 0}};
        flush();  // what was gathered is refused as well, and its lines must be answered
    }
    answered_ = answered_.plus(frame.count);
    credit(frame.credit);
    return true;
}

}  // namespace mqd::client
