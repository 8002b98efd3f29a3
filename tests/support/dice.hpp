#pragma once

// Decisions of a random test, drawn from one seed: the same seed gives the same decisions on every
// machine, which the distributions of the standard library do not promise.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <string>

#include "mqd/assert.hpp"

namespace mqd::test {

class Dice {
  public:
    explicit Dice(std::uint64_t seed) : state_(seed) {}

    // The seed in MQD_SEED, or a new one; print it with what failed.
    [[nodiscard]] static std::uint64_t new_seed() {
        const char* given = std::getenv("MQD_SEED");
        return given != nullptr ? std::stoull(given) : std::random_device{}();
    }

    // splitmix64
    std::uint64_t next() {
        state_ += 0x9E3779B97F4A7C15u;
        std::uint64_t z = state_;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        return z ^ (z >> 31);
    }
    // 0..bound-1. Precondition: bound > 0.
    [[nodiscard]] std::uint64_t below(std::uint64_t bound) {
        MQD_ASSERT(bound > 0);
        return next() % bound;
    }
    // least..most
    [[nodiscard]] std::uint64_t between(std::uint64_t least, std::uint64_t most) {
        MQD_ASSERT(least <= most, least, most);
        return least + below(most - least + 1);
    }
    // True once in n times on average.
    [[nodiscard]] bool one_in(std::uint64_t n) { return below(n) == 0; }
    [[nodiscard]] bool percent(std::uint64_t share) { return below(100) < share; }
    // A new source, so that what it decides does not depend on how much others drew.
    [[nodiscard]] Dice fork() { return Dice(next()); }

  private:
    std::uint64_t state_;
};

}  // namespace mqd::test
