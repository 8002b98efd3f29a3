#include <type_traits>

#include "mqd/wire/backup.hpp"
#include "wire/any_frame.hpp"

namespace mqd::wire::test {
namespace {

// Gathers "name = value".
class Description {
  public:
    void number(const std::string& name, std::uint64_t value) { add(name, std::to_string(value)); }
    void signed_number(const std::string& name, std::int64_t value) {
        add(name, std::to_string(value));
    }
    void text(const std::string& name, std::string_view value) {
        add(name, '"' + std::string(value) + '"');
    }
    void text(const std::string& name, Bytes value) { text(name, as_text(value)); }
    void word(const std::string& name, std::string_view value) { add(name, std::string(value)); }
    void durability(Durability value) {
        static constexpr std::string_view words[] = {"unspecified", "memory", "written", "disk"};
        const auto at = static_cast<std::size_t>(value);
        word("durability", at < std::size(words) ? words[at] : "?");
    }
    void fail() { ok_ = false; }

    [[nodiscard]] std::optional<std::vector<std::string>> take() {
        return ok_ ? std::optional(std::move(lines_)) : std::nullopt;
    }

  private:
    void add(const std::string& name, const std::string& value) {
        lines_.push_back(name + " = " + value);
    }

    std::vector<std::string> lines_;
    bool ok_ = true;
};

void describe_dead_letter(Description& d, const DeadLetterView& dead) {
    d.word("cause", dead.cause == DeadLetterCause::attempts   ? "attempts"
                    : dead.cause == DeadLetterCause::rejected ? "rejected"
                    : dead.cause == DeadLetterCause::expired  ? "expired"
                    : dead.cause == DeadLetterCause::overflow ? "overflow"
                                                              : "?");
    d.number("attempts", dead.attempts);
    d.signed_number("first_failed", dead.first_failed.time_since_epoch().count());
    d.signed_number("last_failed", dead.last_failed.time_since_epoch().count());
    d.number("incarnation", dead.incarnation.value());
    d.number("number", dead.number.value());
    d.text("queue", dead.queue);
    d.text("reason", dead.reason);
}

void describe_batch(Description& d, Bytes batch) {
    BatchReader messages(batch);
    while (const auto message = messages.next()) {
        d.number("body_bytes", message->body.size());
        d.number("attributes_bytes", message->attributes.size());
        AttributeReader attributes(message->attributes);
        while (const auto attribute = attributes.next()) {
            d.number("attribute", attribute->id | (attribute->critical ? critical_bit : 0));
            d.number("value_bytes", attribute->value.size());
            const auto header = decode_header(*attribute);
            if (header) {
                d.number("key_bytes", header->key.size());
                d.text("key", header->key);
                d.text("value", header->value);
            } else if (const auto dead = decode_dead_letter(*attribute)) {
                describe_dead_letter(d, *dead);
            } else if (attribute->id == static_cast<std::uint16_t>(AttributeId::priority)) {
                d.number("priority", Reader(attribute->value).number<std::uint8_t>());
            } else if (attribute->id == static_cast<std::uint16_t>(AttributeId::delay)) {
                d.number("delay_ms", Reader(attribute->value).number<std::uint64_t>());
            } else if (attribute->id == static_cast<std::uint16_t>(AttributeId::due)) {
                d.signed_number("due", Reader(attribute->value).number<std::int64_t>());
            } else if (attribute->id == static_cast<std::uint16_t>(AttributeId::dedup_id)) {
                d.text("dedup_id", as_text(attribute->value));
            } else if (attribute->id == static_cast<std::uint16_t>(AttributeId::group)) {
                d.text("group", as_text(attribute->value));
            } else if (attribute->id == static_cast<std::uint16_t>(AttributeId::ttl)) {
                d.number("ttl_ms", Reader(attribute->value).number<std::uint64_t>());
            } else {
                d.text("value", attribute->value);
            }
        }
        d.text("body", message->body);
        attributes.ok() ? void() : d.fail();
    }
    messages.ok() ? void() : d.fail();
}

void describe_ranges(Description& d, const RangeList& ranges) {
    d.number("ranges", ranges.size());
    for (std::size_t i = 0; i < ranges.size(); ++i) {
        d.number("first", ranges[i].first.value());
        d.number("count", ranges[i].count);
    }
}

void describe_identity(Description& d, const Identity& identity) {
    d.number("uid", identity.uid);
    d.number("gid", identity.gid);
    d.number("pid", identity.pid);
}

template <FrameType Type>
void describe_body(Description&, const EmptyFrame<Type>&) {}

template <FrameType Type>
void describe_body(Description& d, const PingFrame<Type>& f) {
    d.text("payload", f.payload);
}

template <FrameType Type>
void describe_body(Description& d, const QueueNamed<Type>& f) {
    d.text("queue", f.queue);
}

template <FrameType Type>
void describe_body(Description& d, const Settle<Type>& f) {
    d.number("lease_ms", f.lease_ms);
    describe_ranges(d, f.ranges);
}

void describe_for_good(Description& d, bool for_good) {
    if (for_good) {
        d.number("flags", std::uint64_t{flag_for_good});
    }
}

void describe_body(Description& d, const QueuePurge& f) {
    d.text("queue", f.queue);
    describe_for_good(d, f.for_good);
}

void describe_body(Description& d, const MessagesDelete& f) {
    d.text("queue", f.queue);
    d.number("incarnation", f.incarnation.value());
    describe_ranges(d, f.ranges);
    describe_for_good(d, f.for_good);
}

void describe_body(Description& d, const MessagesMove& f) {
    d.text("queue", f.queue);
    d.number("incarnation", f.incarnation.value());
    d.text("target", f.target);
    describe_ranges(d, f.ranges);
}

void describe_body(Description& d, const MessageHistory& f) {
    d.text("queue", f.queue);
    d.number("incarnation", f.incarnation.value());
    d.number("number", f.number.value());
    d.number("from", f.from);
}

void describe_body(Description& d, const MessageHistoryReply& f) {
    d.number("incarnation", f.incarnation.value());
    d.number("kept", f.kept);
    d.signed_number("known_from", to_micros(f.known_from));
    d.number("next_number", f.next_number.value());
    d.number("state", static_cast<std::uint8_t>(f.state));
    d.number("deliveries", f.deliveries);
    d.signed_number("first_failed", to_micros(f.first_failed));
    d.signed_number("last_failed", to_micros(f.last_failed));
    d.number("rejected", f.rejected ? 1 : 0);
    d.text("reason", f.reason);
    d.number("next", f.next);
    d.number("events", f.events.size());
    for (const HistoryEvent& event : f.events) {
        d.number("kind", static_cast<std::uint8_t>(event.kind));
        d.signed_number("at", to_micros(event.at));
        describe_identity(d, event.by);
        d.number("handle", event.handle.value());
        d.number("attempt", event.attempt);
        d.text("client", event.client);
        d.text("text", event.text);
        d.number("incarnation", event.incarnation.value());
        d.number("number", event.number.value());
    }
}

void describe_body(Description& d, const Nack& f) {
    d.number("delay_ms", f.delay_ms);
    describe_ranges(d, f.ranges);
    d.text("reason", f.reason);
}

void describe_body(Description& d, const Hello& f) {
    d.number("magic", f.magic);
    d.number("version_min", f.version_min);
    d.number("version_max", f.version_max);
    d.number("features", f.features);
    d.number("frame_body_bytes_max", f.frame_body_bytes_max);
    d.number("heartbeat_ms", f.heartbeat_ms);
    d.text("client_name", f.client_name);
}

void describe_body(Description& d, const Welcome& f) {
    d.number("version", f.version);
    d.number("features", f.features);
    d.number("frame_body_bytes_max", f.frame_body_bytes_max);
    d.number("message_body_bytes_max", f.message_body_bytes_max);
    d.number("handles_max", f.handles_max);
    d.number("heartbeat_ms", f.heartbeat_ms);
    describe_identity(d, f.identity);
    d.text("server_name", f.server_name);
}

void describe_body(Description& d, const OpenProducer& f) {
    d.text("queue", f.queue);
    if (!f.producer.empty() || f.wait_ms != 0) {
        d.text("producer", f.producer);
    }
    if (f.wait_ms != 0) {
        d.number("wait_ms", f.wait_ms);
    }
}

void describe_body(Description& d, const OpenConsumer& f) {
    d.text("queue", f.queue);
    d.number("lease_ms", f.lease_ms);
    d.number("message_limit", f.message_limit);
    d.number("byte_limit", f.byte_limit);
    static constexpr std::string_view words[] = {"shared", "exclusive", "single_active"};
    const auto at = static_cast<std::size_t>(f.sharing);
    d.word("sharing", at < std::size(words) ? words[at] : "?");
}

void describe_body(Description& d, const Opened& f) {
    d.number("incarnation", f.incarnation.value());
    d.durability(f.durability);
    d.number("lease_ms", f.lease_ms);
    d.number("message_limit", f.message_limit);
    d.number("byte_limit", f.byte_limit);
    static constexpr std::string_view words[] = {"unsaid", "active", "waiting"};
    const auto at = static_cast<std::size_t>(f.turn);
    d.word("turn", at < std::size(words) ? words[at] : "?");
    if (f.last_line) {
        d.number("last_line", f.last_line->value());
    }
}

void describe_body(Description& d, const Publish& f) {
    d.number("first_line", f.first_line.value());
    d.number("count", f.count);
    d.durability(f.durability);
    describe_batch(d, f.batch);
}

void describe_body(Description& d, const Credit& f) {
    d.number("message_limit", f.message_limit);
    d.number("byte_limit", f.byte_limit);
}

void describe_body(Description& d, const Confirm& f) {
    d.number("first_line", f.first_line.value());
    d.durability(f.durability);
    describe_body(d, f.credit);
    d.number("runs", f.size());
    for (std::size_t i = 0; i < f.size(); ++i) {
        d.number("first_number", f[i].first_number.value());
        d.number("count", f[i].count);
    }
}

void describe_body(Description& d, const ErrorFrame& f) {
    d.word("code", error_name(f.code));
    d.number("limit", f.limit);
    d.number("retry_after_ms", f.retry_after_ms);
    d.text("text", f.text);
}

void describe_body(Description& d, const Refuse& f) {
    d.number("first_line", f.first_line.value());
    d.number("count", f.count);
    describe_body(d, f.credit);
    describe_body(d, f.error);
}

void describe_body(Description& d, const Deliver& f) {
    d.number("first_number", f.first_number.value());
    d.signed_number("published", to_micros(f.published));
    d.number("count", f.count);
    d.number("attempt", f.attempt);
    describe_identity(d, f.sender);
    describe_batch(d, f.batch);
}

void describe_body(Description& d, const Transact& f) {
    d.durability(f.durability);
    d.number("operations", f.count);
    Reader reader(f.operations);
    for (std::size_t i = 0; i < f.count; ++i) {
        const TransactOperation operation = Transact::next(reader);
        d.number("kind", static_cast<std::uint64_t>(operation.kind));
        d.number("operation_handle", operation.handle.value());
        d.number("operation_bytes", operation.body.size());
        const auto of = [&](const auto& body) { body ? describe_body(d, *body) : d.fail(); };
        switch (operation.kind) {
            case TransactKind::publish: {
                const auto publish = TransactPublish::decode(operation.body);
                if (!publish) {
                    return d.fail();
                }
                d.text("queue", publish->queue);
                d.number("count", publish->count);
                describe_batch(d, publish->batch);
                break;
            }
            case TransactKind::ack:
            case TransactKind::extend: of(Extend::decode(operation.body)); break;
            case TransactKind::nack:
            case TransactKind::reject: of(Nack::decode(operation.body)); break;
        }
    }
}

void describe_body(Description& d, const Transacted& f) {
    d.durability(f.durability);
    d.number("published", f.published.size());
    for (const TransactedPublish& one : f.published) {
        d.number("incarnation", one.incarnation.value());
        d.number("runs", one.runs.size());
        for (const ConfirmedRun& run : one.runs) {
            d.number("first_number", run.first_number.value());
            d.number("count", run.count);
        }
    }
}

void describe_body(Description& d, const Settled& f) {
    d.durability(f.durability);
    d.number("settled", f.settled);
    d.number("not_leased", f.not_leased);
}

void describe_body(Description& d, const LeaseLost& f) {
    describe_ranges(d, f.ranges);
}

void describe_options(Description& d, const QueueOptions& o) {
    const auto option = [&](QueueOptionId id, std::size_t bytes) {
        d.number("option", static_cast<std::uint16_t>(id));
        d.number("value_bytes", bytes);
    };
    const auto number = [&](QueueOptionId id, const std::string& name, const auto& value) {
        if (value) {
            option(id, sizeof *value);
            d.number(name, static_cast<std::uint64_t>(*value));
        }
    };
    d.number("options", o.count());
    if (o.durability) {
        option(QueueOptionId::durability, 1);
        d.durability(*o.durability);
    }
    number(QueueOptionId::lease_ms, "lease_ms", o.lease_ms);
    number(QueueOptionId::max_attempts, "max_attempts", o.max_attempts);
    if (o.dead_letter) {
        option(QueueOptionId::dead_letter, o.dead_letter->size());
        d.text("dead_letter", *o.dead_letter);
    }
    number(QueueOptionId::max_messages, "max_messages", o.max_messages);
    number(QueueOptionId::max_bytes, "max_bytes", o.max_bytes);
    number(QueueOptionId::on_full, "on_full", o.on_full);
    if (o.retry) {
        option(QueueOptionId::retry, o.retry->size() * 4);
        for (const auto delay : *o.retry) {
            d.number("retry_ms", static_cast<std::uint64_t>(delay.count()));
        }
    }
    number(QueueOptionId::paused, "paused", o.paused);
    number(QueueOptionId::priorities, "priorities", o.priorities);
    number(QueueOptionId::ttl, "ttl_ms", o.ttl_ms);
    number(QueueOptionId::on_expired, "on_expired", o.on_expired);
    number(QueueOptionId::dedup_window, "dedup_window_ms", o.dedup_window_ms);
    number(QueueOptionId::dedup_count, "dedup_count", o.dedup_count);
    number(QueueOptionId::expire_idle, "expire_idle_ms", o.expire_idle_ms);
    number(QueueOptionId::temporary, "temporary", o.temporary);
    number(QueueOptionId::group_in_flight, "group_in_flight", o.group_in_flight);
    number(QueueOptionId::history, "history", o.history);
    number(QueueOptionId::history_time, "history_time_ms", o.history_time_ms);
    if (o.group_rate) {
        option(QueueOptionId::group_rate, 8);
        d.number("group_rate", o.group_rate->count);
        d.number("group_rate_seconds", static_cast<std::uint64_t>(o.group_rate->per.count()));
    }
    number(QueueOptionId::undo_time, "undo_time_ms", o.undo_time_ms);
}

template <FrameType Type>
void describe_body(Description& d, const QueueWithOptions<Type>& f) {
    d.text("queue", f.queue);
    describe_options(d, f.options);
}

void describe_body(Description& d, const QueueInfo& f) {
    d.text("queue", f.queue);
    d.number("incarnation", f.incarnation.value());
    d.durability(f.durability);
    d.number("lease_ms", f.lease_ms);
    d.number("ready", f.ready);
    d.number("leased", f.leased);
    d.number("bytes", f.bytes);
    d.number("next_number", f.next_number.value());
    d.number("consumers", f.consumers);
    d.number("producers", f.producers);
    d.number("dying", f.dying);
    d.number("delayed", f.delayed);
    describe_options(d, f.options);
    d.number("held", f.held);
    d.number("expired", f.expired);
    d.number("levels", f.next_of_levels.size());
    for (const MessageNumber next : f.next_of_levels) {
        d.number("next_of_level", next.value());
    }
    d.number("duplicates", f.duplicates);
    d.number("purged", f.purged);
    d.number("undo_until_us", static_cast<std::uint64_t>(to_micros(f.undo_until)));
}

void describe_body(Description& d, const QueueList& f) {
    d.text("after", f.after);
    d.number("max", f.max);
}

void describe_body(Description& d, const QueueListReply& f) {
    d.number("more", f.more ? 1 : 0);
    d.number("queues", f.queues.size());
    for (const QueueInfo& queue : f.queues) {
        d.number("entry_bytes", encode_body(queue).size());
        describe_body(d, queue);
    }
}

void describe_body(Description& d, const Done& f) {
    d.number("count", f.count);
    if (f.next.value() != 0 || f.kept != 0) {
        d.number("next", f.next.value());
    }
    if (f.kept != 0) {
        d.number("kept", f.kept);
    }
}

void describe_body(Description& d, const Peek& f) {
    d.text("queue", f.queue);
    d.number("from", f.from.value());
    d.number("max", f.max);
    if (f.filter) {
        d.number("states", f.filter->states);
        d.signed_number("published_from", to_micros(f.filter->published_from));
        d.signed_number("published_before", to_micros(f.filter->published_before));
        d.number("headers", f.filter->headers.size());
        for (const HeaderView& header : f.filter->headers) {
            d.text("key", header.key);
            d.text("value", header.value);
        }
    }
}

void describe_body(Description& d, const PeekReply& f) {
    d.number("next", f.next.value());
    d.number("more", f.more ? 1 : 0);
    d.number("runs", f.runs.size());
    for (const PeekedRun& run : f.runs) {
        const bool delayed = run.state == MessageState::delayed;
        d.word("state", run.state == MessageState::ready  ? "ready"
                        : delayed                         ? "delayed"
                        : run.state == MessageState::held ? "held"
                                                          : "leased");
        d.number("run_bytes", (delayed ? 8 : 0) + encode_body(run.messages).size());
        if (delayed) {
            d.signed_number("due", to_micros(run.due));
        }
        describe_body(d, run.messages);
    }
}

void describe_body(Description& d, const StatusReply& f) {
    d.number("items", f.items.size());
    for (const StatusReply::Item& item : f.items) {
        d.text("name", item.name);
        d.number("value", item.value);
    }
}

void describe_body(Description& d, const BackupReply& f) {
    d.number("files", f.files);
    d.number("bytes", f.bytes);
}

void describe_body(Description& d, const BackupPart& f) {
    d.word("end", f.end == BackupEnd::none ? "none" : f.end == BackupEnd::file ? "file" : "backup");
    d.number("offset", f.offset);
    d.text("file", f.file);
    d.text("bytes", as_text(f.bytes));
}

}  // namespace

std::optional<std::vector<std::string>> describe(Bytes frame) {
    Description d;
    if (frame.size() < frame_header_bytes) {
        return std::nullopt;
    }
    const FrameHeader header = decode_frame_header(frame.data());
    d.number("body_bytes", header.body_bytes);
    d.number("type", static_cast<std::uint8_t>(header.type));
    d.number("flags", header.flags);
    d.number("correlation", header.correlation.value());
    d.number("handle", header.handle.value());
    const Bytes body = frame.subspan(frame_header_bytes);
    if (body.size() != header.body_bytes) {
        return std::nullopt;
    }
    const bool known = with_frame_type(header.type, [&d, body](const auto& empty) {
        const auto decoded = empty.decode(body);
        decoded ? describe_body(d, *decoded) : d.fail();
    });
    return known ? d.take() : std::nullopt;
}

}  // namespace mqd::wire::test
