// The administration calls of Client: one request, one answer, copied out of the frame.

#include <algorithm>
#include <utility>

#include "client/connection.hpp"
#include "client/lease.hpp"
#include "client/message_filter.hpp"
#include "client/queue_name.hpp"
#include "mqd/client.hpp"
#include "mqd/wire/admin.hpp"
#include "mqd/wire/backup.hpp"
#include "mqd/wire/message_history.hpp"
#include "mqd/wire/message_move.hpp"

namespace mqd {

namespace {

constexpr std::uint32_t page_max = 1'000;  // queues or messages in one answer

Error malformed(std::string_view frame) {
    return {ErrorCode::protocol_violation,
            "the daemon sent a malformed " + std::string(frame) + " frame"};
}

QueueOptions from_wire(const wire::QueueOptions& from) {
    QueueOptions options;
    options.max_attempts = from.max_attempts;
    options.dead_letter = from.dead_letter;
    options.max_messages = from.max_messages;
    options.max_bytes = from.max_bytes;
    options.on_full = from.on_full.value_or(OnFull::unspecified);
    options.retry = from.retry;
    options.group_in_flight = from.group_in_flight;
    options.group_rate = from.group_rate;
    if (from.ttl_ms) {
        options.ttl = std::chrono::milliseconds(*from.ttl_ms);
    }
    options.on_expired = from.on_expired.value_or(OnExpired::unspecified);
    if (const auto paused = wire::Paused::from_bits(from.paused.value_or(0))) {
        options.publishing_paused = paused->publishing;
        options.consuming_paused = paused->consuming;
    }
    if (from.priorities) {
        options.priorities = *from.priorities != 0;
    }
    if (from.expire_idle_ms) {
        options.expire_idle = std::chrono::milliseconds(*from.expire_idle_ms);
    }
    options.history = from.history;
    if (from.history_time_ms) {
        options.history_time = std::chrono::milliseconds(*from.history_time_ms);
    }
    if (from.undo_time_ms) {
        options.undo_time = std::chrono::milliseconds(*from.undo_time_ms);
    }
    if (from.dedup_window_ms) {
        options.dedup_window = std::chrono::milliseconds(*from.dedup_window_ms);
    }
    options.dedup_count = from.dedup_count;
    if (from.temporary) {
        options.temporary = *from.temporary != 0;
    }
    return options;
}

QueueInfo to_queue_info(const wire::QueueInfo& frame) {
    QueueInfo info{std::string(frame.queue),
                   frame.incarnation,
                   from_wire(frame.options),
                   frame.ready,
                   frame.leased,
                   frame.bytes,
                   frame.next_number,
                   frame.consumers,
                   frame.producers,
                   frame.dying,
                   frame.delayed,
                   frame.held,
                   frame.expired,
                   frame.next_of_levels,
                   frame.duplicates,
                   frame.purged};
    if (frame.undo_until != WallTime{}) {
        info.undo_until = frame.undo_until;
    }
    info.options.durability = frame.durability;
    info.options.lease = std::chrono::milliseconds(frame.lease_ms);
    return info;
}

bool can_travel(const std::vector<std::chrono::milliseconds>& retry) {
    return retry.size() <= wire::retry_delays_max &&
           std::all_of(retry.begin(), retry.end(), [](std::chrono::milliseconds delay) {
               return delay.count() >= 0 && delay <= wire::retry_delay_max;
           });
}

Result<void> check(const QueueOptions& from) {
    if (auto bad = client::check_lease(from.lease)) {
        return *std::move(bad);
    }
    if (from.dead_letter && !from.dead_letter->empty() &&
        !wire::valid_queue_name(*from.dead_letter)) {
        return Error{ErrorCode::bad_option,
                     client::not_a_queue_name(*from.dead_letter) + ", for dead letters",
                     wire::queue_name_bytes_max};
    }
    if (from.retry && !can_travel(*from.retry)) {
        return Error{ErrorCode::bad_option, "retry has at most 32 delays, each of at most 30 days",
                     wire::retry_delays_max};
    }
    if (from.group_rate && !wire::valid_group_rate(*from.group_rate)) {
        return Error{ErrorCode::bad_option,
                     "a group_rate is at most 1000000 in a second, a minute, an hour or a day",
                     wire::group_rate_count_max};
    }
    if (from.history.value_or(0) > wire::history_max) {
        return Error{ErrorCode::bad_option, "history is at most 1000000 events", wire::history_max};
    }
    struct Longest {
        std::optional<std::chrono::milliseconds> QueueOptions::*option;
        std::chrono::milliseconds longest;
        const char* words;
    };
    for (const Longest& one :
         {Longest{&QueueOptions::ttl, wire::ttl_max, "a TTL is at most ten years long"},
          Longest{&QueueOptions::expire_idle, wire::expire_idle_max,
                  "expire_idle is at most ten years"},
          Longest{&QueueOptions::history_time, wire::history_time_max,
                  "history_time is at most ten years"},
          Longest{&QueueOptions::undo_time, wire::undo_time_max, "undo_time is at most ten years"},
          Longest{&QueueOptions::dedup_window, wire::dedup_window_max,
                  "dedup_window is at most ten years"}}) {
        const auto& said = from.*one.option;
        if (said && (said->count() < 0 || *said > one.longest)) {
            return Error{ErrorCode::bad_option, one.words,
                         static_cast<std::uint64_t>(one.longest.count())};
        }
    }
    return {};
}

// It views `from`.
Result<wire::QueueOptions> to_wire(const QueueOptions& from) {
    if (auto checked = check(from); !checked) {
        return checked.error();
    }
    wire::QueueOptions options;
    if (from.durability != Durability::unspecified) {
        options.durability = from.durability;
    }
    if (from.lease.count() != 0) {
        options.lease_ms = static_cast<std::uint32_t>(from.lease.count());
    }
    options.max_attempts = from.max_attempts;
    options.dead_letter = from.dead_letter;
    options.max_messages = from.max_messages;
    options.max_bytes = from.max_bytes;
    if (from.on_full != OnFull::unspecified) {
        options.on_full = from.on_full;
    }
    options.retry = from.retry;
    options.group_in_flight = from.group_in_flight;
    options.group_rate = from.group_rate;
    if (from.ttl) {
        options.ttl_ms = static_cast<std::uint64_t>(from.ttl->count());
    }
    if (from.on_expired != OnExpired::unspecified) {
        options.on_expired = from.on_expired;
    }
    if (from.expire_idle) {
        options.expire_idle_ms = static_cast<std::uint64_t>(from.expire_idle->count());
    }
    options.history = from.history;
    if (from.history_time) {
        options.history_time_ms = static_cast<std::uint64_t>(from.history_time->count());
    }
    if (from.undo_time) {
        options.undo_time_ms = static_cast<std::uint64_t>(from.undo_time->count());
    }
    if (from.dedup_window) {
        options.dedup_window_ms = static_cast<std::uint64_t>(from.dedup_window->count());
    }
    options.dedup_count = from.dedup_count;
    if (from.temporary) {
        options.temporary = static_cast<std::uint8_t>(*from.temporary);
    }
    if (from.publishing_paused || from.consuming_paused) {
        options.paused = wire::Paused{from.publishing_paused, from.consuming_paused}.bits();
    }
    options.priorities = from.priorities;
    return options;
}

Result<QueueInfo> to_queue_info(const Result<std::vector<std::byte>>& body) {
    if (!body) {
        return body.error();
    }
    const auto frame = wire::QueueInfo::decode(wire::Bytes(*body));
    if (!frame) {
        return malformed("QUEUE_INFO");
    }
    return to_queue_info(*frame);
}

Result<std::uint64_t> to_count(const Result<std::vector<std::byte>>& body) {
    if (!body) {
        return body.error();
    }
    const auto done = wire::Done::decode(*body);
    if (!done) {
        return malformed("DONE");
    }
    return done->count;
}

// A name that cannot travel is answered here.
std::optional<Error> check_name(std::string_view name) {
    if (wire::valid_queue_name(name)) {
        return std::nullopt;
    }
    return Error{ErrorCode::bad_name, client::not_a_queue_name(name), wire::queue_name_bytes_max};
}

// A daemon closes the connection.
std::optional<Error> check_ranges(std::span<const MessageRange> ranges) {
    const bool sane = std::all_of(ranges.begin(), ranges.end(), [](const MessageRange& range) {
        return range.count > 0 && range.first.value() > 0 &&
               range.first.value() <= UINT64_MAX - range.count;
    });
    if (sane) {
        return std::nullopt;
    }
    return Error{ErrorCode::bad_option, "a range of messages begins with 1 or more, and has one"};
}

// Leaves out what lies before a number. In order of their numbers.
void cut_before(std::vector<MessageRange>& ranges, MessageNumber number) {
    std::erase_if(ranges, [&](const MessageRange& range) { return range.end() <= number; });
    if (!ranges.empty() && ranges.front().first < number) {
        ranges.front() = {number, ranges.front().end() - number};
    }
}

// Appends the messages of a run; false if they are malformed.
bool append_run(std::vector<PeekedMessage>& messages, const wire::PeekedRun& run) {
    wire::BatchReader reader(run.messages.batch);
    std::uint32_t count = 0;
    while (const auto message = reader.next()) {
        PeekedMessage peeked;
        peeked.number = run.messages.first_number.plus(count++);
        peeked.state = run.state;
        peeked.deliveries = run.messages.attempt;
        peeked.published = run.messages.published;
        peeked.sender = run.messages.sender;
        for (const Header& header : Headers(message->attributes)) {
            peeked.headers.emplace_back(header.key, header.value);
        }
        peeked.body = wire::as_text(message->body);
        peeked.dead_letter = find_dead_letter(message->attributes);
        peeked.priority = find_priority(message->attributes);
        peeked.group = find_group(message->attributes);
        peeked.dedup_id = find_dedup_id(message->attributes);
        if (run.state == MessageState::delayed) {
            peeked.due = run.due;
        }
        if (const std::uint64_t ttl_ms = wire::ttl_of(message->attributes); ttl_ms != 0) {
            const std::chrono::milliseconds ttl(
                std::min(ttl_ms, static_cast<std::uint64_t>(wire::ttl_max.count())));
            peeked.expires = peeked.published + ttl;
        }
        messages.push_back(std::move(peeked));
    }
    return reader.ok() && count == run.messages.count;
}

// A daemon of an earlier release does not heed the filter.
Result<PeekPage> to_peek_page(const Result<std::vector<std::byte>>& body, MessageNumber from,
                              const MessageFilter& filter) {
    if (!body) {
        return body.error();
    }
    const auto reply = wire::PeekReply::decode(*body);
    if (!reply || (reply->more && reply->next <= from)) {  // it would never end
        return malformed("PEEK_REPLY");
    }
    PeekPage page{{}, reply->next, reply->more};
    for (const wire::PeekedRun& run : reply->runs) {
        if (!append_run(page.messages, run)) {
            return malformed("PEEK_REPLY");
        }
    }
    std::erase_if(page.messages,
                  [&](const PeekedMessage& message) { return !filter.lets_through(message); });
    return page;
}

// A program makes files of these names.
bool is_file_name(std::string_view name) {
    return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '-';
    });
}

}  // namespace

