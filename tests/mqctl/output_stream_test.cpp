#include "client/mqctl/output_stream.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

namespace mqd::mqctl {
namespace {

constexpr std::size_t more_than_fits = 4 * 1024 * 1024;

std::size_t read_all_there_is(int descriptor) {
    std::string bytes(more_than_fits, '\0');
    const ssize_t got = ::read(descriptor, bytes.data(), bytes.size());
    REQUIRE(got > 0);
    return static_cast<std::size_t>(got);
}

void check_slow_reader(int read_end, int write_end) {
    OutputStream out(write_end);
    out.buffer().assign(more_than_fits, 'x');
    REQUIRE(out.write_some());
    CHECK(out.pending() > 0);
    CHECK(out.pending() < more_than_fits);
    std::size_t got = 0;
    while (got < more_than_fits) {
        got += read_all_there_is(read_end);
        REQUIRE(out.write_some());
    }
    CHECK(out.pending() == 0);
    CHECK(out.buffer().empty());
}

TEST_CASE("output stream: a slow reader of a pipe or a socket does not block the writer") {
    std::array<int, 2> ends{};
    REQUIRE(::pipe(ends.data()) == 0);
    check_slow_reader(ends[0], ends[1]);
    CHECK((::fcntl(ends[1], F_GETFL) & O_NONBLOCK) == 0);  // it is shared with other programs
    (void)::close(ends[0]);
    (void)::close(ends[1]);

    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()) == 0);
    check_slow_reader(ends[0], ends[1]);
    (void)::close(ends[0]);
    (void)::close(ends[1]);
}

TEST_CASE("output stream: a reader that is gone is an error") {
    (void)std::signal(SIGPIPE, SIG_IGN);
    std::array<int, 2> ends{};
    REQUIRE(::pipe(ends.data()) == 0);
    OutputStream out(ends[1]);
    (void)::close(ends[0]);
    out.buffer() = "x";
    const auto written = out.write_some();
    REQUIRE_FALSE(written);
    CHECK(written.error().os_errno == EPIPE);
    (void)::close(ends[1]);
}

TEST_CASE("output stream: what is open for reading only is not written to") {
    const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    REQUIRE(null >= 0);
    OutputStream out(null, "the file");
    out.buffer() = "x";
    const auto written = out.write_some();
    REQUIRE_FALSE(written);
    CHECK(written.error().os_errno == EBADF);
    CHECK(written.error().text.starts_with("cannot write to the file: "));
    (void)::close(null);
}

}  // namespace
}  // namespace mqd::mqctl
