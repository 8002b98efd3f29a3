// mqctl consume without --exec: messages to standard output, each acked once its bytes were
// written. The connection is served while the reader of the output is slow, so that leases are
// extended.
//
// With a count, so many are asked for and no more: others get the rest.

#include <unistd.h>

#include <optional>

#include "client/mqctl/commands.hpp"
#include "client/mqctl/message_format.hpp"
#include "client/mqctl/output_stream.hpp"
#include "client/mqctl/signal_watch.hpp"
#include "client/mqctl/turn.hpp"
#include "client/mqctl/units.hpp"
#include "client/mqctl/wait_set.hpp"

namespace mqd::mqctl {
namespace {

constexpr std::uint64_t window_messages = 20'000;
constexpr std::uint64_t window_bytes = 16 * 1024 * 1024;
constexpr std::size_t output_chunk_bytes = 256 * 1024;
// How soon a queue is asked again that has ready messages of which none came.
constexpr auto recheck_interval = std::chrono::milliseconds(20);

class StdoutConsumer {
  public:
    StdoutConsumer(Session& session, MessageFormat format);
    [[nodiscard]] ExitCode run();

  private:
    using Clock = std::chrono::steady_clock;

    [[nodiscard]] Result<void> loop();
    [[nodiscard]] Result<void> open();
    [[nodiscard]] Result<void> end_consumer();
    [[nodiscard]] Result<bool> receive();
    void show(const DeliveredBatch& batch);
    [[nodiscard]] Result<void> write();
    [[nodiscard]] Result<void> ack_written();
    // Nothing is at hand, and everything written: whether to wait for more.
    [[nodiscard]] Result<bool> more_may_come();
    void wait();
    [[nodiscard]] ExitCode report(const Result<void>& result);

    [[nodiscard]] bool complete() const { return options_.count && shown_ == *options_.count; }

    Session& session_;
    const ConsumeOptions& options_;
    MessageFormat format_;
    OutputStream output_;
    SignalWatch signals_;
    Progress progress_;
    std::optional<Consumer> consumer_;
    std::optional<Clock::time_point> deadline_;  // of --wait
    std::optional<Clock::time_point> recheck_;
    std::optional<int> signal_;
    std::optional<Error> stopping_;  // the daemon is: what is shown is written and acked

