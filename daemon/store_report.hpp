#pragma once

// What `mqd --check-store` prints of a store: a report to read, or one JSON object whose field
// names stay as they are. Pure.

#include <string>

#include "daemon/core/check_store.hpp"

namespace mqd {

// `folder`: as it was named on the command line.
[[nodiscard]] std::string format_report(const core::StoreReport& report, const std::string& folder);
// On one line.
[[nodiscard]] std::string format_report_json(const core::StoreReport& report,
                                             const std::string& folder);

// `text` between quotes, as JSON has it; bytes that are not UTF-8 become U+FFFD.
[[nodiscard]] std::string json_quoted(std::string_view text);

}  // namespace mqd
