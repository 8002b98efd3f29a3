// What is not urgent leaves disk and processor to those that wait for a commit.

#include <array>

#include "core/core_fixture.hpp"

namespace mqd::core::test {

namespace {

class Pace : public CoreFixture {
  protected:
    // A backlog of 64 files of 1 MiB and a little, none of it in memory.
    void fill() {
        options.journal = {4u << 20, 64u << 20};
        options.message_bytes_max = 1u << 20;
        options.backlog.memory_bytes = 2u << 20;
        options.backlog.segment_bytes = 1u << 20;
        options.backlog.page_bytes = 512u << 10;
        start();
        create("q", Durability::disk);
        WireClient& client = connect();
        (void)client.open_producer("q");
        (void)client.take();
        for (std::uint64_t line = 1; line <= messages; ++line) {
            client.publish(line, {std::string(512u << 10, 'x')});
            daemon.settle_for(std::chrono::milliseconds(1));
            (void)client.take();
        }
        daemon.settle_for(std::chrono::seconds(1));
    }
    [[nodiscard]] Backlog::Figures figures() { return daemon.core().backlog().figures(); }

    static constexpr std::uint64_t messages = 64;
};

}  // namespace

TEST_CASE_FIXTURE(Pace, "pace: empty segment files are removed one after the other") {
    fill();
    const std::uint64_t before = figures().segments.files;
    REQUIRE(before >= 30);
    WireClient& client = connect();
    client.send(wire::QueuePurge{"q"}, 0, 5);
    daemon.settle();
    CHECK(client.await<wire::Done>().count == messages);
    const std::uint64_t at_once = figures().segments.files;
    CHECK(at_once + 8 >= before);
    daemon.settle_for(std::chrono::milliseconds(20));
    CHECK(figures().segments.files < at_once);
    CHECK(figures().segments.files > 0);
    daemon.settle_for(std::chrono::seconds(4));
    CHECK(figures().segments.files == 0);
    CHECK(figures().segments.bytes == 0);
}

TEST_CASE_FIXTURE(Pace, "pace: on a full disk they are removed at once") {
    fill();
    disk.set_capacity(disk.used());
    WireClient& client = connect();
    (void)client.open_producer("q");
    (void)client.take();
    for (std::uint64_t line = 1; !daemon.core().backlog().refusal() && line <= 64; ++line) {
        client.publish(line, {std::string(400u << 10, 'x')});
        daemon.settle();
    }
    REQUIRE(daemon.core().backlog().refusal());
    client.send(wire::QueuePurge{"q"}, 0, 5);
    daemon.settle();
    CHECK(figures().segments.files <= 1);
}

TEST_CASE_FIXTURE(Pace, "pace: a backlog is read slowly while producers wait, and else at once") {
    fill();
    WireClient& client = connect();
    (void)client.open_consumer("q");
    daemon.settle();
    const auto taken = [&] {
        std::uint64_t count = 0;
        for (const Received& frame : client.take()) {
            if (frame.header.type == wire::FrameType::deliver) {
                const auto delivery = frame.as<wire::Deliver>();
                client.ack(delivery.first_number.value(), delivery.count);
                count += delivery.count;
            }
        }
        return count;
    };
    create("busy", Durability::disk);
    WireClient& producer = connect();
    (void)producer.open_producer("busy");
    std::uint64_t beside = taken();
    for (std::uint64_t line = 1; line <= 20; ++line) {  // for 20 milliseconds
        producer.publish(line, {"x"});
        for (int i = 0; i < 10; ++i) {
            daemon.settle();
            beside += taken();
        }
        daemon.pass(std::chrono::milliseconds(1));
    }
    // 256 MiB a second, and what is read at once.
    CHECK(beside >= 10);
    CHECK(beside <= 24);
    daemon.pass(std::chrono::milliseconds(10));
    std::uint64_t alone = 0;
    for (std::uint64_t i = 0; i < messages; ++i) {
        daemon.settle();
        alone += taken();
    }
    CHECK(beside + alone == messages);
}

TEST_CASE_FIXTURE(Pace, "pace: nobody's backlog keeps another one from being read") {
    fill();
    create("r", Durability::disk);
    {
        WireClient& client = connect();
        (void)client.open_producer("r");
        for (std::uint64_t line = 1; line <= 16; ++line) {
            client.publish(line, {std::string(512u << 10, 'y')});
            daemon.settle_for(std::chrono::milliseconds(1));
            (void)client.take();
        }
        daemon.settle_for(std::chrono::seconds(1));
    }
    create("busy", Durability::disk);
    WireClient& producer = connect();
    (void)producer.open_producer("busy");
    std::vector<WireClient*> readers;
    for (const std::string_view name : {"q", "r"}) {
        readers.push_back(&connect());
        (void)readers.back()->open_consumer(name);
    }
    std::array<std::uint64_t, 2> taken{};
    for (std::uint64_t line = 1; line <= 40; ++line) {
        producer.publish(line, {"x"});
        for (int i = 0; i < 5; ++i) {
            daemon.settle();
            for (std::size_t k = 0; k < readers.size(); ++k) {
                for (const Received& frame : readers[k]->take()) {
                    if (frame.header.type == wire::FrameType::deliver) {
                        const auto delivery = frame.as<wire::Deliver>();
                        readers[k]->ack(delivery.first_number.value(), delivery.count);
                        taken[k] += delivery.count;
                    }
                }
            }
        }
        daemon.pass(std::chrono::milliseconds(1));
    }
    CHECK(taken[0] >= 6);
    CHECK(taken[1] >= 6);
}

}  // namespace mqd::core::test
