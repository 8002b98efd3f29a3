#include "client/session.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "client/lease.hpp"
#include "client/queue_name.hpp"
#include "mqd/assert.hpp"
#include "mqd/wire/admin.hpp"

namespace mqd::client {

Handle* Session::Slot::handle() const {
    return producer ? static_cast<Handle*>(producer.get()) : consumer.get();
}

Session::Session(SessionOptions options)
    : options_(std::move(options)), output_(options_.send_buffer_bytes) {
    wire::Hello hello;
    hello.frame_body_bytes_max = options_.frame_body_bytes_max;
    hello.heartbeat_ms = options_.heartbeat_ms;
    hello.client_name = std::string_view(options_.client_name).substr(0, UINT16_MAX);
    append(hello);
}

// --- Bytes out and time
// ---------------------------------------------------------------------------

void Session::flush() {
    if (state_ != State::open) {
        return;
    }
    for (const Slot& slot : slots_) {
        if (slot.producer) {
            slot.producer->flush();
        } else if (slot.consumer) {
            slot.consumer->flush();
        }
    }
}

wire::Bytes Session::output() const {
    wire::Bytes first;
    output_.views({&first, 1});
    return first;
}

void Session::sent(std::size_t count) {
    output_.consume(count);
    sent_bytes_ += count;
}

void Session::advance(Time now) {
    if (state_ != State::open) {
        return;
    }
    for (const Slot& slot : slots_) {
        if (slot.consumer) {
            slot.consumer->renew(now);
            if (slot.consumer->has_overrun()) {
                tell(*slot.consumer);
            }
        }
    }
    if (server_.heartbeat_ms == 0) {
        return;
    }
    if (!sent_at_ || sent_bytes_ != sent_bytes_seen_) {
        sent_at_ = now;
        sent_bytes_seen_ = sent_bytes_;
    }
    if (now - *sent_at_ >= std::chrono::milliseconds(server_.heartbeat_ms) / 2) {
        sent_at_ = now;
        forget(expect(wire::FrameType::pong, {}));
        append(wire::Ping{}, CorrelationId(last_correlation_));
    }
}

std::optional<Time> Session::next_deadline() const {
    std::optional<Time> first;
    const auto consider = [&](std::optional<Time> deadline) {
        if (deadline && (!first || *deadline < *first)) {
            first = deadline;
        }
    };
    if (state_ != State::open) {
        return first;
    }
    if (server_.heartbeat_ms != 0 && sent_at_) {
        consider(*sent_at_ + std::chrono::milliseconds(server_.heartbeat_ms) / 2);
    }
    for (const Slot& slot : slots_) {
        if (slot.consumer) {
            consider(slot.consumer->renew_at());
        }
    }
    return first;
}

std::optional<Time> Session::round_interval() const {
    std::optional<Time> shortest;
    if (state_ != State::open) {
        return shortest;
    }
    for (const Slot& slot : slots_) {
        if (slot.consumer && slot.consumer->state == HandleState::open) {
            const Time lease = std::chrono::milliseconds(slot.consumer->lease_ms);
            const Time interval = lease.count() == 0 ? round_interval_max : lease / 10;
            shortest = std::min(interval, shortest.value_or(round_interval_max));
        }
    }
    return shortest;
}

// --- Requests
// -------------------------------------------------------------------------------------

CorrelationId Session::expect(wire::FrameType expected, HandleId handle) {
    do {
        ++last_correlation_;
    } while (last_correlation_ == 0 ||
             find_request(CorrelationId(last_correlation_)) != requests_.end());
    Request request;
    request.correlation = CorrelationId(last_correlation_);
    request.expected = expected;
    request.handle = handle;
    requests_.push_back(std::move(request));
    return CorrelationId(last_correlation_);
}

std::vector<Session::Request>::iterator Session::find_request(CorrelationId correlation) {
    return std::find_if(requests_.begin(), requests_.end(),
                        [&](const Request& request) { return request.correlation == correlation; });
}

const Reply* Session::reply(CorrelationId correlation) const {
    for (const Request& request : requests_) {
        if (request.correlation == correlation && !request.forgotten) {
            return request.answered ? &request.reply : nullptr;
        }
    }
    MQD_ASSERT(false, correlation);
    return nullptr;
}

void Session::forget(CorrelationId correlation) {
    const auto request = find_request(correlation);
    MQD_ASSERT(request != requests_.end() && !request->forgotten, correlation);
    if (request->answered) {
        requests_.erase(request);
    } else {
        request->forgotten = true;
    }
}

void Session::goodbye() {
    MQD_ASSERT(state_ == State::open);
    forget(request(wire::Goodbye{}, wire::FrameType::goodbye_reply));
    state_ = State::ending;
}

// --- Handles
// --------------------------------------------------------------------------------------

Session::Slot* Session::slot(HandleId handle) {
    const std::uint32_t number = handle.value();
    if (number == 0 || number > slots_.size() || slots_[number - 1].is_free()) {
        return nullptr;
    }
    return &slots_[number - 1];
}

Result<HandleId> Session::free_handle(std::string_view queue) {
    MQD_ASSERT(state_ == State::open);
    if (!wire::valid_queue_name(queue)) {
        return Error{ErrorCode::bad_name, not_a_queue_name(queue)};
    }
    const auto free =
        std::find_if(slots_.begin(), slots_.end(), [](const Slot& slot) { return slot.is_free(); });
    const auto number = static_cast<std::uint32_t>(free - slots_.begin()) + 1;
    if (number > server_.handles_max) {
        return Error{ErrorCode::too_many_handles,
                     "the daemon allows no more producers and consumers on one connection",
                     server_.handles_max};
    }
    if (free == slots_.end()) {
        slots_.emplace_back();
    }
    return HandleId(number);
}

Result<Session::Opening> Session::open_producer(std::string_view queue,
                                                const ProducerOptions& options) {
    if (options.name.size() > wire::producer_name_bytes_max) {
        return Error{ErrorCode::bad_name, "a producer's name has 1 to 128 bytes",
                     wire::producer_name_bytes_max};
    }
    if (options.wait.count() < 0 || options.wait > lease_max) {
        return Error{ErrorCode::bad_option, "wait: a producer waits for a day at most",
                     static_cast<std::uint64_t>(lease_max.count())};
    }
    const auto handle = free_handle(queue);
    if (!handle) {
        return handle.error();
    }
    slots_[handle->value() - 1].producer =
        std::make_unique<ProducerHandle>(*handle, queue, options, output_, publish_limits_);
    const CorrelationId correlation = expect(wire::FrameType::opened, *handle);
    append(
        wire::OpenProducer{queue, options.name, static_cast<std::uint32_t>(options.wait.count())},
        correlation, *handle);
    return Opening{*handle, correlation};
}

Result<Session::Opening> Session::open_consumer(std::string_view queue,
                                                const ConsumerOptions& options) {
    if (options.window_messages == 0 || options.window_bytes == 0) {
        return Error{ErrorCode::usage, "a consumer needs a window of at least one message"};
    }
    if (options.lease.count() < 0 || options.lease > lease_max) {
        return lease_out_of_range(lease_max);
    }
    const auto handle = free_handle(queue);
    if (!handle) {
        return handle.error();
    }
    slots_[handle->value() - 1].consumer =
        std::make_unique<ConsumerHandle>(*handle, queue, options, output_);
    const wire::Credit first = slots_[handle->value() - 1].consumer->first_credit();
    const CorrelationId correlation = expect(wire::FrameType::opened, *handle);
    append(wire::OpenConsumer{queue, static_cast<std::uint32_t>(options.lease.count()),
                              first.message_limit, first.byte_limit, options.sharing},
           correlation, *handle);
    return Opening{*handle, correlation};
}

CorrelationId Session::close(HandleId handle) {
    Slot* const held = slot(handle);
    MQD_ASSERT(held != nullptr && !held->handle()->close_sent, handle);
    MQD_ASSERT(!held->producer || held->producer->unconfirmed() == 0 ||
                   held->producer->state == HandleState::ended,
               handle);
    if (held->consumer) {
        held->consumer->flush();
        held->consumer->forget();
    }
    held->handle()->close_sent = true;
    if (held->handle()->state == HandleState::open) {
        held->handle()->state = HandleState::closing;
    }
    const CorrelationId correlation = expect(wire::FrameType::closed, handle);
    append(wire::CloseHandle{}, correlation, handle);
    return correlation;
}

void Session::release(HandleId handle) {
    Slot* const held = slot(handle);
    MQD_ASSERT(held != nullptr && !held->handle()->released, handle);
    held->handle()->released = true;
    std::erase(news_, handle);
    if (held->producer && state_ == State::open) {
        held->producer->flush();
    }
    wind_up(handle);
}

void Session::wind_up(HandleId handle) {
    Slot* const held = slot(handle);
    if (held == nullptr || !held->handle()->released) {
        return;
    }
    const Handle& ended = *held->handle();
    if (!ended.at_daemon || state_ == State::closed) {
        *held = Slot{};
        return;
    }
    const bool answers_due =
        held->producer && held->producer->unconfirmed() != 0 && ended.state == HandleState::open;
    if (state_ == State::open && ended.state != HandleState::opening && !ended.close_sent &&
        !answers_due) {
        forget(close(handle));
    }
}

Session::ConfirmedAck Session::ack_confirmed(HandleId handle, MessageRange range) {
    ConsumerHandle& held = consumer(handle);
    held.flush();
    const std::vector<MessageRange> taken = held.take_for_ack(range);
    ConfirmedAck result{{}, range.count};
    std::span<const MessageRange> rest(taken);
    while (!rest.empty()) {
        const auto now = rest.first(std::min(rest.size(), wire::ranges_max));
        const CorrelationId correlation = expect(wire::FrameType::settled, handle);
        scratch_.clear();
        wire::append_settle(scratch_, wire::FrameType::ack, {0, now}, correlation, handle,
                            wire::flag_confirm);
        output_.append(scratch_);
        result.correlations.push_back(correlation);
        for (const MessageRange& part : now) {
            result.passed_over -= part.count;
        }
        rest = rest.subspan(now.size());
    }
    return result;
}

bool Session::is_open(HandleId handle) {
    const Slot* const held = slot(handle);
    return held != nullptr && held->handle()->state == HandleState::open;
}

ProducerHandle& Session::producer(HandleId handle) {
    Slot* const held = slot(handle);
    MQD_ASSERT(held != nullptr && held->producer, handle);
    return *held->producer;
}

ConsumerHandle& Session::consumer(HandleId handle) {
    Slot* const held = slot(handle);
    MQD_ASSERT(held != nullptr && held->consumer, handle);
    return *held->consumer;
}

void Session::tell(Handle& handle) {
    if (!handle.has_news && !handle.released) {
        handle.has_news = true;
        news_.push_back(handle.id);
    }
}

void Session::clear_news() {
    for (const HandleId handle : news_) {
        slot(handle)->handle()->has_news = false;
    }
    news_.clear();
}

// --- The end
// --------------------------------------------------------------------------------------

void Session::disconnected(Error why) {
    fail(std::move(why));
}

void Session::fail(Error why) {
    if (state_ == State::closed) {
        return;
    }
    state_ = State::closed;
    output_.clear();
    for (Slot& slot : slots_) {
        if (!slot.is_free()) {
            slot.handle()->end(why);
            tell(*slot.handle());
        }
        if (slot.consumer) {
            slot.consumer->forget();
        }
    }
    for (Request& request : requests_) {
        if (!request.answered) {
            request.answered = true;
            request.reply.error = why;
        }
    }
    std::erase_if(requests_, [](const Request& request) { return request.forgotten; });
    error_ = std::move(why);
}

}  // namespace mqd::client
