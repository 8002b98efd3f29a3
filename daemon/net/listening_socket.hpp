#pragma once

// Makes listening sockets: bound, listening, non-blocking, closed on exec. The descriptor is the
// caller's. Errors: io_error with address and errno; `locked` when another process serves the Unix
// socket.

#include <cstdint>
#include <string>

#include "mqd/result.hpp"

namespace mqd::net {

// A socket file that nobody serves any more is replaced. `mode`: of the file, as for chmod.
Result<int> listen_unix(const std::string& path, std::uint32_t mode);
// A numeric host, IPv6 without brackets. Port 0: the kernel chooses.
Result<int> listen_tcp(const std::string& host, std::uint16_t port);
// The port a TCP socket is bound to; 0: not a TCP socket.
std::uint16_t bound_port(int descriptor);

}  // namespace mqd::net
