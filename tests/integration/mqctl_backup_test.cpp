// mqctl backup against a real daemon: under load, and when anything comes in between.

#include <doctest/doctest.h>

#include <sys/stat.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <mutex>
#include <set>
#include <thread>

#include "integration/mqctl_run.hpp"
#include "mqd/client.hpp"

namespace mqd::test {
namespace {

namespace fs = std::filesystem;

constexpr int sound = 0;

// Settings with which a few megabytes end in segments, and files come and go.
constexpr const char* small_store = R"(
[storage]
memory = "1MiB"
segment_bytes = "1MiB"
journal_file_bytes = "1MiB"
journal_bytes = "16MiB"
[limits]
frame_bytes = "192KiB"
message_bytes = "16KiB"
)";

bool mentions(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

std::string body_of(std::uint64_t serial) {
    return std::to_string(serial) + ':' + std::string(300, 'x');
}

Client connect(const std::string& url) {
    auto client = Client::connect(url, ConnectOptions{.client_name = {}, .timeout = patience});
    REQUIRE(client.has_value());
    return std::move(*client);
}

struct Fixture {
    DaemonProcess daemon;
    Mqctl mqctl{daemon.url()};
    std::string folder = daemon.folder() + "/copy";

    explicit Fixture(DaemonOptions options = {.config = small_store})
        : daemon(MQD_BIN, std::move(options)) {
        daemon.start();
        mqctl.must({"-q", "queue", "create", "orders"});
    }
    void publish(std::uint64_t from, std::uint64_t to) const {
        Client client = connect(daemon.url());
        auto producer = client.producer("orders");
        REQUIRE(producer.has_value());
        for (std::uint64_t serial = from; serial < to; ++serial) {
            REQUIRE(producer->send(body_of(serial)).has_value());
            if (serial % 100 == 0) {
                REQUIRE(producer->wait_all(patience).has_value());
            }
        }
        REQUIRE(producer->wait_all(patience).has_value());
    }
    // Nothing but the copy, if that, is beside the daemon's own; and nothing of a backup in its
    // data.
    [[nodiscard]] std::set<std::string> made() const {
        std::set<std::string> names;
        for (const auto& entry : fs::directory_iterator(daemon.folder())) {
            const std::string name = entry.path().filename();
            if (name.starts_with("copy")) {
                names.insert(name);
            }
        }
        return names;
    }
    [[nodiscard]] bool snapshot_gone() const {
        return eventually([&] {
            for (const auto& entry : fs::directory_iterator(daemon.data_folder())) {
                if (entry.path().filename().string().starts_with("backup.")) {
                    return false;
                }
            }
            return true;
        });
    }
};

// The serials of all that lives in a store, by a daemon that is started on it.
std::set<std::uint64_t> serials_in(const std::string& folder) {
    DaemonProcess restored(MQD_BIN, {.config = small_store, .data_folder = folder});
    restored.start();
    Client client = connect(restored.url());
    std::set<std::uint64_t> serials;
    PeekPage page{{}, MessageNumber(1), true};
    while (page.more) {
        auto next = client.peek("orders", page.next, 1000);
        REQUIRE(next.has_value());
        page = std::move(*next);
        for (const PeekedMessage& message : page.messages) {
            const std::uint64_t serial = std::stoull(message.body);
            CHECK((message.body == body_of(serial)));
            CHECK(serials.insert(serial).second);
        }
    }
    CHECK(restored.stop() == ProcessEnd{0, 0});
    return serials;
}

// A producer and a consumer that never rest, each with a thread of its own.
class Traffic {
  public:
    explicit Traffic(std::string url) : url_(std::move(url)) {
        producer_ = std::thread([this] { produce(); });
        consumer_ = std::thread([this] { consume(); });
    }
    Traffic(const Traffic&) = delete;
    Traffic& operator=(const Traffic&) = delete;
    ~Traffic() { stop(); }

    void stop() {
        stop_ = true;
        for (std::thread* const thread : {&producer_, &consumer_}) {
            if (thread->joinable()) {
                thread->join();
            }
        }
    }
    [[nodiscard]] std::uint64_t confirmed() const { return confirmed_; }
    [[nodiscard]] std::uint64_t sent() const { return sent_; }
    [[nodiscard]] std::set<std::uint64_t> acked() const {
        const std::lock_guard lock(mutex_);
        return acked_;
    }
    [[nodiscard]] std::set<std::uint64_t> settled() const {
        const std::lock_guard lock(mutex_);
        return settled_;
    }
    [[nodiscard]] std::string trouble() const {
        const std::lock_guard lock(mutex_);
        return trouble_;
    }

  private:
    static constexpr std::uint64_t burst = 40;

    void note(const Error& error) {
        const std::lock_guard lock(mutex_);
        trouble_ += error.text + '\n';
    }
    // Refusals are part of it: what was refused comes again.
    void produce() {
        auto client = Client::connect(url_);
        auto producer = client ? client->producer("orders") : Result<Producer>(client.error());
        while (producer && !stop_) {
            for (std::uint64_t i = 0; i < burst; ++i) {
                sent_ = confirmed_ + i + 1;
                (void)producer->send(body_of(confirmed_ + i)).has_value();
            }
            if (const auto all = producer->wait_all(patience); !all) {
                return note(all.error());
            }
            confirmed_ += burst;
        }
        if (!producer) {
            note(producer.error());
        }
    }
    // Takes about two thirds of it, so that there is a backlog, and pages with holes.
    void consume() {
        auto client = Client::connect(url_);
        auto consumer = client ? client->consumer("orders") : Result<Consumer>(client.error());
        while (consumer && !stop_) {
            const auto message = consumer->receive(Timeout(100));
            if (!message) {
                return note(message.error());
            }
            if (!*message) {
                continue;
            }
            const std::uint64_t serial = std::stoull(std::string((*message)->body));
            if (serial % 3 == 0) {
                continue;
            }
            {
                const std::lock_guard lock(mutex_);
                acked_.insert(serial);
            }
            if (serial % 16 != 1) {
                (void)consumer->ack((*message)->number).has_value();
                continue;
            }
            if (consumer->ack_confirmed({(*message)->number, 1}, patience)) {
                const std::lock_guard lock(mutex_);
                settled_.insert(serial);
            }
        }
        if (!consumer) {
            note(consumer.error());
        }
    }

    const std::string url_;
    std::atomic<bool> stop_ = false;
    std::atomic<std::uint64_t> confirmed_ = 0;  // serials below it
    std::atomic<std::uint64_t> sent_ = 0;
    mutable std::mutex mutex_;
    std::set<std::uint64_t> acked_;
    std::set<std::uint64_t> settled_;
    std::string trouble_;
    std::thread producer_;
    std::thread consumer_;
};

TEST_CASE("mqctl backup: under load the copy is sound, and has what was confirmed and not acked") {
    const Fixture f;
    Traffic traffic(f.daemon.url());
    for (std::uint64_t round = 1; round <= 3; ++round) {
        const std::string folder = f.folder + std::to_string(round);
        REQUIRE(eventually([&] { return traffic.confirmed() > round * 5'000; }));
        const std::uint64_t confirmed = traffic.confirmed();
        const std::set<std::uint64_t> settled = traffic.settled();
        const MqctlEnd end = f.mqctl.run({"backup", folder});
        CHECK_MESSAGE(end.exit == 0, end.err);
        CHECK(end.out.empty());
        CHECK(mentions(end.err, " copied to " + folder + " in "));
        const std::set<std::uint64_t> acked = traffic.acked();
        const std::uint64_t sent = traffic.sent();

        const MqctlEnd checked = f.mqctl.run({"check", folder});
        CHECK_MESSAGE(checked.exit == sound, checked.out);
        const std::set<std::uint64_t> there = serials_in(folder);
        std::uint64_t missing = 0;
        for (std::uint64_t serial = 0; serial < confirmed; ++serial) {
            missing += acked.contains(serial) || there.contains(serial) ? 0 : 1;
        }
        CHECK(missing == 0);
        std::uint64_t back = 0;
        for (const std::uint64_t serial : settled) {
            back += there.contains(serial) ? 1 : 0;
        }
        CHECK(back == 0);
        CHECK(!there.empty());
        CHECK((there.empty() || *there.rbegin() < sent));
    }
    traffic.stop();
    CHECK(traffic.trouble().empty());
    CHECK(f.snapshot_gone());
}

TEST_CASE("mqctl backup: the folder is the owner's alone, and is reported as JSON") {
    const Fixture f;
    f.publish(0, 5'000);
    const std::string line = f.mqctl.must({"backup", f.folder + '/', "-o", "json"});
    CHECK(line.starts_with(R"({"folder":")" + f.folder + R"(","files":)"));
    struct stat facts {};
    REQUIRE(::stat(f.folder.c_str(), &facts) == 0);
    CHECK((facts.st_mode & 07777) == 0700);
    std::uint64_t files = 0;
    std::uint64_t bytes = 0;
    for (const auto& entry : fs::directory_iterator(f.folder)) {
        REQUIRE(::stat(entry.path().c_str(), &facts) == 0);
        CHECK((facts.st_mode & 07777) == 0600);
        ++files;
        bytes += entry.file_size();
    }
    CHECK(mentions(line, R"("files":)" + std::to_string(files) + R"(,"bytes":)" +
                             std::to_string(bytes) + R"(,"seconds":)"));
    CHECK(serials_in(f.folder).size() == 5'000);
    CHECK(f.made() == std::set<std::string>{"copy"});
}

TEST_CASE("mqctl backup: what is there already stays, and nothing is made") {
    const Fixture f;
    for (const char* const other : {"", ".partial"}) {
        const std::string there = f.folder + other;
        REQUIRE(fs::create_directory(there));
        write_file(there + "/mine", "mine");
        const MqctlEnd end = f.mqctl.run({"backup", f.folder});
        CHECK(end.exit == 1);
        CHECK(mentions(end.err, there + " is there already"));
        CHECK(f.made() == std::set<std::string>{"copy" + std::string(other)});
        CHECK(read_file(there + "/mine") == "mine");
        fs::remove_all(there);
    }
    const MqctlEnd nowhere = f.mqctl.run({"backup", f.folder + "/in/none"});
    CHECK(nowhere.exit == 1);
    CHECK(mentions(nowhere.err, "No such file or directory"));
    CHECK(f.mqctl.run({"backup"}).exit == 2);
    CHECK(f.mqctl.run({"backup", "a", "b"}).exit == 2);
    CHECK(f.mqctl.run({"backup", "a", "-o", "raw"}).exit == 2);
}

TEST_CASE("mqctl backup: a signal, and the end of the daemon, leave nothing") {
    Fixture f;
    f.publish(0, 20'000);
    // Another client holds the one backup that there may be, so that mqctl can be caught in the
    // middle: it has been refused, or it waits.
    {
        Client client = connect(f.daemon.url());
        auto held = client.begin_backup();
        REQUIRE(held.has_value());
        REQUIRE(client.flush().has_value());
        REQUIRE(eventually([&] {
            REQUIRE(client.process(Timeout(10)).has_value());
            return client.take_backup(*held).value().has_value();
        }));
        const MqctlEnd refused = f.mqctl.run({"backup", f.folder});
        CHECK(refused.exit == 7);
        CHECK(mentions(refused.err, "backup_running"));
        CHECK(mentions(refused.err, "nothing was made"));
        CHECK(f.made().empty());
    }
    REQUIRE(f.snapshot_gone());
    for (const bool signal : {true, false}) {
        CAPTURE(signal);
        MqctlProcess mqctl(f.daemon.url(), {"backup", f.folder});
        REQUIRE(eventually([&] { return !f.made().empty(); }));
        if (signal) {
            f.daemon.send_signal(SIGSTOP);  // so that it does not come to its end meanwhile
            mqctl.send_signal(SIGINT);
        } else {
            f.daemon.kill();
        }
        const MqctlEnd end = mqctl.wait_for_end();
        if (signal) {
            f.daemon.send_signal(SIGCONT);
        }
        if (end.exit == 0) {  // it was done before that
            CHECK(f.made() == std::set<std::string>{"copy"});
            CHECK(f.mqctl.run({"check", f.folder}).exit == sound);
            fs::remove_all(f.folder);
        } else {
            CHECK(f.made().empty());
            CHECK(end.exit == (signal ? 130 : 3));
        }
    }
    f.daemon.start();
    CHECK(f.snapshot_gone());
    CHECK(f.mqctl.queue_number("orders", "ready") == 20'000);
}

// The signal comes as near as can be to the moment at which there is something to leave behind.
TEST_CASE("mqctl backup and export: a signal right at their beginning leaves nothing") {
    Fixture f;
    f.publish(0, 100);
    const std::vector<std::vector<std::string>> commands = {{"backup", f.folder},
                                                            {"export", "orders", "-f", f.folder}};
    for (const auto& command : commands) {
        for (int round = 0; round < 20; ++round) {
            CAPTURE(command.front());
            MqctlProcess mqctl(f.daemon.url(), command);
            const auto deadline = std::chrono::steady_clock::now() + patience;
            while (f.made().empty() && std::chrono::steady_clock::now() < deadline) {}
            mqctl.send_signal(SIGINT);
            const MqctlEnd end = mqctl.wait_for_end();
            // All of it, if it came that far, or nothing.
            const bool whole = f.made() == std::set<std::string>{"copy"};
            CHECK((whole || f.made().empty()));
            CHECK((end.exit == 130 || (end.exit == 0 && whole)));
            fs::remove_all(f.folder);
            REQUIRE(f.snapshot_gone());
        }
    }
}

TEST_CASE("mqctl backup: a second one right behind the first is taken") {
    const Fixture f;
    f.publish(0, 100);
    for (const char* const name : {"1", "2", "3"}) {
        f.mqctl.must({"-q", "backup", f.folder + name});
    }
    CHECK(serials_in(f.folder + "3").size() == 100);
}

}  // namespace
}  // namespace mqd::test
