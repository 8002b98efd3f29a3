#pragma once

// What OPEN makes within a session: a producer or a consumer of one queue. Owned by the session;
// loop thread only.

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <variant>
#include <vector>

#include "daemon/engine/consumer.hpp"
#include "daemon/engine/producer_marks.hpp"
#include "mqd/error.hpp"
#include "mqd/types.hpp"
#include "mqd/wire/handle.hpp"

namespace mqd::core {

class Session;

inline constexpr std::chrono::milliseconds lease_max{24 * 3600 * 1000};

// The running number of a commit group within this process; unlike its sequence it is known while
// the group is being filled.
using CommitId = StrongNumber<struct CommitIdTag, std::uint64_t>;

// Of what waits for room in its queue: no group has that number.
inline constexpr CommitId not_yet_taken(UINT64_MAX);

// How long a publish waits for room in its queue; and how many frames of one producer do at a time.
inline constexpr std::chrono::milliseconds publish_wait_default{5000};
inline constexpr std::chrono::milliseconds publish_wait_max{24 * 3600 * 1000};
inline constexpr std::uint32_t waiting_frames_max = 1024;

[[nodiscard]] inline Error behind_a_refusal() {
    return {ErrorCode::resume_needed, "an earlier line was refused; send RESUME"};
}

struct PendingPieces {
    std::vector<wire::ConfirmedRun> runs;
    std::size_t told = 0;  // of runs: they are confirmed
};

// Consecutive lines of a producer that wait for their answer, in order.
struct PendingLines {
    LineNumber first;
    std::uint64_t count = 0;
    std::uint64_t bytes = 0;  // of batches, for the credit
    // Taken: what they became, and when that may be confirmed.
    MessageNumber number;
    // What each of them became, in order, where they are no run of numbers.
    std::unique_ptr<PendingPieces> pieces{};
    CommitId commit;
    Durability level{};  // that the confirm waits for
    // Refused:
    std::unique_ptr<Error> refusal;
};

struct Producer {
    Session* session = nullptr;
    HandleId handle;
    engine::Queue* queue = nullptr;  // null: deleted; every publish is refused
    LineNumber next_line{1};
    bool refusing = false;        // until RESUME
    bool pending_listed = false;  // in the core's list of producers with pending lines
    std::deque<PendingLines> pending;
    bool closing = false;  // CLOSE_HANDLE came; answered behind the last line
    CorrelationId close_correlation;

    // Credit: totals since the handle was opened.
    std::uint64_t messages_received = 0;
    std::uint64_t messages_answered = 0;
    std::uint64_t bytes_received = 0;
    std::uint64_t bytes_answered = 0;
    std::uint64_t window_messages = 0;
    std::uint64_t window_bytes = 0;  // reserved in the core's budget
    bool window_short = false;       // more than half of it was in use
    wire::Credit credit;             // as the client knows it

    // For a queue that is full and lets publishes wait; see WaitingPublishes.
    std::chrono::milliseconds wait = publish_wait_default;
    std::uint32_t waiting_frames = 0;
    std::uint64_t waiting_lines = 0;
    [[nodiscard]] bool waits_enough() const { return waiting_frames >= waiting_frames_max; }

    // If it has a name: what was taken of it. Refused lines come again under the same numbers.
    engine::ProducerMark* mark = nullptr;  // the queue's; null: it has no name
    std::uint64_t opening = 0;             // of the mark: it is fenced when there was another
    LineNumber last_taken{0};              // by this handle, or those before it
    [[nodiscard]] bool fenced() const { return mark != nullptr && mark->openings != opening; }
};

struct ConsumerHandle : engine::Consumer {
    using engine::Consumer::Consumer;

    Session* session = nullptr;
    HandleId handle;
};

using Handle =
    std::variant<std::monostate, std::unique_ptr<Producer>, std::unique_ptr<ConsumerHandle>>;

}  // namespace mqd::core
