#pragma once

// A filter as it travels.

#include <optional>

#include "mqd/queue.hpp"
#include "mqd/result.hpp"

namespace mqd::client {

// Nothing: it lets everything through, and a daemon of an earlier release is told nothing that it
// does not know. The frame views `filter`. Errors: bad_option.
[[nodiscard]] Result<std::optional<wire::PeekFilter>> to_wire(const MessageFilter& filter);

}  // namespace mqd::client
