#pragma once

// How messages go from one queue to the end of another, for whatever reason: a copy is made, its
// room is booked, the copy gets its numbers, and then the end of the messages here and their
// beginning there stand in one commit group, so a crash leaves them in one place. Loop thread only.

#include <span>
#include <vector>

#include "daemon/core/block.hpp"
#include "daemon/engine/queue.hpp"
#include "mqd/wire/batch.hpp"

namespace mqd::core {

class Core;
class Session;

class MessageMover {
  public:
    explicit MessageMover(Core& core) : core_(core) {}

    // What a message of a copy takes along of its attributes: not what was said of an earlier
    // death, nor until when it waited, which the engine knows.
    // A dead letter has no time to live either.
    static void copy_attributes(wire::Bytes attributes, std::vector<std::byte>& to,
                                bool dead = false);
    static void leave_out_group(std::vector<std::byte>& attributes);
    // A block of that batch, which is sound. One reference; the rest is for the caller to fill in.
    [[nodiscard]] static Block* make_block(const std::vector<std::byte>& batch,
                                           std::uint32_t count);

    // The copy is Core::batch_, its room is booked, and the ranges of `from` were admitted to end.
    // It gets its numbers at the end of `to`. Each side is applied when it is as durable as its own
    // queue; that of a memory queue together with the other. `by` is who wants it, for its
    // history; null: they are dead letters.
    void append(engine::Queue& from, std::span<const MessageRange> ranges, engine::Queue& to,
                const Session* by = nullptr);

  private:
    Core& core_;
};

}  // namespace mqd::core
