// mqctl move: messages that wait go from one queue to the end of another, in batches, each of which
// is moved by the daemon as a whole. A signal stops it between two of them.

#include <unistd.h>

#include <algorithm>
#include <string>

#include "client/mqctl/commands.hpp"
#include "client/mqctl/json_report.hpp"
#include "client/mqctl/message_selection.hpp"
#include "client/mqctl/signal_watch.hpp"
#include "client/mqctl/units.hpp"
#include "client/mqctl/wait_set.hpp"

namespace mqd::mqctl {
namespace {

constexpr std::uint64_t moved_at_once = 1000;
// With --rate, batches are so small that so many go in a second.
constexpr double batches_per_second = 10;

// Takes the first half of them out. Precondition: there are two at least.
std::vector<MessageRange> cut_half(std::vector<MessageRange>& ranges) {
    std::vector<MessageRange> half;
    std::uint64_t left = count_of(ranges) / 2;
    while (left > 0) {
        MessageRange& first = ranges.front();
        half.push_back({first.first, std::min(first.count, left)});
        left -= half.back().count;
        first = {half.back().end(), first.count - half.back().count};
        if (first.count == 0) {
            ranges.erase(ranges.begin());
        }
    }
    return half;
}

class Mover {
  public:
    using Clock = std::chrono::steady_clock;

    Mover(Session& session, const QueueInfo& from)
        : session_(session), from_(from), progress_(session.talk(), "moved", -1) {}

    [[nodiscard]] Result<void> run();
    [[nodiscard]] std::uint64_t moved() const { return moved_; }
    [[nodiscard]] std::uint64_t found() const { return found_; }
    [[nodiscard]] std::optional<int> signal() const { return signal_; }

  private:
    [[nodiscard]] Result<void> move(std::vector<MessageRange> ranges);
    [[nodiscard]] std::uint64_t at_once() const;
    [[nodiscard]] bool stopped();

    Session& session_;
    const QueueInfo& from_;
    SignalWatch signals_;
    Progress progress_;
    Clock::time_point started_ = Clock::now();
    std::uint64_t moved_ = 0;
    std::uint64_t found_ = 0;
    std::optional<int> signal_;
};

Result<void> Mover::run() {
    const CommandLine& line = session_.line();
    MessageFilter filter = filter_of(line.selection, wall_time_now());
    filter.states = {MessageState::ready, MessageState::delayed, MessageState::held};
    Selection selection(session_.client(), from_, std::move(filter),
                        line.move.count.value_or(UINT64_MAX));
    while (!stopped()) {
        const auto ranges = selection.next(at_once());
        if (!ranges) {
            return ranges.error();
        }
        if (ranges->empty()) {
            return {};
        }
        found_ += count_of(*ranges);
        if (line.dry_run) {
            continue;
        }
        if (auto moved = move(*ranges); !moved) {
            return moved;
        }
    }
    return {};
}

// Where the target has no room for all of them at once, as many as it has room for.
Result<void> Mover::move(std::vector<MessageRange> ranges) {
    for (;;) {
        const auto answer = session_.client().move_messages(from_.name, from_.incarnation,
                                                            session_.line().move.target, ranges);
        const std::uint64_t moved = answer ? answer->count : 0;
        moved_ += moved;
        progress_.show(moved_, 0);
        if (answer && !answer->stopped) {
            return {};
        }
        const Error& why = answer ? *answer->stopped : answer.error();
        if (why.code != ErrorCode::queue_full || (moved == 0 && count_of(ranges) == 1)) {
            return why;
        }
        if (moved > 0) {  // the others, as they are: what has moved is not there any more
            continue;
        }
        std::vector<MessageRange> half = cut_half(ranges);
        if (auto done = move(std::move(half)); !done) {
            return done;
        }
    }
}

std::uint64_t Mover::at_once() const {
    const auto& rate = session_.line().move.per_second;
    return rate ? std::clamp<std::uint64_t>(static_cast<std::uint64_t>(*rate / batches_per_second),
                                            1, moved_at_once)
                : moved_at_once;
}

// Waits for as long as the rate wants it.
bool Mover::stopped() {
    const auto& rate = session_.line().move.per_second;
    const double seconds = rate ? static_cast<double>(moved_) / *rate : 0;
    const auto due = started_ + std::chrono::duration_cast<Clock::duration>(
                                    std::chrono::duration<double>(seconds));
    while (!(signal_ = signals_.take()) && Clock::now() < due && session_.client().connected()) {
        WaitSet set(signals_, session_.client());
        set.until(due);
        set.wait();
        (void)session_.client().process(Timeout(0));  // what ended it is said by the next call
    }
    return signal_.has_value();
}

}  // namespace

ExitCode move_messages(Session& session) {
    const CommandLine& line = session.line();
    const std::string what = "moving from \"" + line.queue + "\" to \"" + line.move.target + '"';
    const auto from = session.client().show_queue(line.queue);
    if (!from) {
        return session.fail(what, from.error());
    }
    // A name that is wrong is found although there is nothing to be moved.
    if (const auto to = session.client().show_queue(line.move.target); !to) {
        if (to.error().code == ErrorCode::no_such_queue) {
            return session.fail_for_missing(line.move.target);
        }
        session.talk().complain(describe(what, to.error()));
        return exit_code(to.error().code);
    }
    const auto& rate = line.move.per_second;
    if (rate && *rate < 1 && !line.dry_run && is_terminal(STDERR_FILENO)) {
        const auto pause = std::chrono::duration<double>(1 / *rate);
        session.talk().note("one message each " +
                            format_duration(std::chrono::round<std::chrono::milliseconds>(pause)) +
                            ", the first at once; Ctrl-C stops");
    }
    Mover mover(session, *from);
    const auto result = mover.run();
    const std::string amount = line.dry_run
                                   ? format_messages(mover.found()) + " would be moved from \""
                                   : format_messages(mover.moved()) + " moved from \"";
    const std::string between = line.queue + "\" to \"" + line.move.target + '"';
    const auto report = [&](ExitCode exit) {
        return report_json(session, exit,
                           {{"queue", line.queue},
                            {"target", line.move.target},
                            {"found", mover.found()},
                            {"moved", mover.moved()}});
    };
    if (!result) {
        const ExitCode exit = session.fail(what, result.error());
        session.talk().note(amount + between);
        return report(mover.moved() > 0 ? ExitCode::partly : exit);
    }
    session.talk().note((mover.signal() ? "stopped by a signal; " : "") + amount + between);
    return report(mover.signal() ? exit_code_of_signal(*mover.signal()) : ExitCode::done);
}

}  // namespace mqd::mqctl
