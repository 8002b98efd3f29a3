// A disk whose syncs take long stops nobody who does not wait for it.

#include <doctest/doctest.h>

#include <cstdint>
#include <string>

#include "mqd/client.hpp"
#include "support/daemon_process.hpp"

namespace mqd::test {

TEST_CASE("slow disk: memory queues answer while a disk queue waits for its sync") {
    constexpr std::uint64_t confirms = 20;
    // In 50 ms there is time for hundreds. If syncs stopped the loop, there would be one or two.
    constexpr std::uint64_t rounds_each_min = 5;
    DaemonProcess daemon(MQD_BIN, {.config = "[queue.slow]\ndurability = \"disk\"\n"
                                             "[queue.fast]\ndurability = \"memory\"\n",
                                   .environment = {{"MQD_TEST_SYNC_DELAY_MS", "50"}}});
    daemon.start();
    auto slow = Client::connect(daemon.url());
    auto fast = Client::connect(daemon.url());
    REQUIRE(slow);
    REQUIRE(fast);
    auto to_disk = slow->producer("slow");
    auto to_memory = fast->producer("fast");
    auto from_memory = fast->consumer("fast");
    REQUIRE(to_disk);
    REQUIRE(to_memory);
    REQUIRE(from_memory);
    std::uint64_t rounds = 0;
    for (std::uint64_t i = 0; i < confirms; ++i) {
        REQUIRE(to_disk->send("to the disk"));
        REQUIRE(to_disk->flush());
        while (to_disk->unconfirmed() > 0) {
            REQUIRE(to_memory->publish("round"));
            const auto message = from_memory->receive(patience);
            REQUIRE(message);
            REQUIRE(message->has_value());
            REQUIRE(from_memory->ack((*message)->number));
            ++rounds;
            REQUIRE(slow->process(Timeout(0)));
        }
    }
    MESSAGE(rounds, " rounds in memory during ", confirms, " syncs");
    CHECK(rounds >= confirms * rounds_each_min);
}

TEST_CASE("slow disk: many who wait share one sync") {
    constexpr std::uint64_t messages = 2'000;
    DaemonProcess daemon(MQD_BIN, {.config = "[queue.slow]\ndurability = \"disk\"\n",
                                   .environment = {{"MQD_TEST_SYNC_DELAY_MS", "50"}}});
    daemon.start();
    auto client = Client::connect(daemon.url());
    REQUIRE(client);
    const auto syncs = [&] {
        const auto status = client->status();
        REQUIRE(status);
        for (const StatusItem& item : *status) {
            if (item.name == "journal_syncs") {
                return item.value;
            }
        }
        return std::uint64_t{0};
    };
    auto producer = client->producer("slow");
    REQUIRE(producer);
    const std::uint64_t before = syncs();
    for (std::uint64_t i = 0; i < messages; ++i) {
        REQUIRE(producer->send("one of many"));
    }
    REQUIRE(producer->wait_all(patience));
    const std::uint64_t used = syncs() - before;
    MESSAGE(used, " syncs for ", messages, " messages");
    CHECK(used >= 1);
    CHECK(used < messages / 20);
}

}  // namespace mqd::test
