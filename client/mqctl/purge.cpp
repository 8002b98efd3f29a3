// mqctl queue purge: all that waits in a queue, or what a filter lets through.

#include <algorithm>
#include <string>

#include "client/mqctl/commands.hpp"
#include "client/mqctl/confirmation.hpp"
#include "client/mqctl/json_report.hpp"
#include "client/mqctl/message_selection.hpp"
#include "client/mqctl/undo.hpp"
#include "client/mqctl/units.hpp"

namespace mqd::mqctl {
namespace {

// More ranges do not fit into one request.
constexpr std::uint64_t deleted_at_once = 1000;

// Numbers are never given out twice: what was looked at and is deleted is the same message.
ExitCode purge_some(Session& session) {
    const CommandLine& line = session.line();
    const std::string what = "purging \"" + line.queue + '"';
    const auto queue = session.client().show_queue(line.queue);
    if (!queue) {
        return session.fail(what, queue.error());
    }
    MessageFilter filter = filter_of(line.selection, wall_time_now());
    filter.states = {MessageState::ready, MessageState::delayed, MessageState::dying,
                     MessageState::held};
    Selection selection(session.client(), *queue, std::move(filter), UINT64_MAX);
    std::uint64_t found = 0;
    std::uint64_t removed = 0;
    const auto report = [&](ExitCode exit) {
        return report_json(session, exit,
                           {{"queue", line.queue}, {"found", found}, {"removed", removed}});
    };
    const auto broken_off = [&](const Error& error) {
        const ExitCode exit = session.fail(what, error);
        session.talk().note(format_messages(removed) + " removed");
        return report(removed > 0 ? ExitCode::partly : exit);
    };
    for (;;) {
        const auto ranges = selection.next(deleted_at_once);
        if (!ranges) {
            return broken_off(ranges.error());
        }
        if (ranges->empty()) {
            break;
        }
        found += count_of(*ranges);
        if (line.dry_run) {
            continue;
        }
        const auto deleted = session.client().delete_messages(line.queue, queue->incarnation,
                                                              *ranges, line.for_good);
        if (!deleted) {
            return broken_off(deleted.error());
        }
        removed += *deleted;
    }
    if (line.dry_run) {
        session.talk().note(format_messages(found) + " would be removed from queue \"" +
                            line.queue + '"');
        return report(ExitCode::done);
    }
    std::string note = format_messages(removed) + " removed from queue \"" + line.queue + '"';
    if (removed < found) {
        note += "; " + format_messages(found - removed) + " left alone: leased or gone meanwhile";
    }
    note += undo_hint(session, line.queue);
    session.talk().note(note);
    return report(ExitCode::done);
}

}  // namespace

ExitCode queue_purge(Session& session) {
    const CommandLine& line = session.line();
    const std::string chosen = describe(line.selection);
    if (!line.dry_run) {
        const auto code = chosen.empty()
                              ? refused(session, "queue purge", "purge", line.queue)
                              : refused(session, "queue purge",
                                        "remove the messages " + chosen + " from queue \"" +
                                            line.queue + "\" at " + session.url() + '?');
        if (code) {
            return *code;
        }
    }
    if (line.dry_run || !chosen.empty()) {
        return purge_some(session);
    }
    const auto removed = session.client().purge_queue(line.queue, line.for_good);
    if (!removed) {
        return session.fail("purging \"" + line.queue + '"', removed.error());
    }
    session.talk().note(format_messages(*removed) + " removed from queue \"" + line.queue + '"' +
                        undo_hint(session, line.queue));
    return report_json(session, ExitCode::done,
                       {{"queue", line.queue}, {"found", *removed}, {"removed", *removed}});
}

}  // namespace mqd::mqctl
