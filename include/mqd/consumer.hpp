#pragma once

// Taking messages from a queue: see client.hpp, which has the terms of threads, times and errors.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>

#include "mqd/delivery.hpp"
#include "mqd/error.hpp"
#include "mqd/result.hpp"
#include "mqd/types.hpp"

namespace mqd {

class Client;
namespace client {
struct ConsumerPart;
}  // namespace client

struct ConsumerOptions {
    // How much may be delivered and not yet settled. More: higher throughput over distance; less:
    // fairer between workers and less to deliver again after a crash.
    std::uint64_t window_messages = 1'000;
    std::uint64_t window_bytes = 8 * 1024 * 1024;
    // How many messages may be delivered in all, so that one who wants few is not lent more; 0: no
    // end.
    std::uint64_t messages_max = 0;
    // How long the daemon waits for a worker that hangs; 100 ms to a day. 0: the queue's.
    std::chrono::milliseconds lease{0};
    // Whether the leases of all unsettled messages are extended by the library, each third of the
    // lease. During a run() a thread of the library sees to it, however long its handler works.
    // Otherwise it can be done only within a call of this client, whichever receives, settles,
    // sends or blocks: they last if no more than a quarter of the lease passes between two of them.
    // Where the work on a message takes longer, call Client::process(0) now and then, or run().
    bool renew_leases = true;
    // The longest that a message may be worked on, counted from when it was returned (or handed to
    // the handler of run()), at most ten years; 0: no limit. After that the library extends its
    // lease no more, so that it is delivered to another when what is left of the lease has passed;
    // other messages are extended as before. on_overrun() tells of it. Without renew_leases it says
    // nothing.
    std::chrono::milliseconds max_run_time{0};
    // What others may do with the queue meanwhile. All its consumers share it alike: one that does
    // not fit to those that are there is refused.
    Sharing sharing = Sharing::shared;
};

// The answer to a settlement that was asked to be confirmed.
struct Settlement {
    std::uint64_t settled = 0;     // messages it applied to
    std::uint64_t not_leased = 0;  // messages that this consumer did not hold (any more)
    Durability durability{};       // of an ack: what it reached
};

enum class Verdict : std::uint8_t {
    ack,          // done with it: it is gone
    nack,         // back to its place in the queue
    dead_letter,  // given up: to the dead letters at once
    stop,         // run() ends; the message stays with this consumer, unsettled
};

struct NackOptions {
    // For people: why it failed. The daemon keeps the last one with the message and shows it with a
    // dead letter. What is beyond 255 bytes is cut off, between two characters of UTF-8.
    std::string_view reason{};
    // Given up: it goes to the dead letters of its queue at once, whatever attempt it was.
    bool dead_letter = false;
    // How long it is delayed before it is delivered again, at most 2^32 - 2 ms (some 49 days); 0:
    // at once. Nothing: as its queue says.
    std::optional<std::chrono::milliseconds> delay{};
};

using DeliveryHandler = std::function<Verdict(const Delivery&)>;
using LeaseLostHandler = std::function<void(MessageRange)>;

// Takes messages from one queue. Each is leased to this consumer until it is settled: acked,
// nacked, or given back when the consumer or the connection ends.
//
// Settlements are gathered, merged to ranges and written when a quarter of the window is settled,
// at Client::flush(), whenever this client blocks, and by the first call behind a tenth of the
// lease or 100 ms, whichever is less. Losing the last of them in a crash means that
// messages are delivered again, never that one is lost. Messages that this consumer does not hold
// (any more) are passed over.
class Consumer {
  public:
    Consumer(Consumer&&) noexcept;
    Consumer& operator=(Consumer&&) noexcept;
    ~Consumer();

