// How mqd ends: asked to, told twice, or by what it finds; and what its command line says.

#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "integration/history.hpp"
#include "integration/load.hpp"
#include "mqd/client.hpp"
#include "net/raw_connection.hpp"
#include "support/daemon_process.hpp"
#include "support/dice.hpp"

namespace mqd::test {

namespace {

// As mqd(8) lists them.
constexpr int done = 0;
constexpr int usage = 2;
constexpr int bad_config = 3;
constexpr int locked = 4;
constexpr int damaged = 5;
constexpr int journal_failed = 6;
constexpr int cannot_listen = 7;

constexpr std::size_t block_bytes = 4096;  // of the journal: each group begins on a multiple
constexpr std::size_t group_header_bytes = 64;

const std::string disk_queue = "[queue.orders]\ndurability = \"disk\"\nlease = \"1h\"\n";

// So that comparing all of a store takes no time.
const std::string small_files =
    "[storage]\njournal_file_bytes = \"2MiB\"\njournal_bytes = \"16MiB\"\n"
    "[limits]\nmessage_bytes = \"64KiB\"\nframe_bytes = \"256KiB\"\nqueues = 100\n";

std::optional<ProcessEnd> exited(int code) {
    return ProcessEnd{code, 0};
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

Client connect(const DaemonProcess& daemon) {
    ConnectOptions options;
    options.timeout = patience;
    auto client = Client::connect(daemon.url(), options);
    REQUIRE(client);
    return std::move(*client);
}

void publish_one_by_one(const DaemonProcess& daemon, int count) {
    Client client = connect(daemon);
    auto producer = client.producer("orders");
    REQUIRE(producer);
    for (int i = 1; i <= count; ++i) {
        REQUIRE(producer->publish("order " + std::to_string(i)));
    }
}

void expect_orders(const DaemonProcess& daemon, int count) {
    Client client = connect(daemon);
    auto consumer = client.consumer("orders");
    REQUIRE(consumer);
    for (int i = 1; i <= count; ++i) {
        const auto message = consumer->receive(patience);
        REQUIRE(message);
        REQUIRE(message->has_value());
        CHECK((*message)->body == "order " + std::to_string(i));
    }
}

// Every file of a data directory with its bytes.
std::map<std::string, std::string> contents_of(const std::string& folder) {
    std::map<std::string, std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        files[entry.path().filename()] = read_file(entry.path());
    }
    return files;
}

// Where in a journal file the group lies that has this text in its body.
std::optional<std::size_t> group_with(const std::string& file, const std::string& text) {
    const std::size_t at = file.find(text);
    return at == std::string::npos ? std::nullopt : std::optional(at / block_bytes * block_bytes);
}

// Changes one bit of the first message's group, on which others lie that have been synced since.
// Returns the file's name and the group's offset.
std::pair<std::string, std::size_t> damage(const std::string& folder) {
    for (const auto& [name, bytes] : contents_of(folder)) {
        const auto at = group_with(bytes, "order 1");
        if (at) {
            std::string changed = bytes;
            changed[*at + group_header_bytes] =
                static_cast<char>(changed[*at + group_header_bytes] ^ 1);
            write_file(folder + '/' + name, changed);
            return {name, *at};
        }
    }
    return {};
}

}  // namespace

TEST_CASE("stop: SIGTERM under load loses nothing and ends with success") {
    const std::uint64_t seed = Dice::new_seed();
    INFO("seed ", seed);
    History history(400);
    DaemonProcess daemon(MQD_BIN, {.config = "[server]\nshutdown_timeout = \"500ms\"\n"
                                             "[queue.one]\ndurability = \"disk\"\nlease = \"1h\"\n"
                                             "[queue.two]\ndurability = \"written\"\n"
                                             "lease = \"1h\"\n"});
    Load load({.url = daemon.url(), .queues = {"one", "two"}, .seed = seed}, history);
    const int stops = sanitized ? 3 : 8;
    daemon.start();
    load.daemon_started(daemon.pid());
    load.begin();
    for (int i = 0; i < stops; ++i) {
        const std::uint64_t until = history.events() + 2'000;
        REQUIRE(eventually([&] { return history.events() >= until; }));
        CHECK(daemon.stop() == exited(done));
        CHECK(contains(daemon.errors(), "stopped clean=true"));
        daemon.launch();
        load.daemon_started(daemon.pid());
        REQUIRE(daemon.wait_serving());
        CHECK(contains(daemon.errors(), "recovered"));
    }
    load.stop_producers();
    load.stop_consumers();
    load.drain();
    history.finish();
    CHECK(history.violations() == std::vector<std::string>{});
    CHECK(load.told_stopping() > 0);
    CHECK(history.figures().confirmed > 100);
}

TEST_CASE("stop: clients are told, and the daemon ends as soon as the last has said GOODBYE") {
    DaemonProcess daemon(MQD_BIN,
                         {.config = disk_queue + "[server]\nshutdown_timeout = \"10m\"\n"});
    daemon.start();
    std::optional<RawConnection> raw(daemon.socket_path());
    raw->greet();
    Client client = connect(daemon);
    auto producer = client.producer("orders");
    REQUIRE(producer);
    REQUIRE(producer->send("order 1"));
    REQUIRE(producer->flush());
    REQUIRE(producer->wait_all(patience));
    daemon.send_signal(SIGTERM);
    CHECK(raw->receive_error() == ErrorCode::stopping);
    const auto refused = producer->publish("order 2");
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::stopping);
    CHECK(daemon.alive());
    raw->send_frame(wire::Goodbye{});
    const auto reply = raw->receive();
    REQUIRE(reply.has_value());
    CHECK(reply->header.type == wire::FrameType::goodbye_reply);
    CHECK(raw->wait_ended());
    raw.reset();
    CHECK(client.close(patience));
    CHECK(daemon.wait() == exited(done));
    CHECK_FALSE(std::filesystem::exists(daemon.socket_path()));
    daemon.start();
    expect_orders(daemon, 1);
}

