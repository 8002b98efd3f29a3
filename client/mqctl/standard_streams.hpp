#pragma once

// Descriptors 0, 1 and 2. A program may be started with some of them closed; the next descriptor
// that is opened then becomes a standard stream, and if that is the connection, a message that is
// written to standard output is read by the daemon as frames.

#include "mqd/result.hpp"

namespace mqd::mqctl {

// Takes the numbers that are free, with what can be neither read (0) nor written (1, 2), so that
// whoever uses the stream gets EBADF. To be called before anything is opened. Error: io_error.
[[nodiscard]] Result<void> occupy_standard_streams();

// Whether standard output can be written to at all, asked before something is done that cannot be
// done again. Error: io_error, as of a write to it.
[[nodiscard]] Result<void> check_standard_output();

}  // namespace mqd::mqctl
