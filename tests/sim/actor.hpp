#pragma once

// A simulated client: the real client session, and a will of its own drawn from a seed. It
// publishes, consumes, settles in every way, forgets to, and bothers the daemon with an
// administrator's requests. The world moves its bytes and its time.

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/session.hpp"
#include "sim/judge.hpp"
#include "support/dice.hpp"

namespace mqd::sim {

// What the clients of one run are like.
struct Habits {
    std::vector<std::string> queues;
    std::vector<Durability> durabilities;     // of the queues
    std::vector<std::uint32_t> max_attempts;  // likewise
    std::vector<Sharing> sharings;            // as most consumers have them
    std::vector<bool> priorities;             // whether messages have them
    std::uint64_t max_messages = 0;           // of each queue but dead letters; 0: no limit
    OnFull on_full = OnFull::reject;
    bool rendezvous = false;              // memory queues, but for dead letters, hold nothing
    std::vector<std::uint32_t> retry_ms;  // likewise
    bool groups = false;                  // some messages have a group
    std::uint32_t group_in_flight = 1;
    Rate group_rate{};         // of each queue but dead letters; at times it is twice that
    bool ttls = false;         // some messages have a TTL
    std::uint64_t ttl_ms = 0;  // of each queue but dead letters; 0: none
    OnExpired on_expired = OnExpired::drop;
    bool waits = false;        // some messages are published, or given back, for later
    std::int64_t wall_us = 0;  // about what time it is
    std::size_t made = 0;      // so many are made by clients; the others are dead letters
    std::size_t body_bytes_max = 1000;
    std::uint64_t burst_max = 12;
    std::uint64_t messages_max = 300;  // of all clients
    std::uint32_t lease_ms_max = 120;
    std::uint64_t window_messages_max = 40;
    unsigned ack_percent = 60;  // of the times when a consumer does something with what it has
    unsigned ack_confirmed_percent = 25;  // of the acks
    unsigned admin_percent = 3;           // of a client's acts
    bool deletes = false;
    bool purges = false;
    std::uint64_t undo_ms = 0;
    bool transacts = false;
    std::string moves_to;  // messages are moved there from other queues; empty: none are
    bool rejects = true;   // some messages are given back as dead letters
    std::uint64_t expire_idle_ms = 0;  // of all queues
    // Every so manieth message is not acked before the end of the run: what lies around it ends,
    // and it stays. 0: none.
    std::uint64_t straggler_every = 0;
    bool names = false;         // some producers have them
    std::uint32_t history = 0;  // of all queues
    // Messages have ids, and what was confirmed on the disk is published once more now and then.
    bool ids = false;
};

// What producers with names publish, by queue and name: the same message again, if a line is sent
// again. Without a name: what others published to queues that know ids, and was confirmed on the
// disk. Of all clients.
struct InputMessage {
    Uid uid = 0;
    std::size_t body_bytes = 0;
    bool with_header = false;
};
using Inputs = std::map<std::pair<QueueId, std::string>, std::vector<InputMessage>>;

class Actor {
  public:
    Actor(const Habits& habits, test::Dice dice, Uid& next_uid, Inputs& inputs);

    // Does something, or not. `now`: as for client::Session::advance.
    void act(client::Time now);
    // From now on it only opens consumers of all queues and acks what comes.
    void drain() { draining_ = true; }

    [[nodiscard]] client::Session& session() { return session_; }
    // It broke no rule and the daemon none: nothing, or what the session says.
    [[nodiscard]] std::optional<std::string> complaint() const;
    // It would like the connection to be cut.
    [[nodiscard]] bool wants_out() const { return wants_out_; }
    [[nodiscard]] bool quiet() const;

  private:
    struct Producing {
        HandleId handle;
        CorrelationId opening;
        std::string name;                  // empty: it has none
        bool remembers = false;            // what is confirmed is on the disk, and its id known
        std::vector<InputMessage> sent{};  // then: since all was confirmed
    };
    struct Consuming {
        HandleId handle;
        CorrelationId opening;
        std::vector<MessageNumber> held;
        std::string queue;
    };

    void start();
    void create(std::size_t index);
    void pause(const std::string& queue, const wire::Paused& paused);
    void change_rate();
    void drain_all();
    void look_at_replies();
    void produce();
    void publish_burst(client::ProducerHandle& handle, Producing& one);
    [[nodiscard]] std::optional<InputMessage> next_message(const client::ProducerHandle& handle,
                                                           const Producing& one);
    [[nodiscard]] bool knows_ids(std::string_view queue) const;
    void note_confirmed(const client::ProducerHandle& handle, Producing& one);
    void consume();
    void take_messages(Consuming& consuming);
    void settle(Consuming& consuming);
    [[nodiscard]] bool straggles(MessageNumber number) const {
        return !draining_ && habits_.straggler_every != 0 &&
               number.value() % habits_.straggler_every == 0;
    }
    void administer();
    void transact();
    bool settle_together(std::vector<std::byte>& operations, Consuming& consuming);
    void publish_together(std::vector<std::byte>& operations, const std::string& queue);
    void look_at_transaction();
    void end_some();
    void move_some();
    void open_something();
    void close_something();
    void leave();
    template <typename Frame>
    void ask(const Frame& frame, wire::FrameType expected) {
        asked_.push_back(session_.request(frame, expected));
    }
    [[nodiscard]] const std::string& some_queue();
    [[nodiscard]] MessageOptions some_options(bool priorities);
    [[nodiscard]] bool has_priorities(std::string_view queue) const;
    [[nodiscard]] MessageNumber some_number(std::string_view queue, std::uint64_t max);

    const Habits& habits_;
    test::Dice dice_;
    Uid& next_uid_;
    Inputs& inputs_;
    client::Session session_;
    bool started_ = false;
    bool draining_ = false;
    bool wants_out_ = false;
    std::vector<Producing> producing_;
    std::vector<Consuming> consuming_;
    struct Transacting {
        CorrelationId correlation;
        std::vector<std::pair<HandleId, MessageRange>> given_up;
    };
    std::optional<Transacting> transacting_;
    std::vector<CorrelationId> asked_;  // whose replies nobody needs
};

}  // namespace mqd::sim
