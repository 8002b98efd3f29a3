#pragma once

// What a consumer holds: the messages that were delivered to it and are not settled, with their
// bytes, so that credit is given back exactly. Kept as ranges, one for each DELIVER frame as long
// as the frame is settled from the front; nothing is kept per message but the offset of its end.

#include <cstdint>
#include <memory>
#include <vector>

#include "client/entry_list.hpp"
#include "client/input.hpp"
#include "mqd/types.hpp"
#include "mqd/wire/frame.hpp"

namespace mqd::client {

// A DELIVER frame as it came in, until all its messages are handed out and settled.
struct DeliverFrame {
    std::shared_ptr<Block> block;  // holds the bytes of `messages` until they are handed out
    wire::Deliver messages;
    std::vector<std::uint32_t> ends;  // where in the batch message i ends
    std::uint32_t next = 0;           // the first that is not handed out
    std::uint32_t unsettled = 0;
    bool has_holes = false;  // some that are not handed out are settled or lost already

    [[nodiscard]] std::uint32_t index(MessageNumber number) const {
        return static_cast<std::uint32_t>(number - messages.first_number);
    }
    [[nodiscard]] std::uint32_t begin_of(std::uint32_t i) const { return i == 0 ? 0 : ends[i - 1]; }
    // Encoded bytes of the messages from index `from` to before `to`.
    [[nodiscard]] std::uint64_t bytes(std::uint32_t from, std::uint32_t to) const {
        return begin_of(to) - begin_of(from);
    }
};

class Ledger {
  public:
    // Adds all messages of a frame. False, and nothing done, if one of them is held already.
    [[nodiscard]] bool add(const std::shared_ptr<DeliverFrame>& frame);

    struct Removed {
        std::uint64_t messages = 0;
        std::uint64_t bytes = 0;
    };
    // Removes what is held of `range` and appends it to `removed`, merged with its last range.
    Removed remove(MessageRange range, std::vector<MessageRange>& removed);
    // The same for what was handed out and has at most that number.
    Removed remove_handed_out(MessageNumber up_to, std::vector<MessageRange>& removed);

    // Whether the message is held as that frame delivered it: a message whose lease was lost may be
    // held again out of a later frame.
    [[nodiscard]] bool holds(const DeliverFrame& frame, MessageNumber number) const;
    [[nodiscard]] std::uint64_t messages() const { return messages_; }
    // Appends what is held of `range`.
    void held_of(MessageRange range, std::vector<MessageRange>& held) const;
    // What is held of the range as that frame delivered it is overrun from now on, and appended to
    // `marked`.
    void mark_overrun(const DeliverFrame& frame, MessageRange range,
                      std::vector<MessageRange>& marked);
    // Appends what is held and not overrun.
    void renewable(std::vector<MessageRange>& held) const;
    void clear();

  private:
    using Place = EntryList::Place;
    // The frame that an entry's messages came in.
    struct Slot {
        std::shared_ptr<DeliverFrame> frame;
        bool overrun = false;  // worked on for too long: its lease is not extended any more
    };

    // Makes an entry before the one at `at`. Returns where it stands.
    Place add(Place at, MessageRange range, std::shared_ptr<DeliverFrame> frame, bool overrun);
    // Takes [from, to) out of the entry at `at`, which contains it; returns the place of the first
    // entry behind the gap.
    Place cut(Place at, MessageNumber from, MessageNumber to, Removed& sum);

    EntryList entries_;  // disjoint
    std::vector<Slot> slots_;
    std::vector<std::uint32_t> free_slots_;
    std::uint64_t messages_ = 0;
};

// Appends a range, as part of the last one if it continues that.
void append_merged(std::vector<MessageRange>& ranges, MessageRange range);
// Sorts ranges that do not overlap, and merges those that touch.
void sort_and_merge(std::vector<MessageRange>& ranges);

}  // namespace mqd::client
