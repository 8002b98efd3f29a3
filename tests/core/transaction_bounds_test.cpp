// What a transaction is refused for that would do no harm by itself: an answer that is too large,
// and rejections on a full disk.

#include "core/core_fixture.hpp"
#include "mqd/wire/transact.hpp"

namespace mqd::core::test {

namespace {

// One operation, as TRANSACT has it.
struct Operation {
    std::vector<std::byte> bytes;

    [[nodiscard]] wire::Transact frame() const { return {Durability::unspecified, 1, bytes}; }
};

// Empty messages of the priorities 0, 1, 0, 1, …
Operation publish_alternating(std::string_view queue, std::uint32_t count) {
    std::vector<std::byte> messages;
    for (std::uint32_t i = 0; i < count; ++i) {
        std::vector<std::byte> attributes;
        wire::Writer writer(attributes);
        writer.number(static_cast<std::uint16_t>(
            static_cast<std::uint16_t>(wire::AttributeId::priority) | wire::critical_bit));
        writer.number(std::uint16_t{1}).number(static_cast<std::uint8_t>(i % 2));
        wire::append_message(messages, attributes, {});
    }
    Operation operation;
    wire::append_publish_operation(operation.bytes, {queue, count, messages});
    return operation;
}

Operation settle(wire::TransactKind kind, std::uint32_t handle, std::uint64_t number) {
    const MessageRange range{MessageNumber(number), 1};
    Operation operation;
    wire::append_settle_operation(operation.bytes, kind, HandleId(handle), {0, {&range, 1}, ""});
    return operation;
}

std::string refusal(CoreFixture& fixture, WireClient& client, const Operation& operation,
                    ErrorCode code) {
    client.send(operation.frame(), 0, 5);
    fixture.daemon.settle();
    const auto error = client.await<wire::ErrorFrame>();
    CHECK(error_name(error.code) == error_name(code));
    return std::string(error.text);
}

}  // namespace

// Each change of priority is a run of its own in TRANSACTED: at most 65,535 of them.
TEST_CASE("transaction: its answer has to fit into a frame") {
    CoreFixture fixture;
    fixture.options.journal = {4 * 1024 * 1024, 32 * 1024 * 1024};  // a request fits into a group
    fixture.start();
    WireClient& client = fixture.connect();
    wire::QueueCreate frame;
    frame.queue = "ranked";
    frame.options.durability = Durability::memory;
    frame.options.priorities = 1;
    client.send(frame, 0, 1);
    fixture.daemon.settle();
    (void)client.await<wire::QueueInfo>();
    CHECK(refusal(fixture, client, publish_alternating("ranked", UINT16_MAX + 1),
                  ErrorCode::message_too_big)
              .ends_with("so many changes of priority do not fit into the answer"));
    CHECK(fixture.queue("ranked").live() == 0);
    CHECK(fixture.queue("ranked").numbers().on_their_way() == 0);
    client.send(publish_alternating("ranked", UINT16_MAX).frame(), 0, 6);
    fixture.daemon.settle();
    const auto most = client.await<wire::Transacted>();
    REQUIRE(most.published.size() == 1);
    CHECK(most.published[0].runs.size() == UINT16_MAX);
    CHECK(fixture.queue("ranked").live() == UINT16_MAX);
}

TEST_CASE("transaction: on a full disk nothing is rejected of what is on it") {
    CoreFixture fixture;
    fixture.options.journal = {64 * 1024, 16 * 64 * 1024};
    fixture.start();
    fixture.create("disk", Durability::disk);
    fixture.create("memory", Durability::memory);
    WireClient& client = fixture.connect();
    (void)client.open_producer("disk", 1);
    (void)client.open_producer("memory", 2);
    client.publish(1, {"a", "b"}, Durability::unspecified, 1);
    client.publish(1, {"a"}, Durability::unspecified, 2);
    fixture.daemon.settle();
    (void)client.open_consumer("disk", 3, 2);
    (void)client.open_consumer("memory", 4, 1);
    fixture.daemon.settle();
    (void)client.take();
    fixture.disk.set_capacity(fixture.disk.used());
    for (std::uint64_t line = 3; !fixture.daemon.core().journal().disk_full(); ++line) {
        REQUIRE(line < 1'000);
        client.publish(line, {std::string(500, 'x')});
        fixture.daemon.settle();
        for (const Received& frame : client.take()) {
            if (frame.header.type == wire::FrameType::refuse) {
                client.send(wire::Resume{}, 1);
            }
        }
    }
    using wire::TransactKind;
    CHECK(refusal(fixture, client, settle(TransactKind::reject, 3, 1), ErrorCode::disk_full)
              .ends_with("the disk is full: nothing is rejected in transactions"));
    CHECK(fixture.queue("disk").ending() == 0);
    CHECK(fixture.queue("disk").dying() == 0);
    // Acks go on, and so does what is in memory only.
    client.send(settle(TransactKind::ack, 3, 2).frame(), 0, 6);
    fixture.daemon.settle();
    (void)client.await<wire::Transacted>();
    client.send(settle(TransactKind::reject, 4, 1).frame(), 0, 7);
    fixture.daemon.settle();
    (void)client.await<wire::Transacted>();
    CHECK(fixture.queue("memory").live() == 0);
    fixture.disk.set_capacity(UINT64_MAX);
    fixture.daemon.settle_for(std::chrono::milliseconds(1'000));
    client.send(settle(TransactKind::reject, 3, 1).frame(), 0, 8);
    fixture.daemon.settle();
    (void)client.await<wire::Transacted>();
}

}  // namespace mqd::core::test
