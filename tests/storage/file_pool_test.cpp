// The files of a journal when the disk gives no room, when the configuration allows fewer of them
// than there are, and when one of several spares is the better one.

#include <cerrno>

#include "storage/journal_fixture.hpp"

namespace mqd::storage::test {
namespace {

using Call = SimDisk::Call;

class PoolFixture : public JournalFixture {
  public:
    [[nodiscard]] std::uint64_t files_on_disk() const {
        std::uint64_t files = 0;
        for (const auto& [name, contents] : disk.image()) {
            files += name.starts_with("journal-") ? 1 : 0;
        }
        return files;
    }
    // Only the commit worker gets time; as often as it takes until the file has that ordinal.
    void commit_into_file_alone(std::uint64_t ordinal) {
        while (journal->current_file() < FileOrdinal(ordinal)) {
            const std::string body(10'000, 'x');
            if (!prepare(group_file_bytes(body.size()))) {
                commit_worker.run_all();
                continue;
            }
            submit(body);
            commit_worker.run_all();
        }
    }
};

// A file system that reserves nothing tells of a lack of space when the zeros are written.
TEST_CASE_FIXTURE(PoolFixture,
                  "file pool: a spare that cannot be filled is given up, and no more") {
    int os_errno = 0;
    SUBCASE("the disk is full") {
        os_errno = ENOSPC;
    }
    SUBCASE("a quota is used up") {
        os_errno = EDQUOT;
    }
    disk.fail(Call::write, {1, false, os_errno});
    open();
    run_all();
    CHECK_FALSE(failure.has_value());
    CHECK(journal->disk_full());
    CHECK(files_on_disk() == 1);
    CHECK(journal->figures().files == 1);
    commit("goes on in the one that is left");
    // And the other is made when there is room.
    journal->retry_growth();
    run_all();
    CHECK_FALSE(journal->disk_full());
    CHECK(files_on_disk() == 2);
    commit("and on");
    restart();
    CHECK(replayed.back().body == "and on");
}

TEST_CASE_FIXTURE(PoolFixture, "file pool: an error while a spare is filled or given up is final") {
    open();
    submit("one");
    CHECK_FALSE(journal->seal_wanted());  // it is busy
    commit_worker.run_all();
    SUBCASE("the zeros") {
        disk.fail(Call::write, {1, false, EIO});
    }
    SUBCASE("their sync") {
        disk.fail(Call::sync, {1, false, EIO});
    }
    SUBCASE("the header") {
        disk.fail(Call::write, {2, false, EIO});
    }
    SUBCASE("the sync of the header") {
        disk.fail(Call::sync, {2, false, EIO});
    }
    SUBCASE("the removal of what cannot be filled") {
        disk.fail(Call::write, {1, false, ENOSPC});
        disk.fail(Call::remove, {1, false, EIO});
    }
    SUBCASE("the sync of that removal") {
        disk.fail(Call::write, {1, false, ENOSPC});
        disk.fail(Call::sync_directory, {1, false, EIO});
    }
    run_all();
    REQUIRE(failure.has_value());
    CHECK(failure->os_errno == EIO);
    // Nothing is tried again.
    const std::uint64_t changes = disk.changes();
    journal->retry_growth();
    run_all();
    CHECK(disk.changes() == changes);
    CHECK(journal->busy());
    CHECK_FALSE(journal->seal_wanted());
    CHECK_FALSE(journal->better_file_ready());
}

TEST_CASE_FIXTURE(PoolFixture,
                  "file pool: growth is tried again once at a time, and if it is wanted") {
    open();
    run_all();
    const std::uint64_t calm = disk.changes();
    journal->retry_growth();  // nothing has failed
    CHECK(background.idle());
    disk.fail(Call::open, {1, true, EMFILE});
    commit_into_file(2);
    run_all();
    REQUIRE(journal->disk_full());
    CHECK(disk.changes() > calm);
    disk.heal();
    journal->retry_growth();
    journal->retry_growth();  // it is on its way already
    background.run_work();
    CHECK_FALSE(background.has_work());
    run_all();
    CHECK_FALSE(journal->disk_full());
    // What an earlier try has left under that name has to go first.
    disk.fail(Call::open, {1, true, EMFILE});
    commit_into_file(3);
    run_all();
    REQUIRE(journal->disk_full());
    disk.heal();
    disk.put("journal-0004", SimDisk::Bytes(100));
    disk.fail(Call::remove, {1, false, EIO});
    journal->retry_growth();
    run_all();
    CHECK(journal->disk_full());
    CHECK_FALSE(failure.has_value());
    journal->retry_growth();
    run_all();
    CHECK_FALSE(journal->disk_full());
    commit("goes on");
}

TEST_CASE_FIXTURE(PoolFixture,
                  "file pool: when a file is not wanted any more, the lack is forgotten") {
    open();
    run_all();
    const std::uint64_t most = journal->figures().booked_bytes_max;
    REQUIRE_FALSE(journal->book(most).has_value());
    disk.fail(Call::open, {1, true, EMFILE});
    run_all();
    REQUIRE(journal->book(most).has_value());
    run_all();
    REQUIRE(journal->disk_full());
    CHECK(journal->book(most)->code == ErrorCode::no_space);
    journal->unbook(most);
    CHECK_FALSE(journal->book(1).has_value());  // what was refused is not waited for any more
    journal->retry_growth();
    CHECK_FALSE(journal->disk_full());
}

// A file that is given up counts until it is gone.
TEST_CASE_FIXTURE(PoolFixture, "file pool: while a file is given up there is no room for another") {
    options.bytes_max = 2 * small_file_bytes;
    disk.fail(Call::write, {1, false, ENOSPC});
    open();
    background.run_work();
    background.run_done();
    REQUIRE(journal->disk_full());
    REQUIRE(background.has_work());
    CHECK(journal->book(UINT64_MAX / 2)->code == ErrorCode::journal_full);
    journal->retry_growth();
    run_all();
    CHECK_FALSE(failure.has_value());
    commit_into_file(2);
    CHECK(files_on_disk() == 2);
}

TEST_CASE_FIXTURE(PoolFixture,
                  "file pool: an unfilled file is left early only if more may be made") {
    SUBCASE("more may") {
        open();
        CHECK_FALSE(journal->better_file_ready());  // there is none to leave
        submit("in a file that is not filled");
        commit_worker.run_all();
        run_all();
        CHECK(journal->better_file_ready());
    }
    SUBCASE("no more may") {
        options.bytes_max = 2 * small_file_bytes;
        open();
        submit("in a file that is not filled");
        commit_worker.run_all();
        run_all();
        CHECK_FALSE(journal->better_file_ready());
    }
}

TEST_CASE_FIXTURE(PoolFixture, "file pool: a file that is waited for is not filled further") {
    constexpr std::uint64_t large = 4 * 1024 * 1024;  // filled in four pieces
    options.file_bytes = large;
    options.bytes_max = 8 * large;
    open();
    run_all();
    const auto fill_up = [&] {
        const std::string body(900'000, 'x');
        while (prepare(group_file_bytes(body.size())) &&
               !journal->needs_new_file(group_file_bytes(body.size()))) {
            submit(body);
            commit_worker.run_all();
        }
        commit_worker.run_all();
    };
    submit("begins file 1");
    commit_worker.run_all();
    fill_up();
    submit(std::string(900'000, 'x'));  // begins file 2; the next one is being made now
    commit_worker.run_all();
    fill_up();
    background.run_work();
    background.run_done();
    REQUIRE(background.has_work());  // its first piece
    CHECK_FALSE(journal->new_file_ready());
    const int before = room_changes;
    background.run_work();
    background.run_done();
    CHECK(room_changes > before);
    CHECK_FALSE(background.has_work());
    CHECK(journal->new_file_ready());
    submit(std::string(900'000, 'x'));
    commit_worker.run_all();
    CHECK(journal->current_file() == FileOrdinal(3));
    CHECK((header_of(file_of(3)).flags & FileHeader::flag_filled) == 0);
}

TEST_CASE_FIXTURE(PoolFixture, "file pool: fewer files are allowed than there are") {
    open();
    run_all();
    commit_into_file(6);
    run_all();
    const std::uint64_t before = files_on_disk();
    REQUIRE(before >= 7);
    SUBCASE("those in use go when they are emptied, and spares at once") {
        options.bytes_max = 3 * small_file_bytes;
        restart();
        CHECK(files_on_disk() == 6);  // all hold something
        for (std::uint64_t ordinal = 1; ordinal < 6; ++ordinal) {
            journal->file_emptied(FileOrdinal(ordinal));
        }
        commit("they are not needed any more");
        run_all();
        CHECK(files_on_disk() == 3);
        for (std::uint64_t ordinal = 7; ordinal <= 9; ++ordinal) {
            commit_into_file(ordinal);
            journal->file_emptied(FileOrdinal(ordinal - 1));
            commit("the one before is not needed any more");
        }
        CHECK(files_on_disk() == 3);
        restart();
        CHECK(journal->current_file() == FileOrdinal(9));
    }
    SUBCASE("and what cannot be removed is an error like any other") {
        options.bytes_max = 3 * small_file_bytes;
        disk.fail(Call::remove, {1, false, EIO});
        CHECK(try_open().error().os_errno == EIO);
        open();
        journal->file_emptied(FileOrdinal(1));
        commit("it is not needed any more");
        disk.fail(Call::remove, {1, false, EIO});
        run_all();
        // The first one went with the commit already.
        journal->file_emptied(FileOrdinal(2));
        commit("nor is the next");
        REQUIRE(failure.has_value());
        CHECK(failure->os_errno == EIO);
    }
}

// Of several spares a filled one is begun, wherever it stands.
TEST_CASE_FIXTURE(PoolFixture, "file pool: a filled spare is begun before one that is not") {
    open();
    run_all();
    commit_into_file(2);
    run_all();
    commit_into_file_alone(3);
    // A file is being made. Two are emptied meanwhile, and the older one is recycled first of all.
    REQUIRE(background.has_work());
    journal->file_emptied(FileOrdinal(1));
    journal->file_emptied(FileOrdinal(2));
    const std::string filled = file_of(1);
    REQUIRE((header_of(filled).flags & FileHeader::flag_filled) != 0);
    submit("they are not needed any more");
    commit_worker.run_all();
    background.run_work();
    background.run_done();  // made: a spare that is not filled
    REQUIRE(journal->new_file_ready());
    background.run_work();
    background.run_done();  // recycled: one that is
    commit_into_file_alone(4);
    CHECK(file_of(4) == filled);
    run_all();
    restart();
    CHECK(journal->current_file() == FileOrdinal(4));
}

}  // namespace
}  // namespace mqd::storage::test
