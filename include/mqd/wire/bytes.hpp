#pragma once

// Little-endian numbers and short strings, in and out of bytes. `Reader` is total: reading past the
// end gives zeros and a flag that stays set, so that a decoder reads all its fields and asks once.
// Shared by daemon and client; no state beyond the call.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mqd/assert.hpp"

namespace mqd::wire {

using Bytes = std::span<const std::byte>;

static_assert(std::endian::native == std::endian::little, "the codec copies numbers as they lie");

template <typename T>
[[nodiscard]] inline T load(const std::byte* from) {
    static_assert(std::is_integral_v<T>);
    T value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

template <typename T>
inline void store(std::byte* to, T value) {
    static_assert(std::is_integral_v<T>);
    std::memcpy(to, &value, sizeof value);
}

[[nodiscard]] inline Bytes as_bytes(std::string_view text) {
    return std::as_bytes(std::span<const char>(text.data(), text.size()));
}

[[nodiscard]] inline std::string_view as_text(Bytes bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

class Reader {
  public:
    explicit Reader(Bytes bytes) : bytes_(bytes) {}

    template <typename T>
    [[nodiscard]] T number() {
        if (bytes_.size() < sizeof(T)) {
            fail();
            return T{};
        }
        const T value = load<T>(bytes_.data());
        bytes_ = bytes_.subspan(sizeof(T));
        return value;
    }

    [[nodiscard]] Bytes take(std::size_t count) {
        if (bytes_.size() < count) {
            fail();
            return {};
        }
        const Bytes taken = bytes_.first(count);
        bytes_ = bytes_.subspan(count);
        return taken;
    }

    // A string of at most 65,535 bytes: u16 length, bytes.
    [[nodiscard]] std::string_view string16() { return as_text(take(number<std::uint16_t>())); }
    // A string of at most 255 bytes: u8 length, bytes.
    [[nodiscard]] std::string_view string8() { return as_text(take(number<std::uint8_t>())); }

    [[nodiscard]] Bytes rest() const { return bytes_; }
    [[nodiscard]] bool ok() const { return ok_; }
    // What was read makes no sense: ok() is false from now on, and nothing is left.
    void fail() {
        ok_ = false;
        bytes_ = {};
    }

  private:
    Bytes bytes_;
    bool ok_ = true;
};

class Writer {
  public:
    explicit Writer(std::vector<std::byte>& out) : out_(out) {}

    template <typename T>
    Writer& number(T value) {
        static_assert(std::is_integral_v<T>);
        const std::size_t at = out_.size();
        out_.resize(at + sizeof value);
        store(out_.data() + at, value);
        return *this;
    }

    Writer& bytes(Bytes bytes) {
        out_.insert(out_.end(), bytes.begin(), bytes.end());
        return *this;
    }

    // Precondition: at most 65,535 bytes.
    Writer& string16(std::string_view text) {
        MQD_ASSERT(text.size() <= UINT16_MAX, text.size());
        return number(static_cast<std::uint16_t>(text.size())).bytes(as_bytes(text));
    }

    // Precondition: at most 255 bytes.
    Writer& string8(std::string_view text) {
        MQD_ASSERT(text.size() <= UINT8_MAX, text.size());
        return number(static_cast<std::uint8_t>(text.size())).bytes(as_bytes(text));
    }

  private:
    std::vector<std::byte>& out_;
};

}  // namespace mqd::wire
