// What a session does with its producers and consumers: one method a verb.

#include <algorithm>

#include "daemon/core/session.hpp"

namespace mqd::core {

namespace {

// A delivery is cut after so many bytes, so that one frame keeps nobody waiting long.
constexpr std::uint64_t piece_bytes_max = 256 * 1024;
constexpr std::uint64_t peek_reply_fixed_bytes = 8 + 1 + 4 + 1 + 4 + 8;  // of one run

std::string_view one_of(Sharing sharing) {
    switch (sharing) {
        case Sharing::shared: return "a shared";
        case Sharing::exclusive: return "an exclusive";
        case Sharing::single_active: return "a single-active";
    }
    return "";
}

// Why another consumer cannot be opened that would share the queue in its own way.
Error refusal_of(const engine::Queue& queue, Sharing asked) {
    const std::string_view one = one_of(queue.sharing());
    const bool alone = queue.consumers() == 1;
    std::string text = "queue \"" + queue.name() + "\" has ";
    text += alone ? std::string(one) + " consumer"
                  : std::to_string(queue.consumers()) + std::string(one.substr(one.find(' '))) +
                        " consumers";
    text.append("; ").append(one_of(asked)).append(" one cannot join ");
    return {ErrorCode::queue_exclusive, text + (alone ? "it" : "them")};
}

}  // namespace

bool Session::handle_free(const wire::FrameHeader& header) {
    const std::uint32_t number = header.handle.value();
    if (number == 0 || number > core_.options_.handles_max) {
        send_error({ErrorCode::too_many_handles, "handles are numbered from 1 on",
                    core_.options_.handles_max},
                   header.correlation, header.handle);
        return false;
    }
    if (number > handles_.size()) {
        handles_.resize(number);
    }
    if (!std::holds_alternative<std::monostate>(handles_[number - 1])) {
        send_error({ErrorCode::handle_in_use, "handle " + std::to_string(number)},
                   header.correlation, header.handle);
        return false;
    }
    return true;
}

engine::Queue* Session::find_queue(std::string_view name, CorrelationId correlation,
                                   HandleId handle) {
    engine::Queue* queue = core_.engine_.find(name);
    if (queue == nullptr || queue->deleting()) {
        const bool valid = wire::valid_queue_name(name);
        send_error({valid ? ErrorCode::no_such_queue : ErrorCode::bad_name,
                    valid ? "queue \"" + std::string(name) + "\" does not exist"
                          : "a queue name has 1 to 200 letters, digits, '.', '_' or '-'"},
                   correlation, handle);
        return nullptr;
    }
    return queue;
}

// Whether the client takes a frame with the largest message there may be.
bool Session::takes_largest(CorrelationId correlation, HandleId handle) {
    // Whoever has a consumer takes any LEASE_LOST, too.
    static_assert(4 + wire::ranges_max * wire::RangeList::entry_bytes <=
                  wire::Deliver::fixed_bytes + wire::message_header_bytes +
                      wire::attributes_bytes_max);
    const std::uint64_t largest = peek_reply_fixed_bytes + wire::Deliver::fixed_bytes +
                                  wire::message_header_bytes + wire::attributes_bytes_max +
                                  core_.options_.message_bytes_max;
    if (frame_body_bytes_max_ >= largest) {
        return true;
    }
    send_error({ErrorCode::bad_option,
                "frame_body_bytes_max in HELLO is too small for the largest message", largest},
               correlation, handle);
    return false;
}

Producer* Session::producer(const wire::FrameHeader& header) {
    const std::size_t index = std::size_t{header.handle.value()} - 1;
    if (index < handles_.size()) {
        if (auto* found = std::get_if<std::unique_ptr<Producer>>(&handles_[index])) {
            return found->get();
        }
    }
    send_error({ErrorCode::no_such_handle, "no such producer"}, header.correlation, header.handle);
    return nullptr;
}

ConsumerHandle* Session::consumer(const wire::FrameHeader& header) {
    const std::size_t index = std::size_t{header.handle.value()} - 1;
    if (index < handles_.size()) {
        if (auto* found = std::get_if<std::unique_ptr<ConsumerHandle>>(&handles_[index])) {
            return found->get();
        }
    }
    send_error({ErrorCode::no_such_handle, "no such consumer"}, header.correlation, header.handle);
    return nullptr;
}

void Session::on_open_producer(const wire::FrameHeader& header, const wire::OpenProducer& frame) {
    if (!handle_free(header)) {
        return;
    }
    engine::Queue* queue = find_queue(frame.queue, header.correlation, header.handle);
    if (queue == nullptr) {
        return;
    }
    const std::chrono::milliseconds wait(frame.wait_ms);
    if (wait > publish_wait_max) {
        return send_error({ErrorCode::bad_option, "wait_ms is more than a day",
                           static_cast<std::uint64_t>(publish_wait_max.count())},
                          header.correlation, header.handle);
    }
    auto producer = std::make_unique<Producer>();
    producer->wait = wait.count() > 0 ? wait : publish_wait_default;
    producer->session = this;
    producer->handle = header.handle;
    producer->queue = queue;
    if (!frame.producer.empty()) {
        if (const auto opened = core_.open_named(*producer, frame.producer); !opened) {
            return send_error(opened.error(), header.correlation, header.handle);
        }
    }
    queue->producer_opened();
    core_.lifetimes_.used(*queue);
    core_.open_window(*producer);
    const wire::Opened opened{queue->id(), queue->definition().durability, 0,
                              producer->credit.message_limit, producer->credit.byte_limit};
    if (producer->mark != nullptr) {
        core_.answer_opened(*producer, opened, header.correlation);
    } else {
        send(opened, header.correlation, header.handle);
    }
    handles_[header.handle.value() - 1] = std::move(producer);
}

void Session::on_open_consumer(const wire::FrameHeader& header, const wire::OpenConsumer& frame) {
    if (!handle_free(header)) {
        return;
    }
    engine::Queue* queue = find_queue(frame.queue, header.correlation, header.handle);
    if (queue == nullptr) {
        return;
    }
    if (!takes_largest(header.correlation, header.handle)) {
        return;
    }
    const std::chrono::milliseconds lease(frame.lease_ms);
    if (lease > lease_max) {
        return send_error({ErrorCode::bad_option, "lease_ms is more than a day",
                           static_cast<std::uint64_t>(lease_max.count())},
                          header.correlation, header.handle);
    }
    if (frame.sharing > Sharing::single_active) {
        return send_error({ErrorCode::bad_option, "a sharing that is not known to this daemon",
                           static_cast<std::uint64_t>(Sharing::single_active)},
                          header.correlation, header.handle);
    }
    if (!queue->admits(frame.sharing)) {
        return send_error(refusal_of(*queue, frame.sharing), header.correlation, header.handle);
    }
    auto consumer = std::make_unique<ConsumerHandle>(core_.engine_.memory());
    consumer->session = this;
    consumer->handle = header.handle;
    consumer->lease = lease.count() > 0 ? lease : queue->definition().lease;
    consumer->piece_bytes_max = std::min<std::uint64_t>(
        piece_bytes_max, frame_body_bytes_max_ - wire::Deliver::fixed_bytes);
    consumer->room = &room_;
    consumer->sharing = frame.sharing;
    core_.lifetimes_.used(*queue);
    core_.engine_.attach(*consumer, *queue);
    core_.engine_.grant(*consumer, frame.message_limit, frame.byte_limit);
    const wire::Turn turn = frame.sharing == Sharing::shared ? wire::Turn::unsaid
                            : consumer->waiting              ? wire::Turn::waiting
                                                             : wire::Turn::active;
    send(wire::Opened{queue->id(), queue->definition().durability,
                      static_cast<std::uint32_t>(consumer->lease.count()), 0, 0, turn},
         header.correlation, header.handle);
    handles_[header.handle.value() - 1] = std::move(consumer);
}

void Session::on_close_handle(const wire::FrameHeader& header) {
    const std::size_t index = std::size_t{header.handle.value()} - 1;
    if (index >= handles_.size() || std::holds_alternative<std::monostate>(handles_[index])) {
        return send_error({ErrorCode::no_such_handle, "nothing to close"}, header.correlation,
                          header.handle);
    }
    if (auto* producer = std::get_if<std::unique_ptr<Producer>>(&handles_[index])) {
        if ((*producer)->closing) {
            return send_error({ErrorCode::no_such_handle, "it is being closed already"},
                              header.correlation, header.handle);
        }
        (*producer)->closing = true;
        (*producer)->close_correlation = header.correlation;
        if ((*producer)->pending.empty()) {
            end_producer(**producer);
        }
        return;
    }
    if (auto* consumer = std::get_if<std::unique_ptr<ConsumerHandle>>(&handles_[index])) {
        core_.close_consumer(**consumer, engine::ConsumerEnd::gave_back);
    }
    handles_[index] = std::monostate{};
    send(wire::Closed{}, header.correlation, header.handle);
}

// All its lines are answered, and CLOSE_HANDLE came.
void Session::end_producer(Producer& producer) {
    const HandleId handle = producer.handle;
    const CorrelationId correlation = producer.close_correlation;
    core_.close_producer(producer);
    handles_[handle.value() - 1] = std::monostate{};
    send(wire::Closed{}, correlation, handle);
}

void Session::on_publish(const wire::FrameHeader& header, const wire::Publish& frame) {
    Producer* to = producer(header);
    if (to == nullptr) {
        return;
    }
    if (to->closing) {
        return violation("PUBLISH after CLOSE_HANDLE");
    }
    if (frame.first_line != to->next_line) {
        return violation("PUBLISH: first_line is not the next line of the handle");
    }
    const std::uint64_t bytes = frame.batch.size();
    const std::uint64_t messages = to->messages_received + frame.count;
    const bool beyond =
        messages > to->credit.message_limit || to->bytes_received + bytes > to->credit.byte_limit;
    const bool idle = to->pending.empty() && frame.count == 1;
    if (beyond && !idle) {
        return close({ErrorCode::credit_exceeded, "PUBLISH beyond the handle's credit",
                      to->credit.byte_limit});
    }
    to->bytes_received += bytes;
    to->messages_received += frame.count;
    if (to->refusing && to->queue != nullptr) {
        core_.refuse(*to, frame.first_line, frame.count, bytes, behind_a_refusal());
    } else if (const auto taken = core_.publish(*to, frame, identity_); !taken) {
        if (closes_connection(taken.error().code)) {
            return close(taken.error());
        }
        core_.refuse(*to, frame.first_line, frame.count, bytes, taken.error());
    }
    to->next_line = to->next_line.plus(frame.count);
}

void Session::on_resume(const wire::FrameHeader& header) {
    if (Producer* to = producer(header)) {
        to->refusing = false;
        if (to->mark != nullptr) {
            to->next_line = to->last_taken.plus(to->waiting_lines + 1);
        }
    }
}

void Session::on_credit(const wire::FrameHeader& header, const wire::Credit& frame) {
    ConsumerHandle* from = consumer(header);
    if (from != nullptr && from->queue != nullptr) {
        core_.engine_.grant(*from, frame.message_limit, frame.byte_limit);
    }
}

void Session::on_ack(const wire::FrameHeader& header, const wire::Ack& frame) {
    if (!frame.ranges.sane()) {
        return violation("ACK: bad range");
    }
    if (ConsumerHandle* from = consumer(header)) {
        core_.ack(*from, frame, header.correlation, (header.flags & wire::flag_confirm) != 0);
    }
}

void Session::on_nack(const wire::FrameHeader& header, const wire::Nack& frame) {
    if (!frame.ranges.sane()) {
        return violation("NACK: bad range");
    }
    ConsumerHandle* from = consumer(header);
    if (from == nullptr) {
        return;
    }
    const engine::SettleResult result =
        core_.nack(*from, frame, (header.flags & wire::flag_dead_letter) != 0);
    answer_settled(header, result);
}

void Session::on_extend(const wire::FrameHeader& header, const wire::Extend& frame) {
    const std::chrono::milliseconds asked(frame.lease_ms);
    if (!frame.ranges.sane() || asked > lease_max) {
        return violation("EXTEND: bad range or lease");
    }
    ConsumerHandle* from = consumer(header);
    if (from == nullptr) {
        return;
    }
    answer_settled(header, extend(*from, frame));
}

engine::SettleResult Session::extend(ConsumerHandle& consumer, const wire::Extend& frame) {
    const std::chrono::milliseconds asked(frame.lease_ms);
    const engine::Time deadline = std::chrono::ceil<std::chrono::milliseconds>(
        core_.now_.journal + (asked.count() > 0 ? asked : consumer.lease));
    engine::SettleResult result;
    for (std::size_t i = 0; i < frame.ranges.size(); ++i) {
        const MessageRange range = frame.ranges[i];
        const engine::SettleResult part = consumer.queue != nullptr
                                              ? core_.engine_.extend(consumer, range, deadline)
                                              : engine::SettleResult{0, range.count};
        result.settled += part.settled;
        result.not_leased += part.not_leased;
    }
    return result;
}

void Session::answer_settled(const wire::FrameHeader& header, const engine::SettleResult& result) {
    if ((header.flags & wire::flag_confirm) != 0) {
        send(wire::Settled{Durability::memory, result.settled, result.not_leased},
             header.correlation, header.handle);
    }
}

bool Session::unanswered() const {
    for (const Handle& handle : handles_) {
        const auto* producer = std::get_if<std::unique_ptr<Producer>>(&handle);
        if (producer != nullptr && !(*producer)->pending.empty()) {
            return true;
        }
    }
    return !waiters_.empty() || core_.peeks_pending(*this) || core_.moves_.waits(*this) ||
           core_.backup_->unanswered(*this) > 0;
}

void Session::forget_queue(const engine::Queue& queue) {
    for (Handle& handle : handles_) {
        if (auto* producer = std::get_if<std::unique_ptr<Producer>>(&handle)) {
            if ((*producer)->queue == &queue) {
                (*producer)->queue = nullptr;  // what it sends from now on is refused
            }
        } else if (auto* consumer = std::get_if<std::unique_ptr<ConsumerHandle>>(&handle)) {
            if ((*consumer)->queue == &queue) {
                core_.close_consumer(**consumer, engine::ConsumerEnd::gave_back);
                send_error({ErrorCode::queue_deleted, "queue \"" + queue.name() + "\" was deleted"},
                           CorrelationId(0), (*consumer)->handle);
            }
        }
    }
}

}  // namespace mqd::core
