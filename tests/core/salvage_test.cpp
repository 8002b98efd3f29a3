// on_damage = "salvage": what segments have lost is given up for good, and the rest is served.

#include <algorithm>

#include "core/core_fixture.hpp"
#include "daemon/core/check_store.hpp"
#include "daemon/core/record.hpp"
#include "daemon/storage/checkpoint_file.hpp"
#include "daemon/storage/segment_format.hpp"
#include "support/sim_worker.hpp"

namespace mqd::core::test {
namespace {

using std::string;
using SimDisk = mqd::test::SimDisk;

constexpr std::uint64_t published = 600;

// A stopped store with one queue, most of which lies in segments.
struct Salvaging : CoreFixture {
    Salvaging() {
        options.journal = {64 * 1024, 8 * 64 * 1024};
        options.backlog.page_bytes = 8 * 1024;
        options.backlog.flush_bytes = 16 * 1024;
        options.backlog.own_segment_bytes = 1;
        options.backlog.segment_bytes = 64 * 1024;
        options.backlog.memory_bytes = 64 * 1024;
        start();
        create("q", Durability::disk);
        WireClient& client = connect();
        (void)client.open_producer("q");
        for (std::uint64_t line = 1; line <= published; ++line) {
            client.publish(line, {std::to_string(line) + string(500, 'x')});
            daemon.settle();
            (void)client.take();
        }
        daemon.settle_for(std::chrono::milliseconds(1000));
        stop();
        sound = disk.image();
    }
    [[nodiscard]] StoreReport check() {
        auto report = check_store(disk);
        REQUIRE(report.has_value());
        return std::move(*report);
    }
    [[nodiscard]] std::vector<string> segments() const {
        std::vector<string> names;
        for (const auto& [name, bytes] : sound) {
            if (name.starts_with("segment-")) {
                names.push_back(name);
            }
        }
        return names;
    }
    // Starts in that mode; what it says.
    string start_salvaging() {
        options.on_damage = OnDamage::salvage;
        start();
        options.on_damage = OnDamage::refuse;
        string lines;
        for (const string& line : daemon.core().take_complaints()) {
            lines += line + '\n';
        }
        return lines;
    }
    // Delivered are all numbers that live, each with its own body.
    void expect_all_delivered(std::uint64_t live) {
        REQUIRE(queue("q").live() == live);
        WireClient& client = connect();
        (void)client.open_consumer("q", 2);
        std::uint64_t seen = 0;
        while (seen < live) {
            daemon.settle();
            const auto delivery = client.next<wire::Deliver>();
            const std::uint64_t first = delivery.first_number.value();
            std::uint64_t number = first;
            for (const string& body : bodies_of(delivery)) {
                CHECK(body == std::to_string(number++) + string(500, 'x'));
            }
            client.ack(first, delivery.count);
            seen += delivery.count;
        }
        daemon.settle_for(std::chrono::milliseconds(1000));
        CHECK(queue("q").live() == 0);
    }

