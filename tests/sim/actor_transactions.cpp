// An actor that does several things at once.

#include <algorithm>

#include "mqd/wire/transact.hpp"
#include "sim/actor.hpp"

namespace mqd::sim {

namespace {

// One publish more, of four of the biggest bodies, still fits into a frame.
constexpr std::size_t operations_bytes_max = 3072;

}  // namespace

// To queues on which it has a handle: then the judge knows them.
void Actor::transact() {
    if (transacting_) {
        return;
    }
    std::vector<std::byte> operations;
    std::uint16_t count = 0;
    transacting_.emplace();
    for (Consuming& one : consuming_) {
        if (session_.is_open(one.handle) && dice_.one_in(2) && settle_together(operations, one)) {
            ++count;
        }
    }
    std::vector<std::string> queues;
    for (const Producing& one : producing_) {
        if (session_.is_open(one.handle)) {
            queues.push_back(session_.producer(one.handle).queue);
        }
    }
    for (const Consuming& one : consuming_) {
        if (session_.is_open(one.handle)) {
            queues.push_back(one.queue);
        }
    }
    for (std::uint64_t i = queues.empty() ? 0 : dice_.below(4);
         i > 0 && next_uid_ <= habits_.messages_max && operations.size() < operations_bytes_max;
         --i) {
        publish_together(operations, queues[dice_.below(queues.size())]);
        ++count;
    }
    if (count == 0) {
        transacting_.reset();
        return;
    }
    wire::Transact frame{Durability::unspecified, count, operations};
    if (dice_.one_in(5)) {
        frame.durability = static_cast<Durability>(dice_.between(1, 3));
    }
    transacting_->correlation = session_.request(frame, wire::FrameType::transacted);
    session_.flush();
}

bool Actor::settle_together(std::vector<std::byte>& operations, Consuming& consuming) {
    std::vector<MessageNumber>& held = consuming.held;
    if (held.empty()) {
        return false;
    }
    const std::size_t index = dice_.below(held.size());
    const MessageRange range{held[index], 1};
    const auto kind = straggles(range.first) || dice_.one_in(6) ? wire::TransactKind::nack
                      : dice_.one_in(8)                         ? wire::TransactKind::extend
                                                                : wire::TransactKind::ack;
    const bool too_many = dice_.one_in(12);  // it is not_leased
    const MessageRange said{range.first, range.count + (too_many ? 1'000 : 0)};
    wire::append_settle_operation(operations, kind, consuming.handle, {0, {&said, 1}, "together"});
    if (kind != wire::TransactKind::extend) {
        transacting_->given_up.emplace_back(consuming.handle, range);
        held.erase(held.begin() + static_cast<std::ptrdiff_t>(index));
    }
    return true;
}

void Actor::publish_together(std::vector<std::byte>& operations, const std::string& queue) {
    std::vector<std::byte> batch;
    std::uint32_t count = 0;
    for (std::uint64_t i = dice_.between(1, 4); i > 0 && next_uid_ <= habits_.messages_max; --i) {
        const std::vector<std::byte> body =
            make_body(next_uid_++, dice_.one_in(4) ? dice_.between(8, habits_.body_bytes_max) : 20);
        wire::append_message(batch, {}, body);
        ++count;
    }
    wire::append_publish_operation(operations, {queue, count, batch});
}

// What it gave up is not held any more; or it is, if nothing happened.
void Actor::look_at_transaction() {
    const client::Reply* reply = transacting_ ? session_.reply(transacting_->correlation) : nullptr;
    if (reply == nullptr) {
        return;
    }
    const bool happened = !reply->error.has_value();
    session_.forget(transacting_->correlation);
    for (const auto& [handle, range] : transacting_->given_up) {
        const auto of = std::find_if(
            consuming_.begin(), consuming_.end(),
            [&, number = handle](const Consuming& one) { return one.handle == number; });
        if (of == consuming_.end() || !session_.is_open(handle)) {
            continue;
        }
        if (happened) {
            (void)session_.consumer(handle).take_for_ack(range);
        } else {
            of->held.push_back(range.first);
        }
    }
    transacting_.reset();
}

}  // namespace mqd::sim
