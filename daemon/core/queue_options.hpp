#pragma once

// The options of a queue between the wire, the records and the engine. Pure functions.

#include <string>

#include "daemon/engine/queue_definition.hpp"
#include "mqd/result.hpp"
#include "mqd/wire/admin.hpp"

namespace mqd::core {

// All but durability and lease, which have fields of their own; with `otherwise` only those that it
// has otherwise. It views the definition.
[[nodiscard]] wire::QueueOptions options_of(const engine::QueueDefinition& definition,
                                            const engine::QueueDefinition* otherwise = nullptr);
// The definition with what is there of the options.
void set_options(engine::QueueDefinition& definition, const wire::QueueOptions& options);
// " (lease, max_messages)": the names of those options that are not the same; empty: all are.
[[nodiscard]] std::string differing_options(const engine::QueueDefinition& one,
                                            const engine::QueueDefinition& other);
// What is wrong with the options for a queue of that name: bad_option.
[[nodiscard]] Result<void> check_options(std::string_view queue, const wire::QueueOptions& options);

// What contradicts itself in the definition: bad_option.
[[nodiscard]] Result<void> check_definition(const engine::QueueDefinition& definition);

}  // namespace mqd::core
