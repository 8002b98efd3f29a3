#pragma once

// Standard output or a file, written without ever blocking for long: while a reader is slow, the
// connection must go on being served, or leases run out. So a pipe or terminal is opened anew as a
// descriptor of our own that does not block (setting the flag on the shared one would hit the other
// programs that have it).

#include <cstddef>
#include <string>

#include "mqd/result.hpp"

namespace mqd::mqctl {

class OutputStream {
  public:
    // `name`: of the output, for errors.
    explicit OutputStream(int descriptor, std::string name = "standard output");
    OutputStream(const OutputStream&) = delete;
    OutputStream& operator=(const OutputStream&) = delete;
    ~OutputStream();

    // What is to be written: append to it.
    [[nodiscard]] std::string& buffer() { return buffer_; }
    // Bytes appended and not yet written.
    [[nodiscard]] std::size_t pending() const { return buffer_.size() - written_; }

    // Writes what the reader takes at once. Error: io_error with os_errno, EPIPE when it is gone.
    [[nodiscard]] Result<void> write_some();
    // Writes everything, waiting for the reader.
    [[nodiscard]] Result<void> write_all();

    // Forgets what is not yet written.
    void discard();

    // To be watched for writing while pending().
    [[nodiscard]] int descriptor() const { return descriptor_; }

  private:
    int descriptor_;
    std::string name_;
    bool owned_ = false;
    bool socket_ = false;
    std::string buffer_;
    std::size_t written_ = 0;  // of buffer_
};

}  // namespace mqd::mqctl
