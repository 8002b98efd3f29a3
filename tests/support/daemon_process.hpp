#pragma once

// The real mqd as a child process: started with a configuration in a private folder, waited for,
// killed, restarted on the same data, its stderr and its exit kept. It is ended by its process id,
// by the destructor at the latest, and by the kernel if the test dies before. Start it from the
// main thread of the test: the kernel ends it together with the thread that started it.

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support/sanitized.hpp"

namespace mqd::test {

// How long a test waits for what must happen, before it calls it a failure.
inline constexpr std::chrono::milliseconds patience{sanitized ? 60'000 : 30'000};

// Waits until `condition` holds; false if it does not within the time.
[[nodiscard]] bool eventually(const std::function<bool()>& condition,
                              std::chrono::milliseconds within = patience);

// A folder of its own under the system's temporary one, removed at the end.
class TemporaryFolder {
  public:
    TemporaryFolder();
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    ~TemporaryFolder();

    [[nodiscard]] const std::string& path() const { return path_; }

  private:
    std::string path_;
};

void write_file(const std::string& path, const std::string& text);
// Empty if there is none.
[[nodiscard]] std::string read_file(const std::string& path);

// How a process ended: by itself, or by a signal.
struct ProcessEnd {
    int code = -1;   // -1: not by itself
    int signal = 0;  // 0: not by a signal

    friend bool operator==(const ProcessEnd&, const ProcessEnd&) = default;
};

// A child process with its output in files.
class ChildProcess {
  public:
    struct Options {
        std::vector<std::string> command;
        std::vector<std::pair<std::string, std::string>> environment;  // added to our own
        std::vector<int> descriptors;  // the child has them as 3, 4, …
        std::string output_path;       // stdout; empty: thrown away
        std::string errors_path;       // stderr; empty: thrown away
    };

    explicit ChildProcess(const Options& options);
    ChildProcess(const ChildProcess&) = delete;
    ChildProcess& operator=(const ChildProcess&) = delete;
    ~ChildProcess();

    [[nodiscard]] pid_t pid() const { return pid_; }
    void send_signal(int number) const;
    // Nothing if it still runs after `within`.
    [[nodiscard]] std::optional<ProcessEnd> wait(std::chrono::milliseconds within = patience);
    [[nodiscard]] bool alive() { return !wait(std::chrono::milliseconds(0)); }
    // SIGKILL, and waits.
    ProcessEnd kill();

  private:
    pid_t pid_ = -1;
    std::optional<ProcessEnd> end_;
};

// What a process of its own does to the machine, read from /proc; 0 if it is gone.
[[nodiscard]] std::uint64_t resident_kib(pid_t pid);
[[nodiscard]] std::uint64_t descriptor_count(pid_t pid);
[[nodiscard]] std::chrono::milliseconds cpu_time(pid_t pid);

struct DaemonOptions {
    // TOML, read behind what the fixture says itself: storage.path and the listener "local".
    std::string config = {};
    std::vector<std::pair<std::string, std::string>> environment = {};
    // A command that executes what follows it in its arguments: {"sh", "-c", "…; exec \"$@\"", "-"}
    std::vector<std::string> wrapper = {};
    std::vector<int> descriptors = {};  // the daemon has them as 3, 4, …
    std::string data_folder = {};       // empty: "data" in the fixture's folder
};

class DaemonProcess {
  public:
    // `program`: MQD_BIN. Writes the configuration; does not start.
    explicit DaemonProcess(std::string program, DaemonOptions options = {});
    ~DaemonProcess();

    // Starts, and waits until somebody can connect. Fails the test if it ends instead.
    void start();
    // Starts, and does not wait.
    void launch();
    // Waits until somebody can connect; false if it ended instead, or takes too long.
    [[nodiscard]] bool wait_serving();
    // SIGKILL, and waits.
    void kill();
    void restart();
    void send_signal(int number);
    [[nodiscard]] std::optional<ProcessEnd> wait(std::chrono::milliseconds within = patience);
    // SIGTERM, and waits for the end.
    [[nodiscard]] std::optional<ProcessEnd> stop();
    // Ends it, runs it once more with these arguments instead of its own, and waits for the end;
    // errors() and output() are of that run.
    [[nodiscard]] std::optional<ProcessEnd> run(const std::vector<std::string>& arguments);

    [[nodiscard]] bool alive() { return process_ && process_->alive(); }
    [[nodiscard]] pid_t pid() const { return process_ ? process_->pid() : -1; }
    // stderr and stdout of this run, or of the last one.
    [[nodiscard]] std::string errors() const;
    [[nodiscard]] std::string output() const;
    // How often it was started so far.
    [[nodiscard]] int runs() const { return runs_; }

    void set_config(const std::string& text);
    [[nodiscard]] std::string url() const { return "unix:" + socket_path(); }
    [[nodiscard]] std::string socket_path() const { return folder_.path() + "/mqd.sock"; }
    [[nodiscard]] std::string config_path() const { return folder_.path() + "/mqd.toml"; }
    [[nodiscard]] const std::string& data_folder() const { return options_.data_folder; }
    [[nodiscard]] const std::string& folder() const { return folder_.path(); }

  private:
    void spawn(const std::vector<std::string>& arguments);

    TemporaryFolder folder_;
    std::string program_;
    DaemonOptions options_;
    std::optional<ChildProcess> process_;
    int runs_ = 0;
};

}  // namespace mqd::test
