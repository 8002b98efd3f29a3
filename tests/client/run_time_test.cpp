// Leases while a message is worked on: extended however long a handler takes, up to
// ConsumerOptions::max_run_time.

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "mqd/client.hpp"
#include "peer.hpp"

using namespace mqd;
using namespace mqd::client;
using std::chrono::milliseconds;
using std::chrono::seconds;
using wire::FrameType;

namespace {

MessageRange range(std::uint64_t first, std::uint64_t count) {
    return {MessageNumber(first), count};
}

std::vector<std::string> bodies(std::size_t count) {
    return std::vector<std::string>(count, "x");
}

ConsumerOptions limited_to(milliseconds time) {
    ConsumerOptions options;
    options.max_run_time = time;
    return options;
}

// A consumer of a lease of 30 s, whose messages are handed out one by one.
struct LimitedConsumer {
    ScriptedDaemon daemon;
    ConsumerHandle* consumer;

    explicit LimitedConsumer(milliseconds max_run_time) {
        daemon.greet();
        consumer = &daemon.open_consumer(limited_to(max_run_time), 30'000);
    }
    void hand_out(Time now, std::uint64_t count = 1) {
        Delivery delivery;
        for (std::uint64_t i = 0; i < count; ++i) {
            REQUIRE(consumer->next(delivery));
            consumer->begin_run({delivery.number, 1}, now);
        }
    }
    // What is extended at that time.
    std::vector<MessageRange> extended_at(Time now) {
        daemon.session.advance(now);
        std::vector<MessageRange> ranges;
        for (const SentFrame& frame : daemon.sent()) {
            if (frame.header.type == FrameType::extend) {
                REQUIRE(ranges.empty());
                ranges = to_vector(frame.as<wire::Extend>().ranges);
            }
        }
        return ranges;
    }
    std::vector<MessageRange> overrun() {
        std::vector<MessageRange> ranges;
        consumer->take_overrun(ranges);
        return ranges;
    }
};

using Ranges = std::vector<MessageRange>;

// The calls that may come out of a handler; the thread that extends leases is at work meanwhile.
void use_everything(Client& client, Consumer& consumer, Producer& producer) {
    REQUIRE(producer.send("x").has_value());
    REQUIRE(client.flush().has_value());
    REQUIRE(client.process(Timeout(0)).has_value());
    REQUIRE(consumer.extend(MessageNumber(1), milliseconds(0)).has_value());
    REQUIRE(consumer.receive(Timeout(0)).has_value());
    (void)client.next_deadline();
    (void)client.wants_write();
    (void)consumer.unsettled();
    (void)producer.unconfirmed();
}

}  // namespace

TEST_CASE("consumer: what was worked on for too long is extended no more, and told") {
    LimitedConsumer f(seconds(25));
    f.daemon.say(encode_deliver(f.consumer->id, 1, bodies(4)));
    f.hand_out(seconds(100), 1);
    f.hand_out(seconds(106), 2);
    CHECK(f.extended_at(seconds(106)).empty());
    CHECK(f.extended_at(seconds(116)) == Ranges{range(1, 4)});
    CHECK(f.daemon.session.next_deadline() == std::optional<Time>(seconds(125)));
    f.daemon.session.clear_news();
    CHECK(f.extended_at(seconds(125)).empty());
    CHECK(f.daemon.session.news().size() == 1);
    CHECK(f.overrun() == Ranges{range(1, 1)});
    CHECK(f.extended_at(seconds(126)) == Ranges{range(2, 3)});
    CHECK(f.extended_at(seconds(131)).empty());
    CHECK(f.overrun() == Ranges{range(2, 2)});
    CHECK(f.extended_at(seconds(136)) == Ranges{range(4, 1)});
    CHECK(f.overrun().empty());
    CHECK(f.consumer->unsettled() == 4);  // as long as the daemon says nothing else
    f.consumer->ack(range(1, 1));
    CHECK(f.consumer->unsettled() == 3);
}

TEST_CASE("consumer: the time of a message begins anew when it comes again") {
    LimitedConsumer f(seconds(25));
    f.daemon.say(encode_deliver(f.consumer->id, 1, bodies(3)));
    f.hand_out(seconds(100), 3);
    f.daemon.say(encode_lease_lost(f.consumer->id, {range(2, 1)}));
    f.daemon.say(encode_deliver(f.consumer->id, 2, bodies(1), 2));
    f.hand_out(seconds(120));
    f.consumer->ack(range(3, 1));
    (void)f.extended_at(seconds(125));
    CHECK(f.overrun() == Ranges{range(1, 1)});
    CHECK(f.extended_at(seconds(144)) == Ranges{range(2, 1)});
    CHECK(f.overrun().empty());
    (void)f.extended_at(seconds(145));
    CHECK(f.overrun() == Ranges{range(2, 1)});
}

TEST_CASE("consumer: no limit of the time is no work, and a limit is of what is held") {
    LimitedConsumer unlimited{milliseconds(0)};
    CHECK(!unlimited.consumer->limits_runs());
    LimitedConsumer f(seconds(25));
    for (std::uint64_t i = 0; i < 500; ++i) {
        f.daemon.say(encode_deliver(f.consumer->id, 1 + 2 * i, bodies(1)));
        f.hand_out(seconds(100 + i));
        if (i != 7) {
            f.consumer->ack(range(1 + 2 * i, 1));
        }
    }
    f.daemon.session.flush();
    (void)f.daemon.sent();
    (void)f.extended_at(seconds(600));
    CHECK(f.overrun() == Ranges{range(15, 1)});
}

TEST_CASE("consumer: a time of a run that no consumer can have is refused") {
    Peer peer([](PeerSocket& socket) { socket.goodbye(); });
    Client client = peer.connect();
    for (const milliseconds time : {milliseconds(-1), milliseconds::max()}) {
        const auto consumer = client.consumer("orders", limited_to(time));
        REQUIRE(!consumer.has_value());
        CHECK(consumer.error().code == ErrorCode::bad_option);
    }
    CHECK(client.close().has_value());
    peer.join();
}

// The handler returns once the daemon has seen three extensions, and calls nobody.
TEST_CASE("consumer: the leases are extended while a handler of run() works") {
    std::promise<void> extended;
    Peer peer([&](PeerSocket& socket) {
        const HandleId handle = socket.open_consumer(100);
        socket.write(encode_deliver(handle, 1, {"one"}));
        for (int i = 0; i < 3; ++i) {
            const auto ranges =
                to_vector(socket.expect(FrameType::extend).as<wire::Extend>().ranges);
            if (ranges != Ranges{range(1, 1)}) {
                throw std::runtime_error("other messages are extended");
            }
        }
        extended.set_value();
        SentFrame frame = socket.read();
        while (frame.header.type != FrameType::goodbye) {
            frame = socket.read();
        }
        socket.answer_goodbye(frame);
    });
    Client client = peer.connect();
    auto consumer = client.consumer("orders");
    REQUIRE(consumer.has_value());
    auto seen = extended.get_future();
    const auto handled = consumer->run([&](const Delivery& delivery) {
        CHECK(delivery.body == "one");
        CHECK(seen.wait_for(seconds(20)) == std::future_status::ready);
        return Verdict::stop;
    });
    CHECK(handled.has_value());
    CHECK(client.close().has_value());
    peer.join();
}

TEST_CASE("consumer: a handler that runs too long is told of beside it, and its message lost") {
    std::promise<void> lost;
    std::vector<MessageRange> extended;  // behind the first that is told
    Peer peer([&](PeerSocket& socket) {
        const HandleId handle = socket.open_consumer(100);
        socket.write(encode_deliver(handle, 1, {"one", "two"}));
        // The second message waits and is extended alone, once the first has run for too long.
        SentFrame frame = socket.expect(FrameType::extend);
        while (to_vector(frame.as<wire::Extend>().ranges) == Ranges{range(1, 2)}) {
            frame = socket.expect(FrameType::extend);
        }
        extended = to_vector(frame.as<wire::Extend>().ranges);
        socket.write(encode_lease_lost(handle, {range(1, 1)}));
        lost.set_value();
        std::vector<MessageRange> acked;
        frame = socket.read();
        while (frame.header.type != FrameType::goodbye) {
            if (frame.header.type == FrameType::ack) {
                acked = to_vector(frame.as<wire::Ack>().ranges);
            }
            frame = socket.read();
        }
        if (acked != Ranges{range(2, 1)}) {
            throw std::runtime_error("other messages are acked");
        }
        socket.answer_goodbye(frame);
    });
    Client client = peer.connect();
    auto consumer = client.consumer("orders", limited_to(milliseconds(150)));
    REQUIRE(consumer.has_value());
    std::promise<MessageRange> overrun;
    const auto program = std::this_thread::get_id();
    consumer->on_overrun([&](MessageRange messages) {
        CHECK(std::this_thread::get_id() != program);
        CHECK(client.process(Timeout(0)).error().code == ErrorCode::usage);
        CHECK(client.flush().error().code == ErrorCode::usage);
        overrun.set_value(messages);
    });
    std::vector<MessageRange> told;
    consumer->on_lease_lost([&](MessageRange messages) { told.push_back(messages); });
    const auto handled = consumer->run([&](const Delivery& delivery) {
        if (delivery.number == MessageNumber(2)) {
            REQUIRE(consumer->ack(delivery.number).has_value());
            return Verdict::stop;
        }
        CHECK(overrun.get_future().get() == range(1, 1));
        lost.get_future().wait();
        CHECK(told.empty());  // only within a call
        CHECK(client.process(seconds(20)).has_value());
        CHECK(told == Ranges{range(1, 1)});
        return Verdict::ack;  // passed over
    });
    CHECK(handled.value() == 1);
    CHECK(consumer->leases_lost() == 1);
    CHECK(client.close().has_value());
    peer.join();
    CHECK(extended == Ranges{range(2, 1)});
}

TEST_CASE("consumer: a handler of run() may call the library, while its leases are extended") {
    constexpr std::uint64_t count = 20;
    std::atomic<std::uint64_t> extends{0};
    Peer peer([&](PeerSocket& socket) {
        const HandleId handle = socket.open_consumer(100);
        const HandleId producer = socket.open_producer();
        socket.write(encode_deliver(handle, 1, bodies(2 * count)));
        std::uint64_t line = 1;
        while (true) {
            const SentFrame frame = socket.read();
            if (frame.header.type == FrameType::goodbye) {
                return socket.answer_goodbye(frame);
            }
            if (frame.header.type == FrameType::publish) {
                const std::uint32_t lines = frame.as<wire::Publish>().count;
                socket.write(
                    encode_confirm(producer, line, {{MessageNumber(line), lines}}, plenty));
                line += lines;
            }
            extends += frame.header.type == FrameType::extend ? 1 : 0;
        }
    });
    Client client = peer.connect();
    auto consumer = client.consumer("orders");
    REQUIRE(consumer.has_value());
    auto producer = client.producer("orders");
    REQUIRE(producer.has_value());
    std::uint64_t confirmed = 0;
    producer->on_confirm([&](const ConfirmedLines& lines) { confirmed += lines.count; });
    std::uint64_t handled = 0;
    const auto inner = [&](const Delivery&) {
        use_everything(client, *consumer, *producer);
        return Verdict::stop;
    };
    const auto ran = consumer->run([&](const Delivery&) {
        use_everything(client, *consumer, *producer);
        const std::uint64_t before = extends;
        while (handled % 5 == 0 && extends < before + 2) {
            std::this_thread::yield();
        }
        if (handled == count / 2) {
            REQUIRE(consumer->run(inner).value() == 0);
        }
        REQUIRE(producer->publish("y").has_value());
        return ++handled == count / 2 + 1 ? Verdict::stop : Verdict::ack;
    });
    CHECK(ran.has_value());
    CHECK(producer->wait_all().has_value());
    CHECK(confirmed == 2 * handled + 1);
    CHECK(client.close().has_value());
    peer.join();
}

TEST_CASE("consumer: a handler of run() that throws ends it, with its message held") {
    Peer peer([](PeerSocket& socket) {
        const HandleId handle = socket.open_consumer();
        socket.write(encode_deliver(handle, 1, {"one"}));
        socket.goodbye();
    });
    Client client = peer.connect();
    auto consumer = client.consumer("orders");
    REQUIRE(consumer.has_value());
    CHECK_THROWS_AS((void)consumer->run([](const Delivery&) -> Verdict { throw 1; }), int);
    CHECK(consumer->unsettled() == 1);
    CHECK(client.close().has_value());
    peer.join();
}
