// A real file system that fills up: publishes are refused with a typed error, acks and deliveries
// go on, nothing is lost, and publishing resumes by itself. The file system is a small tmpfs in a
// mount namespace of this process, for which it takes root.

#include <doctest/doctest.h>
#include <sched.h>
#include <sys/mount.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>

#include "mqd/client.hpp"
#include "support/daemon_process.hpp"

namespace mqd::test {

namespace {

constexpr std::size_t body_bytes = 4'000;

const char* const small_files =
    "[storage]\njournal_file_bytes = \"2MiB\"\njournal_bytes = \"256MiB\"\n"
    "memory = \"1MiB\"\nsegment_bytes = \"64KiB\"\n"
    "[limits]\nmessage_bytes = \"64KiB\"\nframe_bytes = \"256KiB\"\nqueues = 100\n"
    "[queue.orders]\ndurability = \"disk\"\nlease = \"1h\"\n"
    "[queue.memory]\ndurability = \"memory\"\n";

class SmallFileSystem {
  public:
    // Nothing if this process may not mount.
    static std::unique_ptr<SmallFileSystem> mount(const std::string& options) {
        if (::unshare(CLONE_NEWNS) != 0 ||
            ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
            return nullptr;
        }
        auto made = std::unique_ptr<SmallFileSystem>(new SmallFileSystem());
        if (::mount("mqd-test", made->path().c_str(), "tmpfs", 0, options.c_str()) != 0) {
            return nullptr;
        }
        made->mounted_ = true;
        return made;
    }
    ~SmallFileSystem() {
        if (mounted_) {
            ::umount2(path().c_str(), MNT_DETACH);
        }
    }

    [[nodiscard]] const std::string& path() const { return folder_.path(); }
    // Something else that takes room.
    void put_filler(std::size_t bytes) const {
        write_file(path() + "/filler", std::string(bytes, 'x'));
    }
    void remove_filler() const { std::filesystem::remove(path() + "/filler"); }

  private:
    SmallFileSystem() = default;

