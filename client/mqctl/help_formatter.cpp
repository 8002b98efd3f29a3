#include "client/mqctl/help_formatter.hpp"

#include "client/mqctl/command_row.hpp"

namespace mqd::mqctl {

std::string HelpFormatter::make_usage(const CLI::App* app, std::string /*name*/) const {
    const CLI::App* const parent = app->get_parent();
    std::string name = app->get_name();
    if (parent == nullptr) {
        return "Usage: mqctl [-s URL] [-o OUTPUT] [-q] [-v] [--timeout 5s] COMMAND ...\n";
    }
    if (parent->get_parent() != nullptr) {
        name = parent->get_name() + ' ' + name;
    }
    std::string usage = "Usage: mqctl " + name;
    for (const CommandRow& row : command_rows) {
        if (row.name == name && !row.operands.empty()) {
            usage += ' ' + std::string(row.operands);
        }
    }
    return usage + (app->get_subcommands({}).empty() ? " [OPTIONS]\n" : " COMMAND ...\n");
}

}  // namespace mqd::mqctl
