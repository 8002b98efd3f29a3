#include "client/mqctl/message_json.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "client/mqctl/text_encoding.hpp"
#include "client/mqctl/units.hpp"

namespace mqd::mqctl {
namespace {

using Json = nlohmann::ordered_json;

Json json_id(std::uint32_t id) {
    return id == Identity::unknown_id ? Json(nullptr) : Json(id);
}

Error malformed(std::string text) {
    return {ErrorCode::bad_option, std::move(text)};
}

// A string, or the bytes that a base64 string stands for.
Result<std::string> read_text(const Json& value, std::string_view name, bool encoded) {
    if (!value.is_string()) {
        return malformed("\"" + std::string(name) + "\" is not a string");
    }
    if (!encoded) {
        return value.get<std::string>();
    }
    auto bytes = decode_base64(value.get_ref<const std::string&>());
    if (!bytes) {
        return malformed("\"" + std::string(name) + "\" is not base64");
    }
    return std::move(*bytes);
}

Result<void> read_headers(const Json& line, std::string_view field, bool encoded,
                          ParsedMessage& into) {
    const auto headers = line.find(field);
    if (headers == line.end()) {
        return {};
    }
    if (!headers->is_object()) {
        return malformed("\"" + std::string(field) + "\" is not an object");
    }
    for (const auto& [key, given] : headers->items()) {
        const Json values = given.is_array() ? given : Json::array({given});
        for (const Json& value : values) {
            auto text = read_text(value, key, encoded);
            if (!text) {
                return text.error();
            }
            into.headers.emplace_back(key, std::move(*text));
        }
    }
    return {};
}

Result<void> read_header_list(const Json& list, ParsedMessage& into) {
    const Error bad = malformed("\"header_list_b64\" is not a list of pairs in base64");
    if (!list.is_array()) {
        return bad;
    }
    for (const Json& pair : list) {
        if (!pair.is_array() || pair.size() != 2) {
            return bad;
        }
        auto key = read_text(pair[0], "header_list_b64", true);
        auto value = read_text(pair[1], "header_list_b64", true);
        if (!key || !value) {
            return bad;
        }
        into.headers.emplace_back(std::move(*key), std::move(*value));
    }
    return {};
}

// The list has them all; else they stand in the two objects.
Result<void> read_all_headers(const Json& line, ParsedMessage& into) {
    if (const auto list = line.find("header_list_b64"); list != line.end()) {
        return read_header_list(*list, into);
    }
    auto headers = read_headers(line, "headers", false, into);
    return headers ? read_headers(line, "headers_b64", true, into) : headers;
}

// How long the message lives, or until when: one whose time is over is published all the same, and
// expires at once, as its queue says.
Result<void> read_ttl(const Json& line, MessageOptions& into) {
    constexpr std::chrono::milliseconds least(1);
    if (const auto ttl = line.find("ttl_ms"); ttl != line.end()) {
        if (!ttl->is_number_unsigned() || ttl->get<std::uint64_t>() == 0 ||
            ttl->get<std::uint64_t>() > static_cast<std::uint64_t>(wire::ttl_max.count())) {
            return malformed("\"ttl_ms\" is not a number from 1 to " +
                             std::to_string(wire::ttl_max.count()) + ", ten years");
        }
        into.ttl = std::chrono::milliseconds(ttl->get<std::int64_t>());
    }
    if (const auto expires = line.find("expires"); expires != line.end()) {
        const auto text = read_text(*expires, "expires", false);
        if (!text) {
            return text.error();
        }
        const auto time = parse_time(*text);
        if (!time) {
            return malformed("\"expires\": " + time.error().text);
        }
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(
            *time -
            std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now()));
        into.ttl = std::max(left, least);
    }
    return {};
}

// When the message is to be delivered, if the line says so.
Result<void> read_times(const Json& line, MessageOptions& into) {
    if (const auto delay = line.find("delay_ms"); delay != line.end()) {
        if (!delay->is_number_unsigned() ||
            delay->get<std::uint64_t>() > static_cast<std::uint64_t>(wire::delay_max.count())) {
            return malformed("\"delay_ms\" is not a number from 0 to " +
                             std::to_string(wire::delay_max.count()) + ", ten years");
        }
        into.delay = std::chrono::milliseconds(delay->get<std::int64_t>());
    }
    if (const auto due = line.find("due"); due != line.end()) {
        const auto text = read_text(*due, "due", false);
        if (!text) {
            return text.error();
        }
        const auto time = parse_time(*text);
        if (!time) {
            return malformed("\"due\": " + time.error().text);
        }
        into.due = *time;
    }
    return read_ttl(line, into);
}

Result<void> read_priority(const Json& line, MessageOptions& into) {
    const auto priority = line.find("priority");
    if (priority == line.end()) {
        return {};
    }
    if (!priority->is_number_unsigned() || priority->get<std::uint64_t>() > priority_max) {
        return malformed("\"priority\" is not a number from 0 to 9");
    }
    into.priority = priority->get<unsigned>();
    return {};
}

// A text of bytes; empty: there is none.
Result<std::string> read_key(const Json& line, const std::string& name) {
    std::string key;
    for (const std::string& field : {name, name + "_b64"}) {
        const auto found = line.find(field);
        if (found == line.end()) {
            continue;
        }
        auto text = read_text(*found, field, field != name);
        if (text && text->empty()) {
            return Error{ErrorCode::bad_option, field + " is empty: it has bytes"};
        }
        if (!text) {
            return text;
        }
        key = std::move(*text);
    }
    return key;
}

void add_key(Json& line, const std::string& name, std::string_view key) {
    if (!key.empty()) {
        const bool text = valid_utf8(key);
        line[text ? name : name + "_b64"] = text ? std::string(key) : encode_base64(key);
    }
}

void add_header(Json& headers, std::string_view key, const std::string& value) {
    const auto [entry, fresh] = headers.emplace(std::string(key), value);
    if (fresh) {
        return;
    }
    if (!entry->is_array()) {
        *entry = Json::array({*entry});
    }
    entry->push_back(value);
}

// Whether the objects of the line, read back, are these headers in this order.
bool kept_by_objects(const Json& line, const ShownMessage& message) {
    ParsedMessage back;
    const bool read =
        read_headers(line, "headers", false, back) && read_headers(line, "headers_b64", true, back);
    return read && std::equal(message.headers.begin(), message.headers.end(), back.headers.begin(),
                              back.headers.end(), [](const auto& was, const auto& is) {
                                  return was.first == is.first && was.second == is.second &&
                                         valid_utf8(was.first);
                              });
}

void add_headers(Json& line, const ShownMessage& message) {
    Json text = Json::object();
    Json encoded = Json::object();
    for (const auto& [key, value] : message.headers) {
        if (valid_utf8(value)) {
            add_header(text, key, std::string(value));
        } else {
            add_header(encoded, key, encode_base64(value));
        }
    }
    line["headers"] = std::move(text);
    if (!encoded.empty()) {
        line["headers_b64"] = std::move(encoded);
    }
    if (!message.headers.empty() && !kept_by_objects(line, message)) {
        Json list = Json::array();
        for (const auto& [key, value] : message.headers) {
            list.push_back(Json::array({encode_base64(key), encode_base64(value)}));
        }
        line["header_list_b64"] = std::move(list);
    }
}

// Bytes that are not UTF-8 are replaced when the line is written: a reason is for people.
Json to_json(const DeadLetter& dead) {
    Json json;
    json["cause"] = cause_name(dead.cause);
    json["attempts"] = dead.attempts;
    json["first_failed"] = format_time(dead.first_failed);
    json["last_failed"] = format_time(dead.last_failed);
    json["id"] = dead.id();
    json["reason"] = dead.reason;
    return json;
}

}  // namespace

