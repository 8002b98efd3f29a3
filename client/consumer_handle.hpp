#pragma once

// One consumer handle of a session: hands out what the daemon delivered, gathers settlements, and
// grants credit so that what is delivered and unsettled stays within the window. No I/O; owned by
// its Session, valid until Session::release(). docs/protocol.md, "Consuming" and "Flow control".

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "client/handle.hpp"
#include "client/ledger.hpp"
#include "client/output.hpp"
#include "mqd/client.hpp"
#include "mqd/wire/handle.hpp"

namespace mqd::client {

// As much of the reason of a nack as can travel.
[[nodiscard]] std::string_view cut_reason(std::string_view text);

class ConsumerHandle : public Handle {
  public:
    // The longest delay that a NACK can say.
    static constexpr std::chrono::milliseconds delay_max{wire::delay_none - 1};

    // Preconditions: a window of at least one message and one byte.
    ConsumerHandle(HandleId number, std::string_view queue_name, const ConsumerOptions& options,
                   Output& output);

    // What OPEN_CONSUMER grants.
    [[nodiscard]] wire::Credit first_credit() const { return granted_; }

    // The next message, or the rest of a frame, that is buffered; false if nothing is. What the
    // call before gave is no longer valid, whatever this one returns.
    [[nodiscard]] bool next(Delivery& delivery);
    [[nodiscard]] bool next_batch(DeliveredBatch& batch);

    // Settlements are gathered; they go to the output with a quarter of the window, or at flush().
    // What is not held is passed over.
    void ack(MessageRange range);
    void ack_up_to(MessageNumber number);
    // With a reason, a delay or as dead letters: in a frame of its own, in order with others like
    // it. It goes out at flush() only, so that whoever closes the handle behind it gets none of it
    // back. Precondition: a delay of 0 to delay_max.
    void nack(MessageRange range, const NackOptions& options = {});
    void flush();
    // EXTEND for what is held of the range; lease_ms 0: the handle's.
    void extend(MessageRange range, std::uint32_t new_lease_ms);
    // Counts what is held of the range as settled and returns it, for an ACK of its own that the
    // session sends. flush() first.
    [[nodiscard]] std::vector<MessageRange> take_for_ack(MessageRange range);

    [[nodiscard]] std::uint64_t unsettled() const { return ledger_.messages(); }
    [[nodiscard]] std::uint64_t leases_lost() const { return leases_lost_; }
    [[nodiscard]] bool has_lost() const { return !lost_.empty(); }
    // As OPENED said it, until CONSUMER_ACTIVE came.
    [[nodiscard]] wire::Turn turn() const { return turn_; }
    // Whether the turn came since the last call.
    [[nodiscard]] bool take_activation() { return std::exchange(activated_, false); }
    // Appends the ranges lost since the last call.
    void take_lost(std::vector<MessageRange>& into);

    // Extends all leases when it is time to, but for what is overrun: handed out longer ago than
    // ConsumerOptions::max_run_time. One EXTEND at a time: while it waits to be written, another
    // behind it would not make them last longer.
    void renew(Time now);
    // When renew() has something to do next.
    [[nodiscard]] std::optional<Time> renew_at() const {
        return runs_.empty() || !renew_at_ ? renew_at_
                                           : std::min(*renew_at_, runs_.front().begun + max_run_);
    }
    [[nodiscard]] bool limits_runs() const { return max_run_.count() != 0; }
    // What the last next() or next_batch() returned is worked on since `now`, which does not go
    // back. Precondition: limits_runs().
    void begin_run(MessageRange range, Time now);
    [[nodiscard]] bool has_overrun() const { return !overrun_.empty(); }
    // Appends what became overrun since the last call.
    void take_overrun(std::vector<MessageRange>& into);

    // --- For the session: frames of the daemon. False: the daemon broke the protocol.
    // -------------
    void opened(const wire::Opened& frame);
    // `body` lies in `block`.
    [[nodiscard]] bool deliver(wire::Bytes body, const std::shared_ptr<Block>& block);
    void lease_lost(const wire::LeaseLost& frame);
    [[nodiscard]] bool activate();
    // The handle ended: what is buffered is forgotten; what was handed out last stays readable.
    void forget();
    // Bytes of `block` that buffered frames hold, and: copies them, to let go of the block.
    [[nodiscard]] std::size_t buffered_in(const Block* block) const;
    void move_out_of(const Block* block);

  private:
    static constexpr std::size_t sift_runs_min = 64;

    [[nodiscard]] bool advance();
    [[nodiscard]] std::shared_ptr<DeliverFrame> spare_frame();
    void settled(const Ledger::Removed& sum);
    // Sends the ranges, sorted and merged, and clears them. `request` has all but them.
    void append_settlements(wire::FrameType type, std::vector<MessageRange>& ranges,
                            wire::SettleRequest request, std::uint8_t flags);
    [[nodiscard]] wire::Credit credit() const;
    [[nodiscard]] wire::Credit next_flush() const;
    void append_credit();
    void find_overrun(Time now);

    Output& output_;
    std::uint64_t window_messages_;
    std::uint64_t window_bytes_;
    std::uint64_t messages_max_;
    bool renew_leases_;
    Time max_run_;  // 0: no limit, and nothing of `runs_` is kept

    // What was handed out together. Those that are settled are dropped now and then, so that there
    // are about twice as many as there are held.
    struct Run {
        std::shared_ptr<DeliverFrame> frame;
        MessageRange range;
        Time begun;
    };

    std::deque<std::shared_ptr<DeliverFrame>> buffered_;
    std::shared_ptr<DeliverFrame> current_;  // messages are being handed out of it
    static constexpr std::size_t spare_frames_max = 2048;
    static constexpr std::uint32_t spare_messages_max = 16;
    std::vector<std::shared_ptr<DeliverFrame>> spare_;  // of so many messages at most
    Ledger ledger_;

    std::vector<MessageRange> acks_;
    std::vector<MessageRange> nacks_;
    struct NackWithOptions {
        std::vector<MessageRange> ranges;
        std::string reason;
        std::uint32_t delay_ms = 0;
        std::uint8_t flags = 0;
    };
    std::vector<NackWithOptions> nacks_with_options_;
    std::vector<MessageRange> lost_;
    std::vector<MessageRange> overrun_;
    std::vector<MessageRange> scratch_ranges_;
    std::vector<std::byte> scratch_;

    std::uint64_t delivered_messages_ = 0;  // since the handle was opened, as all totals
    std::uint64_t settled_messages_ = 0;
    std::uint64_t settled_bytes_ = 0;
    wire::Credit granted_;
    wire::Credit flush_at_;  // what is settled then
    std::uint64_t leases_lost_ = 0;
    wire::Turn turn_ = wire::Turn::unsaid;
    bool activated_ = false;
    std::deque<Run> runs_;  // by `begun`
    std::size_t sift_runs_at_ = sift_runs_min;
    std::optional<Time> renew_at_;
    std::uint64_t renewed_to_ = 0;  // where in the output the last extension ends
};

}  // namespace mqd::client
