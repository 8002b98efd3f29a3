// mqctl publish and mqctl import: messages from an argument, files or standard input to a queue,
// pipelined. Standard input and the connection are watched together, so that what is there goes out
// and what is confirmed is printed, whether or not more input comes.

#include <unistd.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "client/mqctl/commands.hpp"
#include "client/mqctl/message_source.hpp"
#include "client/mqctl/output_stream.hpp"
#include "client/mqctl/sent_messages.hpp"
#include "client/mqctl/signal_watch.hpp"
#include "client/mqctl/units.hpp"
#include "client/mqctl/wait_set.hpp"

namespace mqd::mqctl {
namespace {

// Ids that nobody reads: from here on no more messages are sent.
constexpr std::size_t unwritten_bytes_max = 4 * 1024 * 1024;

// What is being done, for errors.
std::string doing(const CommandLine& line) {
    const bool import = line.command == Command::import_messages;
    return (import ? "importing into \"" : "publishing to \"") + line.queue + '"';
}

class Publisher {
  public:
    Publisher(Session& session, Producer producer);
    Publisher(const Publisher&) = delete;
    Publisher& operator=(const Publisher&) = delete;

    [[nodiscard]] ExitCode run();

  private:
    using Clock = std::chrono::steady_clock;

    void pump();
    [[nodiscard]] bool is_passed_over();
    [[nodiscard]] std::optional<Error> input_too_short() const;
    [[nodiscard]] bool take_from_source();
    [[nodiscard]] bool send_smaller();
    [[nodiscard]] HeaderList headers_of(const Message& message);
    [[nodiscard]] MessageOptions options_of(const Message& message) const;
    [[nodiscard]] Error at_source(Error error) const;
    void exchange();
    [[nodiscard]] bool may_pump() const;
    void write_ids();
    void wait();
    void confirmed(const ConfirmedLines& lines);
    void check_stall();

    [[nodiscard]] bool done() const;
    [[nodiscard]] bool unsent() const { return held_ || (sent_ && sent_->any_left()); }
    [[nodiscard]] bool waiting() const { return producer_.unconfirmed() > 0 || unsent(); }
    [[nodiscard]] bool patience_ends() const;
    [[nodiscard]] bool stopped() const { return failure_ || signal_; }
    [[nodiscard]] ExitCode report();
    [[nodiscard]] ExitCode report_failure();
    [[nodiscard]] std::string outcome() const;
    void summarize() const;

    Session& session_;
    Producer producer_;
    std::unique_ptr<MessageSource> source_;
    std::vector<Header> headers_;  // of -H
    std::vector<Header> merged_headers_;
    OutputStream ids_;
    bool ids_wanted_;
    SignalWatch signals_;
    Progress progress_;
    Clock::time_point started_ = Clock::now();
    Clock::time_point last_answer_ = started_;

    Message message_;                     // of the source
    bool held_ = false;                   // message_ is still to be sent
    bool blocked_ = false;                // something could not be sent; nothing has come since
    std::optional<SentMessages> sent_;    // of a producer with a name
    std::uint64_t at_once_ = UINT64_MAX;  // so many messages make a frame at most
    bool starved_ = false;
    bool end_ = false;
    std::optional<Error> failure_;  // ends the input; what is under way is waited for, if it can be
    std::optional<int> signal_;
    bool hurried_ = false;  // a second signal, or the time is up: nothing is waited for

