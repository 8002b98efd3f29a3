#include "client/mqctl/message_json.hpp"

#include <doctest/doctest.h>

namespace mqd::mqctl {
namespace {

using HeaderPairs = std::vector<std::pair<std::string, std::string>>;

std::string json_of(const ShownMessage& message) {
    std::string line;
    append_json_line(line, message);
    return line;
}

bool mentions(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

TEST_CASE("message json: a body that is not UTF-8 is base64") {
    ShownMessage message;
    message.body = "\xFFz";
    CHECK(mentions(json_of(message), R"("body_b64":"/3o=")"));
    CHECK_FALSE(mentions(json_of(message), R"("body":)"));
    message.body = "\n\"\x01";
    CHECK(mentions(json_of(message), R"("body":"\n\"\u0001")"));
    message.body = "";
    CHECK(mentions(json_of(message), R"("body":"")"));
}

TEST_CASE("message json: a line is a line, whatever the message holds") {
    ShownMessage message;
    message.queue = "a";
    message.body = "x\ny";
    message.headers = {{"k\xFF\n", "v\n"}, {"b", "\xFE"}};
    const std::string line = json_of(message);
    CHECK(line.find('\n') == line.size() - 1);
    CHECK(mentions(line, R"("headers_b64":{"b":"/g=="})"));
}

TEST_CASE("message json: a sender that was not seen is null, and a state is said when known") {
    ShownMessage message;
    CHECK(mentions(json_of(message), R"("sender":{"uid":null,"gid":null,"pid":null})"));
    CHECK_FALSE(mentions(json_of(message), "state"));
    message.state = "leased";
    CHECK(mentions(json_of(message), R"("state":"leased")"));
}

TEST_CASE("message json: a priority is said, and published again") {
    ShownMessage message;
    message.body = "x";
    CHECK_FALSE(mentions(json_of(message), "priority"));
    message.priority = 7;
    CHECK(mentions(json_of(message), R"("priority":7,)"));
    CHECK(parse_json_line(json_of(message))->options.priority == 7u);
    for (const char* const wrong : {"10", "-1", "\"5\"", "1.5", "null"}) {
        const auto parsed =
            parse_json_line(std::string(R"({"body":"x","priority":)") + wrong + "}");
        REQUIRE_FALSE(parsed);
        CHECK(parsed.error().text == "\"priority\" is not a number from 0 to 9");
    }
}

TEST_CASE("message json: an id is said, and published again") {
    ShownMessage message;
    message.body = "x";
    CHECK_FALSE(mentions(json_of(message), "dedup_id"));
    message.dedup_id = "a\"b";
    CHECK(mentions(json_of(message), R"("dedup_id":"a\"b",)"));
    CHECK(parse_json_line(json_of(message))->dedup_id == "a\"b");
    message.dedup_id = "\xFF";
    CHECK(mentions(json_of(message), R"("dedup_id_b64":"/w==",)"));
    CHECK(parse_json_line(json_of(message))->dedup_id == "\xFF");
    CHECK_FALSE(parse_json_line(R"({"body":"x","dedup_id":""})"));
    CHECK_FALSE(parse_json_line(R"({"body":"x","dedup_id":5})"));
}

TEST_CASE("message json: a dead letter says what it was, and is published again without that") {
    ShownMessage message;
    CHECK_FALSE(mentions(json_of(message), "dead_letter"));
    message.dead_letter = {DeadLetterCause::attempts,
                           16,
                           WallTime(std::chrono::seconds(1)),
                           WallTime(std::chrono::microseconds(2)),
                           "orders",
                           QueueId(3),
                           MessageNumber(1842),
                           "exit status 3\xFF"};
    message.body = "x";
    const std::string line = json_of(message);
    CHECK(mentions(line, R"("dead_letter":{"cause":"attempts","attempts":16,)"
                         R"("first_failed":"1970-01-01T00:00:01.000000Z",)"
                         R"("last_failed":"1970-01-01T00:00:00.000002Z","id":"orders:3:1842",)"
                         R"("reason":"exit status 3)"));
    const auto parsed = parse_json_line(line);
    REQUIRE(parsed);
    CHECK(parsed->body == "x");
    CHECK(parsed->headers.empty());
    message.dead_letter->cause = DeadLetterCause::rejected;
    CHECK(mentions(json_of(message), R"("cause":"rejected")"));
}

TEST_CASE("message json: what consume writes, publish reads") {
    ShownMessage message;
    message.queue = "orders";
    for (const std::string_view body :
         {std::string_view("plain"), std::string_view("\xFF\0x", 3),
          std::string_view("gr\xC3\xBC\xC3\x9F"), std::string_view()}) {
        message.body = body;
        message.headers = {{"type", "a"}, {"to", "x"}, {"to", "y"}, {"raw", "\x80"}};
        const auto parsed = parse_json_line(json_of(message));
        REQUIRE(parsed);
        CHECK(parsed->body == body);
        CHECK(parsed->headers ==
              HeaderPairs{{"type", "a"}, {"to", "x"}, {"to", "y"}, {"raw", "\x80"}});
    }
}

TEST_CASE("message json: headers that the objects cannot hold stand in a list as well") {
    ShownMessage message;
    const std::vector<HeaderPairs> kept{
        {}, {{"a", "1"}}, {{"a", "1"}, {"a", "2"}, {"b", ""}}, {{"a", "1"}, {"b", "\xFF"}}};
    const std::vector<HeaderPairs> lost{{{"a", "1"}, {"b", "2"}, {"a", "3"}},
                                        {{"a", "\xFF"}, {"b", "1"}},
                                        {{"k\xFF", "v"}, {"k\xFE", "w"}}};
    for (const auto& [headers, listed] : {std::pair(kept, false), std::pair(lost, true)}) {
        for (const HeaderPairs& all : headers) {
            message.headers.assign(all.begin(), all.end());
            const std::string line = json_of(message);
            CAPTURE(line);
            CHECK(mentions(line, "header_list_b64") == listed);
            const auto parsed = parse_json_line(line);
            REQUIRE(parsed);
            CHECK(parsed->headers == all);
        }
    }
}

TEST_CASE("message json: how long a message lives is written as a time, and what is left is read") {
    using namespace std::chrono_literals;
    CHECK(parse_json_line(R"({"body":"x"})")->options.ttl == 0ms);
    CHECK(parse_json_line(R"({"body":"x","ttl_ms":1500})")->options.ttl == 1500ms);
    CHECK(parse_json_line(R"({"body":"x","expires":"2020-01-01T00:00:00Z"})")->options.ttl == 1ms);
    for (const std::string bad :
         {R"({"body":"x","ttl_ms":0})", R"({"body":"x","ttl_ms":"1s"})",
          R"({"body":"x","ttl_ms":315532800001})", R"({"body":"x","expires":"never"})"}) {
        CAPTURE(bad);
        CHECK_FALSE(parse_json_line(bad));
    }
}

TEST_CASE("message json: when a message is due is written and read") {
    using namespace std::chrono_literals;
    ShownMessage message;
    message.body = "x";
    CHECK_FALSE(mentions(json_of(message), "due"));
    CHECK_FALSE(parse_json_line(json_of(message))->options.due);
    message.state = "delayed";
    message.due = WallTime(1'763'712'123'000'123us);
    const std::string line = json_of(message);
    CHECK(mentions(line, R"("state":"delayed","due":"2025-11-21T08:02:03.000123Z",)"));
    CHECK(parse_json_line(line)->options.due == message.due);
    CHECK(parse_json_line(line)->options.delay == 0ms);

    CHECK(parse_json_line(R"({"body":"x","delay_ms":1500})")->options.delay == 1500ms);
    CHECK(parse_json_line(R"({"body":"x","delay_ms":0})")->options.delay == 0ms);
    for (const char* const bad :
         {R"({"body":"x","delay_ms":-1})", R"({"body":"x","delay_ms":1.5})",
          R"({"body":"x","delay_ms":"30s"})", R"({"body":"x","delay_ms":315532800001})",
          R"({"body":"x","due":1763712123})", R"({"body":"x","due":"tomorrow"})"}) {
        CAPTURE(bad);
        const auto parsed = parse_json_line(bad);
        REQUIRE_FALSE(parsed);
        CHECK(mentions(parsed.error().text, mentions(bad, "due") ? "\"due\"" : "\"delay_ms\""));
    }
}

TEST_CASE("message json: the body alone is enough") {
    const auto parsed = parse_json_line(R"({"body":"x","other":[1,2]})");
    REQUIRE(parsed);
    CHECK(parsed->body == "x");
    CHECK(parsed->headers.empty());
}

TEST_CASE("message json: what is no message is refused") {
    for (const char* const line :
         {"", "x", "[]", "1", "{}", R"({"body":1})", R"({"body_b64":"?"})",
          R"({"body":"x","headers":[]})", R"({"body":"x","headers":{"a":1}})",
          R"({"body":"x","headers_b64":{"a":"?"}})", R"({"body":"x","header_list_b64":{}})",
          R"({"body":"x","header_list_b64":[["YQ=="]]})",
          R"({"body":"x","header_list_b64":[["YQ==","?"]]})", R"({"body":"x"} y)"}) {
        CAPTURE(line);
        const auto parsed = parse_json_line(line);
        REQUIRE_FALSE(parsed);
        CHECK_FALSE(parsed.error().text.empty());
    }
}

}  // namespace
}  // namespace mqd::mqctl
