#pragma once

// Publishing to a queue: see client.hpp, which has the terms of threads, times and errors.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "mqd/delivery.hpp"
#include "mqd/error.hpp"
#include "mqd/result.hpp"
#include "mqd/types.hpp"

namespace mqd {

class Client;
namespace client {
struct ProducerPart;
}  // namespace client

struct ProducerOptions {
    // What the confirms wait for; unspecified: the queue's own durability. More than the queue
    // gives is refused with ErrorCode::durability_unavailable.
    Durability durability = Durability::unspecified;
    // 1 to 128 bytes: the producer has this name, and the queue remembers how far it has come; see
    // Producer. Empty: it has none.
    std::string name{};
    // How long a line waits in the daemon at most, when its queue is full and lets publishes wait
    // (OnFull::wait), before it is refused with queue_full; at most a day. 0: three quarters of
    // ConnectOptions::timeout, so that the answer comes before publish() gives up.
    std::chrono::milliseconds wait{0};
};

// When a message may be delivered: at once, or delayed, by one of the first two; how long; and
// before and behind which others.
struct MessageOptions {
    // So long after the daemon took it, at most ten years (wire::delay_max). It runs while the
    // daemon runs, and by the wall clock across a restart.
    std::chrono::milliseconds delay{0};
    // Not before this time of the daemon's wall clock, at most ten years ahead; in the past: at
    // once.
    std::optional<WallTime> due{};
    // 0 to 9 (priority_max), the highest one is delivered first; not said: 0. Only for a queue with
    // QueueOptions::priorities: others refuse the line with bad_option.
    std::optional<unsigned> priority{};
    // The key of its group, 1 to 128 bytes: messages of one queue with the same key are delivered
    // in order, so many at a time as QueueOptions::group_in_flight says. Empty: it has none.
    std::string_view group{};
    // 1 to 128 bytes that stand for the message: on a queue with QueueOptions::dedup_window, one
    // that is published with the same within that time is not taken again, and confirmed as the
    // first. Elsewhere it is kept and does nothing. Empty: it has none.
    std::string_view dedup_id{};
    // How long it is worth delivering since the daemon took it, 1 ms to ten years; 0: for ever,
    // unless its queue says otherwise. Then it ends, or is a dead letter, as its queue says.
    std::chrono::milliseconds ttl{0};
};
inline constexpr MessageOptions at_once{};

// A message to publish, as views.
struct Message {
    std::string_view body;
    HeaderList headers;
    MessageOptions options{};
};

// A message that the daemon took: its id (format_message_id) and the durability that it reached.
struct Published {
    QueueId incarnation;
    MessageNumber number;
    Durability durability{};
};

// `count` lines of a producer handle, beginning with `first`.
struct LineRange {
    LineNumber first;
    std::uint64_t count = 0;

    [[nodiscard]] constexpr LineNumber end() const { return first.plus(count); }
    friend constexpr bool operator==(const LineRange&, const LineRange&) = default;
};

// Lines `first_line` … that became the messages `first_number` …, `count` each.
struct ConfirmedLines {
    LineNumber first_line;
    std::uint64_t count = 0;
    MessageNumber first_number;
    Durability durability{};  // reached by all of them

    friend constexpr bool operator==(const ConfirmedLines&, const ConfirmedLines&) = default;
};

using ConfirmHandler = std::function<void(const ConfirmedLines&)>;

// Publishes to one queue. Each message that the library takes gets a line number, 1, 2, 3 …, and
// the daemon answers the lines in order, each exactly once: confirmed or refused.
//
// Refusals. When the daemon refuses a line (a limit, see Error::limit and retry_after_ms), it
// refuses all later ones too, so that the order is kept: what was confirmed is a prefix. From then
// on every call returns that error, until resume(). Refused lines are not sent again by the
// library; their numbers are used up, unless the producer has a name. Publish those messages again
// as new lines, if they are still wanted.
//
// A broken connection. Lines that were taken but not answered may or may not have become messages:
// calls that wait for them return ErrorCode::outcome_unknown, and unconfirmed() says how many. So
// do publish() and publish_many() when the confirm does not come in time.
//
// A producer with a name (ProducerOptions::name) can be certain: the queue keeps, as safe as its
// messages and until it is deleted, how many messages of that name it has taken in all. Its lines
// are that count: they go on behind last_line() when it is opened, and refused lines come again
// under the same numbers after resume(). So line n is the n-th message of the producer's input,
// over all its handles, and each is in the queue once, whatever broke in between, if it keeps to
// this:
//
//     open it under its name; go on with message last_line() + 1 of your input.
//
// The same after any error: outcome_unknown, a restart of either side, a year. The input must give
// the same messages again in the same order. The name belongs to one handle at a time: whoever
// opens it fences the one before, whose lines are refused with producer_fenced from then on.
//
// Destroying a producer gives up its handle and waits for nothing: call wait_all() before, or
// Client::close() after, to know what became of its lines.
class Producer {
  public:
    Producer(Producer&&) noexcept;
    Producer& operator=(Producer&&) noexcept;
    ~Producer();

