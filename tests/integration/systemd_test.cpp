// What systemd and mqd say to each other, played without systemd: sockets passed by the numbers,
// notifications to a socket. And what systemd-analyze says of the unit.

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>

#include "mqd/client.hpp"
#include "net/raw_connection.hpp"
#include "support/daemon_process.hpp"

namespace mqd::test {

namespace {

// Sets LISTEN_PID to its own process id and goes on as what follows.
const std::vector<std::string> as_systemd = {"sh", "-c", "export LISTEN_PID=$$; exec \"$@\"", "-"};

sockaddr_un address_of(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    REQUIRE(path.size() < sizeof address.sun_path);
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    return address;
}

class BoundSocket {
  public:
    BoundSocket(const std::string& path, int type)
        : descriptor_(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0)) {
        const sockaddr_un address = address_of(path);
        REQUIRE(::bind(descriptor_, reinterpret_cast<const sockaddr*>(&address), sizeof address) ==
                0);
    }
    BoundSocket(const BoundSocket&) = delete;
    BoundSocket& operator=(const BoundSocket&) = delete;
    ~BoundSocket() { ::close(descriptor_); }

    [[nodiscard]] int descriptor() const { return descriptor_; }

    // Of a datagram socket: everything up to the message that has `word` as a line or as the
    // beginning of one; what came so far, if none does in time.
    [[nodiscard]] std::string receive_until(const std::string& word) const {
        std::string all;
        (void)eventually([&] {
            char buffer[4096];
            const ssize_t n = ::recv(descriptor_, buffer, sizeof buffer, MSG_DONTWAIT);
            if (n > 0) {
                all += '\n' + std::string(buffer, static_cast<std::size_t>(n));
            }
            return all.find('\n' + word) != std::string::npos;
        });
        return all;
    }

  private:
    int descriptor_;
};

bool has_line(const std::string& text, const std::string& line) {
    return text.find('\n' + line) != std::string::npos;
}

void expect_served(const std::string& path) {
    RawConnection connection(path);
    REQUIRE(connection.connected());
    connection.greet();
}

}  // namespace

TEST_CASE("systemd: READY=1 comes when mqd serves, STOPPING=1 when it is told to stop") {
    TemporaryFolder folder;
    const BoundSocket notifications(folder.path() + "/notify", SOCK_DGRAM);
    DaemonProcess daemon(MQD_BIN, {.environment = {{"NOTIFY_SOCKET", folder.path() + "/notify"}}});
    daemon.launch();
    const std::string started = notifications.receive_until("READY=1");
    REQUIRE(has_line(started, "READY=1"));
    CHECK(has_line(started, "STATUS=serving"));
    expect_served(daemon.socket_path());  // at once
    daemon.send_signal(SIGTERM);
    CHECK(has_line(notifications.receive_until("STOPPING=1"), "STOPPING=1"));
    CHECK(daemon.wait() == ProcessEnd{0, 0});
}

TEST_CASE("systemd: a daemon that cannot start is never ready") {
    TemporaryFolder folder;
    const BoundSocket notifications(folder.path() + "/notify", SOCK_DGRAM);
    DaemonProcess daemon(MQD_BIN, {.config = "[[listener]]\nname = \"bad\"\n"
                                             "bind = \"unix:/nonexistent/mqd.sock\"\n",
                                   .environment = {{"NOTIFY_SOCKET", folder.path() + "/notify"}}});
    daemon.launch();
    REQUIRE(daemon.wait().has_value());
    char buffer[4096];
    const ssize_t n = ::recv(notifications.descriptor(), buffer, sizeof buffer, MSG_DONTWAIT);
    const std::string said = n > 0 ? std::string(buffer, static_cast<std::size_t>(n)) : "";
    CHECK(said.find("READY=1") == std::string::npos);
}

TEST_CASE("systemd: a socket that is passed by its name stands in for the listener") {
    TemporaryFolder folder;
    const std::string path = folder.path() + "/passed.sock";
    const BoundSocket passed(path, SOCK_STREAM);
    REQUIRE(::listen(passed.descriptor(), 16) == 0);
    std::optional<RawConnection> early(path);  // before the daemon runs: it waits in the backlog
    REQUIRE(early->connected());
    early->send_hello();
    DaemonProcess daemon(MQD_BIN,
                         {.environment = {{"LISTEN_FDS", "1"}, {"LISTEN_FDNAMES", "local"}},
                          .wrapper = as_systemd,
                          .descriptors = {passed.descriptor()}});
    for (int i = 0; i < 2; ++i) {
        daemon.launch();
        if (early) {
            const auto welcome = early->receive();
            REQUIRE(welcome.has_value());
            CHECK(welcome->header.type == wire::FrameType::welcome);
            early.reset();
        }
        expect_served(path);
        CHECK_FALSE(std::filesystem::exists(daemon.socket_path()));
        CHECK(daemon.stop() == ProcessEnd{0, 0});
        CHECK(std::filesystem::exists(path));  // not the daemon's to remove
    }
}

TEST_CASE("systemd: a socket that is passed under another name is served beside the listener") {
    TemporaryFolder folder;
    const std::string path = folder.path() + "/passed.sock";
    const BoundSocket passed(path, SOCK_STREAM);
    REQUIRE(::listen(passed.descriptor(), 16) == 0);
    DaemonProcess daemon(MQD_BIN,
                         {.environment = {{"LISTEN_FDS", "1"}, {"LISTEN_FDNAMES", "extra"}},
                          .wrapper = as_systemd,
                          .descriptors = {passed.descriptor()}});
    daemon.start();
    expect_served(daemon.socket_path());
    expect_served(path);
}

TEST_CASE("systemd: systemd-socket-activate starts it with the first connection") {
    if (::system("command -v systemd-socket-activate > /dev/null") != 0) {
        MESSAGE("skipped: systemd-socket-activate is not installed");
        return;
    }
    TemporaryFolder folder;
    const std::string path = folder.path() + "/passed.sock";
    DaemonProcess daemon(MQD_BIN, {.wrapper = {"systemd-socket-activate", "--listen=" + path,
                                               "--fdname=local", "--"}});
    daemon.launch();
    REQUIRE(eventually([&] { return RawConnection(path).connected(); }));
    expect_served(path);
    CHECK(daemon.stop() == ProcessEnd{0, 0});
}

TEST_CASE("systemd: the unit is well formed, and exposed as little as it says") {
    TemporaryFolder folder;
    const std::string errors = folder.path() + "/errors";
    ChildProcess check({.command = {"tests/integration/systemd_test.sh", MQD_BIN, folder.path()},
                        .environment = {},
                        .descriptors = {},
                        .output_path = errors,
                        .errors_path = ""});
    const auto end = check.wait(4 * patience);
    REQUIRE(end.has_value());
    const std::string said = read_file(errors);
    if (end->code == 77) {
        MESSAGE("skipped: ", said);
        return;
    }
    INFO(said);
    CHECK(*end == ProcessEnd{0, 0});
}

}  // namespace mqd::test
