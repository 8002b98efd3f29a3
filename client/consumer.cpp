// Consumer of mqd/client.hpp, over ConsumerHandle (which hands out and accounts) and Connection
// (which waits).

#include <utility>

#include "client/connection.hpp"
#include "client/lease.hpp"
#include "client/parts.hpp"
#include "mqd/assert.hpp"
#include "mqd/client.hpp"

namespace mqd {

namespace client {

ConsumerPart::ConsumerPart(std::shared_ptr<Connection> owner, HandleId number)
    : Part(std::move(owner), number), handle(&connection_->session().consumer(number)) {
    queue = handle->queue;
    incarnation = handle->incarnation;
    lease = std::chrono::milliseconds(handle->lease_ms);
    (void)handle->take_activation();  // who opened it sees it active from the start
}

void ConsumerPart::take_news() {
    handle->take_overrun(overrun);
    tell_each(overrun, overrun_handler);
    handle->take_lost(lost);
    tell_each(lost, handler);
    if (handle->take_activation() && active_handler) {
        active_handler();
    }
}

void ConsumerPart::take_overrun(std::vector<Overrun>& into) {
    if (handle == nullptr || !overrun_handler) {
        return;
    }
    handle->take_overrun(overrun);
    for (const MessageRange range : overrun) {
        into.push_back({overrun_handler, range});
    }
    overrun.clear();
}

template <typename Next>
Result<bool> ConsumerPart::receive(Next next, Timeout timeout) {
    const Connection::InUse in_use(*connection_);
    if (!usable()) [[unlikely]] {
        return why_not_usable();
    }
    connection_->keep_up();
    if (next(*handle)) [[likely]] {
        return true;
    }
    const Deadline deadline = Deadline::after(timeout);
    const Session& session = connection_->session();
    bool got = false;
    (void)connection_->run_until(deadline, [&] {
        got = next(*handle);
        return got || handle->state != HandleState::open || session.stopping() != nullptr;
    });
    if (!got && session.stopping() != nullptr) {
        // Whoever keeps asking all the same has its settlements written, and learns of the end.
        connection_->step(Deadline::after(Timeout(0)));
        got = next(*handle);
    }
    if (got) {
        return true;
    }
    if (handle->state != HandleState::open) {
        return why_ended(*handle);
    }
    if (const Error* stopping = session.stopping()) {
        return *stopping;
    }
    return false;
}

std::optional<Error> ConsumerPart::wait_for_room() {
    const Connection::InUse in_use(*connection_);
    const auto has_room = [&] { return !connection_->output_is_full(); };
    if (!usable() || connection_->run_until(connection_->default_deadline(), has_room) ||
        handle->state != HandleState::open) {
        return std::nullopt;
    }
    return Error{ErrorCode::timeout, "the daemon takes no more bytes for now"};
}

template <typename Settle>
Result<void> ConsumerPart::settle(Settle settle) {
    const Connection::InUse in_use(*connection_);
    if (!usable()) [[unlikely]] {
        return why_not_usable();
    }
    if (handle->state != HandleState::open) [[unlikely]] {
        return why_ended(*handle);
    }
    const std::size_t before = connection_->session().output_bytes();
    settle(*handle);
    if (connection_->session().output_bytes() != before) {
        connection_->write_some();
    }
    connection_->keep_up();
    return {};
}

}  // namespace client

namespace {

// The program begins to work on these.
void begin_run(client::ConsumerHandle& handle, MessageRange range) {
    if (handle.limits_runs()) [[unlikely]] {
        handle.begin_run(range, client::Connection::coarse_now());
    }
}

// For the time of a run(): a keeper of the leases, unless there is one.
class Keeping {
  public:
    explicit Keeping(client::Connection& connection) : connection_(connection) {}
    Keeping(const Keeping&) = delete;
    Keeping& operator=(const Keeping&) = delete;
    ~Keeping() {
        if (started_) {
            connection_.end_keeper();
        }
    }
    [[nodiscard]] Result<void> start() {
        if (connection_.has_keeper()) {
            return {};  // of this run, or of one in whose handler this one is
        }
        auto started = connection_.start_keeper();
        started_ = started.has_value();
        return started;
    }

