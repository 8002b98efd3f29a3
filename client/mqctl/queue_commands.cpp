// mqctl queue: list, show, create, delete, purge.

#include <unistd.h>

#include <nlohmann/json.hpp>

#include "client/mqctl/commands.hpp"
#include "client/mqctl/table.hpp"
#include "client/mqctl/units.hpp"

namespace mqd::mqctl {
namespace {

// Field names are part of the interface.
std::string to_json(const QueueInfo& queue) {
    nlohmann::ordered_json line;
    line["queue"] = queue.name;
    line["incarnation"] = queue.incarnation.value();
    line["durability"] = durability_name(queue.durability);
    line["lease_ms"] = queue.lease.count();
    line["ready"] = queue.ready;
    line["leased"] = queue.leased;
    line["bytes"] = queue.bytes;
    line["next_number"] = queue.next_number.value();
    line["consumers"] = queue.consumers;
    line["producers"] = queue.producers;
    return line.dump() + '\n';
}

bool json_wanted(const Session& session) {
    return session.line().global.output == "json";
}

// What is about to be lost, for the question.
std::string question(const Session& session, std::string_view verb, const QueueInfo& queue) {
    std::string text(verb);
    text += " queue \"" + session.line().queue + "\" at " + session.url() + " with " +
            format_messages(queue.ready) + " ready";
    if (queue.leased > 0) {
        text += " and " + format_count(queue.leased) + " leased";
    }
    return text + '?';
}

// A destructive command asks on a terminal and needs --yes elsewhere.
std::optional<ExitCode> refused(Session& session, std::string_view verb) {
    const CommandLine& line = session.line();
    if (line.yes) {
        return std::nullopt;
    }
    if (!is_terminal(STDIN_FILENO)) {
        session.talk().complain("queue " + std::string(verb) +
                                " needs --yes where nobody can be asked");
        return ExitCode::usage;
    }
    const auto queue = session.client().show_queue(line.queue);
    if (!queue) {
        return session.fail("looking at \"" + line.queue + '"', queue.error());
    }
    if (ask(question(session, verb, *queue))) {
        return std::nullopt;
    }
    session.talk().note("nothing was done");
    return ExitCode::failed;
}

}  // namespace

ExitCode queue_list(Session& session) {
    const auto queues = session.client().list_queues();
    if (!queues) {
        return session.fail("listing the queues", queues.error());
    }
    if (json_wanted(session)) {
        std::string lines;
        for (const QueueInfo& queue : *queues) {
            lines += to_json(queue);
        }
        return session.print(std::move(lines));
    }
    const auto right = Table::Align::right;
    Table table({{"QUEUE"},
                 {"DURABILITY"},
                 {"READY", right},
                 {"LEASED", right},
                 {"BYTES", right},
                 {"CONSUMERS", right},
                 {"PRODUCERS", right}});
    for (const QueueInfo& queue : *queues) {
        table.add({queue.name, std::string(durability_name(queue.durability)),
                   std::to_string(queue.ready), std::to_string(queue.leased),
                   std::to_string(queue.bytes), std::to_string(queue.consumers),
                   std::to_string(queue.producers)});
    }
    std::string text = table.text(is_terminal(STDOUT_FILENO));
    if (is_terminal(STDOUT_FILENO)) {
        const std::size_t header = text.find('\n');
        text = emphasized(text.substr(0, header), STDOUT_FILENO) + text.substr(header);
    }
    return session.print(std::move(text));
}

ExitCode queue_show(Session& session) {
    const auto queue = session.client().show_queue(session.line().queue);
    if (!queue) {
        return session.fail("looking at \"" + session.line().queue + '"', queue.error());
    }
    if (json_wanted(session)) {
        return session.print(to_json(*queue));
    }
    Table table({{"NAME"}, {"VALUE"}});
    table.add({"queue", queue->name});
    table.add({"incarnation", std::to_string(queue->incarnation.value())});
    table.add({"durability", std::string(durability_name(queue->durability))});
    table.add({"lease", format_duration(queue->lease)});
    table.add({"ready", std::to_string(queue->ready)});
    table.add({"leased", std::to_string(queue->leased)});
    table.add({"bytes", std::to_string(queue->bytes)});
    table.add({"next_number", std::to_string(queue->next_number.value())});
    table.add({"consumers", std::to_string(queue->consumers)});
    table.add({"producers", std::to_string(queue->producers)});
    return session.print(table.text(false));
}

ExitCode queue_create(Session& session) {
    const CommandLine& line = session.line();
    const auto queue = session.client().create_queue(
        line.queue, {.durability = line.create.durability, .lease = line.create.lease});
    if (!queue) {
        return session.fail("creating \"" + line.queue + '"', queue.error());
    }
    if (json_wanted(session)) {
        return session.print(to_json(*queue));
    }
    session.talk().note("queue \"" + line.queue + "\" is ready: durability " +
                        std::string(durability_name(queue->durability)) + ", lease " +
                        format_duration(queue->lease));
    return ExitCode::done;
}

ExitCode queue_delete(Session& session) {
    if (const auto code = refused(session, "delete")) {
        return *code;
    }
    const std::string& name = session.line().queue;
    const auto removed = session.client().delete_queue(name);
    if (!removed) {
        return session.fail("deleting \"" + name + '"', removed.error());
    }
    session.talk().note("queue \"" + name + "\" is gone, and " + format_messages(*removed) +
                        " with it");
    return ExitCode::done;
}

ExitCode queue_purge(Session& session) {
    if (const auto code = refused(session, "purge")) {
        return *code;
    }
    const std::string& name = session.line().queue;
    const auto removed = session.client().purge_queue(name);
    if (!removed) {
        return session.fail("purging \"" + name + '"', removed.error());
    }
    session.talk().note(format_messages(*removed) + " removed from queue \"" + name + '"');
    return ExitCode::done;
}

}  // namespace mqd::mqctl
