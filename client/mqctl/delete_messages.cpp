// mqctl delete: ends single messages that wait, by their ids. One request for each, so that of each
// one that is still there afterwards it can be said, and why.

#include <map>
#include <optional>
#include <string>

#include "client/mqctl/commands.hpp"
#include "client/mqctl/confirmation.hpp"
#include "client/mqctl/json_report.hpp"
#include "client/mqctl/units.hpp"

namespace mqd::mqctl {
namespace {

std::string text_of(const MessageId& id) {
    return format_message_id(id.queue, id.incarnation, id.number);
}

std::string question(const Session& session) {
    const auto& ids = session.line().message_ids;
    return "delete " + (ids.size() == 1 ? text_of(ids[0]) : format_messages(ids.size())) + " at " +
           session.url() + '?';
}

// Why it was not deleted; nothing: it was.
Result<std::optional<std::string>> delete_message(Client& client, const MessageId& id,
                                                  QueueId incarnation, bool for_good) {
    if (id.incarnation != incarnation) {
        return std::optional("queue \"" + id.queue + "\" is incarnation " +
                             std::to_string(incarnation.value()) + " now");
    }
    const MessageRange range{id.number, 1};
    const auto deleted = client.delete_messages(id.queue, id.incarnation, {&range, 1}, for_good);
    if (!deleted) {
        return deleted.error();
    }
    if (*deleted > 0) {
        return std::optional<std::string>();
    }
    const auto page = client.peek(id.queue, id.number, 1);
    if (!page) {
        return page.error();
    }
    const bool there = !page->messages.empty() && page->messages[0].number == id.number;
    return std::optional<std::string>(there ? "it is leased"
                                            : "there is no such message, or no more");
}

}  // namespace

ExitCode delete_messages(Session& session) {
    if (const auto code = refused(session, "delete", question(session))) {
        return *code;
    }
    // A name that is wrong is found before anything is gone.
    std::map<std::string, QueueId> incarnations;
    for (const MessageId& id : session.line().message_ids) {
        if (!incarnations.contains(id.queue)) {
            const auto queue = session.client().show_queue(id.queue);
            if (!queue) {
                const ExitCode exit = session.fail("deleting " + text_of(id), queue.error());
                session.talk().note("nothing was deleted");
                return exit;
            }
            incarnations.emplace(id.queue, queue->incarnation);
        }
    }
    std::uint64_t deleted = 0;
    std::uint64_t kept = 0;
    const auto report = [&](ExitCode exit) {
        return report_json(session, exit, {{"deleted", deleted}, {"kept", kept}});
    };
    for (const MessageId& id : session.line().message_ids) {
        const auto reason =
            delete_message(session.client(), id, incarnations[id.queue], session.line().for_good);
        if (!reason) {
            const ExitCode exit = session.fail("deleting " + text_of(id), reason.error());
            session.talk().note(format_messages(deleted) + " deleted");
            return report(deleted > 0 ? ExitCode::partly : exit);
        }
        if (*reason) {
            session.talk().complain(text_of(id) + " was not deleted: " + **reason);
        }
        (*reason ? kept : deleted) += 1;
    }
    session.talk().note(format_messages(deleted) + " deleted");
    return report(kept > 0 ? ExitCode::failed : ExitCode::done);
}

}  // namespace mqd::mqctl
