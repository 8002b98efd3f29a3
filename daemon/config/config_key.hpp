#pragma once

// The table of configuration keys: each section's keys, the field that each one fills, and the
// values that it takes. Reading, printing, unknown keys and nearest names all follow this one
// table. Knows values, not TOML; used by config.cpp only.

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "daemon/config/config.hpp"
#include "mqd/result.hpp"

namespace mqd {

// What a key can hold in the file.
using ConfigValue = std::variant<std::string, std::int64_t, bool, std::vector<std::string>>;

struct SizeField {
    std::uint64_t* bytes = nullptr;
    std::uint64_t min = 0;
    std::uint64_t max = 0;
    std::uint64_t multiple = 1;
};
struct CountField {
    std::uint32_t* count = nullptr;
    std::uint32_t min = 0;
    std::uint32_t max = 0;
};
struct LongCountField {
    std::uint64_t* count = nullptr;
    std::uint64_t max = 0;    // from 0 on
    std::string_view word{};  // that stands for UINT64_MAX, if any does
};
struct DurationField {
    std::chrono::milliseconds* duration = nullptr;
    std::chrono::milliseconds min{};
    std::chrono::milliseconds max{};
};
struct DelaysField {
    std::vector<std::chrono::milliseconds>* delays = nullptr;
    std::size_t count_max = 0;
    std::chrono::milliseconds max{};  // of each, from 0 on
};
struct RateField {
    Rate* rate = nullptr;  // "none" for no limit
    std::uint32_t count_max = 0;
};
struct PathField {
    std::string* path = nullptr;  // absolute
};
struct NameField {
    std::string* name = nullptr;  // as of a queue
    bool may_be_empty = false;
};
struct AddressField {
    ListenAddress* address = nullptr;
};
struct ModeField {
    std::uint32_t* mode = nullptr;  // "0660"
};
struct FlagField {
    bool* flag = nullptr;
};
struct DurabilityField {
    Durability* durability = nullptr;
};
struct OnFullField {
    OnFull* on_full = nullptr;
};
struct OnExpiredField {
    OnExpired* on_expired = nullptr;
};
struct LogLevelField {
    LogLevel* level = nullptr;
};
struct OnDamageField {
    core::OnDamage* mode = nullptr;
};

using ConfigField =
    std::variant<SizeField, CountField, LongCountField, DurationField, DelaysField, RateField,
                 PathField, NameField, AddressField, ModeField, FlagField, DurabilityField,
                 OnFullField, OnExpiredField, LogLevelField, OnDamageField>;

struct ConfigKey {
    std::string_view name;
    ConfigField field;  // points into the struct that keys_of() was given
};

using ConfigKeys = std::vector<ConfigKey>;

[[nodiscard]] ConfigKeys keys_of(ServerConfig& server);
[[nodiscard]] ConfigKeys keys_of(ListenerConfig& listener);
// The default durability of queues stands with the storage.
[[nodiscard]] ConfigKeys keys_of(StorageConfig& storage, engine::QueueDefinition& queue_defaults);
[[nodiscard]] ConfigKeys keys_of(LimitsConfig& limits);
[[nodiscard]] ConfigKeys keys_of(engine::QueueDefinition& queue);  // not its name: the section's
[[nodiscard]] ConfigKeys keys_of(LogConfig& log);

// The sections that are one table: their names and keys, in the order of the file.
struct ConfigSection {
    std::string_view name;
    ConfigKeys keys;
};
[[nodiscard]] std::vector<ConfigSection> sections_of(Config& config);

// Checks `value` and puts it where the field points. Errors: bad_config; the text goes on after
// "name: ".
[[nodiscard]] Result<void> set_field(const ConfigField& field, const ConfigValue& value);

// What the field holds, as TOML.
[[nodiscard]] std::string format_field(const ConfigField& field);

}  // namespace mqd
