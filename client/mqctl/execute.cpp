// mqctl consume --exec: a command for each message, several at once. Exit 0 acks; 65 sends to the
// dead letters; 75 gives the message back with the delay of --retry-delay; anything else, or a
// signal, gives it back, and so does running for longer than --max-run-time, which ends the
// command. The daemon is told the reason. Leases are extended by the client library while commands
// run.
//
// A message that is given back without a delay may be delivered again at once. So --follow gives it
// back after a pause, during which its lease is held. A run that has an end (-n, --drain) tries
// each message once: what failed stays leased until the run is over. That takes from what may be
// out at once; when nothing else may, another consumer brings more.
//
// At most so many messages are taken as there are commands to run, and towards the end settlements
// are held back and go out together with the end of the consumer: each would grant new credit, and
// what came on it would be delivered for nothing.

#include <algorithm>
#include <deque>
#include <optional>
#include <vector>

#include "client/mqctl/child_process.hpp"
#include "client/mqctl/commands.hpp"
#include "client/mqctl/signal_watch.hpp"
#include "client/mqctl/turn.hpp"
#include "client/mqctl/units.hpp"
#include "client/mqctl/wait_set.hpp"

namespace mqd::mqctl {
namespace {

constexpr auto failure_pause = std::chrono::seconds(1);
constexpr auto kill_pause = std::chrono::seconds(5);
constexpr auto recheck_interval = std::chrono::milliseconds(20);
// What a consumer may at most hold that makes up for failed messages.
constexpr std::uint64_t spare_window_max = 1000;
constexpr int exit_dead_letter = 65;  // EX_DATAERR of sysexits.h
constexpr int exit_delay = 75;        // EX_TEMPFAIL

// For people who look at a dead letter.
std::string reason_of(ChildProcess::Ending ending) {
    return ending.signal != 0 ? "signal " + std::to_string(ending.signal)
                              : "exit status " + std::to_string(ending.exit_status);
}

std::string format_commands(std::uint64_t count) {
    return format_count(count) + (count == 1 ? " command" : " commands");
}

class Executor {
  public:
    explicit Executor(Session& session);
    [[nodiscard]] ExitCode run();

  private:
    using Clock = std::chrono::steady_clock;

    // A message that is ours until it is settled.
    struct Held {
        Consumer* consumer;
        MessageNumber number;
    };
    struct Job {
        Held message;
        std::optional<ChildProcess> child;                 // while it runs
        std::optional<Clock::time_point> limit_at{};       // of --max-run-time; then, of its end
        bool overrun = false;                              // and so was asked to end
        std::optional<Clock::time_point> nack_at{};        // once it failed
        std::string reason{};                              // why
        std::optional<std::chrono::milliseconds> delay{};  // then; absent: as the queue says
    };
    // One that failed, and is settled at the end.
    struct Kept {
        Held message;
        std::string reason;
        std::optional<std::chrono::milliseconds> delay;
        bool dead_letter = false;
    };

    [[nodiscard]] Result<void> open(std::uint64_t window);
    [[nodiscard]] Result<void> loop();
    [[nodiscard]] Result<void> fetch();
    [[nodiscard]] Result<bool> fetch_one();
    [[nodiscard]] Result<bool> widen();
    [[nodiscard]] Result<void> start(Consumer& consumer, const Delivery& message);
    [[nodiscard]] Result<void> reap();
    [[nodiscard]] static std::optional<ChildProcess::Ending> ending_of(Job& job);
    [[nodiscard]] Result<void> ended(Job& job, ChildProcess::Ending ending);
    // Whether the message is to wait for --retry-delay.
    [[nodiscard]] bool delays(ChildProcess::Ending ending) const {
        return ending.signal == 0 && ending.exit_status == exit_delay && options_.retry_delay;
    }
    void warn(const Job& job, ChildProcess::Ending ending);
    [[nodiscard]] Result<void> ack(const Held& message);
    [[nodiscard]] Result<void> give_back(const Job& job);
    [[nodiscard]] Result<void> give_up(const Job& job);
    // Whether what is settled waits for the end of the run.
    [[nodiscard]] bool settles_at_end() const {
        return winding_down() || (options_.count && settled_ + window_ >= *options_.count);
    }
    [[nodiscard]] Result<void> end_consumers();
    [[nodiscard]] Result<bool> more_may_come();
    void wait();
    void stop(int signal);
    void note_stopping();
    void end_commands();
    void kill_all();
    [[nodiscard]] ExitCode report(const Result<void>& result);

