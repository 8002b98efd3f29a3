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

#include "mqd/consumer.hpp"
#include "mqd/delivery.hpp"
#include "mqd/error.hpp"
#include "mqd/message_history.hpp"
#include "mqd/producer.hpp"
#include "mqd/queue.hpp"
#include "mqd/result.hpp"
#include "mqd/transaction.hpp"
#include "mqd/types.hpp"
#include "mqd/wire/admin.hpp"

namespace mqd {

namespace client {
class Connection;
}  // namespace client

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
    [[nodiscard]] Result<Producer> producer(std::string_view queue,
                                            const ProducerOptions& options = {});
    // Errors: as producer(); usage for a window of 0, bad_option for a lease out of range or a
    // sharing that the daemon does not know, queue_exclusive.
    [[nodiscard]] Result<Consumer> consumer(std::string_view queue, ConsumerOptions options = {});

    // An empty one. It must not outlive the client.
    [[nodiscard]] Transaction transaction();

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
    // The messages removed; what is leased stays with its consumers. Those that wait are kept for
    // the queue's undo_time, unless it is for good or their room is needed. Errors: as
    // delete_queue().
    [[nodiscard]] Result<std::uint64_t> purge_queue(std::string_view name, bool for_good = false);
    // Puts back what of the queue was purged or deleted singly and is still kept, each message to
    // its place. Returns how many they are. Errors: as delete_queue(), disk_full; unknown_frame
    // from a daemon that is too old.
    [[nodiscard]] Result<std::uint64_t> undo_purge(std::string_view name);
    // Ends single messages that wait, ready or delayed; so a delayed one is cancelled. They can be
    // put back as after purge_queue(). Returns how
    // many they were: what is leased stays, what is gone counts for nothing. More than 4,096 ranges
    // travel in several requests, of which an error may leave the first done. Errors: bad_option (a
    // range of no messages), as delete_queue(), no_such_queue also if the queue is another
    // incarnation now, unknown_frame from a daemon that is too old.
    [[nodiscard]] Result<std::uint64_t> delete_messages(std::string_view queue, QueueId incarnation,
                                                        std::span<const MessageRange> ranges,
                                                        bool for_good = false);
    // Moves messages that wait, ready or delayed, in the order of their numbers, to the end of
    // another queue. They keep time and sender, and until when they are delayed; they begin anew
    // to be delivered, and what was said of an earlier death is gone. Each is in one of the queues
    // at any time, whatever fails. What is leased stays, what is gone counts for nothing. Many take
    // several requests, of which an error may leave the first done: MovedMessages::stopped says it.
    // Errors, if nothing was moved: as delete_messages(), no_such_queue also of the target,
    // queue_paused, queue_full, memory_full, disk_full, bad_option (the same queue twice).
    [[nodiscard]] Result<MovedMessages> move_messages(std::string_view queue, QueueId incarnation,
                                                      std::string_view target,
                                                      std::span<const MessageRange> ranges);
    // All queues, in byte order of their names.
    [[nodiscard]] Result<std::vector<QueueInfo>> list_queues();
    [[nodiscard]] Result<QueueInfo> show_queue(std::string_view name);
    // What the daemon remembers of a message, there or gone. A queue keeps events if its option
    // `history` says so, and since the daemon was started; what is there is known without them.
    // Errors: no_such_queue (also another incarnation of it; 0 is whichever there is), bad_name,
    // bad_option (a number that no message of the queue can have), unknown_frame from a daemon
    // that is too old.
    [[nodiscard]] Result<MessageHistory> message_history(std::string_view queue,
                                                         QueueId incarnation, MessageNumber number);
    // At most `max` messages (1..1000) from the number `from` on that the filter lets through;
    // takes nothing. The daemon looks at some thousands of messages for one page: it may be empty,
    // and say that there is more. Errors: no_such_queue, bad_name, bad_option (a filter that cannot
    // travel).
    [[nodiscard]] Result<PeekPage> peek(std::string_view queue, MessageNumber from,
                                        std::uint32_t max, const MessageFilter& filter = {});
    // peek() in two steps, for event loops: what lies on the disk alone may take its time.
    // begin_peek() does not block; take_peek() neither: the page, once process() has read it, else
    // nothing. What the daemon answers instead comes from take_peek(), and from then on it is
    // usage. Take what you ask for, from the same client: an answer is kept until then.
    [[nodiscard]] Result<PeekRequest> begin_peek(std::string_view queue, MessageNumber from,
                                                 std::uint32_t max,
                                                 const MessageFilter& filter = {});
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
