#include "support/daemon_process.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <system_error>

namespace mqd::test {

namespace {

constexpr int exec_failed = 127;
constexpr int first_passed = 3;
// Copies of what is passed lie from here on, so that none is in the way of another.
constexpr int copies_from = 64;

[[noreturn]] void fail(const std::string& what) {
    throw std::system_error(errno, std::generic_category(), what);
}

std::vector<std::string> whole_environment(
    const std::vector<std::pair<std::string, std::string>>& added) {
    std::vector<std::string> all;
    for (char** entry = environ; *entry != nullptr; ++entry) {
        const std::string_view text(*entry);
        const std::string_view name = text.substr(0, text.find('='));
        bool replaced = false;
        for (const auto& [key, value] : added) {
            replaced = replaced || key == name;
        }
        if (!replaced) {
            all.emplace_back(text);
        }
    }
    for (const auto& [key, value] : added) {
        all.push_back(key + '=' + value);
    }
    return all;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
    std::vector<char*> all;
    all.reserve(strings.size() + 1);
    for (std::string& string : strings) {
        all.push_back(string.data());
    }
    all.push_back(nullptr);
    return all;
}

int open_output(const std::string& path) {
    const int fd = path.empty()
                       ? ::open("/dev/null", O_WRONLY | O_CLOEXEC)
                       : ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        fail("open " + path);
    }
    return fd;
}

// In the child, between fork and exec: system calls only.
[[noreturn]] void become(char* const* command, char* const* environment, int output, int errors,
                         const std::vector<int>& descriptors, pid_t parent) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) {
        ::_exit(exec_failed);
    }
    ::dup2(output, STDOUT_FILENO);
    ::dup2(errors, STDERR_FILENO);
    for (std::size_t i = 0; i < descriptors.size(); ++i) {
        ::dup2(descriptors[i], first_passed + static_cast<int>(i));
    }
    ::execvpe(command[0], command, environment);
    ::_exit(exec_failed);
}

bool somebody_accepts(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) {
        throw std::runtime_error("the socket's path is too long: " + path);
    }
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return false;
    }
    const int result = ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
    ::close(fd);
    return result == 0;
}

}  // namespace

bool eventually(const std::function<bool()>& condition, std::chrono::milliseconds within) {
    const auto deadline = std::chrono::steady_clock::now() + within;
    while (!condition()) {
        if (std::chrono::steady_clock::now() >= deadline) {
            return condition();
        }
        ::poll(nullptr, 0, 1);
    }
    return true;
}

TemporaryFolder::TemporaryFolder() {
    std::string name = std::filesystem::temp_directory_path() / "mqd-test-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) {
        fail("mkdtemp " + name);
    }
    path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

void write_file(const std::string& path, const std::string& text) {
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    file << text;
    if (!file.flush()) {
        throw std::runtime_error("cannot write " + path);
    }
}

std::string read_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// --- ChildProcess

ChildProcess::ChildProcess(const Options& options) {
    std::vector<std::string> command = options.command;
    std::vector<std::string> environment = whole_environment(options.environment);
    const std::vector<char*> command_pointers = pointers(command);
    const std::vector<char*> environment_pointers = pointers(environment);
    const int output = open_output(options.output_path);
    const int errors = open_output(options.errors_path);
    std::vector<int> copies;
    for (const int descriptor : options.descriptors) {
        copies.push_back(::fcntl(descriptor, F_DUPFD_CLOEXEC, copies_from));
    }
    const pid_t parent = ::getpid();
    pid_ = ::fork();
    if (pid_ == 0) {
        become(command_pointers.data(), environment_pointers.data(), output, errors, copies,
               parent);
    }
    ::close(output);
    ::close(errors);
    for (const int copy : copies) {
        ::close(copy);
    }
    if (pid_ < 0) {
        fail("fork");
    }
}

ChildProcess::~ChildProcess() {
    kill();
}

void ChildProcess::send_signal(int number) const {
    if (!end_) {
        ::kill(pid_, number);
    }
}

std::optional<ProcessEnd> ChildProcess::wait(std::chrono::milliseconds within) {
    (void)eventually(
        [&] {
            if (end_) {
                return true;
            }
            int status = 0;
            if (::waitpid(pid_, &status, WNOHANG) == pid_) {
                end_ = WIFEXITED(status) ? ProcessEnd{WEXITSTATUS(status), 0}
                                         : ProcessEnd{-1, WTERMSIG(status)};
            }
            return end_.has_value();
        },
        within);
    return end_;
}

