#pragma once

// What `queue apply` would do: the difference between the queues that a file declares and those
// that are there, as data. Nothing here talks to a daemon.

#include <span>
#include <string>
#include <vector>

#include "client/mqctl/queue_file.hpp"
#include "mqd/client.hpp"

namespace mqd::mqctl {

struct QueueChange {
    enum class Action { create, update, remove };
    enum class Outcome { not_done, done, unknown };

    Action action{};
    std::string queue;
    QueueOptions options{};  // to ask for: of a new queue all that are said, else those that differ
    QueueInfo before{};      // as it is; not of a new queue
    Outcome outcome = Outcome::not_done;
};

struct QueuePlan {
    std::vector<QueueChange> changes;   // new and changed ones in order of name, then deletions
    std::vector<std::string> refusals;  // what cannot be, a line each: then nothing may be done
};

// `prune`: queues that are not declared are deleted, except those that the dead letters of queues
// that stay go to. An update leaves as it is what the file does not say.
[[nodiscard]] QueuePlan plan_queues(std::span<const DesiredQueue> desired,
                                    std::span<const QueueInfo> actual, bool prune);

// "+ orders", "~ orders", "- orders"
[[nodiscard]] std::string marked_name(const QueueChange& change);

// A line for each change: "~ orders  max_messages 1000 -> 5000".
[[nodiscard]] std::string plan_text(const QueuePlan& plan);

// The same as JSON, with what came of it. Field names are part of the interface:
//
//     {"action":"create","queue":"orders","options":{"lease_ms":30000},"done":true}
//     {"action":"update","queue":"orders","options":{"max_messages":5000},
//      "before":{"max_messages":1000},"done":true}
//     {"action":"delete","queue":"old","ready":12,"leased":0,"delayed":0,"done":false}
//
// (one line each). "done" is null where nobody knows.
[[nodiscard]] std::string plan_json(const QueuePlan& plan);

}  // namespace mqd::mqctl