Result<QueueInfo> Client::create_queue(std::string_view name, const QueueOptions& options) {
    if (const auto bad = check_name(name)) {
        return *bad;
    }
    const auto said = to_wire(options);
    if (!said) {
        return said.error();
    }
    const wire::QueueCreate create{name, *said};
    return to_queue_info(connection_->call(create, wire::FrameType::queue_info));
}

Result<QueueInfo> Client::update_queue(std::string_view name, const QueueOptions& options) {
    if (const auto bad = check_name(name)) {
        return *bad;
    }
    const auto said = to_wire(options);
    if (!said) {
        return said.error();
    }
    const wire::QueueUpdate update{name, *said};
    return to_queue_info(connection_->call(update, wire::FrameType::queue_info));
}

Result<std::uint64_t> Client::delete_queue(std::string_view name) {
    if (const auto bad = check_name(name)) {
        return *bad;
    }
    return to_count(connection_->call(wire::QueueDelete{name}, wire::FrameType::done));
}

Result<std::uint64_t> Client::purge_queue(std::string_view name, bool for_good) {
    if (const auto bad = check_name(name)) {
        return *bad;
    }
    return to_count(connection_->call(wire::QueuePurge{name, for_good}, wire::FrameType::done));
}

Result<std::uint64_t> Client::undo_purge(std::string_view name) {
    if (const auto bad = check_name(name)) {
        return *bad;
    }
    return to_count(connection_->call(wire::QueueUndo{name}, wire::FrameType::done));
}

