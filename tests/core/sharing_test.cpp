// Exclusive consumers, and those of which a single one is active: what a client is told.

#include "core/core_fixture.hpp"

namespace mqd::core::test {
namespace {

struct SharingFixture : ServingFixture {
    void publish_to(std::string_view queue, const std::vector<std::string>& bodies) {
        WireClient& producer = connect();
        (void)producer.open_producer(queue);
        producer.publish(1, bodies);
        daemon.settle();
    }
    void ask(WireClient& client, Sharing sharing, std::uint64_t messages = plenty) {
        client.send(wire::OpenConsumer{"q", 0, messages, plenty, sharing}, 2, 9);
    }
    wire::Turn open(WireClient& client, Sharing sharing, std::uint64_t messages = plenty) {
        ask(client, sharing, messages);
        return client.next<wire::Opened>().turn;
    }
    wire::Turn open_single(WireClient& client, std::uint64_t messages = plenty) {
        return open(client, Sharing::single_active, messages);
    }
    void expect_refusal(WireClient& client, Sharing sharing, const std::string& text) {
        ask(client, sharing);
        const auto error = client.next<wire::ErrorFrame>();
        CHECK(error.code == ErrorCode::queue_exclusive);
        CHECK(error.text == text);
    }
};

TEST_CASE_FIXTURE(SharingFixture, "sharing: an exclusive consumer has the queue for itself") {
    create("q", Durability::disk);
    WireClient& first = connect();
    WireClient& second = connect();
    CHECK(open(first, Sharing::exclusive) == wire::Turn::active);
    expect_refusal(second, Sharing::shared,
                   R"(queue "q" has an exclusive consumer; a shared one cannot join it)");
    expect_refusal(second, Sharing::exclusive,
                   R"(queue "q" has an exclusive consumer; an exclusive one cannot join it)");
    first.send(wire::CloseHandle{}, 2, 1);
    (void)first.next<wire::Closed>();
    CHECK(open(second, Sharing::exclusive) == wire::Turn::active);
}

TEST_CASE_FIXTURE(SharingFixture, "sharing: one that others share cannot be had exclusively") {
    create("q", Durability::disk);
    WireClient& first = connect();
    WireClient& second = connect();
    WireClient& third = connect();
    CHECK(open(first, Sharing::shared) == wire::Turn::unsaid);
    CHECK(open(second, Sharing::shared) == wire::Turn::unsaid);
    expect_refusal(third, Sharing::exclusive,
                   R"(queue "q" has 2 shared consumers; an exclusive one cannot join them)");
    expect_refusal(third, Sharing::single_active,
                   R"(queue "q" has 2 shared consumers; a single-active one cannot join them)");
    CHECK(open(third, Sharing::shared) == wire::Turn::unsaid);
}

TEST_CASE_FIXTURE(SharingFixture, "sharing: a single active one cannot be joined by others") {
    create("q", Durability::disk);
    WireClient& first = connect();
    WireClient& second = connect();
    CHECK(open_single(first) == wire::Turn::active);
    expect_refusal(second, Sharing::shared,
                   R"(queue "q" has a single-active consumer; a shared one cannot join it)");
}

TEST_CASE_FIXTURE(SharingFixture, "sharing: what this daemon does not know is refused") {
    create("q", Durability::disk);
    WireClient& client = connect();
    ask(client, static_cast<Sharing>(3));
    client.expect_error(ErrorCode::bad_option, 9);
    CHECK(open_single(client) == wire::Turn::active);
}

TEST_CASE_FIXTURE(SharingFixture, "sharing: the next one is told, and gets all in order") {
    create("q", Durability::disk);
    publish_to("q", {"a", "b", "c"});
    WireClient& first = connect();
    WireClient& second = connect();
    WireClient& third = connect();
    CHECK(open_single(first, 2) == wire::Turn::active);
    CHECK(open_single(second) == wire::Turn::waiting);
    CHECK(open_single(third) == wire::Turn::waiting);
    daemon.settle();
    CHECK(first.next<wire::Deliver>().count == 2);
    CHECK(second.silent());

    SUBCASE("when its handle is closed") {
        first.send(wire::CloseHandle{}, 2, 1);
    }
    SUBCASE("when its connection is gone") {
        std::erase_if(clients, [&](const auto& one) { return one.get() == &first; });
    }
    SUBCASE("when it says goodbye") {
        first.send(wire::Goodbye{}, 0, 1);
    }
    daemon.settle();
    (void)second.next<wire::ConsumerActive>();
    CHECK(second.last_header().handle == HandleId(2));
    CHECK(second.last_header().correlation == CorrelationId(0));
    std::uint64_t number = 0;
    for (const Received& frame : second.take()) {
        const auto delivery = frame.as<wire::Deliver>();
        CHECK(delivery.first_number == MessageNumber(number + 1));
        number += delivery.count;
    }
    CHECK(number == 3);
    CHECK(third.silent());
}

TEST_CASE_FIXTURE(SharingFixture, "sharing: a connection that ends leaves its turns to others") {
    create("q", Durability::disk);
    WireClient& first = connect();
    WireClient& second = connect();
    CHECK(open_single(first) == wire::Turn::active);
    first.send(wire::OpenConsumer{"q", 0, plenty, plenty, Sharing::single_active}, 3, 9);
    CHECK(first.next<wire::Opened>().turn == wire::Turn::waiting);
    CHECK(open_single(second) == wire::Turn::waiting);
    first.send(wire::Goodbye{}, 0, 1);
    daemon.settle();
    (void)first.next<wire::GoodbyeReply>();
    CHECK(first.silent());
    (void)second.next<wire::ConsumerActive>();
}

TEST_CASE_FIXTURE(SharingFixture, "sharing: a queue that is deleted activates nobody") {
    create("q", Durability::disk);
    WireClient& first = connect();
    WireClient& second = connect();
    CHECK(open_single(first) == wire::Turn::active);
    CHECK(open_single(second) == wire::Turn::waiting);
    wire::QueueDelete frame;
    frame.queue = "q";
    second.send(frame, 0, 1);
    daemon.settle();
    first.expect_error(ErrorCode::queue_deleted);
    for (const Received& answer : second.take()) {
        CHECK(answer.header.type != wire::FrameType::consumer_active);
    }
}

}  // namespace
}  // namespace mqd::core::test
