// A journal whose bytes are not as they were written, with `on_damage =
// "salvage"`: the daemon starts, every message whose bytes are still there is
// served with its own body, every other one is named, and what is left is a
// sound store. What was acked may come again. MQD_EXHAUSTIVE=1 flips every bit.

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "core/stored_fixture.hpp"
#include "daemon/core/check_store.hpp"
#include "daemon/core/record.hpp"
#include "daemon/storage/journal_format.hpp"
#include "mqd/wire/backup.hpp"
#include "support/dice.hpp"
#include "support/sanitized.hpp"
#include "support/sim_worker.hpp"

namespace mqd::core::test {
namespace {

using mqd::test::Dice;
using mqd::test::slowness;
using std::string;

constexpr std::uint64_t block_bytes = storage::block_bytes;

class Mending : public StoredFixture {
  public:
    explicit Mending(const BacklogOptions& pieces = {}) {
        options.backlog.checkpoint_items = pieces.checkpoint_items;
        options.backlog.checkpoint_chunk_bytes = pieces.checkpoint_chunk_bytes;
        write_store();
        sound = disk.image();
        for (const auto& [queue, durability] : queues()) {
            expected[queue] = living(queue);
        }
        journals = names_of(sound, "journal-");
        REQUIRE(journals.size() >= 3);
    }

    // Salvages what lies on the disk, and judges what is left. False: it was
    // refused, as the state that the journal builds upon is not there.
    bool judge() {
        options.on_damage = OnDamage::salvage;
        const auto started = try_start();
        options.on_damage = OnDamage::refuse;
        if (!started) {
            const Error& error = started.error();
            REQUIRE_MESSAGE(error.code == ErrorCode::damaged, error.text);
            REQUIRE_MESSAGE(error.text.find("checkpoint") != string::npos, error.text);
            daemon.end();
            disk.kill();
            return false;
        }
        complaints = daemon.core().take_complaints();
        const std::vector<string> told = complaints;
        daemon.settle_for(std::chrono::seconds(3));
        kill();
        text.clear();
        for (const string& line : told) {
            text += line + '\n';
        }
        CAPTURE(text);
        const auto report = check_store(disk);
        REQUIRE(report.has_value());
        for (const StoreFinding& finding : report->findings) {
            FAIL_CHECK(finding.text);
        }
        const Looked looked = look();
        REQUIRE_MESSAGE(looked.started.has_value(), looked.started.error().text);
        for (const string& line : looked.complaints) {
            FAIL_CHECK(line);
        }
        compare(looked);
        return true;
    }
    // Of each queue, what is not there is named, and what is there is right.
    void compare(const Looked& looked) {
        std::uint32_t id = 0;  // as they were made
        for (const auto& [queue, all] : expected) {
            auto found = looked.delivered.find(queue);
            if (found == looked.delivered.end()) {
                found = looked.delivered.find("salvaged." + std::to_string(id + 1));
            }
            ++id;
            REQUIRE_MESSAGE(found != looked.delivered.end(), queue);
            const Living& there = found->second;
            for (const auto& [number, body] : there) {
                REQUIRE_MESSAGE(number <= messages, queue, ' ', number);
                REQUIRE_MESSAGE(body == body_of(queue, number), queue, ' ', number);
                revived += all.contains(number) ? 0 : 1;
                REQUIRE_MESSAGE(!told_lost(queue, number), "not lost: ", queue, ' ', number);
            }
            for (const auto& [number, body] : all) {
                if (!there.contains(number)) {
                    ++lost;
                    REQUIRE_MESSAGE(named(queue, number), "lost in silence: ", queue, ' ', number);
                }
            }
        }
    }
    [[nodiscard]] bool named(const string& queue, std::uint64_t number) const {
        return std::ranges::any_of(complaints, [&](const string& line) {
            unsigned long long first = 0;
            unsigned long long last = 0;
            const auto at = line.find(" of queue \"" + queue + "\" are lost");
            if (at == string::npos) {
                return false;
            }
            const auto among = line.find("among numbers ");
            if (among != string::npos) {
                return std::sscanf(line.c_str() + among, "among numbers %llu to %llu", &first,
                                   &last) == 2 &&
                       first <= number && number <= last;
            }
            const auto from = line.find("messages from ");
            if (from != string::npos) {
                return std::sscanf(line.c_str() + from, "messages from %llu on", &first) == 1 &&
                       first <= number;
            }
            const auto range = line.find("messages ");
            return std::sscanf(line.c_str() + range, "messages %llu to %llu", &first, &last) == 2 &&
                   first <= number && number <= last;
        });
    }
    // By a line that means every number of its range.
    [[nodiscard]] bool told_lost(const string& queue, std::uint64_t number) const {
        return std::ranges::any_of(complaints, [&](const string& line) {
            unsigned long long first = 0;
            unsigned long long last = 0;
            return line.find(" of queue \"" + queue + "\" are lost, as far") != string::npos &&
                   std::sscanf(line.c_str(), "salvage: messages %llu to %llu", &first, &last) ==
                       2 &&
                   first <= number && number <= last;
        });
    }
    void report(const char* what) const {
        std::printf("mend: %s: salvaged=%llu refused=%llu lost=%llu revived=%llu\n", what,
                    static_cast<unsigned long long>(salvaged),
                    static_cast<unsigned long long>(refused), static_cast<unsigned long long>(lost),
                    static_cast<unsigned long long>(revived));
    }
    void judge_and_count() { ++(judge() ? salvaged : refused); }

