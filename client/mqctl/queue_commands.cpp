// mqctl queue: list, show, create, update, pause, resume, delete.

#include <unistd.h>

#include <nlohmann/json.hpp>

#include "client/mqctl/commands.hpp"
#include "client/mqctl/confirmation.hpp"
#include "client/mqctl/json_report.hpp"
#include "client/mqctl/table.hpp"
#include "client/mqctl/units.hpp"
#include "daemon/config/units.hpp"

namespace mqd::mqctl {
namespace {

using Delays = std::vector<std::chrono::milliseconds>;

// Field names are part of the interface.
std::string to_json(const QueueInfo& queue) {
    nlohmann::ordered_json line;
    line["queue"] = queue.name;
    line["incarnation"] = queue.incarnation.value();
    line["durability"] = durability_name(queue.options.durability);
    line["lease_ms"] = queue.options.lease.count();
    line["ready"] = queue.ready;
    line["leased"] = queue.leased;
    line["delayed"] = queue.delayed;
    line["held"] = queue.held;
    line["bytes"] = queue.bytes;
    line["next_number"] = queue.next_number.value();
    line["consumers"] = queue.consumers;
    line["producers"] = queue.producers;
    line["dying"] = queue.dying;
    if (queue.options.max_attempts) {  // else the daemon is of the first release
        line["max_attempts"] = *queue.options.max_attempts;
        line["dead_letter"] = queue.dead_letter_queue();
        line["max_messages"] = queue.options.max_messages.value_or(0);
        line["max_bytes"] = queue.options.max_bytes.value_or(0);
        line["on_full"] = on_full_name(queue.options.on_full);
    }
    if (queue.options.retry) {
        auto& delays = line["retry_ms"] = nlohmann::ordered_json::array();
        for (const std::chrono::milliseconds delay : *queue.options.retry) {
            delays.push_back(delay.count());
        }
    }
    if (queue.options.priorities) {
        line["priorities"] = *queue.options.priorities;
    }
    if (queue.options.group_in_flight) {
        line["group_in_flight"] = *queue.options.group_in_flight;
    }
    if (queue.options.group_rate) {
        const Rate& rate = *queue.options.group_rate;
        line["group_rate"] =
            rate.limits() ? nlohmann::ordered_json(mqd::format_rate(rate)) : nullptr;
    }
    if (queue.options.ttl) {
        line["ttl_ms"] = queue.options.ttl->count();
        line["on_expired"] = on_expired_name(queue.options.on_expired);
        line["expired"] = queue.expired;
    }
    if (queue.options.publishing_paused) {
        line["publishing_paused"] = *queue.options.publishing_paused;
        line["consuming_paused"] = queue.options.consuming_paused.value_or(false);
    }
    if (queue.options.expire_idle) {
        line["expire_idle_ms"] = queue.options.expire_idle->count();
        line["temporary"] = queue.options.temporary.value_or(false);
    }
    if (queue.options.history) {
        line["history"] = *queue.options.history;
        line["history_time_ms"] =
            queue.options.history_time.value_or(std::chrono::milliseconds(0)).count();
    }
    if (queue.options.undo_time) {
        line["undo_time_ms"] = queue.options.undo_time->count();
        line["purged"] = queue.purged;
        line["undo_until"] = queue.undo_until ? format_time(*queue.undo_until) : "";
    }
    if (queue.options.dedup_window) {
        line["dedup_window_ms"] = queue.options.dedup_window->count();
        line["dedup_count"] = queue.options.dedup_count.value_or(0);
        line["duplicates"] = queue.duplicates;
    }
    return line.dump() + '\n';
}

// A limit, as a cell of a table.
template <typename T>
std::string limit_text(const std::optional<T>& limit) {
    return limit.value_or(0) == 0 ? "none" : std::to_string(*limit);
}

std::string messages_limit_text(const std::optional<std::uint64_t>& limit) {
    return limit == QueueOptions::rendezvous ? "rendezvous" : limit_text(limit);
}

std::string paused_text(const QueueOptions& options) {
    const bool publishing = options.publishing_paused.value_or(false);
    const bool consuming = options.consuming_paused.value_or(false);
    return publishing && consuming ? "both"
           : publishing            ? "publishing"
           : consuming             ? "consuming"
                                   : "no";
}

// As --retry takes it.
std::string delays_text(const Delays& delays) {
    std::string text;
    for (const std::chrono::milliseconds delay : delays) {
        text += (text.empty() ? "" : ",") + format_duration(delay);
    }
    return text.empty() ? "none" : text;
}

void add_history(Table& table, const QueueOptions& options) {
    const auto time = options.history_time.value_or(std::chrono::milliseconds(0));
    table.add({"history", limit_text(options.history)});
    table.add({"history_time", time.count() == 0 ? "none" : format_duration(time)});
}

void add_undo(Table& table, const QueueInfo& queue) {
    const auto time = queue.options.undo_time.value_or(std::chrono::milliseconds(0));
    table.add({"undo_time", time.count() == 0 ? "none" : format_duration(time)});
    table.add({"purged", std::to_string(queue.purged)});
    if (queue.undo_until) {
        table.add({"undo_until", format_time(*queue.undo_until)});
    }
}

bool json_wanted(const Session& session) {
    return session.line().global.output == "json";
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
                 {"DELAYED", right},
                 {"HELD", right},
                 {"BYTES", right},
                 {"CONSUMERS", right},
                 {"PRODUCERS", right},
                 {"MAX_ATTEMPTS", right},
                 {"MAX_MESSAGES", right},
                 {"MAX_BYTES", right},
                 {"PAUSED"}});
    for (const QueueInfo& queue : *queues) {
        table.add({queue.name, std::string(durability_name(queue.options.durability)),
                   std::to_string(queue.ready), std::to_string(queue.leased),
                   std::to_string(queue.delayed), std::to_string(queue.held),
                   std::to_string(queue.bytes), std::to_string(queue.consumers),
                   std::to_string(queue.producers), limit_text(queue.options.max_attempts),
                   messages_limit_text(queue.options.max_messages),
                   limit_text(queue.options.max_bytes), paused_text(queue.options)});
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
    const auto idle = queue->options.expire_idle.value_or(std::chrono::milliseconds(0));
    Table table({{"NAME"}, {"VALUE"}});
    table.add({"queue", queue->name});
    table.add({"incarnation", std::to_string(queue->incarnation.value())});
    table.add({"durability", std::string(durability_name(queue->options.durability))});
    table.add({"lease", format_duration(queue->options.lease)});
    table.add({"ready", std::to_string(queue->ready)});
    table.add({"leased", std::to_string(queue->leased)});
    table.add({"delayed", std::to_string(queue->delayed)});
    table.add({"held", std::to_string(queue->held)});
    table.add({"bytes", std::to_string(queue->bytes)});
    table.add({"next_number", format_number(queue->next_number)});
    table.add({"consumers", std::to_string(queue->consumers)});
    table.add({"producers", std::to_string(queue->producers)});
    table.add({"dying", std::to_string(queue->dying)});
    table.add({"max_attempts", limit_text(queue->options.max_attempts)});
    table.add({"dead_letter", queue->dead_letter_queue()});
    table.add({"max_messages", messages_limit_text(queue->options.max_messages)});
    table.add({"max_bytes", limit_text(queue->options.max_bytes)});
    table.add({"on_full", std::string(on_full_name(queue->options.on_full))});
    table.add({"paused", paused_text(queue->options)});
    table.add({"retry", delays_text(queue->options.retry.value_or(Delays()))});
    table.add({"priorities", queue->options.priorities.value_or(false) ? "yes" : "no"});
    table.add({"group_in_flight", std::to_string(queue->options.group_in_flight.value_or(1))});
    table.add({"group_rate", mqd::format_rate(queue->options.group_rate.value_or(Rate()))});
    const auto ttl = queue->options.ttl.value_or(std::chrono::milliseconds(0));
    table.add({"ttl", ttl.count() == 0 ? "none" : format_duration(ttl)});
    table.add({"on_expired", std::string(on_expired_name(queue->options.on_expired))});
    table.add({"expired", std::to_string(queue->expired)});
    table.add({"expire_idle", idle.count() == 0 ? "never" : format_duration(idle)});
    table.add({"temporary", queue->options.temporary.value_or(false) ? "yes" : "no"});
    add_history(table, queue->options);
    add_undo(table, *queue);
    const auto window = queue->options.dedup_window.value_or(std::chrono::milliseconds(0));
    table.add({"dedup_window", window.count() == 0 ? "none" : format_duration(window)});
    table.add({"dedup_count", limit_text(queue->options.dedup_count)});
    table.add({"duplicates", std::to_string(queue->duplicates)});
    return session.print(table.text(false));
}

ExitCode queue_create(Session& session) {
    const CommandLine& line = session.line();
    const auto queue = session.client().create_queue(line.queue, line.queue_options);
    if (!queue) {
        return session.fail("creating \"" + line.queue + '"', queue.error());
    }
    if (json_wanted(session)) {
        return session.print(to_json(*queue));
    }
    session.talk().note("queue \"" + line.queue + "\" is ready: durability " +
                        std::string(durability_name(queue->options.durability)) + ", lease " +
                        format_duration(queue->options.lease));
    return ExitCode::done;
}

namespace {

// Changes what the command line says; `done` is what then holds.
ExitCode change(Session& session, std::string_view done) {
    const CommandLine& line = session.line();
    const auto queue = session.client().update_queue(line.queue, line.queue_options);
    if (!queue) {
        return session.fail("changing \"" + line.queue + '"', queue.error());
    }
    if (json_wanted(session)) {
        return session.print(to_json(*queue));
    }
    session.talk().note("queue \"" + line.queue + "\" is " + std::string(done));
    return ExitCode::done;
}

}  // namespace

ExitCode queue_update(Session& session) {
    return change(session, "changed");
}

ExitCode queue_pause(Session& session) {
    return change(session, "paused");
}

ExitCode queue_resume(Session& session) {
    return change(session, "resumed");
}

ExitCode queue_delete(Session& session) {
    if (const auto code = refused(session, "queue delete", "delete", session.line().queue)) {
        return *code;
    }
    const std::string& name = session.line().queue;
    const auto removed = session.client().delete_queue(name);
    if (!removed) {
        return session.fail("deleting \"" + name + '"', removed.error());
    }
    session.talk().note("queue \"" + name + "\" is gone, and " + format_messages(*removed) +
                        " with it");
    return report_json(session, ExitCode::done, {{"queue", name}, {"removed", *removed}});
}

}  // namespace mqd::mqctl
