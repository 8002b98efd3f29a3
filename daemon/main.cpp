// The composition root: command line, configuration, log, threads, signals. Nothing here is tested
// by itself; the integration tests run the program.

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/config/config.hpp"
#include "daemon/exit_code.hpp"
#include "daemon/log.hpp"
#include "daemon/net/listening_socket.hpp"
#include "daemon/net/server.hpp"
#include "daemon/notify.hpp"
#include "daemon/storage/posix_disk.hpp"
#include "daemon/store_report.hpp"
#include "mqd/version.hpp"

namespace mqd {

namespace {

constexpr std::string_view usage =
    "usage: mqd [--config FILE] [--check-config | --print-config]\n"
    "       mqd --check-store DIR [--json]\n"
    "\n"
    "  -c, --config FILE   the configuration; /etc/mqd/mqd.toml if it is there, else the defaults\n"
    "      --check-config  reads the configuration, says what is wrong with it, and ends\n"
    "      --print-config  prints the configuration as it holds, defaults included, and ends\n"
    "      --check-store DIR\n"
    "                      reads the store in the folder from end to end, says whether it is\n"
    "                      sound, changes nothing, and ends: 0 sound, 8 damage found, 1 not read\n"
    "      --json          with --check-store: as one line of JSON\n"
    "      --version       prints the version and ends\n"
    "  -h, --help          prints this and ends\n";

// How long a start may take before systemd takes it for hung: the journal at 100 MB/s, ten times
// over.
constexpr std::chrono::minutes start_time_max{2};

struct CommandLine {
    enum class Action { serve, check_config, print_config, check_store, version, help };
    Action action = Action::serve;
    std::optional<std::string> config;
    std::string store;  // check_store
    bool json = false;  // likewise
};

int end(ExitCode code) {
    return static_cast<int>(code);
}

int complain(ExitCode code, const std::string& text) {
    std::fprintf(stderr, "mqd: %s\n", text.c_str());
    return end(code);
}

// To standard output, which may be full or gone.
int print(const std::string& text) {
    if (std::fputs(text.c_str(), stdout) < 0 || std::fflush(stdout) != 0) {
        return complain(ExitCode::failure,
                        std::string("cannot write to standard output: ") + std::strerror(errno));
    }
    return end(ExitCode::ok);
}

Result<CommandLine> parse_command_line(const std::vector<std::string>& arguments) {
    CommandLine line;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        const std::string& argument = arguments[i];
        if (argument == "-c" || argument == "--config") {
            if (++i == arguments.size()) {
                return Error{ErrorCode::usage, argument + " needs a file"};
            }
            line.config = arguments[i];
        } else if (argument.starts_with("--config=")) {
            line.config = argument.substr(std::strlen("--config="));
        } else if (argument == "--check-config") {
            line.action = CommandLine::Action::check_config;
        } else if (argument == "--print-config") {
            line.action = CommandLine::Action::print_config;
        } else if (argument == "--check-store") {
            if (++i == arguments.size()) {
                return Error{ErrorCode::usage, argument + " needs a folder"};
            }
            line.action = CommandLine::Action::check_store;
            line.store = arguments[i];
        } else if (argument.starts_with("--check-store=")) {
            line.action = CommandLine::Action::check_store;
            line.store = argument.substr(std::strlen("--check-store="));
        } else if (argument == "--json") {
            line.json = true;
        } else if (argument == "--version") {
            line.action = CommandLine::Action::version;
        } else if (argument == "-h" || argument == "--help") {
            line.action = CommandLine::Action::help;
        } else {
            return Error{ErrorCode::usage, "unknown argument \"" + argument + "\" (try --help)"};
        }
    }
    if (line.json && line.action != CommandLine::Action::check_store) {
        return Error{ErrorCode::usage, "--json belongs to --check-store"};
    }
    return line;
}

core::CoreOptions core_options(const Config& config) {
    core::CoreOptions options;
    options.queue_defaults = config.queue_defaults;
    options.commit_delay_max = config.storage.commit_delay_max;
    options.written_sync_max = config.storage.written_sync_max;
    options.memory_bytes_max = config.limits.memory_bytes;
    options.message_bytes_max = static_cast<std::uint32_t>(config.limits.message_bytes);
    options.frame_body_bytes_max = static_cast<std::uint32_t>(config.limits.frame_bytes);
    options.queues_max = config.limits.queues;
    options.named_producers_max = config.limits.named_producers;
    options.messages_max = config.limits.messages;
    options.delays_max = config.limits.delayed_messages;
    options.grouped_max = config.limits.grouped_messages;
    options.history_events_max = config.limits.history_events;
    options.dedup_ids_max = config.limits.dedup_ids;
    options.handles_max = config.limits.handles_per_connection;
    options.leases_max = config.limits.connection_unacked;
    options.output_bytes_max = config.limits.output_bytes;
    options.publish_credit_bytes = config.limits.publish_credit_bytes;
    options.connection_credit_bytes = config.limits.connection_credit_bytes;
    options.disk_bytes_max = config.limits.disk_bytes;
    options.producer_credit_bytes = config.limits.producer_credit_bytes;
    options.producer_credit_messages = config.limits.producer_credit_messages;
    options.hello_timeout = config.limits.hello_timeout;
    options.journal.file_bytes = config.storage.journal_file_bytes;
    options.journal.bytes_max = config.storage.journal_bytes;
    options.on_damage = config.storage.on_damage;
    core::BacklogOptions& backlog = options.backlog;
    backlog.memory_bytes = config.storage.memory;
    backlog.segment_bytes = config.storage.segment_bytes;
    backlog.scrub_bytes_per_second = config.storage.scrub_rate;
    // Small enough that several fit into the budget, and into a file.
    backlog.page_bytes =
        std::min({backlog.page_bytes, backlog.memory_bytes / 32, backlog.segment_bytes / 4});
    backlog.flush_bytes = std::min(backlog.flush_bytes, backlog.memory_bytes / 16);
    // Nobody can write a message that looks like a commit group of this store.
    std::random_device random;
    const auto draw = [&random] { return (std::uint64_t{random()} << 32) | random(); };
    options.journal.salt_seed = draw();
    options.hash_salt = draw();
    options.dedup_seed.low = draw();
    options.dedup_seed.high = draw();
    return options;
}

// Started with a standard stream closed, the next file to be opened would become it, and the log be
// written into the journal. The log is lost then, but mqd serves; what writes to standard output
// gets an error.
bool occupy_standard_streams() {
    for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
        if (::fcntl(stream, F_GETFD) >= 0 || errno != EBADF) {
            continue;
        }
        // The lowest number that is free, so this one.
        if (::open("/dev/null", stream == STDERR_FILENO ? O_RDWR : O_RDONLY) != stream) {
            return false;
        }
    }
    return true;
}

