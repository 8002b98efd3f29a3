// Carrying forward: what lives in the oldest journal file is written again when room runs short.

#include "core/core_fixture.hpp"

namespace mqd::core::test {
namespace {

constexpr std::uint64_t file_bytes = 64 * 1024;
constexpr std::uint64_t files = 6;
constexpr std::uint64_t staying = 70;          // messages that are never acked
constexpr std::uint64_t staying_bytes = 1000;  // each

struct Room : CoreFixture {
    WireClient* client = nullptr;
    std::uint64_t line = 0;

    Room() {
        options.journal = {file_bytes, files * file_bytes};
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

}  // namespace
}  // namespace mqd::core::test
