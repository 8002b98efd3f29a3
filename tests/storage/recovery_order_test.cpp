// What file headers say together, without any group; and the same store looked at by somebody who
// passes over what is damaged.

#include "daemon/storage/block_memory.hpp"
#include "daemon/storage/recovery.hpp"
#include "storage/journal_fixture.hpp"

namespace mqd::storage::test {
namespace {

class OrderFixture : public JournalFixture {
  public:
    OrderFixture() {
        open();
        run_all();
        commit_into_file(3);
        commit("the last one");
        end();
    }
    void rewrite_header(const std::string& name, const FileHeader& header) {
        BlockMemory block(block_bytes);
        encode_file_header(header, block.bytes());
        disk.overwrite(name, 0, block.bytes());
    }
    void erase_groups(const std::string& name) {
        disk.fill(name, block_bytes, static_cast<std::size_t>(small_file_bytes - block_bytes),
                  std::byte{0});
    }
    // The letters of all that is wrong.
    std::string look_past_damage() {
        std::string letters;
        const auto found = recover_journal(
            disk, [](const GroupView&) -> Result<void> { return {}; },
            [&](const Damage& damage) -> Result<void> {
                letters += damage.text.front();
                return {};
            });
        REQUIRE_MESSAGE(found.has_value(), found.error().text);
        return letters;
    }
};

TEST_CASE_FIXTURE(OrderFixture, "recovery: a file that begins before the one before it is damage") {
    const std::string name = file_of(3);
    FileHeader header = header_of(name);
    header.first_sequence = header_of(file_of(2)).first_sequence;
    rewrite_header(name, header);
    const std::string text = expect_refused(ErrorCode::damaged, 'H');
    CHECK(text.find(name) != std::string::npos);
    CHECK(look_past_damage().front() == 'H');
}

TEST_CASE_FIXTURE(OrderFixture, "recovery: a store of which only an empty later file is left") {
    const std::string name = file_of(3);
    disk.erase(file_of(1));
    disk.erase(file_of(2));
    for (const auto& [other, contents] : disk.image()) {
        if (other != name) {
            disk.erase(other);
        }
    }
    erase_groups(name);
    SUBCASE("it says that it was the third") {
        CHECK(expect_refused(ErrorCode::damaged, 'J').find("are lost in part") !=
              std::string::npos);
    }
    SUBCASE("it says that it was the first, and begins with a later group") {
        FileHeader header = header_of(name);
        header.ordinal = 1;
        rewrite_header(name, header);
        expect_refused(ErrorCode::damaged, 'J');
    }
    SUBCASE("it says that it was the first, which nobody wrote to yet") {
        FileHeader header = header_of(name);
        header.ordinal = header.first_sequence = 1;
        written = durable = Sequence(0);
        rewrite_header(name, header);
        open();
        CHECK(replayed.empty());
        commit("goes on");
    }
}

TEST_CASE_FIXTURE(OrderFixture, "recovery: all damage is told to who looks past it") {
    // The header of the last file is lost, and a spare says that it came after it.
    const std::string last = file_of(3);
    FileHeader spare;
    spare.state = FileState::spare;
    spare.ordinal = 9;
    spare.file_bytes = small_file_bytes;
    disk.put("journal-0042", SimDisk::Bytes(small_file_bytes));
    rewrite_header("journal-0042", spare);
    disk.fill(last, 0, 100, std::byte{0x55});
    CHECK(look_past_damage() == "JL");
    // And to who does not, the first of it, in its order.
    expect_refused(ErrorCode::damaged, 'J');
}

// No mqd has made such: they are removed, or left as they are, and hinder nobody.
TEST_CASE_FIXTURE(OrderFixture, "recovery: rubbish of any length is no journal file") {
    std::uint32_t number = 50;
    for (const std::size_t bytes : {0u, 100u, 5'000u, 32'768u, 100'000u, 131'072u}) {
        disk.put(journal_file_name(number++), SimDisk::Bytes(bytes, std::byte{0x55}));
    }
    const Sequence last = durable;
    open();
    CHECK(journal->last() == last);
    for (std::uint32_t made = 50; made < number; ++made) {
        CHECK_FALSE(disk.exists(journal_file_name(made)));
    }
    commit("goes on");
    restart();
    CHECK(replayed.back().body == "goes on");
}

}  // namespace
}  // namespace mqd::storage::test
