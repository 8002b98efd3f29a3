#include "client/mqctl/message_format.hpp"

#include <optional>

#include "client/mqctl/units.hpp"

namespace mqd::mqctl {
namespace {

Error bad_format(std::string text) {
    return {ErrorCode::bad_option, std::move(text)};
}

std::optional<char> escaped(char letter) {
    switch (letter) {
        case 'n': return '\n';
        case 't': return '\t';
        case 'r': return '\r';
        case '0': return '\0';
        case '\\': return '\\';
        default: return std::nullopt;
    }
}

}  // namespace

Result<MessageFormat> MessageFormat::parse(std::string_view text) {
    MessageFormat format;
    if (text == "text") {
        format.pieces_ = {{PieceKind::body, ""}, {PieceKind::literal, "\n"}};
    } else if (text == "raw") {
        format.pieces_ = {{PieceKind::body, ""}};
    } else if (text == "json") {
        format.json_ = true;
    } else if (text.find_first_of("%\\") == std::string_view::npos) {
        // A format without either would print the same for every message: a slip of the pen.
        return bad_format("\"" + std::string(text) +
                          "\" is no output (text, json, raw, or a format such as '%i %b\\n')");
    } else if (const auto parsed = format.parse_pieces(text); !parsed) {
        return parsed.error();
    }
    return format;
}

Result<void> MessageFormat::parse_pieces(std::string_view text) {
    while (!text.empty()) {
        const char character = text[0];
        text.remove_prefix(1);
        if (character == '%') {
            const auto rest = parse_placeholder(text);
            if (!rest) {
                return rest.error();
            }
            text = *rest;
        } else if (character == '\\') {
            const auto literal = text.empty() ? std::nullopt : escaped(text[0]);
            if (!literal) {
                return bad_format("the format has a \\ before \"" + std::string(text.substr(0, 1)) +
                                  "\" (known: \\n \\t \\r \\0 \\\\)");
            }
            add_literal(*literal);
            text.remove_prefix(1);
        } else {
            add_literal(character);
        }
    }
    return {};
}

// `rest` begins behind the percent sign; what is behind the placeholder comes back.
Result<std::string_view> MessageFormat::parse_placeholder(std::string_view rest) {
    const char letter = rest.empty() ? '\0' : rest[0];
    switch (letter) {
        case '%': add_literal('%'); return rest.substr(1);
        case 'i': pieces_.push_back({PieceKind::id, ""}); return rest.substr(1);
        case 'b': pieces_.push_back({PieceKind::body, ""}); return rest.substr(1);
        case 'a': pieces_.push_back({PieceKind::attempt, ""}); return rest.substr(1);
        case 'q': pieces_.push_back({PieceKind::queue, ""}); return rest.substr(1);
        case 'n': pieces_.push_back({PieceKind::number, ""}); return rest.substr(1);
        case 't': pieces_.push_back({PieceKind::time, ""}); return rest.substr(1);
        case 's': pieces_.push_back({PieceKind::state, ""}); return rest.substr(1);
        case 'u': pieces_.push_back({PieceKind::due, ""}); return rest.substr(1);
        case 'p': pieces_.push_back({PieceKind::priority, ""}); return rest.substr(1);
        case 'g': pieces_.push_back({PieceKind::group, ""}); return rest.substr(1);
        case 'h': break;
        default:
            return bad_format("the format has an unknown %" + std::string(rest.substr(0, 1)) +
                              " (known: %i %b %h{name} %a %q %n %t %s %u %p %g %%)");
    }
    const std::size_t close = rest.find('}');
    if (rest.size() < 2 || rest[1] != '{' || close == std::string_view::npos || close == 2) {
        return bad_format("the format has a %h without its {name}");
    }
    pieces_.push_back({PieceKind::header, std::string(rest.substr(2, close - 2))});
    return rest.substr(close + 1);
}

void MessageFormat::add_literal(char character) {
    if (pieces_.empty() || pieces_.back().kind != PieceKind::literal) {
        pieces_.push_back({PieceKind::literal, ""});
    }
    pieces_.back().text += character;
}

void MessageFormat::append(std::string& out, const ShownMessage& message) const {
    if (json_) {
        append_json_line(out, message);
        return;
    }
    for (const Piece& piece : pieces_) {
        append_piece(out, piece, message);
    }
}

void MessageFormat::append_piece(std::string& out, const Piece& piece,
                                 const ShownMessage& message) {
    switch (piece.kind) {
        case PieceKind::literal: out += piece.text; return;
        case PieceKind::id:
            out +=
                format_message_id(std::string(message.queue), message.incarnation, message.number);
            return;
        case PieceKind::body: out += message.body; return;
        case PieceKind::header:
            for (const auto& [key, value] : message.headers) {
                if (key == piece.text) {
                    out += value;
                    return;
                }
            }
            return;
        case PieceKind::attempt: out += std::to_string(message.attempt); return;
        case PieceKind::queue: out += message.queue; return;
        case PieceKind::number: out += format_number(message.number); return;
        case PieceKind::time: out += format_time(message.published); return;
        case PieceKind::group: out += message.group; return;
        case PieceKind::state: out += message.state; return;
        case PieceKind::due: out += message.due ? format_time(*message.due) : std::string(); return;
        case PieceKind::priority:
            out += message.priority ? std::to_string(*message.priority) : std::string();
            return;
    }
}

}  // namespace mqd::mqctl
