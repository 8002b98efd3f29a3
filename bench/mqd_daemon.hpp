#pragma once

// A private daemon for one run: its own configuration, data directory, Unix socket and TCP port,
// all in a folder that is removed when the daemon has ended.

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "bench/process.hpp"
#include "bench/socket.hpp"
#include "mqd/queue.hpp"
#include "mqd/result.hpp"
#include "mqd/types.hpp"

namespace mqd::bench {

struct MqdDaemonOptions {
    std::string program;      // path of mqd
    std::string folder;       // in which it gets a folder of its own
    std::optional<int> core;  // the only one that it runs on
    // Added to every sync of the daemon's disk layer, as if the disk were that slow.
    std::chrono::milliseconds sync_delay{0};
    std::string storage = {};                          // more lines of [storage]
    std::string limits = "memory_bytes = \"1GiB\"\n";  // of [limits]
};

class MqdDaemon {
  public:
    // Returns when the daemon has greeted a client.
    [[nodiscard]] static Result<std::unique_ptr<MqdDaemon>> start(const MqdDaemonOptions& options);
    MqdDaemon(const MqdDaemon&) = delete;
    MqdDaemon& operator=(const MqdDaemon&) = delete;
    ~MqdDaemon();

    // Kills it and starts it again on what it has left.
    [[nodiscard]] Result<void> kill_and_restart();
    [[nodiscard]] Result<void> create_queue(const std::string& name, Durability durability,
                                            QueueOptions options = {}) const;
    [[nodiscard]] const ServerProcess& process() const { return *process_; }
    [[nodiscard]] std::string url(Transport transport) const;
    // From exec to the greeting.
    [[nodiscard]] std::chrono::nanoseconds start_time() const { return start_time_; }
    [[nodiscard]] std::string data_folder() const { return folder_ + "/data"; }
    // The end of its log, for errors.
    [[nodiscard]] std::string last_words() const;

  private:
    MqdDaemon() = default;
    void write_config() const;
    [[nodiscard]] Result<void> launch();

    MqdDaemonOptions options_;
    std::string folder_;
    Address unix_address_;
    Address tcp_address_;
    std::optional<ServerProcess> process_;
    std::chrono::nanoseconds start_time_{0};
};

}  // namespace mqd::bench
