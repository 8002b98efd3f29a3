// Groups that are larger than what is read at once, and that lie across its borders.

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

TEST_CASE_FIXTURE(JournalFixture, "journal reader: groups of any size come back whole") {
    options.file_bytes = 32 * mib;
    options.bytes_max = 4 * options.file_bytes;
    open();
    run_all();
    std::vector<std::string> expected;
    // 4 MiB are read at once: so some lie across that, one takes all of it, one takes more.
    for (const std::size_t bytes :
         {3 * mib, 2 * mib, 4 * mib, mib, 7 * mib, std::size_t{10}, 3 * mib, 6 * mib}) {
        expected.push_back(body_of(bytes, expected.size() + 1));
        commit(expected.back());
    }
    CHECK(journal->current_file() == FileOrdinal(1));
    restart();
    std::vector<std::string> found;
    for (const Replayed& group : replayed) {
        if (group.kind == GroupKind::records) {
            found.push_back(group.body);
        }
    }
    CHECK(found.size() == expected.size());
    CHECK((found == expected));
}

}  // namespace
}  // namespace mqd::storage::test
