#pragma once

// The daemon's end of one connection, without the socket: bytes in, bytes out (docs/protocol.md).
// Owns its producers and consumers; when it ends, what they had leased is ready again at once. Loop
// thread only; the core outlives it.

#include <span>
#include <string>
#include <vector>

#include "daemon/core/core.hpp"
#include "daemon/core/out_queue.hpp"
#include "mqd/wire/backup.hpp"
#include "mqd/wire/transact.hpp"

namespace mqd::core {

class Session {
  public:
    // Whom this session is about, for whoever owns it; not looked at here.
    using Owner = void*;

    Session(Core& core, Identity identity, Owner owner);
    ~Session();
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    // What arrived, cut anywhere. Frames are handled as they become whole.
    void receive(wire::Bytes bytes);
    // Output to be sent; after sending, say how much.
    [[nodiscard]] const OutQueue& output() const { return out_; }
    void output_sent(std::size_t bytes);
    // Its owner looks at the output now: what comes later is to be noted again.
    void output_taken() { output_noted_ = false; }
    // Nothing more will be received: close the connection once the output is sent, or at once if
    // it cannot be.
    [[nodiscard]] bool closing() const { return closing_; }
    // The client does not read what it asked for: to be closed as soon as it takes no more.
    [[nodiscard]] bool overflowed() const {
        return out_.bytes() > core_.options().output_bytes_max ||
               (close_reason_ && close_reason_->code == ErrorCode::output_overflow);
    }
    // HELLO or a heartbeat did not come in time: ends the session.
    void check_time();
    // Ends the session from the daemon's side.
    void close(const Error& error);
    // Tells the client that the daemon is stopping.
    void tell_stopping();

    [[nodiscard]] Owner owner() const { return owner_; }
    [[nodiscard]] const Identity& identity() const { return identity_; }
    [[nodiscard]] const std::string& client_name() const { return client_name_; }
    // Why it was closed, if for an error; for the log.
    [[nodiscard]] const std::optional<Error>& close_reason() const { return close_reason_; }

    // --- for core
    template <typename Frame>
    void send(const Frame& frame, CorrelationId correlation, HandleId handle = {}) {
        wire::append_frame(out_.frames(), frame, correlation, handle);
        sent();
    }
    void send_error(const Error& error, CorrelationId correlation, HandleId handle = {});
    void send_confirm(const Producer& producer, LineNumber first, Durability durability,
                      const std::vector<std::byte>& runs);
    void send_refuse(const Producer& producer, LineNumber first, std::uint64_t count,
                     const Error& error);
    void send_delivery(const ConsumerHandle& consumer, const engine::Delivery& delivery);
    // At most wire::ranges_max.
    void send_lease_lost(const ConsumerHandle& consumer, std::span<const MessageRange> ranges);
    // The publish credit of its producers; counted by core.
    [[nodiscard]] std::uint64_t& granted_credit_bytes() { return granted_credit_bytes_; }
    // Its requests that are not answered yet.
    [[nodiscard]] std::vector<Waiter>& waiters() { return waiters_; }
    // Gives up a producer whose lines are all answered.
    void end_producer(Producer& producer);
    // Answers a PEEK, or waits until what it asks for is read.
    void peek(const wire::Peek& frame, CorrelationId correlation);
    // How large the next part of a backup may be; 0: the client has to read first.
    [[nodiscard]] std::size_t backup_room() const;
    // `part` without its bytes, which are those of the block.
    void send_backup_part(const wire::BackupPart& part, Block& block, CorrelationId correlation);
    // Answers GOODBYE once nothing else is to be answered.
    void answer_goodbye();
    // The queue was deleted.
    void forget_queue(const engine::Queue& queue);

  private:
    friend class Transaction;

    enum class State { greeting, open, leaving };

