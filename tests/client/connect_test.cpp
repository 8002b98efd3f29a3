// Connecting: by URL, over each transport, and what happens when there is nobody.

#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <thread>

#include "mqd/client.hpp"
#include "peer.hpp"

using namespace mqd;
using namespace mqd::client;
using std::chrono::milliseconds;
using wire::FrameType;

namespace {

// A socket that listens, and the URL by which it is reached.
struct Listener {
    explicit Listener(bool local) {
        descriptor = ::socket(local ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (local) {
            path = "/tmp/mqd-client-test-" + std::to_string(::getpid()) + ".sock";
            ::unlink(path.c_str());
            sockaddr_un address{};
            address.sun_family = AF_UNIX;
            std::memcpy(address.sun_path, path.c_str(), path.size());
            bind_and_listen(address);
            url = "unix:" + path;
        } else {
            sockaddr_in address{};
            address.sin_family = AF_INET;
            address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
            bind_and_listen(address);
            socklen_t size = sizeof address;
            ::getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size);
            url = "tcp://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
        }
    }
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;
    ~Listener() {
        ::close(descriptor);
        if (!path.empty()) {
            ::unlink(path.c_str());
        }
    }

    template <typename Address>
    void bind_and_listen(const Address& address) const {
        REQUIRE(::bind(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) ==
                0);
        REQUIRE(::listen(descriptor, 4) == 0);
    }

    int descriptor = -1;
    std::string path;
    std::string url;
};

}  // namespace

TEST_CASE("client: it connects by URL, over a Unix socket and over TCP") {
    for (const bool local : {true, false}) {
        const Listener listener(local);
        std::thread daemon([&] {
            PeerSocket socket(::accept(listener.descriptor, nullptr, nullptr));
            socket.greet();
            socket.open_producer();
            const SentFrame publish = socket.expect(FrameType::publish);
            socket.write(encode_confirm(publish.header.handle, 1, {{MessageNumber(1), 1}}, plenty));
            socket.goodbye();
        });
        auto client = Client::connect(listener.url);
        REQUIRE(client.has_value());
        auto producer = client->producer("orders");
        REQUIRE(producer.has_value());
        CHECK(producer->publish("over the wire").has_value());
        CHECK(client->close().has_value());
        daemon.join();
    }
}

TEST_CASE("client: where nobody listens, connecting fails and says why") {
    for (const std::string url : {"unix:/nowhere/mqd.sock", "tcp://127.0.0.1:1"}) {
        const auto client = Client::connect(url);
        REQUIRE(!client.has_value());
        CHECK(client.error().code == ErrorCode::connect_failed);
        CHECK(client.error().os_errno != 0);
        CHECK(client.error().text.find(url) != std::string::npos);
    }
    // Whatever is wrong with IPv6 here, the text has the URL as it is written.
    const auto ipv6 = Client::connect("tcp://[::1]:1");
    REQUIRE(!ipv6.has_value());
    CHECK(ipv6.error().text.find("tcp://[::1]:1:") != std::string::npos);
    CHECK(Client::connect("nonsense").error().code == ErrorCode::bad_url);
}

TEST_CASE("client: a daemon that does not greet is a timeout") {
    const Listener listener(true);
    ConnectOptions options;
    options.timeout = milliseconds(30);
    CHECK(Client::connect(listener.url, options).error().code == ErrorCode::timeout);
}
