// Bytes that are not as written: torn tails, flipped bits, stale and misplaced blocks.
// MQD_EXHAUSTIVE=1 flips every bit instead of one of each byte; with a sanitizer it is every
// eleventh byte.

#include <algorithm>
#include <cstdlib>

#include "daemon/storage/recovery.hpp"
#include "storage/journal_fixture.hpp"

namespace mqd::storage::test {
namespace {

// Two files in use and a spare; file 2 ends with a seal, so that everything before that is covered.
class SmallStore : public JournalFixture {
  public:
    SmallStore() {
        open();
        run_all();
        commit_into_file(2, 15'000);
        commit("a small one");
        commit(std::string(5000, 'm'));
        seal();
        run_all();
        end();
        for (const std::uint64_t ordinal : {1u, 2u}) {
            names.push_back(file_of(ordinal));
        }
        spare = disk.image().rbegin()->first;
        REQUIRE(header_of(spare).state == FileState::spare);
        REQUIRE(look().has_value());
        sound = replayed;
        REQUIRE(sound.size() == durable.value() - 1);  // but the state group of file 2
    }

    // Recovery without its writes: the disk stays as it is.
    Result<RecoveredJournal> look() {
        replayed.clear();
        return recover_journal(disk, [this](const GroupView& group) -> Result<void> {
            replayed.push_back(
                {group.sequence.value(), group.file.value(), group.kind,
                 std::string(reinterpret_cast<const char*>(group.body.data()), group.body.size())});
            return {};
        });
    }
    // Nothing was replayed but what was written, in order (from a later file on, if the first one
    // has lost its header: an error follows).
    [[nodiscard]] bool replayed_truth() const {
        std::uint64_t before = 0;
        return std::all_of(replayed.begin(), replayed.end(), [&](const Replayed& group) {
            const std::uint64_t state_groups = group.sequence - before - 1;  // not replayed
            const bool follows = before == 0 || state_groups <= 1;
            before = group.sequence;
            return follows &&
                   (group.kind == GroupKind::state ? group.body == state_text(group.sequence - 1)
                                                   : group.body == bodies.at(group.sequence));
        });
    }
    // Where the file ends that counts: behind its last group.
    [[nodiscard]] std::uint64_t live_end(const std::string& name) const {
        const Place last = places(name).rbegin()->second;
        return last.offset + last.bytes;
    }

    std::vector<std::string> names;
    std::string spare;
    std::vector<Replayed> sound;
};

TEST_CASE_FIXTURE(SmallStore, "damage: every flipped bit that counts is found and named") {
    const bool exhaustive = std::getenv("MQD_EXHAUSTIVE") != nullptr;
    std::uint64_t found = 0;
    for (const std::string& name : names) {
        const bool last_file = name == names.back();
        const std::uint64_t sealed_end =
            last_file ? places(name).rbegin()->second.offset : live_end(name);
        std::vector<std::uint64_t> headers = {0};
        for (const auto& [sequence, place] : places(name)) {
            headers.push_back(place.offset);
        }
        for (std::uint64_t byte = 0; byte < sealed_end; byte += stride) {
            const bool in_header = std::any_of(
                headers.begin(), headers.end(),
                [&](std::uint64_t begin) { return byte >= begin && byte < begin + 64; });
            for (std::uint64_t bit = 0; bit < 8; ++bit) {
                if (!exhaustive && !in_header && bit != byte % 8) {
                    continue;
                }
                disk.flip(name, 8 * byte + bit);
                const auto result = look();
                disk.flip(name, 8 * byte + bit);
                CAPTURE(byte);
                CAPTURE(bit);
                REQUIRE_FALSE(result.has_value());
                REQUIRE(result.error().code == ErrorCode::damaged);
                // A lost file header is told by the file's place in the order, or by its name.
                const std::string& text = result.error().text;
                const bool named = text.find(name) != std::string::npos ||
                                   text.find("numbers 1 to 1 ") != std::string::npos;
                REQUIRE_MESSAGE(named, text);
                REQUIRE(replayed_truth());
                ++found;
            }
        }
    }
    MESSAGE("flipped and found: ", found);
}

TEST_CASE_FIXTURE(SmallStore, "damage: where that is allowed, everything behind it is read") {
    for (const std::string& name : names) {
        for (const auto& [lost, place] : places(name)) {
            if (place.offset == places(names.back()).rbegin()->second.offset &&
                name == names.back()) {
                continue;  // the last group: a torn tail
            }
            disk.flip(name, 8 * (place.offset + 70));
            std::vector<Damage> found;
            replayed.clear();
            const auto result = recover_journal(
                disk,
                [this](const GroupView& group) -> Result<void> {
                    replayed.push_back(
                        {group.sequence.value(), group.file.value(), group.kind,
                         std::string(reinterpret_cast<const char*>(group.body.data()),
                                     group.body.size())});
                    return {};
                },
                [&](const Damage& damage) -> Result<void> {
                    found.push_back(damage);
                    return {};
                });
            disk.flip(name, 8 * (place.offset + 70));
            CAPTURE(lost);
            REQUIRE(result.has_value());
            REQUIRE(found.size() == 1);
            CHECK(found[0].file == name);
            CHECK(found[0].offset == place.offset);
            CHECK(found[0].text.starts_with(std::string{static_cast<char>(found[0].row)} + ": "));
            std::vector<Replayed> rest = sound;
            std::erase_if(rest,
                          [lost = lost](const Replayed& group) { return group.sequence == lost; });
            CHECK(replayed == rest);
            CHECK(result->told.last == durable);
        }
    }
}

TEST_CASE_FIXTURE(SmallStore, "damage: flipped bits where nothing counts are harmless") {
    Dice dice(7);
    for (int i = 0; i < 2000; ++i) {
        const std::string name = dice.one_in(2) ? spare : names[dice.below(2)];
        const std::uint64_t begin = name == spare ? 0 : live_end(name);
        if (begin == small_file_bytes) {
            continue;
        }
        const std::uint64_t bit = 8 * begin + dice.below(8 * (small_file_bytes - begin));
        CAPTURE(bit);
        disk.flip(name, bit);
        const auto result = look();
        disk.flip(name, bit);
        REQUIRE(result.has_value());
        REQUIRE(result->told.last == durable);
        REQUIRE(replayed == sound);
    }
}

TEST_CASE_FIXTURE(SmallStore, "damage: a flipped bit in the last group costs that group alone") {
    const Place last = places(names.back()).rbegin()->second;
    for (std::uint64_t bit = 8 * last.offset; bit < 8 * (last.offset + last.bytes); bit += stride) {
        disk.flip(names.back(), bit);
        const auto result = look();
        disk.flip(names.back(), bit);
        REQUIRE(result.has_value());
        REQUIRE(result->told.last.value() == durable.value() - 1);
        REQUIRE(replayed_truth());
    }
}

TEST_CASE_FIXTURE(SmallStore, "damage: stale, zeroed and misplaced blocks are found") {
    Dice dice(3);
    for (const std::string& name : names) {
        const std::uint64_t end =
            name == names.back() ? places(name).rbegin()->second.offset : live_end(name);
        for (std::uint64_t at = 0; at < end; at += block_bytes) {
            for (int how = 0; how < 4; ++how) {
                const SimDisk::Bytes original(
                    disk.contents(name).begin() + static_cast<std::ptrdiff_t>(at),
                    disk.contents(name).begin() + static_cast<std::ptrdiff_t>(at + block_bytes));
                SimDisk::Bytes block(block_bytes);
                if (how == 1) {  // another block of this file
                    const std::uint64_t from = dice.below(end / block_bytes) * block_bytes;
                    std::copy_n(disk.contents(name).begin() + static_cast<std::ptrdiff_t>(from),
                                block_bytes, block.begin());
                } else if (how == 2) {  // the same place of another file
                    const std::string& other = name == names[0] ? names[1] : names[0];
                    std::copy_n(disk.contents(other).begin() + static_cast<std::ptrdiff_t>(at),
                                block_bytes, block.begin());
                } else if (how == 3) {
                    std::generate(block.begin(), block.end(),
                                  [&] { return static_cast<std::byte>(dice.next()); });
                }
                disk.overwrite(name, at, block);
                const auto result = look();
                disk.overwrite(name, at, original);
                CAPTURE(name);
                CAPTURE(at);
                CAPTURE(how);
                const bool same = block == original;
                REQUIRE(result.has_value() == same);
                REQUIRE(replayed_truth());
                if (!same) {
                    REQUIRE(result.error().code == ErrorCode::damaged);
                }
            }
        }
    }
}

// Two groups above the watermark, changed from every byte on in every way: what stands is every
// group that is still as it was written, up to the first that is not.
TEST_CASE_FIXTURE(SmallStore, "damage: a torn tail is cut at the last whole group") {
    open();
    const std::uint64_t sealed = durable.value();
    commit("first above", false);
    commit(std::string(5000, 'n'), false);
    end();
    const std::string name = names.back();
    const auto found = places(name);
    const std::uint64_t begin = found.at(sealed + 1).offset;
    const std::uint64_t end_of_tail = live_end(name);
    const SimDisk::Bytes original = disk.contents(name);
    const SimDisk::Bytes earlier_use = disk.contents(names.front());
    Dice dice(11);
    SimDisk::Bytes random(original.size());
    std::generate(random.begin(), random.end(),
                  [&] { return static_cast<std::byte>(dice.next()); });
    for (std::uint64_t cut = begin; cut < end_of_tail; cut += stride) {
        for (int how = 0; how < 5; ++how) {
            SimDisk::Bytes changed = original;
            const auto from = changed.begin() + static_cast<std::ptrdiff_t>(cut);
            switch (how) {
                case 0: std::fill(from, changed.end(), std::byte{0}); break;
                case 1: std::fill(from, changed.end(), std::byte{0xFF}); break;
                case 2:
                    std::copy(earlier_use.begin() + static_cast<std::ptrdiff_t>(cut),
                              earlier_use.end(), from);
                    break;
                case 3:
                    std::copy(random.begin() + static_cast<std::ptrdiff_t>(cut), random.end(),
                              from);
                    break;
                case 4: changed.resize(cut); break;
            }
            std::uint64_t expected = sealed;
            changed.resize(original.size());
            for (std::uint64_t next = sealed + 1; next <= sealed + 2; ++next) {
                const Place& place = found.at(next);
                const auto at = static_cast<std::ptrdiff_t>(place.offset);
                const bool whole =
                    std::equal(original.begin() + at,
                               original.begin() + at + static_cast<std::ptrdiff_t>(place.bytes),
                               changed.begin() + at);
                if (!whole) {
                    break;
                }
                expected = next;
            }
            disk.put(name, std::move(changed));
            if (how == 4) {
                disk.truncate(name, cut);
            }
            const auto result = look();
            CAPTURE(cut);
            CAPTURE(how);
            REQUIRE_MESSAGE(result.has_value(), result.error().text);
            REQUIRE(result->told.last.value() == expected);
            REQUIRE(std::equal(sound.begin(), sound.end(), replayed.begin()));
        }
    }
}

}  // namespace
}  // namespace mqd::storage::test
