#include "client/mqctl/message_json.hpp"

#include <nlohmann/json.hpp>

#include "client/mqctl/text_encoding.hpp"
#include "client/mqctl/units.hpp"

namespace mqd::mqctl {
namespace {

using Json = nlohmann::ordered_json;

Json json_id(std::uint32_t id) {
    return id == Identity::unknown_id ? Json(nullptr) : Json(id);
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

}  // namespace

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
    add_headers(line, message);
    if (valid_utf8(message.body)) {
        line["body"] = message.body;
    } else {
        line["body_b64"] = encode_base64(message.body);
    }
    // A header's key that is not UTF-8 loses its bad bytes; everything else was seen to above.
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
    auto headers = read_headers(json, "headers", false, message);
    if (headers) {
        headers = read_headers(json, "headers_b64", true, message);
    }
    if (!headers) {
        return headers.error();
    }
    return message;
}

}  // namespace mqd::mqctl
