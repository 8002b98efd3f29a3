#include "bench/floor_client.hpp"

#include <array>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "bench/bare_broker.hpp"
#include "bench/failure.hpp"

namespace mqd::bench {

namespace {

// Messages that wait to be sent: at most client_buffer_bytes.
class Outbox {
  public:
    Outbox() : buffer_(client_buffer_bytes) {}

    [[nodiscard]] bool empty() const { return begin_ == end_; }
    [[nodiscard]] bool full() const { return buffer_.size() - end_ < frame_bytes; }

    void add(const std::array<std::byte, body_bytes>& body) {
        const std::uint32_t size = body_bytes;
        std::memcpy(buffer_.data() + end_, &size, sizeof size);
        std::memcpy(buffer_.data() + end_ + sizeof size, body.data(), body.size());
        end_ += frame_bytes;
    }

    // Sends what the socket takes; no: it takes nothing.
    bool send(int fd, Wait wait) {
        const std::size_t sent = send_some(fd, {buffer_.data() + begin_, end_ - begin_}, wait);
        begin_ += sent;
        if (empty()) {
            begin_ = end_ = 0;
        }
        return sent > 0;
    }

  private:
    std::vector<std::byte> buffer_;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
};

// Publishes as fast as the window lets it.
class PipelinedProducer {
  public:
    PipelinedProducer(const FloorClientOptions& options, std::uint32_t producer)
        : options_(options),
          socket_(connect_as(Role::producer, options.address)),
          confirms_(socket_.get()),
          producer_(producer) {}

    void run(WorkerContext& context) {
        context.ready();
        const EndOfLoad end(context, options_.shape);
        while (!last_sent_ || !outbox_.empty() || confirmed_ < sent_) {
            if (!last_sent_) {
                fill(end);
            }
            const bool blocked = !outbox_.empty() && !outbox_.send(socket_.get(), Wait::no);
            if (!options_.confirms) {
                confirmed_ = sent_;
            }
            if (blocked) {
                wait_readable_or_writable(socket_.get());
            }
            if (options_.confirms) {
                read_confirms();
            }
        }
        context.done();
        context.report.messages = sent_;
    }

  private:
    void fill(const EndOfLoad& end) {
        const std::int64_t now = now_ns();
        const bool enough = end.reached(now, sent_);
        while (!outbox_.full() && !last_sent_ &&
               sent_ - confirmed_ < options_.shape.unconfirmed_max) {
            last_sent_ = enough || end.reached(now, sent_);
            outbox_.add(body_.with({.sequence = sent_,
                                    .sent_ns = now,
                                    .producer = producer_,
                                    .last = last_sent_ ? 1u : 0u}));
            ++sent_;
        }
    }

    // Waits only when nothing else can be done.
    void read_confirms() {
        const bool window_full = sent_ - confirmed_ >= options_.shape.unconfirmed_max;
        const bool stuck = outbox_.empty() && (window_full || last_sent_);
        const auto total = confirms_.read(stuck && confirmed_ < sent_ ? Wait::yes : Wait::no);
        if (!total) {
            fail("the broker closed the connection");
        }
        confirmed_ = *total;
    }

    const FloorClientOptions& options_;
    Descriptor socket_;
    TotalReader confirms_;
    Outbox outbox_;
    MessageBody body_;
    std::uint32_t producer_;
    std::uint64_t sent_ = 0;  // or in the outbox
    std::uint64_t confirmed_ = 0;
    bool last_sent_ = false;
};

void produce_one_by_one(const FloorClientOptions& options, std::uint32_t producer,
                        const Token* token, WorkerContext& context) {
    const Descriptor socket = connect_as(Role::producer, options.address);
    TotalReader confirms(socket.get());
    Outbox outbox;
    MessageBody body;
    LatencySamples latencies(LatencySamples::samples_max);
    context.ready();
    const EndOfLoad end(context, options.shape);
    std::uint64_t sent = 0;
    for (bool last = false; !last; ++sent) {
        const std::int64_t now = now_ns();
        last = end.reached(now, sent);
        outbox.add(body.with(
            {.sequence = sent, .sent_ns = now, .producer = producer, .last = last ? 1u : 0u}));
        while (!outbox.empty()) {
            (void)outbox.send(socket.get(), Wait::yes);
        }
        if (token != nullptr && options.shape.receipt_first) {
            token->take();
        }
        for (std::uint64_t confirmed = sent; options.confirms && confirmed <= sent;) {
            const auto total = confirms.read(Wait::yes);
            if (!total) {
                fail("the broker closed the connection");
            }
            confirmed = *total;
        }
        latencies.add(now_ns() - now);
        if (token != nullptr && !options.shape.receipt_first) {
            token->take();
        }
    }
    context.done();
    context.report.messages = sent;
    if (options.confirms && !options.shape.receipt_first) {
        context.report.confirm = latencies.percentiles();
    }
}

void consume(const FloorClientOptions& options, const Token* token, WorkerContext& context) {
    const Descriptor socket = connect_as(Role::consumer, options.address);
    const bool timed = options.shape.one_in_flight;
    ArrivalCheck check(options.shape.producers);
    LatencySamples latencies(timed ? LatencySamples::samples_max : 0);
    std::vector<std::byte> buffer(client_buffer_bytes + frame_bytes);
    std::size_t held = 0;  // bytes in the buffer
    context.ready();
    while (!check.complete()) {
        held += receive_from_broker(socket.get(), {buffer.data() + held, client_buffer_bytes},
                                    Wait::yes);
        const std::int64_t now = timed ? now_ns() : 0;
        std::size_t at = 0;
        for (; held - at >= frame_bytes; at += frame_bytes) {
            const MessageHead head = read_head(buffer.data() + at + sizeof(std::uint32_t));
            check.take(head);
            if (timed) {
                latencies.add(now - head.sent_ns);
            }
        }
        held -= at;
        std::memmove(buffer.data(), buffer.data() + at, held);
        if (options.confirms && at > 0) {
            send_total(socket.get(), check.messages());
        }
        if (token != nullptr && at > 0) {
            token->pass();
        }
    }
    context.done();
    context.report.messages = check.messages();
    context.report.receive = latencies.percentiles();
}

}  // namespace

LoadClient make_floor_client(const FloorClientOptions& options) {
    const bool paced = options.shape.one_in_flight;
    // Made here, before the workers are forked.
    const auto token = paced && options.shape.producers == 1 ? std::make_shared<Token>() : nullptr;
    LoadClient client;
    client.produce = [options, token, paced](WorkerContext& context, std::uint32_t producer) {
        if (paced) {
            produce_one_by_one(options, producer, token.get(), context);
        } else {
            PipelinedProducer(options, producer).run(context);
        }
    };
    client.consume = [options, token](WorkerContext& context) {
        consume(options, token.get(), context);
    };
    return client;
}

}  // namespace mqd::bench
