#include "client/mqctl/options.hpp"

#include <algorithm>
#include <string_view>

#include <CLI/CLI.hpp>

#include "client/mqctl/command_row.hpp"
#include "client/mqctl/help_formatter.hpp"
#include "client/mqctl/message_format.hpp"
#include "client/mqctl/not_built.hpp"
#include "client/mqctl/option_value.hpp"
#include "client/mqctl/suggestion.hpp"
#include "client/mqctl/units.hpp"
#include "mqd/wire/batch.hpp"

namespace mqd::mqctl {
namespace {

constexpr const char* exit_status_help =
    "mqctl help COMMAND says more.\n\n"
    "Exit status: 0 done, 1 failed, 2 usage, 3 cannot connect, 4 not permitted,\n"
    "5 no such queue or message, 6 timeout or empty, 7 refused by a limit,\n"
    "8 damage found, 9 partly done, 130 and 143 ended by a signal.";

// A little less than what a NACK can say, to have a round number.
constexpr std::chrono::milliseconds nack_delay_max = std::chrono::hours(24 * 49);

constexpr const char* format_help =
    "A FORMAT has %i id, %b body, %h{name} header, %a attempt, %q queue, %n number,\n"
    "%t time, %s state and %u until when it is delayed (of peek), %% and \\n \\t \\r \\0 \\\\: "
    "consume orders -o '%i %h{type} %b\\n'";

class Parser {
  public:
    Parser();
    // Throws Mistake and CLI::Error.
    [[nodiscard]] CommandLine parse(const std::vector<std::string>& arguments);
    [[nodiscard]] std::string help() const { return app_.help(); }

  private:
    void add_global_options();
    void add_commands();
    void add_options_of(Command command, CLI::App& app);
    void refuse_commands_not_built(CLI::App& queue);
    void add_publish_options(CLI::App& app);
    void add_consume_options(CLI::App& app);

    void refuse_not_built(const std::vector<std::string>& options) const;
    [[nodiscard]] Command chosen_command(std::vector<std::string>& rest) const;
    [[nodiscard]] Mistake no_command(const std::string& group,
                                     const std::vector<std::string>& rest) const;
    [[nodiscard]] Mistake unknown_option(const std::string& argument, const CLI::App& command,
                                         const std::string& else_hint) const;
    void take_operands(const std::vector<std::string>& operands);
    void take_file(const std::vector<std::string>& operands);
    void check_publish(const std::vector<std::string>& operands);
    void check_consume();
    void check_export();
    void check_import();
    void read_paused(bool paused);
    void check_output() const;

    CLI::App app_{"Talk to mqd, the message-queue daemon."};
    std::vector<std::pair<CLI::App*, Command>> commands_;
    std::vector<CLI::App*> refused_;
    CommandLine line_;
    std::vector<std::string> headers_;
    bool exec_ = false;
    bool publishing_ = false;
    bool consuming_ = false;
    // Options whose values are looked at once the parse is through.
    CLI::Option *version_{}, *timeout_{}, *lines_{}, *null_{}, *jsonl_{}, *file_{},
        *publish_durability_{};
    CLI::Option *delay_{}, *due_{}, *retry_delay_{};
    CLI::Option *count_{}, *wait_{}, *follow_{}, *drain_{}, *lease_{}, *jobs_{}, *grace_{};
    CLI::Option *exclusive_{}, *single_{};
    CLI::Option *peek_count_{}, *from_{}, *memory_{}, *create_durability_{}, *dead_count_{};
    QueueOptionValues create_options_, update_options_;
    CLI::Option *export_file_{}, *import_file_{}, *import_durability_{};
};

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
        "queue", "Queues: list, show, create, update, pause, resume, delete, purge, apply");
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
    }
    refuse_commands_not_built(*queue);
}

