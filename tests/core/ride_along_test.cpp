// What nobody waits for rides along in the journal, as far as there is room for it: what is left
// out is told by a checkpoint.

#include "core/core_fixture.hpp"
#include "daemon/storage/passing_error.hpp"
#include "support/canonical_state.hpp"

namespace mqd::core::test {

namespace {

constexpr std::uint64_t messages = 400;
constexpr std::uint64_t batch = 20;

class RideAlong : public CoreFixture {
  protected:
    RideAlong() { options.journal = {64 * 1024, 512 * 1024}; }
    [[nodiscard]] mqd::test::CanonicalState state() {
        return mqd::test::canonical_state(daemon.core().engine(), {daemon.now(), daemon.wall()});
    }
    // Every other one fails, for a reason of its own, all in one turn: more than may ride along.
    void fail_many() {
        create("q", Durability::disk);
        WireClient& client = connect();
        (void)client.open_producer("q");
        for (std::uint64_t line = 1; line < messages; line += batch) {
            client.publish(line, std::vector<std::string>(batch, "body"));
            daemon.settle_for(std::chrono::milliseconds(1));
        }
        (void)client.open_consumer("q");
        daemon.settle();
        REQUIRE(queue("q").leased() == messages);
        std::vector<std::byte> bytes;
        for (std::uint64_t i = 1; i <= messages; i += 2) {
            const MessageRange range{MessageNumber(i), 1};
            wire::append_settle(bytes, wire::FrameType::nack,
                                {60'000, {&range, 1}, std::string(200, 'r') + std::to_string(i)},
                                CorrelationId(0), HandleId(2), 0);
        }
        client.receive(bytes);
        CHECK(queue("q").delayed() == messages / 2);
        CHECK(queue("q").failures().count() == messages / 2);
    }
    void fail_one() {
        create("q", Durability::disk);
        WireClient& client = connect();
        (void)client.open_producer("q");
        (void)client.open_consumer("q");
        client.publish(1, {"body"});
        daemon.settle_for(std::chrono::milliseconds(1));
        client.settle(wire::FrameType::nack, {{MessageNumber(1), 1}}, 2, 0, 60'000);
        REQUIRE(queue("q").failures().count() == 1);
    }
    // Until one has begun, of which nothing is written yet.
    void begin_checkpoint() {
        create("other", Durability::disk);
        WireClient& client = connect();
        (void)client.open_producer("other");
        for (std::uint64_t line = 1; !daemon.core().checkpoint().active(); ++line) {
            REQUIRE(line < 100);
            daemon.commit().run_all();
            daemon.background().run_all();
            client.publish(line, {std::string(3000, 'x')});
        }
    }
};

}  // namespace

TEST_CASE_FIXTURE(RideAlong, "riding along: what is left out is in the next checkpoint") {
    start();
    fail_many();
    CHECK(daemon.core().owes_checkpoint());
    daemon.settle_for(std::chrono::seconds(1));
    CHECK_FALSE(daemon.core().owes_checkpoint());
    clients.clear();  // which fails the others
    daemon.settle_for(std::chrono::seconds(1));
    CHECK_FALSE(daemon.core().owes_checkpoint());
    const auto before = state();
    lose_power();
    start();
    CHECK(state().describe() == before.describe());
    CHECK(queue("q").delayed() == messages / 2);
}

TEST_CASE_FIXTURE(RideAlong, "riding along: a clean stop waits for the checkpoint that is owed") {
    start();
    fail_many();
    REQUIRE(daemon.core().owes_checkpoint());
    daemon.core().begin_stop();
    clients.clear();
    for (int i = 0; i < 1000 && !daemon.core().stopped(); ++i) {
        daemon.settle_for(std::chrono::milliseconds(1));
    }
    REQUIRE(daemon.core().stopped());
    CHECK_FALSE(daemon.core().owes_checkpoint());
    const auto before = state();
    daemon.end();
    disk.crash(1);
    start();
    CHECK(state().describe() == before.describe());
}

TEST_CASE_FIXTURE(RideAlong, "riding along: a full disk does not keep a stop from its end") {
    start();
    fail_many();
    disk.set_capacity(disk.used());
    daemon.core().begin_stop();
    clients.clear();
    for (int i = 0; i < 1000 && !daemon.core().stopped(); ++i) {
        daemon.settle_for(std::chrono::milliseconds(1));
    }
    CHECK(daemon.core().stopped());
}

// Begun in the last moments before the stop, and on the disk before the daemon hears of it.
TEST_CASE_FIXTURE(RideAlong, "riding along: a stop waits for what a checkpoint left out") {
    start();
    fail_one();
    begin_checkpoint();
    disk.set_capacity(disk.used());
    daemon.settle();
    disk.set_capacity(UINT64_MAX);
    REQUIRE(daemon.core().checkpoint().leaves_out_failures());
    REQUIRE_FALSE(daemon.core().owes_checkpoint());
    daemon.pass(storage::retry_every);
    daemon.begin_turn();
    daemon.end_turn();
    REQUIRE(daemon.core().checkpoint().active());
    clients.clear();
    daemon.core().begin_stop();
    for (int i = 0; i < 100 && !daemon.core().stopped(); ++i) {
        daemon.begin_turn();
        daemon.commit().run_all();
        while (daemon.background().has_work()) {
            daemon.background().run_work();
        }
        daemon.end_turn();
        daemon.pass(std::chrono::milliseconds(1));
    }
    if (!daemon.core().stopped()) {
        daemon.settle_for(std::chrono::seconds(1));
    }
    REQUIRE(daemon.core().stopped());
    CHECK_FALSE(daemon.core().owes_checkpoint());
    const auto before = state();
    daemon.end();
    disk.kill();
    start();
    CHECK(queue("q").failures().count() == 1);
    CHECK(state().describe() == before.describe());
}

}  // namespace mqd::core::test
