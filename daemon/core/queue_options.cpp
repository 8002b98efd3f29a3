#include "daemon/core/queue_options.hpp"

namespace mqd::core {

namespace {

constexpr std::uint32_t lease_ms_max = 24 * 3600 * 1000;

}  // namespace

wire::QueueOptions options_of(const engine::QueueDefinition& definition) {
    wire::QueueOptions options;
    options.max_attempts = definition.max_attempts;
    options.dead_letter = definition.dead_letter;
    options.max_messages = definition.max_messages;
    options.max_bytes = definition.max_bytes;
    options.on_full = definition.on_full;
    return options;
}

void set_options(engine::QueueDefinition& definition, const wire::QueueOptions& options) {
    if (options.durability != Durability::unspecified) {
        definition.durability = options.durability;
    }
    if (options.lease_ms != 0) {
        definition.lease = std::chrono::milliseconds(options.lease_ms);
    }
    definition.max_attempts = options.max_attempts.value_or(definition.max_attempts);
    if (options.dead_letter) {
        definition.dead_letter = *options.dead_letter;
    }
    definition.max_messages = options.max_messages.value_or(definition.max_messages);
    definition.max_bytes = options.max_bytes.value_or(definition.max_bytes);
    if (options.on_full != OnFull::unspecified) {
        definition.on_full = options.on_full;
    }
}

Result<void> check_options(std::string_view queue, const wire::QueueOptions& options) {
    if (options.unknown_id) {
        return Error{ErrorCode::bad_option, "queue option " + std::to_string(*options.unknown_id) +
                                                " is not known to this daemon"};
    }
    if (options.durability > Durability::disk) {
        return Error{ErrorCode::bad_option, "durability: 1 memory, 2 written, 3 disk"};
    }
    if (options.lease_ms > lease_ms_max) {
        return Error{ErrorCode::bad_option, "lease_ms is more than a day", lease_ms_max};
    }
    if (options.on_full > OnFull::drop_oldest) {
        return Error{ErrorCode::bad_option, "on_full: 1 reject, 2 drop-oldest"};
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
    if (definition.on_full == OnFull::drop_oldest && definition.max_bytes != 0) {
        return Error{ErrorCode::bad_option,
                     "on_full drop-oldest goes with max_messages, and not with max_bytes"};
    }
    return {};
}

}  // namespace mqd::core
