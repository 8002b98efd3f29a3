// Strangers at the socket: what they send is not the protocol, or is meant to hurt. They get a
// typed error or are closed, cost little memory, and nobody else notices.

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "integration/bystander.hpp"
#include "mqd/client.hpp"
#include "mqd/wire/handle.hpp"
#include "net/raw_connection.hpp"
#include "support/daemon_process.hpp"
#include "support/dice.hpp"

namespace mqd::test {

namespace {

constexpr std::uint32_t frame_bytes_max = 3 * 1024 * 1024;
constexpr std::uint32_t hello_bytes_max = 4096;

const std::string bystander_queue = "[queue.bystander]\ndurability = \"memory\"\n";

std::vector<std::byte> random_bytes(Dice& dice, std::uint64_t count) {
    std::vector<std::byte> bytes(count);
    for (std::byte& byte : bytes) {
        byte = static_cast<std::byte>(dice.below(256));
    }
    return bytes;
}

// HELLO, OPEN_PRODUCER 1 of the queue "victim", PUBLISH of one message.
std::vector<std::byte> short_session() {
    std::vector<std::byte> bytes;
    wire::Hello hello;
    hello.frame_body_bytes_max = 1024 * 1024;
    wire::append_frame(bytes, hello);
    wire::append_frame(bytes, wire::OpenProducer{"victim"}, CorrelationId(1), HandleId(1));
    std::vector<std::byte> batch;
    wire::append_message(batch, {}, wire::as_bytes("hello"));
    wire::Publish publish;
    publish.first_line = LineNumber(1);
    publish.count = 1;
    publish.batch = batch;
    wire::append_frame(bytes, publish, {}, HandleId(1));
    return bytes;
}

bool is_known(std::uint8_t type) {
    using wire::FrameType;
    switch (static_cast<FrameType>(type)) {
        case FrameType::hello:
        case FrameType::goodbye:
        case FrameType::ping:
        case FrameType::open_producer:
        case FrameType::open_consumer:
        case FrameType::close_handle:
        case FrameType::publish:
        case FrameType::resume:
        case FrameType::credit:
        case FrameType::ack:
        case FrameType::nack:
        case FrameType::extend:
        case FrameType::transact:
        case FrameType::queue_create:
        case FrameType::queue_update:
        case FrameType::queue_delete:
        case FrameType::queue_purge:
        case FrameType::queue_undo:
        case FrameType::messages_delete:
        case FrameType::messages_move:
        case FrameType::message_history:
        case FrameType::queue_list:
        case FrameType::queue_show:
        case FrameType::peek:
        case FrameType::status:
        case FrameType::backup:
        case FrameType::backup_next:
        case FrameType::welcome:
        case FrameType::goodbye_reply:
        case FrameType::pong:
        case FrameType::opened:
        case FrameType::closed:
        case FrameType::confirm:
        case FrameType::refuse:
        case FrameType::deliver:
        case FrameType::settled:
        case FrameType::lease_lost:
        case FrameType::consumer_active:
        case FrameType::transacted:
        case FrameType::queue_info:
        case FrameType::done:
        case FrameType::queue_list_reply:
        case FrameType::peek_reply:
        case FrameType::status_reply:
        case FrameType::backup_reply:
        case FrameType::backup_part:
        case FrameType::message_history_reply:
        case FrameType::error: return true;
    }
    return false;
}

// What the daemon alone sends, PONG aside, which goes both ways.
bool is_of_daemon(std::uint8_t type) {
    return type >= 0x80 && is_known(type) &&
           type != static_cast<std::uint8_t>(wire::FrameType::pong);
}

// It answers a PING.
void expect_alive(RawConnection& connection) {
    const std::string payload = "still there?";
    connection.send_frame(wire::Ping{wire::as_bytes(payload)});
    while (const auto frame = connection.receive()) {
        if (frame->header.type == wire::FrameType::pong) {
            CHECK(wire::as_text(frame->body) == payload);
            return;
        }
    }
    FAIL_CHECK("no PONG");
}

std::size_t count_lines(const std::string& text, const std::string& with) {
    std::size_t count = 0;
    for (std::size_t at = text.find(with); at != std::string::npos; at = text.find(with, at + 1)) {
        ++count;
    }
    return count;
}

}  // namespace

TEST_CASE("hostile: random bytes end their own connection and nothing else") {
    const std::uint64_t seed = Dice::new_seed();
    INFO("seed ", seed);
    Dice dice(seed);
    DaemonProcess daemon(MQD_BIN, {.config = bystander_queue});
    daemon.start();
    const Bystander bystander(daemon.url(), "bystander");
    for (int i = 0; i < (sanitized ? 100 : 400); ++i) {
        RawConnection stranger(daemon.socket_path());
        REQUIRE(stranger.connected());
        const bool greeted = dice.one_in(2);
        if (greeted) {
            stranger.greet();
        }
        // A whole header at least: the type is none that may come first, so it ends here.
        stranger.send(random_bytes(dice, dice.between(16, 4'000)));
        if (!greeted) {
            const auto error = stranger.receive_error();
            const bool typed =
                error == ErrorCode::protocol_violation || error == ErrorCode::frame_too_big;
            CHECK(typed);
            CHECK(stranger.wait_ended());
        }
    }
    bystander.expect_progress();
    CHECK(daemon.alive());
}

TEST_CASE("hostile: a length beyond the limit is refused before HELLO and after it") {
    DaemonProcess daemon(MQD_BIN, {.config = bystander_queue});
    daemon.start();
    const Bystander bystander(daemon.url(), "bystander");
    for (const std::uint32_t bytes :
         {hello_bytes_max + 1, frame_bytes_max, frame_bytes_max + 1, 0x7FFFFFFFu, 0xFFFFFFFFu}) {
        CAPTURE(bytes);
        RawConnection stranger(daemon.socket_path());
        stranger.send_header(wire::FrameType::hello, bytes);
        CHECK(stranger.receive_error() == ErrorCode::frame_too_big);
        CHECK(stranger.wait_ended());
    }
    for (const auto type :
         {wire::FrameType::publish, wire::FrameType::ping, wire::FrameType{0x77}}) {
        for (const std::uint32_t bytes : {frame_bytes_max + 1, 0x7FFFFFFFu, 0xFFFFFFFFu}) {
            CAPTURE(bytes);
            RawConnection stranger(daemon.socket_path());
            stranger.greet();
            stranger.send_header(type, bytes);
            CHECK(stranger.receive_error() == ErrorCode::frame_too_big);
            CHECK(stranger.wait_ended());
        }
    }
    bystander.expect_progress();
}

TEST_CASE("hostile: a length at the limit is taken, and one of 0 is malformed where it matters") {
    DaemonProcess daemon(MQD_BIN);
    daemon.start();
    RawConnection largest(daemon.socket_path());
    largest.greet();
    largest.send_header(wire::FrameType{0x77}, frame_bytes_max);
    largest.send(std::vector<std::byte>(frame_bytes_max));
    CHECK(largest.receive_error() == ErrorCode::unknown_frame);
    expect_alive(largest);
    for (const auto type :
         {wire::FrameType::publish, wire::FrameType::ack, wire::FrameType::open_producer,
          wire::FrameType::queue_create, wire::FrameType::transact}) {
        RawConnection empty(daemon.socket_path());
        empty.greet();
        empty.send_header(type, 0);
        CHECK(empty.receive_error() == ErrorCode::protocol_violation);
        CHECK(empty.wait_ended());
    }
    RawConnection greeting(daemon.socket_path());
    greeting.send_header(wire::FrameType::hello, 0);
    CHECK(greeting.receive_error() == ErrorCode::protocol_violation);
}

TEST_CASE("hostile: frames that are promised and never sent cost no memory") {
    constexpr std::uint64_t connections = 200;
    constexpr std::uint64_t kib_each_max = 64;
    DaemonProcess daemon(MQD_BIN, {.config = bystander_queue});
    daemon.start();
    const Bystander bystander(daemon.url(), "bystander");
    const std::uint64_t before = resident_kib(daemon.pid());
    std::vector<std::unique_ptr<RawConnection>> strangers;
    for (std::uint64_t i = 0; i < connections; ++i) {
        auto& stranger =
            strangers.emplace_back(std::make_unique<RawConnection>(daemon.socket_path()));
        stranger->greet();
        expect_alive(*stranger);
        stranger->send_header(wire::FrameType::publish, frame_bytes_max);
        stranger->send(std::vector<std::byte>(64));
    }
    bystander.expect_progress();
    const std::uint64_t after = resident_kib(daemon.pid());
    const std::uint64_t grown = after - std::min(before, after);
    MESSAGE("grown by ", grown, " KiB with ", connections, " connections");
    if (!sanitized) {
        CHECK(grown < connections * kib_each_max);
    }
}

TEST_CASE("hostile: a session may be cut off at any byte") {
    DaemonProcess daemon(MQD_BIN,
                         {.config = bystander_queue + "[queue.victim]\ndurability = \"memory\"\n"});
    daemon.start();
    const Bystander bystander(daemon.url(), "bystander");
    const std::vector<std::byte> session = short_session();
    for (std::size_t cut = 0; cut < session.size(); ++cut) {
        RawConnection stranger(daemon.socket_path());
        REQUIRE(stranger.send(std::span(session).first(cut)) == cut);
    }
    bystander.expect_progress();
    auto client = Client::connect(daemon.url());
    REQUIRE(client);
    const auto queue = client->show_queue("victim");
    REQUIRE(queue);
    CHECK(queue->ready == 0);
    CHECK(queue->producers == 0);
}

TEST_CASE("hostile: a session that comes byte by byte is as good as any") {
    DaemonProcess daemon(MQD_BIN, {.config = "[queue.victim]\ndurability = \"memory\"\n"});
    daemon.start();
    RawConnection slow(daemon.socket_path());
    for (const std::byte byte : short_session()) {
        REQUIRE(slow.send({&byte, 1}) == 1);
    }
    std::vector<wire::FrameType> types;
    while (types.size() < 3) {
        const auto frame = slow.receive();
        REQUIRE(frame.has_value());
        types.push_back(frame->header.type);
    }
    CHECK(types ==
          std::vector{wire::FrameType::welcome, wire::FrameType::opened, wire::FrameType::confirm});
}

TEST_CASE("hostile: unknown frames are skipped, frames of the daemon end the connection") {
    DaemonProcess daemon(MQD_BIN);
    daemon.start();
    RawConnection curious(daemon.socket_path());
    curious.greet();
    for (unsigned type = 0; type <= 0xFF; ++type) {
        CAPTURE(type);
        const auto number = static_cast<std::uint8_t>(type);
        if (!is_known(number)) {
            curious.send_header(wire::FrameType{number}, 3);
            curious.send(std::vector<std::byte>(3));
            CHECK(curious.receive_error() == ErrorCode::unknown_frame);
        } else if (is_of_daemon(number)) {
            RawConnection liar(daemon.socket_path());
            liar.greet();
            liar.send_header(wire::FrameType{number}, 0);
            CHECK(liar.receive_error() == ErrorCode::protocol_violation);
            CHECK(liar.wait_ended());
        }
    }
    expect_alive(curious);
}

TEST_CASE("hostile: nothing comes before HELLO") {
    DaemonProcess daemon(MQD_BIN);
    daemon.start();
    for (unsigned type = 0; type <= 0xFF; ++type) {
        if (type == static_cast<unsigned>(wire::FrameType::hello)) {
            continue;
        }
        CAPTURE(type);
        RawConnection hasty(daemon.socket_path());
        hasty.send_header(wire::FrameType{static_cast<std::uint8_t>(type)}, 0);
        CHECK(hasty.receive_error() == ErrorCode::protocol_violation);
        CHECK(hasty.wait_ended());
    }
}

TEST_CASE("hostile: who does not say HELLO in time is closed") {
    DaemonProcess daemon(MQD_BIN,
                         {.config = bystander_queue + "[limits]\nhello_timeout = \"300ms\"\n"});
    daemon.start();
    const Bystander bystander(daemon.url(), "bystander");
    std::vector<std::unique_ptr<RawConnection>> mutes;
    for (int i = 0; i < 20; ++i) {
        mutes.push_back(std::make_unique<RawConnection>(daemon.socket_path()));
        if (i % 2 == 1) {
            mutes.back()->send(std::vector<std::byte>(10));  // the beginning of something
        }
    }
    // One that dribbles: what it sends does not give it more time.
    RawConnection dribbler(daemon.socket_path());
    std::vector<std::byte> hello = short_session();
    std::size_t sent = 0;
    const bool ended = eventually([&] {
        if (sent < 15) {
            dribbler.send(std::span(hello).subspan(sent++, 1));
        }
        return dribbler.wait_ended(std::chrono::milliseconds(50));
    });
    CHECK(ended);
    for (auto& mute : mutes) {
        CHECK(mute->receive_error() == ErrorCode::hello_timeout);
        CHECK(mute->wait_ended());
    }
    bystander.expect_progress();
}

TEST_CASE("hostile: connections beyond the limit are told so") {
    constexpr std::size_t limit = 8;
    DaemonProcess daemon(
        MQD_BIN, {.config = bystander_queue + "[limits]\nconnections = " + std::to_string(limit)});
    daemon.start();
    const Bystander bystander(daemon.url(), "bystander");
    std::vector<std::unique_ptr<RawConnection>> inside;
    // Whoever asked whether somebody listens may still count for a moment.
    REQUIRE(eventually([&] {
        inside.clear();
        while (inside.size() < limit - 1) {
            inside.push_back(std::make_unique<RawConnection>(daemon.socket_path()));
            inside.back()->send_hello();
            const auto frame = inside.back()->receive();
            if (!frame || frame->header.type != wire::FrameType::welcome) {
                return false;
            }
        }
        return true;
    }));
    for (int i = 0; i < 50; ++i) {
        RawConnection outside(daemon.socket_path());
        REQUIRE(outside.connected());
        const auto frame = outside.receive();
        REQUIRE(frame.has_value());
        REQUIRE(frame->error() == ErrorCode::too_many_connections);
        CHECK(wire::ErrorFrame::decode(frame->body)->limit == limit);
        CHECK(outside.wait_ended());
    }
    const auto client = Client::connect(daemon.url());
    REQUIRE_FALSE(client);
    CHECK(client.error().code == ErrorCode::too_many_connections);
    inside.pop_back();
    CHECK(eventually([&] { return Client::connect(daemon.url()).has_value(); }));
    for (auto& connection : inside) {
        expect_alive(*connection);
    }
    bystander.expect_progress();
}

TEST_CASE("hostile: who never reads its answers is closed") {
    DaemonProcess daemon(MQD_BIN,
                         {.config = bystander_queue + "[limits]\nmessage_bytes = \"64KiB\"\n"
                                                      "frame_bytes = \"256KiB\"\n"
                                                      "output_bytes = \"256KiB\"\n"});
    daemon.start();
    const Bystander bystander(daemon.url(), "bystander");
    std::vector<std::byte> pings;
    const std::vector<std::byte> payload(wire::ping_bytes_max);
    for (int i = 0; i < 1'000; ++i) {
        wire::append_frame(pings, wire::Ping{payload});
    }
    for (int i = 0; i < 10; ++i) {
        RawConnection deaf(daemon.socket_path());
        deaf.greet();
        // Far more than output_bytes and the sockets' buffers: it must end before all is sent.
        std::size_t sent = 0;
        bool closed = false;
        for (int round = 0; round < 500 && !closed; ++round) {
            const std::size_t now = deaf.send(pings);
            sent += now;
            closed = now < pings.size();
        }
        CHECK(closed);
        CHECK(sent < 500 * pings.size());
    }
    bystander.expect_progress();
}

TEST_CASE("hostile: when descriptors run out the daemon does not spin, and recovers") {
    DaemonProcess daemon(MQD_BIN, {.config = bystander_queue + "[[listener]]\nname = \"tcp\"\n"
                                                               "bind = \"tcp://127.0.0.1:0\"\n"});
    daemon.start();
    const std::string before_port = "address=tcp://127.0.0.1:";
    std::string log;
    std::size_t at = std::string::npos;
    REQUIRE(eventually([&] {
        log = daemon.errors();
        at = log.find(before_port);
        return at != std::string::npos && log.find('\n', at) != std::string::npos;
    }));
    const auto port = static_cast<std::uint16_t>(std::stoul(log.substr(at + before_port.size())));
    const Bystander bystander(daemon.url(), "bystander");

    // Descriptors are numbered from 0 on without holes, so this leaves it three.
    const rlim_t few = descriptor_count(daemon.pid()) + 3;
    const rlimit limit{few, few};
    REQUIRE(::prlimit(daemon.pid(), RLIMIT_NOFILE, &limit, nullptr) == 0);
    std::vector<std::unique_ptr<RawConnection>> crowd;
    for (int i = 0; i < 10; ++i) {
        crowd.push_back(std::make_unique<RawConnection>(daemon.socket_path()));
        crowd.push_back(std::make_unique<RawConnection>(port));
    }
    const std::string warning = "accept failed";
    REQUIRE(eventually([&] { return count_lines(daemon.errors(), warning) > 0; }));
    const auto begin = std::chrono::steady_clock::now();
    const std::size_t warned = count_lines(daemon.errors(), warning);
    CHECK(eventually([&] { return count_lines(daemon.errors(), warning) >= warned + 5; }));
    const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(
        std::chrono::steady_clock::now() - begin);
    const auto more = static_cast<std::int64_t>(count_lines(daemon.errors(), warning) - warned);
    MESSAGE(more, " more attempts in ", took.count(), " ms");
    CHECK(more <= 2 * (took.count() / 50 + 2));  // two listeners, every 100 ms each
    bystander.expect_progress();

    crowd.clear();
    CHECK(eventually([&] { return Client::connect(daemon.url()).has_value(); }));
    const std::string tcp = "tcp://127.0.0.1:" + std::to_string(port);
    CHECK(eventually([&] { return Client::connect(tcp).has_value(); }));
    CHECK(eventually([&] { return Client::connect(daemon.url()).has_value(); }));
    bystander.expect_progress();
}

}  // namespace mqd::test