Result<std::uint64_t> Client::delete_messages(std::string_view queue, QueueId incarnation,
                                              std::span<const MessageRange> ranges, bool for_good) {
    if (const auto bad = check_name(queue)) {
        return *bad;
    }
    if (const auto bad = check_ranges(ranges)) {
        return *bad;
    }
    std::uint64_t deleted = 0;
    while (!ranges.empty()) {
        const auto part = ranges.first(std::min(ranges.size(), wire::ranges_max));
        const wire::MessagesDeleteRequest request{queue, incarnation, part, for_good};
        const auto count = to_count(connection_->call(request, wire::FrameType::done));
        if (!count) {
            return count.error();
        }
        deleted += *count;
        ranges = ranges.subspan(part.size());
    }
    return deleted;
}

Result<MovedMessages> Client::move_messages(std::string_view queue, QueueId incarnation,
                                            std::string_view target,
                                            std::span<const MessageRange> ranges) {
    for (const std::string_view name : {queue, target}) {
        if (const auto bad = check_name(name)) {
            return *bad;
        }
    }
    if (const auto bad = check_ranges(ranges)) {
        return *bad;
    }
    std::vector<MessageRange> rest(ranges.begin(), ranges.end());
    std::sort(rest.begin(), rest.end(),
              [](const MessageRange& a, const MessageRange& b) { return a.first < b.first; });
    MovedMessages moved;
    while (!rest.empty()) {
        const auto part = std::span(rest).first(std::min(rest.size(), wire::ranges_max));
        const wire::MessagesMoveRequest request{queue, incarnation, target, part};
        const auto body = connection_->call(request, wire::FrameType::done);
        if (!body) {
            if (moved.count == 0) {
                return body.error();
            }
            moved.stopped = body.error();
            break;
        }
        const auto done = wire::Done::decode(*body);
        const bool more = done && done->next.value() != 0;
        if (!done || (more && done->count == 0 && done->next <= rest.front().first)) {
            return malformed("DONE");  // it would never end
        }
        moved.count += done->count;
        if (more) {
            cut_before(rest, done->next);
        } else {
            rest.erase(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(part.size()));
        }
    }
    return moved;
}

