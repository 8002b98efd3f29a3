#include "client/mqctl/suggestion.hpp"

#include <doctest/doctest.h>

#include <vector>

namespace mqd::mqctl {
namespace {

TEST_CASE("suggestion: the distance counts insertions, deletions, replacements and swaps") {
    CHECK(edit_distance("", "") == 0);
    CHECK(edit_distance("orders", "orders") == 0);
    CHECK(edit_distance("", "abc") == 3);
    CHECK(edit_distance("abc", "") == 3);
    CHECK(edit_distance("ordesr", "orders") == 1);
    CHECK(edit_distance("order", "orders") == 1);
    CHECK(edit_distance("oorders", "orders") == 1);
    CHECK(edit_distance("kitten", "sitting") == 3);
}

TEST_CASE("suggestion: only a name that is near enough is offered") {
    const std::vector<std::string> names{"orders", "orders.dead", "mail", "a"};
    CHECK(nearest_name("ordesr", names) == "orders");
    CHECK(nearest_name("order", names) == "orders");
    CHECK(nearest_name("orders.daed", names) == "orders.dead");
    CHECK(nearest_name("invoices", names).empty());
    CHECK(nearest_name("x", names).empty());
    CHECK(nearest_name("", names).empty());
    CHECK(did_you_mean("mial", names) == " (did you mean \"mail\"?)");
    CHECK(did_you_mean("other", {}).empty());
}

}  // namespace
}  // namespace mqd::mqctl
