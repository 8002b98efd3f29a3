#include "client/mqctl/check_store.hpp"

#include <doctest/doctest.h>

namespace mqd::mqctl {
namespace {

TEST_CASE("check: mqd is looked for beside mqctl, in PATH, and where system programs lie") {
    using Names = std::vector<std::string>;
    CHECK(daemon_candidates("/opt/bin/mqctl", "/a:/b/c") == Names{"/opt/bin/mqd", "/a/mqd",
                                                                  "/b/c/mqd", "/usr/local/sbin/mqd",
                                                                  "/usr/sbin/mqd", "/sbin/mqd"});
    // Not in the folder where somebody happens to stand.
    CHECK(daemon_candidates("", ":.:x:/a:") ==
          Names{"/a/mqd", "/usr/local/sbin/mqd", "/usr/sbin/mqd", "/sbin/mqd"});
}

TEST_CASE("check: the folder is what follows") {
    const ParseOutcome outcome = parse_command_line({"check", "/var/lib/mqd", "-o", "json"});
    REQUIRE(outcome.command_line.has_value());
    CHECK(outcome.command_line->command == Command::check);
    CHECK(outcome.command_line->folder == "/var/lib/mqd");
    CHECK(parse_command_line({"check"}).complaint.find("needs the folder") != std::string::npos);
}

}  // namespace
}  // namespace mqd::mqctl