std::string_view cause_name(DeadLetterCause cause) {
    switch (cause) {
        case DeadLetterCause::attempts: return "attempts";
        case DeadLetterCause::rejected: return "rejected";
        case DeadLetterCause::expired: return "expired";
        case DeadLetterCause::overflow: return "overflow";
    }
    return "unknown";  // of a later daemon
}

void append_json_line(std::string& out, const ShownMessage& message) {
    Json line;
    line["id"] = format_message_id(std::string(message.queue), message.incarnation, message.number);
    line["queue"] = message.queue;
    line["number"] = message.number.value();
    line["attempt"] = message.attempt;
    line["published"] = format_time(message.published);
    line["sender"] = {{"uid", json_id(message.sender.uid)},
                      {"gid", json_id(message.sender.gid)},
                      {"pid", json_id(message.sender.pid)}};
    if (!message.state.empty()) {
        line["state"] = message.state;
    }
    if (message.due) {
        line["due"] = format_time(*message.due);
    }
    if (message.priority) {
        line["priority"] = *message.priority;
    }
    add_key(line, "group", message.group);
    add_key(line, "dedup_id", message.dedup_id);
    if (message.expires) {
        line["expires"] = format_time(*message.expires);
    }
    add_headers(line, message);
    if (message.dead_letter) {
        line["dead_letter"] = to_json(*message.dead_letter);
    }
    if (valid_utf8(message.body)) {
        line["body"] = message.body;
    } else {
        line["body_b64"] = encode_base64(message.body);
    }
    // Of bytes that are not UTF-8, only a header's key matters, and then the list has it as it is.
    out += line.dump(-1, ' ', false, Json::error_handler_t::replace);
    out += '\n';
}

Result<ParsedMessage> parse_json_line(std::string_view line) {
    const Json json = Json::parse(line, nullptr, false);
    if (json.is_discarded() || !json.is_object()) {
        return malformed("not a JSON object");
    }
    ParsedMessage message;
    const bool encoded = !json.contains("body");
    const std::string_view field = encoded ? "body_b64" : "body";
    const auto body = json.find(field);
    if (body == json.end()) {
        return malformed("neither \"body\" nor \"body_b64\"");
    }
    auto text = read_text(*body, field, encoded);
    if (!text) {
        return text.error();
    }
    message.body = std::move(*text);
    if (const auto headers = read_all_headers(json, message); !headers) {
        return headers.error();
    }
    if (const auto times = read_times(json, message.options); !times) {
        return times.error();
    }
    message.expires = json.contains("expires");
    if (const auto priority = read_priority(json, message.options); !priority) {
        return priority.error();
    }
    for (auto [name, key] :
         {std::pair("group", &message.group), std::pair("dedup_id", &message.dedup_id)}) {
        auto read = read_key(json, name);
        if (!read) {
            return read.error();
        }
        *key = std::move(*read);
    }
    return message;
}

}  // namespace mqd::mqctl
