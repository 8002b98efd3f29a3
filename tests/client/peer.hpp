#pragma once

// A daemon by hand at the other end of a socket pair: a script on its own thread that reads frames
// and writes frames, blocking. What goes wrong in it fails the test at join().

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "mqd/client.hpp"
#include "scripted_daemon.hpp"

namespace mqd::client {

class PeerSocket {
  public:
    explicit PeerSocket(int descriptor) : descriptor_(descriptor) {}
    PeerSocket(const PeerSocket&) = delete;
    PeerSocket& operator=(const PeerSocket&) = delete;
    ~PeerSocket() { close(); }

    void close() {
        if (descriptor_ >= 0) {
            ::close(std::exchange(descriptor_, -1));
        }
    }

    void write(const std::vector<std::byte>& bytes) {
        std::size_t at = 0;
        while (at < bytes.size()) {
            wait(POLLOUT);
            const ssize_t n =
                ::send(descriptor_, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
            if (n <= 0) {
                throw std::runtime_error("the client does not take what is written");
            }
            at += static_cast<std::size_t>(n);
        }
    }

    SentFrame read() {
        SentFrame frame;
        std::byte header[wire::frame_header_bytes];
        read_into(header, sizeof header);
        frame.header = wire::decode_frame_header(header);
        frame.body.resize(frame.header.body_bytes);
        read_into(frame.body.data(), frame.body.size());
        return frame;
    }

    SentFrame expect(wire::FrameType type) {
        SentFrame frame = read();
        if (frame.header.type != type) {
            throw std::runtime_error(
                "frame type " + std::to_string(static_cast<unsigned>(frame.header.type)) +
                " came instead of " + std::to_string(static_cast<unsigned>(type)));
        }
        return frame;
    }

    // The next frame of that type; what is settled before it, in as many frames as may be, is added
    // to `acked` and `nacked`.
    SentFrame expect_behind(wire::FrameType type, std::vector<MessageRange>& acked,
                            std::vector<MessageRange>& nacked) {
        SentFrame frame = read();
        while (frame.header.type != type) {
            const bool ack = frame.header.type == wire::FrameType::ack;
            if (ack || frame.header.type == wire::FrameType::nack) {
                for (const MessageRange& range :
                     to_vector(ack ? wire::Ack::decode(frame.body)->ranges
                                   : wire::Nack::decode(frame.body)->ranges)) {
                    append_merged(ack ? acked : nacked, range);
                }
            } else if (frame.header.type != wire::FrameType::credit) {
                throw std::runtime_error("frame type " +
                                         std::to_string(static_cast<unsigned>(frame.header.type)) +
                                         " came among settlements");
            }
            frame = read();
        }
        return frame;
    }

    // Until the client closes the connection.
    void read_to_end() {
        char byte;
        wait(POLLIN);
        while (::recv(descriptor_, &byte, 1, 0) > 0) {
            wait(POLLIN);
        }
    }

    // --- What a daemon usually does
    // ---------------------------------------------------------------

    void greet() {
        (void)expect(wire::FrameType::hello);
        write(encode(welcome()));
    }
    HandleId open_producer(wire::Credit credit = plenty) {
        const SentFrame open = expect(wire::FrameType::open_producer);
        write(encode(
            wire::Opened{QueueId(3), Durability::disk, 0, credit.message_limit, credit.byte_limit},
            open.header.correlation, open.header.handle));
        return open.header.handle;
    }
    HandleId open_consumer(std::uint32_t lease_ms = 30'000, wire::Turn turn = wire::Turn::unsaid) {
        const SentFrame open = expect(wire::FrameType::open_consumer);
        write(encode(wire::Opened{QueueId(3), Durability::disk, lease_ms, 0, 0, turn},
                     open.header.correlation, open.header.handle));
        return open.header.handle;
    }
    void close_handle() { answer_close(expect(wire::FrameType::close_handle)); }
    void answer_close(const SentFrame& close) {
        write(encode(wire::Closed{}, close.header.correlation, close.header.handle));
    }
    void goodbye() { answer_goodbye(expect(wire::FrameType::goodbye)); }
    void answer_goodbye(const SentFrame& goodbye) {
        write(encode(wire::GoodbyeReply{}, goodbye.header.correlation));
    }

  private:
    void wait(short events) const {
        pollfd ready{descriptor_, events, 0};
        if (::poll(&ready, 1, 20'000) <= 0) {
            throw std::runtime_error("nothing happened for 20 seconds");
        }
    }
    void read_into(std::byte* to, std::size_t count) {
        while (count > 0) {
            wait(POLLIN);
            const ssize_t n = ::recv(descriptor_, to, count, 0);
            if (n <= 0) {
                throw std::runtime_error("the client closed the connection");
            }
            to += n;
            count -= static_cast<std::size_t>(n);
        }
    }

    int descriptor_;
};

class Peer {
  public:
    using Script = std::function<void(PeerSocket&)>;

    // The script begins behind the greeting.
    explicit Peer(Script script) {
        int ends[2];
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
        client_end_ = ends[0];
        thread_ = std::thread([this, end = ends[1], play = std::move(script)] {
            PeerSocket socket(end);
            try {
                socket.greet();
                play(socket);
            } catch (const std::exception& failure) {
                failure_ = failure.what();
            }
        });
    }
    ~Peer() {
        if (thread_.joinable()) {
            thread_.join();
        }
    }

    [[nodiscard]] Client connect(ConnectOptions options = {}) {
        auto client = Client::adopt(client_end_, std::move(options));
        REQUIRE(client.has_value());
        return *std::move(client);
    }

    void join() {
        thread_.join();
        CHECK(failure_ == "");
    }

  private:
    int client_end_ = -1;
    std::string failure_;
    std::thread thread_;
};

}  // namespace mqd::client
