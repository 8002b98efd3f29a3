#include "client/mqctl/talk.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

namespace mqd::mqctl {
namespace {

// Whether there is progress to show in a program whose data and talk go there.
bool progress_with(int output, int errors, bool quiet) {
    const pid_t pid = ::fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        (void)::dup2(errors, STDERR_FILENO);
        const Progress progress(Talk(quiet), "done", output);
        ::_exit(progress.next() ? 1 : 0);
    }
    int status = -1;
    REQUIRE(::waitpid(pid, &status, 0) == pid);
    return status != 0;
}

TEST_CASE("progress: it is shown on a terminal, unless the data go to one") {
    const int master = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    REQUIRE(master >= 0);
    REQUIRE(::grantpt(master) == 0);
    REQUIRE(::unlockpt(master) == 0);
    const int terminal = ::open(::ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    REQUIRE(terminal >= 0);
    const int file = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    REQUIRE(file >= 0);
    CHECK(progress_with(file, terminal, false));
    CHECK_FALSE(progress_with(terminal, terminal, false));
    CHECK(progress_with(-1, terminal, false));
    CHECK_FALSE(progress_with(file, file, false));
    CHECK_FALSE(progress_with(file, terminal, true));
    (void)::close(file);
    (void)::close(terminal);
    (void)::close(master);
}

}  // namespace
}  // namespace mqd::mqctl
