// A configuration as text, and what differs between two.

#include <algorithm>
#include <map>

#include "daemon/config/config.hpp"
#include "daemon/config/config_key.hpp"

namespace mqd {
namespace {

void print_keys(std::string& out, const std::string& header, const ConfigKeys& keys) {
    out += (out.empty() ? "" : "\n") + header + '\n';
    for (const ConfigKey& key : keys) {
        out += std::string(key.name) + " = " + format_field(key.field) + '\n';
    }
}

// The names of the elements that are in one list only, or differ.
template <typename Element>
void append_changed(std::vector<std::string>& keys, const std::string& section,
                    const std::vector<Element>& before, const std::vector<Element>& after) {
    std::map<std::string, int> seen;  // equal ones count to 2
    for (const Element& element : before) {
        seen[element.name] = 1;
    }
    for (const Element& element : after) {
        const bool same = std::find(before.begin(), before.end(), element) != before.end();
        seen[element.name] += same ? 1 : 0;
    }
    for (const auto& [name, count] : seen) {
        if (count != 2) {
            keys.push_back(section + '.' + name);
        }
    }
}

}  // namespace

std::string print_config(const Config& config) {
    Config copy = config;  // the fields of keys point to what can be set
    std::string out;
    for (const ConfigSection& section : sections_of(copy)) {
        print_keys(out, '[' + std::string(section.name) + ']', section.keys);
    }
    for (ListenerConfig& listener : copy.listeners) {
        ConfigKeys keys = keys_of(listener);
        const std::string_view foreign =
            std::holds_alternative<TcpAddress>(listener.bind) ? "mode" : "insecure";
        std::erase_if(keys, [foreign](const ConfigKey& key) { return key.name == foreign; });
        print_keys(out, "[[listener]]", keys);
    }
    for (engine::QueueDefinition& queue : copy.queues) {
        print_keys(out, "[queue.\"" + queue.name + "\"]", keys_of(queue));
    }
    return out;
}

std::vector<std::string> changed_keys(const Config& before, const Config& after) {
    Config old_copy = before;
    Config new_copy = after;
    std::vector<std::string> changed;
    const std::vector<ConfigSection> old_sections = sections_of(old_copy);
    const std::vector<ConfigSection> new_sections = sections_of(new_copy);
    for (std::size_t i = 0; i < old_sections.size(); ++i) {
        const ConfigSection& section = old_sections[i];
        for (std::size_t k = 0; k < section.keys.size(); ++k) {
            if (format_field(section.keys[k].field) !=
                format_field(new_sections[i].keys[k].field)) {
                changed.push_back(std::string(section.name) + '.' +
                                  std::string(section.keys[k].name));
            }
        }
    }
    append_changed(changed, "listener", before.listeners, after.listeners);
    append_changed(changed, "queue", before.queues, after.queues);
    return changed;
}

}  // namespace mqd