void Parser::add_options_of(Command command, CLI::App& app) {
    switch (command) {
        case Command::publish: add_publish_options(app); break;
        case Command::consume: add_consume_options(app); break;
        case Command::peek:
            app.footer(format_help);
            peek_count_ = add_value(app, "-n", "N", "At most so many (1)");
            from_ = add_value(app, "--from", "N", "Begin with this message number");
            break;
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
        case Command::queue_create:
            memory_ = app.add_flag("--memory")
                          ->description("In memory only: the messages go when the daemon ends");
            create_durability_ =
                add_value(app, "--durability", "LEVEL", "memory, written or disk (disk)");
            create_options_.add_to(app);
            break;
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
        case Command::queue_delete:
        case Command::dead_purge:
        case Command::queue_purge: app.add_flag("-y,--yes", line_.yes, "Do not ask"); break;
        case Command::check:
            app.footer(
                "Exit status: 0 sound, 8 damage found, 1 it cannot be read, or a "
                "daemon runs on it.");
            break;
        case Command::backup:
            app.footer(
                "DIR must not exist. To restore: stop mqd, put the folder in the place of\n"
                "its data directory, with the same owner, and start mqd.");
            break;
        case Command::queue_list:
        case Command::queue_show:
        case Command::dead_list:
        case Command::status:
        case Command::ping:
        case Command::version: break;
    }
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
    publish_durability_ = add_value(app, "--durability", "LEVEL",
                                    "What to wait for: memory, written or disk (the queue's)");
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
    grace_ = add_value(app, "--grace", "DURATION",
                       "How long commands may take to end, after Ctrl-C or without a daemon (10s)");
}

CommandLine Parser::parse(const std::vector<std::string>& arguments) {
    SplitArguments split = split_at_separator(arguments);
    if (!split.options.empty() && split.options.front() == "help") {
        split.options.erase(split.options.begin());  // help consume: consume --help
        split.options.emplace_back("--help");
    }
    refuse_not_built(split.options);
    std::reverse(split.options.begin(), split.options.end());  // as CLI11 wants them
    app_.parse(split.options);

    if (given(version_)) {
        return line_;  // which is Command::version
    }
    std::vector<std::string> operands;
    line_.command = chosen_command(operands);
    line_.global.timeout = duration(timeout_, line_.global.timeout);
    line_.global.timeout_given = given(timeout_);
    if (exec_) {
        line_.consume.exec = split.literal;
        if (split.literal.empty()) {
            throw Mistake{"--exec needs a command behind -- (consume QUEUE --exec -- COMMAND)"};
        }
    } else {
        operands.insert(operands.end(), split.literal.begin(), split.literal.end());
    }
    if (line_.command == Command::queue_apply) {
        take_file(operands);
    } else {
        take_operands(operands);
    }
    if (line_.command == Command::consume) {
        check_consume();
    } else if (line_.command == Command::export_messages) {
        check_export();
    } else if (line_.command == Command::import_messages) {
        check_import();
    }
    if (given(dead_count_)) {
        line_.dead.count = number(dead_count_, 1);
    }
    line_.peek.count = number(peek_count_, line_.peek.count);
    line_.peek.from = MessageNumber(number(from_, 1));
    if (line_.command == Command::queue_create) {
        if (given(memory_) && given(create_durability_)) {
            throw Mistake{"--memory and --durability exclude each other"};
        }
        line_.queue_options.durability =
            given(memory_) ? Durability::memory : durability(create_durability_, Durability::disk);
        create_options_.read(line_.queue_options);
    } else if (line_.command == Command::queue_update) {
        if (!update_options_.any()) {
            throw Mistake{
                "queue update needs to be told what to change (mqctl queue update --help)"};
        }
        update_options_.read(line_.queue_options);
    }
    if (line_.command == Command::queue_pause || line_.command == Command::queue_resume) {
        read_paused(line_.command == Command::queue_pause);
    }
    check_output();
    return line_;
}

void Parser::refuse_not_built(const std::vector<std::string>& options) const {
    const std::string option = find_option_not_built(options);
    if (!option.empty()) {
        throw Mistake{option + " is not built yet"};
    }
}

// The command, and into `rest` what belongs to no option.
Command Parser::chosen_command(std::vector<std::string>& rest) const {
    for (std::size_t i = 0; i < refused_.size(); ++i) {
        if (refused_[i]->parsed()) {
            throw Mistake{std::string(commands_not_built()[i]) + " is not built yet"};
        }
    }
    rest = app_.remaining(true);
    for (const auto& [app, command] : commands_) {
        if (!app->parsed()) {
            continue;
        }
        for (const std::string& argument : rest) {
            if (argument.size() > 1 && argument[0] == '-') {
                throw unknown_option(argument, *app,
                                     " (mqctl " + std::string(row_of(command).name) +
                                         " --help lists them; what begins with - goes behind --)");
            }
        }
        return command;
    }
    throw no_command(app_.got_subcommand("queue")  ? "queue "
                     : app_.got_subcommand("dead") ? "dead "
                                                   : "",
                     rest);
}

