#pragma once

// The protocol of a client without I/O: bytes in, bytes out, and what became of them. No sockets,
// no clock, no threads, no callbacks; the same calls give the same bytes, always. A driver
//
//   1. reads into receive_space() and says received(), or hands over bytes by receive();
//   2. looks at what it waits for: state(), reply(), a producer's lines, a consumer's messages, and
//      at news() for what came unasked;
//   3. says flush() before it waits, writes what output() shows, says sent();
//   4. says advance() now and then, next_deadline() tells when; disconnected() when the stream
//   ended.
//
// The session greets by itself: HELLO lies in the output from the start, and state() is `greeting`
// until WELCOME came. A request (correlation id != 0) has its reply kept until forget().
// After a protocol violation by the daemon, an ERROR that closes, or disconnected(), state() is
// `closed`, error() says why, and there is no more output.
//
// docs/protocol.md describes the frames. One thread at a time.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "client/consumer_handle.hpp"
#include "client/input.hpp"
#include "client/output.hpp"
#include "client/producer_handle.hpp"
#include "mqd/client.hpp"
#include "mqd/wire/frame.hpp"

namespace mqd::client {

struct SessionOptions {
    std::string client_name;
    std::size_t send_buffer_bytes = 64 * 1024;
    std::uint32_t heartbeat_ms = 0;
    std::uint32_t frame_body_bytes_max = wire::frame_body_bytes_hard_max;  // that we take
};

struct ServerInfo {
    std::string name;
    Identity identity;  // ours, as the daemon sees it
    std::uint32_t frame_body_bytes_max = 0;
    std::uint32_t message_body_bytes_max = 0;
    std::uint32_t handles_max = 0;
    std::uint32_t heartbeat_ms = 0;
};

// The answer to a request: a frame of the type that was expected, or an error.
struct Reply {
    wire::FrameType type{};
    std::vector<std::byte> body;
    std::optional<Error> error;
};

class Session {
  public:
    enum class State : std::uint8_t {
        greeting,  // HELLO is sent or waits to be sent
        open,
        ending,  // GOODBYE as well
        closed,
    };

    explicit Session(SessionOptions options);
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    [[nodiscard]] State state() const { return state_; }
    // Why the session is closed; null while it is not.
    [[nodiscard]] const Error* error() const { return error_ ? &*error_ : nullptr; }
    [[nodiscard]] const ServerInfo& server() const { return server_; }
    // What the daemon said of its being about to stop; null as long as it has not. It delivers
    // nothing from then on.
    [[nodiscard]] const Error* stopping() const { return stopping_ ? &*stopping_ : nullptr; }

    // --- Bytes in
    // ---------------------------------------------------------------------------------

    // Where the next bytes may be read to: never empty.
    [[nodiscard]] std::span<std::byte> receive_space();
    // `count` bytes were read there; all frames that are whole now are dealt with.
    void received(std::size_t count);
    // The same by a copy, for drivers that have the bytes elsewhere.
    void receive(wire::Bytes bytes);
    // The stream ended. Does nothing if the session is closed already.
    void disconnected(Error why);

    // --- Bytes out
    // --------------------------------------------------------------------------------

    // What is gathered (messages, settlements, credit) goes to the output.
    void flush();
    [[nodiscard]] std::size_t output_bytes() const { return output_.size(); }
    // The first piece of the output, or as many as fit into `views` (returns how many).
    [[nodiscard]] wire::Bytes output() const;
    std::size_t output(std::span<wire::Bytes> views) const { return output_.views(views); }
    void sent(std::size_t count);

    // --- Time
    // -------------------------------------------------------------------------------------

    // It is `now`: heartbeats and lease extensions that are due go to the output.
    void advance(Time now);
    // When advance() has something to do next; nothing: not before something else happens.
    [[nodiscard]] std::optional<Time> next_deadline() const;
    // How long a program may be left to itself that is busy with what is buffered: after that, its
    // next call should make a round, flush() and advance() and a read, though it need not wait. A
    // tenth of the shortest lease, round_interval_max at most; nothing: without end, because
    // nothing is lent to it.
    static constexpr Time round_interval_max = std::chrono::milliseconds(100);
    [[nodiscard]] std::optional<Time> round_interval() const;

    // --- Requests. Precondition of all: state() is open.
    // ---------------------------------------------

    // Sends a frame to which `expected` is the answer. What was gathered goes before it.
    template <typename Frame>
    CorrelationId request(const Frame& frame, wire::FrameType expected) {
        flush();
        const CorrelationId correlation = expect(expected, {});
        append(frame, correlation);
        return correlation;
    }
    // Null while the answer is on its way. Precondition: `correlation` is not forgotten.
    [[nodiscard]] const Reply* reply(CorrelationId correlation) const;
    // Nobody asks for the reply any more; if it is on its way, it will be passed over.
    void forget(CorrelationId correlation);

