#pragma once

// The configuration of the daemon as plain values: what mqd.toml(5) and config/mqd.toml describe
// key by key. Loading is total: a file that says anything unknown, impossible or contradictory
// gives one line that names file, line and column. Used by the composition root before any thread
// starts, and on reload.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/config/listen_address.hpp"
#include "daemon/core/on_damage.hpp"
#include "daemon/engine/queue_definition.hpp"
#include "mqd/result.hpp"
#include "mqd/types.hpp"

namespace mqd {

inline constexpr std::string_view default_config_path = "/etc/mqd/mqd.toml";

inline constexpr std::uint64_t kibibyte = 1024;
inline constexpr std::uint64_t mebibyte = 1024 * kibibyte;
inline constexpr std::uint64_t gibibyte = 1024 * mebibyte;

struct ListenerConfig {
    std::string name;  // unique; a socket that systemd passes under this name stands in for it
    ListenAddress bind;
    std::uint32_t mode = 0660;  // of the socket file; unix only
    bool insecure = false;      // allows a tcp address that other hosts reach

    friend bool operator==(const ListenerConfig&, const ListenerConfig&) = default;
};

struct ServerConfig {
    std::chrono::milliseconds shutdown_timeout{10'000};  // for clients to end before they are cut
    friend bool operator==(const ServerConfig&, const ServerConfig&) = default;
};

struct StorageConfig {
    std::string path = "/var/lib/mqd";
    std::uint64_t memory = 64 * mebibyte;               // for messages of durable queues
    std::uint64_t segment_bytes = 16 * mebibyte;        // of one segment file
    std::uint64_t scrub_rate = 4 * mebibyte;            // read and checked per second; 0: none
    std::uint64_t journal_file_bytes = 16 * mebibyte;   // of one file; a multiple of 4 KiB
    std::uint64_t journal_bytes = 128 * mebibyte;       // of all files together
    core::OnDamage on_damage = core::OnDamage::refuse;  // of the store, at a start
    // The latest write of records that nobody waits for (acks without flag_confirm, deliveries).
    std::chrono::milliseconds commit_delay_max{5};
    // The latest sync of what queues of durability `written` have handed to the kernel.
    std::chrono::milliseconds written_sync_max{1000};
    friend bool operator==(const StorageConfig&, const StorageConfig&) = default;
};

struct LimitsConfig {
    std::uint64_t memory_bytes = 256 * mebibyte;  // of message batches held in memory
    std::uint64_t message_bytes = 1 * mebibyte;   // of one message body; at most 16 MiB
    std::uint64_t frame_bytes = 3 * mebibyte;     // of a frame body that comes in; at most 32 MiB
    std::uint32_t queues = 10'000;
    std::uint32_t named_producers = 10'000;      // names of them, kept with their queues
    std::uint64_t messages = 0;                  // of all queues; 0: no limit
    std::uint64_t delayed_messages = 4'000'000;  // by their publishers; runs of them
    std::uint64_t grouped_messages = 4'000'000;
    std::uint64_t history_events = 1'000'000;  // of all queues
    std::uint64_t dedup_ids = 16'777'216;
    std::uint32_t connections = 1024;
    std::uint32_t handles_per_connection = 1024;
    std::uint64_t connection_unacked = 0;                   // leased messages; 0: no limit
    std::uint64_t output_bytes = 8 * mebibyte;              // unsent, per connection
    std::uint64_t disk_bytes = 0;                           // of segment files; 0: no limit
    std::uint64_t publish_credit_bytes = 64 * mebibyte;     // granted to all producers together
    std::uint64_t connection_credit_bytes = 64 * mebibyte;  // to those of one connection
    std::uint64_t producer_credit_bytes = 4 * mebibyte;     // granted to one producer at most
    std::uint32_t producer_credit_messages = 65'536;        // granted to one producer at most
    std::chrono::milliseconds hello_timeout{10'000};
    friend bool operator==(const LimitsConfig&, const LimitsConfig&) = default;
};

enum class LogLevel : std::uint8_t { trace, debug, info, warn, error };

struct LogConfig {
    LogLevel level = LogLevel::info;
    friend bool operator==(const LogConfig&, const LogConfig&) = default;
};

struct Config {
    ServerConfig server;
    std::vector<ListenerConfig> listeners;  // after loading: at least one
    StorageConfig storage;
    LimitsConfig limits;
    engine::QueueDefinition queue_defaults = engine::default_definition();
    // Created at start where they are not there, never deleted; in order of name. After loading,
    // what one does not say itself is as in queue_defaults.
    std::vector<engine::QueueDefinition> queues;
    LogConfig log;

    friend bool operator==(const Config&, const Config&) = default;
};

// What holds without any file: every default, and the listener "local" at /run/mqd/mqd.sock.
[[nodiscard]] Config default_config();

// Reads `path`, then every conf.d/*.toml beside it in order of name; what comes later wins,
// listeners and queues by their names. Without a path: default_config_path, which need not exist.
// Errors: bad_config (contents), io_error (with os_errno).
[[nodiscard]] Result<Config> load_config(const std::optional<std::string>& path);

// The same for a text, without conf.d; `name` stands for the file in errors.
[[nodiscard]] Result<Config> parse_config(std::string_view text, const std::string& name);

// A queue as a file declares it, and the keys that its section or [queue_defaults] says; the rest
// of the definition is the default of mqd.
struct DeclaredQueue {
    engine::QueueDefinition definition;
    std::vector<std::string_view> said;  // "max_messages"

    friend bool operator==(const DeclaredQueue&, const DeclaredQueue&) = default;
};

// The queues of that file alone, without conf.d, in order of name; the whole file is checked.
// Errors: as of load_config(). storage.durability says nothing of them: it is for a daemon.
[[nodiscard]] Result<std::vector<DeclaredQueue>> load_queues(const std::string& path);

// The same for a text; `name` stands for the file in errors.
[[nodiscard]] Result<std::vector<DeclaredQueue>> parse_queues(std::string_view text,
                                                              const std::string& name);

// Valid TOML that says every key and reads back to the same Config.
[[nodiscard]] std::string print_config(const Config& config);

// What differs, as keys: "limits.queues", "listener.local", "queue.orders". For a reload, to say
// what takes effect only at the next start.
[[nodiscard]] std::vector<std::string> changed_keys(const Config& before, const Config& after);

[[nodiscard]] std::string_view to_text(Durability durability);  // "memory", "written", "disk"
[[nodiscard]] std::string_view to_text(OnExpired on_expired);   // "drop", "dead_letter"
[[nodiscard]] std::string_view to_text(OnFull on_full);         // "reject", "drop-oldest" …
[[nodiscard]] std::string_view to_text(LogLevel level);         // "info"
[[nodiscard]] std::string_view to_text(core::OnDamage mode);    // "refuse"

}  // namespace mqd