// A descriptor for each connection, listener and file; the soft limit is often 1,024.
void raise_descriptor_limit() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) {
            spdlog::warn("descriptor limit not raised error=\"{}\"", std::strerror(errno));
        }
    }
}

// The sockets that mqd binds itself are removed again when it ends.
class Listeners {
  public:
    ~Listeners() {
        for (const std::string& path : paths_) {
            ::unlink(path.c_str());
        }
    }

    Result<void> open(const Config& config, net::Server& server) {
        auto passed = listen_sockets();
        if (!passed) {
            return passed.error();
        }
        std::map<std::string, int> by_name;
        for (const PassedSocket& socket : *passed) {
            by_name[socket.name] = socket.descriptor;
        }
        for (const ListenerConfig& listener : config.listeners) {
            if (const auto at = by_name.find(listener.name); at != by_name.end()) {
                spdlog::info("listening name={} from=systemd", listener.name);
                server.add_listener(listener.name, at->second);
                by_name.erase(at);
                continue;
            }
            auto opened = open_one(listener);
            if (!opened) {
                return opened.error();
            }
            spdlog::info("listening name={} address={}", listener.name,
                         format_listen_address(bound_address(listener.bind, *opened)));
            server.add_listener(listener.name, *opened);
        }
        for (const auto& [name, descriptor] : by_name) {
            spdlog::info("listening name={} from=systemd", name);
            server.add_listener(name, descriptor);
        }
        return {};
    }

  private:
    Result<int> open_one(const ListenerConfig& listener) {
        if (const auto* unix_address = std::get_if<UnixAddress>(&listener.bind)) {
            auto opened = net::listen_unix(unix_address->path, listener.mode);
            if (opened) {
                paths_.push_back(unix_address->path);
            }
            return opened;
        }
        const auto& tcp = std::get<TcpAddress>(listener.bind);
        return net::listen_tcp(tcp.host, tcp.port);
    }

    // With the port that the kernel chose.
    static ListenAddress bound_address(ListenAddress address, int descriptor) {
        if (auto* tcp = std::get_if<TcpAddress>(&address)) {
            tcp->port = net::bound_port(descriptor);
        }
        return address;
    }

    std::vector<std::string> paths_;
};

ExitCode exit_code_of(const Error& error) {
    switch (error.code) {
        case ErrorCode::locked: return ExitCode::locked;
        case ErrorCode::damaged: return ExitCode::damaged;
        case ErrorCode::bad_config: return ExitCode::bad_config;
        default: return ExitCode::failure;
    }
}

std::string status_line(const core::Core& core) {
    return "serving queues=" + std::to_string(core.engine().queues().size());
}

