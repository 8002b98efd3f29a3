#pragma once

// The question before messages are lost for good.

#include <optional>
#include <string>
#include <string_view>

#include "client/mqctl/exit_code.hpp"
#include "client/mqctl/session.hpp"

namespace mqd::mqctl {

// A destructive command asks on a terminal and needs --yes elsewhere: how the program ends, if it
// may not go on. `command`: "queue purge"; `verb`: what would be done to `queue`.
[[nodiscard]] std::optional<ExitCode> refused(Session& session, std::string_view command,
                                              std::string_view verb, const std::string& queue);
// The same, with a question of the command's own.
[[nodiscard]] std::optional<ExitCode> refused(Session& session, std::string_view command,
                                              const std::string& text);

}  // namespace mqd::mqctl
