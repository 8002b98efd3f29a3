#pragma once

// Which messages a PEEK is about. Behind the other fields of PEEK; where it is not there, all are
// shown, and those on their way to the dead letters as leased.
//
//     u8 states | i64 published_from_us | i64 published_before_us
//     | u8 n | n x (string8 key, string16 value)

#include <optional>
#include <string_view>
#include <vector>

#include "mqd/wire/frame.hpp"

namespace mqd::wire {

enum class MessageState : std::uint8_t {
    ready = 1,
    leased = 2,
    delayed = 3,
    dying = 4,
    held = 5,
    purged = 6,
};
inline constexpr unsigned message_states = 6;

[[nodiscard]] constexpr std::uint8_t state_bit(MessageState state) {
    return static_cast<std::uint8_t>(1u << (static_cast<unsigned>(state) - 1));
}

inline constexpr std::size_t filter_headers_max = 16;

struct PeekFilter {
    std::uint8_t states = 0;  // bits of state_bit(); 0: all but those that were purged
    // The message was published then or later, and before that; 1970: not said.
    WallTime published_from{};
    WallTime published_before{};
    std::vector<HeaderView> headers{};  // each of them is among its headers

    void encode(Writer& w) const {
        MQD_ASSERT(headers.size() <= filter_headers_max, headers.size());
        w.number(states).number(to_micros(published_from)).number(to_micros(published_before));
        w.number(static_cast<std::uint8_t>(headers.size()));
        for (const HeaderView& header : headers) {
            w.string8(header.key).string16(header.value);
        }
    }
    // Fails the reader if malformed.
    [[nodiscard]] static PeekFilter decode(Reader& r) {
        PeekFilter filter;
        filter.states = r.number<std::uint8_t>();
        filter.published_from = from_micros(r.number<std::int64_t>());
        filter.published_before = from_micros(r.number<std::int64_t>());
        const auto n = r.number<std::uint8_t>();
        if (n > filter_headers_max || (filter.states >> message_states) != 0) {
            r.fail();
        }
        for (std::uint8_t i = 0; i < n && r.ok(); ++i) {
            const std::string_view key = r.string8();
            filter.headers.push_back({key, r.string16()});
        }
        return filter;
    }
};

}  // namespace mqd::wire
