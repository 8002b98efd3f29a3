#include "client/url.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "mqd/client.hpp"

using namespace mqd;
using namespace mqd::client;

TEST_CASE("url: a path for a Unix socket") {
    for (const std::string url : {"unix:/run/mqd/mqd.sock", "unix:///run/mqd/mqd.sock"}) {
        const auto address = parse_url(url);
        REQUIRE(address.has_value());
        CHECK(address->kind == Address::Kind::local);
        CHECK(address->path == "/run/mqd/mqd.sock");
    }
    CHECK(parse_url("unix:" + std::string(107, 'p')).has_value());
    CHECK(!parse_url("unix:" + std::string(108, 'p')).has_value());
}

TEST_CASE("url: host and port for TCP") {
    const auto named = parse_url("tcp://queue.example:1234");
    REQUIRE(named.has_value());
    CHECK(named->kind == Address::Kind::tcp);
    CHECK(named->host == "queue.example");
    CHECK(named->port == 1234);
    const auto bracketed = parse_url("tcp://[::1]:65535");
    REQUIRE(bracketed.has_value());
    CHECK(bracketed->host == "::1");
    CHECK(bracketed->port == 65535);
    CHECK(parse_url("tcp://127.0.0.1")->port == default_tcp_port);
    CHECK(parse_url("tcp://[::1]")->port == default_tcp_port);
}

TEST_CASE("url: what is none says why") {
    for (const std::string_view url :
         {"", "unix:", "unix://", "/run/mqd.sock", "http://host:80", "tcp://", "tcp://:7440",
          "tcp://host:", "tcp://host:0", "tcp://host:65536", "tcp://host:74a", "tcp://::1:7440",
          "tcp://[::1", "tcp://[::1]7440", "tcp://[]:1", "tls://host:7441"}) {
        INFO(std::string(url));
        const auto address = parse_url(url);
        REQUIRE(!address.has_value());
        CHECK(address.error().code == ErrorCode::bad_url);
        CHECK(!address.error().text.empty());
    }
    CHECK(parse_url("tls://host:7441").error().text.find("not built yet") != std::string::npos);
}

TEST_CASE("url: a path behind two slashes is not taken for one from the current folder") {
    const auto address = parse_url("unix://run/mqd/mqd.sock");
    REQUIRE(!address.has_value());
    CHECK(address.error().code == ErrorCode::bad_url);
    CHECK(address.error().text.find("unix:/run/mqd/mqd.sock") != std::string::npos);
    CHECK(parse_url("unix:run/mqd/mqd.sock")->path == "run/mqd/mqd.sock");
}

TEST_CASE("url: the default is MQD_URL, then the runtime directory, then the system's socket") {
    const auto folder =
        std::filesystem::temp_directory_path() / ("mqd-url-test-" + std::to_string(std::rand()));
    std::filesystem::create_directories(folder);
    ::setenv("MQD_URL", "tcp://elsewhere:1", 1);
    ::setenv("XDG_RUNTIME_DIR", folder.c_str(), 1);
    CHECK(default_url() == "tcp://elsewhere:1");
    ::unsetenv("MQD_URL");
    CHECK(default_url() == "unix:/run/mqd/mqd.sock");
    std::ofstream(folder / "mqd.sock") << "";
    CHECK(default_url() == "unix:" + (folder / "mqd.sock").string());
    ::unsetenv("XDG_RUNTIME_DIR");
    CHECK(default_url() == "unix:/run/mqd/mqd.sock");
    std::filesystem::remove_all(folder);
}
