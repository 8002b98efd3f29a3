#pragma once

// While one lives, SIGINT and SIGTERM (and SIGCHLD, which a parent of workers wants) do not end the
// program but can be polled for, so that a loop can give back what it holds first. One at a time.

#include <csignal>
#include <optional>

namespace mqd::mqctl {

class SignalWatch {
  public:
    SignalWatch();
    SignalWatch(const SignalWatch&) = delete;
    SignalWatch& operator=(const SignalWatch&) = delete;
    ~SignalWatch();

    // Readable when a signal has come; -1 if the system has no such thing.
    [[nodiscard]] int descriptor() const { return descriptor_; }
    // Takes what has come. SIGINT or SIGTERM, if one of them was among it.
    [[nodiscard]] std::optional<int> take();
    // The signals that were blocked before, for programs started from here.
    [[nodiscard]] const sigset_t& mask_before() const { return before_; }

  private:
    int descriptor_ = -1;
    sigset_t before_{};
};

}  // namespace mqd::mqctl
