#include "daemon/core/history.hpp"

#include <algorithm>
#include <cstring>

#include "daemon/core/core.hpp"
#include "daemon/core/session.hpp"
#include "daemon/storage/planted_fault.hpp"

namespace mqd::core {

namespace {

using wire::HistoryKind;

constexpr std::size_t looked_at_max = 100'000;  // events, for one answer
constexpr std::size_t told_max = 1000;

constexpr std::string_view cut(std::string_view text) {
    return text.substr(0, UINT8_MAX);
}

// Whether its `other` and `number` are of another queue.
bool names_a_queue(HistoryKind kind) {
    return kind >= HistoryKind::moved && kind <= HistoryKind::arrived_dead;
}

wire::HistoryState told(engine::LiveState state) {
    switch (state) {
        case engine::LiveState::ready: return wire::HistoryState::ready;
        case engine::LiveState::leased: return wire::HistoryState::leased;
        case engine::LiveState::ending: return wire::HistoryState::ending;
        case engine::LiveState::aside: return wire::HistoryState::unreadable;
        case engine::LiveState::dying: return wire::HistoryState::dying;
        case engine::LiveState::delayed: return wire::HistoryState::delayed;
        case engine::LiveState::held: return wire::HistoryState::held;
        case engine::LiveState::purged: return wire::HistoryState::purged;
    }
    return wire::HistoryState::gone;
}

// What the lines of a batch became, in their order.
std::vector<wire::ConfirmedRun> numbers_of(const TakenBatch& batch) {
    if (batch.parts.size() == 1) {
        const Block& block = *batch.parts.front().block;
        return {{block.first, block.count}};
    }
    std::array<MessageNumber, priority_max + 1> next;
    for (const BatchPart& part : batch.parts) {
        next[part.priority] = part.block->first;
    }
    return numbers_of_lines(next, batch.split.lines());
}

}  // namespace

// --- texts

std::uint32_t HistoryTexts::take(std::string_view text) {
    if (text.empty()) {
        return 0;
    }
    key_.assign(text);
    auto found = by_text_.find(key_);
    if (found == by_text_.end()) {
        if (free_.empty()) {
            entries_.emplace_back();
            free_.push_back(static_cast<std::uint32_t>(entries_.size()));
        }
        found = by_text_.emplace(key_, free_.back()).first;
        free_.pop_back();
        entries_[found->second - 1].text = &found->first;
    }
    ++entries_[found->second - 1].users;
    return found->second;
}

void HistoryTexts::drop(std::uint32_t index) {
    if (index == 0) {
        return;
    }
    Entry& entry = entries_[index - 1];
    MQD_ASSERT(entry.users > 0, index);
    if (--entry.users == 0) {
        by_text_.erase(by_text_.find(*entry.text));
        entry.text = nullptr;
        free_.push_back(index);
    }
}

// --- who

// An identity and what the connection calls itself, as one text.
std::string_view History::who(const Identity& identity, std::string_view client) {
    who_.resize(sizeof identity);
    std::memcpy(who_.data(), &identity, sizeof identity);
    who_.append(cut(client));
    return who_;
}

std::string_view History::who(const Session* session) {
    return session == nullptr ? std::string_view()
                              : who(session->identity(), session->client_name());
}

// --- noting

void History::add(const engine::Queue& queue, std::span<const MessageRange> ranges,
                  const HistoryNote& what) {
    if (what.kind == HistoryKind::lease_expired &&
        storage::planted(storage::Fault::forgotten_outcome)) {
        return;
    }
    Event event;
    event.kind = what.kind;
    event.other = what.handle.value();
    for (const MessageRange& range : ranges) {
        event.first = range.first;
        append(queue, event, range.count, {who(what.session), cut(what.text)});
    }
}

void History::add_delivery(const engine::Delivery& delivery) {
    const auto& consumer = static_cast<const ConsumerHandle&>(*delivery.consumer);
    Event event;
    event.kind = HistoryKind::delivered;
    event.other = consumer.handle.value();
    event.first = delivery.range.first;
    event.attempt =
        static_cast<std::uint16_t>(std::min<std::uint32_t>(delivery.attempt, UINT16_MAX));
    append(*consumer.queue, event, delivery.range.count, {who(consumer.session), {}});
}

void History::add_published(const engine::Queue& queue, const TakenBatch& batch,
                            const Session* session, std::string_view producer) {
    Event event;
    event.kind = HistoryKind::published;
    for (const BatchPart& part : batch.parts) {
        const Block& block = *part.block;
        event.first = block.first;
        append(queue, event, block.count,
               {session != nullptr ? who(session) : who(block.sender, {}), cut(producer)});
    }
}

void History::moved(const engine::Queue& from, std::span<const MessageRange> ranges,
                    const engine::Queue& to, TakenBatch& batch, const Session* by,
                    bool has_numbers) {
    if (!kept(from) && !kept(to)) {
        return;
    }
    HistoryOfMove move{by != nullptr ? HistoryKind::moved : HistoryKind::dead_lettered,
                       from.id(),
                       from.name(),
                       {ranges.begin(), ranges.end()},
                       std::string(who(by))};
    if (has_numbers) {
        add_moved(to, batch, move);
    } else {
        batch.moved = std::make_shared<const HistoryOfMove>(std::move(move));
    }
}

void History::came(const engine::Queue& to, const TakenBatch& batch) {
    if (batch.moved != nullptr) {
        add_moved(to, batch, *batch.moved);
    } else {
        published(to, batch, nullptr);
    }
}

// Of each run of messages that lie together here and there, one event here and one there.
void History::add_moved(const engine::Queue& to, const TakenBatch& batch,
                        const HistoryOfMove& move) {
    const engine::Queue* from = core_.engine_.find(move.from);
    const bool dead = move.kind == HistoryKind::dead_lettered;
    Event gone;
    gone.kind = move.kind;
    gone.other = to.id().value();
    Event arrived;
    arrived.kind = dead ? HistoryKind::arrived_dead : HistoryKind::arrived;
    arrived.other = move.from.value();
    const std::vector<wire::ConfirmedRun> there = numbers_of(batch);
    auto target = there.begin();
    std::uint64_t used = 0;  // of the target
    for (const MessageRange& range : move.ranges) {
        for (std::uint64_t done = 0; done < range.count && target != there.end();) {
            const std::uint64_t count = std::min(range.count - done, target->count - used);
            gone.first = arrived.number = range.first.plus(done);
            arrived.first = gone.number = target->first_number.plus(used);
            if (from != nullptr && kept(*from)) {
                append(*from, gone, count, {move.by, to.name()});
            }
            if (kept(to)) {
                append(to, arrived, count, {move.by, move.from_name});
            }
            done += count;
            used += count;
            if (used == target->count) {
                ++target;
                used = 0;
            }
        }
    }
}

// --- keeping

std::uint32_t History::second() const {
    const auto since = core_.now_.journal.time_since_epoch();
    return static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::seconds>(since) /
                                      std::chrono::seconds(1));
}

