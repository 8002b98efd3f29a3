#pragma once

// What `consume --single` says of its turn, on standard error.

#include "client/mqctl/session.hpp"
#include "mqd/client.hpp"

namespace mqd::mqctl {

// Whether it waits or is active, and, if it waits, when that has an end. Nothing for consumers that
// are not single_active. The session outlives the consumer.
void tell_turn(const Session& session, Consumer& consumer);

}  // namespace mqd::mqctl
