#include "client/consumer_handle.hpp"

#include <doctest/doctest.h>

#include <string>

#include "scripted_daemon.hpp"

using namespace mqd;
using namespace mqd::client;

namespace {

MessageRange range(std::uint64_t first, std::uint64_t count) {
    return {MessageNumber(first), count};
}

// Numbers of the messages that are buffered, in the order in which they are handed out.
std::vector<std::uint64_t> take_all(ConsumerHandle& consumer) {
    std::vector<std::uint64_t> numbers;
    Delivery delivery;
    while (consumer.next(delivery)) {
        numbers.push_back(delivery.number.value());
    }
    return numbers;
}

std::vector<std::string> bodies(std::size_t count, std::size_t bytes = 1) {
    return std::vector<std::string>(count, std::string(bytes, 'x'));
}

}  // namespace

TEST_CASE("consumer: the window is granted at open") {
    ScriptedDaemon daemon;
    daemon.greet();
    ConsumerOptions options;
    options.window_messages = 7;
    options.window_bytes = 1234;
    options.lease = std::chrono::seconds(5);
    REQUIRE(daemon.session.open_consumer("orders", options).has_value());
    const auto frames = daemon.sent();
    REQUIRE(frames.size() == 1);
    const auto open = frames[0].as<wire::OpenConsumer>();
    CHECK(open.queue == "orders");
    CHECK(open.lease_ms == 5000);
    CHECK(open.message_limit == 7);
    CHECK(open.byte_limit == 1234);
}