    TemporaryFolder folder_;
    bool mounted_ = false;
};

std::unique_ptr<SmallFileSystem> mount_or_say() {
    auto mounted = SmallFileSystem::mount("size=16m");
    if (!mounted) {
        MESSAGE("skipped: a small file system cannot be mounted here: ", std::strerror(errno));
    }
    return mounted;
}

std::string body_of(std::uint64_t number) {
    std::string body = std::to_string(number);
    body.resize(body_bytes, '.');
    return body;
}

Client connect(const DaemonProcess& daemon) {
    ConnectOptions options;
    options.timeout = patience;
    auto client = Client::connect(daemon.url(), options);
    REQUIRE(client);
    return std::move(*client);
}

// Publishes messages `next`, `next` + 1, … one by one until the disk is full; `next` is the one
// that was refused. While the journal makes another file, it says journal_full for a moment.
Error publish_until_refused(Producer& producer, std::uint64_t& next) {
    Error refused;
    (void)eventually([&] {
        auto published = producer.publish(body_of(next));
        while (published) {
            ++next;
            published = producer.publish(body_of(next));
        }
        refused = published.error();
        if (refused.code != ErrorCode::journal_full) {
            return true;
        }
        (void)producer.resume();
        return false;
    });
    return refused;
}

// Publishes message `next`, trying for as long as it is refused.
bool publish_when_there_is_room(Producer& producer, std::uint64_t next) {
    return eventually([&] {
        return producer.resume().has_value() && producer.publish(body_of(next)).has_value();
    });
}

// Takes messages first … last, in order, acking each with a confirm.
void expect_and_ack(Client& client, std::uint64_t first, std::uint64_t last) {
    auto consumer = client.consumer("orders");
    REQUIRE(consumer);
    for (std::uint64_t i = first; i <= last; ++i) {
        CAPTURE(i);
        const auto message = consumer->receive(patience);
        REQUIRE(message);
        REQUIRE(message->has_value());
        REQUIRE((*message)->body == body_of(i));
        const auto acked = consumer->ack_confirmed({(*message)->number, 1}, patience);
        REQUIRE_MESSAGE(acked, acked.error().text);
        CHECK(acked->settled == 1);
    }
    REQUIRE(consumer->close(patience));
}

void expect_queued(Client& client, std::uint64_t messages) {
    const auto queue = client.show_queue("orders");
    REQUIRE(queue);
    CHECK(queue->ready == messages);
}

}  // namespace

TEST_CASE("full disk: publishes are refused, acks and deliveries go on, publishing resumes") {
    const auto disk = mount_or_say();
    if (!disk) {
        return;
    }
    DaemonProcess daemon(MQD_BIN, {.config = small_files, .data_folder = disk->path() + "/data"});
    daemon.start();
    Client client = connect(daemon);
    auto producer = client.producer("orders");
    REQUIRE(producer);
    std::uint64_t next = 1;
    const Error refused = publish_until_refused(*producer, next);
    INFO(refused.text);
    CHECK(refused.code == ErrorCode::disk_full);
    CHECK(refused.retry_after_ms > 0);
    CHECK(next > 500);
    expect_queued(client, next - 1);

    // A memory queue needs no disk.
    auto in_memory = client.producer("memory");
    REQUIRE(in_memory);
    CHECK(in_memory->publish("does not mind"));

    // Acks need room that was booked before; and what they free can be published into again.
    const std::uint64_t half = next / 2;
    expect_and_ack(client, 1, half);
    CHECK(publish_when_there_is_room(*producer, next));
    expect_and_ack(client, half + 1, next);
    expect_queued(client, 0);
    CHECK(client.close(patience));
    CHECK(daemon.stop() == ProcessEnd{0, 0});
}

TEST_CASE("full disk: publishing resumes when others give room back") {
    const auto disk = mount_or_say();
    if (!disk) {
        return;
    }
    disk->put_filler(8 * 1024 * 1024);
    DaemonProcess daemon(MQD_BIN, {.config = small_files, .data_folder = disk->path() + "/data"});
    daemon.start();
    Client client = connect(daemon);
    auto producer = client.producer("orders");
    REQUIRE(producer);
    std::uint64_t next = 1;
    CHECK(publish_until_refused(*producer, next).code == ErrorCode::disk_full);
    const std::uint64_t before = next;
    disk->remove_filler();
    REQUIRE(publish_when_there_is_room(*producer, next));
    ++next;
    CHECK(publish_until_refused(*producer, next).code == ErrorCode::disk_full);
    CHECK(next > before + 200);
    expect_and_ack(client, 1, next - 1);
}

TEST_CASE("full disk: a daemon that is killed and started on it has lost nothing") {
    const auto disk = mount_or_say();
    if (!disk) {
        return;
    }
    DaemonProcess daemon(MQD_BIN, {.config = small_files, .data_folder = disk->path() + "/data"});
    daemon.start();
    std::uint64_t next = 1;
    {
        Client client = connect(daemon);
        auto producer = client.producer("orders");
        REQUIRE(producer);
        CHECK(publish_until_refused(*producer, next).code == ErrorCode::disk_full);
    }
    // Not a byte is left.
    const auto left = std::filesystem::space(disk->path()).available;
    disk->put_filler(left);
    daemon.restart();
    {
        Client client = connect(daemon);
        expect_queued(client, next - 1);
        auto producer = client.producer("orders");
        REQUIRE(producer);
        // A start may give some room back: pages that were written, and not placed before the kill.
        CHECK(publish_until_refused(*producer, next).code == ErrorCode::disk_full);
        expect_and_ack(client, 1, 10);
    }
    daemon.restart();
    Client client = connect(daemon);
    expect_and_ack(client, 11, next - 1);
    expect_queued(client, 0);
}

TEST_CASE("full disk: messages come and go for ever on a disk that is full") {
    const auto disk = mount_or_say();
    if (!disk) {
        return;
    }
    DaemonProcess daemon(MQD_BIN, {.config = small_files, .data_folder = disk->path() + "/data"});
    daemon.start();
    Client client = connect(daemon);
    auto producer = client.producer("orders");
    REQUIRE(producer);
    std::uint64_t first = 1;
    std::uint64_t next = 1;
    CHECK(publish_until_refused(*producer, next).code == ErrorCode::disk_full);
    // The journal is written over several times, with the queue nearly full all the while.
    for (int round = 0; round < (sanitized ? 30 : 150); ++round) {
        CAPTURE(round);
        expect_and_ack(client, first, first + 19);
        first += 20;
        REQUIRE(publish_when_there_is_room(*producer, next));
        ++next;
        (void)publish_until_refused(*producer, next);
    }
    expect_queued(client, next - first);
    expect_and_ack(client, first, next - 1);
}

}  // namespace mqd::test
