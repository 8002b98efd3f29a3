#include "daemon/net/listening_socket.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>

#include "net/raw_connection.hpp"
#include "support/daemon_process.hpp"

namespace mqd::net {

namespace {

using test::RawConnection;
using test::TemporaryFolder;

// Closes what a test has opened.
class Listening {
  public:
    explicit Listening(Result<int> opened) : opened_(std::move(opened)) {}
    Listening(const Listening&) = delete;
    Listening& operator=(const Listening&) = delete;
    ~Listening() { close(); }

    void close() {
        if (opened_) {
            ::close(*opened_);
            opened_ = Error{ErrorCode::usage, "closed"};
        }
    }
    [[nodiscard]] const Result<int>& result() const { return opened_; }
    [[nodiscard]] int descriptor() const { return *opened_; }

  private:
    Result<int> opened_;
};

mode_t mode_of(const std::string& path) {
    struct stat status {};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    return status.st_mode & 07777;
}

}  // namespace

TEST_CASE("listening socket: a unix socket has the mode that was asked for, and listens") {
    const TemporaryFolder folder;
    const std::string path = folder.path() + "/socket";
    for (const std::uint32_t mode : {0660u, 0600u, 0666u}) {
        Listening listening(listen_unix(path, mode));
        REQUIRE(listening.result());
        CHECK(mode_of(path) == mode);
        CHECK(RawConnection(path).connected());
        CHECK((::fcntl(listening.descriptor(), F_GETFD) & FD_CLOEXEC) != 0);
        CHECK((::fcntl(listening.descriptor(), F_GETFL) & O_NONBLOCK) != 0);
        CHECK(bound_port(listening.descriptor()) == 0);
    }
}

TEST_CASE("listening socket: a socket file that nobody serves is replaced") {
    const TemporaryFolder folder;
    const std::string path = folder.path() + "/socket";
    Listening dead(listen_unix(path, 0600));
    REQUIRE(dead.result());
    dead.close();
    REQUIRE(std::filesystem::exists(path));
    const Listening again(listen_unix(path, 0600));
    REQUIRE(again.result());
    CHECK(RawConnection(path).connected());
}

TEST_CASE("listening socket: a socket file that somebody serves is left alone") {
    const TemporaryFolder folder;
    const std::string path = folder.path() + "/socket";
    const Listening first(listen_unix(path, 0600));
    REQUIRE(first.result());
    const Listening second(listen_unix(path, 0600));
    REQUIRE_FALSE(second.result());
    CHECK(second.result().error().code == ErrorCode::locked);
    CHECK(RawConnection(path).connected());
}

TEST_CASE("listening socket: a file that is no socket is never removed") {
    const TemporaryFolder folder;
    const std::string path = folder.path() + "/precious";
    test::write_file(path, "data");
    const Listening refused(listen_unix(path, 0600));
    REQUIRE_FALSE(refused.result());
    CHECK(refused.result().error().os_errno == EADDRINUSE);
    CHECK(test::read_file(path) == "data");
    const std::string link = folder.path() + "/link";
    std::filesystem::create_symlink(path, link);
    CHECK_FALSE(Listening(listen_unix(link, 0600)).result());
    CHECK(test::read_file(path) == "data");
}

TEST_CASE("listening socket: an error names the address and errno") {
    const TemporaryFolder folder;
    const Listening nowhere(listen_unix(folder.path() + "/nowhere/socket", 0600));
    REQUIRE_FALSE(nowhere.result());
    CHECK(nowhere.result().error().code == ErrorCode::io_error);
    CHECK(nowhere.result().error().os_errno == ENOENT);
    CHECK(nowhere.result().error().text.find("/nowhere/socket") != std::string::npos);
    const Listening too_long(listen_unix('/' + std::string(200, 'x'), 0600));
    REQUIRE_FALSE(too_long.result());
    CHECK(too_long.result().error().os_errno == ENAMETOOLONG);
    // The longest path that fits, its end included, and one more.
    const std::size_t longest = sizeof(sockaddr_un::sun_path) - 1;
    const std::string base = folder.path() + '/';
    const std::string fits = base + std::string(longest - base.size(), 'x');
    CHECK(Listening(listen_unix(fits, 0600)).result());
    CHECK_FALSE(Listening(listen_unix(fits + 'x', 0600)).result());
}

TEST_CASE("listening socket: over TCP the kernel chooses a port where none is given") {
    const Listening listening(listen_tcp("127.0.0.1", 0));
    REQUIRE(listening.result());
    const std::uint16_t port = bound_port(listening.descriptor());
    REQUIRE(port != 0);
    CHECK(RawConnection(port).connected());
    const Listening second(listen_tcp("127.0.0.1", port));
    REQUIRE_FALSE(second.result());
    CHECK(second.result().error().os_errno == EADDRINUSE);
    CHECK(second.result().error().text.find("127.0.0.1:" + std::to_string(port)) !=
          std::string::npos);
}

TEST_CASE("listening socket: a host that is no address is refused") {
    for (const char* host : {"", "localhost", "127.0.0", "[::1]", "300.0.0.1"}) {
        CAPTURE(host);
        const Listening refused(listen_tcp(host, 0));
        REQUIRE_FALSE(refused.result());
        CHECK(refused.result().error().os_errno == EINVAL);
    }
}

}  // namespace mqd::net
