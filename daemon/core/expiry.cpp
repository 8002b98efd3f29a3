// Times to live: what has expired is ended, before anything is delivered in the same turn.

#include <algorithm>

#include "daemon/core/core.hpp"
#include "daemon/storage/planted_fault.hpp"
#include "mqd/wire/batch.hpp"

namespace mqd::core {

namespace {

// Looked at in one turn: messages, of which a batch that expires as a whole counts as a few.
constexpr std::size_t expired_per_turn = 4096;
constexpr std::size_t whole_batch_cost = 8;

bool is_later(const ExpiryPoint& a, const ExpiryPoint& b) {
    return a.at != b.at ? a.at > b.at : a.index > b.index;
}

engine::Time own_expiry(const Block& block, const wire::MessageView& message) {
    const std::uint64_t ttl_ms = message.attributes.empty() ? 0 : wire::ttl_of(message.attributes);
    return ttl_ms == 0 ? engine::Time::max() : block.taken + std::chrono::milliseconds(ttl_ms);
}

std::unique_ptr<std::vector<ExpiryPoint>> list_expiries(const Block& block) {
    auto points = std::make_unique<std::vector<ExpiryPoint>>();
    wire::BatchReader reader(block.slice({block.first, block.count}));
    for (std::uint32_t index = 0; const auto message = reader.next(); ++index) {
        if (const engine::Time at = own_expiry(block, *message); at != engine::Time::max()) {
            points->push_back({at, index});
        }
    }
    points->shrink_to_fit();
    std::make_heap(points->begin(), points->end(), is_later);
    return points;
}

}  // namespace

engine::Time Core::expiry_of(const engine::Queue& queue, const Block& block,
                             const wire::MessageView& message) {
    const auto ttl = queue.definition().ttl;
    const engine::Time by_queue = ttl.count() == 0 ? engine::Time::max() : block.taken + ttl;
    return std::min(by_queue, own_expiry(block, message));
}

// Whether it has to be written when the block was taken: where it expires by that, or may some day,
// and the time of publishing does not tell, as with what came from another queue.
bool Core::tells_taken(const engine::Queue& queue, const Block& block) const {
    constexpr std::chrono::seconds close_enough(1);
    const auto off = block.taken - time_taken(block.published);
    return queue.may_expire() || block.has_own_ttls() || off > close_enough || off < -close_enough;
}

void Core::expire_turn() {
    if (!expires()) {
        return;
    }
    backlog_->expire_turn();
    if (engine_.next_expiry().value_or(engine::Time::max()) > now_.journal) {
        return;
    }
    std::size_t left = expired_per_turn;
    expire_returned(left);
    engine::Queue* queue = nullptr;
    decided_.clear();
    const auto end = [&] {
        if (!decided_.empty()) {
            history_.note(*queue, decided_, {wire::HistoryKind::expired});
            remove(*queue, decided_, Need::nothing);
            decided_.clear();
        }
    };
    while (left > 0) {
        const engine::ExpiredExtent expired = engine_.next_expired(now_.journal);
        if (expired.extent == nullptr) {
            break;
        }
        if (expired.queue != queue) {
            end();
            queue = expired.queue;
        }
        auto& block = static_cast<Block&>(*expired.extent);
        if (expired.whole) {
            (void)engine_.admit_expiry(*queue, {block.first, block.count}, decided_);
            const bool singly = queue->groups() != nullptr || queue->delayed() > 0;
            left -= std::min<std::size_t>(left, singly ? block.count : whole_batch_cost);
        } else {
            expire_own(*queue, block, left);
        }
    }
    end();
}

// By TTLs of their own, those of the block whose time has come.
void Core::expire_own(engine::Queue& queue, Block& block, std::size_t& left) {
    if (block.expiries == nullptr) {
        block.set_expiries(list_expiries(block));
        left -= std::min<std::size_t>(left, block.count / 4);
    }
    std::vector<ExpiryPoint>& points = *block.expiries;
    MessageRange run{block.first, 0};
    const auto end_run = [&] {
        if (run.count > 0 && !storage::planted(storage::Fault::forgotten_ttl)) {
            (void)engine_.admit_expiry(queue, run, decided_);
        }
    };
    // One at least, whatever it cost to list them.
    for (bool first = true;
         !points.empty() && points.front().at <= now_.journal && (left > 0 || first);
         first = false) {
        const MessageNumber number = block.first.plus(points.front().index);
        std::pop_heap(points.begin(), points.end(), is_later);
        points.pop_back();
        if (number != run.end()) {
            end_run();
            run = {number, 0};
        }
        ++run.count;
        left -= left > 0 ? 1 : 0;
    }
    end_run();
    engine_.set_expiry(queue, block, points.empty() ? engine::Time::max() : points.front().at);
}

// What was leased when its time came, and what is leased no more before it comes. If it is not in
// memory, its page is listed.
void Core::expire_returned(std::size_t& left) {
    std::vector<engine::ReturnedMessages>& returned = engine_.returned();
    while (!returned.empty() && left > 0) {
        const engine::ReturnedMessages some = returned.back();
        returned.pop_back();
        engine::Queue* queue = engine_.find(some.id);
        if (queue == nullptr || queue->deleting()) {
            continue;
        }
        decided_.clear();
        MessageNumber at = some.range.first;
        while (at < some.range.end() && left > 0) {
            const engine::Extent* extent = queue->extent_from(at);
            if (extent == nullptr || extent->first >= some.range.end()) {
                at = some.range.end();
                break;
            }
            const auto& block = static_cast<const Block&>(*extent);
            const MessageNumber from = std::max(at, block.first);
            at = std::min({block.end(), some.range.end(), from.plus(left)});
            left -= std::min<std::size_t>(left, static_cast<std::size_t>(at - from));
            expire_each(*queue, block, {from, at - from});
        }
        if (at < some.range.end()) {
            returned.push_back({some.id, {at, some.range.end() - at}});
        }
        if (!decided_.empty()) {
            history_.note(*queue, decided_, {wire::HistoryKind::expired});
            remove(*queue, decided_, Need::nothing);
        }
    }
}

void Core::expire_each(engine::Queue& queue, const Block& block, MessageRange range) {
    const auto ttl = queue.definition().ttl;
    if (ttl.count() != 0 && block.taken + ttl <= now_.journal) {
        (void)engine_.admit_expiry(queue, range, decided_);
        return;
    }
    if (!block.has_own_ttls() ||
        block.taken + std::chrono::milliseconds(block.ttl_min) > now_.journal) {
        return;
    }
    wire::BatchReader reader(block.slice(range));
    for (MessageNumber at = range.first; const auto message = reader.next(); at = at.plus(1)) {
        if (own_expiry(block, *message) <= now_.journal) {
            (void)engine_.admit_expiry(queue, {at, 1}, decided_);
        }
    }
}

}  // namespace mqd::core
