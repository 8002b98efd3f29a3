#pragma once

// How far a test goes: as far as the environment says, for a long run, else as far as takes
// seconds.

#include <cstdint>
#include <cstdlib>
#include <string>

namespace mqd::test {

[[nodiscard]] inline std::uint64_t rounds(const char* variable, std::uint64_t by_default) {
    const char* given = std::getenv(variable);
    return given != nullptr ? std::stoull(given) : by_default;
}

// Errors of the disk are tried at its first, second … call, up to this one. MQD_IO_ERRORS=500 takes
// the long way.
[[nodiscard]] inline std::uint64_t io_errors() {
    return rounds("MQD_IO_ERRORS", 50);
}

}  // namespace mqd::test
