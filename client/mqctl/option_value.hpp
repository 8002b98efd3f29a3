#pragma once

// Values of options on the command line, read once the parse is through: what is wrong with one
// leaves the parser as a Mistake. For options.cpp only.

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "client/mqctl/options.hpp"
#include "mqd/types.hpp"

namespace mqd::mqctl {

// A mistake on the command line: one line without "mqctl: ". Leaves the parser by throw, as CLI11's
// do.
struct Mistake {
    std::string text;
};

// An option with one value, which is looked at once the parse is through.
CLI::Option* add_value(CLI::App& app, const std::string& name, const std::string& type,
                       const std::string& description);

[[nodiscard]] inline bool given(const CLI::Option* option) {
    return option->count() > 0;
}

// The value of the option, or `absent`; all of them throw Mistake.
[[nodiscard]] std::chrono::milliseconds duration(const CLI::Option* option,
                                                 std::chrono::milliseconds absent);
[[nodiscard]] Durability durability(const CLI::Option* option, Durability absent);
[[nodiscard]] std::uint64_t number(const CLI::Option* option, std::uint64_t absent);
[[nodiscard]] std::string file(const CLI::Option* option);
// Precondition: it is given.
[[nodiscard]] Rate rate(const CLI::Option* option);
// Of --delay and --due, which exclude each other, and of --priority and --ttl.
[[nodiscard]] MessageOptions message_options(const CLI::Option* delay, const CLI::Option* due,
                                             const CLI::Option* priority, const CLI::Option* ttl);
// The number of a message, as 1842 or 5.1842; from 1 on.
[[nodiscard]] MessageNumber message_number(const CLI::Option* option, MessageNumber absent);
// Each of them once, in order. Throws Mistake.
[[nodiscard]] std::vector<MessageId> message_ids(const std::vector<std::string>& operands);

// The options that `queue create` and `queue update` share.
class QueueOptionValues {
  public:
    void add_to(CLI::App& app);
    [[nodiscard]] bool any() const;
    void read(QueueOptions& into) const;

  private:
    void read_groups(QueueOptions& into) const;
    void read_dedup(QueueOptions& into) const;

    CLI::Option *lease_{}, *max_attempts_{}, *dead_letter_{}, *max_messages_{}, *max_bytes_{},
        *on_full_{}, *retry_{}, *group_in_flight_{}, *group_rate_{}, *ttl_{}, *on_expired_{},
        *expire_idle_{}, *history_{}, *history_time_{}, *undo_time_{}, *dedup_window_{},
        *dedup_count_{};
};

}  // namespace mqd::mqctl
