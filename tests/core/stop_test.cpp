// The end of a daemon whose disk was full a moment before: it comes, and it is clean.

#include "core/core_fixture.hpp"

namespace mqd::core::test {
namespace {

using std::string;

constexpr std::uint64_t file_bytes = 64 * 1024;

struct FullJournal : CoreFixture {
    FullJournal() {
        options.journal = {file_bytes, 3 * file_bytes};
        options.queues_max = 10;
    }
    // Many messages in one group, and acks in a group each, until the journal takes nothing more.
    void fill() {
        start();
        create("q", Durability::disk);
        WireClient& client = connect();
        (void)client.open_producer("q");
        (void)client.open_consumer("q");
        constexpr std::uint64_t messages = 100;
        client.publish(1, std::vector<string>(messages, "x"));
        daemon.settle();
        for (std::uint64_t number = 1; number <= messages; ++number) {
            const Sequence before = daemon.core().journal().last();
            client.ack(number);
            daemon.settle_for(options.commit_delay_max);
            if (daemon.core().journal().last() == before) {
                return;
            }
        }
        FAIL("the journal does not fill");
    }
    void expect_clean_stop() {
        daemon.core().begin_stop();
        clients.clear();
        for (int i = 0; i < 100 && !daemon.core().stopped(); ++i) {
            daemon.pass(std::chrono::milliseconds(10));
            daemon.settle();
        }
        REQUIRE(daemon.core().stopped());
        CHECK_FALSE(daemon.core().failure().has_value());
        const std::uint64_t live = queue("q").live();
        daemon.end();
        disk.kill();
        start();
        CHECK(daemon.core().journal().recovery().clean);
        CHECK(queue("q").live() == live);
    }
};

TEST_CASE_FIXTURE(FullJournal, "stop: it waits for the checkpoint that frees a journal file") {
    disk.refuse_creating("checkpoint-");
    fill();
    disk.refuse_creating("");
    expect_clean_stop();
}

// Of what lives in the oldest file, a small part goes to segments at a time.
TEST_CASE_FIXTURE(FullJournal, "stop: it waits for the segments that free a journal file") {
    options.backlog.flush_bytes = 2000;
    options.backlog.page_bytes = 500;
    start();
    create("q", Durability::disk);
    WireClient& client = connect();
    (void)client.open_producer("q");
    std::uint64_t line = 1;
    for (Sequence before; before < daemon.core().journal().last(); ++line) {
        before = daemon.core().journal().last();
        client.publish(line, {string(100, 'x')});
        for (int i = 0; i < 3; ++i) {  // the background worker does nothing
            daemon.begin_turn();
            daemon.commit().run_all();
            daemon.end_turn();
        }
    }
    expect_clean_stop();
}

// A segment is being written when the stop comes, and done behind the seal: that places its pages,
// in a group of its own, and what ends the journal is no seal any more.
TEST_CASE_FIXTURE(CoreFixture, "stop: what is done behind the seal is sealed, too") {
    options.backlog.memory_bytes = 16 * 1024;
    start();
    create("q", Durability::disk);
    WireClient& client = connect();
    (void)client.open_producer("q");
    daemon.settle();
    const auto turn = [&] {  // the background worker does nothing
        daemon.begin_turn();
        daemon.commit().run_all();
        daemon.end_turn();
    };
    for (std::uint64_t line = 1; line <= 30; ++line) {
        client.publish(line, {string(1000, 'x')});
        turn();
    }
    REQUIRE_FALSE(daemon.background().idle());
    clients.clear();
    daemon.core().begin_stop();
    for (int i = 0; i < 10 && !daemon.core().stopped(); ++i) {
        daemon.pass(std::chrono::milliseconds(10));
        turn();
    }
    REQUIRE(daemon.core().stopped());
    const Sequence seal = daemon.core().journal().last();
    daemon.background().run_all();
    CHECK_FALSE(daemon.core().stopped());
    for (int i = 0; i < 10 && !daemon.core().stopped(); ++i) {
        turn();
    }
    REQUIRE(daemon.core().stopped());
    CHECK(daemon.core().journal().last() > seal);
    daemon.end();
    disk.kill();
    start();
    CHECK(daemon.core().journal().recovery().clean);
    CHECK(queue("q").live() == 30);
}

}  // namespace
}  // namespace mqd::core::test