TEST_CASE("stop: a second SIGTERM ends at once") {
    DaemonProcess daemon(MQD_BIN,
                         {.config = disk_queue + "[server]\nshutdown_timeout = \"10m\"\n"});
    daemon.start();
    publish_one_by_one(daemon, 3);
    RawConnection stays(daemon.socket_path());
    stays.greet();
    daemon.send_signal(SIGTERM);
    CHECK(stays.receive_error() == ErrorCode::stopping);
    CHECK(daemon.alive());
    CHECK(daemon.stop() == exited(done));
    daemon.start();
    expect_orders(daemon, 3);
}

TEST_CASE("stop: a client that does not leave is cut off after shutdown_timeout") {
    DaemonProcess daemon(MQD_BIN, {.config = "[server]\nshutdown_timeout = \"200ms\"\n"});
    daemon.start();
    RawConnection stays(daemon.socket_path());
    stays.greet();
    CHECK(daemon.stop() == exited(done));
    CHECK(contains(daemon.errors(), "stopped clean=true"));
    CHECK(stays.wait_ended());
}

TEST_CASE("stop: SIGINT is as good as SIGTERM") {
    DaemonProcess daemon(MQD_BIN);
    daemon.start();
    daemon.send_signal(SIGINT);
    CHECK(daemon.wait() == exited(done));
}

TEST_CASE("exit code: a wrong command line") {
    DaemonProcess daemon(MQD_BIN);
    CHECK(daemon.run({"--nonsense"}) == exited(usage));
    CHECK(contains(daemon.errors(), "--nonsense"));
    CHECK(daemon.run({"--config"}) == exited(usage));
    CHECK(daemon.run({"--help"}) == exited(done));
    CHECK(contains(daemon.output(), "usage: mqd"));
    CHECK(daemon.run({"--version"}) == exited(done));
    CHECK(daemon.output().starts_with("mqd "));
}

TEST_CASE("exit code: a wrong configuration") {
    DaemonProcess daemon(MQD_BIN, {.config = "[limits]\n\nconections = 3\n"});
    daemon.launch();
    CHECK(daemon.wait() == exited(bad_config));
    CHECK(contains(daemon.errors(), "test.toml:3:1"));
    CHECK(contains(daemon.errors(), "connections"));
    CHECK(daemon.run({"--config", daemon.config_path(), "--check-config"}) == exited(bad_config));
    CHECK(contains(daemon.errors(), "test.toml:3:1"));
    CHECK(daemon.run({"--config", "/nonexistent/mqd.toml"}) == exited(bad_config));
    CHECK(contains(daemon.errors(), "/nonexistent/mqd.toml"));
}

TEST_CASE("exit code: a right configuration is checked and printed, and nothing is started") {
    DaemonProcess daemon(MQD_BIN, {.config = disk_queue});
    CHECK(daemon.run({"--config", daemon.config_path(), "--check-config"}) == exited(done));
    CHECK(daemon.errors() == "");
    CHECK(daemon.run({"--config", daemon.config_path(), "--print-config"}) == exited(done));
    const std::string printed = daemon.output();
    CHECK(contains(printed, "orders"));
    CHECK(contains(printed, daemon.data_folder()));
    CHECK(std::filesystem::is_empty(daemon.data_folder()));
    // What it prints is a configuration, the same one.
    const std::string copy = daemon.folder() + "/printed.toml";
    write_file(copy, printed);
    CHECK(daemon.run({"--config", copy, "--print-config"}) == exited(done));
    CHECK(daemon.output() == printed);
}

TEST_CASE("exit code: a data directory that another daemon has") {
    DaemonProcess first(MQD_BIN);
    first.start();
    DaemonProcess second(MQD_BIN, {.data_folder = first.data_folder()});
    second.launch();
    CHECK(second.wait() == exited(locked));
    CHECK(contains(second.errors(), first.data_folder()));
    CHECK(first.alive());
    CHECK(first.stop() == exited(done));
    second.start();  // the lock went with it
}

