#pragma once

// A stream socket that never blocks, and the waiting for it. Reading and writing are one system
// call each; an interrupted call is taken up again.

#include <chrono>
#include <cstddef>
#include <optional>
#include <span>

#include "client/url.hpp"
#include "mqd/client.hpp"
#include "mqd/result.hpp"
#include "mqd/wire/bytes.hpp"

namespace mqd::client {

// A point in time until which something is waited for; maybe never.
class Deadline {
  public:
    using Clock = std::chrono::steady_clock;

    static Deadline after(Timeout timeout);

    [[nodiscard]] bool passed() const { return at_ && Clock::now() >= *at_; }
    [[nodiscard]] bool never() const;
    // The earlier of the two.
    [[nodiscard]] Deadline or_before(std::optional<Clock::time_point> other) const;
    // For poll(2): milliseconds, rounded up; -1: for ever.
    [[nodiscard]] int poll_ms() const;

  private:
    std::optional<Clock::time_point> at_;
};

class Socket {
  public:
    Socket() = default;
    explicit Socket(int descriptor) : descriptor_(descriptor) {}
    Socket(Socket&& other) noexcept;
    Socket& operator=(Socket&& other) noexcept;
    ~Socket() { close(); }

    // Errors: connect_failed, timeout.
    [[nodiscard]] static Result<Socket> connect(const Address& address, Deadline deadline);

    struct Transfer {
        std::size_t bytes = 0;  // 0 without an error: it would block
        int os_errno = 0;       // the stream is broken; -1: the peer ended it
    };
    // With `block`, waits until there is something, for ever.
    [[nodiscard]] Transfer read(std::span<std::byte> into, bool block = false) const;
    [[nodiscard]] Transfer write(std::span<const wire::Bytes> views) const;

    // Waits until there is something to read (or, if asked, room to write), or the deadline.
    void wait(bool for_writing, Deadline deadline) const;

    [[nodiscard]] int descriptor() const { return descriptor_; }
    void close();

  private:
    int descriptor_ = -1;
};

}  // namespace mqd::client
