#include "client/mqctl/not_built.hpp"

#include <algorithm>
#include <array>

namespace mqd::mqctl {
namespace {

constexpr auto commands = std::to_array<std::string_view>({
    // messages
    "tail",
    "request",
    "serve",
    // watching
    "top",
    "stats",
    "clients",
    "events",
    "log-level",
    // security
    "token",
    "whoami",
    // local
    "config",
    "completions",
    "bench",
});

constexpr auto options = std::to_array<std::string_view>({
    // everywhere
    "--token-file",
    // of a message
    "--reply-to",
});

}  // namespace

std::span<const std::string_view> commands_not_built() {
    return commands;
}

std::span<const std::string_view> options_not_built() {
    return options;
}

std::string find_option_not_built(std::span<const std::string> arguments) {
    for (const std::string& argument : arguments) {
        const std::string_view name = std::string_view(argument).substr(0, argument.find('='));
        if (std::find(options.begin(), options.end(), name) != options.end()) {
            return std::string(name);
        }
    }
    return {};
}

}  // namespace mqd::mqctl
