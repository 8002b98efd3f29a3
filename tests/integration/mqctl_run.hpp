#pragma once

// The real mqctl as a child process, for the tests of it: run to its end, or started with its
// standard streams in our hands. Everything that is waited for has a deadline.

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "support/daemon_process.hpp"

namespace mqd::test {

// How a mqctl ended.
struct MqctlEnd {
    int exit = -1;  // its status, or 128 + the signal that killed it
    std::string out;
    std::string err;
};

// A mqctl that is running.
class MqctlProcess {
  public:
    // `redirection`: of its standard streams, as a shell has it (">&-").
    MqctlProcess(const std::string& url, const std::vector<std::string>& arguments,
                 const std::string& redirection = {});
    MqctlProcess(const MqctlProcess&) = delete;
    MqctlProcess& operator=(const MqctlProcess&) = delete;
    ~MqctlProcess();

    void write(std::string_view text);
    void close_input();
    // Nobody reads what it writes any more.
    void close_output();
    // The next line of its output, without the newline; nothing if none came in time.
    [[nodiscard]] std::optional<std::string> read_line();
    // What it has complained about so far.
    [[nodiscard]] const std::string& complaints();
    void send_signal(int number) const;
    // SIGSTOP, and waits until it stands.
    void stop() const;
    // Closes its input, reads its output to the end, and waits for it.
    [[nodiscard]] MqctlEnd wait();
    // The same, but somebody else closes the input.
    [[nodiscard]] MqctlEnd wait_for_end();

  private:
    // Reads what is there, waiting so long for it; whether anything was.
    bool read_some(int timeout_ms);

    pid_t pid_ = -1;
    int in_ = -1;
    int out_ = -1;
    int err_ = -1;
    std::string output_;  // and not yet handed out
    std::string complaints_;
};

// Runs mqctl against one daemon.
class Mqctl {
  public:
    explicit Mqctl(std::string url) : url_(std::move(url)) {}

    [[nodiscard]] MqctlEnd run(const std::vector<std::string>& arguments,
                               std::string_view input = {},
                               const std::string& redirection = {}) const;
    // Fails the test unless it ends with 0; what it wrote.
    std::string must(const std::vector<std::string>& arguments, std::string_view input = {}) const;
    // A number of `queue show -o json`.
    [[nodiscard]] std::uint64_t queue_number(const std::string& queue,
                                             std::string_view field) const;
    [[nodiscard]] const std::string& url() const { return url_; }

  private:
    std::string url_;
};

}  // namespace mqd::test
