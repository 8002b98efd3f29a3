#pragma once

// The processes of one measurement: a server, which is measured, and a crew of workers, which load
// it. The parent forks them all, stays single-threaded, and ends each by its process id; if the
// parent dies, the kernel ends them. Nothing here outlives its object.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <sys/types.h>

#include "bench/latency.hpp"
#include "bench/socket.hpp"
#include "mqd/result.hpp"

namespace mqd::bench {

// The core that latencies are measured on: the last that this process may use, since interrupts
// tend to go to the first.
[[nodiscard]] int measuring_core();
// A core beside that one; the same if there is no other.
[[nodiscard]] int other_core();
void pin_to_core(int core);

// The process that is measured: a broker of the floors, forked, or the daemon, executed.
class ServerProcess {
  public:
    // `core`: the only one that it runs on.
    [[nodiscard]] static ServerProcess fork_to_run(std::optional<int> core,
                                                   const std::function<void()>& work);
    struct Program {
        std::vector<std::string> command;
        std::vector<std::pair<std::string, std::string>> environment;  // added to our own
        std::string log_path;  // gets stdout and stderr; empty: ours
    };
    [[nodiscard]] static ServerProcess execute(std::optional<int> core, const Program& program);

    ServerProcess(ServerProcess&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
    ServerProcess(const ServerProcess&) = delete;
    ServerProcess& operator=(const ServerProcess&) = delete;
    ServerProcess& operator=(ServerProcess&&) = delete;
    ~ServerProcess();

    // SIGKILL, and until it is gone.
    void kill();
    [[nodiscard]] bool alive() const;
    [[nodiscard]] double cpu_seconds() const;   // of all its threads, since its start
    [[nodiscard]] double resident_kib() const;  // now
    // Waits until it has written nothing to files for a while: what it prepares in the background
    // is done. Gives up after some seconds.
    void await_quiet() const;
    // Leaves threads that it has started already where they are.
    void pin_main_thread(int core) const;

  private:
    explicit ServerProcess(pid_t pid) : pid_(pid) {}

    pid_t pid_;
};

// What a worker found out; it lies in memory that the parent shares.
struct WorkerReport {
    std::uint64_t messages = 0;
    std::int64_t begin_ns = 0;  // CLOCK_MONOTONIC
    std::int64_t end_ns = 0;
    Percentiles receive;  // of a consumer: from publish to here
    Percentiles confirm;  // of a producer: from publish to confirm
};

// The worker's side of the crew.
class WorkerContext {
  public:
    WorkerContext(WorkerReport& own_report, int ready_fd, int go_fd)
        : report(own_report), ready_fd_(ready_fd), go_fd_(go_fd) {}

    // Says that this worker is set up, waits until all are, and notes the beginning.
    void ready();
    void done();

    WorkerReport& report;
    std::chrono::milliseconds publishing{0};  // how long a producer goes on

  private:
    int ready_fd_;
    int go_fd_;
};

// Workers that start at one moment and end by themselves.
class Crew {
  public:
    static constexpr std::size_t workers_max = 80;
    using Work = std::function<void(WorkerContext&)>;

    Crew();
    Crew(const Crew&) = delete;
    Crew& operator=(const Crew&) = delete;
    ~Crew();

    // Forks a worker, which runs `work` and exits.
    void add(std::string name, std::optional<int> core, const Work& work);
    [[nodiscard]] Result<void> await_ready(std::chrono::milliseconds timeout);
    void go();
    // Until every worker has exited with success.
    [[nodiscard]] Result<void> await_end(std::chrono::milliseconds timeout);

    [[nodiscard]] const WorkerReport& report(std::size_t worker) const;

  private:
    struct Member {
        std::string name;
        pid_t pid = -1;  // -1: has ended
    };

    [[nodiscard]] Result<void> reap(Member& member);

    std::vector<Member> members_;
    WorkerReport* reports_;  // workers_max of them, shared with the workers
    Descriptor ready_read_, ready_write_;
    Descriptor go_read_, go_write_;
};

}  // namespace mqd::bench
