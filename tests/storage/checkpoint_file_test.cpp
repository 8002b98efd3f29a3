#include "daemon/storage/checkpoint_file.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "daemon/storage/crc32c.hpp"
#include "support/dice.hpp"
#include "support/sanitized.hpp"
#include "support/sim_disk.hpp"
#include "support/sim_worker.hpp"

namespace mqd::storage {
namespace {

using mqd::test::Dice;
using mqd::test::SimDisk;
using mqd::test::SimWorker;
using mqd::test::stride;

// What a checkpoint holds, as the test knows it.
struct Content {
    std::uint64_t number = 0;
    std::uint64_t from = 0;
    std::uint64_t through = 0;
    std::vector<std::string> chunks;
    friend bool operator==(const Content&, const Content&) = default;
};

class CheckpointFixture {
  public:
    // What the newest whole one holds.
    Result<Content> try_read() {
        Content content;
        last_ = {};
        const auto found =
            read_checkpoint(disk, [&](std::span<const std::byte> body) -> Result<void> {
                content.chunks.emplace_back(reinterpret_cast<const char*>(body.data()),
                                            body.size());
                return {};
            });
        if (!found) {
            return found.error();
        }
        last_ = *found;
        content.number = found->number;
        content.from = found->from.value();
        content.through = found->through.value();
        return content;
    }
    Content read() {
        const auto content = try_read();
        REQUIRE_MESSAGE(content.has_value(), content.error().text);
        return *content;
    }
    // A process begins: reads what there is, and will write the next.
    Content start() {
        disk.kill();
        return start_over();
    }
    Content start_after_crash(std::uint64_t seed) {
        writer.reset();
        worker.drop();
        disk.crash(seed);
        return start_over();
    }
    void add(const std::string& chunk) {
        GroupBuffer buffer;
        buffer.append(std::as_bytes(std::span<const char>(chunk)));
        writer->add(buffer);
        CHECK(buffer.empty());
    }
    // Without its end.
    void begin(const Content& content) {
        writer->begin(Sequence(content.from));
        for (const std::string& chunk : content.chunks) {
            add(chunk);
        }
    }
    Result<void> finish(std::uint64_t through) {
        std::optional<Result<void>> result;
        writer->finish(Sequence(through), [&](const Result<void>& done) { result = done; });
        CHECK(writer->active());
        worker.run_all();
        REQUIRE(result.has_value());
        CHECK_FALSE(writer->active());
        CHECK(writer->unwritten() == 0);
        return *result;
    }
    Result<void> try_write(const Content& content) {
        begin(content);
        return finish(content.through);
    }
    // The content that was written, with its number.
    Content write(Content content) {
        content.number = writer->last().number + 1;
        const auto written = try_write(content);
        REQUIRE_MESSAGE(written.has_value(), written.error().text);
        CHECK(writer->last().number == content.number);
        return content;
    }

    void write_and_read(Content content) {
        content = write(std::move(content));
        CHECK(read() == content);
    }

    SimDisk disk;
    SimWorker worker;
    std::unique_ptr<CheckpointWriter> writer;