    std::string id_prefix_;
    bool json_;
    std::uint64_t confirmed_ = 0;
    std::uint64_t passed_over_ = 0;  // messages of the input
    std::uint64_t bytes_ = 0;        // of the bodies sent
    Durability reached_ = Durability::disk;
};

Publisher::Publisher(Session& session, Producer producer)
    : session_(session),
      producer_(std::move(producer)),
      source_(
          open_message_source(session.line().publish, session.client().message_body_bytes_max())),
      ids_(STDOUT_FILENO),
      ids_wanted_(session.line().publish.ids && !session.talk().quiet()),
      progress_(session.talk(), "confirmed", ids_wanted_ ? STDOUT_FILENO : -1),
      json_(session.line().global.output == "json") {
    for (const auto& [key, value] : session.line().publish.headers) {
        headers_.push_back({key, value});
    }
    const std::string& queue = session.line().queue;
    const std::string id = queue + ':' + std::to_string(producer_.incarnation().value()) + ':';
    id_prefix_ = json_ ? R"({"id":")" + id : id;
    if (!session.line().publish.producer.empty()) {
        sent_.emplace();
    }
    if (const std::uint64_t taken = producer_.last_line().value(); taken > 0) {
        session.talk().note(
            "producer \"" + session.line().publish.producer + "\": " + format_messages(taken) +
            (taken == 1 ? " was taken before, and is" : " were taken before, and are") +
            " passed over");
    }
    producer_.on_confirm([this](const ConfirmedLines& lines) { confirmed(lines); });
}

ExitCode Publisher::run() {
    while (true) {
        if (!stopped()) {
            pump();
        }
        exchange();
        write_ids();
        progress_.show(confirmed_, bytes_);
        if (done()) {
            return report();
        }
        wait();
    }
}

// Whether there is more to try without waiting: what was in the way of the last try, credit or ids
// that nobody took, may be out of it by now, and then nothing else may ever come to wake us.
bool Publisher::may_pump() const {
    return !stopped() && (unsent() || (!starved_ && !end_)) && !blocked_ &&
           ids_.pending() < unwritten_bytes_max;
}

bool Publisher::done() const {
    if (hurried_) {
        return true;
    }
    const bool all_sent = stopped() || (end_ && !unsent());
    const bool answered = producer_.unconfirmed() == 0 || !session_.client().connected();
    return all_sent && answered && ids_.pending() == 0;
}

// Sends what is to be sent again and what the source has, until it has no more at hand or the
// daemon takes no more now.
void Publisher::pump() {
    for (std::uint64_t n = 0; n < at_once_ && ids_.pending() < unwritten_bytes_max; ++n) {
        if (!unsent()) {
            if (!take_from_source()) {
                return;
            }
            bytes_ += message_.body.size();
            held_ = !sent_;
            if (sent_) {
                sent_->add(message_);
            }
        }
        const Message& message = sent_ ? sent_->next() : message_;
        if (sent_) {
            sent_->sent();  // before it is: its confirm may be told within the call
        }
        const auto line =
            producer_.try_send(message.body, headers_of(message), options_of(message));
        held_ = held_ && !line;
        blocked_ = !line && line.error().code == ErrorCode::timeout;
        if (line) {
            continue;
        }
        if (sent_) {
            sent_->not_sent();
        }
        if (!blocked_ && !send_smaller()) {
            held_ = false;
            failure_ = at_source(line.error());
        }
        return;
    }
}

// Whether message_ is one to be sent.
bool Publisher::take_from_source() {
    do {
        const auto next = source_->next(message_);
        if (!next) {
            failure_ = next.error();
            return false;
        }
        starved_ = *next == NextMessage::starved;
        end_ = *next == NextMessage::end;
        if (end_) {
            failure_ = input_too_short();
        }
        if (*next != NextMessage::ready) {
            return false;
        }
    } while (is_passed_over());
    return true;
}

// The queue has no room for all of a frame: whether what was refused is sent again in smaller ones.
// Without a name, nobody would know which messages those are.
bool Publisher::send_smaller() {
    const Error* const refusal = producer_.refusal();
    if (!sent_ || at_once_ == 1 || refusal == nullptr || refusal->code != ErrorCode::queue_full) {
        return false;
    }
    const auto refused = producer_.resume();
    if (!refused) {
        return false;
    }
    sent_->send_again();
    at_once_ = std::max<std::uint64_t>(1, std::min(at_once_, refused->count) / 2);
    return true;
}

// Whether the message was taken before, of the same name.
bool Publisher::is_passed_over() {
    const bool over = passed_over_ < producer_.last_line().value();
    passed_over_ += over ? 1 : 0;
    return over;
}

std::optional<Error> Publisher::input_too_short() const {
    const std::uint64_t taken = producer_.last_line().value();
    if (passed_over_ == taken) {
        return std::nullopt;
    }
    return Error{ErrorCode::usage, "the input has " + format_messages(passed_over_) +
                                       ", and of producer \"" + session_.line().publish.producer +
                                       "\" " + format_count(taken) +
                                       " were taken before: it is not the same input"};
}

// Those of -H, except where the message has its own of that key.
HeaderList Publisher::headers_of(const Message& message) {
    if (message.headers.empty() || headers_.empty()) {
        return message.headers.empty() ? HeaderList(headers_) : message.headers;
    }
    merged_headers_.assign(message.headers.begin(), message.headers.end());
    for (const Header& header : headers_) {
        const bool own = std::any_of(message.headers.begin(), message.headers.end(),
                                     [&](const Header& mine) { return mine.key == header.key; });
        if (!own) {
            merged_headers_.push_back(header);
        }
    }
    return merged_headers_;
}

// Those of the command line, except where the message has its own.
MessageOptions Publisher::options_of(const Message& message) const {
    const PublishOptions& otherwise = session_.line().publish;
    const MessageOptions& own = message.options;
    MessageOptions options = otherwise.message;
    if (own.due || own.delay.count() != 0) {
        options.delay = own.delay;
        options.due = own.due;
    }
    options.priority = own.priority ? own.priority : options.priority;
    options.ttl = own.ttl.count() != 0 ? own.ttl : options.ttl;
    options.group = own.group.empty() ? otherwise.group : own.group;
    options.dedup_id = own.dedup_id.empty() ? otherwise.dedup_id : own.dedup_id;
    return options;
}

// Says which message of the input it is that cannot be published as it is.
Error Publisher::at_source(Error error) const {
    const bool of_message =
        error.code == ErrorCode::message_too_big || error.code == ErrorCode::bad_option;
    const std::string where = source_->where();
    if (of_message && !where.empty()) {
        error.text = where + ": " + error.text;
    }
    return error;
}

// Writes to the daemon and reads from it, whatever can be done at once.
void Publisher::exchange() {
    const auto arrived = session_.client().process(Timeout(0));
    if (!failure_ && !arrived) {
        failure_ = arrived.error();
    }
    if (!failure_ && producer_.refusal() != nullptr && !send_smaller()) {
        failure_ = *producer_.refusal();
    }
    if (!stopped() && session_.client().stopping() && (!end_ || unsent())) {
        failure_ = Error{ErrorCode::stopping, {}, 0, 0, 0};  // what is under way is waited for
    }
    if (arrived && *arrived) {
        blocked_ = false;
    }
    check_stall();
}

void Publisher::confirmed(const ConfirmedLines& lines) {
    confirmed_ += lines.count;
    reached_ = std::min(reached_, lines.durability);
    if (sent_) {
        sent_->confirmed(lines.count);
        at_once_ = std::min(at_once_, UINT64_MAX / 2) * 2;
    }
    last_answer_ = Clock::now();
    if (!ids_wanted_) {
        return;
    }
    std::string& out = ids_.buffer();
    std::string tail("\n");
    if (json_) {
        tail = R"(","durability":")" + std::string(durability_name(lines.durability)) + "\"}\n";
    }
    for (std::uint64_t i = 0; i < lines.count; ++i) {
        out += id_prefix_;
        out += format_number(lines.first_number.plus(i));
        out += tail;
    }
}

void Publisher::write_ids() {
    const auto written = ids_.write_some();
    if (!written) {
        ids_wanted_ = false;
        ids_.discard();
        if (!failure_) {
            failure_ = written.error();
        }
    }
}

bool Publisher::patience_ends() const {
    const Source source = session_.line().publish.source;
    const bool single = source == Source::argument || source == Source::whole_input;
    return single || session_.line().global.timeout_given;
}

// A stream may stand still for long (a slow disk, a daemon that is stopped in a debugger), but not
// longer than somebody who gave a --timeout, or who waits for a single message, wants to wait.
void Publisher::check_stall() {
    const auto timeout = session_.line().global.timeout;
    if (!waiting()) {
        last_answer_ = Clock::now();
    } else if (patience_ends() && Clock::now() - last_answer_ >= timeout) {
        hurried_ = true;
        failure_ = Error{ErrorCode::timeout, "no confirm within " + format_duration(timeout)};
    }
}

void Publisher::wait() {
    WaitSet set(signals_, session_.client());
    const bool hungry = starved_ && !stopped() && ids_.pending() < unwritten_bytes_max;
    set.read_from(hungry ? source_->descriptor() : -1);
    set.write_to(ids_.pending() > 0 ? ids_.descriptor() : -1);
    if (patience_ends() && waiting()) {
        set.until(last_answer_ + session_.line().global.timeout);
    }
    set.until(progress_.next());
    if (may_pump()) {
        set.until(Clock::now());  // only a look at what is there: signals
    }
    set.wait();
    if (set.signal_ready()) {
        if (const auto signal = signals_.take()) {
            hurried_ = signal_.has_value();
            signal_ = signal;
        }
    }
    if (hungry && set.input_ready()) {
        if (const auto filled = source_->fill(); !filled) {
            failure_ = filled.error();
        }
        starved_ = false;
    }
}

// "1,000 messages are confirmed, for 12 the outcome is unknown"
std::string Publisher::outcome() const {
    std::string text =
        format_messages(confirmed_) + (confirmed_ == 1 ? " is confirmed" : " are confirmed");
    const auto refused_from = producer_.refused_from();
    if (refused_from) {
        const std::uint64_t refused = producer_.next_line() - *refused_from;
        text += ", " + format_count(refused) + (refused == 1 ? " was refused" : " were refused");
    } else if (producer_.unconfirmed() > 0) {
        text += ", for " + format_count(producer_.unconfirmed()) + " the outcome is unknown";
        if (!session_.line().publish.producer.empty()) {
            text += "; run it again, and each goes in once";
        }
    }
    return text;
}

ExitCode Publisher::report() {
    progress_.clear();
    const std::uint64_t unknown = producer_.unconfirmed();
    if (failure_ || unknown > 0) {
        return report_failure();
    }
    const auto closed = session_.client().close(session_.line().global.timeout);
    if (!closed) {
        session_.talk().detail(describe("closing the connection", closed.error()));
    }
    if (signal_) {
        session_.talk().note("stopped by a signal; " + outcome());
        return exit_code_of_signal(*signal_);
    }
    summarize();
    return ExitCode::done;
}

ExitCode Publisher::report_failure() {
    const std::string what = doing(session_.line());
    const bool some = confirmed_ > 0 || producer_.unconfirmed() > 0;
    if (!failure_) {
        session_.talk().complain("stopped by a signal; " + outcome());
        return signal_ ? exit_code_of_signal(*signal_) : ExitCode::partly;
    }
    const bool more = session_.line().publish.source != Source::argument;
    if (!some && !more) {
        return session_.fail(what, *failure_);
    }
    session_.talk().complain(describe(what, *failure_) + "; " + outcome());
    if (failure_->code == ErrorCode::stopping && producer_.unconfirmed() == 0) {
        (void)session_.client().close(session_.line().global.timeout);
        // Whoever waits for more input has lost nothing.
        const bool all_confirmed = starved_ && !unsent() && !producer_.refused_from();
        return all_confirmed || !some ? ExitCode::cannot_connect : ExitCode::partly;
    }
    return some ? ExitCode::partly : exit_code(failure_->code);
}

void Publisher::summarize() const {
    const Source source = session_.line().publish.source;
    const bool stream = source != Source::argument && source != Source::whole_input;
    const auto elapsed = Clock::now() - started_;
    const std::string line = format_messages(confirmed_) + ", " + format_bytes(bytes_) +
                             ", confirmed at " + std::string(durability_name(reached_)) + " in " +
                             format_elapsed(elapsed) + " (" + format_rate(confirmed_, elapsed) +
                             ')';
    if (confirmed_ == 0 && passed_over_ > 0) {
        session_.talk().note("nothing to publish: all of the input was taken before");
    } else if (confirmed_ == 0) {
        session_.talk().note("nothing to publish: the input was empty");
    } else if (stream) {
        session_.talk().note(line);
    } else {
        session_.talk().detail(line);
    }
}

}  // namespace

ExitCode publish(Session& session) {
    const CommandLine& line = session.line();
    auto producer = session.client().producer(
        line.queue, {.durability = line.publish.durability, .name = line.publish.producer});
    if (!producer) {
        return session.fail(doing(line), producer.error());
    }
    if (line.publish.source == Source::whole_input && is_terminal(STDIN_FILENO)) {
        session.talk().note("reading the message from the terminal; Ctrl-D ends it");
    }
    Publisher publisher(session, std::move(*producer));
    return publisher.run();
}

}  // namespace mqd::mqctl
