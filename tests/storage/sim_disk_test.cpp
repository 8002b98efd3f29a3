// The simulated disk is the judge of everything else here, so it is tried itself.

#include "support/sim_disk.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <set>

#include "daemon/storage/block_memory.hpp"

namespace mqd::test {
namespace {

using storage::BlockMemory;
using storage::File;
using storage::OpenMode;

constexpr std::size_t block = storage::block_bytes;

class DiskFixture {
  public:
    std::unique_ptr<File> file(OpenMode mode) {
        auto opened = disk.open("a", mode);
        REQUIRE(opened.has_value());
        return std::move(*opened);
    }
    void write(File& to, std::uint64_t at, std::size_t count, unsigned value) {
        const std::vector<std::byte> bytes(count, static_cast<std::byte>(value));
        REQUIRE(to.write(at, bytes).has_value());
    }
    unsigned seen(OpenMode mode, std::size_t at) {
        BlockMemory memory(4 * block);
        const auto opened = file(mode);
        REQUIRE(opened->read(0, memory.bytes()).has_value());
        return std::to_integer<unsigned>(memory.bytes()[at]);
    }
    // A durable file of four blocks of 1.
    void make_durable() {
        disk.load({});
        const auto created = file(OpenMode::create);
        write(*created, 0, 4 * block, 1);
        REQUIRE(created->sync().has_value());
        REQUIRE(disk.sync_directory().has_value());
    }