    // --- frames in (session.cpp)
    [[nodiscard]] bool acceptable(const wire::FrameHeader& header);
    void handle_frame(const wire::FrameHeader& header, wire::Bytes body);
    void dispatch(const wire::FrameHeader& header, wire::Bytes body);
    void administer(const wire::FrameHeader& header, wire::Bytes body);
    void violation(std::string_view text);
    template <typename Frame, typename Fn>
    void with(wire::Bytes body, Fn&& fn);
    void on_hello(const wire::Hello& frame);
    void on_goodbye(CorrelationId correlation);
    void end_handles(engine::ConsumerEnd end);
    void sent();

    // --- producers and consumers (handles.cpp)
    [[nodiscard]] bool handle_free(const wire::FrameHeader& header);
    [[nodiscard]] engine::Queue* find_queue(std::string_view name, CorrelationId correlation,
                                            HandleId handle = {});
    [[nodiscard]] bool takes_largest(CorrelationId correlation, HandleId handle = {});
    [[nodiscard]] Producer* producer(const wire::FrameHeader& header);
    [[nodiscard]] ConsumerHandle* consumer(const wire::FrameHeader& header);
    void on_open_producer(const wire::FrameHeader& header, const wire::OpenProducer& frame);
    void on_open_consumer(const wire::FrameHeader& header, const wire::OpenConsumer& frame);
    void on_close_handle(const wire::FrameHeader& header);
    void on_publish(const wire::FrameHeader& header, const wire::Publish& frame);
    void on_resume(const wire::FrameHeader& header);
    void on_credit(const wire::FrameHeader& header, const wire::Credit& frame);
    void on_ack(const wire::FrameHeader& header, const wire::Ack& frame);
    void on_nack(const wire::FrameHeader& header, const wire::Nack& frame);
    void on_extend(const wire::FrameHeader& header, const wire::Extend& frame);
    engine::SettleResult extend(ConsumerHandle& consumer, const wire::Extend& frame);
    void on_transact(CorrelationId correlation, const wire::Transact& frame);
    void answer_settled(const wire::FrameHeader& header, const engine::SettleResult& result);
    [[nodiscard]] bool unanswered() const;

    // --- the administrator (requests.cpp; peek.cpp; history.cpp)
    void on_queue_create(CorrelationId correlation, const wire::QueueCreate& frame);
    void on_queue_update(CorrelationId correlation, const wire::QueueUpdate& frame);
    void on_queue_delete(CorrelationId correlation, const wire::QueueDelete& frame);
    void on_queue_purge(CorrelationId correlation, const wire::QueuePurge& frame);
    void on_queue_undo(CorrelationId correlation, const wire::QueueUndo& frame);
    void on_messages_delete(CorrelationId correlation, const wire::MessagesDelete& frame);
    void on_messages_move(CorrelationId correlation, const wire::MessagesMove& frame);
    void on_message_history(CorrelationId correlation, const wire::MessageHistory& frame);
    void on_queue_show(CorrelationId correlation, const wire::QueueShow& frame);
    void on_queue_list(CorrelationId correlation, const wire::QueueList& frame);
    void on_backup(CorrelationId correlation);
    void on_backup_next(CorrelationId correlation);
    [[nodiscard]] MessageNumber collect(const engine::Queue& queue, const wire::Peek& frame,
                                        wire::PeekReply& reply) const;

    Core& core_;
    Identity identity_;
    Owner owner_;
    State state_ = State::greeting;
    bool closing_ = false;
    bool output_noted_ = false;
    std::optional<Error> close_reason_;
    std::string client_name_;
    std::uint32_t frame_body_bytes_max_ = 0;  // that the client takes
    std::chrono::milliseconds heartbeat_{0};
    engine::Time last_received_;
    CorrelationId goodbye_;
    std::vector<Handle> handles_;  // by number - 1
    std::uint64_t granted_credit_bytes_ = 0;
    std::vector<Waiter> waiters_;     // requests not answered yet, in order
    std::vector<std::byte> partial_;  // the beginning of a frame
    OutQueue out_;
    engine::OutputRoom room_;
};

}  // namespace mqd::core
