// Every call of the daemon's disk fails once: each error is told with the file and errno, a lack of
// space apart from all others; what was interrupted or came short is gone on with; and what the
// file system does not offer is done in the second best way.

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "daemon/storage/block_memory.hpp"
#include "daemon/storage/posix_disk.hpp"
#include "storage/failing_calls.hpp"
#include "storage/journal_fixture.hpp"
#include "support/daemon_process.hpp"

namespace mqd::storage::test {
namespace {

class Failing {
  public:
    Failing() {
        auto opened = PosixDisk::open(folder.path());
        REQUIRE(opened.has_value());
        disk = std::move(*opened);
    }

    std::unique_ptr<File> file(std::string_view name, OpenMode mode = OpenMode::create) {
        auto opened = disk->open(name, mode);
        REQUIRE_MESSAGE(opened.has_value(), opened.error().text);
        return std::move(*opened);
    }
    // That error, of that file.
    template <typename T>
    void expect_error(const Result<T>& result, int os_errno, std::string_view name = "") {
        REQUIRE_FALSE(result.has_value());
        const Error& error = result.error();
        INFO(error.text);
        const bool space = os_errno == ENOSPC || os_errno == EDQUOT;
        CHECK(error.code == (space ? ErrorCode::no_space : ErrorCode::io_error));
        CHECK(error.os_errno == os_errno);
        const std::string path = name.empty() ? folder.path() : disk->path(name);
        CHECK(error.text.find(path + ": " + ::strerrorname_np(os_errno)) != std::string::npos);
    }
    [[nodiscard]] std::size_t descriptors() const {
        const auto all = std::filesystem::directory_iterator("/proc/self/fd");
        return static_cast<std::size_t>(std::distance(begin(all), end(all)));
    }

