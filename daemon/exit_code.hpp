#pragma once

// How mqd ends, as systemd and scripts see it; mqd(8) lists the same numbers. mqd.service does not
// restart after those that a restart cannot cure (2, 3, 5).

namespace mqd {

enum class ExitCode : int {
    ok = 0,
    failure = 1,         // anything without a number of its own
    usage = 2,           // a wrong command line
    bad_config = 3,      // a wrong configuration; the line on stderr names file, line and column
    locked = 4,          // another daemon has the data directory
    damaged = 5,         // stored bytes that lie; nothing was changed
    journal_failed = 6,  // a write or sync of the journal failed; what was not confirmed is unknown
    cannot_listen = 7,   // an address is in use, or not ours
    damage_found = 8,    // --check-store found some
};

}  // namespace mqd
