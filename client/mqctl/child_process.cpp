#include "client/mqctl/child_process.hpp"

#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

extern char** environ;

namespace mqd::mqctl {
namespace {

Error failed(const std::string& what, int reason) {
    return {ErrorCode::io_error, what + ": " + std::generic_category().message(reason), 0, 0,
            reason};
}

// The body in a file in memory: a child that reads late, or never, keeps nobody waiting.
Result<int> input_file(std::string_view input) {
    const int file = ::memfd_create("message", MFD_CLOEXEC);
    if (file < 0) {
        return failed("cannot make the input of the command", errno);
    }
    std::string_view rest = input;
    while (!rest.empty()) {
        const ssize_t written = ::write(file, rest.data(), rest.size());
        if (written < 0 && errno != EINTR) {
            const int reason = errno;
            (void)::close(file);
            return failed("cannot write the input of the command", reason);
        }
        rest.remove_prefix(written > 0 ? static_cast<std::size_t>(written) : 0);
    }
    (void)::lseek(file, 0, SEEK_SET);
    return file;
}

bool is_of_a_message(std::string_view variable) {
    return variable.starts_with("MQD_ID=") || variable.starts_with("MQD_QUEUE=") ||
           variable.starts_with("MQD_ATTEMPT=") || variable.starts_with("MQD_HEADER_");
}

std::vector<std::string> environment_of(const Environment& added) {
    std::vector<std::string> variables;
    for (char** variable = environ; *variable != nullptr; ++variable) {
        if (!is_of_a_message(*variable)) {
            variables.emplace_back(*variable);
        }
    }
    for (const auto& [name, value] : added) {
        variables.push_back(name + '=' + value);
    }
    return variables;
}

std::vector<char*> pointers_to(std::vector<std::string>& strings) {
    std::vector<char*> pointers;
    pointers.reserve(strings.size() + 1);
    for (std::string& string : strings) {
        pointers.push_back(string.data());
    }
    pointers.push_back(nullptr);
    return pointers;
}

// posix_spawnp with `input` as standard input; 0 or an errno.
int spawn(pid_t& pid, const ChildSpec& spec, int input) {
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_t actions;
    if (const int reason = ::posix_spawnattr_init(&attributes); reason != 0) {
        return reason;
    }
    if (const int reason = ::posix_spawn_file_actions_init(&actions); reason != 0) {
        (void)::posix_spawnattr_destroy(&attributes);
        return reason;
    }
    sigset_t defaults;
    (void)sigemptyset(&defaults);
    (void)sigaddset(&defaults, SIGPIPE);
    (void)::posix_spawnattr_setsigdefault(&attributes, &defaults);
    (void)::posix_spawnattr_setsigmask(&attributes, &spec.signal_mask);
    (void)::posix_spawnattr_setpgroup(&attributes, 0);
    (void)::posix_spawnattr_setflags(
        &attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    int reason = ::posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
    if (reason == 0) {
        std::vector<std::string> command = spec.command;
        std::vector<std::string> variables = environment_of(spec.environment);
        reason = ::posix_spawnp(&pid, command[0].c_str(), &actions, &attributes,
                                pointers_to(command).data(), pointers_to(variables).data());
    }
    (void)::posix_spawn_file_actions_destroy(&actions);
    (void)::posix_spawnattr_destroy(&attributes);
    return reason;
}

ChildProcess::Ending to_ending(int status) {
    if (WIFSIGNALED(status)) {
        return {0, WTERMSIG(status)};
    }
    return {WEXITSTATUS(status), 0};
}

}  // namespace

std::string header_variable(std::string_view key) {
    std::string name("MQD_HEADER_");
    for (const char c : key) {
        const bool lower = c >= 'a' && c <= 'z';
        const bool plain = (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        name += lower ? static_cast<char>(c - 'a' + 'A') : plain ? c : '_';
    }
    return name;
}

Result<ChildProcess> ChildProcess::start(const ChildSpec& spec) {
    const auto input = input_file(spec.input);
    if (!input) {
        return input.error();
    }
    pid_t pid = 0;
    const int reason = spawn(pid, spec, *input);
    (void)::close(*input);
    if (reason != 0) {
        return failed("cannot run " + spec.command[0], reason);
    }
    return ChildProcess(pid);
}

std::optional<ChildProcess::Ending> ChildProcess::ending() {
    int status = 0;
    const pid_t ended = ::waitpid(pid_, &status, WNOHANG);
    if (ended == 0 || (ended < 0 && errno == EINTR)) {
        return std::nullopt;
    }
    return ended == pid_ ? to_ending(status) : Ending{0, SIGKILL};
}

bool ChildProcess::has_ended() const {
    siginfo_t facts{};
    const int rc = ::waitid(P_PID, static_cast<id_t>(pid_), &facts, WEXITED | WNOHANG | WNOWAIT);
    return rc == 0 ? facts.si_pid != 0 : errno == ECHILD;
}

void ChildProcess::terminate() const {
    (void)::kill(-pid_, SIGTERM);
}

void ChildProcess::send_kill() const {
    (void)::kill(-pid_, SIGKILL);
}

ChildProcess::Ending ChildProcess::kill() {
    (void)::kill(-pid_, SIGKILL);
    int status = 0;
    pid_t ended = 0;
    do {
        ended = ::waitpid(pid_, &status, 0);
    } while (ended < 0 && errno == EINTR);
    return ended == pid_ ? to_ending(status) : Ending{0, SIGKILL};
}

}  // namespace mqd::mqctl
