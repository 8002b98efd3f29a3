// mqctl why: the life of a message, as far as the daemon knows it. Where it was moved, or became a
// dead letter, it goes on there.

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <string>

#include <nlohmann/json.hpp>

#include "client/mqctl/commands.hpp"
#include "client/mqctl/units.hpp"

namespace mqd::mqctl {
namespace {

constexpr std::size_t queues_followed_max = 16;

std::string text_of(const MessageId& id) {
    return format_message_id(id.queue, id.incarnation, id.number);
}

std::string_view name_of(HistoryKind kind) {
    constexpr std::array<std::string_view, wire::history_kinds + 1> names{
        "unknown",       "published",     "delivered",     "acked",   "nacked",       "rejected",
        "lease-expired", "consumer-gone", "given-back",    "expired", "dropped",      "purged",
        "deleted",       "moved",         "dead-lettered", "arrived", "arrived-dead", "restored"};
    const auto index = static_cast<std::size_t>(kind);
    return names[index < names.size() ? index : 0];
}

std::string_view name_of(HistoryState state) {
    constexpr std::array<std::string_view, wire::history_states + 1> names{
        "gone", "ready", "leased", "delayed", "dying", "held", "ending", "unreadable", "purged"};
    return names[static_cast<std::size_t>(state)];
}

// "2026-11-28 10:15:02.123", by the clock on the wall here.
std::string local_time(WallTime time) {
    const auto micros = time.time_since_epoch().count();
    const std::time_t seconds = static_cast<std::time_t>(micros / 1'000'000);
    std::tm broken{};
    std::array<char, 48> text{};
    if (localtime_r(&seconds, &broken) == nullptr) {
        return format_time(time);
    }
    const std::size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S", &broken);
    std::array<char, 8> millis{};
    (void)std::snprintf(millis.data(), millis.size(), ".%03d",
                        static_cast<int>(micros / 1000 % 1000));
    return std::string(text.data(), size) + millis.data();
}

// What others said goes to a terminal, perhaps.
std::string in_quotes(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
        out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
    }
    return out + '"';
}

bool is_known(const Identity& by) {
    return by.uid != Identity::unknown_id;
}

// "uid 1000 (pid 4242, "worker")".
std::string who(const HistoryEvent& event) {
    std::string in_brackets;
    if (event.by.pid != Identity::unknown_id) {
        in_brackets = "pid " + std::to_string(event.by.pid);
    }
    if (!event.client.empty()) {
        in_brackets += (in_brackets.empty() ? "" : ", ") + in_quotes(event.client);
    }
    return (is_known(event.by) ? "uid " + std::to_string(event.by.uid) : "a connection over TCP") +
           (in_brackets.empty() ? "" : " (" + in_brackets + ')');
}

MessageId other_id(const HistoryEvent& event) {
    return {event.text, event.incarnation, event.number};
}

std::string other_text(const HistoryEvent& event) {
    return event.number.value() != 0 ? text_of(other_id(event))
                                     : event.text + ':' + std::to_string(event.incarnation.value());
}

// What there is to say besides when and what.
std::string details(const HistoryEvent& event) {
    const std::string handle =
        event.handle.value() == 0 ? "" : ", handle " + std::to_string(event.handle.value());
    const std::string reason = event.text.empty() ? "" : ": " + in_quotes(event.text);
    switch (event.kind) {
        case HistoryKind::published:
            return "by " + who(event) +
                   (event.text.empty() ? "" : ", producer " + in_quotes(event.text));
        case HistoryKind::delivered:
            return "to " + who(event) + handle + ", delivery " + std::to_string(event.attempt);
        case HistoryKind::acked:
        case HistoryKind::given_back:
        case HistoryKind::purged:
        case HistoryKind::restored:
        case HistoryKind::deleted: return "by " + who(event) + handle;
        case HistoryKind::nacked:
        case HistoryKind::rejected: return "by " + who(event) + handle + reason;
        case HistoryKind::lease_expired:
        case HistoryKind::consumer_gone: return "of " + who(event) + handle;
        case HistoryKind::expired: return "its time to live was over";
        case HistoryKind::dropped: return "to make room for younger ones";
        case HistoryKind::moved: return "to " + other_text(event) + " by " + who(event);
        case HistoryKind::dead_lettered: return "to " + other_text(event);
        case HistoryKind::arrived: return "from " + other_text(event) + " by " + who(event);
        case HistoryKind::arrived_dead: return "from " + other_text(event);
    }
    return {};
}

// How its life in this queue begins is told.
bool begins(const HistoryEvent& event) {
    return event.kind == HistoryKind::published || event.kind == HistoryKind::arrived ||
           event.kind == HistoryKind::arrived_dead;
}

bool follows(const HistoryEvent& event) {
    return (event.kind == HistoryKind::moved || event.kind == HistoryKind::dead_lettered) &&
           event.number.value() != 0;
}

// What is known of it in one queue.
struct Life {
    MessageId id;
    MessageHistory history;
    std::optional<PeekedMessage> stored;  // if its beginning is known from the store alone

