// mqctl dead: list, purge and retry the dead letters of a queue. They lie in its dead-letter queue,
// which is there once the first one came: before that, there are none.

#include <unistd.h>

#include <algorithm>
#include <span>
#include <string_view>
#include <vector>

#include "client/mqctl/commands.hpp"
#include "client/mqctl/confirmation.hpp"
#include "client/mqctl/json_report.hpp"
#include "client/mqctl/output_stream.hpp"
#include "client/mqctl/peeked_message.hpp"
#include "client/mqctl/table.hpp"
#include "client/mqctl/undo.hpp"
#include "client/mqctl/units.hpp"

namespace mqd::mqctl {
namespace {

constexpr std::uint32_t page_messages_max = 1000;
constexpr std::uint64_t retry_window_messages = 1000;
// How soon the dead-letter queue is asked again that has ready messages of which none came.
constexpr auto recheck_interval = std::chrono::milliseconds(20);

// Where the dead letters of the queue lie; nothing: there is none yet.
Result<std::optional<QueueInfo>> find_dead_letter_queue(Session& session) {
    const auto queue = session.client().show_queue(session.line().queue);
    if (!queue) {
        return queue.error();
    }
    auto dead = session.client().show_queue(queue->dead_letter_queue());
    if (dead) {
        return std::optional(*std::move(dead));
    }
    if (dead.error().code == ErrorCode::no_such_queue) {
        return std::optional<QueueInfo>();
    }
    return dead.error();
}

std::vector<std::string> row_of_message(const PeekedMessage& message) {
    std::vector<std::string> row{format_number(message.number)};
    if (const auto& dead = message.dead_letter) {
        row.insert(row.end(),
                   {dead->id(), std::string(cause_name(dead->cause)),
                    std::to_string(dead->attempts), format_time(dead->last_failed), dead->reason});
    } else {
        row.resize(6, "-");  // somebody published it there
    }
    for (std::string& cell : row) {
        std::replace_if(
            cell.begin(), cell.end(),
            [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }, ' ');
    }
    return row;
}

// Views of a delivery.
struct DeadMessage {
    MessageNumber number;
    std::string_view body;
    std::vector<Header> headers;
    MessageOptions options;
};

// Moves dead letters to the queue that they came from.
class Retry {
  public:
    Retry(Session& session, const QueueInfo& dead) : session_(session), dead_(dead) {}

    [[nodiscard]] Result<void> run();
    [[nodiscard]] std::uint64_t retried() const { return retried_; }
    // Of other queues that share the dead-letter queue.
    [[nodiscard]] std::uint64_t passed_over() const { return passed_over_; }

  private:
    [[nodiscard]] Result<bool> more_may_come(const Consumer& consumer);
    [[nodiscard]] Result<void> retry(Consumer& consumer, const DeliveredBatch& batch);
    [[nodiscard]] Result<void> move(Consumer& consumer, std::span<const DeadMessage> dead);

