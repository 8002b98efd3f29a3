#include "bench/mqd_daemon.hpp"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <thread>

#include "bench/failure.hpp"
#include "bench/message.hpp"
#include "mqd/client.hpp"

namespace mqd::bench {

namespace {

constexpr std::chrono::seconds start_timeout{10};
constexpr std::chrono::microseconds retry_interval{50};
constexpr std::streamoff last_words_bytes = 500;

}  // namespace

Result<std::unique_ptr<MqdDaemon>> MqdDaemon::start(const MqdDaemonOptions& options) {
    std::unique_ptr<MqdDaemon> daemon(new MqdDaemon());
    daemon->folder_ = options.folder + "/mqd";
    std::filesystem::create_directories(daemon->folder_ + "/data");
    daemon->unix_address_ = {Transport::unix_socket, daemon->folder_ + "/mqd.sock", 0};
    daemon->tcp_address_ = {Transport::tcp, "", find_free_port()};
    daemon->options_ = options;
    daemon->write_config();
    if (auto launched = daemon->launch(); !launched) {
        return launched.error();
    }
    return daemon;
}

Result<void> MqdDaemon::launch() {
    ServerProcess::Program program;
    program.command = {options_.program, "--config", folder_ + "/mqd.toml"};
    program.log_path = folder_ + "/log";
    if (options_.sync_delay.count() > 0) {
        program.environment.emplace_back("MQD_TEST_SYNC_DELAY_MS",
                                         std::to_string(options_.sync_delay.count()));
    }
    const auto begin = std::chrono::steady_clock::now();
    process_.emplace(ServerProcess::execute(options_.core, program));
    while (true) {
        const auto client = Client::connect(url(Transport::unix_socket));
        start_time_ = std::chrono::steady_clock::now() - begin;
        if (client) {
            return {};
        }
        if (!process_->alive() || start_time_ > start_timeout) {
            return Error{
                client.error().code,
                "mqd does not answer: " + client.error().text + "; its log ends: " + last_words(),
                0, 0, 0};
        }
        std::this_thread::sleep_for(retry_interval);
    }
}

Result<void> MqdDaemon::kill_and_restart() {
    process_->kill();
    return launch();
}

MqdDaemon::~MqdDaemon() {
    process_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
}

Result<void> MqdDaemon::create_queue(const std::string& name, Durability durability,
                                     QueueOptions options) const {
    auto client = Client::connect(url(Transport::unix_socket));
    if (!client) {
        return client.error();
    }
    options.durability = durability;
    if (auto created = client->create_queue(name, options); !created) {
        return created.error();
    }
    return client->close();
}

std::string MqdDaemon::url(Transport transport) const {
    return (transport == Transport::unix_socket ? unix_address_ : tcp_address_).url();
}

std::string MqdDaemon::last_words() const {
    std::ifstream log(folder_ + "/log", std::ios::ate);
    const std::streamoff size = log.tellg();
    log.seekg(std::max(std::streamoff{0}, size - last_words_bytes));
    return {std::istreambuf_iterator<char>(log), std::istreambuf_iterator<char>()};
}

void MqdDaemon::write_config() const {
    std::ofstream file(folder_ + "/mqd.toml");
    file << "[[listener]]\nname = \"local\"\nbind = \"" << unix_address_.url() << "\"\n\n"
         << "[[listener]]\nname = \"loopback\"\nbind = \"" << tcp_address_.url() << "\"\n\n"
         << "[storage]\npath = \"" << folder_ << "/data\"\n"
         << options_.storage
         << '\n'
         // The floors hold a fast producer back; the daemon would refuse it beyond this.
         << "[limits]\n"
         << options_.limits << '\n'
         << "[log]\nlevel = \"warn\"\n";
    if (!file.flush()) {
        fail("cannot write " + folder_ + "/mqd.toml");
    }
}

}  // namespace mqd::bench
