// The part of Session that takes the daemon's frames: what each of them does, and which of them a
// daemon must not send.

#include <algorithm>
#include <cstring>
#include <utility>

#include "client/session.hpp"
#include "mqd/assert.hpp"

namespace mqd::client {

std::span<std::byte> Session::receive_space() {
    const auto space = input_.space(frame_bytes_);
    let_go_of_blocks();
    return space;
}

// Frames that wait for their consumer hold their blocks. Where only a little of a block is held,
// that is copied, so that memory stays in proportion to what waits.
void Session::let_go_of_blocks() {
    const auto block = input_.take_left();
    if (!block) {
        return;
    }
    std::size_t held = 0;
    for (const Slot& slot : slots_) {
        held += slot.consumer ? slot.consumer->buffered_in(block.get()) : 0;
    }
    if (held >= block->capacity / 4) {
        return;
    }
    for (const Slot& slot : slots_) {
        if (slot.consumer) {
            slot.consumer->move_out_of(block.get());
        }
    }
}

void Session::received(std::size_t count) {
    input_.filled(count);
    decode();
}

void Session::receive(wire::Bytes bytes) {
    while (!bytes.empty() && state_ != State::closed) {
        const auto space = receive_space();
        const std::size_t count = std::min(space.size(), bytes.size());
        std::memcpy(space.data(), bytes.data(), count);
        bytes = bytes.subspan(count);
        received(count);
    }
}

void Session::decode() {
    frame_bytes_ = 0;
    while (state_ != State::closed) {
        const wire::Bytes unread = input_.unread();
        if (unread.size() < wire::frame_header_bytes) {
            return;
        }
        const wire::FrameHeader header = wire::decode_frame_header(unread.data());
        if (header.body_bytes > options_.frame_body_bytes_max) {
            fail({ErrorCode::frame_too_big, "the daemon sent a frame that is too big",
                  options_.frame_body_bytes_max});
            return;
        }
        const std::size_t bytes = wire::frame_header_bytes + std::size_t{header.body_bytes};
        if (unread.size() < bytes) {
            frame_bytes_ = bytes;
            return;
        }
        take_frame(header, unread.subspan(wire::frame_header_bytes, header.body_bytes));
        input_.skip(bytes);
    }
}

void Session::violation(const wire::FrameHeader& header, std::string_view what) {
    fail({ErrorCode::protocol_violation, "the daemon sent " + std::string(what) + " (frame type " +
                                             std::to_string(static_cast<unsigned>(header.type)) +
                                             ", handle " + std::to_string(header.handle.value()) +
                                             ")"});
}

void Session::take_frame(const wire::FrameHeader& header, wire::Bytes body) {
    if (header.type == wire::FrameType::error) {
        take_error(header, body);
    } else if (state_ != State::greeting) {
        take_open_frame(header, body);
    } else if (header.type == wire::FrameType::welcome) {
        take_welcome(body);
    } else {
        violation(header, "another frame than WELCOME first");
    }
}

void Session::take_welcome(wire::Bytes body) {
    const auto welcome = wire::Welcome::decode(body);
    if (!welcome || welcome->handles_max == 0 || welcome->message_body_bytes_max == 0 ||
        welcome->frame_body_bytes_max <= wire::Publish::fixed_bytes + wire::message_header_bytes) {
        fail({ErrorCode::protocol_violation, "the daemon sent a malformed WELCOME"});
        return;
    }
    if (welcome->version != wire::protocol_version) {
        fail({ErrorCode::unsupported_version, "the daemon speaks another version of the protocol",
              welcome->version});
        return;
    }
    server_ = {
        std::string(welcome->server_name), welcome->identity,    welcome->frame_body_bytes_max,
        welcome->message_body_bytes_max,   welcome->handles_max, welcome->heartbeat_ms};
    publish_limits_ = {std::min(welcome->frame_body_bytes_max, wire::frame_body_bytes_hard_max),
                       std::min(welcome->message_body_bytes_max, wire::message_body_bytes_hard_max),
                       options_.send_buffer_bytes};
    state_ = State::open;
}

void Session::take_open_frame(const wire::FrameHeader& header, wire::Bytes body) {
    switch (header.type) {
        case wire::FrameType::confirm:
        case wire::FrameType::refuse:
        case wire::FrameType::credit: return take_for_producer(header, body);
        case wire::FrameType::deliver:
        case wire::FrameType::lease_lost:
        case wire::FrameType::consumer_active: return take_for_consumer(header, body);
        case wire::FrameType::ping: {
            const auto ping = wire::Ping::decode(body);
            if (!ping) {
                return violation(header, "a PING that is too long");
            }
            if (state_ == State::open) {  // behind GOODBYE nothing may be sent
                append(wire::Pong{ping->payload}, header.correlation);
            }
            return;
        }
        case wire::FrameType::closed: return take_closed(header, body);
        case wire::FrameType::opened:
        case wire::FrameType::goodbye_reply:
        case wire::FrameType::pong:
        case wire::FrameType::settled:
        case wire::FrameType::transacted:
        case wire::FrameType::queue_info:
        case wire::FrameType::done:
        case wire::FrameType::queue_list_reply:
        case wire::FrameType::peek_reply:
        case wire::FrameType::status_reply:
        case wire::FrameType::backup_reply:
        case wire::FrameType::backup_part:
        case wire::FrameType::message_history_reply: return take_reply(header, body);
        case wire::FrameType::error: return take_error(header, body);
        case wire::FrameType::hello:
        case wire::FrameType::goodbye:
        case wire::FrameType::open_producer:
        case wire::FrameType::open_consumer:
        case wire::FrameType::close_handle:
        case wire::FrameType::publish:
        case wire::FrameType::resume:
        case wire::FrameType::ack:
        case wire::FrameType::nack:
        case wire::FrameType::extend:
        case wire::FrameType::transact:
        case wire::FrameType::queue_create:
        case wire::FrameType::queue_update:
        case wire::FrameType::queue_delete:
        case wire::FrameType::queue_purge:
        case wire::FrameType::queue_undo:
        case wire::FrameType::messages_delete:
        case wire::FrameType::messages_move:
        case wire::FrameType::message_history:
        case wire::FrameType::queue_list:
        case wire::FrameType::queue_show:
        case wire::FrameType::peek:
        case wire::FrameType::status:
        case wire::FrameType::backup:
        case wire::FrameType::backup_next:
        case wire::FrameType::welcome: return violation(header, "a frame out of place");
    }
    // A frame of a later version of the protocol: passed over.
}

void Session::take_error(const wire::FrameHeader& header, wire::Bytes body) {
    const auto frame = wire::ErrorFrame::decode(body);
    if (!frame) {
        return violation(header, "a malformed ERROR");
    }
    const Error error = frame->to_error();
    if (closes_connection(error.code) || state_ == State::greeting) {
        return fail(error);
    }
    if (header.correlation.value() != 0) {
        const auto request = find_request(header.correlation);
        if (request == requests_.end() || request->answered) {
            return violation(header, "an ERROR for no request");
        }
        return take_error_reply(*request, error);
    }
    if (Slot* const held = slot(header.handle)) {
        held->handle()->end(error);
        if (held->consumer) {
            held->consumer->forget();
        }
        tell(*held->handle());
        wind_up(header.handle);
    } else if (header.handle.value() == 0 && error.code == ErrorCode::stopping) {
        stopping_ = error;
    }
}

void Session::take_error_reply(Request& request, const Error& error) {
    const HandleId handle = request.handle;
    const bool ends_handle =
        request.expected == wire::FrameType::opened || request.expected == wire::FrameType::closed;
    request.answered = true;
    request.reply.type = wire::FrameType::error;
    request.reply.error = error;
    if (request.forgotten) {
        requests_.erase(find_request(request.correlation));
    }
    if (Slot* const held = slot(handle); held != nullptr && ends_handle) {
        held->handle()->end(error);
        held->handle()->at_daemon = false;
        wind_up(handle);
    }
}

void Session::take_reply(const wire::FrameHeader& header, wire::Bytes body) {
    auto request = find_request(header.correlation);
    if (request == requests_.end() || request->answered || request->expected != header.type) {
        return violation(header, "an answer to no request");
    }
    if (header.type == wire::FrameType::opened) {
        if (!take_opened(request->handle, body)) {
            return violation(header, "a malformed OPENED");
        }
        request = find_request(header.correlation);
    }
    if (header.type == wire::FrameType::goodbye_reply) {
        ended_by_goodbye_ = true;
        return fail({ErrorCode::usage, "the client is closed"});
    }
    if (request->forgotten) {
        requests_.erase(request);
        return;
    }
    request->answered = true;
    request->reply.type = header.type;
    request->reply.body.assign(body.begin(), body.end());
}

bool Session::take_opened(HandleId handle, wire::Bytes body) {
    const auto opened = wire::Opened::decode(body);
    Slot* const held = slot(handle);
    if (!opened || held == nullptr || held->handle()->state != HandleState::opening) {
        return false;
    }
    if (held->producer) {
        held->producer->opened(*opened);
    } else {
        held->consumer->opened(*opened);
    }
    wind_up(handle);  // if whoever asked for it gave up waiting
    return true;
}

void Session::take_closed(const wire::FrameHeader& header, wire::Bytes body) {
    HandleId handle = header.handle;
    if (header.correlation.value() != 0) {
        const auto request = find_request(header.correlation);
        if (request != requests_.end()) {
            handle = request->handle;
        }
        take_reply(header, body);
    }
    if (state_ == State::closed) {
        return;
    }
    if (Slot* const held = slot(handle)) {
        const bool by_us = held->handle()->state == HandleState::closing;
        held->handle()->end(
            by_us ? std::nullopt
                  : std::optional(Error{ErrorCode::queue_deleted, "the daemon closed the handle"}));
        held->handle()->at_daemon = false;
        if (held->consumer) {
            held->consumer->forget();
        }
        tell(*held->handle());
        wind_up(handle);
    }
}

void Session::take_for_producer(const wire::FrameHeader& header, wire::Bytes body) {
    Slot* const held = slot(header.handle);
    if (held == nullptr || !held->producer) {
        return was_opened(header.handle) ? void() : violation(header, "an answer for no producer");
    }
    ProducerHandle& producer = *held->producer;
    if (producer.state == HandleState::ended) {
        return;
    }
    bool fine = false;
    if (header.type == wire::FrameType::credit) {
        const auto credit = wire::Credit::decode(body);
        fine = credit.has_value();
        if (credit) {
            producer.credit(*credit);
        }
        return fine ? void() : violation(header, "a malformed CREDIT");
    }
    if (header.type == wire::FrameType::confirm) {
        const auto confirm = wire::Confirm::decode(body);
        fine = confirm && producer.confirm(*confirm);
    } else {
        const auto refuse = wire::Refuse::decode(body);
        fine = refuse && producer.refuse(*refuse);
    }
    if (!fine) {
        return violation(header, "a CONFIRM or REFUSE that is malformed or out of order");
    }
    tell(producer);
    wind_up(header.handle);
}

void Session::take_for_consumer(const wire::FrameHeader& header, wire::Bytes body) {
    Slot* const held = slot(header.handle);
    if (held == nullptr || !held->consumer) {
        return was_opened(header.handle) ? void() : violation(header, "messages for no consumer");
    }
    ConsumerHandle& consumer = *held->consumer;
    if (consumer.state != HandleState::open || state_ != State::open) {
        return;  // on its way when the handle or the session ended
    }
    if (header.type == wire::FrameType::deliver) {
        if (!consumer.deliver(body, input_.block())) {
            return violation(header, "a malformed DELIVER");
        }
        return consumer.has_lost() ? tell(consumer) : void();
    }
    if (header.type == wire::FrameType::consumer_active) {
        if (!consumer.activate()) {
            return violation(header, "CONSUMER_ACTIVE for a consumer that does not wait");
        }
        return tell(consumer);
    }
    const auto lost = wire::LeaseLost::decode(body);
    if (!lost) {
        return violation(header, "a malformed LEASE_LOST");
    }
    consumer.lease_lost(*lost);
    tell(consumer);
}

}  // namespace mqd::client
