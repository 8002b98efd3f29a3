#pragma once

// What a command did, as one object of JSON: with -o json, of commands that otherwise only say it
// to people. Names of fields are part of the interface.

#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <variant>

#include "client/mqctl/session.hpp"

namespace mqd::mqctl {

struct ReportField {
    std::string_view name;
    std::variant<std::string_view, std::uint64_t> value;
};

// Writes it, if -o json was given. Returns `exit`, or what became of the writing if that was done
// in vain and all else was not.
[[nodiscard]] ExitCode report_json(Session& session, ExitCode exit,
                                   std::initializer_list<ReportField> fields);

}  // namespace mqd::mqctl
