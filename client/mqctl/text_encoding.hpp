#pragma once

// Bytes as text: UTF-8 is checked, everything else goes as base64 (RFC 4648, with padding).

#include <optional>
#include <string>
#include <string_view>

namespace mqd::mqctl {

// Whether this is well-formed UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF.
[[nodiscard]] bool valid_utf8(std::string_view text);

[[nodiscard]] std::string encode_base64(std::string_view bytes);
[[nodiscard]] std::optional<std::string> decode_base64(std::string_view text);

}  // namespace mqd::mqctl
