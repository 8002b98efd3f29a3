#include "client/session.hpp"

#include <doctest/doctest.h>

#include <random>
#include <string>

#include "scripted_daemon.hpp"

using namespace mqd;
using namespace mqd::client;

TEST_CASE("session: HELLO is first, and nothing else is before WELCOME") {
    ScriptedDaemon daemon(
        {.client_name = "tester", .send_buffer_bytes = 65'536, .heartbeat_ms = 1'000});
    const auto frames = daemon.sent();
    REQUIRE(frames.size() == 1);
    const auto hello = frames[0].as<wire::Hello>();
    CHECK(hello.magic == wire::magic);
    CHECK(hello.client_name == "tester");
    CHECK(hello.heartbeat_ms == 1'000);
    CHECK(hello.frame_body_bytes_max == wire::frame_body_bytes_hard_max);
    CHECK(daemon.session.state() == Session::State::greeting);
    daemon.say(encode(welcome()));
    CHECK(daemon.session.state() == Session::State::open);
    CHECK(daemon.session.server().name == "mqd test");
    CHECK(daemon.session.server().identity == Identity{1000, 1000, 77});
}

TEST_CASE("session: a daemon that does not greet is left") {
    ScriptedDaemon daemon;
    SUBCASE("another frame first") {
        daemon.say(encode(wire::Pong{}));
    }
    SUBCASE("WELCOME twice") {
        daemon.say(encode(welcome()));
        daemon.say(encode(welcome()));
    }
    SUBCASE("no handles") {
        wire::Welcome frame = welcome();
        frame.handles_max = 0;
        daemon.say(encode(frame));
    }
    CHECK(daemon.session.state() == Session::State::closed);
    CHECK(daemon.session.error()->code == ErrorCode::protocol_violation);
    CHECK(daemon.session.output_bytes() == 0);
}

TEST_CASE("session: an ERROR instead of WELCOME is the reason why there is no connection") {
    ScriptedDaemon daemon;
    daemon.say(encode(wire::ErrorFrame{ErrorCode::too_many_connections, 100, 500, "full"}));
    REQUIRE(daemon.session.error() != nullptr);
    CHECK(daemon.session.error()->code == ErrorCode::too_many_connections);
    CHECK(daemon.session.error()->limit == 100);
    CHECK(daemon.session.error()->retry_after_ms == 500);
}

TEST_CASE("session: requests are answered by their correlation id, in any order") {
    ScriptedDaemon daemon;
    daemon.greet();
    const auto a = daemon.session.request(wire::QueueDelete{"a"}, wire::FrameType::done);
    const auto b = daemon.session.request(wire::QueueDelete{"b"}, wire::FrameType::done);
    const auto c = daemon.session.request(wire::QueueDelete{"c"}, wire::FrameType::done);
    CHECK(daemon.sent().size() == 3);
    daemon.session.forget(c);
    daemon.say(encode(wire::ErrorFrame{ErrorCode::no_such_queue, 0, 0, "no b"}, b));
    CHECK(daemon.session.reply(a) == nullptr);
    REQUIRE(daemon.session.reply(b) != nullptr);
    CHECK(daemon.session.reply(b)->error->code == ErrorCode::no_such_queue);
    daemon.say(encode(wire::Done{3}, c));
    daemon.say(encode(wire::Done{1}, a));
    REQUIRE(daemon.session.reply(a) != nullptr);
    CHECK(wire::Done::decode(daemon.session.reply(a)->body)->count == 1);
    CHECK(daemon.session.state() == Session::State::open);
    SUBCASE("an answer given twice ends the connection") {
        daemon.say(encode(wire::Done{1}, a));
    }
    SUBCASE("an answer to nothing ends the connection") {
        daemon.say(encode(wire::Done{1}, CorrelationId(99)));
    }
    SUBCASE("an answer of another type ends the connection") {
        const auto d = daemon.session.request(wire::QueueDelete{"d"}, wire::FrameType::done);
        daemon.say(encode(wire::Pong{}, d));
        CHECK(daemon.session.reply(d)->error->code == ErrorCode::protocol_violation);
    }
    CHECK(daemon.session.state() == Session::State::closed);
}

TEST_CASE("session: what was gathered goes out before a request") {
    ScriptedDaemon daemon;
    daemon.greet();
    ProducerHandle& producer = daemon.open_producer();
    must_send(producer, "before");
    (void)daemon.session.request(wire::QueuePurge{"orders"}, wire::FrameType::done);
    const auto frames = daemon.sent(false);
    REQUIRE(frames.size() == 2);
    CHECK(frames[0].header.type == wire::FrameType::publish);
    CHECK(frames[1].header.type == wire::FrameType::queue_purge);
}

TEST_CASE("session: a PING is answered with its bytes, an unknown frame is passed over") {
    ScriptedDaemon daemon;
    daemon.greet();
    daemon.say(encode(wire::Ping{wire::as_bytes("payload")}, CorrelationId(5)));
    std::vector<std::byte> unknown(wire::frame_header_bytes + 3);
    wire::encode_frame_header(unknown.data(), {3, static_cast<wire::FrameType>(0xC7), 0, {}, {}});
    daemon.say(unknown);
    const auto frames = daemon.sent();
    REQUIRE(frames.size() == 1);
    CHECK(wire::as_text(frames[0].as<wire::Pong>().payload) == "payload");
    CHECK(frames[0].header.correlation == CorrelationId(5));
    CHECK(daemon.session.state() == Session::State::open);
}

TEST_CASE("session: a heartbeat is sent when nothing else was for half its interval") {
    ScriptedDaemon daemon;
    wire::Welcome frame = welcome();
    frame.heartbeat_ms = 1'000;
    daemon.greet(frame);
    using std::chrono::milliseconds;
    daemon.session.advance(milliseconds(5'000));
    CHECK(daemon.session.next_deadline() == std::optional<Time>(milliseconds(5'500)));
    daemon.session.advance(milliseconds(5'400));
    CHECK(daemon.sent().empty());
    (void)daemon.session.request(wire::QueueDelete{"a"}, wire::FrameType::done);
    CHECK(daemon.sent().size() == 1);
    daemon.session.advance(milliseconds(5'500));
    CHECK(daemon.sent().empty());
    daemon.session.advance(milliseconds(6'000));
    const auto frames = daemon.sent();
    REQUIRE(frames.size() == 1);
    CHECK(frames[0].header.type == wire::FrameType::ping);
    daemon.say(encode(wire::Pong{}, frames[0].header.correlation));
    CHECK(daemon.session.state() == Session::State::open);
}

TEST_CASE("session: rounds come with the shortest lease, and each 100 ms at the latest") {
    ScriptedDaemon daemon;
    daemon.greet();
    using std::chrono::milliseconds;
    CHECK(!daemon.session.round_interval().has_value());
    (void)daemon.open_producer();
    CHECK(!daemon.session.round_interval().has_value());
    (void)daemon.open_consumer({}, 30'000);
    CHECK(daemon.session.round_interval() == std::optional<Time>(milliseconds(100)));
    ConsumerHandle& hasty = daemon.open_consumer({}, 200);
    CHECK(daemon.session.round_interval() == std::optional<Time>(milliseconds(20)));
    daemon.session.release(hasty.id);
    CHECK(daemon.session.round_interval() == std::optional<Time>(milliseconds(100)));
    daemon.session.disconnected({ErrorCode::disconnected, "gone"});
    CHECK(!daemon.session.round_interval().has_value());
}

TEST_CASE("session: handles are the lowest free numbers, up to the daemon's limit") {
    ScriptedDaemon daemon;
    wire::Welcome frame = welcome();
    frame.handles_max = 3;
    daemon.greet(frame);
    CHECK(daemon.open_producer().id == HandleId(1));
    CHECK(daemon.open_consumer().id == HandleId(2));
    CHECK(daemon.open_producer().id == HandleId(3));
    const auto beyond = daemon.session.open_producer("orders", {});
    REQUIRE(!beyond.has_value());
    CHECK(beyond.error().code == ErrorCode::too_many_handles);
    CHECK(beyond.error().limit == 3);

    // Released, it is closed; its number is free once the daemon has said so.
    daemon.session.release(HandleId(2));
    CHECK(!daemon.session.open_producer("orders", {}).has_value());
    const auto frames = daemon.sent();
    REQUIRE(frames.size() == 1);
    CHECK(frames[0].header.type == wire::FrameType::close_handle);
    CHECK(frames[0].header.handle == HandleId(2));
    daemon.say(encode(wire::Closed{}, frames[0].header.correlation, HandleId(2)));
    CHECK(daemon.open_consumer().id == HandleId(2));
}

TEST_CASE("session: a bad queue name is not sent") {
    ScriptedDaemon daemon;
    daemon.greet();
    for (const std::string_view name : {"", "a b", ".hidden", "-x"}) {
        const auto opening = daemon.session.open_consumer(name, {});
        REQUIRE(!opening.has_value());
        CHECK(opening.error().code == ErrorCode::bad_name);
    }
    CHECK(daemon.session.open_producer(std::string(200, 'a'), {}).has_value());
    CHECK(!daemon.session.open_producer(std::string(201, 'a'), {}).has_value());
}

TEST_CASE("session: an OPEN that is refused frees its handle") {
    ScriptedDaemon daemon;
    daemon.greet();
    const auto opening = daemon.session.open_producer("nowhere", {});
    REQUIRE(opening.has_value());
    daemon.say(encode(wire::ErrorFrame{ErrorCode::no_such_queue, 0, 0, "no"}, opening->correlation,
                      opening->handle));
    CHECK(daemon.session.reply(opening->correlation)->error->code == ErrorCode::no_such_queue);
    daemon.session.forget(opening->correlation);
    daemon.session.release(opening->handle);
    CHECK(daemon.open_producer().id == opening->handle);
}

TEST_CASE("session: a handle that nobody waits for any more is closed when it is opened") {
    ScriptedDaemon daemon;
    daemon.greet();
    const auto opening = daemon.session.open_consumer("orders", {});
    REQUIRE(opening.has_value());
    daemon.session.forget(opening->correlation);
    daemon.session.release(opening->handle);
    (void)daemon.sent();
    daemon.say(encode(wire::Opened{}, opening->correlation, opening->handle));
    daemon.say(encode_deliver(opening->handle, 1, {"on its way"}));
    const auto frames = daemon.sent();
    REQUIRE(frames.size() == 1);
    CHECK(frames[0].header.type == wire::FrameType::close_handle);
    daemon.say(encode(wire::Closed{}, frames[0].header.correlation, opening->handle));
    CHECK(daemon.open_consumer().id == opening->handle);
}

TEST_CASE("session: a released producer is closed when its last line is answered") {
    ScriptedDaemon daemon;
    daemon.greet();
    ProducerHandle& producer = daemon.open_producer();
    const HandleId handle = producer.id;
    must_send(producer, "a");
    daemon.session.release(handle);
    auto frames = daemon.sent(false);
    REQUIRE(frames.size() == 1);
    CHECK(frames[0].header.type == wire::FrameType::publish);
    daemon.say(encode_confirm(handle, 1, {{MessageNumber(1), 1}}, plenty));
    frames = daemon.sent();
    REQUIRE(frames.size() == 1);
    CHECK(frames[0].header.type == wire::FrameType::close_handle);
    daemon.say(encode(wire::Closed{}, frames[0].header.correlation, handle));
    CHECK(daemon.open_producer().id == handle);
}

TEST_CASE("session: a consumer whose queue was deleted ends with that error") {
    ScriptedDaemon daemon;
    daemon.greet();
    ConsumerHandle& consumer = daemon.open_consumer();
    daemon.say(encode_deliver(consumer.id, 1, {"x"}));
    daemon.say(
        encode(wire::ErrorFrame{ErrorCode::queue_deleted, 0, 0, "deleted"}, {}, consumer.id));
    CHECK(consumer.state == HandleState::ended);
    CHECK(consumer.error->code == ErrorCode::queue_deleted);
    CHECK(daemon.session.news().size() == 1);
    Delivery delivery;
    CHECK(!consumer.next(delivery));
    CHECK(daemon.session.state() == Session::State::open);
    // The daemon may still know the handle: it is free after an answer to CLOSE_HANDLE, whichever.
    const HandleId handle = consumer.id;
    daemon.session.release(handle);
    const auto frames = daemon.sent();
    REQUIRE(frames.size() == 1);
    CHECK(frames[0].header.type == wire::FrameType::close_handle);
    CHECK(daemon.open_producer().id != handle);
    daemon.say(encode(wire::ErrorFrame{ErrorCode::no_such_handle, 0, 0, "no"},
                      frames[0].header.correlation, handle));
    CHECK(daemon.open_producer().id == handle);
}

TEST_CASE("session: that the daemon is stopping does not end anything by itself") {
    ScriptedDaemon daemon;
    daemon.greet();
    ProducerHandle& producer = daemon.open_producer();
    CHECK(daemon.session.stopping() == nullptr);
    daemon.say(encode(wire::ErrorFrame{ErrorCode::stopping, 0, 0, "shutting down"}));
    CHECK(daemon.session.state() == Session::State::open);
    REQUIRE(daemon.session.stopping() != nullptr);
    CHECK(daemon.session.stopping()->text == "shutting down");
    must_send(producer, "x");
}

TEST_CASE("session: when the connection breaks, what was not answered stays unanswered") {
    ScriptedDaemon daemon;
    daemon.greet();
    ProducerHandle& producer = daemon.open_producer();
    ConsumerHandle& consumer = daemon.open_consumer();
    must_send(producer, "a");
    must_send(producer, "b");
    (void)daemon.sent();
    must_send(producer, "gathered");
    daemon.say(encode_confirm(producer.id, 1, {{MessageNumber(1), 1}}, plenty));
    const auto pending = daemon.session.request(wire::Status{}, wire::FrameType::status_reply);
    daemon.session.disconnected({ErrorCode::disconnected, "gone"});
    CHECK(daemon.session.state() == Session::State::closed);
    CHECK(daemon.session.output_bytes() == 0);
    CHECK(producer.unconfirmed() == 2);
    CHECK(producer.state == HandleState::ended);
    CHECK(producer.error->code == ErrorCode::disconnected);
    CHECK(!producer.send(wire::as_bytes("c"), {}).has_value());
    CHECK(producer.next_line() == LineNumber(4));
    CHECK(consumer.state == HandleState::ended);
    CHECK(daemon.session.reply(pending)->error->code == ErrorCode::disconnected);
    CHECK(daemon.session.news().size() == 2);
    daemon.session.release(producer.id);
    daemon.session.release(consumer.id);
}

TEST_CASE("session: GOODBYE is the last frame, and its answer the end") {
    ScriptedDaemon daemon;
    daemon.greet();
    ProducerHandle& producer = daemon.open_producer();
    ConsumerHandle& consumer = daemon.open_consumer();
    daemon.say(encode_deliver(consumer.id, 1, {"x", "y"}));
    consumer.ack({MessageNumber(1), 1});
    must_send(producer, "last");
    daemon.session.goodbye();
    const auto frames = daemon.sent();
    REQUIRE(frames.size() == 4);
    CHECK(frames[3].header.type == wire::FrameType::goodbye);
    // Nothing may follow it, whatever comes.
    daemon.say(encode(wire::Ping{}, CorrelationId(1)));
    daemon.say(encode_deliver(consumer.id, 3, {"z"}));
    daemon.session.advance(std::chrono::hours(1));
    daemon.say(encode_confirm(producer.id, 1, {{MessageNumber(1), 1}}, plenty));
    CHECK(daemon.sent().empty());
    CHECK(daemon.session.state() == Session::State::ending);
    daemon.say(encode(wire::GoodbyeReply{}, frames[3].header.correlation));
    CHECK(daemon.session.state() == Session::State::closed);
    CHECK(daemon.session.ended_by_goodbye());
    CHECK(producer.unconfirmed() == 0);
}

TEST_CASE("session: a frame beyond what HELLO announced is refused by its header") {
    SessionOptions options;
    options.frame_body_bytes_max = 65'536;
    for (const std::uint32_t bytes : {65'536u, 65'537u, 0x7FFF'FFFFu, 0xFFFF'FFFFu}) {
        ScriptedDaemon daemon(options);
        daemon.greet();
        std::vector<std::byte> header(wire::frame_header_bytes);
        wire::encode_frame_header(header.data(), {bytes, wire::FrameType::deliver, 0, {}, {}});
        daemon.say(header);
        if (bytes <= 65'536) {
            CHECK(daemon.session.state() == Session::State::open);
        } else {
            REQUIRE(daemon.session.state() == Session::State::closed);
            CHECK(daemon.session.error()->code == ErrorCode::frame_too_big);
            CHECK(daemon.session.receive_space().size() <= 2 * Input::block_bytes);
        }
    }
}

TEST_CASE("session: frames of every type, malformed, never do more than end the connection") {
    std::mt19937 random(20'240'601);
    for (int type = 0; type < 256; ++type) {
        for (int round = 0; round < 40; ++round) {
            ScriptedDaemon daemon;
            daemon.greet();
            ProducerHandle& producer = daemon.open_producer();
            ConsumerHandle& consumer = daemon.open_consumer();
            must_send(producer, "x");
            (void)daemon.session.request(wire::Status{}, wire::FrameType::status_reply);
            daemon.say(encode_deliver(consumer.id, 1, {"a", "b"}));
            std::vector<std::byte> bytes(wire::frame_header_bytes + random() % 80);
            for (std::byte& byte : bytes) {
                byte = static_cast<std::byte>(random() % (round % 2 == 0 ? 4 : 256));
            }
            const auto body = static_cast<std::uint32_t>(bytes.size() - wire::frame_header_bytes);
            wire::encode_frame_header(bytes.data(),
                                      {body, static_cast<wire::FrameType>(type), 0,
                                       CorrelationId(static_cast<std::uint32_t>(random() % 5)),
                                       HandleId(static_cast<std::uint32_t>(random() % 4))});
            daemon.say(bytes);
            Delivery delivery;
            while (consumer.next(delivery)) {
                CHECK(delivery.body.size() < 100);
            }
            daemon.session.flush();
            daemon.session.release(producer.id);
            daemon.session.release(consumer.id);
        }
    }
}

namespace {

// All that a session came to know and said, as text.
std::string play(const std::vector<std::byte>& stream, const std::vector<std::size_t>& cuts) {
    ScriptedDaemon daemon;
    daemon.greet();
    ProducerHandle& producer = daemon.open_producer();
    ConsumerHandle& consumer = daemon.open_consumer();
    for (int i = 0; i < 4; ++i) {
        must_send(producer, "message");
    }
    (void)daemon.sent();
    const auto request = daemon.session.request(wire::Status{}, wire::FrameType::status_reply);
    std::string log;
    std::size_t at = 0;
    for (const std::size_t cut : cuts) {
        daemon.session.receive(wire::Bytes(stream).subspan(at, cut - at));
        at = cut;
    }
    Delivery delivery;
    while (consumer.next(delivery)) {
        log += std::to_string(delivery.number.value()) + '=' + std::string(delivery.body) + ' ';
    }
    std::vector<ConfirmedLines> confirmed;
    producer.take_confirmed(confirmed);
    for (const auto& lines : confirmed) {
        log += "confirmed " + std::to_string(lines.first_line.value()) + '+' +
               std::to_string(lines.count) + ' ';
    }
    log += "lost " + std::to_string(consumer.leases_lost());
    log += daemon.session.reply(request) != nullptr ? " replied" : " silent";
    log += daemon.session.error() != nullptr ? " closed" : " open";
    return log + " sent " + std::to_string(daemon.sent().size());
}

std::vector<std::byte> long_stream() {
    std::vector<std::byte> stream;
    const auto add = [&](const std::vector<std::byte>& frame) {
        stream.insert(stream.end(), frame.begin(), frame.end());
    };
    const HandleId producer(1);
    const HandleId consumer(2);
    add(encode_deliver(consumer, 1, {"one", "two", ""}));
    add(encode_confirm(producer, 1, {{MessageNumber(1), 2}}, plenty));
    add(encode(wire::Ping{wire::as_bytes("p")}, CorrelationId(1)));
    add(encode_deliver(consumer, 4, {"four"}));
    add(encode_confirm(producer, 3, {{MessageNumber(3), 1}, {MessageNumber(9), 1}}, plenty));
    add(encode_lease_lost(consumer, {{MessageNumber(1), 2}}));
    add(encode(wire::Credit{1, 1}, {}, producer));
    wire::StatusReply status;
    status.items = {{"queues", 1}};
    add(encode(status, CorrelationId(3)));
    add(encode_deliver(consumer, 1, {"one again"}, 2));
    return stream;
}

}  // namespace

TEST_CASE("session: however the stream is cut, the outcome is the same") {
    const auto stream = long_stream();
    const std::string whole = play(stream, {stream.size()});
    CHECK(whole == "3= 4=four 1=one again confirmed 1+3 confirmed 4+1 lost 2 replied open sent 3");
    std::vector<std::size_t> each;
    for (std::size_t cut = 1; cut <= stream.size(); ++cut) {
        each.push_back(cut);
        CHECK(play(stream, {cut, stream.size()}) == whole);
    }
    CHECK(play(stream, each) == whole);
}

TEST_CASE("session: a truncated or corrupted stream never does more than end the connection") {
    const auto stream = long_stream();
    for (std::size_t at = 0; at < stream.size(); ++at) {
        (void)play(stream, {at});
        for (const unsigned flip : {0x01u, 0x80u, 0xFFu}) {
            auto corrupted = stream;
            corrupted[at] ^= static_cast<std::byte>(flip);
            (void)play(corrupted, {corrupted.size()});
        }
    }
}
