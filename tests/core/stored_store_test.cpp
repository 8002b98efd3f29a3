// Stores that were written once and are read for ever: an older store always opens, and every
// message that lived in it comes out. What is in them is known by rule (stored_fixture.hpp).
//
// A new version of the journal, the segments, the checkpoint or the records gets an example of its
// own, written by the skipped case below:
//   MQD_STORED=tests/core/stored/v4 mqd_core_test --no-skip --test-case='stored store: write*'
// v1: journal version 1, whose state groups tell everything; written by the code of that time.
// v2: journal version 2, segments version 1, checkpoints version 1.
// v3: journal version 3, segments version 1, checkpoints version 2.

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "core/stored_fixture.hpp"
#include "daemon/storage/journal_format.hpp"

namespace mqd::core::test {
namespace {

SimDisk::Image load(const std::filesystem::path& directory) {
    SimDisk::Image image;
    for (const auto& entry : std::filesystem::directory_iterator(directory)) {
        std::ifstream file(entry.path(), std::ios::binary);
        const std::string bytes{std::istreambuf_iterator<char>(file), {}};
        const auto all = std::as_bytes(std::span<const char>(bytes));
        image[entry.path().filename()] = {all.begin(), all.end()};
    }
    REQUIRE_FALSE(image.empty());
    return image;
}

class Stored : public StoredFixture {
  public:
    // A sound store is the same one with `on_damage = "salvage"`.
    void expect_nothing_to_salvage(const SimDisk::Image& image) {
        disk.load(image);
        start();
        std::map<std::string, MessageNumber> next;
        for (const auto& [name, queue] : daemon.core().engine().queues()) {
            next[name] = queue->next_number();
        }
        kill();
        disk.load(image);
        options.on_damage = OnDamage::salvage;
        start();
        options.on_damage = OnDamage::refuse;
        CHECK(daemon.core().take_complaints().empty());
        CHECK_FALSE(daemon.core().journal().recovery().damaged);
        for (const auto& [name, queue] : daemon.core().engine().queues()) {
            CHECK(next.at(name) == queue->next_number());
        }
        kill();
    }
    // Opens it, finds everything, and goes on in it.
    void expect_readable(const SimDisk::Image& image) {
        expect_nothing_to_salvage(image);
        disk.load(image);
        for (int i = 0; i < 2; ++i) {  // the second time it is written by today's code
            const Looked looked = look();
            REQUIRE_MESSAGE(looked.started.has_value(), looked.started.error().text);
            CHECK(looked.complaints.empty());
            REQUIRE(looked.delivered.size() == queues().size());
            for (const auto& [queue, durability] : queues()) {
                CHECK_MESSAGE(looked.delivered.at(queue) == living(queue), queue);
            }
        }
        start();
        for (const auto& [queue, durability] : queues()) {
            CHECK(this->queue(queue).definition().durability == durability);
            CHECK(this->queue(queue).next_number() > MessageNumber(messages));
        }
        WireClient& client = connect();
        (void)client.open_producer("orders");
        client.publish(1, {"and on"});
        daemon.settle();
        const std::uint64_t live = queue("orders").live();
        CHECK(live == living("orders").size() + 1);
        lose_power();
        start();
        CHECK(queue("orders").live() == live);
    }
    [[nodiscard]] static std::uint32_t journal_version(const SimDisk::Image& image) {
        std::uint32_t version = 0;
        const SimDisk::Bytes& file = image.at(names_of(image, "journal-").front());
        std::memcpy(&version, file.data() + offsetof(storage::FileHeader, version), sizeof version);
        return version;
    }
};

TEST_CASE_FIXTURE(Stored, "stored store: version 1 opens and goes on") {
    options.journal.bytes_max = 12 * file_bytes;
    const SimDisk::Image image = load("tests/core/stored/v1");
    CHECK(journal_version(image) == 1);
    expect_readable(image);
}

TEST_CASE_FIXTURE(Stored, "stored store: version 2 opens and goes on") {
    const SimDisk::Image image = load("tests/core/stored/v2");
    CHECK(journal_version(image) == 2);
    CHECK(names_of(image, "segment-").size() >= 4);
    CHECK(names_of(image, "checkpoint-").size() == 2);
    expect_readable(image);
}

TEST_CASE_FIXTURE(Stored, "stored store: version 3 opens and goes on") {
    const SimDisk::Image image = load("tests/core/stored/v3");
    CHECK(journal_version(image) == 3);
    CHECK(names_of(image, "segment-").size() >= 4);
    CHECK(names_of(image, "checkpoint-").size() == 2);
    expect_readable(image);
}

// What is written today opens, too: so the example of a new version does.
TEST_CASE_FIXTURE(Stored, "stored store: today's opens and goes on") {
    write_store();
    expect_readable(disk.image());
}

TEST_CASE_FIXTURE(Stored, "stored store: write a new example" * doctest::skip()) {
    const char* directory = std::getenv("MQD_STORED");
    REQUIRE(directory != nullptr);
    options.journal.salt_seed = 0x6D71645F73746F72;
    write_store();
    std::filesystem::create_directories(directory);
    for (const auto& [name, contents] : disk.image()) {
        SimDisk::Bytes bytes = contents;
        if (name.starts_with("checkpoint-")) {  // what is reserved behind it says nothing
            const auto last = std::find_if(bytes.rbegin(), bytes.rend(),
                                           [](std::byte byte) { return byte != std::byte{0}; });
            const auto used = static_cast<std::size_t>(bytes.rend() - last);
            bytes.resize((used + storage::block_bytes - 1) / storage::block_bytes *
                         storage::block_bytes);
        }
        std::ofstream file(std::filesystem::path(directory) / name, std::ios::binary);
        file.write(reinterpret_cast<const char*>(bytes.data()),
                   static_cast<std::streamsize>(bytes.size()));
        REQUIRE(file.good());
    }
}

}  // namespace
}  // namespace mqd::core::test
