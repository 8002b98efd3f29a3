#include "daemon/storage/snapshot.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cerrno>

#include "daemon/storage/block_memory.hpp"
#include "support/sim_disk.hpp"

namespace mqd::storage::test {
namespace {

using mqd::test::SimDisk;
using How = SnapshotSource::How;
using Call = SimDisk::Call;

constexpr std::uint64_t big = 2 * Snapshot::copy_bytes_max + 3 * block_bytes;

SimDisk::Bytes pattern(std::size_t bytes) {
    SimDisk::Bytes content(bytes);
    for (std::size_t i = 0; i < bytes; ++i) {
        content[i] = static_cast<std::byte>(i / 4096 + i % 251);
    }
    return content;
}

struct SnapshotFixture {
    SnapshotFixture() {
        disk.put("journal-0001", pattern(big + 5 * block_bytes));
        disk.put("segment-000001", pattern(10'000));
        disk.put("segment-000002", pattern(5));
        sources = {{"segment-000001", How::link, 0},
                   {"segment-000002", How::link, 0},
                   {"journal-0001", How::copy, big}};
    }
    // To its end, or to the first error.
    static Result<void> take(Snapshot& snapshot) {
        while (!snapshot.taken()) {
            if (auto some = snapshot.take_some(); !some) {
                return some.error();
            }
        }
        return {};
    }
    static void remove(Snapshot& snapshot) {
        for (;;) {
            const auto removed = snapshot.remove_some();
            REQUIRE_MESSAGE(removed.has_value(), removed.error().text);
            if (*removed) {
                return;
            }
        }
    }
    static SimDisk::Bytes read_all(Snapshot& snapshot, std::size_t index) {
        SimDisk::Bytes bytes;
        BlockMemory memory(64 * block_bytes);
        while (bytes.size() < snapshot.files()[index].bytes) {
            const auto count = snapshot.read(index, bytes.size(), memory.bytes());
            REQUIRE_MESSAGE(count.has_value(), count.error().text);
            const auto read = memory.bytes().first(*count);
            bytes.insert(bytes.end(), read.begin(), read.end());
        }
        return bytes;
    }
    [[nodiscard]] std::size_t left() const {
        const SimDisk::Image image = disk.image();
        return static_cast<std::size_t>(std::count_if(
            image.begin(), image.end(),
            [](const auto& file) { return file.first.starts_with(snapshot_prefix); }));
    }

    SimDisk disk;
    std::vector<SnapshotSource> sources;
};

TEST_CASE_FIXTURE(SnapshotFixture, "snapshot: it has what there was, whatever comes later") {
    Snapshot snapshot(disk, sources);
    REQUIRE(take(snapshot).has_value());
    CHECK(snapshot.files().size() == 3);
    REQUIRE(disk.remove("segment-000001").has_value());
    auto file = disk.open("segment-000002", OpenMode::read_write);
    REQUIRE((*file)->write(5, pattern(20'000)).has_value());  // appended
    disk.fill("journal-0001", 0, big, std::byte{0});          // recycled
    CHECK(read_all(snapshot, 0) == pattern(10'000));
    CHECK(read_all(snapshot, 1) == pattern(5));
    CHECK(read_all(snapshot, 2) == pattern(big));
    remove(snapshot);
    CHECK(left() == 0);
    CHECK(disk.exists("journal-0001"));
    CHECK(disk.exists("segment-000002"));
}

TEST_CASE_FIXTURE(SnapshotFixture, "snapshot: a copy that somebody cuts short is an error") {
    Snapshot snapshot(disk, sources);
    REQUIRE(take(snapshot).has_value());
    CHECK(snapshot.take_some().value() == 3);  // all of it is there already
    disk.put(std::string(snapshot_prefix) + "segment-000001", pattern(10));
    BlockMemory memory(4 * block_bytes);
    const auto read = snapshot.read(0, 0, memory.bytes());
    REQUIRE_FALSE(read.has_value());
    CHECK(read.error().text.find("segment-000001") != std::string::npos);
}

TEST_CASE_FIXTURE(SnapshotFixture, "snapshot: it is taken and removed in bounded pieces") {
    for (std::size_t number = 3; number <= 100; ++number) {
        const std::string name = "segment-" + std::to_string(number);
        disk.put(name, pattern(1));
        sources.insert(sources.begin(), {name, How::link, 0});
    }
    Snapshot snapshot(disk, sources);
    std::vector<std::size_t> there;
    while (!snapshot.taken()) {
        const std::uint64_t used = disk.used();
        const std::uint64_t before = snapshot.files().size();
        there.push_back(snapshot.take_some().value());
        CHECK(there.back() - before <= Snapshot::names_max);
        CHECK(disk.used() - used <= big);  // its space is taken at once, and filled in pieces
    }
    CHECK(there == std::vector<std::size_t>{32, 64, 96, 100, 100, 100, 101});
    for (const std::size_t expected : {101 - 32, 101 - 64, 101 - 96, 0}) {
        CHECK(snapshot.remove_some().value() == (expected == 0));
        CHECK(left() == expected);
    }
}

TEST_CASE_FIXTURE(SnapshotFixture, "snapshot: what fails leaves nothing behind") {
    for (const Call call :
         {Call::list, Call::open, Call::link, Call::allocate, Call::read, Call::write}) {
        CAPTURE(static_cast<int>(call));
        for (std::uint64_t nth = 1; nth <= 8; ++nth) {
            Snapshot snapshot(disk, sources);
            disk.fail(call, {nth, false, EMFILE});
            const auto taken = take(snapshot);
            CHECK((taken.has_value() || taken.error().os_errno == EMFILE));
            disk.heal();
            remove(snapshot);
            CHECK(left() == 0);
        }
    }
    Snapshot snapshot(disk, sources);
    disk.set_capacity(disk.used() + big - 1);
    const auto taken = take(snapshot);
    REQUIRE_FALSE(taken.has_value());
    CHECK(taken.error().code == ErrorCode::no_space);
    remove(snapshot);
    CHECK(left() == 0);
}

TEST_CASE_FIXTURE(SnapshotFixture, "snapshot: a source that is missing or short is an error") {
    for (const auto& [name, bytes] : {std::pair("segment-000002", 0), {"journal-0001", 4096}}) {
        const SimDisk::Image before = disk.image();
        Snapshot snapshot(disk, sources);
        disk.truncate(name, static_cast<std::uint64_t>(bytes));
        if (bytes == 0) {
            disk.erase(name);
        }
        const auto taken = take(snapshot);
        REQUIRE_FALSE(taken.has_value());
        CHECK(taken.error().text.find(name) != std::string::npos);
        disk.load(before);
    }
}

TEST_CASE_FIXTURE(SnapshotFixture, "snapshot: what an earlier one left is removed first") {
    Snapshot lost(disk, sources);
    REQUIRE(take(lost).has_value());
    disk.put("backup.segment-000009", {});
    Snapshot snapshot(disk, sources);
    REQUIRE(take(snapshot).has_value());
    CHECK(left() == 3);
    REQUIRE(remove_left_snapshot(disk).has_value());
    CHECK(left() == 0);
    CHECK(disk.image().size() == 3);
}

}  // namespace
}  // namespace mqd::storage::test