TEST_CASE("consumer: a delivery shows all that the daemon said") {
    ScriptedDaemon daemon;
    daemon.greet();
    ConsumerHandle& consumer = daemon.open_consumer();
    std::vector<std::byte> attributes;
    wire::append_header(attributes, "type", "invoice");
    wire::append_header(attributes, "type", "second");
    std::vector<std::byte> batch;
    wire::append_message(batch, attributes, wire::as_bytes("hello"));
    wire::Deliver deliver;
    deliver.first_number = MessageNumber(1842);
    deliver.published = wire::from_micros(1'700'000'000'000'001);
    deliver.count = 1;
    deliver.attempt = 2;
    deliver.sender = {1, 2, 3};
    deliver.batch = batch;
    daemon.say(encode(deliver, {}, consumer.id));
    Delivery got;
    REQUIRE(consumer.next(got));
    CHECK(got.number == MessageNumber(1842));
    CHECK(got.attempt == 2);
    CHECK(got.published == wire::from_micros(1'700'000'000'000'001));
    CHECK(got.sender == Identity{1, 2, 3});
    CHECK(got.body == "hello");
    CHECK(got.headers.find("type") == "invoice");
    CHECK(!got.headers.find("other").has_value());
    std::vector<std::string> values;
    for (const Header& header : got.headers) {
        values.emplace_back(header.value);
    }
    CHECK(values == std::vector<std::string>{"invoice", "second"});
    CHECK(!consumer.next(got));
}

TEST_CASE("consumer: a batch is the rest of a frame") {
    ScriptedDaemon daemon;
    daemon.greet();
    ConsumerHandle& consumer = daemon.open_consumer();
    daemon.say(encode_deliver(consumer.id, 5, {"a", "bb", "ccc"}));
    daemon.say(encode_deliver(consumer.id, 8, {"d"}));
    Delivery first;
    REQUIRE(consumer.next(first));
    CHECK(first.body == "a");
    DeliveredBatch batch;
    REQUIRE(consumer.next_batch(batch));
    CHECK(batch.range == range(6, 2));
    std::string all;
    for (const Delivery& each : batch) {
        all += std::to_string(each.number.value()) + '=' + std::string(each.body) + ' ';
    }
    CHECK(all == "6=bb 7=ccc ");
    REQUIRE(consumer.next_batch(batch));
    CHECK(batch.range == range(8, 1));
    CHECK(!consumer.next_batch(batch));
}

TEST_CASE("consumer: acks merge to ranges and go out at a flush, with credit behind them") {
    ScriptedDaemon daemon;
    daemon.greet();
    ConsumerHandle& consumer = daemon.open_consumer();
    daemon.say(encode_deliver(consumer.id, 1, bodies(10)));
    CHECK(take_all(consumer).size() == 10);
    for (const std::uint64_t number : {1, 2, 3, 7, 6, 5}) {
        consumer.ack(range(number, 1));
    }
    consumer.nack(range(9, 1));
    CHECK(daemon.sent(false).empty());
    const auto frames = daemon.sent();
    REQUIRE(frames.size() == 3);
    CHECK(to_vector(frames[0].as<wire::Ack>().ranges) ==
          std::vector<MessageRange>{range(1, 3), range(5, 3)});
    CHECK(frames[0].header.flags == 0);
    CHECK(to_vector(frames[1].as<wire::Nack>().ranges) == std::vector<MessageRange>{range(9, 1)});
    const auto credit = frames[2].as<wire::Credit>();
    CHECK(credit.message_limit == 1'000 + 7);
    CHECK(credit.byte_limit == 8 * 1024 * 1024 + 7 * 9);
    CHECK(consumer.unsettled() == 3);
    CHECK(daemon.sent().empty());
}

TEST_CASE("consumer: nacks with a reason, a delay or for the dead letters have their own frames") {
    ScriptedDaemon daemon;
    daemon.greet();
    ConsumerHandle& consumer = daemon.open_consumer();
    daemon.say(encode_deliver(consumer.id, 1, bodies(9)));
    take_all(consumer);
    consumer.nack(range(1, 1));
    consumer.nack(range(2, 2), {.reason = "exit status 3"});
    consumer.nack(range(4, 1), {.dead_letter = true});
    consumer.nack(range(5, 1), {.reason = "exit status 65", .dead_letter = true});
    consumer.nack(range(5, 1), {.reason = "not held any more"});
    consumer.nack(range(6, 1));
    consumer.nack(range(7, 1), {.delay = std::chrono::milliseconds(0)});
    consumer.nack(range(8, 1), {.reason = "later", .delay = std::chrono::milliseconds(1)});
    consumer.nack(range(9, 1), {.delay = ConsumerHandle::delay_max});
    CHECK(consumer.unsettled() == 0);

    const auto frames = daemon.sent();
    REQUIRE(frames.size() == 8);
    CHECK(to_vector(frames[0].as<wire::Nack>().ranges) ==
          std::vector<MessageRange>{range(1, 1), range(6, 1)});
    CHECK(frames[0].header.flags == 0);
    CHECK(frames[0].as<wire::Nack>().delay_ms == 0);
    const std::vector<MessageRange> ranges{range(2, 2), range(4, 1), range(5, 1),
                                           range(7, 1), range(8, 1), range(9, 1)};
    const std::vector<std::string> reasons{"exit status 3", "", "exit status 65", "", "later", ""};
    const std::vector<int> flags{0, wire::flag_dead_letter, wire::flag_dead_letter, 0, 0, 0};
    const std::vector<std::uint32_t> delays{0, 0, 0, wire::delay_none, 1, wire::delay_none - 1};
    for (std::size_t i = 0; i < ranges.size(); ++i) {
        CAPTURE(i);
        const auto nack = frames[i + 1].as<wire::Nack>();
        CHECK(nack.delay_ms == delays[i]);
        CHECK(to_vector(nack.ranges) == std::vector<MessageRange>{ranges[i]});
        CHECK(nack.reason == reasons[i]);
        CHECK(frames[i + 1].header.flags == flags[i]);
    }
    CHECK(frames[7].as<wire::Credit>().message_limit == 1'000 + 9);
}

TEST_CASE("consumer: a reason that is too long is cut between two characters") {
    ScriptedDaemon daemon;
    daemon.greet();
    ConsumerHandle& consumer = daemon.open_consumer();
    const std::string most(255, 'r');
    const std::string almost(253, 'r');
    const std::vector<std::pair<std::string, std::string>> cuts{
        {most, most},
        {most + 'x', most},
        {almost + "\xE2\x82\xAC", almost},  // would end within it
        {almost.substr(1) + "\xE2\x82\xAC!", almost.substr(1) + "\xE2\x82\xAC"},
        {std::string(300, '\x80'), std::string(255, '\x80')},  // no UTF-8: cut anywhere
    };
    daemon.say(encode_deliver(consumer.id, 1, bodies(cuts.size())));
    take_all(consumer);
    for (std::size_t i = 0; i < cuts.size(); ++i) {
        CAPTURE(i);
        consumer.nack(range(i + 1, 1), {.reason = cuts[i].first});
        CHECK(daemon.sent(false).empty());
        const auto frames = daemon.sent();
        REQUIRE(!frames.empty());
        CHECK(frames[0].as<wire::Nack>().reason == cuts[i].second);
    }
}

TEST_CASE("consumer: a dead letter says what it was") {
    ScriptedDaemon daemon;
    daemon.greet();
    ConsumerHandle& consumer = daemon.open_consumer();
    std::vector<std::byte> value;
    wire::Writer value_writer(value);
    wire::encode_dead_letter(
        value_writer, {DeadLetterCause::rejected, 7, wire::from_micros(1'700'000'000'000'001),
                       wire::from_micros(1'700'000'000'000'002), QueueId(3), MessageNumber(1842),
                       "orders", "exit status 65"});
    std::vector<std::byte> attributes;
    wire::append_header(attributes, "type", "invoice");
    wire::Writer(attributes)
        .number(static_cast<std::uint16_t>(wire::AttributeId::dead_letter))
        .number(static_cast<std::uint16_t>(value.size()))
        .bytes(value);
    std::vector<std::byte> batch;
    wire::append_message(batch, attributes, wire::as_bytes("hello"));
    wire::append_message(batch, {}, wire::as_bytes("another"));
    wire::Deliver deliver;
    deliver.first_number = MessageNumber(1);
    deliver.count = 2;
    deliver.attempt = 1;
    deliver.batch = batch;
    daemon.say(encode(deliver, {}, consumer.id));

    Delivery got;
    REQUIRE(consumer.next(got));
    CHECK(got.headers.find("type") == "invoice");
    const auto dead = got.dead_letter();
    REQUIRE(dead.has_value());
    CHECK(dead->cause == DeadLetterCause::rejected);
    CHECK(dead->attempts == 7);
    CHECK(dead->first_failed == wire::from_micros(1'700'000'000'000'001));
    CHECK(dead->last_failed == wire::from_micros(1'700'000'000'000'002));
    CHECK(dead->id() == "orders:3:1842");
    CHECK(dead->reason == "exit status 65");
    REQUIRE(consumer.next(got));
    CHECK(!got.dead_letter().has_value());
}

TEST_CASE("consumer: acks go out by themselves with a quarter of the window") {
    ScriptedDaemon daemon;
    daemon.greet();
    ConsumerOptions options;
    SUBCASE("in messages") {
        options.window_messages = 40;
        ConsumerHandle& consumer = daemon.open_consumer(options);
        daemon.say(encode_deliver(consumer.id, 1, bodies(40)));
        for (std::uint64_t i = 1; i <= 9; ++i) {
            consumer.ack(range(i, 1));
        }
        CHECK(daemon.sent(false).empty());
        consumer.ack(range(10, 1));
        const auto frames = daemon.sent(false);
        REQUIRE(frames.size() == 2);
        CHECK(to_vector(frames[0].as<wire::Ack>().ranges) ==
              std::vector<MessageRange>{range(1, 10)});
        CHECK(frames[1].as<wire::Credit>().message_limit == 50);
    }
    SUBCASE("in bytes") {
        options.window_bytes = 4 * 108;
        ConsumerHandle& consumer = daemon.open_consumer(options);
        daemon.say(encode_deliver(consumer.id, 1, {"x", std::string(100, 'y'), "z"}));
        consumer.ack(range(1, 1));
        CHECK(daemon.sent(false).empty());
        consumer.ack(range(2, 1));
        const auto frames = daemon.sent(false);
        REQUIRE(frames.size() == 2);
        CHECK(frames[1].as<wire::Credit>().byte_limit == 4 * 108 + 9 + 108);
    }
}

TEST_CASE("consumer: what it does not hold is passed over, twice acked counts once") {
    ScriptedDaemon daemon;
    daemon.greet();
    ConsumerHandle& consumer = daemon.open_consumer();
    daemon.say(encode_deliver(consumer.id, 10, bodies(5)));
    consumer.ack(range(0, UINT64_MAX));
    consumer.ack(range(12, 1));
    consumer.ack(range(UINT64_MAX, UINT64_MAX));
    const auto frames = daemon.sent();
    REQUIRE(frames.size() == 2);
    CHECK(to_vector(frames[0].as<wire::Ack>().ranges) == std::vector<MessageRange>{range(10, 5)});
    CHECK(frames[1].as<wire::Credit>().message_limit == 1'005);
}

TEST_CASE("consumer: ack_up_to takes what was handed out, and nothing else") {
    ScriptedDaemon daemon;
    daemon.greet();
    ConsumerHandle& consumer = daemon.open_consumer();
    daemon.say(encode_deliver(consumer.id, 10, bodies(5)));
    daemon.say(
        encode_deliver(consumer.id, 3, bodies(2), 2));  // delivered again, not yet handed out
    Delivery delivery;
    for (int i = 0; i < 4; ++i) {
        REQUIRE(consumer.next(delivery));
    }
    consumer.ack(range(11, 1));
    consumer.ack_up_to(MessageNumber(13));
    auto frames = daemon.sent();
    REQUIRE(frames.size() == 2);
    CHECK(to_vector(frames[0].as<wire::Ack>().ranges) == std::vector<MessageRange>{range(10, 4)});
    CHECK(consumer.unsettled() == 3);
    CHECK(take_all(consumer) == std::vector<std::uint64_t>{14, 3, 4});
    consumer.ack_up_to(MessageNumber(UINT64_MAX));
    frames = daemon.sent();
    REQUIRE(frames.size() == 2);
    CHECK(to_vector(frames[0].as<wire::Ack>().ranges) ==
          std::vector<MessageRange>{range(3, 2), range(14, 1)});
    CHECK(consumer.unsettled() == 0);
}

TEST_CASE("consumer: delivered and unsettled never exceeds what credit allows") {
    ScriptedDaemon daemon;
    daemon.greet();
    ConsumerOptions options;
    options.window_messages = 8;
    ConsumerHandle& consumer = daemon.open_consumer(options);
    std::uint64_t limit = 8;
    std::uint64_t delivered = 0;
    std::uint64_t acked = 0;
    for (int round = 0; round < 100; ++round) {
        while (delivered < limit) {
            daemon.say(encode_deliver(consumer.id, delivered + 1, bodies(1)));
            ++delivered;
        }
        REQUIRE(daemon.session.state() == Session::State::open);
        CHECK(consumer.unsettled() <= 8);
        for (int i = 0; i < 3; ++i) {
            consumer.ack(range(++acked, 1));
        }
        for (const auto& frame : daemon.sent()) {
            if (frame.header.type == wire::FrameType::credit) {
                limit = frame.as<wire::Credit>().message_limit;
            }
        }
        CHECK(limit == acked + 8);
    }
}

TEST_CASE("consumer: never lent more messages than it asked for in all") {
    ScriptedDaemon daemon;
    daemon.greet();
    ConsumerOptions options;
    options.window_messages = 8;
    options.messages_max = 10;
    ConsumerHandle& consumer = daemon.open_consumer(options);
    daemon.say(encode_deliver(consumer.id, 1, bodies(8)));
    consumer.ack(range(1, 8));
    std::uint64_t limit = 8;
    for (const auto& frame : daemon.sent()) {
        if (frame.header.type == wire::FrameType::credit) {
            limit = frame.as<wire::Credit>().message_limit;
        }
    }
    CHECK(limit == 10);
}

TEST_CASE("consumer: more than the granted messages ends the connection") {
    ScriptedDaemon daemon;
    daemon.greet();
    ConsumerOptions options;
    options.window_messages = 4;
    ConsumerHandle& consumer = daemon.open_consumer(options);
    daemon.say(encode_deliver(consumer.id, 1, bodies(3)));
    REQUIRE(daemon.session.state() == Session::State::open);
    daemon.say(encode_deliver(consumer.id, 4, bodies(2)));
    CHECK(daemon.session.state() == Session::State::closed);
    CHECK(daemon.session.error()->code == ErrorCode::protocol_violation);
}

TEST_CASE("consumer: lost leases are told, counted, given back as credit, and not handed out") {
    ScriptedDaemon daemon;
    daemon.greet();
    ConsumerHandle& consumer = daemon.open_consumer();
    daemon.say(encode_deliver(consumer.id, 1, bodies(6)));
    Delivery delivery;
    REQUIRE(consumer.next(delivery));
    REQUIRE(consumer.next(delivery));
    daemon.say(encode_lease_lost(consumer.id, {range(2, 3), range(6, 1), range(90, 5)}));
    CHECK(consumer.leases_lost() == 4);
    CHECK(daemon.session.news().size() == 1);
    std::vector<MessageRange> lost;
    consumer.take_lost(lost);
    CHECK(lost == std::vector<MessageRange>{range(2, 3), range(6, 1)});
    CHECK(take_all(consumer) == std::vector<std::uint64_t>{5});
    consumer.ack(range(1, 6));
    const auto frames = daemon.sent();
    REQUIRE(frames.size() == 2);
    CHECK(to_vector(frames[0].as<wire::Ack>().ranges) ==
          std::vector<MessageRange>{range(1, 1), range(5, 1)});
    CHECK(frames[1].as<wire::Credit>().message_limit == 1'006);
    // The same message may come again.
    daemon.say(encode_deliver(consumer.id, 3, bodies(1), 2));
    CHECK(take_all(consumer) == std::vector<std::uint64_t>{3});
    CHECK(daemon.session.state() == Session::State::open);
}

TEST_CASE("consumer: a message that was lost and comes again is handed out once") {
    ScriptedDaemon daemon;
    daemon.greet();
    ConsumerHandle& consumer = daemon.open_consumer();
    daemon.say(encode_deliver(consumer.id, 1, {"first", "second"}));
    daemon.say(encode_lease_lost(consumer.id, {range(1, 1)}));
    daemon.say(encode_deliver(consumer.id, 1, {"first again"}, 2));
    CHECK(take_all(consumer) == std::vector<std::uint64_t>{2, 1});
    consumer.ack_up_to(MessageNumber(2));
    CHECK(consumer.unsettled() == 0);
}

TEST_CASE("consumer: a message that comes again without a word takes the place of the first") {
    ScriptedDaemon daemon;
    daemon.greet();
    ConsumerHandle& consumer = daemon.open_consumer();
    daemon.say(encode_deliver(consumer.id, 1, bodies(3)));
    daemon.say(encode_deliver(consumer.id, 2, bodies(1), 2));
    CHECK(daemon.session.state() == Session::State::open);
    CHECK(consumer.unsettled() == 3);
    CHECK(consumer.leases_lost() == 1);
    REQUIRE(daemon.session.news().size() == 1);
    std::vector<MessageRange> lost;
    consumer.take_lost(lost);
    CHECK(lost == std::vector<MessageRange>{range(2, 1)});
    CHECK(take_all(consumer) == std::vector<std::uint64_t>{1, 3, 2});
    consumer.ack(range(1, 3));
    CHECK(consumer.unsettled() == 0);
}

TEST_CASE("consumer: a batch stops at what was lost") {
    ScriptedDaemon daemon;
    daemon.greet();
    ConsumerHandle& consumer = daemon.open_consumer();
    daemon.say(encode_deliver(consumer.id, 1, {"a", "b", "c", "d"}));
    daemon.say(encode_lease_lost(consumer.id, {range(2, 1)}));
    DeliveredBatch batch;
    REQUIRE(consumer.next_batch(batch));
    CHECK(batch.range == range(1, 1));
    REQUIRE(consumer.next_batch(batch));
    CHECK(batch.range == range(3, 2));
    std::string all;
    for (const Delivery& each : batch) {
        all += each.body;
    }
    CHECK(all == "cd");
}

TEST_CASE("consumer: extend names what is held, with the lease asked for") {
    ScriptedDaemon daemon;
    daemon.greet();
    ConsumerHandle& consumer = daemon.open_consumer();
    daemon.say(encode_deliver(consumer.id, 1, bodies(3)));
    consumer.extend(range(2, 100), 7'000);
    const auto frames = daemon.sent();
    REQUIRE(frames.size() == 1);
    CHECK(frames[0].as<wire::Extend>().lease_ms == 7'000);
    CHECK(to_vector(frames[0].as<wire::Extend>().ranges) == std::vector<MessageRange>{range(2, 2)});
}

TEST_CASE("consumer: leases are extended each third of the lease, while there is something held") {
    ScriptedDaemon daemon;
    daemon.greet();
    ConsumerHandle& consumer = daemon.open_consumer({}, 30'000);
    using std::chrono::seconds;
    daemon.session.advance(seconds(100));
    CHECK(!daemon.session.next_deadline().has_value());
    daemon.say(encode_deliver(consumer.id, 1, bodies(3)));
    daemon.session.advance(seconds(100));
    CHECK(daemon.session.next_deadline() == std::optional<Time>(seconds(110)));
    daemon.session.advance(seconds(109));
    CHECK(daemon.sent().empty());
    consumer.ack(range(2, 1));
    (void)daemon.sent();
    daemon.session.advance(seconds(110));
    auto frames = daemon.sent();
    REQUIRE(frames.size() == 1);
    CHECK(frames[0].as<wire::Extend>().lease_ms == 0);
    CHECK(to_vector(frames[0].as<wire::Extend>().ranges) ==
          std::vector<MessageRange>{range(1, 1), range(3, 1)});
    CHECK(daemon.session.next_deadline() == std::optional<Time>(seconds(120)));
    consumer.ack(range(1, 3));
    daemon.session.advance(seconds(111));
    CHECK(!daemon.session.next_deadline().has_value());
}

TEST_CASE("consumer: rounds at their interval keep the leases of a full window of slow work") {
    ScriptedDaemon daemon;
    daemon.greet();
    using std::chrono::milliseconds;
    constexpr Time lease = milliseconds(1'000);
    constexpr Time work = milliseconds(10);
    constexpr std::uint64_t count = 300;  // three leases of work
    ConsumerHandle& consumer = daemon.open_consumer({}, 1'000);
    daemon.say(encode_deliver(consumer.id, 1, bodies(count)));
    CHECK(daemon.session.round_interval() == std::optional<Time>(lease / 10));

    Time now = std::chrono::seconds(100);
    Time round_at = now;
    Time extended = now;
    std::uint64_t acked = 0;  // up to here the daemon knows
    const auto make_round = [&] {
        daemon.session.flush();
        daemon.session.advance(now);
        round_at = now + *daemon.session.round_interval();
        for (const auto& frame : daemon.sent(false)) {
            if (frame.header.type == wire::FrameType::extend) {
                extended = now;
            } else if (frame.header.type == wire::FrameType::ack) {
                acked = frame.as<wire::Ack>().ranges[0].end().value() - 1;
            }
        }
    };
    Delivery delivery;
    while (consumer.next(delivery)) {
        now += work;
        consumer.ack({delivery.number, 1});
        if (now >= round_at) {
            make_round();
        }
        REQUIRE(now - extended <= lease / 2);
        REQUIRE(delivery.number.value() - acked <= 10);
    }
    CHECK(now - std::chrono::seconds(100) == count * work);
}

TEST_CASE("consumer: one extension waits at a time for a daemon that does not read") {
    ScriptedDaemon daemon;
    daemon.greet();
    ConsumerHandle& consumer = daemon.open_consumer({}, 3'000);
    daemon.say(encode_deliver(consumer.id, 1, bodies(3)));
    using std::chrono::seconds;
    for (int i = 0; i < 1'000; ++i) {
        daemon.session.advance(seconds(i));
    }
    CHECK(daemon.sent().size() == 1);
    daemon.session.advance(seconds(1'000));
    const auto frames = daemon.sent();
    REQUIRE(frames.size() == 1);
    CHECK(frames[0].header.type == wire::FrameType::extend);
}

TEST_CASE("consumer: leases are left alone when the program says so") {
    ScriptedDaemon daemon;
    daemon.greet();
    ConsumerOptions options;
    options.renew_leases = false;
    ConsumerHandle& consumer = daemon.open_consumer(options);
    daemon.say(encode_deliver(consumer.id, 1, bodies(3)));
    daemon.session.advance(std::chrono::seconds(1));
    CHECK(!daemon.session.next_deadline().has_value());
}

TEST_CASE("consumer: deliveries stay readable while much more arrives behind them") {
    ScriptedDaemon daemon;
    daemon.greet();
    ConsumerOptions options;
    options.window_messages = 100'000;
    options.window_bytes = 100'000'000;
    ConsumerHandle& slow = daemon.open_consumer(options);
    ConsumerHandle& fast = daemon.open_consumer(options);
    // Few of the slow one's frames lie in each block; they are moved, and must stay the same.
    for (std::uint64_t i = 1; i <= 50; ++i) {
        daemon.say(encode_deliver(slow.id, i, {"slow " + std::to_string(i)}));
        daemon.say(encode_deliver(fast.id, i, {std::string(60'000, 'f')}));
        Delivery delivery;
        REQUIRE(fast.next(delivery));
        REQUIRE(delivery.body == std::string(60'000, 'f'));
    }
    for (std::uint64_t i = 1; i <= 50; ++i) {
        Delivery delivery;
        REQUIRE(slow.next(delivery));
        CHECK(delivery.body == "slow " + std::to_string(i));
    }
}

TEST_CASE("consumer: an ack that is to be confirmed is sent with the flag and for what is held") {
    ScriptedDaemon daemon;
    daemon.greet();
    ConsumerHandle& consumer = daemon.open_consumer();
    daemon.say(encode_deliver(consumer.id, 1, bodies(4)));
    consumer.ack(range(1, 1));
    const auto acks = daemon.session.ack_confirmed(consumer.id, range(1, 4));
    REQUIRE(acks.correlations.size() == 1);
    CHECK(acks.passed_over == 1);
    const auto frames = daemon.sent();
    REQUIRE(frames.size() == 4);
    CHECK(to_vector(frames[0].as<wire::Ack>().ranges) == std::vector<MessageRange>{range(1, 1)});
    CHECK(frames[1].header.type == wire::FrameType::credit);
    CHECK(to_vector(frames[2].as<wire::Ack>().ranges) == std::vector<MessageRange>{range(2, 3)});
    CHECK(frames[2].header.flags == wire::flag_confirm);
    CHECK(frames[2].header.correlation == acks.correlations[0]);
    CHECK(frames[3].header.type == wire::FrameType::credit);
    daemon.say(encode(wire::Settled{Durability::disk, 3, 0}, acks.correlations[0], consumer.id));
    const Reply* reply = daemon.session.reply(acks.correlations[0]);
    REQUIRE(reply != nullptr);
    CHECK(wire::Settled::decode(reply->body)->settled == 3);
}
