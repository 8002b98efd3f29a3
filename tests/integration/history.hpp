#pragma once

// The history of a run, and its judge: clients say what they did and what they saw, and it says
// what must not have been. Written without a look at the daemon: it knows only what
// docs/protocol.md promises. All calls may come from any thread; their order is the order in which
// things happened, so a client notes a publish, a nack or its own end before it does them, and
// everything else after.

#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mqd::test {

// The body of message `serial` of a producer: says whose it is, and has filler that only this
// message has, 0 to about `filler_max` bytes of it.
[[nodiscard]] std::string make_body(std::uint32_t producer, std::uint64_t serial,
                                    std::uint64_t filler_max);

// One connection of one consumer.
struct SessionKey {
    std::uint64_t run = 0;      // of the daemon: the process that it is connected to
    std::uint64_t session = 0;  // unique

    friend auto operator<=>(const SessionKey&, const SessionKey&) = default;
};

// A message's id: queue, incarnation and number.
struct MessageKey {
    std::string queue;
    std::uint32_t incarnation = 0;
    std::uint64_t number = 0;

    friend auto operator<=>(const MessageKey&, const MessageKey&) = default;
};

class History {
  public:
    explicit History(std::uint64_t filler_max) : filler_max_(filler_max) {}

    // --- producers. A producer publishes to one queue.
    void published(std::uint32_t producer, std::uint64_t serial);
    void confirmed(std::uint32_t producer, std::uint64_t serial, const MessageKey& key);
    void refused(std::uint32_t producer, std::uint64_t serial);

    // --- consumers
    void delivered(const SessionKey& session, const MessageKey& key, std::uint32_t attempt,
                   std::string_view body);
    // The daemon has confirmed the ack.
    void ack_confirmed(const SessionKey& session, const MessageKey& key);
    void nacking(const SessionKey& session, const MessageKey& key);
    // The connection is about to be given up, or was seen to be broken.
    void ending(const SessionKey& session);

    // --- the judge
    // Something else that must not have been.
    void fault(std::string text);
    // Everything has been drained: what was confirmed must have been delivered.
    void finish();
    [[nodiscard]] std::vector<std::string> violations() const;

    struct Figures {
        std::uint64_t published = 0;
        std::uint64_t confirmed = 0;
        std::uint64_t refused = 0;
        std::uint64_t deliveries = 0;
        std::uint64_t redeliveries = 0;
        std::uint64_t acks_confirmed = 0;
    };
    [[nodiscard]] Figures figures() const;
    // Grows with everything that happens.
    [[nodiscard]] std::uint64_t events() const;

  private:
    enum class Fate { unknown, confirmed, refused };
    struct Sent {
        Fate fate = Fate::unknown;
        bool delivered = false;
        MessageKey key;  // number 0: not known yet
    };
    using Author = std::pair<std::uint32_t, std::uint64_t>;  // producer, serial
    struct Seen {
        Author author;
        SessionKey holder;
        bool given_back = true;  // the holder nacked it
        bool ended = false;      // its ack was confirmed, in the run `ended_in`
        std::uint64_t ended_in = 0;
    };
    using Numbers = std::map<MessageKey, Seen>;

    void note_key(const Author& author, Sent& sent, const MessageKey& key);
    void check_order(const Author& author, const MessageKey& key);
    void check_session_order(const SessionKey& session, const MessageKey& key);
    void check_holder(const SessionKey& session, const MessageKey& key, const Seen& seen);
    void violation(std::string text);

    mutable std::mutex mutex_;
    std::uint64_t filler_max_;
    std::map<Author, Sent> sent_;
    Numbers numbers_;
    std::set<SessionKey> ended_sessions_;
    std::map<SessionKey, std::uint64_t> last_first_delivery_;
    // Up to here a session that ended in good order may have given something back, which then comes
    // as a first delivery once more.
    std::uint64_t given_back_up_to_ = 0;
    // Of each producer, by number: its serials must rise with them.
    std::map<std::uint32_t, std::map<MessageKey, std::uint64_t>> by_number_;
    std::vector<std::string> violations_;
    Figures figures_;
    std::uint64_t events_ = 0;
};

}  // namespace mqd::test
