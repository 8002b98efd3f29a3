// Carrying forward: what lives in the oldest journal file is written again when room runs short.

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

// As many messages as are admitted, each a run of its own, between queues with the longest names.
TEST_CASE_FIXTURE(CoreFixture, "room: the largest state that is admitted fits into a file") {
    constexpr std::uint64_t big_file_bytes = 128 * 1024;
    options.journal = {big_file_bytes, 64 * big_file_bytes};
    options.queues_max = 5;
    start();
    for (int i = 1; i < 5; ++i) {
        create(std::string(199, 'n') + std::to_string(i), Durability::disk);
    }
    create("q", Durability::disk);
    WireClient& client = connect();
    (void)client.open_producer("q");
    (void)client.open_consumer("q");
    std::uint64_t messages = 0;
    std::uint64_t line = 1;
    for (int refusals = 0; refusals < 50; line += 20) {
        client.publish(line, std::vector<std::string>(20));
        daemon.settle_for(std::chrono::milliseconds(10));
        const bool taken = queue("q").live() > messages;
        messages = queue("q").live();
        refusals = taken ? 0 : refusals + 1;  // while it grows it refuses, too
        client.send(wire::Resume{}, 1);
    }
    CHECK(messages > 3000);
    (void)client.take();
    for (std::uint64_t number = 1; number <= messages; number += 2) {
        client.settle(FrameType::nack, {{MessageNumber(number), 1}});  // delivered twice
    }
    daemon.settle();
    const auto file = daemon.core().journal().current_file();
    for (int i = 0; daemon.core().journal().current_file() == file; ++i) {
        REQUIRE(i < 1000);
        client.ask(FrameType::queue_purge, "n");
        client.settle(FrameType::nack, {{MessageNumber(1), 1}});
        daemon.settle_for(std::chrono::milliseconds(10));
    }
    CHECK(queue("q").live() == messages);
    lose_power();
    start();
    CHECK(queue("q").live() == messages);
    clients.clear();
    daemon.end();
    disk.kill();
    // Smaller files than what lies in the store can be carried to: refused, and nothing is lost.
    options.journal = {64 * 1024, 128 * 64 * 1024};
    const auto refused = try_start();
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == ErrorCode::bad_config);
    options.journal = {big_file_bytes, 64 * big_file_bytes};
    start();
    CHECK(queue("q").live() == messages);
}

}  // namespace
}  // namespace mqd::core::test
