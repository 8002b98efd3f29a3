#pragma once

// mqctl from its arguments to its exit code.

#include <string>
#include <vector>

#include "client/mqctl/exit_code.hpp"

namespace mqd::mqctl {

// `arguments` without the name of the program. Ignores SIGPIPE for the whole process.
[[nodiscard]] ExitCode run_program(const std::vector<std::string>& arguments);

}  // namespace mqd::mqctl
