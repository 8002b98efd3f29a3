#pragma once

// Sockets of the floors: an address that says its transport, blocking descriptors, and the partial
// reads and writes that a stream brings with it. Each failure ends the process (failure.hpp).

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>

namespace mqd::bench {

// Owns a file descriptor.
class Descriptor {
  public:
    Descriptor() = default;
    explicit Descriptor(int fd) : fd_(fd) {}
    Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    ~Descriptor() { close(); }

    [[nodiscard]] int get() const { return fd_; }
    void close();

  private:
    int fd_ = -1;
};

enum class Transport { unix_socket, tcp };

struct Address {
    Transport transport = Transport::unix_socket;
    std::string path;        // of a Unix socket
    std::uint16_t port = 0;  // of TCP on loopback; 0 to listen on: any that is free

    [[nodiscard]] std::string url() const;
};

// `address` gets the port that was taken.
[[nodiscard]] Descriptor listen_on(Address& address);
[[nodiscard]] Descriptor accept_from(int listener);
[[nodiscard]] Descriptor connect_to(const Address& address);
// Nothing while nobody listens there.
[[nodiscard]] std::optional<Descriptor> try_connect_to(const Address& address);
// A TCP port of loopback that was free a moment ago.
[[nodiscard]] std::uint16_t find_free_port();

// The first byte that a client of a floor sends says what it is.
enum class Role : std::uint8_t { producer = 'P', consumer = 'C' };
[[nodiscard]] Descriptor connect_as(Role role, const Address& address);
[[nodiscard]] Role read_role(int fd);

enum class Wait { yes, no };

// Sends what the socket takes; 0: it takes nothing now.
[[nodiscard]] std::size_t send_some(int fd, std::span<const std::byte> bytes, Wait wait);
// Bytes read; 0: there are none now; nothing: the other end has closed.
[[nodiscard]] std::optional<std::size_t> receive_some(int fd, std::span<std::byte> bytes,
                                                      Wait wait);
// The same for a client of a floor, to whom the end of the stream is a failure.
[[nodiscard]] std::size_t receive_from_broker(int fd, std::span<std::byte> bytes, Wait wait);
void wait_readable_or_writable(int fd);

// A stream of u64 totals, each of which replaces the one before: confirms and acks of the bare
// broker.
class TotalReader {
  public:
    explicit TotalReader(int fd) : fd_(fd) {}

    // Reads what has come and gives the newest total; nothing when the other end has closed.
    [[nodiscard]] std::optional<std::uint64_t> read(Wait wait);

  private:
    int fd_;
    std::uint64_t total_ = 0;
    std::byte partial_[sizeof(std::uint64_t)] = {};
    std::size_t partial_bytes_ = 0;
};

void send_total(int fd, std::uint64_t total);

}  // namespace mqd::bench
