// Producer of mqd/client.hpp, over ProducerHandle (which packs and accounts) and Connection (which
// waits).

#include <algorithm>
#include <utility>

#include "client/connection.hpp"
#include "client/parts.hpp"
#include "mqd/assert.hpp"
#include "mqd/client.hpp"

namespace mqd {

namespace client {

namespace {

// The daemon would refuse it, and all lines behind it.
std::optional<Error> check_due(WallTime due) {
    const auto now =
        std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
    if (due <= now || due - now <= wire::delay_max) {
        return std::nullopt;
    }
    return Error{ErrorCode::bad_option, "due: more than ten years ahead",
                 static_cast<std::uint64_t>(wire::delay_max.count())};
}

}  // namespace

ProducerPart::ProducerPart(std::shared_ptr<Connection> owner, HandleId number)
    : Part(std::move(owner), number), handle(&connection_->session().producer(number)) {
    queue = handle->queue;
    incarnation = handle->incarnation;
    durability = handle->durability;
    last_line = handle->last_line();
}

void ProducerPart::take_news() {
    const std::size_t untold = confirmed.size();  // a handler threw before
    handle->take_confirmed(confirmed);
    for (std::size_t i = untold; i < confirmed.size(); ++i) {
        last_confirmed = confirmed[i];
        if (collected != nullptr) {
            collected->push_back(confirmed[i]);
        }
    }
    tell_each(confirmed, handler);
}

Error ProducerPart::out_of_credit() const {
    return {ErrorCode::timeout,
            "the daemon grants no more publish credit to queue \"" + queue + "\" for now"};
}

// No credit, or no room for output: waits for some, and tries again.
Result<LineNumber> ProducerPart::send_blocking(wire::Bytes body, HeaderList headers,
                                               const MessageOptions& options) {
    const Deadline deadline = connection_->default_deadline();
    while (true) {
        const bool room =
            connection_->run_until(deadline, [&] { return !connection_->output_is_full(); });
        if (room) {
            const auto line = handle->send(body, headers, options);
            if (!line) {
                return line.error();
            }
            if (*line) {
                connection_->pump_if_due();
                return **line;
            }
        }
        if (handle->state == HandleState::open && !connection_->step(deadline) &&
            deadline.passed()) {
            return out_of_credit();
        }
        if (handle->state != HandleState::open) {
            return why_ended(*handle);
        }
    }
}

Result<LineNumber> ProducerPart::send(wire::Bytes body, HeaderList headers,
                                      const MessageOptions& options, bool may_block) {
    const Connection::InUse in_use(*connection_);
    if (!usable()) [[unlikely]] {
        return why_not_usable();
    }
    if (options.due) [[unlikely]] {
        if (auto bad = check_due(*options.due)) {
            return *std::move(bad);
        }
    }
    connection_->keep_up();
    if (!connection_->output_is_full()) [[likely]] {
        const auto line = handle->send(body, headers, options);
        if (!line) [[unlikely]] {
            return line.error();
        }
        if (*line) [[likely]] {
            connection_->pump_if_due();
            return **line;
        }
    }
    if (may_block) {
        return send_blocking(body, headers, options);
    }
    connection_->step(Deadline::after(Timeout(0)));
    if (!connection_->output_is_full()) {
        const auto line = handle->send(body, headers, options);
        if (!line) {
            return line.error();
        }
        if (*line) {
            return **line;
        }
    }
    return out_of_credit();
}

Error ProducerPart::outcome_unknown() const {
    return {ErrorCode::outcome_unknown, "queue \"" + queue + "\": no answer to " +
                                            std::to_string(handle->unconfirmed()) +
                                            " messages: " + why_ended(*handle).text};
}

Error ProducerPart::as_taken(const Error& error) const {
    if (error.code != ErrorCode::timeout) {
        return error;
    }
    return {ErrorCode::outcome_unknown, "queue \"" + queue + "\": no answer in time to " +
                                            std::to_string(handle->unconfirmed()) +
                                            " messages, which are under way"};
}

Result<void> ProducerPart::wait_line(LineNumber line, Deadline deadline) {
    const Connection::InUse in_use(*connection_);
    const bool known = connection_->run_until(deadline, [&] {
        return line < handle->answered_up_to() || handle->refused(line) != nullptr ||
               handle->state == HandleState::ended;
    });
    if (const Error* refused = handle->refused(line)) {
        return *refused;
    }
    if (line < handle->known_from()) {
        return Error{ErrorCode::usage,
                     "whether that line was confirmed is not remembered any more"};
    }
    if (line < handle->answered_up_to()) {
        return {};
    }
    if (known || handle->state == HandleState::ended) {
        return outcome_unknown();
    }
    return Error{ErrorCode::timeout, "no confirm in time"};
}

Result<void> ProducerPart::wait_line_by_steps(LineNumber line) {
    while (true) {
        const LineNumber before = handle->answered_up_to();
        auto waited = wait_line(line, default_deadline());
        const bool in_vain = handle->answered_up_to() == before;
        if (waited || waited.error().code != ErrorCode::timeout || in_vain) {
            return waited;
        }
    }
}

Result<void> ProducerPart::publish_many(std::span<const Message> messages,
                                        std::vector<ConfirmedLines>& runs) {
    const Collecting collecting(*this, runs);
    std::optional<LineNumber> last;
    for (const Message& message : messages) {
        const auto line =
            send(wire::as_bytes(message.body), message.headers, message.options, true);
        if (!line) {
            return line.error();
        }
        last = *line;
    }
    if (last) {
        if (const auto waited = wait_line_by_steps(*last); !waited) {
            return as_taken(waited.error());
        }
    }
    return {};
}

Result<void> ProducerPart::wait_answered(Deadline deadline) {
    (void)connection_->run_until(deadline, [&] {
        return handle->unconfirmed() == 0 || handle->state == HandleState::ended;
    });
    return check_unconfirmed(0);
}

Result<void> ProducerPart::wait_unconfirmed(std::uint64_t at_most, Deadline deadline) {
    const Connection::InUse in_use(*connection_);
    (void)connection_->run_until(deadline, [&] {
        return handle->unconfirmed() <= at_most || handle->refusal() ||
               handle->state == HandleState::ended;
    });
    return check_unconfirmed(at_most);
}

Result<void> ProducerPart::check_unconfirmed(std::uint64_t at_most) const {
    if (handle->refusal()) {
        return handle->refusal()->error;
    }
    if (handle->unconfirmed() <= at_most) {
        return {};
    }
    if (handle->state == HandleState::ended) {
        return outcome_unknown();
    }
    return Error{ErrorCode::timeout,
                 std::to_string(handle->unconfirmed()) + " messages are not confirmed in time"};
}

}  // namespace client

namespace {

// Appends what lies in the lines from `first` on, merged.
void append_from(LineNumber first, const std::vector<ConfirmedLines>& runs,
                 std::vector<ConfirmedLines>& into) {
    for (ConfirmedLines run : runs) {
        if (run.first_line < first) {
            const std::uint64_t before = std::min(run.count, first - run.first_line);
            run = {run.first_line.plus(before), run.count - before, run.first_number.plus(before),
                   run.durability};
        }
        if (run.count == 0) {
            continue;
        }
        ConfirmedLines* const last = into.empty() ? nullptr : &into.back();
        if (last != nullptr && last->first_number.plus(last->count) == run.first_number &&
            last->durability == run.durability) {
            last->count += run.count;
        } else {
            into.push_back(run);
        }
    }
}

}  // namespace

Producer::Producer(std::unique_ptr<client::ProducerPart> part) : part_(std::move(part)) {}
Producer::Producer(Producer&&) noexcept = default;
Producer& Producer::operator=(Producer&&) noexcept = default;
Producer::~Producer() = default;

Result<LineNumber> Producer::send(std::string_view body, HeaderList headers,
                                  const MessageOptions& options) {
    return part_->send(wire::as_bytes(body), headers, options, true);
}

Result<LineNumber> Producer::try_send(std::string_view body, HeaderList headers,
                                      const MessageOptions& options) {
    return part_->send(wire::as_bytes(body), headers, options, false);
}

Result<Published> Producer::publish(std::string_view body, HeaderList headers,
                                    const MessageOptions& options) {
    const auto line = send(body, headers, options);
    if (!line) {
        return line.error();
    }
    const auto confirmed = part_->wait_line(*line, part_->default_deadline());
    if (!confirmed) {
        return part_->as_taken(confirmed.error());
    }
    const ConfirmedLines& run = part_->last_confirmed;
    const std::uint64_t offset = *line - run.first_line;
    MQD_ASSERT(offset < run.count, offset, run.count);
    return Published{part_->incarnation, run.first_number.plus(offset), run.durability};
}

Result<std::vector<ConfirmedLines>> Producer::publish_many(std::span<const Message> messages) {
    std::vector<ConfirmedLines> confirmed;
    const auto published = publish_many(messages, confirmed);
    if (!published) {
        return published.error();
    }
    return confirmed;
}

Result<void> Producer::publish_many(std::span<const Message> messages,
                                    std::vector<ConfirmedLines>& confirmed) {
    confirmed.clear();
    if (!part_->usable()) {
        return part_->why_not_usable();
    }
    const LineNumber first = next_line();
    std::vector<ConfirmedLines> runs;
    auto published = part_->publish_many(messages, runs);
    append_from(first, runs, confirmed);
    return published;
}

Result<void> Producer::flush() {
    if (!part_->usable()) {
        return part_->why_not_usable();
    }
    return part_->connection().flush(part_->default_deadline());
}

Result<void> Producer::wait(LineNumber line, Timeout timeout) {
    if (!part_->usable()) {
        return part_->why_not_usable();
    }
    if (line.value() == 0 || line >= next_line()) {
        return Error{ErrorCode::usage, "no such line was sent"};
    }
    if (line <= part_->last_line) {
        return {};  // the queue had it before
    }
    return part_->wait_line(line, client::Deadline::after(timeout));
}

Result<void> Producer::wait_unconfirmed(std::uint64_t at_most, Timeout timeout) {
    if (!part_->usable()) {
        return part_->why_not_usable();
    }
    return part_->wait_unconfirmed(at_most, client::Deadline::after(timeout));
}

Result<void> Producer::wait_all(Timeout timeout) {
    return wait_unconfirmed(0, timeout);
}

std::uint64_t Producer::unconfirmed() const {
    return next_line() - answered_up_to();
}
LineNumber Producer::last_line() const {
    return part_->last_line;
}
LineNumber Producer::next_line() const {
    return part_->handle != nullptr ? part_->handle->next_line() : part_->next_line_at_close;
}
LineNumber Producer::answered_up_to() const {
    return part_->handle != nullptr ? part_->handle->answered_up_to() : part_->answered_at_close;
}

void Producer::on_confirm(ConfirmHandler handler) {
    part_->handler = std::move(handler);
}

const Error* Producer::refusal() const {
    return part_->handle != nullptr && part_->handle->refusal() ? &part_->handle->refusal()->error
                                                                : nullptr;
}

std::optional<LineNumber> Producer::refused_from() const {
    if (refusal() == nullptr) {
        return std::nullopt;
    }
    return part_->handle->refusal()->lines.first;
}

Result<LineRange> Producer::resume() {
    const client::Connection::InUse in_use(part_->connection());
    if (!part_->usable()) {
        return part_->why_not_usable();
    }
    if (refusal() == nullptr) {
        return LineRange{next_line(), 0};
    }
    if (part_->handle->state != client::HandleState::open) {
        return part_->why_ended(*part_->handle);
    }
    return part_->handle->resume();
}

const std::string& Producer::queue() const {
    return part_->queue;
}
QueueId Producer::incarnation() const {
    return part_->incarnation;
}
Durability Producer::queue_durability() const {
    return part_->durability;
}

Result<void> Producer::close(Timeout timeout) {
    const client::Connection::InUse in_use(part_->connection());
    if (!part_->usable()) {
        return part_->why_not_usable();
    }
    const auto deadline = client::Deadline::after(timeout);
    auto answered = part_->wait_answered(deadline);
    part_->next_line_at_close = next_line();
    part_->answered_at_close = answered_up_to();
    Result<void> closed;
    if (unconfirmed() != 0) {
        part_->give_up();  // the daemon closes no handle that it owes answers to
    } else {
        closed = part_->close_handle(deadline);
    }
    part_->handle = nullptr;
    return answered ? std::move(closed) : std::move(answered);
}

}  // namespace mqd
