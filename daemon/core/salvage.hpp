#pragma once

// A start with `on_damage = "salvage"`, once checkpoint and journal are replayed, as far as they
// can be (mender.hpp, lost_state.hpp): live messages whose bodies cannot be had any more are given
// up, so that what is left is a sound store. Lost is what lies in a page that is damaged, in a
// segment that is missing or too short, or nowhere. All pages are read for that, before anything is
// written; if the process ends before the records of what was given up are durable, the next start
// finds the same again. Loop thread only.

#include <cstdint>
#include <string>
#include <vector>

#include "daemon/core/core.hpp"
#include "daemon/core/page.hpp"

namespace mqd::core {

class Salvage {
  public:
    // More are given up without a line of their own.
    static constexpr std::size_t lines_max = 1000;

    Salvage(Core& core, storage::Disk& disk) : core_(core), disk_(disk) {}
    Salvage(const Salvage&) = delete;
    Salvage& operator=(const Salvage&) = delete;

    // Finds what is lost, names each in a line of its own (Core::take_complaints), and takes it out
    // of the engine. Writes nothing. Errors: those of the system that have nothing to do with the
    // files; what only cannot be read now is kept, and set aside when its turn comes.
    Result<void> run();
    // Into the groups of the start.
    void append_records();

  private:
    struct Lost {
        QueueId id;
        MessageRange range;  // all of it lived
    };

    Result<void> look_at(const engine::Queue& queue, Page& page);
    void look_for_bodies(const engine::Queue& queue);
    // The live messages of the range that `held` does not hold.
    void lose(const engine::Queue& queue, MessageRange range, const std::vector<Block*>& held,
              const std::string& why);
    void name(const engine::Queue& queue, MessageRange range, std::uint64_t messages,
              const std::string& why);

    Core& core_;
    storage::Disk& disk_;
    std::vector<Lost> lost_;
    std::uint64_t lines_ = 0;
    std::uint64_t messages_ = 0;
};

}  // namespace mqd::core
