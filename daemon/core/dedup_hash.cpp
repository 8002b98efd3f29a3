#include "daemon/core/dedup_hash.hpp"

#include <bit>
#include <cstring>

namespace mqd::core {

namespace {

struct Sip {
    std::uint64_t a, b, c, d;

    void round() {
        a += b;
        b = std::rotl(b, 13) ^ a;
        a = std::rotl(a, 32);
        c += d;
        d = std::rotl(d, 16) ^ c;
        a += d;
        d = std::rotl(d, 21) ^ a;
        c += b;
        b = std::rotl(b, 17) ^ c;
        c = std::rotl(c, 32);
    }
    void take(std::uint64_t word) {
        d ^= word;
        round();
        round();
        a ^= word;
    }
    [[nodiscard]] std::uint64_t finish() {
        for (int i = 0; i < 4; ++i) {
            round();
        }
        return a ^ b ^ c ^ d;
    }
};

}  // namespace

engine::DedupHash dedup_hash(const engine::DedupKey& key, wire::Bytes id) {
    Sip sip{key.low ^ 0x736F6D6570736575u, key.high ^ 0x646F72616E646F6Du ^ 0xEE,
            key.low ^ 0x6C7967656E657261u, key.high ^ 0x7465646279746573u};
    std::size_t at = 0;
    for (; id.size() - at >= sizeof(std::uint64_t); at += sizeof(std::uint64_t)) {
        sip.take(wire::load<std::uint64_t>(id.data() + at));
    }
    std::byte rest[sizeof(std::uint64_t)]{};
    if (at < id.size()) {
        std::memcpy(rest, id.data() + at, id.size() - at);
    }
    rest[7] = static_cast<std::byte>(id.size());
    sip.take(wire::load<std::uint64_t>(rest));
    sip.c ^= 0xEE;
    engine::DedupHash hash;
    hash.low = sip.finish();
    sip.b ^= 0xDD;
    hash.high = sip.finish();
    return hash;
}

}  // namespace mqd::core
