#pragma once

// A start with `on_damage = "salvage"`, once checkpoint and journal are replayed, as far as they
// can be (mender.hpp, lost_state.hpp): live messages whose bodies cannot be had any more are given
// up, so that what is left is a sound store. Lost is what lies in a page that is damaged, in a
// segment that is missing or too short, or nowhere. All pages are read for that, before anything is
// written; if the process ends before the records of what was given up are durable, the next start
// finds the same again. Loop thread only.

#include <cstdint>
#include <map>
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

    // Reads all pages with live messages, and forgets those that are damaged or not there: their
    // messages may lie elsewhere too. What a sound page lacks is lost. Errors: those of the system
    // that have nothing to do with the files; what only cannot be read now is kept, and set aside
    // when its turn comes.
    Result<void> forget_damaged_pages();
    // Such a page was there: the journal says that it is, until its messages are elsewhere.
    [[nodiscard]] bool found_damage() const { return !gone_.empty(); }
    // What lies nowhere now is lost: names it (Core::take_complaints), and decides to end it.
    void give_up();
    // Into the groups of the start.
    void append_records();

  private:
    // A page that is known no more.
    struct Gone {
        QueueId id;
        MessageRange range;
        std::string why;
    };

    Result<void> look_at(engine::Queue& queue, Page& page);
    // The live messages of the range that neither a page nor a block of the journal holds, and that
    // are not given up.
    [[nodiscard]] std::vector<MessageRange> nowhere(const engine::Queue& queue,
                                                    MessageRange range) const;
    void lose(engine::Queue& queue, MessageRange range, const std::vector<MessageRange>& messages,
              const std::string& why);
    void name(const engine::Queue& queue, MessageRange range, std::uint64_t messages,
              const std::string& why);

    Core& core_;
    storage::Disk& disk_;
    std::vector<Gone> gone_;
    std::map<QueueId, std::vector<MessageRange>> lost_;
    std::uint64_t lines_ = 0;
    std::uint64_t messages_ = 0;
};

}  // namespace mqd::core
