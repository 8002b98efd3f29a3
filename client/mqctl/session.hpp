#pragma once

// What a command of mqctl works with: its command line, the connection, and the ways to report.

#include <optional>
#include <string>
#include <string_view>

#include "client/mqctl/exit_code.hpp"
#include "client/mqctl/options.hpp"
#include "client/mqctl/talk.hpp"
#include "mqd/client.hpp"

namespace mqd::mqctl {

// The address to connect to: the one given, else that of the library (MQD_URL and so on). A bare
// path is that of a Unix socket.
[[nodiscard]] std::string resolve_url(const std::string& given);

// One line for an error of the library: what was being done, what was wrong, the limit and when to
// try again if it names them.
[[nodiscard]] std::string describe(std::string_view what, const Error& error);

class Session {
  public:
    explicit Session(const CommandLine& line);

    // Connects; complains and returns the exit code if that fails.
    [[nodiscard]] std::optional<ExitCode> connect();

    // Complains about an error that ends the command, and returns its exit code. For a queue that
    // does not exist it asks the daemon for the nearest name.
    [[nodiscard]] ExitCode fail(std::string_view what, const Error& error);

    // The same for a queue of that name, which does not exist.
    [[nodiscard]] ExitCode fail_for_missing(const std::string& queue);

    // Likewise, what cannot be written of what can be had again. Says nothing where the reader has
    // gone, as it does that has seen enough.
    [[nodiscard]] ExitCode fail_to_write(std::string_view what, const Error& error);

    // Writes it to standard output, which is all there is to do.
    [[nodiscard]] ExitCode print(std::string text);

    [[nodiscard]] const CommandLine& line() const { return line_; }
    [[nodiscard]] const Talk& talk() const { return talk_; }
    [[nodiscard]] const std::string& url() const { return url_; }
    // Precondition: connect() did.
    [[nodiscard]] Client& client() { return *client_; }

  private:
    // What to do about a queue that does not exist.
    [[nodiscard]] std::string suggest_queue(const std::string& missing);
    [[nodiscard]] std::string origin_of_url() const;

    const CommandLine& line_;
    Talk talk_;
    std::string url_;
    std::optional<Client> client_;
};

}  // namespace mqd::mqctl
