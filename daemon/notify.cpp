// sd_notify(3) and sd_listen_fds(3) by their protocols, which systemd documents as stable and meant
// to be spoken directly: a datagram to $NOTIFY_SOCKET, and descriptors from 3 on. The library would
// bring five others into a process that has none of their uses (measured: 0.9 MiB resident of 6).

#include "daemon/notify.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <optional>

namespace mqd {

namespace {

constexpr int listen_fds_start = 3;

// A status is one line: what follows a line feed would be read as another variable.
std::string one_line(std::string_view text) {
    std::string line(text);
    for (char& c : line) {
        c = c == '\n' ? ' ' : c;
    }
    return line;
}

std::string environment(const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr ? value : "";
}

std::optional<std::uint64_t> number_from_environment(const char* name) {
    const std::string text = environment(name);
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const bool whole = error == std::errc() && end == text.data() + text.size();
    return whole ? std::optional(number) : std::nullopt;
}

// A variable that names a process is meant for that one alone, not for its children.
bool meant_for_us(const char* name) {
    const auto pid = number_from_environment(name);
    return pid && *pid == static_cast<std::uint64_t>(::getpid());
}

// Nobody listening is not an error: the daemon then was not started by systemd.
void notify(const std::string& state) {
    const std::string path = environment("NOTIFY_SOCKET");
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() < 2 || path.size() >= sizeof address.sun_path ||
        (path[0] != '/' && path[0] != '@')) {
        return;
    }
    std::memcpy(address.sun_path, path.data(), path.size());
    if (path[0] == '@') {
        address.sun_path[0] = '\0';  // the abstract name space
    }
    const int descriptor = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) {
        return;
    }
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
    (void)::sendto(descriptor, state.data(), state.size(), MSG_NOSIGNAL,
                   reinterpret_cast<const sockaddr*>(&address), size);
    ::close(descriptor);
}

bool is_listening_stream(int descriptor) {
    int type = 0;
    int listening = 0;
    socklen_t size = sizeof type;
    return ::getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &size) == 0 &&
           type == SOCK_STREAM &&
           ::getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 &&
           listening != 0;
}

// The names in LISTEN_FDNAMES, separated by colons; what has none is called "unknown", as by
// systemd.
std::string name_at(const std::string& names, std::uint64_t index) {
    std::size_t at = 0;
    for (; index > 0; --index) {
        at = names.find(':', at);
        if (at == std::string::npos) {
            return "unknown";
        }
        ++at;
    }
    const std::string name = names.substr(at, names.find(':', at) - at);
    return name.empty() ? "unknown" : name;
}

}  // namespace

void notify_ready(std::string_view status) {
    notify("READY=1\nSTATUS=" + one_line(status));
}

void notify_status(std::string_view status) {
    notify("STATUS=" + one_line(status));
}

void notify_stopping(std::string_view status) {
    notify("STOPPING=1\nSTATUS=" + one_line(status));
}

void notify_extend_timeout(std::chrono::microseconds more) {
    notify("EXTEND_TIMEOUT_USEC=" + std::to_string(more.count()));
}

std::chrono::microseconds watchdog_interval() {
    const auto usec = number_from_environment("WATCHDOG_USEC");
    const bool wanted =
        usec && (environment("WATCHDOG_PID").empty() || meant_for_us("WATCHDOG_PID"));
    return std::chrono::microseconds(wanted ? static_cast<std::int64_t>(*usec / 2) : 0);
}

void notify_watchdog() {
    notify("WATCHDOG=1");
}

Result<std::vector<PassedSocket>> listen_sockets() {
    std::vector<PassedSocket> sockets;
    const std::uint64_t count =
        meant_for_us("LISTEN_PID") ? number_from_environment("LISTEN_FDS").value_or(0) : 0;
    const std::string names = environment("LISTEN_FDNAMES");
    ::unsetenv("LISTEN_PID");
    ::unsetenv("LISTEN_FDS");
    ::unsetenv("LISTEN_FDNAMES");
    for (std::uint64_t i = 0; i < count; ++i) {
        const int descriptor = listen_fds_start + static_cast<int>(i);
        const std::string name = name_at(names, i);
        if (::fcntl(descriptor, F_SETFD, FD_CLOEXEC) != 0) {
            const int code = errno;
            return Error{ErrorCode::io_error,
                         "cannot take over the socket \"" + name +
                             "\" that systemd passed: " + std::strerror(code),
                         0, 0, code};
        }
        if (!is_listening_stream(descriptor)) {
            return Error{ErrorCode::bad_config,
                         "the descriptor \"" + name +
                             "\" that systemd passed is not a listening stream socket",
                         0, 0, 0};
        }
        sockets.push_back({name, descriptor});
    }
    return sockets;
}

}  // namespace mqd
