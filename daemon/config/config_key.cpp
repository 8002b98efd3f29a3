#include "daemon/config/config_key.hpp"

#include <array>
#include <charconv>

#include "daemon/config/nearest_name.hpp"
#include "daemon/config/units.hpp"
#include "mqd/wire/admin.hpp"
#include "mqd/wire/message_history.hpp"

namespace mqd {
namespace {

using std::chrono::milliseconds;

constexpr std::uint64_t block_bytes = 4 * kibibyte;  // what the journal's files are a multiple of
constexpr std::uint64_t tebibyte = 1024 * gibibyte;
constexpr std::int64_t one_minute = 60'000;
constexpr std::int64_t one_day = 24 * 60 * one_minute;
constexpr std::uint32_t attempts_limit_max = 1'000'000;
constexpr std::uint64_t messages_limit_max = 1'000'000'000'000;
constexpr std::uint64_t bytes_limit_max = 16 * tebibyte;

constexpr std::array<std::string_view, 3> durability_names{"memory", "written", "disk"};
constexpr std::array<std::string_view, 4> on_full_names{"reject", "drop-oldest", "dead-letter",
                                                        "wait"};
constexpr std::array<std::string_view, 2> on_expired_names{"drop", "dead_letter"};
constexpr std::array<std::string_view, 5> level_names{"trace", "debug", "info", "warn", "error"};
constexpr std::array<std::string_view, 2> on_damage_names{"refuse", "salvage"};

Error bad_value(std::string text) {
    return {ErrorCode::bad_config, std::move(text), 0, 0, 0};
}

std::string kind_of(const ConfigValue& value) {
    if (std::holds_alternative<std::string>(value)) {
        return "a string";
    }
    if (std::holds_alternative<std::vector<std::string>>(value)) {
        return "an array";
    }
    return std::holds_alternative<bool>(value) ? "true or false" : "a number";
}

Error wrong_kind(std::string_view wanted, const ConfigValue& value) {
    return bad_value("must be " + std::string(wanted) + ", not " + kind_of(value));
}

Error out_of_range(const std::string& value, const std::string& min, const std::string& max) {
    return bad_value(value + " is out of range: " + min + " to " + max);
}

std::string quoted(std::string_view text) {
    static constexpr char digits[] = "0123456789ABCDEF";
    std::string out = "\"";
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte == 0x7F) {
            out += "\\u00";
            out += digits[byte >> 4];
            out += digits[byte & 15];
        } else {
            out += c == '"' || c == '\\' ? "\\" : "";
            out += c;
        }
    }
    return out + '"';
}

std::string octal(std::uint32_t mode) {
    std::string text = "0";
    for (int shift = 6; shift >= 0; shift -= 3) {
        text += static_cast<char>('0' + ((mode >> shift) & 7));
    }
    return text;
}

Result<void> set(const SizeField& field, const ConfigValue& value) {
    std::uint64_t bytes = 0;
    if (const auto* text = std::get_if<std::string>(&value)) {
        const auto size = parse_size(*text);
        if (!size) {
            return size.error();
        }
        bytes = *size;
    } else if (const auto* number = std::get_if<std::int64_t>(&value)) {
        if (*number < 0) {
            return bad_value("a size cannot be negative");
        }
        bytes = static_cast<std::uint64_t>(*number);
    } else {
        return wrong_kind("a size such as \"64KiB\"", value);
    }
    if (bytes < field.min || bytes > field.max) {
        return out_of_range(format_size(bytes), format_size(field.min), format_size(field.max));
    }
    if (bytes % field.multiple != 0) {
        return bad_value(format_size(bytes) + " is not a multiple of " +
                         format_size(field.multiple));
    }
    *field.bytes = bytes;
    return {};
}

Result<void> set(const CountField& field, const ConfigValue& value) {
    const auto* number = std::get_if<std::int64_t>(&value);
    if (number == nullptr) {
        return wrong_kind("a number", value);
    }
    if (*number < field.min || *number > field.max) {
        return out_of_range(std::to_string(*number), std::to_string(field.min),
                            std::to_string(field.max));
    }
    *field.count = static_cast<std::uint32_t>(*number);
    return {};
}

