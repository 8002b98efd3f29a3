#include "daemon/core/queue_options.hpp"

#include <algorithm>
#include <array>

#include "daemon/storage/planted_fault.hpp"
#include "mqd/wire/batch.hpp"
#include "mqd/wire/message_history.hpp"

namespace mqd::core {

namespace {

constexpr std::uint32_t lease_ms_max = 24 * 3600 * 1000;

Result<void> check_times(const wire::QueueOptions& options) {
    const auto check = [](const std::optional<std::uint64_t>& said,
                          std::chrono::milliseconds longest,
                          std::string_view name) -> Result<void> {
        const auto limit = static_cast<std::uint64_t>(longest.count());
        if (said.value_or(0) > limit) {
            return Error{ErrorCode::bad_option, std::string(name) + " is more than ten years",
                         limit};
        }
        return {};
    };
    for (const auto& checked :
         {check(options.ttl_ms, wire::ttl_max, "ttl"),
          check(options.expire_idle_ms, wire::expire_idle_max, "expire_idle"),
          check(options.history_time_ms, wire::history_time_max, "history_time"),
          check(options.undo_time_ms, wire::undo_time_max, "undo_time"),
          check(options.dedup_window_ms, wire::dedup_window_max, "dedup_window")}) {
        if (!checked) {
            return checked;
        }
    }
    return {};
}

}  // namespace

wire::QueueOptions options_of(const engine::QueueDefinition& definition,
                              const engine::QueueDefinition* otherwise) {
    wire::QueueOptions options;
    const auto say = [&](auto& option, auto member) {
        if (otherwise == nullptr || definition.*member != otherwise->*member) {
            option = definition.*member;
        }
    };
    using Definition = engine::QueueDefinition;
    say(options.max_attempts, &Definition::max_attempts);
    say(options.dead_letter, &Definition::dead_letter);
    say(options.max_messages, &Definition::max_messages);
    say(options.max_bytes, &Definition::max_bytes);
    say(options.on_full, &Definition::on_full);
    say(options.retry, &Definition::retry);
    say(options.priorities, &Definition::priorities);
    say(options.group_in_flight, &Definition::group_in_flight);
    say(options.group_rate, &Definition::group_rate);
    say(options.on_expired, &Definition::on_expired);
    say(options.history, &Definition::history);
    say(options.dedup_count, &Definition::dedup_count);
    if (otherwise == nullptr || definition.dedup_window != otherwise->dedup_window) {
        options.dedup_window_ms = static_cast<std::uint64_t>(definition.dedup_window.count());
    }
    if (otherwise == nullptr || definition.ttl != otherwise->ttl) {
        options.ttl_ms = static_cast<std::uint64_t>(definition.ttl.count());
    }
    if (otherwise == nullptr || definition.expire_idle != otherwise->expire_idle) {
        options.expire_idle_ms = static_cast<std::uint64_t>(definition.expire_idle.count());
    }
    if (otherwise == nullptr || definition.history_time != otherwise->history_time) {
        options.history_time_ms = static_cast<std::uint64_t>(definition.history_time.count());
    }
    if (otherwise == nullptr || definition.undo_time != otherwise->undo_time) {
        options.undo_time_ms = static_cast<std::uint64_t>(definition.undo_time.count());
    }
    if (otherwise == nullptr || definition.temporary != otherwise->temporary) {
        options.temporary = static_cast<std::uint8_t>(definition.temporary);
    }
    if (otherwise == nullptr || definition.publishing_paused != otherwise->publishing_paused ||
        definition.consuming_paused != otherwise->consuming_paused) {
        options.paused =
            wire::Paused{definition.publishing_paused, definition.consuming_paused}.bits();
    }
    return options;
}

std::string differing_options(const engine::QueueDefinition& one,
                              const engine::QueueDefinition& other) {
    struct Name {
        wire::QueueOptionId id;
        std::string_view name;
    };
    using Id = wire::QueueOptionId;
    constexpr std::array names{Name{Id::durability, "durability"},
                               Name{Id::lease_ms, "lease"},
                               Name{Id::max_attempts, "max_attempts"},
                               Name{Id::dead_letter, "dead_letter"},
                               Name{Id::max_messages, "max_messages"},
                               Name{Id::max_bytes, "max_bytes"},
                               Name{Id::on_full, "on_full"},
                               Name{Id::retry, "retry"},
                               Name{Id::paused, "paused"},
                               Name{Id::priorities, "priorities"},
                               Name{Id::ttl, "ttl"},
                               Name{Id::on_expired, "on_expired"},
                               Name{Id::expire_idle, "expire_idle"},
                               Name{Id::temporary, "temporary"},
                               Name{Id::group_in_flight, "group_in_flight"},
                               Name{Id::group_rate, "group_rate"},
                               Name{Id::dedup_window, "dedup_window"},
                               Name{Id::dedup_count, "dedup_count"},
                               Name{Id::history, "history"},
                               Name{Id::history_time, "history_time"},
                               Name{Id::undo_time, "undo_time"}};
    wire::QueueOptions differing = options_of(one, &other);
    if (one.durability != other.durability) {
        differing.durability = one.durability;
    }
    if (one.lease != other.lease) {
        differing.lease_ms = 0;
    }
    std::string text;
    wire::QueueOptions::for_each(differing, [&](Id id, const auto& option) {
        if (option) {
            const auto at = std::find_if(names.begin(), names.end(),
                                         [&](const Name& name) { return name.id == id; });
            text += text.empty() ? " (" : ", ";
            text += at != names.end() ? std::string(at->name)
                                      : "option " + std::to_string(static_cast<unsigned>(id));
        }
    });
    return text.empty() ? text : text + ')';
}

void set_options(engine::QueueDefinition& definition, const wire::QueueOptions& options) {
    const auto set = [](auto& value, const auto& option) {
        if (option) {
            value = *option;
        }
    };
    set(definition.durability, options.durability);
    if (options.lease_ms) {
        definition.lease = std::chrono::milliseconds(*options.lease_ms);
    }
    set(definition.max_attempts, options.max_attempts);
    set(definition.dead_letter, options.dead_letter);
    set(definition.max_messages, options.max_messages);
    set(definition.max_bytes, options.max_bytes);
    set(definition.on_full, options.on_full);
    set(definition.retry, options.retry);
    set(definition.priorities, options.priorities);
    set(definition.group_in_flight, options.group_in_flight);
    // Of nothing, the seconds say nothing.
    if (options.group_rate && !storage::planted(storage::Fault::ignored_rate)) {
        definition.group_rate = options.group_rate->limits() ? *options.group_rate : Rate();
    }
    set(definition.on_expired, options.on_expired);
    set(definition.history, options.history);
    set(definition.dedup_count, options.dedup_count);
    if (options.dedup_window_ms) {
        definition.dedup_window = std::chrono::milliseconds(*options.dedup_window_ms);
    }
    if (options.ttl_ms) {
        definition.ttl = std::chrono::milliseconds(*options.ttl_ms);
    }
    if (options.expire_idle_ms) {
        definition.expire_idle = std::chrono::milliseconds(*options.expire_idle_ms);
    }
    if (options.history_time_ms) {
        definition.history_time = std::chrono::milliseconds(*options.history_time_ms);
    }
    if (options.undo_time_ms) {
        definition.undo_time = std::chrono::milliseconds(*options.undo_time_ms);
    }
    if (options.temporary) {
        definition.temporary = *options.temporary != 0;
    }
    if (const auto paused = wire::Paused::from_bits(options.paused.value_or(0))) {
        set(definition.publishing_paused, paused->publishing);
        set(definition.consuming_paused, paused->consuming);
    }
}

Result<void> check_options(std::string_view queue, const wire::QueueOptions& options) {
    if (options.unknown_id) {
        return Error{ErrorCode::bad_option, "queue option " + std::to_string(*options.unknown_id) +
                                                " is not known to this daemon"};
    }
    if (auto times = check_times(options); !times) {
        return times;
    }
    if (options.durability > Durability::disk) {
        return Error{ErrorCode::bad_option, "durability: 1 memory, 2 written, 3 disk"};
    }
    if (options.lease_ms > lease_ms_max) {
        return Error{ErrorCode::bad_option, "lease_ms is more than a day", lease_ms_max};
    }
    if (options.on_full > OnFull::wait) {
        return Error{ErrorCode::bad_option,
                     "on_full: 1 reject, 2 drop-oldest, 3 dead-letter, 4 wait"};
    }
    if (options.priorities > 1) {
        return Error{ErrorCode::bad_option, "priorities: 0 no, 1 yes"};
    }
    if (options.on_expired > OnExpired::dead_letter) {
        return Error{ErrorCode::bad_option, "on_expired: 1 drop, 2 dead_letter"};
    }
    if (!wire::Paused::from_bits(options.paused.value_or(0))) {
        return Error{ErrorCode::bad_option,
                     "paused: bits 0 publishing and 1 consuming, where bits 4 and 5 mean them"};
    }
    if (options.group_in_flight == 0u || options.group_in_flight > wire::group_in_flight_max) {
        return Error{ErrorCode::bad_option, "group_in_flight: 1 to 65536",
                     wire::group_in_flight_max};
    }
    if (options.group_rate && !wire::valid_group_rate(*options.group_rate)) {
        return Error{ErrorCode::bad_option,
                     "group_rate: at most 1000000 messages in 1, 60, 3600 or 86400 seconds",
                     wire::group_rate_count_max};
    }
    if (options.history > wire::history_max) {
        return Error{ErrorCode::bad_option, "history is at most 1000000 events", wire::history_max};
    }
    if (options.dedup_count == 0u || options.dedup_count > wire::dedup_count_max) {
        return Error{ErrorCode::bad_option, "dedup_count: 1 to 16777216", wire::dedup_count_max};
    }
    if (options.temporary > 1) {
        return Error{ErrorCode::bad_option, "temporary: 0 or 1"};
    }
    if (options.retry) {
        if (options.retry->size() > wire::retry_delays_max) {
            return Error{ErrorCode::bad_option, "retry has more than 32 delays",
                         wire::retry_delays_max};
        }
        if (std::any_of(options.retry->begin(), options.retry->end(),
                        [](auto delay) { return delay > wire::retry_delay_max; })) {
            return Error{ErrorCode::bad_option, "a delay of retry is more than 30 days",
                         static_cast<std::uint64_t>(wire::retry_delay_max.count())};
        }
    }
    if (options.dead_letter && !options.dead_letter->empty()) {
        if (!wire::valid_queue_name(*options.dead_letter)) {
            return Error{ErrorCode::bad_option,
                         "dead_letter \"" + std::string(options.dead_letter->substr(0, 200)) +
                             "\" is not the name of a queue"};
        }
        if (*options.dead_letter == queue) {
            return Error{ErrorCode::bad_option, "dead_letter names the queue itself"};
        }
    }
    return {};
}

Result<void> check_definition(const engine::QueueDefinition& definition) {
    if (engine::counts_messages_only(definition.on_full) && definition.max_bytes != 0) {
        const bool drops = definition.on_full == OnFull::drop_oldest;
        return Error{ErrorCode::bad_option,
                     std::string(drops ? "on_full drop-oldest" : "on_full dead-letter") +
                         " goes with max_messages, and not with max_bytes"};
    }
    if (definition.max_messages == engine::rendezvous &&
        (definition.on_full != OnFull::wait || definition.durability != Durability::memory)) {
        return Error{ErrorCode::bad_option,
                     "a rendezvous queue has on_full wait, and is kept in memory"};
    }
    if (definition.on_full == OnFull::wait && definition.dedup_window.count() != 0) {
        return Error{ErrorCode::bad_option, "on_full wait does not go with a dedup_window"};
    }
    if (definition.temporary && definition.durability != Durability::memory) {
        return Error{ErrorCode::bad_option, "a temporary queue is kept in memory"};
    }
    return {};
}

}  // namespace mqd::core
