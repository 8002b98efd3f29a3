#pragma once

// Stands between PosixDisk and the system, so that a real disk can be made to fail at any call: the
// test program is linked with --wrap for each call that is named here (tests/CMakeLists.txt). What
// is not told to fail goes through. For one thread.

#include <string_view>

namespace mqd::storage::test {

// What the next calls of one kind do.
struct CallFate {
    int os_errno = 0;  // they fail with it; 0: they go through
    long most = -1;    // pread, pwrite: they take so many bytes at most; -1: all
    int after = 0;     // so many go through first
    int times = 1;     // so many are met; then they go through again
};

// While it exists. The name is that of the C function: "pwrite".
class FailingCall {
  public:
    FailingCall(std::string_view name, CallFate fate);
    FailingCall(const FailingCall&) = delete;
    FailingCall& operator=(const FailingCall&) = delete;
    ~FailingCall();

    // How many calls met it.
    [[nodiscard]] int met() const;

  private:
    std::string_view name_;
};

}  // namespace mqd::storage::test
