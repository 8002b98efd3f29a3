#pragma once

// The event loop and everything on it: listening sockets, connections, the workers' completions,
// signals. One per daemon; run() is the loop thread. A turn is: wait; run the handlers that are
// ready, up to a bound; core.end_turn(); send what the turn produced, one gathered write per
// connection.
//
// Endings: stop() begins a graceful stop, at most shutdown_timeout long; a second one ends run() at
// once; the destructor closes what is left.

#include <asio/executor_work_guard.hpp>
#include <asio/generic/stream_protocol.hpp>
#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/signal_set.hpp>
#include <asio/steady_timer.hpp>
#include <functional>
#include <list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "daemon/core/core.hpp"
#include "daemon/storage/thread_worker.hpp"

namespace mqd::net {

class Connection;

struct ServerOptions {
    std::uint32_t connections_max = 1024;
    std::chrono::milliseconds shutdown_timeout{10'000};
};

class Server {
  public:
    Server(const core::CoreOptions& core_options, const ServerOptions& options);
    ~Server();
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    // Opens the store and waits until it is ready to serve. Blocks.
    Result<void> open(storage::Disk& disk);
    // Creates the queues that are not there, and waits until all of them are.
    Result<void> declare(const std::vector<engine::QueueDefinition>& queues);
    // Takes over a listening socket. Nothing is accepted before run().
    void add_listener(const std::string& name, int descriptor);
    [[nodiscard]] core::Core& core() { return core_; }

    enum class End { stopped, aborted, journal_failed };
    struct Hooks {
        std::function<void()> reload;    // SIGHUP came
        std::function<void()> stopping;  // a graceful stop has begun
    };
    // Serves until SIGTERM or SIGINT, and then until the stop is done.
    End run(Hooks hooks);

    // --- for Connection
    // Call before anything is done to core: the turn begins with the first of them.
    void begin_turn();
    [[nodiscard]] asio::io_context& context() { return context_; }
    // What is read lies here until the handler returns.
    [[nodiscard]] std::span<std::byte> input() { return {input_.get(), input_bytes}; }
    void forget(Connection& connection);
    // It waits for input again when what this turn produced is out.
    void receive_after_turn(std::shared_ptr<Connection> connection);

  private:
    static constexpr std::size_t input_bytes = 256 * 1024;

    struct Listener {
        std::string name;
        asio::posix::stream_descriptor socket;
        asio::steady_timer retry;  // after descriptors ran out
    };

    [[nodiscard]] engine::Time journal_time() const;
    void wait_for_event();
    void arm_deadline();
    void run_ready();
    void turn();
    void flush();
    void tick();
    void run_completions();
    void wait_for_signals();
    void wait_for_tick();
    void accept_on(Listener& listener);
    void accept_all(Listener& listener);
    void add_connection(int descriptor);
    void turn_away(int descriptor);
    void stop();
    void stop_turn();

    core::Core core_;
    ServerOptions options_;
    Hooks hooks_;
    asio::io_context context_{1};
    // The workers post to it from outside: it must wait for them also when nothing else is awaited.
    asio::executor_work_guard<asio::io_context::executor_type> work_{context_.get_executor()};
    std::unique_ptr<std::byte[]> input_;  // untouched until something is read
    asio::signal_set signals_;
    asio::steady_timer tick_timer_;
    asio::steady_timer deadline_timer_;
    engine::Time armed_for_ = engine::Time::max();  // that timer; max: not armed
    std::list<Listener> listeners_;
    std::vector<std::shared_ptr<Connection>> connections_;
    std::chrono::steady_clock::time_point clock_origin_;
    engine::Time journal_origin_;
    std::vector<core::Session*> flushing_;
    std::vector<std::shared_ptr<Connection>> receiving_;
    std::uint64_t lone_turns_ = 0;  // in a row, that had one handler only
    bool in_turn_ = false;
    bool aborted_ = false;
    std::chrono::steady_clock::time_point stop_deadline_;
    // Last, so that they end first: their threads post to the context.
    std::unique_ptr<storage::ThreadWorker> commit_worker_;
    std::unique_ptr<storage::ThreadWorker> background_worker_;
};

}  // namespace mqd::net
