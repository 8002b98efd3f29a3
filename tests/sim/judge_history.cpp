// What the judge makes of the history of a message. Queues keep all of it since the last start; so
// each delivery that anybody heard of before somebody asked must be told, each delivery has one
// outcome before the next one, and there is one end, behind everything else.

#include "sim/judge.hpp"

namespace mqd::sim {

namespace {

using wire::HistoryKind;

bool ends(HistoryKind kind) {
    switch (kind) {
        case HistoryKind::acked:
        case HistoryKind::expired:
        case HistoryKind::dropped:
        case HistoryKind::purged:
        case HistoryKind::deleted:
        case HistoryKind::moved:
        case HistoryKind::dead_lettered: return true;
        case HistoryKind::published:
        case HistoryKind::delivered:
        case HistoryKind::nacked:
        case HistoryKind::rejected:
        case HistoryKind::lease_expired:
        case HistoryKind::consumer_gone:
        case HistoryKind::given_back:
        case HistoryKind::arrived:
        case HistoryKind::arrived_dead:
        case HistoryKind::restored: break;
    }
    return false;
}

bool begins(HistoryKind kind) {
    return kind == HistoryKind::published || kind == HistoryKind::arrived ||
           kind == HistoryKind::arrived_dead;
}

// Of a delivery: it is not leased any more.
bool gives_up(HistoryKind kind) {
    return kind == HistoryKind::acked || kind == HistoryKind::nacked ||
           kind == HistoryKind::rejected || kind == HistoryKind::lease_expired ||
           kind == HistoryKind::consumer_gone || kind == HistoryKind::given_back;
}

// What is wrong with the order of its events; empty: nothing. `leased`: as it is behind them.
std::string out_of_order(const std::vector<wire::HistoryEvent>& events, bool& leased, bool& ended) {
    leased = false;
    ended = false;
    for (std::size_t i = 0; i < events.size(); ++i) {
        const HistoryKind kind = events[i].kind;
        const bool undone = kind == HistoryKind::restored;
        const bool was_purged = i > 0 && (events[i - 1].kind == HistoryKind::purged ||
                                          events[i - 1].kind == HistoryKind::deleted);
        // For good, perhaps, what could be put back before.
        const bool again =
            was_purged && (kind == HistoryKind::purged || kind == HistoryKind::deleted);
        if (undone ? i > 0 && !was_purged : ended && !again) {
            return undone ? "is put back, and was not purged" : "goes on behind its end";
        }
        if (begins(kind) && i != 0) {
            return "begins behind another event";
        }
        if ((kind == HistoryKind::delivered && leased) || (gives_up(kind) && !leased)) {
            return "has a delivery without an outcome, or an outcome without a delivery";
        }
        if (ends(kind) && kind != HistoryKind::acked && leased) {
            return "ends while it is leased";
        }
        leased = kind == HistoryKind::delivered;
        ended = ends(kind);
    }
    return {};
}

}  // namespace

void Judge::heard(QueueId queue, const wire::Deliver& frame) {
    if (!remembers_) {
        return;
    }
    ++deliveries_heard_;
    for (std::uint32_t i = 0; i < frame.count; ++i) {
        heard_[{queue, frame.first_number.plus(i)}].push_back({deliveries_heard_, frame.attempt});
    }
}

void Judge::history_told(MessageNumber number, std::uint64_t heard_before,
                         const wire::MessageHistoryReply& reply) {
    if (!remembers_ || reply.next != 0 || reply.kept == 0) {
        return;
    }
    ++figures_.histories;
    const std::string what =
        "the history of " + std::to_string(reply.incarnation.value()) + ':' + format_number(number);
    bool leased = false;
    bool ended = false;
    if (const std::string wrong = out_of_order(reply.events, leased, ended); !wrong.empty()) {
        return violate(what + ' ' + wrong);
    }
    const bool there = reply.state != wire::HistoryState::gone;
    const bool ending =
        reply.state == wire::HistoryState::ending || reply.state == wire::HistoryState::purged;
    if (ended && there && !ending) {
        return violate(what + " tells its end, and it is there");
    }
    if (!reply.events.empty() && leased != (reply.state == wire::HistoryState::leased)) {
        return violate(what + " and its state do not agree on whether it is leased");
    }
    auto at = reply.events.begin();
    const auto heard = heard_.find({reply.incarnation, number});
    if (heard == heard_.end()) {
        return;
    }
    for (const HeardDelivery& delivery : heard->second) {
        if (delivery.place > heard_before) {
            break;
        }
        while (at != reply.events.end() &&
               (at->kind != HistoryKind::delivered || at->attempt != delivery.attempt)) {
            ++at;
        }
        if (at == reply.events.end()) {
            return violate(what + " does not tell its delivery number " +
                           std::to_string(delivery.attempt));
        }
        ++at;
    }
}

}  // namespace mqd::sim
