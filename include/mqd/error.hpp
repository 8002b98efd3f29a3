#pragma once

// Every failure that a caller could act on, by one code. The codes from 1 to 999 travel in ERROR
// and REFUSE frames (docs/protocol.md, "Errors"); those from 1000 on arise in a process and never
// travel. A code exists only where some caller would act differently on it.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace mqd {

enum class ErrorCode : std::uint16_t {
    // The connection goes on.
    unknown_frame = 1,  // a frame type this daemon does not know; skipped
    no_such_queue = 2,
    queue_exists = 3,       // with other options than those asked for
    bad_name = 4,           // a queue name with illegal characters or of illegal length
    bad_option = 5,         // an option that is unknown, malformed or contradicts another
    unknown_attribute = 6,  // a critical attribute this daemon does not know
    no_such_handle = 7,
    handle_in_use = 8,
    too_many_handles = 9,
    too_many_queues = 10,
    message_too_big = 11,         // beyond the configured limit; `limit` says which
    memory_full = 12,             // refused by the memory limit; retry later
    journal_full = 13,            // refused by the journal's size; retry when messages were acked
    disk_full = 14,               // the file system has no room; acks and deliveries go on
    resume_needed = 15,           // an earlier frame of this handle was refused; send RESUME
    durability_unavailable = 16,  // asked for more than the queue gives
    queue_deleted = 17,           // the queue of this handle was deleted; close the handle
    stopping = 18,                // the daemon is shutting down
    not_permitted = 19,
    queue_full = 20,       // the queue has reached its own limit of messages or bytes
    backup_running = 21,   // one is being taken already: there is one at a time
    no_backup = 22,        // a part was asked for, and none is being taken, or not any more
    backup_failed = 23,    // the store could not be copied; the text says why
    queue_paused = 24,     // publishing to the queue is paused, until somebody resumes it
    queue_exclusive = 25,  // other consumers have the queue, and do not share it so; the text says
    not_leased = 27,       // of a transaction: it settles what its consumer does not hold
    producer_fenced = 26,  // the name of this producer was opened again: that handle has it now
    // The connection is closed after the frame.
    protocol_violation = 100,  // malformed frame or a frame out of place
    unsupported_version = 101,
    frame_too_big = 102,
    credit_exceeded = 103,
    hello_timeout = 104,
    heartbeat_timeout = 105,
    too_many_connections = 106,
    output_overflow = 107,  // the client did not read what it asked for

    // In this process only.
    io_error = 1000,  // errno-like failure of a file or socket
    connect_failed = 1001,
    disconnected = 1002,     // the connection broke or the daemon closed it
    outcome_unknown = 1003,  // published, and no answer: the connection broke, or it takes too long
    timeout = 1004,
    bad_url = 1005,
    bad_config = 1006,
    locked = 1007,    // another daemon has the data directory
    damaged = 1008,   // stored bytes that lie
    no_space = 1009,  // ENOSPC or EDQUOT
    usage = 1010,     // a call that the state of the object does not allow
};

[[nodiscard]] constexpr bool closes_connection(ErrorCode code) {
    const auto value = static_cast<std::uint16_t>(code);
    return value >= 100 && value < 1000;
}

struct Error {
    ErrorCode code = ErrorCode::io_error;
    std::string text;                  // one line: what was wrong, and where
    std::uint64_t limit = 0;           // the limit that refused, in its unit; 0: none
    std::uint32_t retry_after_ms = 0;  // when to try again; 0: not said
    int os_errno = 0;                  // for io_error; 0: none
};

// The stable name of a code, as mqctl and the log print it: "no_such_queue". One row per code, so
// that name and code cannot drift apart.
[[nodiscard]] inline std::string_view error_name(ErrorCode code) {
    switch (code) {
        case ErrorCode::unknown_frame: return "unknown_frame";
        case ErrorCode::no_such_queue: return "no_such_queue";
        case ErrorCode::queue_exists: return "queue_exists";
        case ErrorCode::bad_name: return "bad_name";
        case ErrorCode::bad_option: return "bad_option";
        case ErrorCode::unknown_attribute: return "unknown_attribute";
        case ErrorCode::no_such_handle: return "no_such_handle";
        case ErrorCode::handle_in_use: return "handle_in_use";
        case ErrorCode::too_many_handles: return "too_many_handles";
        case ErrorCode::too_many_queues: return "too_many_queues";
        case ErrorCode::message_too_big: return "message_too_big";
        case ErrorCode::memory_full: return "memory_full";
        case ErrorCode::journal_full: return "journal_full";
        case ErrorCode::disk_full: return "disk_full";
        case ErrorCode::resume_needed: return "resume_needed";
        case ErrorCode::durability_unavailable: return "durability_unavailable";
        case ErrorCode::queue_deleted: return "queue_deleted";
        case ErrorCode::stopping: return "stopping";
        case ErrorCode::not_permitted: return "not_permitted";
        case ErrorCode::queue_full: return "queue_full";
        case ErrorCode::backup_running: return "backup_running";
        case ErrorCode::no_backup: return "no_backup";
        case ErrorCode::backup_failed: return "backup_failed";
        case ErrorCode::queue_paused: return "queue_paused";
        case ErrorCode::queue_exclusive: return "queue_exclusive";
        case ErrorCode::not_leased: return "not_leased";
        case ErrorCode::producer_fenced: return "producer_fenced";
        case ErrorCode::protocol_violation: return "protocol_violation";
        case ErrorCode::unsupported_version: return "unsupported_version";
        case ErrorCode::frame_too_big: return "frame_too_big";
        case ErrorCode::credit_exceeded: return "credit_exceeded";
        case ErrorCode::hello_timeout: return "hello_timeout";
        case ErrorCode::heartbeat_timeout: return "heartbeat_timeout";
        case ErrorCode::too_many_connections: return "too_many_connections";
        case ErrorCode::output_overflow: return "output_overflow";
        case ErrorCode::io_error: return "io_error";
        case ErrorCode::connect_failed: return "connect_failed";
        case ErrorCode::disconnected: return "disconnected";
        case ErrorCode::outcome_unknown: return "outcome_unknown";
        case ErrorCode::timeout: return "timeout";
        case ErrorCode::bad_url: return "bad_url";
        case ErrorCode::bad_config: return "bad_config";
        case ErrorCode::locked: return "locked";
        case ErrorCode::damaged: return "damaged";
        case ErrorCode::no_space: return "no_space";
        case ErrorCode::usage: return "usage";
    }
    return "unknown_error";  // a code of a later version, as it came in a frame
}

}  // namespace mqd
