// A store that was written once and is read for ever: an older journal always opens. What is in it
// is known by rule, so nothing else need be kept.
//
// A new format version gets an example of its own, written by the skipped case below:
//   MQD_STORED=tests/storage/stored/v2 mqd_storage_test --no-skip --test-case='stored journal:
//   write*'

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "storage/journal_fixture.hpp"

namespace mqd::storage::test {
namespace {

constexpr std::uint64_t last_stored = 21;

// The body of a group of the example, by its sequence; state groups and seals have their own.
std::string stored_body(std::uint64_t sequence) {
    std::string body = "group " + std::to_string(sequence) + ' ';
    for (std::uint64_t i = 0; i < sequence * 530; ++i) {
        body += static_cast<char>('a' + (i * sequence) % 26);
    }
    return body;
}

std::map<std::string, SimDisk::Bytes> load(const std::filesystem::path& directory) {
    std::map<std::string, SimDisk::Bytes> image;
    for (const auto& entry : std::filesystem::directory_iterator(directory)) {
        std::ifstream file(entry.path(), std::ios::binary);
        const std::string bytes{std::istreambuf_iterator<char>(file), {}};
        const auto all = std::as_bytes(std::span<const char>(bytes));
        image[entry.path().filename()] = {all.begin(), all.end()};
    }
    return image;
}

void check_stored(const JournalFixture& store) {
    const std::vector<Replayed>& replayed = store.replayed;
    REQUIRE_FALSE(replayed.empty());
    CHECK(replayed.front().kind == GroupKind::state);
    CHECK(replayed.front().body == JournalFixture::state_text(replayed.front().sequence - 1));
    CHECK(replayed.front().file == 2);
    std::uint64_t records = 0;
    for (const Replayed& group : replayed) {
        if (group.kind == GroupKind::records) {
            CHECK(group.body == stored_body(group.sequence));
            ++records;
        }
    }
    CHECK(records >= 7);
    CHECK(replayed.back().sequence == last_stored);
    CHECK(replayed.back().kind == GroupKind::clean_stop);
    CHECK(store.journal->recovery().clean);
    CHECK(store.journal->recovery().last_time.journal_ns ==
          2 * store.journal->recovery().last_time.wall_ns);
}

TEST_CASE_FIXTURE(JournalFixture, "stored journal: version 1 opens and goes on") {
    disk.load(load("tests/storage/stored/v1"));
    open();
    check_stored(*this);
    CHECK(journal->last() == Sequence(last_stored));
    durable = written = journal->last();
    commit("and on");
    restart();
    CHECK(replayed.back().body == "and on");
    CHECK(replayed.back().sequence == last_stored + 1);
}

TEST_CASE_FIXTURE(JournalFixture, "stored journal: write a new example" * doctest::skip()) {
    const char* directory = std::getenv("MQD_STORED");
    REQUIRE(directory != nullptr);
    options.salt_seed = 0x6D71645F73746F72;
    wall_ns = 1'700'000'000'000'000'000;
    open();
    run_all();
    while (journal->last().value() + 1 < last_stored) {
        // Its sequence, if it does not begin a file; else that of its state group.
        std::string body = stored_body(journal->last().value() + 1);
        if (journal->needs_new_file(group_file_bytes(body.size()))) {
            body = stored_body(journal->last().value() + 2);
        }
        commit(body);
        if (journal->current_file() == FileOrdinal(2) && file_of(1) != "") {
            journal->file_emptied(FileOrdinal(1));
        }
    }
    commit("", true, GroupKind::clean_stop);
    restart();
    check_stored(*this);
    end();
    std::filesystem::create_directories(directory);
    for (const auto& [name, contents] : disk.image()) {
        std::ofstream file(std::filesystem::path(directory) / name, std::ios::binary);
        file.write(reinterpret_cast<const char*>(contents.data()),
                   static_cast<std::streamsize>(contents.size()));
        REQUIRE(file.good());
    }
}

}  // namespace
}  // namespace mqd::storage::test
