#pragma once

// MESSAGES_MOVE: what an administrator moves from one queue to the end of another. A request moves
// as much as fits into a turn and says where to go on. Messages that lie in segments are read
// first, and the request waits for them. The requests of a session are answered in their order.
// Loop thread only.

#include <string>
#include <vector>

#include "daemon/core/handle.hpp"
#include "daemon/core/message_mover.hpp"
#include "daemon/engine/engine.hpp"
#include "mqd/result.hpp"
#include "mqd/wire/message_move.hpp"

namespace mqd::core {

class MoveRequests {
  public:
    explicit MoveRequests(Core& core) : core_(core) {}

    // Answers, at once or later. Precondition: frame.ranges.sane().
    void take(Session& session, const wire::MessagesMove& frame, CorrelationId correlation);
    // Goes on with those that wait.
    void turn();
    // Whether one of the session is not answered yet, and not a waiter either.
    [[nodiscard]] bool waits(const Session& session) const;
    void session_ended(const Session& session);

  private:
    struct Request {
        Session* session = nullptr;
        CorrelationId correlation;
        std::string queue;
        QueueId incarnation;
        std::string target;
        std::vector<MessageRange> ranges;  // in order, apart from each other
    };
    struct Queues {
        engine::Queue* from = nullptr;
        engine::Queue* to = nullptr;
    };
    // Of one block; a copy of them goes as one.
    struct Gathered {
        const Block* block = nullptr;
        std::vector<MessageRange> ranges;
        std::vector<engine::DelayMessages> delays;  // first in numbers of the copy, from 0 on
        std::uint32_t count = 0;
    };
    // How far a request came.
    struct Progress {
        std::uint64_t messages_left = 0;
        std::uint64_t bytes_left = 0;
        std::uint64_t moved = 0;
        MessageNumber next;  // not come to; 0: all were
        CommitId commit;     // of the last that were moved
        bool waits = false;  // for a page, or for memory
    };

    [[nodiscard]] bool answered(const Request& request);
    [[nodiscard]] Result<Queues> find(const Request& request) const;
    [[nodiscard]] Result<void> move_some(const Queues& queues, const Request& request,
                                         Progress& progress);
    [[nodiscard]] MessageNumber gather(const engine::Queue& queue, MessageRange range,
                                       Gathered& gathered, Progress& progress) const;
    [[nodiscard]] Result<void> flush(const Queues& queues, const Request& request,
                                     Gathered& gathered, Progress& progress);
    [[nodiscard]] Result<void> reserve(engine::Queue& to, const Gathered& gathered);

    Core& core_;
    std::vector<Request> requests_;  // that wait
};

}  // namespace mqd::core
