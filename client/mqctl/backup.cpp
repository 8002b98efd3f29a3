// mqctl backup: a copy of the whole store of a running daemon, in a new folder. The daemon makes
// the copy on its own disk; here its parts are asked for, some ahead, and written one behind the
// other. Signals and the connection are watched together. The folder has its name when all of it
// is on the disk, and not before.

#include <deque>
#include <optional>

#include <nlohmann/json.hpp>

#include "client/mqctl/commands.hpp"
#include "client/mqctl/new_folder.hpp"
#include "client/mqctl/signal_watch.hpp"
#include "client/mqctl/units.hpp"
#include "client/mqctl/wait_set.hpp"

namespace mqd::mqctl {
namespace {

constexpr std::size_t parts_ahead = 4;  // asked for and not yet taken

class BackupTaker {
  public:
    BackupTaker(Session& session, SignalWatch& signals, NewFolder& folder)
        : session_(session),
          signals_(signals),
          folder_(folder),
          progress_(session.talk(), "copied", -1) {}
    BackupTaker(const BackupTaker&) = delete;
    BackupTaker& operator=(const BackupTaker&) = delete;

    // The folder is there, unless there is a signal().
    [[nodiscard]] Result<void> run();

    [[nodiscard]] std::optional<int> signal() const { return signal_; }
    [[nodiscard]] std::uint64_t files() const { return files_; }
    [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

  private:
    [[nodiscard]] Result<void> loop();
    [[nodiscard]] Result<bool> take_size();
    [[nodiscard]] Result<void> ask();
    [[nodiscard]] Result<bool> take_part();
    [[nodiscard]] Result<void> write(const BackupPart& part);
    [[nodiscard]] Result<void> wait();

    Session& session_;
    SignalWatch& signals_;
    NewFolder& folder_;
    Progress progress_;
    std::optional<BackupRequest> asked_;     // for the backup
    std::deque<BackupRequest> asked_parts_;  // in order
    std::optional<BackupSize> size_;
    std::optional<int> signal_;
    std::uint64_t files_ = 0;  // whole
    std::uint64_t bytes_ = 0;
    std::string file_;  // that is being written; empty: none
    std::uint64_t file_bytes_ = 0;
    bool whole_ = false;
};

Result<void> BackupTaker::run() {
    auto request = session_.client().begin_backup();
    if (!request) {
        return request.error();
    }
    asked_ = *request;
    auto result = loop();
    progress_.clear();
    if (result && !signal_) {
        result = folder_.finish();
    }
    return result;
}

Result<void> BackupTaker::loop() {
    while (!whole_ && !(signal_ = signals_.take())) {
        if (auto asked = ask(); !asked) {
            return asked;
        }
        const auto taken = size_ ? take_part() : take_size();
        if (!taken) {
            return taken.error();
        }
        progress_.show_bytes(bytes_, size_ ? size_->bytes : 0);
        if (*taken) {
            continue;
        }
        if (auto waited = wait(); !waited) {
            return waited;
        }
    }
    if (whole_ && (files_ != size_->files || bytes_ != size_->bytes)) {
        return Error{ErrorCode::io_error, "the daemon did not send all of it"};
    }
    return {};
}

Result<bool> BackupTaker::take_size() {
    const auto size = session_.client().take_backup(*asked_);
    if (!size) {
        return size.error();
    }
    size_ = *size;
    return size_.has_value();
}

Result<void> BackupTaker::ask() {
    while (size_ && asked_parts_.size() < parts_ahead) {
        const auto request = session_.client().begin_backup_part();
        if (!request) {
            return request.error();
        }
        asked_parts_.push_back(*request);
    }
    return {};
}

Result<bool> BackupTaker::take_part() {
    const auto part = session_.client().take_backup_part(asked_parts_.front());
    if (!part) {
        return part.error();
    }
    if (!*part) {
        return false;
    }
    asked_parts_.pop_front();
    if (auto written = write(**part); !written) {
        return written.error();
    }
    return true;
}

Result<void> BackupTaker::write(const BackupPart& part) {
    const bool begins = file_.empty();
    if (part.offset != file_bytes_ || (!begins && part.file != file_)) {
        return Error{ErrorCode::protocol_violation, "the daemon sent a part out of its place"};
    }
    if (begins) {
        file_ = part.file;
        if (auto begun = folder_.begin_file(file_); !begun) {
            return begun;
        }
    }
    if (auto written = folder_.append(part.bytes); !written) {
        return written;
    }
    bytes_ += part.bytes.size();
    file_bytes_ += part.bytes.size();
    whole_ = part.ends_backup;
    if (part.ends_file) {
        file_.clear();
        file_bytes_ = 0;
        ++files_;
        return folder_.end_file();
    }
    return {};
}

// The daemon may be long in making the copy, and in reading it.
Result<void> BackupTaker::wait() {
    WaitSet set(signals_, session_.client());
    set.until(progress_.next());
    set.wait();
    const auto arrived = session_.client().process(Timeout(0));
    if (!arrived) {
        return arrived.error();
    }
    if (session_.client().stopping()) {
        return Error{ErrorCode::stopping, {}, 0, 0, 0};
    }
    return {};
}

ExitCode report(Session& session, const BackupTaker& taker, const std::string& path,
                std::chrono::steady_clock::duration elapsed) {
    if (session.line().global.output == "json") {
        nlohmann::ordered_json line;
        line["folder"] = path;
        line["files"] = taker.files();
        line["bytes"] = taker.bytes();
        line["seconds"] = std::chrono::duration<double>(elapsed).count();
        return session.print(line.dump() + '\n');
    }
    session.talk().note(format_count(taker.files()) + " files, " + format_bytes(taker.bytes()) +
                        ", copied to " + path + " in " + format_elapsed(elapsed));
    return ExitCode::done;
}

}  // namespace

ExitCode backup(Session& session) {
    const auto started = std::chrono::steady_clock::now();
    SignalWatch signals;  // before there is a folder that a signal could leave behind
    NewFolder folder(session.line().folder);
    const std::string what = "backing up to " + folder.path();
    if (const auto opened = folder.open(); !opened) {
        return session.fail(what, opened.error());
    }
    BackupTaker taker(session, signals, folder);
    const auto result = taker.run();
    if (!result) {
        session.talk().complain(describe(what, result.error()) + "; nothing was made");
        return exit_code(result.error().code);
    }
    (void)session.client().close(session.line().global.timeout);
    if (taker.signal()) {
        session.talk().note("stopped by a signal; " + folder.path() + " was not made");
        return exit_code_of_signal(*taker.signal());
    }
    (void)signals.take();  // one that comes now is too late: it is made
    return report(session, taker, folder.path(), std::chrono::steady_clock::now() - started);
}

}  // namespace mqd::mqctl
