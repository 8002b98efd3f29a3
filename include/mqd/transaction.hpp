#pragma once

// Publishes and settlements that happen together or not at all: see client.hpp, which has the terms
// of threads, times and errors.
//
//     auto step = client.transaction();
//     step.ack(orders, delivery.number);
//     step.publish("invoices", invoice);
//     const auto done = step.commit();

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "mqd/consumer.hpp"
#include "mqd/delivery.hpp"
#include "mqd/error.hpp"
#include "mqd/producer.hpp"
#include "mqd/result.hpp"
#include "mqd/types.hpp"

namespace mqd {

namespace client {
class Connection;
}  // namespace client

// What is to happen is gathered here, copied, and sent by commit(), one request for all of it: what
// is acked is gone and what is published is there, at one moment, also across a crash of the daemon
// and a power loss. At most 256 operations (each call is one), and no more bytes than the daemon
// takes in one frame.
//
// Publishing so names its queue and needs no Producer. It stands in no order with lines of
// producers that are not confirmed yet.
class Transaction {
  public:
    Transaction(Transaction&&) noexcept;
    Transaction& operator=(Transaction&&) noexcept;
    ~Transaction();  // what was not committed does not happen

    // Errors, and then nothing was added: bad_name, bad_option and message_too_big as
    // Producer::send(); message_too_big also if the transaction would not fit into a frame, usage
    // if it has 256 operations already, or there is no message.
    [[nodiscard]] Result<void> publish(std::string_view queue, std::string_view body,
                                       HeaderList headers = {},
                                       const MessageOptions& options = at_once);
    [[nodiscard]] Result<void> publish(std::string_view queue, std::span<const Message> messages);

    // As the calls of Consumer, of the same client, which must not be closed before commit(). All
    // of the range has to be held by the consumer then. Until then it is, and its leases are
    // extended as before. Errors: message_too_big and usage as above; bad_option as Consumer.
    [[nodiscard]] Result<void> ack(Consumer& consumer, MessageNumber number);
    [[nodiscard]] Result<void> ack(Consumer& consumer, MessageRange range);
    [[nodiscard]] Result<void> nack(Consumer& consumer, MessageRange range,
                                    const NackOptions& options = {});
    [[nodiscard]] Result<void> extend(Consumer& consumer, MessageRange range,
                                      std::chrono::milliseconds lease);

    // What commit() waits for; unspecified: the strictest of the queues concerned. More than any of
    // them gives is refused with durability_unavailable.
    void wait_for(Durability durability) { durability_ = durability; }

    // Sends it, behind all that was gathered for the daemon before, and waits for the answer: the
    // messages that it published, in order. The transaction is empty then.
    // Errors: not_leased (the consumer holds not all of it any more), no_such_queue, and every
    // refusal of a publish; their text names the operation, counted from 1. Then nothing happened,
    // and the transaction is as it was: it may be committed again, or cleared. outcome_unknown: no
    // answer came, because the connection broke or it took too long: all of it happened, or
    // nothing. unknown_frame from a daemon that is too old.
    [[nodiscard]] Result<std::vector<Published>> commit(Timeout timeout = forever);
    void clear();
    [[nodiscard]] std::size_t operations() const { return count_; }

  private:
    friend class Client;
    explicit Transaction(std::shared_ptr<client::Connection> connection);

    struct Ending {
        HandleId handle;
        MessageRange range;
    };
    [[nodiscard]] std::size_t frame_bytes_max() const;
    // Keeps what was appended behind `before` bytes as one operation, or takes it off.
    [[nodiscard]] Result<void> keep(std::size_t before);
    void settle_ended();

    std::shared_ptr<client::Connection> connection_;
    Durability durability_ = Durability::unspecified;
    std::vector<std::byte> operations_;  // as they travel
    std::uint16_t count_ = 0;
    std::vector<Ending> endings_;  // what is not held any more once it is committed
};

}  // namespace mqd
