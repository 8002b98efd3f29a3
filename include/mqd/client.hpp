#pragma once

// The client of mqd: a connection, producers, consumers and administration, blocking on the
// caller's thread. No thread is started. docs/protocol.md has the terms; README.md has examples.
//
//     auto client = mqd::Client::connect(mqd::default_url());
//     auto orders = client->producer("orders");
//     auto message = orders->publish("hello");        // confirmed: on the disk, if the queue is
//
// Threads. A client and everything opened from it belong to one thread at a time. Another thread
// takes another client.
//
// Lifetime. Producers and consumers may outlive the client object: once it is closed or destroyed,
// their calls return ErrorCode::usage or ErrorCode::disconnected. All are movable; a moved-from
// object may only be destroyed or assigned to.
//
// Time. A timeout of zero never blocks, `forever` never gives up. A call without a timeout of its
// own takes ConnectOptions::timeout. While a call blocks, all that is due is done: gathered
// messages and acks are written, everything that arrives is read, handlers are called. So it is in
// calls to receive, settle or send that need not block: without waiting, as often as a tenth of the
// shortest lease and each 100 ms, as long as there is a consumer. A system call that a signal
// interrupts is taken up again.
//
// Errors. Besides those named at each call: ErrorCode::disconnected (the connection broke, the
// daemon closed it), ErrorCode::protocol_violation or frame_too_big (the daemon sent what it must
// not; the connection is closed), codes of the daemon that close the connection,
// ErrorCode::timeout. After the connection is closed, for whatever reason, it stays closed: connect
// anew.
//
// Handlers are called within a call into the library, on its thread. They must not call into the
// library themselves: such a call returns ErrorCode::usage. What a handler throws goes out of that
// call; handlers that were not called yet are called within the next one that reads.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mqd/delivery.hpp"
#include "mqd/error.hpp"
#include "mqd/result.hpp"
#include "mqd/types.hpp"
#include "mqd/wire/admin.hpp"

namespace mqd {

namespace client {
class Connection;
struct ProducerPart;
struct ConsumerPart;
}  // namespace client

using Timeout = std::chrono::milliseconds;
inline constexpr Timeout forever = Timeout::max();

struct ConnectOptions {
    // Shown to operators in the list of clients; at most 65,535 bytes, of which the daemon may cut.
    std::string client_name;
    // For connecting, and for every call that has no timeout of its own.
    Timeout timeout{5'000};
    // How much is gathered into one PUBLISH frame and one write; 4 KiB to 16 MiB. Bigger: fewer
    // system calls; smaller: earlier on their way. A message beyond it travels alone.
    std::size_t send_buffer_bytes = 64 * 1024;
    // The client promises the daemon a frame at least so often, and is closed when it breaks that.
    // It can keep the promise only while it is within a call. 0: none.
    std::chrono::milliseconds heartbeat{0};
};

// Where a daemon is looked for when nobody says it: MQD_URL from the environment;
// unix:$XDG_RUNTIME_DIR/mqd.sock, if that exists; unix:/run/mqd/mqd.sock.
[[nodiscard]] std::string default_url();

// --- Producer
// -------------------------------------------------------------------------------------

struct ProducerOptions {
    // What the confirms wait for; unspecified: the queue's own durability. More than the queue
    // gives is refused with ErrorCode::durability_unavailable.
    Durability durability = Durability::unspecified;
};

// When a message may be delivered: at once, or delayed, by one of these.
struct MessageOptions {
    // So long after the daemon took it, at most ten years (wire::delay_max). It runs while the
    // daemon runs, and by the wall clock across a restart.
    std::chrono::milliseconds delay{0};
    // Not before this time of the daemon's wall clock, at most ten years ahead; in the past: at
    // once.
    std::optional<WallTime> due{};
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
// library; their numbers are used up. Publish those messages again as new lines, if they are still
// wanted.
//
// A broken connection. Lines that were taken but not answered may or may not have become messages:
// calls that wait for them return ErrorCode::outcome_unknown, and unconfirmed() says how many. So
// do publish() and publish_many() when the confirm does not come in time.
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
    // delay that is negative or too long, or both a delay and a due time), a refusal that stands,
    // timeout (no credit for so long).
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
    // Returns the lines that were refused. Does not wait; without a refusal it does nothing.
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

// --- Consumer
// -------------------------------------------------------------------------------------

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
    // lease. It can do so only within a call of this client, whichever receives, settles, sends or
    // blocks: they last if no more than a quarter of the lease passes between two of them. Where
    // the work on a message takes longer, call Client::process(0) now and then.
    bool renew_leases = true;
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
    [[nodiscard]] Result<void> extend(MessageRange range, std::chrono::milliseconds lease);

