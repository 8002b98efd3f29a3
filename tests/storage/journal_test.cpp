// The journal over a disk that works: groups go in, and come back; when what is told; files.

#include "daemon/storage/journal.hpp"

#include "storage/journal_fixture.hpp"

namespace mqd::storage::test {
namespace {

TEST_CASE_FIXTURE(JournalFixture, "journal: an empty store accepts at once") {
    open();
    CHECK(journal->last() == Sequence(0));
    CHECK(journal->current_file() == FileOrdinal(0));
    CHECK(journal->recovery().verdict.substr(0, 2) == "A:");
    CHECK(journal->new_file_ready());
    CHECK(journal->book(1000) == std::nullopt);
}

TEST_CASE_FIXTURE(JournalFixture, "journal: what was committed comes back in order") {
    open();
    commit("one");
    commit("two", false);
    commit("");
    commit(std::string(16'000, 'y'));
    restart();
    REQUIRE(replayed.size() == 5);
    CHECK(replayed[0] == Replayed{1, 1, GroupKind::state, state_text(0)});
    CHECK(replayed[1] == Replayed{2, 1, GroupKind::records, "one"});
    CHECK(replayed[2] == Replayed{3, 1, GroupKind::records, "two"});
    CHECK(replayed[3] == Replayed{4, 1, GroupKind::records, ""});
    CHECK(replayed[4].body.size() == 16'000);
    CHECK(journal->last() == Sequence(5));
    CHECK(journal->durable() == Sequence(5));
    CHECK(journal->recovery().verdict.substr(0, 2) == "B:");
    CHECK(journal->recovery().last_time.wall_ns == wall_ns);
    CHECK_FALSE(journal->recovery().clean);
}

TEST_CASE_FIXTURE(JournalFixture, "journal: it goes on where it was, time after time") {
    open();
    for (int i = 0; i < 60; ++i) {
        commit("group " + std::to_string(i));
        restart();
        expect_replayed_up_to(durable.value());
    }
    CHECK(journal->current_file().value() > 3);
}

TEST_CASE_FIXTURE(JournalFixture, "journal: written is told before the sync, durable after it") {
    open();
    submit("one", true);
    CHECK(journal->busy());
    CHECK(written == Sequence(0));
    commit_worker.run_work();
    CHECK(written == Sequence(0));
    commit_worker.run_done();
    CHECK(written == Sequence(2));
    CHECK(durable == Sequence(0));
    CHECK(journal->busy());
    commit_worker.run_work();
    CHECK(durable == Sequence(0));
    commit_worker.run_done();
    CHECK(durable == Sequence(2));
    CHECK_FALSE(journal->busy());
}

TEST_CASE_FIXTURE(JournalFixture,
                  "journal: where nobody waits for written, both are told at once") {
    open();
    submit("one", Reach::durable);
    commit_worker.run_work();
    CHECK_FALSE(commit_worker.has_done());
    CHECK(journal->busy());
    commit_worker.run_work();
    CHECK(written == Sequence(0));
    commit_worker.run_done();
    CHECK(written == Sequence(2));
    CHECK(durable == Sequence(2));
    CHECK_FALSE(journal->busy());
}

TEST_CASE_FIXTURE(JournalFixture, "journal: what was not synced is durable after a sync") {
    open();
    commit("one", false);
    commit("two", false);
    CHECK(written == Sequence(3));
    CHECK(journal->durable() == Sequence(1));  // the state group that began the file
    CHECK(journal->unsynced_bytes() == 2 * block_bytes);
    journal->sync();
    CHECK(journal->busy());
    commit_worker.run_all();
    CHECK(journal->durable() == Sequence(3));
    CHECK(durable == Sequence(3));
    CHECK(journal->unsynced_bytes() == 0);
    disk.crash(1);
}

TEST_CASE_FIXTURE(JournalFixture, "journal: every group says what was known to be synced") {
    open();
    commit("two", false);
    commit("three", true);
    commit("four", true);
    seal();
    const auto found = places(file_of(1));
    REQUIRE(found.size() == 5);
    CHECK(found.at(1).header.watermark == 0);
    CHECK(found.at(2).header.watermark == 1);
    CHECK(found.at(3).header.watermark == 1);
    CHECK(found.at(4).header.watermark == 3);
    CHECK(found.at(5).header.watermark == 4);
    CHECK(found.at(5).header.kind == static_cast<std::uint8_t>(GroupKind::seal));
}

TEST_CASE_FIXTURE(JournalFixture, "journal: a clean stop is told as such") {
    open();
    commit("one");
    commit("", true, GroupKind::clean_stop);
    restart();
    CHECK(journal->recovery().clean);
    commit("two");
    restart();
    CHECK_FALSE(journal->recovery().clean);
}

TEST_CASE_FIXTURE(JournalFixture, "journal: a full file is followed by another, with its state") {
    open();
    run_all();
    commit_into_file(3);
    CHECK(journal->oldest_file() == FileOrdinal(1));
    restart();
    expect_replayed_up_to(durable.value());
    CHECK(replayed.front().kind == GroupKind::state);
    CHECK(replayed.front().sequence == 1);
    CHECK(journal->recovery().files == 3);
    CHECK(journal->current_file() == FileOrdinal(3));
}

TEST_CASE_FIXTURE(JournalFixture, "journal: groups of the biggest size fill files, and fit") {
    open();
    const std::size_t body = journal->group_bytes_max() - GroupBuffer::header_bytes;
    for (int i = 0; i < 20; ++i) {
        commit(std::string(body, 'z'));
    }
    CHECK(journal->current_file() == FileOrdinal(7));
    restart();
    expect_replayed_up_to(durable.value());
}

TEST_CASE_FIXTURE(JournalFixture, "journal: files are recycled strictly oldest first") {
    open();
    run_all();
    commit_into_file(4);
    const std::string first = file_of(1);
    journal->file_emptied(FileOrdinal(2));
    commit("says so");
    CHECK(file_of(2) != "");  // the first is not empty yet
    journal->file_emptied(FileOrdinal(1));
    run_all();
    CHECK(file_of(1) != "");  // nothing durable says it yet
    commit("not synced", false);
    CHECK(file_of(1) != "");
    commit("says so");
    CHECK(file_of(1) == "");
    CHECK(file_of(2) == "");
    CHECK(journal->oldest_file() == FileOrdinal(3));
    CHECK(header_of(first).state == FileState::spare);
    restart();
    expect_replayed_up_to(durable.value());
    CHECK(replayed.front().file == 3);
    CHECK(replayed.front().kind == GroupKind::state);
}

TEST_CASE_FIXTURE(JournalFixture,
                  "journal: files that are held are not recycled before they are let go") {
    open();
    run_all();
    commit_into_file(4);
    journal->hold_from(FileOrdinal(2));
    for (const std::uint64_t ordinal : {1, 2, 3}) {
        journal->file_emptied(FileOrdinal(ordinal));
    }
    commit("says so");
    CHECK(journal->oldest_file() == FileOrdinal(2));
    journal->hold_from(FileOrdinal(3));
    run_all();
    CHECK(journal->oldest_file() == FileOrdinal(3));
    journal->hold_from(std::nullopt);
    run_all();
    CHECK(journal->oldest_file() == FileOrdinal(4));
    CHECK(file_of(3) == "");
}

TEST_CASE_FIXTURE(JournalFixture, "journal: a file that is only just begun has no durable part") {
    open();
    CHECK(journal->durable_files().empty());  // nothing is begun
    run_all();
    submit("a");
    CHECK(journal->durable_files().empty());
    run_all();
    REQUIRE(journal->durable_files().size() == 1);
    CHECK(journal->durable_files().front().bytes > 0);
}

TEST_CASE_FIXTURE(JournalFixture, "journal: its durable files are a journal, at any moment") {
    for (std::uint64_t seed = 1; seed <= 200 / slowness; ++seed) {
        CAPTURE(seed);
        disk.load({});
        bodies.clear();
        written = durable = Sequence(0);
        open();
        SimSchedule schedule(seed, {&commit_worker, &background});
        Dice dice(seed);
        for (std::uint64_t steps = dice.between(1, 400); steps > 0; --steps) {
            const std::string body(dice.below(9'000), 'x');
            if (journal->busy() || !prepare(group_file_bytes(body.size())) || dice.one_in(2)) {
                schedule.step();
            } else {
                submit(body, dice.one_in(2));
            }
        }
        SimDisk::Image copy;
        for (const auto& file : journal->durable_files()) {
            const SimDisk::Bytes& contents = disk.contents(file.name);
            REQUIRE(file.bytes <= contents.size());
            copy[file.name].assign(contents.begin(),
                                   contents.begin() + static_cast<std::ptrdiff_t>(file.bytes));
        }
        const Sequence last = journal->durable();
        end();
        disk.load(copy);
        open();
        CHECK(journal->last() == last);
        expect_replayed_up_to(last.value());
    }
}

// A crash came between that group and the recycling, and there is no room for another one.
TEST_CASE_FIXTURE(JournalFixture, "journal: what the last group says is not needed is recycled") {
    open();
    run_all();
    commit_into_file(3);
    journal->file_emptied(FileOrdinal(1));
    (void)submit("says so");
    commit_worker.run_all();
    CHECK(file_of(1) != "");
    restart();
    run_all();
    CHECK(file_of(1) == "");
    CHECK(journal->oldest_file() == FileOrdinal(2));
}

TEST_CASE_FIXTURE(JournalFixture, "journal: recycled files serve again, under another salt") {
    open();
    run_all();
    const std::uint64_t salt = [&] {
        commit("one");
        return header_of(file_of(1)).salt;
    }();
    for (std::uint64_t ordinal = 2; ordinal < 40; ++ordinal) {
        commit_into_file(ordinal);
        journal->file_emptied(FileOrdinal(ordinal - 1));
    }
    commit("and on");
    CHECK(journal->figures().files <= 4);
    CHECK(disk.used() <= 4 * small_file_bytes);
    CHECK(header_of(file_of(39)).salt != salt);
    restart();
    expect_replayed_up_to(durable.value());
}

TEST_CASE_FIXTURE(JournalFixture, "journal: spares are zero-filled in the background") {
    options.file_bytes = 4 * 1024 * 1024;
    options.bytes_max = 8 * options.file_bytes;
    open();
    run_all();
    for (const auto& [name, contents] : disk.image()) {
        CHECK(header_of(name).state == FileState::spare);
        CHECK((header_of(name).flags & FileHeader::flag_filled) != 0);
    }
}

TEST_CASE_FIXTURE(JournalFixture, "journal: a file is begun half filled if there is no other") {
    options.file_bytes = 4 * 1024 * 1024;
    options.bytes_max = 8 * options.file_bytes;
    open();
    background.run_work();  // a piece of the first; the second is untouched
    CHECK(journal->new_file_ready());
    submit("one");
    commit_worker.run_all();
    CHECK_FALSE((header_of(file_of(1)).flags & FileHeader::flag_filled) != 0);
    run_all();
    restart();
    expect_replayed_up_to(durable.value());
}

TEST_CASE_FIXTURE(JournalFixture, "journal: and left when there is one that is filled") {
    options.file_bytes = 4 * 1024 * 1024;
    SUBCASE("if more files may be made") {
        options.bytes_max = 8 * options.file_bytes;
    }
    SUBCASE("not otherwise") {
        options.bytes_max = 2 * options.file_bytes;
    }
    const bool may_grow = options.bytes_max > 2 * options.file_bytes;
    takes_better_files = true;
    open();
    background.run_work();  // a piece of the first
    submit("one");
    commit_worker.run_all();
    CHECK_FALSE(journal->better_file_ready());
    run_all();
    CHECK(journal->better_file_ready() == may_grow);
    commit("two");
    CHECK(journal->current_file() == FileOrdinal(may_grow ? 2 : 1));
    CHECK_FALSE((may_grow && journal->better_file_ready()));
    commit("three");
    CHECK(journal->current_file() == FileOrdinal(may_grow ? 2 : 1));
    run_all();
    restart();
    expect_replayed_up_to(durable.value());
}

TEST_CASE_FIXTURE(JournalFixture, "journal: zero-filling never touches a file that was begun") {
    options.file_bytes = 4 * 1024 * 1024;
    options.bytes_max = 2 * options.file_bytes;
    for (std::uint64_t seed = 1; seed <= 50 / slowness; ++seed) {
        CAPTURE(seed);
        disk.load({});
        bodies.clear();
        written = durable = Sequence(0);
        open();
        SimSchedule schedule(seed, {&commit_worker, &background});
        Dice dice(seed);
        for (int i = 0; i < 5; ++i) {
            for (std::uint64_t steps = dice.below(4); steps > 0; --steps) {
                schedule.step();
            }
            const std::string body(1'000'000, 'x');
            while (journal->busy() || !prepare(group_file_bytes(body.size()))) {
                REQUIRE(schedule.step());
            }
            submit(body);
        }
        schedule.run_all();
        restart();
        expect_replayed_up_to(durable.value());
    }
}

TEST_CASE_FIXTURE(JournalFixture, "journal: files of another configured size are replaced") {
    open();
    commit_into_file(3);
    end();
    options.file_bytes = 2 * small_file_bytes;
    open();
    expect_replayed_up_to(durable.value());
    commit_into_file(5);
    for (std::uint64_t ordinal = 1; ordinal <= 4; ++ordinal) {
        journal->file_emptied(FileOrdinal(ordinal));
    }
    commit("says so");
    for (const auto& [name, contents] : disk.image()) {
        CHECK(contents.size() == 2 * small_file_bytes);
    }
    restart();
    expect_replayed_up_to(durable.value());
}

TEST_CASE_FIXTURE(JournalFixture, "journal: options out of bounds are refused, and at them not") {
    const auto code_of = [&](std::uint64_t file_bytes, std::uint64_t bytes_max) {
        options.file_bytes = file_bytes;
        options.bytes_max = bytes_max;
        const Result<void> opened = try_open();
        return opened ? ErrorCode{} : opened.error().code;
    };
    CHECK(code_of(file_bytes_min - block_bytes, 1 << 30) == ErrorCode::bad_config);
    CHECK(code_of(file_bytes_min + 1, 1 << 30) == ErrorCode::bad_config);
    CHECK(code_of(file_bytes_min, 2 * file_bytes_min - 1) == ErrorCode::bad_config);
    CHECK(code_of(file_bytes_min, 65536 * file_bytes_min) == ErrorCode::bad_config);
    CHECK(code_of(file_bytes_limit + block_bytes, 8 * file_bytes_limit) == ErrorCode::bad_config);
    CHECK(code_of(file_bytes_min, 2 * file_bytes_min) == ErrorCode{});
    CHECK(code_of(file_bytes_min, 65535 * file_bytes_min) == ErrorCode{});
}

TEST_CASE_FIXTURE(JournalFixture,
                  "journal: an error of replay ends the opening, and changes nothing") {
    open();
    commit("one");
    end();
    const SimDisk::Image before = disk.image();
    const auto opened = Journal::open(disk, commit_worker, background, options, *this,
                                      [](const GroupView&) -> Result<void> {
                                          Error error;
                                          error.code = ErrorCode::usage;
                                          return error;
                                      });
    REQUIRE_FALSE(opened.has_value());
    CHECK(opened.error().code == ErrorCode::usage);
    CHECK(disk.image() == before);
}

TEST_CASE_FIXTURE(JournalFixture, "journal: it may end while its work is on the way") {
    open();
    submit("one");
    commit_worker.run_work();
    journal.reset();
    run_all();
    CHECK(written == Sequence(0));
}

}  // namespace
}  // namespace mqd::storage::test
