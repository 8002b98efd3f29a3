// What can be said to mqctl.

#include <string_view>

#include "client/mqctl/command_row.hpp"
#include "client/mqctl/help_formatter.hpp"
#include "client/mqctl/message_format.hpp"
#include "client/mqctl/not_built.hpp"
#include "client/mqctl/option_value.hpp"
#include "client/mqctl/parser.hpp"
#include "client/mqctl/units.hpp"
#include "mqd/wire/batch.hpp"

namespace mqd::mqctl {
namespace {

constexpr const char* exit_status_help =
    "mqctl help COMMAND says more.\n\n"
    "Exit status: 0 done, 1 failed, 2 usage, 3 cannot connect, 4 not permitted,\n"
    "5 no such queue or message, 6 timeout or empty, 7 refused by a limit,\n"
    "8 damage found, 9 partly done, 130 and 143 ended by a signal.";

constexpr const char* format_help =
    "A FORMAT has %i id, %b body, %h{name} header, %a attempt, %q queue, %n number,\n"
    "%t time, %s state and %u until when it is delayed (of peek), %p priority, %g group, %% and "
    "\\n \\t \\r \\0 \\\\: "
    "consume orders -o '%i %h{type} %b\\n'";

constexpr const char* filter_help =
    "--filter KEY=VALUE: the header KEY is exactly VALUE. Of several, all hold.\n"
    "What is leased is left alone.";

constexpr const char* check_help =
    "Exit status: 0 sound, 8 damage found, 1 it cannot be read, or a daemon runs on it.";

constexpr const char* backup_help =
    "DIR must not exist. To restore: stop mqd, put the folder in the place of\n"
    "its data directory, with the same owner, and start mqd.";

constexpr const char* undo_help =
    "A queue keeps what is purged, and what is deleted singly, for its undo_time\n"
    "(queue update QUEUE --undo-time 1h), unless that was done with --for-good or\n"
    "its room is needed. Messages come back to their places.";

constexpr const char* why_help =
    "A queue keeps what happens to its messages if it is told to (queue update\n"
    "QUEUE --history 100000), and since the daemon was started.";

}  // namespace

Parser::Parser() {
    app_.name("mqctl");
    app_.formatter(std::make_shared<HelpFormatter>());
    app_.fallthrough();
    app_.allow_extras();
    app_.require_subcommand(0, 1);
    app_.footer(exit_status_help);
    add_global_options();
    add_commands();
}

void Parser::add_global_options() {
    GlobalOptions& global = line_.global;
    app_.set_help_flag("-h,--help", "This help");
    version_ = app_.add_flag("--version")->description("The version of mqctl");
    app_.add_option("-s,--server", global.url,
                    "Where the daemon is: unix:/path or tcp://host:port (MQD_URL)")
        ->type_name("URL");
    app_.add_option("-o,--output", global.output, "text, json, raw, or a FORMAT (consume --help)")
        ->type_name("OUTPUT");
    app_.add_flag("-q,--quiet", global.quiet, "No ids and no notes; only data and errors");
    app_.add_flag("-v,--verbose", global.verbose, "Say more");
    timeout_ = add_value(app_, "--timeout", "DURATION", "How long to wait for the daemon (5s)");
    for (CLI::Option* const option : app_.get_options()) {
        option->allow_extra_args(false);
    }
}

void Parser::add_commands() {
    CLI::App* const queue = app_.add_subcommand(
        "queue", "Queues: list, show, create, update, pause, resume, delete, purge, undo, apply");
    queue->require_subcommand(0, 1);
    CLI::App* const dead = app_.add_subcommand("dead", "Dead letters: list, purge, retry");
    dead->require_subcommand(0, 1);
    for (const CommandRow& row : command_rows) {
        const std::string name(row.name.substr(row.name.find(' ') + 1));
        CLI::App* const group = row.name.starts_with("queue ")  ? queue
                                : row.name.starts_with("dead ") ? dead
                                                                : &app_;
        CLI::App* const app = group->add_subcommand(name, std::string(row.description));
        if (!row.alias.empty()) {
            app->alias(std::string(row.alias));
        }
        commands_.emplace_back(app, row.command);
        add_options_of(row.command, *app);
        for (CLI::Option* const option : app->get_options()) {
            option->disable_flag_override();  // --priorities=no
        }
    }
    refuse_commands_not_built(*queue);
}

void Parser::add_options_of(Command command, CLI::App& app) {
    switch (command) {
        case Command::publish: add_publish_options(app); break;
        case Command::consume: add_consume_options(app); break;
        case Command::peek: add_peek_options(app); break;
        case Command::export_messages:
            export_file_ =
                add_value(app, "-f,--file", "FILE",
                          "Write this file, which is there once it is complete (standard output)");
            app.add_flag("--force", line_.export_messages.force,
                         "Replace the file, if there is one");
            break;
        case Command::import_messages:
            import_file_ = add_value(app, "-f,--file", "FILE", "Read this file (standard input)");
            import_durability_ =
                add_value(app, "--durability", "LEVEL",
                          "What to wait for: memory, written or disk (the queue's)");
            break;
        case Command::queue_create: add_create_options(app); break;
        case Command::queue_update:
            update_options_.add_to(app);
            app.footer("What is not said stays as it is.");
            break;
        case Command::queue_pause:
        case Command::queue_resume:
            app.add_flag("--publishing", publishing_, "Publishing only");
            app.add_flag("--consuming", consuming_, "Consuming only");
            break;
        case Command::delete_messages:
            app.add_flag("-y,--yes", line_.yes, "Do not ask");
            add_for_good(app);
            app.footer("Those that are leased or gone are named, and it ends with 1.");
            break;
        case Command::queue_apply:
            app.add_flag("--dry-run", line_.apply.dry_run, "Show the changes and make none");
            app.add_flag("--prune", line_.apply.prune, "Delete queues that the file does not have");
            app.add_flag("-y,--yes", line_.yes, "Do not ask before queues are deleted");
            break;
        case Command::dead_retry:
            dead_count_ = add_value(app, "-n", "N", "At most so many (all)");
            break;
        case Command::move_messages: add_move_options(app); break;
        case Command::queue_purge:
            app.add_flag("-y,--yes", line_.yes, "Do not ask");
            app.add_flag("--dry-run", line_.dry_run, "Say how many they are, and remove none");
            add_for_good(app);
            add_selection_options(app);
            app.footer(filter_help);
            break;
        case Command::queue_delete: app.add_flag("-y,--yes", line_.yes, "Do not ask"); break;
        case Command::dead_purge:
            app.add_flag("-y,--yes", line_.yes, "Do not ask");
            add_for_good(app);
            break;
        case Command::queue_undo: app.footer(undo_help); break;
        case Command::check: app.footer(check_help); break;
        case Command::backup: app.footer(backup_help); break;
        case Command::why: app.footer(why_help); break;
        case Command::queue_list:
        case Command::queue_show:
        case Command::dead_list:
        case Command::status:
        case Command::ping:
        case Command::version: break;
    }
}

void Parser::add_for_good(CLI::App& app) {
    app.add_flag("--for-good", line_.for_good, "Free the room at once: there is no undo");
}

void Parser::add_peek_options(CLI::App& app) {
    app.footer(format_help);
    peek_count_ = add_value(app, "-n", "N", "At most so many (1)");
    from_ = add_value(app, "--from", "ID", "Begin with this message: its id or number");
    app.add_option("--state", states_,
                   "Those that are ready, leased, delayed, dying, held or purged (may be repeated)")
        ->allow_extra_args(false)
        ->type_name("STATE");
    add_selection_options(app);
}

void Parser::add_create_options(CLI::App& app) {
    memory_ = app.add_flag("--memory")
                  ->description("In memory only: the messages go when the daemon ends");
    create_durability_ = add_value(app, "--durability", "LEVEL", "memory, written or disk (disk)");
    create_options_.add_to(app);
    priorities_ =
        app.add_flag("--priorities")->description("Its messages have priorities, 0 to 9; for good");
}

void Parser::add_move_options(CLI::App& app) {
    move_count_ = add_value(app, "-n", "N", "At most so many (all that are there now)");
    rate_ = add_value(app, "--rate", "RATE", "Not faster than that: 50/s");
    app.add_flag("--dry-run", line_.dry_run, "Say how many they are, and move none");
    add_selection_options(app);
    app.footer(filter_help);
}

void Parser::refuse_commands_not_built(CLI::App& queue) {
    for (const std::string_view name : commands_not_built()) {
        const bool grouped = name.starts_with("queue ");
        CLI::App* const app =
            (grouped ? &queue : &app_)->add_subcommand(std::string(name.substr(grouped ? 6 : 0)));
        app->group("");  // not in the help
        app->set_help_flag();
        app->prefix_command();
        refused_.push_back(app);
    }
}

void Parser::add_publish_options(CLI::App& app) {
    lines_ = app.add_flag("--lines")->description("Each line of standard input is a message");
    null_ = app.add_flag("-0,--null")->description("Each piece up to a NUL byte is a message");
    jsonl_ = app.add_flag("--jsonl")->description(
        "Each line is a message as `consume -o json` writes it");
    file_ = app.add_option("-f,--file", line_.publish.files,
                           "The message is the content of this file (may be repeated)");
    file_->allow_extra_args(false)->type_name("FILE");
    app.add_option("-H,--header", headers_, "A header, key:value (may be repeated)")
        ->allow_extra_args(false)
        ->type_name("HEADER");
    delay_ = add_value(app, "--delay", "DURATION", "Deliver it so long after it was taken");
    due_ = add_value(app, "--due", "TIME",
                     "Deliver it from then on: 2026-12-24T08:00:00Z, or local time without the Z");
    priority_ =
        add_value(app, "--priority", "N", "0 (lowest) to 9, of a queue made with --priorities (0)");
    group_ = app.add_option(
                    "--group", line_.publish.group,
                    "The key of its group: so many of each at a time as the queue says, in order")
                 ->type_name("KEY");
    id_ = app.add_option("--id", line_.publish.dedup_id,
                         "Its id: a queue with --dedup-window takes it once, and tells that number")
              ->type_name("ID");
    ttl_ =
        add_value(app, "--ttl", "DURATION", "Deliver it no later than so long after it was taken");
    publish_durability_ = add_value(app, "--durability", "LEVEL",
                                    "What to wait for: memory, written or disk (the queue's)");
    producer_ = add_value(app, "--producer", "NAME",
                          "Go on behind what was taken of that name: a stream goes in once");
}

void Parser::add_consume_options(CLI::App& app) {
    app.footer(format_help);
    count_ =
        add_value(app, "-n", "N", "At most so many messages (1; no end with --follow, --drain)");
    wait_ =
        add_value(app, "--wait", "DURATION", "How long to wait for them (0: take what is there)");
    follow_ = app.add_flag("--follow", line_.consume.follow, "Wait for ever more");
    drain_ = app.add_flag("--drain", line_.consume.drain, "Until none is ready");
    exclusive_ = app.add_flag("--exclusive")->description("Have no other consumers of the queue");
    single_ =
        app.add_flag("--single")->description("Take all messages, once it is this one's turn");
    lease_ = add_value(app, "--lease", "DURATION", "How long a worker may hang (the queue's)");
    app.add_flag("--exec", exec_, "Run the command behind -- for each message");
    jobs_ = add_value(app, "-j,--jobs", "N", "Run so many at once (1)");
    retry_delay_ = add_value(app, "--retry-delay", "DURATION",
                             "How long a message waits whose command ended with 75 (as the queue "
                             "says)");
    max_run_time_ = add_value(app, "--max-run-time", "DURATION",
                              "End a command that runs for longer, and give its message back (0: "
                              "let it run)");
    grace_ = add_value(app, "--grace", "DURATION",
                       "How long commands may take to end, after Ctrl-C or without a daemon (10s)");
}

}  // namespace mqd::mqctl
