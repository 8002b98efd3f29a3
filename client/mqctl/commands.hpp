#pragma once

// The commands of mqctl that need a daemon. Each expects a connected session, reports for itself,
// and returns how the program ends.

#include "client/mqctl/exit_code.hpp"
#include "client/mqctl/session.hpp"

namespace mqd::mqctl {

[[nodiscard]] ExitCode publish(Session& session);          // publish.cpp; `import` as well
[[nodiscard]] ExitCode consume(Session& session);          // consume.cpp; with --exec: execute()
[[nodiscard]] ExitCode execute(Session& session);          // execute.cpp
[[nodiscard]] ExitCode peek(Session& session);             // peek.cpp
[[nodiscard]] ExitCode export_messages(Session& session);  // export.cpp
[[nodiscard]] ExitCode backup(Session& session);           // backup.cpp
[[nodiscard]] ExitCode delete_messages(Session& session);  // delete_messages.cpp
[[nodiscard]] ExitCode why(Session& session);              // why.cpp
[[nodiscard]] ExitCode move_messages(Session& session);    // move.cpp
[[nodiscard]] ExitCode queue_purge(Session& session);      // purge.cpp
[[nodiscard]] ExitCode queue_undo(Session& session);       // undo.cpp

// queue_commands.cpp
[[nodiscard]] ExitCode queue_list(Session& session);
[[nodiscard]] ExitCode queue_show(Session& session);
[[nodiscard]] ExitCode queue_create(Session& session);
[[nodiscard]] ExitCode queue_update(Session& session);
[[nodiscard]] ExitCode queue_pause(Session& session);
[[nodiscard]] ExitCode queue_resume(Session& session);
[[nodiscard]] ExitCode queue_delete(Session& session);

[[nodiscard]] ExitCode queue_apply(Session& session);  // queue_apply.cpp

// dead_commands.cpp
[[nodiscard]] ExitCode dead_list(Session& session);
[[nodiscard]] ExitCode dead_purge(Session& session);
[[nodiscard]] ExitCode dead_retry(Session& session);

// status.cpp
[[nodiscard]] ExitCode status(Session& session);
[[nodiscard]] ExitCode ping(Session& session);

}  // namespace mqd::mqctl
