#pragma once

// What a build with a sanitizer, or one that counts what is reached, does less of: it is ten times
// as slow, and what it looks for shows in a part of the rounds as well.

#include <cstdint>

namespace mqd::test {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif

#if defined(MQD_COVERAGE)
inline constexpr bool rounds_are_dear = true;
#else
inline constexpr bool rounds_are_dear = sanitized;
#endif

// Divides numbers of rounds.
inline constexpr std::uint64_t slowness = rounds_are_dear ? 8 : 1;
// Steps of loops over bits and bytes: odd, so that every bit of a byte has its turn.
inline constexpr std::uint64_t stride = rounds_are_dear ? 11 : 1;

}  // namespace mqd::test
