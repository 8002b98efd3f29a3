#include "daemon/net/connection.hpp"

#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <array>
#include <asio/error.hpp>
#include <cerrno>
#include <cstring>

#include "daemon/net/server.hpp"

namespace mqd::net {

namespace {

// Reads in one turn before others have theirs.
constexpr int reads_per_turn = 4;
constexpr std::size_t pieces_max = 64;
// How long a client may take to close after the last frame.
constexpr std::chrono::seconds finish_time{5};

// Of a Unix socket; that of TCP grows by itself. The system doubles this, for its own overhead, and
// allows as much as net.core.wmem_max. It is memory only while the client does not read.
void widen_send_buffer(int descriptor) {
    constexpr int send_buffer_bytes = 512 * 1024;
    int domain = 0;
    socklen_t size = sizeof domain;
    if (::getsockopt(descriptor, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX) {
        ::setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &send_buffer_bytes,
                     sizeof send_buffer_bytes);
    }
}

}  // namespace

Connection::Connection(Server& server, asio::generic::stream_protocol::socket socket,
                       Identity identity)
    : server_(server), socket_(std::move(socket)) {
    session_.emplace(server.core(), identity, this);
}

Connection::~Connection() {
    MQD_ASSERT(!session_ && !socket_.is_open());
}

void Connection::receive() {
    if (!socket_.is_open()) {
        return;
    }
    socket_.async_receive(asio::buffer(first_),
                          [self = shared_from_this()](std::error_code error, std::size_t bytes) {
                              if (!self->socket_.is_open()) {
                                  return;
                              }
                              self->server_.begin_turn();
                              if (error) {
                                  return self->on_ended(error);
                              }
                              if (self->on_received(bytes)) {
                                  self->server_.receive_after_turn(self);
                              }
                          });
}

// Whether there may be more to come.
bool Connection::on_received(std::size_t bytes) {
    if (bytes < first_.size()) {
        take({first_.data(), bytes});
        return true;
    }
    // There is more: all of it in one piece, behind what has come already.
    const std::span<std::byte> input = server_.input();
    std::memcpy(input.data(), first_.data(), bytes);
    for (int i = 0; i < reads_per_turn; ++i) {
        const ssize_t n = ::recv(socket_.native_handle(), input.data() + bytes,
                                 input.size() - bytes, MSG_DONTWAIT);
        const bool none = n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
        if (n <= 0 && !none) {
            take({input.data(), bytes});
            on_ended(n == 0 ? std::error_code(asio::error::eof)
                            : std::error_code(errno, std::system_category()));
            return false;
        }
        bytes += none ? 0 : static_cast<std::size_t>(n);
        take({input.data(), bytes});
        if (bytes < input.size()) {
            break;
        }
        bytes = 0;
    }
    return true;
}

void Connection::take(wire::Bytes bytes) {
    if (!finishing_ && !bytes.empty()) {
        session_->receive(bytes);
    }
}

// One gathered write, of what there is up to pieces_max pieces.
ssize_t Connection::send_some() {
    constexpr int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
    std::array<wire::Bytes, pieces_max> pieces;
    const std::size_t n = session_->output().gather(pieces);
    if (n == 1) {  // small frames alone: the cheaper call
        return ::send(socket_.native_handle(), pieces[0].data(), pieces[0].size(), flags);
    }
    std::array<iovec, pieces_max> vectors;
    for (std::size_t i = 0; i < n; ++i) {
        vectors[i] = {const_cast<std::byte*>(pieces[i].data()), pieces[i].size()};
    }
    msghdr message{};
    message.msg_iov = vectors.data();
    message.msg_iovlen = n;
    return ::sendmsg(socket_.native_handle(), &message, flags);
}

void Connection::flush() {
    if (!session_) {
        return;
    }
    if (writing_) {
        session_->output_sent(0);
        return session_->overflowed() ? on_overflow() : void();
    }
    while (!session_->output().empty()) {
        const ssize_t sent = send_some();
        if (sent >= 0) {
            session_->output_sent(static_cast<std::size_t>(sent));
            continue;
        }
        if (errno == EINTR) {
            continue;
        }
        if (errno != EAGAIN && errno != EWOULDBLOCK) {
            return on_ended(std::error_code(errno, std::system_category()));
        }
        if (session_->overflowed()) {
            return on_overflow();
        }
        // A turn delivers no more than the socket takes, and takes in whatever producers send:
        // where each message of a group goes out in a frame of its own, what waits would grow until
        // each look at it misses the caches. Batches go out well as it is, and better: in a larger
        // buffer they would miss the caches themselves.
        if (!wide_ && session_->output().busy()) {
            wide_ = true;
            widen_send_buffer(socket_.native_handle());
            continue;
        }
        return wait_writable();
    }
    session_->output_sent(0);
    if (session_->overflowed()) {  // in one piece, and all of it went into a wide socket
        on_overflow();
    } else if (session_->closing()) {
        finish();
    }
}

void Connection::wait_writable() {
    writing_ = true;
    socket_.async_wait(asio::socket_base::wait_write,
                       [self = shared_from_this()](std::error_code error) {
                           self->writing_ = false;
                           if (!error && self->socket_.is_open()) {
                               self->server_.begin_turn();
                               self->flush();
                           }
                       });
}

// The last frame is out. Closing now, with input unread, could take it away from the client again:
// so half a close, and the other half when the client has done its own or the time is over.
void Connection::finish() {
    if (finishing_) {
        return;
    }
    if (const auto& reason = session_->close_reason()) {
        spdlog::debug("connection closed error={} text=\"{}\" uid={} pid={}",
                      error_name(reason->code), reason->text, session_->identity().uid,
                      session_->identity().pid);
    }
    finishing_ = true;
    finish_deadline_ = std::chrono::steady_clock::now() + finish_time;
    ::shutdown(socket_.native_handle(), SHUT_WR);
}

void Connection::check_time() {
    if (!session_->closing()) {
        return session_->check_time();
    }
    const auto now = std::chrono::steady_clock::now();
    if (finish_deadline_ == std::chrono::steady_clock::time_point()) {
        finish_deadline_ = now + finish_time;  // its last frame is still on the way
    } else if (now >= finish_deadline_) {
        close();
    }
}

void Connection::on_overflow() {
    spdlog::warn("connection closed reason=\"does not read its output\" uid={} pid={}",
                 session_->identity().uid, session_->identity().pid);
    close();
}

void Connection::on_ended(std::error_code error) {
    spdlog::debug("connection ended reason=\"{}\" uid={} pid={}", error.message(),
                  session_->identity().uid, session_->identity().pid);
    close();
}

void Connection::close() {
    const std::shared_ptr<Connection> self = shared_from_this();
    session_.reset();
    std::error_code ignored;  // the descriptor is gone either way
    socket_.close(ignored);
    server_.forget(*this);
}

}  // namespace mqd::net