    Session& session_;
    const QueueInfo& dead_;  // as it was at the start: what comes later is not retried
    std::uint64_t retried_ = 0;
    std::uint64_t passed_over_ = 0;
};

Result<void> Retry::run() {
    const auto& count = session_.line().dead.count;
    ConsumerOptions options;
    options.window_messages = std::min(count.value_or(UINT64_MAX), retry_window_messages);
    options.messages_max = count.value_or(0);
    auto consumer = session_.client().consumer(dead_.name, options);
    if (!consumer) {
        return consumer.error();
    }
    while (retried_ + passed_over_ < count.value_or(UINT64_MAX)) {
        const auto batch = consumer->receive_batch(recheck_interval);
        if (!batch) {
            return batch.error();
        }
        if (!*batch) {
            const auto more = more_may_come(*consumer);
            if (!more || !*more) {
                return more ? consumer->close() : more.error();
            }
        } else if ((*batch)->range.first >= dead_.next_like((*batch)->range.first)) {
            if (dead_.next_of_levels.empty()) {
                break;
            }
            passed_over_ += (*batch)->range.count;  // older ones of lower priorities may follow
        } else if (auto done = retry(*consumer, **batch); !done) {
            return done;
        }
    }
    return consumer->close();
}

// Nothing came for a while.
Result<bool> Retry::more_may_come(const Consumer& consumer) {
    if (passed_over_ >= retry_window_messages) {
        return false;  // they are all that may be lent to us
    }
    const auto info = session_.client().show_queue(dead_.name);
    if (!info) {
        return info.error();
    }
    return info->deliverable() > 0 || consumer.unsettled() > passed_over_;
}

Result<void> Retry::retry(Consumer& consumer, const DeliveredBatch& batch) {
    std::vector<DeadMessage> messages;
    for (const Delivery& message : batch) {
        if (message.number >= dead_.next_like(message.number)) {
            break;
        }
        const auto dead = message.dead_letter();
        if (dead && dead->queue != session_.line().queue) {
            ++passed_over_;  // given back at the end
            continue;
        }
        DeadMessage& one = messages.emplace_back(
            DeadMessage{message.number,
                        message.body,
                        {},
                        {.priority = message.priority(), .group = message.group()}});
        for (const Header& header : message.headers) {
            one.headers.push_back(header);
        }
    }
    return move(consumer, messages);
}

// At one moment they are dead letters no more, and are in the queue again. Where not all of them
// have room, as many as have.
Result<void> Retry::move(Consumer& consumer, std::span<const DeadMessage> dead) {
    if (dead.empty()) {
        return {};
    }
    Transaction step = session_.client().transaction();
    std::vector<Message> messages;
    for (const DeadMessage& one : dead) {
        messages.push_back({one.body, one.headers, one.options});
    }
    Result<void> added = step.publish(session_.line().queue, messages);
    // A transaction has 256 operations: runs of numbers, most of them.
    for (std::size_t i = 0; added && i < dead.size();) {
        MessageRange run{dead[i].number, 0};
        for (; i < dead.size() && dead[i].number == run.end(); ++i) {
            ++run.count;
        }
        added = step.ack(consumer, run);
    }
    if (added) {
        const auto moved = step.commit();
        if (moved) {
            retried_ += dead.size();
            return {};
        }
        added = moved.error();
    }
    const ErrorCode code = added.error().code;
    const bool too_much = code == ErrorCode::queue_full || code == ErrorCode::message_too_big ||
                          code == ErrorCode::usage || code == ErrorCode::memory_full;
    if (dead.size() == 1 || !too_much) {
        return added;
    }
    const auto first = move(consumer, dead.first(dead.size() / 2));
    return first ? move(consumer, dead.subspan(dead.size() / 2)) : first;
}

}  // namespace

ExitCode dead_list(Session& session) {
    const std::string what = "listing the dead letters of \"" + session.line().queue + '"';
    const auto dead = find_dead_letter_queue(session);
    if (!dead) {
        return session.fail(what, dead.error());
    }
    const bool json = session.line().global.output == "json";
    OutputStream out(STDOUT_FILENO);
    Table table({{"NUMBER", Table::Align::right},
                 {"ID"},
                 {"CAUSE"},
                 {"ATTEMPTS", Table::Align::right},
                 {"LAST FAILED"},
                 {"REASON"}});
    MessageNumber from(1);
    for (bool more = dead->has_value(); more;) {
        const auto page = session.client().peek((*dead)->name, from, page_messages_max);
        if (!page) {
            return session.fail(what, page.error());
        }
        for (const PeekedMessage& message : page->messages) {
            if (json) {
                append_json_line(out.buffer(), shown((*dead)->name, (*dead)->incarnation, message));
            } else {
                table.add(row_of_message(message));
            }
        }
        if (const auto written = out.write_all(); !written) {
            return session.fail_to_write(what, written.error());
        }
        from = page->next;
        more = page->more;
    }
    return json ? ExitCode::done : session.print(table.text(is_terminal(STDOUT_FILENO)));
}

ExitCode dead_purge(Session& session) {
    const std::string what = "purging the dead letters of \"" + session.line().queue + '"';
    const auto dead = find_dead_letter_queue(session);
    if (!dead) {
        return session.fail(what, dead.error());
    }
    std::uint64_t removed = 0;
    if (*dead) {
        if (const auto code = refused(session, "dead purge", "purge", (*dead)->name)) {
            return *code;
        }
        const auto purged = session.client().purge_queue((*dead)->name, session.line().for_good);
        if (!purged) {
            return session.fail(what, purged.error());
        }
        removed = *purged;
    }
    session.talk().note(format_messages(removed) + " removed from the dead letters of \"" +
                        session.line().queue + '"' +
                        (*dead ? undo_hint(session, (*dead)->name) : ""));
    return report_json(session, ExitCode::done,
                       {{"queue", session.line().queue}, {"removed", removed}});
}

ExitCode dead_retry(Session& session) {
    const std::string what = "retrying the dead letters of \"" + session.line().queue + '"';
    const auto dead = find_dead_letter_queue(session);
    if (!dead) {
        return session.fail(what, dead.error());
    }
    Result<void> result;
    std::uint64_t retried = 0;
    std::uint64_t passed_over = 0;
    if (*dead) {
        Retry retry(session, **dead);
        result = retry.run();
        retried = retry.retried();
        passed_over = retry.passed_over();
        if (passed_over > 0) {
            session.talk().note(format_messages(passed_over) + " of other queues passed over");
        }
    }
    session.talk().note(format_messages(retried) + " published to \"" + session.line().queue +
                        "\" again");
    ExitCode exit = ExitCode::done;
    if (!result) {
        exit = session.fail(what, result.error());
        exit = retried > 0 ? ExitCode::partly : exit;
    }
    const auto closed = session.client().close(session.line().global.timeout);
    if (result && !closed) {
        exit = session.fail("closing the connection", closed.error());
    }
    return report_json(
        session, exit,
        {{"queue", session.line().queue}, {"retried", retried}, {"passed_over", passed_over}});
}

}  // namespace mqd::mqctl
