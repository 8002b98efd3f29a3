// mqctl export: all that lives in a queue, as lines of JSON, page by page with PEEK, so that nobody
// who consumes or publishes notices. The next page is asked for before this one is written;
// signals, the connection and the output are watched together, since a page may be long in coming
// (bodies that are on the disk alone) and the reader of the output may be slow.
//
// A message that lives from the beginning to the end of the export is in it: numbers are never used
// again, and PEEK shows what is leased or delayed as well as what is ready. What came and went
// meanwhile may be in it or not; what was published after the beginning is not.

#include <unistd.h>

#include <algorithm>
#include <optional>

#include "client/mqctl/commands.hpp"
#include "client/mqctl/new_file.hpp"
#include "client/mqctl/output_stream.hpp"
#include "client/mqctl/peeked_message.hpp"
#include "client/mqctl/signal_watch.hpp"
#include "client/mqctl/units.hpp"
#include "client/mqctl/wait_set.hpp"

namespace mqd::mqctl {
namespace {

constexpr std::uint32_t page_messages_max = 1000;

class Exporter {
  public:
    // `output`, named for people: standard output or the new file.
    Exporter(Session& session, SignalWatch& signals, const QueueInfo& queue, int output,
             std::string name);
    Exporter(const Exporter&) = delete;
    Exporter& operator=(const Exporter&) = delete;

    // Everything is written, unless there is a signal().
    [[nodiscard]] Result<void> run();

    [[nodiscard]] std::optional<int> signal() const { return signal_; }
    [[nodiscard]] std::uint64_t messages() const { return messages_; }
    // "3 messages, 12 B"
    [[nodiscard]] std::string amount() const {
        return format_messages(messages_) + ", " + format_bytes(bytes_);
    }

  private:
    using Clock = std::chrono::steady_clock;

    [[nodiscard]] Result<void> loop();
    [[nodiscard]] Result<void> ask();
    [[nodiscard]] Result<bool> take_page();
    void show(const PeekedMessage& message);
    [[nodiscard]] Result<void> wait();
    [[nodiscard]] Result<void> check_queue();

