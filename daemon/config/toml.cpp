#include "daemon/config/toml.hpp"

#include <algorithm>
#include <vector>

namespace mqd {
namespace {

Error text_error(const std::string& file, std::size_t line, std::size_t column,
                 std::string_view text) {
    return {
        ErrorCode::bad_config,
        file + ':' + std::to_string(line) + ':' + std::to_string(column) + ": " + std::string(text),
        0, 0, 0};
}

bool breaks_an_assumption(std::string_view text) {
    try {
        static_cast<void>(toml::parse(text));
    } catch (const TomlAssumptionBroken&) {
        return true;
    } catch (const toml::parse_error&) {
        return false;
    }
    return false;
}

// A broken assumption does not say where. The parser reads from left to right, so it is broken by
// every beginning of the text that goes beyond the place, and by no other.
std::size_t line_that_breaks(std::string_view text) {
    std::vector<std::size_t> ends;  // of the lines, and of the text
    for (std::size_t at = text.find('\n'); at != std::string_view::npos;
         at = text.find('\n', at + 1)) {
        ends.push_back(at + 1);
    }
    ends.push_back(text.size());
    const auto first = std::partition_point(ends.begin(), ends.end() - 1, [&](std::size_t end) {
        return !breaks_an_assumption(text.substr(0, end));
    });
    return static_cast<std::size_t>(first - ends.begin()) + 1;
}

}  // namespace

Result<toml::table> parse_toml(std::string_view text, const std::string& file) {
    try {
        return toml::parse(text, file);
    } catch (const toml::parse_error& error) {
        const toml::source_position& at = error.source().begin;
        return text_error(file, at.line, at.column, error.description());
    } catch (const TomlAssumptionBroken&) {
        return text_error(file, line_that_breaks(text), 1, "this is not TOML: a name is missing");
    }
}

}  // namespace mqd
