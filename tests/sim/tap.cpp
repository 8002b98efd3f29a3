#include "sim/tap.hpp"

#include <array>
#include <cstdio>
#include <utility>

namespace mqd::sim {

using wire::FrameType;

namespace {

std::string ranges_text(const wire::RangeList& ranges) {
    std::string text;
    for (std::size_t i = 0; i < ranges.size(); ++i) {
        text +=
            ' ' + std::to_string(ranges[i].first.value()) + '+' + std::to_string(ranges[i].count);
    }
    return text;
}

// The numbers in a frame that matter for following a run.
std::string frame_text(const wire::FrameHeader& header, wire::Bytes body) {
    switch (header.type) {
        case FrameType::publish: {
            const auto frame = wire::Publish::decode(body);
            return "publish line " + std::to_string(frame->first_line.value()) + '+' +
                   std::to_string(frame->count);
        }
        case FrameType::confirm: {
            const auto frame = wire::Confirm::decode(body);
            std::string text = "confirm line " + std::to_string(frame->first_line.value()) +
                               " at " + std::to_string(static_cast<int>(frame->durability)) + ':';
            for (std::size_t i = 0; i < frame->size(); ++i) {
                text += ' ' + std::to_string((*frame)[i].first_number.value()) + '+' +
                        std::to_string((*frame)[i].count);
            }
            return text;
        }
        case FrameType::opened: {
            const auto frame = wire::Opened::decode(body);
            return "opened: queue id " + std::to_string(frame->incarnation.value()) +
                   " durability " + std::to_string(static_cast<int>(frame->durability)) +
                   (frame->last_line ? " last line " + std::to_string(frame->last_line->value())
                                     : std::string());
        }
        case FrameType::open_producer: {
            const auto frame = wire::OpenProducer::decode(body);
            return "open producer of " + std::string(frame->queue) + " \"" +
                   std::string(frame->producer) + '"';
        }
        case FrameType::queue_purge:
            return "purge " + std::string(wire::QueuePurge::decode(body)->queue) +
                   (wire::QueuePurge::decode(body)->for_good ? " for good" : "");
        case FrameType::queue_undo:
            return "undo " + std::string(wire::QueueUndo::decode(body)->queue);
        case FrameType::refuse: {
            const auto frame = wire::Refuse::decode(body);
            return "refuse line " + std::to_string(frame->first_line.value()) + '+' +
                   std::to_string(frame->count) + ' ' + std::string(error_name(frame->error.code));
        }
        case FrameType::deliver: {
            const auto frame = wire::Deliver::decode(body);
            return "deliver " + std::to_string(frame->first_number.value()) + '+' +
                   std::to_string(frame->count) + " attempt " + std::to_string(frame->attempt);
        }
        case FrameType::error: return "error: " + std::string(wire::ErrorFrame::decode(body)->text);
        case FrameType::ack: return "ack" + ranges_text(wire::Ack::decode(body)->ranges);
        case FrameType::nack: return "nack" + ranges_text(wire::Nack::decode(body)->ranges);
        case FrameType::extend: return "extend" + ranges_text(wire::Extend::decode(body)->ranges);
        case FrameType::lease_lost:
            return "lease_lost" + ranges_text(wire::LeaseLost::decode(body)->ranges);
        default: {
            char type[8];
            std::snprintf(type, sizeof type, "0x%02X", static_cast<unsigned>(header.type));
            return std::string("frame ") + type;
        }
    }
}

}  // namespace

void Tap::trace(const char* direction, const wire::FrameHeader& header, wire::Bytes body) const {
    if (traced_) {
        std::printf("%10.3f ms  client %u %s handle %u: %s\n", judge_.time_ms(), identity_.pid,
                    direction, header.handle.value(), frame_text(header, body).c_str());
    }
}

template <typename Fn>
void Tap::split(std::vector<std::byte>& partial, wire::Bytes bytes, Fn&& fn) {
    partial.insert(partial.end(), bytes.begin(), bytes.end());
    std::size_t at = 0;
    while (partial.size() - at >= wire::frame_header_bytes) {
        const wire::FrameHeader header = wire::decode_frame_header(partial.data() + at);
        const std::size_t whole = wire::frame_header_bytes + header.body_bytes;
        if (partial.size() - at < whole) {
            break;
        }
        const wire::Bytes frame(partial.data() + at, whole);
        fn(header, frame.subspan(wire::frame_header_bytes));
        at += whole;
    }
    partial.erase(partial.begin(), partial.begin() + static_cast<std::ptrdiff_t>(at));
}

ConsumerRecord* Tap::consumer(HandleId handle) {
    const auto at = consumers_.find(handle);
    return at == consumers_.end() ? nullptr : at->second;
}

ProducerRecord* Tap::producer(HandleId handle) {
    const auto at = producers_.find(handle);
    return at == producers_.end() ? nullptr : at->second;
}

// --- in

void Tap::heard_in(wire::Bytes bytes) {
    split(partial_in_, bytes,
          [&](const wire::FrameHeader& header, wire::Bytes body) { take_in(header, body); });
}

void Tap::take_in(const wire::FrameHeader& header, wire::Bytes body) {
    trace("->", header, body);
    switch (header.type) {
        case FrameType::open_producer: {
            const auto frame = wire::OpenProducer::decode(body);
            Opening& opening = openings_[header.handle];
            opening = {true, std::string(frame->queue), 0, Sharing::shared};
            opening.name = frame->producer;
            opening.wait_ms = frame->wait_ms;
            if (!opening.name.empty()) {
                opening.place = judge_.name_asked(opening.queue, opening.name);
            }
            break;
        }
        case FrameType::open_consumer: {
            const auto frame = wire::OpenConsumer::decode(body);
            openings_[header.handle] = {false, std::string(frame->queue), judge_.next_place(),
                                        frame->sharing};
            break;
        }
        case FrameType::publish:
            judge_.publish(*producers_.at(header.handle), *wire::Publish::decode(body));
            break;
        case FrameType::close_handle:
            if (ConsumerRecord* closed = consumer(header.handle)) {
                judge_.consumer_ended(*closed, Lent::gave_back);  // at once; CLOSED says it later
            }
            break;
        case FrameType::transact:
            transacting_ = &judge_.transact(*wire::Transact::decode(body), identity_, consumers_);
            requests_[header.correlation] = {header.type, {}, {}, transacting_};
            break;
        case FrameType::resume: judge_.resume(*producers_.at(header.handle)); break;
        case FrameType::ack:
        case FrameType::nack:
        case FrameType::extend: take_settlement(header, body); break;
        case FrameType::queue_delete:
        case FrameType::queue_purge:
        case FrameType::queue_undo:
        case FrameType::messages_delete:
        case FrameType::peek: take_request(header, body); break;
        case FrameType::messages_move: {
            const auto frame = wire::MessagesMove::decode(body);
            for (QueueRecord* queue : judge_.queues_named(frame->queue)) {
                if (queue->id == frame->incarnation) {
                    judge_.move_asked(*queue, frame->target);
                }
            }
            break;
        }
        case FrameType::message_history: {
            Request& request = requests_[header.correlation];
            request.type = header.type;
            request.number = wire::MessageHistory::decode(body)->number;
            request.heard_before = judge_.deliveries_heard();
            break;
        }
        case FrameType::queue_update: requests_[header.correlation].type = header.type; break;
        default: break;
    }
}

std::size_t Tap::up_to_transact(wire::Bytes bytes) const {
    std::size_t at = 0;  // in both, one behind the other
    const auto byte = [&](std::size_t i) {
        return i < partial_in_.size() ? partial_in_[i] : bytes[i - partial_in_.size()];
    };
    const std::size_t whole = partial_in_.size() + bytes.size();
    while (whole - at >= wire::frame_header_bytes) {
        std::array<std::byte, wire::frame_header_bytes> head;
        for (std::size_t i = 0; i < head.size(); ++i) {
            head[i] = byte(at + i);
        }
        const wire::FrameHeader header = wire::decode_frame_header(head.data());
        at += wire::frame_header_bytes + header.body_bytes;
        if (at > whole || header.type == FrameType::transact) {
            break;
        }
    }
    return at > partial_in_.size() && at <= whole ? at - partial_in_.size() : bytes.size();
}

void Tap::answered_at_once() {
    judge_.taken(*std::exchange(transacting_, nullptr));
}

void Tap::take_settlement(const wire::FrameHeader& header, wire::Bytes body) {
    ConsumerRecord* from = consumer(header.handle);
    if (from == nullptr) {
        return;  // its queue was deleted, or it is closed
    }
    if (header.type == FrameType::ack) {
        EndingRecord ending = judge_.ack(*from, wire::Ack::decode(body)->ranges);
        if ((header.flags & wire::flag_confirm) != 0) {
            requests_[header.correlation] = {header.type, {}, std::move(ending), nullptr};
        }
    } else if (header.type == FrameType::nack) {
        judge_.nack(*from, *wire::Nack::decode(body), (header.flags & wire::flag_dead_letter) != 0);
    } else {
        judge_.extend(*from, *wire::Extend::decode(body));
    }
}

void Tap::take_request(const wire::FrameHeader& header, wire::Bytes body) {
    Request request;
    request.type = header.type;
    if (header.type == FrameType::peek) {
        request.queue = wire::Peek::decode(body)->queue;
    } else if (header.type == FrameType::messages_delete) {
        const auto frame = wire::MessagesDelete::decode(body);
        request.queue = frame->queue;
        for (QueueRecord* queue : judge_.queues_named(request.queue)) {
            if (queue->id == frame->incarnation) {
                request.ending = judge_.end_asked(*queue, frame->ranges);
            }
        }
    } else {
        request.queue = wire::QueueDelete::decode(body)->queue;
    }
    if (header.type == FrameType::queue_delete) {
        judge_.delete_asked(request.queue);
    } else if (header.type == FrameType::queue_purge) {
        judge_.purge_asked(request.queue);
        for (QueueRecord* queue : judge_.queues_named(request.queue)) {
            request.ending = judge_.purge_asked(*queue, wire::QueuePurge::decode(body)->for_good);
        }
    } else if (header.type == FrameType::queue_undo) {
        for (QueueRecord* queue : judge_.queues_named(request.queue)) {
            request.ending = judge_.undo_asked(*queue);
        }
    }
    requests_[header.correlation] = std::move(request);
}

// --- out

void Tap::heard_out(wire::Bytes bytes) {
    split(partial_out_, bytes, [&](const wire::FrameHeader& header, wire::Bytes body) {
        trace("<-", header, body);
        if (header.type == FrameType::deliver) {
            std::vector<std::byte>& frame = deliveries_.emplace_back(wire::frame_header_bytes);
            wire::encode_frame_header(frame.data(), header);
            frame.insert(frame.end(), body.begin(), body.end());
        } else {
            take_out(header, body);
        }
    });
}

void Tap::tell_deliveries() {
    for (const std::vector<std::byte>& frame : deliveries_) {
        const wire::FrameHeader header = wire::decode_frame_header(frame.data());
        const auto delivery =
            wire::Deliver::decode(wire::Bytes(frame).subspan(wire::frame_header_bytes));
        ConsumerRecord* to = consumer(header.handle);
        if (to == nullptr || !delivery) {
            judge_.violate("DELIVER to a handle that is not there");
        } else {
            judge_.heard(to->queue->id, *delivery);
            judge_.deliver(*to, *delivery);
            judge_.check_leases(held());
        }
    }
    deliveries_.clear();
    if (said_goodbye_) {
        ended();
    }
}

void Tap::take_out(const wire::FrameHeader& header, wire::Bytes body) {
    switch (header.type) {
        case FrameType::opened: take_opened(header, *wire::Opened::decode(body)); break;
        case FrameType::closed: end_handle(header.handle); break;
        case FrameType::confirm:
            if (ProducerRecord* of = producer(header.handle)) {
                judge_.confirm(*of, *wire::Confirm::decode(body));
                check_credit();
            } else {
                judge_.violate("CONFIRM to a handle that is not there");
            }
            break;
        case FrameType::refuse:
            if (ProducerRecord* of = producer(header.handle)) {
                judge_.refuse(*of, *wire::Refuse::decode(body));
                check_credit();
            } else {
                judge_.violate("REFUSE to a handle that is not there");
            }
            break;
        case FrameType::lease_lost:
            if (ConsumerRecord* from = consumer(header.handle)) {
                judge_.lease_lost(*from, wire::LeaseLost::decode(body)->ranges);
            }
            break;
        case FrameType::consumer_active:
            if (ConsumerRecord* active = consumer(header.handle)) {
                judge_.activated(*active);
            }
            break;
        case FrameType::queue_info: {
            if (requests_.erase(header.correlation) > 0) {
                break;  // of QUEUE_UPDATE: somebody may have asked for its deletion meanwhile
            }
            const auto info = wire::QueueInfo::decode(body);
            judge_.queue_seen(info->queue, info->incarnation, info->durability, info->lease_ms);
            judge_.counted(*info);
            break;
        }
        case FrameType::error: {
            const auto error = wire::ErrorFrame::decode(body);
            if (error->code == ErrorCode::queue_deleted && consumer(header.handle) != nullptr) {
                end_handle(header.handle);
            }
            const auto request = requests_.find(header.correlation);
            if (request != requests_.end() && request->second.transaction != nullptr) {
                judge_.refused(*request->second.transaction, *error);
            }
            requests_.erase(header.correlation);
            break;
        }
        case FrameType::goodbye_reply: said_goodbye_ = true; break;
        default: take_answer(header, body); break;
    }
}

void Tap::take_opened(const wire::FrameHeader& header, const wire::Opened& opened) {
    const Opening& opening = openings_[header.handle];
    // The answer to a named producer waits for the disk, and in the same turn the queue may go.
    const bool named = opening.is_producer && !opening.name.empty();
    QueueRecord& queue =
        judge_.queue_seen(opening.queue, opened.incarnation, opened.durability, 0, named);
    if (named) {
        producers_[header.handle] = &judge_.opened_named(queue, identity_, opening.name,
                                                         opening.place, opened.last_line.value());
    } else if (opening.is_producer) {
        ProducerRecord& record = judge_.opened_producer(queue, identity_);
        record.wait_ms = opening.wait_ms;
        producers_[header.handle] = &record;
    } else {
        consumers_[header.handle] =
            &judge_.opened_consumer(queue, opened, opening.place, opening.sharing);
    }
    if (opening.is_producer) {
        producers_[header.handle]->window_bytes = opened.byte_limit;
        check_credit();
    }
}

void Tap::take_answer(const wire::FrameHeader& header, wire::Bytes body) {
    const auto at = requests_.find(header.correlation);
    if (at == requests_.end()) {
        return;
    }
    const Request request = std::move(at->second);
    requests_.erase(at);
    switch (header.type) {
        case FrameType::settled:
            judge_.settled(request.ending, *wire::Settled::decode(body));
            break;
        case FrameType::transacted:
            judge_.transacted(*request.transaction, *wire::Transacted::decode(body));
            break;
        case FrameType::done:
            if (request.type == FrameType::queue_delete) {
                judge_.deleted(request.queue);
            } else if (judge_.queues_named(request.queue).size() == 1 &&
                       request.ending.queue != nullptr) {
                const auto done = wire::Done::decode(body);
                request.type == FrameType::queue_undo ? judge_.undone(request.ending, *done)
                                                      : judge_.purged(request.ending, *done);
            }
            break;
        case FrameType::peek_reply: {
            const auto queues = judge_.queues_named(request.queue);
            const auto reply = wire::PeekReply::decode(body);
            if (!reply) {
                judge_.violate("a malformed PEEK_REPLY");
            } else if (queues.size() == 1) {
                for (const wire::PeekedRun& run : reply->runs) {
                    judge_.peeked(*queues.front(), run);
                }
            }
            break;
        }
        case FrameType::message_history_reply:
            if (const auto reply = wire::MessageHistoryReply::decode(body)) {
                judge_.history_told(request.number, request.heard_before, *reply);
            } else {
                judge_.violate("a malformed MESSAGE_HISTORY_REPLY");
            }
            break;
        default: break;
    }
}

void Tap::end_handle(HandleId handle) {
    if (ConsumerRecord* ended = consumer(handle)) {
        judge_.consumer_ended(*ended, Lent::gave_back);
        consumers_.erase(handle);
    }
    producers_.erase(handle);
}

void Tap::ended() {
    for (const auto& [handle, consumer] : consumers_) {
        judge_.consumer_ended(*consumer, said_goodbye_ ? Lent::gave_back : Lent::failed);
    }
    consumers_.clear();
    producers_.clear();
}

void Tap::check_credit() const {
    std::uint64_t bytes = 0;
    for (const auto& [handle, producer] : producers_) {
        bytes += producer->window_bytes;
    }
    judge_.check_credit(bytes, producers_.size());
}

std::uint64_t Tap::held() const {
    std::uint64_t messages = 0;
    for (const auto& [handle, consumer] : consumers_) {
        messages += consumer->held.size();
    }
    return messages;
}

std::uint64_t Tap::unanswered() const {
    std::uint64_t lines = 0;
    for (const auto& [handle, producer] : producers_) {
        lines += producer->lines.size() - producer->answered;
    }
    return lines;
}

}  // namespace mqd::sim
