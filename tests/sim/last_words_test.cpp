#include "sim/last_words.hpp"

#include <doctest/doctest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <string>

namespace mqd::sim {
namespace {

struct Death {
    std::string said;
    int status = 0;
};

// In a process of its own, whose signals end it as if no test were running.
template <typename Fn>
Death die(Fn&& fn) {
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        for (const int signal : {SIGABRT, SIGTERM}) {
            (void)std::signal(signal, SIG_DFL);
        }
        ::dup2(ends[1], STDERR_FILENO);
        fn();
        ::_exit(0);
    }
    ::close(ends[1]);
    Death death;
    char piece[256];
    for (ssize_t bytes = 0; (bytes = ::read(ends[0], piece, sizeof piece)) > 0;) {
        death.said.append(piece, static_cast<std::size_t>(bytes));
    }
    ::close(ends[0]);
    REQUIRE(::waitpid(child, &death.status, 0) == child);
    return death;
}

TEST_CASE("last words: a signal has them said, and ends the program all the same") {
    for (const int signal : {SIGABRT, SIGTERM}) {
        CAPTURE(signal);
        const Death death = die([&] {
            LastWords words;
            words.set("the first");
            words.set("seed 7\n");
            (void)std::raise(signal);
        });
        CHECK(death.said == "seed 7\n");
        REQUIRE(WIFSIGNALED(death.status));
        CHECK(WTERMSIG(death.status) == signal);
    }
}

TEST_CASE("last words: what is too long is cut") {
    const Death death = die([] {
        LastWords words;
        words.set(std::string(501, 'x'));
        (void)std::raise(SIGTERM);
    });
    CHECK(death.said == std::string(500, 'x'));
}

TEST_CASE("last words: afterwards nothing is said") {
    const Death death = die([] {
        { LastWords().set("seed 7\n"); }
        (void)std::raise(SIGTERM);
    });
    CHECK(death.said.empty());
    CHECK(WIFSIGNALED(death.status));
}

#if defined(__SANITIZE_ADDRESS__)
TEST_CASE("last words: a finding of the sanitizer ends with them") {
    const Death death = die([] {
        LastWords words;
        words.set("seed 7\n");
        volatile std::size_t count = 1;
        const std::unique_ptr<volatile char[]> one(new volatile char[count]);
        one[count] = 1;
    });
    CHECK(death.said.find("heap-buffer-overflow") != std::string::npos);
    CHECK(death.said.find("seed 7\n") != std::string::npos);
    CHECK(death.status != 0);
}
#endif

}  // namespace
}  // namespace mqd::sim