    std::vector<MessageRange> unacked_;  // shown, and not yet written or not yet acked
    std::uint64_t shown_ = 0;
    std::uint64_t acked_ = 0;
    std::uint64_t bytes_ = 0;
};

StdoutConsumer::StdoutConsumer(Session& session, MessageFormat format)
    : session_(session),
      options_(session.line().consume),
      format_(std::move(format)),
      output_(STDOUT_FILENO),
      progress_(session.talk(), "consumed", STDOUT_FILENO) {
    if (options_.wait && *options_.wait > std::chrono::milliseconds(0)) {
        deadline_ = Clock::now() + *options_.wait;
    }
}

ExitCode StdoutConsumer::run() {
    auto result = open();
    if (result) {
        result = loop();
    }
    return report(result);
}

Result<void> StdoutConsumer::open() {
    ConsumerOptions options;
    options.lease = options_.lease;
    options.sharing = options_.sharing;
    options.window_bytes = window_bytes;
    options.window_messages = window_messages;
    options.messages_max = options_.count.value_or(0);
    auto consumer = session_.client().consumer(session_.line().queue, options);
    if (!consumer) {
        return consumer.error();
    }
    tell_turn(session_, consumer_.emplace(std::move(*consumer)));
    return {};
}

Result<void> StdoutConsumer::loop() {
    while (!(signal_ = signals_.take())) {
        // While the reader is slow, what comes is read by wait() and stays in the library: to be
        // looked at before anything is waited for.
        bool at_hand = output_.pending() > 0;
        if (!at_hand) {
            const auto received = receive();
            if (!received) {
                return received.error();
            }
            at_hand = *received;
        }
        if (auto written = write(); !written) {
            return written;
        }
        if (output_.pending() == 0) {
            if (auto acked = ack_written(); !acked) {
                return acked;
            }
            if (complete()) {
                return {};
            }
            if (at_hand) {
                continue;
            }
            if (stopping_) {
                return *stopping_;
            }
            const auto more = more_may_come();
            if (!more || !*more) {
                return more ? Result<void>() : more.error();
            }
        }
        wait();
    }
    return {};
}

// Shows what is at hand, up to a chunk of output; whether there was anything.
Result<bool> StdoutConsumer::receive() {
    bool any = false;
    while (output_.pending() < output_chunk_bytes && !complete()) {
        const auto batch = consumer_->receive_batch(Timeout(0));
        if (!batch && batch.error().code == ErrorCode::stopping) {
            stopping_ = batch.error();  // once what came before is written
            break;
        }
        if (!batch) {
            return batch.error();
        }
        if (!*batch) {
            break;
        }
        any = true;
        show(**batch);
    }
    return any;
}

void StdoutConsumer::show(const DeliveredBatch& batch) {
    ShownMessage shown;
    shown.queue = session_.line().queue;
    shown.incarnation = consumer_->incarnation();
    for (const Delivery& message : batch) {
        shown.number = message.number;
        shown.attempt = message.attempt;
        shown.published = message.published;
        shown.sender = message.sender;
        shown.body = message.body;
        shown.dead_letter = message.dead_letter();
        shown.priority = message.priority();
        shown.group = message.group();
        shown.dedup_id = message.dedup_id();
        shown.headers.clear();
        for (const Header& header : message.headers) {
            shown.headers.emplace_back(header.key, header.value);
        }
        bytes_ += message.body.size();
        format_.append(output_.buffer(), shown);
    }
    unacked_.push_back(batch.range);
    shown_ += batch.size();
}

Result<void> StdoutConsumer::write() {
    auto written = output_.write_some();
    if (written) {
        progress_.show(acked_, bytes_);
    }
    return written;
}

// Everything shown was written.
Result<void> StdoutConsumer::ack_written() {
    for (const MessageRange& range : unacked_) {
        if (auto acked = consumer_->ack(range); !acked) {
            return acked;
        }
        acked_ += range.count;
    }
    unacked_.clear();
    return {};
}

Result<bool> StdoutConsumer::more_may_come() {
    if (options_.follow) {
        return true;
    }
    if (deadline_) {
        return Clock::now() < *deadline_;
    }
    // Until none is ready. The answer comes behind what was delivered before it was given.
    const auto info = session_.client().show_queue(session_.line().queue);
    if (!info) {
        return info.error();
    }
    recheck_ = Clock::now() + (consumer_->unsettled() > 0 ? Clock::duration(0) : recheck_interval);
    return info->deliverable() > 0 || consumer_->unsettled() > 0;
}

void StdoutConsumer::wait() {
    WaitSet set(signals_, session_.client());
    set.write_to(output_.pending() > 0 ? output_.descriptor() : -1);
    set.until(progress_.next());
    if (output_.pending() == 0) {
        set.until(recheck_);
        set.until(deadline_);
    }
    recheck_.reset();
    set.wait();
    // While output is pending nothing is received, but leases are extended here.
    (void)session_.client().process(Timeout(0));
}

// Acks what was written, and ends the consumer in the same breath.
Result<void> StdoutConsumer::end_consumer() {
    Result<void> result;
    if (output_.pending() == 0) {
        result = ack_written();
    }
    // What was not written is given back with it.
    const auto closed = consumer_->close(session_.line().global.timeout);
    consumer_.reset();
    return result ? closed : result;
}

ExitCode StdoutConsumer::report(const Result<void>& result) {
    progress_.clear();
    Result<void> end = result;
    if (consumer_ && session_.client().connected()) {
        const auto ended = end_consumer();
        end = end ? ended : end;
    }
    session_.talk().detail(format_messages(acked_) + ", " + format_bytes(bytes_));
    if (!end) {
        const std::string what = "consuming from \"" + session_.line().queue + '"';
        const bool doubtful = shown_ > acked_ || !session_.client().connected();
        if (shown_ == 0 || !doubtful) {
            const ExitCode exit = session_.fail(what, end.error());
            (void)session_.client().close(session_.line().global.timeout);
            return exit;
        }
        session_.talk().complain(describe(what, end.error()) + "; " + format_count(acked_) +
                                 " acked, what else was written may be delivered again");
        return exit_code(end.error().code);
    }
    const auto closed = session_.client().close(session_.line().global.timeout);
    if (!closed) {
        return session_.fail("closing the connection", closed.error());
    }
    if (signal_) {
        return exit_code_of_signal(*signal_);
    }
    return shown_ == 0 && !options_.drain ? ExitCode::empty : ExitCode::done;
}

}  // namespace

ExitCode consume(Session& session) {
    if (!session.line().consume.exec.empty()) {
        return execute(session);
    }
    const std::string& output = session.line().global.output;
    auto format = MessageFormat::parse(output.empty() ? "text" : output);
    if (!format) {
        return session.fail("-o", format.error());
    }
    StdoutConsumer consumer(session, std::move(*format));
    return consumer.run();
}

}  // namespace mqd::mqctl
