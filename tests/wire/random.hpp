#pragma once

// Random bytes for the tests of the codec. MQD_SEED repeats a run; each test captures its seed, so
// that a failure prints it.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

namespace mqd::wire::test {

class RandomBytes {
  public:
    explicit RandomBytes(std::uint64_t seed) : random_(seed) {}

    [[nodiscard]] static std::uint64_t new_seed() {
        const char* given = std::getenv("MQD_SEED");
        return given != nullptr ? std::stoull(given) : std::random_device{}();
    }

    // 0..bound-1. Precondition: bound > 0.
    [[nodiscard]] std::size_t below(std::size_t bound) { return random_() % bound; }

    [[nodiscard]] std::vector<std::byte> bytes(std::size_t count) {
        std::vector<std::byte> bytes(count);
        for (std::byte& byte : bytes) {
            byte = static_cast<std::byte>(random_());
        }
        return bytes;
    }

  private:
    std::mt19937_64 random_;
};

}  // namespace mqd::wire::test
