#include "client/mqctl/options.hpp"

#include <algorithm>
#include <string_view>

#include "client/mqctl/command_row.hpp"
#include "client/mqctl/help_formatter.hpp"
#include "client/mqctl/message_format.hpp"
#include "client/mqctl/not_built.hpp"
#include "client/mqctl/option_value.hpp"
#include "client/mqctl/parser.hpp"
#include "client/mqctl/units.hpp"
#include "daemon/config/nearest_name.hpp"
#include "mqd/wire/batch.hpp"

namespace mqd::mqctl {

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
    read_peek();
    read_move();
    read_selection();
    if (line_.command == Command::queue_create) {
        if (given(memory_) && given(create_durability_)) {
            throw Mistake{"--memory and --durability exclude each other"};
        }
        line_.queue_options.durability =
            given(memory_) ? Durability::memory : durability(create_durability_, Durability::disk);
        if (given(priorities_)) {
            line_.queue_options.priorities = true;
        }
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
                      "delete, purge, undo, apply"
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
    if (line_.command == Command::why) {
        if (operands.size() != 1) {
            throw Mistake{"why needs the id of one message (mqctl why orders:3:1842)"};
        }
        line_.message_ids = message_ids(operands);
        return;
    }
    if (line_.command == Command::move_messages) {
        if (operands.size() != 2) {
            throw Mistake{"move needs two queues (mqctl move FROM TO)"};
        }
        if (operands[0] == operands[1]) {
            throw Mistake{"move needs two different queues"};
        }
        line_.queue = operands[0];
        line_.move.target = operands[1];
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

namespace {

// CLI11 names a flag that was given a value without its dashes.
std::string in_our_words(std::string complaint) {
    const std::size_t at = complaint.find(" was given a disallowed flag override");
    if (at == std::string::npos) {
        return complaint;
    }
    return (at == 1 ? "-" : "--") + complaint.substr(0, at) + " takes no value";
}

}  // namespace

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
        outcome.complaint = in_our_words(error.what());
    }
    return outcome;
}

}  // namespace mqd::mqctl
