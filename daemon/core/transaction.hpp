#pragma once

// A TRANSACT frame on its way in: first all of it is checked and its room reserved, without
// changing anything; then all of it is done, in one commit group. Lives as long as one frame is
// handled. docs/protocol.md, "Transactions". Loop thread only.

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/core/core.hpp"
#include "mqd/wire/transact.hpp"

namespace mqd::core {

class Transaction {
  public:
    Transaction(Core& core, Session& session) : core_(core), session_(session) {}
    // What was reserved is given back, unless it was taken.
    ~Transaction();
    Transaction(const Transaction&) = delete;
    Transaction& operator=(const Transaction&) = delete;

    // Errors name the operation, and leave everything as it was. What `frame` views is needed until
    // take().
    Result<void> admit(const wire::Transact& frame);
    // Precondition: it was admitted just now.
    void take(CorrelationId correlation);

  private:
    struct Publishing {
        engine::Queue* queue = nullptr;
        TakenBatch batch;  // checked and booked; empty once it was appended
        PublishedBatch published{};
    };
    struct Settling {
        wire::TransactKind kind{};
        ConsumerHandle* consumer = nullptr;
        wire::Bytes body;  // of the operation
        wire::RangeList ranges;
        engine::Failure failure;            // reject
        std::vector<MessageRange> decided;  // ack, reject: once taken
    };
    // What it does to one queue, as far as it was admitted.
    struct QueueSum {
        engine::Queue* queue = nullptr;
        std::uint64_t published = 0;  // messages
        std::uint64_t bytes = 0;      // of their batches
        std::uint64_t acked = 0;      // messages
        std::uint64_t dropped = 0;    // for what is published
    };

    Result<void> admit(const wire::TransactOperation& operation);
    Result<void> admit_publish(const wire::TransactPublish& frame);
    Result<void> admit_settling(const wire::TransactOperation& operation);
    Result<void> admit_ranges(const Settling& settling);
    [[nodiscard]] Result<ConsumerHandle*> consumer(HandleId handle) const;
    [[nodiscard]] std::string name_of(const wire::TransactOperation& operation) const;
    QueueSum& sum_of(engine::Queue& queue);
    void concern(const engine::Queue& queue);

    Result<wire::Publish> sort_out(engine::Queue& queue, const wire::TransactPublish& frame);
    Result<void> admit_batch(engine::Queue& queue, const wire::Publish& publish);
    void number_messages();
    static void note_published(Publishing& publishing);
    void decide_ends();
    void append_publish(CommitGroup& group, Publishing& publishing);
    void append_end(CommitGroup& group, Settling& settling);
    void await(const CommitGroup& group, CorrelationId correlation);
    void settle_at_once();

    Core& core_;
    Session& session_;
    const std::uint32_t first_dedup_batch_ = core_.dedup_.next_batch();
    Durability asked_{};
    std::vector<Publishing> publishing_;
    std::vector<Settling> settling_;
    std::vector<QueueSum> sums_;
    // What of each consumer ends or goes back; value: behind the last number.
    std::map<std::pair<HandleId, MessageNumber>, MessageNumber> given_up_;
    std::uint64_t leaving_ = 0;      // messages that go for what it publishes, in all queues
    std::uint64_t group_bytes_ = 0;  // of its records, at most
    std::uint64_t answer_bytes_ = wire::Transacted::fixed_bytes;
    // Of the durable queues concerned: memory if there is none.
    Durability strictest_ = Durability::memory;
    Durability laxest_ = Durability::disk;
    Durability level_{};      // that the answer waits for
    bool in_memory_ = false;  // it publishes to a memory queue
    bool on_disk_ = false;    // it publishes to a durable queue
};

}  // namespace mqd::core
