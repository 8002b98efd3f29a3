#pragma once

// Which messages of a queue a command is about: --filter, --state, --older and --newer, as peek,
// move and queue purge take them, and the way through the queue, a page at a time.

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "client/mqctl/options.hpp"
#include "mqd/client.hpp"

namespace mqd::mqctl {

[[nodiscard]] inline WallTime wall_time_now() {
    return std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
}
// What was said, with ages counted from `now`.
[[nodiscard]] MessageFilter filter_of(const SelectionOptions& said, WallTime now);
// The same for people: "with type=invoice, older than 1h"; empty if all are meant.
[[nodiscard]] std::string describe(const SelectionOptions& said);

// The messages that were there when it began. The client outlives it.
class Selection {
  public:
    // Of states that can be ended or moved by somebody who does not hold them, unless the filter
    // says which. At most `count`.
    Selection(Client& client, const QueueInfo& queue, MessageFilter filter, std::uint64_t count)
        : client_(client), queue_(queue), filter_(std::move(filter)), left_(count) {}

    // The numbers of the next ones, in order, at most `max`; empty only at the end.
    [[nodiscard]] Result<std::vector<MessageRange>> next(std::uint64_t max);

  private:
    Client& client_;
    const QueueInfo& queue_;
    MessageFilter filter_;
    std::uint64_t left_;
    MessageNumber from_{1};
    bool more_ = true;
};

[[nodiscard]] std::uint64_t count_of(const std::vector<MessageRange>& ranges);

}  // namespace mqd::mqctl
