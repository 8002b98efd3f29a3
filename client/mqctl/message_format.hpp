#pragma once

// How `consume` and `peek` write a message: -o text, json, raw, or a format of the user's own.

#include <string>
#include <string_view>
#include <vector>

#include "client/mqctl/message_json.hpp"
#include "mqd/result.hpp"

namespace mqd::mqctl {

// The placeholders of a format: %i id, %b body, %h{name} header (nothing if the message has none),
// %a attempt, %q queue, %n number, %t time of publishing, %s state and %u until when it is delayed,
// %p priority (nothing where that is not known), %% a percent sign; \n, \t, \r, \0 and \\ as in C.
class MessageFormat {
  public:
    // "text" (the body and a newline), "json", "raw" (the body alone), or a format, which has at
    // least one placeholder or escape. ErrorCode::bad_option otherwise.
    [[nodiscard]] static Result<MessageFormat> parse(std::string_view text);

    void append(std::string& out, const ShownMessage& message) const;

  private:
    enum class PieceKind {
        literal,
        id,
        body,
        header,
        attempt,
        queue,
        number,
        time,
        state,
        due,
        priority,
        group
    };
    struct Piece {
        PieceKind kind = PieceKind::literal;
        std::string text;  // the literal, or the name of the header
    };

    Result<void> parse_pieces(std::string_view text);
    Result<std::string_view> parse_placeholder(std::string_view rest);
    void add_literal(char character);
    static void append_piece(std::string& out, const Piece& piece, const ShownMessage& message);

    bool json_ = false;
    std::vector<Piece> pieces_;
};

}  // namespace mqd::mqctl