    // ack() that waits until the daemon has it as durable as the queue is.
    [[nodiscard]] Result<Settlement> ack_confirmed(MessageRange range, Timeout timeout = forever);
    // Receives and settles by what `handler` says, until it says stop or no message came for
    // `idle`. Returns how many were handled, that of the stop not counted. Errors as receive(),
    // ErrorCode::stopping among them.
    [[nodiscard]] Result<std::uint64_t> run(const DeliveryHandler& handler, Timeout idle = forever);

    // Messages whose lease ran out before they were settled: they are ready again, or dead letters,
    // and this consumer does not hold them any more. Called while a call of this client runs.
    void on_lease_lost(LeaseLostHandler handler);
    [[nodiscard]] std::uint64_t leases_lost() const;
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
    explicit Consumer(std::unique_ptr<client::ConsumerPart> part);

    std::unique_ptr<client::ConsumerPart> part_;
};

// --- Administration
// -------------------------------------------------------------------------------

// Options of a queue. Said when it is made: what is not is left to the daemon's configuration. Said
// when it is changed: what is not stays as it is.
struct QueueOptions {
    Durability durability = Durability::unspecified;  // unspecified: not said; cannot be changed
    std::chrono::milliseconds lease{0};               // 100 ms to a day; 0: not said
    // After so many deliveries a message that comes back is a dead letter; 0: no limit.
    std::optional<std::uint32_t> max_attempts{};
    // The queue that dead letters go to; empty: its own name and ".dead".
    std::optional<std::string> dead_letter{};
    std::optional<std::uint64_t> max_messages{};  // that are in it; 0: no limit
    std::optional<std::uint64_t> max_bytes{};     // of them, as encoded; 0: no limit
    OnFull on_full = OnFull::unspecified;         // when one of these is reached
    // How long a message waits after a failed delivery: after its failure number k for the k-th of
    // these, or the last. At most 32, each at most 30 days; none: it is ready again at once.
    std::optional<std::vector<std::chrono::milliseconds>> retry{};
    // Lines are refused with queue_paused, and nothing is added but dead letters.
    std::optional<bool> publishing_paused{};
    // Nothing is delivered; consumers keep what they hold and can settle it.
    std::optional<bool> consuming_paused{};
};

struct QueueInfo {
    std::string name;
    QueueId incarnation;
    QueueOptions options;      // not said: the daemon is of an earlier release without that option
    std::uint64_t ready = 0;   // messages
    std::uint64_t leased = 0;  // messages
    std::uint64_t bytes = 0;   // as encoded: 8 a message, headers, bodies
    MessageNumber next_number;
    std::uint32_t consumers = 0;
    std::uint32_t producers = 0;
    std::uint64_t dying = 0;    // messages that wait to be moved to the dead letters
    std::uint64_t delayed = 0;  // messages that wait for their time

    // Messages that a consumer with credit would get now.
    [[nodiscard]] std::uint64_t deliverable() const {
        return options.consuming_paused.value_or(false) ? 0 : ready;
    }
    // The name of the queue that its dead letters go to, whether or not that is there yet.
    [[nodiscard]] std::string dead_letter_queue() const {
        const std::string said = options.dead_letter.value_or("");
        return said.empty() ? name + ".dead" : said;
    }
};

using MessageState = wire::MessageState;

// A message that was looked at and not taken. `deliveries` counts those so far.
struct PeekedMessage {
    MessageNumber number;
    MessageState state{};
    std::uint32_t deliveries = 0;
    WallTime published;
    Identity sender;
    std::vector<std::pair<std::string, std::string>> headers;
    std::string body;
    std::optional<DeadLetter> dead_letter;  // what it was, if it is one
    std::optional<WallTime> due;  // if it is delayed: when it will be ready, by the wall clock
};

struct PeekPage {
    std::vector<PeekedMessage> messages;
    MessageNumber next;  // where to go on
    bool more = false;   // whether there may be more from there on
};

// A page that was asked for with Client::begin_peek() and is not taken yet.
class PeekRequest {
  private:
    friend class Client;
    PeekRequest(CorrelationId correlation, MessageNumber from)
        : correlation_(correlation), from_(from) {}

