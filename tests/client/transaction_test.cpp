// Transaction over a connection: what travels, and what becomes of what was held.

#include <doctest/doctest.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "mqd/client.hpp"
#include "mqd/wire/transact.hpp"
#include "peer.hpp"

using namespace mqd;
using namespace mqd::client;
using wire::FrameType;

namespace {

std::vector<wire::TransactOperation> operations_of(const wire::Transact& frame) {
    std::vector<wire::TransactOperation> operations;
    wire::Reader reader(frame.operations);
    for (std::size_t i = 0; i < frame.count; ++i) {
        operations.push_back(wire::Transact::next(reader));
    }
    return operations;
}

void expect(bool fine, const char* what) {
    if (!fine) {
        throw std::runtime_error(what);
    }
}

}  // namespace

TEST_CASE("transaction: everything travels in one frame, behind the acks before it") {
    Peer peer([](PeerSocket& socket) {
        const HandleId handle = socket.open_consumer();
        socket.write(encode_deliver(handle, 1, {"one", "two", "three", "four"}));
        expect(socket.expect(FrameType::ack).as<wire::Ack>().ranges.size() == 1, "no ack before");
        (void)socket.expect(FrameType::credit);
        const SentFrame sent = socket.expect(FrameType::transact);
        const auto frame = sent.as<wire::Transact>();
        const auto operations = operations_of(frame);
        expect(operations.size() == 4, "other operations");
        expect(operations[0].kind == wire::TransactKind::ack, "no ack");
        expect(operations[0].handle == handle, "another handle");
        const auto publish = wire::TransactPublish::decode(operations[1].body);
        expect(publish && publish->queue == "out" && publish->count == 2, "another publish");
        wire::BatchReader reader(publish->batch);
        expect(wire::as_text(reader.next()->body) == "x", "another body");
        expect(!reader.next()->attributes.empty(), "no header");
        expect(operations[2].kind == wire::TransactKind::reject, "no reject");
        expect(wire::Nack::decode(operations[2].body)->reason == "bad", "another reason");
        expect(operations[3].kind == wire::TransactKind::extend, "no extend");
        socket.write(
            encode(wire::Transacted{Durability::disk,
                                    {{QueueId(4), {{MessageNumber(7), 1}, {MessageNumber(9), 1}}}}},
                   sent.header.correlation));
    });
    Client client = peer.connect();
    auto consumer = client.consumer("orders");
    REQUIRE(consumer.has_value());
    for (int i = 0; i < 4; ++i) {
        REQUIRE(consumer->receive()->has_value());
    }
    REQUIRE(consumer->ack(MessageNumber(1)).has_value());
    Transaction step = client.transaction();
    REQUIRE(step.ack(*consumer, MessageNumber(2)).has_value());
    const std::vector<Header> headers{{"key", "value"}};
    const std::vector<Message> messages{{"x", {}}, {"y", headers}};
    REQUIRE(step.publish("out", messages).has_value());
    NackOptions given_up;
    given_up.dead_letter = true;
    given_up.reason = "bad";
    REQUIRE(step.nack(*consumer, {MessageNumber(3), 1}, given_up).has_value());
    REQUIRE(step.extend(*consumer, {MessageNumber(4), 1}, std::chrono::seconds(9)).has_value());
    CHECK(consumer->unsettled() == 3);
    const auto done = step.commit();
    REQUIRE(done.has_value());
    REQUIRE(done->size() == 2);
    CHECK((*done)[0].incarnation == QueueId(4));
    CHECK((*done)[1].number == MessageNumber(9));
    CHECK((*done)[1].durability == Durability::disk);
    CHECK(consumer->unsettled() == 1);
    CHECK(step.operations() == 0);
    CHECK(step.commit()->empty());
    peer.join();
}

TEST_CASE("transaction: refused, everything is as it was, and without an answer, nobody knows") {
    Peer peer([](PeerSocket& socket) {
        const HandleId handle = socket.open_consumer();
        socket.write(encode_deliver(handle, 1, {"one"}));
        const SentFrame first = socket.expect(FrameType::transact);
        socket.write(encode(wire::ErrorFrame{ErrorCode::queue_full, 3, 200, "operation 1"},
                            first.header.correlation));
        (void)socket.expect(FrameType::transact);
        socket.close();
    });
    Client client = peer.connect();
    auto consumer = client.consumer("orders");
    REQUIRE(consumer.has_value());
    REQUIRE(consumer->receive()->has_value());
    Transaction step = client.transaction();
    REQUIRE(step.publish("out", "x").has_value());
    REQUIRE(step.ack(*consumer, MessageNumber(1)).has_value());
    CHECK(step.commit().error().code == ErrorCode::queue_full);
    CHECK(step.operations() == 2);
    CHECK(consumer->unsettled() == 1);
    CHECK(step.commit().error().code == ErrorCode::outcome_unknown);
    CHECK(step.operations() == 0);
    peer.join();
}

TEST_CASE("transaction: what cannot travel is refused beforehand") {
    Peer peer([](PeerSocket&) {});
    Client client = peer.connect();
    Transaction step = client.transaction();
    CHECK(step.publish("no name", "x").error().code == ErrorCode::bad_name);
    CHECK(step.publish("out", std::span<const Message>()).error().code == ErrorCode::usage);
    CHECK(step.publish("out", std::string(client.message_body_bytes_max() + 1, 'x')).error().code ==
          ErrorCode::message_too_big);
    const std::vector<Header> bad{{"", "value"}};
    CHECK(step.publish("out", "x", bad).error().code == ErrorCode::bad_option);
    CHECK(step.operations() == 0);
    std::size_t taken = 0;
    while (step.publish("out", std::string(client.message_body_bytes_max(), 'x'))) {
        ++taken;
        REQUIRE(taken <= wire::transact_operations_max);
    }
    CHECK(step.operations() == taken);
    step.clear();
    for (std::size_t i = 0; i < wire::transact_operations_max; ++i) {
        REQUIRE(step.publish("out", "x").has_value());
    }
    CHECK(step.publish("out", "x").error().code == ErrorCode::usage);
    CHECK(step.operations() == wire::transact_operations_max);
    peer.join();
}
