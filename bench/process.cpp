#include "bench/process.hpp"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <thread>

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/failure.hpp"
#include "bench/message.hpp"

namespace mqd::bench {

namespace {

using std::chrono::nanoseconds;

constexpr std::chrono::milliseconds stop_timeout{5'000};  // from SIGTERM to SIGKILL
constexpr std::chrono::milliseconds quiet_step{20};
constexpr std::chrono::milliseconds quiet_time{200};
constexpr std::chrono::milliseconds quiet_timeout{10'000};

std::vector<int> cores_allowed() {
    cpu_set_t set;
    std::vector<int> result;
    if (::sched_getaffinity(0, sizeof set, &set) == 0) {
        for (int core = 0; core < CPU_SETSIZE; ++core) {
            if (CPU_ISSET(core, &set)) {
                result.push_back(core);
            }
        }
    }
    if (result.empty()) {
        fail_errno("sched_getaffinity");
    }
    return result;
}

// 0: this one.
void pin_thread(pid_t thread, int core) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    if (::sched_setaffinity(thread, sizeof set, &set) != 0) {
        fail_errno("sched_setaffinity");
    }
}

// The child's first steps after fork().
void begin_child(pid_t parent, std::optional<int> core) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) {
        _exit(1);  // it died before the line above
    }
    if (core) {
        pin_to_core(*core);
    }
}

pid_t fork_process() {
    std::fflush(nullptr);
    const pid_t pid = ::fork();
    if (pid < 0) {
        fail_errno("fork");
    }
    return pid;
}

// A descriptor that is readable once the process has ended. By number: glibc 2.36 declares
// pidfd_open for C only.
Descriptor watch_process(pid_t pid) {
    Descriptor result(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (result.get() < 0) {
        fail_errno("pidfd_open");
    }
    return result;
}

// Waits until the process has ended; no: it has not in that time.
bool await_exit(pid_t pid, std::chrono::milliseconds timeout) {
    const Descriptor process = watch_process(pid);
    pollfd poll{.fd = process.get(), .events = POLLIN, .revents = 0};
    return ::poll(&poll, 1, static_cast<int>(timeout.count())) == 1;
}

void kill_and_reap(pid_t pid) {
    ::kill(pid, SIGKILL);
    (void)::waitpid(pid, nullptr, 0);
}

void make_pipe(Descriptor& read, Descriptor& write) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) {
        fail_errno("pipe");
    }
    read = Descriptor(ends[0]);
    write = Descriptor(ends[1]);
}

// A number out of /proc/PID/FILE, by the line that it stands in; 0: there is none.
double read_figure(pid_t pid, const char* file_name, const char* pattern) {
    const std::string path = "/proc/" + std::to_string(pid) + "/" + file_name;
    std::FILE* const file = std::fopen(path.c_str(), "r");
    if (file == nullptr) {
        return 0;
    }
    char line[256];
    double result = 0;
    while (std::fgets(line, sizeof line, file) != nullptr) {
        if (std::sscanf(line, pattern, &result) == 1) {
            break;
        }
    }
    std::fclose(file);
    return result;
}

Error timed_out(const std::string& what) {
    return {ErrorCode::timeout, what, 0, 0, 0};
}

}  // namespace

int measuring_core() {
    static const int core = cores_allowed().back();
    return core;
}

int other_core() {
    static const int core = cores_allowed().front();
    return core;
}

void pin_to_core(int core) {
    pin_thread(0, core);
}

ServerProcess ServerProcess::fork_to_run(std::optional<int> core,
                                         const std::function<void()>& work) {
    const pid_t parent = ::getpid();
    const pid_t pid = fork_process();
    if (pid == 0) {
        begin_child(parent, core);
        work();
        _exit(0);
    }
    return ServerProcess(pid);
}

ServerProcess ServerProcess::execute(std::optional<int> core, const Program& program) {
    const pid_t parent = ::getpid();
    const pid_t pid = fork_process();
    if (pid != 0) {
        return ServerProcess(pid);
    }
    begin_child(parent, core);
    for (const auto& [name, value] : program.environment) {
        ::setenv(name.c_str(), value.c_str(), 1);
    }
    if (!program.log_path.empty()) {
        const int log = ::open(program.log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
        if (log < 0 || ::dup2(log, 1) < 0 || ::dup2(log, 2) < 0) {
            fail_errno("opening " + program.log_path);
        }
        ::close(log);
    }
    std::vector<char*> arguments;
    for (const std::string& argument : program.command) {
        arguments.push_back(const_cast<char*>(argument.c_str()));  // execv takes them as not const
    }
    arguments.push_back(nullptr);
    ::execv(arguments[0], arguments.data());
    fail_errno("executing " + program.command[0]);
}

ServerProcess::~ServerProcess() {
    if (pid_ < 0) {
        return;
    }
    ::kill(pid_, SIGTERM);
    if (await_exit(pid_, stop_timeout)) {
        (void)::waitpid(pid_, nullptr, 0);
    } else {
        kill_and_reap(pid_);
    }
}

void ServerProcess::kill() {
    kill_and_reap(std::exchange(pid_, -1));
}

bool ServerProcess::alive() const {
    return !await_exit(pid_, std::chrono::milliseconds(0));
}

double ServerProcess::cpu_seconds() const {
    clockid_t clock{};
    timespec used{};
    if (::clock_getcpuclockid(pid_, &clock) != 0 || ::clock_gettime(clock, &used) != 0) {
        return 0;
    }
    return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) * 1e-9;
}

