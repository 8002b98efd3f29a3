#pragma once

// mqctl check: whether a store is sound. The daemon's own program knows the stored formats, so it
// is what looks (mqd --check-store), and its report and exit status are ours.

#include <string>
#include <string_view>
#include <vector>

#include "client/mqctl/exit_code.hpp"
#include "client/mqctl/options.hpp"

namespace mqd::mqctl {

// Becomes mqd; returns only if that cannot be run.
[[nodiscard]] ExitCode check_store(const CommandLine& line);

// Where mqd may be, in the order in which it is looked for: beside `own_path`, in the folders of
// `search_path` (as PATH has them), in those of system programs.
[[nodiscard]] std::vector<std::string> daemon_candidates(std::string_view own_path,
                                                         std::string_view search_path);

}  // namespace mqd::mqctl
