#pragma once

// What can be said of an undo behind a purge or a deletion.

#include <string>

#include "client/mqctl/session.hpp"

namespace mqd::mqctl {

// "; `mqctl queue undo orders` puts them back within 10m", if the queue keeps any messages for
// that; else nothing.
[[nodiscard]] std::string undo_hint(Session& session, const std::string& queue);

}  // namespace mqd::mqctl
