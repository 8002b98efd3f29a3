#include "daemon/log.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <string>

#include "config/environment_variable.hpp"

using namespace mqd;

TEST_CASE("log: stderr is the journal only if the variable names this very file") {
    struct stat state = {};
    REQUIRE(::fstat(2, &state) == 0);
    const std::string device = std::to_string(state.st_dev);
    const std::string inode = std::to_string(state.st_ino);
    {
        const test::EnvironmentVariable stream("JOURNAL_STREAM", device + ':' + inode);
        CHECK(stderr_is_journal());
    }
    for (const std::string& other :
         {device + ":0", std::string("1:2"), std::string(), std::string(":"), device,
          device + ':' + inode + 'x', std::string("x:") + inode}) {
        CAPTURE(other);
        const test::EnvironmentVariable stream("JOURNAL_STREAM", other);
        CHECK(!stderr_is_journal());
    }
}

TEST_CASE("log: the text of a client cannot break a line or a terminal") {
    CHECK(printable("worker-1") == "worker-1");
    CHECK(printable("a\nb\x1B[31m\"\\") == "a\\x0ab\\x1b[31m\\x22\\x5c");
    CHECK(printable("\xC3\xA9") == "\\xc3\\xa9");
    CHECK(printable(std::string(200, 'x')) == std::string(200, 'x'));
    CHECK(printable(std::string(201, 'x')) == std::string(200, 'x') + "...");
}
