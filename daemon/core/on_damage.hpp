#pragma once

#include <cstdint>

namespace mqd::core {

// What a start does with a store of which something cannot be read any more.
enum class OnDamage : std::uint8_t {
    refuse,   // names it, changes nothing, and does not start
    salvage,  // names it, gives it up for good, and serves the rest (docs/storage.md, "Salvage")
};

}  // namespace mqd::core