Result<void> set(const LongCountField& field, const ConfigValue& value) {
    const auto* text = std::get_if<std::string>(&value);
    if (text != nullptr && !field.word.empty() && *text == field.word) {
        *field.count = UINT64_MAX;
        return {};
    }
    const auto* number = std::get_if<std::int64_t>(&value);
    if (number == nullptr) {
        return wrong_kind("a number", value);
    }
    if (*number < 0 || static_cast<std::uint64_t>(*number) > field.max) {
        return out_of_range(std::to_string(*number), "0", std::to_string(field.max));
    }
    *field.count = static_cast<std::uint64_t>(*number);
    return {};
}

Result<void> set(const DurationField& field, const ConfigValue& value) {
    const auto* text = std::get_if<std::string>(&value);
    if (text == nullptr) {
        return wrong_kind("a duration with its unit, such as \"30s\"", value);
    }
    const auto duration = parse_duration(*text);
    if (!duration) {
        return duration.error();
    }
    if (*duration < field.min || *duration > field.max) {
        return out_of_range(format_duration(*duration), format_duration(field.min),
                            format_duration(field.max));
    }
    *field.duration = *duration;
    return {};
}

Result<void> set(const DelaysField& field, const ConfigValue& value) {
    const auto* texts = std::get_if<std::vector<std::string>>(&value);
    if (texts == nullptr) {
        return wrong_kind("an array of durations such as [\"1s\", \"10s\"]", value);
    }
    if (texts->size() > field.count_max) {
        return bad_value(std::to_string(texts->size()) + " delays are more than " +
                         std::to_string(field.count_max));
    }
    std::vector<milliseconds> delays(texts->size());
    for (std::size_t i = 0; i < delays.size(); ++i) {
        const DurationField delay{&delays[i], milliseconds(0), field.max};
        if (auto done = set(delay, (*texts)[i]); !done) {
            return done;
        }
    }
    *field.delays = std::move(delays);
    return {};
}

Result<void> set(const RateField& field, const ConfigValue& value) {
    const auto* text = std::get_if<std::string>(&value);
    if (text == nullptr) {
        return wrong_kind("a rate such as \"10/s\", or \"none\"", value);
    }
    const auto rate = *text == "none" ? Result<Rate>(Rate()) : parse_rate(*text);
    if (!rate) {
        return rate.error();
    }
    if (rate->count > field.count_max) {
        return bad_value(*text + " is more than " + std::to_string(field.count_max));
    }
    *field.rate = *rate;
    return {};
}

Result<void> set(const PathField& field, const ConfigValue& value) {
    const auto* text = std::get_if<std::string>(&value);
    if (text == nullptr) {
        return wrong_kind("a path", value);
    }
    if (text->empty() || text->front() != '/' || text->find('\0') != std::string::npos) {
        return bad_value(quoted(*text) + " is not an absolute path");
    }
    *field.path = *text;
    return {};
}

Result<void> set(const NameField& field, const ConfigValue& value) {
    const auto* text = std::get_if<std::string>(&value);
    if (text == nullptr) {
        return wrong_kind("a name", value);
    }
    if (!wire::valid_queue_name(*text) && !(field.may_be_empty && text->empty())) {
        return bad_value(quoted(*text) + " is not a name: letters, digits, '.', '_', '-'");
    }
    *field.name = *text;
    return {};
}

Result<void> set(const AddressField& field, const ConfigValue& value) {
    const auto* text = std::get_if<std::string>(&value);
    if (text == nullptr) {
        return wrong_kind("an address such as \"unix:/run/mqd/mqd.sock\"", value);
    }
    auto address = parse_listen_address(*text);
    if (!address) {
        return address.error();
    }
    *field.address = *std::move(address);
    return {};
}

