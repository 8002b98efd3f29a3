#include "client/mqctl/confirmation.hpp"

#include <unistd.h>

#include "client/mqctl/units.hpp"

namespace mqd::mqctl {
namespace {

// What is about to be lost, for the question.
std::string question(const Session& session, std::string_view verb, const QueueInfo& queue) {
    std::string text(verb);
    text += " queue \"" + queue.name + "\" at " + session.url() + " with " +
            format_messages(queue.ready) + " ready";
    if (queue.leased > 0) {
        text += " and " + format_count(queue.leased) + " leased";
    }
    if (queue.delayed > 0) {
        text += " and " + format_count(queue.delayed) + " delayed";
    }
    return text + '?';
}

}  // namespace

std::optional<ExitCode> refused(Session& session, std::string_view command, std::string_view verb,
                                const std::string& queue) {
    if (session.line().yes || !is_terminal(STDIN_FILENO)) {
        return refused(session, command, std::string());  // it does not come to the question
    }
    const auto info = session.client().show_queue(queue);
    if (!info) {
        return session.fail("looking at \"" + queue + '"', info.error());
    }
    return refused(session, command, question(session, verb, *info));
}

std::optional<ExitCode> refused(Session& session, std::string_view command,
                                const std::string& text) {
    if (session.line().yes) {
        return std::nullopt;
    }
    if (!is_terminal(STDIN_FILENO)) {
        session.talk().complain(std::string(command) + " needs --yes where nobody can be asked");
        return ExitCode::usage;
    }
    if (ask(text)) {
        return std::nullopt;
    }
    session.talk().note("nothing was done");
    return ExitCode::failed;
}

}  // namespace mqd::mqctl
