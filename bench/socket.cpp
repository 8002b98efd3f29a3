#include "bench/socket.hpp"

#include <array>
#include <cerrno>
#include <cstring>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "bench/failure.hpp"

namespace mqd::bench {

namespace {

// A socket address of either family, as the system calls take it.
struct SystemAddress {
    sockaddr_storage storage{};
    socklen_t size = 0;

    [[nodiscard]] sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

SystemAddress to_system(const Address& address) {
    SystemAddress result;
    if (address.transport == Transport::unix_socket) {
        sockaddr_un name{};
        name.sun_family = AF_UNIX;
        if (address.path.size() >= sizeof name.sun_path) {
            fail("too long for the path of a Unix socket: " + address.path);
        }
        std::memcpy(name.sun_path, address.path.data(), address.path.size());
        std::memcpy(&result.storage, &name, sizeof name);
        result.size = sizeof name;
    } else {
        sockaddr_in name{};
        name.sin_family = AF_INET;
        name.sin_port = htons(address.port);
        name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        std::memcpy(&result.storage, &name, sizeof name);
        result.size = sizeof name;
    }
    return result;
}

Descriptor open_socket(const Address& address) {
    const int family = address.transport == Transport::unix_socket ? AF_UNIX : AF_INET;
    Descriptor result(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (result.get() < 0) {
        fail_errno("socket");
    }
    return result;
}

// Everybody here gathers before writing, so Nagle's algorithm could only delay. Fails on Unix
// sockets, which have none.
void send_at_once(int fd) {
    const int on = 1;
    (void)::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

}  // namespace

void Descriptor::close() {
    if (fd_ >= 0) {
        ::close(std::exchange(fd_, -1));
    }
}

std::string Address::url() const {
    return transport == Transport::unix_socket ? "unix:" + path
                                               : "tcp://127.0.0.1:" + std::to_string(port);
}

Descriptor listen_on(Address& address) {
    SystemAddress name = to_system(address);
    Descriptor listener = open_socket(address);
    if (::bind(listener.get(), name.get(), name.size) != 0 || ::listen(listener.get(), 128) != 0) {
        fail_errno("listening on " + address.url());
    }
    if (address.transport == Transport::tcp) {
        sockaddr_in taken{};
        socklen_t size = sizeof taken;
        ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&taken), &size);
        address.port = ntohs(taken.sin_port);
    }
    return listener;
}

Descriptor accept_from(int listener) {
    Descriptor result(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
    if (result.get() < 0) {
        fail_errno("accept");
    }
    send_at_once(result.get());
    return result;
}

std::optional<Descriptor> try_connect_to(const Address& address) {
    SystemAddress name = to_system(address);
    Descriptor result = open_socket(address);
    if (::connect(result.get(), name.get(), name.size) != 0) {
        return std::nullopt;
    }
    send_at_once(result.get());
    return result;
}

Descriptor connect_to(const Address& address) {
    auto result = try_connect_to(address);
    if (!result) {
        fail_errno("connecting to " + address.url());
    }
    return std::move(*result);
}

std::uint16_t find_free_port() {
    Address address{.transport = Transport::tcp, .path = {}, .port = 0};
    const Descriptor listener = listen_on(address);
    return address.port;
}

Descriptor connect_as(Role role, const Address& address) {
    Descriptor result = connect_to(address);
    const auto byte = static_cast<std::byte>(role);
    if (send_some(result.get(), {&byte, 1}, Wait::yes) != 1) {
        fail_errno("greeting " + address.url());
    }
    return result;
}

Role read_role(int fd) {
    std::byte byte{};
    if (receive_from_broker(fd, {&byte, 1}, Wait::yes) != 1) {
        fail_errno("reading a greeting");
    }
    return static_cast<Role>(byte);
}

std::size_t send_some(int fd, std::span<const std::byte> bytes, Wait wait) {
    const int flags = MSG_NOSIGNAL | (wait == Wait::no ? MSG_DONTWAIT : 0);
    const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), flags);
    if (sent >= 0) {
        return static_cast<std::size_t>(sent);
    }
    if (errno != EAGAIN && errno != EINTR) {
        fail_errno("send");
    }
    return 0;
}

std::optional<std::size_t> receive_some(int fd, std::span<std::byte> bytes, Wait wait) {
    const ssize_t got = ::recv(fd, bytes.data(), bytes.size(), wait == Wait::no ? MSG_DONTWAIT : 0);
    if (got > 0) {
        return static_cast<std::size_t>(got);
    }
    if (got == 0 || errno == ECONNRESET) {
        return std::nullopt;
    }
    if (errno != EAGAIN && errno != EINTR) {
        fail_errno("recv");
    }
    return 0;
}

std::size_t receive_from_broker(int fd, std::span<std::byte> bytes, Wait wait) {
    const auto got = receive_some(fd, bytes, wait);
    if (!got) {
        fail("the other end closed the connection");
    }
    return *got;
}

void wait_readable_or_writable(int fd) {
    pollfd poll{.fd = fd, .events = POLLIN | POLLOUT, .revents = 0};
    (void)::poll(&poll, 1, -1);
}

std::optional<std::uint64_t> TotalReader::read(Wait wait) {
    constexpr std::size_t total_bytes = sizeof(std::uint64_t);
    std::array<std::byte, 512 * total_bytes> buffer;
    std::memcpy(buffer.data(), partial_, partial_bytes_);
    const auto got = receive_some(fd_, std::span(buffer).subspan(partial_bytes_), wait);
    if (!got) {
        return std::nullopt;
    }
    const std::size_t bytes = partial_bytes_ + *got;
    const std::size_t whole = bytes / total_bytes * total_bytes;
    if (whole > 0) {
        std::memcpy(&total_, buffer.data() + whole - total_bytes, total_bytes);
    }
    partial_bytes_ = bytes - whole;
    std::memcpy(partial_, buffer.data() + whole, partial_bytes_);
    return total_;
}

void send_total(int fd, std::uint64_t total) {
    std::span<const std::byte> rest = std::as_bytes(std::span(&total, 1));
    while (!rest.empty()) {
        rest = rest.subspan(send_some(fd, rest, Wait::yes));
    }
}

}  // namespace mqd::bench
