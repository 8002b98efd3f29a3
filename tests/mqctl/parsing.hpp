#pragma once

// Command lines as a test gives them, and what mqctl makes of them.

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

#include "client/mqctl/options.hpp"

namespace mqd::mqctl {

using Arguments = std::vector<std::string>;

inline CommandLine accepted(const Arguments& arguments) {
    const ParseOutcome outcome = parse_command_line(arguments);
    CAPTURE(outcome.complaint);
    REQUIRE(outcome.command_line);
    return *outcome.command_line;
}

// The complaint about a command line that is a mistake.
inline std::string refused(const Arguments& arguments) {
    const ParseOutcome outcome = parse_command_line(arguments);
    REQUIRE(!outcome.command_line);
    CHECK(outcome.exit == ExitCode::usage);
    CHECK(outcome.complaint.find('\n') == std::string::npos);
    REQUIRE(!outcome.complaint.empty());
    return outcome.complaint;
}

inline bool mentions(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

}  // namespace mqd::mqctl
