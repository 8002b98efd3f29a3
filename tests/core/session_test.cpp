// The rules of a connection: HELLO first, lengths before memory, what closes and what does not.

#include "daemon/core/session.hpp"

#include "core/core_fixture.hpp"
#include "support/dice.hpp"
#include "support/sanitized.hpp"
#include "wire/any_frame.hpp"

namespace mqd::core::test {
namespace {

using wire::FrameType;

std::vector<std::byte> raw_frame(FrameType type, wire::Bytes body, std::uint8_t flags = 0,
                                 std::uint32_t handle = 1) {
    std::vector<std::byte> bytes(wire::frame_header_bytes);
    wire::encode_frame_header(bytes.data(), {static_cast<std::uint32_t>(body.size()), type, flags,
                                             CorrelationId(5), HandleId(handle)});
    bytes.insert(bytes.end(), body.begin(), body.end());
    return bytes;
}

wire::Hello good_hello() {
    wire::Hello frame;
    frame.frame_body_bytes_max = 1 << 20;
    return frame;
}

struct Unknown : ServingFixture {
    WireClient client{daemon};
};

TEST_CASE_FIXTURE(Unknown, "session: HELLO is answered with the daemon's limits") {
    client.send(good_hello());
    const auto welcome = client.next<wire::Welcome>();
    CHECK(welcome.version == 1);
    CHECK(welcome.frame_body_bytes_max == daemon.core().options().frame_body_bytes_max);
    CHECK(welcome.message_body_bytes_max == options.message_bytes_max);
    CHECK(welcome.identity == Identity{1, 2, 3});
}

TEST_CASE_FIXTURE(Unknown, "session: before HELLO comes nothing else") {
    client.send(wire::Status{}, 0, 3);
    client.expect_error(ErrorCode::protocol_violation);
    client.send(good_hello());
    CHECK(client.silent());  // it is closing
}

TEST_CASE_FIXTURE(Unknown, "session: a HELLO that is not acceptable closes") {
    wire::Hello frame = good_hello();
    SUBCASE("magic") {
        frame.magic = 7;
        client.send(frame);
        client.expect_error(ErrorCode::protocol_violation);
    }
    SUBCASE("too new") {
        frame.version_min = frame.version_max = 2;
        client.send(frame);
        client.expect_error(ErrorCode::unsupported_version);
    }
    SUBCASE("too old") {
        frame.version_min = frame.version_max = 0;
        client.send(frame);
        client.expect_error(ErrorCode::unsupported_version);
    }
    SUBCASE("small frames") {
        frame.frame_body_bytes_max = 65'535;
        client.send(frame);
        client.expect_error(ErrorCode::protocol_violation);
    }
    SUBCASE("twice") {
        client.send(frame);
        (void)client.next<wire::Welcome>();
        client.send(frame);
        client.expect_error(ErrorCode::protocol_violation);
    }
}

TEST_CASE_FIXTURE(Unknown, "session: who does not say HELLO in time is closed") {
    client.receive(std::vector<std::byte>(1));  // a byte now and then does not help
    daemon.pass(options.hello_timeout - std::chrono::milliseconds(1));
    daemon.begin_turn();
    client.session().check_time();
    daemon.end_turn();
    CHECK_FALSE(client.session().closing());
    client.receive(std::vector<std::byte>(1));
    daemon.pass(std::chrono::milliseconds(1));
    daemon.begin_turn();
    client.session().check_time();
    daemon.end_turn();
    client.expect_error(ErrorCode::hello_timeout);
}

TEST_CASE_FIXTURE(Unknown, "session: a promised heartbeat that does not come closes") {
    wire::Hello frame = good_hello();
    frame.heartbeat_ms = 100;
    client.send(frame);
    CHECK(client.next<wire::Welcome>().heartbeat_ms == 100);
    daemon.pass(std::chrono::milliseconds(250));
    client.send(wire::Ping{}, 0, 8);
    (void)client.next<wire::Pong>();
    CHECK(client.last_header().correlation == CorrelationId(8));
    daemon.pass(std::chrono::milliseconds(299));
    daemon.begin_turn();
    client.session().check_time();
    CHECK_FALSE(client.session().closing());
    daemon.pass(std::chrono::milliseconds(1));
    daemon.begin_turn();
    client.session().check_time();
    daemon.end_turn();
    client.expect_error(ErrorCode::heartbeat_timeout);
}

TEST_CASE_FIXTURE(ServingFixture, "session: an unknown frame is answered and skipped") {
    WireClient& client = connect();
    client.receive(raw_frame(static_cast<FrameType>(0x7E), std::vector<std::byte>(100)));
    client.expect_error(ErrorCode::unknown_frame, 5);
    client.send(wire::Ping{}, 0, 1);
    (void)client.next<wire::Pong>();
}

TEST_CASE_FIXTURE(ServingFixture, "session: frames may come byte by byte") {
    WireClient& client = connect();
    const std::string text(wire::ping_bytes_max, 'x');
    std::vector<std::byte> bytes;
    for (std::uint32_t i = 1; i <= 3; ++i) {
        wire::append_frame(bytes, wire::Ping{wire::as_bytes(text)}, CorrelationId(i));
    }
    for (const std::byte byte : bytes) {
        client.receive({&byte, 1});
    }
    for (std::uint32_t i = 1; i <= 3; ++i) {
        CHECK(wire::as_text(client.next<wire::Pong>().payload) == text);
        CHECK(client.last_header().correlation == CorrelationId(i));
    }
}

TEST_CASE_FIXTURE(ServingFixture, "session: a length beyond the limit is refused by its header") {
    const std::uint32_t most = daemon.core().options().frame_body_bytes_max;
    std::vector<std::byte> header(wire::frame_header_bytes);
    SUBCASE("before HELLO") {
        for (const std::uint32_t bytes : {4097u, 0x7FFFFFFFu, 0xFFFFFFFFu}) {
            WireClient client(daemon);
            wire::encode_frame_header(header.data(), {bytes, FrameType::hello, 0, {}, {}});
            client.receive(header);
            client.expect_error(ErrorCode::frame_too_big);
        }
    }
    SUBCASE("after it") {
        for (const std::uint32_t bytes : {most + 1, 0x7FFFFFFFu, 0xFFFFFFFFu}) {
            WireClient& client = connect();
            wire::encode_frame_header(header.data(), {bytes, FrameType::publish, 0, {}, {}});
            client.receive(wire::Bytes(header).first(7));  // cut in the header
            client.receive(wire::Bytes(header).subspan(7));
            client.expect_error(ErrorCode::frame_too_big);
        }
    }
    SUBCASE("none is fine, and so is the limit") {
        WireClient& client = connect();
        client.receive(raw_frame(static_cast<FrameType>(0x7E), {}));
        client.expect_error(ErrorCode::unknown_frame, 5);
        client.receive(raw_frame(static_cast<FrameType>(0x7E), std::vector<std::byte>(most)));
        client.expect_error(ErrorCode::unknown_frame, 5);
    }
}

TEST_CASE_FIXTURE(ServingFixture, "session: GOODBYE is answered after what came before it") {
    create("q", Durability::disk);
    WireClient& client = connect();
    (void)client.open_producer("q");
    client.publish(1, {"a"});
    client.send(wire::Goodbye{}, 0, 4);
    CHECK(client.silent());
    daemon.settle();
    (void)client.next<wire::Confirm>();
    (void)client.next<wire::GoodbyeReply>();
    CHECK(client.last_header().correlation == CorrelationId(4));
    CHECK(client.session().closing());
    CHECK_FALSE(client.session().close_reason().has_value());
}

TEST_CASE_FIXTURE(ServingFixture, "session: GOODBYE waits for the session's own requests only") {
    create("q", Durability::disk);
    WireClient& gone = connect();
    WireClient& leaving = connect();
    WireClient& staying = connect();
    const auto request = [](WireClient& client, std::string_view queue) {
        wire::QueueCreate frame;
        frame.queue = queue;
        client.send(frame, 0, 3);
    };
    request(leaving, "b");
    leaving.send(wire::Goodbye{}, 0, 4);
    request(gone, "a");  // in the next group: one is on its way
    request(staying, "c");
    gone.end();
    while (leaving.silent()) {
        REQUIRE(staying.silent());
        daemon.begin_turn();
        daemon.commit().has_done() ? daemon.commit().run_done() : daemon.commit().run_work();
        daemon.end_turn();
    }
    CHECK(leaving.next<wire::QueueInfo>().queue == "b");
    (void)leaving.next<wire::GoodbyeReply>();
    CHECK(staying.silent());
    daemon.settle();
    CHECK(staying.next<wire::QueueInfo>().queue == "c");
    CHECK(queue("a").live() == 0);  // made all the same
}

TEST_CASE_FIXTURE(ServingFixture, "session: nothing follows GOODBYE") {
    create("q", Durability::disk);
    WireClient& client = connect();
    (void)client.open_producer("q");
    client.publish(1, {"a"});
    client.send(wire::Goodbye{}, 0, 4);
    client.send(wire::Status{}, 0, 5);
    client.expect_error(ErrorCode::protocol_violation);
}

// --- every frame in every state

enum class Setting { greeting, open, handles, leaving };

struct Settings : ServingFixture {
    std::unique_ptr<WireClient> make(Setting setting) {
        auto client = std::make_unique<WireClient>(daemon);
        if (setting == Setting::greeting) {
            return client;
        }
        client->hello();
        if (setting == Setting::open) {
            return client;
        }
        (void)client->open_producer("q", 1);
        (void)client->open_consumer("q", 2);
        client->publish(1, {"a"});
        if (setting == Setting::leaving) {
            client->send(wire::Goodbye{}, 0, 4);
        } else {
            daemon.settle();
        }
        (void)client->take();
        return client;
    }

