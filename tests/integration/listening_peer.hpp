#pragma once

// A daemon by hand that a program can connect to: takes one connection on a Unix socket and plays a
// script on it, behind the greeting, on a thread of its own. What goes wrong in the script fails
// the test at the end.

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <string>
#include <thread>

#include "client/peer.hpp"
#include "support/daemon_process.hpp"

namespace mqd::test {

class ListeningPeer {
  public:
    explicit ListeningPeer(std::function<void(client::PeerSocket&)> script) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        REQUIRE(path().size() < sizeof address.sun_path);
        std::memcpy(address.sun_path, path().c_str(), path().size());
        listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        REQUIRE(::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
        REQUIRE(::listen(listener_, 1) == 0);
        thread_ = std::thread([this, play = std::move(script)] {
            client::PeerSocket socket(::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC));
            try {
                socket.greet();
                play(socket);
            } catch (const std::exception& failure) {
                failure_ = failure.what();
            }
        });
    }
    ListeningPeer(const ListeningPeer&) = delete;
    ListeningPeer& operator=(const ListeningPeer&) = delete;
    ~ListeningPeer() {
        thread_.join();
        (void)::close(listener_);
        CHECK(failure_ == "");
    }

    [[nodiscard]] std::string url() const { return "unix:" + path(); }
    // Its folder, the socket among what lies in it.
    [[nodiscard]] const std::string& folder() const { return folder_.path(); }

  private:
    [[nodiscard]] std::string path() const { return folder_.path() + "/mqd.sock"; }

    TemporaryFolder folder_;
    int listener_ = -1;
    std::string failure_;
    std::thread thread_;
};

}  // namespace mqd::test
