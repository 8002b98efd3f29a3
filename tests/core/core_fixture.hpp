#pragma once

// A core over a simulated disk, and clients that speak to its sessions in encoded frames, without a
// client library: what goes in and comes out is the protocol itself.

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mqd/wire/admin.hpp"
#include "support/sim_daemon.hpp"

namespace mqd::core::test {

inline constexpr std::uint64_t plenty = 1'000'000'000;

struct Received {
    wire::FrameHeader header;
    std::vector<std::byte> body;

    template <typename Frame>
    [[nodiscard]] Frame as() const {
        REQUIRE(header.type == Frame::type);
        const auto frame = Frame::decode(body);
        REQUIRE(frame.has_value());
        return *frame;
    }
};

[[nodiscard]] inline std::vector<std::byte> make_batch(const std::vector<std::string>& bodies) {
    std::vector<std::byte> batch;
    for (const std::string& body : bodies) {
        wire::append_message(batch, {}, wire::as_bytes(body));
    }
    return batch;
}

[[nodiscard]] inline std::vector<std::string> bodies_of(const wire::Deliver& delivery) {
    std::vector<std::string> bodies;
    wire::BatchReader reader(delivery.batch);
    while (const auto message = reader.next()) {
        bodies.emplace_back(wire::as_text(message->body));
    }
    return bodies;
}

// One connection.
class WireClient {
  public:
    explicit WireClient(mqd::test::SimDaemon& daemon)
        : daemon_(daemon),
          session_(std::make_unique<Session>(daemon.core(), Identity{1, 2, 3}, nullptr)) {}

    [[nodiscard]] Session& session() { return *session_; }
    void end() { session_.reset(); }

    // In a turn of its own.
    void receive(wire::Bytes bytes) {
        daemon_.begin_turn();
        session_->receive(bytes);
        daemon_.end_turn();
    }
    template <typename Frame>
    void send(const Frame& frame, std::uint32_t handle = 0, std::uint32_t correlation = 0,
              std::uint8_t flags = 0) {
        std::vector<std::byte> bytes;
        wire::append_frame(bytes, frame, CorrelationId(correlation), HandleId(handle), flags);
        receive(bytes);
    }
    void hello() {
        wire::Hello frame;
        frame.frame_body_bytes_max = wire::frame_body_bytes_hard_max;
        send(frame);
        (void)next<wire::Welcome>();
    }

    // All frames that came out since the last call.
    [[nodiscard]] std::vector<Received> take() {
        read_output();
        return std::exchange(received_, {});
    }
    // The next frame that came out, which is such a one. What it views is valid until the next
    // call.
    template <typename Frame>
    [[nodiscard]] Frame next() {
        read_output();
        REQUIRE_MESSAGE(!received_.empty(), "nothing was sent");
        last_ = std::move(received_.front());
        received_.erase(received_.begin());
        if (last_.header.type == wire::FrameType::error && Frame::type != wire::FrameType::error) {
            FAIL("ERROR: " << wire::ErrorFrame::decode(last_.body)->text);
        }
        return last_.as<Frame>();
    }
    // The next frame of that type; others before it are passed over.
    template <typename Frame>
    [[nodiscard]] Frame await() {
        read_output();
        std::erase_if(received_, [seen = false](const Received& frame) mutable {
            seen = seen || frame.header.type == Frame::type;
            return !seen;
        });
        return next<Frame>();
    }
    [[nodiscard]] const wire::FrameHeader& last_header() const { return last_.header; }
    [[nodiscard]] bool silent() {
        read_output();
        return received_.empty();
    }
    void expect_error(ErrorCode code, std::uint32_t correlation = 0) {
        const auto error = next<wire::ErrorFrame>();
        CHECK(error_name(error.code) == error_name(code));
        CHECK(last_.header.correlation == CorrelationId(correlation));
        CHECK(session_->closing() == closes_connection(code));
    }

    // --- requests

