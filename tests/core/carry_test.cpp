// Pages of segment files in which most is dead are written again elsewhere.

#include "core/core_fixture.hpp"
#include "daemon/core/backlog.hpp"

namespace mqd::core::test {
namespace {

using mqd::test::SimDisk;
using std::string;

class Carrying : public CoreFixture {
  public:
    static constexpr std::uint64_t published = 200;

    Carrying() {
        options.journal = {64 * 1024, 8 * 64 * 1024};
        options.backlog.page_bytes = 3'000;
        options.backlog.flush_bytes = 6'000;
        options.backlog.segment_bytes = 12'000;
        options.backlog.own_segment_bytes = 1;
        options.backlog.memory_bytes = 400'000;
        start();
        create("q", Durability::disk);
        WireClient& producer = connect();
        (void)producer.open_producer("q");
        for (std::uint64_t line = 1; line <= published; ++line) {
            producer.publish(line, {std::to_string(line) + string(700, 'x')});
            daemon.settle();
            (void)producer.take();
        }
        daemon.settle_for(std::chrono::seconds(1));
        consumer = &connect();
        (void)consumer->open_consumer("q");
        daemon.settle();
        (void)consumer->take();
        REQUIRE(daemon.core().backlog().figures().pages > 20);
    }
    // Of ten messages each, one stays.
    void ack_most() {
        for (std::uint64_t number = 1; number <= published; ++number) {
            if (number % 10 != 0) {
                consumer->ack(number);
            }
        }
        daemon.settle_for(std::chrono::seconds(3));
    }

    WireClient* consumer = nullptr;
};

TEST_CASE_FIXTURE(Carrying, "carry: files that are mostly dead go") {
    const std::uint64_t before = daemon.core().backlog().figures().segments.bytes;
    ack_most();
    CHECK(daemon.core().backlog().figures().pages_carried > 0);
    CHECK(daemon.core().backlog().figures().segments.bytes < before / 2);
    CHECK(daemon.core().take_complaints().empty());
}

TEST_CASE_FIXTURE(Carrying, "carry: what cannot be read is set aside, and holds nothing up") {
    disk.fail(SimDisk::Call::read, {.sticky = true});
    ack_most();
    disk.heal();
    const Backlog& backlog = daemon.core().backlog();
    CHECK_FALSE(backlog.refusal().has_value());
    CHECK(backlog.figures().unreadable_messages > 0);
    const auto complaints = daemon.core().take_complaints();
    REQUIRE_FALSE(complaints.empty());
    CHECK(complaints.front().find("cannot be read") != string::npos);
    // What is in memory is there still.
    consumer->settle(wire::FrameType::nack, {{MessageNumber(10), 1}});
    daemon.settle();
    const auto again = consumer->next<wire::Deliver>();
    CHECK(again.first_number.value() == 10);
}

}  // namespace
}  // namespace mqd::core::test