double ServerProcess::resident_kib() const {
    return read_figure(pid_, "status", "VmRSS: %lf kB");
}

void ServerProcess::await_quiet() const {
    const std::int64_t begin_ns = now_ns();
    std::int64_t changed_ns = begin_ns;
    double written = -1;
    for (std::int64_t now = begin_ns; now - changed_ns < nanoseconds(quiet_time).count() &&
                                      now - begin_ns < nanoseconds(quiet_timeout).count();
         now = now_ns()) {
        const double bytes = read_figure(pid_, "io", "wchar: %lf");
        if (bytes != written) {
            written = bytes;
            changed_ns = now;
        }
        std::this_thread::sleep_for(quiet_step);
    }
}

void ServerProcess::pin_main_thread(int core) const {
    pin_thread(pid_, core);
}

void WorkerContext::ready() {
    const char byte = 1;
    if (::write(ready_fd_, &byte, 1) != 1) {
        fail_errno("reporting readiness");
    }
    char unused = 0;
    (void)::read(go_fd_, &unused, 1);  // until the parent closes its end
    report.begin_ns = now_ns();
}

void WorkerContext::done() {
    report.end_ns = now_ns();
}

Crew::Crew() {
    constexpr std::size_t bytes = workers_max * sizeof(WorkerReport);
    void* const memory =
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        fail_errno("mmap");
    }
    reports_ = static_cast<WorkerReport*>(memory);
    make_pipe(ready_read_, ready_write_);
    make_pipe(go_read_, go_write_);
}

Crew::~Crew() {
    for (const Member& member : members_) {
        if (member.pid >= 0) {
            kill_and_reap(member.pid);
        }
    }
    ::munmap(reports_, workers_max * sizeof(WorkerReport));
}

void Crew::add(std::string name, std::optional<int> core, const Work& work) {
    if (members_.size() == workers_max) {
        fail("more workers than a crew can have");
    }
    WorkerReport& report = *new (reports_ + members_.size()) WorkerReport();
    const pid_t parent = ::getpid();
    const pid_t pid = fork_process();
    if (pid == 0) {
        begin_child(parent, core);
        go_write_.close();
        WorkerContext context(report, ready_write_.get(), go_read_.get());
        work(context);
        _exit(0);
    }
    members_.push_back({std::move(name), pid});
}

Result<void> Crew::await_ready(std::chrono::milliseconds timeout) {
    const std::int64_t deadline_ns = now_ns() + timeout.count() * 1'000'000;
    std::size_t ready = 0;
    while (ready < members_.size()) {
        const std::int64_t left_ms = (deadline_ns - now_ns()) / 1'000'000;
        pollfd poll{.fd = ready_read_.get(), .events = POLLIN, .revents = 0};
        if (left_ms <= 0 || ::poll(&poll, 1, static_cast<int>(left_ms)) != 1) {
            return timed_out("only " + std::to_string(ready) + " of " +
                             std::to_string(members_.size()) + " workers got ready");
        }
        char bytes[workers_max];
        const ssize_t got = ::read(ready_read_.get(), bytes, sizeof bytes);
        ready += static_cast<std::size_t>(got > 0 ? got : 0);
    }
    return {};
}

void Crew::go() {
    go_write_.close();
}

Result<void> Crew::await_end(std::chrono::milliseconds timeout) {
    const std::int64_t deadline_ns = now_ns() + timeout.count() * 1'000'000;
    std::vector<Descriptor> processes;
    std::vector<pollfd> polls;
    for (const Member& member : members_) {
        processes.push_back(watch_process(member.pid));
        polls.push_back({.fd = processes.back().get(), .events = POLLIN, .revents = 0});
    }
    for (std::size_t running = members_.size(); running > 0;) {
        const std::int64_t left_ms = (deadline_ns - now_ns()) / 1'000'000;
        if (left_ms <= 0 || ::poll(polls.data(), polls.size(), static_cast<int>(left_ms)) == 0) {
            return timed_out(std::to_string(running) + " workers did not end in time");
        }
        for (std::size_t i = 0; i < polls.size(); ++i) {
            if ((polls[i].revents & POLLIN) != 0) {
                polls[i].fd = -1;
                polls[i].revents = 0;
                --running;
                if (auto ended = reap(members_[i]); !ended) {
                    return ended;
                }
            }
        }
    }
    return {};
}

Result<void> Crew::reap(Member& member) {
    int status = 0;
    (void)::waitpid(std::exchange(member.pid, -1), &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return {};
    }
    const bool exited = WIFEXITED(status);
    return Error{ErrorCode::io_error,
                 member.name + (exited ? " failed with exit status " : " was ended by signal ") +
                     std::to_string(exited ? WEXITSTATUS(status) : WTERMSIG(status)),
                 0, 0, 0};
}

const WorkerReport& Crew::report(std::size_t worker) const {
    return reports_[worker];
}

}  // namespace mqd::bench
