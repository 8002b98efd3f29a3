#include "client/mqctl/queue_plan.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <type_traits>

#include <nlohmann/json.hpp>

#include "client/mqctl/queue_option_list.hpp"
#include "client/mqctl/table.hpp"
#include "client/mqctl/units.hpp"
#include "daemon/config/units.hpp"

namespace mqd::mqctl {
namespace {

using Action = QueueChange::Action;
using Delays = std::vector<std::chrono::milliseconds>;

// --- The values of options, for people and as JSON

std::string text_of(std::string_view, Durability value) {
    return std::string(durability_name(value));
}
std::string text_of(std::string_view, OnFull value) {
    return std::string(on_full_name(value));
}
std::string text_of(std::string_view, OnExpired value) {
    return std::string(on_expired_name(value));
}
std::string text_of(std::string_view key, std::chrono::milliseconds value) {
    const char* const nothing = key == "expire_idle" ? "never" : "none";
    return value.count() == 0 ? nothing : format_duration(value);
}
std::string text_of(std::string_view, const std::string& value) {
    return value;
}
std::string text_of(std::string_view, bool value) {
    return value ? "yes" : "no";
}
std::string text_of(std::string_view, const Rate& rate) {
    return format_rate(rate);
}
std::string text_of(std::string_view, const Delays& delays) {
    std::string text;
    for (const std::chrono::milliseconds delay : delays) {
        text += (text.empty() ? "" : ",") + format_duration(delay);
    }
    return text.empty() ? "none" : text;
}
template <typename Number>
requires std::is_unsigned_v<Number> std::string text_of(std::string_view key, Number limit) {
    if (key == "max_messages" && limit == QueueOptions::rendezvous) {
        return "rendezvous";
    }
    return limit == 0 ? "none" : key == "max_bytes" ? format_size(limit) : std::to_string(limit);
}
// One that is not said is one that a daemon of an earlier release does not have.
template <typename T>
std::string text_of(std::string_view key, const std::optional<T>& value) {
    return value ? text_of(key, *value) : "unknown";
}

template <typename T>
nlohmann::ordered_json json_of(const T& value) {
    if constexpr (std::is_enum_v<T>) {
        return text_of({}, value);
    } else if constexpr (std::is_same_v<T, std::chrono::milliseconds>) {
        return value.count();
    } else {
        return value;
    }
}
nlohmann::ordered_json json_of(const Rate& rate) {
    return rate.limits() ? nlohmann::ordered_json(format_rate(rate)) : nlohmann::ordered_json();
}
nlohmann::ordered_json json_of(const Delays& delays) {
    auto array = nlohmann::ordered_json::array();
    for (const std::chrono::milliseconds delay : delays) {
        array.push_back(delay.count());
    }
    return array;
}
template <typename T>
nlohmann::ordered_json json_of(const std::optional<T>& value) {
    return value ? json_of(*value) : nlohmann::ordered_json();
}

// As `queue list -o json` names it.
std::string json_name(std::string_view key) {
    const bool time = key == "lease" || key == "retry" || key == "ttl" || key == "expire_idle" ||
                      key == "history_time" || key == "dedup_window" || key == "undo_time";
    return std::string(key) + (time ? "_ms" : "");
}

// The values, in `options`, of those options that `said` says.
nlohmann::ordered_json options_json(const QueueOptions& said, const QueueOptions& options) {
    auto object = nlohmann::ordered_json::object();
    for_each_option([&](std::string_view key, auto option, auto) {
        if (is_said(said.*option)) {
            object[json_name(key)] = json_of(options.*option);
        }
    });
    return object;
}

// --- The plan

// Where dead letters go, written out; so that "" and "orders.dead" are the same for "orders".
QueueOptions written_out(const std::string& queue, QueueOptions options) {
    if (options.dead_letter && options.dead_letter->empty()) {
        options.dead_letter = queue + ".dead";
    }
    return options;
}

// What is said and is not so.
QueueOptions difference(const QueueOptions& desired, const QueueOptions& actual) {
    QueueOptions differing;
    for_each_option([&](std::string_view, auto option, auto) {
        if (is_said(desired.*option) && desired.*option != actual.*option) {
            differing.*option = desired.*option;
        }
    });
    return differing;
}

bool says_anything(const QueueOptions& options) {
    bool any = false;
    for_each_option(
        [&](std::string_view, auto option, auto) { any = any || is_said(options.*option); });
    return any;
}

// Why the queue cannot become what the file says; empty if it can.
std::string refusal(const QueueChange& change) {
    const QueueOptions& before = change.before.options;
    const std::string queue = "queue \"" + change.queue + "\": ";
    if (is_said(change.options.durability)) {
        return queue + "its durability is " + text_of({}, before.durability) +
               " and cannot be changed to " + text_of({}, change.options.durability);
    }
    if (is_said(change.options.priorities)) {
        return queue + "whether it has priorities cannot be changed";
    }
    const OnFull on_full =
        is_said(change.options.on_full) ? change.options.on_full : before.on_full;
    const std::uint64_t max_bytes = change.options.max_bytes.value_or(before.max_bytes.value_or(0));
    const bool by_messages = on_full == OnFull::drop_oldest || on_full == OnFull::dead_letter;
    if (by_messages && max_bytes != 0) {
        return queue + "on_full " + text_of({}, on_full) +
               " goes with max_messages, and not with max_bytes, " + "which would be " +
               text_of("max_bytes", max_bytes);
    }
    return {};
}

// The declared queues, and those that dead letters of queues that stay go to.
std::set<std::string> staying(std::span<const DesiredQueue> desired,
                              const std::map<std::string, const QueueInfo*>& actual) {
    std::map<std::string, QueueInfo> after;  // of which the name and the dead letters matter
    for (const auto& [name, info] : actual) {
        after[name] = *info;
    }
    std::vector<std::string> left;  // to look at
    for (const DesiredQueue& queue : desired) {
        QueueInfo& info = after[queue.name];
        info.name = queue.name;
        if (queue.options.dead_letter) {
            info.options.dead_letter = queue.options.dead_letter;
        }
        left.push_back(queue.name);
    }
    std::set<std::string> stay(left.begin(), left.end());
    while (!left.empty()) {
        const auto info = after.find(left.back());
        left.pop_back();
        if (info != after.end() && stay.insert(info->second.dead_letter_queue()).second) {
            left.push_back(info->second.dead_letter_queue());
        }
    }
    return stay;
}

// --- The text

std::string contents_text(const QueueInfo& queue) {
    return format_messages(queue.ready) + " ready" +
           (queue.leased == 0 ? "" : ", " + format_count(queue.leased) + " leased") +
           (queue.delayed == 0 ? "" : ", " + format_count(queue.delayed) + " delayed");
}

std::string change_text(const QueueChange& change) {
    if (change.action == Action::remove) {
        return contents_text(change.before);
    }
    std::string text;
    for_each_option([&](std::string_view key, auto option, auto) {
        if (!is_said(change.options.*option)) {
            return;
        }
        text += text.empty() ? "" : ", ";
        text += key == "durability" ? "" : std::string(key) + ' ';
        if (change.action == Action::update) {
            text += text_of(key, change.before.options.*option) + " -> ";
        }
        text += text_of(key, change.options.*option);
    });
    return text.empty() ? "as the daemon makes it" : text;
}

}  // namespace

QueuePlan plan_queues(std::span<const DesiredQueue> desired, std::span<const QueueInfo> actual,
                      bool prune) {
    std::map<std::string, const QueueInfo*> there;
    for (const QueueInfo& info : actual) {
        there[info.name] = &info;
    }
    QueuePlan plan;
    for (const DesiredQueue& queue : desired) {
        const QueueOptions wanted = written_out(queue.name, queue.options);
        const auto found = there.find(queue.name);
        if (found == there.end()) {
            plan.changes.push_back({Action::create, queue.name, wanted});
            continue;
        }
        QueueChange change{Action::update, queue.name, {}, *found->second};
        change.before.options = written_out(queue.name, change.before.options);
        change.options = difference(wanted, change.before.options);
        if (!says_anything(change.options)) {
            continue;
        }
        if (std::string why = refusal(change); !why.empty()) {
            plan.refusals.push_back(std::move(why));
        }
        plan.changes.push_back(std::move(change));
    }
    const auto stay = prune ? staying(desired, there) : std::set<std::string>();
    for (const QueueInfo& info : actual) {
        if (prune && !stay.contains(info.name)) {
            plan.changes.push_back({Action::remove, info.name, {}, info});
        }
    }
    return plan;
}

std::string marked_name(const QueueChange& change) {
    const std::string_view mark = change.action == Action::create   ? "+ "
                                  : change.action == Action::update ? "~ "
                                                                    : "- ";
    return std::string(mark) + change.queue;
}

std::string plan_text(const QueuePlan& plan) {
    Table table({{"QUEUE"}, {"CHANGE"}});
    for (const QueueChange& change : plan.changes) {
        table.add({marked_name(change), change_text(change)});
    }
    return table.text(false);
}

std::string plan_json(const QueuePlan& plan) {
    std::string lines;
    for (const QueueChange& change : plan.changes) {
        nlohmann::ordered_json line;
        line["action"] = change.action == Action::create   ? "create"
                         : change.action == Action::update ? "update"
                                                           : "delete";
        line["queue"] = change.queue;
        if (change.action != Action::remove) {
            line["options"] = options_json(change.options, change.options);
        }
        if (change.action == Action::update) {
            line["before"] = options_json(change.options, change.before.options);
        } else if (change.action == Action::remove) {
            line["ready"] = change.before.ready;
            line["leased"] = change.before.leased;
            line["delayed"] = change.before.delayed;
        }
        line["done"] = change.outcome == QueueChange::Outcome::unknown
                           ? nlohmann::ordered_json()
                           : nlohmann::ordered_json(change.outcome == QueueChange::Outcome::done);
        lines += line.dump() + '\n';
    }
    return lines;
}

}  // namespace mqd::mqctl
