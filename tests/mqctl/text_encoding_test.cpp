#include "client/mqctl/text_encoding.hpp"

#include <doctest/doctest.h>

namespace mqd::mqctl {
namespace {

TEST_CASE("text encoding: well-formed UTF-8") {
    for (const char* const text :
         {"", "plain", "\x7F", "\xC2\x80", "gr\xC3\xBC\xC3\x9F", "\xE2\x82\xAC", "\xED\x9F\xBF",
          "\xEE\x80\x80", "\xF0\x9F\x98\x80", "\xF4\x8F\xBF\xBF"}) {
        CAPTURE(text);
        CHECK(valid_utf8(text));
    }
    CHECK(valid_utf8(std::string_view("\0", 1)));
}

TEST_CASE("text encoding: what is not UTF-8") {
    for (const char* const text :
         {"\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xC2", "\xC2z", "\xE0\x80\x80", "\xE2\x82",
          "\xED\xA0\x80", "\xF0\x80\x80\x80", "\xF0\x9F\x98", "\xF4\x90\x80\x80",
          "\xF5\x80\x80\x80", "\xFF", "ok\xFE"}) {
        CHECK_FALSE(valid_utf8(text));
    }
}

TEST_CASE("text encoding: base64 there and back") {
    CHECK(encode_base64("") == "");
    CHECK(encode_base64("f") == "Zg==");
    CHECK(encode_base64("fo") == "Zm8=");
    CHECK(encode_base64("foo") == "Zm9v");
    CHECK(encode_base64("foobar") == "Zm9vYmFy");
    std::string bytes;
    for (int i = 0; i < 256; ++i) {
        bytes += static_cast<char>(i);
        const auto back = decode_base64(encode_base64(bytes));
        REQUIRE(back);
        CHECK(*back == bytes);
    }
}

TEST_CASE("text encoding: what is not base64") {
    for (const char* const text :
         {"Z", "Zg", "Zg=", "Zh==", "Zm9=", "Z===", "====", "Zm9v\n", "Z=g=", "Zm-v", "Zm9v=Zm8"}) {
        CAPTURE(text);
        CHECK_FALSE(decode_base64(text));
    }
}

}  // namespace
}  // namespace mqd::mqctl