    std::optional<CorrelationId> correlation_;  // nothing once its page was taken
    MessageNumber from_;
};

// A copy of the whole store, ready to be given out: how much there is of it.
struct BackupSize {
    std::uint32_t files = 0;
    std::uint64_t bytes = 0;  // of all files
};

// The next bytes of a file of the copy: file by file, each from its beginning to its end.
struct BackupPart {
    std::string file;  // its name: letters, digits and '-'
    std::uint64_t offset = 0;
    std::vector<std::byte> bytes;
    bool ends_file = false;
    bool ends_backup = false;
};

// A backup, or a part of one, that was asked for and is not taken yet.
class BackupRequest {
  private:
    friend class Client;
    explicit BackupRequest(CorrelationId correlation) : correlation_(correlation) {}

    std::optional<CorrelationId> correlation_;  // nothing once it was taken
};

struct StatusItem {
    std::string name;
    std::uint64_t value = 0;
};

// --- Client
// ---------------------------------------------------------------------------------------

class Client {
  public:
    // Connects and greets. `url` is unix:/path, tcp://host:port or tcp://[address]:port.
    // Errors: bad_url, connect_failed (text and os_errno say why), timeout, and what the daemon
    // answers: unsupported_version, too_many_connections, not_permitted.
    [[nodiscard]] static Result<Client> connect(std::string_view url,
                                                const ConnectOptions& options = {});
    // Greets over a stream socket that is connected already; takes it over and closes it in the
    // end.
    [[nodiscard]] static Result<Client> adopt(int socket, const ConnectOptions& options = {});

    Client(Client&&) noexcept;
    Client& operator=(Client&&) noexcept;
    // Breaks the connection, if close() did not end it: what was gathered and not written is
    // dropped, what consumers held is ready again at once.
    ~Client();

    // Ends properly: writes everything, waits until the daemon has dealt with it all (every line
    // answered, every ack taken), and closes. The connection is closed in any case.
    Result<void> close(Timeout timeout = forever);

    // Errors: no_such_queue, bad_name, too_many_handles, not_permitted.
    [[nodiscard]] Result<Producer> producer(std::string_view queue, ProducerOptions options = {});
    // Errors: as producer(); usage for a window of 0, bad_option for a lease out of range or a
    // sharing that the daemon does not know, queue_exclusive.
    [[nodiscard]] Result<Consumer> consumer(std::string_view queue, ConsumerOptions options = {});

