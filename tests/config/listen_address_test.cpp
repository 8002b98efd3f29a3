#include "daemon/config/listen_address.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace mqd;

TEST_CASE("listen address: what is read is printed again") {
    for (const std::string text :
         {"unix:/run/mqd/mqd.sock", "unix:/a b", "tcp://127.0.0.1:7440", "tcp://[::1]:1",
          "tcp://0.0.0.0:0", "tcp://[2001:db8::1]:65535"}) {
        CAPTURE(text);
        const auto address = parse_listen_address(text);
        REQUIRE_MESSAGE(address.has_value(), address.error().text);
        CHECK(format_listen_address(*address) == text);
    }
}

TEST_CASE("listen address: a port need not be said, and localhost is a number") {
    CHECK(*parse_listen_address("tcp://127.0.0.1") ==
          ListenAddress(TcpAddress{"127.0.0.1", default_tcp_port}));
    CHECK(*parse_listen_address("tcp://[::1]") ==
          ListenAddress(TcpAddress{"::1", default_tcp_port}));
    CHECK(*parse_listen_address("tcp://localhost:5") == ListenAddress(TcpAddress{"127.0.0.1", 5}));
}

TEST_CASE("listen address: what is not one is refused") {
    for (const std::string text : {"",
                                   "/run/mqd.sock",
                                   "unix:",
                                   "unix:run/mqd.sock",
                                   "unix:@abstract",
                                   "tcp:127.0.0.1",
                                   "tcp://",
                                   "tcp://:7440",
                                   "tcp://host:7440",
                                   "tcp://127.0.0.1:",
                                   "tcp://127.0.0.1:65536",
                                   "tcp://127.0.0.1:-1",
                                   "tcp://127.0.0.1:7x",
                                   "tcp://127.0.0.1/",
                                   "tcp://127.1:7440",
                                   "tcp://::1:7440",
                                   "tcp://[::1",
                                   "tcp://[::1]x",
                                   "tcp://[127.0.0.1]:1",
                                   "tcp://[localhost]",
                                   "tls://127.0.0.1"}) {
        CAPTURE(text);
        CHECK(!parse_listen_address(text).has_value());
    }
}

TEST_CASE("listen address: the longest path of a socket is taken, one byte more is refused") {
    const std::string longest = "unix:/" + std::string(106, 'x');
    CHECK(parse_listen_address(longest).has_value());
    CHECK(!parse_listen_address(longest + 'x').has_value());
}

TEST_CASE("listen address: only loopback and unix sockets are local") {
    const auto local = [](const char* text) { return is_local(*parse_listen_address(text)); };
    CHECK(local("unix:/x"));
    CHECK(local("tcp://127.0.0.1"));
    CHECK(local("tcp://127.255.0.9"));
    CHECK(local("tcp://[::1]"));
    CHECK(!local("tcp://0.0.0.0"));
    CHECK(!local("tcp://[::]"));
    CHECK(!local("tcp://128.0.0.1"));
    CHECK(!local("tcp://[::ffff:127.0.0.1]"));
}