// With the nearest long option of the command or of all commands; if none is near, with
// `else_hint`.
Mistake Parser::unknown_option(const std::string& argument, const CLI::App& command,
                               const std::string& else_hint) const {
    std::vector<std::string> names;
    for (const CLI::App* const app : {&command, &app_}) {
        for (const CLI::Option* const option : app->get_options()) {
            for (const std::string& name : option->get_lnames()) {
                names.push_back("--" + name);
            }
        }
    }
    const std::string name = argument.substr(0, argument.find('='));
    const std::string hint = name.starts_with("--") ? did_you_mean(name, names) : "";
    return {"unknown option " + name + (hint.empty() ? else_hint : hint)};
}

// What to say when there is no command, or none of that name; `group` is "", "queue " or "dead ".
Mistake Parser::no_command(const std::string& group, const std::vector<std::string>& rest) const {
    if (rest.empty()) {
        return {group.empty() ? "which command? (mqctl --help lists them)"
                : group == "queue "
                    ? "queue needs a command: list, show, create, update, pause, resume, "
                      "delete, purge, apply"
                    : "dead needs a command: list, purge, retry"};
    }
    if (rest[0].starts_with('-')) {
        return unknown_option(rest[0], app_, " (mqctl --help lists them)");
    }
    std::vector<std::string> names{"queue", "dead", "help"};
    for (const CommandRow& row : command_rows) {
        names.emplace_back(row.name);
    }
    const std::string hint = did_you_mean(group + rest[0], names);
    return {"unknown command \"" + group + rest[0] + '"' +
            (hint.empty() ? " (mqctl --help lists them)" : hint)};
}

void Parser::take_operands(const std::vector<std::string>& operands) {
    const CommandRow& row = row_of(line_.command);
    const bool wants_queue = row.operands.starts_with("QUEUE");
    const bool wants_folder = row.operands == "DIR";
    const std::string name(row.name);
    if (line_.command == Command::delete_messages) {
        if (operands.empty()) {
            throw Mistake{"delete needs the ids of messages (mqctl delete orders:3:1842)"};
        }
        line_.message_ids = message_ids(operands);
        return;
    }
    const std::size_t most = line_.command == Command::publish
                                 ? 2
                                 : static_cast<std::size_t>(wants_queue || wants_folder ? 1 : 0);
    if (wants_folder && operands.empty()) {
        const bool makes_it = line_.command == Command::backup;
        throw Mistake{name +
                      (makes_it ? " needs a folder to make (mqctl "
                                : " needs the folder of a store (mqctl ") +
                      name + ' ' + std::string(row.operands) + ')'};
    }
    if (wants_queue && operands.empty()) {
        throw Mistake{name + " needs the name of a queue (mqctl " + name + ' ' +
                      std::string(row.operands) + ')'};
    }
    if (operands.size() > most) {
        throw Mistake{"unexpected argument \"" + operands[most] + "\" (mqctl " + name + ' ' +
                      std::string(row.operands) + ')'};
    }
    if (wants_queue) {
        line_.queue = operands[0];
    } else if (wants_folder) {
        line_.folder = operands[0];
    }
    if (line_.command == Command::publish) {
        check_publish(operands);
    }
}

void Parser::take_file(const std::vector<std::string>& operands) {
    if (operands.size() != 1 || operands[0].empty()) {
        throw Mistake{"queue apply needs one file (mqctl queue apply FILE)"};
    }
    line_.apply.file = operands[0] == "-" ? "" : operands[0];
}

void Parser::check_publish(const std::vector<std::string>& operands) {
    PublishOptions& publish = line_.publish;
    std::size_t sources = 0;
    const auto take = [&](bool wanted, Source source) {
        if (wanted) {
            publish.source = source;
            ++sources;
        }
    };
    take(operands.size() > 1, Source::argument);
    take(given(lines_), Source::lines);
    take(given(null_), Source::null_delimited);
    take(given(jsonl_), Source::json_lines);
    take(given(file_), Source::files);
    if (sources > 1) {
        throw Mistake{"a message argument, --lines, --null, --jsonl and -f exclude each other"};
    }
    if (publish.source == Source::argument) {
        publish.argument = operands[1];
    }
    std::size_t bytes = 0;
    for (const std::string& header : headers_) {
        const std::size_t colon = header.find(':');
        if (colon == 0 || colon == std::string::npos || colon > UINT8_MAX) {
            throw Mistake{"-H \"" + header + "\" is not key:value (with 1 to 255 bytes of key)"};
        }
        publish.headers.emplace_back(header.substr(0, colon), header.substr(colon + 1));
        bytes += header.size() + wire::attribute_header_bytes;
    }
    if (bytes > wire::attributes_bytes_max) {
        throw Mistake{"the headers are too long: together they have at most " +
                      std::to_string(wire::attributes_bytes_max) + " bytes"};
    }
    publish.message = message_options(delay_, due_);
    publish.durability = durability(publish_durability_, Durability::unspecified);
}