    // Sends one message, behind all lines before it, and waits for its confirm. Errors: a refusal,
    // of this line or of one before it; those of send(), timeout among them: the message was not
    // taken, and publishing it again makes no second one; outcome_unknown: it was taken, its line
    // is next_line() - 1, and no answer came. If the client is still connected, the line is under
    // way: wait() for it, publishing it again may make two.
    [[nodiscard]] Result<Published> publish(std::string_view body, HeaderList headers = {},
                                            const MessageOptions& options = at_once);

    // Sends all and waits for all: the confirmed runs in line order, one unless other producers
    // came between. It gives up when the daemon takes or answers nothing for
    // ConnectOptions::timeout, however long all of it lasts. Errors as publish(): after timeout,
    // and the errors of send(), those from next_line() on were not taken.
    [[nodiscard]] Result<std::vector<ConfirmedLines>> publish_many(
        std::span<const Message> messages);
    // The same; what was confirmed is put into `confirmed` on an error as well. The line of
    // messages[i] is next_line() before the call, plus i.
    [[nodiscard]] Result<void> publish_many(std::span<const Message> messages,
                                            std::vector<ConfirmedLines>& confirmed);

    // Takes one message and returns its line: it is packed with what is waiting into one frame,
    // which is written when send_buffer_bytes have gathered, at flush(), or whenever this client
    // blocks. Blocks only while the daemon grants no publish credit or takes no bytes. Without an
    // error only being taken is promised; the confirm comes later.
    // Errors, no line used: message_too_big (body beyond the daemon's limit, or headers beyond
    // 65,535 bytes; `limit` says which), bad_option (a header key of 0 or more than 255 bytes; a
    // delay that is negative or too long, or both a delay and a due time, or a priority beyond 9),
    // a refusal that stands, timeout (no credit for so long).
    [[nodiscard]] Result<LineNumber> send(std::string_view body, HeaderList headers = {},
                                          const MessageOptions& options = at_once);

    // send() that never blocks: ErrorCode::timeout when it would have to.
    [[nodiscard]] Result<LineNumber> try_send(std::string_view body, HeaderList headers = {},
                                              const MessageOptions& options = at_once);

    // Hands everything that is gathered to the socket; returns when the kernel has it.
    [[nodiscard]] Result<void> flush();

    // Waits until the line is confirmed. Errors: its refusal, outcome_unknown, timeout, usage: no
    // such line yet, or one before refusals that are forgotten, so that it may have been refused.
    // The last 64 are remembered; such as follow one another for the same reason count as one.
    [[nodiscard]] Result<void> wait(LineNumber line, Timeout timeout = forever);
    // Waits until no more than `at_most` lines are unanswered; refusals are errors as above.
    [[nodiscard]] Result<void> wait_unconfirmed(std::uint64_t at_most, Timeout timeout = forever);
    // Waits until every line is confirmed.
    [[nodiscard]] Result<void> wait_all(Timeout timeout = forever);

    // Lines that are neither confirmed nor refused. After the connection broke: those whose outcome
    // is unknown.
    [[nodiscard]] std::uint64_t unconfirmed() const;
    // Of a producer with a name: how many of its messages the queue had taken, before it was opened
    // here; they are as durable as the queue. Without a name: 0.
    [[nodiscard]] LineNumber last_line() const;
    // The number that the next line will get.
    [[nodiscard]] LineNumber next_line() const;
    // Every line before this one has been answered.
    [[nodiscard]] LineNumber answered_up_to() const;

    // Called for confirmed lines, in line order, while a call of this client runs. Replaces the
    // handler before.
    void on_confirm(ConfirmHandler handler);

    // The refusal that stands: its error, and the first line that was refused. All lines from there
    // to next_line() are refused.
    [[nodiscard]] const Error* refusal() const;
    [[nodiscard]] std::optional<LineNumber> refused_from() const;
    // Takes up publishing again after a refusal: asks the daemon to accept what comes from now on.
    // Returns the lines that were refused. Does not wait; without a refusal it does nothing. A
    // producer with a name gives those numbers again, to the next lines that are sent.
    [[nodiscard]] Result<LineRange> resume();

    [[nodiscard]] const std::string& queue() const;
    [[nodiscard]] QueueId incarnation() const;
    [[nodiscard]] Durability queue_durability() const;

    // Flushes, waits until all lines are answered, and gives up the handle. The error is that of
    // wait_all(); the handle is given up in any case, and later calls return usage.
    Result<void> close(Timeout timeout = forever);

  private:
    friend class Client;
    explicit Producer(std::unique_ptr<client::ProducerPart> part);

    std::unique_ptr<client::ProducerPart> part_;
};

}  // namespace mqd
