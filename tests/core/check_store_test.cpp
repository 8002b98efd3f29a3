// Each kind of damage to a stopped store, and what check_store() says of it.

#include "daemon/core/check_store.hpp"

#include <algorithm>
#include <array>

#include "core/core_fixture.hpp"
#include "daemon/storage/checkpoint_file.hpp"
#include "daemon/storage/journal_format.hpp"
#include "daemon/storage/segment_format.hpp"

namespace mqd::core::test {
namespace {

using std::string;
using Kind = StoreFinding::Kind;

constexpr std::uint64_t published = 1200;
constexpr std::uint64_t acked = 10;

// A store whose daemon was killed: two queues with pages in segments, the first with the most, and
// a journal that has been recycled, so that the checkpoint is needed.
struct Stored : CoreFixture {
    Stored() {
        options.journal = {64 * 1024, 8 * 64 * 1024};
        options.backlog.page_bytes = 8 * 1024;
        options.backlog.flush_bytes = 16 * 1024;
        options.backlog.own_segment_bytes = 32 * 1024;
        options.backlog.segment_bytes = 64 * 1024;
        options.backlog.memory_bytes = 64 * 1024;
        start();
        for (const char* name : {"few", "many"}) {
            create(name, Durability::disk);
            WireClient& client = connect();
            (void)client.open_producer(name);
            const std::uint64_t count = name == string("many") ? published : published / 10;
            for (std::uint64_t line = 1; line <= count; ++line) {
                client.publish(line, {std::to_string(line) + string(500, 'x')});
                daemon.settle();
                (void)client.take();
            }
        }
        WireClient& client = connect();
        (void)client.open_consumer("many", 2, acked);
        daemon.settle_for(std::chrono::milliseconds(1000));
        client.ack(1, acked, 7);
        daemon.settle_for(std::chrono::milliseconds(1000));
        // Some groups in the last file, each with a message that lives there.
        WireClient& last = connect();
        (void)last.open_producer("few");
        live = published + published / 10 - acked;
        for (std::uint64_t line = 1; line == 1 || groups_of_last() < 6; ++line, ++live) {
            last.publish(line, {"last"});
            daemon.settle_for(std::chrono::milliseconds(200));  // it is sealed
            (void)last.take();
        }
        kill();
        sound = disk.image();
    }
    StoreReport check() {
        const auto before = disk.changes();
        const SimDisk::Image image = disk.image();
        auto report = check_store(disk);
        CHECK(disk.changes() == before);
        CHECK(disk.image() == image);
        REQUIRE_MESSAGE(report.has_value(), report.error().text);
        return std::move(*report);
    }
    [[nodiscard]] std::size_t groups_of_last() const {
        const std::vector<string> names = in_use();
        return names.empty() ? 0 : groups(names.back()).size();
    }
    // Where the groups of a journal file begin.
    [[nodiscard]] std::vector<std::uint64_t> groups(const string& name) const {
        std::vector<std::uint64_t> found;
        const std::span<const std::byte> bytes = disk.contents(name);
        for (std::uint64_t at = 4096; at < bytes.size(); at += 4096) {
            const auto group = storage::decode_group_header(bytes.subspan(at), header_of(name), at);
            if (group.sign == storage::GroupSign::valid) {
                found.push_back(at);
            }
        }
        return found;
    }
    // The files whose names begin so.
    [[nodiscard]] std::vector<string> files(std::string_view prefix) const {
        std::vector<string> names;
        const SimDisk::Image image = disk.image();
        for (const auto& [name, bytes] : image) {
            if (name.starts_with(prefix)) {
                names.push_back(name);
            }
        }
        return names;
    }
    [[nodiscard]] storage::FileHeader header_of(const string& name) const {
        return storage::decode_file_header(std::span(disk.contents(name)).first(4096)).header;
    }
    // Journal files in use, oldest first.
    [[nodiscard]] std::vector<string> in_use() const {
        std::vector<string> names = files("journal-");
        std::erase_if(names, [&](const string& name) {
            return header_of(name).state != storage::FileState::in_use;
        });
        std::sort(names.begin(), names.end(), [&](const string& a, const string& b) {
            return header_of(a).ordinal < header_of(b).ordinal;
        });
        return names;
    }
    // The checkpoint that counts.
    [[nodiscard]] string newest_checkpoint() {
        string newest;
        std::uint64_t number = 0;
        for (const string& name : files("checkpoint-")) {
            const auto found = storage::look_at_checkpoint(disk, name);
            REQUIRE(found.has_value());
            if (found->number > number) {
                newest = name;
                number = found->number;
            }
        }
        return newest;
    }
    // The first page of a segment in which something lives.
    [[nodiscard]] StoreFinding flipped_page(const string& name) {
        disk.flip(name, 8 * (sizeof(storage::SegmentHeader) + sizeof(storage::PageHeader) + 100));
        const StoreReport report = check();
        REQUIRE(report.findings.size() == 1);
        return report.findings[0];
    }
    [[nodiscard]] static bool has(const StoreReport& report, Kind kind, const string& file) {
        return std::any_of(report.findings.begin(), report.findings.end(),
                           [&](const StoreFinding& finding) {
                               return finding.kind == kind && finding.file == file;
                           });
    }
    [[nodiscard]] string start_error() {
        const auto started = try_start();
        return started ? string() : started.error().text;
    }

