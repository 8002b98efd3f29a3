// A store whose bytes are not as they were written: no wrong message is delivered, and none is lost
// in silence. Either the start says that the store is damaged, or what cannot be read is set aside,
// with a line that names it, and everything else is delivered.
// MQD_EXHAUSTIVE=1 flips every bit.

#include <cstdio>
#include <cstdlib>

#include "core/stored_fixture.hpp"
#include "daemon/core/record.hpp"
#include "daemon/storage/journal_format.hpp"
#include "support/dice.hpp"
#include "support/sanitized.hpp"

namespace mqd::core::test {
namespace {

using mqd::test::Dice;
using mqd::test::slowness;
using std::string;

constexpr std::uint64_t block_bytes = storage::block_bytes;

class Damaged : public StoredFixture {
  public:
    Damaged() {
        write_store();
        sound = disk.image();
        for (const auto& [queue, durability] : queues()) {
            expected[queue] = living(queue);
        }
        REQUIRE(names_of(sound, "checkpoint-").size() == 2);
        REQUIRE(names_of(sound, "segment-").size() >= 4);
        REQUIRE(names_of(sound, "journal-").size() >= 3);
    }

    enum class Verdict { sound, refused, set_aside };
    // Looks at the disk as it is now.
    Verdict judge() {
        const Looked looked = look();
        if (!looked.started) {
            const Error& error = looked.started.error();
            CHECK_MESSAGE(error.code == ErrorCode::damaged, error.text);
            text = error.text;
            ++refused;
            return Verdict::refused;
        }
        for (const auto& [queue, there] : looked.delivered) {
            for (const auto& [number, body] : there) {
                const auto known = expected.at(queue).find(number);
                REQUIRE_MESSAGE(known != expected.at(queue).end(),
                                "a message that was acked: ", queue, ' ', number);
                REQUIRE_MESSAGE(known->second == body, "another body: ", queue, ' ', number);
            }
        }
        const bool whole = looked.delivered == expected;
        text.clear();
        for (const string& complaint : looked.complaints) {
            text += complaint + '\n';
        }
        if (!whole) {
            expect_named(looked);
        }
        ++(whole ? harmless : set_aside);
        return whole ? Verdict::sound : Verdict::set_aside;
    }
    Verdict judge_flipped(const string& name, std::uint64_t bit) {
        disk.load(sound);
        disk.flip(name, bit);
        return judge();
    }
    // Of a page that is all ended nothing is read.
    bool judge_forged() {
        const Looked looked = look();
        REQUIRE(looked.started.has_value());
        text.clear();
        for (const string& complaint : looked.complaints) {
            text += complaint + '\n';
        }
        return !text.empty();
    }
    static MessageNumber page_end(const FoundPageAt& page) {
        return MessageNumber(page.header.first + page.header.count);
    }
    // The batch, with so many bytes more in its last body.
    static std::vector<std::byte> lengthened(wire::Bytes batch, std::size_t by) {
        std::vector<string> bodies;
        wire::BatchReader reader(batch);
        while (const auto message = reader.next()) {
            bodies.emplace_back(wire::as_text(message->body));
        }
        bodies.back() += string(by, '!');
        return make_batch(bodies);
    }
    void report(const char* what) {
        std::printf("damage: %s: refused=%llu set_aside=%llu harmless=%llu\n", what,
                    static_cast<unsigned long long>(refused),
                    static_cast<unsigned long long>(set_aside),
                    static_cast<unsigned long long>(harmless));
    }

    SimDisk::Image sound;
    std::map<string, Living> expected;
    string text;  // of the refusal, or of the complaints
    std::uint64_t refused = 0;
    std::uint64_t set_aside = 0;
    std::uint64_t harmless = 0;

