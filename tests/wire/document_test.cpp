// docs/protocol.md and the code, held together as far as a program can: every frame, error and
// vector that there is has its place in the document.

#include <doctest/doctest.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>

#include "wire/any_frame.hpp"
#include "wire/vector_file.hpp"

using namespace mqd;
using namespace mqd::wire;
using namespace mqd::wire::test;

namespace {

std::string document() {
    std::ifstream in("docs/protocol.md");
    REQUIRE_MESSAGE(in.good(), "cannot read docs/protocol.md");
    return {std::istreambuf_iterator<char>(in), {}};
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("protocol.md: every frame has a heading with its number") {
    const std::string text = document();
    for (const FrameType type : all_frame_types()) {
        std::array<char, 8> number{};
        std::snprintf(number.data(), number.size(), "(0x%02X)", static_cast<unsigned>(type));
        CAPTURE(number.data());
        // PING and PONG, ACK, NACK and EXTEND share a heading.
        const std::size_t at = text.find(number.data());
        REQUIRE(at != std::string::npos);
        CHECK(text.compare(text.rfind('\n', at) + 1, 5, "#### ") == 0);
    }
}

TEST_CASE("protocol.md: every error that travels has its row") {
    const std::string text = document();
    int found = 0;
    for (int code = 1; code < 1000; ++code) {
        const std::string name(error_name(static_cast<ErrorCode>(code)));
        if (name == "unknown_error") {
            continue;
        }
        ++found;
        CAPTURE(name);
        CHECK(contains(text, "| " + std::to_string(code) + " | `" + name + "` |"));
    }
    CHECK(found >= 28);
}

TEST_CASE("protocol.md: every vector of the session from end to end exists, as it stands there") {
    const std::string text = document();
    for (const std::string name :
         {"hello", "welcome", "open_producer", "open_consumer", "opened_producer",
          "opened_consumer", "publish", "confirm", "deliver", "ack_confirm", "settled", "goodbye",
          "goodbye_reply"}) {
        CAPTURE(name);
        CHECK(contains(text, '(' + name + ')'));
        CHECK(!read_vector("tests/wire/vectors/" + name + ".txt").bytes.empty());
    }
    std::ifstream in("tests/wire/vectors/publish.txt");
    const std::string publish{std::istreambuf_iterator<char>(in), {}};
    const std::size_t body = publish.rfind("\n\n");
    REQUIRE(body != std::string::npos);
    CHECK(contains(text, publish.substr(body + 2)));
}
