#include "daemon/storage/segment_store.hpp"

#include <cerrno>

#include "storage/segment_fixture.hpp"

namespace mqd::storage::test {
namespace {

// --- writing and reading

TEST_CASE_FIXTURE(StoreFixture, "segment store: what was written is read back, after a restart") {
    open();
    std::vector<Known> pages;
    for (const std::size_t bytes : {1u, 7u, 8u, 500u}) {
        pages.push_back(page(shared, bytes));
    }
    REQUIRE(write(pages).has_value());
    pages.push_back(written_page(shared, 33));
    for (const Known& known : pages) {
        CHECK(known.address.segment == SegmentNumber(1));
        CHECK(known.address.offset % 8 == 0);
        CHECK(known.address.bytes == sizeof(PageHeader) + known.body.size());
        expect_readable(known);
    }
    CHECK(pages.front().address.offset == sizeof(SegmentHeader));
    CHECK(segment_header_valid(disk.contents("segment-000001"), SegmentNumber(1)));
    disk.crash(1, {0, 100});  // all of it was synced, the name too
    REQUIRE(reopen(pages).has_value());
    for (const Known& known : pages) {
        expect_readable(known);
    }
}

TEST_CASE_FIXTURE(StoreFixture, "segment store: a group has files of its own") {
    open();
    const SegmentGroup own{7};
    const Known a = page(shared, 100, 1);
    const Known b = page(own, 100, 7);
    const Known c = page(shared, 100, 2);
    const Known d = page(own, 100, 7);
    REQUIRE(write({a, b, c, d}).has_value());
    CHECK(a.address.segment == c.address.segment);
    CHECK(b.address.segment == d.address.segment);
    CHECK(a.address.segment != b.address.segment);
    for (const Known& known : {a, b, c, d}) {
        expect_readable(known);
    }
    // The next batch goes on in both.
    CHECK(written_page(own, 10, 7).address.segment == b.address.segment);
    CHECK(written_page(shared, 10, 3).address.segment == a.address.segment);
    CHECK(store->figures().files == 2);
}

TEST_CASE_FIXTURE(StoreFixture, "segment store: a full file is left and a new one begun") {
    open();
    // What is left fits to the byte, and then by a byte not.
    const std::size_t left = 4096 - sizeof(SegmentHeader) - sizeof(PageHeader);
    const Known whole = page(shared, left);
    const Known next = page(shared, 1000);
    REQUIRE(write({whole, next}).has_value());
    CHECK(whole.address.segment == SegmentNumber(1));
    CHECK(next.address.segment == SegmentNumber(2));
    CHECK(disk.contents("segment-000001").size() == 4096);
    const std::size_t rest = 4096 - sizeof(SegmentHeader) - 2 * sizeof(PageHeader) - 1000;
    const Known more = written_page(shared, rest + 1);
    CHECK(more.address.segment == SegmentNumber(3));
    // A page that is larger than a file has one alone.
    const Known large = written_page(shared, 10'000);
    CHECK(large.address.segment == SegmentNumber(4));
    CHECK(written_page(shared, 1).address.segment == SegmentNumber(5));
    for (const Known& known : {whole, next, more, large}) {
        expect_readable(known);
    }
}

TEST_CASE_FIXTURE(StoreFixture,
                  "segment store: a file of an earlier process is not written again") {
    open();
    const Known before = written_page(shared, 100);
    const SimDisk::Bytes contents = disk.contents("segment-000001");
    REQUIRE(reopen({before}).has_value());
    CHECK(store->next_number() == SegmentNumber(2));
    CHECK(written_page(shared, 100).address.segment == SegmentNumber(2));
    CHECK(disk.contents("segment-000001") == contents);
    // Nor is a number given out again whose file is gone.
    REQUIRE(reopen({}).has_value());
    store->skip_number(SegmentNumber(40));
    store->skip_number(SegmentNumber(30));
    CHECK(written_page(shared, 1).address.segment == SegmentNumber(41));
}

TEST_CASE_FIXTURE(StoreFixture, "segment store: what is read is the page that was asked for") {
    open();
    const Known known = page(shared, 100);
    const Known other = page(shared, 100);
    REQUIRE(write({known, other}).has_value());
    const auto as = [&](auto&& change) {
        Known changed = known;
        change(changed);
        return changed;
    };
    expect_damaged(as([](Known& k) { k.queue = QueueId(2); }));
    expect_damaged(as([](Known& k) { k.range.first = k.range.first.plus(1); }));
    expect_damaged(as([](Known& k) { ++k.range.count; }));
    expect_damaged(as([](Known& k) { --k.address.bytes; }));
    expect_damaged(as([](Known& k) { ++k.address.bytes; }));
    expect_damaged(as([](Known& k) { k.address.offset += 8; }));
    expect_damaged(as([&](Known& k) { k.address.offset = other.address.offset; }));
    expect_damaged(as([](Known& k) { k.address.offset = 1'000'000; }));
    expect_damaged(as([](Known& k) { k.address.bytes = 100'000; }));
    Known missing = known;
    missing.address.segment = SegmentNumber(9);
    const auto bytes = read(missing);
    REQUIRE_FALSE(bytes.has_value());
    CHECK(bytes.error().code == ErrorCode::io_error);
    CHECK(bytes.error().os_errno == ENOENT);
    disk.fail(SimDisk::Call::read, {1, false, EIO});
    const auto failed = read(known);
    REQUIRE_FALSE(failed.has_value());
    CHECK(failed.error().os_errno == EIO);
    expect_readable(known);
}

// Each bit of the headers and one of each byte of the bodies; the padding says nothing.
TEST_CASE_FIXTURE(StoreFixture, "segment store: a flipped bit costs its own page, and is named") {
    open();
    std::vector<Known> pages;
    for (const std::size_t bytes : {61u, 200u, 5u}) {
        pages.push_back(page(shared, bytes));
    }
    REQUIRE(write(pages).has_value());
    const std::string name = "segment-000001";
    for (std::uint64_t byte = 0; byte < disk.contents(name).size(); ++byte) {
        for (std::uint64_t bit = 8 * byte; bit < 8 * byte + 8; ++bit) {
            disk.flip(name, bit);
            for (const Known& known : pages) {
                const std::uint64_t begin = known.address.offset;
                const bool hit = byte >= begin && byte < begin + known.address.bytes;
                hit ? expect_damaged(known) : expect_readable(known);
            }
            disk.flip(name, bit);
        }
    }
}

// --- start

TEST_CASE_FIXTURE(StoreFixture, "segment store: a file that is missing or too short is named") {
    open();
    const Known a = written_page(shared, 100);
    const Known b = written_page(SegmentGroup(2), 100);
    const SimDisk::Image image = disk.image();
    const std::uint64_t end = a.address.offset + a.address.bytes;
    disk.truncate("segment-000001", end);
    CHECK(reopen({a, b}).has_value());
    disk.truncate("segment-000001", end - 1);
    const auto cut = reopen({a, b});
    REQUIRE_FALSE(cut.has_value());
    CHECK(cut.error().code == ErrorCode::damaged);
    CHECK(cut.error().text ==
          "sim/segment-000001: the file ends before byte " + std::to_string(end));
    disk.load(image);
    disk.erase("segment-000002");
    const auto missing = reopen({a, b});
    REQUIRE_FALSE(missing.has_value());
    CHECK(missing.error().code == ErrorCode::damaged);
    CHECK(missing.error().text == "sim/segment-000002: the file is missing");
    CHECK(reopen({a}).has_value());
}

TEST_CASE_FIXTURE(StoreFixture, "segment store: an error of the disk at the start is no damage") {
    open();
    const Known known = written_page(shared, 100);
    for (const auto call : {SimDisk::Call::list, SimDisk::Call::open}) {
        disk.fail(call, {1, false, EMFILE});
        const auto failed = reopen({known});
        REQUIRE_FALSE(failed.has_value());
        CHECK(failed.error().code == ErrorCode::io_error);
        CHECK(failed.error().os_errno == EMFILE);
    }
    CHECK(reopen({known}).has_value());
}

TEST_CASE_FIXTURE(StoreFixture, "segment store: files without pages are told, others left alone") {
    disk.put("segment-000003", SimDisk::Bytes(10));
    disk.put("segment-000005", SimDisk::Bytes(0));
    disk.put("segment-5", SimDisk::Bytes(10));
    disk.put("journal-0001", SimDisk::Bytes(10));
    open();
    CHECK(store->next_number() == SegmentNumber(6));
    const auto dead = store->take_dead();
    CHECK(dead == std::vector{SegmentNumber(3), SegmentNumber(5)});
    CHECK(store->take_dead().empty());
    for (const SegmentNumber number : dead) {
        store->remove(number, [](const Error& error) { FAIL(error.text); });
    }
    worker.run_all();
    CHECK(disk.image().size() == 2);
    CHECK(store->figures().files == 0);
}

// --- what lives

TEST_CASE_FIXTURE(StoreFixture, "segment store: a file in which nothing lives is told once") {
    open();
    const Known a = page(shared, 100);
    const Known b = page(shared, 100);
    REQUIRE(write({a, b}).has_value());
    CHECK(store->figures().live_bytes == a.address.bytes + b.address.bytes);
    store->shrink_page(a.address, 60);
    CHECK(store->figures().live_bytes == a.address.bytes + b.address.bytes - 60);
    drop(b);
    CHECK(store->take_dead().empty());
    store->drop_page(a.address, a.address.bytes - 60);
    CHECK(store->take_dead() == std::vector{SegmentNumber(1)});
    CHECK(store->take_dead().empty());
    CHECK(store->figures().live_bytes == 0);
    CHECK(exists(SegmentNumber(1)));
    // It is not written again, though it is there and was open.
    CHECK(written_page(shared, 10).address.segment == SegmentNumber(2));
    const std::uint64_t bytes = store->figures().bytes;
    store->remove(SegmentNumber(1), [](const Error& error) { FAIL(error.text); });
    worker.run_all();
    CHECK_FALSE(exists(SegmentNumber(1)));
    CHECK(store->figures().files == 1);
    CHECK(store->figures().bytes < bytes);
    CHECK(store->figures().bytes == disk.contents("segment-000002").size());
}

TEST_CASE_FIXTURE(StoreFixture, "segment store: a file that is being written is not told as dead") {
    open();
    const Known before = written_page(shared, 100);
    const Known next = page(shared, 100);
    bool done = false;
    store->write([&](const Result<void>& written) {
        REQUIRE(written.has_value());
        store->add_page(next.address);
        done = true;
    });
    drop(before);  // the page before was the only one that counted
    CHECK(store->take_dead().empty());
    worker.run_all();
    CHECK(done);
    CHECK(store->take_dead().empty());
    expect_readable(next);
    drop(next);
    CHECK(store->take_dead() == std::vector{SegmentNumber(1)});
    // Nobody wanted what was written: dead as soon as the batch is over.
    (void)page(shared, 100);
    REQUIRE(write({}).has_value());
    CHECK(store->take_dead() == std::vector{SegmentNumber(2)});
}

TEST_CASE_FIXTURE(StoreFixture, "segment store: a file that is gone already counts as removed") {
    open();
    const Known known = written_page(shared, 100);
    drop(known);
    REQUIRE(store->take_dead().size() == 1);
    disk.erase("segment-000001");
    store->remove(SegmentNumber(1), [](const Error& error) { FAIL(error.text); });
    worker.run_all();
    const Known other = written_page(shared, 100);
    drop(other);
    REQUIRE(store->take_dead().size() == 1);
    disk.fail(SimDisk::Call::remove, {1, false, EIO});
    std::optional<Error> failed;
    store->remove(other.address.segment, [&](const Error& error) { failed = error; });
    worker.run_all();
    REQUIRE(failed.has_value());
    CHECK(failed->os_errno == EIO);
}

TEST_CASE_FIXTURE(StoreFixture,
                  "segment store: the worst file is carried, and only beyond the bound") {
    open();
    // Ten files of two pages each: what is dead has to be more than what lives and two files.
    std::vector<Known> pages;
    for (int i = 0; i < 20; ++i) {
        pages.push_back(written_page(shared, 1950));
    }
    REQUIRE(store->figures().files == 10);
    std::size_t ended = 0;
    const auto is_beyond = [&] {
        const auto figures = store->figures();
        return figures.bytes > 2 * figures.live_bytes + 2 * 4096;
    };
    while (!is_beyond()) {
        CHECK_FALSE(store->file_to_carry().has_value());
        REQUIRE(ended < pages.size());
        store->shrink_page(pages[ended++].address, 1700);
    }
    CHECK(ended > 10);
    CHECK(store->file_to_carry() == pages[0].address.segment);
    store->shrink_page(pages[18].address, 1950);
    store->shrink_page(pages[19].address, 1950);
    CHECK(store->file_to_carry() == pages[18].address.segment);
    // A file that is being written is not carried, however bad it is.
    const Known next = page(shared, 10);
    CHECK(next.address.segment != pages[18].address.segment);  // that one was closed when named
    CHECK(store->file_to_carry() == pages[18].address.segment);
    REQUIRE(write({next}).has_value());
}

// Else what lives would be written anew, again and again, until that is durable.
TEST_CASE_FIXTURE(StoreFixture,
                  "segment store: files that wait to be removed are no reason to carry") {
    open();
    const Known known = written_page(shared, 3000);
    for (int i = 0; i < 10; ++i) {
        drop(written_page(shared, 3000));
        CHECK_FALSE(store->file_to_carry().has_value());
    }
    CHECK(store->figures().files == 11);
    for (const SegmentNumber number : store->take_dead()) {
        store->remove(number, [](const Error& error) { FAIL(error.text); });
        CHECK_FALSE(store->file_to_carry().has_value());
    }
    worker.run_all();
    CHECK(store->figures().files == 1);
    expect_readable(known);
}

TEST_CASE_FIXTURE(StoreFixture, "segment store: a file of which all is carried away is dead") {
    open();
    std::vector<Known> others;
    const Known known = written_page(shared, 3000);
    for (int i = 0; i < 6; ++i) {
        others.push_back(written_page(shared, 3000));
        store->shrink_page(others.back().address, 2900);
    }
    store->shrink_page(known.address, 2950);
    REQUIRE(store->file_to_carry() == SegmentNumber(1));
    Known carried = known;
    GroupBuffer& body = store->begin_page(shared, known.queue, known.range, 1000);
    carried.body.resize(1000);
    body.append(std::as_bytes(std::span<const char>(carried.body)));
    carried.address = store->end_page();
    CHECK(carried.address.segment != known.address.segment);
    REQUIRE(write({carried}).has_value());
    (void)store->take_dead();
    store->drop_page(known.address, known.address.bytes - 2950);
    CHECK(store->take_dead() == std::vector{SegmentNumber(1)});
    expect_readable(carried);
}

// --- errors

TEST_CASE_FIXTURE(StoreFixture, "segment store: a batch that fails leaves what was there") {
    open();
    using Call = SimDisk::Call;
    std::vector<Known> pages;
    for (const int code : {EIO, ENOSPC}) {
        for (const Call call : {Call::open, Call::write, Call::sync, Call::sync_directory}) {
            for (std::uint64_t nth = 1; nth <= 3; ++nth) {
                CAPTURE(nth);
                pages.push_back(written_page(shared, 300));
                const Known a = page(shared, 2000);
                const Known b = page(SegmentGroup(2), 500, 2);
                const Known c = page(SegmentGroup(3), 4000, 3);
                disk.fail(call, {nth, false, code});
                const auto failed = write({a, b, c});
                disk.heal();
                if (!failed) {
                    CHECK(failed.error().os_errno == code);
                } else {
                    pages.insert(pages.end(), {a, b, c});
                }
                for (const Known& known : pages) {
                    expect_readable(known);
                }
                // Nothing is appended to what a failure left.
                const Known next = written_page(shared, 10);
                CHECK((failed.has_value() || next.address.segment > a.address.segment));
                pages.push_back(next);
                for (const SegmentNumber number : store->take_dead()) {
                    store->remove(number, [](const Error& error) { FAIL(error.text); });
                }
                worker.run_all();
            }
        }
    }
    REQUIRE(reopen(pages).has_value());
    CHECK(store->take_dead().empty());
    for (const Known& known : pages) {
        expect_readable(known);
    }
}

TEST_CASE_FIXTURE(StoreFixture,
                  "segment store: on a full disk what is there stays, and goes on after") {
    open();
    const Known known = written_page(shared, 500);
    disk.set_capacity(disk.used() + 100);
    for (int i = 0; i < 5; ++i) {
        const auto failed = write({page(shared, 500)});
        REQUIRE_FALSE(failed.has_value());
        CHECK(failed.error().code == ErrorCode::no_space);
        for (const SegmentNumber number : store->take_dead()) {
            store->remove(number, [](const Error& error) { FAIL(error.text); });
        }
        worker.run_all();
        expect_readable(known);
    }
    CHECK(store->figures().files == 1);
    disk.set_capacity(UINT64_MAX);
    const Known next = written_page(shared, 500);
    expect_readable(next);
    CHECK(reopen({known, next}).has_value());
}

TEST_CASE_FIXTURE(StoreFixture, "segment store: a store that is gone is not called back") {
    open();
    const Known known = written_page(shared, 500);
    drop(known);
    for (const SegmentNumber number : store->take_dead()) {
        disk.erase(segment_file_name(number));
        disk.fail(SimDisk::Call::remove, {1, false, EIO});
        store->remove(number, [](const Error&) { FAIL("called back"); });
    }
    (void)page(shared, 10);
    store->write([](const Result<void>&) { FAIL("called back"); });
    store.reset();
    worker.run_all();
}

TEST_CASE_FIXTURE(StoreFixture, "segments: told files are those that pages were told to be in") {
    open();
    CHECK(store->told_files().empty());
    const Known first = page(SegmentGroup(1), 100);
    CHECK(store->told_files().empty());  // it is being made
    REQUIRE(write({first}).has_value());
    const Known second = page(SegmentGroup(1), 100);
    const Known other = page(SegmentGroup(2), 100);
    CHECK(store->told_files() == std::vector{first.address.segment});
    REQUIRE(write({second, other}).has_value());
    const std::vector both{first.address.segment, other.address.segment};
    CHECK(store->told_files() == both);
    drop(other);
    CHECK(store->told_files() == both);  // until what ended its page is durable
    CHECK(store->take_dead() == std::vector{other.address.segment});
    store->remove(other.address.segment, [](const Error&) {});
    CHECK(store->told_files() == std::vector{first.address.segment});
    disk.refuse_creating("segment-");
    CHECK_FALSE(write({page(SegmentGroup(3), 100)}).has_value());
    CHECK(store->told_files() == std::vector{first.address.segment});
}

}  // namespace
}  // namespace mqd::storage::test
