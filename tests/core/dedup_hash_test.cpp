#include "daemon/core/dedup_hash.hpp"

#include <doctest/doctest.h>

#include <array>

namespace mqd::core {
namespace {

// As `openssl mac -macopt size:16 -macopt hexkey:000102030405060708090A0B0C0D0E0F SIPHASH` says.
TEST_CASE("dedup hash: it is SipHash-2-4 of 128 bits") {
    const engine::DedupKey key{0x0706050403020100u, 0x0F0E0D0C0B0A0908u};
    std::array<std::byte, 128> input{};
    for (std::size_t i = 0; i < input.size(); ++i) {
        input[i] = static_cast<std::byte>(i);
    }
    const auto hash = [&](std::size_t bytes) {
        return dedup_hash(key, wire::Bytes(input).first(bytes));
    };
    CHECK(hash(0) == engine::DedupHash{0x930255C71472F66Du, 0xE6A825BA047F81A3u});
    CHECK(hash(1) == engine::DedupHash{0x45FC229B11597634u, 0x44AF996BD8C187DAu});
    CHECK(hash(15) == engine::DedupHash{0xD9C3CF970FEC087Eu, 0x11A8B03399E99354u});
    CHECK(hash(16) == engine::DedupHash{0x77052385BF1533FDu, 0xBB54B067CAA4E26Eu});
    CHECK(hash(128) == engine::DedupHash{0x66F07A6E3D48BEDAu, 0x3D08550239BDB4D1u});
}

}  // namespace
}  // namespace mqd::core
