#pragma once

// What is said of queues, and of what is in them: the values of the administration, see client.hpp.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mqd/delivery.hpp"
#include "mqd/rate.hpp"
#include "mqd/types.hpp"
#include "mqd/wire/admin.hpp"

namespace mqd {

class Client;

// Options of a queue. Said when it is made: what is not is left to the daemon's configuration. Said
// when it is changed: what is not stays as it is.
struct QueueOptions {
    // As max_messages, with OnFull::wait and Durability::memory: the queue holds nothing. A message
    // is taken when a consumer has credit for it, and confirmed when it has been delivered.
    static constexpr std::uint64_t rendezvous = UINT64_MAX;
    Durability durability = Durability::unspecified;  // unspecified: not said; cannot be changed
    std::chrono::milliseconds lease{0};               // 100 ms to a day; 0: not said
    // After so many deliveries a message that comes back is a dead letter; 0: no limit.
    std::optional<std::uint32_t> max_attempts{};
    // The queue that dead letters go to; empty: its own name and ".dead".
    std::optional<std::string> dead_letter{};
    std::optional<std::uint64_t> max_messages{};  // that are in it; 0: no limit; or rendezvous
    std::optional<std::uint64_t> max_bytes{};     // of them, as encoded; 0: no limit
    OnFull on_full = OnFull::unspecified;         // when one of these is reached
    // How long a message waits after a failed delivery: after its failure number k for the k-th of
    // these, or the last. At most 32, each at most 30 days; none: it is ready again at once.
    std::optional<std::vector<std::chrono::milliseconds>> retry{};
    // Lines are refused with queue_paused, and nothing is added but dead letters.
    std::optional<bool> publishing_paused{};
    // Nothing is delivered; consumers keep what they hold and can settle it.
    std::optional<bool> consuming_paused{};
    // Messages have priorities, and the highest one is delivered first; cannot be changed.
    std::optional<bool> priorities{};
    // Messages of one group that may be under way at a time, 1 to 65,536.
    std::optional<std::uint32_t> group_in_flight{};
    // From when a message of a group is delivered for the first time to the next one of that group,
    // the time that is between two at this rate passes at least; what comes back does not wait for
    // it. At most 1,000,000 in a second, a minute, an hour or a day. Rate{}: no limit.
    std::optional<Rate> group_rate{};
    // How long a message waits at most, at most ten years; the shorter one counts, of this and its
    // own. Changed, it counts for those that are there too. 0: no limit.
    std::optional<std::chrono::milliseconds> ttl{};
    OnExpired on_expired = OnExpired::unspecified;  // what becomes of it then
    // It is deleted once it was empty and unused for so long: no handle was open, and nobody looked
    // into it. At most ten years; 0: never.
    std::optional<std::chrono::milliseconds> expire_idle{};
    // A message with a dedup_id that was published within so long is not taken once more; at most
    // ten years. 0: nobody looks. Of so many messages, at most, 1 to 16,777,216.
    std::optional<std::chrono::milliseconds> dedup_window{};
    std::optional<std::uint32_t> dedup_count{};
    // When it is made: it is kept in memory, and deleted when this connection ends. Cannot be
    // changed.
    std::optional<bool> temporary{};
    // How many events of its messages are kept, for Client::message_history(), and how long; at
    // most 1,000,000, and ten years. An event is one of a whole run of messages and costs 48 bytes
    // of the daemon's memory. 0: none; 0: without a limit in time.
    std::optional<std::uint32_t> history{};
    std::optional<std::chrono::milliseconds> history_time{};
    // How long what is purged, or deleted singly, can be put back with Client::undo_purge(); at
    // most ten years. Until then it takes room, and counts for no limit of messages. 0: not at all.
    std::optional<std::chrono::milliseconds> undo_time{};
};

struct QueueInfo {
    std::string name;
    QueueId incarnation;
    QueueOptions options;       // not said: the daemon is of an earlier release without that option
    std::uint64_t ready = 0;    // messages
    std::uint64_t leased = 0;   // messages
    std::uint64_t bytes = 0;    // as encoded: 8 a message, headers, bodies
    MessageNumber next_number;  // with priorities: that of priority 0
    std::uint32_t consumers = 0;
    std::uint32_t producers = 0;
    std::uint64_t dying = 0;    // messages that wait to be moved to the dead letters
    std::uint64_t delayed = 0;  // messages that wait for their time
    std::uint64_t held = 0;     // messages that wait for others of their group, or its rate
    std::uint64_t expired = 0;  // messages, since the daemon was started or the queue made
    // With priorities: the next number of each, from that of priority 9 on.
    std::vector<MessageNumber> next_of_levels{};
    std::uint64_t duplicates = 0;          // messages that were not taken once more; as `expired`
    std::uint64_t purged = 0;              // messages that Client::undo_purge() would put back
    std::optional<WallTime> undo_until{};  // the first of them only until then

    // The next number, among those of the same priority.
    [[nodiscard]] MessageNumber next_like(MessageNumber number) const {
        const unsigned level = level_of_number(number);
        return level >= 1 && level <= next_of_levels.size() ? next_of_levels[level - 1]
                                                            : next_number;
    }
    // How many numbers were given out between an earlier answer about the same queue and this one.
    [[nodiscard]] std::uint64_t given_out_since(const QueueInfo& earlier) const {
        if (next_of_levels.size() != earlier.next_of_levels.size() || next_of_levels.empty()) {
            return next_number - earlier.next_number;
        }
        std::uint64_t count = 0;
        for (std::size_t i = 0; i < next_of_levels.size(); ++i) {
            count += next_of_levels[i] - earlier.next_of_levels[i];
        }
        return count;
    }
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
    std::optional<unsigned> priority{};     // nothing: it says none
    std::string group;                      // empty: it has none
    std::string dedup_id;                   // likewise
    std::optional<WallTime> due;  // if it is delayed: when it will be ready, by the wall clock
    // If it has a TTL of its own: when that is over, by the wall clock unless that was set
    // meanwhile.
    std::optional<WallTime> expires;
};

// Which messages one wants to look at. What is not said lets all through.
struct MessageFilter {
    std::vector<MessageState> states{};
    std::optional<WallTime> published_from{};    // then or later
    std::optional<WallTime> published_before{};  // earlier than that
    // All of them are among its headers; at most 16, with 1 to 255 bytes of key.
    std::vector<std::pair<std::string, std::string>> headers{};

    [[nodiscard]] bool lets_through(const PeekedMessage& message) const;
};

// What became of messages that were to be moved.
struct MovedMessages {
    std::uint64_t count = 0;
    std::optional<Error> stopped{};  // why the rest was not
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
    PeekRequest(CorrelationId correlation, MessageNumber from, MessageFilter filter)
        : correlation_(correlation), from_(from), filter_(std::move(filter)) {}

    std::optional<CorrelationId> correlation_;  // nothing once its page was taken
    MessageNumber from_;
    MessageFilter filter_;
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

}  // namespace mqd
