#pragma once

// Messages that have failed as often as their queue allows, or that a consumer rejected, or whose
// time to live is over, if the queue says so, go to the queue's dead letters: another queue, which
// is made when it is first needed. The end of a message here and its beginning there stand in one
// commit group, so a crash leaves it in one place. It keeps its bytes, its time and its sender, and
// gets an attribute that says what happened. What cannot be moved now (a full disk, a page to be
// read first) waits, and lives on where it is. Loop thread only.

#include <optional>
#include <set>
#include <string>

#include "daemon/engine/engine.hpp"
#include "mqd/wire/batch.hpp"

namespace mqd::core {

class Core;
struct Block;

class DeadLetters {
  public:
    explicit DeadLetters(Core& core) : core_(core) {}

    // Moves some of what waits.
    void turn();
    // When what could not be moved is tried again.
    [[nodiscard]] engine::Time next_deadline() const { return retry_deadline_; }
    // More could be moved at once.
    [[nodiscard]] bool wants_turn() const { return more_; }

    // Why nothing can become a dead letter of the queue now.
    [[nodiscard]] std::optional<Error> refusal(const engine::Queue& queue) const;

    // Where the dead letters of a queue go.
    [[nodiscard]] static std::string target_of(const engine::Queue& queue);

  private:
    enum class Outcome : std::uint8_t { moved, waits, refused };

    // What a turn may still move.
    struct Budget {
        std::uint64_t messages;
        std::uint64_t bytes;
    };

    [[nodiscard]] Outcome declare_target(const engine::Queue& queue, std::string name);
    [[nodiscard]] Outcome move_some(engine::Queue& queue, Budget& left);
    [[nodiscard]] bool circles(const engine::Queue& queue, const Block& block,
                               const engine::LiveRun& run, const engine::Queue& target) const;
    void cut_to_group(const Block& block, MessageRange& range) const;
    [[nodiscard]] bool move(engine::Queue& queue, engine::Queue& target, const Block& block,
                            const engine::LiveRun& run, unsigned priority);
    [[nodiscard]] wire::DeadLetterCause cause_of(const engine::Queue& queue, const Block& block,
                                                 const wire::MessageView& message,
                                                 std::uint32_t attempts,
                                                 MessageNumber number) const;
    [[nodiscard]] Block* make_block(const engine::Queue& queue, const Block& block,
                                    const engine::LiveRun& run) const;

    Core& core_;
    engine::Time retry_deadline_ = engine::Time::max();
    std::set<QueueId> refused_;  // queues that wait for the deadline
    bool more_ = false;
};

}  // namespace mqd::core
