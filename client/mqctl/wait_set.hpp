#pragma once

// What a command waits for at once: signals, the connection, standard input, standard output.

#include <poll.h>

#include <array>
#include <chrono>
#include <optional>

#include "client/mqctl/signal_watch.hpp"
#include "mqd/client.hpp"

namespace mqd::mqctl {

class WaitSet {
  public:
    using Clock = std::chrono::steady_clock;

    WaitSet(const SignalWatch& signals, const Client& client);

    // A descriptor of -1 is never ready.
    void read_from(int descriptor) { input_ = {descriptor, POLLIN, 0}; }
    void write_to(int descriptor) { output_ = {descriptor, POLLOUT, 0}; }
    // No longer than until then.
    void until(Clock::time_point when);
    void until(std::optional<Clock::time_point> when);

    // Waits until something is ready or the time has come.
    void wait();

    [[nodiscard]] bool signal_ready() const { return signal_.revents != 0; }
    // To be read from, or at its end.
    [[nodiscard]] bool input_ready() const { return input_.revents != 0; }

  private:
    pollfd signal_;
    pollfd connection_;
    pollfd input_{-1, 0, 0};
    pollfd output_{-1, 0, 0};
    std::optional<Clock::time_point> until_;
};

}  // namespace mqd::mqctl
