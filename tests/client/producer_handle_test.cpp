#include "client/producer_handle.hpp"

#include <doctest/doctest.h>

#include <string>

#include "scripted_daemon.hpp"

using namespace mqd;
using namespace mqd::client;

namespace {

constexpr std::uint64_t message_bytes(std::size_t body) {
    return 8 + body;
}

}  // namespace

TEST_CASE("producer: messages that wait together travel in one frame") {
    ScriptedDaemon daemon;
    daemon.greet();
    ProducerHandle& producer = daemon.open_producer(plenty, {Durability::written});
    CHECK(must_send(producer, "one") == LineNumber(1));
    CHECK(must_send(producer, "two") == LineNumber(2));
    CHECK(must_send(producer, "") == LineNumber(3));
    CHECK(daemon.sent(false).empty());
    const auto frames = daemon.sent();
    REQUIRE(frames.size() == 1);
    const auto publish = frames[0].as<wire::Publish>();
    CHECK(frames[0].header.handle == producer.id);
    CHECK(publish.first_line == LineNumber(1));
    CHECK(publish.count == 3);
    CHECK(publish.durability == Durability::written);
    const auto batch = encode_batch({"one", "two", ""});
    CHECK(wire::as_text(publish.batch) == wire::as_text(batch));
    CHECK(producer.unconfirmed() == 3);
}

TEST_CASE("producer: headers are encoded as attributes in their order") {
    ScriptedDaemon daemon;
    daemon.greet();
    ProducerHandle& producer = daemon.open_producer();
    REQUIRE(producer.send(wire::as_bytes("x"), {{"type", "invoice"}, {"empty", ""}}).has_value());
    const auto frames = daemon.sent();
    REQUIRE(frames.size() == 1);
    const auto publish = frames[0].as<wire::Publish>();
    std::vector<std::byte> attributes;
    wire::append_header(attributes, "type", "invoice");
    wire::append_header(attributes, "empty", "");
    std::vector<std::byte> batch;
    wire::append_message(batch, attributes, wire::as_bytes("x"));
    CHECK(wire::as_text(publish.batch) == wire::as_text(batch));
}