    [[nodiscard]] bool begun() const {
        return std::any_of(history.events.begin(), history.events.end(), begins);
    }
    // Why there is nothing to tell; empty: there is something.
    [[nodiscard]] std::string nothing() const {
        if (!history.events.empty() || history.state != HistoryState::gone) {
            return {};
        }
        if (id.number >= history.next_number) {
            return "it was not published yet: the next number is " +
                   format_number(history.next_number);
        }
        return history.kept == 0
                   ? "it is not in the queue any more, which keeps no history (queue update " +
                         id.queue + " --history 100000)"
                   : "it is not in the queue any more, and what happened before " +
                         local_time(history.known_from) + " is not known";
    }
    // What is not known of it; empty: nothing.
    [[nodiscard]] std::string gap() const {
        if (begun()) {
            return {};
        }
        return history.kept == 0
                   ? "the queue keeps no history of what happens to its messages"
                   : "what happened before " + local_time(history.known_from) + " is not known";
    }
};

Result<Life> life_of(Client& client, const MessageId& id) {
    auto history = client.message_history(id.queue, id.incarnation, id.number);
    if (!history) {
        return history.error();
    }
    Life life{id, *std::move(history), {}};
    if (life.history.state != HistoryState::gone && !life.begun()) {
        auto page = client.peek(id.queue, id.number, 1);
        if (!page) {
            return page.error();
        }
        if (!page->messages.empty() && page->messages[0].number == id.number) {
            life.stored = std::move(page->messages[0]);
        }
    }
    return life;
}

HistoryEvent stored_beginning(const PeekedMessage& stored) {
    HistoryEvent event;
    event.kind = HistoryKind::published;
    event.at = stored.published;
    event.by = stored.sender;
    return event;
}

std::string state_text(const MessageHistory& history) {
    std::string text = "now " + std::string(name_of(history.state)) + ", " +
                       format_count(history.deliveries) +
                       (history.deliveries == 1 ? " delivery" : " deliveries");
    if (history.first_failed != WallTime()) {
        text += "; failed first " + local_time(history.first_failed) + ", last " +
                local_time(history.last_failed);
        text += history.reason.empty() ? "" : ": " + in_quotes(history.reason);
    }
    return text;
}

std::string line_of(const HistoryEvent& event) {
    std::string name(name_of(event.kind));
    const std::string more = details(event);
    name.resize(std::max<std::size_t>(name.size(), more.empty() ? 0 : 13), ' ');
    return local_time(event.at) + "  " + name + (more.empty() ? "" : "  " + more) + '\n';
}

std::string to_text(const Life& life) {
    std::string text = text_of(life.id) + '\n';
    if (life.stored) {
        text += line_of(stored_beginning(*life.stored));
        if (life.stored->dead_letter) {
            const DeadLetter& dead = *life.stored->dead_letter;
            text += local_time(dead.last_failed) + "  arrived-dead   from " + dead.id() +
                    " after " + std::to_string(dead.attempts) +
                    (dead.attempts == 1 ? " delivery" : " deliveries") +
                    (dead.reason.empty() ? "" : ": " + in_quotes(dead.reason)) + '\n';
        }
    }
    if (const std::string gap = life.gap(); !gap.empty()) {
        text += '(' + gap + ")\n";
    }
    for (const HistoryEvent& event : life.history.events) {
        text += line_of(event);
    }
    if (life.history.state != HistoryState::gone) {
        text += state_text(life.history) + '\n';
    }
    return text;
}

nlohmann::ordered_json json_of(const MessageId& id, const HistoryEvent& event) {
    const auto number = [](std::uint32_t value) {
        return value == Identity::unknown_id ? nlohmann::ordered_json()
                                             : nlohmann::ordered_json(value);
    };
    nlohmann::ordered_json line;
    line["id"] = text_of(id);
    line["event"] = name_of(event.kind);
    line["at"] = format_time(event.at);
    line["by"] = {{"uid", number(event.by.uid)},
                  {"gid", number(event.by.gid)},
                  {"pid", number(event.by.pid)},
                  {"client", event.client}};
    if (event.handle.value() != 0) {
        line["handle"] = event.handle.value();
    }
    if (event.attempt != 0) {
        line["delivery"] = event.attempt;
    }
    if (event.incarnation.value() != 0) {
        line["other"] = other_text(event);
    } else if (!event.text.empty()) {
        line[event.kind == HistoryKind::published ? "producer" : "reason"] = event.text;
    }
    return line;
}

std::string to_json(const Life& life) {
    const auto dump = [](const nlohmann::ordered_json& line) {
        return line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + '\n';
    };
    std::string text;
    if (life.stored) {
        text += dump(json_of(life.id, stored_beginning(*life.stored)));
    }
    for (const HistoryEvent& event : life.history.events) {
        text += dump(json_of(life.id, event));
    }
    nlohmann::ordered_json line;
    line["id"] = text_of(life.id);
    line["state"] = name_of(life.history.state);
    line["deliveries"] = life.history.deliveries;
    if (life.history.first_failed != WallTime()) {
        line["first_failed"] = format_time(life.history.first_failed);
        line["last_failed"] = format_time(life.history.last_failed);
        line["rejected"] = life.history.rejected;
        line["reason"] = life.history.reason;
    }
    line["history"] = life.history.kept;
    line["known_from"] = format_time(life.history.known_from);
    line["complete"] = life.begun();
    line["next_number"] = format_number(life.history.next_number);
    return text + dump(line);
}

}  // namespace

