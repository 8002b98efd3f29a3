#include "daemon/notify.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <string>

#include "config/environment_variable.hpp"

using namespace mqd;

TEST_CASE("notify: without systemd nothing is said and nothing is passed") {
    ::unsetenv("NOTIFY_SOCKET");
    ::unsetenv("LISTEN_FDS");
    notify_ready("serving");
    notify_stopping("ending");
    CHECK(watchdog_interval().count() == 0);
    const auto sockets = listen_sockets();
    REQUIRE(sockets);
    CHECK(sockets->empty());
}

#ifdef MQD_HAVE_SYSTEMD

namespace {

// A Unix socket with a name that the kernel chose.
class LocalSocket {
  public:
    explicit LocalSocket(int type) : descriptor_(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0)) {
        sockaddr_un address = {};
        address.sun_family = AF_UNIX;
        REQUIRE(::bind(descriptor_, reinterpret_cast<sockaddr*>(&address), sizeof(sa_family_t)) ==
                0);
    }
    ~LocalSocket() { ::close(descriptor_); }
    LocalSocket(const LocalSocket&) = delete;
    LocalSocket& operator=(const LocalSocket&) = delete;

    [[nodiscard]] int descriptor() const { return descriptor_; }
    // As NOTIFY_SOCKET has it: '@' for the NUL of an abstract name.
    [[nodiscard]] std::string name() const {
        sockaddr_un address = {};
        socklen_t size = sizeof address;
        REQUIRE(::getsockname(descriptor_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
        return '@' + std::string(address.sun_path + 1, size - sizeof(sa_family_t) - 1);
    }
    [[nodiscard]] std::string receive() const {
        std::array<char, 512> buffer{};
        const ssize_t n = ::recv(descriptor_, buffer.data(), buffer.size(), MSG_DONTWAIT);
        return n < 0 ? "" : std::string(buffer.data(), static_cast<std::size_t>(n));
    }

  private:
    int descriptor_;
};

// Has descriptor 3, the first one that systemd passes, stand for another one for a while.
class PassedDescriptor {
  public:
    explicit PassedDescriptor(int descriptor) : saved_(::dup(first)) {
        REQUIRE(::dup2(descriptor, first) == first);
    }
    ~PassedDescriptor() {
        ::close(first);
        if (saved_ >= 0) {
            ::dup2(saved_, first);
            ::close(saved_);
        }
    }
    PassedDescriptor(const PassedDescriptor&) = delete;
    PassedDescriptor& operator=(const PassedDescriptor&) = delete;

    static constexpr int first = 3;

  private:
    int saved_;
};

}  // namespace

TEST_CASE("notify: states arrive, and a status stays on its line") {
    const LocalSocket manager(SOCK_DGRAM);
    const test::EnvironmentVariable variable("NOTIFY_SOCKET", manager.name());
    notify_ready("serving queues=3");
    CHECK(manager.receive() == "READY=1\nSTATUS=serving queues=3");
    notify_status("a\nMAINPID=1");
    CHECK(manager.receive() == "STATUS=a MAINPID=1");
    notify_extend_timeout(std::chrono::seconds(2));
    CHECK(manager.receive() == "EXTEND_TIMEOUT_USEC=2000000");
    notify_watchdog();
    CHECK(manager.receive() == "WATCHDOG=1");
    notify_stopping("waiting for clients");
    CHECK(manager.receive() == "STOPPING=1\nSTATUS=waiting for clients");
}

TEST_CASE("notify: the watchdog is fed twice as often as it bites") {
    const test::EnvironmentVariable usec("WATCHDOG_USEC", "3000000");
    const test::EnvironmentVariable pid("WATCHDOG_PID", std::to_string(::getpid()));
    CHECK(watchdog_interval() == std::chrono::milliseconds(1500));
}

TEST_CASE("notify: a listening socket is taken over by its name, once") {
    const LocalSocket socket(SOCK_STREAM);
    REQUIRE(::listen(socket.descriptor(), 1) == 0);
    const PassedDescriptor passed(socket.descriptor());
    const test::EnvironmentVariable pid("LISTEN_PID", std::to_string(::getpid()));
    const test::EnvironmentVariable count("LISTEN_FDS", "1");
    const test::EnvironmentVariable names("LISTEN_FDNAMES", "local");
    const auto sockets = listen_sockets();
    REQUIRE_MESSAGE(sockets.has_value(), sockets.error().text);
    REQUIRE(sockets->size() == 1);
    CHECK((*sockets)[0].name == "local");
    CHECK((*sockets)[0].descriptor == PassedDescriptor::first);
    const auto again = listen_sockets();
    REQUIRE(again);
    CHECK(again->empty());
}

TEST_CASE("notify: what is passed and is no listening stream socket is refused by its name") {
    const LocalSocket socket(SOCK_DGRAM);
    const PassedDescriptor passed(socket.descriptor());
    const test::EnvironmentVariable pid("LISTEN_PID", std::to_string(::getpid()));
    const test::EnvironmentVariable count("LISTEN_FDS", "1");
    const test::EnvironmentVariable names("LISTEN_FDNAMES", "odd");
    const auto sockets = listen_sockets();
    REQUIRE(!sockets);
    CHECK(sockets.error().code == ErrorCode::bad_config);
    CHECK(sockets.error().text.find("\"odd\"") != std::string::npos);
}

#endif