  private:
    Content start_over() {
        writer.reset();
        worker.drop();
        Content content = read();
        writer = std::make_unique<CheckpointWriter>(disk, worker, last_);
        return content;
    }
    Checkpoint last_;
};

Content small(std::uint64_t from, const std::string& text = "small") {
    return {0, from, from + 2, {text + std::to_string(from), "second"}};
}
Content large(std::uint64_t from) {
    return {0,
            from,
            from + 9,
            {std::string(10'000, 'a'), std::string(4096 - 64, 'b'), std::string(4096 - 63, 'c'),
             std::string(300, 'd')}};
}

// Where the chunks of a file begin; the last is the first that is none.
std::vector<std::uint64_t> chunk_offsets(const SimDisk::Bytes& file) {
    std::vector<std::uint64_t> offsets;
    for (std::uint64_t at = 0; at + block_bytes <= file.size();) {
        ChunkHeader header;
        std::memcpy(&header, file.data() + at, sizeof header);
        offsets.push_back(at);
        if (header.magic != ChunkHeader::magic_value ||
            header.kind == static_cast<std::uint32_t>(ChunkKind::end)) {
            offsets.push_back(at + block_bytes);
            break;
        }
        at += (sizeof header + header.body_bytes + block_bytes - 1) / block_bytes * block_bytes;
    }
    return offsets;
}

// A header that was changed by somebody who knows how its checksum is made.
void forge(SimDisk& disk, const std::string& name, std::uint64_t at,
           const std::function<void(ChunkHeader&)>& change) {
    ChunkHeader header;
    std::memcpy(&header, disk.contents(name).data() + at, sizeof header);
    change(header);
    header.crc = crc32c(std::as_bytes(std::span(&header, 1)).subspan(8));
    disk.overwrite(name, at, std::as_bytes(std::span(&header, 1)));
}

// --- writing and reading

TEST_CASE_FIXTURE(CheckpointFixture, "checkpoint: an empty store has none") {
    CHECK(start() == Content{});
    CHECK(disk.image().empty());
}

TEST_CASE_FIXTURE(CheckpointFixture, "checkpoint: the newest is read, of two files in turn") {
    start();
    Content last;
    for (std::uint64_t from = 1; from < 8; ++from) {
        last = write(from % 2 == 0 ? large(10 * from) : small(10 * from));
        CHECK(read() == last);
        CHECK(checkpoint_file_name(from) == (from % 2 == 1 ? "checkpoint-2" : "checkpoint-1"));
        CHECK(disk.exists(checkpoint_file_name(from)));
    }
    CHECK(disk.image().size() == 2);
    CHECK(start_after_crash(1) == last);  // it was synced, and its name
    CHECK(writer->last().bytes > 0);
    write_and_read(large(200));
}

TEST_CASE_FIXTURE(CheckpointFixture, "checkpoint: one without chunks is one too") {
    start();
    write_and_read({0, 4, 5, {}});
    write_and_read({0, 6, 6, {""}});
}

TEST_CASE_FIXTURE(CheckpointFixture, "checkpoint: what is not finished does not count") {
    start();
    const Content before = write(small(10));
    begin(large(20));
    CHECK(writer->active());
    CHECK(writer->unwritten() == 4);
    worker.run_all();
    CHECK(writer->unwritten() == 0);
    CHECK(read() == before);
    CHECK(start() == before);
    write_and_read(small(30));
}

TEST_CASE_FIXTURE(CheckpointFixture, "checkpoint: a writer that is gone is not called back") {
    start();
    begin(large(20));
    writer->finish(Sequence(25), [](const Result<void>&) { FAIL("called back"); });
    writer.reset();
    worker.run_all();
}

TEST_CASE_FIXTURE(CheckpointFixture, "checkpoint: what takes the chunks may refuse them") {
    start();
    write(small(10));
    const auto refused = read_checkpoint(disk, [](std::span<const std::byte>) -> Result<void> {
        return Error{ErrorCode::damaged, "not mine"};
    });
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().text == "not mine");
}

// --- the grammar

class TwoCheckpoints : public CheckpointFixture {
  public:
    TwoCheckpoints() {
        start();
        older = write(small(10));
        newer = write(large(20));
        name = checkpoint_file_name(newer.number);
        offsets = chunk_offsets(disk.contents(name));
        REQUIRE(offsets.size() == newer.chunks.size() + 2);
    }
    Content older;
    Content newer;
    std::string name;
    std::vector<std::uint64_t> offsets;  // of its chunks; the last one: behind them
};

TEST_CASE_FIXTURE(TwoCheckpoints,
                  "checkpoint: it is whole as the grammar says, and not otherwise") {
    const SimDisk::Image sound = disk.image();
    const std::uint64_t end = offsets[offsets.size() - 2];
    const auto read_with = [&](std::uint64_t at, const std::function<void(ChunkHeader&)>& change) {
        disk.load(sound);
        forge(disk, name, at, change);
        return read();
    };
    for (std::size_t i = 0; i + 1 < offsets.size(); ++i) {
        const std::uint64_t at = offsets[i];
        CAPTURE(at);
        CHECK(read_with(at, [](ChunkHeader&) {}) == newer);
        CHECK(read_with(at, [](ChunkHeader& h) { ++h.magic; }) == older);
        CHECK(read_with(at, [](ChunkHeader& h) { ++h.index; }) == older);
        CHECK(read_with(at, [](ChunkHeader& h) { ++h.body_crc; }) == older);
        CHECK(read_with(at, [](ChunkHeader& h) { ++h.chain; }) == older);
        CHECK(read_with(at, [](ChunkHeader& h) { h.body_bytes = UINT32_MAX; }) == older);
        CHECK(read_with(at, [](ChunkHeader& h) { h.body_bytes += 4096; }) == older);
        // Of another checkpoint, or of another attempt at this one.
        CHECK(read_with(at, [](ChunkHeader& h) { h.number += 2; }) == older);
        CHECK(read_with(at, [](ChunkHeader& h) { ++h.from; }) == older);
    }
    CHECK(read_with(end, [](ChunkHeader& h) { h.kind = 0; }) == older);
    CHECK(read_with(offsets[0], [](ChunkHeader& h) { h.number = 0; }) == older);
}

TEST_CASE_FIXTURE(TwoCheckpoints, "checkpoint: a newer version is told, not taken for damage") {
    const SimDisk::Image sound = disk.image();
    for (std::size_t i = 0; i + 1 < offsets.size(); ++i) {
        disk.load(sound);
        forge(disk, name, offsets[i], [](ChunkHeader& h) { ++h.version; });
        const auto refused = try_read();
        REQUIRE_FALSE(refused.has_value());
        CHECK(refused.error().code == ErrorCode::unsupported_version);
        CHECK(refused.error().text == "sim/" + name + ": a checkpoint of version " +
                                          std::to_string(checkpoint_version + 1) + "; this is " +
                                          std::to_string(checkpoint_version));
    }
}

// Bits of the headers all, of the bodies and the padding one of each byte.
TEST_CASE_FIXTURE(TwoCheckpoints, "checkpoint: a flipped bit anywhere makes it the one before") {
    std::uint64_t found = 0;
    for (std::uint64_t byte = 0; byte < offsets.back(); byte += stride) {
        const bool in_header =
            std::any_of(offsets.begin(), offsets.end(),
                        [&](std::uint64_t begin) { return byte >= begin && byte < begin + 64; });
        for (std::uint64_t bit = 0; bit < 8; ++bit) {
            if (!in_header && bit != byte % 8) {
                continue;
            }
            disk.flip(name, 8 * byte + bit);
            CAPTURE(byte);
            CAPTURE(bit);
            REQUIRE(read() == older);
            disk.flip(name, 8 * byte + bit);
            ++found;
        }
    }
    MESSAGE("flipped and found: ", found);
    REQUIRE(read() == newer);
    // Behind its end nothing counts; nor does the file that is older.
    Dice dice(3);
    for (int i = 0; i < 200; ++i) {
        const bool behind = dice.one_in(2);
        const std::string& flipped = behind ? name : checkpoint_file_name(older.number);
        const std::uint64_t begin = behind ? offsets.back() : 0;
        const std::uint64_t size = disk.contents(flipped).size();
        const std::uint64_t bit = 8 * begin + dice.below(8 * (size - begin));
        disk.flip(flipped, bit);
        REQUIRE(read() == newer);
        disk.flip(flipped, bit);
    }
}

TEST_CASE_FIXTURE(TwoCheckpoints, "checkpoint: torn at any sector it is the one before") {
    const SimDisk::Image sound = disk.image();
    for (std::uint64_t at = 0; at < offsets.back(); at += SimDisk::sector_bytes) {
        CAPTURE(at);
        for (const bool cut : {false, true}) {
            disk.load(sound);
            if (cut) {
                disk.truncate(name, at);
            } else {
                disk.fill(name, at, disk.contents(name).size() - at, std::byte{0});
            }
            // The end has a block of its own, of which only the header is more than zeros.
            const bool whole = !cut && at > offsets[offsets.size() - 2];
            REQUIRE(read() == (whole ? newer : older));
        }
    }
    disk.load(sound);
    disk.truncate(name, offsets.back());
    CHECK(read() == newer);
}

TEST_CASE_FIXTURE(TwoCheckpoints, "checkpoint: zeroed, misplaced and stale blocks are found") {
    const SimDisk::Image sound = disk.image();
    const std::string other = checkpoint_file_name(older.number);
    const auto block_of = [&](const std::string& file, std::uint64_t at) {
        const SimDisk::Bytes& bytes = sound.at(file);
        return std::span(bytes).subspan(at, block_bytes);
    };
    for (std::uint64_t at = 0; at < offsets.back(); at += block_bytes) {
        disk.load(sound);
        disk.fill(name, at, block_bytes, std::byte{0});
        CHECK(read() == older);
        for (std::uint64_t from = 0; from < offsets.back(); from += block_bytes) {
            disk.load(sound);
            disk.overwrite(name, at, block_of(name, from));
            const bool same = std::ranges::equal(block_of(name, at), block_of(name, from));
            CHECK(read() == (same ? newer : older));
        }
        disk.load(sound);
        disk.overwrite(name, at, block_of(other, at));
        CHECK(read() == older);
    }
}

TEST_CASE_FIXTURE(TwoCheckpoints, "checkpoint: a file that is missing is as one that is torn") {
    const SimDisk::Image sound = disk.image();
    disk.erase(name);
    CHECK(read() == older);
    disk.load(sound);
    disk.erase(checkpoint_file_name(older.number));
    CHECK(read() == newer);
    disk.erase(name);
    CHECK(read() == Content{});
    // In each other's place: the number counts, not the name.
    disk.load(sound);
    disk.put(name, sound.at(checkpoint_file_name(older.number)));
    disk.put(checkpoint_file_name(older.number), sound.at(name));
    CHECK(read() == newer);
}

TEST_CASE_FIXTURE(TwoCheckpoints, "checkpoint: a shorter one hides the end of a longer one") {
    write(small(30));
    const SimDisk::Bytes before = disk.contents(name);
    const Content shorter = write(small(40));  // where `newer` was
    CHECK(checkpoint_file_name(shorter.number) == name);
    const std::uint64_t end = chunk_offsets(disk.contents(name)).back();
    REQUIRE(end < offsets.back());
    CHECK(std::equal(before.begin() + static_cast<std::ptrdiff_t>(end), before.end(),
                     disk.contents(name).begin() + static_cast<std::ptrdiff_t>(end)));
    CHECK(read() == shorter);
    CHECK(start() == shorter);
}

// --- errors and crashes

TEST_CASE_FIXTURE(TwoCheckpoints, "checkpoint: after an error the one before stands") {
    using Call = SimDisk::Call;
    for (const int code : {EIO, ENOSPC}) {
        for (const Call call :
             {Call::list, Call::open, Call::write, Call::sync, Call::sync_directory}) {
            for (std::uint64_t nth = 1; nth <= 6; ++nth) {
                CAPTURE(nth);
                disk.fail(call, {nth, false, code});
                Content next = large(30);
                next.number = newer.number + 1;
                const auto written = try_write(next);
                disk.heal();
                CHECK(writer->error().has_value() != written.has_value());
                if (written) {
                    newer = next;
                    CHECK(read() == newer);
                    continue;
                }
                CHECK(written.error().os_errno == code);
                CHECK(writer->last().number == newer.number);
                // All of it may have come to the disk, though nobody knows.
                const Content found = read();
                CHECK((found == newer || found == next));
            }
        }
    }
}

TEST_CASE_FIXTURE(TwoCheckpoints,
                  "checkpoint: an error is told before the end, and it is given up") {
    disk.fail(SimDisk::Call::write, {2, false, ENOSPC});
    begin(large(30));
    CHECK_FALSE(writer->error().has_value());
    worker.run_all();
    REQUIRE(writer->error().has_value());
    CHECK(writer->error()->code == ErrorCode::no_space);
    CHECK(writer->unwritten() == 0);
    writer->abandon();
    CHECK_FALSE(writer->active());
    CHECK(read() == newer);
    write_and_read(large(40));
}

TEST_CASE_FIXTURE(CheckpointFixture, "checkpoint: what was reserved is enough on a full disk") {
    start();
    write(small(10));
    const Content second = write(small(20));
    const std::uint64_t reserved = disk.contents(checkpoint_file_name(second.number)).size();
    disk.set_capacity(disk.used());
    // As much as is reserved, but for the block of the end, goes in.
    Content fits{0, 30, 31, {std::string(reserved - 2 * block_bytes, 'x')}};
    fits = write(fits);
    CHECK(read() == fits);
    // What does not fit leaves the one before, and room that comes back is used.
    const Content too_large{0, 40, 41, {std::string(reserved, 'y')}};
    for (int i = 0; i < 3; ++i) {
        const auto refused = try_write(too_large);
        REQUIRE_FALSE(refused.has_value());
        CHECK(refused.error().code == ErrorCode::no_space);
        CHECK(read() == fits);
    }
    disk.set_capacity(UINT64_MAX);
    write_and_read(too_large);
    // Twice the last one is reserved from then on.
    write(small(50));
    CHECK(disk.contents(checkpoint_file_name(writer->last().number)).size() >= 2 * reserved);
}

TEST_CASE("checkpoint: a crash at any call leaves the one before or the new one") {
    bool crashed = true;
    std::uint64_t calls = 0;
    for (std::uint64_t call = 1; crashed; ++call) {
        for (std::uint64_t seed = 1; seed <= std::max<std::uint64_t>(6, 40 / test::slowness);
             ++seed) {
            CAPTURE(call);
            CAPTURE(seed);
            CheckpointFixture run;
            run.start();
            Content before;
            for (std::uint64_t i = seed % 4; i > 0; --i) {  // into no file, a new one, an old one
                before = run.write(i % 2 == 0 ? large(10 * (9 - i)) : small(10 * (9 - i)));
            }
            Content next = seed % 2 == 0 ? large(100) : small(100);
            next.number = before.number + 1;
            run.disk.power_off_at(call);
            const auto written = run.try_write(next);
            crashed = run.disk.is_off();
            CHECK(written.has_value() != crashed);
            const Content found = run.start_after_crash(seed);
            CHECK((found == next || (crashed && found == before)));
            // What was found is durable, and not only read: a power failure does not take it back.
            CHECK(run.start_after_crash(seed + 1000) == found);
            // A new attempt lies over what is left of the old one.
            const Content after = run.write(seed % 3 == 0 ? large(110) : small(110));
            CHECK(run.start_after_crash(seed + 2000) == after);
        }
        calls = call;
    }
    CHECK(calls > 6);
}

// The same number, the same file and the same place to begin at, and other content: what is left of
// the first attempt is no part of the second.
TEST_CASE_FIXTURE(TwoCheckpoints, "checkpoint: the end of an attempt does not end the next one") {
    const std::string next = checkpoint_file_name(newer.number + 1);
    Content first = small(30, "first");
    REQUIRE(try_write(first).has_value());
    // Of the first attempt only its end came to the disk.
    disk.fill(next, 0, chunk_offsets(disk.contents(next)).at(2), std::byte{0});
    REQUIRE(start() == newer);
    Content second = small(30, "again");
    begin(second);
    worker.run_all();
    CHECK(start() == newer);
}

}  // namespace
}  // namespace mqd::storage