    // The queue as it is then. A queue of that name and the same options is fine; one with other
    // options is queue_exists (of those from max_attempts on, only what is said is compared).
    // Errors: bad_name, bad_option, too_many_queues, not_permitted.
    [[nodiscard]] Result<QueueInfo> create_queue(std::string_view name,
                                                 const QueueOptions& options = {});
    // The queue as it is then. Errors: no_such_queue, bad_option, not_permitted; unknown_frame from
    // a daemon of the first release.
    [[nodiscard]] Result<QueueInfo> update_queue(std::string_view name,
                                                 const QueueOptions& options);
    // The messages that went with it. Errors: no_such_queue, not_permitted.
    [[nodiscard]] Result<std::uint64_t> delete_queue(std::string_view name);
    // The messages removed; what is leased stays with its consumers. Errors: as delete_queue().
    [[nodiscard]] Result<std::uint64_t> purge_queue(std::string_view name);
    // Ends single messages that wait, ready or delayed; so a delayed one is cancelled. Returns how
    // many they were: what is leased stays, what is gone counts for nothing. More than 4,096 ranges
    // travel in several requests, of which an error may leave the first done. Errors: bad_option (a
    // range of no messages), as delete_queue(), no_such_queue also if the queue is another
    // incarnation now, unknown_frame from a daemon that is too old.
    [[nodiscard]] Result<std::uint64_t> delete_messages(std::string_view queue, QueueId incarnation,
                                                        std::span<const MessageRange> ranges);
    // All queues, in byte order of their names.
    [[nodiscard]] Result<std::vector<QueueInfo>> list_queues();
    [[nodiscard]] Result<QueueInfo> show_queue(std::string_view name);
    // At most `max` messages (1..1000) from the number `from` on; takes nothing.
    [[nodiscard]] Result<PeekPage> peek(std::string_view queue, MessageNumber from,
                                        std::uint32_t max);
    // peek() in two steps, for event loops: what lies on the disk alone may take its time.
    // begin_peek() does not block; take_peek() neither: the page, once process() has read it, else
    // nothing. What the daemon answers instead comes from take_peek(), and from then on it is
    // usage. Take what you ask for, from the same client: an answer is kept until then.
    [[nodiscard]] Result<PeekRequest> begin_peek(std::string_view queue, MessageNumber from,
                                                 std::uint32_t max);
    [[nodiscard]] Result<std::optional<PeekPage>> take_peek(PeekRequest& request);
    // A copy of the whole store as it is between the call and its answer, in two steps as peek():
    // all that was confirmed before the call is in it. The parts are asked for one by one, some of
    // them (at most 8) ahead of those that are taken, and taken in order. The daemon holds the copy
    // until the last part was sent, the connection ends, or nothing is asked for or read for
    // a minute or two. Errors of take_backup(): backup_running, stopping, disk_full, backup_failed;
    // of take_backup_part(): no_backup, which is also what was asked for behind the last part is
    // answered with, and backup_failed.
    [[nodiscard]] Result<BackupRequest> begin_backup();
    [[nodiscard]] Result<std::optional<BackupSize>> take_backup(BackupRequest& request);
    [[nodiscard]] Result<BackupRequest> begin_backup_part();
    [[nodiscard]] Result<std::optional<BackupPart>> take_backup_part(BackupRequest& request);
    // Named numbers of the daemon, in its order.
    [[nodiscard]] Result<std::vector<StatusItem>> status();
    // The time until the daemon answered.
    [[nodiscard]] Result<std::chrono::nanoseconds> ping();

    // What the daemon calls itself ("mqd 0.1.0"), and whom it sees at this end.
    [[nodiscard]] const std::string& server_name() const;
    [[nodiscard]] const Identity& identity() const;
    // The daemon's limit on the body of one message, in bytes.
    [[nodiscard]] std::uint32_t message_body_bytes_max() const;

    // Whether the connection stands; when it does not, the reason, which is usage after close().
    [[nodiscard]] bool connected() const;
    [[nodiscard]] const Error* error() const;

    // Whether the daemon has said that it is about to stop. It delivers nothing any more, refuses
    // new lines with ErrorCode::stopping, and waits for its clients (server.shutdown_timeout, 10 s)
    // before it closes their connections: finish what is at hand, settle it, and close(). What is
    // delivered and unsettled then is ready again when the daemon is back. Known once a call has
    // read it: an event loop looks here after process(); who receives is told by
    // Consumer::receive().
    [[nodiscard]] bool stopping() const;

    // Hands all that is gathered, messages and settlements, to the socket; returns when the kernel
    // has it.
    [[nodiscard]] Result<void> flush();

    // For event loops. The descriptor is readable when process() has something to read, and should
    // be watched for writing while wants_write(). process() writes what is gathered, waits at most
    // `timeout` for something to arrive, reads it and calls handlers; true when anything arrived.
    // Then try_send() and receive(0) do not block.
    [[nodiscard]] int native_handle() const;
    [[nodiscard]] bool wants_write() const;
    [[nodiscard]] Result<bool> process(Timeout timeout);
    // Until when process() wants to be called again for its own sake (heartbeats, leases); nothing:
    // never.
    [[nodiscard]] std::optional<std::chrono::steady_clock::time_point> next_deadline() const;

  private:
    template <typename Frame>
    [[nodiscard]] Result<BackupRequest> begin(const Frame& frame, wire::FrameType expected);
    // The body of its answer, if that has come.
    [[nodiscard]] Result<std::optional<std::vector<std::byte>>> take(
        std::optional<CorrelationId>& correlation);

    explicit Client(std::shared_ptr<client::Connection> connection);

    std::shared_ptr<client::Connection> connection_;
};

}  // namespace mqd
