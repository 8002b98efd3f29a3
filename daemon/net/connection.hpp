#pragma once

// The socket of one connection, Unix or TCP alike, around a core::Session. Waits for readability
// and reads into the server's buffer, so that an idle connection holds none. Shared with the
// handlers that wait on its socket; ended by close(), after which no handler touches it. Loop
// thread only.

#include <array>
#include <asio/generic/stream_protocol.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <system_error>

#include "daemon/core/session.hpp"

namespace mqd::net {

class Server;

class Connection : public std::enable_shared_from_this<Connection> {
  public:
    Connection(Server& server, asio::generic::stream_protocol::socket socket, Identity identity);
    ~Connection();

    // Waits for input, once.
    void receive();
    // Sends what there is to send; what does not go out waits for the socket.
    void flush();
    // Once a second: deadlines.
    void check_time();
    // Ends the session and the socket at once.
    void close();

    [[nodiscard]] core::Session* session() { return session_ ? &*session_ : nullptr; }

    std::size_t index = 0;  // in the server's list

  private:
    static constexpr std::size_t first_bytes = 256;

    [[nodiscard]] bool on_received(std::size_t bytes);
    void wait_writable();
    void finish();
    void take(wire::Bytes bytes);
    [[nodiscard]] ssize_t send_some();
    void on_overflow();
    void on_ended(std::error_code error);

    Server& server_;
    asio::generic::stream_protocol::socket socket_;
    std::optional<core::Session> session_;
    std::array<std::byte, first_bytes> first_;
    bool wide_ = false;       // its socket takes more than usual
    bool writing_ = false;    // waits for writability
    bool finishing_ = false;  // all is said; what comes is thrown away until the client closes
    std::chrono::steady_clock::time_point finish_deadline_;
};

}  // namespace mqd::net
