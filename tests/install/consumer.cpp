// A program outside the tree: it links the installed library, and says what it got.
#include <cstdio>

#include "mqd/client.hpp"
#include "mqd/version.hpp"

int main() {
    const auto client = mqd::Client::connect("unix:/nowhere/mqd.sock");
    if (client.has_value() || client.error().code != mqd::ErrorCode::connect_failed) {
        std::puts("connecting to nobody did not fail as it should");
        return 1;
    }
    const auto version = mqd::version();
    std::printf("mqd %.*s\n", static_cast<int>(version.size()), version.data());
}
