#pragma once

// A program that works on one message: the body on its standard input, what is known of the message
// in its environment, its output ours. Each is a process group of its own, so that Ctrl-C on the
// terminal reaches mqctl alone, which then lets the children finish.

#include <sys/types.h>

#include <csignal>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mqd/result.hpp"

namespace mqd::mqctl {

using Environment = std::vector<std::pair<std::string, std::string>>;

// "MQD_HEADER_" and the key, letters in upper case, everything but letters and digits as "_".
[[nodiscard]] std::string header_variable(std::string_view key);

struct ChildSpec {
    const std::vector<std::string>& command;  // a program, looked for in PATH, and its arguments
    const Environment& environment;           // beside ours, of which no MQD_ID, _QUEUE, _ATTEMPT,
                                              // _HEADER_* is handed on
    std::string_view input;
    const sigset_t& signal_mask;
};

class ChildProcess {
  public:
    // Error: io_error when the program cannot be run.
    [[nodiscard]] static Result<ChildProcess> start(const ChildSpec& spec);

    struct Ending {
        int exit_status = 0;  // if it ended by itself
        int signal = 0;       // that killed it; 0: none
    };
    // How it ended, once it has; after that, nothing may be called any more.
    [[nodiscard]] std::optional<Ending> ending();
    // Whether it has, without taking notice of it: its number is not another's yet.
    [[nodiscard]] bool has_ended() const;
    // Asks it and its group to end, and ends them; waits for nothing.
    void terminate() const;
    void send_kill() const;
    // Kills it and its group, and waits until it is gone. If it has ended, what is left of its
    // group.
    Ending kill();

    [[nodiscard]] pid_t pid() const { return pid_; }

  private:
    explicit ChildProcess(pid_t pid) : pid_(pid) {}

    pid_t pid_;
};

}  // namespace mqd::mqctl
