// A quota that is used up, for real: EDQUOT from a btrfs in a file, in a mount namespace of this
// process. It takes root and Debian's btrfs-progs. btrfs charges the quota for every change, so
// that in the end it refuses even writes into room that was reserved: then the daemon ends, as
// after any write that failed, and nothing is lost. Quotas of ext4 and XFS leave what was reserved
// alone, and only new files are refused; that is played by tests/core/passing_errors_test.cpp, as
// few kernels that tests run on have them.

#include <doctest/doctest.h>
#include <sched.h>
#include <sys/mount.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "mqd/client.hpp"
#include "support/daemon_process.hpp"

namespace mqd::test {

namespace {

constexpr std::size_t mib = 1024 * 1024;
constexpr std::size_t btrfs_bytes = 192 * mib;  // more than twice what the quota will ever be
constexpr std::size_t body_bytes = 4'000;

const char* const small_files =
    "[storage]\njournal_file_bytes = \"2MiB\"\njournal_bytes = \"256MiB\"\n"
    "memory = \"1MiB\"\nsegment_bytes = \"64KiB\"\n"
    "[limits]\nmessage_bytes = \"64KiB\"\nframe_bytes = \"256KiB\"\nqueues = 100\n"
    "[queue.orders]\ndurability = \"disk\"\nlease = \"1h\"\n";

class QuotaFileSystem {
  public:
    // Nothing if it cannot be made here; it has said why.
    static std::unique_ptr<QuotaFileSystem> mount(std::size_t quota_bytes) {
        auto made = std::unique_ptr<QuotaFileSystem>(new QuotaFileSystem());
        const std::string wrong = made->make(quota_bytes);
        if (!wrong.empty()) {
            MESSAGE("skipped: no file system with a quota can be made here: ", wrong);
            return nullptr;
        }
        return made;
    }
    ~QuotaFileSystem() {
        if (mounted_) {
            ::umount2(mount_point().c_str(), MNT_DETACH);
        }
    }
    QuotaFileSystem(const QuotaFileSystem&) = delete;
    QuotaFileSystem& operator=(const QuotaFileSystem&) = delete;

    // A subvolume of its own, which has the quota.
    [[nodiscard]] std::string data_folder() const { return mount_point() + "/data"; }
    void set_quota(std::size_t bytes) {
        const std::string wrong = run(limit_to(bytes));
        REQUIRE_MESSAGE(wrong.empty(), wrong);
    }

  private:
    using Command = std::vector<std::string>;

    QuotaFileSystem() = default;
    [[nodiscard]] std::string mount_point() const { return folder_.path() + "/mounted"; }
    [[nodiscard]] Command limit_to(std::size_t bytes) const {
        return {"btrfs", "qgroup", "limit", std::to_string(bytes), data_folder()};
    }
    // Empty, or what went wrong.
    std::string make(std::size_t quota_bytes) {
        // What is mounted from now on is seen by this process and its children only.
        if (::unshare(CLONE_NEWNS) != 0 ||
            ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
            return std::strerror(errno);
        }
        const std::string image = folder_.path() + "/image";
        std::ofstream(image).close();
        std::filesystem::resize_file(image, btrfs_bytes);
        std::filesystem::create_directory(mount_point());
        const Command commands[] = {
            {"mkfs.btrfs", "-q", image},
            {"mount", "-t", "btrfs", "-o", "loop", image, mount_point()},
            {"btrfs", "quota", "enable", mount_point()},
            {"btrfs", "subvolume", "create", data_folder()},
            limit_to(quota_bytes),
        };
        for (const Command& command : commands) {
            if (std::string wrong = run(command); !wrong.empty()) {
                return wrong;
            }
            mounted_ = mounted_ || command.front() == "mount";
        }
        return "";
    }
    // Empty, or what it said when it failed.
    [[nodiscard]] std::string run(const Command& command) const {
        const std::string errors = folder_.path() + "/errors";
        ChildProcess process({.command = command,
                              .environment = {},
                              .descriptors = {},
                              .output_path = {},
                              .errors_path = errors});
        return process.wait() == ProcessEnd{0, 0} ? "" : command.front() + ": " + read_file(errors);
    }

    TemporaryFolder folder_;
    bool mounted_ = false;
};

std::string body_of(std::uint64_t number) {
    std::string body = std::to_string(number);
    body.resize(body_bytes, '.');
    return body;
}

bool is_no_room(ErrorCode code) {
    return code == ErrorCode::disk_full || code == ErrorCode::journal_full;
}

// Publishes until it is refused for good, or the daemon ends. The last one that was confirmed.
std::uint64_t publish_until_no_more(DaemonProcess& daemon) {
    auto client = Client::connect(daemon.url());
    REQUIRE(client);
    auto producer = client->producer("orders");
    REQUIRE(producer);
    std::uint64_t confirmed = 0;
    bool full = false;
    (void)eventually([&] {
        auto published = producer->publish(body_of(confirmed + 1));
        for (; published; published = producer->publish(body_of(confirmed + 1))) {
            ++confirmed;
        }
        if (!client->connected()) {
            return true;  // the daemon ended: the journal could not be written
        }
        const Error& error = published.error();
        REQUIRE_MESSAGE(is_no_room(error.code), error.text);
        full = error.code == ErrorCode::disk_full;
        return full || !producer->resume();
    });
    MESSAGE(confirmed, " messages confirmed; then ",
            std::string(full ? "publishes were refused" : "the daemon ended"));
    return confirmed;
}

}  // namespace

TEST_CASE(
    "quota: when it is used up, publishes are refused or the daemon ends, and nothing is lost") {
    constexpr std::size_t quota_bytes = 24 * mib;
    const auto disk = QuotaFileSystem::mount(quota_bytes);
    if (!disk) {
        return;
    }
    DaemonProcess daemon(MQD_BIN, {.config = small_files, .data_folder = disk->data_folder()});
    daemon.start();
    const std::uint64_t confirmed = publish_until_no_more(daemon);
    CHECK(confirmed > 500);
    if (daemon.alive()) {
        daemon.kill();
    } else {
        constexpr int journal_failed = 6;
        CHECK(daemon.wait() == ProcessEnd{journal_failed, 0});
    }
    const std::string log = daemon.errors();
    CHECK_MESSAGE(log.find("damage") == std::string::npos, log);
    // A start has to write a little. Where that is refused too, it says so and calls it no damage.
    daemon.launch();
    if (!daemon.wait_serving()) {
        const std::string start_log = daemon.errors();
        CHECK_MESSAGE(start_log.find("EDQUOT") != std::string::npos, start_log);
        CHECK_MESSAGE(start_log.find("damage") == std::string::npos, start_log);
    }
    daemon.kill();
    // Somebody raises the quota.
    disk->set_quota(3 * quota_bytes);
    daemon.start();
    auto client = Client::connect(daemon.url());
    REQUIRE(client);
    auto producer = client->producer("orders");
    REQUIRE(producer);
    REQUIRE(producer->publish("there is room again"));
    auto consumer = client->consumer("orders");
    REQUIRE(consumer);
    // One more may be there: written, and never confirmed.
    std::uint64_t number = 1;
    for (bool ended = false; !ended;) {
        const auto message = consumer->receive(patience);
        REQUIRE(message);
        REQUIRE(message->has_value());
        REQUIRE(consumer->ack((*message)->number));
        ended = (*message)->body == "there is room again";
        if (!ended) {
            CAPTURE(number);
            REQUIRE((*message)->body == body_of(number));
            ++number;
        }
    }
    CHECK(number > confirmed);
    CHECK(number <= confirmed + 2);
}

}  // namespace mqd::test
