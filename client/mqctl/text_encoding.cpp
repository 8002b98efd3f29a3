#include "client/mqctl/text_encoding.hpp"

#include <algorithm>
#include <array>
#include <cstdint>

namespace mqd::mqctl {
namespace {

constexpr std::string_view base64_digits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr std::uint8_t not_a_digit = 0xFF;

constexpr std::array<std::uint8_t, 256> base64_values() {
    std::array<std::uint8_t, 256> values{};
    values.fill(not_a_digit);
    for (std::size_t i = 0; i < base64_digits.size(); ++i) {
        values[static_cast<unsigned char>(base64_digits[i])] = static_cast<std::uint8_t>(i);
    }
    return values;
}

// The lead bytes from `first` to `last` begin a character of `size` bytes, whose second byte lies
// between `second_min` and `second_max`, and each further one between 80 and BF.
struct Utf8Row {
    unsigned char first, last, size, second_min, second_max;
};
constexpr std::array<Utf8Row, 8> utf8_rows{{
    {0xC2, 0xDF, 2, 0x80, 0xBF},
    {0xE0, 0xE0, 3, 0xA0, 0xBF},
    {0xE1, 0xEC, 3, 0x80, 0xBF},
    {0xED, 0xED, 3, 0x80, 0x9F},
    {0xEE, 0xEF, 3, 0x80, 0xBF},
    {0xF0, 0xF0, 4, 0x90, 0xBF},
    {0xF1, 0xF3, 4, 0x80, 0xBF},
    {0xF4, 0xF4, 4, 0x80, 0x8F},
}};

// The size of the character of more than one byte at the start of `text`; 0 if it is malformed.
std::size_t utf8_character_bytes(std::string_view text) {
    const auto byte_at = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    for (const Utf8Row& row : utf8_rows) {
        if (byte_at(0) < row.first || byte_at(0) > row.last) {
            continue;
        }
        if (text.size() < row.size || byte_at(1) < row.second_min || byte_at(1) > row.second_max) {
            return 0;
        }
        for (std::size_t i = 2; i < row.size; ++i) {
            if ((byte_at(i) & 0xC0) != 0x80) {
                return 0;
            }
        }
        return row.size;
    }
    return 0;
}

}  // namespace

bool valid_utf8(std::string_view text) {
    while (!text.empty()) {
        std::size_t size = 1;
        if (static_cast<unsigned char>(text[0]) >= 0x80) {
            size = utf8_character_bytes(text);
            if (size == 0) {
                return false;
            }
        }
        text.remove_prefix(size);
    }
    return true;
}

std::string encode_base64(std::string_view bytes) {
    std::string text;
    text.reserve((bytes.size() + 2) / 3 * 4);
    for (std::size_t at = 0; at < bytes.size(); at += 3) {
        const std::size_t taken = std::min<std::size_t>(3, bytes.size() - at);
        std::uint32_t group = 0;
        for (std::size_t i = 0; i < 3; ++i) {
            group = group << 8 | (i < taken ? static_cast<unsigned char>(bytes[at + i]) : 0U);
        }
        for (std::size_t i = 0; i < 4; ++i) {
            text += i <= taken ? base64_digits[group >> (18 - 6 * i) & 63] : '=';
        }
    }
    return text;
}

std::optional<std::string> decode_base64(std::string_view text) {
    static constexpr auto values = base64_values();
    if (text.size() % 4 != 0) {
        return std::nullopt;
    }
    std::size_t padding = 0;
    while (padding < 2 && !text.empty() && text.back() == '=') {
        text.remove_suffix(1);
        ++padding;
    }
    std::string bytes;
    bytes.reserve(text.size() / 4 * 3 + 2);
    std::uint32_t group = 0;
    unsigned bits = 0;
    for (const char digit : text) {
        const std::uint8_t value = values[static_cast<unsigned char>(digit)];
        if (value == not_a_digit) {
            return std::nullopt;
        }
        group = group << 6 | value;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            bytes += static_cast<char>(group >> bits & 0xFF);
        }
    }
    // What is left over is filling, and must be zero: one text for one value.
    const bool clean = (group & ((1U << bits) - 1)) == 0;
    return clean ? std::optional(bytes) : std::nullopt;
}

}  // namespace mqd::mqctl