// Takes over what can be changed while serving, and says what cannot.
void reload(const CommandLine& line, Config& current) {
    const auto config = load_config(line.config);
    if (!config) {
        spdlog::error("reload refused, nothing changed error=\"{}\"", config.error().text);
        return;
    }
    for (const std::string& key : changed_keys(current, *config)) {
        if (key != "log.level") {
            spdlog::warn("reload key={} needs a restart", key);
        }
    }
    current.log = config->log;
    set_log_level(current.log.level);
    spdlog::info("reloaded log.level={}", to_text(current.log.level));
}

int serve(const CommandLine& line, const Config& config) {
    set_up_log(config.log.level);
    raise_descriptor_limit();
    spdlog::info("starting version={} storage={}", version(), config.storage.path);
    if (::mkdir(config.storage.path.c_str(), 0750) == 0) {
        spdlog::info("created storage={}", config.storage.path);
    }  // otherwise it is there, or opening it says what is wrong
    auto disk = storage::PosixDisk::open(config.storage.path);
    if (!disk) {
        spdlog::error("{}", disk.error().text);
        return end(ExitCode::failure);
    }
    const auto lock = (*disk)->lock();
    if (!lock) {
        spdlog::error("{}", lock.error().text);
        return end(exit_code_of(lock.error()));
    }
    Listeners listeners;
    net::Server server(core_options(config),
                       {config.limits.connections, config.server.shutdown_timeout});
    notify_status("reading the journal");
    notify_extend_timeout(start_time_max);
    if (const auto opened = server.open(**disk); !opened) {
        spdlog::error("{}", opened.error().text);
        return end(server.core().failure() ? ExitCode::journal_failed
                                           : exit_code_of(opened.error()));
    }
    const storage::Recovery& recovery = server.core().journal().recovery();
    spdlog::info("recovered verdict=\"{}\" sequence={} files={} bytes_read={}", recovery.verdict,
                 recovery.last.value(), recovery.files, recovery.bytes_read);
    if (const auto declared = server.declare(config.queues); !declared) {
        spdlog::error("{}", declared.error().text);
        return end(ExitCode::journal_failed);
    }
    if (const auto opened = listeners.open(config, server); !opened) {
        spdlog::error("{}", opened.error().text);
        return end(ExitCode::cannot_listen);
    }
    notify_ready(status_line(server.core()));
    Config current = config;
    const net::Server::End how = server.run(
        {[&] { reload(line, current); }, [] { notify_stopping("finishing what was begun"); }});
    if (how == net::Server::End::journal_failed) {
        spdlog::error("journal failed, nothing is confirmed any more error=\"{}\"",
                      server.core().failure()->text);
        return end(ExitCode::journal_failed);
    }
    spdlog::info("stopped clean={}", how == net::Server::End::stopped);
    return end(ExitCode::ok);
}

int check_store(const CommandLine& line) {
    auto disk = storage::PosixDisk::open(line.store);
    if (!disk) {
        return complain(ExitCode::failure, disk.error().text);
    }
    const auto lock = (*disk)->lock_to_look();
    if (!lock && lock.error().code == ErrorCode::locked) {
        return complain(ExitCode::failure, "a daemon is running on " + line.store +
                                               ": stop it first, or look at a copy made while "
                                               "none ran");
    }
    if (!lock) {
        return complain(ExitCode::failure, lock.error().text);
    }
    const auto report = core::check_store(**disk);
    if (!report) {
        return complain(ExitCode::failure, report.error().text);
    }
    const int printed = print(line.json ? format_report_json(*report, line.store)
                                        : format_report(*report, line.store));
    if (printed != end(ExitCode::ok) || report->sound()) {
        return printed;
    }
    return end(report->damaged > 0 ? ExitCode::damage_found : ExitCode::failure);
}

int run(const std::vector<std::string>& arguments) {
    const auto line = parse_command_line(arguments);
    if (!line) {
        return complain(ExitCode::usage, line.error().text);
    }
    if (line->action == CommandLine::Action::help) {
        return print(std::string(usage));
    }
    if (line->action == CommandLine::Action::version) {
        return print("mqd " + std::string(version()) + '\n');
    }
    if (line->action == CommandLine::Action::check_store) {
        return check_store(*line);
    }
    const auto config = load_config(line->config);
    if (!config) {
        return complain(ExitCode::bad_config, config.error().text);
    }
    if (line->action == CommandLine::Action::check_config) {
        return end(ExitCode::ok);
    }
    if (line->action == CommandLine::Action::print_config) {
        return print(print_config(*config));
    }
    return serve(*line, *config);
}

}  // namespace

}  // namespace mqd

int main(int argc, char** argv) {
    if (!mqd::occupy_standard_streams()) {
        return mqd::end(mqd::ExitCode::failure);  // and nowhere to say it
    }
    try {
        return mqd::run({argv + 1, argv + argc});
    } catch (const std::exception& error) {
        std::fprintf(stderr, "mqd: %s\n", error.what());
        return static_cast<int>(mqd::ExitCode::failure);
    }
}
