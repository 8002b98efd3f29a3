#pragma once

#include <string_view>

namespace mqd {

inline constexpr std::string_view version_string = "0.1.0";

// The version of the library in use, "major.minor.patch".
[[nodiscard]] constexpr std::string_view version() {
    return version_string;
}

}  // namespace mqd
