#include "daemon/config/listen_address.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <charconv>
#include <optional>

namespace mqd {
namespace {

constexpr std::string_view unix_scheme = "unix:";
constexpr std::string_view tcp_scheme = "tcp://";
constexpr std::size_t unix_path_bytes_max = sizeof(sockaddr_un::sun_path) - 1;

Error bad_address(std::string_view text, std::string_view what) {
    return {ErrorCode::bad_config, '"' + std::string(text) + "\" " + std::string(what), 0, 0, 0};
}

bool is_ipv4(const std::string& host) {
    in_addr address = {};
    return ::inet_pton(AF_INET, host.c_str(), &address) == 1;
}

bool is_ipv6(const std::string& host) {
    in6_addr address = {};
    return ::inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
    std::uint16_t port = 0;
    const char* end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, port);
    return error == std::errc{} && rest == end ? std::optional(port) : std::nullopt;
}

Result<ListenAddress> parse_unix(std::string_view text) {
    const std::string_view path = text.substr(unix_scheme.size());
    if (path.empty() || path[0] != '/' || path.find('\0') != std::string_view::npos) {
        return bad_address(text, "must name an absolute path, such as unix:/run/mqd/mqd.sock");
    }
    if (path.size() > unix_path_bytes_max) {
        return bad_address(text, "has a path of more than " + std::to_string(unix_path_bytes_max) +
                                     " bytes, which the kernel does not take");
    }
    return ListenAddress(UnixAddress{std::string(path)});
}

Result<ListenAddress> parse_tcp(std::string_view text) {
    std::string_view rest = text.substr(tcp_scheme.size());
    TcpAddress address;
    const bool bracketed = !rest.empty() && rest[0] == '[';
    if (bracketed) {
        const std::size_t close = rest.find(']');
        if (close == std::string_view::npos) {
            return bad_address(text, "has no ']' behind its address");
        }
        address.host = rest.substr(1, close - 1);
        rest = rest.substr(close + 1);
    } else {
        const std::size_t colon = rest.find(':');
        address.host = rest.substr(0, colon);
        rest = colon == std::string_view::npos ? std::string_view() : rest.substr(colon);
    }
    if (!rest.empty()) {
        const auto port = rest[0] == ':' ? parse_port(rest.substr(1)) : std::nullopt;
        if (!port) {
            return bad_address(text, "has no port of 0..65535 behind its address");
        }
        address.port = *port;
    }
    if (!bracketed && address.host == "localhost") {
        address.host = "127.0.0.1";
    }
    if (bracketed ? !is_ipv6(address.host) : !is_ipv4(address.host)) {
        return bad_address(text,
                           "must have a numeric address, such as tcp://127.0.0.1:7440 or "
                           "tcp://[::1]:7440");
    }
    return ListenAddress(address);
}

}  // namespace

Result<ListenAddress> parse_listen_address(std::string_view text) {
    if (text.starts_with(unix_scheme)) {
        return parse_unix(text);
    }
    if (text.starts_with(tcp_scheme)) {
        return parse_tcp(text);
    }
    return bad_address(text, "must begin with unix:/ or tcp://");
}

std::string format_listen_address(const ListenAddress& address) {
    if (const auto* local = std::get_if<UnixAddress>(&address)) {
        return std::string(unix_scheme) + local->path;
    }
    const auto& tcp = std::get<TcpAddress>(address);
    const bool ipv6 = tcp.host.find(':') != std::string::npos;
    return std::string(tcp_scheme) + (ipv6 ? '[' + tcp.host + ']' : tcp.host) + ':' +
           std::to_string(tcp.port);
}

bool is_local(const ListenAddress& address) {
    const auto* tcp = std::get_if<TcpAddress>(&address);
    if (tcp == nullptr) {
        return true;
    }
    in_addr ipv4 = {};
    in6_addr ipv6 = {};
    if (::inet_pton(AF_INET, tcp->host.c_str(), &ipv4) == 1) {
        return (ntohl(ipv4.s_addr) >> 24) == 127;
    }
    return ::inet_pton(AF_INET6, tcp->host.c_str(), &ipv6) == 1 && IN6_IS_ADDR_LOOPBACK(&ipv6);
}

}  // namespace mqd
