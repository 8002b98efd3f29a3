#pragma once

// How mqctl ends. The numbers are part of its interface (mqctl(1), "Exit status"): scripts branch
// on them.

#include "mqd/error.hpp"

namespace mqd::mqctl {

enum class ExitCode : int {
    done = 0,
    failed = 1,
    usage = 2,
    cannot_connect = 3,  // or the connection was lost, and nothing is left undecided
    not_permitted = 4,
    not_found = 5,  // no such queue or message
    empty = 6,      // nothing came, or not in time
    refused = 7,    // by a limit
    damaged = 8,
    partly = 9,  // some of it was done, or may have been
    interrupted = 130,
    broken_pipe = 141,  // as if SIGPIPE had ended it
    terminated = 143,
};

// The exit code for a command that failed as a whole with this error.
[[nodiscard]] ExitCode exit_code(ErrorCode code);

// The exit code of a command that was ended by this signal: SIGINT or SIGTERM.
[[nodiscard]] ExitCode exit_code_of_signal(int signal);

}  // namespace mqd::mqctl
