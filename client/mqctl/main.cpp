#include <cstdio>
#include <exception>

#include "client/mqctl/program.hpp"

int main(int argc, char** argv) {
    try {
        return static_cast<int>(mqd::mqctl::run_program({argv + 1, argv + argc}));
    } catch (const std::exception& error) {
        (void)std::fprintf(stderr, "mqctl: %s\n", error.what());
        return static_cast<int>(mqd::mqctl::ExitCode::failed);
    }
}
