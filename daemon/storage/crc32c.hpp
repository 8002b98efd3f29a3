#pragma once

// CRC32C (Castagnoli), the checksum of every stored byte: with the processor's instruction where it
// has one, by tables elsewhere; both give the same. Pure functions, any thread.

#include <cstddef>
#include <cstdint>
#include <span>

namespace mqd::storage {

// The checksum of `bytes`, or of earlier bytes followed by `bytes` when `before` is the checksum of
// those.
[[nodiscard]] std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t before = 0);

// The two ways to it, for the test that compares them. Precondition of the first:
// crc32c_has_instruction().
[[nodiscard]] bool crc32c_has_instruction();
[[nodiscard]] std::uint32_t crc32c_by_instruction(std::span<const std::byte> bytes,
                                                  std::uint32_t before);
[[nodiscard]] std::uint32_t crc32c_by_table(std::span<const std::byte> bytes, std::uint32_t before);

}  // namespace mqd::storage
