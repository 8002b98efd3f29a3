#include "daemon/config/config.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <system_error>

#include "daemon/config/config_key.hpp"
#include "daemon/config/nearest_name.hpp"
#include "daemon/config/toml.hpp"
#include "daemon/config/units.hpp"
#include "mqd/wire/admin.hpp"

namespace mqd {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t config_file_bytes_max = mebibyte;

// What a frame needs beside a message body: its own fields, and attributes of full length.
constexpr std::uint64_t frame_room_bytes = 128 * kibibyte;
// A commit group is at most a quarter of a journal file, and carries at least a whole frame.
constexpr std::uint64_t groups_per_file = 4;
constexpr std::uint64_t group_room_bytes = 64 * kibibyte;
// One file being written, one emptied, one ready, one for what is carried forward.
constexpr std::uint64_t journal_files_min = 4;

constexpr std::array<std::string_view, 7> section_names{
    "server", "listener", "storage", "limits", "queue_defaults", "queue", "log"};

Error config_error(const std::string& place, const std::string& text) {
    std::string line = place.empty() ? text : place + ": " + text;
    for (char& c : line) {  // a key can hold any character
        c = static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
    return {ErrorCode::bad_config, std::move(line), 0, 0, 0};
}

Error file_error(const std::string& what, const std::string& path, int number) {
    return {ErrorCode::io_error, what + ' ' + path + ": " + std::generic_category().message(number),
            0, 0, number};
}

std::string place_of(const toml::node& node, const std::string& file) {
    const toml::source_position& at = node.source().begin;
    return file + ':' + std::to_string(at.line) + ':' + std::to_string(at.column);
}

std::string place_of(const toml::key& key, const std::string& file) {
    const toml::source_position& at = key.source().begin;
    return file + ':' + std::to_string(at.line) + ':' + std::to_string(at.column);
}

std::optional<ConfigValue> value_of(const toml::node& node) {
    if (const auto* text = node.as_string()) {
        return ConfigValue(text->get());
    }
    if (const auto* number = node.as_integer()) {
        return ConfigValue(number->get());
    }
    if (const auto* flag = node.as_boolean()) {
        return ConfigValue(flag->get());
    }
    if (const auto* array = node.as_array()) {
        std::vector<std::string> texts;
        for (const toml::node& element : *array) {
            const auto* text = element.as_string();
            if (text == nullptr) {
                return std::nullopt;
            }
            texts.push_back(text->get());
        }
        return ConfigValue(std::move(texts));
    }
    return std::nullopt;
}

std::string kind_of(const toml::node& node) {
    switch (node.type()) {
        case toml::node_type::table: return "a table";
        case toml::node_type::array: return "an array of other things than strings";
        case toml::node_type::floating_point: return "a number with a fraction";
        case toml::node_type::date:
        case toml::node_type::time:
        case toml::node_type::date_time: return "a date or time";
        case toml::node_type::none:
        case toml::node_type::string:
        case toml::node_type::integer:
        case toml::node_type::boolean: return "a plain value";
    }
    return "something else";
}

// Puts files together, the later over the earlier, and checks the whole at the end.
class Loader {
  public:
    Result<void> apply(std::string_view text, const std::string& file);
    Result<void> apply_file(const std::string& path);
    Result<Config> finish();
    // Precondition: finish() had no error. The queues of the result, with what was said of them.
    [[nodiscard]] std::vector<DeclaredQueue> declared() const;

  private:
    struct Said {
        std::string place;
        ConfigValue value;
    };

    Result<void> apply_sections(const toml::table& root);
    Result<void> apply_section(std::string_view name, const toml::node& node);
    Result<void> apply_keys(const toml::table& table, const std::string& section,
                            const ConfigKeys& keys);
    Result<void> apply_listeners(const toml::node& node);
    Result<void> apply_queues(const toml::node& node);

    Result<void> check_sizes() const;
    Result<void> check_queues() const;
    void fill_in(engine::QueueDefinition& queue) const;
    Result<void> check_listeners() const;
    // At least one of the two keys stands in a file when they contradict each other: its place.
    [[nodiscard]] std::string place(const std::string& key, const std::string& other = {}) const;

    Config config_;
    std::string file_;  // being read
    // Of each key that was set, "storage.path", and of each listener, "listener.local".
    std::map<std::string, Said> said_;
};

Result<void> Loader::apply(std::string_view text, const std::string& file) {
    file_ = file;
    const auto root = parse_toml(text, file);
    return root ? apply_sections(*root) : config_error("", root.error().text);
}

Result<void> Loader::apply_file(const std::string& path) {
    errno = 0;
    std::ifstream in(path, std::ios::binary);
    if (!in) {
        return file_error("cannot open", path, errno);
    }
    std::string text(config_file_bytes_max + 1, '\0');
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (in.bad() || in.gcount() < 0) {
        return file_error("cannot read", path, errno != 0 ? errno : EIO);
    }
    text.resize(static_cast<std::size_t>(in.gcount()));
    if (text.size() > config_file_bytes_max) {
        return config_error(path, "is larger than " + format_size(config_file_bytes_max));
    }
    return apply(text, path);
}

Result<void> Loader::apply_sections(const toml::table& root) {
    for (const auto& [key, node] : root) {
        if (std::find(section_names.begin(), section_names.end(), key.str()) ==
            section_names.end()) {
            return config_error(place_of(key, file_), "unknown section \"" +
                                                          std::string(key.str()) + '"' +
                                                          did_you_mean(key.str(), section_names));
        }
        auto applied = apply_section(key.str(), node);
        if (!applied) {
            return applied;
        }
    }
    return {};
}

Result<void> Loader::apply_section(std::string_view name, const toml::node& node) {
    if (name == "listener") {
        return apply_listeners(node);
    }
    const std::string section(name);
    if (!node.is_table()) {
        return config_error(place_of(node, file_), section + " must be a section, [" + section +
                                                       "], not " + kind_of(node));
    }
    if (name == "queue") {
        return apply_queues(node);
    }
    for (const ConfigSection& known : sections_of(config_)) {
        if (known.name == name) {
            return apply_keys(*node.as_table(), section, known.keys);
        }
    }
    MQD_ASSERT(false, name.size());
    return {};
}

Result<void> Loader::apply_keys(const toml::table& table, const std::string& section,
                                const ConfigKeys& keys) {
    for (const auto& [key, node] : table) {
        const std::string name = section + '.' + std::string(key.str());
        const std::string_view last = key.str();
        const auto known = std::find_if(keys.begin(), keys.end(),
                                        [last](const ConfigKey& k) { return k.name == last; });
        if (known == keys.end()) {
            std::vector<std::string_view> names;
            for (const ConfigKey& k : keys) {
                names.push_back(k.name);
            }
            return config_error(place_of(key, file_),
                                "unknown key \"" + name + '"' + did_you_mean(key.str(), names));
        }
        const std::string at = place_of(node, file_);
        const auto value = value_of(node);
        if (!value) {
            return config_error(at, name + ": must not be " + kind_of(node));
        }
        const auto done = set_field(known->field, *value);
        if (!done) {
            return config_error(at, name + ": " + done.error().text);
        }
        said_[name] = {at, *value};
    }
    return {};
}

Result<void> Loader::apply_listeners(const toml::node& node) {
    const toml::array* array = node.as_array();
    if (array == nullptr || !array->is_array_of_tables()) {
        return config_error(place_of(node, file_),
                            "each listener is a section of its own, [[listener]]");
    }
    std::vector<std::string> names;  // in this file
    for (const toml::node& element : *array) {
        const toml::table& table = *element.as_table();
        const std::string at = place_of(element, file_);
        ListenerConfig listener;
        auto applied = apply_keys(table, "listener", keys_of(listener));
        if (!applied) {
            return applied;
        }
        if (listener.name.empty() || !table.contains("bind")) {
            return config_error(at, "a listener needs both a name and a bind");
        }
        if (std::find(names.begin(), names.end(), listener.name) != names.end()) {
            return config_error(at, "there are two listeners \"" + listener.name + '"');
        }
        const bool tcp = std::holds_alternative<TcpAddress>(listener.bind);
        if (table.contains(tcp ? "mode" : "insecure")) {
            return config_error(at, tcp ? "listener.mode is for unix sockets only"
                                        : "listener.insecure is for tcp only");
        }
        names.push_back(listener.name);
        said_["listener." + listener.name] = {at, {}};
        auto& all = config_.listeners;
        const auto same = std::find_if(all.begin(), all.end(), [&listener](const auto& other) {
            return other.name == listener.name;
        });
        same == all.end() ? all.push_back(listener) : void(*same = listener);
    }
    return {};
}

Result<void> Loader::apply_queues(const toml::node& node) {
    for (const auto& [key, element] : *node.as_table()) {
        const std::string name(key.str());
        if (!wire::valid_queue_name(name)) {
            return config_error(place_of(key, file_),
                                "\"" + name + "\" is not a name for a queue: 1 to 200 letters, " +
                                    "digits, '.', '_', '-', the first not '.' or '-'");
        }
        if (!element.is_table()) {
            return config_error(place_of(element, file_),
                                "a queue is a section of its own, [queue." + name + "]");
        }
        for (const auto& [inner, value] : *element.as_table()) {
            if (value.is_table()) {
                return config_error(place_of(inner, file_),
                                    "a queue whose name has dots is written in quotes: [queue.\"" +
                                        name + '.' + std::string(inner.str()) + "\"]");
            }
        }
        auto& all = config_.queues;
        auto at = std::lower_bound(all.begin(), all.end(), name,
                                   [](const auto& queue, const auto& n) { return queue.name < n; });
        if (at == all.end() || at->name != name) {
            at = all.insert(at, engine::QueueDefinition{});
            at->name = name;
        }
        auto applied = apply_keys(*element.as_table(), "queue." + name, keys_of(*at));
        if (!applied) {
            return applied;
        }
    }
    return {};
}

std::string Loader::place(const std::string& key, const std::string& other) const {
    for (const std::string& name : {key, other}) {
        const auto found = said_.find(name);
        if (found != said_.end()) {
            return found->second.place;
        }
    }
    return {};
}

Result<void> Loader::check_sizes() const {
    const LimitsConfig& limits = config_.limits;
    const StorageConfig& storage = config_.storage;
    // `key` must be at least `least`, which comes from `other`.
    struct Rule {
        std::string key;
        std::uint64_t value = 0;
        std::uint64_t least = 0;
        std::string other;
        std::string formula;
    };
    const std::array<Rule, 6> rules{{
        {"limits.frame_bytes", limits.frame_bytes, limits.message_bytes + frame_room_bytes,
         "limits.message_bytes", "limits.message_bytes + " + format_size(frame_room_bytes)},
        {"storage.journal_file_bytes", storage.journal_file_bytes,
         groups_per_file * (limits.frame_bytes + group_room_bytes), "limits.frame_bytes",
         "4 x (limits.frame_bytes + " + format_size(group_room_bytes) + ')'},
        {"storage.journal_bytes", storage.journal_bytes,
         journal_files_min * storage.journal_file_bytes, "storage.journal_file_bytes",
         "4 x storage.journal_file_bytes"},
        {"limits.output_bytes", limits.output_bytes, limits.frame_bytes, "limits.frame_bytes",
         "limits.frame_bytes"},
        {"limits.memory_bytes", limits.memory_bytes, limits.frame_bytes, "limits.frame_bytes",
         "limits.frame_bytes"},
        {"limits.publish_credit_bytes", limits.publish_credit_bytes, limits.producer_credit_bytes,
         "limits.producer_credit_bytes", "limits.producer_credit_bytes"},
    }};
    for (const Rule& rule : rules) {
        if (rule.value < rule.least) {
            return config_error(place(rule.key, rule.other),
                                rule.key + " is " + format_size(rule.value) +
                                    ", and must be at least " + format_size(rule.least) + " (" +
                                    rule.formula + ')');
        }
    }
    return {};
}

Result<void> Loader::check_queues() const {
    const std::uint32_t most = config_.limits.queues;
    if (config_.queues.size() > most) {
        return config_error(place("limits.queues"),
                            "limits.queues is " + std::to_string(most) + ", but " +
                                std::to_string(config_.queues.size()) + " queues are declared");
    }
    const engine::QueueDefinition& defaults = config_.queue_defaults;
    if (engine::counts_messages_only(defaults.on_full) && defaults.max_bytes != 0) {
        return config_error(place("queue_defaults.max_bytes", "queue_defaults.on_full"),
                            "queue_defaults: on_full = \"" +
                                std::string(to_text(defaults.on_full)) +
                                "\" goes with max_messages, and not with max_bytes");
    }
    for (const engine::QueueDefinition& queue : config_.queues) {
        if (engine::counts_messages_only(queue.on_full) && queue.max_bytes != 0) {
            const std::string section = "queue." + queue.name;
            return config_error(place(section + ".max_bytes", section + ".on_full"),
                                section + ": on_full = \"" + std::string(to_text(queue.on_full)) +
                                    "\" goes with max_messages, and not with max_bytes");
        }
        if (queue.on_full == OnFull::wait && queue.dedup_window.count() != 0) {
            const std::string section = "queue." + queue.name;
            return config_error(place(section + ".on_full", section + ".dedup_window"),
                                section + ": on_full = \"wait\" does not go with a dedup_window");
        }
        if (queue.max_messages == engine::rendezvous &&
            (queue.on_full != OnFull::wait || queue.durability != Durability::memory)) {
            const std::string section = "queue." + queue.name;
            return config_error(place(section + ".max_messages", "queue_defaults.max_messages"),
                                section +
                                    ": a rendezvous has on_full = \"wait\" and durability = "
                                    "\"memory\"");
        }
        if (queue.dead_letter == queue.name) {
            const std::string key = "queue." + queue.name + ".dead_letter";
            return config_error(place(key), key + " names the queue itself");
        }
    }
    return {};
}

Result<void> Loader::check_listeners() const {
    std::map<std::string, std::string> names;  // by address
    for (const ListenerConfig& listener : config_.listeners) {
        const std::string at = place("listener." + listener.name);
        const std::string address = format_listen_address(listener.bind);
        if (!is_local(listener.bind) && !listener.insecure) {
            return config_error(at, "listener \"" + listener.name + "\" at " + address +
                                        " would let other hosts in without TLS and authentication; "
                                        "bind it to 127.0.0.1, or say insecure = true");
        }
        const auto* tcp = std::get_if<TcpAddress>(&listener.bind);
        const bool any_port = tcp != nullptr && tcp->port == 0;
        const auto [other, added] = names.emplace(address, listener.name);
        if (!added && !any_port) {
            return config_error(at, "listeners \"" + other->second + "\" and \"" + listener.name +
                                        "\" have the same address, " + address);
        }
    }
    return {};
}

// As the defaults are, but for what the section of the queue says, in any of the files.
void Loader::fill_in(engine::QueueDefinition& queue) const {
    engine::QueueDefinition whole = config_.queue_defaults;
    whole.name = queue.name;
    for (const ConfigKey& key : keys_of(whole)) {
        const auto said = said_.find("queue." + queue.name + '.' + std::string(key.name));
        if (said != said_.end()) {
            const auto set = set_field(key.field, said->second.value);
            MQD_ASSERT(set.has_value());  // as it was when the file was read
        }
    }
    queue = std::move(whole);
}

Result<Config> Loader::finish() {
    if (config_.listeners.empty()) {
        config_.listeners = default_config().listeners;
    }
    for (engine::QueueDefinition& queue : config_.queues) {
        fill_in(queue);
    }
    const auto sizes = check_sizes();
    if (!sizes) {
        return sizes.error();
    }
    const auto queues = check_queues();
    if (!queues) {
        return queues.error();
    }
    const auto listeners = check_listeners();
    if (!listeners) {
        return listeners.error();
    }
    return config_;
}

std::vector<DeclaredQueue> Loader::declared() const {
    std::vector<DeclaredQueue> queues;
    for (const engine::QueueDefinition& definition : config_.queues) {
        DeclaredQueue queue{definition, {}};
        for (const ConfigKey& key : keys_of(queue.definition)) {
            const std::string name(key.name);
            if (said_.contains("queue." + definition.name + '.' + name) ||
                said_.contains("queue_defaults." + name)) {
                queue.said.push_back(key.name);
            }
        }
        queues.push_back(std::move(queue));
    }
    return queues;
}

Result<std::vector<DeclaredQueue>> finish_queues(Loader& loader, const Result<void>& applied) {
    if (!applied) {
        return applied.error();
    }
    const auto config = loader.finish();
    if (!config) {
        return config.error();
    }
    return loader.declared();
}

// The files conf.d/*.toml beside `path`, in order of name. No such folder: none.
Result<std::vector<std::string>> drop_ins(const std::string& path) {
    const fs::path folder = fs::path(path).parent_path() / "conf.d";
    std::vector<std::string> files;
    std::error_code error;
    for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
        const fs::path& file = at->path();
        if (file.extension() == ".toml" && file.filename().native().front() != '.') {
            files.push_back(file.string());
        }
    }
    if (error && error != std::errc::no_such_file_or_directory) {
        return file_error("cannot read", folder.string(), error.value());
    }
    std::sort(files.begin(), files.end());
    return files;
}

}  // namespace