void Parser::check_consume() {
    ConsumeOptions& consume = line_.consume;
    if ((given(follow_) ? 1 : 0) + (given(drain_) ? 1 : 0) + (given(wait_) ? 1 : 0) > 1) {
        throw Mistake{"--follow, --drain and --wait exclude each other"};
    }
    if (given(count_)) {
        consume.count = number(count_, 1);
    } else if (!consume.follow && !consume.drain) {
        consume.count = 1;
    }
    if (given(wait_)) {
        consume.wait = duration(wait_, {});
    }
    if (!exec_ && (given(jobs_) || given(grace_) || given(retry_delay_))) {
        throw Mistake{"-j, --grace and --retry-delay belong to --exec"};
    }
    if (exec_ && !line_.global.output.empty()) {
        throw Mistake{"-o has no meaning with --exec: the command writes for itself"};
    }
    if (given(exclusive_) && given(single_)) {
        throw Mistake{"--exclusive and --single exclude each other"};
    }
    consume.sharing = given(exclusive_) ? Sharing::exclusive
                      : given(single_)  ? Sharing::single_active
                                        : Sharing::shared;
    // A run with an end opens further consumers, to get past what failed (execute.cpp).
    if (exec_ && consume.sharing != Sharing::shared && (!consume.follow || consume.count)) {
        throw Mistake{"--exclusive and --single go with --exec only if --follow does, without -n"};
    }
    constexpr unsigned jobs_max = 1000;
    const std::uint64_t jobs = number(jobs_, consume.jobs);
    if (jobs > jobs_max) {
        throw Mistake{"-j: at most " + std::to_string(jobs_max) + " commands at once"};
    }
    consume.jobs = static_cast<unsigned>(jobs);
    consume.lease = duration(lease_, consume.lease);
    consume.grace = duration(grace_, consume.grace);
    if (given(retry_delay_)) {
        consume.retry_delay = duration(retry_delay_, {});
        if (consume.retry_delay > nack_delay_max) {
            throw Mistake{"--retry-delay: at most 49d"};
        }
    }
}

void Parser::check_export() {
    line_.export_messages.file = file(export_file_);
    if (line_.export_messages.force && line_.export_messages.file.empty()) {
        throw Mistake{"--force belongs to -f FILE"};
    }
    if (!line_.global.output.empty() && line_.global.output != "json") {
        throw Mistake{"export writes lines of JSON only (peek has other outputs)"};
    }
}

void Parser::check_import() {
    PublishOptions& publish = line_.publish;
    publish.source = Source::json_lines;
    if (std::string path = file(import_file_); !path.empty()) {
        publish.files.push_back(std::move(path));
    }
    publish.durability = durability(import_durability_, Durability::unspecified);
    publish.ids = false;
}

// What is not named stays as it is, unless nothing is.
void Parser::read_paused(bool paused) {
    if (publishing_ || !consuming_) {
        line_.queue_options.publishing_paused = paused;
    }
    if (consuming_ || !publishing_) {
        line_.queue_options.consuming_paused = paused;
    }
}

void Parser::check_output() const {
    const std::string& output = line_.global.output;
    const bool messages = line_.command == Command::consume || line_.command == Command::peek;
    if (output.empty() || output == "text" || output == "json") {
        return;
    }
    if (!messages) {
        throw Mistake{std::string(row_of(line_.command).name) + " has -o text and -o json only"};
    }
    if (const auto format = MessageFormat::parse(output); !format) {
        throw Mistake{"-o: " + format.error().text};
    }
}

}  // namespace

SplitArguments split_at_separator(std::span<const std::string> arguments) {
    const auto separator = std::find(arguments.begin(), arguments.end(), "--");
    SplitArguments split;
    split.options.assign(arguments.begin(), separator);
    split.separated = separator != arguments.end();
    if (split.separated) {
        split.literal.assign(separator + 1, arguments.end());
    }
    return split;
}

ParseOutcome parse_command_line(const std::vector<std::string>& arguments) {
    Parser parser;
    ParseOutcome outcome;
    try {
        outcome.command_line = parser.parse(arguments);
    } catch (const Mistake& mistake) {
        outcome.exit = ExitCode::usage;
        outcome.complaint = mistake.text;
    } catch (const CLI::CallForHelp&) {
        outcome.out = parser.help();
    } catch (const CLI::Error& error) {
        outcome.exit = ExitCode::usage;
        outcome.complaint = error.what();
    }
    return outcome;
}

}  // namespace mqd::mqctl
