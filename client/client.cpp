// Client of mqd/client.hpp: connecting, ending, opening producers and consumers, event loops.
// Administration is in admin.cpp.

#include "mqd/client.hpp"

#include <algorithm>
#include <utility>

#include "client/connection.hpp"
#include "client/lease.hpp"
#include "client/parts.hpp"
#include "client/socket.hpp"
#include "client/url.hpp"

namespace mqd {

Client::Client(std::shared_ptr<client::Connection> connection)
    : connection_(std::move(connection)) {}
Client::Client(Client&&) noexcept = default;

Client& Client::operator=(Client&& other) noexcept {
    if (this != &other) {
        if (connection_) {
            connection_->abandon();
        }
        connection_ = std::move(other.connection_);
    }
    return *this;
}

Client::~Client() {
    if (connection_) {
        connection_->abandon();
    }
}

Result<Client> Client::connect(std::string_view url, const ConnectOptions& options) {
    const auto deadline = client::Deadline::after(options.timeout);
    const auto address = client::parse_url(url);
    if (!address) {
        return address.error();
    }
    auto socket = client::Socket::connect(*address, deadline);
    if (!socket) {
        return socket.error();
    }
    auto connection = client::Connection::greet(*std::move(socket), options, deadline);
    if (!connection) {
        return connection.error();
    }
    return Client(*std::move(connection));
}

Result<Client> Client::adopt(int socket, const ConnectOptions& options) {
    auto connection = client::Connection::greet(client::Socket(socket), options,
                                                client::Deadline::after(options.timeout));
    if (!connection) {
        return connection.error();
    }
    return Client(*std::move(connection));
}

Result<void> Client::close(Timeout timeout) {
    return connection_->goodbye(client::Deadline::after(timeout));
}

Result<Producer> Client::producer(std::string_view queue, const ProducerOptions& options) {
    const client::Connection::InUse in_use(*connection_);
    if (const auto bad = connection_->why_not_ready()) {
        return *bad;
    }
    ProducerOptions timed = options;
    if (timed.wait.count() == 0) {
        using std::chrono::milliseconds;
        const milliseconds timeout =
            std::min<milliseconds>(connection_->timeout(), client::lease_max);
        timed.wait = std::max(milliseconds(1), timeout * 3 / 4);
    }
    const auto opening = connection_->session().open_producer(queue, timed);
    if (!opening) {
        return opening.error();
    }
    const auto reply =
        connection_->await_reply(opening->correlation, connection_->default_deadline());
    if (!reply) {
        connection_->session().release(opening->handle);
        return reply.error();
    }
    if (!connection_->session().producer(opening->handle).knows_last_line()) {
        connection_->session().release(opening->handle);
        return Error{ErrorCode::bad_option, "the daemon is too old to know names of producers"};
    }
    return Producer(std::make_unique<client::ProducerPart>(connection_, opening->handle));
}

Result<Consumer> Client::consumer(std::string_view queue, ConsumerOptions options) {
    const client::Connection::InUse in_use(*connection_);
    if (const auto bad = connection_->why_not_ready()) {
        return *bad;
    }
    if (auto bad = client::check_lease(options.lease)) {
        return *std::move(bad);
    }
    if (auto bad = client::check_max_run_time(options.max_run_time)) {
        return *std::move(bad);
    }
    const auto opening = connection_->session().open_consumer(queue, options);
    if (!opening) {
        return opening.error();
    }
    const auto reply =
        connection_->await_reply(opening->correlation, connection_->default_deadline());
    if (!reply) {
        connection_->session().release(opening->handle);
        return reply.error();
    }
    const bool shared = options.sharing == Sharing::shared;
    if (!shared && connection_->session().consumer(opening->handle).turn() == wire::Turn::unsaid) {
        connection_->session().release(opening->handle);
        return Error{ErrorCode::bad_option, "the daemon is too old to know of such consumers"};
    }
    return Consumer(std::make_unique<client::ConsumerPart>(connection_, opening->handle));
}

Transaction Client::transaction() {
    return Transaction(connection_);
}

const std::string& Client::server_name() const {
    return connection_->session().server().name;
}
const Identity& Client::identity() const {
    return connection_->session().server().identity;
}
std::uint32_t Client::message_body_bytes_max() const {
    return connection_->session().server().message_body_bytes_max;
}

bool Client::connected() const {
    return error() == nullptr;
}
const Error* Client::error() const {
    return connection_->session().error();
}

bool Client::stopping() const {
    return connection_->session().stopping() != nullptr;
}

Result<void> Client::flush() {
    return connection_->flush(connection_->default_deadline());
}

int Client::native_handle() const {
    return connection_->descriptor();
}
bool Client::wants_write() const {
    const client::Connection::InUse in_use(*connection_);
    return connection_->session().output_bytes() != 0;
}

Result<bool> Client::process(Timeout timeout) {
    const client::Connection::InUse in_use(*connection_);
    if (const auto bad = connection_->why_not_ready()) {
        return *bad;
    }
    const bool arrived = connection_->step(client::Deadline::after(timeout));
    if (error() != nullptr && !arrived) {
        return *error();
    }
    return arrived;
}

std::optional<std::chrono::steady_clock::time_point> Client::next_deadline() const {
    const client::Connection::InUse in_use(*connection_);
    const auto deadline = connection_->session().next_deadline();
    if (!deadline) {
        return std::nullopt;
    }
    return std::chrono::steady_clock::time_point(*deadline);
}

}  // namespace mqd
