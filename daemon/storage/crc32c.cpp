#include "daemon/storage/crc32c.hpp"

#include <array>
#include <bit>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

#include "mqd/assert.hpp"

namespace mqd::storage {

namespace {

static_assert(std::endian::native == std::endian::little, "words are taken as they lie");

constexpr std::uint32_t polynomial = 0x82F63B78;  // reflected

// tables[k][b]: the checksum of byte b followed by k zero bytes, so that eight bytes are eight
// independent look-ups.
using Tables = std::array<std::array<std::uint32_t, 256>, 8>;

constexpr Tables make_tables() {
    Tables tables{};
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
        std::uint32_t crc = byte;
        for (int bit = 0; bit < 8; ++bit) {
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? polynomial : 0);
        }
        tables[0][byte] = crc;
    }
    for (std::size_t zeros = 1; zeros < 8; ++zeros) {
        for (std::size_t byte = 0; byte < 256; ++byte) {
            const std::uint32_t crc = tables[zeros - 1][byte];
            tables[zeros][byte] = (crc >> 8) ^ tables[0][crc & 0xFF];
        }
    }
    return tables;
}

constexpr Tables tables = make_tables();

constexpr std::uint32_t step(std::uint32_t crc, std::byte byte) {
    return (crc >> 8) ^ tables[0][(crc ^ std::to_integer<std::uint32_t>(byte)) & 0xFF];
}

std::uint64_t load_word(const std::byte* from) {
    std::uint64_t word;
    std::memcpy(&word, from, sizeof word);
    return word;
}

}  // namespace

std::uint32_t crc32c_by_table(std::span<const std::byte> bytes, std::uint32_t before) {
    std::uint32_t crc = ~before;
    while (bytes.size() >= 8) {
        const std::uint64_t word = load_word(bytes.data()) ^ crc;
        crc = 0;
        for (std::size_t i = 0; i < 8; ++i) {
            crc ^= tables[7 - i][(word >> (8 * i)) & 0xFF];
        }
        bytes = bytes.subspan(8);
    }
    for (const std::byte byte : bytes) {
        crc = step(crc, byte);
    }
    return ~crc;
}

#if defined(__x86_64__)

namespace {

// The instruction takes one word per cycle but answers after three, so three neighbouring lanes run
// side by side. `shift` then moves a lane's checksum over the lane behind it: a linear map of 32
// bits, by four tables of one byte each.
constexpr std::size_t lane_bytes = 1024;
using Shift = std::array<std::array<std::uint32_t, 256>, 4>;

constexpr std::uint32_t over_zeros(std::uint32_t crc, std::size_t zeros) {
    for (std::size_t i = 0; i < zeros; ++i) {
        crc = (crc >> 8) ^ tables[0][crc & 0xFF];
    }
    return crc;
}

constexpr Shift make_shift() {
    std::array<std::uint32_t, 32> of_bit{};
    for (std::size_t bit = 0; bit < 32; ++bit) {
        of_bit[bit] = over_zeros(std::uint32_t{1} << bit, lane_bytes);
    }
    Shift shift{};
    for (std::size_t place = 0; place < 4; ++place) {
        for (std::size_t byte = 0; byte < 256; ++byte) {
            for (std::size_t bit = 0; bit < 8; ++bit) {
                if ((byte >> bit & 1) != 0) {
                    shift[place][byte] ^= of_bit[place * 8 + bit];
                }
            }
        }
    }
    return shift;
}

constexpr Shift shift = make_shift();

std::uint32_t over_lane(std::uint64_t crc) {
    return shift[0][crc & 0xFF] ^ shift[1][crc >> 8 & 0xFF] ^ shift[2][crc >> 16 & 0xFF] ^
           shift[3][crc >> 24 & 0xFF];
}

}  // namespace

bool crc32c_has_instruction() {
    return __builtin_cpu_supports("sse4.2") != 0;
}

__attribute__((target("sse4.2"))) std::uint32_t crc32c_by_instruction(
    std::span<const std::byte> bytes, std::uint32_t before) {
    std::uint64_t crc = static_cast<std::uint32_t>(~before);
    const std::byte* at = bytes.data();
    std::size_t left = bytes.size();
    while (left >= 3 * lane_bytes) {
        std::uint64_t second = 0;
        std::uint64_t third = 0;
        for (std::size_t i = 0; i < lane_bytes; i += 8) {
            crc = _mm_crc32_u64(crc, load_word(at + i));
            second = _mm_crc32_u64(second, load_word(at + lane_bytes + i));
            third = _mm_crc32_u64(third, load_word(at + 2 * lane_bytes + i));
        }
        crc = over_lane(over_lane(crc) ^ second) ^ third;
        at += 3 * lane_bytes;
        left -= 3 * lane_bytes;
    }
    for (; left >= 8; at += 8, left -= 8) {
        crc = _mm_crc32_u64(crc, load_word(at));
    }
    for (; left > 0; ++at, --left) {
        crc = _mm_crc32_u8(static_cast<std::uint32_t>(crc), std::to_integer<unsigned char>(*at));
    }
    return ~static_cast<std::uint32_t>(crc);
}

#else

bool crc32c_has_instruction() {
    return false;
}

std::uint32_t crc32c_by_instruction(std::span<const std::byte> bytes, std::uint32_t before) {
    MQD_ASSERT(crc32c_has_instruction());
    return crc32c_by_table(bytes, before);
}

#endif

std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t before) {
    static const bool has_instruction = crc32c_has_instruction();
    return has_instruction ? crc32c_by_instruction(bytes, before) : crc32c_by_table(bytes, before);
}

}  // namespace mqd::storage
