#pragma once

// Queues that end by themselves: those with the option `expire_idle`, once they were empty and
// nobody used them for so long, and temporary ones, with the session that made them. Times count
// from the last use or from the start, whichever was later; nothing of this is stored, and the
// deletion is that of QUEUE_DELETE. Costs nothing for other queues, and nothing for a message. Loop
// thread only.

#include <map>
#include <set>
#include <utility>
#include <vector>

#include "daemon/engine/queue.hpp"

namespace mqd::core {

class Core;
class Session;

class QueueLifetimes {
  public:
    explicit QueueLifetimes(Core& core) : core_(core) {}

    // The queue is there, or has other options now.
    void made(const engine::Queue& queue) { used(queue); }
    // Somebody opens or closes a handle, or looks at what is in it, or ends some of it.
    void used(const engine::Queue& queue) {
        if (queue.definition().expire_idle.count() > 0 && !queue.deleting()) {
            note_use(queue);
        }
    }
    // The queue is about to go.
    void forget(const engine::Queue& queue);

    // A temporary queue, which may still be on its way to the disk, goes with that session.
    void own(const Session& session, QueueId id);
    [[nodiscard]] bool owns(const Session& session, const engine::Queue& queue) const;
    void session_ended(const Session& session);

    void turn();
    [[nodiscard]] engine::Time next_deadline() const;
    // More is to be done at once.
    [[nodiscard]] bool wants_turn() const { return more_; }

  private:
    struct Idle {
        engine::Time last_used;
        engine::Time deadline;  // to look at it again
        bool in_use = false;    // when it was looked at last
    };
    using Watched = std::map<QueueId, Idle>;

    void note_use(const engine::Queue& queue);
    void look_again(Watched::iterator watched, engine::Time deadline);
    void look_at(Watched::iterator watched);
    void end_orphans(std::size_t& left);

    Core& core_;
    Watched watched_;
    std::set<std::pair<engine::Time, QueueId>> deadlines_;
    std::map<QueueId, const Session*> owners_;
    std::map<const Session*, std::vector<QueueId>> owned_;
    std::vector<QueueId> orphans_;  // their session ended
    bool more_ = false;
};

}  // namespace mqd::core