    // The next message; nothing when none came within `timeout`.
    // The delivery is valid until the next receive of any kind on this consumer.
    // When the daemon is about to stop (Client::stopping()), messages that it has delivered are
    // still returned; behind them, at once and whatever the timeout, the error is
    // ErrorCode::stopping: there will be no more. Settlements are taken as before: settle what is
    // left and close.
    [[nodiscard]] Result<std::optional<Delivery>> receive(Timeout timeout = forever);
    // The rest of what came in one frame: at least one message, consecutive numbers.
    [[nodiscard]] Result<std::optional<DeliveredBatch>> receive_batch(Timeout timeout = forever);

    // These messages are done with and may be forgotten.
    [[nodiscard]] Result<void> ack(MessageNumber number);
    [[nodiscard]] Result<void> ack(MessageRange range);
    // All messages that receive() or receive_batch() returned, that are unsettled, and whose number
    // is at most `number`.
    [[nodiscard]] Result<void> ack_up_to(MessageNumber number);
    // These messages go back to their place in the queue, to be delivered again to whom it may be,
    // at once or later; or to the dead letters, if that was their last attempt
    // (QueueOptions::max_attempts) or `options` says so. With options, each call makes a frame of
    // its own. Error: bad_option (a delay out of range), and then they are held as before.
    [[nodiscard]] Result<void> nack(MessageNumber number, const NackOptions& options = {});
    [[nodiscard]] Result<void> nack(MessageRange range, const NackOptions& options = {});
    // Their leases run from now on again, `lease` long; 0: as long as this consumer's. Blocks only
    // while the daemon takes no bytes; timeout if it takes none for so long.
    [[nodiscard]] Result<void> extend(MessageNumber number, std::chrono::milliseconds lease);
    [[nodiscard]] Result<void> extend(MessageRange range, std::chrono::milliseconds lease);

    // ack() that waits until the daemon has it as durable as the queue is.
    [[nodiscard]] Result<Settlement> ack_confirmed(MessageRange range, Timeout timeout = forever);
    // Receives and settles by what `handler` says, until it says stop or no message came for
    // `idle`. The handler may call this client and what was opened from it, on its own thread.
    // Returns how many were handled, that of the stop not counted. Errors as receive(),
    // ErrorCode::stopping among them.
    [[nodiscard]] Result<std::uint64_t> run(const DeliveryHandler& handler, Timeout idle = forever);

    // Messages whose lease ran out before they were settled: they are ready again, or dead letters,
    // and this consumer does not hold them any more. Called while a call of this client runs.
    void on_lease_lost(LeaseLostHandler handler);
    [[nodiscard]] std::uint64_t leases_lost() const;
    // Messages that were worked on for longer than ConsumerOptions::max_run_time: still held, but
    // not for long. What settles them in time counts; after that, on_lease_lost() follows. While a
    // handler of run() works it is called on a thread of the library, so that a handler which hangs
    // does not keep it; otherwise while a call of this client runs. It must not throw then.
    void on_overrun(LeaseLostHandler handler);
    // Whether messages come to this consumer: false while it is Sharing::single_active and waits
    // for its turn, and once it has ended. The turn comes when those before it have ended; the
    // handler is called then, while a call of this client runs, but not if it was active from the
    // start.
    [[nodiscard]] bool active() const;
    void on_active(std::function<void()> handler);
    // Messages delivered by the daemon and not settled, those that receive() has yet to return
    // included.
    [[nodiscard]] std::uint64_t unsettled() const;

    [[nodiscard]] const std::string& queue() const;
    [[nodiscard]] QueueId incarnation() const;
    // As it holds for this consumer.
    [[nodiscard]] std::chrono::milliseconds lease() const;

    // Writes the settlements, gives back what is unsettled, and waits until the daemon has done so.
    // Later calls return usage.
    Result<void> close(Timeout timeout = forever);

  private:
    friend class Client;
    friend class Transaction;
    explicit Consumer(std::unique_ptr<client::ConsumerPart> part);

    std::unique_ptr<client::ConsumerPart> part_;
};

}  // namespace mqd
