#include "bench/mqd_client.hpp"

#include <array>
#include <cstring>
#include <memory>
#include <string_view>

#include "bench/failure.hpp"
#include "mqd/client.hpp"

namespace mqd::bench {

namespace {

// The value of a call to the library, which must not fail here.
template <typename T>
T take(Result<T> result, const char* what) {
    if (!result) {
        fail(std::string(what) + ": " + std::string(error_name(result.error().code)) + ": " +
             result.error().text);
    }
    if constexpr (!std::is_void_v<T>) {
        return std::move(*result);
    }
}

std::string_view as_text(const std::array<std::byte, body_bytes>& body) {
    return {reinterpret_cast<const char*>(body.data()), body.size()};
}

MessageHead head_of(const Delivery& delivery) {
    if (delivery.body.size() != body_bytes) {
        fail("a body of " + std::to_string(delivery.body.size()) + " bytes came");
    }
    return read_head(delivery.bytes().data());
}

Producer open_producer(Client& client, const std::string& queue) {
    return take(client.producer(queue), "opening a producer");
}

// The options of one message after the other.
class FeaturedOptions {
  public:
    explicit FeaturedOptions(Feature feature) : feature_(feature) {
        if (feature == Feature::delay) {
            options_.delay = std::chrono::milliseconds(1);
        }
        std::memcpy(id_.data(), &run_, sizeof run_);
    }
    // What it views is there until the next call.
    [[nodiscard]] const MessageOptions& of(std::uint64_t sequence) {
        constexpr std::int64_t ttl_ms_min = 3'600'000;
        constexpr std::uint64_t ttl_step = 7'919;  // a prime: neighbours differ
        constexpr std::uint64_t ttl_range = 3'600'000;
        if (feature_ == Feature::priority) {
            options_.priority = priority_of(sequence);
        } else if (feature_ == Feature::ttl) {
            options_.ttl = std::chrono::milliseconds(
                ttl_ms_min + static_cast<std::int64_t>(sequence * ttl_step % ttl_range));
        } else if (feature_ == Feature::group) {
            const std::uint32_t key = group_of(sequence);
            std::memcpy(key_.data(), &key, sizeof key);
            options_.group = {key_.data(), sizeof key};
        } else if (feature_ == Feature::dedup) {
            std::memcpy(id_.data() + sizeof run_, &sequence, sizeof sequence);
            options_.dedup_id = {id_.data(), id_.size()};
        }
        return options_;
    }

