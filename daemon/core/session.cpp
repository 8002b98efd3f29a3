// Frames in, and what the core has to say to the client; producers and consumers are in
// handles.cpp.

#include "daemon/core/session.hpp"

#include <algorithm>
#include <array>

#include "mqd/version.hpp"
#include "mqd/wire/admin.hpp"
#include "mqd/wire/backup.hpp"

namespace mqd::core {

namespace {

// Before HELLO nothing larger is taken.
constexpr std::uint32_t hello_bytes_max = 4096;
constexpr std::uint32_t client_frame_bytes_min = 65'536;
// Deliveries stop while so much of the output limit is unsent; the rest is for answers.
constexpr std::uint64_t room_share = 2;
// A client may be silent for so many times its heartbeat.
constexpr int heartbeats_missed_max = 3;
constexpr std::size_t error_text_bytes_max = 2048;

}  // namespace

Session::Session(Core& core, Identity identity, Owner owner)
    : core_(core),
      identity_(identity),
      owner_(owner),
      last_received_(core.now_.journal),
      out_(core.frame_buffers_) {
    room_.bytes = core_.options_.output_bytes_max / room_share;
    room_.delivery_bytes = wire::frame_header_bytes + wire::Deliver::fixed_bytes;
    room_.leases_max = core_.options_.leases_max != 0 ? core_.options_.leases_max : UINT64_MAX;
    core_.add_session(*this);
}

Session::~Session() {
    end_handles(engine::ConsumerEnd::failed);
    core_.remove_session(*this);
}

// What the consumers had leased is ready for others, at once; a backup ends likewise.
void Session::end_handles(engine::ConsumerEnd end) {
    core_.backup_->session_ended(*this);
    core_.lifetimes_.session_ended(*this);
    for (Handle& handle : handles_) {
        if (auto* producer = std::get_if<std::unique_ptr<Producer>>(&handle)) {
            core_.close_producer(**producer);
        } else if (auto* consumer = std::get_if<std::unique_ptr<ConsumerHandle>>(&handle)) {
            core_.close_consumer(**consumer, end);
        }
    }
    handles_.clear();
}

void Session::receive(wire::Bytes bytes) {
    if (state_ != State::greeting) {  // before HELLO only the time since connecting counts
        last_received_ = core_.now_.journal;
    }
    while (!bytes.empty() && !closing_) {
        if (overflowed()) {  // by answers to what came in one piece
            return close({ErrorCode::output_overflow, "more was asked for than is read",
                          core_.options_.output_bytes_max});
        }
        if (partial_.empty()) {
            if (bytes.size() < wire::frame_header_bytes) {
                partial_.assign(bytes.begin(), bytes.end());
                return;
            }
            const wire::FrameHeader header = wire::decode_frame_header(bytes.data());
            if (!acceptable(header)) {
                return;
            }
            const std::size_t whole = wire::frame_header_bytes + header.body_bytes;
            if (bytes.size() < whole) {
                partial_.assign(bytes.begin(), bytes.end());
                return;
            }
            handle_frame(header, bytes.subspan(wire::frame_header_bytes, header.body_bytes));
            bytes = bytes.subspan(whole);
            continue;
        }
        // Memory grows with what has come, not with what a header promises.
        std::size_t whole = wire::frame_header_bytes;
        if (partial_.size() >= wire::frame_header_bytes) {
            whole += wire::decode_frame_header(partial_.data()).body_bytes;
        }
        const std::size_t more = std::min(whole - partial_.size(), bytes.size());
        partial_.insert(partial_.end(), bytes.begin(),
                        bytes.begin() + static_cast<std::ptrdiff_t>(more));
        bytes = bytes.subspan(more);
        if (partial_.size() < whole) {
            return;
        }
        const wire::FrameHeader header = wire::decode_frame_header(partial_.data());
        if (whole == wire::frame_header_bytes && !acceptable(header)) {
            return;
        }
        if (partial_.size() == wire::frame_header_bytes + header.body_bytes) {
            const std::vector<std::byte> frame = std::move(partial_);
            partial_ = {};
            handle_frame(header, wire::Bytes(frame).subspan(wire::frame_header_bytes));
        }
    }
}

bool Session::acceptable(const wire::FrameHeader& header) {
    const std::uint32_t most =
        state_ == State::greeting ? hello_bytes_max : core_.options_.frame_body_bytes_max;
    if (state_ == State::greeting && header.type != wire::FrameType::hello) {
        violation("HELLO must come first");
        return false;
    }
    if (header.body_bytes > most) {
        close({ErrorCode::frame_too_big,
               "a frame body of " + std::to_string(header.body_bytes) + " bytes", most});
        return false;
    }
    return true;
}

void Session::handle_frame(const wire::FrameHeader& header, wire::Bytes body) {
    if (state_ == State::leaving) {
        violation("a frame after GOODBYE");
        return;
    }
    dispatch(header, body);
}

template <typename Frame, typename Fn>
void Session::with(wire::Bytes body, Fn&& fn) {
    if (const auto frame = Frame::decode(body)) {
        fn(*frame);
    } else {
        violation("malformed frame");
    }
}

void Session::dispatch(const wire::FrameHeader& header, wire::Bytes body) {
    using wire::FrameType;
    const CorrelationId id = header.correlation;
    switch (header.type) {
        case FrameType::publish:
            return with<wire::Publish>(body, [&](const auto& f) { on_publish(header, f); });
        case FrameType::ack:
            return with<wire::Ack>(body, [&](const auto& f) { on_ack(header, f); });
        case FrameType::credit:
            return with<wire::Credit>(body, [&](const auto& f) { on_credit(header, f); });
        case FrameType::nack:
            return with<wire::Nack>(body, [&](const auto& f) { on_nack(header, f); });
        case FrameType::extend:
            return with<wire::Extend>(body, [&](const auto& f) { on_extend(header, f); });
        case FrameType::resume: return on_resume(header);
        case FrameType::transact:
            return with<wire::Transact>(body, [&](const auto& f) { on_transact(id, f); });
        case FrameType::open_producer:
            return with<wire::OpenProducer>(body,
                                            [&](const auto& f) { on_open_producer(header, f); });
        case FrameType::open_consumer:
            return with<wire::OpenConsumer>(body,
                                            [&](const auto& f) { on_open_consumer(header, f); });
        case FrameType::close_handle: return on_close_handle(header);
        case FrameType::ping:
            return with<wire::Ping>(body, [&](const auto& f) { send(wire::Pong{f.payload}, id); });
        case FrameType::pong: return;
        case FrameType::hello: return with<wire::Hello>(body, [&](const auto& f) { on_hello(f); });
        case FrameType::goodbye: return on_goodbye(id);
        default: administer(header, body);
    }
}

void Session::administer(const wire::FrameHeader& header, wire::Bytes body) {
    using wire::FrameType;
    const CorrelationId id = header.correlation;
    switch (header.type) {
        case FrameType::queue_create:
            return with<wire::QueueCreate>(body, [&](const auto& f) { on_queue_create(id, f); });
        case FrameType::queue_update:
            return with<wire::QueueUpdate>(body, [&](const auto& f) { on_queue_update(id, f); });
        case FrameType::queue_delete:
            return with<wire::QueueDelete>(body, [&](const auto& f) { on_queue_delete(id, f); });
        case FrameType::queue_purge:
            return with<wire::QueuePurge>(body, [&](const auto& f) { on_queue_purge(id, f); });
        case FrameType::queue_undo:
            return with<wire::QueueUndo>(body, [&](const auto& f) { on_queue_undo(id, f); });
        case FrameType::messages_delete:
            return with<wire::MessagesDelete>(body,
                                              [&](const auto& f) { on_messages_delete(id, f); });
        case FrameType::messages_move:
            return with<wire::MessagesMove>(body, [&](const auto& f) { on_messages_move(id, f); });
        case FrameType::message_history:
            return with<wire::MessageHistory>(body,
                                              [&](const auto& f) { on_message_history(id, f); });
        case FrameType::queue_show:
            return with<wire::QueueShow>(body, [&](const auto& f) { on_queue_show(id, f); });
        case FrameType::queue_list:
            return with<wire::QueueList>(body, [&](const auto& f) { on_queue_list(id, f); });
        case FrameType::peek: return with<wire::Peek>(body, [&](const auto& f) { peek(f, id); });
        case FrameType::status: return send(core_.status(), id);
        case FrameType::backup: return on_backup(id);
        case FrameType::backup_next: return on_backup_next(id);
        case FrameType::welcome:
        case FrameType::goodbye_reply:
        case FrameType::opened:
        case FrameType::closed:
        case FrameType::confirm:
        case FrameType::refuse:
        case FrameType::deliver:
        case FrameType::settled:
        case FrameType::lease_lost:
        case FrameType::consumer_active:
        case FrameType::transacted:
        case FrameType::queue_info:
        case FrameType::done:
        case FrameType::queue_list_reply:
        case FrameType::peek_reply:
        case FrameType::status_reply:
        case FrameType::backup_reply:
        case FrameType::backup_part:
        case FrameType::message_history_reply:
        case FrameType::error: return violation("a frame that only the daemon sends");
        default: break;
    }
    send_error({ErrorCode::unknown_frame,
                "frame type " + std::to_string(static_cast<unsigned>(header.type))},
               id, header.handle);
}

void Session::on_hello(const wire::Hello& frame) {
    if (state_ != State::greeting) {
        return violation("HELLO twice");
    }
    if (frame.magic != wire::magic) {
        return violation("not the mqd protocol");
    }
    if (frame.version_min > wire::protocol_version || frame.version_max < wire::protocol_version) {
        return close({ErrorCode::unsupported_version, "this daemon speaks version 1",
                      wire::protocol_version});
    }
    if (frame.frame_body_bytes_max < client_frame_bytes_min) {
        return close({ErrorCode::protocol_violation, "frame_body_bytes_max below 65536"});
    }
    state_ = State::open;
    frame_body_bytes_max_ = std::min(frame.frame_body_bytes_max, wire::frame_body_bytes_hard_max);
    heartbeat_ = std::chrono::milliseconds(frame.heartbeat_ms);
    client_name_ = frame.client_name;
    const std::string server_name = "mqd " + std::string(version());
    wire::Welcome welcome;
    welcome.frame_body_bytes_max = core_.options_.frame_body_bytes_max;
    welcome.message_body_bytes_max = core_.options_.message_bytes_max;
    welcome.handles_max = core_.options_.handles_max;
    welcome.heartbeat_ms = frame.heartbeat_ms;
    welcome.identity = identity_;
    welcome.server_name = server_name;
    send(welcome, CorrelationId(0));
    if (core_.stopping_) {
        tell_stopping();
    }
}

void Session::on_goodbye(CorrelationId correlation) {
    state_ = State::leaving;
    goodbye_ = correlation;
    core_.leaving_.push_back(this);
    core_.answers_due_ = true;
}

void Session::answer_goodbye() {
    if (closing_ || unanswered()) {
        return;
    }
    send(wire::GoodbyeReply{}, goodbye_);
    closing_ = true;
    end_handles(engine::ConsumerEnd::gave_back);
}

void Session::check_time() {
    const engine::Time now = core_.now_.journal;
    if (closing_) {
        return;
    }
    if (state_ == State::greeting) {
        if (now - last_received_ >= core_.options_.hello_timeout) {
            close({ErrorCode::hello_timeout, "no HELLO in time",
                   static_cast<std::uint64_t>(core_.options_.hello_timeout.count())});
        }
    } else if (heartbeat_.count() > 0 &&
               now - last_received_ >= heartbeat_ * heartbeats_missed_max) {
        close({ErrorCode::heartbeat_timeout, "no heartbeat in time",
               static_cast<std::uint64_t>(heartbeat_.count())});
    }
}

void Session::violation(std::string_view text) {
    close({ErrorCode::protocol_violation, std::string(text)});
}

void Session::close(const Error& error) {
    if (closing_) {
        return;
    }
    send_error(error, CorrelationId(0));
    close_reason_ = error;
    closing_ = true;
    end_handles(engine::ConsumerEnd::failed);
}

void Session::tell_stopping() {
    if (state_ != State::greeting && !closing_) {
        send_error({ErrorCode::stopping, "the daemon is shutting down"}, CorrelationId(0));
    }
}

// --- output

void Session::sent() {
    out_.end_frames();
    if (!output_noted_) {
        output_noted_ = true;
        core_.note_output(*this);
    }
}

void Session::output_sent(std::size_t bytes) {
    out_.consume(bytes);
    const std::uint64_t most = core_.options_.output_bytes_max / room_share;
    room_.bytes = most - std::min(most, out_.bytes());
    if (room_.wanted && room_.bytes >= most / 2) {
        room_.wanted = false;
        for (Handle& handle : handles_) {
            auto* consumer = std::get_if<std::unique_ptr<ConsumerHandle>>(&handle);
            if (consumer != nullptr && (*consumer)->queue != nullptr) {
                core_.engine_.wake(**consumer);
            }
        }
    }
}

void Session::send_error(const Error& error, CorrelationId correlation, HandleId handle) {
    // What a client sent may be in it.
    const std::string_view text = std::string_view(error.text).substr(0, error_text_bytes_max);
    send(wire::ErrorFrame{error.code, error.limit, error.retry_after_ms, text}, correlation,
         handle);
}

void Session::send_confirm(const Producer& producer, LineNumber first, Durability durability,
                           const std::vector<std::byte>& runs) {
    send(wire::Confirm{first, durability, producer.credit, runs}, CorrelationId(0),
         producer.handle);
}

void Session::send_refuse(const Producer& producer, LineNumber first, std::uint64_t count,
                          const Error& error) {
    const wire::ErrorFrame what{error.code, error.limit, error.retry_after_ms, error.text};
    send(wire::Refuse{first, count, producer.credit, what}, CorrelationId(0), producer.handle);
}

void Session::send_delivery(const ConsumerHandle& consumer, const engine::Delivery& delivery) {
    // The engine hands out what was announced to it, and core announces Blocks only.
    auto& block = *const_cast<Block*>(static_cast<const Block*>(delivery.extent));
    const std::size_t bytes = block.bytes_of(delivery.range);
    std::array<std::byte, wire::frame_header_bytes + wire::Deliver::fixed_bytes> head;
    wire::encode_frame_header(head.data(),
                              {static_cast<std::uint32_t>(wire::Deliver::fixed_bytes + bytes),
                               wire::FrameType::deliver, 0, CorrelationId(0), consumer.handle});
    wire::Deliver fixed;
    fixed.first_number = delivery.range.first;
    fixed.published = block.published;
    fixed.count = static_cast<std::uint32_t>(delivery.range.count);
    fixed.attempt = delivery.attempt;
    fixed.sender = block.sender;
    fixed.encode_fixed(head.data() + wire::frame_header_bytes);
    out_.frames().insert(out_.frames().end(), head.begin(), head.end());
    out_.slice(block, block.offset(delivery.range.first), bytes);
    sent();
}

// Whole parts: a client that reads slowly gets them later, not smaller.
std::size_t Session::backup_room() const {
    const std::uint64_t output_max = core_.options_.output_bytes_max / room_share;
    const std::uint64_t most =
        std::min({core_.options_.backup_part_bytes_max, output_max,
                  frame_body_bytes_max_ - std::uint64_t{wire::BackupPart::fixed_bytes_max}});
    const bool room = out_.empty() || out_.bytes() + most <= output_max;
    const auto blocks = static_cast<std::size_t>(most / storage::block_bytes);
    return room ? std::max<std::size_t>(1, blocks) * storage::block_bytes : 0;
}

void Session::send_backup_part(const wire::BackupPart& part, Block& block,
                               CorrelationId correlation) {
    std::vector<std::byte>& frames = out_.frames();
    const std::size_t at = frames.size();
    frames.resize(at + wire::frame_header_bytes);
    wire::Writer writer(frames);
    part.encode_fixed(writer);
    const std::size_t body = frames.size() - at - wire::frame_header_bytes + block.bytes;
    wire::encode_frame_header(frames.data() + at,
                              {static_cast<std::uint32_t>(body), wire::FrameType::backup_part, 0,
                               correlation, HandleId(0)});
    out_.slice(block, 0, block.bytes);
    sent();
}

void Session::send_lease_lost(const ConsumerHandle& consumer,
                              std::span<const MessageRange> ranges) {
    std::vector<std::byte>& frames = out_.frames();
    const std::size_t at = frames.size();
    frames.resize(at + wire::frame_header_bytes);
    wire::Writer writer(frames);
    wire::RangeList::encode(writer, ranges);
    const auto body = static_cast<std::uint32_t>(frames.size() - at - wire::frame_header_bytes);
    wire::encode_frame_header(frames.data() + at, {body, wire::FrameType::lease_lost, 0,
                                                   CorrelationId(0), consumer.handle});
    sent();
}

}  // namespace mqd::core
