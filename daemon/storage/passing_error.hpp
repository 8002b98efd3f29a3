#pragma once

// Which failures of the operating system have nothing to do with the file: it is there, and can be
// read, or written, later.

#include <cerrno>
#include <chrono>

#include "mqd/error.hpp"

namespace mqd::storage {

// A full disk or quota; a lack of descriptors or memory.
[[nodiscard]] inline bool is_passing(const Error& error) {
    return error.code == ErrorCode::no_space || error.os_errno == EMFILE ||
           error.os_errno == ENFILE || error.os_errno == ENOMEM;
}

// How often what failed so is tried again.
inline constexpr std::chrono::milliseconds retry_every{500};

}  // namespace mqd::storage
