// Each call that a start makes of the disk fails once: that is told as what it is, never as damage,
// nothing that counts is changed, and the next start finds everything.

#include <cerrno>
#include <functional>
#include <tuple>

#include "daemon/storage/checkpoint_file.hpp"
#include "daemon/storage/crc32c.hpp"
#include "daemon/storage/read_only_disk.hpp"
#include "daemon/storage/recovery.hpp"
#include "storage/journal_fixture.hpp"
#include "storage/segment_fixture.hpp"
#include "support/flaky_disk.hpp"

namespace mqd::storage::test {
namespace {

using mqd::test::FlakyDisk;

// Calls `start` over disks of which the first, second, … call fails, until one comes to its end.
// Returns how many calls it took.
std::uint64_t fail_each_call(Disk& disk, const std::function<Result<void>(Disk&)>& start,
                             const std::function<void()>& afterwards) {
    for (std::uint64_t failing = 1;; ++failing) {
        REQUIRE(failing < 10'000);
        CAPTURE(failing);
        // A lack of descriptors as well as an error of the device.
        const int os_errno = failing % 2 == 0 ? EMFILE : EIO;
        FlakyDisk flaky(disk, failing, os_errno);
        const Result<void> started = start(flaky);
        if (!flaky.failed()) {
            REQUIRE_MESSAGE(started.has_value(), started.error().text);
            return failing - 1;
        }
        REQUIRE_FALSE(started.has_value());
        CHECK_MESSAGE(started.error().code == ErrorCode::io_error, started.error().text);
        CHECK(started.error().os_errno == os_errno);
        afterwards();
    }
}

// A journal of three files, of which each test makes a state that takes other calls to open.
class JournalStart : public JournalFixture {
  public:
    JournalStart() {
        open();
        run_all();
        commit_into_file(3);
        commit("one");
        commit(std::string(9'000, 'b'));
        commit("three");
        end();
    }

    void expect_each_call_harmless() {
        const SimDisk::Image image = disk.image();
        open();
        const std::vector<Replayed> all = replayed;
        const Sequence last = journal->last();
        end();
        const std::uint64_t calls = fail_each_call(
            disk,
            [&](Disk& flaky) -> Result<void> {
                disk.load(image);
                const auto opened =
                    Journal::open(flaky, commit_worker, background, options, *this,
                                  [](const GroupView&) -> Result<void> { return {}; });
                commit_worker.drop();
                background.drop();
                return opened ? Result<void>() : opened.error();
            },
            [&] {
                open();
                CHECK(replayed == all);
                CHECK(journal->last() == last);
                end();
            });
        CHECK(calls > 15);
    }
};

TEST_CASE_FIXTURE(JournalStart, "start errors: a journal that ended cleanly") {
    expect_each_call_harmless();
}

TEST_CASE_FIXTURE(JournalStart, "start errors: a journal with a torn tail") {
    open();
    commit(std::string(9'000, 'x'), false);
    commit("kept by chance", false);
    end();
    const auto found = places(file_of(3));
    const Place torn = std::next(found.rbegin())->second;
    disk.fill(file_of(3), torn.offset + block_bytes, 512, std::byte{0xFF});
    expect_each_call_harmless();
}

TEST_CASE_FIXTURE(JournalStart, "start errors: a journal file that has to get its length back") {
    const std::string name = file_of(3);
    const auto last = places(name).rbegin()->second;
    disk.truncate(name, last.offset + last.bytes);
    expect_each_call_harmless();
}

TEST_CASE_FIXTURE(JournalStart,
                  "start errors: a file that lost its header, and one begun in vain") {
    SUBCASE("begun in vain: its header is there, and none of its groups") {
        const std::string name = file_of(3);
        disk.fill(name, block_bytes, static_cast<std::size_t>(small_file_bytes - block_bytes),
                  std::byte{0});
        for (const auto& [sequence, place] : places(file_of(2))) {
            durable = written = Sequence(sequence);
        }
    }
    SUBCASE("a spare whose header is broken, with groups of an earlier use") {
        open();
        journal->file_emptied(FileOrdinal(1));
        journal->file_emptied(FileOrdinal(2));
        commit("they are not needed");
        commit("any more");
        end();
        for (const auto& [name, contents] : disk.image()) {
            if (decode_file_header(std::span(contents).first(block_bytes)).sign ==
                FileHeaderSign::spare) {
                disk.fill(name, 0, 100, std::byte{0x55});
            }
        }
    }
    expect_each_call_harmless();
}

TEST_CASE_FIXTURE(JournalStart, "start errors: files of a size that is not configured any more") {
    options.file_bytes = 2 * small_file_bytes;
    expect_each_call_harmless();
}

// The check of a store goes on behind damage; an error of the disk ends it all the same.
TEST_CASE_FIXTURE(JournalStart, "start errors: a look behind holes in the journal") {
    for (const std::uint64_t ordinal : {2u, 3u}) {
        const auto found = places(file_of(ordinal));
        disk.flip(file_of(ordinal), 8 * (std::next(found.begin())->second.offset + 100));
    }
    std::vector<std::string> holes;
    const auto look = [&](Disk& over) -> Result<void> {
        holes.clear();
        const auto found = recover_journal(
            over, [](const GroupView&) -> Result<void> { return {}; },
            [&](const Damage& damage) -> Result<void> {
                holes.push_back(damage.text.substr(0, 2));
                return {};
            });
        return found ? Result<void>() : found.error();
    };
    const SimDisk::Image image = disk.image();
    fail_each_call(disk, look, [&] {
        REQUIRE(look(disk).has_value());
        CHECK(holes == std::vector<std::string>{"I:", "G:"});
    });
    CHECK(disk.image() == image);
}

TEST_CASE_FIXTURE(JournalStart, "start errors: a journal of which something is lost, salvaged") {
    SUBCASE("groups in the middle") {
        for (const std::uint64_t ordinal : {2u, 3u}) {
            const auto found = places(file_of(ordinal));
            disk.flip(file_of(ordinal), 8 * (std::next(found.begin())->second.offset + 100));
        }
    }
    SUBCASE("groups beside each other") {
        for (const std::uint64_t ordinal : {2u, 3u}) {
            const auto found = places(file_of(ordinal));
            for (const std::ptrdiff_t group : {1, 2}) {
                disk.flip(file_of(ordinal),
                          8 * (std::next(found.begin(), group)->second.offset + 100));
            }
        }
    }
    SUBCASE("two groups of the last file, with a whole one between them") {
        const auto found = places(file_of(3));
        for (const std::ptrdiff_t group : {1, 3}) {
            disk.flip(file_of(3), 8 * (std::next(found.begin(), group)->second.offset + 100));
        }
    }
    SUBCASE("all groups of the last file, and one of the file before") {
        disk.flip(file_of(2), 8 * (std::next(places(file_of(2)).begin())->second.offset + 100));
        disk.fill(file_of(3), block_bytes, static_cast<std::size_t>(small_file_bytes - block_bytes),
                  std::byte{0});
    }
    SUBCASE("all groups of a file") {
        disk.fill(file_of(2), block_bytes, static_cast<std::size_t>(small_file_bytes - block_bytes),
                  std::byte{0});
    }
    SUBCASE("the headers of two files") {
        for (const std::string& name : {file_of(1), file_of(2)}) {
            disk.fill(name, 0, 100, std::byte{0x55});
        }
    }
    SUBCASE("the header of a file, and others have none that are copies or rubbish") {
        disk.put("journal-0050", disk.contents(file_of(2)));
        disk.fill("journal-0050", 0, 100, std::byte{0x55});
        disk.put("journal-0051", SimDisk::Bytes(small_file_bytes, std::byte{0x55}));
        // Its state group is whole, and nobody makes files of that length.
        SimDisk::Bytes odd = disk.contents("journal-0050");
        odd.resize(odd.size() - 100);
        disk.put("journal-0052", odd);
        disk.fill(file_of(1), 0, 100, std::byte{0x55});
    }
    SUBCASE("a whole file") {
        disk.erase(file_of(2));
    }
    SUBCASE("the header of a file") {
        disk.fill(file_of(2), 0, 100, std::byte{0x55});
    }
    SUBCASE("the header of the last file") {
        disk.fill(file_of(3), 0, 100, std::byte{0x55});
    }
    const SimDisk::Image image = disk.image();
    std::vector<std::uint64_t> saved;
    const JournalSalvage salvage{[](const Damage&) -> Result<void> { return {}; }, Sequence(0), {}};
    const auto start = [&](Disk& over) -> Result<void> {
        disk.load(image);
        saved.clear();
        const auto opened = Journal::open(
            over, commit_worker, background, options, *this,
            [&](const GroupView& group) -> Result<void> {
                saved.push_back(group.sequence.value());
                return {};
            },
            &salvage);
        commit_worker.drop();
        background.drop();
        return opened ? Result<void>() : opened.error();
    };
    REQUIRE(start(disk).has_value());
    const std::vector<std::uint64_t> all = saved;
    CHECK(all.size() > 5);
    fail_each_call(disk, start, [&] {
        REQUIRE(start(disk).has_value());
        CHECK(saved == all);
    });
}

TEST_CASE_FIXTURE(JournalStart, "start errors: who is told of damage may end the salvage") {
    disk.fill(file_of(2), 0, 100, std::byte{0x55});
    disk.flip(file_of(3), 8 * (std::next(places(file_of(3)).begin())->second.offset + 100));
    const SimDisk::Image image = disk.image();
    for (std::size_t passed_over = 0;; ++passed_over) {
        CAPTURE(passed_over);
        disk.load(image);
        std::size_t told = 0;
        const JournalSalvage salvage{[&](const Damage& damage) -> Result<void> {
                                         return told++ < passed_over
                                                    ? Result<void>()
                                                    : Error{ErrorCode::damaged, damage.text};
                                     },
                                     Sequence(0),
                                     {}};
        const auto opened = Journal::open(
            disk, commit_worker, background, options, *this,
            [](const GroupView&) -> Result<void> { return {}; }, &salvage);
        background.drop();
        if (opened) {
            CHECK(passed_over >= 2);
            break;
        }
        CHECK(opened.error().code == ErrorCode::damaged);
        CHECK((disk.image() == image));
    }
}

TEST_CASE_FIXTURE(StoreFixture, "start errors: segments") {
    std::vector<Known> pages;
    for (const std::uint32_t queue : {1u, 2u, 3u}) {
        pages.push_back(written_page(SegmentGroup(queue), 1'000, queue));
    }
    REQUIRE(reopen(pages).has_value());
    const auto start = [&](Disk& over) -> Result<void> {
        SegmentStore other(over, worker, 4'096);
        for (const Known& known : pages) {
            other.add_page(known.address);
        }
        if (auto opened = other.open(); !opened) {
            return opened;
        }
        for (const bool device : {false, true}) {
            for (const Known& known : pages) {
                auto read =
                    SegmentStore::read(over, known.address, known.queue, known.range, device);
                if (!read) {
                    return read.error();
                }
            }
        }
        return {};
    };
    const std::uint64_t calls = fail_each_call(disk, start, [&] {
        for (const Known& known : pages) {
            expect_readable(known);
        }
    });
    CHECK(calls >= 1 + 2 * pages.size() + 4 * pages.size());
}

TEST_CASE("start errors: checkpoints, read and written") {
    SimDisk disk;
    SimWorker worker;
    const auto write = [&](Disk& over, const Checkpoint& last, const std::string& text) {
        CheckpointWriter writer(over, worker, last);
        writer.begin(Sequence(7));
        GroupBuffer chunk;
        chunk.append(std::as_bytes(std::span<const char>(text)));
        writer.add(chunk);
        Result<void> result;
        writer.finish(Sequence(8), [&](const Result<void>& done) { result = done; });
        worker.run_all();
        return result;
    };
    std::string found;
    const auto read = [&](Disk& over, CheckpointUse use = CheckpointUse::go_on) {
        found.clear();
        return read_checkpoint(
            over,
            [&](std::span<const std::byte> body) -> Result<void> {
                found.append(reinterpret_cast<const char*>(body.data()), body.size());
                return {};
            },
            use);
    };
    REQUIRE(write(disk, {}, "first").has_value());
    REQUIRE(write(disk, *read(disk), std::string(10'000, 's')).has_value());
    const auto try_read = [&](Disk& over) -> Result<void> {
        const auto newest = read(over);
        return newest ? Result<void>() : newest.error();
    };
    fail_each_call(disk, try_read, [&] {
        CHECK(read(disk)->number == 2);
        CHECK(found == std::string(10'000, 's'));
    });
    const Checkpoint last = *read(disk);
    const SimDisk::Image image = disk.image();
    const auto try_write = [&](Disk& over) -> Result<void> {
        disk.load(image);
        return write(over, last, "third");
    };
    // Whatever of the next one is there, one of them is read.
    fail_each_call(disk, try_write, [&] {
        const auto newest = read(disk);
        REQUIRE(newest.has_value());
        CHECK(found == (newest->number == 2 ? std::string(10'000, 's') : "third"));
    });
    CHECK(read(disk)->number == 3);
}

// What is left of a checkpoint that is not whole any more.
TEST_CASE("start errors: the chunks of a damaged checkpoint") {
    SimDisk disk;
    SimWorker worker;
    Checkpoint last;
    const auto write = [&](const std::vector<std::string>& chunks) {
        CheckpointWriter writer(disk, worker, last);
        writer.begin(Sequence(7));
        for (const std::string& text : chunks) {
            GroupBuffer chunk;
            chunk.append(std::as_bytes(std::span<const char>(text)));
            writer.add(chunk);
        }
        writer.finish(Sequence(8), [](const Result<void>& done) { CHECK(done.has_value()); });
        worker.run_all();
        last = writer.last();
    };
    write({"old 1", "old 2", "old 3", "old 4"});
    const std::string name = checkpoint_file_name(1);
    const SimDisk::Bytes old = disk.contents(name);
    write({"another file"});
    write({"new 1", "new 2"});
    std::string found;
    const auto look = [&](Disk& over) -> Result<void> {
        found.clear();
        const auto chunks = read_loose_chunks(over, name);
        if (!chunks) {
            return chunks.error();
        }
        for (const LooseChunk& chunk : *chunks) {
            found.append(reinterpret_cast<const char*>(chunk.body.data()), chunk.body.size());
            found += ';';
        }
        return {};
    };
    // Behind the new one lies the rest of the old one; and in front of it, if somebody put it
    // there.
    REQUIRE(look(disk).has_value());
    CHECK(found == "new 1;new 2;;");
    disk.fill(name, 100, 1, std::byte{0x55});
    REQUIRE(look(disk).has_value());
    CHECK(found == "new 2;;");
    SimDisk::Bytes both(old.begin(), old.begin() + block_bytes);
    both.insert(both.end(), disk.contents(name).begin(), disk.contents(name).end());
    disk.put(name, both);
    fail_each_call(disk, look, [&] {
        REQUIRE(look(disk).has_value());
        CHECK(found == "new 2;;");
    });
    // One that is whole, and of a version to come.
    ChunkHeader newer;
    newer.version = checkpoint_version + 1;
    newer.crc = crc32c(std::as_bytes(std::span(&newer, 1)).subspan(8));
    disk.overwrite(name, block_bytes, std::as_bytes(std::span(&newer, 1)));
    CHECK(look(disk).error().code == ErrorCode::unsupported_version);
    disk.erase(name);
    REQUIRE(look(disk).has_value());
    CHECK(found.empty());
}

TEST_CASE("start errors: a disk that is only looked at passes on what it is told") {
    SimDisk below;
    below.put("a", SimDisk::Bytes(10'000, std::byte{1}));
    const auto look = [](Disk& over) -> Result<void> {
        ReadOnlyDisk disk(over);
        if (const auto names = disk.list(); !names) {
            return names.error();
        }
        auto file = disk.open("a", OpenMode::read_write);
        if (!file) {
            return file.error();
        }
        BlockMemory memory(3 * block_bytes);
        // On the grid; off it by offset, by size, and by where it is to go.
        for (const auto& [offset, from, bytes] :
             {std::tuple{block_bytes, std::size_t{0}, block_bytes},
              {1, 0, block_bytes},
              {0, 0, 100},
              {0, 1, block_bytes}}) {
            const auto into = memory.bytes().subspan(from, bytes);
            const auto count = (*file)->read(offset, into);
            if (!count) {
                return count.error();
            }
            CHECK(*count == bytes);
            CHECK(into.back() == std::byte{1});
        }
        return {};
    };
    CHECK(fail_each_call(below, look, [] {}) == 6);
    ReadOnlyDisk disk(below);
    {
        const auto held = disk.lock();
        REQUIRE(held.has_value());
        CHECK(disk.lock().error().code == ErrorCode::locked);
        CHECK(disk.lock_to_look().error().code == ErrorCode::locked);
    }
    CHECK(disk.lock_to_look().has_value());
}

}  // namespace
}  // namespace mqd::storage::test