Result<std::vector<QueueInfo>> Client::list_queues() {
    std::vector<QueueInfo> queues;
    bool more = true;
    while (more) {
        const std::string after = queues.empty() ? std::string() : queues.back().name;
        const auto body =
            connection_->call(wire::QueueList{after, page_max}, wire::FrameType::queue_list_reply);
        if (!body) {
            return body.error();
        }
        const auto page = wire::QueueListReply::decode(*body);
        if (!page || (page->more && page->queues.empty())) {
            return malformed("QUEUE_LIST_REPLY");
        }
        for (const wire::QueueInfo& queue : page->queues) {
            if (queue.queue <= after && !after.empty()) {
                return malformed("QUEUE_LIST_REPLY");  // it would never end
            }
            queues.push_back(to_queue_info(queue));
        }
        more = page->more;
    }
    return queues;
}

Result<QueueInfo> Client::show_queue(std::string_view name) {
    if (const auto bad = check_name(name)) {
        return *bad;
    }
    return to_queue_info(connection_->call(wire::QueueShow{name}, wire::FrameType::queue_info));
}

Result<PeekPage> Client::peek(std::string_view queue, MessageNumber from, std::uint32_t max,
                              const MessageFilter& filter) {
    const auto request = begin_peek(queue, from, max, filter);
    if (!request) {
        return request.error();
    }
    return to_peek_page(
        connection_->await_reply(*request->correlation_, connection_->default_deadline()), from,
        filter);
}

