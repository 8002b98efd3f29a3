#pragma once

// A message as mqctl shows it, and as one line of JSON. The field names are part of the interface:
//
//     {"id":"orders:3:1842","queue":"orders","number":1842,"attempt":1,
//      "published":"2025-11-21T08:02:03.000123Z","sender":{"uid":1000,"gid":1000,"pid":4711},
//      "headers":{"type":"invoice"},"body":"hello"}
//
// (one line; here broken for reading). A body that is not UTF-8 stands as "body_b64". A header that
// comes several times has an array of its values; values that are not UTF-8 stand in "headers_b64".
// Headers that could not be read back from that as they were (an order that the object does not
// keep, a key that is not UTF-8) stand in "header_list_b64" once more, all of them in their order:
// [["<key>","<value>"],…], both base64. A sender that the daemon could not see has null in its
// fields. `peek` adds "state". A delayed message has "due", the time at which it will be ready; and
// a line to be published may have it, or "delay_ms". A message that says its priority has
// "priority", 0 to 9. A message with a TTL of its own has "expires" in what `peek` and `export`
// write; a line to be published may have it, or "ttl_ms". A dead letter has, behind "headers" and
// what belongs to it,
//
//     "dead_letter":{"cause":"attempts","attempts":16,"first_failed":"2025-…",
//      "last_failed":"2025-…","id":"orders:3:1842","reason":"exit status 3"}

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mqd/client.hpp"
#include "mqd/result.hpp"
#include "mqd/types.hpp"

namespace mqd::mqctl {

// Views, valid as long as the delivery they are of.
struct ShownMessage {
    std::string_view queue;
    QueueId incarnation;
    MessageNumber number;
    std::uint32_t attempt = 0;
    WallTime published;
    Identity sender;
    std::vector<std::pair<std::string_view, std::string_view>> headers;
    std::string_view body;
    std::string_view state;  // "ready", "leased", "delayed", "held"; empty: not said
    std::optional<WallTime> due;
    std::optional<unsigned> priority;
    std::string_view group;     // empty: none
    std::string_view dedup_id;  // likewise
    std::optional<WallTime> expires;
    std::optional<DeadLetter> dead_letter;
};

// "attempts", "rejected", "expired", "overflow"
[[nodiscard]] std::string_view cause_name(DeadLetterCause cause);

// Appends the line, with its newline.
void append_json_line(std::string& out, const ShownMessage& message);

// What of such a line can be published.
struct ParsedMessage {
    std::vector<std::pair<std::string, std::string>> headers;
    std::string body;
    std::string group;       // empty: none
    std::string dedup_id;    // likewise
    MessageOptions options;  // without these two
    bool expires = false;    // its TTL is from when it expires
};

// The headers, the body, the time and the priority of one line; all else in it is ignored, but a
// body must be there. Where there is a "header_list_b64", the headers are those. The text of the
// error says what was wrong, not where.
[[nodiscard]] Result<ParsedMessage> parse_json_line(std::string_view line);

}  // namespace mqd::mqctl
