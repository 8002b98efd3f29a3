// The exit codes of the daemon, as the manual page and the service have them.

#include "daemon/exit_code.hpp"

#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <string>

using namespace mqd;

namespace {

std::string content(const std::string& file) {
    std::ifstream in(file);
    REQUIRE_MESSAGE(in.good(), "cannot read ", file);
    return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

TEST_CASE("exit codes: the manual page has each of them") {
    const std::string page = content("docs/man/mqd.8.scd");
    for (int code = 0; code <= static_cast<int>(ExitCode::cannot_listen); ++code) {
        CAPTURE(code);
        CHECK(page.find("|[ *" + std::to_string(code) + "*\n") != std::string::npos);
    }
}

TEST_CASE("exit codes: the service does not restart what a restart cannot cure") {
    const auto number = [](ExitCode code) { return std::to_string(static_cast<int>(code)); };
    const std::string service = content("systemd/mqd.service.in");
    CHECK(service.find("\nRestartPreventExitStatus=" + number(ExitCode::usage) + ' ' +
                       number(ExitCode::bad_config) + ' ' + number(ExitCode::damaged) + '\n') !=
          std::string::npos);
}
