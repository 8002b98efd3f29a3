#pragma once

// A connection to a daemon without a client library: the test writes the bytes that it wants,
// whole frames or not, and reads what comes back, frame by frame. Non-blocking below; every wait
// has a deadline. Unix sockets and TCP on the loopback.

#include <doctest/doctest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "mqd/wire/frame.hpp"
#include "support/daemon_process.hpp"

namespace mqd::test {

struct ReceivedFrame {
    wire::FrameHeader header;
    std::vector<std::byte> body;

    [[nodiscard]] std::optional<ErrorCode> error() const {
        const auto frame =
            header.type == wire::FrameType::error ? wire::ErrorFrame::decode(body) : std::nullopt;
        return frame ? std::optional(frame->code) : std::nullopt;
    }
};

class RawConnection {
  public:
    // To a Unix socket. Not connected if nobody listens.
    explicit RawConnection(const std::string& path)
        : descriptor_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        REQUIRE(path.size() < sizeof address.sun_path);
        std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
        connect(reinterpret_cast<const sockaddr*>(&address), sizeof address);
    }
    // To a TCP port of this machine.
    explicit RawConnection(std::uint16_t port)
        : descriptor_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = htons(port);
        connect(reinterpret_cast<const sockaddr*>(&address), sizeof address);
    }
    RawConnection(RawConnection&& other) noexcept
        : descriptor_(std::exchange(other.descriptor_, -1)),
          connected_(other.connected_),
          ended_(other.ended_),
          received_(std::move(other.received_)) {}
    RawConnection(const RawConnection&) = delete;
    RawConnection& operator=(const RawConnection&) = delete;
    RawConnection& operator=(RawConnection&&) = delete;
    ~RawConnection() {
        if (descriptor_ >= 0) {
            ::close(descriptor_);
        }
    }

    [[nodiscard]] bool connected() const { return connected_; }
    [[nodiscard]] int descriptor() const { return descriptor_; }

    // As much as the socket takes within the time; how much that was.
    std::size_t send(std::span<const std::byte> bytes,
                     std::chrono::milliseconds within = patience) {
        std::size_t done = 0;
        (void)eventually(
            [&] {
                while (done < bytes.size()) {
                    const ssize_t n = ::send(descriptor_, bytes.data() + done, bytes.size() - done,
                                             MSG_DONTWAIT | MSG_NOSIGNAL);
                    if (n < 0) {
                        return errno != EAGAIN && errno != EWOULDBLOCK;
                    }
                    done += static_cast<std::size_t>(n);
                }
                return true;
            },
            within);
        return done;
    }

    template <typename Frame>
    void send_frame(const Frame& frame, std::uint32_t handle = 0, std::uint32_t correlation = 0) {
        std::vector<std::byte> bytes;
        wire::append_frame(bytes, frame, CorrelationId(correlation), HandleId(handle));
        send(bytes);
    }

    // A header that promises a body, and nothing behind it.
    void send_header(wire::FrameType type, std::uint32_t body_bytes) {
        std::vector<std::byte> bytes(wire::frame_header_bytes);
        wire::encode_frame_header(bytes.data(), {body_bytes, type, 0, {}, {}});
        send(bytes);
    }

    // HELLO, and waits for WELCOME.
    void greet() {
        send_hello();
        const auto frame = receive();
        REQUIRE(frame.has_value());
        REQUIRE(frame->header.type == wire::FrameType::welcome);
    }

    void send_hello() {
        wire::Hello hello;
        hello.frame_body_bytes_max = 4 * 1024 * 1024;
        hello.client_name = "raw";
        send_frame(hello);
    }

    // The next frame; nothing if none came in time or the daemon ended the connection before.
    [[nodiscard]] std::optional<ReceivedFrame> receive(
        std::chrono::milliseconds within = patience) {
        std::optional<ReceivedFrame> frame;
        (void)eventually(
            [&] {
                frame = take_frame();
                if (!frame && !ended_) {
                    read_some();
                    frame = take_frame();
                }
                return frame || ended_;
            },
            within);
        return frame;
    }

    // Passes over everything until an ERROR comes; nothing if the connection ends without one.
    [[nodiscard]] std::optional<ErrorCode> receive_error() {
        while (const auto frame = receive()) {
            if (const auto error = frame->error()) {
                return error;
            }
        }
        return std::nullopt;
    }

    // Whether the daemon has ended the connection, or does so in time.
    [[nodiscard]] bool wait_ended(std::chrono::milliseconds within = patience) {
        return eventually(
            [&] {
                read_some();
                return ended_;
            },
            within);
    }

  private:
    void connect(const sockaddr* address, socklen_t size) {
        REQUIRE(descriptor_ >= 0);
        connected_ = ::connect(descriptor_, address, size) == 0;
    }

    void read_some() {
        std::byte buffer[64 * 1024];
        while (!ended_) {
            const ssize_t n = ::recv(descriptor_, buffer, sizeof buffer, MSG_DONTWAIT);
            if (n > 0) {
                received_.insert(received_.end(), buffer, buffer + n);
            } else if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) {
                ended_ = true;
            } else {
                return;
            }
        }
    }

    std::optional<ReceivedFrame> take_frame() {
        if (received_.size() < wire::frame_header_bytes) {
            return std::nullopt;
        }
        ReceivedFrame frame{wire::decode_frame_header(received_.data()), {}};
        const std::size_t whole = wire::frame_header_bytes + frame.header.body_bytes;
        if (received_.size() < whole) {
            return std::nullopt;
        }
        const auto begin = received_.begin();
        frame.body.assign(begin + wire::frame_header_bytes,
                          begin + static_cast<std::ptrdiff_t>(whole));
        received_.erase(begin, begin + static_cast<std::ptrdiff_t>(whole));
        return frame;
    }

    int descriptor_;
    bool connected_ = false;
    bool ended_ = false;
    std::vector<std::byte> received_;
};

}  // namespace mqd::test
