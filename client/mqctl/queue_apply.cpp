// mqctl queue apply: brings the queues of a daemon to what a file says.

#include <algorithm>

#include "client/mqctl/commands.hpp"
#include "client/mqctl/confirmation.hpp"
#include "client/mqctl/queue_file.hpp"
#include "client/mqctl/queue_plan.hpp"
#include "client/mqctl/units.hpp"

namespace mqd::mqctl {
namespace {

using Action = QueueChange::Action;
using Outcome = QueueChange::Outcome;

std::string format_changes(std::size_t count) {
    return format_count(count) + (count == 1 ? " change" : " changes");
}

constexpr std::size_t named_max = 5;  // queues, in a question

std::string file_name(const std::string& file) {
    return file.empty() ? "standard input" : file;
}

// "delete 2 queues at unix:/… with 12 messages (old, older)?"; nothing: none is.
std::string deletion_question(const Session& session, const QueuePlan& plan) {
    std::size_t queues = 0;
    std::uint64_t messages = 0;
    std::string names;
    for (const QueueChange& change : plan.changes) {
        if (change.action == Action::remove) {
            ++queues;
            messages += change.before.ready + change.before.leased + change.before.delayed;
            names += queues > named_max ? "" : (names.empty() ? "" : ", ") + change.queue;
        }
    }
    if (queues == 0) {
        return {};
    }
    names += queues > named_max ? ", ..." : "";
    return "delete " + format_count(queues) + (queues == 1 ? " queue" : " queues") + " at " +
           session.url() + " with " + format_messages(messages) + " (" + names + ")?";
}

Result<void> carry_out(Client& client, const QueueChange& change) {
    const auto without_value = [](const auto& result) {
        return result ? Result<void>() : Result<void>(result.error());
    };
    switch (change.action) {
        case Action::create:
            return without_value(client.create_queue(change.queue, change.options));
        case Action::update:
            return without_value(client.update_queue(change.queue, change.options));
        case Action::remove: return without_value(client.delete_queue(change.queue));
    }
    return {};
}

std::string_view doing(Action action) {
    return action == Action::create   ? "creating"
           : action == Action::update ? "changing"
                                      : "deleting";
}

// Whether the daemon may have done what was answered with this error.
bool is_undecided(ErrorCode code) {
    return code == ErrorCode::timeout || code == ErrorCode::disconnected ||
           code == ErrorCode::outcome_unknown;
}

// "done: + new; not done: ~ orders, - old"
std::string outcome_text(const QueuePlan& plan) {
    std::string text;
    for (const auto& [outcome, title] :
         {std::pair{Outcome::done, "done"}, std::pair{Outcome::unknown, "not known to be done"},
          std::pair{Outcome::not_done, "not done"}}) {
        std::string names;
        for (const QueueChange& change : plan.changes) {
            if (change.outcome == outcome) {
                names += (names.empty() ? "" : ", ") + marked_name(change);
            }
        }
        if (!names.empty()) {
            text += (text.empty() ? "" : "; ") + std::string(title) + ": " + names;
        }
    }
    return text;
}

// Change by change, up to the first that fails.
ExitCode carry_out(Session& session, QueuePlan& plan) {
    for (QueueChange& change : plan.changes) {
        const auto done = carry_out(session.client(), change);
        if (done) {
            change.outcome = Outcome::done;
            continue;
        }
        change.outcome = is_undecided(done.error().code) ? Outcome::unknown : Outcome::not_done;
        const ExitCode code = session.fail(
            std::string(doing(change.action)) + " \"" + change.queue + '"', done.error());
        session.talk().complain(outcome_text(plan) + " (the same command does what is left)");
        const bool none = plan.changes.front().outcome == Outcome::not_done;
        return none ? code : ExitCode::partly;
    }
    session.talk().note(format_changes(plan.changes.size()) + " made");
    return ExitCode::done;
}

ExitCode apply(Session& session, QueuePlan& plan) {
    if (plan.changes.empty()) {
        session.talk().note("nothing to change");
        return ExitCode::done;
    }
    if (session.line().apply.dry_run) {
        session.talk().note(format_changes(plan.changes.size()) + " to make, and none made");
        return ExitCode::done;
    }
    if (const std::string question = deletion_question(session, plan); !question.empty()) {
        if (const auto code = refused(session, "queue apply --prune", question)) {
            return *code;
        }
    }
    return carry_out(session, plan);
}

}  // namespace

ExitCode queue_apply(Session& session) {
    const ApplyOptions& options = session.line().apply;
    const auto desired = read_queue_file(options.file);
    if (!desired) {
        session.talk().complain(desired.error().text);
        return exit_code(desired.error().code);
    }
    if (options.prune && desired->empty()) {  // more likely the wrong file than what is meant
        session.talk().complain(file_name(options.file) +
                                " declares no queue: --prune would delete all of them");
        return ExitCode::usage;
    }
    const auto actual = session.client().list_queues();
    if (!actual) {
        return session.fail("listing the queues", actual.error());
    }
    QueuePlan plan = plan_queues(*desired, *actual, options.prune);
    for (const std::string& refusal : plan.refusals) {
        session.talk().complain(refusal);
    }
    if (!plan.refusals.empty()) {
        return ExitCode::failed;
    }
    const bool json = session.line().global.output == "json";
    if (!json) {  // before anybody is asked
        if (const ExitCode shown = session.print(plan_text(plan)); shown != ExitCode::done) {
            return shown;
        }
    }
    const ExitCode code = apply(session, plan);
    const ExitCode shown = json ? session.print(plan_json(plan)) : ExitCode::done;
    return code == ExitCode::done ? shown : code;
}

}  // namespace mqd::mqctl