History::OfQueue& History::of(const engine::Queue& queue) {
    const auto [at, is_new] = queues_.try_emplace(queue.id());
    if (is_new) {
        at->second.known_from = begun_;
    }
    return at->second;
}

void History::append(const engine::Queue& queue, Event event, std::uint64_t count,
                     const Texts& texts) {
    if (core_.options_.history_events_max == 0 || count == 0) {
        return;
    }
    OfQueue& of = this->of(queue);
    event.at = core_.now_.wall;
    event.second = second();
    if (!of.events.empty() && extend(of.events.back(), event, count, texts)) {
        return;
    }
    while (count > 0) {
        drop_old(of, queue.definition());
        event.count = static_cast<std::uint32_t>(std::min<std::uint64_t>(count, UINT32_MAX));
        event.by = texts_.take(texts.by);
        event.text = texts_.take(texts.text);
        of.events.push_back(event);
        ++events_;
        const bool other = names_a_queue(event.kind);
        event.first = event.first.plus(event.count);
        event.number = other ? event.number.plus(event.count) : event.number;
        count -= event.count;
        keep_limit(queue.id());
    }
}

// What goes on where the last event ends, in the same turn, is one with it.
bool History::extend(Event& last, const Event& next, std::uint64_t count,
                     const Texts& texts) const {
    const bool other = names_a_queue(last.kind);
    const bool goes_on = last.kind == next.kind && last.at == next.at &&
                         last.first.plus(last.count) == next.first && last.other == next.other &&
                         last.attempt == next.attempt && count <= UINT32_MAX - last.count &&
                         (!other || last.number.plus(last.count) == next.number) &&
                         texts_.text(last.by) == texts.by && texts_.text(last.text) == texts.text;
    if (goes_on) {
        last.count += static_cast<std::uint32_t>(count);
    }
    return goes_on;
}

void History::drop_first(OfQueue& of) {
    const Event& first = of.events.front();
    of.known_from = std::max(of.known_from, first.at);
    texts_.drop(first.by);
    texts_.drop(first.text);
    of.events.pop_front();
    ++of.dropped;
    --events_;
}

// What its queue does not keep any more, with room for one more.
void History::drop_old(OfQueue& of, const engine::QueueDefinition& definition) {
    const auto most = std::chrono::ceil<std::chrono::seconds>(definition.history_time).count();
    const std::int64_t now = second();
    while (!of.events.empty() && (of.events.size() >= definition.history ||
                                  (most != 0 && now - of.events.front().second > most))) {
        drop_first(of);
    }
}

// All queues together have too many: the one at hand loses its oldest if it has more than its
// share, else one that has.
void History::keep_limit(QueueId latest) {
    while (events_ > core_.options_.history_events_max) {
        const std::uint64_t share = core_.options_.history_events_max / queues_.size();
        auto at = queues_.find(latest);
        if (at->second.events.size() <= share) {
            at = queues_.find(victim_);
            for (std::size_t i = 0;
                 i <= queues_.size() && (at == queues_.end() || at->second.events.size() <= share);
                 ++i) {
                at = at == queues_.end() ? queues_.begin() : std::next(at);
            }
            MQD_ASSERT(at != queues_.end() && at->second.events.size() > share, events_);
            victim_ = at->first;
        }
        drop_first(at->second);
    }
}