    SimDisk disk;
};

TEST_CASE_FIXTURE(DiskFixture, "sim disk: what was synced stays, what was not may go sector-wise") {
    std::set<unsigned> outcomes;
    bool mixed = false;
    for (std::uint64_t seed = 1; seed <= 100; ++seed) {
        make_durable();
        const auto opened = file(OpenMode::read_write);
        write(*opened, 0, block, 2);
        CHECK(seen(OpenMode::read_write, 0) == 2);
        CHECK(seen(OpenMode::read_direct, 0) == 2);
        disk.crash(seed);
        const auto& contents = disk.contents("a");
        REQUIRE(contents.size() == 4 * block);
        CHECK(contents[block] == std::byte{1});
        for (std::size_t at = 0; at < block; at += SimDisk::sector_bytes) {
            outcomes.insert(std::to_integer<unsigned>(contents[at]));
            mixed = mixed || contents[at] != contents[0];
        }
    }
    CHECK(outcomes.contains(1));
    CHECK(outcomes.contains(2));
    CHECK(outcomes.size() > 2);  // spoiled
    CHECK(mixed);
}

TEST_CASE_FIXTURE(DiskFixture, "sim disk: unsynced writes reach the disk in any order") {
    std::set<unsigned> outcomes;
    for (std::uint64_t seed = 1; seed <= 50; ++seed) {
        make_durable();
        const auto opened = file(OpenMode::read_write);
        write(*opened, 0, 512, 2);
        write(*opened, 0, 512, 3);
        disk.crash(seed, {100, 0});
        outcomes.insert(std::to_integer<unsigned>(disk.contents("a")[0]));
    }
    CHECK(outcomes == std::set<unsigned>{2, 3});
}

TEST_CASE_FIXTURE(DiskFixture, "sim disk: a name that was not synced may be gone, or may not") {
    std::set<bool> created;
    std::set<bool> removed;
    for (std::uint64_t seed = 1; seed <= 50; ++seed) {
        disk.load({});
        write(*file(OpenMode::create), 0, block, 1);
        disk.crash(seed);
        created.insert(disk.exists("a"));
        make_durable();
        REQUIRE(disk.remove("a").has_value());
        CHECK_FALSE(disk.exists("a"));
        disk.crash(seed);
        removed.insert(!disk.exists("a"));
    }
    CHECK(created.size() == 2);
    CHECK(removed.size() == 2);
}

TEST_CASE_FIXTURE(DiskFixture,
                  "sim disk: a link is the same file, and its name no safer than others") {
    std::set<bool> linked;
    for (std::uint64_t seed = 1; seed <= 50; ++seed) {
        make_durable();
        const std::uint64_t used = disk.used();
        REQUIRE(disk.link("a", "b").has_value());
        CHECK(disk.link("a", "b").error().os_errno == EEXIST);
        CHECK(disk.link("c", "d").error().os_errno == ENOENT);
        CHECK(disk.used() == used);
        write(*file(OpenMode::read_write), 0, block, 2);
        CHECK(disk.contents("b")[0] == std::byte{2});
        REQUIRE(disk.remove("a").has_value());
        CHECK(disk.used() == used);
        disk.crash(seed);
        linked.insert(disk.exists("b"));
    }
    CHECK(linked.size() == 2);
}

TEST_CASE_FIXTURE(DiskFixture, "sim disk: a killed process loses nothing but its open files") {
    make_durable();
    const auto opened = file(OpenMode::read_write);
    write(*opened, 0, block, 2);
    disk.kill();
    CHECK(seen(OpenMode::read_direct, 0) == 2);
    const std::vector<std::byte> bytes(1);
    CHECK(opened->write(0, bytes).error().os_errno == EIO);
    CHECK(opened->sync().error().os_errno == EIO);
}

TEST_CASE_FIXTURE(DiskFixture,
                  "sim disk: after a failed sync the page cache lies, the disk does not") {
    bool lied = false;
    for (int i = 0; i < 20; ++i) {
        make_durable();
        const auto opened = file(OpenMode::read_write);
        write(*opened, 0, 512, 2);
        disk.fail(SimDisk::Call::sync, {1, false});
        CHECK_FALSE(opened->sync().has_value());
        CHECK(opened->sync().has_value());
        CHECK(seen(OpenMode::read_write, 0) == 2);
        lied = lied || seen(OpenMode::read_direct, 0) == 1;
    }
    CHECK(lied);
}

TEST_CASE_FIXTURE(DiskFixture, "sim disk: it is full at its capacity, not before") {
    make_durable();
    const auto opened = file(OpenMode::read_write);
    disk.set_capacity(6 * block);
    CHECK(opened->allocate(6 * block).has_value());
    CHECK(opened->allocate(6 * block + 1).error().code == ErrorCode::no_space);
    const std::vector<std::byte> bytes(2);
    CHECK(opened->write(6 * block - 1, bytes).error().os_errno == ENOSPC);
    REQUIRE(disk.remove("a").has_value());
    CHECK(disk.used() == 0);
}

TEST_CASE_FIXTURE(DiskFixture, "sim disk: the n-th call fails, once or from then on") {
    make_durable();
    const auto opened = file(OpenMode::read_write);
    const std::vector<std::byte> bytes(512);
    disk.fail(SimDisk::Call::write, {2, false});
    CHECK(opened->write(0, bytes).has_value());
    CHECK_FALSE(opened->write(0, bytes).has_value());
    CHECK(opened->write(0, bytes).has_value());
    disk.fail(SimDisk::Call::write, {1, true, ENOSPC});
    CHECK(opened->write(0, bytes).error().code == ErrorCode::no_space);
    CHECK_FALSE(opened->write(0, bytes).has_value());
    disk.heal();
    CHECK(opened->write(0, bytes).has_value());
}

TEST_CASE_FIXTURE(DiskFixture,
                  "sim disk: when power fails, nothing answers until the crash is over") {
    make_durable();
    const auto opened = file(OpenMode::read_write);
    const std::vector<std::byte> bytes(512, std::byte{2});
    disk.power_off_at(2);
    CHECK(opened->write(0, bytes).has_value());
    CHECK_FALSE(opened->sync().has_value());
    CHECK_FALSE(disk.list().has_value());
    disk.crash(1, {100, 0});
    CHECK(disk.contents("a")[0] == std::byte{2});
    CHECK(disk.list().has_value());
}

TEST_CASE_FIXTURE(DiskFixture, "sim disk: one process has the lock, and a crash frees it") {
    const auto lock = disk.lock();
    REQUIRE(lock.has_value());
    CHECK(disk.lock().error().code == ErrorCode::locked);
    disk.crash(1);
    CHECK(disk.lock().has_value());
}

}  // namespace
}  // namespace mqd::test
