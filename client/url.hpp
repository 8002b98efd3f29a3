#pragma once

// Where a daemon listens, out of a URL: unix:/path, tcp://host:port, tcp://[address]:port.

#include <cstdint>
#include <string>
#include <string_view>

#include "mqd/result.hpp"

namespace mqd::client {

inline constexpr std::uint16_t default_tcp_port = 7440;

struct Address {
    enum class Kind : std::uint8_t { local, tcp };
    Kind kind = Kind::local;
    std::string path;  // local: of the socket
    std::string host;  // tcp: a name or an address, without brackets
    std::uint16_t port = default_tcp_port;
};

// Errors: bad_url.
[[nodiscard]] Result<Address> parse_url(std::string_view url);

}  // namespace mqd::client
