#include "client/mqctl/message_format.hpp"

#include <doctest/doctest.h>

namespace mqd::mqctl {
namespace {

ShownMessage invoice() {
    ShownMessage message;
    message.queue = "orders";
    message.incarnation = QueueId(3);
    message.number = MessageNumber(1842);
    message.attempt = 2;
    message.published = WallTime(std::chrono::microseconds(1'763'712'123'000'123));
    message.sender = {1000, 100, 4711};
    message.headers = {{"type", "invoice"}, {"to", "a"}, {"to", "b"}};
    message.body = "hello";
    return message;
}

std::string formatted(std::string_view format, const ShownMessage& message) {
    const auto parsed = MessageFormat::parse(format);
    REQUIRE(parsed);
    std::string out("|");
    parsed->append(out, message);
    return out.substr(1);
}

TEST_CASE("message format: text ends with a newline, raw does not") {
    CHECK(formatted("text", invoice()) == "hello\n");
    CHECK(formatted("raw", invoice()) == "hello");
}

TEST_CASE("message format: every placeholder") {
    CHECK(formatted("%i", invoice()) == "orders:3:1842");
    CHECK(formatted("%b", invoice()) == "hello");
    CHECK(formatted("%h{type}", invoice()) == "invoice");
    CHECK(formatted("%h{to}", invoice()) == "a");
    CHECK(formatted("<%h{none}>", invoice()) == "<>");
    CHECK(formatted("%a %q %n", invoice()) == "2 orders 1842");
    CHECK(formatted("%t", invoice()) == "2025-11-21T08:02:03.000123Z");
    CHECK(formatted("100%%", invoice()) == "100%");
    CHECK(formatted("a\\tb\\n\\r\\0\\\\", invoice()) == std::string("a\tb\n\r\0\\", 7));
    CHECK(formatted("%i %h{type} %b\\n", invoice()) == "orders:3:1842 invoice hello\n");
}

TEST_CASE("message format: the state, and until when it is delayed, where they are known") {
    ShownMessage message = invoice();
    CHECK(formatted("<%s %u>", message) == "< >");
    message.state = "delayed";
    message.due = message.published;
    CHECK(formatted("<%s %u>", message) == "<delayed 2025-11-21T08:02:03.000123Z>");
}

TEST_CASE("message format: the body is no format") {
    ShownMessage message = invoice();
    message.body = "%i\\n";
    CHECK(formatted("%b", message) == "%i\\n");
}

TEST_CASE("message format: what is wrong is named") {
    for (const char* const format :
         {"", "jsn", "%", "%z", "%h", "%h{", "%h{}", "%h{x", "\\", "\\x"}) {
        CAPTURE(format);
        const auto parsed = MessageFormat::parse(format);
        REQUIRE_FALSE(parsed);
        CHECK(parsed.error().code == ErrorCode::bad_option);
        CHECK_FALSE(parsed.error().text.empty());
    }
}

TEST_CASE("message format: json is one line with the fields in their order") {
    CHECK(formatted("json", invoice()) ==
          R"({"id":"orders:3:1842","queue":"orders","number":1842,"attempt":2,)"
          R"("published":"2025-11-21T08:02:03.000123Z",)"
          R"("sender":{"uid":1000,"gid":100,"pid":4711},)"
          R"("headers":{"type":"invoice","to":["a","b"]},"body":"hello"})"
          "\n");
}

}  // namespace
}  // namespace mqd::mqctl
