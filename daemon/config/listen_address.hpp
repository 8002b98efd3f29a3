#pragma once

// Where a listener listens: "unix:/run/mqd/mqd.sock", "tcp://127.0.0.1:7440", "tcp://[::1]:7440".

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "mqd/result.hpp"

namespace mqd {

inline constexpr std::uint16_t default_tcp_port = 7440;

struct UnixAddress {
    std::string path;  // absolute, at most 107 bytes
    friend bool operator==(const UnixAddress&, const UnixAddress&) = default;
};

struct TcpAddress {
    std::string host;  // numeric, IPv6 without brackets ("localhost" is read as 127.0.0.1)
    std::uint16_t port = default_tcp_port;  // 0: the kernel chooses
    friend bool operator==(const TcpAddress&, const TcpAddress&) = default;
};

using ListenAddress = std::variant<UnixAddress, TcpAddress>;

// Names are not looked up: a daemon must start without a name server. Errors: bad_config.
[[nodiscard]] Result<ListenAddress> parse_listen_address(std::string_view text);
[[nodiscard]] std::string format_listen_address(const ListenAddress& address);
// Whether only programs on this host reach it.
[[nodiscard]] bool is_local(const ListenAddress& address);

}  // namespace mqd
