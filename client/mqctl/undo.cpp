// mqctl queue undo: what was purged from a queue, or deleted singly, is put back.

#include "client/mqctl/undo.hpp"

#include "client/mqctl/commands.hpp"
#include "client/mqctl/json_report.hpp"
#include "client/mqctl/units.hpp"

namespace mqd::mqctl {

std::string undo_hint(Session& session, const std::string& queue) {
    if (session.line().for_good || session.line().global.quiet) {
        return {};
    }
    const auto info = session.client().show_queue(queue);
    if (!info || info->purged == 0) {
        return {};
    }
    return "; `mqctl queue undo " + queue +
           "` puts back what is kept: " + format_messages(info->purged) + ", for " +
           format_duration(info->options.undo_time.value_or(std::chrono::milliseconds(0)));
}

ExitCode queue_undo(Session& session) {
    const std::string& name = session.line().queue;
    const auto restored = session.client().undo_purge(name);
    if (!restored) {
        return session.fail("undoing what was purged from \"" + name + '"', restored.error());
    }
    session.talk().note(*restored == 0
                            ? "nothing that was removed from queue \"" + name + "\" is kept"
                            : format_messages(*restored) + " put back into queue \"" + name + '"');
    return report_json(session, *restored == 0 ? ExitCode::failed : ExitCode::done,
                       {{"queue", name}, {"restored", *restored}});
}

}  // namespace mqd::mqctl
