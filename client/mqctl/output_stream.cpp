#include "client/mqctl/output_stream.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace mqd::mqctl {
namespace {

// Written bytes that stay in the buffer, for a reader that never takes all of it.
constexpr std::size_t kept_bytes_max = 1024 * 1024;

}  // namespace

OutputStream::OutputStream(int descriptor, std::string name)
    : descriptor_(descriptor), name_(std::move(name)) {
    struct stat facts {};
    if (::fstat(descriptor, &facts) != 0) {
        return;
    }
    socket_ = S_ISSOCK(facts.st_mode);
    // What is not open for writing is not made so.
    const int flags = ::fcntl(descriptor, F_GETFL);
    if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY) {
        return;
    }
    if (S_ISFIFO(facts.st_mode) || S_ISCHR(facts.st_mode)) {
        const std::string path = "/proc/self/fd/" + std::to_string(descriptor);
        const int own = ::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
        if (own >= 0) {
            descriptor_ = own;
            owned_ = true;
        }
    }
}

OutputStream::~OutputStream() {
    if (owned_) {
        (void)::close(descriptor_);
    }
}

Result<void> OutputStream::write_some() {
    if (written_ > kept_bytes_max) {
        buffer_.erase(0, written_);
        written_ = 0;
    }
    while (pending() > 0) {
        const char* const from = buffer_.data() + written_;
        const ssize_t size = socket_
                                 ? ::send(descriptor_, from, pending(), MSG_DONTWAIT | MSG_NOSIGNAL)
                                 : ::write(descriptor_, from, pending());
        if (size < 0 && errno == EINTR) {
            continue;
        }
        if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            return {};
        }
        if (size < 0) {
            const int reason = errno;
            return Error{
                ErrorCode::io_error,
                "cannot write to " + name_ + ": " + std::generic_category().message(reason), 0, 0,
                reason};
        }
        written_ += static_cast<std::size_t>(size);
    }
    discard();
    return {};
}

void OutputStream::discard() {
    buffer_.clear();
    written_ = 0;
}

Result<void> OutputStream::write_all() {
    while (pending() > 0) {
        if (auto written = write_some(); !written) {
            return written;
        }
        if (pending() > 0) {
            pollfd watched{descriptor_, POLLOUT, 0};
            (void)::poll(&watched, 1, -1);
        }
    }
    return {};
}

}  // namespace mqd::mqctl
