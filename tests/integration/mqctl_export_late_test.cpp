// mqctl export against a daemon by hand, whose answers come late, never, or from another queue.

#include <doctest/doctest.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <future>

#include "integration/listening_peer.hpp"
#include "integration/mqctl_run.hpp"

namespace mqd::test {
namespace {

using client::encode;
using client::PeerSocket;
using client::SentFrame;
using wire::FrameType;

std::string dump_of(const ListeningPeer& daemon) {
    return daemon.folder() + "/dump";
}

// A dump, or what is one before it is complete.
bool has_files(const ListeningPeer& daemon) {
    const std::filesystem::directory_iterator all(daemon.folder());
    return std::any_of(begin(all), end(all), [](const auto& entry) {
        return entry.path().filename().string().starts_with("dump");
    });
}

void answer_show(PeerSocket& socket, std::uint32_t incarnation, std::uint64_t ready = 0) {
    const SentFrame show = socket.expect(FrameType::queue_show);
    wire::QueueInfo info;
    info.queue = "orders";
    info.incarnation = QueueId(incarnation);
    info.next_number = MessageNumber(3);
    info.ready = ready;
    socket.write(encode(info, show.header.correlation));
}

// A page with one message.
void answer_peek(PeerSocket& socket, const SentFrame& peek, std::uint64_t number, bool more) {
    const auto batch = client::encode_batch({"body"});
    wire::PeekReply reply{MessageNumber(number + 1), more, {}};
    reply.runs.push_back(
        {wire::MessageState::ready, {MessageNumber(number), WallTime(), 1, 0, {1, 2, 3}, batch}});
    socket.write(encode(reply, peek.header.correlation));
}

TEST_CASE("mqctl export: a page that is long in coming is waited for, and the file with it") {
    std::promise<void> asked;
    std::promise<void> release;
    ListeningPeer daemon([&](PeerSocket& socket) {
        answer_show(socket, 1);
        const SentFrame first = socket.expect(FrameType::peek);
        asked.set_value();
        (void)release.get_future().wait_for(patience);
        answer_peek(socket, first, 1, true);
        answer_peek(socket, socket.expect(FrameType::peek), 2, true);
        answer_show(socket, 1);  // beyond the last number nothing is asked for
        socket.goodbye();
    });
    MqctlProcess process(daemon.url(), {"export", "orders", "-f", dump_of(daemon)});
    REQUIRE(asked.get_future().wait_for(patience) == std::future_status::ready);
    CHECK(has_files(daemon));
    CHECK_FALSE(std::filesystem::exists(dump_of(daemon)));
    release.set_value();
    const MqctlEnd end = process.wait();
    CHECK(end.exit == 0);
    const std::string lines = read_file(dump_of(daemon));
    CHECK(std::count(lines.begin(), lines.end(), '\n') == 2);
}

TEST_CASE("mqctl export: a signal ends it while a page is long in coming, and leaves no file") {
    for (const auto& [signal, exit] : {std::pair(SIGINT, 130), std::pair(SIGTERM, 143)}) {
        std::promise<void> asked;
        ListeningPeer daemon([&](PeerSocket& socket) {
            answer_show(socket, 1);
            (void)socket.expect(FrameType::peek);
            asked.set_value();
            socket.goodbye();
        });
        MqctlProcess process(daemon.url(), {"export", "orders", "-f", dump_of(daemon)});
        REQUIRE(asked.get_future().wait_for(patience) == std::future_status::ready);
        process.send_signal(signal);
        const MqctlEnd end = process.wait();
        CHECK(end.exit == exit);
        CHECK(end.err.find("was not made") != std::string::npos);
        CHECK_FALSE(has_files(daemon));
    }
}

TEST_CASE("mqctl export: with --timeout, a page that does not come is exit 6, and leaves no file") {
    ListeningPeer daemon([&](PeerSocket& socket) {
        answer_show(socket, 1);
        answer_peek(socket, socket.expect(FrameType::peek), 1, true);
        (void)socket.expect(FrameType::peek);
        socket.read_to_end();
    });
    const MqctlEnd end =
        Mqctl(daemon.url()).run({"--timeout", "50ms", "export", "orders", "-f", dump_of(daemon)});
    CHECK(end.exit == 6);
    CHECK(end.err.find("no answer within 50ms") != std::string::npos);
    CHECK_FALSE(has_files(daemon));
}

TEST_CASE("mqctl export: a queue that is made anew meanwhile is exit 5, and leaves no file") {
    ListeningPeer daemon([&](PeerSocket& socket) {
        answer_show(socket, 1);
        answer_peek(socket, socket.expect(FrameType::peek), 1, false);
        answer_show(socket, 2);
        socket.read_to_end();
    });
    const MqctlEnd end = Mqctl(daemon.url()).run({"export", "orders", "-f", dump_of(daemon)});
    CHECK(end.exit == 5);
    CHECK(end.err.find("made anew") != std::string::npos);
    CHECK_FALSE(has_files(daemon));
}

TEST_CASE("mqctl export: messages that the daemon does not show are missed") {
    for (const auto& [ready, exit] : {std::pair(1, 0), std::pair(2, 1)}) {
        ListeningPeer daemon([ready = ready](PeerSocket& socket) {
            answer_show(socket, 1, 2);
            answer_peek(socket, socket.expect(FrameType::peek), 2, false);
            answer_show(socket, 1, static_cast<std::uint64_t>(ready));
            if (ready == 1) {
                socket.goodbye();
            } else {
                socket.read_to_end();
            }
        });
        const MqctlEnd end = Mqctl(daemon.url()).run({"export", "orders", "-f", dump_of(daemon)});
        CHECK(end.exit == exit);
        CHECK((end.err.find("1 message or more are missing") != std::string::npos) == (exit != 0));
        CHECK(has_files(daemon) == (exit == 0));
    }
}

TEST_CASE("mqctl export: a connection that breaks is exit 3, and leaves no file") {
    ListeningPeer daemon([&](PeerSocket& socket) {
        answer_show(socket, 1);
        answer_peek(socket, socket.expect(FrameType::peek), 1, true);
        (void)socket.expect(FrameType::peek);
    });
    const MqctlEnd end = Mqctl(daemon.url()).run({"export", "orders", "-f", dump_of(daemon)});
    CHECK(end.exit == 3);
    CHECK_FALSE(has_files(daemon));
}

}  // namespace
}  // namespace mqd::test