Result<void> set(const ModeField& field, const ConfigValue& value) {
    const auto* text = std::get_if<std::string>(&value);
    if (text == nullptr) {
        return wrong_kind("the permissions of a file in quotes, such as \"0660\"", value);
    }
    std::uint32_t mode = 0;
    const char* end = text->data() + text->size();
    const auto [rest, error] = std::from_chars(text->data(), end, mode, 8);
    if (error != std::errc{} || rest != end || mode > 0777) {
        return bad_value(quoted(*text) + " is not the permissions of a file, such as \"0660\"");
    }
    *field.mode = mode;
    return {};
}

Result<void> set(const FlagField& field, const ConfigValue& value) {
    const auto* flag = std::get_if<bool>(&value);
    if (flag == nullptr) {
        return wrong_kind("true or false", value);
    }
    *field.flag = *flag;
    return {};
}

// The place of a word in a list of words.
Result<std::size_t> choose(const ConfigValue& value, std::span<const std::string_view> words) {
    std::string list;
    for (const std::string_view word : words) {
        list += (list.empty() ? "" : ", ") + quoted(word);
    }
    const auto* text = std::get_if<std::string>(&value);
    if (text == nullptr) {
        return wrong_kind("one of " + list, value);
    }
    for (std::size_t i = 0; i < words.size(); ++i) {
        if (words[i] == *text) {
            return i;
        }
    }
    return bad_value(quoted(*text) + " is not one of " + list + did_you_mean(*text, words));
}

Result<void> set(const DurabilityField& field, const ConfigValue& value) {
    const auto at = choose(value, durability_names);
    if (!at) {
        return at.error();
    }
    static_assert(static_cast<int>(Durability::memory) == 1);
    *field.durability = static_cast<Durability>(*at + 1);
    return {};
}

Result<void> set(const OnFullField& field, const ConfigValue& value) {
    const auto at = choose(value, on_full_names);
    if (!at) {
        return at.error();
    }
    static_assert(static_cast<int>(OnFull::reject) == 1);
    *field.on_full = static_cast<OnFull>(*at + 1);
    return {};
}

Result<void> set(const OnExpiredField& field, const ConfigValue& value) {
    const auto at = choose(value, on_expired_names);
    if (!at) {
        return at.error();
    }
    static_assert(static_cast<int>(OnExpired::drop) == 1);
    *field.on_expired = static_cast<OnExpired>(*at + 1);
    return {};
}

Result<void> set(const LogLevelField& field, const ConfigValue& value) {
    const auto at = choose(value, level_names);
    if (!at) {
        return at.error();
    }
    static_assert(static_cast<int>(LogLevel::trace) == 0);
    *field.level = static_cast<LogLevel>(*at);
    return {};
}

Result<void> set(const OnDamageField& field, const ConfigValue& value) {
    const auto at = choose(value, on_damage_names);
    if (!at) {
        return at.error();
    }
    static_assert(static_cast<int>(core::OnDamage::refuse) == 0);
    *field.mode = static_cast<core::OnDamage>(*at);
    return {};
}

std::string format(const SizeField& field) {
    return quoted(format_size(*field.bytes));
}
std::string format(const CountField& field) {
    return std::to_string(*field.count);
}
std::string format(const LongCountField& field) {
    const bool word = !field.word.empty() && *field.count == UINT64_MAX;
    return word ? quoted(field.word) : std::to_string(*field.count);
}
std::string format(const DurationField& field) {
    return quoted(format_duration(*field.duration));
}
std::string format(const DelaysField& field) {
    std::string list;
    for (const milliseconds delay : *field.delays) {
        list += (list.empty() ? "" : ", ") + quoted(format_duration(delay));
    }
    return '[' + list + ']';
}
std::string format(const RateField& field) {
    return quoted(format_rate(*field.rate));
}
std::string format(const PathField& field) {
    return quoted(*field.path);
}
std::string format(const NameField& field) {
    return quoted(*field.name);
}
std::string format(const AddressField& field) {
    return quoted(format_listen_address(*field.address));
}
std::string format(const ModeField& field) {
    return quoted(octal(*field.mode));
}
std::string format(const FlagField& field) {
    return *field.flag ? "true" : "false";
}
std::string format(const DurabilityField& field) {
    return quoted(to_text(*field.durability));
}
std::string format(const OnExpiredField& field) {
    return quoted(to_text(*field.on_expired));
}
std::string format(const OnFullField& field) {
    return quoted(to_text(*field.on_full));
}
std::string format(const LogLevelField& field) {
    return quoted(to_text(*field.level));
}
std::string format(const OnDamageField& field) {
    return quoted(to_text(*field.mode));
}

}  // namespace

