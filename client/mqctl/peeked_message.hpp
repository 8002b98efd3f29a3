#pragma once

// A message that was looked at, as mqctl shows it.

#include <string_view>

#include "client/mqctl/message_json.hpp"
#include "mqd/client.hpp"

namespace mqd::mqctl {

// Views into the message and the name; with its state.
[[nodiscard]] ShownMessage shown(std::string_view queue, QueueId incarnation,
                                 const PeekedMessage& message);

}  // namespace mqd::mqctl