void History::changed(const engine::Queue& queue, const engine::QueueDefinition& before) {
    if (!kept(queue)) {
        forget(queue.id());
    } else if (before.history == 0) {
        of(queue).known_from = core_.now_.wall;
    } else if (const auto at = queues_.find(queue.id()); at != queues_.end()) {
        while (at->second.events.size() > queue.definition().history) {
            drop_first(at->second);
        }
    }
}

void History::forget(QueueId id) {
    if (const auto at = queues_.find(id); at != queues_.end()) {
        while (!at->second.events.empty()) {
            drop_first(at->second);
        }
        queues_.erase(at);
    }
}

// --- telling

void History::tell(const engine::Queue& queue, const wire::MessageHistory& asked,
                   std::size_t bytes_max, wire::MessageHistoryReply& reply) const {
    tell_state(queue, asked.number, reply);
    reply.known_from = begun_;
    const auto found = queues_.find(queue.id());
    if (found == queues_.end()) {
        return;
    }
    const OfQueue& of = found->second;
    const auto most =
        std::chrono::ceil<std::chrono::seconds>(queue.definition().history_time).count();
    const std::int64_t now = second();
    reply.known_from = of.known_from;
    std::size_t left = looked_at_max;
    std::size_t at =
        asked.from <= of.dropped ? 0 : static_cast<std::size_t>(asked.from - of.dropped);
    for (; at < of.events.size(); ++at, --left) {
        if (left == 0 || reply.events.size() >= told_max ||
            bytes_max < wire::HistoryEvent::bytes_max) {
            reply.next = of.dropped + at;
            return;
        }
        const Event& event = of.events[at];
        if (most != 0 && now - event.second > most) {
            reply.known_from = std::max(reply.known_from, event.at);
        } else if (asked.number >= event.first && asked.number - event.first < event.count) {
            reply.events.push_back(told(event, asked.number));
            bytes_max -= wire::HistoryEvent::fixed_bytes + reply.events.back().client.size() +
                         reply.events.back().text.size();
        }
    }
}

wire::HistoryEvent History::told(const Event& event, MessageNumber number) const {
    wire::HistoryEvent out;
    out.kind = event.kind;
    out.at = event.at;
    out.attempt = event.attempt;
    out.text = texts_.text(event.text);
    if (names_a_queue(out.kind)) {
        out.incarnation = QueueId(event.other);
        out.number = event.number.plus(number - event.first);
    } else {
        out.handle = HandleId(event.other);
    }
    const std::string_view by = texts_.text(event.by);
    if (by.size() >= sizeof(Identity)) {
        std::memcpy(&out.by, by.data(), sizeof(Identity));
        out.client = by.substr(sizeof(Identity));
    }
    return out;
}

// What its queue knows of it.
void History::tell_state(const engine::Queue& queue, MessageNumber number,
                         wire::MessageHistoryReply& reply) {
    reply.incarnation = queue.id();
    reply.kept = queue.definition().history;
    reply.next_number = queue.next_applied(number);
    const auto live = queue.state_of(number);
    if (!live) {
        return;
    }
    reply.state = core::told(live->first);
    reply.deliveries = live->second;
    engine::RangeMap<engine::Failure>::Run failed;
    if (queue.failures().find_from(number, failed) && failed.range.first <= number) {
        reply.first_failed = failed.value.first;
        reply.last_failed = failed.value.last;
        reply.rejected = failed.value.rejected;
        reply.reason = failed.value.reason ? cut(*failed.value.reason) : std::string_view();
    }
}

// --- the request

void Session::on_message_history(CorrelationId correlation, const wire::MessageHistory& frame) {
    const engine::Queue* queue = find_queue(frame.queue, correlation);
    if (queue == nullptr) {
        return;
    }
    if (frame.incarnation.value() != 0 && queue->id() != frame.incarnation) {
        return send_error(
            {ErrorCode::no_such_queue, "queue \"" + queue->name() + "\" is incarnation " +
                                           std::to_string(queue->id().value()) + " now"},
            correlation);
    }
    if (frame.number.value() == 0 || !queue->numbers().may_be({frame.number, 1})) {
        return send_error({ErrorCode::bad_option, "queue \"" + queue->name() +
                                                      "\" has no message of the number " +
                                                      format_number(frame.number)},
                          correlation);
    }
    constexpr std::size_t fixed_bytes = 512;  // of the answer: more than it has besides its events
    wire::MessageHistoryReply reply;
    core_.history_.tell(*queue, frame, frame_body_bytes_max_ - fixed_bytes, reply);
    send(reply, correlation);
}

}  // namespace mqd::core