ProcessEnd ChildProcess::kill() {
    if (!end_) {
        ::kill(pid_, SIGKILL);
        int status = 0;
        while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {}
        end_ = WIFEXITED(status) ? ProcessEnd{WEXITSTATUS(status), 0}
                                 : ProcessEnd{-1, WTERMSIG(status)};
    }
    return *end_;
}

// --- /proc

std::uint64_t resident_kib(pid_t pid) {
    std::istringstream status(read_file("/proc/" + std::to_string(pid) + "/status"));
    for (std::string line; std::getline(status, line);) {
        if (line.starts_with("VmRSS:")) {
            return std::stoull(line.substr(std::strlen("VmRSS:")));
        }
    }
    return 0;
}

std::uint64_t descriptor_count(pid_t pid) {
    std::error_code gone;
    const std::filesystem::directory_iterator entries("/proc/" + std::to_string(pid) + "/fd", gone);
    return static_cast<std::uint64_t>(
        std::distance(std::filesystem::begin(entries), std::filesystem::end(entries)));
}

std::chrono::milliseconds cpu_time(pid_t pid) {
    const std::string text = read_file("/proc/" + std::to_string(pid) + "/stat");
    const std::size_t name_end = text.rfind(')');
    if (name_end == std::string::npos) {
        return std::chrono::milliseconds(0);
    }
    // Behind the name: state, then numbers; the 11th and 12th of them are the ticks used.
    std::istringstream fields(text.substr(name_end + 2));
    std::string skipped;
    for (int i = 0; i < 11; ++i) {
        fields >> skipped;
    }
    std::int64_t user = 0;
    std::int64_t system = 0;
    fields >> user >> system;
    return std::chrono::milliseconds((user + system) * 1000 / ::sysconf(_SC_CLK_TCK));
}

// --- DaemonProcess

DaemonProcess::DaemonProcess(std::string program, DaemonOptions options)
    : program_(std::move(program)), options_(std::move(options)) {
    if (options_.data_folder.empty()) {
        options_.data_folder = folder_.path() + "/data";
    }
    std::filesystem::create_directories(options_.data_folder);
    std::filesystem::create_directories(folder_.path() + "/conf.d");
    write_file(config_path(), "[storage]\npath = \"" + data_folder() +
                                  "\"\n\n[[listener]]\nname = \"local\"\nbind = \"" + url() +
                                  "\"\n");
    set_config(options_.config);
}

DaemonProcess::~DaemonProcess() = default;

void DaemonProcess::set_config(const std::string& text) {
    write_file(folder_.path() + "/conf.d/test.toml", text);
}

void DaemonProcess::spawn(const std::vector<std::string>& arguments) {
    process_.reset();
    ++runs_;
    ChildProcess::Options child;
    child.command = options_.wrapper;
    child.command.push_back(program_);
    child.command.insert(child.command.end(), arguments.begin(), arguments.end());
    child.environment = options_.environment;
    child.descriptors = options_.descriptors;
    child.output_path = folder_.path() + "/output";
    child.errors_path = folder_.path() + "/errors";
    process_.emplace(child);
}

void DaemonProcess::launch() {
    spawn({"--config", config_path()});
}

bool DaemonProcess::wait_serving() {
    const bool done = eventually([&] { return !alive() || somebody_accepts(socket_path()); });
    return done && alive();
}

void DaemonProcess::start() {
    launch();
    const bool serving = wait_serving();
    INFO("stderr of mqd:\n", errors());
    REQUIRE(serving);
}

void DaemonProcess::kill() {
    if (process_) {
        process_->kill();
    }
}

void DaemonProcess::restart() {
    kill();
    start();
}

void DaemonProcess::send_signal(int number) {
    if (process_) {
        process_->send_signal(number);
    }
}

std::optional<ProcessEnd> DaemonProcess::wait(std::chrono::milliseconds within) {
    return process_ ? process_->wait(within) : std::nullopt;
}

std::optional<ProcessEnd> DaemonProcess::stop() {
    send_signal(SIGTERM);
    return wait();
}

std::optional<ProcessEnd> DaemonProcess::run(const std::vector<std::string>& arguments) {
    spawn(arguments);
    return wait();
}

std::string DaemonProcess::errors() const {
    return read_file(folder_.path() + "/errors");
}

std::string DaemonProcess::output() const {
    return read_file(folder_.path() + "/output");
}

}  // namespace mqd::test
