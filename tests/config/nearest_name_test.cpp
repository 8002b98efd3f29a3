#include "daemon/config/nearest_name.hpp"

#include <doctest/doctest.h>

#include <array>
#include <string>

using namespace mqd;

TEST_CASE("nearest name: one slip of the finger is forgiven") {
    const std::array<std::string_view, 3> names{"path", "durability", "journal_bytes"};
    for (const std::string word : {"pth", "paht", "patth", "parh", "path"}) {
        CAPTURE(word);
        CHECK(nearest_name(word, names) == "path");
    }
    CHECK(nearest_name("durabilty", names) == "durability");
    CHECK(nearest_name("journal_byte_max", names) == "journal_bytes");
}

TEST_CASE("nearest name: nothing is guessed for what is far from all names") {
    const std::array<std::string_view, 2> names{"path", "durability"};
    CHECK(nearest_name("", names).empty());
    CHECK(nearest_name("lease", names).empty());
    CHECK(nearest_name(std::string(1'000'000, 'p'), names).empty());
    CHECK(nearest_name("path", {}).empty());
    CHECK(did_you_mean("lease", names).empty());
    const std::array<std::string, 2> texts{"orders", "a"};
    CHECK(did_you_mean("x", texts).empty());  // one letter is no word
    CHECK(did_you_mean("ordesr", texts) == " (did you mean \"orders\"?)");
    CHECK(did_you_mean("pth", names) == " (did you mean \"path\"?)");
}
