#include "integration/mqctl_run.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

namespace mqd::test {
namespace {

void close_end(int& descriptor) {
    if (descriptor >= 0) {
        (void)::close(descriptor);
        descriptor = -1;
    }
}

std::vector<char*> pointers_to(std::vector<std::string>& strings) {
    std::vector<char*> pointers;
    for (std::string& string : strings) {
        pointers.push_back(string.data());
    }
    pointers.push_back(nullptr);
    return pointers;
}

// mqctl with the ends of three pipes as its standard streams.
pid_t spawn(const std::string& url, std::vector<std::string> command,
            const std::array<int, 3>& streams) {
    posix_spawn_file_actions_t actions;
    REQUIRE(::posix_spawn_file_actions_init(&actions) == 0);
    for (int i = 0; i < 3; ++i) {
        (void)::posix_spawn_file_actions_adddup2(&actions, streams.at(i), i);
    }
    std::vector<std::string> environment{"MQD_URL=" + url, "PATH=/usr/local/bin:/usr/bin:/bin"};
    pid_t pid = -1;
    const int failed = ::posix_spawn(&pid, command[0].c_str(), &actions, nullptr,
                                     pointers_to(command).data(), pointers_to(environment).data());
    (void)::posix_spawn_file_actions_destroy(&actions);
    REQUIRE(failed == 0);
    return pid;
}

bool append_from(int& descriptor, std::string& to) {
    std::array<char, 65536> block{};
    const ssize_t got = ::read(descriptor, block.data(), block.size());
    if (got <= 0) {
        close_end(descriptor);
        return false;
    }
    to.append(block.data(), static_cast<std::size_t>(got));
    return true;
}

}  // namespace

MqctlProcess::MqctlProcess(const std::string& url, const std::vector<std::string>& arguments,
                           const std::string& redirection) {
    (void)std::signal(SIGPIPE, SIG_IGN);
    std::array<int, 2> in{};
    std::array<int, 2> out{};
    std::array<int, 2> err{};
    REQUIRE(::pipe2(in.data(), O_CLOEXEC) == 0);
    REQUIRE(::pipe2(out.data(), O_CLOEXEC) == 0);
    REQUIRE(::pipe2(err.data(), O_CLOEXEC) == 0);
    std::vector<std::string> command{MQCTL_BIN};
    if (!redirection.empty()) {
        command = {"/bin/sh", "-c", "exec \"$0\" \"$@\" " + redirection, MQCTL_BIN};
    }
    command.insert(command.end(), arguments.begin(), arguments.end());
    pid_ = spawn(url, std::move(command), {in[0], out[1], err[1]});
    for (const int theirs : {in[0], out[1], err[1]}) {
        (void)::close(theirs);
    }
    in_ = in[1];
    REQUIRE(::fcntl(in_, F_SETFL, O_NONBLOCK) == 0);
    out_ = out[0];
    err_ = err[0];
}

MqctlProcess::~MqctlProcess() {
    close_end(in_);
    close_end(out_);
    close_end(err_);
    if (pid_ > 0) {
        (void)::kill(pid_, SIGKILL);
        (void)::waitpid(pid_, nullptr, 0);
    }
}

// Takes what comes out meanwhile: mqctl does not read on while it cannot write.
void MqctlProcess::write(std::string_view text) {
    while (!text.empty()) {
        std::array<pollfd, 3> watched{{{in_, POLLOUT, 0}, {out_, POLLIN, 0}, {err_, POLLIN, 0}}};
        REQUIRE(::poll(watched.data(), watched.size(), static_cast<int>(patience.count())) > 0);
        if (watched[1].revents != 0) {
            (void)append_from(out_, output_);
        }
        if (watched[2].revents != 0) {
            (void)append_from(err_, complaints_);
        }
        if (watched[0].revents == 0) {
            continue;
        }
        const ssize_t written = ::write(in_, text.data(), text.size());
        if (written >= 0) {
            text.remove_prefix(static_cast<std::size_t>(written));
        } else if (errno != EAGAIN && errno != EINTR) {
            return;  // it ended before it read everything: its end says why
        }
    }
}

void MqctlProcess::close_input() {
    close_end(in_);
}

void MqctlProcess::close_output() {
    close_end(out_);
}

void MqctlProcess::send_signal(int number) const {
    REQUIRE(::kill(pid_, number) == 0);
}

void MqctlProcess::stop() const {
    send_signal(SIGSTOP);
    int status = 0;
    REQUIRE(::waitpid(pid_, &status, WUNTRACED) == pid_);
    REQUIRE(WIFSTOPPED(status));
}

bool MqctlProcess::read_some(int timeout_ms) {
    std::array<pollfd, 2> watched{{{out_, POLLIN, 0}, {err_, POLLIN, 0}}};
    if (::poll(watched.data(), watched.size(), timeout_ms) <= 0) {
        return false;
    }
    bool any = false;
    if (watched[0].revents != 0) {
        any = append_from(out_, output_);
    }
    if (watched[1].revents != 0) {
        any = append_from(err_, complaints_) || any;
    }
    return any;
}

std::optional<std::string> MqctlProcess::read_line() {
    const bool came = eventually([this] {
        (void)read_some(1);
        return output_.find('\n') != std::string::npos;
    });
    if (!came) {
        return std::nullopt;
    }
    const std::size_t newline = output_.find('\n');
    std::string line = output_.substr(0, newline);
    output_.erase(0, newline + 1);
    return line;
}

const std::string& MqctlProcess::complaints() {
    while (read_some(0)) {}
    return complaints_;
}

MqctlEnd MqctlProcess::wait() {
    close_input();
    return wait_for_end();
}

MqctlEnd MqctlProcess::wait_for_end() {
    int status = 0;
    const bool ended = eventually([&] {
        while (read_some(1)) {}
        return ::waitpid(pid_, &status, WNOHANG) == pid_;
    });
    if (!ended) {
        (void)::kill(pid_, SIGKILL);
        (void)::waitpid(pid_, nullptr, 0);
    }
    pid_ = -1;
    REQUIRE(ended);
    while (read_some(0)) {}
    const int exit = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    return {exit, std::move(output_), std::move(complaints_)};
}

MqctlEnd Mqctl::run(const std::vector<std::string>& arguments, std::string_view input,
                    const std::string& redirection) const {
    MqctlProcess process(url_, arguments, redirection);
    process.write(input);
    process.close_input();
    return process.wait_for_end();
}

std::string Mqctl::must(const std::vector<std::string>& arguments, std::string_view input) const {
    const MqctlEnd end = run(arguments, input);
    CAPTURE(arguments.front());
    CAPTURE(end.err);
    REQUIRE(end.exit == 0);
    return end.out;
}

std::uint64_t Mqctl::queue_number(const std::string& queue, std::string_view field) const {
    const std::string shown = must({"queue", "show", queue, "-o", "json"});
    const std::string name = '"' + std::string(field) + "\":";
    const std::size_t at = shown.find(name);
    REQUIRE(at != std::string::npos);
    return std::stoull(shown.substr(at + name.size()));
}

}  // namespace mqd::test