    Session& session_;
    const QueueInfo& queue_;  // as it was at the beginning
    OutputStream output_;
    SignalWatch& signals_;
    Progress progress_;
    std::optional<PeekRequest> asked_;
    Clock::time_point asked_at_;
    MessageNumber from_{1};  // of the next page
    bool more_ = true;
    std::optional<int> signal_;
    std::uint64_t messages_ = 0;
    std::uint64_t bytes_ = 0;  // of the bodies
};

Exporter::Exporter(Session& session, SignalWatch& signals, const QueueInfo& queue, int output,
                   std::string name)
    : session_(session),
      queue_(queue),
      output_(output, std::move(name)),
      signals_(signals),
      progress_(session.talk(), "exported", output) {}

Result<void> Exporter::run() {
    auto result = loop();
    progress_.clear();
    return result;
}

Result<void> Exporter::loop() {
    while (!(signal_ = signals_.take())) {
        if (auto asked = ask(); !asked) {
            return asked;
        }
        if (auto written = output_.write_some(); !written) {
            return written;
        }
        progress_.show(messages_, bytes_);
        if (output_.pending() == 0) {
            const auto taken = take_page();
            if (!taken) {
                return taken.error();
            }
            if (*taken) {
                continue;
            }
            if (!asked_ && !more_) {
                return check_queue();
            }
        }
        if (auto waited = wait(); !waited) {
            return waited;
        }
    }
    return {};
}

// Asks for the next page, if there is one and no other is on its way.
Result<void> Exporter::ask() {
    more_ = more_ && from_ < queue_.next_number;
    if (asked_ || !more_) {
        return {};
    }
    const auto request = session_.client().begin_peek(queue_.name, from_, page_messages_max);
    if (!request) {
        return request.error();
    }
    asked_ = *request;
    asked_at_ = Clock::now();
    return {};
}

// Whether the page that was asked for is there; it is put into the output then, and the next one
// asked for.
Result<bool> Exporter::take_page() {
    if (!asked_) {
        return false;
    }
    const auto page = session_.client().take_peek(*asked_);
    if (!page) {
        return page.error();
    }
    if (!*page) {
        return false;
    }
    asked_.reset();
    from_ = (*page)->next;
    more_ = (*page)->more;
    if (auto asked = ask(); !asked) {
        return asked.error();
    }
    for (const PeekedMessage& message : (*page)->messages) {
        if (message.number < queue_.next_like(message.number)) {
            show(message);
        }
    }
    return true;
}

void Exporter::show(const PeekedMessage& message) {
    ShownMessage line = shown(queue_.name, queue_.incarnation, message);
    line.state = {};  // it says nothing once it is written, and `consume` writes none
    append_json_line(output_.buffer(), line);
    ++messages_;
    bytes_ += message.body.size();
}

// A queue may be long in answering, but not longer than somebody who gave a --timeout wants to
// wait.
Result<void> Exporter::wait() {
    const auto timeout = session_.line().global.timeout;
    const bool impatient = asked_ && output_.pending() == 0 && session_.line().global.timeout_given;
    WaitSet set(signals_, session_.client());
    set.write_to(output_.pending() > 0 ? output_.descriptor() : -1);
    set.until(progress_.next());
    if (impatient) {
        set.until(asked_at_ + timeout);
    }
    set.wait();
    const auto arrived = session_.client().process(Timeout(0));
    if (!arrived) {
        return arrived.error();
    }
    if (session_.client().stopping() && (asked_ || more_)) {
        return Error{ErrorCode::stopping, {}, 0, 0, 0};
    }
    if (impatient && !*arrived && Clock::now() - asked_at_ >= timeout) {
        return Error{ErrorCode::timeout, "the daemon did not answer in time"};
    }
    return {};
}

// Pages are asked for by name: another queue may have it by now. And what is there at the end and
// was not published meanwhile lived all along: PEEK must have shown it.
Result<void> Exporter::check_queue() {
    const auto now = session_.client().show_queue(queue_.name);
    if (!now) {
        return now.error();
    }
    if (now->incarnation != queue_.incarnation) {
        return Error{ErrorCode::queue_deleted, "the queue was deleted and made anew meanwhile"};
    }
    const std::uint64_t live = now->ready + now->leased + now->delayed;
    const std::uint64_t newer = now->given_out_since(queue_);
    if (live > newer && messages_ < live - newer) {
        return Error{ErrorCode::io_error, "the daemon did not show all messages: " +
                                              format_messages(live - newer - messages_) +
                                              " or more are missing"};
    }
    return {};
}

// What it came to, and what there is of it.
ExitCode report_failure(Session& session, const Exporter& exporter, const Error& error) {
    const CommandLine& line = session.line();
    const std::string what = "exporting \"" + line.queue + '"';
    if (exporter.messages() == 0 || !line.export_messages.file.empty()) {
        return session.fail(what, error);
    }
    session.talk().complain(describe(what, error) + "; what was written is not all of it");
    return exit_code(error.code);
}

ExitCode export_to(Session& session, SignalWatch& signals, const QueueInfo& queue, NewFile* file) {
    const auto started = std::chrono::steady_clock::now();
    Exporter exporter(session, signals, queue, file != nullptr ? file->descriptor() : STDOUT_FILENO,
                      file != nullptr ? file->path() : "standard output");
    auto result = exporter.run();
    if (result && !exporter.signal() && file != nullptr) {
        result = file->finish();
    }
    if (!result) {
        return report_failure(session, exporter, result.error());
    }
    (void)session.client().close(session.line().global.timeout);
    if (exporter.signal()) {
        session.talk().note("stopped by a signal; " + (file != nullptr
                                                           ? file->path() + " was not made"
                                                           : "what was written is not all of it"));
        return exit_code_of_signal(*exporter.signal());
    }
    (void)signals.take();  // one that comes now is too late: it is made
    const auto elapsed = std::chrono::steady_clock::now() - started;
    session.talk().note(exporter.amount() + ", exported in " + format_elapsed(elapsed) + " (" +
                        format_rate(exporter.messages(), elapsed) + ')');
    return ExitCode::done;
}

}  // namespace

ExitCode export_messages(Session& session) {
    const CommandLine& line = session.line();
    const std::string what = "exporting \"" + line.queue + '"';
    const auto queue = session.client().show_queue(line.queue);
    if (!queue) {
        return session.fail(what, queue.error());
    }
    const ExportOptions& options = line.export_messages;
    SignalWatch signals;  // before there is a file that a signal could leave behind
    if (options.file.empty()) {
        return export_to(session, signals, *queue, nullptr);
    }
    NewFile file(options.file,
                 options.force ? NewFile::Existing::replaced : NewFile::Existing::refused);
    if (const auto opened = file.open(); !opened) {
        return session.fail(what, opened.error());
    }
    return export_to(session, signals, *queue, &file);
}

}  // namespace mqd::mqctl
