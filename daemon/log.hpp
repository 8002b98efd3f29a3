#pragma once

// The daemon's log: one line per event, words first, then key=value, on stderr. Under systemd
// (JOURNAL_STREAM names stderr) each line begins with its priority, "<4>", and leaves time and name
// to the journal. Logging is synchronous; any thread may log.
//
//     spdlog::info("listening name={} address={}", listener.name, address);
//
// error: an operator must act. warn: degraded and healing. info: life-cycle. debug: per connection.
// trace: per message. Never bodies, headers or secrets.

#include <string>
#include <string_view>

#include "daemon/config/config.hpp"

namespace mqd {

// Makes spdlog's default logger the daemon's. To be called once, before the first line.
void set_up_log(LogLevel level);
// At any time, as on reload.
void set_log_level(LogLevel level);

// Whether stderr is the systemd journal: JOURNAL_STREAM gives its device and inode.
[[nodiscard]] bool stderr_is_journal();

// Text of a client (a name, an error) as it may stand in a line: what is not printable ASCII,
// quotes and backslashes escaped as \xNN; cut at 200 bytes.
[[nodiscard]] std::string printable(std::string_view text);

}  // namespace mqd
