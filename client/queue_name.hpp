#pragma once

// What is said of a name that no queue can have.

#include <string>
#include <string_view>

namespace mqd::client {

// With the name, in quotes, as it may stand in a line: what is not printable ASCII, quotes and
// backslashes as \xNN, and no more than 200 bytes of it.
[[nodiscard]] std::string not_a_queue_name(std::string_view name);

}  // namespace mqd::client