    mqd::test::TemporaryFolder folder;
    std::unique_ptr<PosixDisk> disk;
};

BlockMemory blocks_of(std::size_t count, char value) {
    BlockMemory memory(count * block_bytes);
    std::memset(memory.bytes().data(), value, memory.bytes().size());
    return memory;
}

TEST_CASE_FIXTURE(Failing, "posix disk: a quota that is used up is a lack of space, at each call") {
    const auto written = file("a");
    const BlockMemory block = blocks_of(1, 'x');
    for (const int os_errno : {ENOSPC, EDQUOT}) {
        CAPTURE(os_errno);
        {
            const FailingCall failing("openat", {.os_errno = os_errno});
            expect_error(disk->open("b", OpenMode::create), os_errno, "b");
        }
        {
            const FailingCall failing("fallocate", {.os_errno = os_errno});
            expect_error(written->allocate(100'000), os_errno, "a");
        }
        {
            const FailingCall failing("pwrite", {.os_errno = os_errno});
            expect_error(written->write(0, block.bytes()), os_errno, "a");
        }
        {
            const FailingCall failing("pwrite", {.os_errno = os_errno});
            expect_error(written->write_for_sync(0, block.bytes()), os_errno, "a");
        }
        {
            const FailingCall failing("fdatasync", {.os_errno = os_errno});
            expect_error(written->sync(), os_errno, "a");
        }
        {
            const FailingCall failing("fsync", {.os_errno = os_errno});
            expect_error(disk->sync_directory(), os_errno);
        }
    }
}

TEST_CASE_FIXTURE(Failing, "posix disk: each call that fails is told, and tried once only") {
    const auto opened = file("a");
    REQUIRE(opened->write(0, blocks_of(2, 'a').bytes()).has_value());
    BlockMemory into(2 * block_bytes);
    const auto once = [&](std::string_view name, std::string_view of, auto call) {
        CAPTURE(name);
        const FailingCall failing(name, {.os_errno = EIO, .times = 2});
        expect_error(call(), EIO, of);
        CHECK(failing.met() == 1);
    };
    once("pread", "a", [&] { return opened->read(0, into.bytes()); });
    once("pwrite", "a", [&] { return opened->write(0, into.bytes()); });
    once("fdatasync", "a", [&] { return opened->sync(); });
    once("fallocate", "a", [&] { return opened->allocate(100'000); });
    once("fstat", "a", [&] { return opened->size(); });
    once("fsync", "", [&] { return disk->sync_directory(); });
    once("openat", "a", [&] { return disk->open("a", OpenMode::read_write); });
    once("openat", "", [&] { return disk->list(); });
    once("fdopendir", "", [&] { return disk->list(); });
    once("readdir", "", [&] { return disk->list(); });
    once("openat", "lock", [&] { return disk->lock(); });
    once("flock", "lock", [&] { return disk->lock(); });
    // And nothing of it is left behind.
    CHECK(opened->read(0, into.bytes()).value() == 2 * block_bytes);
    CHECK(into.bytes().back() == std::byte{'a'});
    CHECK(disk->list().value() == std::vector<std::string>{"a", "lock"});
    CHECK(disk->lock().has_value());
}

TEST_CASE_FIXTURE(Failing, "posix disk: a call that fails keeps no descriptor") {
    static_cast<void>(file("a"));
    const std::size_t before = descriptors();
    for (const OpenMode mode : {OpenMode::create, OpenMode::read_write, OpenMode::read_direct}) {
        for (const int second : {0, 1}) {
            const FailingCall failing("openat", {.os_errno = EMFILE, .after = second});
            const std::string_view name = mode == OpenMode::create ? "b" : "a";
            expect_error(disk->open(name, mode), EMFILE, name);
        }
    }
    for (const std::string_view name : {"fdopendir", "readdir"}) {
        const FailingCall failing(name, {.os_errno = ENOMEM});
        expect_error(disk->list(), ENOMEM);
    }
    {
        const FailingCall failing("flock", {.os_errno = ENOLCK});
        expect_error(disk->lock(), ENOLCK, "lock");
    }
    CHECK(descriptors() == before);
    // Not even the file that was to be made.
    CHECK(disk->list().value() == std::vector<std::string>{"a", "lock"});
}

TEST_CASE_FIXTURE(Failing, "posix disk: what a signal interrupts is done again") {
    const auto opened = file("a");
    const BlockMemory block = blocks_of(1, 'x');
    BlockMemory into(block_bytes);
    const auto interrupted = [&](std::string_view name, auto call) {
        CAPTURE(name);
        const FailingCall failing(name, {.os_errno = EINTR, .times = 3});
        CHECK(call().has_value());
        CHECK(failing.met() == 3);
    };
    interrupted("pwrite", [&] { return opened->write(0, block.bytes()); });
    interrupted("pwrite", [&] { return opened->write_for_sync(0, block.bytes()); });
    interrupted("fdatasync", [&] { return opened->sync(); });
    interrupted("fallocate", [&] { return opened->allocate(2 * block_bytes); });
    interrupted("pread", [&] { return opened->read(0, into.bytes()); });
    CHECK(into.bytes().back() == std::byte{'x'});
    interrupted("openat", [&] { return disk->open("a", OpenMode::read_direct); });
    interrupted("openat", [&] { return disk->list(); });
    interrupted("fsync", [&] { return disk->sync_directory(); });
    interrupted("flock", [&] { return disk->lock(); });
    interrupted("openat", [&] { return disk->lock(); });
}

TEST_CASE_FIXTURE(Failing, "posix disk: a read that comes short goes on, on the grid and off it") {
    const auto opened = file("a");
    BlockMemory written(4 * block_bytes);
    for (std::size_t i = 0; i < written.bytes().size(); ++i) {
        written.bytes()[i] = static_cast<std::byte>(i / 100);
    }
    REQUIRE(opened->write(0, written.bytes()).has_value());
    for (const long most : {long{block_bytes}, 100L, 5'000L}) {
        CAPTURE(most);
        const FailingCall failing("pread", {.most = most, .times = 3});
        BlockMemory into(4 * block_bytes);
        CHECK(file("a", OpenMode::read_write)->read(0, into.bytes()).value() == 4 * block_bytes);
        CHECK(std::equal(into.bytes().begin(), into.bytes().end(), written.bytes().begin()));
        CHECK(failing.met() == 3);
    }
}

// What is written off the grid goes through the page cache, as O_DIRECT would refuse it.
TEST_CASE_FIXTURE(Failing, "posix disk: a write that comes short goes on, on the grid and off it") {
    const auto opened = file("a");
    REQUIRE(opened->allocate(4 * block_bytes).has_value());
    for (const bool for_sync : {false, true}) {
        for (const long most : {long{block_bytes}, 100L}) {
            CAPTURE(for_sync);
            CAPTURE(most);
            REQUIRE(opened->write(0, blocks_of(4, '.').bytes()).has_value());
            const BlockMemory written = blocks_of(4, 'x');
            const FailingCall failing("pwrite", {.most = most});
            CHECK((for_sync ? opened->write_for_sync(0, written.bytes())
                            : opened->write(0, written.bytes()))
                      .has_value());
            CHECK(failing.met() == 1);
            // The test's system took nothing of the short one: from there on all is as written.
            BlockMemory into(4 * block_bytes);
            REQUIRE(opened->read(0, into.bytes()).value() == 4 * block_bytes);
            CHECK(into.bytes()[static_cast<std::size_t>(most) - 1] == std::byte{'.'});
            CHECK(into.bytes()[static_cast<std::size_t>(most)] == std::byte{'x'});
            CHECK(into.bytes().back() == std::byte{'x'});
        }
    }
}

TEST_CASE_FIXTURE(Failing,
                  "posix disk: a write that takes nothing is an error, and no endless loop") {
    const auto opened = file("a");
    const FailingCall failing("pwrite", {.most = 0, .times = 2});
    expect_error(opened->write(0, blocks_of(1, 'x').bytes()), EIO, "a");
    CHECK(failing.met() == 1);
}

TEST_CASE_FIXTURE(Failing,
                  "posix disk: a file system without O_DIRECT is served by the page cache") {
    const auto created = file("a");
    REQUIRE(created->write(0, blocks_of(2, 'a').bytes()).has_value());
    for (const int os_errno : {EINVAL, EOPNOTSUPP}) {
        CAPTURE(os_errno);
        for (const OpenMode mode : {OpenMode::read_write, OpenMode::read_direct}) {
            std::unique_ptr<File> opened;
            {
                const FailingCall failing("openat", {.os_errno = os_errno, .after = 1});
                opened = file("a", mode);
                CHECK(failing.met() == 1);
            }
            BlockMemory into(2 * block_bytes);
            CHECK(opened->read(0, into.bytes()).value() == 2 * block_bytes);
            CHECK(into.bytes().back() == std::byte{'a'});
            if (mode == OpenMode::read_write) {
                CHECK(opened->write_for_sync(0, blocks_of(2, 'a').bytes()).has_value());
            }
        }
        // To read what the disk has, what is in the page cache only has to go there first.
        const FailingCall no_direct("openat", {.os_errno = os_errno, .after = 1});
        const FailingCall no_sync("fdatasync", {.os_errno = EIO});
        expect_error(disk->open("a", OpenMode::read_direct), EIO, "a");
    }
}

TEST_CASE_FIXTURE(Failing, "posix disk: where nothing can be reserved, the file is made long") {
    const auto opened = file("a");
    const FailingCall failing("fallocate", {.os_errno = EOPNOTSUPP});
    REQUIRE(opened->allocate(100'000).has_value());
    CHECK(opened->size().value() == 100'000);
}

// O_DIRECT takes whole blocks from whole blocks; everything else has to find its way by itself.
TEST_CASE_FIXTURE(Failing,
                  "posix disk: what is on no block boundary is written and read all the same") {
    const auto opened = file("a");
    BlockMemory memory = blocks_of(3, 'x');
    const auto off = memory.bytes().subspan(1, block_bytes);
    REQUIRE(opened->allocate(4 * block_bytes).has_value());
    CHECK(opened->write_for_sync(0, off).has_value());
    CHECK(opened->write_for_sync(1, memory.bytes().first(block_bytes)).has_value());
    CHECK(opened->write_for_sync(block_bytes, memory.bytes().first(100)).has_value());
    BlockMemory into(4 * block_bytes);
    CHECK(opened->read(0, into.bytes().subspan(1, 2 * block_bytes)).value() == 2 * block_bytes);
    CHECK(into.bytes()[1] == std::byte{'x'});
    CHECK(into.bytes()[block_bytes + 100] == std::byte{'x'});
    CHECK(into.bytes()[block_bytes + 101] == std::byte{0});
}

// Some file systems let numbers of the kernel's own out: NFS 524, for one.
TEST_CASE_FIXTURE(Failing, "posix disk: an error number that has no name is told as a number") {
    const auto opened = file("a");
    const FailingCall failing("fdatasync", {.os_errno = 524});
    const auto synced = opened->sync();
    REQUIRE_FALSE(synced.has_value());
    CHECK(synced.error().os_errno == 524);
    CHECK(synced.error().text == "cannot sync " + disk->path("a") + ": errno 524");
}

}  // namespace
}  // namespace mqd::storage::test
