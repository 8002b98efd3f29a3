#include "client/connection.hpp"

#include <time.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <type_traits>

#include "mqd/assert.hpp"

namespace mqd::client {

namespace {

constexpr std::size_t send_buffer_bytes_min = 4 * 1024;
constexpr std::size_t send_buffer_bytes_max = 16 * 1024 * 1024;
// A read that brings at least so much makes it likely that there is more.
constexpr std::size_t much_input_bytes = 4 * 1024;
constexpr std::size_t views_at_once = 16;

SessionOptions session_options(const ConnectOptions& options) {
    SessionOptions session;
    session.client_name = options.client_name;
    session.send_buffer_bytes =
        std::clamp(options.send_buffer_bytes, send_buffer_bytes_min, send_buffer_bytes_max);
    session.heartbeat_ms = static_cast<std::uint32_t>(
        std::clamp<std::chrono::milliseconds::rep>(options.heartbeat.count(), 0, UINT32_MAX));
    return session;
}

// A handler threw out of Client::close().
Error being_closed() {
    return {ErrorCode::usage, "the client is being closed"};
}

Time now() {
    return std::chrono::duration_cast<Time>(Deadline::Clock::now().time_since_epoch());
}

}  // namespace

// --- Part
// -----------------------------------------------------------------------------------------

Part::Part(std::shared_ptr<Connection> owner, HandleId number)
    : connection_(std::move(owner)), number_(number) {
    connection_->attach(number, this);
}

Part::~Part() {
    give_up();
}

void Part::give_up() {
    const Connection::InUse in_use(*connection_);
    if (number_) {
        connection_->detach(*number_);
        connection_->session().release(*number_);
        number_.reset();
    }
}

bool Part::usable() const {
    return number_.has_value() && !connection_->in_handler() &&
           connection_->session().state() != Session::State::ending;
}

Error Part::why_not_usable() const {
    if (connection_->in_handler()) {
        return {ErrorCode::usage, "a handler must not call into the library"};
    }
    return number_ ? being_closed() : Error{ErrorCode::usage, "it is closed"};
}

Error Part::why_ended(const Handle& handle) const {
    MQD_ASSERT(handle.state != HandleState::open);
    return handle.error.value_or(Error{ErrorCode::usage, "it is closed"});
}

Result<void> Part::close_handle(Deadline deadline) {
    const Connection::InUse in_use(*connection_);
    Session& session = connection_->session();
    MQD_ASSERT(number_.has_value());
    const HandleId number = *number_;
    Result<void> result;
    if (session.state() == Session::State::open && session.is_open(number)) {
        const auto reply = connection_->await_reply(session.close(number), deadline);
        if (!reply) {
            result = reply.error();
        }
    }
    give_up();
    return result;
}

// --- Connection
// -----------------------------------------------------------------------------------

Connection::Connection(Socket socket, const ConnectOptions& options)
    : options_(options), socket_(std::move(socket)), session_(session_options(options)) {
    const std::size_t send_buffer = session_options(options).send_buffer_bytes;
    output_max_ = 4 * send_buffer;
    pump_at_ = send_buffer / 2;
}

Result<std::shared_ptr<Connection>> Connection::greet(Socket socket, const ConnectOptions& options,
                                                      Deadline deadline) {
    auto connection = std::make_shared<Connection>(std::move(socket), options);
    const bool greeted = connection->run_until(
        deadline, [&] { return connection->session_.state() == Session::State::open; });
    if (greeted) {
        return connection;
    }
    if (const Error* error = connection->session_.error()) {
        return *error;
    }
    return Error{ErrorCode::timeout, "the daemon did not answer the greeting in time"};
}

std::optional<Error> Connection::why_not_ready() const {
    if (in_handler()) {
        return Error{ErrorCode::usage, "a handler must not call into the library"};
    }
    if (const Error* error = session_.error()) {
        return *error;
    }
    if (session_.state() == Session::State::ending) {
        return being_closed();
    }
    MQD_ASSERT(session_.state() == Session::State::open, session_.state());
    return std::nullopt;
}

Time Connection::coarse_now() {
    static_assert(std::is_same_v<Deadline::Clock, std::chrono::steady_clock>);
    timespec at{};
    const int rc = ::clock_gettime(CLOCK_MONOTONIC_COARSE, &at);
    MQD_ASSERT(rc == 0, errno);
    return std::chrono::duration_cast<Time>(std::chrono::seconds(at.tv_sec) +
                                            std::chrono::nanoseconds(at.tv_nsec));
}

bool Connection::step(Deadline deadline) {
    const InUse in_use(*this);
    const bool arrived = round(deadline);
    see_to_time();
    return arrived;
}

void Connection::see_to_time() {
    const Time at = now();
    const std::size_t before = session_.output_bytes();
    session_.advance(at);
    if (session_.output_bytes() != before) {
        write_some();  // the program may not come back soon
    }
    const auto interval = session_.round_interval();
    const auto next = session_.next_deadline();
    keeps_time_ = interval || next;
    round_at_ = std::min(interval ? at + *interval : Time::max(), next.value_or(Time::max()));
}

bool Connection::round(Deadline deadline) {
    session_.flush();
    session_.advance(now());
    write_some();
    if (session_.state() == Session::State::closed) {
        return false;
    }
    if (expect_input_ && read_some()) {
        return true;
    }
    std::optional<Deadline::Clock::time_point> due;
    if (const auto next = session_.next_deadline()) {
        due = Deadline::Clock::time_point(*next);
    }
    const Deadline until = deadline.or_before(due);
    // With nothing to write and no time to keep, the read itself may wait: a system call less.
    const bool block = until.never() && session_.output_bytes() == 0;
    if (!block && session_.state() != Session::State::closed) {
        socket_.wait(session_.output_bytes() != 0, until);
        write_some();
    }
    return read_some(block);
}

void Connection::write_some() {
    if (const int os_errno = try_to_write(); os_errno != 0) {
        // What the daemon said before it went away says more than the error.
        while (session_.state() != Session::State::closed && read_some()) {}
        broken(os_errno);
        return;
    }
    pump_at_ = session_.output_bytes() + output_max_ / 8;
}

int Connection::try_to_write() {
    std::array<wire::Bytes, views_at_once> views;
    while (session_.output_bytes() != 0) {
        const std::size_t count = session_.output(views);
        std::size_t offered = 0;
        for (std::size_t i = 0; i < count; ++i) {
            offered += views[i].size();
        }
        const Socket::Transfer written = socket_.write({views.data(), count});
        if (written.os_errno != 0) {
            return written.os_errno;
        }
        session_.sent(written.bytes);
        if (written.bytes < offered) {
            break;
        }
    }
    return 0;
}

Result<void> Connection::start_keeper() {
    MQD_ASSERT(keeper_ == nullptr);
    auto keeper = std::make_unique<LeaseKeeper>(*this);
    if (auto started = keeper->start(); !started) {
        return started;
    }
    keeper_ = std::move(keeper);
    uses_ = 0;
    keeper_->hand_over();
    return {};
}

void Connection::end_keeper() {
    MQD_ASSERT(uses_ == 0, uses_);
    keeper_->take_back();
    keeper_.reset();
}

Deadline::Clock::time_point Connection::keep_leases(std::vector<Overrun>& overrun) {
    const Time at = now();
    session_.flush();
    session_.advance(at);
    (void)try_to_write();  // whether it is broken is found by the next call
    for (Part* const part : parts_) {
        if (part != nullptr) {
            part->take_overrun(overrun);
        }
    }
    // Nobody tells it of a message that is handed out meanwhile: so it looks often enough.
    const Time interval = session_.round_interval().value_or(Session::round_interval_max);
    return Deadline::Clock::time_point(
        std::min(at + interval, session_.next_deadline().value_or(Time::max())));
}

bool Connection::read_some(bool block) {
    if (session_.state() == Session::State::closed) {
        return false;
    }
    const auto space = session_.receive_space();
    const Socket::Transfer read = socket_.read(space, block);
    expect_input_ = read.bytes >= much_input_bytes;
    if (read.bytes != 0) {
        session_.received(read.bytes);
    } else if (read.os_errno != 0) {
        broken(read.os_errno);
    }
    if (session_.state() == Session::State::closed) {
        socket_.close();
    }
    if (!session_.news().empty()) {
        tell_news();  // last: a handler may throw
    }
    return read.bytes != 0;
}

void Connection::broken(int os_errno) {
    Error error{ErrorCode::disconnected, "the daemon closed the connection"};
    if (os_errno > 0) {
        error.text = "the connection broke: " + std::generic_category().message(os_errno);
        error.os_errno = os_errno;
    }
    session_.disconnected(std::move(error));
    socket_.close();
    tell_news();
}

void Connection::tell_news() {
    if (in_handler_) {
        return;
    }
    news_.assign(session_.news().begin(), session_.news().end());
    session_.clear_news();
    // A handler may throw: what it and those behind it have not been told is news again.
    struct Guard {
        Connection& connection;
        std::size_t told = 0;

        ~Guard() {
            connection.in_handler_ = false;
            for (; told < connection.news_.size(); ++told) {
                connection.session_.tell_again(connection.news_[told]);
            }
        }
    };
    in_handler_ = true;
    for (Guard guard{*this}; guard.told < news_.size(); ++guard.told) {
        const HandleId handle = news_[guard.told];
        if (handle.value() < parts_.size() && parts_[handle.value()] != nullptr &&
            session_.holds(handle)) {
            parts_[handle.value()]->take_news();
        }
    }
}

Result<void> Connection::flush(Deadline deadline) {
    const InUse in_use(*this);
    if (const auto bad = why_not_ready()) {
        return *bad;
    }
    session_.flush();
    write_some();
    if (run_until(deadline, [&] { return session_.output_bytes() == 0; })) {
        return session_.error() == nullptr ? Result<void>() : *session_.error();
    }
    return session_.error() != nullptr
               ? *session_.error()
               : Error{ErrorCode::timeout, "the daemon takes no more bytes for now"};
}

Result<std::vector<std::byte>> Connection::await_reply(CorrelationId correlation,
                                                       Deadline deadline) {
    const InUse in_use(*this);
    const bool answered =
        run_until(deadline, [&] { return session_.reply(correlation) != nullptr; });
    if (!answered) {
        session_.forget(correlation);
        return Error{ErrorCode::timeout, "the daemon did not answer in time"};
    }
    Reply reply = *session_.reply(correlation);
    session_.forget(correlation);
    if (reply.error) {
        return *std::move(reply.error);
    }
    return std::move(reply.body);
}

Result<void> Connection::goodbye(Deadline deadline) {
    const InUse in_use(*this);
    if (in_handler()) {
        return *why_not_ready();
    }
    if (session_.state() == Session::State::open) {
        session_.goodbye();
    }
    (void)run_until(deadline, [&] { return session_.state() == Session::State::closed; });
    if (session_.ended_by_goodbye()) {
        return {};
    }
    if (session_.error() != nullptr) {
        return *session_.error();
    }
    abandon();
    return Error{ErrorCode::timeout, "the daemon did not answer GOODBYE in time"};
}

void Connection::abandon() {
    const InUse in_use(*this);
    session_.disconnected({ErrorCode::usage, "the client is closed"});
    socket_.close();
    session_.clear_news();
}

void Connection::attach(HandleId handle, Part* part) {
    if (parts_.size() <= handle.value()) {
        parts_.resize(handle.value() + 1);
    }
    parts_[handle.value()] = part;
}

void Connection::detach(HandleId handle) {
    parts_[handle.value()] = nullptr;
}

}  // namespace mqd::client
