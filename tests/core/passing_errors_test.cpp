// Errors of the disk that say nothing of what lies on it: no descriptor, no memory, no space, a
// quota. Whoever needs a file that cannot be opened waits; nothing is called damaged, the daemon
// does not end, and all goes on when there is enough again.

#include <cerrno>

#include "core/stored_fixture.hpp"

namespace mqd::core::test {
namespace {

using Call = SimDisk::Call;

class PassingErrors : public StoredFixture {
  public:
    // Messages of a queue as they were delivered since the last call.
    static Living delivered(WireClient& client) {
        Living there;
        for (const Received& frame : client.take()) {
            if (frame.header.type != wire::FrameType::deliver) {
                continue;
            }
            const auto delivery = frame.as<wire::Deliver>();
            std::uint64_t number = delivery.first_number.value();
            for (std::string& body : bodies_of(delivery)) {
                there[number++] = std::move(body);
            }
        }
        return there;
    }
    // What has nothing to do with the store's bytes is all that it may have said.
    void expect_no_damage(int os_errno) {
        CHECK_FALSE(daemon.core().failure().has_value());
        CHECK(daemon.core().backlog().figures().unreadable_messages == 0);
        for (const std::string& complaint : daemon.core().take_complaints()) {
            CHECK_MESSAGE(complaint.find("cannot be read") == std::string::npos, complaint);
            CHECK_MESSAGE(complaint.find("errno " + std::to_string(os_errno)) != std::string::npos,
                          complaint);
        }
    }
};

TEST_CASE_FIXTURE(PassingErrors, "passing errors: a backlog that cannot be opened now waits") {
    int os_errno = 0;
    SUBCASE("EMFILE") {
        os_errno = EMFILE;
    }
    SUBCASE("ENFILE") {
        os_errno = ENFILE;
    }
    SUBCASE("ENOMEM") {
        os_errno = ENOMEM;
    }
    CAPTURE(os_errno);
    write_store();
    start();
    WireClient& consumer = connect();
    disk.fail(Call::open, {1, true, os_errno});
    (void)consumer.open_consumer("orders");
    daemon.settle_for(std::chrono::seconds(5));
    const Living early = delivered(consumer);
    const Living all = living("orders");
    CHECK(early.size() < all.size());
    expect_no_damage(os_errno);
    // Publishing goes on, into a new file of the journal, which is there, and the next.
    WireClient& producer = connect();
    (void)producer.open_producer("events");
    const std::string body(1'500, 'x');
    for (std::uint64_t line = 1; line <= 60; ++line) {
        producer.publish(line, {body});
        daemon.settle_for(options.commit_delay_max);
    }
    daemon.settle_for(std::chrono::seconds(5));
    expect_no_damage(os_errno);

    disk.heal();
    daemon.settle_for(std::chrono::seconds(5));
    Living late = delivered(consumer);
    late.insert(early.begin(), early.end());
    CHECK((late == all));
    CHECK_FALSE(daemon.core().failure().has_value());
    CHECK(daemon.core().backlog().figures().unreadable_messages == 0);
}

TEST_CASE_FIXTURE(PassingErrors, "passing errors: no space and no quota refuse publishes only") {
    int os_errno = 0;
    SUBCASE("ENOSPC") {
        os_errno = ENOSPC;
    }
    SUBCASE("EDQUOT") {
        os_errno = EDQUOT;
    }
    CAPTURE(os_errno);
    write_store();
    start();
    WireClient& producer = connect();
    WireClient& consumer = connect();
    (void)producer.open_producer("events");
    // Nothing can be made or written but into the journal's files, which have their room.
    disk.fail(Call::allocate, {1, true, os_errno});
    disk.refuse_creating("segment-");
    const std::string body(1'500, 'x');
    std::optional<ErrorCode> refused;
    std::uint64_t line = 1;
    for (; line <= 1'000 && !refused; ++line) {
        producer.publish(line, {body});
        daemon.settle_for(options.commit_delay_max);
        for (const Received& frame : producer.take()) {
            if (frame.header.type == wire::FrameType::refuse) {
                refused = frame.as<wire::Refuse>().error.code;
            }
        }
    }
    REQUIRE(refused.has_value());
    CHECK(error_name(*refused) == error_name(ErrorCode::disk_full));
    CHECK_FALSE(daemon.core().failure().has_value());
    // All that was there before is delivered, and acked for good.
    (void)consumer.open_consumer("orders");
    daemon.settle_for(std::chrono::seconds(2));
    const Living all = living("orders");
    CHECK((delivered(consumer) == all));
    for (const auto& [number, text] : all) {
        consumer.ack(number);
        daemon.settle_for(options.commit_delay_max);
    }
    CHECK_FALSE(daemon.core().failure().has_value());
    CHECK(queue("orders").live() == 0);
    kill();
    disk.heal();
    disk.refuse_creating("");
    start();
    CHECK(queue("orders").live() == 0);
    CHECK(daemon.core().backlog().figures().unreadable_messages == 0);
}

}  // namespace
}  // namespace mqd::core::test
