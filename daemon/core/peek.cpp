// PEEK: a page of what is in a queue, of those messages that a filter lets through.

#include <algorithm>

#include "daemon/core/backlog.hpp"
#include "daemon/core/session.hpp"

namespace mqd::core {

namespace {

constexpr std::uint32_t peek_max = 1000;
// Of batches in one PEEK_REPLY; the first message goes in whatever its size.
constexpr std::uint64_t peek_bytes_max = 1024 * 1024;
// Messages that a filter looks at in one turn; then the client has to ask again.
constexpr std::uint64_t looked_at_max = 10'000;

// What a PEEK is about.
class Wanted {
  public:
    explicit Wanted(const wire::Peek& frame) : filter_(frame.filter ? &*frame.filter : nullptr) {}

    [[nodiscard]] engine::LiveStates states() const {
        using wire::MessageState;
        if (filter_ == nullptr || filter_->states == 0) {
            return engine::LiveStates::visible();
        }
        engine::LiveStates states{};
        const auto add = [&](MessageState wanted, engine::LiveState state) {
            if ((filter_->states & wire::state_bit(wanted)) != 0) {
                states.add(state);
            }
        };
        add(MessageState::ready, engine::LiveState::ready);
        add(MessageState::leased, engine::LiveState::leased);
        add(MessageState::leased, engine::LiveState::ending);
        add(MessageState::delayed, engine::LiveState::delayed);
        add(MessageState::dying, engine::LiveState::dying);
        add(MessageState::held, engine::LiveState::held);
        add(MessageState::purged, engine::LiveState::purged);
        return states;
    }

    // The first messages of the range that are wanted and lie together. None: the range begins
    // behind the last that was looked at. Takes those looked at from `left`.
    [[nodiscard]] MessageRange next(const Block& block, MessageRange range,
                                    std::uint64_t& left) const {
        if (filter_ == nullptr) {
            return range;
        }
        if (!wanted_time(block.published)) {
            left -= std::min<std::uint64_t>(left, 1);
            return {range.end(), 0};
        }
        if (filter_->headers.empty()) {
            return range;
        }
        MessageRange found{range.first, 0};
        wire::BatchReader reader(block.slice(range));
        for (MessageNumber at = range.first; at < range.end() && left > 0; at = at.plus(1)) {
            const auto message = reader.next();
            MQD_ASSERT(message.has_value(), at);  // it was checked when it came in
            const bool wanted = wanted_headers(message->attributes);
            if (!wanted && found.count > 0) {
                break;  // it is looked at again
            }
            --left;
            found =
                wanted ? MessageRange{found.first, found.count + 1} : MessageRange{at.plus(1), 0};
        }
        return found;
    }

  private:
    [[nodiscard]] bool wanted_time(WallTime published) const {
        const WallTime any{};
        return (filter_->published_from == any || published >= filter_->published_from) &&
               (filter_->published_before == any || published < filter_->published_before);
    }

    [[nodiscard]] bool wanted_headers(wire::Bytes attributes) const {
        return std::all_of(
            filter_->headers.begin(), filter_->headers.end(), [&](const wire::HeaderView& wanted) {
                wire::AttributeReader reader(attributes);
                while (const auto attribute = reader.next()) {
                    const auto header = wire::decode_header(*attribute);
                    if (header && header->key == wanted.key && header->value == wanted.value) {
                        return true;
                    }
                }
                return false;
            });
    }

    const wire::PeekFilter* filter_;
};

// Who does not filter is of the first releases, perhaps, and knows three states.
wire::MessageState state_of(engine::LiveState state, const wire::Peek& frame) {
    switch (state) {
        case engine::LiveState::ready: return wire::MessageState::ready;
        case engine::LiveState::delayed: return wire::MessageState::delayed;
        case engine::LiveState::held: return wire::MessageState::held;
        case engine::LiveState::purged: return wire::MessageState::purged;
        case engine::LiveState::dying:
            return frame.filter ? wire::MessageState::dying : wire::MessageState::leased;
        case engine::LiveState::leased:
        case engine::LiveState::ending:
        case engine::LiveState::aside: break;
    }
    return wire::MessageState::leased;
}

}  // namespace

void Session::peek(const wire::Peek& frame, CorrelationId correlation) {
    engine::Queue* queue = find_queue(frame.queue, correlation);
    if (queue == nullptr || !takes_largest(correlation)) {
        return;
    }
    core_.lifetimes_.used(*queue);
    wire::PeekReply reply;
    reply.next = frame.from;
    for (wire::Peek rest = frame;;) {
        const MessageNumber unread = collect(*queue, rest, reply);
        const bool more = unread.value() != UINT64_MAX;
        const bool coming = more && core_.backlog_->want(*queue, unread);
        // A filter that lets nothing through does not make anybody wait for page after page.
        const bool went_on = frame.filter && reply.next > frame.from;
        if (reply.runs.empty() && coming && !went_on) {
            PendingPeek& pending = core_.peeks_.emplace_back();
            pending.session = this;
            pending.correlation = correlation;
            wire::Writer writer(pending.frame);
            rest.encode(writer);
            return;
        }
        if (!reply.runs.empty() || !more || coming) {
            reply.more = reply.more || more;
            break;
        }
        rest.from = core_.backlog_->behind_unreadable(*queue, unread);
        reply.next = rest.from;
    }
    send(reply, correlation);
}

// Appends what is in memory. Returns the first message that is not, if that is why it ended.
MessageNumber Session::collect(const engine::Queue& queue, const wire::Peek& frame,
                               wire::PeekReply& reply) const {
    std::uint64_t left = std::clamp(frame.max, 1u, peek_max);
    std::uint64_t bytes_left = std::min<std::uint64_t>(peek_bytes_max, frame_body_bytes_max_ / 2);
    std::uint64_t looks_left = looked_at_max;
    const Wanted wanted(frame);
    const auto append = [&](const Block& block, MessageRange range, std::uint32_t attempts,
                            engine::LiveState state) {
        wire::PeekedRun run;
        run.state = state_of(state, frame);
        if (state == engine::LiveState::delayed) {
            run.due = core_.wall_time_of(queue.delay_of(range.first).due);
        }
        const wire::Bytes batch = block.slice(range);
        run.messages = {range.first, block.published, static_cast<std::uint32_t>(range.count),
                        attempts,    block.sender,    batch};
        reply.runs.push_back(run);
        left -= range.count;
        bytes_left -=
            std::min<std::uint64_t>(bytes_left, batch.size() + wire::PeekReply::run_fixed_bytes);
    };
    return queue.peek(frame.from, wanted.states(),
                      [&](const engine::Extent& extent, MessageRange range, std::uint32_t attempts,
                          engine::LiveState state) {
                          const auto& block = static_cast<const Block&>(extent);
                          while (range.count > 0) {
                              if (left == 0 || bytes_left == 0 || looks_left == 0) {
                                  reply.more = true;
                                  return false;
                              }
                              MessageRange found = wanted.next(block, range, looks_left);
                              const std::uint64_t fitting =
                                  std::max<std::uint64_t>(extent.fitting(found.first, bytes_left),
                                                          reply.runs.empty() ? 1 : 0);
                              const bool whole = found.count <= std::min(fitting, left);
                              found.count = std::min({found.count, left, fitting});
                              if (found.count > 0) {
                                  append(block, found, attempts, state);
                              }
                              reply.next = found.end();
                              range = {found.end(), range.end() - found.end()};
                              if (!whole) {
                                  reply.more = true;
                                  return false;
                              }
                          }
                          return true;
                      });
}

}  // namespace mqd::core
