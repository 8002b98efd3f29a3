// mqctl consume --exec: a command for each message, several at once. Exit 0 acks; anything else, or
// a signal, gives the message back. Leases are extended by the client library while commands run.
//
// Until delays and dead letters are built, a message that is given back is delivered again at once;
// so it is given back only after a pause, during which its lease is held. At most so many messages
// are taken as there are commands to run, and towards the end settlements are held back and go out
// together with the end of the consumer: each would grant new credit, and what came on it would be
// delivered for nothing.

#include <algorithm>
#include <optional>
#include <vector>

#include "client/mqctl/child_process.hpp"
#include "client/mqctl/commands.hpp"
#include "client/mqctl/signal_watch.hpp"
#include "client/mqctl/units.hpp"
#include "client/mqctl/wait_set.hpp"

namespace mqd::mqctl {
namespace {

constexpr auto failure_pause = std::chrono::seconds(1);
constexpr auto recheck_interval = std::chrono::milliseconds(20);
constexpr int exit_dead_letter = 65;  // EX_DATAERR of sysexits.h
constexpr int exit_delay = 75;        // EX_TEMPFAIL

class Executor {
  public:
    Executor(Session& session, Consumer consumer, std::uint64_t window);
    [[nodiscard]] ExitCode run();

  private:
    using Clock = std::chrono::steady_clock;

    struct Job {
        MessageNumber number;
        std::optional<ChildProcess> child;         // while it runs
        std::optional<Clock::time_point> nack_at;  // once it failed
    };

    [[nodiscard]] Result<void> loop();
    [[nodiscard]] Result<void> fetch();
    [[nodiscard]] Result<void> start(const Delivery& message);
    [[nodiscard]] Result<void> reap();
    [[nodiscard]] Result<void> ended(Job& job, ChildProcess::Ending ending);
    void warn(const Job& job, ChildProcess::Ending ending);
    [[nodiscard]] Result<void> settle(MessageNumber number, bool ack);
    [[nodiscard]] Result<void> settle_held();
    [[nodiscard]] Result<bool> more_may_come();
    void wait();
    void stop(int signal);
    void kill_all();
    [[nodiscard]] ExitCode report(const Result<void>& result);

    [[nodiscard]] bool fetching() const {
        return !signal_ && !exhausted_ && (!options_.count || started_ < *options_.count);
    }
    [[nodiscard]] std::string id_of(MessageNumber number) const {
        return format_message_id(consumer_.queue(), consumer_.incarnation(), number);
    }