  private:
    // Each message that did not come lies in a range that a complaint names, with its file.
    void expect_named(const Looked& looked) {
        for (const auto& [queue, all] : expected) {
            const auto there = looked.delivered.find(queue);
            REQUIRE(there != looked.delivered.end());
            for (const auto& [number, body] : all) {
                if (!there->second.contains(number)) {
                    REQUIRE_MESSAGE(named(looked.complaints, queue, number),
                                    "lost in silence: ", queue, ' ', number);
                }
            }
        }
    }
    static bool named(const std::vector<string>& complaints, const string& queue,
                      std::uint64_t number) {
        return std::ranges::any_of(complaints, [&](const string& complaint) {
            const string before = "queue \"" + queue + "\" cannot be read, among numbers ";
            const auto at = complaint.find(before);
            unsigned long long first = 0;
            unsigned long long last = 0;
            return at != string::npos && complaint.find("segment-") != string::npos &&
                   std::sscanf(complaint.c_str() + at + before.size(), "%llu to %llu", &first,
                               &last) == 2 &&
                   first <= number && number <= last;
        });
    }
};

TEST_CASE_FIXTURE(Damaged, "damage: a sound store is sound") {
    disk.load(sound);
    CHECK(judge() == Verdict::sound);
    CHECK(text.empty());
}

// Of each header every so manieth bit, in each page others; and of the bodies as many as there is
// time for.
TEST_CASE_FIXTURE(Damaged, "damage: a flipped bit of a segment costs its page at most") {
    const bool exhaustive = std::getenv("MQD_EXHAUSTIVE") != nullptr;
    const std::uint64_t body_stride = exhaustive ? 1 : 1499 * slowness;
    const std::uint64_t header_stride = exhaustive ? 1 : 29 * slowness;
    std::uint64_t page_index = 0;
    for (const string& name : names_of(sound, "segment-")) {
        const SimDisk::Bytes& contents = sound.at(name);
        for (std::uint64_t bit = 0; bit < 8 * contents.size(); bit += body_stride) {
            CAPTURE(name);
            CAPTURE(bit);
            CHECK(judge_flipped(name, bit) != Verdict::refused);
        }
        for (const FoundPageAt& page : pages_of(name, contents)) {
            for (std::uint64_t bit = ++page_index % header_stride; bit < 8 * sizeof page.header;
                 bit += header_stride) {
                CAPTURE(name);
                CAPTURE(bit);
                CHECK(judge_flipped(name, 8 * page.offset + bit) != Verdict::refused);
            }
        }
    }
    CHECK(set_aside > 0);
    report("flipped in segments");
}

TEST_CASE_FIXTURE(Damaged, "damage: a flipped bit of a checkpoint loses nothing") {
    const std::uint64_t stride = std::getenv("MQD_EXHAUSTIVE") != nullptr ? 1 : 151 * slowness;
    for (const string& name : names_of(sound, "checkpoint-")) {
        // Behind these blocks lie zeros that were reserved.
        std::uint64_t used = sound.at(name).size();
        while (used > 0 && sound.at(name)[used - 1] == std::byte{0}) {
            --used;
        }
        for (std::uint64_t bit = 0; bit < 8 * used;
             bit += bit < 512 && slowness == 1 ? 1 : stride) {
            CAPTURE(name);
            CAPTURE(bit);
            CHECK(judge_flipped(name, bit) != Verdict::set_aside);
        }
    }
    report("flipped in checkpoints");
}

TEST_CASE_FIXTURE(Damaged, "damage: a flipped bit of the journal is noticed, or nothing needs it") {
    Dice dice(9);
    for (const string& name : names_of(sound, "journal-")) {
        for (std::uint64_t i = 0; i < 150 / slowness; ++i) {
            const std::uint64_t bit = dice.below(8 * sound.at(name).size());
            CAPTURE(name);
            CAPTURE(bit);
            CHECK(judge_flipped(name, bit) != Verdict::set_aside);
        }
    }
    CHECK(refused > 0);
    report("flipped in the journal");
}

// The last batch of a page, written by somebody who knows how the checksums are made, is part of a
// body of the one before: sound in itself, and not what the page is said to hold.
TEST_CASE_FIXTURE(Damaged, "damage: a page that lacks messages is set aside, not read for ever") {
    bool forged = false;
    disk.load(sound);
    for (const string& name : names_of(sound, "segment-")) {
        for (const FoundPageAt& page : pages_of(name, sound.at(name))) {
            const auto bytes = std::span(sound.at(name)).subspan(page.offset);
            std::vector<MessagesRecord> records;
            RecordReader reader(bytes.subspan(sizeof page.header, page.header.body_bytes));
            while (const auto record = reader.next()) {
                records.push_back(*decode_messages(record->body));
            }
            if (forged || records.size() < 2 || records.back().range.end() != page_end(page)) {
                continue;
            }
            const std::size_t last_bytes = page_record_bytes + records.back().batch.size();
            records.pop_back();
            const auto batch = lengthened(records.back().batch, last_bytes);
            records.back().batch = batch;
            storage::GroupBuffer body;
            body.append(std::vector<std::byte>(sizeof page.header));
            for (const MessagesRecord& record : records) {
                append_messages(body, RecordType::carry_messages, record);
            }
            REQUIRE(body.body_bytes() == sizeof page.header + page.header.body_bytes);
            storage::seal_page(page.header, body.body());
            disk.overwrite(name, page.offset, body.body());
            forged = judge_forged();
            if (!forged) {
                disk.load(sound);  // nothing of it lived
            }
        }
    }
    REQUIRE(forged);
    CHECK_MESSAGE(text.find("a page that lacks messages") != string::npos, text);
}

// Each block of each file: zeroed, as it was in the middle, another one of this file or of another.
TEST_CASE_FIXTURE(Damaged, "damage: zeroed, stale and misplaced blocks are noticed") {
    Dice dice(4);
    std::vector<string> names;
    for (const auto& [name, contents] : sound) {
        names.push_back(name);
    }
    const auto put_block = [&](const string& name, std::uint64_t at, const SimDisk::Bytes& from,
                               std::uint64_t from_at) {
        disk.load(sound);
        SimDisk::Bytes block(std::min<std::uint64_t>(block_bytes, sound.at(name).size() - at));
        for (std::uint64_t i = 0; i < block.size() && from_at + i < from.size(); ++i) {
            block[i] = from[from_at + i];
        }
        disk.overwrite(name, at, block);
        (void)judge();
    };
    for (const string& name : names) {
        const std::uint64_t size = std::min<std::uint64_t>(sound.at(name).size(), 20 * block_bytes);
        for (std::uint64_t at = 0; at < size; at += block_bytes * (slowness > 1 ? 3 : 1)) {
            CAPTURE(name);
            CAPTURE(at);
            put_block(name, at, {}, 0);
            if (const auto stale = halfway.find(name); stale != halfway.end()) {
                put_block(name, at, stale->second, at);
            }
            put_block(name, at, sound.at(name), dice.below(size / block_bytes + 1) * block_bytes);
            put_block(name, at, sound.at(names[dice.below(names.size())]), at);
        }
    }
    CHECK(refused > 0);
    CHECK(set_aside > 0);
    report("blocks");
}

TEST_CASE_FIXTURE(Damaged, "damage: a segment that is missing or shortened is named") {
    for (const string& name : names_of(sound, "segment-")) {
        CAPTURE(name);
        disk.load(sound);
        disk.erase(name);
        if (judge() == Verdict::refused) {
            CHECK(text.find(name + ": the file is missing") != string::npos);
        }
        for (const FoundPageAt& page : pages_of(name, sound.at(name))) {
            for (const std::uint64_t size : {page.offset, page.offset + 64, page.end() - 1}) {
                disk.load(sound);
                disk.truncate(name, size);
                if (judge() == Verdict::refused) {
                    CHECK(text.find(name + ": the file ends before byte") != string::npos);
                }
            }
        }
    }
    CHECK(refused > 10);
    CHECK(set_aside == 0);
    report("segments cut");
}

TEST_CASE_FIXTURE(Damaged, "damage: a checkpoint that is missing or old is noticed") {
    const std::vector<string> names = names_of(sound, "checkpoint-");
    for (const string& name : names) {
        disk.load(sound);
        disk.erase(name);
        CHECK(judge() != Verdict::set_aside);
        disk.load(sound);
        disk.put(name, halfway.at(name));
        CHECK(judge() != Verdict::set_aside);
        for (std::uint64_t size = 0; size < 5 * block_bytes; size += block_bytes / 2) {
            disk.load(sound);
            disk.truncate(name, size);
            CHECK(judge() != Verdict::set_aside);
        }
    }
    disk.load(sound);
    disk.erase(names[0]);
    disk.erase(names[1]);
    CHECK(judge() == Verdict::refused);
    CHECK(text.find("no whole checkpoint is there") != string::npos);
    disk.load(sound);
    disk.put(names[0], halfway.at(names[0]));
    disk.put(names[1], halfway.at(names[1]));
    CHECK(judge() == Verdict::refused);
    report("checkpoints lost");
}

// But the newest: what is missing from it behind some place, to its end, looks as if it had not
// been written yet.
TEST_CASE_FIXTURE(Damaged, "damage: a journal file that is missing or shortened is noticed") {
    std::map<std::uint64_t, string> by_ordinal;
    for (const string& name : names_of(sound, "journal-")) {
        const auto found =
            storage::decode_file_header(std::span(sound.at(name)).first(block_bytes));
        by_ordinal[found.sign == storage::FileHeaderSign::in_use ? found.header.ordinal : 0] = name;
    }
    const string newest = by_ordinal.rbegin()->second;
    for (const string& name : names_of(sound, "journal-")) {
        CAPTURE(name);
        disk.load(sound);
        disk.erase(name);
        CHECK(judge() != Verdict::set_aside);
        for (std::uint64_t size = 0; size < file_bytes && name != newest; size += block_bytes) {
            CAPTURE(size);
            disk.load(sound);
            disk.truncate(name, size);
            CHECK(judge() != Verdict::set_aside);
        }
    }
    CHECK(refused > 0);
    report("journal files lost");
}

}  // namespace
}  // namespace mqd::core::test
