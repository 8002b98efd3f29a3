#include "client/mqctl/session.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <vector>

#include "client/mqctl/output_stream.hpp"
#include "client/mqctl/units.hpp"
#include "daemon/config/nearest_name.hpp"
#include "mqd/wire/frame.hpp"

namespace mqd::mqctl {
namespace {

std::string without_newlines(std::string text) {
    for (char& character : text) {
        character = character == '\n' ? ' ' : character;
    }
    return text;
}

}  // namespace

std::string resolve_url(const std::string& given) {
    const std::string url = given.empty() ? default_url() : given;
    return url.starts_with('/') ? "unix:" + url : url;
}

std::string describe(std::string_view what, const Error& error) {
    std::string line(what);
    line += ": ";
    if (error.code == ErrorCode::stopping) {
        return line + "the daemon is stopping";
    }
    line += error.text.empty() ? std::string(error_name(error.code)) : error.text;
    const auto value = static_cast<std::uint16_t>(error.code);
    if (value < 1000 && !error.text.empty()) {
        line += " [" + std::string(error_name(error.code)) + ']';
    }
    if (error.limit != 0) {
        line += "; the limit is " + format_count(error.limit);
    }
    if (error.retry_after_ms != 0) {
        line +=
            "; try again in " + format_duration(std::chrono::milliseconds(error.retry_after_ms));
    }
    return without_newlines(std::move(line));
}

Session::Session(const CommandLine& line)
    : line_(line),
      talk_(line.global.quiet, line.global.verbose),
      url_(resolve_url(line.global.url)) {}

std::optional<ExitCode> Session::connect() {
    if (url_.starts_with("tls://")) {
        talk_.complain("tls:// is not built yet (unix:/path and tcp://host:port are)" +
                       origin_of_url());
        return ExitCode::usage;
    }
    ConnectOptions options;
    options.client_name = "mqctl";
    options.timeout = line_.global.timeout;
    auto client = Client::connect(url_, options);
    if (client) {
        client_.emplace(std::move(*client));
        talk_.detail("connected to " + client_->server_name() + " at " + url_);
        return std::nullopt;
    }
    const Error& error = client.error();
    if (error.os_errno == EACCES || error.os_errno == EPERM) {
        talk_.complain(error.text + " (is this user in the socket's group, \"mqd\"?)");
        return ExitCode::not_permitted;
    }
    if (error.code == ErrorCode::timeout) {
        return fail("connecting to " + url_, error);
    }
    if (error.code == ErrorCode::bad_url) {
        talk_.complain(error.text + origin_of_url());
    } else if (error.code == ErrorCode::connect_failed) {
        talk_.complain(error.text + " (is mqd running? -s or MQD_URL names another address)");
    } else {
        talk_.complain(describe("connecting to " + url_, error));
    }
    return exit_code(error.code);
}

ExitCode Session::fail(std::string_view what, const Error& error) {
    if (error.code == ErrorCode::no_such_queue && !line_.queue.empty()) {
        return fail_for_missing(line_.queue);
    }
    if (error.code == ErrorCode::bad_name && !line_.queue.empty()) {
        talk_.complain('"' + line_.queue + "\" is not a name for a queue: 1 to " +
                       std::to_string(wire::queue_name_bytes_max) +
                       " letters, digits, '.', '_', '-', the first not '.' or '-'");
    } else if (error.code == ErrorCode::timeout) {
        talk_.complain(std::string(what) + ": no answer within " +
                       format_duration(line_.global.timeout) + " (--timeout gives it longer)");
    } else {
        talk_.complain(describe(what, error));
    }
    return exit_code(error.code);
}

ExitCode Session::fail_for_missing(const std::string& queue) {
    talk_.complain("queue \"" + queue + "\" does not exist" + suggest_queue(queue));
    return exit_code(ErrorCode::no_such_queue);
}

ExitCode Session::fail_to_write(std::string_view what, const Error& error) {
    return error.os_errno == EPIPE ? ExitCode::broken_pipe : fail(what, error);
}

// Whose fault a bad address is.
std::string Session::origin_of_url() const {
    const char* const set = std::getenv("MQD_URL");
    const bool from_environment = line_.global.url.empty() && set != nullptr && *set != '\0';
    return from_environment ? " (it comes from MQD_URL)" : "";
}

ExitCode Session::print(std::string text) {
    OutputStream out(STDOUT_FILENO);
    out.buffer() = std::move(text);
    const auto written = out.write_all();
    return written ? ExitCode::done : fail_to_write("printing", written.error());
}

std::string Session::suggest_queue(const std::string& missing) {
    std::vector<std::string> names;
    if (client_) {
        if (const auto queues = client_->list_queues()) {
            for (const QueueInfo& queue : *queues) {
                names.push_back(queue.name);
            }
        }
    }
    const std::string nearest = did_you_mean(missing, names);
    return nearest.empty() ? " (mqctl queue create " + missing + " makes it)" : nearest;
}

}  // namespace mqd::mqctl