TEST_CASE("exit code: stored bytes that lie are named, and nothing is changed") {
    DaemonProcess daemon(MQD_BIN, {.config = disk_queue + small_files});
    daemon.start();
    publish_one_by_one(daemon, 5);
    CHECK(daemon.stop() == exited(done));
    const auto [file, offset] = damage(daemon.data_folder());
    REQUIRE(file != "");
    const auto before = contents_of(daemon.data_folder());
    for (int i = 0; i < 2; ++i) {
        daemon.launch();
        CHECK(daemon.wait() == exited(damaged));
        INFO(daemon.errors());
        CHECK(contains(daemon.errors(), file));
        CHECK(contains(daemon.errors(), std::to_string(offset)));
        CHECK(contents_of(daemon.data_folder()) == before);
        CHECK_FALSE(std::filesystem::exists(daemon.socket_path()));
    }
}

TEST_CASE("exit code: a journal that cannot be written") {
    // A limit on the size of files stands in for a disk that fails: the next write is refused with
    // EFBIG. Ignoring its signal is inherited by the daemon.
    DaemonProcess daemon(
        MQD_BIN, {.config = disk_queue, .wrapper = {"sh", "-c", "trap '' XFSZ; exec \"$@\"", "-"}});
    daemon.start();
    publish_one_by_one(daemon, 3);
    Client client = connect(daemon);
    auto producer = client.producer("orders");
    REQUIRE(producer);
    const rlimit limit{block_bytes, block_bytes};
    REQUIRE(::prlimit(daemon.pid(), RLIMIT_FSIZE, &limit, nullptr) == 0);
    const auto lost = producer->publish("never confirmed");
    REQUIRE_FALSE(lost);
    CHECK(lost.error().code == ErrorCode::outcome_unknown);
    CHECK(daemon.wait() == exited(journal_failed));
    CHECK(contains(daemon.errors(), "journal"));
    daemon.start();
    expect_orders(daemon, 3);
}

TEST_CASE("exit code: an address that cannot be listened on") {
    DaemonProcess first(MQD_BIN);
    first.start();
    DaemonProcess second(
        MQD_BIN, {.config = "[[listener]]\nname = \"other\"\nbind = \"" + first.url() + "\"\n"});
    second.launch();
    CHECK(second.wait() == exited(cannot_listen));
    CHECK(contains(second.errors(), first.socket_path()));
    CHECK(first.alive());
    CHECK(std::filesystem::exists(first.socket_path()));

    const int taken = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    REQUIRE(::bind(taken, reinterpret_cast<sockaddr*>(&address), size) == 0);
    REQUIRE(::listen(taken, 1) == 0);
    REQUIRE(::getsockname(taken, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    const std::string bind = "tcp://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    DaemonProcess third(MQD_BIN,
                        {.config = "[[listener]]\nname = \"tcp\"\nbind = \"" + bind + "\"\n"});
    third.launch();
    CHECK(third.wait() == exited(cannot_listen));
    CHECK(contains(third.errors(), bind));
    ::close(taken);
}

TEST_CASE("exit code: a data directory that is not there is made, where that can be") {
    DaemonProcess daemon(MQD_BIN);
    std::filesystem::remove_all(daemon.data_folder());
    daemon.start();
    CHECK(std::filesystem::exists(daemon.data_folder()));
    CHECK(daemon.stop() == exited(done));

    DaemonProcess nowhere(MQD_BIN);
    nowhere.set_config("[storage]\npath = \"" + nowhere.folder() + "/not/there\"\n");
    nowhere.launch();
    CHECK(nowhere.wait() == exited(1));
    CHECK(contains(nowhere.errors(), "/not/there"));
    nowhere.set_config("[storage]\npath = \"" + nowhere.config_path() + "\"\n");
    nowhere.launch();
    CHECK(nowhere.wait() == exited(1));
    CHECK(contains(nowhere.errors(), nowhere.config_path()));
}

TEST_CASE("reload: a wrong configuration changes nothing, a right one sets the log level") {
    DaemonProcess daemon(MQD_BIN, {.config = disk_queue});
    daemon.start();
    daemon.set_config("[log]\nlevel = \"loud\"\n");
    daemon.send_signal(SIGHUP);
    CHECK(eventually([&] { return contains(daemon.errors(), "reload refused"); }));
    CHECK(contains(daemon.errors(), "test.toml:2"));
    publish_one_by_one(daemon, 1);
    CHECK_FALSE(contains(daemon.errors(), "debug:"));
    daemon.set_config("[log]\nlevel = \"debug\"\n");
    daemon.send_signal(SIGHUP);
    CHECK(eventually([&] { return contains(daemon.errors(), "reloaded"); }));
    expect_orders(daemon, 1);
    CHECK(eventually([&] { return contains(daemon.errors(), "debug:"); }));
    CHECK(daemon.stop() == exited(done));
}

}  // namespace mqd::test