    SimDisk::Image sound;
};

TEST_CASE_FIXTURE(Salvaging, "salvage: a sound store stays as it is") {
    CHECK(start_salvaging().empty());
    expect_all_delivered(published);
}

TEST_CASE_FIXTURE(Salvaging, "salvage: what a segment has lost is named, and gone for good") {
    const std::vector<string> names = segments();
    REQUIRE(names.size() >= 3);
    const string& name = names[1];
    SUBCASE("a flipped bit in a page") {
        disk.flip(name, 8 * (sizeof(storage::SegmentHeader) + sizeof(storage::PageHeader) + 100));
    }
    SUBCASE("a missing file") {
        disk.erase(name);
    }
    SUBCASE("a short file") {
        disk.truncate(name, 30'000);
    }
    SUBCASE("an empty file") {
        disk.truncate(name, 0);
    }
    const StoreReport report = check();
    REQUIRE(report.damaged == 1);
    const std::uint64_t lost = report.findings[0].messages;
    REQUIRE(lost > 0);

    const string lines = start_salvaging();
    CHECK(lines.find("messages of queue \"q\" are lost, among numbers " +
                     std::to_string(report.findings[0].range.first.value()) + " to ") !=
          string::npos);
    CHECK(lines.find(name) != string::npos);
    CHECK(lines.find("salvage: " + std::to_string(lost) + " messages are lost\n") != string::npos);
    CHECK(queue("q").live() == published - lost);
    kill();
    CHECK(check().sound());
    start();  // in the other mode
    CHECK(daemon.core().take_complaints().empty());
    expect_all_delivered(published - lost);
}

TEST_CASE_FIXTURE(Salvaging, "salvage: a page that nobody knows of any more is found") {
    // A checkpoint as it was, without one of its pages.
    std::vector<std::vector<std::byte>> bodies;
    const auto last = storage::read_checkpoint(disk, [&](wire::Bytes body) -> Result<void> {
        bodies.emplace_back(body.begin(), body.end());
        return {};
    });
    REQUIRE(last.has_value());
    mqd::test::SimWorker worker;
    storage::CheckpointWriter writer(disk, worker, *last);
    writer.begin(last->from);
    std::uint64_t dropped = 0;
    for (const auto& body : bodies) {
        storage::GroupBuffer copy;
        RecordReader reader(body);
        while (const auto record = reader.next()) {
            if (record->type == RecordType::place_messages && dropped == 0) {
                dropped = decode_place(record->body)->held;
                continue;
            }
            const std::span<const std::byte> whole(record->body.data() - record_header_bytes,
                                                   record->body.size() + record_header_bytes);
            std::copy(whole.begin(), whole.end(), copy.extend(whole.size()));
        }
        writer.add(copy);
    }
    bool written = false;
    writer.finish(last->through, [&](const Result<void>& done) { written = done.has_value(); });
    worker.run_all();
    REQUIRE(written);
    REQUIRE(dropped > 0);

    const auto refused = try_start();
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == ErrorCode::damaged);
    CHECK(check().findings[0].kind == StoreFinding::Kind::message);
    const string lines = start_salvaging();
    CHECK(lines.find("salvage: " + std::to_string(dropped) +
                     " messages of queue \"q\" from number 1 on were found in ") != string::npos);
    daemon.settle();
    kill();
    CHECK(check().sound());
    start();
    expect_all_delivered(published);
}

TEST_CASE_FIXTURE(Salvaging, "salvage: a power loss on the way is harmless") {
    disk.erase(segments()[1]);
    disk.flip(segments()[2],
              8 * (sizeof(storage::SegmentHeader) + sizeof(storage::PageHeader) + 100));
    std::uint64_t lost = 0;
    for (const StoreFinding& finding : check().findings) {
        lost += finding.messages;
    }
    const SimDisk::Image damaged = disk.image();
    bool whole = false;
    for (std::uint64_t change = 1; !whole; ++change) {
        CAPTURE(change);
        REQUIRE(change < 1000);
        disk.load(damaged);
        disk.power_off_at(change);
        options.on_damage = OnDamage::salvage;
        (void)try_start();
        whole = !disk.is_off();
        daemon.end();
        disk.crash(change);
        const string lines = start_salvaging();
        REQUIRE(queue("q").live() == published - lost);
        kill();
        REQUIRE(check().sound());
    }
}

TEST_CASE_FIXTURE(Salvaging, "salvage: what the system cannot read is not given up") {
    // Reads fail, one after the other, until none does: those of checkpoint and journal end the
    // start, those of pages keep what is in them.
    options.on_damage = OnDamage::salvage;
    bool started = false;
    for (std::uint64_t n = 1; !started; ++n) {
        REQUIRE(n < 100);
        disk.load(sound);
        disk.fail(SimDisk::Call::read, {.nth = n, .sticky = true});
        started = try_start().has_value();
        disk.heal();
        if (started) {
            CHECK(queue("q").live() == published);
            kill();
        }
    }
    disk.load(sound);
    disk.fail(SimDisk::Call::open, {.nth = 30, .sticky = true, .os_errno = EMFILE});
    const auto refused = try_start();
    disk.heal();
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().os_errno == EMFILE);
}

}  // namespace
}  // namespace mqd::core::test
