#include "client/mqctl/child_process.hpp"

#include <doctest/doctest.h>
#include <poll.h>

namespace mqd::mqctl {
namespace {

ChildProcess started(const std::vector<std::string>& command, std::string_view input,
                     const Environment& environment = {}) {
    sigset_t none;
    (void)sigemptyset(&none);
    auto child = ChildProcess::start({command, environment, input, none});
    REQUIRE(child);
    return std::move(*child);
}

ChildProcess::Ending ending_of(ChildProcess child) {
    while (true) {
        if (const auto ending = child.ending()) {
            return *ending;
        }
        (void)::poll(nullptr, 0, 1);
    }
}

TEST_CASE("child process: header names become variable names") {
    CHECK(header_variable("type") == "MQD_HEADER_TYPE");
    CHECK(header_variable("Content-Type") == "MQD_HEADER_CONTENT_TYPE");
    CHECK(header_variable("a.b/c 9\xC3") == "MQD_HEADER_A_B_C_9_");
}

TEST_CASE("child process: it finds the body on its input and the rest in its environment") {
    const std::string body = "line\n" + std::string(300'000, 'x');
    const std::string script =
        "test \"$(cat | wc -c)\" -eq 300005 && test \"$MQD_ID\" = q:1:2 && "
        "test -z \"${MQD_HEADER_OLD-}\"";
    (void)::setenv("MQD_HEADER_OLD", "x", 1);
    const auto ending = ending_of(started({"sh", "-c", script}, body, {{"MQD_ID", "q:1:2"}}));
    (void)::unsetenv("MQD_HEADER_OLD");
    CHECK(ending.exit_status == 0);
    CHECK(ending.signal == 0);
}

TEST_CASE("child process: a body that is not read keeps nobody waiting") {
    const std::string body(1'000'000, 'x');
    CHECK(ending_of(started({"true"}, body)).exit_status == 0);
}

TEST_CASE("child process: status and signal are told apart") {
    CHECK(ending_of(started({"sh", "-c", "exit 75"}, "")).exit_status == 75);
    CHECK(ending_of(started({"sh", "-c", "kill -9 $$"}, "")).signal == SIGKILL);
    ChildProcess sleeper = started({"sleep", "1000"}, "");
    CHECK_FALSE(sleeper.ending());
    CHECK(sleeper.kill().signal == SIGKILL);
}

TEST_CASE(
    "child process: one that has ended is still there to be asked, and its group to be killed") {
    ChildProcess child = started({"sh", "-c", "sleep 1000 & exit 7"}, "");
    while (!child.has_ended()) {
        (void)::poll(nullptr, 0, 1);
    }
    CHECK(child.has_ended());
    CHECK(::kill(-child.pid(), 0) == 0);
    CHECK(child.kill().exit_status == 7);
    ChildProcess sleeper = started({"sleep", "1000"}, "");
    CHECK_FALSE(sleeper.has_ended());
    sleeper.send_kill();
    CHECK(ending_of(sleeper).signal == SIGKILL);
}

TEST_CASE("child process: a program that is not there is an error") {
    sigset_t none;
    (void)sigemptyset(&none);
    const auto child = ChildProcess::start({{"/nonexistent/program"}, {}, "", none});
    REQUIRE_FALSE(child);
    CHECK(child.error().text.find("/nonexistent/program") != std::string::npos);
}

}  // namespace
}  // namespace mqd::mqctl