    Session& session_;
    const ConsumeOptions& options_;
    SignalWatch signals_;
    Consumer consumer_;
    std::vector<Job> jobs_;
    std::vector<std::pair<MessageNumber, bool>> held_;  // to be acked (true) or nacked at the end
    std::optional<Clock::time_point> deadline_;         // of --wait
    std::optional<Clock::time_point> grace_ends_;
    std::optional<Clock::time_point> recheck_;
    std::optional<int> signal_;
    bool exhausted_ = false;     // no more is waited for
    std::uint64_t window_;       // messages that may be out, unsettled
    std::uint64_t settled_ = 0;  // and told to the daemon, each of which grants one more
    std::uint64_t started_ = 0;
    std::uint64_t acked_ = 0;
    std::uint64_t failed_ = 0;
};

Executor::Executor(Session& session, Consumer consumer, std::uint64_t window)
    : session_(session),
      options_(session.line().consume),
      consumer_(std::move(consumer)),
      window_(window) {
    consumer_.on_lease_lost([this](MessageRange range) {
        session_.talk().complain("the lease ran out for " + format_messages(range.count) +
                                 " from " + id_of(range.first) + " on: done twice, perhaps");
    });
    if (options_.wait && *options_.wait > std::chrono::milliseconds(0)) {
        deadline_ = Clock::now() + *options_.wait;
    }
}

ExitCode Executor::run() {
    return report(loop());
}

Result<void> Executor::loop() {
    while (true) {
        if (auto reaped = reap(); !reaped) {
            return reaped;
        }
        if (auto fetched = fetch(); !fetched) {
            return fetched;
        }
        if (jobs_.empty()) {
            const auto more = more_may_come();
            if (!more) {
                return more.error();
            }
            exhausted_ = !*more;
            if (!fetching()) {
                return {};
            }
        }
        wait();
        if (const auto arrived = session_.client().process(Timeout(0)); !arrived) {
            return arrived.error();
        }
        if (grace_ends_ && Clock::now() >= *grace_ends_) {
            session_.talk().complain("killing " + std::to_string(jobs_.size()) +
                                     " commands that did not end in time");
            kill_all();
            return {};
        }
    }
}

Result<void> Executor::fetch() {
    while (fetching() && jobs_.size() < options_.jobs) {
        const auto message = consumer_.receive(Timeout(0));
        if (!message) {
            return message.error();
        }
        if (!*message) {
            return {};
        }
        if (auto started = start(**message); !started) {
            return started;
        }
    }
    return {};
}

Result<void> Executor::start(const Delivery& message) {
    Environment environment{{"MQD_ID", id_of(message.number)},
                            {"MQD_QUEUE", consumer_.queue()},
                            {"MQD_ATTEMPT", std::to_string(message.attempt)}};
    for (const Header& header : message.headers) {
        // An environment cannot hold NUL bytes, nor a name twice: the first value counts.
        const std::string name = header_variable(header.key);
        const bool taken = std::any_of(environment.begin(), environment.end(),
                                       [&name](const auto& entry) { return entry.first == name; });
        if (!taken) {
            environment.emplace_back(name, header.value.substr(0, header.value.find('\0')));
        }
    }
    auto child =
        ChildProcess::start({options_.exec, environment, message.body, signals_.mask_before()});
    if (!child) {
        return child.error();
    }
    ++started_;
    jobs_.push_back({message.number, *child, std::nullopt});
    return {};
}

// Looks after every job: those that ended, and those whose pause is over.
Result<void> Executor::reap() {
    for (std::size_t i = 0; i < jobs_.size();) {
        Job& job = jobs_[i];
        if (job.child) {
            if (const auto ending = job.child->ending()) {
                job.child.reset();
                if (auto settled = ended(job, *ending); !settled) {
                    return settled;
                }
            }
        }
        const bool pause_over = job.nack_at && (signal_ || Clock::now() >= *job.nack_at);
        if (pause_over) {
            if (auto settled = settle(job.number, false); !settled) {
                return settled;
            }
        }
        if (!job.child && (!job.nack_at || pause_over)) {
            jobs_.erase(jobs_.begin() + static_cast<std::ptrdiff_t>(i));
        } else {
            ++i;
        }
    }
    return {};
}

Result<void> Executor::ended(Job& job, ChildProcess::Ending ending) {
    if (ending.signal == 0 && ending.exit_status == 0) {
        ++acked_;
        return settle(job.number, true);
    }
    ++failed_;
    warn(job, ending);
    job.nack_at = Clock::now() + failure_pause;
    return {};
}

void Executor::warn(const Job& job, ChildProcess::Ending ending) {
    const std::string id = id_of(job.number);
    if (ending.signal != 0) {
        session_.talk().complain(id + ": the command was killed by signal " +
                                 std::to_string(ending.signal) + "; the message is given back");
        return;
    }
    std::string meaning;
    if (ending.exit_status == exit_dead_letter) {
        meaning = " (dead letters are not built yet)";
    } else if (ending.exit_status == exit_delay) {
        meaning = " (delays are not built yet)";
    }
    session_.talk().complain(id + ": the command ended with " + std::to_string(ending.exit_status) +
                             "; the message is given back" + meaning);
}

Result<void> Executor::settle(MessageNumber number, bool ack) {
    const bool near_end = options_.count && settled_ + window_ >= *options_.count;
    if (signal_ || near_end) {
        held_.emplace_back(number, ack);
        return {};
    }
    ++settled_;
    return ack ? consumer_.ack(number) : consumer_.nack(number);
}

// What is to be given back is, when the consumer ends: a nack before that would only bring it
// again.
Result<void> Executor::settle_held() {
    for (const auto& [number, ack] : held_) {
        if (!ack) {
            continue;
        }
        if (auto acked = consumer_.ack(number); !acked) {
            return acked;
        }
    }
    held_.clear();
    return {};
}

// No command runs: whether to wait for a message.
Result<bool> Executor::more_may_come() {
    if (options_.follow || !fetching()) {
        return fetching();
    }
    if (deadline_) {
        return Clock::now() < *deadline_;
    }
    const auto info = session_.client().show_queue(session_.line().queue);
    if (!info) {
        return info.error();
    }
    const std::uint64_t at_hand = consumer_.unsettled() - held_.size();
    recheck_ = Clock::now() + (at_hand > 0 ? Clock::duration(0) : recheck_interval);
    return info->ready > 0 || at_hand > 0;
}

void Executor::wait() {
    WaitSet set(signals_, session_.client());
    for (const Job& job : jobs_) {
        set.until(job.nack_at);
    }
    if (jobs_.empty()) {
        set.until(recheck_);
        set.until(deadline_);
    }
    recheck_.reset();
    set.until(grace_ends_);
    set.wait();
    if (set.signal_ready()) {
        if (const auto signal = signals_.take()) {
            stop(*signal);
        }
    }
}

void Executor::stop(int signal) {
    if (signal_) {
        grace_ends_ = Clock::now();  // asked twice
        return;
    }
    signal_ = signal;
    grace_ends_ = Clock::now() + options_.grace;
    const auto running = static_cast<std::size_t>(std::count_if(
        jobs_.begin(), jobs_.end(), [](const Job& job) { return job.child.has_value(); }));
    if (running > 0) {
        session_.talk().note("waiting up to " + format_duration(options_.grace) + " for " +
                             std::to_string(running) + " commands to end");
    }
}

void Executor::kill_all() {
    for (Job& job : jobs_) {
        if (job.child) {
            (void)job.child->kill();
        }
    }
    jobs_.clear();
}

ExitCode Executor::report(const Result<void>& result) {
    kill_all();  // only after an error is there anything left
    Result<void> end = result;
    if (session_.client().connected()) {
        const auto settled = settle_held();
        const auto closed = consumer_.close(session_.line().global.timeout);
        end = !end ? end : !settled ? settled : closed;
    }
    session_.talk().detail(format_messages(acked_) + " acked, " + format_count(failed_) +
                           " given back");
    if (!end) {
        return session_.fail("consuming from \"" + session_.line().queue + '"', end.error());
    }
    const auto closed = session_.client().close(session_.line().global.timeout);
    if (!closed) {
        return session_.fail("closing the connection", closed.error());
    }
    if (signal_) {
        return exit_code_of_signal(*signal_);
    }
    if (started_ == 0) {
        return options_.drain ? ExitCode::done : ExitCode::empty;
    }
    if (failed_ == 0) {
        return ExitCode::done;
    }
    return acked_ == 0 ? ExitCode::failed : ExitCode::partly;
}

}  // namespace

ExitCode execute(Session& session) {
    const CommandLine& line = session.line();
    ConsumerOptions options;
    options.lease = line.consume.lease;
    options.window_messages =
        std::min<std::uint64_t>(line.consume.jobs, line.consume.count.value_or(line.consume.jobs));
    auto consumer = session.client().consumer(line.queue, options);
    if (!consumer) {
        return session.fail("consuming from \"" + line.queue + '"', consumer.error());
    }
    Executor executor(session, std::move(*consumer), options.window_messages);
    return executor.run();
}

}  // namespace mqd::mqctl