    wire::Opened open_producer(std::string_view queue, std::uint32_t handle = 1) {
        wire::OpenProducer frame;
        frame.queue = queue;
        send(frame, handle, 9);
        return await<wire::Opened>();
    }
    wire::Opened open_consumer(std::string_view queue, std::uint32_t handle = 2,
                               std::uint64_t messages = plenty, std::uint32_t lease_ms = 0) {
        send(wire::OpenConsumer{queue, lease_ms, messages, plenty}, handle, 9);
        return await<wire::Opened>();
    }
    void publish(std::uint64_t line, const std::vector<std::string>& bodies,
                 Durability durability = Durability::unspecified, std::uint32_t handle = 1) {
        const std::vector<std::byte> batch = make_batch(bodies);
        wire::Publish frame;
        frame.first_line = LineNumber(line);
        frame.count = static_cast<std::uint32_t>(bodies.size());
        frame.durability = durability;
        frame.batch = batch;
        send(frame, handle);
    }
    void settle(wire::FrameType type, const std::vector<MessageRange>& ranges,
                std::uint32_t handle = 2, std::uint32_t correlation = 0,
                std::uint32_t lease_ms = 0) {
        std::vector<std::byte> bytes;
        wire::append_settle(bytes, type, {lease_ms, ranges}, CorrelationId(correlation),
                            HandleId(handle), correlation != 0 ? wire::flag_confirm : 0);
        receive(bytes);
    }
    void ack(std::uint64_t first, std::uint64_t count = 1, std::uint32_t correlation = 0) {
        settle(wire::FrameType::ack, {{MessageNumber(first), count}}, 2, correlation);
    }
    void ask(wire::FrameType type, std::string_view queue, std::uint32_t correlation = 7) {
        std::vector<std::byte> bytes;
        wire::QueueShow frame;
        frame.queue = queue;
        wire::append_frame(bytes, frame, CorrelationId(correlation));
        wire::encode_frame_header(
            bytes.data(), {static_cast<std::uint32_t>(bytes.size() - wire::frame_header_bytes),
                           type, 0, CorrelationId(correlation), HandleId(0)});
        receive(bytes);
    }

  private:
    void read_output() {
        const OutQueue& output = session_->output();
        wire::Bytes pieces[64];
        while (!output.empty()) {
            std::size_t sent = 0;
            for (std::size_t i = 0, n = output.gather(pieces); i < n; ++i) {
                partial_.insert(partial_.end(), pieces[i].begin(), pieces[i].end());
                sent += pieces[i].size();
            }
            session_->output_sent(sent);
        }
        while (partial_.size() >= wire::frame_header_bytes) {
            const auto header = wire::decode_frame_header(partial_.data());
            const auto body = partial_.begin() + wire::frame_header_bytes;
            received_.push_back({header, {body, body + header.body_bytes}});
            partial_.erase(partial_.begin(), body + header.body_bytes);
        }
    }

    mqd::test::SimDaemon& daemon_;
    std::unique_ptr<Session> session_;
    std::vector<std::byte> partial_;
    std::vector<Received> received_;
    Received last_;
};

struct CoreFixture {
    mqd::test::SimDisk disk;
    mqd::test::SimDaemon daemon{disk};
    CoreOptions options;
    std::vector<std::unique_ptr<WireClient>> clients;

    CoreFixture() {
        options.journal = {1024 * 1024, 8 * 1024 * 1024};
        options.queues_max = 100;
        options.message_bytes_max = 50'000;
        options.queue_defaults.undo_time = {};  // what is purged is gone, if a test says no more
    }
    ~CoreFixture() { clients.clear(); }

    Result<void> try_start() {
        auto started = daemon.start(options);
        if (started) {
            daemon.settle();
        }
        return started;
    }
    void start() {
        const auto started = try_start();
        REQUIRE_MESSAGE(started.has_value(), started.error().text);
        REQUIRE(daemon.core().serving());
    }
    // With HELLO said.
    WireClient& connect() {
        clients.push_back(std::make_unique<WireClient>(daemon));
        clients.back()->hello();
        return *clients.back();
    }
    // A queue, by a client of its own.
    void create(std::string_view name, Durability durability) {
        WireClient& client = connect();
        wire::QueueCreate frame;
        frame.queue = name;
        frame.options.durability = durability;
        client.send(frame, 0, 1);
        daemon.settle();
        (void)client.next<wire::QueueInfo>();
        clients.pop_back();
    }
    void kill() {
        clients.clear();
        daemon.end();
        disk.kill();
    }
    void lose_power(std::uint64_t seed = 1) {
        clients.clear();
        daemon.end();
        disk.crash(seed);
    }
    void stop() {
        daemon.core().begin_stop();
        clients.clear();
        daemon.settle();
        REQUIRE(daemon.core().stopped());
        daemon.end();
        disk.kill();
    }
    [[nodiscard]] const engine::Queue& queue(std::string_view name) {
        const engine::Queue* found = daemon.core().engine().find(name);
        REQUIRE(found != nullptr);
        return *found;
    }
};

// One that has started.
struct ServingFixture : CoreFixture {
    ServingFixture() { start(); }
};

}  // namespace mqd::core::test
