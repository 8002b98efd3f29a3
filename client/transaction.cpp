// Transaction of mqd/transaction.hpp: operations are encoded as they come, and sent in one frame.

#include "mqd/transaction.hpp"

#include <algorithm>
#include <utility>

#include "client/connection.hpp"
#include "client/lease.hpp"
#include "client/parts.hpp"
#include "client/queue_name.hpp"
#include "mqd/wire/transact.hpp"

namespace mqd {

namespace {

// At most, of the attributes of a message beside its headers.
constexpr std::size_t attributes_plenty = 1024;

// The messages as a producer packs them into one frame.
Result<std::vector<std::byte>> pack(std::string_view queue, std::span<const Message> messages,
                                    client::PublishLimits limits) {
    limits.gather_bytes = wire::frame_header_bytes + wire::Publish::fixed_bytes;
    for (const Message& message : messages) {
        limits.gather_bytes += message.body.size() + message.options.group.size() +
                               message.options.dedup_id.size() + attributes_plenty;
        for (const Header& header : message.headers) {
            limits.gather_bytes +=
                wire::attribute_header_bytes + 1 + header.key.size() + header.value.size();
        }
    }
    limits.gather_bytes = std::min(limits.gather_bytes, limits.frame_body_bytes_max);
    client::Output output(limits.gather_bytes);
    client::ProducerHandle packer(HandleId(0), queue, ProducerOptions(), output, limits);
    wire::Opened opened;
    opened.message_limit = opened.byte_limit = UINT64_MAX;
    packer.opened(opened);
    for (const Message& message : messages) {
        const auto line =
            packer.send(wire::as_bytes(message.body), message.headers, message.options);
        if (!line) {
            return line.error();
        }
        if (!output.empty()) {
            return Error{ErrorCode::message_too_big, "the messages do not fit into a frame",
                         limits.frame_body_bytes_max};
        }
    }
    packer.flush();
    std::vector<std::byte> batch;
    wire::Bytes pieces[16];
    while (!output.empty()) {
        std::size_t taken = 0;
        for (std::size_t i = 0, n = output.views(pieces); i < n; ++i) {
            batch.insert(batch.end(), pieces[i].begin(), pieces[i].end());
            taken += pieces[i].size();
        }
        output.consume(taken);
    }
    batch.erase(batch.begin(), batch.begin() + wire::frame_header_bytes +
                                   static_cast<std::ptrdiff_t>(wire::Publish::fixed_bytes));
    return batch;
}

}  // namespace

Transaction::Transaction(std::shared_ptr<client::Connection> connection)
    : connection_(std::move(connection)) {}
Transaction::Transaction(Transaction&&) noexcept = default;
Transaction& Transaction::operator=(Transaction&&) noexcept = default;
Transaction::~Transaction() = default;

std::size_t Transaction::frame_bytes_max() const {
    return std::min(connection_->session().server().frame_body_bytes_max,
                    wire::frame_body_bytes_hard_max);
}

Result<void> Transaction::keep(std::size_t before) {
    if (count_ >= wire::transact_operations_max) {
        operations_.resize(before);
        return Error{ErrorCode::usage, "a transaction has at most 256 operations",
                     wire::transact_operations_max};
    }
    if (wire::Transact::fixed_bytes + operations_.size() > frame_bytes_max()) {
        operations_.resize(before);
        return Error{ErrorCode::message_too_big, "the transaction does not fit into a frame",
                     frame_bytes_max()};
    }
    ++count_;
    return {};
}

Result<void> Transaction::publish(std::string_view queue, std::string_view body, HeaderList headers,
                                  const MessageOptions& options) {
    const Message message{body, headers, options};
    return publish(queue, {&message, 1});
}

Result<void> Transaction::publish(std::string_view queue, std::span<const Message> messages) {
    if (!wire::valid_queue_name(queue)) {
        return Error{ErrorCode::bad_name, client::not_a_queue_name(queue)};
    }
    if (messages.empty() || messages.size() > wire::batch_messages_max) {
        return Error{ErrorCode::usage, "1 to 65,536 messages are published at a time",
                     wire::batch_messages_max};
    }
    const auto batch =
        pack(queue, messages,
             {frame_bytes_max(), connection_->session().server().message_body_bytes_max, 0});
    if (!batch) {
        return batch.error();
    }
    const std::size_t before = operations_.size();
    wire::append_publish_operation(operations_,
                                   {queue, static_cast<std::uint32_t>(messages.size()), *batch});
    return keep(before);
}

Result<void> Transaction::ack(Consumer& consumer, MessageNumber number) {
    return ack(consumer, MessageRange{number, 1});
}

Result<void> Transaction::ack(Consumer& consumer, MessageRange range) {
    if (!consumer.part_->usable()) {
        return consumer.part_->why_not_usable();
    }
    const HandleId handle = consumer.part_->handle->id;
    const std::size_t before = operations_.size();
    wire::append_settle_operation(operations_, wire::TransactKind::ack, handle, {0, {&range, 1}});
    auto kept = keep(before);
    if (kept) {
        endings_.push_back({handle, range});
    }
    return kept;
}

Result<void> Transaction::nack(Consumer& consumer, MessageRange range, const NackOptions& options) {
    constexpr auto delay_max = client::ConsumerHandle::delay_max;
    if (options.delay && (options.delay->count() < 0 || *options.delay > delay_max)) {
        return Error{ErrorCode::bad_option, "a delay of a nack is 0 to 2^32 - 2 ms long",
                     static_cast<std::uint64_t>(delay_max.count())};
    }
    if (!consumer.part_->usable()) {
        return consumer.part_->why_not_usable();
    }
    const HandleId handle = consumer.part_->handle->id;
    const std::size_t before = operations_.size();
    wire::SettleRequest request{0, {&range, 1}, client::cut_reason(options.reason)};
    if (options.delay) {
        const auto delay_ms = static_cast<std::uint32_t>(options.delay->count());
        request.lease_ms = delay_ms == 0 ? wire::delay_none : delay_ms;
    }
    wire::append_settle_operation(
        operations_, options.dead_letter ? wire::TransactKind::reject : wire::TransactKind::nack,
        handle, request);
    auto kept = keep(before);
    if (kept) {
        endings_.push_back({handle, range});
    }
    return kept;
}

Result<void> Transaction::extend(Consumer& consumer, MessageRange range,
                                 std::chrono::milliseconds lease) {
    if (lease.count() < 0 || lease > client::lease_max) {
        return client::lease_out_of_range(client::lease_max);
    }
    if (!consumer.part_->usable()) {
        return consumer.part_->why_not_usable();
    }
    const std::size_t before = operations_.size();
    wire::append_settle_operation(operations_, wire::TransactKind::extend,
                                  consumer.part_->handle->id,
                                  {static_cast<std::uint32_t>(lease.count()), {&range, 1}});
    return keep(before);
}

Result<std::vector<Published>> Transaction::commit(Timeout timeout) {
    const client::Connection::InUse in_use(*connection_);
    if (const auto bad = connection_->why_not_ready()) {
        return *bad;
    }
    if (count_ == 0) {
        return std::vector<Published>();
    }
    client::Session& session = connection_->session();
    const CorrelationId correlation = session.request(
        wire::Transact{durability_, count_, operations_}, wire::FrameType::transacted);
    const auto body = connection_->await_reply(correlation, client::Deadline::after(timeout));
    const bool unknown =
        !body && (session.error() != nullptr || body.error().code == ErrorCode::timeout);
    if (!body && !unknown) {
        return body.error();  // the daemon says that nothing happened
    }
    settle_ended();
    clear();
    if (unknown) {
        return Error{ErrorCode::outcome_unknown,
                     "whether the transaction happened is not known: " + body.error().text};
    }
    const auto frame = wire::Transacted::decode(*body);
    if (!frame) {
        return Error{ErrorCode::protocol_violation, "the daemon sent a malformed TRANSACTED frame"};
    }
    std::vector<Published> published;
    for (const wire::TransactedPublish& one : frame->published) {
        for (const wire::ConfirmedRun& run : one.runs) {
            for (std::uint32_t i = 0; i < run.count; ++i) {
                published.push_back({one.incarnation, run.first_number.plus(i), frame->durability});
            }
        }
    }
    return published;
}

// What was acked or given back is not held any more. If that is not known, its leases just end.
void Transaction::settle_ended() {
    client::Session& session = connection_->session();
    for (const Ending& ending : endings_) {
        if (session.is_open(ending.handle)) {
            (void)session.consumer(ending.handle).take_for_ack(ending.range);
        }
    }
}

void Transaction::clear() {
    operations_.clear();
    endings_.clear();
    count_ = 0;
}

}  // namespace mqd
