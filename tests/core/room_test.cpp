// Carrying forward: what lives in the oldest journal file is written again when room runs short and
// no segment can be written.

#include "core/core_fixture.hpp"

namespace mqd::core::test {
namespace {

using wire::FrameType;

constexpr std::uint64_t file_bytes = 64 * 1024;
constexpr std::uint64_t files = 6;
constexpr std::uint64_t staying = 70;          // messages that are never acked
constexpr std::uint64_t staying_bytes = 1000;  // each

struct Room : CoreFixture {
    WireClient* client = nullptr;
    std::uint64_t line = 0;

    Room() {
        options.journal = {file_bytes, files * file_bytes};
        options.queues_max = 10;
        disk.refuse_creating("segment-");
        start();
        create("q", Durability::disk);
        client = &connect();
        (void)client->open_producer("q");
        (void)client->open_consumer("q");
        // While it grows it refuses, too.
        while (figures().files < files || queue("q").leased() < staying + 10) {
            publish(staying_bytes);
            settle();
        }
        end_all_but_staying();
    }
    [[nodiscard]] storage::Journal::Figures figures() { return daemon.core().journal().figures(); }
    void publish(std::uint64_t bytes) { client->publish(++line, {std::string(bytes, 'x')}); }
    void settle() {
        daemon.settle_for(std::chrono::milliseconds(10));
        client->send(wire::Resume{}, 1);
        (void)client->take();
    }
    void end_all_but_staying() {
        const std::uint64_t next = queue("q").next_number().value();
        REQUIRE(next > staying + 1);
        client->ack(staying + 1, next - staying - 1);
        settle();
        REQUIRE(queue("q").leased() == staying);
    }
};

TEST_CASE_FIXTURE(Room, "room: what is on its way to a younger file is not sent there again") {
    const std::uint64_t before = figures().bytes_written;
    constexpr std::uint64_t rounds = 40;
    constexpr std::uint64_t big = 12;
    constexpr std::uint64_t small = 16;
    for (std::uint64_t round = 0; round < rounds; ++round) {
        // Groups gather behind the one that is on its way, and each turn could carry.
        for (std::uint64_t i = 0; i < big; ++i) {
            publish(3000);
        }
        for (std::uint64_t i = 0; i < small; ++i) {
            daemon.begin_turn();
            daemon.commit().run_all();
            daemon.end_turn();
            publish(500);
        }
        settle();
        end_all_but_staying();
    }
    // In blocks: the messages, their acks, and for each time around all files, what stays.
    constexpr std::uint64_t own = rounds * (big + small + 1) * 4096;
    constexpr std::uint64_t around = own / (files * file_bytes) + 1;
    constexpr std::uint64_t carried = around * staying * (staying_bytes + 60);
    const std::uint64_t spent = figures().bytes_written - before;
    CHECK_MESSAGE(spent < own + carried, spent, " of ", own, " + ", carried);
    lose_power();
    start();
    CHECK(queue("q").ready() == staying);
}

TEST_CASE_FIXTURE(Room, "room: segments are written again when there is room for them") {
    const auto& backlog = daemon.core().backlog();
    CHECK(backlog.refusal().has_value());
    disk.refuse_creating("");
    daemon.settle_for(std::chrono::milliseconds(1000));
    CHECK_FALSE(backlog.refusal().has_value());
    for (int i = 0; i < 1000; ++i) {
        publish(1000);
        settle();
    }
    CHECK(queue("q").live() == staying + 1000);
    CHECK(backlog.figures().segments.files > 0);
}

// The file that a write in vain has made goes, and its going is no reason to try at once.
TEST_CASE_FIXTURE(CoreFixture, "room: a full disk is not written to all the time") {
    options.journal = {file_bytes, files * file_bytes};
    options.backlog.memory_bytes = 20'000;
    options.backlog.segment_bytes = 16'000;
    start();
    create("q", Durability::disk);
    WireClient& client = connect();
    (void)client.open_producer("q");
    disk.set_capacity(disk.used());
    for (std::uint64_t line = 1; line <= 10; ++line) {
        client.publish(line, {std::string(2000, 'x')});
        daemon.settle();
    }
    const auto& backlog = daemon.core().backlog();
    REQUIRE(backlog.refusal().has_value());
    const auto before = backlog.next_segment();
    daemon.settle_for(std::chrono::milliseconds(5000));
    CHECK(backlog.next_segment() - before <= 11);
    CHECK(backlog.figures().segments.files <= 1);
    disk.set_capacity(UINT64_MAX);
    daemon.settle_for(std::chrono::milliseconds(1000));
    CHECK_FALSE(backlog.refusal().has_value());
}

TEST_CASE_FIXTURE(CoreFixture, "room: smaller files than what has to be carried are refused") {
    constexpr std::uint64_t big_file_bytes = 256 * 1024;
    options.journal = {big_file_bytes, 8 * big_file_bytes};
    start();
    create("q", Durability::disk);
    WireClient& client = connect();
    (void)client.open_producer("q");
    client.publish(1, {std::string(40'000, 'x')});
    daemon.settle();
    clients.clear();
    daemon.end();
    disk.kill();
    options.journal = {64 * 1024, 128 * 64 * 1024};
    const auto refused = try_start();
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == ErrorCode::bad_config);
    options.journal = {big_file_bytes, 8 * big_file_bytes};
    start();
    CHECK(queue("q").live() == 1);
}

// A million runs, say, make no turn long: the state is written in pieces, while it changes.
TEST_CASE_FIXTURE(CoreFixture, "room: a large state is checkpointed in many turns") {
    options.journal = {64 * 1024, 16 * 64 * 1024};
    options.backlog.memory_bytes = 256 * 1024;
    start();
    create("q", Durability::disk);
    create("other", Durability::disk);
    WireClient& client = connect();
    (void)client.open_producer("q");
    (void)client.open_consumer("q");
    (void)client.open_producer("other", 3);
    constexpr std::uint64_t messages = 6000;
    for (std::uint64_t line = 1; line <= messages; line += 20) {
        client.publish(line, std::vector<std::string>(20));
        daemon.settle();
        (void)client.take();
    }
    REQUIRE(queue("q").leased() == messages);
    // Every other one is acked, while checkpoints are written and files recycled.
    std::uint64_t line = 1;
    for (std::uint64_t number = 1; number <= messages; number += 2) {
        client.settle(FrameType::ack, {{MessageNumber(number), 1}});
        if (number % 100 == 1) {
            client.publish(line++, {std::string(2000, 'y')}, Durability::unspecified, 3);
            daemon.begin_turn();
            daemon.commit().run_all();
            daemon.background().run_all();
            daemon.end_turn();
        }
        (void)client.take();
    }
    daemon.settle_for(std::chrono::milliseconds(100));
    CHECK(daemon.core().journal().oldest_file().value() > 1);
    lose_power();
    start();
    CHECK(queue("q").live() == messages / 2);
    CHECK(queue("q").live_runs().size() == messages / 2);
    CHECK(queue("other").live() == line - 1);
}

}  // namespace
}  // namespace mqd::core::test
