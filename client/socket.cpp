#include "client/socket.hpp"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <system_error>
#include <utility>

#include "mqd/assert.hpp"

namespace mqd::client {

namespace {

constexpr std::size_t views_max = 16;
// How long to leave a daemon alone whose queue of connections is full.
constexpr std::chrono::milliseconds backlog_pause{2};

Error connect_error(const std::string& where, int os_errno) {
    Error error{ErrorCode::connect_failed,
                "cannot connect to " + where + ": " + std::generic_category().message(os_errno)};
    error.os_errno = os_errno;
    return error;
}

struct Target {
    int family = 0;
    const sockaddr* address = nullptr;
    socklen_t address_bytes = 0;
    std::string where;
};

// Waits for the outcome of a connect(2) that is in progress: 0 or errno.
int outcome_of_connect(const Socket& socket, Deadline deadline) {
    pollfd ready{socket.descriptor(), POLLOUT, 0};
    while (::poll(&ready, 1, deadline.poll_ms()) <= 0) {
        if (deadline.passed()) {
            return ETIMEDOUT;
        }
    }
    int outcome = 0;
    socklen_t size = sizeof outcome;
    return ::getsockopt(socket.descriptor(), SOL_SOCKET, SO_ERROR, &outcome, &size) == 0 ? outcome
                                                                                         : errno;
}

Result<Socket> connect_to(const Target& target, Deadline deadline) {
    Socket socket(::socket(target.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (socket.descriptor() < 0) {
        return connect_error(target.where, errno);
    }
    int outcome = 0;
    do {
        const int rc = ::connect(socket.descriptor(), target.address, target.address_bytes);
        outcome = rc == 0 ? 0 : errno;
        if (outcome == EAGAIN && !deadline.passed()) {
            ::poll(nullptr, 0, static_cast<int>(backlog_pause.count()));
        }
    } while (outcome == EAGAIN && !deadline.passed());
    if (outcome == EINPROGRESS || outcome == EINTR) {
        outcome = outcome_of_connect(socket, deadline);
    }
    if (outcome == ETIMEDOUT || outcome == EAGAIN) {
        return Error{ErrorCode::timeout, "no connection to " + target.where + " in time"};
    }
    if (outcome != 0) {
        return connect_error(target.where, outcome);
    }
    // From now on each call says for itself whether it blocks.
    const int flags = ::fcntl(socket.descriptor(), F_GETFL);
    if (flags < 0 || ::fcntl(socket.descriptor(), F_SETFL, flags & ~O_NONBLOCK) != 0) {
        return connect_error(target.where, errno);
    }
    return socket;
}

Result<Socket> connect_unix(const std::string& path, Deadline deadline) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    MQD_ASSERT(path.size() < sizeof address.sun_path, path.size());
    std::memcpy(address.sun_path, path.data(), path.size());
    return connect_to(
        {AF_UNIX, reinterpret_cast<const sockaddr*>(&address), sizeof address, "unix:" + path},
        deadline);
}

Result<Socket> connect_tcp(const Address& address, Deadline deadline) {
    const bool is_ipv6 = address.host.find(':') != std::string::npos;
    const std::string host = is_ipv6 ? '[' + address.host + ']' : address.host;
    const std::string where = "tcp://" + host + ':' + std::to_string(address.port);
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const int rc =
        ::getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &found);
    if (rc != 0) {
        return Error{ErrorCode::connect_failed,
                     "cannot connect to " + where + ": " + ::gai_strerror(rc)};
    }
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, ::freeaddrinfo);
    Result<Socket> result = Error{ErrorCode::connect_failed, "cannot connect to " + where};
    for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
        result = connect_to({each->ai_family, each->ai_addr, each->ai_addrlen, where}, deadline);
        if (result) {
            const int on = 1;
            ::setsockopt(result->descriptor(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            break;
        }
    }
    return result;
}

}  // namespace

Deadline Deadline::after(Timeout timeout) {
    constexpr Timeout years = std::chrono::hours(24 * 365 * 10);
    Deadline deadline;
    if (timeout < years) {
        deadline.at_ = Clock::now() + std::max(timeout, Timeout(0));
    }
    return deadline;
}

bool Deadline::never() const {
    return !at_;
}

Deadline Deadline::or_before(std::optional<Clock::time_point> other) const {
    Deadline earlier = *this;
    if (other && (!at_ || *other < *at_)) {
        earlier.at_ = other;
    }
    return earlier;
}

int Deadline::poll_ms() const {
    if (!at_) {
        return -1;
    }
    constexpr std::chrono::milliseconds hour = std::chrono::hours(1);
    const auto rest = std::chrono::ceil<std::chrono::milliseconds>(*at_ - Clock::now());
    return static_cast<int>(std::clamp(rest, std::chrono::milliseconds(0), hour).count());
}

Socket::Socket(Socket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

Socket& Socket::operator=(Socket&& other) noexcept {
    if (this != &other) {
        close();
        descriptor_ = std::exchange(other.descriptor_, -1);
    }
    return *this;
}

Result<Socket> Socket::connect(const Address& address, Deadline deadline) {
    return address.kind == Address::Kind::local ? connect_unix(address.path, deadline)
                                                : connect_tcp(address, deadline);
}

Socket::Transfer Socket::read(std::span<std::byte> into, bool block) const {
    while (true) {
        const ssize_t n = ::recv(descriptor_, into.data(), into.size(), block ? 0 : MSG_DONTWAIT);
        if (n > 0) {
            return {static_cast<std::size_t>(n), 0};
        }
        if (n == 0) {
            return {0, -1};
        }
        if (errno != EINTR) {
            return {0, errno == EAGAIN || errno == EWOULDBLOCK ? 0 : errno};
        }
    }
}

Socket::Transfer Socket::write(std::span<const wire::Bytes> views) const {
    std::array<iovec, views_max> vectors;
    const std::size_t count = std::min(views.size(), vectors.size());
    for (std::size_t i = 0; i < count; ++i) {
        // sendmsg(2) does not write to it, whatever its types say.
        vectors[i].iov_base = const_cast<std::byte*>(views[i].data());
        vectors[i].iov_len = views[i].size();
    }
    msghdr message{};
    message.msg_iov = vectors.data();
    message.msg_iovlen = count;
    while (true) {
        constexpr int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
        // One view is the rule while one message is under way, and send(2) is the cheaper call.
        const ssize_t n = count == 1
                              ? ::send(descriptor_, vectors[0].iov_base, vectors[0].iov_len, flags)
                              : ::sendmsg(descriptor_, &message, flags);
        if (n >= 0) {
            return {static_cast<std::size_t>(n), 0};
        }
        if (errno != EINTR) {
            return {0, errno == EAGAIN || errno == EWOULDBLOCK ? 0 : errno};
        }
    }
}

void Socket::wait(bool for_writing, Deadline deadline) const {
    pollfd ready{descriptor_, static_cast<short>(POLLIN | (for_writing ? POLLOUT : 0)), 0};
    while (::poll(&ready, 1, deadline.poll_ms()) < 0 && errno == EINTR && !deadline.passed()) {}
}

void Socket::close() {
    if (descriptor_ >= 0) {
        ::close(descriptor_);
        descriptor_ = -1;
    }
}

}  // namespace mqd::client
