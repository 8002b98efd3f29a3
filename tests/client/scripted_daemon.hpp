#pragma once

// A client session with a daemon that says what the test lets it say: frames by hand on both sides.

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "client/session.hpp"
#include "mqd/wire/admin.hpp"
#include "mqd/wire/handle.hpp"

namespace mqd::client {

struct SentFrame {
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

// Cuts a stream of bytes into frames.
inline std::vector<SentFrame> split_frames(wire::Bytes bytes) {
    std::vector<SentFrame> frames;
    while (!bytes.empty()) {
        REQUIRE(bytes.size() >= wire::frame_header_bytes);
        const auto header = wire::decode_frame_header(bytes.data());
        REQUIRE(bytes.size() - wire::frame_header_bytes >= header.body_bytes);
        const auto body = bytes.subspan(wire::frame_header_bytes, header.body_bytes);
        frames.push_back({header, {body.begin(), body.end()}});
        bytes = bytes.subspan(wire::frame_header_bytes + header.body_bytes);
    }
    return frames;
}

template <typename Frame>
std::vector<std::byte> encode(const Frame& frame, CorrelationId correlation = {},
                              HandleId handle = {}) {
    std::vector<std::byte> bytes;
    wire::append_frame(bytes, frame, correlation, handle);
    return bytes;
}

inline std::vector<std::byte> encode_batch(const std::vector<std::string>& bodies) {
    std::vector<std::byte> batch;
    for (const std::string& body : bodies) {
        wire::append_message(batch, {}, wire::as_bytes(body));
    }
    return batch;
}

inline std::vector<std::byte> encode_deliver(HandleId handle, std::uint64_t first,
                                             const std::vector<std::string>& bodies,
                                             std::uint32_t attempt = 1) {
    const auto batch = encode_batch(bodies);
    wire::Deliver deliver;
    deliver.first_number = MessageNumber(first);
    deliver.published = wire::from_micros(1'700'000'000'000'000);
    deliver.count = static_cast<std::uint32_t>(bodies.size());
    deliver.attempt = attempt;
    deliver.sender = {1000, 1000, 42};
    deliver.batch = batch;
    return encode(deliver, {}, handle);
}

inline std::vector<std::byte> encode_lease_lost(HandleId handle,
                                                const std::vector<MessageRange>& ranges) {
    std::vector<std::byte> bytes(wire::frame_header_bytes);
    wire::Writer writer(bytes);
    wire::RangeList::encode(writer, ranges);
    const auto body = static_cast<std::uint32_t>(bytes.size() - wire::frame_header_bytes);
    wire::encode_frame_header(bytes.data(), {body, wire::FrameType::lease_lost, 0, {}, handle});
    return bytes;
}

inline std::vector<std::byte> encode_confirm(HandleId handle, std::uint64_t first_line,
                                             const std::vector<wire::ConfirmedRun>& runs,
                                             wire::Credit credit) {
    std::vector<std::byte> encoded;
    for (const auto& run : runs) {
        wire::Confirm::append_run(encoded, run);
    }
    return encode(wire::Confirm{LineNumber(first_line), Durability::disk, credit, encoded}, {},
                  handle);
}

inline std::vector<std::byte> encode_refuse(HandleId handle, std::uint64_t first_line,
                                            std::uint64_t count, ErrorCode code,
                                            wire::Credit credit) {
    return encode(wire::Refuse{LineNumber(first_line), count, credit, {code, 4096, 250, "no room"}},
                  {}, handle);
}

inline wire::Welcome welcome() {
    wire::Welcome frame;
    frame.frame_body_bytes_max = 1024 * 1024;
    frame.message_body_bytes_max = 512 * 1024;
    frame.handles_max = 8;
    frame.identity = {1000, 1000, 77};
    frame.server_name = "mqd test";
    return frame;
}

inline std::vector<MessageRange> to_vector(const wire::RangeList& list) {
    std::vector<MessageRange> ranges;
    for (std::size_t i = 0; i < list.size(); ++i) {
        ranges.push_back(list[i]);
    }
    return ranges;
}

inline constexpr wire::Credit plenty{1'000'000, 1'000'000'000};

class ScriptedDaemon {
  public:
    explicit ScriptedDaemon(SessionOptions options = {}) : session(std::move(options)) {}

    void greet(const wire::Welcome& frame = welcome()) {
        (void)sent();
        say(encode(frame));
        REQUIRE(session.state() == Session::State::open);
    }

    void say(const std::vector<std::byte>& bytes) { session.receive(bytes); }

    // What the client sent since the last call.
    std::vector<SentFrame> sent(bool flush = true) {
        if (flush) {
            session.flush();
        }
        std::vector<std::byte> bytes;
        while (session.output_bytes() != 0) {
            const auto piece = session.output();
            bytes.insert(bytes.end(), piece.begin(), piece.end());
            session.sent(piece.size());
        }
        return split_frames(bytes);
    }

    ProducerHandle& open_producer(wire::Credit credit = plenty, const ProducerOptions& options = {},
                                  std::optional<LineNumber> last_line = {}) {
        const auto opening = session.open_producer("orders", options);
        REQUIRE(opening.has_value());
        (void)sent();
        wire::Opened opened{QueueId(3), Durability::disk, 0, credit.message_limit,
                            credit.byte_limit};
        opened.last_line = last_line;
        say(encode(opened, opening->correlation, opening->handle));
        REQUIRE(session.reply(opening->correlation) != nullptr);
        session.forget(opening->correlation);
        return session.producer(opening->handle);
    }

    ConsumerHandle& open_consumer(const ConsumerOptions& options = {},
                                  std::uint32_t lease_ms = 30'000) {
        const auto opening = session.open_consumer("orders", options);
        REQUIRE(opening.has_value());
        (void)sent();
        say(encode(wire::Opened{QueueId(3), Durability::disk, lease_ms, 0, 0}, opening->correlation,
                   opening->handle));
        REQUIRE(session.reply(opening->correlation) != nullptr);
        session.forget(opening->correlation);
        return session.consumer(opening->handle);
    }

    Session session;
};

// Sends a body that must be taken; returns its line.
inline LineNumber must_send(ProducerHandle& producer, std::string_view body) {
    const auto line = producer.send(wire::as_bytes(body), {});
    REQUIRE(line.has_value());
    REQUIRE(line->has_value());
    return **line;
}

}  // namespace mqd::client
