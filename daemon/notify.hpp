#pragma once

// What mqd says to the service manager, and the sockets that it takes over from it. When the
// daemon was not started by it, everything here does nothing. For the loop
// thread.

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "mqd/result.hpp"

namespace mqd {

// READY=1: the daemon serves. `status` is the line that `systemctl status` shows.
void notify_ready(std::string_view status);
void notify_status(std::string_view status);
void notify_stopping(std::string_view status);
// While a start or a stop takes its time: so long from now it may go on before it counts as hung.
void notify_extend_timeout(std::chrono::microseconds more);

// How often notify_watchdog() is wanted: half of WatchdogSec=; 0: not at all.
[[nodiscard]] std::chrono::microseconds watchdog_interval();
void notify_watchdog();

// A listening socket that was passed in. The descriptor belongs to whoever called listen_sockets().
struct PassedSocket {
    std::string name;  // FileDescriptorName= of the socket unit
    int descriptor = -1;
};

// Takes the passed sockets over, and their variables out of the environment: a second call gives
// none. Each descriptor is a listening stream socket and closes on exec. Errors: bad_config, if one
// is not; io_error.
[[nodiscard]] Result<std::vector<PassedSocket>> listen_sockets();

}  // namespace mqd
