#include "client/mqctl/option_value.hpp"

#include <algorithm>
#include <charconv>

#include "client/mqctl/units.hpp"
#include "daemon/config/units.hpp"
#include "mqd/wire/batch.hpp"
#include "mqd/wire/message_history.hpp"

namespace mqd::mqctl {
namespace {

std::optional<std::uint64_t> whole_number(std::string_view text) {
    std::uint64_t value = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool whole = parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
    return whole ? std::optional(value) : std::nullopt;
}

// A limit, 0 being none.
std::uint64_t limit(const CLI::Option* option, std::uint64_t max) {
    const auto text = option->as<std::string>();
    const auto value = whole_number(text);
    if (!value || *value > max) {
        throw Mistake{option->get_name() + ": \"" + text +
                      "\" is not a number from 0 (no limit) on"};
    }
    return *value;
}

// "1s,10s,1m"; empty or "none": none.
std::vector<std::chrono::milliseconds> delays(const CLI::Option* option) {
    std::vector<std::chrono::milliseconds> list;
    std::string rest = option->as<std::string>();
    if (rest.empty() || rest == "none") {
        return list;
    }
    for (bool more = true; more;) {
        const std::size_t comma = rest.find(',');
        const auto delay = parse_duration(rest.substr(0, comma));
        if (!delay) {
            throw Mistake{option->get_name() + ": " + delay.error().text};
        }
        list.push_back(std::chrono::ceil<std::chrono::milliseconds>(*delay));
        more = comma != std::string::npos;
        rest.erase(0, more ? comma + 1 : 0);
    }
    return list;
}

}  // namespace

CLI::Option* add_value(CLI::App& app, const std::string& name, const std::string& type,
                       const std::string& description) {
    return app.add_option(name)->type_name(type)->description(description);
}

// A path; empty for "-" as well, which is the standard stream.
std::string file(const CLI::Option* option) {
    if (!given(option)) {
        return {};
    }
    auto path = option->as<std::string>();
    if (path.empty()) {
        throw Mistake{option->get_name() + ": a file has a name"};
    }
    return path == "-" ? std::string() : path;
}

std::chrono::milliseconds duration(const CLI::Option* option, std::chrono::milliseconds absent) {
    if (!given(option)) {
        return absent;
    }
    const auto parsed = parse_duration(option->as<std::string>());
    if (!parsed) {
        throw Mistake{option->get_name() + ": " + parsed.error().text};
    }
    return std::chrono::ceil<std::chrono::milliseconds>(*parsed);
}

Durability durability(const CLI::Option* option, Durability absent) {
    if (!given(option)) {
        return absent;
    }
    const auto parsed = parse_durability(option->as<std::string>());
    if (!parsed) {
        throw Mistake{option->get_name() + ": " + parsed.error().text};
    }
    return *parsed;
}

std::uint64_t number(const CLI::Option* option, std::uint64_t absent) {
    if (!given(option)) {
        return absent;
    }
    const auto text = option->as<std::string>();
    const auto value = whole_number(text);
    if (!value || *value == 0) {
        throw Mistake{option->get_name() + ": \"" + text + "\" is not a number from 1 on"};
    }
    return *value;
}

Rate rate(const CLI::Option* option) {
    const auto parsed = parse_rate(option->as<std::string>());
    if (!parsed) {
        throw Mistake{option->get_name() + ": " + parsed.error().text};
    }
    return *parsed;
}

MessageNumber message_number(const CLI::Option* option, MessageNumber absent) {
    if (!given(option)) {
        return absent;
    }
    const auto text = option->as<std::string>();
    const auto number = parse_number(text);
    if (!number || number->value() == 0) {
        throw Mistake{option->get_name() + ": \"" + text +
                      "\" is not the number of a message, as in 1842 or 5.1842"};
    }
    return *number;
}

MessageOptions message_options(const CLI::Option* delay, const CLI::Option* due,
                               const CLI::Option* priority, const CLI::Option* ttl) {
    if (given(delay) && given(due)) {
        throw Mistake{"--delay and --due exclude each other"};
    }
    MessageOptions options;
    options.delay = duration(delay, options.delay);
    if (options.delay > wire::delay_max) {
        throw Mistake{"--delay: a message is delayed by ten years at most"};
    }
    if (given(due)) {
        const auto time = parse_time(due->as<std::string>());
        if (!time) {
            throw Mistake{"--due: " + time.error().text};
        }
        options.due = *time;
    }
    if (given(priority)) {
        const auto text = priority->as<std::string>();
        const auto value = whole_number(text);
        if (!value || *value > priority_max) {
            throw Mistake{"--priority: \"" + text + "\" is not a number from 0 to 9"};
        }
        options.priority = static_cast<unsigned>(*value);
    }
    options.ttl = duration(ttl, options.ttl);
    if (given(ttl) && (options.ttl.count() == 0 || options.ttl > wire::ttl_max)) {
        throw Mistake{"--ttl: a message lives from 1ms to ten years"};
    }
    return options;
}

std::vector<MessageId> message_ids(const std::vector<std::string>& operands) {
    std::vector<MessageId> ids;
    for (const std::string& text : operands) {
        const std::size_t first = std::min(text.find(':'), text.size());
        const std::size_t second = std::min(text.find(':', first + 1), text.size());
        const auto part = [&](std::size_t from, std::size_t to) {
            return whole_number(std::string_view(text).substr(std::min(from, text.size()),
                                                              to - std::min(from, to)));
        };
        const auto incarnation = part(first + 1, second);
        const auto number =
            parse_number(std::string_view(text).substr(std::min(second + 1, text.size())));
        if (!wire::valid_queue_name(text.substr(0, first)) || incarnation.value_or(0) == 0 ||
            *incarnation > UINT32_MAX || number.value_or(MessageNumber()).value() == 0) {
            throw Mistake{'"' + text + "\" is not the id of a message, as in orders:3:1842"};
        }
        const MessageId id{text.substr(0, first), QueueId(static_cast<std::uint32_t>(*incarnation)),
                           *number};
        if (std::find(ids.begin(), ids.end(), id) == ids.end()) {
            ids.push_back(id);
        }
    }
    return ids;
}

void QueueOptionValues::add_to(CLI::App& app) {
    lease_ = add_value(app, "--lease", "DURATION", "How long a worker may hang (30s)");
    max_attempts_ = add_value(app, "--max-attempts", "N",
                              "Deliveries before a message is a dead letter (16; 0: no limit)");
    dead_letter_ =
        add_value(app, "--dead-letter", "QUEUE", "Where dead letters go (\"\": QUEUE.dead)");
    max_messages_ =
        add_value(app, "--max-messages", "N", "How many messages may be in it (0: no limit)");
    max_bytes_ = add_value(app, "--max-bytes", "SIZE", "How much may be in it (0: no limit)");
    on_full_ = add_value(app, "--on-full", "WHAT",
                         "When it is full: reject, drop-oldest, dead-letter or wait");
    retry_ = add_value(app, "--retry", "DURATIONS",
                       "How long a message that failed waits: 1s,10s,1m, or none");
    group_in_flight_ =
        add_value(app, "--group-in-flight", "N", "How many messages of one group at a time (1)");
    group_rate_ = add_value(app, "--group-rate", "RATE",
                            "Messages of one group not faster than that: 10/s, or none");
    ttl_ = add_value(app, "--ttl", "DURATION", "How long a message waits at most, or none");
    on_expired_ =
        add_value(app, "--on-expired", "WHAT", "What becomes of it then: drop or dead-letter");
    expire_idle_ = add_value(app, "--expire-idle", "DURATION",
                             "Delete it once it was empty and unused for so long (0: never)");
    history_ = add_value(app, "--history", "N",
                         "How many events of its messages are kept for `mqctl why` (0: none)");
    history_time_ =
        add_value(app, "--history-time", "DURATION", "How long they are kept, or none (1d)");
    undo_time_ =
        add_value(app, "--undo-time", "DURATION",
                  "How long `mqctl queue undo` can put back what is purged, or none (10m)");
    dedup_window_ = add_value(app, "--dedup-window", "DURATION",
                              "Take no message with the same id again for so long, or none");
    dedup_count_ =
        add_value(app, "--dedup-count", "N", "How many ids are remembered at most (1000000)");
}

bool QueueOptionValues::any() const {
    return given(lease_) || given(max_attempts_) || given(dead_letter_) || given(max_messages_) ||
           given(max_bytes_) || given(on_full_) || given(retry_) || given(group_in_flight_) ||
           given(group_rate_) || given(ttl_) || given(on_expired_) || given(expire_idle_) ||
           given(history_) || given(history_time_) || given(undo_time_) || given(dedup_window_) ||
           given(dedup_count_);
}

void QueueOptionValues::read(QueueOptions& into) const {
    into.lease = duration(lease_, into.lease);
    if (given(max_attempts_)) {
        into.max_attempts = static_cast<std::uint32_t>(limit(max_attempts_, UINT32_MAX));
    }
    if (given(dead_letter_)) {
        into.dead_letter = dead_letter_->as<std::string>();
    }
    if (given(max_messages_)) {
        const bool rendezvous = max_messages_->as<std::string>() == "rendezvous";
        into.max_messages = rendezvous ? QueueOptions::rendezvous
                                       : limit(max_messages_, QueueOptions::rendezvous - 1);
    }
    if (given(max_bytes_)) {
        const auto bytes = parse_bytes(max_bytes_->as<std::string>());
        if (!bytes) {
            throw Mistake{max_bytes_->get_name() + ": " + bytes.error().text};
        }
        into.max_bytes = *bytes;
    }
    if (given(on_full_)) {
        const auto text = on_full_->as<std::string>();
        const auto what = parse_on_full(text);
        if (!what) {
            throw Mistake{"--on-full: \"" + text + "\" is none of " + std::string(on_full_names)};
        }
        into.on_full = *what;
    }
    if (given(retry_)) {
        into.retry = delays(retry_);
    }
    read_groups(into);
    if (given(ttl_)) {
        const bool none = ttl_->as<std::string>() == "none";
        into.ttl = none ? std::chrono::milliseconds(0) : duration(ttl_, {});
        if (into.ttl > wire::ttl_max) {
            throw Mistake{"--ttl: a message lives ten years at most"};
        }
    }
    if (given(on_expired_)) {
        const auto text = on_expired_->as<std::string>();
        if (text != "drop" && text != "dead-letter" && text != "dead_letter") {
            throw Mistake{"--on-expired: \"" + text + "\" is neither drop nor dead-letter"};
        }
        into.on_expired = text == "drop" ? OnExpired::drop : OnExpired::dead_letter;
    }
    if (given(expire_idle_)) {
        into.expire_idle = duration(expire_idle_, {});
        if (*into.expire_idle > wire::expire_idle_max) {
            throw Mistake{"--expire-idle: ten years at most"};
        }
    }
    if (given(history_)) {
        into.history = static_cast<std::uint32_t>(limit(history_, wire::history_max));
    }
    if (given(history_time_)) {
        const bool none = history_time_->as<std::string>() == "none";
        into.history_time = none ? std::chrono::milliseconds(0) : duration(history_time_, {});
        if (*into.history_time > wire::history_time_max) {
            throw Mistake{"--history-time: ten years at most"};
        }
    }
    if (given(undo_time_)) {
        const bool none = undo_time_->as<std::string>() == "none";
        into.undo_time = none ? std::chrono::milliseconds(0) : duration(undo_time_, {});
        if (*into.undo_time > wire::undo_time_max) {
            throw Mistake{"--undo-time: ten years at most"};
        }
    }
    read_dedup(into);
}

void QueueOptionValues::read_groups(QueueOptions& into) const {
    if (given(group_in_flight_)) {
        const std::uint64_t count = number(group_in_flight_, 1);
        if (count > wire::group_in_flight_max) {
            throw Mistake{"--group-in-flight: at most 65536"};
        }
        into.group_in_flight = static_cast<std::uint32_t>(count);
    }
    if (given(group_rate_)) {
        const bool none = group_rate_->as<std::string>() == "none";
        into.group_rate = none ? Rate() : rate(group_rate_);
        if (into.group_rate->count > wire::group_rate_count_max) {
            throw Mistake{"--group-rate: at most 1000000 in any time"};
        }
    }
}

void QueueOptionValues::read_dedup(QueueOptions& into) const {
    if (given(dedup_window_)) {
        const bool none = dedup_window_->as<std::string>() == "none";
        into.dedup_window = none ? std::chrono::milliseconds(0) : duration(dedup_window_, {});
        if (*into.dedup_window > wire::dedup_window_max) {
            throw Mistake{"--dedup-window: ten years at most"};
        }
    }
    if (given(dedup_count_)) {
        const std::uint64_t count = number(dedup_count_, 1);
        if (count > wire::dedup_count_max) {
            throw Mistake{"--dedup-count: at most 16777216"};
        }
        into.dedup_count = static_cast<std::uint32_t>(count);
    }
}

}  // namespace mqd::mqctl
