// Groups that are larger than what is read at once, and that lie across its borders.

#include <cerrno>

#include "daemon/storage/recovery.hpp"
#include "storage/journal_fixture.hpp"

namespace mqd::storage::test {
namespace {

constexpr std::uint64_t mib = 1024 * 1024;

std::string body_of(std::size_t bytes, std::uint64_t seed) {
    Dice dice(seed);
    std::string body(bytes, '.');
    for (std::size_t at = 0; at < bytes; at += 4'000) {
        body[at] = static_cast<char>('a' + dice.below(26));
    }
    return body;
}

class LargeGroups : public JournalFixture {
  public:
    LargeGroups() {
        options.file_bytes = 32 * mib;
        options.bytes_max = 4 * options.file_bytes;
        open();
        // 4 MiB are read at once: so some lie across that, one takes all of it, one takes more.
        for (const std::size_t bytes :
             {3 * mib, 2 * mib, 4 * mib, mib, 7 * mib, std::uint64_t{10}, 3 * mib, 6 * mib}) {
            bodies_published.push_back(body_of(bytes, bodies_published.size() + 1));
            commit(bodies_published.back());
        }
        CHECK(journal->current_file() == FileOrdinal(1));
        end();
    }
    // Each read of the disk fails once. How many there are.
    template <typename Start>
    std::uint64_t fail_each_read(Start start) {
        for (std::uint64_t nth = 1;; ++nth) {
            CAPTURE(nth);
            disk.fail(SimDisk::Call::read, {nth, false, EIO});
            const Result<void> started = start();
            disk.heal();
            if (started) {
                return nth - 1;
            }
            CHECK(started.error().code == ErrorCode::io_error);
            CHECK(started.error().os_errno == EIO);
        }
    }
    std::vector<std::string> bodies_published;
};

TEST_CASE_FIXTURE(LargeGroups, "journal reader: groups of any size come back whole") {
    open();
    std::vector<std::string> found;
    for (const Replayed& group : replayed) {
        if (group.kind == GroupKind::records) {
            found.push_back(group.body);
        }
    }
    CHECK(found.size() == bodies_published.size());
    CHECK((found == bodies_published));
}

TEST_CASE_FIXTURE(LargeGroups, "journal reader: a read that fails is told, wherever it falls") {
    CHECK(fail_each_read([&] { return try_open(); }) > 8);
}

TEST_CASE_FIXTURE(LargeGroups, "journal reader: so is one that fails in a look behind a hole") {
    // The largest one: to find the next header takes more than one read.
    const std::string name = file_of(1);
    const auto found = places(name);
    const Place torn = std::next(found.begin(), 5)->second;
    REQUIRE(torn.bytes > 7 * mib);
    disk.flip(name, 8 * (torn.offset + offsetof(GroupHeader, sequence)));
    std::size_t groups = 0;
    CHECK(fail_each_read([&]() -> Result<void> {
              groups = 0;
              const auto recovered = recover_journal(
                  disk,
                  [&](const GroupView&) -> Result<void> {
                      ++groups;
                      return {};
                  },
                  [](const Damage&) -> Result<void> { return {}; });
              return recovered ? Result<void>() : recovered.error();
          }) > 8);
    CHECK(groups == found.size() - 1);
}

}  // namespace
}  // namespace mqd::storage::test
