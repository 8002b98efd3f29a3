#pragma once

// The command line of mqctl as data: read once by parse_command_line(), then only looked at.

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "client/mqctl/exit_code.hpp"
#include "mqd/client.hpp"
#include "mqd/types.hpp"

namespace mqd::mqctl {

enum class Command {
    publish,
    consume,
    peek,
    delete_messages,
    why,
    move_messages,
    export_messages,
    import_messages,
    queue_list,
    queue_show,
    queue_create,
    queue_update,
    queue_pause,
    queue_resume,
    queue_delete,
    queue_purge,
    queue_undo,
    queue_apply,
    dead_list,
    dead_purge,
    dead_retry,
    check,
    backup,
    status,
    ping,
    version,
};

// What `orders:3:1842` names.
struct MessageId {
    std::string queue;
    QueueId incarnation;
    MessageNumber number;

    friend bool operator==(const MessageId&, const MessageId&) = default;
};

struct GlobalOptions {
    std::string url;     // as given with -s; empty: see resolve_url()
    std::string output;  // as given with -o; empty: "text"
    bool quiet = false;
    bool verbose = false;
    std::chrono::milliseconds timeout{5000};  // for connecting, and for each answer waited for
    bool timeout_given = false;               // and so holds for streams too
};

// Where `publish` and `import` take their messages from.
enum class Source {
    argument,
    whole_input,  // standard input to its end is one message
    lines,
    null_delimited,
    json_lines,  // of standard input, or of the files
    files,       // each is a message
};

struct PublishOptions {
    Source source = Source::whole_input;
    std::string argument;
    std::vector<std::string> files;
    std::vector<std::pair<std::string, std::string>> headers;
    MessageOptions message;  // where it does not say its own; without a group and an id
    std::string group;       // likewise; empty: none
    std::string dedup_id;    // likewise
    Durability durability = Durability::unspecified;
    bool ids = true;       // they are printed
    std::string producer;  // its name; empty: it has none
};

struct ConsumeOptions {
    std::optional<std::uint64_t> count;             // at most so many; absent: no end to them
    std::optional<std::chrono::milliseconds> wait;  // absent: take what is there
    bool follow = false;
    bool drain = false;
    Sharing sharing = Sharing::shared;
    std::chrono::milliseconds lease{0};  // 0: the queue's
    std::vector<std::string> exec;       // a program and its arguments; empty: write to stdout
    unsigned jobs = 1;
    std::optional<std::chrono::milliseconds> retry_delay;  // of exit 75; absent: as the queue says
    std::chrono::milliseconds grace{10'000};
    std::chrono::milliseconds max_run_time{0};  // of a command; 0: no limit
};

struct PeekOptions {
    std::uint64_t count = 1;
    MessageNumber from{1};
    std::optional<QueueId> incarnation;  // of the queue that `from` is a number of; absent: any
};

// Of which messages of a queue the command is; see message_selection.hpp.
struct SelectionOptions {
    std::vector<std::pair<std::string, std::string>> headers;
    std::vector<MessageState> states;  // peek; empty: all
    std::optional<std::chrono::milliseconds> older;
    std::optional<std::chrono::milliseconds> newer;
};

struct MoveOptions {
    std::string target;
    std::optional<std::uint64_t> count;  // at most so many; absent: all
    std::optional<double> per_second;    // messages; absent: as fast as it goes
};

struct ExportOptions {
    std::string file;    // empty: standard output
    bool force = false;  // replace it, if there is one
};

struct ApplyOptions {
    std::string file;  // empty: standard input
    bool dry_run = false;
    bool prune = false;
};

struct DeadOptions {
    std::optional<std::uint64_t> count;  // dead_retry: at most so many; absent: all
};

struct CommandLine {
    Command command = Command::version;
    GlobalOptions global;
    std::string queue;                   // of the commands that name one
    std::string folder;                  // check, backup
    std::vector<MessageId> message_ids;  // delete_messages, each once; why: one
    PublishOptions publish;              // and of `import`
    ConsumeOptions consume;
    PeekOptions peek;
    SelectionOptions selection;  // of peek, move_messages and queue_purge
    MoveOptions move;
    ExportOptions export_messages;
    ApplyOptions apply;
    QueueOptions queue_options;  // of queue_create, _update, _pause and _resume
    DeadOptions dead;
    bool for_good = false;  // delete_messages, queue_purge, dead_purge: not to be undone
    bool dry_run = false;   // queue_purge, move_messages: only say how many
    bool yes = false;       // do not ask: of what deletes queues or messages
};

// What came of reading the command line: a command to run, or an end at once (help, a mistake).
struct ParseOutcome {
    std::optional<CommandLine> command_line;
    ExitCode exit = ExitCode::done;  // if there is nothing to run, and nothing to print
    std::string out;                 // for standard output: the help
    std::string complaint;           // one line without "mqctl: ", for standard error
};

// `arguments` without the name of the program. Never throws; every mistake is ExitCode::usage.
[[nodiscard]] ParseOutcome parse_command_line(const std::vector<std::string>& arguments);

// Everything behind the first "--" is taken literally: CLI11 would look for options in it.
struct SplitArguments {
    std::vector<std::string> options;  // before it
    std::vector<std::string> literal;  // behind it
    bool separated = false;            // whether there was a "--"
};
[[nodiscard]] SplitArguments split_at_separator(std::span<const std::string> arguments);

}  // namespace mqd::mqctl
