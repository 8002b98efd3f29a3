#include "client/mqctl/standard_streams.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>

namespace mqd::mqctl {
namespace {

Error stream_error(const std::string& what, int reason) {
    return {ErrorCode::io_error, what + ": " + std::generic_category().message(reason), 0, 0,
            reason};
}

}  // namespace

Result<void> occupy_standard_streams() {
    for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
        if (::fcntl(stream, F_GETFD) >= 0 || errno != EBADF) {
            continue;
        }
        // The lowest number that is free, so this one.
        const int opened = ::open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY);
        if (opened != stream) {
            return stream_error("cannot open /dev/null for a closed standard stream", errno);
        }
    }
    return {};
}

Result<void> check_standard_output() {
    const int flags = ::fcntl(STDOUT_FILENO, F_GETFL);
    if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY) {
        return stream_error("cannot write to standard output", EBADF);
    }
    return {};
}

}  // namespace mqd::mqctl