  private:
    client::Connection& connection_;
    bool started_ = false;
};

}  // namespace

Consumer::Consumer(std::unique_ptr<client::ConsumerPart> part) : part_(std::move(part)) {}
Consumer::Consumer(Consumer&&) noexcept = default;
Consumer& Consumer::operator=(Consumer&&) noexcept = default;
Consumer::~Consumer() = default;

Result<std::optional<Delivery>> Consumer::receive(Timeout timeout) {
    std::optional<Delivery> delivery(std::in_place);
    const auto got = part_->receive(
        [&](client::ConsumerHandle& handle) {
            const bool found = handle.next(*delivery);
            if (found) {
                begin_run(handle, {delivery->number, 1});
            }
            return found;
        },
        timeout);
    if (!got) {
        return got.error();
    }
    if (!*got) {
        delivery.reset();
    }
    return delivery;
}

Result<std::optional<DeliveredBatch>> Consumer::receive_batch(Timeout timeout) {
    std::optional<DeliveredBatch> batch(std::in_place);
    const auto got = part_->receive(
        [&](client::ConsumerHandle& handle) {
            const bool found = handle.next_batch(*batch);
            if (found) {
                begin_run(handle, batch->range);
            }
            return found;
        },
        timeout);
    if (!got) {
        return got.error();
    }
    if (!*got) {
        batch.reset();
    }
    return batch;
}

Result<void> Consumer::ack(MessageNumber number) {
    return ack(MessageRange{number, 1});
}

Result<void> Consumer::ack(MessageRange range) {
    return part_->settle([&](client::ConsumerHandle& handle) { handle.ack(range); });
}

Result<void> Consumer::ack_up_to(MessageNumber number) {
    return part_->settle([&](client::ConsumerHandle& handle) { handle.ack_up_to(number); });
}

Result<void> Consumer::nack(MessageNumber number, const NackOptions& options) {
    return nack(MessageRange{number, 1}, options);
}

Result<void> Consumer::nack(MessageRange range, const NackOptions& options) {
    constexpr auto delay_max = client::ConsumerHandle::delay_max;
    if (options.delay && (options.delay->count() < 0 || *options.delay > delay_max)) {
        return Error{ErrorCode::bad_option, "a delay of a nack is 0 to 2^32 - 2 ms long",
                     static_cast<std::uint64_t>(delay_max.count())};
    }
    return part_->settle([&](client::ConsumerHandle& handle) { handle.nack(range, options); });
}

Result<void> Consumer::extend(MessageNumber number, std::chrono::milliseconds lease) {
    return extend(MessageRange{number, 1}, lease);
}

Result<void> Consumer::extend(MessageRange range, std::chrono::milliseconds lease) {
    if (lease.count() < 0 || lease > client::lease_max) {
        return client::lease_out_of_range(client::lease_max);  // a daemon closes the connection
    }
    if (const auto full = part_->wait_for_room()) {
        return *full;
    }
    return part_->settle([&](client::ConsumerHandle& handle) {
        handle.extend(range, static_cast<std::uint32_t>(lease.count()));
    });
}

Result<Settlement> Consumer::ack_confirmed(MessageRange range, Timeout timeout) {
    const client::Connection::InUse in_use(part_->connection());
    if (!part_->usable()) {
        return part_->why_not_usable();
    }
    if (part_->handle->state != client::HandleState::open) {
        return part_->why_ended(*part_->handle);
    }
    const auto deadline = client::Deadline::after(timeout);
    const auto acks = part_->connection().session().ack_confirmed(part_->handle->id, range);
    Settlement sum;
    sum.not_leased = acks.passed_over;
    std::optional<Error> error;
    for (const CorrelationId correlation : acks.correlations) {
        const auto body = part_->connection().await_reply(correlation, deadline);
        if (!body) {
            error = error ? error : body.error();
            continue;
        }
        if (const auto settled = wire::Settled::decode(*body)) {
            sum.settled += settled->settled;
            sum.not_leased += settled->not_leased;
            sum.durability = settled->durability;
        }
    }
    if (error) {
        return *std::move(error);
    }
    return sum;
}

Result<std::uint64_t> Consumer::run(const DeliveryHandler& handler, Timeout idle) {
    if (!part_->usable()) {
        return part_->why_not_usable();
    }
    Keeping keeping(part_->connection());
    std::uint64_t handled = 0;
    while (true) {
        const auto delivery = receive(idle);
        if (!delivery) {
            return delivery.error();
        }
        if (!*delivery) {
            return handled;
        }
        if (auto started = keeping.start(); !started) {
            return started.error();
        }
        const MessageNumber number = (*delivery)->number;
        Result<void> settled;
        switch (handler(**delivery)) {
            case Verdict::ack: settled = ack(number); break;
            case Verdict::nack: settled = nack(number); break;
            case Verdict::dead_letter: settled = nack(number, {.dead_letter = true}); break;
            case Verdict::stop: return handled;
        }
        if (!settled) {
            return settled.error();
        }
        ++handled;
    }
}

void Consumer::on_lease_lost(LeaseLostHandler handler) {
    part_->handler = std::move(handler);
}

void Consumer::on_overrun(LeaseLostHandler handler) {
    const client::Connection::InUse in_use(part_->connection());
    part_->overrun_handler = std::move(handler);
}

void Consumer::on_active(std::function<void()> handler) {
    part_->active_handler = std::move(handler);
}

bool Consumer::active() const {
    const client::ConsumerHandle* const handle = part_->handle;
    return handle != nullptr && handle->state == client::HandleState::open &&
           handle->turn() != wire::Turn::waiting;
}

std::uint64_t Consumer::leases_lost() const {
    return part_->handle != nullptr ? part_->handle->leases_lost() : part_->leases_lost_at_close;
}

std::uint64_t Consumer::unsettled() const {
    return part_->handle != nullptr ? part_->handle->unsettled() : 0;
}

const std::string& Consumer::queue() const {
    return part_->queue;
}
QueueId Consumer::incarnation() const {
    return part_->incarnation;
}
std::chrono::milliseconds Consumer::lease() const {
    return part_->lease;
}

Result<void> Consumer::close(Timeout timeout) {
    const client::Connection::InUse in_use(part_->connection());
    if (!part_->usable()) {
        return part_->why_not_usable();
    }
    part_->leases_lost_at_close = part_->handle->leases_lost();
    auto closed = part_->close_handle(client::Deadline::after(timeout));
    part_->handle = nullptr;
    return closed;
}

}  // namespace mqd
