// Code and config/mqd.toml, held together: every key of the code stands in the file, commented out,
// at its default, below a paragraph of its own; and the file says nothing that the code does not
// know.

#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "daemon/config/config.hpp"

using namespace mqd;

namespace {

std::vector<std::string> lines_of(std::istream& in) {
    std::vector<std::string> lines;
    for (std::string line; std::getline(in, line);) {
        lines.push_back(line);
    }
    return lines;
}

// The tests run at the root of the source tree.
std::vector<std::string> example_lines() {
    std::ifstream in("config/mqd.toml");
    REQUIRE_MESSAGE(in.good(), "cannot read config/mqd.toml");
    return lines_of(in);
}

// A setting that is commented out begins with '#' and no blank; words begin with "# ".
bool is_commented_setting(const std::string& line) {
    return line.size() > 1 && line[0] == '#' && line[1] != ' ' && line[1] != '#';
}

std::string uncommented(const std::vector<std::string>& lines) {
    std::string text;
    for (const std::string& line : lines) {
        text += (is_commented_setting(line) ? line.substr(1) : line) + '\n';
    }
    return text;
}

// "[storage]" -> "storage", "[[listener]]" -> "listener", `[queue."orders"]` -> "queue".
std::string section_of(std::string header) {
    std::erase_if(header, [](char c) { return c == '[' || c == ']'; });
    return header.substr(0, header.find('.'));
}

// "storage.path" -> the values that stand for it in the lines.
std::map<std::string, std::set<std::string>> settings_of(const std::vector<std::string>& lines) {
    std::map<std::string, std::set<std::string>> settings;
    std::string section;
    for (const std::string& line : lines) {
        const std::size_t equals = line.find(" = ");
        if (line.starts_with('[')) {
            section = section_of(line);
        } else if (!line.starts_with("#") && equals != std::string::npos) {
            settings[section + '.' + line.substr(0, equals)].insert(line.substr(equals + 3));
        }
    }
    return settings;
}

// The defaults, with what stands in the file as an example.
Config example_config() {
    Config config = default_config();
    config.listeners.push_back({"tcp", TcpAddress{"127.0.0.1", default_tcp_port}, 0660, false});
    config.queues.push_back(config.queue_defaults);
    config.queues.back().name = "orders";
    return config;
}

}  // namespace

TEST_CASE("config/mqd.toml: as it stands it says nothing but the defaults") {
    std::string text;
    for (const std::string& line : example_lines()) {
        text += line + '\n';
    }
    const auto config = parse_config(text, "config/mqd.toml");
    REQUIRE_MESSAGE(config.has_value(), config.error().text);
    CHECK(*config == default_config());
}

TEST_CASE("config/mqd.toml: uncommented it says the defaults and the examples") {
    const auto config = parse_config(uncommented(example_lines()), "config/mqd.toml");
    REQUIRE_MESSAGE(config.has_value(), config.error().text);
    CHECK(*config == example_config());
}

TEST_CASE("config/mqd.toml: has every key of the code at its default") {
    std::istringstream printed(print_config(example_config()));
    std::istringstream example(uncommented(example_lines()));
    const auto in_code = settings_of(lines_of(printed));
    const auto in_file = settings_of(lines_of(example));
    for (const auto& [key, values] : in_code) {
        CAPTURE(key);
        const auto found = in_file.find(key);
        REQUIRE(found != in_file.end());
        CHECK(found->second == values);
    }
    CHECK(in_code.size() == in_file.size());
    CHECK(in_code.size() >= 20);
}

TEST_CASE("config/mqd.toml: has a paragraph above every key") {
    const auto lines = example_lines();
    std::set<std::string> explained;
    std::size_t words = 0;  // lines of them, in the paragraph just above
    for (const std::string& line : lines) {
        if (line.starts_with("# ")) {
            ++words;
        } else if (is_commented_setting(line) && line[1] != '[') {
            if (words >= 2) {
                explained.insert(line.substr(1, line.find(' ') - 1));
            }
            words = 0;
        } else {
            words = 0;
        }
    }
    for (const auto& [key, values] : settings_of([&lines] {
             std::istringstream text(uncommented(lines));
             return lines_of(text);
         }())) {
        CAPTURE(key);
        CHECK(explained.contains(key.substr(key.find('.') + 1)));
    }
}

TEST_CASE("mqd.toml(5): has every key of the code, with its default") {
    std::ifstream in("docs/man/mqd.toml.5.scd");
    REQUIRE(in.good());
    const auto page = lines_of(in);
    const auto has = [&page](const std::string& line) {
        return std::find(page.begin(), page.end(), line) != page.end();
    };
    std::istringstream printed(print_config(example_config()));
    for (const auto& [key, values] : settings_of(lines_of(printed))) {
        CAPTURE(key);
        const std::string name = '*' + key.substr(key.find('.') + 1) + '*';
        bool found = has(name);  // without a default of its own
        for (const std::string& value : values) {
            found = found || has(name + " = " + value);
        }
        CHECK(found);
    }
}
