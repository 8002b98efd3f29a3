#include "client/consumer_handle.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "mqd/assert.hpp"

namespace mqd::client {

namespace {

Delivery to_delivery(const DeliverFrame& frame, std::uint32_t i) {
    const std::byte* at = frame.messages.batch.data() + frame.begin_of(i);
    const std::size_t body_bytes = wire::load<std::uint32_t>(at);
    const std::size_t attributes_bytes = wire::load<std::uint16_t>(at + 4);
    const std::byte* attributes = at + wire::message_header_bytes;
    return {frame.messages.first_number.plus(i),
            frame.messages.attempt,
            frame.messages.published,
            frame.messages.sender,
            Headers(wire::Bytes(attributes, attributes_bytes)),
            wire::as_text(wire::Bytes(attributes + attributes_bytes, body_bytes))};
}

}  // namespace

// The longest beginning of the text that can travel and does not end within a character of UTF-8.
std::string_view cut_reason(std::string_view text) {
    if (text.size() <= UINT8_MAX) {
        return text;
    }
    std::size_t end = UINT8_MAX;
    const auto continues = [&](std::size_t at) {
        return (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80;
    };
    // A character has at most three bytes behind its first; more of them are no UTF-8 at all.
    for (int i = 0; i < 3 && continues(end); ++i) {
        --end;
    }
    return text.substr(0, continues(end) ? UINT8_MAX : end);
}

ConsumerHandle::ConsumerHandle(HandleId number, std::string_view queue_name,
                               const ConsumerOptions& options, Output& output)
    : output_(output),
      window_messages_(options.window_messages),
      window_bytes_(options.window_bytes),
      messages_max_(options.messages_max == 0 ? UINT64_MAX : options.messages_max),
      renew_leases_(options.renew_leases),
      max_run_(options.renew_leases ? options.max_run_time : std::chrono::milliseconds(0)),
      granted_(credit()),
      flush_at_(next_flush()) {
    MQD_ASSERT(window_messages_ > 0);
    MQD_ASSERT(window_bytes_ > 0);
    id = number;
    queue = queue_name;
}

bool ConsumerHandle::advance() {
    if (current_) {
        current_->block.reset();  // the ledger may keep the frame for its offsets
        if (current_.use_count() == 1 && current_->messages.count <= spare_messages_max &&
            spare_.size() < spare_frames_max) {
            spare_.push_back(std::move(current_));
        }
        current_.reset();
    }
    if (buffered_.empty()) {
        return false;
    }
    current_ = std::move(buffered_.front());
    buffered_.pop_front();
    return true;
}

bool ConsumerHandle::next(Delivery& delivery) {
    while (true) {
        if (!current_ || current_->next == current_->messages.count) {
            if (!advance()) {
                return false;
            }
        }
        const std::uint32_t i = current_->next++;
        if (!current_->has_holes ||
            ledger_.holds(*current_, current_->messages.first_number.plus(i))) {
            delivery = to_delivery(*current_, i);
            return true;
        }
    }
}

bool ConsumerHandle::next_batch(DeliveredBatch& batch) {
    Delivery first;
    if (!next(first)) {
        return false;
    }
    DeliverFrame& frame = *current_;
    const std::uint32_t from = frame.next - 1;
    std::uint32_t to = frame.messages.count;
    if (frame.has_holes) {
        to = frame.next;
        while (to < frame.messages.count &&
               ledger_.holds(frame, frame.messages.first_number.plus(to))) {
            ++to;
        }
    }
    frame.next = to;
    batch.range = {first.number, to - from};
    batch.attempt = first.attempt;
    batch.published = first.published;
    batch.sender = first.sender;
    batch.encoded = frame.messages.batch.subspan(frame.begin_of(from), frame.bytes(from, to));
    return true;
}

void ConsumerHandle::settled(const Ledger::Removed& sum) {
    settled_messages_ += sum.messages;
    settled_bytes_ += sum.bytes;
    if (settled_messages_ >= flush_at_.message_limit || settled_bytes_ >= flush_at_.byte_limit ||
        acks_.size() >= wire::ranges_max || nacks_.size() >= wire::ranges_max) {
        flush();
    }
}

void ConsumerHandle::ack(MessageRange range) {
    settled(ledger_.remove(range, acks_));
}

void ConsumerHandle::ack_up_to(MessageNumber number) {
    settled(ledger_.remove_handed_out(number, acks_));
}

void ConsumerHandle::nack(MessageRange range, const NackOptions& options) {
    if (options.reason.empty() && !options.dead_letter && !options.delay) {
        settled(ledger_.remove(range, nacks_));
        return;
    }
    NackWithOptions nack;
    const Ledger::Removed sum = ledger_.remove(range, nack.ranges);
    if (sum.messages == 0) {
        return;
    }
    nack.reason = cut_reason(options.reason);
    if (options.delay) {
        MQD_ASSERT(options.delay->count() >= 0, options.delay->count());
        MQD_ASSERT(*options.delay <= delay_max, options.delay->count());
        const auto delay_ms = static_cast<std::uint32_t>(options.delay->count());
        nack.delay_ms = delay_ms == 0 ? wire::delay_none : delay_ms;
    }
    nack.flags = options.dead_letter ? wire::flag_dead_letter : std::uint8_t{0};
    nacks_with_options_.push_back(std::move(nack));
    settled_messages_ += sum.messages;
    settled_bytes_ += sum.bytes;
}

std::vector<MessageRange> ConsumerHandle::take_for_ack(MessageRange range) {
    std::vector<MessageRange> taken;
    const Ledger::Removed sum = ledger_.remove(range, taken);
    settled(sum);
    return taken;
}

void ConsumerHandle::flush() {
    if (state != HandleState::open) {
        return;
    }
    append_settlements(wire::FrameType::ack, acks_, {}, 0);
    append_settlements(wire::FrameType::nack, nacks_, {}, 0);
    for (NackWithOptions& nack : nacks_with_options_) {
        append_settlements(wire::FrameType::nack, nack.ranges,
                           {.lease_ms = nack.delay_ms, .reason = nack.reason}, nack.flags);
    }
    nacks_with_options_.clear();
    append_credit();
}

void ConsumerHandle::append_settlements(wire::FrameType type, std::vector<MessageRange>& ranges,
                                        wire::SettleRequest request, std::uint8_t flags) {
    sort_and_merge(ranges);
    std::span<const MessageRange> rest(ranges);
    while (!rest.empty()) {
        request.ranges = rest.first(std::min(rest.size(), wire::ranges_max));
        scratch_.clear();
        wire::append_settle(scratch_, type, request, {}, id, flags);
        output_.append(scratch_);
        rest = rest.subspan(request.ranges.size());
    }
    ranges.clear();
}

// What is delivered and unsettled stays within the window, what is delivered in all within
// messages_max.
wire::Credit ConsumerHandle::credit() const {
    return {std::min(settled_messages_ + window_messages_, messages_max_),
            settled_bytes_ + window_bytes_};
}

// When a quarter of the window can be granted, or never.
wire::Credit ConsumerHandle::next_flush() const {
    const std::uint64_t messages = (window_messages_ + 3) / 4;
    const bool last = messages_max_ - granted_.message_limit < messages;
    return {last ? UINT64_MAX : granted_.message_limit - window_messages_ + messages,
            granted_.byte_limit - window_bytes_ + (window_bytes_ + 3) / 4};
}

void ConsumerHandle::append_credit() {
    const wire::Credit now = credit();
    if (now.message_limit == granted_.message_limit && now.byte_limit == granted_.byte_limit) {
        return;
    }
    granted_ = now;
    flush_at_ = next_flush();
    scratch_.clear();
    wire::append_frame(scratch_, now, {}, id);
    output_.append(scratch_);
}

void ConsumerHandle::extend(MessageRange range, std::uint32_t new_lease_ms) {
    scratch_ranges_.clear();
    ledger_.held_of(range, scratch_ranges_);
    append_settlements(wire::FrameType::extend, scratch_ranges_, {.lease_ms = new_lease_ms}, 0);
}

void ConsumerHandle::renew(Time now) {
    if (!renew_leases_ || lease_ms == 0 || state != HandleState::open || unsettled() == 0) {
        renew_at_.reset();
        return;
    }
    find_overrun(now);
    if (renew_at_ && now >= *renew_at_) {
        if (output_.consumed() >= renewed_to_) {
            scratch_ranges_.clear();
            ledger_.renewable(scratch_ranges_);
            append_settlements(wire::FrameType::extend, scratch_ranges_, {}, 0);
            renewed_to_ = output_.consumed() + output_.size();
        }
        renew_at_.reset();
    }
    if (!renew_at_) {
        renew_at_ = now + std::chrono::milliseconds(lease_ms) / 3;
    }
}

void ConsumerHandle::begin_run(MessageRange range, Time now) {
    MQD_ASSERT(limits_runs());
    if (runs_.size() >= sift_runs_at_) {
        const auto settled = [this](const Run& run) {
            scratch_ranges_.clear();
            ledger_.held_of(run.range, scratch_ranges_);
            return scratch_ranges_.empty();
        };
        runs_.erase(std::remove_if(runs_.begin(), runs_.end(), settled), runs_.end());
        sift_runs_at_ = std::max(sift_runs_min, 2 * runs_.size());
    }
    if (!runs_.empty() && runs_.back().begun == now && runs_.back().frame == current_ &&
        runs_.back().range.end() == range.first) {
        runs_.back().range.count += range.count;
    } else {
        runs_.push_back({current_, range, now});
    }
}

// A message that was lost or given back and has come again is held out of another frame: its new
// run is another one.
void ConsumerHandle::find_overrun(Time now) {
    for (; !runs_.empty() && runs_.front().begun + max_run_ <= now; runs_.pop_front()) {
        ledger_.mark_overrun(*runs_.front().frame, runs_.front().range, overrun_);
    }
}

void ConsumerHandle::take_overrun(std::vector<MessageRange>& into) {
    into.insert(into.end(), overrun_.begin(), overrun_.end());
    overrun_.clear();
}

void ConsumerHandle::take_lost(std::vector<MessageRange>& into) {
    if (into.empty()) {
        std::swap(into, lost_);
    } else {
        into.insert(into.end(), lost_.begin(), lost_.end());
        lost_.clear();
    }
}

void ConsumerHandle::opened(const wire::Opened& frame) {
    state = HandleState::open;
    incarnation = frame.incarnation;
    durability = frame.durability;
    lease_ms = frame.lease_ms;
    turn_ = frame.turn;
}

bool ConsumerHandle::activate() {
    if (turn_ != wire::Turn::waiting) {
        return false;
    }
    turn_ = wire::Turn::active;
    activated_ = true;
    return true;
}

// Where few messages come at a time, as those of groups do, frames are used again.
std::shared_ptr<DeliverFrame> ConsumerHandle::spare_frame() {
    if (spare_.empty()) {
        return std::make_shared<DeliverFrame>();
    }
    auto frame = std::move(spare_.back());
    spare_.pop_back();
    frame->next = 0;
    frame->has_holes = false;
    return frame;
}

bool ConsumerHandle::deliver(wire::Bytes body, const std::shared_ptr<Block>& block) {
    const auto decoded = wire::Deliver::decode(body);
    if (!decoded || decoded->count > decoded->batch.size() / wire::message_header_bytes) {
        return false;
    }
    const std::uint64_t first = decoded->first_number.value();
    if (first == 0 || first > UINT64_MAX - decoded->count ||
        decoded->count > granted_.message_limit - delivered_messages_) {
        return false;
    }
    auto frame =
        decoded->count <= spare_messages_max ? spare_frame() : std::make_shared<DeliverFrame>();
    frame->block = block;
    frame->messages = *decoded;
    frame->ends.resize(decoded->count);
    std::size_t at = 0;
    for (std::uint32_t& end : frame->ends) {
        if (decoded->batch.size() - at < wire::message_header_bytes) {
            return false;
        }
        const std::byte* message = decoded->batch.data() + at;
        const std::size_t bytes = wire::message_header_bytes +
                                  std::size_t{wire::load<std::uint32_t>(message)} +
                                  wire::load<std::uint16_t>(message + 4);
        if (decoded->batch.size() - at < bytes) {
            return false;
        }
        at += bytes;
        end = static_cast<std::uint32_t>(at);
    }
    if (at != decoded->batch.size()) {
        return false;
    }
    // What is held already comes again when a NACK of ours met the next lease of its message: the
    // one that it was meant for had run out, and the daemon had delivered it to this handle once
    // more.
    const Ledger::Removed again = ledger_.remove({decoded->first_number, decoded->count}, lost_);
    leases_lost_ += again.messages;
    settled(again);
    const bool added = ledger_.add(frame);
    MQD_ASSERT(added, first);
    delivered_messages_ += decoded->count;
    buffered_.push_back(std::move(frame));
    return true;
}

void ConsumerHandle::lease_lost(const wire::LeaseLost& frame) {
    for (std::size_t i = 0; i < frame.ranges.size(); ++i) {
        const Ledger::Removed sum = ledger_.remove(frame.ranges[i], lost_);
        leases_lost_ += sum.messages;
        settled(sum);
    }
}

void ConsumerHandle::forget() {
    buffered_.clear();
    ledger_.clear();
    acks_.clear();
    nacks_.clear();
    nacks_with_options_.clear();
    runs_.clear();
    renew_at_.reset();
    if (current_) {
        current_->next = current_->messages.count;
    }
}

std::size_t ConsumerHandle::buffered_in(const Block* block) const {
    std::size_t bytes = 0;
    for (const auto& frame : buffered_) {
        bytes += frame->block.get() == block ? frame->messages.batch.size() : 0;
    }
    return bytes;
}

void ConsumerHandle::move_out_of(const Block* block) {
    for (const auto& frame : buffered_) {
        wire::Bytes& batch = frame->messages.batch;
        if (frame->block.get() == block) {
            auto own = std::make_shared<Block>(batch.size());
            std::memcpy(own->data.get(), batch.data(), batch.size());
            batch = wire::Bytes(own->data.get(), batch.size());
            frame->block = std::move(own);
        }
    }
}

}  // namespace mqd::client