    using SimDisk = mqd::test::SimDisk;
    SimDisk::Image sound;
    std::uint64_t live = 0;
};

TEST_CASE_FIXTURE(Stored, "check: a sound store is sound, and stays as it is") {
    StoreReport report = check();
    for (const StoreFinding& finding : report.findings) {
        FAIL_CHECK(finding.text);
    }
    CHECK(report.sound());
    CHECK(report.verdict.starts_with("B: "));
    CHECK(report.queues == 2);
    CHECK(report.live == live);
    CHECK(report.messages >= report.live);
    CHECK(report.pages > 10);
    CHECK(report.segments > 3);
    CHECK(report.checkpoint > 0);
    CHECK(report.files == sound.size());
    std::uint64_t bytes = 0;
    for (const auto& [name, contents] : sound) {
        bytes += contents.size();
    }
    CHECK(report.bytes == bytes);

    // So is one that crashed: what a start mends is no damage.
    start();
    lose_power(3);
    CHECK(check().sound());
}

TEST_CASE("check: an empty folder is an empty store") {
    mqd::test::SimDisk disk;
    const auto report = check_store(disk);
    REQUIRE(report.has_value());
    CHECK(report->sound());
    CHECK(report->verdict.starts_with("A: "));
    CHECK(report->files == 0);
}

TEST_CASE_FIXTURE(Stored, "check: a file of nobody is named, and is no damage") {
    disk.put("notes.txt", {});
    disk.put("segment-000999", SimDisk::Bytes(1000));
    const StoreReport report = check();
    CHECK(report.sound());
    REQUIRE(report.notes.size() == 2);
    CHECK(report.notes[0].file == "notes.txt");
    CHECK(report.notes[1].file == "segment-000999");
}

TEST_CASE_FIXTURE(Stored, "check: a flipped bit in a page") {
    for (const string& name : files("segment-")) {
        CAPTURE(name);
        disk.load(sound);
        const StoreFinding finding = flipped_page(name);
        CHECK(finding.kind == Kind::page);
        CHECK(finding.file == name);
        CHECK(finding.offset == sizeof(storage::SegmentHeader));
        CHECK((finding.queue == "many" || finding.queue == "few"));
        CHECK(finding.range.count > 0);
        CHECK(finding.messages > 0);
        CHECK(finding.messages <= finding.range.count);
        CHECK(finding.text.find("checksum") != string::npos);
    }
}

TEST_CASE_FIXTURE(Stored, "check: what is wrong with a whole segment is said once for each queue") {
    const string name = files("segment-").back();
    SUBCASE("missing") {
        disk.erase(name);
    }
    SUBCASE("too short") {
        disk.truncate(name, 100);
    }
    const StoreReport report = check();
    REQUIRE(report.findings.size() == 1);
    CHECK(report.damaged == 1);
    const StoreFinding& finding = report.findings[0];
    CHECK(finding.kind == Kind::segment);
    CHECK(finding.file == name);
    CHECK(finding.queue == "many");
    CHECK(finding.messages > 20);
    CHECK(finding.messages == finding.range.count);
    // It went on behind it.
    CHECK(report.live == live);
    CHECK_FALSE(start_error().empty());
}

TEST_CASE_FIXTURE(Stored, "check: a segment without its header") {
    const string name = files("segment-").back();
    disk.flip(name, 8 * 20);
    const StoreReport report = check();
    REQUIRE(report.findings.size() == 1);
    CHECK(report.findings[0].kind == Kind::segment);
    CHECK(report.findings[0].text.find("header") != string::npos);
}

TEST_CASE_FIXTURE(Stored, "check: a page in the place of another") {
    // Two segments of one queue, whole and sound, with their names exchanged.
    const std::vector<string> names = files("segment-");
    const SimDisk::Bytes last = disk.contents(names[names.size() - 1]);
    disk.put(names[names.size() - 1], disk.contents(names[names.size() - 2]));
    disk.put(names[names.size() - 2], last);
    const StoreReport report = check();
    CHECK(has(report, Kind::segment, names[names.size() - 1]));
    CHECK(has(report, Kind::segment, names[names.size() - 2]));
    CHECK(has(report, Kind::page, names[names.size() - 1]));
}

TEST_CASE_FIXTURE(Stored, "check: a page that cannot be read is not called damaged") {
    disk.fail(SimDisk::Call::read, {.nth = 1, .sticky = false});
    const auto nothing = check_store(disk);
    disk.heal();
    CHECK_FALSE(nothing.has_value());  // of the checkpoint or the journal: nothing to go on with
    // Every read from the first page on.
    const std::uint64_t reads = [&] {
        std::uint64_t n = 1;
        while (true) {
            disk.fail(SimDisk::Call::read, {.nth = n, .sticky = true});
            const auto report = check_store(disk);
            disk.heal();
            if (report) {
                CHECK(report->damaged == 0);
                CHECK(report->unreadable > 0);
                CHECK(report->findings[0].kind == Kind::unreadable);
                CHECK_FALSE(report->sound());
                return n;
            }
            CHECK(report.error().code == ErrorCode::io_error);
            ++n;
        }
    }();
    CHECK(reads > 1);
}

TEST_CASE_FIXTURE(Stored, "check: damage in the journal, and it goes on behind it") {
    const std::vector<string> names = in_use();
    REQUIRE(names.size() >= 2);
    SUBCASE("G: a group of the last file") {
        const string& name = names.back();
        const std::uint64_t offset = groups(name)[2];
        disk.flip(name, 8 * (offset + 100));
        const StoreReport report = check();
        REQUIRE(has(report, Kind::journal, name));
        CHECK(report.findings[0].text.starts_with("G: "));
        CHECK(report.findings[0].offset == offset);
        CHECK(report.sequence == check_store(disk)->sequence);
        CHECK(start_error().starts_with("G: "));
    }
    SUBCASE("I: a group of an older file") {
        const string& name = names[names.size() - 2];
        disk.flip(name, 8 * (2 * 4096 + 100));
        const StoreReport report = check();
        REQUIRE(has(report, Kind::journal, name));
        CHECK(report.findings[0].text.starts_with("I: "));
        CHECK(report.findings[0].offset == 2 * 4096);
        CHECK(start_error().starts_with("I: "));
    }
    SUBCASE("J: a file is missing") {
        disk.erase(names.front());
        const StoreReport report = check();
        REQUIRE_FALSE(report.sound());
        CHECK(report.findings[0].text.starts_with("J: "));
        CHECK(start_error().starts_with("J: "));
    }
    SUBCASE("K: a file twice") {
        disk.put("journal-0099", disk.contents(names.back()));
        const StoreReport report = check();
        CHECK(report.damaged == 1);
        REQUIRE(has(report, Kind::journal, "journal-0099"));
        CHECK(report.findings[0].text.starts_with("K: "));
        CHECK(report.live == live);
        CHECK(start_error().starts_with("K: "));
    }
    SUBCASE("two holes are two findings") {
        disk.flip(names.back(), 8 * (groups(names.back())[2] + 100));
        disk.flip(names[names.size() - 2], 8 * (2 * 4096 + 100));
        const StoreReport report = check();
        CHECK(has(report, Kind::journal, names.back()));
        CHECK(has(report, Kind::journal, names[names.size() - 2]));
    }
}

TEST_CASE_FIXTURE(Stored, "check: a lost group takes nothing with it that lies behind it") {
    // A group of the last file: its message was never written elsewhere, and the checkpoint may
    // know that it lives, or may not.
    const string name = in_use().back();
    const std::vector<std::uint64_t> offsets = groups(name);
    std::uint64_t named = 0;
    for (std::size_t i = 1; i + 1 < offsets.size(); ++i) {
        disk.load(sound);
        disk.flip(name, 8 * (offsets[i] + 100));
        const StoreReport report = check();
        CHECK(has(report, Kind::journal, name));
        CHECK(report.live + 1 >= live);  // what follows the hole is not lost with it
        named += report.live == live ? 0 : 1;
    }
    CHECK(named > 0);
}

TEST_CASE_FIXTURE(Stored, "check: no checkpoint is whole, and the journal does not tell it all") {
    disk.flip(newest_checkpoint(), 8 * 100);
    const string older = newest_checkpoint();
    if (!older.empty()) {
        disk.flip(older, 8 * 100);
    }
    const StoreReport report = check();
    REQUIRE_FALSE(report.sound());
    CHECK(report.checkpoint == 0);
    CHECK(std::any_of(report.findings.begin(), report.findings.end(),
                      [](const StoreFinding& f) { return f.kind == Kind::checkpoint; }));
    // Records that find no queue are one finding for each way and queue, not one for each record.
    CHECK(report.findings.size() < 20);
    CHECK_FALSE(report.notes.empty());
}

TEST_CASE_FIXTURE(Stored, "check: segments without any journal are not taken for an empty store") {
    for (const string& name : files("journal-")) {
        disk.erase(name);
    }
    SUBCASE("with a checkpoint") {
        const StoreReport report = check();
        CHECK(std::any_of(report.findings.begin(), report.findings.end(),
                          [](const StoreFinding& f) { return f.kind == Kind::checkpoint; }));
    }
    SUBCASE("without") {
        for (const string& name : files("checkpoint-")) {
            disk.erase(name);
        }
        const StoreReport report = check();
        CHECK(report.damaged == files("segment-").size());
    }
    SUBCASE("with a checkpoint, and no segments") {
        for (const string& name : files("segment-")) {
            disk.erase(name);
        }
    }
    const SimDisk::Image image = disk.image();
    CHECK(start_error().find("no journal") != string::npos);
    CHECK(disk.image() == image);
}

TEST_CASE_FIXTURE(Stored, "check: whatever a start refuses, the check finds, and it always ends") {
    mqd::test::Dice dice(11);
    std::vector<string> names;
    for (const auto& [name, bytes] : sound) {
        names.push_back(name);
    }
    for (int i = 0; i < 60; ++i) {
        disk.load(sound);
        for (std::uint64_t flips = 1 + dice.below(3); flips > 0; --flips) {
            const string& name = names[dice.below(names.size())];
            disk.flip(name, dice.below(8 * disk.contents(name).size()));
        }
        const StoreReport report = check();
        const auto started = try_start();
        if (!started) {
            CHECK_MESSAGE(!report.sound(), started.error().text);
        } else {
            stop();
        }
    }
}

}  // namespace
}  // namespace mqd::core::test