    struct Opening {
        HandleId handle;
        CorrelationId correlation;  // answered by OPENED
    };
    // An error (too_many_handles, bad_name) if it cannot be asked for. When the reply is an error,
    // the handle has ended. The driver releases it in any case.
    [[nodiscard]] Result<Opening> open_producer(std::string_view queue,
                                                const ProducerOptions& options);
    [[nodiscard]] Result<Opening> open_consumer(std::string_view queue,
                                                const ConsumerOptions& options);
    // Answered by CLOSED. What a consumer gathered is sent before, what it has buffered is
    // forgotten at once. Preconditions: the handle is open; a producer has no unanswered lines.
    CorrelationId close(HandleId handle);
    // The driver does not use the handle any more, nor its address. It is closed if it is open: a
    // producer when its last line is answered.
    void release(HandleId handle);

    // An ACK that is answered by SETTLED, one for each correlation id; `passed_over` of the range
    // are not held.
    struct ConfirmedAck {
        std::vector<CorrelationId> correlations;
        std::uint64_t passed_over = 0;
    };
    ConfirmedAck ack_confirmed(HandleId handle, MessageRange range);

    // Ends the session: when the answer comes, state() is closed and error() is usage.
    void goodbye();
    [[nodiscard]] bool ended_by_goodbye() const { return ended_by_goodbye_; }

    // --- Handles
    // ----------------------------------------------------------------------------------

    // The address is valid until release(). Precondition: an opened handle of that kind.
    [[nodiscard]] ProducerHandle& producer(HandleId handle);
    [[nodiscard]] ConsumerHandle& consumer(HandleId handle);

    // Whether the handle is there and open.
    [[nodiscard]] bool is_open(HandleId handle);
    // Whether producer() or consumer() of this number is still there; it goes when it was closed.
    [[nodiscard]] bool holds(HandleId handle) { return slot(handle) != nullptr; }

    // Handles with something to tell that was not asked for: confirmed lines, a refusal, lost
    // leases, their end. Each is named once until clear_news().
    [[nodiscard]] std::span<const HandleId> news() const { return news_; }
    void clear_news();
    // What the driver took from news() and could not deal with.
    void tell_again(HandleId handle) {
        if (Slot* const held = slot(handle)) {
            tell(*held->handle());
        }
    }

  private:
    struct Slot {
        std::unique_ptr<ProducerHandle> producer;
        std::unique_ptr<ConsumerHandle> consumer;

        [[nodiscard]] Handle* handle() const;
        [[nodiscard]] bool is_free() const { return !producer && !consumer; }
    };
    struct Request {
        CorrelationId correlation;
        wire::FrameType expected{};
        HandleId handle;  // of OPEN and CLOSE_HANDLE
        bool forgotten = false;
        bool answered = false;
        Reply reply;
    };

    template <typename Frame>
    void append(const Frame& frame, CorrelationId correlation = {}, HandleId handle = {}) {
        scratch_.clear();
        wire::append_frame(scratch_, frame, correlation, handle);
        output_.append(scratch_);
    }
    CorrelationId expect(wire::FrameType expected, HandleId handle);
    [[nodiscard]] std::vector<Request>::iterator find_request(CorrelationId correlation);
    [[nodiscard]] Slot* slot(HandleId handle);
    // Whether that handle is or was one of ours: a frame for it may still be on its way.
    [[nodiscard]] bool was_opened(HandleId handle) const {
        return handle.value() != 0 && handle.value() <= slots_.size();
    }
    [[nodiscard]] Result<HandleId> free_handle(std::string_view queue);
    void tell(Handle& handle);
    // Goes on with the end of a handle that was released: closes it, or frees its number.
    void wind_up(HandleId handle);

    void decode();
    void let_go_of_blocks();
    void take_frame(const wire::FrameHeader& header, wire::Bytes body);
    void take_open_frame(const wire::FrameHeader& header, wire::Bytes body);
    void take_welcome(wire::Bytes body);
    void take_error(const wire::FrameHeader& header, wire::Bytes body);
    void take_error_reply(Request& request, const Error& error);
    void take_reply(const wire::FrameHeader& header, wire::Bytes body);
    [[nodiscard]] bool take_opened(HandleId handle, wire::Bytes body);
    void take_closed(const wire::FrameHeader& header, wire::Bytes body);
    void take_for_producer(const wire::FrameHeader& header, wire::Bytes body);
    void take_for_consumer(const wire::FrameHeader& header, wire::Bytes body);
    void violation(const wire::FrameHeader& header, std::string_view what);
    void fail(Error why);

    SessionOptions options_;
    State state_ = State::greeting;
    std::optional<Error> error_;
    std::optional<Error> stopping_;
    ServerInfo server_;
    PublishLimits publish_limits_;

    Input input_;
    std::size_t frame_bytes_ = 0;  // of the frame at input_.unread(); 0: not known yet
    Output output_;
    std::vector<std::byte> scratch_;

    std::vector<Slot> slots_;  // by handle, from 1 on
    std::vector<Request> requests_;
    std::uint32_t last_correlation_ = 0;
    bool ended_by_goodbye_ = false;
    std::vector<HandleId> news_;

    std::uint64_t sent_bytes_ = 0;
    std::uint64_t sent_bytes_seen_ = 0;  // at the last advance()
    std::optional<Time> sent_at_;        // when something was sent last, as far as advance() knows
};

}  // namespace mqd::client