Config default_config() {
    Config config;
    config.listeners.push_back({"local", UnixAddress{"/run/mqd/mqd.sock"}, 0660, false});
    return config;
}

Result<Config> load_config(const std::optional<std::string>& path) {
    const std::string main_file = path.value_or(std::string(default_config_path));
    Loader loader;
    const auto read = loader.apply_file(main_file);
    const bool absent = !read && read.error().os_errno == ENOENT && !path;
    if (!read && !absent) {
        return read.error();
    }
    const auto files = drop_ins(main_file);
    if (!files) {
        return files.error();
    }
    for (const std::string& file : *files) {
        const auto applied = loader.apply_file(file);
        if (!applied) {
            return applied.error();
        }
    }
    return loader.finish();
}

Result<Config> parse_config(std::string_view text, const std::string& name) {
    Loader loader;
    const auto applied = loader.apply(text, name);
    if (!applied) {
        return applied.error();
    }
    return loader.finish();
}

Result<std::vector<DeclaredQueue>> load_queues(const std::string& path) {
    Loader loader;
    const auto applied = loader.apply_file(path);
    return finish_queues(loader, applied);
}

Result<std::vector<DeclaredQueue>> parse_queues(std::string_view text, const std::string& name) {
    Loader loader;
    const auto applied = loader.apply(text, name);
    return finish_queues(loader, applied);
}

}  // namespace mqd
