#include "integration/load.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "support/daemon_process.hpp"

namespace mqd::test {

namespace {

constexpr Timeout call_timeout{20'000};
constexpr Timeout short_wait{20};
constexpr std::uint64_t unconfirmed_max = 2'000;
// Nobody loses a lease by being slow: what comes again does so for another reason.
constexpr std::chrono::minutes lease{10};

void pause() {
    ::poll(nullptr, 0, 1);
}

// The process that listens at the other end.
pid_t peer_of(const Client& client) {
    ucred peer{};
    socklen_t size = sizeof peer;
    const int result = ::getsockopt(client.native_handle(), SOL_SOCKET, SO_PEERCRED, &peer, &size);
    return result == 0 ? peer.pid : -1;
}

}  // namespace

Load::Load(LoadOptions options, History& history)
    : options_(std::move(options)), history_(history) {}

Load::~Load() {
    stop_producers();
    stop_consumers();
}

void Load::daemon_started(pid_t pid) {
    const std::lock_guard lock(runs_mutex_);
    const std::uint64_t run = runs_.size() + 1;
    runs_.insert_or_assign(pid, run);
}

void Load::begin() {
    Dice dice(options_.seed);
    for (std::uint32_t i = 0; i < options_.producers; ++i) {
        producers_.emplace_back([this, i, fork = dice.fork()] { produce(i, fork); });
    }
    for (std::uint32_t i = 0; i < options_.consumers; ++i) {
        const std::string& queue = options_.queues[i % options_.queues.size()];
        consumers_.emplace_back([this, queue, fork = dice.fork()] { consume(queue, fork); });
    }
}

void Load::stop_producers() {
    stop_producers_ = true;
    for (std::thread& thread : producers_) {
        thread.join();
    }
    producers_.clear();
}

void Load::stop_consumers() {
    stop_consumers_ = true;
    for (std::thread& thread : consumers_) {
        thread.join();
    }
    consumers_.clear();
}

std::optional<Client> Load::connect(const std::atomic<bool>& stop) {
    ConnectOptions options;
    options.timeout = call_timeout;
    while (!stop) {
        auto client = Client::connect(options_.url, options);
        if (client) {
            return std::move(*client);
        }
        pause();
    }
    return std::nullopt;
}

std::uint64_t Load::run_of(const Client& client) {
    const pid_t peer = peer_of(client);
    std::uint64_t run = 0;
    const bool known = eventually([&] {
        const std::lock_guard lock(runs_mutex_);
        const auto at = runs_.find(peer);
        run = at == runs_.end() ? 0 : at->second;
        return run != 0;
    });
    if (!known) {
        history_.fault("connected to a process that nobody started");
    }
    return run;
}

// --- producers

void Load::produce(std::uint32_t producer, Dice dice) {
    std::uint64_t serial = 1;
    while (!stop_producers_) {
        auto client = connect(stop_producers_);
        if (client) {
            publish_session(*client, producer, serial, dice);
            const Error* error = client->error();
            told_stopping_ += error != nullptr && error->code == ErrorCode::stopping ? 1 : 0;
        }
    }
}

void Load::publish_session(Client& client, std::uint32_t producer, std::uint64_t& serial,
                           Dice& dice) {
    auto handle = client.producer(options_.queues[producer % options_.queues.size()]);
    if (!handle) {
        return pause();
    }
    const std::uint64_t first = serial;
    handle->on_confirm([&, queue = handle->queue(),
                        incarnation = handle->incarnation().value()](const ConfirmedLines& lines) {
        for (std::uint64_t i = 0; i < lines.count; ++i) {
            history_.confirmed(producer, first + lines.first_line.value() - 1 + i,
                               {queue, incarnation, lines.first_number.value() + i});
        }
    });
    while (!stop_producers_ && client.connected() && !dice.one_in(200)) {
        if (handle->refusal() != nullptr) {
            resume(client, *handle, producer, first);
        }
        if (!publish_burst(*handle, producer, serial, dice) && handle->refusal() == nullptr) {
            return;
        }
    }
    if (stop_producers_ && client.connected()) {
        (void)handle->wait_all(call_timeout);
    }
    if (handle->refusal() != nullptr) {
        resume(client, *handle, producer, first);
    }
}

// False when it ended before its time: refused, or disconnected.
bool Load::publish_burst(Producer& producer, std::uint32_t id, std::uint64_t& serial, Dice& dice) {
    const std::uint64_t count = dice.between(1, 64);
    for (std::uint64_t i = 0; i < count; ++i) {
        history_.published(id, serial);
        if (!producer.send(make_body(id, serial, options_.filler_max))) {
            return false;
        }
        ++serial;
    }
    switch (dice.below(4)) {
        case 0: return producer.flush().has_value();
        case 1: return producer.wait_all(call_timeout).has_value();
        default: return producer.wait_unconfirmed(unconfirmed_max, call_timeout).has_value();
    }
}

void Load::resume(Client& client, Producer& producer, std::uint32_t id, std::uint64_t first) {
    told_stopping_ += producer.refusal()->code == ErrorCode::stopping ? 1 : 0;
    (void)client.process(short_wait);
    if (const auto lines = producer.resume()) {
        for (std::uint64_t i = 0; i < lines->count; ++i) {
            history_.refused(id, first + lines->first.value() - 1 + i);
        }
    }
}

// --- consumers

void Load::note(const SessionKey& session, const Consumer& consumer, const Delivery& message) {
    history_.delivered(session,
                       {consumer.queue(), consumer.incarnation().value(), message.number.value()},
                       message.attempt, message.body);
}

void Load::consume(const std::string& queue, Dice dice) {
    while (!stop_consumers_) {
        auto client = connect(stop_consumers_);
        if (!client) {
            continue;
        }
        const SessionKey key{run_of(*client), next_session_++};
        consume_session(*client, key, queue, dice);
        const Error* error = client->error();
        told_stopping_ += error != nullptr && error->code == ErrorCode::stopping ? 1 : 0;
        history_.ending(key);
        if (client->connected() && dice.one_in(2)) {
            (void)client->close(call_timeout);
        }
    }
}

void Load::consume_session(Client& client, const SessionKey& key, const std::string& queue,
                           Dice& dice) {
    ConsumerOptions options;
    options.window_messages = dice.between(1, 500);
    auto consumer = client.consumer(queue, options);
    if (!consumer) {
        return pause();
    }
    std::uint64_t left = dice.between(20, 2'000);
    const std::uint64_t temper = dice.below(6);
    while (left > 0 && !stop_consumers_) {
        const auto batch = consumer->receive_batch(short_wait);
        if (!batch) {
            return;
        }
        if (!*batch) {
            --left;  // so that who holds everything does not hold it for ever
            continue;
        }
        for (const Delivery& message : **batch) {
            note(key, *consumer, message);
        }
        left -= std::min<std::uint64_t>(left, (*batch)->size());
        if (!settle(*consumer, key, **batch, dice, temper)) {
            return;
        }
    }
}

// What a consumer of that temper does with a batch. False: the connection broke.
bool Load::settle(Consumer& consumer, const SessionKey& key, const DeliveredBatch& batch,
                  Dice& dice, std::uint64_t temper) {
    const MessageRange range = batch.range;
    const auto key_of = [&](std::uint64_t i) {
        return MessageKey{consumer.queue(), consumer.incarnation().value(),
                          range.first.value() + i};
    };
    if (temper == 0) {
        return true;  // holds it
    }
    if (temper == 1 && dice.one_in(3)) {
        for (std::uint64_t i = 0; i < range.count; ++i) {
            history_.nacking(key, key_of(i));
        }
        return consumer.nack(range).has_value();
    }
    if (temper == 2) {
        for (std::uint64_t i = 0; i < range.count; ++i) {
            if (!consumer.ack(range.first.plus(i))) {
                return false;
            }
        }
        return true;
    }
    if (temper == 3) {
        return consumer.ack(range).has_value();
    }
    const auto settled = consumer.ack_confirmed(range, call_timeout);
    if (!settled) {
        return false;
    }
    if (settled->settled != range.count) {
        history_.fault("an ack of what was held was not taken");
    }
    for (std::uint64_t i = 0; i < range.count; ++i) {
        history_.ack_confirmed(key, key_of(i));
    }
    return true;
}

// --- the end

void Load::drain() {
    auto client = connect(std::atomic<bool>(false));
    for (const std::string& queue : options_.queues) {
        drain_queue(*client, queue);
    }
    (void)client->close(call_timeout);
}

void Load::drain_queue(Client& client, const std::string& queue) {
    const SessionKey key{run_of(client), next_session_++};
    auto consumer = client.consumer(queue);
    if (!consumer) {
        return history_.fault("cannot drain \"" + queue + "\": " + consumer.error().text);
    }
    Dice dice(options_.seed);
    const bool empty = eventually(
        [&] {
            while (true) {
                const auto batch = consumer->receive_batch(Timeout(0));
                if (!batch || !*batch) {
                    break;
                }
                for (const Delivery& message : **batch) {
                    note(key, *consumer, message);
                }
                (void)settle(*consumer, key, **batch, dice, 4);
            }
            const auto info = client.show_queue(queue);
            return info && info->ready + info->leased == 0;
        },
        4 * patience);
    if (!empty) {
        history_.fault("\"" + queue + "\" cannot be drained");
    }
    history_.ending(key);
    (void)consumer->close(call_timeout);
}

}  // namespace mqd::test