ExitCode why(Session& session) {
    const bool json = session.line().global.output == "json";
    std::vector<MessageId> seen;
    std::optional<MessageId> next = session.line().message_ids.front();
    std::string out;
    while (next && seen.size() < queues_followed_max) {
        const auto life = life_of(session.client(), *next);
        if (!life && seen.empty()) {
            return session.fail("looking for " + text_of(*next), life.error());
        }
        if (!life) {
            session.talk().note("it went to " + text_of(*next) + ": " + life.error().text);
            break;
        }
        if (const std::string nothing = life->nothing(); !nothing.empty() && seen.empty()) {
            session.talk().complain(text_of(*next) + ": " + nothing);
            return ExitCode::empty;
        }
        out += json ? to_json(*life) : to_text(*life);
        if (const std::string nothing = life->nothing(); !nothing.empty() && !json) {
            out += '(' + nothing + ")\n";
        }
        seen.push_back(*next);
        next.reset();
        const auto& events = life->history.events;
        const auto went = std::find_if(events.rbegin(), events.rend(), follows);
        if (went != events.rend() &&
            std::find(seen.begin(), seen.end(), other_id(*went)) == seen.end()) {
            next = other_id(*went);
        }
    }
    return session.print(std::move(out));
}

}  // namespace mqd::mqctl