    // Whatever came out are whole frames, and an error that closes is the last one.
    void check(WireClient& client) {
        daemon.settle();
        const auto frames = client.take();
        for (std::size_t i = 0; i < frames.size(); ++i) {
            if (frames[i].header.type != FrameType::error) {
                continue;
            }
            const auto error = wire::ErrorFrame::decode(frames[i].body);
            REQUIRE(error.has_value());
            REQUIRE(error_name(error->code) != "unknown_error");
            if (closes_connection(error->code)) {
                CHECK(client.session().closing());
            }
        }
    }
};

TEST_CASE_FIXTURE(Settings, "session: every frame in every state, well-formed or not") {
    create("q", Durability::disk);
    WireClient& bystander = connect();
    std::uint64_t turn = 0;
    for (const Setting setting :
         {Setting::greeting, Setting::open, Setting::handles, Setting::leaving}) {
        for (const FrameType type : wire::test::all_frame_types()) {
            std::vector<std::byte> body;
            wire::test::with_frame_type(
                type, [&](const auto& frame) { body = wire::test::encode_body(frame); });
            std::vector<std::byte> longer = body;
            longer.resize(longer.size() + 9, std::byte{0xA5});
            const wire::Bytes shorter =
                wire::Bytes(body).first(body.size() - std::min<std::size_t>(1, body.size()));
            for (const std::uint32_t handle : {0u, 1u, 2u, 3u, 0xFFFFFFFFu}) {
                for (const std::uint8_t flags : {std::uint8_t{0}, std::uint8_t{0xFF}}) {
                    for (const wire::Bytes form :
                         {wire::Bytes(body), shorter, wire::Bytes(longer)}) {
                        if (++turn % mqd::test::stride != 0) {
                            continue;
                        }
                        const auto client = make(setting);
                        client->receive(raw_frame(type, form, flags, handle));
                        check(*client);
                    }
                }
            }
        }
    }
    bystander.send(wire::Ping{}, 0, 1);
    (void)bystander.next<wire::Pong>();
}

TEST_CASE_FIXTURE(Settings, "session: what only the daemon sends closes the connection") {
    create("q", Durability::disk);
    for (const FrameType type : wire::test::all_frame_types()) {
        if (static_cast<std::uint8_t>(type) < 0x80 || type == FrameType::pong) {
            continue;
        }
        const auto client = make(Setting::open);
        client->receive(raw_frame(type, {}));
        client->expect_error(ErrorCode::protocol_violation);
    }
}

TEST_CASE_FIXTURE(Settings, "session: random bytes are answered or close, and nothing else") {
    create("q", Durability::disk);
    const std::uint64_t seed = mqd::test::Dice::new_seed();
    CAPTURE(seed);
    mqd::test::Dice dice(seed);
    const std::vector<FrameType> types = wire::test::all_frame_types();
    for (std::uint64_t round = 0; round < 3000 / mqd::test::slowness; ++round) {
        if (daemon.core().engine().find("q") == nullptr) {
            create("q", Durability::disk);  // random bytes can say QUEUE_DELETE
        }
        const auto client = make(dice.one_in(4) ? Setting::open : Setting::handles);
        for (int frame = 0; frame < 4 && !client->session().closing(); ++frame) {
            std::vector<std::byte> body(dice.below(80));
            for (std::byte& byte : body) {
                // Small numbers reach further than random ones.
                byte = static_cast<std::byte>(dice.one_in(2) ? dice.below(4) : dice.next());
            }
            const auto type = dice.one_in(10) ? static_cast<FrameType>(dice.below(256))
                                              : types[dice.below(types.size())];
            client->receive(raw_frame(type, body, static_cast<std::uint8_t>(dice.below(3)),
                                      static_cast<std::uint32_t>(dice.below(4))));
        }
        check(*client);
    }
}

}  // namespace
}  // namespace mqd::core::test
