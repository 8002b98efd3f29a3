// Small journals with a hole, with `on_damage = "salvage"`: what is said of it, what is not given
// out again, and that the store starts with "refuse" afterwards. All that lives in a larger one:
// mend_test.cpp.

#include "core/core_fixture.hpp"
#include "daemon/storage/journal_format.hpp"

namespace mqd::core::test {
namespace {

using std::string;
using std::string_view;
using SimDisk = mqd::test::SimDisk;

constexpr std::uint64_t block_bytes = storage::block_bytes;

// The new journal does not begin where a checkpoint ends: there is one at once.
TEST_CASE_FIXTURE(CoreFixture, "mend: a journal of which no file can be read") {
    start();
    create("a", Durability::disk);
    daemon.settle_for(std::chrono::seconds(1));
    kill();
    for (const auto& [name, bytes] : disk.image()) {
        if (name.starts_with("journal-")) {
            disk.fill(name, 0, block_bytes, std::byte{0});
            disk.truncate(name, bytes.size() - 1);
        }
    }
    options.on_damage = OnDamage::salvage;
    start();
    CHECK(daemon.core().journal().recovery().damaged);
    kill();
    options.on_damage = OnDamage::refuse;
    start();
}

// Nothing that was read says that there was more of that queue.
TEST_CASE_FIXTURE(CoreFixture,
                  "mend: the last messages of a queue are named, though others follow") {
    start();
    create("a", Durability::disk);
    create("b", Durability::disk);
    for (const char* name : {"a", "b"}) {
        WireClient& client = connect();
        (void)client.open_producer(name);
        for (std::uint64_t line = 1; line < 4; ++line) {
            client.publish(line, {string(name) + " body"});
            daemon.settle();
        }
    }
    daemon.settle_for(std::chrono::seconds(1));
    kill();
    const SimDisk::Bytes& bytes = disk.contents("journal-0001");
    const string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    disk.flip("journal-0001", text.rfind("a body") * 8);
    options.on_damage = OnDamage::salvage;
    start();
    string lines;
    for (const string& line : daemon.core().take_complaints()) {
        lines += line + '\n';
    }
    CAPTURE(lines);
    CHECK(lines.find("messages from 3 on of queue \"a\" are lost") != string::npos);
    CHECK(lines.find("of queue \"b\" are lost") == string::npos);
}

// What nobody may have heard of any more is not given out again: a memory queue
// has a new id after each start.
TEST_CASE_FIXTURE(CoreFixture, "mend: an id that was given out is not given out again") {
    start();
    create("m", Durability::memory);
    create("d", Durability::disk);
    kill();
    start();
    const QueueId seen = queue("m").id();
    WireClient& client = connect();
    (void)client.open_producer("d");
    for (std::uint64_t line = 1; line < 10; ++line) {
        client.publish(line, {"x"});
        daemon.settle();
    }
    daemon.settle_for(std::chrono::seconds(1));
    kill();
    const SimDisk::Image sound = disk.image();
    unsigned damaged = 0;
    for (std::uint64_t block = 2; block < 8; ++block) {
        CAPTURE(block);
        disk.load(sound);
        disk.fill("journal-0001", block * block_bytes, block_bytes, std::byte{0xA5});
        options.on_damage = OnDamage::salvage;
        start();
        if (daemon.core().journal().recovery().damaged &&
            daemon.core().engine().find("m") != nullptr) {
            ++damaged;
            CHECK(queue("m").id() > seen);
        }
        kill();
    }
    CHECK(damaged > 0);
}

}  // namespace
}  // namespace mqd::core::test
