#include <cstdio>
#include <exception>

#include "client/mqctl/program.hpp"
#include "client/mqctl/standard_streams.hpp"

int main(int argc, char** argv) {
    if (const auto occupied = mqd::mqctl::occupy_standard_streams(); !occupied) {
        (void)std::fprintf(stderr, "mqctl: %s\n", occupied.error().text.c_str());
        return static_cast<int>(mqd::mqctl::ExitCode::failed);
    }
    try {
        return static_cast<int>(mqd::mqctl::run_program({argv + 1, argv + argc}));
    } catch (const std::exception& error) {
        (void)std::fprintf(stderr, "mqctl: %s\n", error.what());
        return static_cast<int>(mqd::mqctl::ExitCode::failed);
    }
}