TEST_CASE("producer: a delay or a due time is a critical attribute, before the headers") {
    ScriptedDaemon daemon;
    daemon.greet();
    ProducerHandle& producer = daemon.open_producer();
    const auto send = [&](HeaderList headers, const MessageOptions& options) {
        return producer.send(wire::as_bytes("x"), headers, options);
    };
    const auto due = wire::from_micros(1'763'712'123'000'123);
    REQUIRE(send({{"k", "v"}}, {.delay = std::chrono::seconds(30)}).has_value());
    REQUIRE(send({}, {.due = due}).has_value());
    REQUIRE(send({}, {.delay = wire::delay_max}).has_value());
    REQUIRE(send({}, {}).has_value());
    const auto frames = daemon.sent();
    REQUIRE(frames.size() == 1);
    const auto publish = frames[0].as<wire::Publish>();
    CHECK(publish.count == 4);
    std::vector<wire::TimesView> times;
    wire::BatchReader reader(publish.batch);
    while (const auto message = reader.next()) {
        wire::AttributeReader attributes(message->attributes);
        if (const auto first = attributes.next()) {
            CHECK(first->critical);
        }
        CHECK(message->body.size() == 1);
        const auto decoded = wire::decode_times(message->attributes);
        REQUIRE(decoded.has_value());
        times.push_back(*decoded);
    }
    REQUIRE(times.size() == 4);
    CHECK(reader.ok());
    CHECK(times[0].delay_ms == 30'000u);
    CHECK_FALSE(times[0].due_us);
    CHECK(times[1].due_us == 1'763'712'123'000'123);
    CHECK_FALSE(times[1].delay_ms);
    CHECK(times[2].delay_ms == static_cast<std::uint64_t>(wire::delay_max.count()));
    CHECK_FALSE(times[3].delay_ms);
    CHECK_FALSE(times[3].due_us);
    std::vector<std::byte> header;
    wire::append_header(header, "k", "v");
    const auto first = wire::BatchReader(publish.batch).next();
    CHECK(wire::as_text(first->attributes).ends_with(wire::as_text(header)));
}

TEST_CASE("producer: an id is a critical attribute, behind the group") {
    ScriptedDaemon daemon;
    daemon.greet();
    ProducerHandle& producer = daemon.open_producer();
    const std::string longest(128, 'i');
    const std::string longer(129, 'i');
    const auto send = [&](std::string_view id) {
        return producer.send(wire::as_bytes("x"), {}, {.group = "g", .dedup_id = id});
    };
    REQUIRE(send(longest).has_value());
    REQUIRE(send({}).has_value());
    const auto bad = send(longer);
    REQUIRE_FALSE(bad.has_value());
    CHECK(bad.error().code == ErrorCode::bad_option);
    const auto frames = daemon.sent();
    REQUIRE(frames.size() == 1);
    const auto publish = frames[0].as<wire::Publish>();
    wire::BatchReader reader(publish.batch);
    const auto first = reader.next();
    CHECK(find_dedup_id(first->attributes) == longest);
    CHECK(find_group(first->attributes) == "g");
    CHECK(find_dedup_id(reader.next()->attributes).empty());
    std::uint32_t offsets[2];
    CHECK(!wire::check_batch(publish.batch, 2, 100, offsets));
}

TEST_CASE("producer: a priority is a critical attribute, behind a delay") {
    ScriptedDaemon daemon;
    daemon.greet();
    ProducerHandle& producer = daemon.open_producer();
    const auto send = [&](const MessageOptions& options) {
        return producer.send(wire::as_bytes("x"), {{"k", "v"}}, options);
    };
    REQUIRE(send({.priority = 9}).has_value());
    REQUIRE(send({.delay = std::chrono::seconds(1), .priority = 0}).has_value());
    REQUIRE(send({}).has_value());
    const auto bad = send({.priority = 10});
    REQUIRE_FALSE(bad.has_value());
    CHECK(bad.error().code == ErrorCode::bad_option);
    const auto frames = daemon.sent();
    REQUIRE(frames.size() == 1);
    const auto publish = frames[0].as<wire::Publish>();
    CHECK(publish.count == 3);
    std::vector<std::optional<unsigned>> priorities;
    wire::BatchReader reader(publish.batch);
    while (const auto message = reader.next()) {
        priorities.push_back(find_priority(message->attributes));
        CHECK(wire::decode_priority(message->attributes) == priorities.back().value_or(0));
        CHECK(Headers(message->attributes).find("k") == "v");
    }
    CHECK(reader.ok());
    CHECK(priorities == std::vector<std::optional<unsigned>>{9, 0, std::nullopt});
}

TEST_CASE("producer: a TTL is a critical attribute, with a delay or without") {
    ScriptedDaemon daemon;
    daemon.greet();
    ProducerHandle& producer = daemon.open_producer();
    MessageOptions options;
    options.ttl = std::chrono::seconds(30);
    REQUIRE(producer.send(wire::as_bytes("x"), {{"k", "v"}}, options).has_value());
    options.delay = std::chrono::seconds(1);
    REQUIRE(producer.send(wire::as_bytes("x"), {}, options).has_value());
    const auto frames = daemon.sent();
    REQUIRE(frames.size() == 1);
    const auto publish = frames[0].as<wire::Publish>();
    wire::BatchReader reader(publish.batch);
    const auto plain = reader.next();
    const auto delayed = reader.next();
    REQUIRE(delayed.has_value());
    CHECK(wire::AttributeReader(plain->attributes).next()->critical);
    CHECK(wire::ttl_of(plain->attributes) == 30'000);
    CHECK(wire::ttl_of(delayed->attributes) == 30'000);
    CHECK(wire::decode_times(delayed->attributes)->delay_ms == 1000u);
    for (const auto bad :
         {std::chrono::milliseconds(-1), wire::ttl_max + std::chrono::milliseconds(1)}) {
        options.ttl = bad;
        CHECK(producer.send(wire::as_bytes("x"), {}, options).error().code ==
              ErrorCode::bad_option);
    }
}

TEST_CASE("producer: a delay that cannot be meant uses no line") {
    ScriptedDaemon daemon;
    daemon.greet();
    ProducerHandle& producer = daemon.open_producer();
    using std::chrono::milliseconds;
    const std::vector<MessageOptions> bad{
        {.delay = milliseconds(-1)},
        {.delay = wire::delay_max + milliseconds(1)},
        {.delay = milliseconds(1), .due = WallTime()},
    };
    for (const MessageOptions& options : bad) {
        const auto line = producer.send(wire::as_bytes("x"), {}, options);
        REQUIRE_FALSE(line.has_value());
        CHECK(line.error().code == ErrorCode::bad_option);
    }
    CHECK(producer.next_line() == LineNumber(1));
    CHECK(daemon.sent().empty());

    // It counts for the headers, which have 65,535 bytes in all.
    const std::string value(wire::attributes_bytes_max - 4 - 1 - 1, 'v');
    CHECK(producer.send(wire::as_bytes("x"), {{"k", value}}).has_value());
    const auto big = producer.send(wire::as_bytes("x"), {{"k", value}}, {.delay = milliseconds(1)});
    REQUIRE_FALSE(big.has_value());
    CHECK(big.error().code == ErrorCode::message_too_big);
    CHECK(producer.next_line() == LineNumber(2));
}

TEST_CASE("producer: a frame that is full goes to the output by itself") {
    ScriptedDaemon daemon({.client_name = "", .send_buffer_bytes = 4096});
    daemon.greet();
    ProducerHandle& producer = daemon.open_producer();
    const std::string body(100, 'x');
    for (int i = 0; i < 100; ++i) {
        must_send(producer, body);
    }
    const auto frames = daemon.sent(false);
    REQUIRE(frames.size() >= 2);
    std::uint64_t line = 1;
    for (const auto& frame : frames) {
        CHECK(frame.header.body_bytes + wire::frame_header_bytes <= 4096);
        const auto publish = frame.as<wire::Publish>();
        CHECK(publish.first_line == LineNumber(line));
        CHECK(publish.batch.size() == publish.count * message_bytes(100));
        line += publish.count;
    }
    const auto rest = daemon.sent();
    REQUIRE(rest.size() == 1);
    CHECK(rest[0].as<wire::Publish>().first_line == LineNumber(line));
    CHECK(line + rest[0].as<wire::Publish>().count == 101);
}

TEST_CASE("producer: a message beyond the send buffer travels alone") {
    ScriptedDaemon daemon({.client_name = "", .send_buffer_bytes = 4096});
    daemon.greet();
    ProducerHandle& producer = daemon.open_producer();
    must_send(producer, "small");
    must_send(producer, std::string(100'000, 'b'));
    must_send(producer, "small");
    const auto frames = daemon.sent();
    REQUIRE(frames.size() == 3);
    for (const auto& frame : frames) {
        CHECK(frame.as<wire::Publish>().count == 1);
    }
    CHECK(frames[1].as<wire::Publish>().batch.size() == message_bytes(100'000));
}

TEST_CASE("producer: no frame has more messages than the format allows") {
    ScriptedDaemon daemon({.client_name = "", .send_buffer_bytes = 1024 * 1024});
    daemon.greet();
    ProducerHandle& producer = daemon.open_producer();
    for (std::uint32_t i = 0; i < wire::batch_messages_max + 1; ++i) {
        must_send(producer, "");
    }
    const auto frames = daemon.sent();
    REQUIRE(frames.size() == 2);
    CHECK(frames[0].as<wire::Publish>().count == wire::batch_messages_max);
    CHECK(frames[1].as<wire::Publish>().count == 1);
}

TEST_CASE("producer: message limits hold at the limit and refuse beyond it, using no line") {
    ScriptedDaemon daemon;
    daemon.greet();
    ProducerHandle& producer = daemon.open_producer();
    const std::string largest(512 * 1024, 'x');
    must_send(producer, largest);
    const auto too_big = producer.send(wire::as_bytes(largest + "x"), {});
    REQUIRE(!too_big.has_value());
    CHECK(too_big.error().code == ErrorCode::message_too_big);
    CHECK(too_big.error().limit == 512 * 1024);

    const std::string value(wire::attributes_bytes_max - 6, 'v');
    REQUIRE(producer.send({}, {{"k", value}}).has_value());
    const auto headers = producer.send({}, {{"k", value + "v"}});
    REQUIRE(!headers.has_value());
    CHECK(headers.error().code == ErrorCode::message_too_big);
    CHECK(headers.error().limit == wire::attributes_bytes_max);

    const std::string key(255, 'k');
    REQUIRE(producer.send({}, {{key, ""}}).has_value());
    const std::string long_key(256, 'k');
    for (const std::string_view bad : {std::string_view(long_key), std::string_view("")}) {
        const auto line = producer.send({}, {{bad, ""}});
        REQUIRE(!line.has_value());
        CHECK(line.error().code == ErrorCode::bad_option);
    }
    CHECK(producer.next_line() == LineNumber(4));
}

TEST_CASE("producer: a message must fit into the daemon's frames as well") {
    ScriptedDaemon daemon;
    wire::Welcome small = welcome();
    small.frame_body_bytes_max = 70'000;
    daemon.greet(small);
    ProducerHandle& producer = daemon.open_producer();
    must_send(producer, std::string(70'000 - 16 - 8, 'x'));
    CHECK(!producer.send(wire::as_bytes(std::string(70'000 - 16 - 7, 'x')), {}).has_value());
    for (const auto& frame : daemon.sent()) {
        CHECK(frame.header.body_bytes <= 70'000);
    }
}

TEST_CASE("producer: without credit nothing is taken, and what was gathered goes out") {
    ScriptedDaemon daemon;
    daemon.greet();
    SUBCASE("in messages") {
        ProducerHandle& producer = daemon.open_producer({2, 1'000'000});
        must_send(producer, "a");
        must_send(producer, "b");
        const auto blocked = producer.send(wire::as_bytes("c"), {});
        REQUIRE(blocked.has_value());
        CHECK(!blocked->has_value());
        const auto frames = daemon.sent(false);
        REQUIRE(frames.size() == 1);
        CHECK(frames[0].as<wire::Publish>().count == 2);
        daemon.say(encode(wire::Credit{3, 1'000'000}, {}, producer.id));
        CHECK(must_send(producer, "c") == LineNumber(3));
    }
    SUBCASE("in bytes") {
        ProducerHandle& producer = daemon.open_producer({1'000, 3 * message_bytes(10) - 1});
        must_send(producer, std::string(10, 'a'));
        must_send(producer, std::string(10, 'b'));
        CHECK(!producer.send(wire::as_bytes(std::string(10, 'c')), {})->has_value());
        // A smaller one would still fit: only the order of the calls is kept.
        CHECK(must_send(producer, std::string(9, 'c')) == LineNumber(3));
    }
}

TEST_CASE(
    "producer: with nothing unanswered one message goes beyond the credit, in its own frame") {
    ScriptedDaemon daemon;
    daemon.greet();
    ProducerHandle& producer = daemon.open_producer({10, 20});
    must_send(producer, std::string(100, 'x'));
    const auto frames = daemon.sent(false);
    REQUIRE(frames.size() == 1);
    CHECK(frames[0].as<wire::Publish>().count == 1);
    CHECK(!producer.send(wire::as_bytes("y"), {})->has_value());
    daemon.say(encode_confirm(producer.id, 1, {{MessageNumber(1), 1}}, {11, 128}));
    must_send(producer, "y");  // 108 + 9 <= 128
    CHECK(!producer.send(wire::as_bytes(std::string(100, 'z')), {})->has_value());
    (void)daemon.sent();
    daemon.say(encode_confirm(producer.id, 2, {{MessageNumber(2), 1}}, {11, 128}));
    CHECK(must_send(producer, std::string(100, 'z')) == LineNumber(3));
}

TEST_CASE("producer: credit never shrinks") {
    ScriptedDaemon daemon;
    daemon.greet();
    ProducerHandle& producer = daemon.open_producer({2, 1000});
    daemon.say(encode(wire::Credit{1, 1}, {}, producer.id));
    must_send(producer, "a");
    must_send(producer, "b");
}

TEST_CASE("producer: confirms come in line order and merge where they continue each other") {
    ScriptedDaemon daemon;
    daemon.greet();
    ProducerHandle& producer = daemon.open_producer();
    for (int i = 0; i < 6; ++i) {
        must_send(producer, "x");
    }
    (void)daemon.sent();
    daemon.say(encode_confirm(producer.id, 1, {{MessageNumber(10), 2}}, plenty));
    daemon.say(
        encode_confirm(producer.id, 3, {{MessageNumber(12), 1}, {MessageNumber(20), 2}}, plenty));
    REQUIRE(daemon.session.news().size() == 1);
    CHECK(daemon.session.news()[0] == producer.id);
    std::vector<ConfirmedLines> confirmed;
    producer.take_confirmed(confirmed);
    REQUIRE(confirmed.size() == 2);
    CHECK(confirmed[0] == ConfirmedLines{LineNumber(1), 3, MessageNumber(10), Durability::disk});
    CHECK(confirmed[1] == ConfirmedLines{LineNumber(4), 2, MessageNumber(20), Durability::disk});
    CHECK(producer.unconfirmed() == 1);
    CHECK(producer.answered_up_to() == LineNumber(6));
}

TEST_CASE("producer: a confirm or refusal out of line order ends the connection") {
    ScriptedDaemon daemon;
    daemon.greet();
    ProducerHandle& producer = daemon.open_producer();
    must_send(producer, "a");
    must_send(producer, "b");
    SUBCASE("a line too late") {
        (void)daemon.sent();
        daemon.say(encode_confirm(producer.id, 2, {{MessageNumber(1), 1}}, plenty));
    }
    SUBCASE("more lines than were sent") {
        (void)daemon.sent();
        daemon.say(encode_confirm(producer.id, 1, {{MessageNumber(1), 3}}, plenty));
    }
    SUBCASE("lines that are gathered only") {
        daemon.say(encode_confirm(producer.id, 1, {{MessageNumber(1), 2}}, plenty));
    }
    SUBCASE("an empty run") {
        (void)daemon.sent();
        daemon.say(encode_confirm(producer.id, 1, {{MessageNumber(1), 0}}, plenty));
    }
    SUBCASE("a refusal of more than was sent") {
        (void)daemon.sent();
        daemon.say(encode_refuse(producer.id, 1, UINT64_MAX, ErrorCode::memory_full, plenty));
    }
    SUBCASE("a confirm behind a refusal") {
        (void)daemon.sent();
        daemon.say(encode_refuse(producer.id, 1, 1, ErrorCode::memory_full, plenty));
        REQUIRE(daemon.session.state() == Session::State::open);
        daemon.say(encode_confirm(producer.id, 2, {{MessageNumber(1), 1}}, plenty));
    }
    CHECK(daemon.session.state() == Session::State::closed);
    CHECK(daemon.session.error()->code == ErrorCode::protocol_violation);
}

TEST_CASE("producer: after a refusal every call returns it, until resume") {
    ScriptedDaemon daemon;
    daemon.greet();
    ProducerHandle& producer = daemon.open_producer();
    must_send(producer, "a");
    must_send(producer, "b");
    (void)daemon.sent();
    must_send(producer, "c");
    must_send(producer, "gathered");
    daemon.say(encode_confirm(producer.id, 1, {{MessageNumber(1), 1}}, plenty));
    daemon.say(encode_refuse(producer.id, 2, 1, ErrorCode::memory_full, plenty));

    const auto refused = producer.send(wire::as_bytes("d"), {});
    REQUIRE(!refused.has_value());
    CHECK(refused.error().code == ErrorCode::memory_full);
    CHECK(refused.error().limit == 4096);
    CHECK(refused.error().retry_after_ms == 250);
    REQUIRE(producer.refusal().has_value());
    CHECK(producer.refusal()->lines.first == LineNumber(2));
    CHECK(producer.refused(LineNumber(1)) == nullptr);
    CHECK(producer.refused(LineNumber(3)) != nullptr);

    // What was gathered is sent all the same: the daemon answers every line.
    const LineRange lines = producer.resume();
    CHECK(lines == LineRange{LineNumber(2), 3});
    CHECK(must_send(producer, "again") == LineNumber(5));
    const auto frames = daemon.sent();
    REQUIRE(frames.size() == 3);
    CHECK(frames[0].as<wire::Publish>().first_line == LineNumber(3));
    CHECK(frames[0].as<wire::Publish>().count == 2);
    CHECK(frames[1].header.type == wire::FrameType::resume);
    CHECK(frames[1].header.handle == producer.id);
    CHECK(frames[2].as<wire::Publish>().first_line == LineNumber(5));

    // The answers to the lines before RESUME do not refuse what comes behind it.
    daemon.say(encode_refuse(producer.id, 3, 2, ErrorCode::resume_needed, plenty));
    CHECK(!producer.refusal().has_value());
    CHECK(producer.refused(LineNumber(4))->code == ErrorCode::memory_full);
    daemon.say(encode_confirm(producer.id, 5, {{MessageNumber(2), 1}}, plenty));
    CHECK(producer.unconfirmed() == 0);
    CHECK(daemon.session.state() == Session::State::open);
}

TEST_CASE("producer: what was sent behind a resume can be refused again") {
    ScriptedDaemon daemon;
    daemon.greet();
    ProducerHandle& producer = daemon.open_producer();
    must_send(producer, "a");
    (void)daemon.sent();
    daemon.say(encode_refuse(producer.id, 1, 1, ErrorCode::memory_full, plenty));
    CHECK(producer.resume() == LineRange{LineNumber(1), 1});
    must_send(producer, "b");
    (void)daemon.sent();
    daemon.say(encode_refuse(producer.id, 2, 1, ErrorCode::disk_full, plenty));
    REQUIRE(producer.refusal().has_value());
    CHECK(producer.refusal()->error.code == ErrorCode::disk_full);
    CHECK(producer.resume() == LineRange{LineNumber(2), 1});
}

TEST_CASE("producer: refused lines stay refused over later refusals") {
    ScriptedDaemon daemon;
    daemon.greet();
    ProducerHandle& producer = daemon.open_producer();
    std::uint64_t line = 0;
    const auto refuse_next = [&](ErrorCode code) {
        must_send(producer, "x");
        (void)daemon.sent();
        daemon.say(encode_refuse(producer.id, ++line, 1, code, plenty));
        (void)producer.resume();
    };
    const auto confirm_next = [&] {
        must_send(producer, "x");
        (void)daemon.sent();
        ++line;
        daemon.say(encode_confirm(producer.id, line, {{MessageNumber(line), 1}}, plenty));
    };
    confirm_next();
    // Tried again and again: one refusal.
    for (int i = 0; i < 1'000; ++i) {
        refuse_next(ErrorCode::memory_full);
    }
    CHECK(producer.refused(LineNumber(1)) == nullptr);
    CHECK(producer.refused(LineNumber(2))->code == ErrorCode::memory_full);
    CHECK(producer.refused(LineNumber(1'001))->code == ErrorCode::memory_full);
    CHECK(producer.known_from() == LineNumber(1));

    confirm_next();  // 1002
    for (std::size_t i = 0; i < ProducerHandle::refusals_max - 1; ++i) {
        refuse_next(i % 2 == 0 ? ErrorCode::disk_full : ErrorCode::memory_full);
    }
    CHECK(producer.refused(LineNumber(1'001))->code == ErrorCode::memory_full);
    CHECK(producer.refused(LineNumber(1'002)) == nullptr);
    CHECK(producer.refused(LineNumber(1'003))->code == ErrorCode::disk_full);
    CHECK(producer.refused(LineNumber(1'004))->code == ErrorCode::memory_full);
    CHECK(producer.known_from() == LineNumber(1));

    // One more than are remembered.
    confirm_next();
    refuse_next(ErrorCode::journal_full);
    CHECK(producer.known_from() == LineNumber(1'002));
    CHECK(producer.refused(LineNumber(1'001)) == nullptr);
    CHECK(producer.refused(LineNumber(1'002)) == nullptr);
    CHECK(producer.refused(LineNumber(1'003)) != nullptr);
    CHECK(producer.refused(LineNumber(line))->code == ErrorCode::journal_full);
}

TEST_CASE("producer: two producers on one connection keep their frames apart and full") {
    ScriptedDaemon daemon;
    daemon.greet();
    ProducerHandle& a = daemon.open_producer();
    ProducerHandle& b = daemon.open_producer();
    CHECK(a.id != b.id);
    for (int i = 0; i < 10; ++i) {
        must_send(a, "a");
        must_send(b, "b");
    }
    const auto frames = daemon.sent();
    REQUIRE(frames.size() == 2);
    CHECK(frames[0].as<wire::Publish>().count == 10);
    CHECK(frames[1].as<wire::Publish>().count == 10);
    CHECK(frames[0].header.handle != frames[1].header.handle);
}

TEST_CASE("producer with a name: lines go on behind what was taken before") {
    ScriptedDaemon daemon;
    daemon.greet();
    ProducerHandle& producer = daemon.open_producer(plenty, {.name = "import"}, LineNumber(250));
    CHECK(producer.knows_last_line());
    CHECK(producer.last_line() == LineNumber(250));
    CHECK(producer.unconfirmed() == 0);
    CHECK(must_send(producer, "a") == LineNumber(251));
    CHECK(daemon.sent()[0].as<wire::Publish>().first_line == LineNumber(251));
    daemon.say(encode_confirm(producer.id, 251, {{MessageNumber(9), 1}}, plenty));
    CHECK(producer.answered_up_to() == LineNumber(252));
}

TEST_CASE("producer with a name: refused lines come again, behind the refusals still to come") {
    ScriptedDaemon daemon;
    daemon.greet();
    ProducerHandle& producer = daemon.open_producer({100, 10'000}, {.name = "p"}, LineNumber(0));
    for (int i = 0; i < 3; ++i) {
        must_send(producer, "x");
        (void)daemon.sent();
    }
    daemon.say(encode_confirm(producer.id, 1, {{MessageNumber(1), 1}}, {100, 10'000}));
    daemon.say(encode_refuse(producer.id, 2, 1, ErrorCode::queue_full, {100, 10'000}));
    CHECK(producer.resume() == LineRange{LineNumber(2), 2});
    CHECK(producer.next_line() == LineNumber(2));
    CHECK(producer.refused(LineNumber(2)) == nullptr);
    CHECK(must_send(producer, "x") == LineNumber(2));
    CHECK(must_send(producer, "x") == LineNumber(3));
    CHECK(daemon.sent().back().as<wire::Publish>().first_line == LineNumber(2));
    SUBCASE("they are answered in the order in which they were sent") {
        daemon.say(encode_refuse(producer.id, 3, 1, ErrorCode::resume_needed, {100, 10'000}));
        CHECK_FALSE(producer.refusal());
        daemon.say(encode_confirm(producer.id, 2, {{MessageNumber(2), 2}}, {100, 10'000}));
        CHECK(producer.unconfirmed() == 0);
        CHECK(daemon.session.state() == Session::State::open);
    }
    SUBCASE("a confirm before that breaks the protocol") {
        daemon.say(encode_confirm(producer.id, 2, {{MessageNumber(2), 2}}, {100, 10'000}));
        CHECK(daemon.session.state() == Session::State::closed);
    }
    SUBCASE("and so does a refusal of others") {
        daemon.say(encode_refuse(producer.id, 2, 1, ErrorCode::resume_needed, {100, 10'000}));
        CHECK(daemon.session.state() == Session::State::closed);
    }
}

TEST_CASE("producer with a name: a daemon that knows no names does not tell the last line") {
    ScriptedDaemon daemon;
    daemon.greet();
    CHECK_FALSE(daemon.open_producer(plenty, {.name = "p"}).knows_last_line());
    CHECK(daemon.open_producer().knows_last_line());
}
