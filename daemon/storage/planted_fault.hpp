#pragma once

// Faults that can be compiled in, to prove that the simulation catches them:
// -DMQD_PLANTED_FAULT=skip_sync. Production code has none. Storage and core have them; it lies here
// because both may look here.

namespace mqd::storage {

enum class Fault {
    none,
    confirm_before_sync,  // durable is said when written
    skip_sync,            // durable is said without a sync
    drop_checksum,        // the reader believes every header and body
    reused_number,        // after a crash the numbers that it may have taken are given out again
    ack_applied_before_durable,  // an ack is answered as durable when it is written
    double_dead_letter,       // a message that moves to the dead letters does not end where it was
    forgotten_producer_mark,  // what was taken of a named producer is not journaled with it
    forgotten_delay,          // until when a message waits is not journaled with it
    priority_inversion,       // what has the highest priority is taken as if it had none
    group_overtaken,          // a start forgets which messages of the journal belong to groups
    ignored_rate,             // the rate of the groups of a queue is taken, and nobody keeps to it
    half_a_batch,       // of a transaction, what it publishes second is not in its commit group
    forgotten_ttl,      // a message whose own time to live is over stays, and is delivered
    forgotten_outcome,  // that a lease ran out is not in the history of its messages
    overflow_dropped,   // the oldest of a full queue are dropped, and shall become dead letters
    queue_jumper,       // a publish that finds room is taken before those that wait for more
    lost_dedup_mark,    // a start forgets which ids the messages of the journal had
    forgotten_undo,     // that a purge was undone is not journaled
    lost_straggler,     // of what lives in a page that is carried, the last batch is left behind
};

#ifndef MQD_PLANTED_FAULT
#define MQD_PLANTED_FAULT none
#endif

[[nodiscard]] consteval bool planted(Fault fault) {
    constexpr Fault here = Fault::MQD_PLANTED_FAULT;
    return fault != Fault::none && fault == here;
}

}  // namespace mqd::storage
