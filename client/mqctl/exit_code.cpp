#include "client/mqctl/exit_code.hpp"

#include <csignal>

namespace mqd::mqctl {

ExitCode exit_code(ErrorCode code) {
    switch (code) {
        case ErrorCode::no_such_queue:
        case ErrorCode::queue_deleted: return ExitCode::not_found;
        case ErrorCode::not_permitted: return ExitCode::not_permitted;
        case ErrorCode::too_many_handles:
        case ErrorCode::too_many_queues:
        case ErrorCode::message_too_big:
        case ErrorCode::memory_full:
        case ErrorCode::journal_full:
        case ErrorCode::disk_full:
        case ErrorCode::resume_needed:
        case ErrorCode::queue_full:
        case ErrorCode::queue_paused:
        case ErrorCode::backup_running:
        case ErrorCode::queue_exclusive:
        case ErrorCode::producer_fenced:
        case ErrorCode::frame_too_big:
        case ErrorCode::credit_exceeded:
        case ErrorCode::too_many_connections: return ExitCode::refused;
        case ErrorCode::bad_name:
        case ErrorCode::bad_option:
        case ErrorCode::durability_unavailable:
        case ErrorCode::bad_url:
        case ErrorCode::bad_config: return ExitCode::usage;
        case ErrorCode::connect_failed:
        case ErrorCode::disconnected:
        case ErrorCode::stopping: return ExitCode::cannot_connect;
        case ErrorCode::timeout: return ExitCode::empty;
        case ErrorCode::outcome_unknown: return ExitCode::partly;
        case ErrorCode::damaged: return ExitCode::damaged;
        case ErrorCode::unknown_frame:
        case ErrorCode::queue_exists:
        case ErrorCode::unknown_attribute:
        case ErrorCode::no_such_handle:
        case ErrorCode::handle_in_use:
        case ErrorCode::not_leased:
        case ErrorCode::protocol_violation:
        case ErrorCode::unsupported_version:
        case ErrorCode::hello_timeout:
        case ErrorCode::heartbeat_timeout:
        case ErrorCode::output_overflow:
        case ErrorCode::no_backup:
        case ErrorCode::backup_failed:
        case ErrorCode::io_error:
        case ErrorCode::locked:
        case ErrorCode::no_space:
        case ErrorCode::usage: return ExitCode::failed;
    }
    return ExitCode::failed;  // a code of a later daemon
}

ExitCode exit_code_of_signal(int signal) {
    return signal == SIGINT ? ExitCode::interrupted : ExitCode::terminated;
}

}  // namespace mqd::mqctl