    [[nodiscard]] bool fetching() const {
        return !winding_down() && !exhausted_ && (!options_.count || started_ < *options_.count);
    }
    // What is begun is finished, and nothing else done.
    [[nodiscard]] bool winding_down() const { return signal_ || stopping_ || broken_off_; }
    [[nodiscard]] std::uint64_t unsettled() const;
    [[nodiscard]] std::uint64_t running() const;
    [[nodiscard]] static std::string id_of(const Held& message) {
        const Consumer& consumer = *message.consumer;
        return format_message_id(consumer.queue(), consumer.incarnation(), message.number);
    }

    Session& session_;
    const ConsumeOptions& options_;
    SignalWatch signals_;
    std::deque<Consumer> consumers_;  // the first, and those that make up for failed messages
    std::vector<Job> jobs_;
    std::vector<Held> done_;                     // to be acked at the end
    std::vector<Kept> kept_;                     // messages that failed
    std::optional<Clock::time_point> deadline_;  // of --wait
    std::optional<Clock::time_point> grace_ends_;
    std::optional<Clock::time_point> recheck_;
    std::optional<int> signal_;
    bool once_;                  // each message is tried once
    bool exhausted_ = false;     // no more is waited for
    bool stopping_ = false;      // the daemon is
    bool broken_off_ = false;    // by an error
    std::uint64_t window_ = 0;   // messages that may be out, unsettled
    std::uint64_t settled_ = 0;  // and told to the daemon, each of which grants one more
    std::uint64_t started_ = 0;
    std::uint64_t acked_ = 0;
    std::uint64_t failed_ = 0;
};

Executor::Executor(Session& session)
    : session_(session),
      options_(session.line().consume),
      once_(!options_.follow || options_.count) {
    if (options_.wait && *options_.wait > std::chrono::milliseconds(0)) {
        deadline_ = Clock::now() + *options_.wait;
    }
}

ExitCode Executor::run() {
    auto result = open(std::min<std::uint64_t>(options_.jobs, options_.count.value_or(UINT64_MAX)));
    if (result) {
        result = loop();
    }
    return report(result);
}

// One more consumer, that may hold so many messages.
Result<void> Executor::open(std::uint64_t window) {
    ConsumerOptions options;
    options.lease = options_.lease;
    options.sharing = options_.sharing;
    options.window_messages = window;
    auto opened = session_.client().consumer(session_.line().queue, options);
    if (!opened) {
        return opened.error();
    }
    Consumer& consumer = consumers_.emplace_back(std::move(*opened));
    tell_turn(session_, consumer);
    consumer.on_lease_lost([this, &consumer](MessageRange range) {
        session_.talk().complain("the lease ran out for " + format_messages(range.count) +
                                 " from " + id_of({&consumer, range.first}) +
                                 " on: done twice, perhaps");
    });
    window_ += window;
    return {};
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
        if (!stopping_ && session_.client().stopping()) {
            note_stopping();
        }
        if (grace_ends_ && Clock::now() >= *grace_ends_) {
            kill_all();
            return {};
        }
    }
}

Result<void> Executor::fetch() {
    while (fetching() && jobs_.size() < options_.jobs) {
        auto more = fetch_one();
        if (more && !*more) {
            more = widen();
        }
        if (!more || !*more) {
            return more ? Result<void>() : more.error();
        }
    }
    return {};
}

// Begins with one message, if one is at hand.
Result<bool> Executor::fetch_one() {
    for (Consumer& consumer : consumers_) {
        const auto message = consumer.receive(Timeout(0));
        if (!message && message.error().code == ErrorCode::stopping) {
            note_stopping();
            return false;
        }
        if (!message) {
            return message.error();
        }
        if (*message) {
            const auto started = start(consumer, **message);
            return started ? Result<bool>(true) : started.error();
        }
    }
    return false;
}

// When failed messages use up all that may be out: asks for as many again, so that what is fetched
// too early grows only with what fails.
Result<bool> Executor::widen() {
    if (winding_down() || kept_.empty() || unsettled() < window_) {
        return false;
    }
    std::uint64_t window = std::min<std::uint64_t>(kept_.size(), spare_window_max);
    if (options_.count) {
        window = std::min(window, *options_.count - std::min(*options_.count, settled_ + window_));
    }
    if (window == 0) {
        return false;
    }
    const auto opened = open(window);
    return opened ? Result<bool>(true) : opened.error();
}

std::uint64_t Executor::unsettled() const {
    std::uint64_t count = 0;
    for (const Consumer& consumer : consumers_) {
        count += consumer.unsettled();
    }
    return count;
}

std::uint64_t Executor::running() const {
    return static_cast<std::uint64_t>(std::count_if(
        jobs_.begin(), jobs_.end(), [](const Job& job) { return job.child.has_value(); }));
}

Result<void> Executor::start(Consumer& consumer, const Delivery& message) {
    Environment environment{{"MQD_ID", id_of({&consumer, message.number})},
                            {"MQD_QUEUE", consumer.queue()},
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
    jobs_.push_back({{&consumer, message.number}, *child});
    if (options_.max_run_time.count() != 0) {
        jobs_.back().limit_at = Clock::now() + options_.max_run_time;
    }
    return {};
}

// How the command of a job ended, once it has. If it runs for too long, it is asked to, and killed
// when it does not; either way nothing is left of its group.
std::optional<ChildProcess::Ending> Executor::ending_of(Job& job) {
    if (job.limit_at && Clock::now() >= *job.limit_at && !job.child->has_ended()) {
        if (job.overrun) {
            job.child->send_kill();
            job.limit_at.reset();
        } else {
            job.child->terminate();
            job.overrun = true;
            job.limit_at = Clock::now() + kill_pause;
        }
    }
    if (!job.overrun) {
        return job.child->ending();
    }
    return job.child->has_ended() ? std::optional(job.child->kill()) : std::nullopt;
}

// Looks after every job: those that ended, and those whose pause is over.
Result<void> Executor::reap() {
    for (std::size_t i = 0; i < jobs_.size();) {
        Job& job = jobs_[i];
        if (job.child) {
            if (const auto ending = ending_of(job)) {
                job.child.reset();
                if (auto settled = ended(job, *ending); !settled) {
                    return settled;
                }
            }
        }
        const bool pause_over =
            job.nack_at && (winding_down() || once_ || Clock::now() >= *job.nack_at);
        if (pause_over) {
            if (auto settled = give_back(job); !settled) {
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
    if (ending.signal == 0 && ending.exit_status == 0 && !job.overrun) {
        ++acked_;
        return ack(job.message);
    }
    ++failed_;
    warn(job, ending);
    job.nack_at = Clock::now() + failure_pause;
    if (job.overrun) {
        job.reason = "ran longer than " + format_duration(options_.max_run_time);
        return {};
    }
    job.reason = reason_of(ending);
    if (ending.signal == 0 && ending.exit_status == exit_dead_letter) {
        job.nack_at.reset();
        return give_up(job);
    }
    if (delays(ending)) {
        job.nack_at = Clock::now();
        job.delay = options_.retry_delay;
    }
    return {};
}

void Executor::warn(const Job& job, ChildProcess::Ending ending) {
    const std::string id = id_of(job.message);
    std::string fate = once_ ? "the message is given back at the end" : "the message is given back";
    if (job.overrun) {
        session_.talk().complain(id + ": the command ran longer than " +
                                 format_duration(options_.max_run_time) + " and was ended; " +
                                 fate);
        return;
    }
    if (delays(ending)) {
        const bool later = options_.retry_delay->count() > 0;
        fate += ", to be tried again " +
                (later ? "in " + format_duration(*options_.retry_delay) : std::string("at once"));
    }
    if (ending.signal != 0) {
        session_.talk().complain(id + ": the command was killed by signal " +
                                 std::to_string(ending.signal) + "; " + fate);
        return;
    }
    session_.talk().complain(
        id + ": the command ended with " + std::to_string(ending.exit_status) + "; " +
        (ending.exit_status == exit_dead_letter ? "the message goes to the dead letters" : fate));
}

Result<void> Executor::ack(const Held& message) {
    if (settles_at_end()) {
        done_.push_back(message);
        return {};
    }
    ++settled_;
    return message.consumer->ack(message.number);
}

Result<void> Executor::give_back(const Job& job) {
    if (winding_down() || once_) {
        kept_.push_back({job.message, job.reason, job.delay});
        return {};
    }
    ++settled_;
    return job.message.consumer->nack(job.message.number,
                                      {.reason = job.reason, .delay = job.delay});
}

// To the dead letters.
Result<void> Executor::give_up(const Job& job) {
    if (settles_at_end()) {
        kept_.push_back({job.message, job.reason, std::nullopt, true});
        return {};
    }
    ++settled_;
    return job.message.consumer->nack(job.message.number,
                                      {.reason = job.reason, .dead_letter = true});
}

// Settles what is done and what failed; what else is held is given back with the consumers. What
// failed goes out at once, with the GOODBYE behind it: given back sooner, a message would come to
// another of ours.
Result<void> Executor::end_consumers() {
    Result<void> result;
    for (const Held& message : done_) {
        if (auto acked = message.consumer->ack(message.number); !acked) {
            result = acked;
        }
    }
    for (const Kept& failed : kept_) {
        const auto nacked = failed.message.consumer->nack(
            failed.message.number,
            {.reason = failed.reason, .dead_letter = failed.dead_letter, .delay = failed.delay});
        result = nacked ? result : nacked;
    }
    done_.clear();
    kept_.clear();
    jobs_.clear();
    consumers_.clear();
    return result;
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
    const std::uint64_t out = unsettled();
    const std::uint64_t at_hand = out - std::min<std::uint64_t>(out, done_.size() + kept_.size());
    recheck_ = Clock::now() + (at_hand > 0 ? Clock::duration(0) : recheck_interval);
    return info->deliverable() > 0 || at_hand > 0;
}

void Executor::wait() {
    WaitSet set(signals_, session_.client());
    for (const Job& job : jobs_) {
        set.until(job.nack_at);
        set.until(job.limit_at);
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
    if (signal_ || broken_off_) {
        grace_ends_ = Clock::now();  // asked twice
        return;
    }
    signal_ = signal;
    grace_ends_ = Clock::now() + options_.grace;
    if (running() > 0) {
        session_.talk().note("waiting up to " + format_duration(options_.grace) + " for " +
                             format_commands(running()) + " to end");
    }
}

// The daemon waits for so long as it was told to; when it goes, so does the connection.
void Executor::note_stopping() {
    stopping_ = true;
    if (running() > 0) {
        session_.talk().note("the daemon is stopping; waiting for " + format_commands(running()) +
                             " to end");
    }
}

// After an error: commands are asked to end, and killed when they do not within --grace.
void Executor::end_commands() {
    if (running() == 0) {
        return;
    }
    broken_off_ = true;
    grace_ends_ = grace_ends_.value_or(Clock::now() + options_.grace);
    for (const Job& job : jobs_) {
        if (job.child) {
            job.child->terminate();
        }
    }
    while (true) {
        (void)reap();
        if (running() == 0) {
            return;
        }
        if (Clock::now() >= *grace_ends_) {
            kill_all();
            return;
        }
        wait();
        (void)session_.client().process(Timeout(0));
    }
}

void Executor::kill_all() {
    if (running() > 0) {
        session_.talk().complain("killing " + format_commands(running()) +
                                 " that did not end in time");
    }
    for (Job& job : jobs_) {
        if (job.child) {
            (void)job.child->kill();
        }
    }
    jobs_.clear();
}

ExitCode Executor::report(const Result<void>& result) {
    Result<void> end = result;
    const std::string what = "consuming from \"" + session_.line().queue + '"';
    const std::uint64_t cut_off = running();
    if (!end && cut_off > 0) {
        session_.talk().complain(describe(what, end.error()) + "; ending " +
                                 format_commands(cut_off));
        end_commands();
    }
    if (session_.client().connected()) {
        const auto ended = end_consumers();
        end = end ? ended : end;
    }
    session_.talk().detail(format_messages(acked_) + " acked, " + format_count(failed_) +
                           " given back");
    if (end && stopping_ && !signal_ && started_ < options_.count.value_or(UINT64_MAX)) {
        end = Error{ErrorCode::stopping, {}, 0, 0, 0};
    }
    if (!end) {
        const ExitCode exit =
            cut_off > 0 ? exit_code(end.error().code) : session_.fail(what, end.error());
        (void)session_.client().close(session_.line().global.timeout);
        return exit;
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
    Executor executor(session);
    return executor.run();
}

}  // namespace mqd::mqctl