Result<PeekRequest> Client::begin_peek(std::string_view queue, MessageNumber from,
                                       std::uint32_t max, const MessageFilter& filter) {
    if (const auto bad = check_name(queue)) {
        return *bad;
    }
    auto wanted = client::to_wire(filter);
    if (!wanted) {
        return wanted.error();
    }
    const client::Connection::InUse in_use(*connection_);
    if (const auto bad = connection_->why_not_ready()) {
        return *bad;
    }
    const wire::Peek frame{queue, from, std::clamp<std::uint32_t>(max, 1, page_max),
                           *std::move(wanted)};
    return PeekRequest(connection_->session().request(frame, wire::FrameType::peek_reply), from,
                       filter);
}

Result<std::optional<PeekPage>> Client::take_peek(PeekRequest& request) {
    auto body = take(request.correlation_);
    if (!body) {
        return body.error();
    }
    if (!*body) {
        return std::optional<PeekPage>();
    }
    auto page = to_peek_page(std::move(**body), request.from_, request.filter_);
    if (!page) {
        return page.error();
    }
    return std::optional(std::move(*page));
}

Result<std::optional<std::vector<std::byte>>> Client::take(
    std::optional<CorrelationId>& correlation) {
    if (!correlation) {
        return Error{ErrorCode::usage, "the answer was taken"};
    }
    if (connection_->session().reply(*correlation) == nullptr) {
        return std::optional<std::vector<std::byte>>();
    }
    auto body = connection_->await_reply(*correlation, connection_->default_deadline());
    correlation.reset();
    if (!body) {
        return body.error();
    }
    return std::optional(std::move(*body));
}

template <typename Frame>
Result<BackupRequest> Client::begin(const Frame& frame, wire::FrameType expected) {
    const client::Connection::InUse in_use(*connection_);
    if (const auto bad = connection_->why_not_ready()) {
        return *bad;
    }
    return BackupRequest(connection_->session().request(frame, expected));
}

Result<BackupRequest> Client::begin_backup() {
    return begin(wire::Backup{}, wire::FrameType::backup_reply);
}

Result<std::optional<BackupSize>> Client::take_backup(BackupRequest& request) {
    const auto body = take(request.correlation_);
    if (!body) {
        return body.error();
    }
    if (!*body) {
        return std::optional<BackupSize>();
    }
    const auto reply = wire::BackupReply::decode(**body);
    if (!reply) {
        return malformed("BACKUP_REPLY");
    }
    return std::optional(BackupSize{reply->files, reply->bytes});
}

Result<BackupRequest> Client::begin_backup_part() {
    return begin(wire::BackupNext{}, wire::FrameType::backup_part);
}

Result<std::optional<BackupPart>> Client::take_backup_part(BackupRequest& request) {
    const auto body = take(request.correlation_);
    if (!body) {
        return body.error();
    }
    if (!*body) {
        return std::optional<BackupPart>();
    }
    const auto frame = wire::BackupPart::decode(**body);
    if (!frame || !is_file_name(frame->file)) {
        return malformed("BACKUP_PART");
    }
    BackupPart part;
    part.file = frame->file;
    part.offset = frame->offset;
    part.bytes.assign(frame->bytes.begin(), frame->bytes.end());
    part.ends_file = frame->end != wire::BackupEnd::none;
    part.ends_backup = frame->end == wire::BackupEnd::backup;
    return std::optional(std::move(part));
}

Result<std::vector<StatusItem>> Client::status() {
    const auto body = connection_->call(wire::Status{}, wire::FrameType::status_reply);
    if (!body) {
        return body.error();
    }
    const auto reply = wire::StatusReply::decode(*body);
    if (!reply) {
        return malformed("STATUS_REPLY");
    }
    std::vector<StatusItem> items;
    for (const auto& item : reply->items) {
        items.push_back({std::string(item.name), item.value});
    }
    return items;
}

Result<std::chrono::nanoseconds> Client::ping() {
    const auto begin = std::chrono::steady_clock::now();
    const auto body = connection_->call(wire::Ping{}, wire::FrameType::pong);
    if (!body) {
        return body.error();
    }
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() -
                                                                begin);
}

}  // namespace mqd