  private:
    Feature feature_;
    MessageOptions options_;
    std::array<char, sizeof(std::uint32_t)> key_{};
    // No two producers have the same.
    std::uint64_t run_ =
        static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
    std::array<char, 2 * sizeof(std::uint64_t)> id_{};
};

void produce_pipelined(const MqdClientOptions& options, std::uint32_t number,
                       WorkerContext& context) {
    constexpr std::uint64_t messages_per_clock = 256;
    auto client = take(Client::connect(options.url), "connecting");
    auto producer = open_producer(client, options.queue);
    FeaturedOptions featured(options.shape.feature);
    MessageBody body;
    context.ready();
    const EndOfLoad end(context, options.shape);
    std::int64_t now = now_ns();
    std::uint64_t sent = 0;
    for (bool last = false; !last; ++sent) {
        if (producer.unconfirmed() >= options.shape.unconfirmed_max) {
            take(producer.wait_unconfirmed(options.shape.unconfirmed_max - 1), "waiting");
        }
        if (sent % messages_per_clock == 0) {
            now = now_ns();
        }
        last = end.reached(now, sent);
        const MessageHead head{
            .sequence = sent, .sent_ns = now, .producer = number, .last = last ? 1u : 0u};
        (void)take(producer.send(as_text(body.with(head)), {}, featured.of(sent)), "publishing");
    }
    take(producer.wait_all(), "waiting for all confirms");
    context.done();
    context.report.messages = sent;
    take(client.close(), "closing");
}

// With a token, the consumer takes part: see LoadShape::receipt_first.
void produce_one_by_one(const MqdClientOptions& options, std::uint32_t number, const Token* token,
                        WorkerContext& context) {
    auto client = take(Client::connect(options.url), "connecting");
    auto producer = open_producer(client, options.queue);
    MessageBody body;
    LatencySamples latencies(LatencySamples::samples_max);
    context.ready();
    const EndOfLoad end(context, options.shape);
    std::uint64_t sent = 0;
    for (bool last = false; !last; ++sent) {
        const std::int64_t now = now_ns();
        last = end.reached(now, sent);
        const auto& bytes = body.with(
            {.sequence = sent, .sent_ns = now, .producer = number, .last = last ? 1u : 0u});
        if (token != nullptr && options.shape.receipt_first) {
            (void)take(producer.send(as_text(bytes)), "publishing");
            take(producer.flush(), "flushing");
            token->take();
            take(producer.wait_all(), "waiting for the confirm");
            continue;
        }
        (void)take(producer.publish(as_text(bytes)), "publishing");
        latencies.add(now_ns() - now);
        if (token != nullptr) {
            token->take();
        }
    }
    context.done();
    context.report.messages = sent;
    context.report.confirm = latencies.percentiles();
    take(client.close(), "closing");
}

ConsumerOptions consumer_options(const LoadShape& shape) {
    ConsumerOptions options;
    options.window_messages = shape.unacked_max;
    return options;
}

template <typename Check>
void consume_pipelined(const MqdClientOptions& options, WorkerContext& context) {
    auto client = take(Client::connect(options.url), "connecting");
    auto consumer =
        take(client.consumer(options.queue, consumer_options(options.shape)), "consuming");
    Check check(options.shape.producers);
    context.ready();
    while (!check.complete()) {
        const auto batch = take(consumer.receive_batch(), "receiving");
        if (!batch) {
            continue;
        }
        for (const Delivery& delivery : *batch) {
            check.take(head_of(delivery));
        }
        take(consumer.ack(batch->range), "acking");
    }
    take(client.flush(), "flushing the acks");
    context.done();
    context.report.messages = check.messages();
    take(client.close(), "closing");
}

void consume_one_by_one(const MqdClientOptions& options, const Token* token,
                        WorkerContext& context) {
    auto client = take(Client::connect(options.url), "connecting");
    auto consumer =
        take(client.consumer(options.queue, consumer_options(options.shape)), "consuming");
    ArrivalCheck check(options.shape.producers);
    LatencySamples latencies(LatencySamples::samples_max);
    context.ready();
    while (!check.complete()) {
        const auto batch = take(consumer.receive_batch(), "receiving");
        const std::int64_t now = now_ns();
        if (!batch) {
            continue;
        }
        for (const Delivery& delivery : *batch) {
            const MessageHead head = head_of(delivery);
            check.take(head);
            latencies.add(now - head.sent_ns);
        }
        take(consumer.ack(batch->range), "acking");
        take(client.flush(), "flushing the ack");
        if (token != nullptr) {
            token->pass();
        }
    }
    context.done();
    context.report.messages = check.messages();
    context.report.receive = latencies.percentiles();
    take(client.close(), "closing");
}

// Keeps a disk queue busy: nobody takes its messages.
void disturb(const MqdClientOptions& options, WorkerContext& context) {
    auto client = take(Client::connect(options.url), "connecting");
    auto producer = open_producer(client, options.disturbed_queue);
    MessageBody body;
    LatencySamples latencies(LatencySamples::samples_max);
    context.ready();
    const EndOfLoad end(context, options.shape);
    for (std::uint64_t sent = 0;; ++sent) {
        const std::int64_t now = now_ns();
        if (end.reached(now, sent)) {
            break;
        }
        (void)take(producer.publish(as_text(body.with({.sequence = sent, .sent_ns = now}))),
                   "publishing");
        latencies.add(now_ns() - now);
    }
    context.done();
    context.report.confirm = latencies.percentiles();
    take(client.close(), "closing");
}

}  // namespace

LoadClient make_mqd_client(const MqdClientOptions& options) {
    const bool one_by_one = options.shape.one_in_flight;
    // Made here, before the workers are forked.
    const auto token =
        one_by_one && options.shape.producers == 1 ? std::make_shared<Token>() : nullptr;
    LoadClient client;
    client.produce = [options, token, one_by_one](WorkerContext& context, std::uint32_t producer) {
        if (one_by_one) {
            produce_one_by_one(options, producer, token.get(), context);
        } else {
            produce_pipelined(options, producer, context);
        }
    };
    client.consume = [options, token, one_by_one](WorkerContext& context) {
        if (one_by_one) {
            consume_one_by_one(options, token.get(), context);
        } else {
            switch (options.shape.feature) {
                case Feature::priority:
                    return consume_pipelined<RankedArrivalCheck>(options, context);
                case Feature::group:
                    return consume_pipelined<GroupedArrivalCheck>(options, context);
                case Feature::none:
                case Feature::delay:
                case Feature::dedup:
                case Feature::ttl: return consume_pipelined<ArrivalCheck>(options, context);
            }
        }
    };
    if (!options.disturbed_queue.empty()) {
        client.disturb = [options](WorkerContext& context) { disturb(options, context); };
    }
    return client;
}

}  // namespace mqd::bench
