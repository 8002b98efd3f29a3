// mqctl peek: looks at messages without taking them, a page at a time.

#include <unistd.h>

#include <algorithm>

#include "client/mqctl/commands.hpp"
#include "client/mqctl/message_format.hpp"
#include "client/mqctl/message_selection.hpp"
#include "client/mqctl/output_stream.hpp"
#include "client/mqctl/peeked_message.hpp"
#include "client/mqctl/units.hpp"

namespace mqd::mqctl {
namespace {

constexpr std::uint64_t page_messages_max = 1000;

// The delayed ones among those that were shown.
struct Delayed {
    std::uint64_t count = 0;
    MessageNumber next;  // that will be ready, and when
    WallTime due;

    void add(const PeekedMessage& message) {
        if (message.due && (count == 0 || *message.due < due)) {
            next = message.number;
            due = *message.due;
        }
        count += message.due ? 1 : 0;
    }
};

// Bodies do not say it. Other outputs do, if they are asked to.
void note_delayed(Session& session, const QueueInfo& queue, const Delayed& delayed) {
    if (delayed.count == 0) {
        return;
    }
    const std::string id = format_message_id(queue.name, queue.incarnation, delayed.next);
    session.talk().note((delayed.count == 1
                             ? id + " is delayed until "
                             : format_messages(delayed.count) + " are delayed, the next of them, " +
                                   id + ", until ") +
                        format_time(delayed.due));
}

}  // namespace

ExitCode peek(Session& session) {
    const CommandLine& line = session.line();
    const std::string what = "peeking into \"" + line.queue + '"';
    const std::string& output = line.global.output;
    const auto format = MessageFormat::parse(output.empty() ? "text" : output);
    if (!format) {
        return session.fail("-o", format.error());
    }
    const auto queue = session.client().show_queue(line.queue);
    if (!queue) {
        return session.fail(what, queue.error());
    }
    if (line.peek.incarnation.value_or(queue->incarnation) != queue->incarnation) {
        session.talk().complain(what + ": the queue is incarnation " +
                                std::to_string(queue->incarnation.value()) + " now");
        return ExitCode::not_found;
    }
    const MessageFilter filter = filter_of(line.selection, wall_time_now());
    OutputStream out(STDOUT_FILENO);
    std::uint64_t left = line.peek.count;
    MessageNumber from = line.peek.from;
    bool more = true;
    Delayed delayed;
    while (left > 0 && more) {
        const auto max = static_cast<std::uint32_t>(std::min(left, page_messages_max));
        const auto page = session.client().peek(line.queue, from, max, filter);
        if (!page) {
            return session.fail(what, page.error());
        }
        for (const PeekedMessage& message : page->messages) {
            format->append(out.buffer(), shown(line.queue, queue->incarnation, message));
            delayed.add(message);
        }
        if (const auto written = out.write_all(); !written) {
            return session.fail_to_write(what, written.error());
        }
        left -= std::min<std::uint64_t>(left, page->messages.size());
        from = page->next;
        more = page->more;
    }
    if (output.empty() || output == "text") {
        note_delayed(session, *queue, delayed);
    }
    return left == line.peek.count ? ExitCode::empty : ExitCode::done;
}

}  // namespace mqd::mqctl