ConfigKeys keys_of(ServerConfig& server) {
    return {
        {"shutdown_timeout",
         DurationField{&server.shutdown_timeout, milliseconds(0), milliseconds(10 * one_minute)}},
    };
}

ConfigKeys keys_of(ListenerConfig& listener) {
    return {
        {"name", NameField{&listener.name, false}},
        {"bind", AddressField{&listener.bind}},
        {"mode", ModeField{&listener.mode}},
        {"insecure", FlagField{&listener.insecure}},
    };
}

ConfigKeys keys_of(StorageConfig& storage, engine::QueueDefinition& queue_defaults) {
    return {
        {"path", PathField{&storage.path}},
        {"durability", DurabilityField{&queue_defaults.durability}},
        {"memory", SizeField{&storage.memory, mebibyte, tebibyte}},
        {"segment_bytes", SizeField{&storage.segment_bytes, 64 * kibibyte, gibibyte}},
        {"scrub_rate", SizeField{&storage.scrub_rate, 0, gibibyte}},
        {"journal_file_bytes",
         SizeField{&storage.journal_file_bytes, mebibyte, gibibyte, block_bytes}},
        {"journal_bytes", SizeField{&storage.journal_bytes, 4 * mebibyte, 16 * tebibyte}},
        {"on_damage", OnDamageField{&storage.on_damage}},
        {"commit_delay_max",
         DurationField{&storage.commit_delay_max, milliseconds(1), milliseconds(1000)}},
        {"written_sync_max",
         DurationField{&storage.written_sync_max, milliseconds(10), milliseconds(one_minute)}},
    };
}

