#pragma once

// A load: producers and one consumer against a server, whatever that is. The floors and the client
// library each bring their way to produce and to consume; what is sent, how it is checked and what
// is reported is the same for all, so that the figures can be compared.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "bench/message.hpp"
#include "bench/process.hpp"
#include "mqd/result.hpp"

namespace mqd::bench {

// What each message of mqd's pipelined producers has beside its body.
enum class Feature : std::uint8_t {
    none,
    delay,     // as short as it may be
    priority,  // any of ten
    ttl,       // of its own, which is not reached
    group,     // one of 10,000
    dedup,     // an id of its own, on a queue that knows them
};

struct LoadShape {
    std::size_t producers = 1;
    // Messages that a producer may have unconfirmed, and that the consumer may have unacked.
    std::uint64_t unconfirmed_max = 1'000;
    std::uint64_t unacked_max = 1'000;
    // One in flight: a producer publishes the next message when this one is confirmed and, with a
    // single producer, received.
    bool one_in_flight = false;
    // One in flight: the producer awaits the receipt before it reads the confirm. Were it woken by
    // the confirm, its turn on the only core could come before that of the consumer, whose
    // latency is measured. Otherwise the time to the confirm is measured too.
    bool receipt_first = false;
    // On one core, all of them: what is measured is the work of a hop, not the wake-up of a core.
    bool pinned = false;
    Feature feature{};                          // that mqd's pipelined messages have
    std::chrono::milliseconds duration{1'000};  // of publishing
    std::uint64_t messages_max = 50'000'000;    // per producer

    [[nodiscard]] std::optional<int> core() const {
        return pinned ? std::optional(measuring_core()) : std::nullopt;
    }
};

// Says when a producer has sent enough. Asked once per write, since a clock costs as much as a
// message.
class EndOfLoad {
  public:
    EndOfLoad(const WorkerContext& context, const LoadShape& shape)
        : end_ns_(context.report.begin_ns + std::chrono::nanoseconds(context.publishing).count()),
          messages_max_(shape.messages_max) {}

    [[nodiscard]] bool reached(std::int64_t now, std::uint64_t sent) const {
        return now >= end_ns_ || sent + 1 >= messages_max_;
    }

  private:
    std::int64_t end_ns_;
    std::uint64_t messages_max_;
};

// By which the consumer tells a single producer that its message has come. A descriptor, so that
// the producer sleeps meanwhile.
class Token {
  public:
    Token();
    void pass() const;
    void take() const;  // waits for it

  private:
    Descriptor event_;
};

// One way to produce and to consume. Each runs in a process of its own: connects, calls
// context.ready(), works, calls context.done(), and fills context.report.
struct LoadClient {
    std::function<void(WorkerContext&, std::uint32_t producer)> produce;
    std::function<void(WorkerContext&)> consume;
    // Goes on beside the load, unmeasured but for what it reports as confirm; may be empty.
    std::function<void(WorkerContext&)> disturb;
};

// Figures of one run by name; the unit is the end of the name.
using Figures = std::map<std::string, double>;

// Loads the server for a moment first, so that no run pays for buffers that grow, pages that are
// touched for the first time and files that are not filled yet.
[[nodiscard]] Result<Figures> measure_load(const ServerProcess& server, const LoadShape& shape,
                                           const LoadClient& client);

}  // namespace mqd::bench
