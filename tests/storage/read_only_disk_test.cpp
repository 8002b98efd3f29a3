#include "daemon/storage/read_only_disk.hpp"

#include <doctest/doctest.h>

#include <array>
#include <filesystem>

#include "daemon/storage/posix_disk.hpp"
#include "support/daemon_process.hpp"
#include "support/sim_disk.hpp"

namespace mqd::storage::test {
namespace {

TEST_CASE("read-only disk: reads anything, from any offset, and changes nothing") {
    mqd::test::SimDisk below;
    mqd::test::SimDisk::Bytes bytes(10'000);
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        bytes[i] = static_cast<std::byte>(i % 251);
    }
    below.put("a", bytes);
    const std::uint64_t changes = below.changes();
    ReadOnlyDisk disk(below);
    for (const OpenMode mode : {OpenMode::read_write, OpenMode::read_direct}) {
        auto file = disk.open("a", mode);
        REQUIRE(file.has_value());
        CHECK(*(*file)->size() == bytes.size());
        for (const std::size_t offset : {0u, 1u, 4095u, 4096u, 4097u, 9'999u, 10'000u, 20'000u}) {
            std::vector<std::byte> read(5'000);
            const auto count = (*file)->read(offset, read);
            REQUIRE(count.has_value());
            CHECK(*count == std::min(read.size(), bytes.size() - std::min(offset, bytes.size())));
            CHECK(std::equal(
                read.begin(), read.begin() + static_cast<std::ptrdiff_t>(*count),
                bytes.begin() + static_cast<std::ptrdiff_t>(std::min(offset, bytes.size()))));
        }
        CHECK_FALSE((*file)->write(0, bytes).has_value());
        CHECK_FALSE((*file)->write_for_sync(0, bytes).has_value());
        CHECK_FALSE((*file)->sync().has_value());
        CHECK_FALSE((*file)->allocate(20'000).has_value());
    }
    CHECK_FALSE(disk.open("b", OpenMode::create).has_value());
    CHECK_FALSE(disk.remove("a").has_value());
    CHECK_FALSE(disk.link("a", "b").has_value());
    CHECK_FALSE(disk.sync_directory().has_value());
    CHECK(below.changes() == changes);
    CHECK(below.contents("a") == bytes);
}

TEST_CASE("read-only disk: to look takes the lock where there is one, and makes none") {
    const mqd::test::TemporaryFolder folder;
    const auto one = PosixDisk::open(folder.path());
    const auto other = PosixDisk::open(folder.path());
    REQUIRE(one.has_value());
    REQUIRE(other.has_value());
    CHECK((*one)->lock_to_look().has_value());
    CHECK(std::filesystem::is_empty(folder.path()));
    {
        const auto held = (*one)->lock();
        REQUIRE(held.has_value());
        const auto refused = (*other)->lock_to_look();
        REQUIRE_FALSE(refused.has_value());
        CHECK(refused.error().code == ErrorCode::locked);
    }
    const auto looking = (*other)->lock_to_look();
    REQUIRE(looking.has_value());
    CHECK_FALSE((*one)->lock().has_value());
}

}  // namespace
}  // namespace mqd::storage::test