    SimDisk::Image sound;
    std::map<string, Living> expected;
    std::vector<string> journals;
    std::vector<string> complaints;
    string text;
    std::uint64_t salvaged = 0;
    std::uint64_t refused = 0;
    std::uint64_t lost = 0;
    std::uint64_t revived = 0;
};

TEST_CASE_FIXTURE(Mending, "mend: a sound store stays as it is") {
    CHECK(judge());
    CHECK(text.empty());
    CHECK(lost == 0);
    CHECK(revived == 0);
}

TEST_CASE_FIXTURE(Mending, "mend: a flipped bit of the journal costs what it hit") {
    Dice dice(81);
    const std::uint64_t tries = std::getenv("MQD_EXHAUSTIVE") != nullptr ? 20'000 : 300 / slowness;
    for (const string& name : journals) {
        for (std::uint64_t n = 0; n < tries; ++n) {
            const std::uint64_t bit = dice.below(sound.at(name).size() * 8);
            CAPTURE(name);
            CAPTURE(bit);
            disk.load(sound);
            disk.flip(name, bit);
            judge_and_count();
        }
    }
    report("flipped bits");
    CHECK(refused == 0);
}

TEST_CASE_FIXTURE(Mending, "mend: zeroed, stale and misplaced blocks of the journal") {
    Dice dice(82);
    for (const string& name : journals) {
        const std::uint64_t blocks = sound.at(name).size() / block_bytes;
        for (std::uint64_t block = 0; block < blocks; ++block) {
            CAPTURE(name);
            CAPTURE(block);
            disk.load(sound);
            switch (dice.below(3)) {
                case 0: disk.fill(name, block * block_bytes, block_bytes, std::byte{0}); break;
                case 1: {
                    const auto then = halfway.find(name);
                    if (then != halfway.end() && then->second.size() == sound.at(name).size()) {
                        disk.overwrite(
                            name, block * block_bytes,
                            std::span(then->second).subspan(block * block_bytes, block_bytes));
                    }
                    break;
                }
                default:
                    disk.overwrite(name, block * block_bytes,
                                   std::span(sound.at(name))
                                       .subspan(dice.below(blocks) * block_bytes, block_bytes));
            }
            judge_and_count();
        }
    }
    report("blocks");
}

TEST_CASE_FIXTURE(Mending,
                  "mend: a file of the journal that lost its header is read all the same") {
    for (const string& name : journals) {
        CAPTURE(name);
        disk.load(sound);
        disk.fill(name, 0, block_bytes, std::byte{0});
        judge_and_count();
    }
    report("lost headers");
    CHECK(lost == 0);
}

TEST_CASE_FIXTURE(Mending, "mend: there is no backup of a store that is being salvaged") {
    // Not in every file is the second block one that anybody misses.
    options.on_damage = OnDamage::salvage;
    bool damaged = false;
    for (std::size_t i = 0; i < journals.size() && !damaged; ++i) {
        disk.load(sound);
        disk.fill(journals[i], 2 * block_bytes, block_bytes, std::byte{0xA5});
        start();
        damaged = !daemon.core().take_complaints().empty();
        if (!damaged) {
            kill();
        }
    }
    REQUIRE(damaged);
    WireClient& client = connect();
    client.send(wire::Backup{}, 0, 1);
    CHECK(client.await<wire::ErrorFrame>().text.find("being salvaged") != string::npos);
    daemon.settle_for(std::chrono::seconds(3));
    client.send(wire::Backup{}, 0, 2);
    daemon.settle_for(std::chrono::seconds(1));
    CHECK(client.await<wire::BackupReply>().files > 0);
}

TEST_CASE_FIXTURE(Mending, "mend: a file of the journal that is missing, short or there twice") {
    for (const string& name : journals) {
        for (unsigned kind = 0; kind < 3; ++kind) {
            CAPTURE(name);
            CAPTURE(kind);
            disk.load(sound);
            switch (kind) {
                case 0: disk.erase(name); break;
                case 1: disk.truncate(name, sound.at(name).size() / 8 * 4); break;
                default: disk.put("journal-0099", sound.at(name));
            }
            judge_and_count();
        }
    }
    report("files");
}

TEST_CASE_FIXTURE(Mending, "mend: a checkpoint with flipped bits is put together again") {
    Dice dice(83);
    const std::vector<string> checkpoints = names_of(sound, "checkpoint-");
    REQUIRE(checkpoints.size() == 2);
    for (const string& name : checkpoints) {
        for (std::uint64_t n = 0; n < 200 / slowness; ++n) {
            const std::uint64_t bit = dice.below(sound.at(name).size() * 8);
            CAPTURE(name);
            CAPTURE(bit);
            disk.load(sound);
            disk.flip(name, bit);
            if (n % 2 == 0) {
                disk.erase(name == checkpoints[0] ? checkpoints[1] : checkpoints[0]);
            }
            judge_and_count();
        }
    }
    report("checkpoints");
    CHECK(refused == 0);
    CHECK(lost == 0);  // every body is still there
}

TEST_CASE_FIXTURE(Mending, "mend: a store without its checkpoints gives back what it has") {
    for (unsigned which = 1; which <= 3; ++which) {
        CAPTURE(which);
        disk.load(sound);
        for (unsigned i = 0; i < 2; ++i) {
            if ((which & (1u << i)) != 0) {
                disk.erase(storage::checkpoint_file_name(i));
            }
        }
        judge_and_count();
    }
    report("lost checkpoints");
    CHECK(refused == 0);
    CHECK(lost == 0);
}

class MendingInPieces : public Mending {
  public:
    MendingInPieces() : Mending(small()) {}
    static BacklogOptions small() {
        BacklogOptions options;
        options.checkpoint_items = 4;
        options.checkpoint_chunk_bytes = 100;
        return options;
    }
};

TEST_CASE_FIXTURE(MendingInPieces, "mend: of what a lost chunk of a checkpoint told, all lives") {
    for (unsigned which = 0; which < 2; ++which) {
        const string kept = storage::checkpoint_file_name(which);
        for (std::uint64_t block = 0; block < 40; ++block) {
            CAPTURE(kept);
            CAPTURE(block);
            disk.load(sound);
            disk.fill(kept, block * block_bytes, block_bytes, std::byte{0});
            disk.erase(storage::checkpoint_file_name(which + 1));
            judge_and_count();
        }
    }
    report("pieces of checkpoints");
    CHECK(refused == 0);
    CHECK(lost == 0);
}

// A flush that was given up, or that a crash took back, leaves pages in files
// that go on living.
TEST_CASE_FIXTURE(Mending, "mend: of pages with the same messages, the younger one counts") {
    const std::vector<string> segments = names_of(sound, "segment-");
    const string& into = segments.front();
    std::uint64_t tried = 0;
    for (const string& name : segments) {
        for (const FoundPageAt& page : pages_of(name, sound.at(name))) {
            RecordReader reader(
                std::span(sound.at(name))
                    .subspan(page.offset + sizeof(storage::PageHeader), page.header.body_bytes));
            const auto first = reader.next();
            if (name == into || !first || !reader.next()) {
                continue;
            }
            SimDisk::Bytes grown = sound.at(into);
            grown.resize((grown.size() + 7) / 8 * 8);
            storage::PageHeader header = page.header;
            header.segment = storage::segment_file_number(into)->value();
            header.offset = grown.size();
            header.count = decode_messages(first->body)->range.end().value() - header.first;
            SimDisk::Bytes vain(sizeof header);
            const std::byte* record = first->body.data() - record_header_bytes;
            vain.insert(vain.end(), record, record + record_header_bytes + first->body.size());
            storage::seal_page(header, vain);
            grown.insert(grown.end(), vain.begin(), vain.end());
            CAPTURE(name);
            CAPTURE(page.offset);
            disk.load(sound);
            disk.put(into, std::move(grown));
            for (unsigned i = 0; i < 2; ++i) {
                disk.erase(storage::checkpoint_file_name(i));
            }
            judge_and_count();
            ++tried;
        }
    }
    report("pages in vain");
    CHECK(tried > 10);
    CHECK(lost == 0);
}

TEST_CASE_FIXTURE(Mending, "mend: a page is found where it was carried to") {
    const std::vector<string> segments = names_of(sound, "segment-");
    const auto next = storage::segment_file_number(segments.back())->plus(1);
    for (const string& name : segments) {
        CAPTURE(name);
        SimDisk::Bytes moved = sound.at(name);
        storage::encode_segment_header(next, moved);
        for (const FoundPageAt& page : pages_of(name, sound.at(name))) {
            storage::PageHeader header = page.header;
            header.segment = next.value();
            storage::seal_page(header,
                               std::span(moved).subspan(page.offset, page.end() - page.offset));
        }
        disk.load(sound);
        disk.erase(name);
        disk.put(storage::segment_file_name(next), std::move(moved));
        judge_and_count();
    }
    report("carried pages");
    CHECK(lost == 0);
}

TEST_CASE_FIXTURE(Mending, "mend: of a page that is lost, the journal may have something still") {
    disk.erase(names_of(sound, "segment-").back());
    const auto report = check_store(disk);
    REQUIRE(report.has_value());
    std::uint64_t in_it = 0;
    for (const StoreFinding& finding : report->findings) {
        in_it += finding.messages;
    }
    judge_and_count();
    CHECK(lost < in_it);
}

TEST_CASE_FIXTURE(Mending, "mend: several files of the journal that lost their headers") {
    for (unsigned which = 1; which < 1u << journals.size(); ++which) {
        CAPTURE(which);
        disk.load(sound);
        for (std::size_t i = 0; i < journals.size(); ++i) {
            if ((which >> i & 1) != 0) {
                disk.fill(journals[i], 0, block_bytes, std::byte{0});
            }
        }
        judge_and_count();
    }
    report("headers");
    CHECK(refused == 0);
    CHECK(lost == 0);
}

TEST_CASE_FIXTURE(Mending, "mend: a journal without headers, and an older checkpoint") {
    for (const string& name : journals) {
        disk.fill(name, 0, block_bytes, std::byte{0});
    }
    SUBCASE("one is left") {
        disk.erase(storage::checkpoint_file_name(0));
    }
    SUBCASE("the other is left") {
        disk.erase(storage::checkpoint_file_name(1));
    }
    SUBCASE("none is left") {
        disk.erase(storage::checkpoint_file_name(0));
        disk.erase(storage::checkpoint_file_name(1));
    }
    judge_and_count();
    CHECK(refused == 0);
    CHECK(lost == 0);
}

// All bytes are as they were written, and yet do not fit: what was made of them is written anew.
TEST_CASE_FIXTURE(Mending, "mend: a checkpoint that does not know a queue of the journal") {
    std::vector<storage::GroupBuffer> bodies;
    const auto last = storage::read_checkpoint(disk, [&](wire::Bytes body) -> Result<void> {
        bodies.emplace_back();
        RecordReader reader(body);
        while (const auto record = reader.next()) {
            const auto queue = decode_create_queue(record->body);
            if (record->type != RecordType::create_queue || queue->definition.name != "orders") {
                const std::byte* begin = record->body.data() - record_header_bytes;
                const std::size_t size = record->body.size() + record_header_bytes;
                std::copy_n(begin, size, bodies.back().extend(size));
            }
        }
        return {};
    });
    REQUIRE(last.has_value());
    mqd::test::SimWorker worker;
    storage::CheckpointWriter writer(disk, worker, *last);
    writer.begin(last->from);
    for (storage::GroupBuffer& body : bodies) {
        writer.add(body);
    }
    writer.finish(last->through, [](const Result<void>& done) { REQUIRE(done.has_value()); });
    worker.run_all();
    CHECK_FALSE(look().started.has_value());
    options.on_damage = OnDamage::salvage;
    start();
    options.on_damage = OnDamage::refuse;
    daemon.settle_for(std::chrono::seconds(3));
    kill();
    const Looked looked = look();
    CHECK_MESSAGE(looked.started.has_value(), looked.started.error().text);
}

TEST_CASE_FIXTURE(Mending, "mend: what cannot be read now is no damage") {
    using Call = SimDisk::Call;
    SUBCASE("a journal with a hole") {
        disk.fill(journals[1], 2 * block_bytes, 8 * block_bytes, std::byte{0xA5});
    }
    SUBCASE("no checkpoint") {
        disk.erase(storage::checkpoint_file_name(0));
        disk.erase(storage::checkpoint_file_name(1));
    }
    const SimDisk::Image damaged = disk.image();
    REQUIRE(judge());
    const std::uint64_t lost_well = std::exchange(lost, 0);
    for (const Call call : {Call::open, Call::read}) {
        const int os_errno = call == Call::open ? EMFILE : EIO;
        CAPTURE(os_errno);
        bool refused_now = true;
        for (std::uint64_t nth = 1; refused_now; ++nth) {
            CAPTURE(nth);
            disk.load(damaged);
            disk.fail(call, {nth, false, os_errno});
            options.on_damage = OnDamage::salvage;
            const auto started = try_start();
            options.on_damage = OnDamage::refuse;
            disk.heal();
            refused_now = !started.has_value();
            if (refused_now) {
                REQUIRE_MESSAGE(started.error().os_errno == os_errno, started.error().text);
                daemon.end();
                disk.kill();
            }
        }
        complaints = daemon.core().take_complaints();
        daemon.settle_for(std::chrono::seconds(3));
        kill();
        compare(look());
        CHECK(std::exchange(lost, 0) == lost_well);
    }
}

// A checkpoint is due at once, and tells of the messages until the record of
// their end is durable.
TEST_CASE_FIXTURE(Mending, "mend: a power loss while messages are given up is harmless") {
    disk.erase(storage::checkpoint_file_name(1));
    disk.erase(names_of(sound, "segment-")[20]);
    const SimDisk::Image damaged = disk.image();
    bool whole = false;
    for (std::uint64_t change = 1; !whole; ++change) {
        CAPTURE(change);
        REQUIRE(change < 1000);
        for (std::uint64_t seed = 1; seed <= 4; ++seed) {
            CAPTURE(seed);
            disk.load(damaged);
            disk.power_off_at(change);
            options.on_damage = OnDamage::salvage;
            if (try_start().has_value()) {
                daemon.settle_for(std::chrono::seconds(1));
            }
            whole = !disk.is_off();
            daemon.end();
            disk.crash(change * 10 + seed);
            start();
            daemon.settle_for(std::chrono::seconds(1));
            options.on_damage = OnDamage::refuse;
            kill();
            const Looked looked = look();
            REQUIRE_MESSAGE(looked.started.has_value(), looked.started.error().text);
        }
    }
}

TEST_CASE_FIXTURE(Mending, "mend: a power loss on the way is harmless") {
    const string& name = journals[1];
    for (std::uint64_t block = 1; block < 14; block += 4) {
        disk.load(sound);
        disk.fill(name, block * block_bytes, block_bytes, std::byte{0xA5});
        const SimDisk::Image damaged = disk.image();
        bool whole = false;
        for (std::uint64_t change = 1; !whole; ++change) {
            CAPTURE(block);
            CAPTURE(change);
            REQUIRE(change < 1000);
            disk.load(damaged);
            disk.power_off_at(change);
            options.on_damage = OnDamage::salvage;
            if (try_start().has_value()) {
                daemon.settle_for(std::chrono::seconds(2));
            }
            whole = !disk.is_off();
            daemon.end();
            disk.crash(change);
            // What was told before the crash need not be told again: it may have been
            // salvaged.
            lost = 0;
            options.on_damage = OnDamage::salvage;
            start();
            daemon.settle_for(std::chrono::seconds(2));
            kill();
            options.on_damage = OnDamage::refuse;
            const auto report = check_store(disk);
            REQUIRE(report.has_value());
            for (const StoreFinding& finding : report->findings) {
                FAIL_CHECK(finding.text);
            }
        }
    }
}

}  // namespace
}  // namespace mqd::core::test
