#include "daemon/net/listening_socket.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cerrno>
#include <cstring>

namespace mqd::net {

namespace {

constexpr int backlog = 1024;

Error failed(const std::string& what, const std::string& address, int code) {
    return {ErrorCode::io_error, what + ' ' + address + ": " + std::strerror(code), 0, 0, code};
}

Error close_failed(int descriptor, const std::string& what, const std::string& address) {
    const int code = errno;
    ::close(descriptor);
    return failed(what, address, code);
}

// Whether somebody accepts connections on the Unix socket.
bool served(const sockaddr_un& address, socklen_t size) {
    const int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0) {
        return false;
    }
    const int result = ::connect(probe, reinterpret_cast<const sockaddr*>(&address), size);
    const int code = errno;
    ::close(probe);
    return result == 0 || code == EAGAIN;
}

}  // namespace

Result<int> listen_unix(const std::string& path, std::uint32_t mode) {
    const std::string text = "unix:" + path;
    sockaddr_un address{};
    if (path.size() >= sizeof address.sun_path) {
        return failed("bind", text, ENAMETOOLONG);
    }
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    const auto size = static_cast<socklen_t>(sizeof address);
    const int descriptor = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0) {
        return failed("socket", text, errno);
    }
    struct stat status {};
    if (::lstat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode)) {
        if (served(address, size)) {
            ::close(descriptor);
            return Error{ErrorCode::locked, "another process serves " + text};
        }
        ::unlink(path.c_str());
    }
    // Between bind and chmod nobody can connect: the socket does not listen yet.
    if (::bind(descriptor, reinterpret_cast<const sockaddr*>(&address), size) != 0) {
        return close_failed(descriptor, "bind", text);
    }
    if (::chmod(path.c_str(), mode) != 0) {
        return close_failed(descriptor, "chmod", text);
    }
    if (::listen(descriptor, backlog) != 0) {
        return close_failed(descriptor, "listen", text);
    }
    return descriptor;
}

Result<int> listen_tcp(const std::string& host, std::uint16_t port) {
    const std::string text = "tcp://" + host + ':' + std::to_string(port);
    sockaddr_storage storage{};
    socklen_t size = 0;
    auto* v4 = reinterpret_cast<sockaddr_in*>(&storage);
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&storage);
    if (::inet_pton(AF_INET, host.c_str(), &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        size = sizeof *v4;
    } else if (::inet_pton(AF_INET6, host.c_str(), &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        size = sizeof *v6;
    } else {
        return failed("bind", text, EINVAL);
    }
    const int descriptor =
        ::socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0) {
        return failed("socket", text, errno);
    }
    const int on = 1;
    ::setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (::bind(descriptor, reinterpret_cast<const sockaddr*>(&storage), size) != 0) {
        return close_failed(descriptor, "bind", text);
    }
    if (::listen(descriptor, backlog) != 0) {
        return close_failed(descriptor, "listen", text);
    }
    return descriptor;
}

std::uint16_t bound_port(int descriptor) {
    sockaddr_storage storage{};
    socklen_t size = sizeof storage;
    if (::getsockname(descriptor, reinterpret_cast<sockaddr*>(&storage), &size) != 0) {
        return 0;
    }
    if (storage.ss_family == AF_INET) {
        return ntohs(reinterpret_cast<const sockaddr_in*>(&storage)->sin_port);
    }
    if (storage.ss_family == AF_INET6) {
        return ntohs(reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_port);
    }
    return 0;
}

}  // namespace mqd::net
