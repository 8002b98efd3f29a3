#pragma once

// What happened to the messages of queues that want it kept (their option `history`): who published
// them, to whom they were delivered, what became of that, how they ended. An event is one of a run
// of messages and takes 48 bytes; a queue keeps so many as its option says, for so long, and all
// queues together as many as limits.history_events. In memory only: it begins anew with the daemon.
// Events are noted when they are decided. Nothing of it is asked for on a queue that keeps none but
// whether it does, once a batch. Loop thread only.

#include <deque>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "daemon/core/handle.hpp"
#include "daemon/engine/queue.hpp"
#include "mqd/wire/message_history.hpp"

namespace mqd::core {

class Core;
class Session;
struct TakenBatch;

// Texts that events say again and again, by number; kept as long as an event says them. Empty: 0.
class HistoryTexts {
  public:
    // Counts one more user.
    [[nodiscard]] std::uint32_t take(std::string_view text);
    void drop(std::uint32_t index);
    [[nodiscard]] std::string_view text(std::uint32_t index) const {
        return index == 0 ? std::string_view() : std::string_view(*entries_[index - 1].text);
    }
    [[nodiscard]] std::size_t size() const { return by_text_.size(); }

  private:
    struct Entry {
        const std::string* text = nullptr;  // the key in by_text_
        std::uint64_t users = 0;
    };
    std::unordered_map<std::string, std::uint32_t> by_text_;
    std::vector<Entry> entries_;
    std::vector<std::uint32_t> free_;
    std::string key_;
};

// Who did it, how, and what there is to say.
struct HistoryNote {
    wire::HistoryKind kind{};
    const Session* session = nullptr;  // null: the daemon itself
    HandleId handle{};
    std::string_view text{};
    std::uint32_t attempt = 0;
};

// Messages that come into a memory queue with a commit group: what is to be noted of it then.
struct HistoryOfMove {
    wire::HistoryKind kind{};
    QueueId from;
    std::string from_name;
    std::vector<MessageRange> ranges;
    std::string by;  // as History::who() says it
};

class History {
  public:
    explicit History(Core& core) : core_(core) {}

    [[nodiscard]] static bool kept(const engine::Queue& queue) {
        return queue.definition().history != 0;
    }

    void note(const engine::Queue& queue, std::span<const MessageRange> ranges,
              const HistoryNote& what) {
        if (kept(queue)) {
            add(queue, ranges, what);
        }
    }
    // By a consumer. Precondition: it has its queue.
    void note(const ConsumerHandle& consumer, std::span<const MessageRange> ranges,
              wire::HistoryKind kind, std::string_view text = {}) {
        if (kept(*consumer.queue)) {
            add(*consumer.queue, ranges, {kind, consumer.session, consumer.handle, text});
        }
    }
    void delivered(const engine::Delivery& delivery) {
        if (kept(*delivery.consumer->queue)) {
            add_delivery(delivery);
        }
    }
    // The batch has its numbers. Without a session: it came from its block's sender.
    void published(const engine::Queue& queue, const TakenBatch& batch, const Session* session,
                   std::string_view producer = {}) {
        if (kept(queue)) {
            add_published(queue, batch, session, producer);
        }
    }
    // Messages become those of the batch, in order: moved by a session, or as dead letters. If the
    // batch has no numbers yet, that is noted when came() says so.
    void moved(const engine::Queue& from, std::span<const MessageRange> ranges,
               const engine::Queue& to, TakenBatch& batch, const Session* by, bool has_numbers);
    // A batch for a memory queue has got its numbers.
    void came(const engine::Queue& to, const TakenBatch& batch);

    // The queue has other options now than `before`.
    void changed(const engine::Queue& queue, const engine::QueueDefinition& before);
    void forget(QueueId id);
    // The daemon was started: earlier events are not known.
    void begin(WallTime now) { begun_ = now; }

    // Fills in what is known of the events of a message, from the position on that is asked for:
    // a bounded number of events is looked at, and of those found about `bytes_max` are told.
    void tell(const engine::Queue& queue, const wire::MessageHistory& asked, std::size_t bytes_max,
              wire::MessageHistoryReply& reply) const;

    [[nodiscard]] std::uint64_t events() const { return events_; }
    [[nodiscard]] std::size_t texts() const { return texts_.size(); }

  private:
    struct Event {
        MessageNumber first;
        WallTime at;
        MessageNumber number;       // of the other queue: that of `first`
        std::uint32_t count = 0;    // messages
        std::uint32_t second = 0;   // of the journal clock
        std::uint32_t by = 0;       // in texts_: an identity and the name of the connection
        std::uint32_t text = 0;     // in texts_
        std::uint32_t other = 0;    // the handle; with `number` the incarnation of the other queue
        std::uint16_t attempt = 0;  // or the most that there is room for
        wire::HistoryKind kind{};
    };
    static_assert(sizeof(Event) == 48);

    struct OfQueue {
        std::deque<Event> events;
        std::uint64_t dropped = 0;  // events that are not there any more
        WallTime known_from;
    };
    using Queues = std::map<QueueId, OfQueue>;

    void add(const engine::Queue& queue, std::span<const MessageRange> ranges,
             const HistoryNote& what);
    void add_delivery(const engine::Delivery& delivery);
    void add_published(const engine::Queue& queue, const TakenBatch& batch, const Session* session,
                       std::string_view producer);
    void add_moved(const engine::Queue& to, const TakenBatch& batch, const HistoryOfMove& move);
    struct Texts {
        std::string_view by;
        std::string_view text;
    };
    // `event` without its time, its count and its texts.
    void append(const engine::Queue& queue, Event event, std::uint64_t count, const Texts& texts);
    [[nodiscard]] bool extend(Event& last, const Event& next, std::uint64_t count,
                              const Texts& texts) const;
    // Valid until the next call.
    [[nodiscard]] std::string_view who(const Identity& identity, std::string_view client);
    [[nodiscard]] std::string_view who(const Session* session);
    [[nodiscard]] OfQueue& of(const engine::Queue& queue);
    void drop_old(OfQueue& of, const engine::QueueDefinition& definition);
    void drop_first(OfQueue& of);
    void keep_limit(QueueId latest);
    [[nodiscard]] std::uint32_t second() const;
    [[nodiscard]] wire::HistoryEvent told(const Event& event, MessageNumber number) const;
    static void tell_state(const engine::Queue& queue, MessageNumber number,
                           wire::MessageHistoryReply& reply);

    Core& core_;
    Queues queues_;
    HistoryTexts texts_;
    WallTime begun_;
    std::uint64_t events_ = 0;
    std::string who_;
    QueueId victim_;  // that lost events last, when there were too many
};

}  // namespace mqd::core
