#pragma once

// Clients that load a daemon and note all that they do and see in a History: producers that
// pipeline, and consumers of every temper (acking one by one, by ranges, with a confirm, giving
// back, holding everything and hanging up). Each is a thread; all connect anew whenever the
// connection breaks, so the daemon may be killed and restarted under them.

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "integration/history.hpp"
#include "mqd/client.hpp"
#include "support/dice.hpp"

namespace mqd::test {

struct LoadOptions {
    std::string url;
    std::vector<std::string> queues;  // producers and consumers are dealt out to them in turn
    std::uint32_t producers = 4;
    std::uint32_t consumers = 4;
    std::uint64_t filler_max = 400;  // bytes of a body
    std::uint64_t seed = 1;
};

class Load {
  public:
    Load(LoadOptions options, History& history);
    Load(const Load&) = delete;
    Load& operator=(const Load&) = delete;
    ~Load();

    // A daemon was started; to be said before anybody can have connected for long.
    void daemon_started(pid_t pid);
    void begin();
    // Waits for the threads. What they had sent is answered or of unknown outcome by then.
    void stop_producers();
    void stop_consumers();

    // How many sessions were told that the daemon is stopping, by its frame or by a refusal.
    [[nodiscard]] std::uint64_t told_stopping() const { return told_stopping_; }

    // Takes and acks all that is left in the queues; for when nobody else consumes.
    void drain();

  private:
    void produce(std::uint32_t producer, Dice dice);
    void publish_session(Client& client, std::uint32_t producer, std::uint64_t& serial, Dice& dice);
    bool publish_burst(Producer& producer, std::uint32_t id, std::uint64_t& serial, Dice& dice);
    void resume(Client& client, Producer& producer, std::uint32_t id, std::uint64_t first);
    void consume(const std::string& queue, Dice dice);
    void consume_session(Client& client, const SessionKey& key, const std::string& queue,
                         Dice& dice);
    bool settle(Consumer& consumer, const SessionKey& key, const DeliveredBatch& batch, Dice& dice,
                std::uint64_t temper);
    void drain_queue(Client& client, const std::string& queue);
    void note(const SessionKey& session, const Consumer& consumer, const Delivery& message);
    [[nodiscard]] std::optional<Client> connect(const std::atomic<bool>& stop);
    // The daemon's run that the client is connected to; 0 if it is not known in time.
    [[nodiscard]] std::uint64_t run_of(const Client& client);

    LoadOptions options_;
    History& history_;
    std::atomic<bool> stop_producers_ = false;
    std::atomic<bool> stop_consumers_ = false;
    std::atomic<std::uint64_t> next_session_ = 1;
    std::atomic<std::uint64_t> told_stopping_ = 0;
    std::mutex runs_mutex_;
    std::map<pid_t, std::uint64_t> runs_;
    std::vector<std::thread> producers_;
    std::vector<std::thread> consumers_;
};

}  // namespace mqd::test
