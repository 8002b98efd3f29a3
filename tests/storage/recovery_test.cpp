// Every row of the verdict table, and that a crash during recovery is harmless.

#include "daemon/storage/recovery.hpp"

#include "daemon/storage/block_memory.hpp"

#include "storage/journal_fixture.hpp"

namespace mqd::storage::test {
namespace {

// Three files: 1 and 2 full, 3 with a few groups, sealed.
class RecoveryFixture : public JournalFixture {
  public:
    RecoveryFixture() {
        open();
        run_all();
        commit_into_file(3);
        commit("four", true);
        commit(std::string(9000, 'b'), true);
        seal();
        end();
    }
    // Offset of the n-th group from the end of file 3; 1: the last.
    [[nodiscard]] Place from_end(std::size_t n) const {
        const auto found = places(file_of(3));
        REQUIRE(found.size() >= n);
        return std::prev(found.end(), static_cast<std::ptrdiff_t>(n))->second;
    }
    void expect_verdict(char row) {
        CHECK_MESSAGE(journal->recovery().verdict.substr(0, 2) == std::string{row} + ':',
                      journal->recovery().verdict);
    }
    // It opens, the last group is that one, and it goes on from there.
    void expect_opens(char row, std::uint64_t last) {
        open();
        expect_verdict(row);
        CHECK(journal->last() == Sequence(last));
        CHECK(journal->durable() == Sequence(last));
        expect_replayed_up_to(last);
        durable = written = Sequence(last);
        commit("goes on");
        commit("and on");
        restart();
        expect_replayed_up_to(last + 2);
        CHECK(replayed.back().body == "and on");
    }
};

TEST_CASE_FIXTURE(JournalFixture, "recovery: row A, an empty directory") {
    open();
    CHECK(journal->recovery().verdict.substr(0, 2) == "A:");
    CHECK(journal->recovery().last == Sequence(0));
    CHECK(replayed.empty());
}

TEST_CASE_FIXTURE(JournalFixture, "recovery: row A, files that were made and never begun") {
    open();
    run_all();
    restart();
    CHECK(journal->recovery().verdict.substr(0, 2) == "A:");
    CHECK(journal->figures().files == 2);
}

TEST_CASE_FIXTURE(RecoveryFixture, "recovery: row B, a clean end") {
    expect_opens('B', durable.value());
}

TEST_CASE_FIXTURE(RecoveryFixture, "recovery: row C, the last group is torn") {
    const Place last = from_end(1);
    disk.fill(file_of(3), last.offset + 70, 8, std::byte{0x55});
    expect_opens('C', durable.value() - 1);
}

TEST_CASE_FIXTURE(RecoveryFixture,
                  "recovery: row D, an unsynced group never came, a later one did") {
    open();
    commit("lost", false);
    commit("kept", false);
    end();
    const Place lost = from_end(2);
    disk.fill(file_of(3), lost.offset, static_cast<std::size_t>(lost.bytes), std::byte{0});
    expect_opens('D', durable.value());
}

TEST_CASE_FIXTURE(RecoveryFixture,
                  "recovery: row E, an unsynced group is torn, a later one is whole") {
    open();
    commit(std::string(9000, 'x'), false);
    commit("kept", false);
    end();
    const Place torn = from_end(2);
    disk.fill(file_of(3), torn.offset + block_bytes, 512, std::byte{0xFF});
    expect_opens('E', durable.value());
}

TEST_CASE_FIXTURE(RecoveryFixture, "recovery: row F, a synced group is missing") {
    const Place lost = from_end(2);
    disk.fill(file_of(3), lost.offset, static_cast<std::size_t>(lost.bytes), std::byte{0});
    const std::string text = expect_refused(ErrorCode::damaged, 'F');
    CHECK(text.find(file_of(3)) != std::string::npos);
    CHECK(text.find("offset " + std::to_string(lost.offset)) != std::string::npos);
    CHECK(text.find("group " + std::to_string(lost.header.sequence) + " ") != std::string::npos);
}

TEST_CASE_FIXTURE(RecoveryFixture, "recovery: row G, a synced group is unreadable") {
    const Place torn = from_end(2);
    disk.flip(file_of(3), 8 * (torn.offset + 100));
    expect_refused(ErrorCode::damaged, 'G');
}

TEST_CASE_FIXTURE(RecoveryFixture, "recovery: row H, a valid group out of sequence") {
    const Place last = from_end(1);
    const std::string name = file_of(3);
    BlockMemory memory(block_bytes);
    GroupHeader header = last.header;
    header.sequence += 1;
    encode_group(header, memory.bytes());
    disk.overwrite(name, last.offset, memory.bytes());
    expect_refused(ErrorCode::damaged, 'H');
}

TEST_CASE_FIXTURE(RecoveryFixture, "recovery: row I, a hole in a file that is not the last") {
    const std::string name = file_of(2);
    const auto found = places(name);
    const Place hole = std::next(found.begin(), 2)->second;
    disk.fill(name, hole.offset, 512, std::byte{0});
    const std::string text = expect_refused(ErrorCode::damaged, 'I');
    CHECK(text.find(name + " offset " + std::to_string(hole.offset)) != std::string::npos);
    CHECK(text.find("groups " + std::to_string(hole.header.sequence) + " to " +
                    std::to_string(found.rbegin()->first)) != std::string::npos);
}

TEST_CASE_FIXTURE(RecoveryFixture, "recovery: row J, a file in the middle is missing") {
    disk.erase(file_of(2));
    expect_refused(ErrorCode::damaged, 'J');
}

TEST_CASE_FIXTURE(RecoveryFixture, "recovery: row J, the oldest file is missing") {
    disk.erase(file_of(1));
    expect_refused(ErrorCode::damaged, 'J');
}

TEST_CASE_FIXTURE(RecoveryFixture, "recovery: row J, the header of the oldest file is lost") {
    disk.fill(file_of(1), 0, block_bytes, std::byte{0});
    expect_refused(ErrorCode::damaged, 'J');
}

TEST_CASE_FIXTURE(RecoveryFixture, "recovery: row J, only a spare is left of a store") {
    open();
    journal->file_emptied(FileOrdinal(1));
    commit("says so");
    end();
    disk.erase(file_of(2));
    disk.erase(file_of(3));
    expect_refused(ErrorCode::damaged, 'J');
}

TEST_CASE_FIXTURE(RecoveryFixture, "recovery: row K, one file is there twice") {
    disk.put("journal-0099", disk.contents(file_of(2)));
    expect_refused(ErrorCode::damaged, 'K');
}

TEST_CASE_FIXTURE(RecoveryFixture, "recovery: row L, the header of the last file is lost") {
    const std::string name = file_of(3);
    const SimDisk::Image image = disk.image();
    SUBCASE("zeros") {
        disk.fill(name, 0, block_bytes, std::byte{0});
    }
    SUBCASE("garbage") {
        disk.fill(name, 0, 64, std::byte{0x77});
    }
    SUBCASE("a flipped bit") {
        disk.flip(name, 200);
    }
    SUBCASE("an earlier one") {
        FileHeader stale;
        stale.state = FileState::spare;
        stale.file_bytes = small_file_bytes;
        BlockMemory block(block_bytes);
        encode_file_header(stale, block.bytes());
        disk.overwrite(name, 0, block.bytes());
    }
    const std::string text = expect_refused(ErrorCode::damaged, 'L');
    CHECK(text.find(name) != std::string::npos);
}

TEST_CASE_FIXTURE(JournalFixture,
                  "recovery: row M, a file that was begun in vain is a spare again") {
    open();
    run_all();
    commit_into_file(2);
    const std::uint64_t last = journal->last().value() - 2;  // before the state group of file 2
    end();
    const std::string name = file_of(2);
    const auto found = places(name);
    SUBCASE("header and state group torn") {
        disk.fill(name, 0, 3 * block_bytes, std::byte{1});
    }
    SUBCASE("the header torn") {
        disk.fill(name, 2 * block_bytes, small_file_bytes - 2 * block_bytes, std::byte{0});
        disk.fill(name, 0, 512, std::byte{3});
    }
    SUBCASE("the header never came") {
        disk.fill(name, 2 * block_bytes, small_file_bytes - 2 * block_bytes, std::byte{0});
        disk.fill(name, 0, block_bytes, std::byte{0});
    }
    SUBCASE("the state group never came") {
        disk.fill(name, block_bytes, small_file_bytes - block_bytes, std::byte{0});
    }
    SUBCASE("the state group torn") {
        disk.fill(name, 2 * block_bytes, small_file_bytes - 2 * block_bytes, std::byte{0});
        disk.fill(name, block_bytes + 60, 8, std::byte{9});
    }
    // Too short for a spare, so it is removed.
    SUBCASE("the header came, and nothing of its length") {
        disk.truncate(name, block_bytes);
    }
    SUBCASE("the header came, and a part of its length") {
        disk.truncate(name, 2 * block_bytes + 100);
        disk.fill(name, block_bytes, block_bytes + 100, std::byte{0});
    }
    open();
    CHECK(journal->last() == Sequence(last));
    CHECK(journal->current_file() == FileOrdinal(1));
    expect_replayed_up_to(last);
    durable = written = Sequence(last);
    commit_into_file(3);
    restart();
    expect_replayed_up_to(durable.value());
}

TEST_CASE_FIXTURE(JournalFixture, "recovery: row M, the first file was begun in vain") {
    open();
    run_all();
    commit("lost");
    end();
    const std::string name = file_of(1);
    SUBCASE("the state group never came") {
        disk.fill(name, block_bytes, small_file_bytes - block_bytes, std::byte{0});
    }
    SUBCASE("the header came, and nothing of its length") {
        disk.truncate(name, block_bytes);
    }
    open();
    CHECK(replayed.empty());
    durable = written = Sequence(0);
    commit("goes on");
    CHECK(journal->current_file() == FileOrdinal(1));
    restart();
    expect_replayed_up_to(durable.value());
}

TEST_CASE_FIXTURE(RecoveryFixture, "recovery: row N, a file of a later version is refused") {
    FileHeader header = header_of(file_of(3));
    header.version = journal_version + 1;
    BlockMemory block(block_bytes);
    encode_file_header(header, block.bytes());
    disk.overwrite(file_of(3), 0, block.bytes());
    const std::string text = expect_refused(ErrorCode::unsupported_version, 'N');
    const std::string newer = "version " + std::to_string(journal_version + 1);
    CHECK(text.find(newer) != std::string::npos);
}

TEST_CASE_FIXTURE(RecoveryFixture, "recovery: row O, an error of the system is not damage") {
    using Call = SimDisk::Call;
    for (const Call call : {Call::open, Call::read, Call::list, Call::sync, Call::sync_directory}) {
        for (std::uint64_t nth = 1; nth < 20; ++nth) {
            const SimDisk::Image before = disk.image();
            disk.fail(call, {nth, false, EMFILE});
            const Result<void> opened = try_open();
            end();
            disk.load(before);
            if (opened) {
                break;
            }
            CHECK(opened.error().code == ErrorCode::io_error);
            CHECK(opened.error().os_errno == EMFILE);
            CHECK_FALSE(opened.error().text.empty());
        }
    }
    expect_opens('B', durable.value());
}

TEST_CASE_FIXTURE(RecoveryFixture, "recovery: a shortened file is missing bytes, nothing else") {
    const Place last = from_end(1);
    const std::string name = file_of(3);
    SUBCASE("at the end of the last group") {
        disk.truncate(name, last.offset + last.bytes);
    }
    SUBCASE("within the last group") {
        disk.truncate(name, last.offset + 1);
    }
    const bool whole = disk.contents(name).size() % block_bytes == 0;
    open();
    CHECK(journal->last().value() == durable.value() - (whole ? 0 : 1));
    CHECK(disk.contents(name).size() == small_file_bytes);
    durable = written = journal->last();
    commit("goes on");
    restart();
    expect_replayed_up_to(durable.value());
}

TEST_CASE_FIXTURE(RecoveryFixture, "recovery: files with other names are left alone") {
    disk.put("journal-1", SimDisk::Bytes(100));
    disk.put("journal-00001", SimDisk::Bytes(100));
    disk.put("journal-0001.old", SimDisk::Bytes(100));
    disk.put("lock", {});
    expect_opens('B', durable.value());
    CHECK(disk.contents("journal-1").size() == 100);
    CHECK(disk.contents("journal-00001").size() == 100);
    CHECK(disk.contents("journal-0001.old").size() == 100);
}

TEST_CASE_FIXTURE(JournalFixture, "recovery: what a killed process left unsynced is synced") {
    open();
    run_all();
    commit_into_file(4);
    journal->file_emptied(FileOrdinal(1));
    const std::string first = file_of(1);
    commit("says so");
    CHECK(file_of(1) == "");
    const SimDisk::Bytes recycled = disk.contents(first);
    end();
    // As if it had been killed between the write of that header and its sync.
    FileHeader header = header_of(first);
    header.state = FileState::in_use;
    header.first_sequence = 1;
    BlockMemory block(block_bytes);
    encode_file_header(header, block.bytes());
    disk.overwrite(first, 0, block.bytes());
    {
        auto file = disk.open(first, OpenMode::read_write);
        REQUIRE(file.has_value());
        const std::span<const std::byte> spare(recycled.data(), block_bytes);
        REQUIRE((*file)->write(0, spare).has_value());
    }
    open();
    CHECK(journal->oldest_file() == FileOrdinal(2));
    journal->file_emptied(FileOrdinal(2));
    commit("says so too");
    CHECK(journal->oldest_file() == FileOrdinal(3));
    end();
    disk.crash(1, {0, 100});
    open();
    expect_replayed_up_to(durable.value());
}

// Power fails at the n-th change that recovery makes, for every n, with many outcomes each: the
// next recovery finds the same groups.
TEST_CASE_FIXTURE(RecoveryFixture, "recovery: a crash at any of its writes is harmless") {
    open();
    // All in one file, whose last block is kept for a seal.
    commit("kept", true);
    commit(std::string(5000, 'x'), false);
    commit("later", false);
    commit("later still", false);
    REQUIRE(journal->current_file() == FileOrdinal(3));
    const std::uint64_t kept = durable.value();
    end();
    const Place torn = from_end(3);
    disk.fill(file_of(3), torn.offset + block_bytes, 512, std::byte{0xFF});
    std::uint64_t begun_bytes = 0;
    SUBCASE("in the middle of a file") {}
    SUBCASE("with a file that was begun in vain") {
        begun_bytes = small_file_bytes;
    }
    SUBCASE("with one that has not got its length either") {
        begun_bytes = block_bytes;
    }
    if (begun_bytes > 0) {
        // As if file 4 had been begun when the rest was still in the page cache: its header came.
        disk.fill(file_of(3), torn.offset, static_cast<std::size_t>(small_file_bytes - torn.offset),
                  std::byte{0});
        FileHeader header = header_of(file_of(3));
        header.ordinal += 1;
        header.first_sequence = kept + 1;
        header.salt += 1;
        BlockMemory block(block_bytes);
        encode_file_header(header, block.bytes());
        SimDisk::Bytes begun(begun_bytes);
        std::copy(block.bytes().begin(), block.bytes().end(), begun.begin());
        disk.put("journal-0050", begun);
    }
    const SimDisk::Image image = disk.image();
    bool opened = false;
    std::uint64_t stop = 0;
    while (!opened) {
        ++stop;
        for (std::uint64_t seed = 1; seed <= 40; ++seed) {
            CAPTURE(stop);
            CAPTURE(seed);
            disk.load(image);
            disk.power_off_at(stop);
            opened = try_open().has_value();
            crash(seed);
            // Once more, to be cut short elsewhere.
            disk.power_off_at(1 + seed % 5);
            static_cast<void>(try_open().has_value());
            crash(seed + 1000);
            open();
            CHECK(journal->last() == Sequence(kept));
            expect_replayed_up_to(kept);
            durable = written = Sequence(kept);
            commit("goes on");
            restart();
            expect_replayed_up_to(kept + 1);
            durable = written = Sequence(kept);
        }
    }
    CHECK(stop >= 5);
}

}  // namespace
}  // namespace mqd::storage::test
