#include "client/mqctl/program.hpp"

#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "client/mqctl/check_store.hpp"
#include "client/mqctl/commands.hpp"
#include "client/mqctl/options.hpp"
#include "client/mqctl/output_stream.hpp"
#include "client/mqctl/standard_streams.hpp"
#include "client/mqctl/talk.hpp"
#include "mqd/version.hpp"
#include "mqd/wire/frame.hpp"

namespace mqd::mqctl {
namespace {

// What needs no daemon.
ExitCode print(std::string text) {
    OutputStream out(STDOUT_FILENO);
    out.buffer() = std::move(text);
    const auto written = out.write_all();
    if (!written && written.error().os_errno == EPIPE) {
        return ExitCode::broken_pipe;
    }
    if (!written) {
        Talk().complain(written.error().text);
    }
    return written ? ExitCode::done : ExitCode::failed;
}

ExitCode print_version(const GlobalOptions& global) {
    const std::string version(mqd::version());
    const std::string protocol = std::to_string(wire::protocol_version);
    return print(global.output == "json"
                     ? R"({"version":")" + version + R"(","protocol":)" + protocol + "}\n"
                     : "mqctl " + version + " (protocol " + protocol + ")\n");
}

// Whether it writes what cannot be had again: ids of messages that were published, or messages.
bool needs_output(const CommandLine& line) {
    switch (line.command) {
        case Command::publish: return !line.global.quiet;
        case Command::export_messages: return line.export_messages.file.empty();
        case Command::consume: return line.consume.exec.empty();
        case Command::peek: return true;
        case Command::why:
        case Command::delete_messages:
        case Command::move_messages:
        case Command::import_messages:
        case Command::queue_list:
        case Command::queue_show:
        case Command::queue_create:
        case Command::queue_update:
        case Command::queue_pause:
        case Command::queue_resume:
        case Command::queue_delete:
        case Command::queue_purge:
        case Command::queue_undo:
        case Command::queue_apply:
        case Command::dead_list:
        case Command::dead_purge:
        case Command::dead_retry:
        case Command::check:
        case Command::backup:
        case Command::status:
        case Command::ping:
        case Command::version: break;
    }
    return false;
}

ExitCode run_command(Session& session) {
    switch (session.line().command) {
        case Command::publish:
        case Command::import_messages: return publish(session);
        case Command::consume: return consume(session);
        case Command::peek: return peek(session);
        case Command::delete_messages: return delete_messages(session);
        case Command::why: return why(session);
        case Command::move_messages: return move_messages(session);
        case Command::export_messages: return export_messages(session);
        case Command::queue_list: return queue_list(session);
        case Command::queue_show: return queue_show(session);
        case Command::queue_create: return queue_create(session);
        case Command::queue_update: return queue_update(session);
        case Command::queue_pause: return queue_pause(session);
        case Command::queue_resume: return queue_resume(session);
        case Command::queue_delete: return queue_delete(session);
        case Command::queue_purge: return queue_purge(session);
        case Command::queue_undo: return queue_undo(session);
        case Command::queue_apply: return queue_apply(session);
        case Command::dead_list: return dead_list(session);
        case Command::dead_purge: return dead_purge(session);
        case Command::dead_retry: return dead_retry(session);
        case Command::backup: return backup(session);
        case Command::status: return status(session);
        case Command::ping: return ping(session);
        case Command::check:
        case Command::version: break;
    }
    return ExitCode::done;
}

}  // namespace

ExitCode run_program(const std::vector<std::string>& arguments) {
    (void)std::signal(SIGPIPE, SIG_IGN);
    const ParseOutcome outcome = parse_command_line(arguments);
    if (!outcome.command_line) {
        if (!outcome.complaint.empty()) {
            Talk().complain(outcome.complaint);
            return outcome.exit;
        }
        return print(outcome.out);
    }
    if (outcome.command_line->command == Command::version) {
        return print_version(outcome.command_line->global);
    }
    if (outcome.command_line->command == Command::check) {
        return check_store(*outcome.command_line);
    }
    if (const auto output = check_standard_output();
        !output && needs_output(*outcome.command_line)) {
        Talk().complain(output.error().text);
        return ExitCode::failed;
    }
    Session session(*outcome.command_line);
    if (const auto failed = session.connect()) {
        return *failed;
    }
    return run_command(session);
}

}  // namespace mqd::mqctl
