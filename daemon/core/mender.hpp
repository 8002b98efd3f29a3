#pragma once

// What a replay makes of a journal that has holes, with `on_damage = "salvage"`: records that build
// upon what was lost are applied as far as they fit, so that every message whose bytes are still
// there lives. What was acked may live again, if the record of its end was lost; what may be gone
// is named. Applied to the same bytes twice it does the same, so a crash on the way is harmless.
// Loop thread only, during the start.

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "daemon/core/core.hpp"
#include "daemon/core/record.hpp"

namespace mqd::core {

struct ReadPage;

class Mender {
  public:
    // More is told without lines of their own.
    static constexpr std::size_t lines_max = 1000;

    Mender(Core& core, storage::Disk& disk) : core_(core), disk_(disk) {}
    Mender(const Mender&) = delete;
    Mender& operator=(const Mender&) = delete;

    // Something cannot be read, as the text says; the next group may be any later one.
    void note_damage(const std::string& text);
    [[nodiscard]] bool damaged() const { return damaged_; }
    // A record of that queue does not fit; told once for each queue and reason, by tell_losses().
    void note_misfit(QueueId id, const std::string& what, const std::string& first);
    void tell_losses();
    // Whether what was read, as it was read, is not the state: it has to be written anew.
    [[nodiscard]] bool mended() const { return damaged_ || !misfits_.empty(); }

    // No checkpoint tells what was before the journal begins; what it says builds upon less.
    void without_state() { without_state_ = true; }
    [[nodiscard]] bool is_without_state() const { return without_state_; }
    // What the record tells of queues, for queue_for().
    void learn(const RecordView& record);
    [[nodiscard]] bool was_deleted(QueueId id) const { return deleted_.contains(id); }
    void tell(const std::string& text);

    // The queue of that id, made as it was when it was learnt of, or under the name `salvaged.<id>`
    // if none is there: its create_queue was lost. Null: it is a memory queue.
    // Numbers like that one are in it.
    engine::Queue* queue_for(QueueId id, MessageNumber like);
    // A record adds numbers from `next` on: those before it that nobody told of may be lost.
    void note_gap(const engine::Queue& queue, MessageNumber next);
    // The same at the end of the journal: for the queues of which nothing was read behind the last
    // damage, or for all.
    void note_lost_end(bool of_all);
    // All of the range lives.
    void revive(engine::Queue& queue, MessageRange range);
    // All that lies in that page lives. If the system fails, failure() says so.
    void revive_page(engine::Queue& queue, const PageRecord& record);
    [[nodiscard]] const std::optional<Error>& failure() const { return failure_; }
    // Success without blocks: the page is damaged, or not there. Errors: those of the system, which
    // say nothing of what lies there.
    Result<void> read(ReadPage& page);
    // What lives of the range ends.
    void end_living(engine::Queue& queue, MessageRange range);

    using PageFunction = std::function<Result<void>(const PageRecord&)>;
    // Every page in every segment, by their headers; `held` is not known. Errors: io_error, and
    // those of `fn`.
    Result<void> for_each_page(const PageFunction& fn);
    // Whether live messages are neither in a journal file, as far as is known, nor in a known page.
    [[nodiscard]] bool any_nowhere() const;
    // They are looked for in all segments: the record that says where they are may have been lost.
    // Errors: io_error.
    Result<void> search_segments();
    // What that has found, into the groups of the start.
    void append_records();

  private:
    struct Misfits {
        std::string first;
        std::uint64_t times = 0;
    };

    void tell_gaps();
    [[nodiscard]] bool any_nowhere(const engine::Queue& queue, MessageRange range) const;
    Result<void> search(storage::SegmentNumber number, const PageFunction& fn);
    Result<void> adopt(engine::Queue& queue, const PageRecord& record);

    Core& core_;
    storage::Disk& disk_;
    bool damaged_ = false;
    std::vector<std::pair<QueueId, MessageRange>> gaps_;
    bool without_state_ = false;
    std::map<QueueId, engine::CreateQueue> learnt_;
    std::set<QueueId> deleted_;
    std::set<QueueId> followed_;  // messages of them were read behind the last damage
    std::map<std::pair<QueueId, std::string>, Misfits> misfits_;
    std::vector<PageRecord> adopted_;
    std::optional<Error> failure_;
    std::size_t lines_ = 0;
};

}  // namespace mqd::core