ConfigKeys keys_of(LimitsConfig& limits) {
    return {
        {"memory_bytes", SizeField{&limits.memory_bytes, mebibyte, 16 * tebibyte}},
        {"message_bytes",
         SizeField{&limits.message_bytes, kibibyte, wire::message_body_bytes_hard_max}},
        {"frame_bytes",
         SizeField{&limits.frame_bytes, 64 * kibibyte, wire::frame_body_bytes_hard_max}},
        {"queues", CountField{&limits.queues, 1, 1'000'000}},
        {"named_producers", CountField{&limits.named_producers, 0, 10'000'000}},
        {"messages", LongCountField{&limits.messages, messages_limit_max}},
        {"delayed_messages", LongCountField{&limits.delayed_messages, 1'000'000'000}},
        {"grouped_messages", LongCountField{&limits.grouped_messages, 1'000'000'000}},
        {"history_events", LongCountField{&limits.history_events, 1'000'000'000}},
        {"dedup_ids", LongCountField{&limits.dedup_ids, 1'000'000'000}},
        {"connections", CountField{&limits.connections, 1, 1'000'000}},
        {"handles_per_connection", CountField{&limits.handles_per_connection, 1, 65'536}},
        {"connection_unacked", LongCountField{&limits.connection_unacked, messages_limit_max}},
        {"output_bytes", SizeField{&limits.output_bytes, 64 * kibibyte, gibibyte}},
        {"disk_bytes", SizeField{&limits.disk_bytes, 0, 1024 * tebibyte}},
        {"publish_credit_bytes",
         SizeField{&limits.publish_credit_bytes, 64 * kibibyte, 64 * gibibyte}},
        {"connection_credit_bytes",
         SizeField{&limits.connection_credit_bytes, 4 * kibibyte, 64 * gibibyte}},
        {"producer_credit_bytes", SizeField{&limits.producer_credit_bytes, 4 * kibibyte, gibibyte}},
        {"producer_credit_messages",
         CountField{&limits.producer_credit_messages, 1, 16 * 1024 * 1024}},
        {"hello_timeout",
         DurationField{&limits.hello_timeout, milliseconds(100), milliseconds(10 * one_minute)}},
    };
}

ConfigKeys keys_of(engine::QueueDefinition& queue) {
    return {
        {"durability", DurabilityField{&queue.durability}},
        {"lease", DurationField{&queue.lease, milliseconds(100), milliseconds(one_day)}},
        {"max_attempts", CountField{&queue.max_attempts, 0, attempts_limit_max}},
        {"dead_letter", NameField{&queue.dead_letter, true}},
        {"max_messages", LongCountField{&queue.max_messages, messages_limit_max, "rendezvous"}},
        {"max_bytes", SizeField{&queue.max_bytes, 0, bytes_limit_max}},
        {"on_full", OnFullField{&queue.on_full}},
        {"retry", DelaysField{&queue.retry, wire::retry_delays_max, wire::retry_delay_max}},
        {"priorities", FlagField{&queue.priorities}},
        {"group_in_flight", CountField{&queue.group_in_flight, 1, wire::group_in_flight_max}},
        {"group_rate", RateField{&queue.group_rate, wire::group_rate_count_max}},
        {"ttl", DurationField{&queue.ttl, milliseconds(0), wire::ttl_max}},
        {"on_expired", OnExpiredField{&queue.on_expired}},
        {"expire_idle", DurationField{&queue.expire_idle, milliseconds(0), wire::expire_idle_max}},
        {"history", CountField{&queue.history, 0, wire::history_max}},
        {"history_time",
         DurationField{&queue.history_time, milliseconds(0), wire::history_time_max}},
        {"undo_time", DurationField{&queue.undo_time, milliseconds(0), wire::undo_time_max}},
        {"dedup_window",
         DurationField{&queue.dedup_window, milliseconds(0), wire::dedup_window_max}},
        {"dedup_count", CountField{&queue.dedup_count, 1, wire::dedup_count_max}},
    };
}

ConfigKeys keys_of(LogConfig& log) {
    return {{"level", LogLevelField{&log.level}}};
}

std::vector<ConfigSection> sections_of(Config& config) {
    ConfigKeys defaults = keys_of(config.queue_defaults);
    std::erase_if(defaults, [](const ConfigKey& key) {
        // storage.durability; none
        return key.name == "durability" || key.name == "dead_letter" || key.name == "priorities";
    });
    return {
        {"server", keys_of(config.server)},
        {"storage", keys_of(config.storage, config.queue_defaults)},
        {"limits", keys_of(config.limits)},
        {"queue_defaults", std::move(defaults)},
        {"log", keys_of(config.log)},
    };
}

Result<void> set_field(const ConfigField& field, const ConfigValue& value) {
    return std::visit([&value](const auto& f) { return set(f, value); }, field);
}

std::string format_field(const ConfigField& field) {
    return std::visit([](const auto& f) { return format(f); }, field);
}

std::string_view to_text(Durability durability) {
    const auto value = static_cast<std::size_t>(durability);
    MQD_ASSERT(value >= 1 && value <= durability_names.size(), value);
    return durability_names[value - 1];
}

std::string_view to_text(OnFull on_full) {
    const auto value = static_cast<std::size_t>(on_full);
    MQD_ASSERT(value >= 1 && value <= on_full_names.size(), value);
    return on_full_names[value - 1];
}

std::string_view to_text(OnExpired on_expired) {
    const auto value = static_cast<std::size_t>(on_expired);
    MQD_ASSERT(value >= 1 && value <= on_expired_names.size(), value);
    return on_expired_names[value - 1];
}

std::string_view to_text(LogLevel level) {
    const auto value = static_cast<std::size_t>(level);
    MQD_ASSERT(value < level_names.size(), value);
    return level_names[value];
}

std::string_view to_text(core::OnDamage mode) {
    const auto value = static_cast<std::size_t>(mode);
    MQD_ASSERT(value < on_damage_names.size(), value);
    return on_damage_names[value];
}

}  // namespace mqd
