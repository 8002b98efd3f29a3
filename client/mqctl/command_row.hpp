#pragma once

// The commands of mqctl: what they are called, and what their help says of them.

#include <algorithm>
#include <array>
#include <string_view>

#include "client/mqctl/options.hpp"

namespace mqd::mqctl {

struct CommandRow {
    Command command;
    std::string_view name;
    std::string_view alias;
    std::string_view operands;
    std::string_view description;
};
inline constexpr std::array<CommandRow, 26> command_rows{{
    {Command::publish, "publish", "pub", "QUEUE [MESSAGE]",
     "Publish messages: the argument, or standard input to its end as one message"},
    {Command::consume, "consume", "sub", "QUEUE [--exec -- COMMAND...]",
     "Take messages; each is acked after its bytes were written or its command ended with 0"},
    {Command::peek, "peek", "", "QUEUE", "Look at messages without taking them"},
    {Command::delete_messages, "delete", "", "ID...",
     "End messages that wait, ready or delayed, by their ids"},
    {Command::why, "why", "", "ID", "The life of a message, as far as the daemon knows it"},
    {Command::move_messages, "move", "", "FROM TO",
     "Move messages that wait to the end of another queue, in their order"},
    {Command::export_messages, "export", "", "QUEUE",
     "Write all messages as lines of JSON, without taking them"},
    {Command::import_messages, "import", "", "QUEUE",
     "Publish the messages that `export` wrote, in their order"},
    {Command::queue_list, "queue list", "", "", "All queues"},
    {Command::queue_show, "queue show", "", "QUEUE", "One queue"},
    {Command::queue_create, "queue create", "", "QUEUE",
     "Make a queue; durable, at \"disk\", unless told otherwise"},
    {Command::queue_update, "queue update", "", "QUEUE", "Change options of a queue"},
    {Command::queue_pause, "queue pause", "", "QUEUE",
     "Take no messages and deliver none, until it is resumed"},
    {Command::queue_resume, "queue resume", "", "QUEUE", "Take messages and deliver them again"},
    {Command::queue_delete, "queue delete", "", "QUEUE", "Remove a queue and its messages"},
    {Command::queue_purge, "queue purge", "", "QUEUE",
     "Remove the messages that wait, or some of them"},
    {Command::queue_undo, "queue undo", "", "QUEUE",
     "Put back what was purged or deleted, while the queue keeps it"},
    {Command::queue_apply, "queue apply", "", "FILE",
     "Make the queues what a file says, and show what that changes"},
    {Command::dead_list, "dead list", "", "QUEUE", "The dead letters of a queue"},
    {Command::dead_purge, "dead purge", "", "QUEUE", "Remove the dead letters of a queue"},
    {Command::dead_retry, "dead retry", "", "QUEUE", "Publish the dead letters of a queue again"},
    {Command::check, "check", "", "DIR",
     "Look whether the store of a stopped daemon is sound; changes nothing"},
    {Command::backup, "backup", "", "DIR",
     "Copy the whole store, while the daemon goes on, to a new folder"},
    {Command::status, "status", "", "", "How the daemon is"},
    {Command::ping, "ping", "", "", "Ask the daemon for an answer, and time it"},
    {Command::version, "version", "", "", "The version of mqctl"},
}};

[[nodiscard]] constexpr const CommandRow& row_of(Command command) {
    return *std::find_if(command_rows.begin(), command_rows.end(),
                         [command](const CommandRow& row) { return row.command == command; });
}

}  // namespace mqd::mqctl
