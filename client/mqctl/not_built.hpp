#pragma once

// What the interface of mqctl has a name for and this version does not do: refused by that name,
// so that nobody believes that a message was delayed when it was not. One table; a row goes when
// its thing comes.

#include <span>
#include <string>
#include <string_view>

namespace mqd::mqctl {

// Top-level commands; "queue update" for those of a group.
[[nodiscard]] std::span<const std::string_view> commands_not_built();

// With their dashes; of any command.
[[nodiscard]] std::span<const std::string_view> options_not_built();

// The first argument that is an option of the table ("--delay", "--delay=5s"), without its value;
// else empty.
[[nodiscard]] std::string find_option_not_built(std::span<const std::string> arguments);

}  // namespace mqd::mqctl
