#include "daemon/net/server.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <asio/post.hpp>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "daemon/net/connection.hpp"

namespace mqd::net {

namespace {

constexpr std::size_t handlers_per_turn = 256;
constexpr std::uint64_t lone_turns_before_skipping = 32;
constexpr std::uint64_t turns_per_question = 8;
constexpr std::chrono::seconds tick_interval{1};
constexpr std::chrono::seconds seal_time{5};
constexpr std::chrono::milliseconds accept_pause{100};
constexpr int accepts_per_turn = 64;
constexpr int turned_away_reads_max = 4;  // of 4 KiB; a HELLO is no longer than one

WallTime wall_time() {
    return std::chrono::time_point_cast<std::chrono::microseconds>(
        std::chrono::system_clock::now());
}

Identity peer_identity(int descriptor) {
    ucred peer{};
    socklen_t size = sizeof peer;
    sockaddr_storage address{};
    socklen_t address_size = sizeof address;
    if (::getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &address_size) != 0 ||
        address.ss_family != AF_UNIX ||
        ::getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
        return {};
    }
    return {peer.uid, peer.gid, static_cast<std::uint32_t>(peer.pid)};
}

void set_tcp_options(int descriptor) {
    const int on = 1;
    // Fails on Unix sockets, where neither is needed.
    ::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ::setsockopt(descriptor, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

}  // namespace

Server::Server(const core::CoreOptions& core_options, const ServerOptions& options)
    : core_(core_options),
      options_(options),
      input_(std::make_unique_for_overwrite<std::byte[]>(input_bytes)),
      signals_(context_, SIGINT, SIGTERM, SIGHUP),
      tick_timer_(context_),
      deadline_timer_(context_) {
    const auto notify = [this] { asio::post(context_, [this] { run_completions(); }); };
    commit_worker_ = std::make_unique<storage::ThreadWorker>("mqd-commit", notify);
    background_worker_ = std::make_unique<storage::ThreadWorker>("mqd-storage", notify);
}

Server::~Server() {
    while (!connections_.empty()) {
        connections_.back()->close();
    }
    commit_worker_.reset();
    background_worker_.reset();
}

engine::Time Server::journal_time() const {
    return journal_origin_ + (std::chrono::steady_clock::now() - clock_origin_);
}

Result<void> Server::open(storage::Disk& disk) {
    if (auto started =
            core_.start(disk, *commit_worker_, *background_worker_, {engine::Time{}, wall_time()});
        !started) {
        return started;
    }
    journal_origin_ = core_.start_time();
    clock_origin_ = std::chrono::steady_clock::now();
    begin_turn();
    turn();
    while (!core_.serving() && !core_.failure()) {
        wait_for_event();
        begin_turn();
        turn();
    }
    return core_.failure() ? Result<void>(*core_.failure()) : Result<void>();
}

Result<void> Server::declare(const std::vector<engine::QueueDefinition>& queues) {
    begin_turn();
    for (const engine::QueueDefinition& queue : queues) {
        core_.declare_queue(queue);
    }
    turn();
    const auto there = [&](const engine::QueueDefinition& queue) {
        return core_.engine().find(queue.name) != nullptr;
    };
    while (!std::all_of(queues.begin(), queues.end(), there) && !core_.failure()) {
        wait_for_event();
        begin_turn();
        turn();
    }
    return core_.failure() ? Result<void>(*core_.failure()) : Result<void>();
}

void Server::add_listener(const std::string& name, int descriptor) {
    listeners_.push_back(
        {name, asio::posix::stream_descriptor(context_, descriptor), asio::steady_timer(context_)});
}

Server::End Server::run(Hooks hooks) {
    hooks_ = std::move(hooks);
    wait_for_signals();
    wait_for_tick();
    for (Listener& listener : listeners_) {
        accept_on(listener);
    }
    while (!aborted_ && !core_.failure() && !(core_.stopping() && core_.stopped())) {
        wait_for_event();
        begin_turn();
        run_ready();
        turn();
        stop_turn();
    }
    return core_.failure() ? End::journal_failed : aborted_ ? End::aborted : End::stopped;
}

// For none while the core has something to do without it: before it serves too, as a piece of a
// checkpoint that fills no chunk gives no worker anything to answer.
void Server::wait_for_event() {
    if (core_.wants_turn()) {
        context_.poll_one();
    } else {
        arm_deadline();
        context_.run_one();
    }
}

// The timer is left alone while it is to come before the deadline: most deadlines move on before
// they come, and to arm one costs system calls. So it may come too early, which does no harm.
void Server::arm_deadline() {
    const auto deadline = core_.next_deadline();
    if (!deadline || *deadline >= armed_for_) {
        return;
    }
    armed_for_ = *deadline;
    deadline_timer_.expires_at(clock_origin_ + (*deadline - journal_origin_));
    deadline_timer_.async_wait([this](std::error_code error) {
        if (!error) {
            armed_for_ = engine::Time::max();
        }
    });
}

// What else is ready, so that a turn does as much as it can. To ask is a system call: so no more is
// asked for than there are connections, and only now and then while there was nothing each time.
void Server::run_ready() {
    if (lone_turns_ >= lone_turns_before_skipping && lone_turns_ % turns_per_question != 0) {
        ++lone_turns_;
        return;
    }
    const std::size_t most = std::min(handlers_per_turn, connections_.size());
    std::size_t handlers = 1;
    while (handlers < most && context_.poll_one() > 0) {
        ++handlers;
    }
    lone_turns_ = handlers > 1 ? 0 : lone_turns_ + 1;
}

void Server::begin_turn() {
    if (!in_turn_) {
        in_turn_ = true;
        core_.begin_turn({journal_time(), wall_time()});
    }
}

void Server::turn() {
    core_.end_turn();
    commit_worker_->hand_over();
    background_worker_->hand_over();
    flush();
    in_turn_ = false;
    // Asio tries to read at once, mostly in vain: not before the answers are out.
    for (const std::shared_ptr<Connection>& connection : receiving_) {
        connection->receive();
    }
    receiving_.clear();
    core_.turn_ended(journal_time());
    for (const std::string& complaint : core_.take_complaints()) {
        spdlog::warn("{}", complaint);
    }
    for (const std::string& notice : core_.take_notices()) {
        spdlog::info("{}", notice);
    }
}

void Server::receive_after_turn(std::shared_ptr<Connection> connection) {
    receiving_.push_back(std::move(connection));
}

void Server::flush() {
    // In the order in which there came to be output: deliveries before confirms, so that the
    // consumer is woken first. A flush can end its own connection, never another.
    core_.take_sessions_with_output(flushing_);
    for (core::Session* session : flushing_) {
        static_cast<Connection*>(session->owner())->flush();
    }
    flushing_.clear();
}

void Server::run_completions() {
    begin_turn();
    commit_worker_->run_done();
    background_worker_->run_done();
}

void Server::wait_for_signals() {
    signals_.async_wait([this](std::error_code error, int number) {
        if (error) {
            return;
        }
        if (number == SIGHUP) {
            hooks_.reload();
        } else {
            stop();
        }
        wait_for_signals();
    });
}

void Server::wait_for_tick() {
    tick_timer_.expires_after(tick_interval);
    tick_timer_.async_wait([this](std::error_code error) {
        if (error) {
            return;
        }
        tick();
        if (!connections_.empty() || core_.stopping()) {
            wait_for_tick();
        }
    });
}

void Server::tick() {
    begin_turn();
    for (std::size_t i = connections_.size(); i > 0; --i) {
        connections_[i - 1]->check_time();
    }
}

// --- accepting

void Server::accept_on(Listener& listener) {
    listener.socket.async_wait(asio::posix::descriptor_base::wait_read,
                               [this, &listener](std::error_code error) {
                                   // A stop ends the listeners, this one may be on its way already.
                                   if (!error && !core_.stopping()) {
                                       accept_all(listener);
                                   }
                               });
}

void Server::accept_all(Listener& listener) {
    begin_turn();
    for (int i = 0; i < accepts_per_turn; ++i) {
        const int descriptor = ::accept4(listener.socket.native_handle(), nullptr, nullptr,
                                         SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (descriptor >= 0) {
            add_connection(descriptor);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            // No descriptor: the connection stays in the backlog. Waiting on the socket would come
            // back at once, for ever.
            spdlog::warn("accept failed listener={} error=\"{}\"", listener.name,
                         std::strerror(errno));
            listener.retry.expires_after(accept_pause);
            listener.retry.async_wait([this, &listener](std::error_code error) {
                if (!error && !core_.stopping()) {
                    accept_all(listener);
                }
            });
            return;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            break;
        }
        // Otherwise the connection was gone before it was accepted: the next one.
    }
    accept_on(listener);
}

void Server::add_connection(int descriptor) {
    if (connections_.size() >= options_.connections_max) {
        return turn_away(descriptor);
    }
    set_tcp_options(descriptor);
    const Identity identity = peer_identity(descriptor);
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    if (::getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
        ::close(descriptor);
        return;
    }
    asio::generic::stream_protocol::socket socket(context_);
    std::error_code error;
    const asio::generic::stream_protocol protocol(address.ss_family, 0);
    socket.assign(protocol, descriptor, error);
    if (error) {
        spdlog::warn("connection refused error=\"{}\"", error.message());
        ::close(descriptor);
        return;
    }
    auto connection = std::make_shared<Connection>(*this, std::move(socket), identity);
    connection->index = connections_.size();
    connections_.push_back(connection);
    connection->receive();
    if (connections_.size() == 1) {
        wait_for_tick();
    }
}

// One over the limit: told so, if its socket takes it, and closed.
void Server::turn_away(int descriptor) {
    std::vector<std::byte> frame;
    wire::ErrorFrame error;
    error.code = ErrorCode::too_many_connections;
    error.limit = options_.connections_max;
    error.text = "limits.connections is reached";
    wire::append_frame(frame, error);
    [[maybe_unused]] const ssize_t n =
        ::send(descriptor, frame.data(), frame.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    ::shutdown(descriptor, SHUT_WR);
    // A HELLO that lies unread would turn the close into a reset that takes the frame away again.
    std::array<std::byte, 4096> unread;
    // Nor may who goes on sending keep the loop.
    for (int i = 0; i < turned_away_reads_max; ++i) {
        if (::recv(descriptor, unread.data(), unread.size(), MSG_DONTWAIT) <= 0) {
            break;
        }
    }
    ::close(descriptor);
}

void Server::forget(Connection& connection) {
    MQD_ASSERT(connections_[connection.index].get() == &connection);
    const std::size_t index = connection.index;
    std::swap(connections_[index], connections_.back());
    connections_[index]->index = index;
    connections_.pop_back();
}

// --- stopping

void Server::stop() {
    if (core_.stopping()) {
        spdlog::info("second signal, stopping at once");
        aborted_ = true;
        return;
    }
    spdlog::info("stopping connections={}", connections_.size());
    hooks_.stopping();
    stop_deadline_ = std::chrono::steady_clock::now() + options_.shutdown_timeout;
    listeners_.clear();
    begin_turn();
    core_.begin_stop();
    for (const std::shared_ptr<Connection>& connection : connections_) {
        if (connection->session() != nullptr) {
            connection->session()->tell_stopping();
        }
    }
    wait_for_tick();
}

void Server::stop_turn() {
    if (!core_.stopping() || std::chrono::steady_clock::now() < stop_deadline_) {
        return;
    }
    begin_turn();
    while (!connections_.empty()) {
        connections_.back()->close();
    }
    // What is left is the seal, which may find no room on a full disk, or a disk that hangs: then
    // without.
    if (std::chrono::steady_clock::now() >= stop_deadline_ + seal_time && !core_.stopped()) {
        spdlog::warn("stopped without a seal: the journal did not take one in time");
        aborted_ = true;
    }
}

}  // namespace mqd::net
